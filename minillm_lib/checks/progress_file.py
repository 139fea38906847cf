"""The file that keeps what a learner has passed and tried so far; that it cannot be written is never an error."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minillm_lib.io.atomic_write import write_atomically

PROGRESS_VARIABLE = "MINILLM_PROGRESS"
_GRADING = ("MINILLM_CHECK_SEED", "NBGRADER_EXECUTION")
_OFF = ("off", "no", "0")
_told: set[str] = set()


def progress_file() -> Path | None:
    """Return the file that keeps the progress: ``$MINILLM_PROGRESS``, or else a file of the user's data folder.

    The folder is ``~/.local/share/minillm`` (``$XDG_DATA_HOME`` moves it), on macOS ``~/Library/Application
    Support/minillm``, on Windows ``%LOCALAPPDATA%/minillm``. None if the variable is ``off``.
    """
    if chosen := os.environ.get(PROGRESS_VARIABLE):
        return None if chosen.lower() in _OFF else Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "minillm" / "progress.json"
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_DATA_HOME"
    folder = Path(os.environ.get(variable) or Path.home() / ".local" / "share")
    return folder / "minillm" / "progress.json"


def read_progress() -> dict[str, str]:
    """Return what is known of exercises by their names: ``"passed"`` or ``"attempted"``; the others are open."""
    path = progress_file()
    known = _read(path) if path is not None else {}
    return {name: entry["status"] for name, entry in known.items()}


def record(exercise: str, status: str) -> bool:
    """Note the outcome of a check: what has passed once stays so. While submissions are graded nothing is noted.

    Returns
    -------
    learning
        Whether notes are kept: a learner is at work, not a grader.
    """
    if any(os.environ.get(name) for name in _GRADING):
        return False
    path = progress_file()
    if path is None or status not in ("passed", "failed"):
        return path is not None
    try:
        known = _read(path)
        before = known.get(exercise, {}).get("status")
        if before == "passed" or (before == "attempted" and status == "failed"):
            return True
        known[exercise] = {
            "status": "passed" if status == "passed" else "attempted",
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(path, json.dumps({"exercises": known}, indent=1).encode())
    except Exception as error:  # a full disk, a home that cannot be written to: no reason to stop a learner
        _tell(f"Your progress cannot be kept in {path} ({error}). The checks work all the same.")
    return True


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        _tell(f"Your progress in {path} cannot be read ({error}). The checks work all the same.")
        return {}
    try:
        exercises = json.loads(content)["exercises"]
        return {
            name: entry for name, entry in exercises.items() if entry.get("status") in ("passed", "attempted")
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        _set_aside(path)
        return {}


def _set_aside(path: Path) -> None:
    """Keep a file that is not understood under another name, so that nothing of it is lost."""
    aside = path.with_name(f"{path.name}.broken")
    try:
        os.replace(path, aside)
    except OSError:
        return
    _tell(f"The file of your progress could not be understood; it is now {aside}, and a new one is begun.")


def _tell(note: str) -> None:
    """Print a note, once per session."""
    if note not in _told:
        _told.add(note)
        print(note, file=sys.stderr)
