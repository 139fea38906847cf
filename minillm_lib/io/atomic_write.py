"""Writing a file such that nobody ever sees half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minillm_lib.io.leftovers import SECONDS_TO_HOLD, held, remove_leftovers, temporary_beside
from minillm_lib.io.write_errors import named_write_errors


@contextmanager
def replaced_at_end(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a new, empty file that takes the place of ``path`` at the end of the block, or never.

    It is for libraries that open files themselves; :func:`open_atomically` gives an open file. The temporary file is in
    the same folder, which is created if it is missing. If the block fails, it is removed and any earlier file stays as
    it was; if the process is killed, it is removed when the same file is written again.

    Raises
    ------
    IsADirectoryError
        If ``path`` is a folder; nothing is written then.
    WriteError
        If the disk is full, or the file cannot be written for another reason; the message names ``path``.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    temporary = temporary_beside(path)
    try:
        with named_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path.parent, path.name, SECONDS_TO_HOLD)
            temporary.open("xb").close()
            with held(temporary):
                yield temporary
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing such that, even after a crash, it is absent, unchanged or complete.

    The bytes go to a temporary file, which a rename at the end of the block puts in place: see
    :func:`replaced_at_end`, whose errors are those of this function. The file has the permissions of any new file.

    Parameters
    ----------
    path
        The file to create or replace.

    Yields
    ------
    BinaryIO
        The temporary file, open for writing.
    """
    with replaced_at_end(path) as temporary, temporary.open("wb") as file:
        yield file


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to a file with :func:`open_atomically`.

    Raises
    ------
    IsADirectoryError
        If ``path`` is a folder.
    WriteError
        If it cannot be written; the message names it and the reason.
    """
    with open_atomically(path) as file:
        file.write(data)


def append_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Append ``data`` to a file; where that fails half-way, what was written of it is removed again.

    Raises
    ------
    WriteError
        If it cannot be written; the message names the file and the reason.
    """
    with named_write_errors(path), open(path, "ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            written = 0
            while written < len(data):
                written += file.write(data[written:]) or 0
        except OSError:
            file.truncate(before)
            raise


def check_folder(folder: str | os.PathLike[str], failure: str) -> None:
    """Check that files can be written to a folder, which need not exist yet; nothing is written.

    Parameters
    ----------
    failure
        What could not be done otherwise, the beginning of the message.

    Raises
    ------
    ValueError
        If the nearest folder above that exists is a file, or cannot be written to.
    """
    folder = Path(folder).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{failure}: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{failure}: the folder {existing} is not writable")
