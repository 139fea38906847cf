"""What an HTTP answer says and holds: whether it is content at all, how much of it there is, and the content itself."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from minillm_lib.io.fetch_errors import FailedAttempt
from minillm_lib.io.unpacking import Gunzip, is_too_dense

if TYPE_CHECKING:
    import httpx
    from tqdm import tqdm

_LONGEST_NUMBER = 18  # digits
_GZIP = ("gzip", "x-gzip")
_PACKED_NAMES = (".gz", ".tgz")


def check_status(response: httpx.Response) -> None:
    """Check that an answer is a whole piece of content: nothing but 200 is.

    Raises
    ------
    FailedAttempt
        If it is not. What may pass is worth another attempt: an overload, and successes without content.
    """
    status = response.status_code
    reason = f"HTTP {status} {response.reason_phrase}".rstrip()
    if status == 200:
        return
    if status in (408, 429) or status >= 500:
        raise FailedAttempt(reason, status=status, hold=_retry_after(response))
    if status >= 400:
        gone = status in (404, 410)
        advice = "nothing exists there: check the address and the year" if gone else "check the address"
        raise FailedAttempt(reason, advice, status=status, final=True)
    if status == 206:
        raise FailedAttempt(f"{reason}, a part of the content that was not asked for", status=status)
    if status >= 300:
        raise FailedAttempt(f"{reason}, which is no content", "check the address", status=status, final=True)
    raise FailedAttempt(f"{reason}, which is not the content", status=status)


def check_redirection(before: httpx.URL, after: httpx.URL) -> None:
    """Check that a redirection does not leave the web, nor go on unencrypted.

    Raises
    ------
    FailedAttempt
        If it does.
    """
    if after.scheme not in ("http", "https") or (before.scheme, after.scheme) == ("https", "http"):
        what = "unencrypted" if after.scheme == "http" else "no web address"
        raise FailedAttempt(
            f"the server redirects to {after}, which is {what}", "check the address", final=True
        )


def _retry_after(response: httpx.Response) -> float:
    """Return the wait that the server requests, in seconds (RFC 9110, section 10.2.3: a number or a date)."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def number_in(text: str) -> int | None:
    """Return the whole number that a header states; None if it states none that a file can have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER else None


def stated_length(response: httpx.Response) -> int | None:
    """Return the length of a body in bytes as its headers state it; None if they do not."""
    return number_in(response.headers.get("Content-Length", ""))


def _coding(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Encoding", "")).strip().lower().replace("identity", "")


def check_is_plain(response: httpx.Response) -> None:
    """Check that an answer is not compressed, unless its address is that of a compressed file.

    Raises
    ------
    FailedAttempt
        If it is.
    """
    coding = _coding(response)
    if coding and not (coding in _GZIP and response.url.path.endswith(_PACKED_NAMES)):
        raise FailedAttempt(
            f"the server compresses the file ({coding}), though it was asked not to",
            "the file cannot be fetched from this server",
            status=response.status_code,
            final=True,
        )


def content_of(
    response: httpx.Response, max_bytes: int, max_ratio: float, check_end: Callable[[int], None]
) -> bytes:
    """Return the content of an answer, unpacked if it is compressed by gzip; memory holds little more than it.

    Parameters
    ----------
    max_bytes
        The most bytes of content.
    max_ratio
        How many bytes one compressed byte may become, beyond 16 MiB of content.
    check_end
        Called at the end with the number of bytes as sent.

    Raises
    ------
    FailedAttempt
        If it is empty, damaged, or exceeds a limit.
    """
    status, coding = response.status_code, _coding(response)
    if coding and coding not in _GZIP:
        raise FailedAttempt(
            f"the answer is compressed in a way that was not asked for ({coding})",
            "the content cannot be fetched from this server",
            status=status,
            final=True,
        )
    stated = stated_length(response)
    if stated is not None and stated > max_bytes:
        raise _too_large(f"{stated:,} bytes", max_bytes, status)
    content, n_sent = bytearray(), 0
    unpacker = Gunzip() if coding else None
    try:
        for sent in response.iter_raw():
            n_sent += len(sent)
            for piece in unpacker.unpacked(sent) if unpacker else (sent,):
                content += piece
                if len(content) > max_bytes:
                    raise _too_large("the content", max_bytes, status)
                if unpacker and is_too_dense(len(content), n_sent, max_ratio):
                    raise FailedAttempt(
                        f"the answer unpacks to more than {max_ratio:,.0f} times its size, "
                        "which is what max_ratio allows",
                        "raise max_ratio if you trust the server",
                        status=status,
                        final=True,
                    )
        if unpacker:
            unpacker.finish()
    except (zlib.error, EOFError) as error:
        raise FailedAttempt(f"damaged content ({error})", status=status) from error
    check_end(n_sent)
    if not content:
        raise FailedAttempt("the answer is empty", status=status)
    return bytes(content)


def _too_large(what: str, max_bytes: int, status: int) -> FailedAttempt:
    return FailedAttempt(
        f"{what}: more than {max_bytes:,} bytes, which is what max_bytes allows",
        "raise max_bytes if you trust the server",
        status=status,
        final=True,
    )


def counted(chunks: Iterable[bytes], most: int, too_long: FailedAttempt, bar: tqdm[Any]) -> Iterator[bytes]:
    """Yield at most ``most`` bytes, and move a progress bar.

    Raises
    ------
    FailedAttempt
        ``too_long`` if there are more.
    """
    n = 0
    for chunk in chunks:
        n += len(chunk)
        if n > most:
            raise too_long
        yield chunk
        bar.update(len(chunk))
