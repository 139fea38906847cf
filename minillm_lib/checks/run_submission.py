"""The process below which submissions run: ``python -m minillm_lib.checks.run_submission``.

On Linux it imports what notebooks usually need once, and forks a process for each submission, which then starts at
once. Elsewhere each submission has a fresh process. The grader talks to a submission over a channel of its own; over
the control channel, this process only learns when to begin and to end, and says how the submission ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import psutil

from minillm_lib.checks.channel import Channel
from minillm_lib.checks.student_process import new_objects, serve

_SET_DEATH_SIGNAL, _BE_SUBREAPER = 1, 36  # of prctl(2)
_POLL_SECONDS = 0.01


def main() -> None:
    """Serve submissions, one after the other, until the grader is gone."""
    job = json.loads(sys.argv[1])
    os.environ["MPLBACKEND"] = "agg"  # matplotlib reads it when it is imported
    die_with_parent()
    if job["control"] is None:
        ends = _own_ends()
        _import(job["modules"])
        _be_the_submission(job, *ends)
    be_subreaper()
    # A stop from the keyboard is the grader's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=job["control"])
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 65536, 1)
        if not message:
            os._exit(0)
        message = message.lstrip(b"!")  # asked to end a submission that had just ended
        if not message:
            continue
        job = json.loads(message)
        _import(["IPython.core.interactiveshell", *job["modules"]])
        status = _run_one(job, control, descriptors[0])
        control.sendall(json.dumps({"status": status}).encode() + b"\n")


def _import(modules: Sequence[str]) -> None:
    """Import what a submission will need: this happens once for all of them, and takes none of their time."""
    for name in modules:
        if name not in sys.modules:
            with contextlib.suppress(Exception):  # what cannot be imported here fails where a cell imports it
                importlib.import_module(name)
    gc.freeze()


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies."""
    _prctl(_SET_DEATH_SIGNAL, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


def kill_below(parent: int, rounds: int = 200) -> dict[int, int]:
    """Kill all processes that descend from one, until there are none; each is halted first, so that none is made.

    Returns
    -------
    dict
        The exit statuses of this process's own children among them that have been waited for.
    """
    ended: dict[int, int] = {}
    for _ in range(rounds):
        try:
            below = psutil.Process(parent).children(recursive=True)
        except psutil.Error:
            break
        alive = [process for process in below if _is_alive(process)]
        if not alive:
            break
        for act in ("suspend", "kill"):
            for process in alive:
                with contextlib.suppress(psutil.Error, OSError):
                    getattr(process, act)()
        if parent == os.getpid():
            ended |= _reap()
        time.sleep(_POLL_SECONDS)
    return ended


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _run_one(job: dict[str, Any], control: socket.socket, descriptor: int) -> int:
    """Run a submission in a forked process, and return its exit status; whatever it started is killed in the end."""
    child = os.fork()
    if child == 0:
        control.close()
        die_with_parent()
        os.setsid()
        end = socket.socket(fileno=descriptor)
        _be_the_submission(job, end.makefile("rb"), end.makefile("wb"))
    os.close(descriptor)
    status: int | None = None
    while status is None:
        status = _reap().get(child)
        if status is None and select.select([control], [], [], _POLL_SECONDS)[0]:
            if not control.recv(1):  # the grader is gone
                kill_below(os.getpid())
                os._exit(0)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
            ended = kill_below(os.getpid()) | _reap()
            status = ended.get(child, -signal.SIGKILL)  # its own status if it was ending already
    kill_below(os.getpid())
    _reap()
    return status


def _reap() -> dict[int, int]:
    """Return the exit statuses of the children that have ended."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    return ended


def _be_the_submission(job: dict[str, Any], reader: BinaryIO, writer: BinaryIO) -> NoReturn:
    """Serve the grader in this process, and end it."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        folder = job["folder"]
        temporary = str(Path(folder, ".tmp"))
        os.makedirs(temporary, exist_ok=True)
        os.environ.update(
            TMPDIR=temporary,
            IPYTHONDIR=str(Path(temporary, "ipython")),
            PYTHONUNBUFFERED="1",
        )
        tempfile.tempdir = None  # it is asked for anew
        _set_limits(job["file_limit"], job["processes"])
        serve(Channel(reader, writer, new_objects()), folder)
        status = 0
    finally:
        os._exit(status)


def _own_ends() -> tuple[BinaryIO, BinaryIO]:
    """Take standard input and output as the channel, out of reach of what prints."""
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "r+b") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    return reader, writer


def _set_limits(file_limit: float, processes: int) -> None:
    """Limit the size of a file that is written, and, for other users than root, the number of processes."""
    if sys.platform == "win32":
        return
    import resource

    limits = {
        resource.RLIMIT_FSIZE: int(file_limit * 2**20),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: processes,
    }
    for kind, limit in limits.items():
        _, most = resource.getrlimit(kind)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing too much is an error, not the end


def be_subreaper() -> None:
    """Ask Linux to make this process the parent of all orphans below it, so that none gets away."""
    _prctl(_BE_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
