"""A process with a time limit, and a memory limit that includes the processes it starts."""

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
    """Run a command with limits, and discard its output.

    The command is killed, with all processes that it started, when it exceeds a limit.

    Parameters
    ----------
    folder
        Working directory of the command.
    variables
        Additional environment variables.
    time_limit
        Seconds.
    memory_limit
        MiB of resident memory for the command and all processes that it starts.

    Returns
    -------
    status
        The exit status.
    problem
        Which limit was exceeded; empty if none was.
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
    """Wait until the process ends or exceeds a limit, and return which limit."""
    deadline = time.monotonic() + time_limit
    while process.poll() is None:
        if time.monotonic() > deadline:
            return f"stopped after {time_limit:g} seconds"
        if _resident_mebibytes(process.pid) > memory_limit:
            return f"stopped at more than {memory_limit:g} MiB of memory"
        time.sleep(_POLL_SECONDS)
    return ""


def _resident_mebibytes(pid: int) -> float:
    """Return the resident memory of a process and all processes that it started.

    The limits of the operating system are no use here, because torch reserves far more addresses than it ever uses.
    """
    total = 0
    for process in _family(pid):
        try:
            total += process.memory_info().rss
        except psutil.Error:  # the process has just ended
            continue
    return total / 2**20


def _family(pid: int) -> list[Any]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all processes that it started."""
    if process.poll() is None:
        for member in _family(process.pid):
            try:
                member.kill()
            except psutil.Error:
                continue
    process.wait()
