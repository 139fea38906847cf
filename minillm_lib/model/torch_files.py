"""Files of ``torch.save``: read without running code from them, and not before their checksums are tested.

Such a file is a zip archive, which has a CRC-32 of each part; ``torch.load`` does not look at it. What this package
writes also has one of everything, as the comment at the end of the archive, which other programs pass over.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

import torch
from isal import isal_zlib

from minillm_lib.io.checksums import ChecksumError, alongside
from minillm_lib.model.stored_values import CheckpointError, check_file

_SEAL = re.compile(rb"minillm crc32 ([0-9a-f]{8})")
_SEAL_LENGTH = len(b"minillm crc32 ") + 8
_END = b"PK\x05\x06"  # of an archive; 22 bytes, of which the last two are the length of the comment
_LONGEST_END = 22 + 0xFFFF
_CHUNK = 4 << 20
_ADVICE = "copy it again from where it came from, or load it as it is with verify=False (--no-verify)"


def sealed_torch_bytes(content: Any) -> bytes:
    """Return what ``torch.save`` writes, with the CRC-32 of it at the end."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with buffer.getbuffer() as data:
        assert data[-22:-18] == _END
        struct.pack_into("<H", data, len(data) - 2, _SEAL_LENGTH)
        checksum = isal_zlib.crc32(data)
    buffer.seek(0, io.SEEK_END)
    buffer.write(b"minillm crc32 %08x" % checksum)
    return buffer.getvalue()


def torch_load(path: Path, *, verify: bool = True) -> Any:
    """Load a file of ``torch.save`` without running code from it, onto the CPU.

    Parameters
    ----------
    verify
        Whether its checksums are tested.

    Raises
    ------
    CheckpointError
        If the file is damaged, in another format, or would have to run code; the message names what it holds.
    """
    check_file(path)
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
        if not is_archive:  # as torch.save wrote until 2020
            return _load(path, file)
        _check_archive(path, file)
        if not verify:
            return _load(path, file)
        try:
            with alongside(partial(_check_content, path)):
                return _load(path, file)
        except ChecksumError as error:
            raise CheckpointError(str(error)) from error


def has_checksums(path: Path) -> bool:
    """Return whether :func:`torch_load` can find damage in a file: not in one of before 2020, which has no CRCs."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _load(path: Path, file: BinaryIO) -> Any:
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if match := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{path}: refused, because it holds {match[1]}, which is not a tensor and could run arbitrary code"
            ) from None
        raise CheckpointError(
            f"{path}: truncated, damaged, or not a file of tensors written by torch.save"
        ) from error


def _check_archive(path: Path, file: BinaryIO) -> None:
    """Check that an archive is complete, and that its parts lie in it once each and uncompressed: they cannot grow."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - _LONGEST_END, 0))
    end = file.read()
    start = end.rfind(_END)
    if (
        start < 0
        or start + 22 > len(end)
        or start + 22 + struct.unpack_from("<H", end, start + 20)[0] != len(end)
    ):
        raise CheckpointError(f"{path}: truncated or damaged: the end of the archive is not where it must be")
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except Exception as error:  # its many kinds of errors are not documented
        raise CheckpointError(f"{path}: truncated or damaged: {error}") from error
    names = {part.filename for part in parts}
    total = sum(part.file_size for part in parts)
    if len(names) < len(parts) or total > size or any(part.compress_type for part in parts):
        raise CheckpointError(
            f"{path}: damaged, or not a file of tensors written by torch.save: its parts are repeated or compressed "
            f"({total:,} bytes in a file of {size:,})"
        )


def _check_content(path: Path, stop: Event) -> None:
    """Check the CRC-32 of a file of this package, or those of the parts of any other."""
    with path.open("rb") as file:
        body = file.seek(0, 2) - _SEAL_LENGTH
        file.seek(max(body, 0))
        seal = _SEAL.fullmatch(file.read())
        if seal is None:
            _check_crcs(path, file)
            return
        found, buffer = 0, memoryview(bytearray(_CHUNK))
        file.seek(0)
        while body and not stop.is_set() and (n := file.readinto(buffer[: min(body, _CHUNK)])):
            found = isal_zlib.crc32(buffer[:n], found)
            body -= n
        if not stop.is_set() and found != int(seal[1], 16):
            raise ChecksumError(
                f"{path}: damaged: its checksum is not the one that was written at its end; {_ADVICE}"
            )


def _check_crcs(path: Path, file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        try:
            wrong = archive.testzip()
        except Exception as error:
            raise ChecksumError(f"{path}: damaged: {error}; {_ADVICE}") from error
    if wrong is not None:
        raise ChecksumError(f"{path}: damaged: the checksum of {wrong} in it is wrong; {_ADVICE}")
