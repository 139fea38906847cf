"""A file as a stream of pieces between separators, in any encoding, with bounded memory and with faults named."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from minillm_lib.corpora.reading.content import DAMAGED, chunks_of, n_replaced
from minillm_lib.corpora.reading.report import Fault, Unusable, shown

MAX_RECORD_BYTES = 1 << 24
_MAX_REPLACED_SHARE = 0.01
_MAX_ZERO_SHARE = 0.1
_STATE_ANOTHER = "state another encoding"
_LINE_ENDS = re.compile("[\v\f\x85\u2028]")


@dataclass(frozen=True, slots=True)
class Record:
    """A piece of a file; ``place`` is the file and the line where it begins."""

    place: str
    text: str


def read_records(
    path: Path,
    separator: str | None,
    encoding: str = "utf-8",
    limit: int = MAX_RECORD_BYTES,
    *,
    keep_blank: bool = False,
    replaced: Counter[str] | None = None,
) -> Iterator[Record | Fault]:
    """Yield the pieces of a file, plain or compressed, between one separator and the next.

    A piece that is too long or mostly wrong in the encoding is a :class:`Fault`, and so is what a damaged archive
    withholds. CR, LF and CR LF become line feeds. However long a piece is, memory holds little more than ``limit``.

    Parameters
    ----------
    separator
        None for the whole file as one piece.
    encoding
        That of the file, see :class:`~minillm_lib.corpora.reading.encoding.Encodings`.
    limit
        Longest piece in bytes.
    keep_blank
        Yield also pieces that hold nothing but white space.
    replaced
        Counts the bytes that were wrong in the encoding and became U+FFFD, by file.

    Raises
    ------
    Unusable
        If the file as a whole is not in the encoding.
    """
    chunks, name, stated = chunks_of(path), shown(path), encoding
    is_recoded = "\n".encode(encoding) != b"\n"
    if is_recoded:
        chunks, encoding = _as_utf8(name, chunks, encoding, replaced), "utf-8"
    ended = separator.encode(encoding) if separator else None
    for line, content in _pieces(_with_plain_line_ends(chunks), ended, limit):
        place = f"{name}:{line}"
        if content is None:
            yield too_long(place, limit)
        elif isinstance(content, Exception):
            yield Fault(place, "damaged archive", str(content))
        else:
            item = _decoded(name, line, content, encoding, replaced)
            if is_recoded and isinstance(item, Record) and _is_mostly_replaced(item.text):
                item = Fault(place, "wrong encoding", f"much of it is not valid {stated}; {_STATE_ANOTHER}")
            if isinstance(item, Fault) or keep_blank or item.text.strip():
                yield item


def check_limit(max_record_bytes: int) -> None:
    """Check the most bytes that a record may have.

    Raises
    ------
    ValueError
        If there are none.
    """
    if max_record_bytes < 1:
        raise ValueError(f"max_record_bytes is {max_record_bytes}; allowed is a number from 1")


def too_long(place: str, limit: int) -> Fault:
    """Return the fault of a record that is longer than is read."""
    return Fault(place, "record too long", f"more than {limit:,} bytes; raise max_record_bytes")


def _is_mostly_replaced(text: str) -> bool:
    return text.count("\ufffd") > max(_MAX_REPLACED_SHARE * len(text), 1)


def _decoded(
    name: str, line: int, content: bytes, encoding: str, replaced: Counter[str] | None
) -> Record | Fault:
    if content.count(b"\0") > _MAX_ZERO_SHARE * len(content):
        detail = f"many zero bytes: it is UTF-16, or no text; {_STATE_ANOTHER}, such as utf-16-le"
        return Fault(f"{name}:{line}", "wrong encoding", detail)
    try:
        return Record(f"{name}:{line}", content.decode(encoding).removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        text = content.decode(encoding, errors="replace")
        n_wrong = n_replaced(text, content, encoding)
        if replaced is not None and n_wrong <= _MAX_REPLACED_SHARE * len(content):
            replaced[name] += n_wrong
            return Record(f"{name}:{line}", text.removeprefix("\ufeff"))
        bad_line = line + content[: error.start].count(b"\n")
        detail = f"byte 0x{content[error.start]:02X} is not valid {encoding}; {_STATE_ANOTHER}"
        return Fault(f"{name}:{bad_line}", "wrong encoding", detail)


def _pieces(
    chunks: Iterable[bytes], separator: bytes | None, limit: int
) -> Iterator[tuple[int, bytes | Exception | None]]:
    """Split a stream at the separators: yield the line where each piece begins, and the piece, or None if too long.

    Where the stream breaks off, the last piece is the error that says why.
    """
    line, rest, skipped_lines, is_too_long = 1, b"", 0, False

    def piece(content: bytes) -> tuple[int, bytes | None]:
        return line, None if is_too_long or len(content) > limit else content

    try:
        for chunk in chunks:
            *complete, rest = (rest + chunk).split(separator) if separator else [rest + chunk]
            for content in complete:
                yield piece(content)
                line += skipped_lines + content.count(b"\n") + (separator or b"").count(b"\n")
                skipped_lines, is_too_long = 0, False
            if len(rest) > limit and separator is None:
                yield line, None
                return
            if len(rest) > limit:
                kept = rest[len(rest) - len(separator or b"") + 1 :] if separator else b""
                is_too_long = True
                skipped_lines += rest[: len(rest) - len(kept)].count(b"\n")
                rest = kept
    except DAMAGED as error:
        yield line, error
        return
    if rest or is_too_long:
        yield piece(rest)


def _as_utf8(
    name: str, chunks: Iterable[bytes], encoding: str, replaced: Counter[str] | None
) -> Iterator[bytes]:
    """Recode a file in which a line end is more than one byte; what is not valid becomes U+FFFD and is counted."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for chunk in chain(chunks, [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            raise Unusable(f"not {encoding} ({error}); {_STATE_ANOTHER}") from error
        n_wrong = n_replaced(text, chunk, encoding)
        if n_wrong and replaced is not None:
            replaced[name] += n_wrong
        yield text.encode()


def decoded_chunks(path: Path, encoding: str, replaced: Counter[str] | None = None) -> Iterator[str]:
    """Yield a file as text, piece by piece; what is not valid in the encoding becomes U+FFFD and is counted.

    Raises
    ------
    Unusable
        If much of a piece is not valid, or the archive is damaged.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    try:
        for chunk in chain(chunks_of(path), [b""]):
            text = decoder.decode(chunk, final=not chunk)
            n_wrong = n_replaced(text, chunk, encoding)
            if n_wrong > max(_MAX_REPLACED_SHARE * len(text), 1):
                raise Unusable(f"much of it is not valid {encoding}; {_STATE_ANOTHER}")
            if n_wrong and replaced is not None:
                replaced[shown(path)] += n_wrong
            yield text
    except UnicodeError as error:
        raise Unusable(f"not {encoding} ({error}); {_STATE_ANOTHER}") from error
    except DAMAGED as error:
        raise Unusable(f"damaged archive ({error})") from error


def _with_plain_line_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""
        yield chunk.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    yield b"\n" * bool(held)


def with_unicode_line_ends(text: str) -> str:
    """Turn the further line and paragraph ends of Unicode into line feeds: NEL, U+2028, U+2029, form feeds.

    Plain texts have them. In JSON and tables they are part of a text.
    """
    return _LINE_ENDS.sub("\n", text).replace("\u2029", "\n\n")
