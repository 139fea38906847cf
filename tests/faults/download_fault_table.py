"""The rows of the table in :mod:`faults.download_faults`, by what is wrong."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from faults.download_faults import BODY, ETAG, HALF, SHA256, DownloadFault
from faults.fault_server import Answer, Request, chunked, head, raw, whole

FINE = whole(BODY)
_PACKED = gzip.compress(BODY)
_ZEROS = gzip.compress(bytes(1 << 26))  # 1,000 times as much
_RIGHT = {"size": len(BODY), "sha256": SHA256}
_TOO_MUCH = "sends more than the length that it states"
_NO_CONTENT = (201, 202, 203, 204, 205, 206, 207, 226, 299)
_NO_PLACE = (300, 301, 302, 303, 304, 305, 306, 307, 308, 399)
_REFUSED = (400, 401, 403, 404, 407, 410, 418, 451, 499)
_BROKEN = (408, 429, 500, 502, 503, 504, 511, 599)


def statuses() -> Iterator[DownloadFault]:
    """Yield answers with another status than 200: none is content, and some are worth asking again."""
    for status in (*_NO_CONTENT, *_NO_PLACE, *_REFUSED, *_BROKEN):
        answer = raw(head(f"{status} Odd")) if status in (204, 304) else whole(BODY, f"{status} Odd")
        for how in ("get", "file"):
            yield DownloadFault(f"status {status}, {how}", [answer], "error", how, "HTTP|asked for")
    for status in (200, 204, 404, 416, 503):
        answer = raw(head(f"{status} Odd", Content_Length=0), head(Content_Length=6) + b"POISON", keep=True)
        expected = "error" if status in (404, 416) else "content"
        yield DownloadFault(f"status {status} with another answer behind it", [answer, FINE], expected)
    for status in (202, 206, 204, 408, 503):
        answer = raw(head(f"{status} Odd")) if status == 204 else whole(BODY, f"{status} Odd")
        yield DownloadFault(f"status {status}, then content", [answer, FINE], "content")
    for wait, message in (
        ("99999999", "in 99999999 s"),
        ("9" * 400, "in inf s"),
        ("-5", "HTTP 503"),
        ("soon", "HTTP 503"),
        ("Thu, 01 Jan 99999 00:00:00 GMT", "HTTP 503"),
        ("٣", "HTTP 503"),
    ):
        answer = raw(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: " + wait.encode() + b"\r\n\r\n")
        yield DownloadFault(f"to be asked again in {wait[:20]}", [answer], "error", message=message)
    yield DownloadFault(
        "a reason that clears the terminal",
        [raw(b"HTTP/1.1 500 \x1b[2J\x1b]0;owned\x07\r\nContent-Length: 0\r\n\r\n")],
        "error",
        message="HTTP",
    )


def bodies() -> Iterator[DownloadFault]:
    """Yield bodies that are empty, cut, too long, endless, damaged, or far larger than they look."""
    empty = {
        "of length 0": whole(b""),
        "without a length": raw(head()),
        "in chunks": chunked(),
        "compressed": whole(gzip.compress(b""), Content_Encoding="gzip"),
    }
    for name, answer in empty.items():
        yield DownloadFault(f"an empty body {name}", [answer], "error", message="is empty")
        yield DownloadFault(f"an empty body {name}, then content", [answer, FINE], "content")
        if name != "compressed":
            yield DownloadFault(f"an empty body {name}, file", [answer], "error", "file", "is empty|0 bytes")
    cut = {
        "at its length": raw(head(Content_Length=len(BODY)), BODY[:100]),
        "before its first byte": raw(head(Content_Length=len(BODY))),
        "in a chunk": raw(head(Transfer_Encoding="chunked"), b"64\r\nabc"),
        "before the last chunk": raw(head(Transfer_Encoding="chunked"), b"3\r\nabc\r\n"),
    }
    for name, answer in cut.items():
        for how in ("get", "file"):
            yield DownloadFault(f"cut {name}, {how}", [answer], "error", how, "breaks off")
            yield DownloadFault(f"cut {name}, {how}, then content", [answer, FINE], "content", how)
    yield DownloadFault("cut without a length, size known", [raw(head(), BODY[:100]), FINE], "content", "file",
                        known=_RIGHT)  # fmt: skip
    yield from _compressed()
    yield from _too_long()


def _compressed() -> Iterator[DownloadFault]:
    flipped = bytearray(_PACKED)
    flipped[len(flipped) // 2] ^= 4
    damaged = {
        "cut": _PACKED[:-400],
        "with a flipped bit": bytes(flipped),
        "with a wrong checksum": _PACKED[:-8] + b"\0\0\0\0" + _PACKED[-4:],
        "with rubbish behind it": _PACKED + b"rubbish",
        "that is not compressed at all": BODY,
        "by zlib, not gzip": zlib.compress(BODY),
        "of a header only": _PACKED[:10],
    }
    for name, body in damaged.items():
        answer = whole(body, Content_Encoding="gzip")
        yield DownloadFault(f"compressed, {name}", [answer], "error", message="damaged content")
        yield DownloadFault(f"compressed, {name}, then content", [answer, FINE], "content")
    for coding in ("br", "zstd", "deflate", "gzip, gzip", "aes128gcm"):
        answer = whole(_PACKED, Content_Encoding=coding)
        yield DownloadFault(f"compressed by {coding}", [answer], "error", message="not asked for")
        yield DownloadFault(f"compressed by {coding}, file", [answer], "error", "file", "asked not to")
    yield DownloadFault("a compressed file", [whole(_PACKED, Content_Encoding="gzip")], "error", "file",
                        "asked not to")  # fmt: skip
    two = gzip.compress(BODY[:99]) + gzip.compress(BODY[99:])
    yield DownloadFault("compressed in two members", [whole(two, Content_Encoding="gzip")], "content")
    yield DownloadFault("64 MB from 64 KB", [whole(_ZEROS, Content_Encoding="gzip")], "error",
                        message="unpacks to more than 200 times .* max_ratio", is_large=True)  # fmt: skip
    endless = raw(head(Content_Encoding="gzip"), *[_ZEROS] * 100)
    yield DownloadFault("compressed, 6 GB", [endless], "error", message="max_bytes",
                        options={"max_ratio": 1e9, "max_bytes": 1 << 24}, is_large=True)  # fmt: skip


def _too_long() -> Iterator[DownloadFault]:
    more = raw(head(Content_Length=len(BODY)), BODY + b"more", keep=True)
    second = head(Content_Length=7) + b"another"
    behind = raw(head(Content_Length=len(BODY)), BODY + second, keep=True)
    behind_chunks = chunked(BODY, end=b"0\r\n\r\n" + second)
    for name, answer in {
        "more than its length": more,
        "a second answer": behind,
        "a second answer behind chunks": behind_chunks,
    }.items():
        for how in ("get", "file"):
            yield DownloadFault(f"{name}, {how}", [answer], "error", how, _TOO_MUCH)
            yield DownloadFault(f"{name}, {how}, then content", [answer, FINE], "content", how)
    limits = {"max_bytes": 100_000, "max_file_bytes": 100_000}
    for how, option in (("get", "max_bytes"), ("file", "max_file_bytes")):
        message = f"more than 100,000 bytes.* {option} allows.*raise {option}"
        for name, answer in {
            "an endless body": _endless(head(), BODY),
            "endless chunks": _endless(
                head(Transfer_Encoding="chunked"), b"%x\r\n%s\r\n" % (len(BODY), BODY)
            ),
            "a huge length": raw(head(Content_Length=10**15), BODY),
            "a length of 19 digits": _endless(head(Content_Length=10**18), BODY),
        }.items():
            yield DownloadFault(
                f"{name}, {how}", [answer], "error", how, message, options=limits, is_large=True
            )
    yield DownloadFault("longer than the disk", [raw(head(Content_Length=10**15), BODY)], "error", "file",
                        "room for", options={"max_file_bytes": 10**16})  # fmt: skip
    yield DownloadFault("longer than the size that is known", [chunked(BODY, BODY)], "error", "file",
                        _TOO_MUCH, known=_RIGHT)  # fmt: skip
    yield DownloadFault("another length than is known", [whole(BODY + b"x")], "error", "file",
                        "20001 bytes instead of 20000", known=_RIGHT)  # fmt: skip
    yield DownloadFault("another file of the same length", [whole(bytes(len(BODY)))], "error", "file",
                        "SHA-256", known=_RIGHT)  # fmt: skip


def _endless(beginning: bytes, piece: bytes) -> Answer:
    def answer(request: Request) -> None:
        request.send(beginning)
        request.repeat(piece)

    return answer


def framing() -> Iterator[DownloadFault]:
    """Yield answers that break the rules of HTTP."""
    chunks = head(Transfer_Encoding="chunked")
    many = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 90) for n in range(20_000))
    broken = {
        "a chunk size that is no number": raw(chunks, b"xyz\r\nabc\r\n0\r\n\r\n"),
        "a negative chunk size": raw(chunks, b"-3\r\nabc\r\n0\r\n\r\n"),
        "a huge chunk size": raw(chunks, b"fffffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        "a chunk size of 15 digits": raw(chunks, b"fffffffffffffff\r\nabc"),
        "a chunk that is longer than its size": raw(chunks, b"3\r\nabcdef\r\n0\r\n\r\n"),
        "an endless chunk size": _endless(chunks, b"0" * 10_000),
        "an endless trailer": _endless(chunks + b"3\r\nabc\r\n0\r\n", b"X: " + b"x" * 10_000),
        "chunks in gzip": raw(head(Transfer_Encoding="gzip, chunked"), b"3\r\nabc\r\n0\r\n\r\n"),
        "an unknown transfer coding": raw(head(Transfer_Encoding="rot13"), BODY),
        "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        "a negative length": raw(head(Content_Length=-5), b"abcde"),
        "a length in words": raw(head(Content_Length="five"), b"abcde"),
        "a length of 5,000 digits": raw(head(Content_Length="9" * 5000), b"abcde"),
        "no status line": raw(BODY),
        "an old answer without head": raw(b"<html>hello</html>\r\n\r\n"),
        "a status in words": raw(b"HTTP/1.1 okay\r\n\r\nabc"),
        "a status of two digits": raw(b"HTTP/1.1 20 OK\r\n\r\nabc"),
        "HTTP 2 all at once": raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        "a header without a colon": raw(b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 3\r\n\r\nabc"),
        "a header with a zero byte": raw(b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nabc"),
        "a header of 2 MB": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (2 << 20) + b"\r\n\r\nabc"),
        "20,000 headers": raw(b"HTTP/1.1 200 OK\r\n" + many + b"\r\nabc"),
        "endless headers": _endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
        "endless preliminary answers": _endless(b"", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 100),
        "a preliminary answer only": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        "another protocol": raw(head("101 Switching Protocols", Upgrade="x", Connection="Upgrade"), b"abc"),
        "half a head": raw(b"HTTP/1.1 200 OK\r\nContent-Len"),
        "nothing": raw(),
        "binary rubbish": raw(bytes(range(256)) * 100),
    }  # fmt: skip
    for name, answer in broken.items():
        for how in ("get", "file"):
            yield DownloadFault(f"{name}, {how}", [answer], "error", how, "rules of HTTP|headers|HTTP 101")
        yield DownloadFault(f"{name}, then content", [answer, FINE], "content")


def redirections() -> Iterator[DownloadFault]:
    """Yield redirections that lead nowhere, or where no client should go."""

    def to(place: str) -> Answer:
        return raw(
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + place.encode() + b"\r\n\r\n", keep=True
        )

    def endless_body(request: Request) -> None:
        request.send(head("302 Found", Location="/other"))
        request.repeat(BODY)

    for name, place in {
        "a file": "file:///etc/passwd",
        "a file of a host": "file://127.0.0.1/etc/passwd",
        "ftp": "ftp://127.0.0.1/page",
        "a script": "javascript:alert(1)",
        "data": "data:text/plain,hello",
        "gopher": "gopher://127.0.0.1:70/1",
    }.items():
        for how in ("get", "file"):
            yield DownloadFault(
                f"redirected to {name}, {how}", [to(place)], "error", how, "redirects to|nvalid"
            )
    for name, place in {
        "an address that is none": "http://[::1",
        "an impossible port": "http://127.0.0.1:99999999/",
        "a port in words": "http://127.0.0.1:port/",
        "a terminal's codes": "/\x1b[2J",
    }.items():
        yield DownloadFault(
            f"redirected to {name}",
            [to(place)],
            "error",
            message="nvalid|rules of HTTP|redirec|connection failed",
        )
    yield DownloadFault("redirected in a circle", [to("/page")], "error", message="more than 10 redirections")
    yield DownloadFault(
        "redirected in a circle, file", [to("/page")], "error", "file", "more than 10 redirections"
    )
    yield DownloadFault("redirected ten times", [*[to("/next")] * 10, FINE], "content")
    yield DownloadFault(
        "redirected eleven times", [*[to("/next")] * 11, FINE], "error", message="more than 10"
    )
    yield DownloadFault("redirected with an endless body", [endless_body, FINE], "content")


def silence() -> Iterator[DownloadFault]:
    """Yield servers that say nothing, or next to nothing."""

    def silent(*pieces: bytes) -> Answer:
        def answer(request: Request) -> None:
            request.send(*pieces)
            request.wait()

        return answer

    def dripping(beginning: bytes, piece: bytes) -> Answer:
        def answer(request: Request) -> None:
            request.send(beginning)
            request.repeat(piece, pause=0.02)

        return answer

    def reset(request: Request) -> None:
        request.reset()

    quick = {"timeout": 0.3, "retries": 0}
    length = head(Content_Length=len(BODY))
    for how in ("get", "file"):
        for name, answer in {
            "silence": silent(),
            "silence in the head": silent(b"HTTP/1.1 200"),
            "silence in the body": silent(length, BODY[:100]),
            "silence in a chunk": silent(head(Transfer_Encoding="chunked"), b"ff\r\nabc"),
        }.items():
            yield DownloadFault(f"{name}, {how}", [answer], "error", how, "no answer in time", options=quick)
        for name, answer in {
            "a dripping head": dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
            "a dripping body": dripping(length, b"x"),
            "dripping chunks": dripping(head(Transfer_Encoding="chunked"), b"1\r\nx\r\n"),
            "a dripping body without an end": dripping(head(), b"x"),
        }.items():
            too_slow = (
                "bytes per second, less than min_rate|no answer in time"  # which is so on a busy machine
            )
            yield DownloadFault(f"{name}, {how}", [answer], "error", how, too_slow, options=quick)
            option = "max_seconds" if how == "get" else "max_file_seconds"
            patient = {"min_rate": 0, "max_seconds": 0.3, "max_file_seconds": 0.3}
            message = f"not fetched within 0.3 s, which is what {option} allows"
            yield DownloadFault(f"{name}, {how}, in all", [answer], "error", how, message, options=patient)
        yield DownloadFault(f"broken off, {how}", [reset], "error", how, "connection failed|breaks off")
        yield DownloadFault(f"broken off, {how}, then content", [reset, FINE], "content", how)


def resumed() -> Iterator[DownloadFault]:
    """Yield what servers send when a file of which half is there is to be continued."""
    size, rest = len(BODY), BODY[HALF:]

    def part(range_: str, body: bytes = rest, etag: str = ETAG, **headers: object) -> Answer:
        tag = {"ETag": etag} if etag else {}
        return whole(body, "206 Partial Content", Content_Range=range_, **tag, **headers)

    right = f"bytes {HALF}-{size - 1}/{size}"
    fine = whole(BODY, ETag=ETAG)
    refused = {
        "from another byte": part(f"bytes {HALF - 1}-{size - 1}/{size}", BODY[HALF - 1 :]),
        "from the start": part(f"bytes 0-{size - 1}/{size}", BODY),
        "that ends before it begins": part(f"bytes {HALF}-{HALF - 1}/{size}", b""),
        "that ends behind the file": part(f"bytes {HALF}-{size}/{size}", rest + b"x"),
        "of an unknown size, short": part(f"bytes {HALF}-{size - 2}/*", rest[:-1]),
        "without a range": whole(rest, "206 Partial Content", ETag=ETAG),
        "of a range in words": part("bytes some-more/all"),
        "of a range of 5,000 digits": part(f"bytes {HALF}-{'9' * 5000}/{'9' * 5000}"),
        "in other units": part(f"lines {HALF}-{size - 1}/{size}"),
        "in several parts": whole(b"--x\r\n\r\n", "206 P", Content_Type="multipart/byteranges", ETag=ETAG),
        "of a longer file": part(f"bytes {HALF}-{size}/{size + 1}", rest + b"x"),
        "of a file that has changed": part(right, bytes(len(rest)), '"second"'),
        "of a file without a tag": part(right, bytes(len(rest)), ""),
        "of a file with a weak tag": part(right, bytes(len(rest)), f"W/{ETAG}"),
        "that is shorter than its range": part(right, rest[:-1]),
        "that is longer than its range": part(right, rest + b"x"),
        "with more behind it": raw(
            head("206 P", Content_Range=right, ETag=ETAG, Content_Length=len(rest)), rest + b"x"
        ),
        "in chunks, too long": _as_206(right, rest + b"x"),
        "that is none, as the rest is denied": whole(b"", "416 No", Content_Range="bytes */9", ETag=ETAG),
        "denied without a reason": whole(b"", "416 No"),
        "that is compressed": part(right, rest, Content_Encoding="gzip"),
    }  # fmt: skip
    for name, answer in refused.items():
        expected = "error" if name == "that is compressed" else "content"
        yield DownloadFault(f"a part {name}", [answer, fine], expected, "resume", "asked not to")
    taken = {
        "of an unknown size": part(f"bytes {HALF}-{size - 1}/*"),
        "in chunks": _as_206(right, rest),
    }
    for name, answer in taken.items():
        yield DownloadFault(f"a part {name}, whole", [answer, raw()], "content", "resume")
    short = part(f"bytes {HALF}-{HALF + 99}/{size}", rest[:100])
    remaining = part(f"bytes {HALF + 100}-{size - 1}/{size}", rest[100:])
    yield DownloadFault("a part that is short, then the rest", [short, remaining, raw()], "content", "resume")
    yield DownloadFault("the whole file for its rest", [fine], "content", "resume")
    new = bytes(size)
    yield DownloadFault(
        "another file for the rest", [whole(new, ETag='"second"')], "content", "resume", content=new
    )
    yield DownloadFault("only parts of another file", [part(right, etag='"second"')], "error", "resume",
                        "not asked for|none was asked for")  # fmt: skip
    yield DownloadFault(
        "a server error, then the rest", [whole(b"", "500 Oh"), part(right)], "content", "resume"
    )
    yield from _left_on_disk(fine, part(right))


def _as_206(range_: str, body: bytes) -> Answer:
    beginning = head("206 Partial Content", Content_Range=range_, ETag=ETAG, Transfer_Encoding="chunked")
    return raw(beginning, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


def _left_on_disk(fine: Answer, rest: Answer) -> Iterator[DownloadFault]:
    """Yield what a crash, a bad disk or another program can make of a partial file and its note."""

    def noted(**values: object) -> object:
        def change(_: Path, note: Path) -> None:
            note.write_text(json.dumps({**json.loads(note.read_bytes()), **values}))

        return change

    def written(content: bytes) -> object:
        return lambda _, note: note.write_bytes(content)

    changes = {
        "a note that is cut": lambda _, note: note.write_bytes(note.read_bytes()[:20]),
        "a note that is empty": written(b""),
        "a note that is a list": written(b"[1, 2]"),
        "a note that is a number": written(b"42"),
        "a note that is deeply nested": written(b"[" * 100_000),
        "a note with a huge number": written(b'{"length": ' + b"9" * 5000 + b"}"),
        "a note that is no text": written(bytes(range(256))),
        "a note of another address": noted(url="http://127.0.0.1/other"),
        "a note without a validator": noted(validator=""),
        "a note with a validator that is a number": noted(validator=5),
        "a note with a length in words": noted(length="all"),
        "a note that is lost": lambda _, note: note.unlink(),
        "bytes that are lost": lambda part, _: part.unlink(),
    }
    for name, change in changes.items():
        yield DownloadFault(name, [fine], "content", "resume", prepare=change)
    for name, change in {
        "a note with another length": noted(length=len(BODY) + 1),
        "a note with another validator": noted(validator='"other"'),
        "more bytes than the file has": lambda part, _: part.write_bytes(BODY + b"more"),
    }.items():
        yield DownloadFault(name, [rest, fine], "content", "resume", prepare=change)
    for name, change in {
        "bytes that are wrong": lambda part, _: part.write_bytes(bytes(HALF)),
        "one byte that is wrong": lambda part, _: part.write_bytes(BODY[: HALF - 1] + b"\0"),
    }.items():
        yield DownloadFault(name, [rest, fine], "content", "resume", known=_RIGHT, prepare=change)
