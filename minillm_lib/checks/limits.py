"""A process with limits to its time and to the memory of all that it starts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

_POLL_SECONDS = 0.05


def run_limited(
    command: Sequence[str],
    *,
    folder: Path,
    variables: Mapping[str, str],
    time_limit: float,
    memory_limit: float,
) -> tuple[int, str]:
    """Run a command in a folder, with further environment variables; what it prints is thrown away.

    It is ended, with all that it started, after ``time_limit`` seconds or beyond ``memory_limit`` MiB of resident
    memory. Gives the exit status, and which limit it exceeded, if any.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        problem = _watch(process, time_limit, memory_limit)
    finally:  # also when the user interrupts
        _end(process)
    return process.returncode, problem


def _watch(process: subprocess.Popen[bytes], time_limit: float, memory_limit: float) -> str:
    """Wait until the process ends or exceeds a limit; say which."""
    deadline = time.monotonic() + time_limit
    while process.poll() is None:
        if time.monotonic() > deadline:
            return f"stopped after {time_limit:g} seconds"
        if _resident_mebibytes(process.pid) > memory_limit:
            return f"stopped at more than {memory_limit:g} MiB of memory"
        time.sleep(_POLL_SECONDS)
    return ""


def _resident_mebibytes(pid: int) -> float:
    """Resident memory of a process and all that it started. The operating system's own limits are no use here: torch
    reserves far more addresses than it ever touches."""
    total = 0
    for process in _family(pid):
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total / 2**20


def _family(pid: int) -> list[Any]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and what it started."""
    if process.poll() is None:
        for member in _family(process.pid):
            try:
                member.kill()
            except psutil.Error:
                continue
    process.wait()
