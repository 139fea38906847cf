"""Temporary files and folders beside what is being written: their names, and removing those of killed processes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows, where leftovers stay, since nothing tells whether they are in use
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"\.(.+)\.[0-9a-f]{16}")
SECONDS_TO_HOLD = 0.05
"""What a process may need between making a temporary file and holding it."""


def temporary_beside(path: Path) -> Path:
    """Return a new name in the same folder, ``.NAME.`` and 16 hexadecimal digits, for what will become ``path``."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Mark a temporary file or folder as in use by this process; the mark ends with the process, however that ends."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, name: str | None = None, at_age: float = 0) -> list[Path]:
    """Remove temporary files and folders that no process has in use any more, and return their paths.

    Parameters
    ----------
    folder
        Where to look; folders in it are not searched.
    name
        What the temporary files were to become; None for any name.
    at_age
        Seconds that a process may need between making one and holding it; what is younger is looked at only then.
        Where another process may be about to write the same file, :data:`SECONDS_TO_HOLD`.
    """
    removed = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        found = _NAME.fullmatch(path.name)
        if found is None or (name is not None and found[1] != name) or path.is_symlink():
            continue
        time.sleep(_seconds_until(at_age, path))
        if _is_held(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
        if not path.exists():
            removed.append(path)
    return removed


def _seconds_until(at_age: float, path: Path) -> float:
    """Return how long it takes until a file is that old; 0 if it is gone, or said to come from the future."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
    return max(at_age - age, 0.0) if age >= 0 else 0.0


def _is_held(path: Path) -> bool:
    """Return whether a process has a file or folder in use, or that cannot be told."""
    if fcntl is None or not (path.is_dir() or path.is_file()):
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
