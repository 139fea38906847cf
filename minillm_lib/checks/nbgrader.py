"""Grading under nbgrader: the grader of this package marks the checks, whatever a submission does in its kernel.

nbgrader runs a submission in a kernel and reads the mark of a test cell from the cell's output, which the code of the
submission can forge. :func:`configure` puts this package's :class:`~minillm_lib.checks.grading.Grader` in between: it
marks the cells ``check.NAME(answer)`` in a process of its own, and nbgrader finds its marks in their outputs.

nbgrader is no dependency of this package; it is nbgrader that calls this module.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from minillm_lib.checks.assignment import load_exercises, stand_ins
from minillm_lib.checks.grade_report import GradeReport, Mark
from minillm_lib.checks.grading import Grader
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.registry import check as known_exercises
from minillm_lib.checks.result import CheckResult
from minillm_lib.checks.self_check import examine_exercises
from minillm_lib.checks.submission import checked_exercises

_STUB = re.compile(r"^([ \t]+)# YOUR CODE HERE\n\1raise NotImplementedError\(\)$", re.MULTILINE)
_IS_CHECK = re.compile(r"(?:\w+ = )?check\.\w+\(\w+\)(?:\.function)?")


class NotGradedError(Exception):
    """A submission that could not be graded, which is not the same as 0 points; nbgrader reports it and goes on."""


@dataclass(frozen=True)
class _Settings:
    exercises_file: Path | None = None
    limits: Limits = field(default_factory=Limits)


def configure(
    config: Any,
    *,
    exercises: str | Path | None = None,
    time_limit: float = 600.0,
    cell_time_limit: float = 120.0,
    memory_limit: float = 4096.0,
) -> None:
    """Let nbgrader mark checks by the grader of this package: ``configure(get_config())`` in ``nbgrader_config.py``.

    ``nbgrader autograde`` then marks each test cell that calls ``check.NAME(answer)`` as ``minillm grade`` does. What
    else is in a test cell stays nbgrader's: its error gives 0 points. A deleted check is put back, and so is what
    nbgrader notes in a cell; without that, a copied cell would end the grading of all. If the kernel dies, the checks
    are marked all the same. ``nbgrader generate_assignment`` keeps stubs that are there already, so that it also takes
    the notebooks of ``course/``.

    Parameters
    ----------
    config
        What ``get_config()`` returns.
    exercises
        A Python file that registers your own exercises; a relative path starts from the folder of the course. Keep it
        out of ``source/``, which is given to students.
    time_limit, cell_time_limit, memory_limit
        As for :func:`~minillm_lib.checks.grading.grade_notebook`. nbgrader's own limit for a cell becomes
        ``cell_time_limit`` too, unless the configuration sets it.

    Raises
    ------
    ValueError
        If a limit is not positive, or the configuration lists preprocessors without those that are to be replaced.
    """
    limits = Limits(time=time_limit, cell_time=cell_time_limit, memory=memory_limit)
    settings = _Settings(None if exercises is None else Path(exercises), limits)
    originals, converters = import_module("nbgrader.preprocessors"), import_module("nbgrader.converters")
    for converter, name, original, addition in (
        (converters.Autograde, "sanitize_preprocessors", originals.DeduplicateIds, _Restoring),
        (converters.Autograde, "autograde_preprocessors", originals.Execute, _Grading),
        (converters.GenerateAssignment, "preprocessors", originals.ClearSolutions, _KeepingStubs),
    ):
        section = config[converter.__name__]
        before = section[name] if name in section else getattr(converter, name).default()
        if original not in before:
            raise ValueError(
                f"{converter.__name__}.{name} does not hold {original.__name__}, which minillm_lib extends"
            )
        extended = type(original.__name__, (addition, original), {"settings": settings})
        section[name] = [extended if one is original else one for one in before]
    if "timeout" not in config.Execute:
        config.Execute.timeout = round(cell_time_limit)


@dataclass(frozen=True)
class _CheckCell:
    """A test cell with checks, as it was handed out."""

    source: str
    note: Mapping[str, Any]

    @property
    def points(self) -> float:
        return float(self.note["points"])

    @property
    def exercises(self) -> list[str]:
        return list(checked_exercises(_notebook([self.source])))

    @property
    def is_pure(self) -> bool:
        """Whether there is nothing in it but checks and imports."""
        try:
            body = ast.parse(self.source).body
        except SyntaxError:  # such as a magic
            return False
        return all(
            isinstance(node, ast.Import | ast.ImportFrom) or _IS_CHECK.fullmatch(ast.unparse(node))
            for node in body
        )


class _KeepingStubs:
    """Added to ``ClearSolutions``: a cell of the course that already has a stub is not replaced altogether."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        if cell.cell_type == "code" and _STUB.search(cell.source) and "BEGIN SOLUTION" not in cell.source:
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)  # type: ignore[misc]


class _Restoring:
    """Added to ``DeduplicateIds``: what nbgrader notes in a cell is again as it was handed out.

    For a note that it cannot read, as in a copied cell, nbgrader ends the grading of all that come after.
    """

    log: Any

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        known = _notes(resources["nbgrader"])
        for number, cell in enumerate(nb.cells, 1):
            found = cell.metadata.pop("nbgrader", None)
            name = found.get("grade_id") if isinstance(found, dict) else None
            note = known.get(name) if isinstance(name, str) else None
            if note is not None:
                cell.metadata["nbgrader"] = note
                changed = [key for key, value in note.items() if found.get(key) != value]
                if changed:
                    self.log.warning("Cell %r: %s had been changed.", name, ", ".join(changed))
            elif found is not None:
                self.log.warning("Cell %d is marked up for nbgrader, but was not handed out.", number)
        nb, resources = super().preprocess(nb, resources)  # type: ignore[misc]
        for cell in nb.cells:
            if not cell.metadata.get("nbgrader", True):
                del cell.metadata["nbgrader"]  # a copy of another cell
        return nb, resources


class _Grading:
    """Added to ``Execute``: the outputs of the checks are replaced by the grader's marks."""

    settings: _Settings
    log: Any

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        checks = _check_cells(resources["nbgrader"])
        for grade_id in _put_back(nb, checks):
            self.log.warning("The check %r was missing; it was put back.", grade_id)
        marks = self._marks(nb, resources, checks)
        nb, resources = self._executed(nb, resources)
        for cell in nb.cells:
            check = checks.get(_grade_id(cell))
            if check is not None and (check.is_pure or not _has_error(cell)):
                shown = [] if check.is_pure else [one for one in cell.outputs if _is_harmless(one)]
                cell.outputs = [_output(check, marks), *shown]
        return nb, resources

    def _marks(self, nb: Any, resources: Any, checks: Mapping[str, _CheckCell]) -> dict[str, Mark]:
        if not checks:
            return {}
        about, folder = resources["nbgrader"], Path(resources["metadata"]["path"]).resolve()
        with _not_under_nbgrader():
            report = _grade(nb, about["notebook"], folder, checks, self.settings)
        problems = [mark.message for mark in report.results if mark.status == "not checked"]
        if problems or not report.is_graded:
            who = f"{about['notebook']} of student {about['student']}"
            raise NotGradedError(
                f"{who} could not be graded, because: {'; '.join(problems) or report.problem}"
            )
        return {mark.exercise: mark for mark in report.results}

    def _executed(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Run the notebook; where that breaks off, test cells that were not reached have an error."""
        try:
            return super().preprocess(nb, resources)  # type: ignore[misc]
        except Exception as error:  # the kernel died, or does not answer any more
            self.log.warning("The notebook did not run to its end: %s", error)
        for cell in nb.cells:
            if cell.cell_type == "code" and cell.execution_count is None and _grade_id(cell) is not None:
                text = "The notebook did not run to this cell."
                told = {"output_type": "error", "ename": "NotReached", "evalue": text, "traceback": [text]}
                cell.outputs = [type(cell)(told)]
        return nb, resources


@contextmanager
def _not_under_nbgrader() -> Iterator[None]:
    """Take nbgrader's variable away, which makes failed checks raise an error."""
    value = os.environ.pop("NBGRADER_EXECUTION", None)
    try:
        yield
    finally:
        if value is not None:
            os.environ["NBGRADER_EXECUTION"] = value


def _grade(
    nb: Any, name: str, folder: Path, checks: Mapping[str, _CheckCell], settings: _Settings
) -> GradeReport:
    """Grade a notebook, by the checks as they were handed out, with the files that lie beside it."""
    own = settings.exercises_file
    if own is not None:
        _examine(own.resolve(), own.stat().st_mtime_ns)
    for cell_name, cell in checks.items():
        if unknown := [one for one in cell.exercises if one not in dir(known_exercises)]:
            raise ValueError(
                f"test cell {cell_name!r} checks {unknown[0]!r}, which is not an exercise of the course; name the file "
                'that registers it: configure(get_config(), exercises="mine.py")'
            )
    left_out = [] if own is None else stand_ins(own)
    beside = [path for path in folder.iterdir() if path.suffix != ".ipynb" and path.name not in left_out]
    with TemporaryDirectory(prefix="minillm-") as temporary:
        handed_out, handed_in = Path(temporary, "assignment.ipynb"), Path(temporary, f"{name}.ipynb")
        handed_out.write_text(json.dumps(_notebook([check.source for check in checks.values()])))
        handed_in.write_text(
            json.dumps(_notebook([cell.source for cell in nb.cells if cell.cell_type == "code"]))
        )
        with Grader(
            assignment=handed_out, exercises_file=own, limits=settings.limits, extra_files=beside
        ) as grader:
            return grader.grade(handed_in)


@functools.cache
def _examine(path: Path, changed: int) -> None:
    """Examine the instructor's exercises once, so that an error in them does not become the students' zeros."""
    wrong = [
        f"{found.exercise}: {error}"
        for found in examine_exercises(load_exercises(path), path)
        for error in found.errors
    ]
    if wrong:
        raise ValueError("\n".join([f"{path} would give wrong marks, so nothing is graded.", *wrong]))


def _notes(about: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what nbgrader has noted in each cell that was handed out, without the checksum."""
    with import_module("nbgrader.api").Gradebook(about["db_url"]) as gradebook:
        notebook = gradebook.find_notebook(about["notebook"], about["assignment"])
        tasks = {cell.name: float(cell.max_score) for cell in notebook.task_cells}
        points = {cell.name: float(cell.max_score) for cell in notebook.grade_cells} | tasks
        answers = {cell.name for cell in notebook.solution_cells}
        return {
            cell.name: {
                "schema_version": 3,
                "grade_id": cell.name,
                "grade": cell.name in points and cell.name not in tasks,
                "solution": cell.name in answers,
                "locked": cell.locked,
                "task": cell.name in tasks,
                **({"points": points[cell.name]} if cell.name in points else {}),
            }
            for cell in notebook.source_cells
        }


def _check_cells(about: Mapping[str, str]) -> dict[str, _CheckCell]:
    """Return the test cells of a notebook that have checks, from the gradebook, where no student's code has been."""
    notes = _notes(about)
    with import_module("nbgrader.api").Gradebook(about["db_url"]) as gradebook:
        notebook = gradebook.find_notebook(about["notebook"], about["assignment"])
        cells = [
            _CheckCell(cell.source, {**notes[cell.name], "checksum": cell.checksum, "cell_type": "code"})
            for cell in notebook.source_cells
            if cell.cell_type == "code" and cell.locked and notes[cell.name]["grade"]
        ]
    return {cell.note["grade_id"]: cell for cell in cells if cell.exercises}


def _put_back(nb: Any, checks: Mapping[str, _CheckCell]) -> list[str]:
    """Append the checks that are missing, and return their names."""
    missing = checks.keys() - {_grade_id(cell) for cell in nb.cells}
    for name in sorted(missing):
        note = checks[name].note
        cell = import_module("nbformat.v4").new_code_cell(checks[name].source, metadata={"nbgrader": note})
        if (nb.nbformat, nb.nbformat_minor) < (4, 5):
            del cell["id"]
        nb.cells.append(cell)
    return sorted(missing)


def _output(check: _CheckCell, marks: Mapping[str, Mark]) -> Any:
    """Return the output of a check: a number, which nbgrader takes for the mark, and the messages, which are shown."""
    found = [marks[name] for name in check.exercises]
    total = sum(mark.max_points for mark in found)
    score, boxes = 0.0, []
    for mark in found:
        share = check.points * mark.max_points / total if total else check.points / len(found)
        gained = share * mark.points / mark.max_points if mark.max_points else share * mark.passed
        score += gained
        boxes.append(CheckResult(mark.exercise, mark.status, mark.message, share)._repr_html_())
    shown = "".join(boxes).encode("utf-8", "backslashreplace").decode()
    data = {"text/plain": f"{min(score, check.points):.12g}", "text/html": shown}
    return import_module("nbformat.v4").new_output("execute_result", data)


def _grade_id(cell: Any) -> Any:
    """Return the name of a test cell; None for other cells."""
    facts = cell.metadata.get("nbgrader", {})
    return facts.get("grade_id") if facts.get("grade") else None


def _has_error(cell: Any) -> bool:
    return any(output.output_type == "error" for output in cell.outputs)


def _is_harmless(output: Any) -> bool:
    """Return whether nbgrader takes an output neither for an error nor for a mark."""
    is_warning = output.output_type == "stream" and output.name == "stderr"
    return output.output_type != "execute_result" and not is_warning


def _notebook(sources: Sequence[str]) -> dict[str, Any]:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
