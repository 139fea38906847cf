"""Ctrl-C and SIGTERM as a request to stop at the next good moment."""

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
    """While it lasts, a first SIGINT or SIGTERM only sets ``is_asked``; a later one acts as usual.

    What arrives within a second of the first counts as the same request. Outside the main thread, where Python
    delivers no signals, it does nothing.

    Parameters
    ----------
    says_so
        Whether to tell the user at once, on the standard error, what happens now.

    Attributes
    ----------
    is_asked, name
        Whether there was a signal; and its name, such as ``"SIGINT"``.
    """

    def __init__(self, *, says_so: bool = True) -> None:
        self.is_asked = False
        self.name = ""
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
        if not self.is_asked:
            self.is_asked, self.name, self._asked_at = True, signal.Signals(number).name, now
            if self._says_so:
                text = f"\n{self.name}: finishing this step, then saving; once more stops at once\n"
                os.write(2, text.encode())  # print must not be called in the midst of a print
        elif now - self._asked_at > _ONE_REQUEST:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        self._usual = {}
