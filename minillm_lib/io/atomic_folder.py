"""Writing a folder such that nobody ever sees half of it, and that a kill at any moment loses nothing."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minillm_lib.io.leftovers import SECONDS_TO_HOLD, held, remove_leftovers, temporary_beside
from minillm_lib.io.write_errors import named_write_errors

_log = logging.getLogger(__name__)


@contextmanager
def replaced_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder to fill, which replaces ``path`` only when the block has succeeded.

    During the exchange, the earlier folder is moved aside to ``.NAME.previous``; then it is removed. If the machine
    stops at that moment, :func:`present_or_previous` finds it there. What a killed process left is removed when
    ``path`` is written again. Whether an earlier folder may be replaced is for the caller to check.

    Raises
    ------
    WriteError
        If a file in it cannot be written, on a full disk for example; the message names ``path`` and the reason.
    """
    path = Path(os.path.realpath(path))
    temporary, previous = temporary_beside(path), _previous(path)
    with named_write_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path.parent, path.name, SECONDS_TO_HOLD)
            temporary.mkdir()
            with held(temporary):
                yield temporary
                _flush_to_disk(temporary)
                if path.exists():
                    shutil.rmtree(previous, ignore_errors=True)
                    os.rename(path, previous)
                os.rename(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if previous.exists() and not path.exists():
                os.rename(previous, path)
            raise
    shutil.rmtree(previous, ignore_errors=True)


def present_or_previous(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` or, if it is missing, what :func:`replaced_folder` had moved aside when it was interrupted.

    That the earlier folder is taken is said in the log. If there is neither, the result is ``path``.
    """
    path = Path(path)
    previous = _previous(Path(os.path.realpath(path)))
    if path.exists() or not previous.is_dir():
        return path
    _log.warning(
        "%s is missing, as its replacement was interrupted; the earlier one is read, %s", path, previous
    )
    return previous


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def _flush_to_disk(folder: Path) -> None:
    """Flush every file with ``fsync``, so that the rename cannot reach the disk before the content does."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
