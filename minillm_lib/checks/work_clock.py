"""Time that counts against a limit: on a busy machine, waiting for a processor does not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable

_LONGEST_REST = 0.25  # between two ticks; if more has passed, whoever lets the clock tick was kept waiting
_WINDOW_SECONDS = 1.0
_AT_REST = 0.03  # of the time: who computes less does not want to, or the machine is extremely busy
_PATIENCE, _LEAST_PATIENCE = 5.0, 60.0
_WANTING = b"RD"  # states of threads: running or ready to, and waiting for the disk

Source = Callable[[], tuple[float, bool | None]]
"""Returns the processor time of some processes, and whether they want more of it now; None if that is not known."""


class WorkClock:
    """Counts the seconds in which some processes compute or rest, but not those in which others keep them waiting.

    While they compute, their processor time counts, yet no more of it than time passes, however many compute at once.
    While none of them wants to compute, since they sleep or wait for something, the time that passes counts.

    Attributes
    ----------
    seconds
        What counts.
    passed
        All the seconds that have passed.
    counts
        Whether time counts at present.
    """

    def __init__(self) -> None:
        self.seconds = self.passed = 0.0
        self.counts = True
        self._source: Source | None = None
        self._now = self._processor = 0.0
        self._window_passed = self._window_worked = 0.0

    def follow(self, source: Source) -> None:
        """Count for these processes from now on."""
        self._source = source
        self._now, self._processor = time.monotonic(), source()[0]

    def tick(self) -> None:
        """Count what has happened since the last call; to be called several times a second."""
        if self._source is None:
            return
        now = time.monotonic()
        processor, is_wanting = self._source()
        processor = max(self._processor, processor)
        passed = now - self._now
        worked = min(passed, processor - self._processor)
        self._now, self._processor = now, processor
        if not self.counts:
            return
        self.passed += passed
        self.seconds += worked
        if is_wanting is None:
            self._guess_rest(passed, worked)
        elif not is_wanting:
            self.seconds += max(0.0, min(passed, _LONGEST_REST) - worked)

    def _guess_rest(self, passed: float, worked: float) -> None:
        """Count a second as a whole in which they have hardly computed."""
        self._window_passed += passed
        self._window_worked += worked
        if self._window_passed >= _WINDOW_SECONDS:
            if self._window_worked < _AT_REST * self._window_passed:
                self.seconds += self._window_passed - self._window_worked
            self._window_passed = self._window_worked = 0.0


class Countdown:
    """A number of seconds by a clock that somebody else lets tick."""

    def __init__(self, clock: WorkClock, seconds: float) -> None:
        self._clock, self._end = clock, clock.seconds + seconds
        self._last = time.monotonic() + longest(seconds)

    @property
    def left(self) -> float:
        """How many seconds are left; not less than 0."""
        return max(0.0, self._end - self._clock.seconds) if time.monotonic() < self._last else 0.0


def longest(seconds: float) -> float:
    """Return when a limit of so many seconds ends even what has hardly computed, as far as one can see."""
    return _PATIENCE * seconds + _LEAST_PATIENCE


def this_process() -> tuple[float, bool | None]:
    """Follow this process but for the thread that asks, and those that it has started and seen end."""
    times = os.times()
    processor = time.process_time() + times.children_user + times.children_system
    return processor, want_processor([os.getpid()], but=threading.get_native_id())


def want_processor(processes: Iterable[int], but: int = 0) -> bool | None:
    """Return whether a thread of these processes computes, or would if a processor were free; None if nobody knows.

    Parameters
    ----------
    but
        A thread that does not matter.
    """
    if not os.path.isdir("/proc/self/task"):
        return None
    return any(
        _state(process, thread) in _WANTING for process in processes for thread in _threads(process, but)
    )


def _threads(process: int, but: int) -> list[str]:
    try:
        return [thread for thread in os.listdir(f"/proc/{process}/task") if thread != str(but)]
    except OSError:  # it has just ended
        return []


def _state(process: int, thread: str) -> bytes:
    try:
        with open(f"/proc/{process}/task/{thread}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] or b"X"
    except OSError:
        return b"X"
