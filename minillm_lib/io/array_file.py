"""Arrays in one file, with a header that says what they are and a hash that shows damage. Nothing is pickled."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from minillm_lib.io.atomic_write import open_atomically
from minillm_lib.io.memory import available_memory
from minillm_lib.io.regular_file import check_regular
from minillm_lib.io.wording import size

_MAGIC = b"minillm-lib"
_CHUNK = 1 << 24
_KINDS = "biuf"  # truth values and numbers; objects would need pickle
_MOST_PER_BYTE = 1032  # what zlib can make of a compressed byte


class ArrayFileError(ValueError):
    """A file of arrays is damaged, of another kind, or from a newer version."""


def write_arrays(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    facts: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    *,
    compress: bool = False,
) -> None:
    """Write arrays and a header to a file; even after a crash, it is absent, unchanged or complete.

    The first line has the kind, its version and the SHA-256 of all that follows; the second is the header in JSON; then
    come the arrays in little-endian byte order.

    Parameters
    ----------
    kind
        What the file is: one word, such as ``"lda-model"``.
    version
        Version of this kind of file, from 1.
    facts
        Anything that JSON can hold.
    arrays
        Arrays of numbers or truth values.
    compress
        Whether to compress the arrays, which takes a second per 50 MB or so.
    """
    contiguous = {name: _portable(array) for name, array in arrays.items()}
    header = {
        "facts": facts,
        "compressed": compress,
        "arrays": [[name, array.dtype.str, array.shape] for name, array in contiguous.items()],
    }
    digest = hashlib.sha256()
    with open_atomically(path) as file:

        def write(data: bytes | memoryview) -> None:
            digest.update(data)
            file.write(data)

        file.write(_first_line(kind, version, digest.hexdigest()))
        write(json.dumps(header, ensure_ascii=True).encode() + b"\n")
        compressor = zlib.compressobj(6) if compress else None
        for array in contiguous.values():
            for chunk in _chunks(array):
                write(chunk if compressor is None else compressor.compress(chunk))
        if compressor is not None:
            write(compressor.flush())
        file.seek(0)
        file.write(_first_line(kind, version, digest.hexdigest()))


def read_arrays(
    path: str | os.PathLike[str], kind: str, version: int
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a file of :func:`write_arrays`: its facts and its arrays.

    Parameters
    ----------
    kind
        What the file must be.
    version
        The newest version that the caller understands.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ArrayFileError
        If the file is of another kind or version, damaged, or cut short; or if its arrays do not fit into memory.
    NotRegularFileError
        If it is a folder, a pipe or a device.
    """
    path = Path(path)
    check_regular(path)
    with path.open("rb") as file:
        recorded = _checked_first_line(path, file.readline(256), kind, version)
        start = file.tell()
        digest = hashlib.file_digest(file, "sha256")
        if digest.hexdigest() != recorded:
            raise ArrayFileError(f"{path} is damaged or incomplete: its content does not match its SHA-256")
        file.seek(start)
        try:  # a hash keeps damage out, but not a file that was made to do harm
            header = json.loads(file.readline())
            facts, described = dict(header["facts"]), [_described(*each) for each in header["arrays"]]
            _check_sizes(described, path.stat().st_size - file.tell(), bool(header["compressed"]))
            content = _Content(file, header["compressed"])
            arrays = {name: content.fill(np.empty(shape, dtype)) for name, dtype, shape in described}
        except (KeyError, TypeError, ValueError, RecursionError, EOFError, zlib.error) as error:
            raise ArrayFileError(f"{path} is not as minillm-lib writes it: {error}") from None
    return facts, arrays


def _described(name: str, dtype: str, shape: list[int]) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    """Check the name, type and shape of an array."""
    kind = np.dtype(dtype)
    if kind.kind not in _KINDS or kind.shape or not isinstance(name, str):
        raise ValueError(f"the array {name!r} has the type {dtype!r}")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"the array {name!r} has the shape {shape!r}")
    return name, kind, tuple(shape)


def _check_sizes(
    described: list[tuple[str, np.dtype[Any], tuple[int, ...]]], n_bytes: int, compressed: bool
) -> None:
    """Check that so many bytes can hold all arrays, and that they fit into memory."""
    needed = sum(dtype.itemsize * math.prod(shape) for _, dtype, shape in described)
    if needed > n_bytes * (_MOST_PER_BYTE if compressed else 1):
        raise ValueError(f"its arrays have {needed:,} bytes, which {n_bytes:,} bytes cannot hold")
    if needed > (memory := available_memory()):
        raise ValueError(f"its arrays take {size(needed)}, and {size(memory)} of memory is available")


def _first_line(kind: str, version: int, digest: str) -> bytes:
    return b" ".join([_MAGIC, kind.encode(), str(version).encode(), digest.encode()]) + b"\n"


def _checked_first_line(path: Path, line: bytes, kind: str, version: int) -> str:
    """Return the hash of the content that a first line states."""
    parts = line.rstrip(b"\n").split(b" ")
    if parts[0] != _MAGIC or len(parts) != 4 or not parts[2].isdigit():
        raise ArrayFileError(f"{path} is not a file of the kind {kind!r} that minillm-lib writes")
    found = parts[1].decode("utf-8", "replace")
    if found != kind:
        raise ArrayFileError(f"{path} is of the kind {found!r}, not {kind!r}")
    if int(parts[2]) > version:
        raise ArrayFileError(
            f"{path} has version {int(parts[2])} of {kind!r}, but this minillm-lib reads up to {version}; "
            "use a newer one: pip install -U minillm-lib"
        )
    return parts[3].decode("ascii", "replace")


def _portable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"an array of dtype {array.dtype} cannot be written, only numbers and truth values")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)


def _chunks(array: npt.NDArray[Any]) -> Iterator[memoryview]:
    data = array.reshape(-1).view(np.uint8).data
    for start in range(0, len(data), _CHUNK):
        yield data[start : start + _CHUNK]


class _Content:
    """The arrays' bytes behind the header, decompressed where they are compressed."""

    def __init__(self, file: BinaryIO, compressed: bool) -> None:
        self._file = file
        self._decompressor = zlib.decompressobj() if compressed else None
        self._waiting = b""  # read from the file, and not yet decompressed

    def fill(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Read an array, and return it."""
        data = array.reshape(-1).view(np.uint8).data
        while data:
            n_read = self._read_into(data[:_CHUNK])
            data = data[n_read:]
        return array

    def _read_into(self, data: memoryview) -> int:
        if self._decompressor is None:
            piece = self._file.read(len(data))
            is_end = not piece
        else:
            self._waiting = self._waiting or self._file.read(_CHUNK)
            is_end = not self._waiting or self._decompressor.eof
            piece = self._decompressor.decompress(self._waiting, len(data))
            self._waiting = self._decompressor.unconsumed_tail
        if is_end and not piece:
            raise EOFError("the file ends before its arrays")
        data[: len(piece)] = piece
        return len(piece)
