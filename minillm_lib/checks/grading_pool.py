"""Grades many submissions, several at a time, in processes that may fall without taking the rest with them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from minillm_lib.checks.grade_report import GradeReport
from minillm_lib.checks.grade_worker import report_from_json
from minillm_lib.checks.isolated import isolated_command, isolated_environment
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.run_submission import kill_below
from minillm_lib.checks.submissions import Submission, fingerprint
from minillm_lib.checks.work_clock import longest

_WORKER = "minillm_lib.checks.grade_worker"
_SECONDS_OF_GRACE = 900.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a class is graded; see :class:`~minillm_lib.checks.grading.Grader`."""

    assignment: Path | None
    exercises_file: Path | None
    limits: Limits
    seed: int
    extra_files: Sequence[Path] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        fields = dataclasses.asdict(self)
        for name in ("assignment", "exercises_file"):
            fields[name] = None if fields[name] is None else os.path.abspath(fields[name])
        return {**fields, "extra_files": [os.path.abspath(one) for one in self.extra_files]}


def grade_all(
    submissions: Sequence[Submission],
    settings: Settings,
    jobs: int = 1,
    on_begin: Callable[[Submission], None] = lambda submission: None,
) -> Generator[tuple[Submission, GradeReport], None, None]:
    """Grade submissions, and yield each with its report as soon as it is graded.

    A submission whose grading brings the grader's process down could not be graded; the others are.

    Parameters
    ----------
    on_begin
        Called with each submission before it runs, in any thread.

    Raises
    ------
    ValueError
        If ``jobs`` is not positive.
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; at least one submission is graded at a time")
    todo: queue.SimpleQueue[Submission] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Submission, GradeReport]] = queue.SimpleQueue()
    for submission in submissions:
        todo.put(submission)
    workers = [_Worker(settings, todo, done, on_begin) for _ in range(min(jobs, len(submissions)))]
    try:
        for worker in workers:
            worker.start()
        for _ in submissions:
            yield _next(done)
    finally:  # also after Ctrl-C
        for worker in workers:
            worker.stop()


def _next(done: queue.SimpleQueue[tuple[Submission, GradeReport]]) -> tuple[Submission, GradeReport]:
    while True:
        with contextlib.suppress(queue.Empty):  # short waits, so that Ctrl-C is noticed on every system
            return done.get(timeout=0.5)


class _Worker(threading.Thread):
    """Keeps one process busy."""

    def __init__(self, settings: Settings, todo: Any, done: Any, on_begin: Any) -> None:
        super().__init__(daemon=True)
        self._settings, self._todo, self._done, self._on_begin = settings, todo, done, on_begin
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False
        self._starting = threading.Lock()

    def run(self) -> None:
        """Grade until nothing is left to do."""
        while not self._is_over:
            try:
                submission = self._todo.get_nowait()
            except queue.Empty:
                break
            report = self._grade(submission)
            if not self._is_over:
                self._done.put((submission, report))
        self._end()

    def stop(self) -> None:
        """Stop at once."""
        with self._starting:
            self._is_over = True
        self._end()

    def _grade(self, submission: Submission) -> GradeReport:
        path = submission.path
        if submission.fingerprint != fingerprint(path):
            return GradeReport(path, (), "the file changed while the class was graded", is_graded=False)
        watchdog = threading.Timer(longest(self._settings.limits.time) + _SECONDS_OF_GRACE, self._end)
        watchdog.daemon = True
        watchdog.start()
        try:
            self._on_begin(submission)
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(str(path.absolute())).encode("ascii") + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            return report_from_json(path, json.loads(line))
        except (OSError, ValueError, TypeError, KeyError) as error:
            problem = self._why_it_fell(error)
            self._end()
            return GradeReport(path, (), problem, is_graded=False)
        finally:
            watchdog.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is None or process.poll() is not None:
            self._end()
            with self._starting:
                if self._is_over:  # stopped while it was about to begin
                    raise ChildProcessError("the grading has ended")
                self._process = process = subprocess.Popen(
                    isolated_command(_WORKER),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    env=isolated_environment(),
                )
            assert process.stdin is not None
            process.stdin.write(json.dumps(self._settings.as_json()).encode("ascii") + b"\n")
        return process

    def _why_it_fell(self, error: Exception) -> str:
        status: int | str | None = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(2)
        told = f"ended with status {status}" if status is not None else f"failed ({type(error).__name__})"
        return f"the grader's own process {told} while it graded this notebook"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        kill_below(process.pid)
        with contextlib.suppress(OSError):
            process.kill()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
