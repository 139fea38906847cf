"""Grading of submitted notebooks, each in its own process with limits on time and memory.

Grading runs the code of the submissions with your permissions. The limits protect against accidents, not against
malicious code. Grade notebooks of people you do not trust in a container.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm_lib.checks.exercise import SEED_VARIABLE, Exercise
from minillm_lib.checks.limits import run_limited
from minillm_lib.checks.registry import check, exercises_of
from minillm_lib.checks.result import CheckResult
from minillm_lib.checks.submission import (
    checked_exercises,
    course_notebook,
    plan,
    read_notebook,
)


@dataclass(frozen=True)
class GradeReport:
    """The grade of one submission.

    Attributes
    ----------
    results
        One result per exercise.
    problem
        What prevented the complete submission from running; empty if nothing did.
    seconds
        Duration of the run.
    """

    path: Path
    results: tuple[CheckResult, ...]
    problem: str = ""
    seconds: float = 0.0

    @property
    def points(self) -> int:
        """Total number of points reached."""
        return sum(result.points for result in self.results)

    @property
    def max_points(self) -> int:
        """Total number of points that can be reached."""
        return sum(result.max_points for result in self.results)

    def __str__(self) -> str:
        lines = [f"{self.path.name}: {self.points} of {self.max_points} points", *map(repr, self.results)]
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

    The cells of the notebook run in order in a separate process, in the notebook's folder, up to the last exercise. An
    error in one cell does not stop the next. The checks in the notebook are replaced by the original ones, so that
    editing them has no effect. A deleted exercise counts as zero. A broken submission results in a report with a
    ``problem``, never in an exception.

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
        If the assignment is not a notebook, has no checks or checks unknown exercises, a limit is not positive, or
        Jupyter is not installed.
    OSError
        If ``assignment`` or ``exercises_file`` cannot be read.
    """
    if importlib.util.find_spec("IPython") is None:
        raise ValueError('grading runs notebooks, which needs Jupyter: pip install "minillm-lib[course]"')
    path = Path(path)
    for name, limit in {"time": time_limit, "cell time": cell_time_limit, "memory": memory_limit}.items():
        if limit <= 0:
            raise ValueError(f"the {name} limit is {limit:g}; it must be greater than 0")
    exercises = _exercises_of_assignment(assignment, exercises_file) if assignment is not None else None
    try:
        submission = read_notebook(path)
        graded = exercises if exercises is not None else exercises_of(course_notebook(path, submission))
    except (ValueError, OSError) as error:
        lost = [CheckResult(e.name, "failed", "Not graded.", e.points) for e in exercises or ()]
        return GradeReport(path, tuple(lost), problem=str(error))
    steps, missing = plan(submission, [exercise.name for exercise in graded])
    job = {
        "steps": steps,
        "cell_time_limit": cell_time_limit,
        "exercises_file": str(Path(exercises_file).resolve()) if exercises_file is not None else None,
    }
    start = time.monotonic()
    found, problem = _run(job, path.resolve().parent, time_limit, memory_limit, seed)
    results = tuple(_result(exercise, found, missing, problem) for exercise in graded)
    return GradeReport(path, results, problem, time.monotonic() - start)


def _exercises_of_assignment(
    assignment: str | os.PathLike[str], exercises_file: str | os.PathLike[str] | None
) -> list[Exercise]:
    if exercises_file is not None:
        runpy.run_path(os.fspath(exercises_file))
    names = checked_exercises(read_notebook(Path(assignment)))
    if not names:
        raise ValueError(f"{assignment} has no cell of the form check.NAME(answer): nothing to grade")
    try:
        return [getattr(check, name) for name in names]
    except AttributeError as error:
        raise ValueError(f"{assignment}: {error}") from None


def _result(
    exercise: Exercise, found: dict[str, CheckResult], missing: Sequence[str], problem: str
) -> CheckResult:
    if exercise.name in found:
        return found[exercise.name]
    if exercise.name in missing:
        message = f"`{exercise.name}` is not in the notebook."
    else:
        message = f"Not reached: {problem or 'the process ended before it'}."
    return CheckResult(exercise.name, "failed", message, exercise.points)


def _run(
    job: dict[str, Any], folder: Path, time_limit: float, memory_limit: float, seed: int | None
) -> tuple[dict[str, CheckResult], str]:
    """Run a job in a separate process, and return the checks that it reached, and why it was stopped, if it was."""
    with tempfile.TemporaryDirectory() as private:
        results, job_file = Path(private, "results.jsonl"), Path(private, "job.json")
        job_file.write_text(json.dumps({**job, "results": str(results)}), encoding="utf-8")
        status, problem = run_limited(
            [sys.executable, "-m", "minillm_lib.checks.run_submission", str(job_file)],
            folder=folder,
            variables={
                "MPLBACKEND": "agg",
                SEED_VARIABLE: str(secrets.randbelow(2**32) if seed is None else seed),
            },
            time_limit=time_limit,
            memory_limit=memory_limit,
        )
        lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    checks = [CheckResult(**json.loads(line)) for line in lines if line.endswith("}")]
    if not problem and status != 0:
        problem = f"the process ended with status {status}"
    return {result.exercise: result for result in checks}, problem


def grade_folder_paths(folder: Path) -> list[Path]:
    """Return the paths of the notebooks in a folder and its subfolders in order, without JupyterLab's checkpoints.

    Raises
    ------
    ValueError
        If there are no notebooks.
    """
    paths = sorted(path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    if not paths:
        raise ValueError(f"{folder} has no notebooks (*.ipynb) to grade")
    return paths
