"""What a fault is, and how many of them are tried: in several processes, resumably, with a journal.

A kind of fault names its faults, each a tuple of plain values, and has a workshop: a context that prepares what the
faults need and gives a function that tries one. The function returns if the fault did no harm, and raises
:class:`~faults.forked.Lost` if it did.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from faults.forked import Lost, NotPossibleHereError, patience

Fault = tuple[Any, ...]
"""What is tried, as strings and numbers, such as ``("SIGKILL", "seconds", 0.31)``."""
Try = Callable[[Fault], None]
_LONGEST = 300  # seconds for one fault, with the preparation before the first


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes
    ----------
    survived
        When a fault of this kind counts as survived, in words for the table.
    faults
        Makes the faults from a generator; the argument is true if only a few are wanted.
    workshop
        Prepares what the faults need in an empty folder. It raises
        :class:`~faults.forked.NotPossibleHereError` where none of them can be tried.
    """

    name: str
    survived: str
    faults: Callable[[random.Random, bool], Sequence[Fault]]
    workshop: Callable[[Path], AbstractContextManager[Try]]


@dataclass(frozen=True)
class Outcome:
    """What became of a fault; ``number`` is its place in the campaign."""

    number: int
    kind: str
    fault: Fault
    outcome: Literal["survived", "lost", "not possible here"]
    detail: str
    seconds: float


def plan(kinds: Sequence[Kind], seed: int, quick: bool) -> list[tuple[Kind, Fault]]:
    """Return all faults of some kinds; those of a kind do not depend on which other kinds there are."""
    planned: list[tuple[Kind, Fault]] = []
    for kind in kinds:
        found = kind.faults(random.Random(f"{seed} {kind.name}"), quick)
        planned += [(kind, tuple(fault)) for fault in found]
    return planned


class Journal:
    """The outcomes so far, one line of JSON each, after a line that says which campaign it is."""

    def __init__(self, path: Path, campaign: dict[str, Any]) -> None:
        self.path = path
        first = json.dumps(campaign, sort_keys=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if not lines or lines[0] != first:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{first}\n", encoding="utf-8")

    @staticmethod
    def seed_of(path: Path) -> int | None:
        """Return the seed of the campaign that a journal holds."""
        try:
            with path.open(encoding="utf-8") as file:
                return int(json.loads(file.readline())["seed"])
        except (OSError, ValueError, KeyError):
            return None

    def add(self, outcome: Outcome) -> None:
        """Append an outcome, in one write, as several processes append."""
        line = json.dumps(asdict(outcome)).encode() + b"\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def outcomes(self) -> dict[int, Outcome]:
        """Return the outcomes by number; a line that a kill cut off is left out, and tried again."""
        found = {}
        for line in self.path.read_bytes().splitlines()[1:]:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            found[values["number"]] = Outcome(**{**values, "fault": tuple(values["fault"])})
        return found


def run(
    planned: Sequence[tuple[Kind, Fault]], journal: Journal, folder: Path, jobs: int
) -> Iterator[dict[int, Outcome]]:
    """Try what the journal does not hold yet, in forked processes, and yield all outcomes from time to time.

    A process that dies has lost the fault that it was trying, and another one takes over the rest.
    """
    workers: dict[int, list[int]] = {}
    waiting = [number for number in range(len(planned)) if number not in journal.outcomes()]
    for share in range(jobs):
        if numbers := waiting[share::jobs]:
            workers[_start(planned, numbers, journal, folder / f"worker-{share}")] = numbers
    try:
        while workers:
            time.sleep(0.1)
            process, status = os.waitpid(-1, os.WNOHANG)
            outcomes = journal.outcomes()
            if process in workers:
                left = [number for number in workers.pop(process) if number not in outcomes]
                if left:
                    kind, fault = planned[left[0]]
                    how = f"the process that tried it ended with {os.waitstatus_to_exitcode(status)}"
                    journal.add(Outcome(left[0], kind.name, fault, "lost", how, 0.0))
                    if rest := left[1:]:
                        new = _start(planned, rest, journal, folder / f"worker-{process}")
                        workers[new] = rest
            yield outcomes
    finally:
        for process in workers:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)
    yield journal.outcomes()


def _start(
    planned: Sequence[tuple[Kind, Fault]], numbers: Sequence[int], journal: Journal, folder: Path
) -> int:
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
        try_all(planned, numbers, journal, folder)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def try_all(
    planned: Sequence[tuple[Kind, Fault]], numbers: Sequence[int], journal: Journal, folder: Path
) -> None:
    """Try faults in this process, one kind after the other."""
    kinds = list(dict.fromkeys(planned[number][0] for number in numbers))
    for kind in kinds:
        own = [number for number in numbers if planned[number][0] is kind]
        place = folder / kind.name.replace(" ", "-")
        place.mkdir(parents=True, exist_ok=True)
        _try_kind(kind, [(number, planned[number][1]) for number in own], journal, place)


def _try_kind(kind: Kind, faults: Sequence[tuple[int, Fault]], journal: Journal, folder: Path) -> None:
    untried = dict(faults)
    try:
        signal.alarm(int(_LONGEST * patience()))
        with kind.workshop(folder) as try_one:
            for number, fault in faults:
                begin = time.monotonic()
                signal.alarm(
                    int(_LONGEST * patience())
                )  # ends the process; whoever started it notes the fault as lost
                result, detail = _outcome(try_one, fault)
                journal.add(
                    Outcome(number, kind.name, fault, result, detail, round(time.monotonic() - begin, 3))
                )
                del untried[number]
    except NotPossibleHereError as error:
        for number, fault in untried.items():
            journal.add(Outcome(number, kind.name, fault, "not possible here", str(error), 0.0))
    except Exception as error:
        why = f"not prepared: {type(error).__name__}: {error}; {traceback.format_exc(limit=-3)}"[:1500]
        for number, fault in untried.items():
            journal.add(Outcome(number, kind.name, fault, "lost", why, 0.0))
    finally:
        signal.alarm(0)


def _outcome(try_one: Try, fault: Fault) -> tuple[Literal["survived", "lost"], str]:
    try:
        try_one(fault)
    except NotPossibleHereError:
        raise
    except Lost as error:
        return "lost", str(error)[:1500]
    except Exception as error:  # of the campaign itself, or of what a fault has left
        return "lost", f"{type(error).__name__}: {error}; {traceback.format_exc(limit=-2)}"[:1500]
    return "survived", ""
