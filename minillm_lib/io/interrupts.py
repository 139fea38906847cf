"""Ctrl-C, or a notebook's stop button, that waits for a step to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let a SIGINT that arrives inside the block act at its end, where nothing is half-done; a second acts at once.

    Outside the main thread, where Python delivers no signals, the block does nothing.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or usual is None:
        yield
        return
    has_come = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal has_come
        if has_come:
            signal.signal(signal.SIGINT, usual)
            signal.raise_signal(signal.SIGINT)
        has_come = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if has_come:
        signal.raise_signal(signal.SIGINT)
