"""A limit on the search for a good message, which does not depend on how busy the machine is."""

from __future__ import annotations

import time

_PATIENCE = 5.0


class Deadline:
    """Passes after some seconds of this process's work, or five times as many by the clock.

    Work in another process, as that of a submission that is graded, only shows in the latter.
    """

    def __init__(self, seconds: float) -> None:
        self._work_ends = time.process_time() + seconds
        self._ends = time.monotonic() + longest(seconds)

    @property
    def passed(self) -> bool:
        """Whether it is time to stop."""
        return time.process_time() > self._work_ends or time.monotonic() > self._ends


def longest(seconds: float) -> float:
    """Return how many seconds may pass by the clock until a deadline passes."""
    return _PATIENCE * seconds
