"""Which files there are to read: paths, globs and folders, searched so that nothing blocks or goes in circles.

They are read one after the other, and what cannot be read is passed over and named.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from minillm_lib.corpora.reading.content import inner_ending, is_compressed
from minillm_lib.corpora.reading.report import ReadReport, Unusable, shown

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
_Item = TypeVar("_Item")
_TEMPORARY = ("~$", "__MACOSX")  # what Office leaves beside an open file, and macOS in an archive
_NO_FILE = "not a regular file"


def find_files(paths: Paths, report: ReadReport) -> list[Path]:
    """Return the files at some paths; in folders, at any depth, in order of their paths.

    Hidden files, links to folders, pipes, devices and what may not be read are passed over.

    Raises
    ------
    FileNotFoundError
        If there is nothing at one of the paths, or nothing that matches.
    """
    found: list[Path] = []
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        if Path(path).is_dir():
            found += _files_in(Path(path), report)
        elif Path(path).exists():
            found += _regular([Path(path)], report)
        else:
            found += _regular(_matches(os.fspath(path), report), report)
    return found


def _matches(pattern: str, report: ReadReport) -> list[Path]:
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    if not matches:
        raise FileNotFoundError(f"there is no file or folder {pattern}, and nothing that matches it")
    inside = {parent for match in matches for parent in match.parents}
    for folder in filter(Path.is_dir, matches):
        if folder not in inside:
            report.pass_over(folder, "a folder, whose files the pattern does not match")
    return [match for match in matches if not match.is_dir()]


def _regular(files: Iterable[Path], report: ReadReport) -> Iterator[Path]:
    for file in files:
        if file.is_file():
            yield file
        else:
            report.pass_over(file, _NO_FILE)


def _files_in(folder: Path, report: ReadReport) -> list[Path]:
    found, folders = [], [folder]
    while folders:
        current = folders.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            report.pass_over(current, reason_of(error))
            continue
        for entry in entries:
            try:
                reason = _reason_against(entry)
            except OSError as error:
                reason = reason_of(error)
            if reason:
                report.pass_over(entry.path, reason)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            else:
                found.append(Path(entry.path))
    return sorted(found)


def _reason_against(entry: os.DirEntry[str]) -> str:
    """Return why an entry of a folder is not read; empty if it is."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.name.startswith(_TEMPORARY):
        return "temporary"
    if entry.is_dir(follow_symlinks=False):
        return ""
    if entry.is_dir():
        return "a link to a folder; name the folder itself to read it"
    return "" if entry.is_file() else _NO_FILE


def reason_of(error: OSError) -> str:
    """Return why the system refuses a file, in words."""
    return f"the system refuses to read it ({error.strerror or error})"


def read_each(
    files: Iterable[Path], read: Callable[[Path], Iterator[_Item]], report: ReadReport
) -> Iterator[_Item]:
    """Yield what the files hold; those that cannot be read are passed over, and empty ones are named."""
    for path in files:
        try:
            yield from _counted(path, read, report)
        except Unusable as reason:
            report.pass_over(path, str(reason))
        except OSError as error:
            report.pass_over(path, reason_of(error))


def _counted(path: Path, read: Callable[[Path], Iterator[_Item]], report: ReadReport) -> Iterator[_Item]:
    """Yield what one file holds; a file that holds nothing but white space is noted as empty."""
    is_empty = path.stat().st_size == 0
    items = iter(()) if is_empty else read(path)
    first = next(items, None)
    report.files += 1
    report.by_ending[inner_ending(path) + path.suffix.lower() * is_compressed(path)] += 1
    if first is None:
        report.empty_files.append(shown(path))
        return
    yield first
    yield from items
