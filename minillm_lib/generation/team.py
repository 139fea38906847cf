"""Threads that help with a computation while it lasts, and that nobody waits for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue


class _Helpers:
    """Threads that sleep until there is something to do; the whole process shares them."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._n_threads = 0
        self._lock = threading.Lock()

    def hire(self, n_threads: int) -> None:
        """Make sure that there are at least ``n_threads``."""
        with self._lock:
            for number in range(self._n_threads, n_threads):
                threading.Thread(target=self._work, name=f"minillm-helper-{number}", daemon=True).start()
                self._n_threads += 1

    def _work(self) -> None:
        while True:
            self.jobs.get()()


_helpers = _Helpers()


def _replace_helpers() -> None:
    """Start with none in a forked process, which inherits the object but not the threads."""
    global _helpers
    _helpers = _Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_helpers)


def work_together(n_threads: int, work: Callable[[int], object], at_the_end: Callable[[], object]) -> None:
    """Call ``work(0)`` here, and ``work(1)``, ``work(2)``, … in other threads as far as they come to it meanwhile.

    ``work`` has to compute everything in each thread, or see that another thread did so. This function returns as soon
    as ``work(0)`` does. Threads that have not begun by then will not begin; those that have may be late.

    Parameters
    ----------
    at_the_end
        Called once no thread is at work any more, perhaps in one of the others.
    """
    lock, n_working, is_over = threading.Lock(), 1, False

    def leave() -> None:
        nonlocal n_working
        with lock:
            n_working -= 1
            is_last = is_over and n_working == 0
        if is_last:
            at_the_end()

    def help_out(thread: int) -> None:
        nonlocal n_working
        with lock:
            if is_over:
                return
            n_working += 1
        try:
            work(thread)
        finally:
            leave()

    _helpers.hire(n_threads - 1)
    for thread in range(1, n_threads):
        _helpers.jobs.put(partial(help_out, thread))
    try:
        work(0)
    finally:
        with lock:
            is_over = True
        leave()
