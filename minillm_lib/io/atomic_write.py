"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write, so that at any moment, even after a crash, it is absent, as it was before, or complete.

    What is written goes to a temporary file in the same folder, which is made if it is missing; a rename at the end of
    the block puts it in place. If the block fails, the temporary file goes and what was there stays. The file gets the
    permissions of any new file.

    Raises
    ------
    IsADirectoryError
        If there is a folder at ``path``; before anything is written.
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
    """Write a file by :func:`open_atomically`."""
    with open_atomically(path) as file:
        file.write(data)
