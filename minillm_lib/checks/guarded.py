"""Calling code that may loop for ever or raise, and saying where in that code it happened."""

from __future__ import annotations

import contextvars
import ctypes
import linecache
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_PACKAGE = str(Path(__file__).parent.parent)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class TimeLimitError(Exception):
    """The code did not end in time; the message says which line it was in."""


class _Stop(BaseException):
    """Raised inside the code that is to end."""


def call_with_time_limit(function: Callable[[], Any], seconds: float) -> Any:
    """Call a function, and raise :class:`TimeLimitError` if it has not ended after so many seconds.

    It runs in a thread of its own, which is then told to stop: that works on every system, and also in a notebook,
    where signals are the kernel's. A call into compiled code ends before it hears of it; its thread is left behind.
    What the function raises, this raises.
    """
    value: list[Any] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            value.append(function())
        except BaseException as error:  # SystemExit too: it is the learner's, not ours
            failure.append(error)

    # the context tells a notebook under which cell to print
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    place = ""
    try:
        thread.join(seconds)
        if thread.is_alive():
            place = _line_of_frame(sys._current_frames().get(thread.ident or 0))
    finally:  # also when the user interrupts the wait
        _stop(thread)
    if value:
        return value[0]
    if failure and not isinstance(failure[0], _Stop):
        raise failure[0]
    raise TimeLimitError(place)


def _stop(thread: threading.Thread, attempts: int = 5) -> None:
    """Raise :class:`_Stop` in the thread; more than once, for a loop may catch all exceptions."""
    for _ in range(attempts):
        if not thread.is_alive():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop))
        thread.join(0.1)


def is_stub(error: BaseException) -> bool:
    """Whether the error is the ``raise NotImplementedError()`` of an exercise that nobody has attempted."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, NotImplementedError) and bool(frames) and _is_learners(frames[-1].filename)


def describe_error(error: BaseException) -> str:
    """Name the error, and the line of the learner's code in which it rose."""
    text = str(error).strip()
    if isinstance(error, SyntaxError):
        text = error.msg
    kind = type(error).__name__
    return f"{kind}{f': {text}' if text else ''}{_line_of_traceback(error.__traceback__)}"


def _is_learners(filename: str) -> bool:
    return not filename.startswith((_PACKAGE, *_LIBRARIES, "<frozen", "<__array_function__"))


def _line_of_traceback(trace: TracebackType | None) -> str:
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]
    return _line_of(places)


def _line_of_frame(frame: FrameType | None) -> str:
    places = (
        [(frame.f_code.co_filename, line) for frame, line in traceback.walk_stack(frame)] if frame else []
    )
    return _line_of(places[::-1])


def _line_of(places: list[tuple[str, int]]) -> str:
    """Of calls, outermost first: the innermost in the learner's own code, as text."""
    for filename, number in reversed(places):
        if _is_learners(filename):
            line = linecache.getline(filename, number).strip().replace("`", "'")
            return f"\nIt was in line {number} of your cell" + (f": `{line}`" if line else ".")
    return ""
