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
from minillm_lib.checks.remote_answer import SILENT, Conversation, GradersObjects, SessionEndedError
from minillm_lib.checks.run_submission import kill_below
from minillm_lib.checks.work_clock import WorkClock

_MODULE = "minillm_lib.checks.run_submission"
_SECONDS_TO_START = 60.0
_SECONDS_TO_END = 10.0
_SECONDS_TO_EXIT = 2.0  # before it is killed, if it has closed the channel, as it does when it ends
_SECONDS_TO_REST = 0.03  # before it is killed, otherwise


class NotStartedError(Exception):
    """The process of a submission did not start; no code of the submission has run."""


class Session:
    """One submission's process."""

    def __init__(self, reader: Any, writer: Any, clock: WorkClock) -> None:
        self.keeper = GradersObjects()
        self._channel = PatientChannel(reader, writer, self.keeper)
        self.conversation = Conversation(self._channel, self.keeper, clock)
        self._files = (reader, writer)
        self.status: int | None = None
        self.watch: Watch | None = None

    @property
    def is_ending(self) -> bool:
        """Whether the process has closed its end of the channel, as it does when it ends."""
        return self.conversation.ended and self.conversation.reason not in (NO_MESSAGE, SILENT)

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

    def close(self) -> None:
        """Close the channel, and end its threads."""
        self._channel.close()
        for file in self._files:
            with contextlib.suppress(OSError, ValueError):
                file.close()


class Starter:
    """Starts submissions, one at a time; where processes can be forked, from a process that has imported much already.

    Parameters
    ----------
    forks
        Whether to fork; by default on Linux.
    """

    def __init__(self, *, forks: bool = sys.platform == "linux") -> None:
        self._forks = forks
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
    def session(
        self, folder: Path, limits: Limits, clock: WorkClock, modules: Sequence[str] = ()
    ) -> Iterator[Session]:
        """Start a submission in a folder; at the end of the block, it is over.

        Parameters
        ----------
        clock
            Counts the time of the submission, which begins when the modules have been imported.
        modules
            What is imported before it begins.

        Raises
        ------
        NotStartedError
            If its process does not start.
        """
        job = {
            "folder": str(folder),
            "file_limit": limits.file_size,
            "processes": self._allowed(limits.processes),
            "modules": list(modules),
        }
        session = self._begin(job, clock)
        assert self._process is not None
        above = self._process.pid if self._forks else os.getpid()
        session.watch = Watch(above, folder, limits, clock, self._end_now)
        try:
            yield session
        finally:
            session.watch.stop()
            self._finish(session)

    def _begin(self, job: dict[str, Any], clock: WorkClock) -> Session:
        """Start a process, and wait until it answers; what runs below may have been killed while it waited."""
        for _ in range(2):
            try:
                session = self._begin_forked(job, clock) if self._forks else self._begin_fresh(job, clock)
            except OSError:
                self.close()
                continue
            try:
                session.conversation.request("rest", _SECONDS_TO_START)
                return session
            except SessionEndedError:
                self._finish(session)
                self.close()
        raise NotStartedError("the process for the submission did not start")

    def _begin_fresh(self, job: dict[str, Any], clock: WorkClock) -> Session:
        self.close()
        self._process = self._popen({**job, "control": None}, piped=True)
        return Session(self._process.stdout, self._process.stdin, clock)

    def _begin_forked(self, job: dict[str, Any], clock: WorkClock) -> Session:
        if self._process is None or self._process.poll() is not None:
            self.close()
            control, theirs = socket.socketpair()
            with theirs:
                self._process = self._popen({"control": theirs.fileno()}, pass_fds=(theirs.fileno(),))
            self._control = control
        assert self._control is not None
        ours, end = socket.socketpair()
        with ours, end:
            socket.send_fds(self._control, [json.dumps(job).encode()], [end.fileno()])
            return Session(ours.makefile("rb"), ours.makefile("wb"), clock)

    def _finish(self, session: Session) -> None:
        try:
            session.status = self._ended(_SECONDS_TO_EXIT if session.is_ending else _SECONDS_TO_REST)
        finally:
            session.close()
            if self._process is None or self._process.poll() is not None:
                self.close()
                _kill(session.watch.seen if session.watch is not None else set())

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

    def _ended(self, seconds: float) -> int | None:
        """End the submission if it does not by itself in so many seconds, and return its exit status, if known."""
        if self._process is None:
            return None
        if self._control is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(seconds)
            self._end_now()
            return self._process.wait(_SECONDS_TO_END)
        deadline = time.monotonic() + _SECONDS_TO_END
        asked, received = False, b""
        while time.monotonic() < deadline:
            if select.select([self._control], [], [], seconds)[0]:
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
