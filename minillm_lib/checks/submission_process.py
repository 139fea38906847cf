"""Starts the process of a submission, watches it, and ends it with all that it started."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from minillm_lib.checks.channel import NO_MESSAGE, PatientChannel
from minillm_lib.checks.isolated import isolated_command, isolated_environment
from minillm_lib.checks.limits import Limits, Watch
from minillm_lib.checks.remote_answer import SILENT, Conversation, GradersObjects
from minillm_lib.checks.run_submission import kill_below

_MODULE = "minillm_lib.checks.run_submission"
_SECONDS_TO_END = 10.0


class Session:
    """One submission's process."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.status: int | None = None
        self.watch: Watch | None = None

    @property
    def problem(self) -> str:
        """Why the process ended, once it has; empty if it was the grader's will."""
        if self.watch is not None and self.watch.problem:
            return self.watch.problem
        if not self.conversation.ended:
            return ""
        if self.conversation.reason in (NO_MESSAGE, SILENT):
            return self.conversation.reason
        if self.status is None:
            return "it ended the process that watches over it"
        if self.status < 0:
            return f"its process was killed by signal {-self.status}"
        return f"its process ended with status {self.status}"


class Starter:
    """Starts submissions, one at a time; where processes can be forked, from a process that has imported much already.

    Parameters
    ----------
    modules
        What to import beforehand.
    forks
        Whether to fork; by default on Linux.
    """

    def __init__(self, modules: Sequence[str] = (), *, forks: bool = sys.platform == "linux") -> None:
        self._modules, self._forks = list(modules), forks
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._tasks: int | None = None

    def close(self) -> None:
        """End the process below which submissions run."""
        if self._process is not None:
            kill_below(self._process.pid)
            with contextlib.suppress(OSError):
                self._process.kill()
            self._process.wait()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None

    @contextmanager
    def session(self, folder: Path, limits: Limits, deadline: float) -> Iterator[Session]:
        """Start a submission in a folder; at the end of the block, it is over."""
        job = {
            "folder": str(folder),
            "file_limit": limits.file_size,
            "processes": self._allowed(limits.processes),
        }
        keeper = GradersObjects()
        ours: socket.socket | None = None
        reader: Any
        writer: Any
        if self._forks:
            ours = self._begin_forked(job)
            reader, writer = ours.makefile("rb"), ours.makefile("wb")
        else:
            self.close()
            self._process = self._popen({**job, "control": None}, piped=True)
            reader, writer = self._process.stdout, self._process.stdin
        assert self._process is not None
        session = Session(Conversation(PatientChannel(reader, writer, keeper), keeper))
        above = self._process.pid if self._forks else os.getpid()
        session.watch = Watch(above, limits, deadline, self._end_now)
        try:
            yield session
        finally:
            session.watch.stop()
            try:
                session.status = self._ended()
            finally:
                for file in filter(None, (reader, writer, ours)):
                    with contextlib.suppress(OSError, ValueError):
                        file.close()
                if self._process is None or self._process.poll() is not None:
                    self.close()
                    _kill(session.watch.seen)

    def _begin_forked(self, job: dict[str, Any]) -> socket.socket:
        for attempt in range(2):
            if self._process is None or self._process.poll() is not None:
                self.close()
                control, theirs = socket.socketpair()
                with theirs:
                    self._process = self._popen(
                        {"control": theirs.fileno(), "modules": self._modules}, pass_fds=(theirs.fileno(),)
                    )
                self._control = control
            ours, end = socket.socketpair()
            assert self._control is not None
            try:
                with end:
                    socket.send_fds(self._control, [json.dumps(job).encode()], [end.fileno()])
                return ours
            except OSError:  # it was killed while it waited
                ours.close()
                self.close()
                if attempt:
                    raise
        raise AssertionError

    def _allowed(self, processes: int) -> int:
        """Return how many tasks the user may have, so that a submission has some; a last resort: the watch counts."""
        if self._tasks is None:
            self._tasks = _tasks_of_this_user()
        return self._tasks + 16 * processes

    def _popen(
        self, job: dict[str, Any], *, piped: bool = False, pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE if piped else subprocess.DEVNULL
        return subprocess.Popen(
            isolated_command(_MODULE, json.dumps(job)),
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            pass_fds=pass_fds,
            start_new_session=True,
            env=isolated_environment(),
        )

    def _end_now(self) -> None:
        """End the submission; may be called while it runs, from another thread."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(b"!")
        elif self._process is not None:
            kill_below(self._process.pid)
            self._process.kill()

    def _ended(self) -> int | None:
        """End the submission if it has not ended by itself, and return its exit status; None if nobody knows it."""
        if self._process is None:
            return None
        if self._control is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(0.05)
            self._end_now()
            return self._process.wait(_SECONDS_TO_END)
        deadline = time.monotonic() + _SECONDS_TO_END
        asked, received = False, b""
        while time.monotonic() < deadline:
            if select.select([self._control], [], [], 0.03)[0]:
                part = self._control.recv(4096)
                received += part
                if received.endswith(b"\n"):
                    return int(json.loads(received.splitlines()[-1])["status"])
                if not part:
                    break
            elif not asked:
                self._end_now()
                asked = True
        self._process.kill()
        self._process.wait()
        return None


def _kill(processes: set[Any]) -> None:
    """Kill processes that were seen below one that is gone, and what they have started since."""
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            if process.is_running():
                kill_below(process.pid)
                process.kill()


def _tasks_of_this_user() -> int:
    """Return how many processes and threads this user has."""
    total = 0
    for process in psutil.process_iter() if sys.platform != "win32" else ():
        with contextlib.suppress(psutil.Error):
            total += process.num_threads() if process.uids().real == os.getuid() else 0
    return total
