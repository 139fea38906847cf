"""What the tests of grading share: a small assignment of the instructor, and notebooks for it."""

from __future__ import annotations

from pathlib import Path

import nbformat

OWN = """
from minillm_lib.checks import Exercise, check

for name, factor in (("double", 2), ("triple", 3)):
    check.register(Exercise(
        name=name,
        points=factor,
        reference=lambda x, factor=factor: factor * x,
        inputs=lambda rng: (int(rng.integers(1, 99)),),
        misconceptions={lambda x: x + 1: "You add one."},
        time_limit=1,
    ))
"""
RIGHT = {"double": "def double(x):\n    return 2 * x", "triple": "def triple(x):\n    return 3 * x"}
CHECKS = {name: f"check.{name}({name})" for name in RIGHT}
SETUP = "from minillm_lib import check"
STUBS = [code.rsplit("\n", 1)[0] + "\n    raise NotImplementedError()" for code in RIGHT.values()]


def notebook(path: Path, *cells: str) -> Path:
    """Write a notebook with these code cells."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, path)
    return path


def assignment_in(folder: Path) -> dict[str, Path]:
    """Write the instructor's files, and return them as arguments of the grader."""
    own = folder / "own.py"
    own.write_text(OWN, encoding="utf-8")
    handed_out = notebook(
        folder / "assignment.ipynb", SETUP, STUBS[0], CHECKS["double"], STUBS[1], CHECKS["triple"]
    )
    return {"assignment": handed_out, "exercises_file": own}


def statuses(report) -> dict[str, str]:
    """Return the statuses of a report by exercise."""
    return {mark.exercise: mark.status for mark in report.results}
