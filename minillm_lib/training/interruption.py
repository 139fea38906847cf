"""Ctrl-C and SIGTERM as requests to stop after the current step."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ONE_REQUEST = (
    1.0  # seconds; under torchrun one Ctrl-C reaches a process twice, from the terminal and from torchrun
)


class Interruption:
    """A context in which the first SIGINT or SIGTERM is only noted as ``signal``; a later one acts as usual.

    Signals within a second of the first count as the same request. Outside the main thread, where Python delivers
    no signals, the context does nothing.

    Parameters
    ----------
    says_so
        Whether to tell the user at once, on standard error, what happens next.

    Attributes
    ----------
    signal
        The first signal that has arrived; None before.
    """

    def __init__(self, *, says_so: bool = True) -> None:
        self.signal: signal.Signals | None = None
        self._says_so = says_so
        self._asked_at = 0.0
        self._usual: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._usual = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signal is None:
            self.signal, self._asked_at = signal.Signals(number), now
            if self._says_so:
                text = (
                    f"\n{self.signal.name}: finishing this step, then saving; a second signal stops at once\n"
                )
                os.write(
                    2, text.encode()
                )  # the signal may have interrupted a print, and print must not be nested
        elif now - self._asked_at > _ONE_REQUEST:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        self._usual = {}
