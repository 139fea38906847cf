"""The table of :mod:`faults.download_faults` as a kind of fault: servers that send anything but what they should."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from faults.campaign import Fault, Kind, Try
from faults.download_faults import FAULTS, play
from faults.forked import Lost, forked


def download_kinds() -> list[Kind]:
    """Return the kind of fault."""

    def faults(rng: random.Random, quick: bool) -> list[Fault]:
        names = [fault.name for fault in FAULTS]
        return [(name,) for name in (rng.sample(names, 4) if quick else names)]

    survived = "the content arrives as it is, or an error says why, and nothing stands under the file's name"
    return [Kind("download faults", survived, faults, _workshop)]


@contextmanager
def _workshop(folder: Path) -> Iterator[Try]:
    os.environ["NO_PROXY"] = "127.0.0.1"
    known = {fault.name: fault for fault in FAULTS}
    place = folder / "tried"

    def try_one(fault: Fault) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        ended = forked(partial(play, known[fault[0]], place))
        if ended.status != 0:
            raise Lost(ended.last_line)

    yield try_one
