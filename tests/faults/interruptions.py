"""Signals at any moment of what takes time: training, packing, tokenizers, topics, downloads and exports.

Some moments are drawn by the clock, others are the changes of files, where harm is likeliest. After each, whatever
stands in the place of a result is nothing, the old one or a whole one; the same work, done again, ends bit for bit as
if nothing had happened, and leaves no stray files.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from faults.campaign import Fault, Kind, Try
from faults.forked import Ended, Lost, Stop, counting_changes, forked
from faults.tools import check_no_traceback, require_success, strays

SIGNALS = ("SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM", "SIGINT")
_BEFORE_CHANGE = "before change"
_AFTER_TIME = "after a share of the time"
_MOST_SIGNALS = 3


@dataclass(frozen=True)
class Work:
    """Something that takes time and writes files in the current folder.

    Attributes
    ----------
    prepare
        Writes into a folder what the work needs; called once.
    run
        Does the work in the current folder; ``inputs`` is the folder that was prepared. Where something was begun, it
        is taken up, if the work can be.
    result
        All of the finished work in a folder that has to be equal.
    outputs
        Names of what must be absent, old or whole at any time, and how each is read.
    make_old
        Writes an older result in the current folder, which the work replaces.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path], None]
    result: Callable[[Path], Any]
    outputs: dict[str, Callable[[Path], Any]] = field(default_factory=dict)
    make_old: Callable[[Path], None] | None = None
    around: Callable[[Path], AbstractContextManager[None]] | None = None


def moments(n: int, n_quick: int) -> Callable[[random.Random, bool], list[Fault]]:
    """Return a function that draws signals, by the clock and by changes of files, in turn."""

    def draw(rng: random.Random, quick: bool) -> list[Fault]:
        faults: list[Fault] = []
        for number in range(n_quick if quick else n):
            how = (_BEFORE_CHANGE, _AFTER_TIME)[number % 2]
            name = "SIGKILL" if number == 0 else rng.choice(SIGNALS)
            faults.append((name, how, round(rng.random(), 4), rng.choice(("new", "old"))))
        return faults

    return draw


def interruption(name: str, work: Work, n: int, n_quick: int = 2) -> Kind:
    """Return the kind of fault that interrupts some work."""
    return Kind(
        f"interrupting {name}",
        "nothing is half written; done again, it ends bit for bit as if undisturbed, with no stray files",
        moments(n, n_quick),
        partial(_workshop, work),
    )


@dataclass(frozen=True)
class Ready:
    """Work that was prepared and done undisturbed, to compare with; ``names`` are those of all that it wrote."""

    work: Work
    inputs: Path
    old: Path
    place: Path
    result: Any
    n_changes: int
    seconds: float
    outputs: dict[str, list[Any]]
    names: list[str]

    def new_place(self, begins_with: str = "new") -> Path:
        """Empty the folder in which faults are tried, and put what is older there if that is wanted."""
        shutil.rmtree(self.place, ignore_errors=True)
        if begins_with == "old":
            shutil.copytree(self.old, self.place)
        else:
            self.place.mkdir()
        return self.place

    def check_outputs(self, place: Path, begins_with: str = "new") -> None:
        """Check that each output is absent, old or whole."""
        for name, (whole, old) in self.outputs.items():
            try:
                found = _read(self.work, place, name)
            except Exception as error:
                raise Lost(f"{name} is not whole: {type(error).__name__}: {error}") from error
            if found is None:
                if begins_with == "old" and old is not None:
                    raise Lost(f"the older {name} is gone, and there is no new one")
            elif found not in (whole, old):
                raise Lost(f"{name} is neither the old nor the new one")

    def check_result(self, place: Path) -> None:
        """Check that the finished work is as if undisturbed."""
        if (found := self.work.result(place)) != self.result:
            raise Lost(f"the result is another: {_first_difference(found, self.result)}")


@contextmanager
def made_ready(work: Work, folder: Path) -> Iterator[Ready]:
    """Prepare some work below a folder, and do it once undisturbed."""
    inputs, whole, old, timed = (folder / name for name in ("inputs", "whole", "old", "timed"))
    for each in (inputs, whole, old, timed):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir(parents=True)
    work.prepare(inputs)
    with work.around(inputs) if work.around is not None else nullcontext():
        counting = counting_changes(partial(work.run, inputs), whole)
        changed = require_success(forked(counting, folder=whole), "the undisturbed run")
        again = require_success(forked(partial(work.run, inputs), folder=timed), "the second run")
        if work.make_old is not None:
            require_success(forked(partial(work.make_old, inputs), folder=old), "the older result")
        outputs = {name: [_read(work, whole, name), _read(work, old, name)] for name in work.outputs}
        place, result = folder / "tried", work.result(whole)
        names = sorted({path.name for path in whole.rglob("*")})
        yield Ready(work, inputs, old, place, result, changed.value, again.seconds, outputs, names)


def _read(work: Work, folder: Path, name: str) -> Any:
    path = folder / name
    is_there = path.exists() or path.with_name(f".{path.name}.previous").exists()  # both are looked for
    return work.outputs[name](path) if is_there else None


@contextmanager
def _workshop(work: Work, folder: Path) -> Iterator[Try]:
    with made_ready(work, folder) as ready:
        yield partial(_try, ready)


def _try(ready: Ready, fault: Fault) -> None:
    """Interrupt the work up to three times, check what stands there each time, and finish it."""
    first_signal, how, share, begins_with = fault
    place = ready.new_place(begins_with)
    run = partial(ready.work.run, ready.inputs)
    rng = random.Random(f"{fault}")
    for number in range(rng.randint(1, _MOST_SIGNALS)):
        name = first_signal if number == 0 else rng.choice(SIGNALS)
        at = share if number == 0 else rng.random()
        ended = forked(run, folder=place, stop=_stop(ready, name, how, at))
        _check_end(ended, name)
        ready.check_outputs(place, begins_with)
        if ended.status == 0:
            break
    require_success(forked(run, folder=place), f"taken up after {name}, the work")
    ready.check_result(place)
    if left := strays(place):
        raise Lost(f"after {name}, there are stray files: {', '.join(left[:3])}")


def _stop(ready: Ready, name: str, how: str, share: float) -> Stop:
    number = signal.Signals[name]
    if how == _BEFORE_CHANGE:
        return Stop(number, change=1 + int(share * ready.n_changes), folder=ready.place)
    return Stop(number, seconds=share * ready.seconds)


def _check_end(ended: Ended, name: str) -> None:
    number = signal.Signals[name]
    if ended.status == -number and ended.seconds < 60:  # not killed because it hung
        return
    check_no_traceback(ended)
    if ended.status not in (0, 1, 2, 128 + number):
        raise Lost(f"after {name}, it ended with status {ended.status}: {ended.last_line}")


def _first_difference(found: Any, expected: Any) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(expected.keys() | found.keys(), key=str):
            if found.get(key) != expected.get(key):
                return f"{key}: {str(found.get(key))[:200]} instead of {str(expected.get(key))[:200]}"
    return f"{str(found)[:200]} instead of {str(expected)[:200]}"
