"""Writing a file such that nobody ever sees half of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing such that, even after a crash, it is absent, unchanged or complete.

    The bytes go to a temporary file in the same folder, which is created if it is missing; a rename at the end of the
    block puts the file in place. If the block fails, the temporary file is removed and any earlier file stays as it
    was. The file has the permissions of any new file.

    Parameters
    ----------
    path
        The file to create or replace.

    Yields
    ------
    BinaryIO
        The temporary file, open for writing.

    Raises
    ------
    IsADirectoryError
        If ``path`` is a folder; nothing is written then.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to a file with :func:`open_atomically`.

    Raises
    ------
    IsADirectoryError
        If ``path`` is a folder.
    """
    with open_atomically(path) as file:
        file.write(data)


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
