"""Hostile files: each is refused in a sentence within 5 seconds and 1 GiB, and nothing in it is run.

A table names each file, makes it, and says with which command a user would come upon it.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from faults.campaign import Fault, Kind, Try
from faults.forked import Ended, Lost, forked
from faults.tools import check_limits, check_no_traceback, check_words, minillm

Expected = Literal["refused", "read", "either"]
"""What must happen: an error in words, success (with what is left out said), or one of these."""
MARK = Path("code-was-run")
"""What a file writes that has managed to run code."""
CODE = f"__import__('pathlib').Path({str(MARK)!r}).touch()"


@dataclass(frozen=True)
class Hostile:
    """A hostile file.

    Attributes
    ----------
    make
        Writes it in the current folder, and returns the arguments of a command, or a function, that reads it.
    names
        One of these has to stand in the sentence; by default the name of a file that was made.
    seconds
        How long reading it may take.
    """

    make: Callable[[], list[object] | Callable[[], Any]]
    expected: Expected = "refused"
    names: tuple[str, ...] = ()
    seconds: float = 5.0


def hostile_kind(
    name: str, table: Callable[[], Mapping[str, Hostile]], prepare: Callable[[Path], None]
) -> Kind:
    """Return the kind of fault that tries each file of a table; ``prepare`` fills the folder above."""

    def faults(rng: random.Random, quick: bool) -> list[Fault]:
        names = list(table())
        return [(each,) for each in (rng.sample(names, 2) if quick else names)]

    survived = "a sentence that names the file, within 5 s and 1 GiB, and none of its code is run"
    return Kind(f"hostile files: {name}", survived, faults, partial(_workshop, table, prepare))


@contextmanager
def _workshop(
    table: Callable[[], Mapping[str, Hostile]], prepare: Callable[[Path], None], folder: Path
) -> Iterator[Try]:
    rows = table()
    prepare(folder)
    place = folder / "tried"

    def try_one(fault: Fault) -> None:
        hostile = rows[fault[0]]
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        here = Path.cwd()
        os.chdir(place)
        try:
            read = hostile.make()
        finally:
            os.chdir(here)
        names = hostile.names or tuple(path.name for path in place.iterdir())
        function = read if callable(read) else partial(minillm, *read)
        ended = forked(function, folder=place, limit=30, memory=6 << 30)
        _check(hostile, ended, names)
        if (place / MARK).exists():
            raise Lost("code in the file was run")

    yield try_one
    shutil.rmtree(place, ignore_errors=True)


def _check(hostile: Hostile, ended: Ended, names: tuple[str, ...]) -> None:
    if ended.status == 0:
        check_limits(ended, hostile.seconds)
        check_no_traceback(ended)
        if hostile.expected == "refused":
            raise Lost(f"it was taken: {ended.last_line}")
        return
    check_words(ended, *names, seconds=hostile.seconds)
    if hostile.expected == "read":
        raise Lost(f"it was refused: {ended.last_line}")


def called(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return what calls a function of the library, and ends in words where the command would."""
    from faults.tools import in_words

    return in_words(function)
