"""The bytes of a file, plain or compressed, a megabyte at a time, and how many of them there may be.

A small compressed file can stand for gigabytes. What is unpacked as a stream may be 200 times as large as it was
(``MINILLM_MAX_RATIO`` in the environment says otherwise), and what has to be unpacked in memory may be of 512 MiB
(``MINILLM_MAX_UNPACKED_BYTES``). What a parser does with a file has limits too, see :func:`parsed`.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from minillm_lib.corpora.reading.report import Unusable
from minillm_lib.io.limited import BeyondLimitsError, limited
from minillm_lib.io.optional import needed
from minillm_lib.io.unpacking import MAX_RATIO, is_too_dense, limit_from_environment

CHUNK_BYTES = 1 << 20
COMPRESSED_ENDINGS = (".gz", ".zst")
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
_BEGINNING = 1 << 16
_ZSTD_CHUNK = 1 << 11  # each four bytes of which may become 128 KiB at once
_RATIO_OPTION, _BYTES_OPTION = "MINILLM_MAX_RATIO", "MINILLM_MAX_UNPACKED_BYTES"
_MAX_UNPACKED_BYTES = 1 << 29
_SECONDS_OPTION = "MINILLM_MAX_SECONDS"
_SECONDS, _SECONDS_PER_BYTE = 4.0, 1e-6
_PARSER_BYTES = 1 << 28  # beyond what it unpacks


def inner_ending(path: Path) -> str:
    """Return the ending of a name in lower case, without that of a compression; empty if there is none.

    >>> inner_ending(Path("notes.TXT.gz"))
    '.txt'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED_ENDINGS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_compressed(path: Path) -> bool:
    """Whether the name says that the file is compressed in a way that is read."""
    return path.suffix.lower() in COMPRESSED_ENDINGS


def chunks_of(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, plain or compressed.

    Raises
    ------
    EOFError, zlib.error, gzip.BadGzipFile
        Where a compressed file is damaged, after what comes before.
    Unusable
        Where a compressed file has become much larger than it was, after what comes before.
    MissingPackageError
        If it is compressed by Zstandard, and the package for that is not installed.
    """
    with path.open("rb") as file:
        if not is_compressed(path):
            yield from iter(partial(file.read, CHUNK_BYTES), b"")
            return
        n = 0
        for chunk in _zstd_chunks(path, file) if path.suffix.lower() == ".zst" else _gzip_chunks(file):
            n += len(chunk)
            check_ratio(n, file.tell())
            yield chunk


def check_ratio(n_unpacked: int, n_packed: int) -> None:
    """Check that so many compressed bytes may unpack to so many.

    Raises
    ------
    Unusable
        If they may not.
    """
    ratio = limit_from_environment(_RATIO_OPTION, MAX_RATIO)
    if is_too_dense(n_unpacked, n_packed, ratio):
        raise Unusable(
            f"it unpacks to more than {ratio:,.0f} times its size; if you trust it, set {_RATIO_OPTION} to a larger "
            "number in the environment, or unpack it yourself"
        )


def check_unpacked(n: int) -> None:
    """Check that so many bytes may be unpacked in memory.

    Raises
    ------
    Unusable
        If they may not.
    """
    limit = limit_from_environment(_BYTES_OPTION, _MAX_UNPACKED_BYTES)
    if n > limit:
        raise Unusable(
            f"it unpacks to more than {limit:,.0f} bytes, which are held in memory; if there is room, set "
            f"{_BYTES_OPTION} to a larger number in the environment"
        )


def _gzip_chunks(file: BinaryIO) -> Iterator[bytes]:
    with gzip.open(file, "rb") as stream:
        yield from iter(partial(stream.read, CHUNK_BYTES), b"")


def _zstd_chunks(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """As ``gzip`` reads: frame after frame, and a frame that breaks off is an error.

    The reader of ``zstandard`` takes a break for the end, and so would give half a text for the whole.
    """
    zstandard = needed("zstandard", "files", f"to read {path}")
    frame, content = None, bytearray()
    while packed := file.read(_ZSTD_CHUNK):
        while packed:
            if frame is None or frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            try:
                content += frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise zlib.error(str(error)) from error
            packed = frame.unused_data
        if len(content) >= CHUNK_BYTES:
            yield bytes(content)
            content.clear()
    yield bytes(content)
    if frame is not None and not frame.eof:
        raise EOFError("the file ends before its last zstd frame does")


def n_replaced(text: str, content: bytes, encoding: str) -> int:
    """Count the U+FFFD that stand for invalid bytes; those that the file itself holds are no damage done here."""
    if "\ufffd" not in text:
        return 0
    try:
        own = content.count("\ufffd".encode(encoding))
    except UnicodeEncodeError:
        own = 0
    return max(text.count("\ufffd") - own, 0)


def beginning_of(path: Path, n: int) -> bytes:
    """Return the first bytes of a file, at least ``n`` if it has so many; of a damaged one, what can be read."""
    content = bytearray()
    try:
        for chunk in chunks_of(path):
            content += chunk
            if len(content) >= n:
                break
    except DAMAGED:
        pass
    return bytes(content)


def first_bytes(path: Path) -> bytes:
    """Return the beginning of a file, by which its kind is told; empty only if the file is.

    Raises
    ------
    Unusable
        If it is compressed, and damaged before anything can be read.
    """
    beginning = beginning_of(path, _BEGINNING)
    try:
        return beginning or next(chunks_of(path), b"")
    except DAMAGED as error:
        raise Unusable(f"a damaged archive ({error})") from error


def whole(path: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    Unusable
        If it is damaged or too large.
    """
    content = bytearray()
    try:
        for chunk in chunks_of(path):
            content += chunk
            check_unpacked(len(content))
    except DAMAGED as error:
        raise Unusable(f"a damaged archive ({error})") from error
    return bytes(content)


def seekable(path: Path) -> BinaryIO:
    """Open a file for a reader that jumps about in it; a compressed one is unpacked in memory.

    Raises
    ------
    Unusable
        If a compressed file is damaged or too large.
    """
    return io.BytesIO(whole(path)) if is_compressed(path) else path.open("rb")


def parsed(parser: Callable[..., Iterator[Any]], source: Path | bytes | str, *packages: str) -> Iterator[Any]:
    """Yield what a parser makes of a file, in a process of its own.

    It may take 4 s of processor time, and 1 s more for each megabyte of the file (``MINILLM_MAX_SECONDS`` in the
    environment says otherwise), and 256 MiB of memory beyond what may be unpacked (``MINILLM_MAX_UNPACKED_BYTES``).

    Parameters
    ----------
    parser
        A generator function of a module. It is given the file's path, or its content if it is compressed.
    source
        A file, or its content.
    packages
        What the parser imports.

    Raises
    ------
    Unusable
        If it exceeds a limit or crashes.
    Exception
        Whatever the parser raises.
    """
    if isinstance(source, Path) and is_compressed(source):
        source = whole(source)
    elif isinstance(source, Path):
        source = source.absolute()  # the other process may be in another folder
    n = source.stat().st_size if isinstance(source, Path) else len(source)
    seconds = limit_from_environment(_SECONDS_OPTION, _SECONDS + _SECONDS_PER_BYTE * n)
    n_bytes = limit_from_environment(_BYTES_OPTION, _MAX_UNPACKED_BYTES) + _PARSER_BYTES
    try:
        yield from limited(parser, source, packages=packages, seconds=seconds, n_bytes=n_bytes)
    except BeyondLimitsError as error:
        raise Unusable(
            f"{error}; if you trust it, set {_SECONDS_OPTION} or {_BYTES_OPTION} to a larger number in the environment"
        ) from error
