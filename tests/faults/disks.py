"""A disk that is full, at any write of any work: by writes that fail, and by a file system that is really full.

The work ends in a sentence that names the file; nothing is half written; with room again, the same command ends bit for
bit as if nothing had happened.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from faults.campaign import Fault, Kind, Try
from faults.forked import Ended, Lost, NotPossibleHereError, forked
from faults.full_disk import failing_writes, small_disk
from faults.interruptions import Ready, Work, made_ready
from faults.tools import check_words, in_words, require_success, strays
from faults.works import DOWNLOADING, EXPORTING, PACKING, PRETRAINING, SFT, TOKENIZER, TOPICS

_REALLY_FULL = 4
_PAGE = 4096


def _kind(name: str, work: Work, n: int) -> Kind:
    """Return the kind: ``n`` writes, evenly spread over all, and a few disks that are full."""

    def faults(rng: random.Random, quick: bool) -> list[Fault]:
        writes: list[Fault] = [("write", number, n) for number in range(n)]
        disks: list[Fault] = [("disk", round(rng.random(), 3), 0) for _ in range(_REALLY_FULL)]
        return rng.sample(writes, 1) if quick else [*writes, *disks]

    survived = (
        "a sentence names the file; nothing is half written; with room, it ends bit for bit as if undisturbed"
    )
    return Kind(f"full disk: {name}", survived, faults, partial(_workshop, work))


@contextmanager
def _workshop(work: Work, folder: Path) -> Iterator[Try]:
    with made_ready(work, folder) as ready:
        counted = require_success(
            forked(partial(_count, work, ready.inputs), folder=ready.new_place()), "counting the writes"
        )
        n_bytes = sum(path.stat().st_size for path in ready.place.rglob("*") if path.is_file())

        def try_one(fault: Fault) -> None:
            how, which, n = fault
            if how == "write":
                number = 1 + which * counted.value // n
                _try_write(work, ready, number)
            else:
                _try_disk(work, ready, int(which * n_bytes) // _PAGE * _PAGE, n_bytes)

        yield try_one


def _count(work: Work, inputs: Path) -> int:
    with failing_writes(Path.cwd()) as writes:
        work.run(inputs)
    return writes.n_writes


def _fail(work: Work, inputs: Path, number: int) -> None:
    with failing_writes(Path.cwd(), at=number):
        work.run(inputs)


def _try_write(work: Work, ready: Ready, number: int) -> None:
    place = ready.new_place()
    failing = in_words(partial(_fail, work, ready.inputs, number))
    _check(work, ready, place, forked(failing, folder=place), f"write {number}")


def _try_disk(work: Work, ready: Ready, free: int, n_bytes: int) -> None:
    place = ready.new_place()
    try:
        with small_disk(place, 4 * n_bytes + (1 << 20)) as disk:
            disk.leave(free)
            ended = forked(in_words(partial(work.run, ready.inputs)), folder=place)
            disk.free_all()
            _check(work, ready, place, ended, f"with {free:,} bytes free")
    except pytest.skip.Exception as error:
        raise NotPossibleHereError(str(error)) from None


def _check(work: Work, ready: Ready, place: Path, ended: Ended, when: str) -> None:
    try:
        if ended.status != 0:
            there = [path.name for path in place.rglob("*")]
            not_there = [f"error: {name}: " for name in ready.names]
            check_words(ended, place.name, *there, *work.outputs, *not_there, seconds=30)
        ready.check_outputs(place)
        again = forked(partial(work.run, ready.inputs), folder=place)
        require_success(again, "with room again, the work")
        ready.check_result(place)
        if left := strays(place):
            raise Lost(f"there are stray files: {', '.join(left[:3])}")
    except Lost as error:
        raise Lost(f"{when}: {error}") from None


def full_disk_kinds() -> list[Kind]:
    """Return a kind of fault for each work that writes."""
    works = {
        "pretraining": (PRETRAINING, 40),
        "fine-tuning": (SFT, 25),
        "packing": (PACKING, 16),
        "tokenizer training": (TOKENIZER, 6),
        "topic models": (TOPICS, 16),
        "downloads": (DOWNLOADING, 12),
        "exports": (EXPORTING, 20),
    }
    return [_kind(name, work, n) for name, (work, n) in works.items()]
