"""Work with input of unknown origin in a process of its own, whose memory and processor time are limited.

A parser in C++ that is given a hostile file may take all memory, never end, or crash. In a process of its own it does
so alone, and the caller gets an error in words. A process that has done its work waits for more, as starting one takes
some tenths of a second. Where the system has no such limits (Windows; of memory, also macOS), it still crashes alone.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from minillm_lib.io.wording import size

_MOST_IDLE = 4
_RETIRES_AT = 1 << 28  # bytes that were in use at once; they are given back
_ENDLESS, _ALL = 1e9, 1e15  # what stands for infinite seconds and bytes
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from minillm_lib.io.limited import serve; serve()"
)
_VARIABLES = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # its own pools reserve more addresses than they use


class BeyondLimitsError(ValueError):
    """The input takes more memory or time than it may, or crashes what reads it; the message does not name it."""


def limited(
    function: Callable[..., Iterator[Any]],
    *arguments: Any,
    packages: Sequence[str] = (),
    seconds: float,
    n_bytes: float,
) -> Iterator[Any]:
    """Yield what a generator function yields in a process of its own.

    Parameters
    ----------
    function
        A function of a module, which has to be found by its name; what it takes and yields is pickled.
    packages
        Modules that it needs; the memory they take is not counted.
    seconds
        How much processor time it may take, all in all.
    n_bytes
        How much memory it may take.

    Raises
    ------
    BeyondLimitsError
        If it exceeds a limit, or ends its process.
    Exception
        Whatever the function raises.
    """
    worker = _taken()
    kind, is_over = "", False
    value: Any = None
    try:
        worker.send((function, arguments, tuple(packages), seconds, n_bytes))
        while not is_over:
            kind, value = worker.receive()
            is_over = kind != "item"
            if not is_over:
                yield value
    except (EOFError, OSError, pickle.UnpicklingError) as error:
        raise BeyondLimitsError(_last_words(worker.end(10), seconds, n_bytes)) from error
    finally:
        if is_over and kind != "spent" and len(_idle) < _MOST_IDLE:
            _idle.append(worker)
        else:
            worker.end()
    if kind == "memory":
        raise BeyondLimitsError(f"reading it takes more than {size(n_bytes)} of memory")
    if kind == "error":
        raise value


def _last_words(status: int, seconds: float, n_bytes: float) -> str:
    """Say why a process ended that should not have."""
    if status == -getattr(signal, "SIGXCPU", 0):
        return f"reading it takes more than {seconds:,.0f} s of processor time"
    with suppress(ValueError):
        how = signal.Signals(-status).name
        return (
            f"reading it crashes the program that does so ({how}), as a lack of memory may; "
            f"{size(n_bytes)} are allowed"
        )
    return f"reading it ends the program that does so, with status {status}"


class _Worker:
    """A process that waits for work."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps([str(each) for each in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_VARIABLES},
            start_new_session=True,  # Ctrl-C is for the caller, who ends this
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout

    @property
    def is_usable(self) -> bool:
        """Whether it runs, and is this process's own, not one of another from which this was forked."""
        return self.owner == os.getpid() and self._process.poll() is None

    def send(self, work: tuple[Any, ...]) -> None:
        pickle.dump(work, self._to)
        self._to.flush()

    def receive(self) -> tuple[str, Any]:
        kind, value = pickle.load(self._from)
        return kind, value

    def end(self, patience: float = 0.0) -> int:
        """End the process, unless it ends itself within so many seconds, and return its status."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        for stream in (self._to, self._from):
            with suppress(OSError):
                stream.close()
        return self._process.wait()


_idle: list[_Worker] = []


def _taken() -> _Worker:
    """Return a process that waits for work, or a new one."""
    with suppress(IndexError):  # another thread may be quicker
        while True:
            worker = _idle.pop()
            if worker.is_usable:
                return worker
    return _Worker()


@atexit.register
def _end_all() -> None:
    for worker in _idle:
        if worker.owner == os.getpid():
            worker.end()


def serve() -> None:
    """Do one piece of work after the other that comes by the standard input, until there is no more."""
    source = sys.stdin.buffer
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not for the caller
    while True:
        try:
            function, arguments, packages, seconds, n_bytes = pickle.load(source)
        except EOFError:
            return
        for package in packages:
            importlib.import_module(package)
        _limit(seconds, n_bytes)
        _answer(target, function, arguments)


def _answer(target: BinaryIO, function: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]) -> None:
    def say(kind: str, value: Any) -> None:
        target.write(pickle.dumps((kind, value)))
        target.flush()

    try:
        for item in function(*arguments):
            say("item", item)
    except MemoryError:
        say("memory", None)
    except Exception as error:
        say("error", _without_trace(error))
    else:
        say("spent" if _most_memory() > _RETIRES_AT else "end", None)


def _without_trace(error: Exception) -> Exception:
    """Return an error that another process can read."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return BeyondLimitsError(f"reading it fails ({type(error).__name__}: {error})")
    return error


def _most_memory() -> float:
    """Return how many bytes this process held at most; on Linux not by ``ru_maxrss``, which its parent's may exceed."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * float(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    with suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return 0.0


def _limit(seconds: float, n_bytes: float) -> None:
    """Let this process take so much more processor time and memory than it has taken until now."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        most = max(int(time.process_time() + min(seconds, _ENDLESS)), 1)  # whole seconds
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        used = pages * resource.getpagesize()
        resource.setrlimit(
            resource.RLIMIT_AS, (used + int(min(n_bytes, _ALL)), resource.getrlimit(resource.RLIMIT_AS)[1])
        )
