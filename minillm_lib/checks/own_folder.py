"""A folder for one submission, which is gone afterwards whatever the submission has made of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make a new folder, and remove it with all that is in it at the end of the block."""
    folder = tempfile.mkdtemp(prefix="minillm-")
    try:
        yield Path(folder)
    finally:
        with contextlib.suppress(RecursionError):  # folders in folders, a thousand deep
            shutil.rmtree(folder, ignore_errors=True)
        if os.path.isdir(folder):
            with contextlib.suppress(OSError):
                _remove(folder)


def _remove(folder: str) -> None:
    """Remove a folder whose files are too deep for a path, or that may not be entered.

    Its folders are brought up, one level at a time, until none has another in it.
    """
    number = 0
    while inside := list(os.scandir(folder)):
        for entry in inside:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry)
                continue
            os.chmod(entry, 0o700)
            for below in list(os.scandir(entry)):
                if below.is_dir(follow_symlinks=False):
                    os.chmod(below, 0o700)
                    number += 1
                    os.rename(below, os.path.join(folder, f"up-{number}"))
                else:
                    os.unlink(below)
            os.rmdir(entry)
    os.rmdir(folder)
