"""Only regular files are read: a named pipe or a device would keep its reader waiting, or never end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class NotRegularFileError(ValueError):
    """What is there cannot be read as a file, or is larger than such a file may be; the message names it."""


def check_regular(path: str | os.PathLike[str], *, at_most: int | None = None) -> int:
    """Check that a path is a regular file or a link to one; it is not opened.

    Parameters
    ----------
    at_most
        The largest size allowed, in bytes.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    NotRegularFileError
        If it is a folder, a named pipe, a socket or a device, or larger than ``at_most``.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise NotRegularFileError(
            f"{path} is {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}; a file is expected"
        )
    if at_most is not None and found.st_size > at_most:
        raise NotRegularFileError(
            f"{path} has {found.st_size:,} bytes; files of its kind have at most {at_most:,}"
        )
    return found.st_size


def is_there(path: Path) -> bool:
    """Return whether something of this name exists, of whatever kind; a link to nothing is something."""
    return os.path.lexists(path)
