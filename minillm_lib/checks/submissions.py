"""Which submissions there are in a folder, whose they are, and what was passed over."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minillm_lib.checks.submission import MOST_BYTES
from minillm_lib.io.regular_file import check_regular
from minillm_lib.io.terminal import printable

_OF_SYSTEMS = {".ipynb_checkpoints", "__MACOSX", "__pycache__", ".git"}
_OF_SYSTEMS_FILES = {".ds_store", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in.

    Attributes
    ----------
    student
        Whose it is, by the name of the file, or of its folder where each notebook has a folder of its own.
    fingerprint
        The SHA-256 of its bytes; empty if it cannot be read.
    """

    path: Path
    student: str
    fingerprint: str


def find_submissions(path: Path) -> tuple[list[Submission], list[str]]:
    """Return the submissions at a path, which is a notebook or a folder of them, and the files that were skipped.

    Raises
    ------
    ValueError
        If there are no notebooks.
    """
    if not path.is_dir():
        return [Submission(path, readable_name(path.stem), fingerprint(path))], []
    unread: list[str] = []
    files = sorted(_files(path, unread), key=os.fsencode)
    notebooks = [file for file in files if file.suffix.lower() == ".ipynb"]
    if not notebooks:
        raise ValueError(f"{readable_name(str(path))} has no notebooks (*.ipynb) to grade{_reasons(unread)}")
    skipped = [
        f"{readable_name(str(file.relative_to(path)))}{_what_to_do(file)}"
        for file in files
        if file.suffix.lower() != ".ipynb"
    ]
    names = _different(_students([file.relative_to(path) for file in notebooks]))
    found = [Submission(file, name, fingerprint(file)) for file, name in zip(notebooks, names, strict=True)]
    return found, skipped + unread


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a notebook; empty if it cannot be read."""
    try:
        check_regular(path, at_most=MOST_BYTES)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


def readable_name(name: str) -> str:
    """Return a file name that can be printed and written; bytes that are no text are shown by their numbers."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _files(folder: Path, unread: list[str]) -> Iterator[Path]:
    """Yield the files in a folder and those below; note which folders were not looked into."""

    def note(path: str, why: str) -> None:
        unread.append(f"{readable_name(os.path.relpath(path, folder))} ({why})")

    for root, folders, names in os.walk(
        folder, onerror=lambda error: note(error.filename, f"cannot be read: {error.strerror}")
    ):
        folders[:] = [name for name in folders if name not in _OF_SYSTEMS]
        for name in folders:
            if os.path.islink(os.path.join(root, name)):
                note(os.path.join(root, name), "a link to a folder")
        yield from (Path(root, name) for name in names if name.lower() not in _OF_SYSTEMS_FILES)


def _reasons(unread: Sequence[str]) -> str:
    return f"; not looked into: {', '.join(unread[:5])}" if unread else ""


def _what_to_do(file: Path) -> str:
    match file.suffix.lower():
        case ".zip" | ".gz" | ".7z" | ".rar" | ".tar":
            return " (unpack it, if there are notebooks in it)"
        case ".py":
            return " (a script, not a notebook)"
    return ""


def _students(paths: Sequence[Path]) -> list[str]:
    """Return whose the notebooks are: their folders' names if each has its own, otherwise the files' names."""
    folders = [path.parts[0] if len(path.parts) > 1 else "" for path in paths]
    if all(folders) and len(set(folders)) == len(folders):
        return [readable_name(folder) for folder in folders]
    names = [readable_name(str(path.with_suffix(""))) for path in paths]
    twice = {name for name, count in Counter(names).items() if count > 1}
    return [
        readable_name(str(path)) if name in twice else name for path, name in zip(paths, names, strict=True)
    ]


def _different(names: Sequence[str]) -> list[str]:
    """Return names that stay different when they are printed: control characters and their escapes look the same."""
    taken: set[str] = set()
    made = []
    for name in names:
        numbered = (f"{name} ({number})" for number in itertools.count(2))
        made.append(next(one for one in itertools.chain([name], numbered) if printable(one) not in taken))
        taken.add(printable(made[-1]))
    return made
