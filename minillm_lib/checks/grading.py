"""Grading of submitted notebooks, each in its own process with limits on time, memory, processes and files.

The process of a submission gets the inputs of an exercise and sends back what its functions return; whether that is
right is decided here. What it sends is data, and never code.

Grading runs the code of the submissions with your permissions. The limits protect against accidents and simple tricks,
not against malicious code. Grade notebooks of people you do not trust in a container.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from minillm_lib.checks.assignment import Assignment, course_assignment, load_exercises, read_assignment
from minillm_lib.checks.exercise import Exercise
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.remote_answer import SessionEndedError, answer_of
from minillm_lib.checks.result import Status
from minillm_lib.checks.seeding import hidden_inputs_from
from minillm_lib.checks.submission import code_cells, defines, plan, read_notebook
from minillm_lib.checks.submission_process import Session, Starter

_PRELOADED = (
    "numpy", "scipy.sparse", "pandas", "matplotlib.pyplot", "seaborn", "sklearn", "torch", "minillm_lib.model",
    "minillm_lib.viz", "minillm_lib.topics", "minillm_lib.corpora",
)  # fmt: skip
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Mark:
    """What one exercise of one submission is worth, and why; ``message`` has code in backticks.

    Where the ``status`` is "not checked", the check itself did not work, and ``points`` say nothing.
    """

    exercise: str
    status: Status
    message: str
    points: float
    max_points: float

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.status == "passed"

    def __str__(self) -> str:
        noun = "point" if self.max_points == 1 else "points"
        return (
            f"{self.exercise}: {self.status}, {self.points:g} of {self.max_points:g} {noun}. {self.message}"
        )


@dataclass(frozen=True)
class GradeReport:
    """The grade of one submission.

    Attributes
    ----------
    results
        One mark per exercise; none if the submission could not be graded.
    problem
        What prevented the complete submission from running, or from being graded; empty if nothing did.
    seconds
        Duration of the run.
    is_graded
        False if it could not be graded, which is not the same as 0 points.
    """

    path: Path
    results: tuple[Mark, ...]
    problem: str = ""
    seconds: float = 0.0
    is_graded: bool = True

    @property
    def points(self) -> float:
        """Total number of points reached."""
        return sum(result.points for result in self.results)

    @property
    def max_points(self) -> float:
        """Total number of points that can be reached."""
        return sum(result.max_points for result in self.results)

    def __str__(self) -> str:
        if not self.is_graded:
            return f"{self.path.name}: could not be graded: {self.problem}"
        lines = [
            f"{self.path.name}: {self.points:g} of {self.max_points:g} points",
            *map(str, self.results),
        ]
        return "\n".join([*lines, *([f"Note: {self.problem}"] if self.problem else [])])


def grade_notebook(
    path: str | os.PathLike[str],
    *,
    assignment: str | os.PathLike[str] | None = None,
    exercises_file: str | os.PathLike[str] | None = None,
    time_limit: float = 600.0,
    cell_time_limit: float = 120.0,
    memory_limit: float = 4096.0,
    seed: int | None = None,
) -> GradeReport:
    """Grade a submitted notebook.

    The cells of the notebook run in order in a separate process, in a folder of its own, up to the last exercise. An
    error in one cell does not stop the next. The checks in the notebook are replaced by the original ones, so that
    editing them has no effect, and the last state of each answer counts. A deleted exercise counts as zero. A broken
    submission results in a report with a ``problem``, never in an exception.

    Parameters
    ----------
    path
        The submission.
    assignment
        The notebook that was handed out, whose checks define what is graded. None for the notebook of the course that
        the submission was made from.
    exercises_file
        A Python file that registers your own exercises (``check.register(…)``).
    time_limit
        Seconds for the complete submission.
    cell_time_limit
        Seconds for each cell.
    memory_limit
        MiB of resident memory for the process and all processes that it starts.
    seed
        Seed for the hidden inputs; None for a random one.

    Raises
    ------
    ValueError
        If the assignment is not a notebook, has no checks or checks unknown exercises, a limit is not positive, the
        exercises cannot be used, or Jupyter is not installed.
    OSError
        If ``assignment`` or ``exercises_file`` cannot be read.
    """
    limits = Limits(time=time_limit, cell_time=cell_time_limit, memory=memory_limit)
    with Grader(assignment=assignment, exercises_file=exercises_file, limits=limits, seed=seed) as grader:
        return grader.grade(path)


class Grader:
    """Grades submissions, one after the other; to be used in a ``with`` block, whose end ends its processes.

    Parameters
    ----------
    assignment, exercises_file, seed
        As for :func:`grade_notebook`.
    limits
        What each submission may take.
    extra_files
        Files and folders that each submission finds beside its notebook.
    starter
        What starts the submissions; by default a new one.

    Raises
    ------
    ValueError
        As for :func:`grade_notebook`.
    OSError
        If a file cannot be read.
    """

    def __init__(
        self,
        *,
        assignment: str | os.PathLike[str] | None = None,
        exercises_file: str | os.PathLike[str] | None = None,
        limits: Limits | None = None,
        seed: int | None = None,
        extra_files: Sequence[str | os.PathLike[str]] = (),
        starter: Starter | None = None,
    ) -> None:
        if importlib.util.find_spec("IPython") is None:
            raise ValueError('grading runs notebooks, which needs Jupyter: pip install "minillm-lib[course]"')
        self.limits = limits or Limits()
        self.seed = secrets.randbelow(2**32) if seed is None else seed
        self._extra_files = [Path(one).resolve(strict=True) for one in extra_files]
        if exercises_file is not None:
            load_exercises(exercises_file)
        self.assignment = read_assignment(assignment) if assignment is not None else None
        self._starter = starter

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._starter is not None:
            self._starter.close()

    def grade(self, path: str | os.PathLike[str]) -> GradeReport:
        """Grade a submission; whatever it does, the result is a report."""
        path, start = Path(path), time.monotonic()
        try:
            notebook = read_notebook(path)
            assignment = self.assignment or course_assignment(path, notebook)
        except (ValueError, OSError) as error:
            return GradeReport(path, (), _in_words(error), is_graded=False)
        if self._starter is None:
            self._starter = Starter(_modules_of(notebook))
        try:
            with hidden_inputs_from(self.seed):
                marks, problem = self._grade(path, notebook, assignment)
        except Exception as error:  # a mistake of ours, or a full disk: others are graded
            self._starter.close()
            problem = f"the grader failed: {type(error).__name__}: {error}"
            return GradeReport(path, (), problem, time.monotonic() - start, is_graded=False)
        return GradeReport(path, tuple(marks), problem, time.monotonic() - start)

    def _grade(self, path: Path, notebook: dict[str, Any], assignment: Assignment) -> tuple[list[Mark], str]:
        """Run the notebook; if the check of an answer ends its process, run it again for the other answers."""
        deadline = time.monotonic() + self.limits.time
        run = _Run(notebook, assignment, self.limits)
        while True:
            with tempfile.TemporaryDirectory(prefix="minillm-", ignore_cleanup_errors=True) as folder:
                self._fill(Path(folder), path)
                assert self._starter is not None
                with self._starter.session(Path(folder), self.limits, deadline) as session:
                    run.go(session)
            ended = session.problem
            if run.checking is None or not ended:
                break
            run.lose(ended)
            is_late = time.monotonic() > deadline
            ended = f"stopped after {self.limits.time:g} seconds" if is_late and not run.is_complete else ""
            if is_late or run.is_complete:
                break
        return run.marks(ended), ended or run.lost

    def _fill(self, folder: Path, path: Path) -> None:
        with open(folder / "notebook.ipynb", "wb") as copy, open(path, "rb") as file:
            shutil.copyfileobj(file, copy)
        for extra in self._extra_files:
            if extra.is_dir():
                shutil.copytree(extra, folder / extra.name)
            else:
                shutil.copy(extra, folder / extra.name)


@dataclass
class _Run:
    """The steps of one notebook, and what is known of its answers so far."""

    notebook: Mapping[str, Any]
    assignment: Assignment
    limits: Limits
    found: dict[str, Mark] = field(default_factory=dict)
    checking: str | None = None
    lost: str = ""

    @property
    def is_complete(self) -> bool:
        return len(self.found) == len(self.assignment.exercises)

    def go(self, session: Session) -> None:
        """Take all steps, as long as the process answers."""
        conversation, cell = session.conversation, 0
        again: dict[str, Any] = {}
        problems: dict[int, str] = {}
        self.checking = None
        try:
            steps = plan(dict(self.notebook), self.assignment.answers)
            final = max((index for index, (kind, _) in enumerate(steps) if kind == "check"), default=-1)
            for index, (kind, content) in enumerate(steps):
                if index > final and not again:
                    break
                if kind == "check":
                    if content not in self.found:
                        self._check(session, content, problems, again)
                    continue
                limit = self.limits.cell_time
                reply = conversation.request("run", limit + _GRACE_SECONDS, source=content, limit=limit)
                cell = self._cells.index(content, cell)
                if reply.get("problem"):
                    problems[cell] = str(reply["problem"])
                cell += 1
            for name, answer in again.items():  # what it needs may be defined after it
                self._judge(session, name, answer)
        except SessionEndedError:
            return

    @cached_property
    def _cells(self) -> list[str]:
        return code_cells(dict(self.notebook))

    def _check(self, session: Session, name: str, problems: Mapping[int, str], again: dict[str, Any]) -> None:
        answer = self.assignment.answers[name]
        reply = session.conversation.request("look", _GRACE_SECONDS, name=answer)
        if "unsendable" in reply or "error" in reply:
            self._note(name, "failed", f"`{answer}` is neither a function nor a value that can be read.")
            return
        if not reply.get("found"):
            self._note(name, "failed", self._undefined(answer, problems))
            return
        value = answer_of(reply)
        self._judge(session, name, value)
        if "NameError" in self.found[name].message:
            again[name] = value

    def _judge(self, session: Session, name: str, value: Any) -> None:
        exercise = _patient(self._exercise(name))
        self.checking = name
        session.conversation.begin_check(exercise.time_limit)
        result = exercise(value)
        if session.conversation.ended:
            raise SessionEndedError
        status, message, points = result.status, result.message, result.points
        if session.conversation.fault:
            status, message, points = "not checked", session.conversation.fault, 0
            session.conversation.fault = ""
        self._note(name, status, message, points)
        if status == "not checked":
            self.lost = f"`{name}` could not be checked: {message}"
        session.conversation.settle()
        self.checking = None

    def _undefined(self, answer: str, problems: Mapping[int, str]) -> str:
        cells = [index for index, source in enumerate(self._cells) if defines(source, answer)]
        for index in reversed(cells):
            if index in problems:
                return (
                    f"`{answer}` was not defined: code cell {index + 1}, which defines it, {problems[index]}."
                )
        if cells:
            return f"`{answer}` was not defined when the notebook ran."
        return f"`{answer}` is not in the notebook."

    def lose(self, problem: str) -> None:
        """Give up the answer whose check ended the process."""
        assert self.checking is not None
        if self.checking not in self.found:
            self.lost = f"`{self.checking}`: {problem}"
            self._note(self.checking, "failed", f"While your code was checked, {problem}.")

    def marks(self, problem: str) -> list[Mark]:
        """Return the marks of all exercises, also of those that were not reached."""
        for exercise in self.assignment.exercises:
            if exercise.name not in self.found:
                reason = f"Not reached: {problem or 'the process ended before it'}."
                self._note(exercise.name, "failed", reason)
        return [self.found[exercise.name] for exercise in self.assignment.exercises]

    def _note(self, name: str, status: Status, message: str, points: float = 0) -> None:
        maximum = self._exercise(name).points
        self.found[name] = Mark(name, status, message, min(points, maximum), maximum)

    def _exercise(self, name: str) -> Exercise:
        return next(exercise for exercise in self.assignment.exercises if exercise.name == name)


def _patient(exercise: Exercise) -> Exercise:
    """Return the exercise with a longer time limit while more runs on this machine than it has processors.

    Otherwise a mark would depend on what else the instructor does meanwhile.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 1.0
    if load <= 1:
        return exercise
    return replace(exercise, time_limit=round(exercise.time_limit * load, 1)).mark(
        where=f"check.{exercise.name}"
    )


def _modules_of(notebook: dict[str, Any]) -> list[str]:
    """Return which of the usual packages a notebook imports: they are imported once, and then used by all."""
    text = "\n".join(code_cells(notebook))
    return [
        name
        for name in _PRELOADED
        if re.search(rf"^\s*(?:import|from)\s+{name.partition('.')[0]}\b", text, re.MULTILINE)
        and (not name.startswith("minillm_lib.") or name.partition(".")[2] in text)
    ]


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"the file cannot be read: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)
