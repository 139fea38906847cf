"""How much memory a process may still take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_FILES = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


def available_memory(cgroup: Path = _CGROUP) -> int:
    """Return how many bytes a process can take before the machine, or the container it is in, has no more.

    Parameters
    ----------
    cgroup
        Where Linux says what a container may take (version 2 or 1 of control groups).
    """
    available = psutil.virtual_memory().available
    for limit, usage in _FILES:
        with suppress(OSError, ValueError):  # not there, or "max"
            most, used = (int((cgroup / name).read_text()) for name in (limit, usage))
            available = min(available, max(most - used + _cached(cgroup / usage), 0))
    return available


def _cached(usage: Path) -> int:
    """Return how much of what a control group uses is only kept from files, and given up when it is needed."""
    with suppress(OSError, ValueError, IndexError):
        for line in usage.with_name("memory.stat").read_text().splitlines():
            name, value = line.split()
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0
