"""Work in a forked process, which may be killed, and whose time, memory and words are measured.

A fork of a process that has loaded everything takes milliseconds, where a new Python takes seconds. It is safe only
while that process has a single thread, see :func:`check_single_thread`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

GIBIBYTE = 1 << 30
_WRITING = os.O_WRONLY | os.O_RDWR
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.truncate")
_UNFORESEEN = 70  # the exit status of a process that ended in an exception
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Lost(AssertionError):  # noqa: N818 (it is an outcome)
    """A fault that did harm; the message says which."""


class NotPossibleHereError(Exception):
    """A kind of fault that cannot be tried on this machine; the message says why."""


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes
    ----------
    status
        Its exit status; -9 if signal 9 ended it.
    seconds, memory
        How long it ran, and the most memory that it had, in bytes.
    text
        What it wrote on standard output and standard error.
    value
        What the function returned, by way of JSON; None if it did not return.
    """

    status: int
    seconds: float
    memory: int
    text: str
    value: Any = None

    @property
    def last_line(self) -> str:
        return (self.text.strip().splitlines() or ["(it said nothing)"])[-1][:300]


@dataclass(frozen=True)
class Stop:
    """When a process gets a signal: after so many seconds, or before its n-th change to a file below a folder."""

    signal: signal.Signals
    seconds: float | None = None
    change: int | None = None
    folder: Path = Path("/")


def forked(
    function: Callable[[], Any],
    *,
    folder: Path | None = None,
    limit: float = 60.0,
    memory: int | None = None,
    stop: Stop | None = None,
) -> Ended:
    """Call a function in a forked process, and wait for its end.

    Parameters
    ----------
    folder
        The current folder of the process.
    limit
        After how many seconds it is killed, with all that it has started; on a busy machine, it has longer. Before
        that, it says where it is.
    memory
        How many bytes of address space it may have beyond those of this process.

    Returns
    -------
    Ended
        An exception is status 70 and a traceback in ``text``; a ``SystemExit`` is its own status.
    """
    check_single_thread()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as returned:
        sys.stdout.flush()
        sys.stderr.flush()
        start = time.monotonic()
        process = os.fork()
        if process == 0:
            _be_the_child(function, folder, limit, memory, stop, said.fileno(), returned.fileno())
        asked = None if stop is None or stop.seconds is None else start + stop.seconds
        status, usage, seconds = _wait(process, start, limit, asked, stop)
        said.seek(0)
        returned.seek(0)
        text, value = said.read().decode("utf-8", "replace"), returned.read()
    code = os.waitstatus_to_exitcode(status)
    return Ended(
        code, seconds, usage.ru_maxrss * _RSS_UNIT, text, json.loads(value) if value and code == 0 else None
    )


def _wait(
    process: int, start: float, limit: float, asked: float | None, stop: Stop | None
) -> tuple[int, Any, float]:
    """Return how a process ended, what it used, and for how many seconds it ran."""
    end = start + limit * patience()
    while True:
        found, status, usage = os.wait4(process, os.WNOHANG)
        now = time.monotonic()
        if found:
            _kill_group(process)  # what it has started and left behind
            return status, usage, now - start
        if asked is not None and now >= asked:
            assert stop is not None
            os.kill(process, stop.signal)
            asked = None
        if now >= end:
            _kill_group(process)
            os.kill(process, signal.SIGKILL)
            _, status, usage = os.wait4(process, 0)
            return status, usage, now - start
        pause = 0.002 if now < start + 1 else 0.02
        time.sleep(pause if asked is None else min(pause, max(asked - now, 0.0)))


def patience() -> float:
    """Return how many times longer than on a quiet machine everything may take now."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _kill_group(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left of it
        os.killpg(process, signal.SIGKILL)


def _be_the_child(
    function: Callable[[], Any],
    folder: Path | None,
    limit: float,
    memory: int | None,
    stop: Stop | None,
    said: int,
    returned: int,
) -> None:
    """Never returns: the child must not go on with what its parent was doing."""
    status = _UNFORESEEN
    try:
        os.setpgid(0, 0)
        end_with_the_parent()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(0)
        # tqdm's own lock is one for all forked processes; one that is killed may never give it back
        tqdm.set_lock(threading.RLock())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = (
            os.fdopen(each, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
            for each in (1, 2)
        )
        faulthandler.dump_traceback_later(0.9 * limit, file=2)
        if folder is not None:
            os.chdir(folder)
        if memory is not None:
            _limit_memory(memory)
        if stop is not None and stop.change is not None:
            sys.addaudithook(_Changes(stop.folder, stop).note)
        value = function()
        os.write(returned, json.dumps(value).encode())
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
        print("interrupted outside of the command")
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:
                status = status or _UNFORESEEN
        os._exit(status)


def end_with_the_parent() -> None:
    """Let this process be killed when its parent ends, however that ends; only Linux can do this."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _limit_memory(more: int) -> None:
    """Limit the address space; what is loaded already does not count."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # not Linux: the memory is still measured
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


class _Changes:
    """Counts the changes to files below a folder, and signals its own process before one of them."""

    def __init__(self, folder: Path, stop: Stop | None = None) -> None:
        self.folder, self.stop, self.count = os.path.realpath(folder), stop, 0

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITING)
        if not is_change or not isinstance(arguments[0], str | os.PathLike):
            return
        if not os.path.abspath(arguments[0]).startswith(self.folder):
            return
        self.count += 1
        if self.stop is not None and self.count == self.stop.change:
            os.kill(os.getpid(), self.stop.signal)


def counting_changes(function: Callable[[], Any], folder: Path) -> Callable[[], int]:
    """Return a function that calls another and returns how many changes it made to files below a folder."""

    def counted() -> int:
        changes = _Changes(folder)
        sys.addaudithook(changes.note)
        function()
        return changes.count

    return counted


def check_single_thread() -> None:
    """Check that this process may be forked."""
    names = [thread.name for thread in threading.enumerate()]
    assert len(names) == 1, f"a process with the threads {names} must not be forked"
