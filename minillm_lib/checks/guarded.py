"""Calls of code that may loop forever or raise, and descriptions of where in the code that happened."""

from __future__ import annotations

import contextvars
import ctypes
import linecache
import sys
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from minillm_lib.checks.work_clock import Countdown, WorkClock, this_process

_PACKAGE = str(Path(__file__).parent.parent)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class TimeLimitError(Exception):
    """The code did not finish in time; the message says which line it was in.

    Attributes
    ----------
    seconds
        The limit, if it is not the one that was given to :func:`call_with_time_limit`.
    """

    seconds: float | None = None


class StopRequest(BaseException):
    """The request to stop, raised inside the code that is to stop."""


@contextmanager
def quiet() -> Iterator[None]:
    """Let no warning out: those of wrong answers that a check tries, and of what it compares, are not the learner's."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def call_with_time_limit(
    function: Callable[[], Any], seconds: float, *, clock: WorkClock | None = None
) -> Any:
    """Call a function, and stop it if it has not finished after this many seconds.

    The function runs in its own thread, which is asked to stop by an exception. This works on every system, and also in
    a notebook, where signals belong to the kernel. A call into compiled code notices the request only when it returns.
    Until then its thread is left behind. Errors raised by the function are passed on.

    Parameters
    ----------
    clock
        Counts the seconds, by the work of this process.

    Raises
    ------
    TimeLimitError
        If the function has not finished in time.
    """
    value: list[Any] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            value.append(function())
        except BaseException as error:  # also SystemExit: the learner's code raised it
            failure.append(error)

    # a notebook uses the context to print below the right cell
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    place = ""
    try:
        _wait(thread, seconds, clock)
        if thread.is_alive():
            place = _line_of_frame(sys._current_frames().get(thread.ident or 0))
    finally:  # also when the user interrupts the wait
        _stop(thread)
    if value:
        return value[0]
    if failure and not isinstance(failure[0], StopRequest):
        raise failure[0]
    raise TimeLimitError(place)


def _wait(thread: threading.Thread, seconds: float, clock: WorkClock | None) -> None:
    if clock is None:
        thread.join(seconds)
        return
    clock.follow(this_process)
    countdown = Countdown(clock, seconds)
    while thread.is_alive() and (left := countdown.left):
        thread.join(min(0.1, left))
        clock.tick()
    clock.tick()


def _stop(thread: threading.Thread, attempts: int = 5) -> None:
    """Raise :class:`StopRequest` in the thread, several times if needed, because a loop may catch all exceptions."""
    for _ in range(attempts):
        if not thread.is_alive():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(StopRequest)
        )
        thread.join(0.1)


def is_stub(error: BaseException) -> bool:
    """Return whether the error is the ``raise NotImplementedError()`` of an exercise that was not attempted."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, NotImplementedError) and bool(frames) and _is_learners(frames[-1].filename)


def describe_error(error: BaseException) -> str:
    """Describe the error, and the line of the learner's code that raised it."""
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
    """Describe the innermost place in the learner's own code; ``places`` has the outermost call first."""
    for filename, number in reversed(places):
        if _is_learners(filename):
            line = linecache.getline(filename, number).strip().replace("`", "'")
            return f"\nIt was in line {number} of your cell" + (f": `{line}`" if line else ".")
    return ""
