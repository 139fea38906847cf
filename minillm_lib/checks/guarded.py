"""Calls of code that may loop forever or raise, and descriptions of where in the code that happened."""

from __future__ import annotations

import contextvars
import ctypes
import inspect
import linecache
import sys
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, TracebackType
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
    function: Callable[[], Any],
    seconds: float,
    *,
    clock: WorkClock | None = None,
    instructors: Callable[[], Callable[[CodeType], bool]] | None = None,
) -> Any:
    """Call a function, and stop it if it has not finished after this many seconds.

    The function runs in its own thread, which is asked to stop by an exception. This works on every system, and also in
    a notebook, where signals belong to the kernel. A call into compiled code notices the request only when it returns.
    Until then its thread is left behind. Errors raised by the function are passed on.

    Parameters
    ----------
    clock
        Counts the seconds, by the work of this process.
    instructors
        Gives what says of code that it is not the learner's: see :func:`code_of_instructor`.

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
            place = _line_of_frame(
                sys._current_frames().get(thread.ident or 0), instructors() if instructors else _nobodys
            )
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


def code_of_instructor(functions: Iterable[Any], answer: Any) -> Callable[[CodeType], bool]:
    """Return what says of code that it is the instructor's, who wrote these functions, and not that of the answer.

    The file of such a function is the instructor's as a whole, unless the answer is in it too.
    """
    answers = set(_codes(answer))
    own = {code for function in functions for code in _codes(function)} - answers
    files = {code.co_filename for code in own} - {code.co_filename for code in answers}
    return lambda code: code.co_filename in files or code in own


def without_code(error: BaseException, is_left_out: Callable[[CodeType], bool]) -> BaseException:
    """Return the error with a traceback that leaves out some of the code through which it came."""
    parts, trace = [], error.__traceback__
    while trace is not None:
        if not is_left_out(trace.tb_frame.f_code):
            parts.append(trace)
        trace = trace.tb_next
    for part in reversed(parts):
        trace = TracebackType(trace, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return error.with_traceback(trace)


def _codes(value: Any) -> list[CodeType]:
    """Return the code of a function, or of the methods of a class or of an object that can be called."""
    while isinstance(value, partial):
        value = value.func
    if inspect.ismethod(value) or inspect.isfunction(value):
        return _with_inner(inspect.unwrap(value).__code__)
    kind = value if inspect.isclass(value) else type(value)
    methods = [method for base in kind.__mro__ for method in vars(base).values()]
    return [code for method in methods if inspect.isfunction(method) for code in _codes(method)]


def _with_inner(code: CodeType) -> list[CodeType]:
    """Return code with that of the functions inside it."""
    return [code, *(inner for one in code.co_consts if inspect.iscode(one) for inner in _with_inner(one))]


def _nobodys(code: CodeType) -> bool:
    return False


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


def _line_of_frame(frame: FrameType | None, is_left_out: Callable[[CodeType], bool]) -> str:
    frames = [] if frame is None else traceback.walk_stack(frame)
    places = [(one.f_code.co_filename, line) for one, line in frames if not is_left_out(one.f_code)]
    return _line_of(places[::-1])


def _line_of(places: list[tuple[str, int]]) -> str:
    """Describe the innermost place in the learner's own code; ``places`` has the outermost call first."""
    for filename, number in reversed(places):
        if _is_learners(filename):
            line = linecache.getline(filename, number).strip().replace("`", "'")
            return f"\nIt was in line {number} of your cell" + (f": `{line}`" if line else ".")
    return ""
