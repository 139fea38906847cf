"""What is graded: the exercises of an assignment, and the names of their answers."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minillm_lib.checks.exercise import Exercise
from minillm_lib.checks.registry import check, exercises_of
from minillm_lib.checks.submission import checked_exercises, course_notebook, read_notebook
from minillm_lib.io.regular_file import check_regular


class ExercisesFileError(ValueError):
    """A file of exercises that cannot be used; the message ends with the traceback of its own lines."""


@dataclass(frozen=True)
class Assignment:
    """The exercises that a notebook is graded for.

    Attributes
    ----------
    exercises
        The exercises, in order.
    answers
        The name that each exercise's answer has in the notebook.
    known_by
        Which notebook of the course it is, and how that was found out; empty for any other.
    """

    exercises: Sequence[Exercise]
    answers: Mapping[str, str]
    known_by: str = ""

    @classmethod
    def of(cls, exercises: Sequence[Exercise], arguments: Mapping[str, str | None]) -> Assignment:
        """Make one of exercises, and of the names with which the notebook that was handed out checks them."""
        answers = {
            one.name: getattr(one, "answer", None) or arguments.get(one.name) or one.name for one in exercises
        }
        return cls(exercises, answers)

    @property
    def max_points(self) -> float:
        """The points of all exercises together."""
        return sum(exercise.points for exercise in self.exercises)


def read_assignment(path: str | os.PathLike[str]) -> Assignment:
    """Read which exercises a notebook that was handed out checks.

    Raises
    ------
    ValueError
        If it is not a notebook, has no checks, or checks unknown exercises.
    OSError
        If it cannot be read.
    """
    arguments = checked_exercises(read_notebook(Path(path)))
    if not arguments:
        raise ValueError(f"{path} has no cell of the form check.NAME(answer): nothing to grade")
    try:
        return Assignment.of([getattr(check, name) for name in arguments], arguments)
    except AttributeError as error:
        raise ValueError(f"{path}: {error}") from None


def course_assignment(path: Path, notebook: dict[str, Any]) -> Assignment:
    """Return what is graded in a submission of the course.

    Raises
    ------
    ValueError
        If it is not a notebook of the course with exercises.
    """
    name, reason = course_notebook(path, notebook)
    return replace(Assignment.of(exercises_of(name), {}), known_by=f"{name}, {reason}")


def load_exercises(path: str | os.PathLike[str]) -> list[Exercise]:
    """Run a Python file that registers exercises, and return those that it registered.

    The file's folder is on the import path meanwhile, behind everything else, so that it can import what lies beside
    it, and nothing beside it takes the place of a module of Python.

    Raises
    ------
    ExercisesFileError
        If running it raises an error, or it registers no exercise.
    OSError
        If it cannot be read.
    """
    check_regular(path)
    before = dict(check._registered)
    try:
        with _folder_on_path(Path(path).resolve().parent):
            runpy.run_path(os.fspath(path))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit
        raise ExercisesFileError(
            f"{path} raises an error, so no exercise can be used.\n{_own_traceback(error, path)}"
        ) from error
    found = [one for name, one in check._registered.items() if before.get(name) is not one]
    if not found:
        raise ExercisesFileError(f"{path} registers no exercise; it should call check.register(Exercise(…))")
    return found


def module_for_learners(path: str | os.PathLike[str]) -> str:
    """Return the name of the module that learners import for a file of exercises: ``mine_student`` for ``mine.py``."""
    name = re.sub(r"\W", "_", Path(path).stem)
    return f"{'_' if name[:1].isdigit() else ''}{name}_student"


def stand_ins(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the empty files that notebooks import, while they are graded, in place of the exercises.

    A file whose name is that of an installed module is not among them.
    """
    modules, folder = (Path(path).stem, module_for_learners(path)), Path(path).resolve().parent
    return [f"{name}.py" for name in modules if name.isidentifier() and not _is_installed(name, folder)]


def _is_installed(module: str, beside: Path) -> bool:
    found = importlib.util.find_spec(module)
    return found is not None and (not found.origin or Path(found.origin).resolve().parent != beside)


@contextmanager
def _folder_on_path(folder: Path) -> Iterator[None]:
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _own_traceback(error: BaseException, path: str | os.PathLike[str]) -> str:
    """Return the traceback from the first line of the file on."""
    told = traceback.TracebackException.from_exception(error)
    own = [index for index, frame in enumerate(told.stack) if frame.filename == os.fspath(path)]
    told.stack = traceback.StackSummary.from_list(list(told.stack)[own[0] :] if own else [])
    told.__cause__ = told.__context__ = None
    return "".join(told.format()).strip()
