"""What to say when a file cannot be written: which file, why, and how much room there is.

Whatever writes a file of the user's does so inside :func:`named_write_errors`, as all of
:mod:`~minillm_lib.io.atomic_write` does.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minillm_lib.io.wording import size

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota of this user is used up",
    errno.EFBIG: "no file may be that large here, by a limit of the file system or of this process (ulimit -f)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "there is no permission to write there",
    errno.EPERM: "there is no permission to write there",
    errno.EIO: "the disk reports an input/output error; it may be failing",
    errno.ENAMETOOLONG: "its name is too long",
}
_FOREIGN_NUMBER = re.compile(r"\(os error (\d+)\)")  # of Rust: safetensors
_OF_NUMPY = re.compile(r"\d+ requested and \d+ written")
_OF_TORCH = ("iostream error", "PytorchStreamWriter failed", "unexpected pos")


class WriteError(OSError):
    """A file could not be written; the message names it, the reason, and how much room there is on a full disk."""

    def __str__(self) -> str:
        return f"{self.filename} could not be written: {self.reason}"

    @property
    def reason(self) -> str:
        """The reason, and the room that there is now, when what was half written is removed."""
        words = self.strerror or "the reason is unknown"
        return f"{words} ({_room_left(Path(self.filename))})" if self.errno == errno.ENOSPC else words


@contextmanager
def named_write_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a failure to write a file or folder into a :class:`WriteError`, whichever library reports it.

    safetensors and torch have errors of their own, and a failed ``write`` of Python knows no path. What has failed for
    another reason, such as reading another file, stays as it is.

    Parameters
    ----------
    path
        What is being written; the message names it instead of a temporary file beside or inside it.

    Raises
    ------
    WriteError
        In place of the errors of a failed write.
    """
    path = Path(path)
    try:
        yield
    except WriteError as error:
        if error.filename == str(path) or not _concerns(error.filename, path):
            raise
        raise WriteError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        number = _number_of(error, path)
        if number is None:
            raise
        raise WriteError(number, _reason(number, error), str(path)) from error


def free_room(path: str | os.PathLike[str]) -> int:
    """Return how many bytes are free on the disk on which a path lies, or will lie."""
    path = Path(path).absolute()
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists())).free


def _number_of(error: BaseException, path: Path) -> int | None:
    """Return the number of the system's error if this is a failure to write ``path``; None if it is another."""
    if isinstance(error, OSError):
        if error.filename is None and error.errno is None and _OF_NUMPY.fullmatch(str(error)):
            return _likely_reason(path)
        if error.filename is None:
            return error.errno if error.errno in _REASONS else None
        return (error.errno or errno.EIO) if _concerns(error.filename, path) else None
    if type(error).__name__ == "SafetensorError" and (found := _FOREIGN_NUMBER.search(str(error))):
        return int(found[1])
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OF_TORCH):
        cause = error.__cause__ or error.__context__
        known = _number_of(cause, path) if cause is not None else None
        return known or _likely_reason(path)
    return None


def _likely_reason(path: Path) -> int:
    """Return the number of the error that a library has hidden: most often, the disk is full."""
    return errno.ENOSPC if free_room(path.parent) < 1 << 20 else errno.EIO


def _concerns(name: object, path: Path) -> bool:
    """Return whether the file that an error names is ``path``, a temporary file for it, inside it or above it."""
    if not isinstance(name, str | bytes | os.PathLike):
        return True  # a file that is known by its number only
    found, path = _with_real_folder(Path(os.fsdecode(name))), _with_real_folder(path)
    beside = {part for part in (found, *found.parents) if part.parent == path.parent}
    ours = any(part.name == path.name or part.name.startswith(f".{path.name}.") for part in beside)
    return ours or found in path.parents


def _with_real_folder(path: Path) -> Path:
    return Path(os.path.realpath(path.parent)) / path.name


def _reason(number: int, error: Exception) -> str:
    if number in _REASONS:
        return _REASONS[number]
    words = (error.strerror if isinstance(error, OSError) else None) or os.strerror(number)
    return words[:1].lower() + words[1:]


def _room_left(path: Path) -> str:
    """Say how much is free; where there is room and yet no file can be made, that is what is missing."""
    existing = next(each for each in path.absolute().parents if each.exists())
    if hasattr(os, "statvfs"):
        found = os.statvfs(existing)
        if found.f_files and not found.f_favail:
            return "it can hold no more files, whatever their size"
    return f"{size(free_room(existing))} free, and more is needed"
