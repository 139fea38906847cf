"""What the C library does with the memory that tensors on a CPU free."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
_MOST_FROM_HEAP = 32 * 2**20  # glibc's limit for a threshold


def keep_freed_memory() -> bool:
    """Have glibc keep what tensors free for the next ones, instead of handing it back to the system.

    Fresh memory comes a page at a time, each by an interruption of the program, and for the element-wise operations
    of a training step that takes longer than the operations. ``benchmarks/training.py`` measures such a step. The
    process still frees all at its end, and its peak hardly changes.

    Returns
    -------
    bool
        Whether there is a glibc that does so; elsewhere nothing is changed.

    Source: mallopt(3), ``M_MMAP_THRESHOLD`` and ``M_TRIM_THRESHOLD``.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST_FROM_HEAP) and mallopt(_M_TRIM_THRESHOLD, _MOST))
