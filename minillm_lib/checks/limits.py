"""Limits on a submission: time and files, and memory and number of all processes that it starts."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from minillm_lib.checks.work_clock import WorkClock, longest, want_processor

_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one submission may take.

    Attributes
    ----------
    time
        Seconds for the complete submission, by a :class:`~minillm_lib.checks.work_clock.WorkClock`.
    cell_time
        Seconds for each cell, by such a clock.
    memory
        MiB of resident memory for its process and all that it starts.
    file_size
        MiB for each file that it writes.
    disk
        MiB for all files in its folder together.
    processes
        Number of processes that it may have at a time.

    Raises
    ------
    ValueError
        If a limit is not positive.
    """

    time: float = 600.0
    cell_time: float = 120.0
    memory: float = 4096.0
    file_size: float = 1024.0
    disk: float = 4096.0
    processes: int = 64

    def __post_init__(self) -> None:
        for name in ("time", "cell_time", "memory", "file_size", "disk", "processes"):
            if not getattr(self, name) > 0:
                words = name.replace("_", " ")
                raise ValueError(f"the {words} limit is {getattr(self, name):g}; it must be greater than 0")


class Watch:
    """Watches the processes below one, and ends them where they exceed a limit.

    Attributes
    ----------
    problem
        Which limit was exceeded; empty if none was.
    seen
        All processes that were seen.
    """

    def __init__(
        self, above: int, folder: Path, limits: Limits, clock: WorkClock, end: Callable[[], None]
    ) -> None:
        self.problem = ""
        self.seen: set[Any] = set()
        self._above, self._limits, self._clock, self._end = above, limits, clock, end
        self._folder, self._look_again = folder, 0.0
        clock.follow(self._family)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            self.problem = self._exceeded()
            if self.problem:
                self._end()
                return

    def _exceeded(self) -> str:
        limits, clock = self._limits, self._clock
        clock.tick()
        if clock.seconds > limits.time:
            return f"stopped after {limits.time:g} seconds"
        if clock.passed > longest(limits.time):
            return (
                f"stopped after {clock.passed:.0f} seconds, though it computed for only {clock.seconds:.0f}"
            )
        family = processes_below(self._above)
        self.seen.update(family)
        if len(family) > limits.processes:
            return f"stopped at more than {limits.processes} processes"
        if sum(map(_resident_bytes, family)) > limits.memory * 2**20:
            return f"stopped at more than {limits.memory:g} MiB of memory"
        if self._disk_bytes() > limits.disk * 2**20:
            return f"stopped at more than {limits.disk:g} MiB of files"
        return ""

    def _disk_bytes(self) -> int:
        """Return what the files of the submission take; 0 between two looks, which take a twentieth of the time."""
        start = time.monotonic()
        if start < self._look_again:
            return 0
        total = sum(
            _bytes_on_disk(Path(root, name)) for root, _, names in os.walk(self._folder) for name in names
        )
        self._look_again = start + max(0.5, 20 * (time.monotonic() - start))
        return total

    def _family(self) -> tuple[float, bool | None]:
        """Return the processor time of all processes below, also of those that have ended, and if they want more."""
        total, family = 0.0, processes_below(self._above)
        with contextlib.suppress(psutil.Error):
            ended = psutil.Process(self._above).cpu_times()
            total = ended.children_user + ended.children_system if hasattr(ended, "children_user") else 0.0
        for process in family:
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])
        return total, want_processor(process.pid for process in family)


def processes_below(pid: int) -> list[Any]:
    """Return all processes that descend from one."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _bytes_on_disk(path: Path) -> int:
    """Return the bytes that a file takes; 0 if it has just gone."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return getattr(found, "st_blocks", -(-found.st_size // 512)) * 512


def _resident_bytes(process: Any) -> int:
    """Return the resident memory of a process; 0 if it has just ended.

    The limits of the operating system are no use here, because torch reserves far more addresses than it ever uses.
    """
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
