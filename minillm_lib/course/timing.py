"""How long something takes, as the notebooks about speed measure it."""

from __future__ import annotations

import time
from collections.abc import Callable


def milliseconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the processor time of the shortest of some runs, after one that is not counted.

    Other programs on the machine do not count, and the shortest run is the one that they disturbed least. With several
    threads, it is the sum of their times.

    Parameters
    ----------
    run
        What to measure, called without arguments.
    repeats
        Number of runs, at least 1.

    Raises
    ------
    ValueError
        If ``repeats`` is less than 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1")
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(1000 * (time.process_time() - start))
    return min(times)
