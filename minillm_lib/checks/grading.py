"""Grading of submitted notebooks, each in its own process with limits on time, memory, processes and files.

The process of a submission gets the inputs of an exercise and sends back what its functions return; whether that is
right is decided here. What it sends is data, and never code.

Grading runs the code of the submissions with your permissions. The limits protect against accidents and simple tricks,
not against malicious code. Grade notebooks of people you do not trust in a container.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minillm_lib.checks.assignment import (
    Assignment,
    course_assignment,
    load_exercises,
    read_assignment,
    stand_ins,
)
from minillm_lib.checks.grade_report import GradeReport, Mark
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.notebook_run import NotebookRun, modules_of
from minillm_lib.checks.own_folder import own_folder
from minillm_lib.checks.seeding import hidden_inputs_from
from minillm_lib.checks.submission import read_notebook
from minillm_lib.checks.submission_process import NotStartedError, Starter
from minillm_lib.checks.work_clock import WorkClock, longest
from minillm_lib.io.repository import REPOSITORY


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
        the submission was made from: its metadata say which, or else its file name; where the two differ, it is the one
        with more of its exercises in the submission. The report's ``graded_as`` says so.
    exercises_file
        A Python file that registers your own exercises (``check.register(…)``).
    time_limit
        Seconds for the complete submission. What it computes and sleeps counts, but not how long other programs
        keep it waiting for a processor.
    cell_time_limit
        Seconds for each cell, counted in the same way.
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
        self._stand_ins = [] if exercises_file is None else stand_ins(exercises_file)
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
            self._starter = Starter()
        try:
            with hidden_inputs_from(self.seed):
                marks, problem = self._grade(path, notebook, assignment)
        except Exception as error:  # a mistake of ours, or a full disk: others are graded
            self._starter.close()
            problem = f"the grader failed: {type(error).__name__}: {error}"
            if isinstance(error, NotStartedError):
                problem = str(error)
            return GradeReport(path, (), problem, time.monotonic() - start, is_graded=False)
        seconds = time.monotonic() - start
        return GradeReport(path, tuple(marks), problem, seconds, graded_as=assignment.known_by)

    def _grade(self, path: Path, notebook: dict[str, Any], assignment: Assignment) -> tuple[list[Mark], str]:
        """Run the notebook; if the check of an answer ends its process, run it again for the other answers."""
        clock, modules = WorkClock(), modules_of(notebook)
        run = NotebookRun(notebook, assignment, self.limits)
        while True:
            with own_folder() as home:
                folder = home / "course"
                folder.mkdir()
                self._fill(folder, path)
                assert self._starter is not None
                with self._starter.session(folder, self.limits, clock, modules) as session:
                    run.go(session)
            ended = session.problem
            if run.checking is None or not ended:
                break
            run.lose(ended)
            is_late = clock.seconds > self.limits.time or clock.passed > longest(self.limits.time)
            if is_late or run.is_complete:
                ended = ended if is_late and not run.is_complete else ""
                break
        return run.marks(ended), ended or run.lost

    def _fill(self, folder: Path, path: Path) -> None:
        configs = REPOSITORY / "configs"
        if self.assignment is None and configs.is_dir():  # the course expects them beside its folder
            shutil.copytree(configs, folder.parent / "configs")
        with open(folder / "notebook.ipynb", "wb") as copy, open(path, "rb") as file:
            shutil.copyfileobj(file, copy)
        for name in self._stand_ins:
            (folder / name).write_text("# the grader has the exercises\n", encoding="utf-8")
        for extra in self._extra_files:
            if extra.is_dir():
                shutil.copytree(extra, folder / extra.name)
            else:
                shutil.copy(extra, folder / extra.name)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"the file cannot be read: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)
