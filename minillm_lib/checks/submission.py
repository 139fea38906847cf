"""Reading of a submitted notebook: which exercises it answers, and in which cells."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minillm_lib.checks.registry import COURSE
from minillm_lib.io.json_text import parse_json
from minillm_lib.io.regular_file import check_regular

_CHECK = re.compile(r"^[ \t]*check\.(?!register\b)([A-Za-z]\w*)\s*\(", re.MULTILINE)
_ONLY_A_CHECK = re.compile(r"\s*check\.\w+\s*\(\s*\w+\s*\)\s*")
_MOST_BYTES = 50 << 20  # of a notebook, with all its figures
_MOST_CODE = 1 << 20  # characters; Python's parser takes hundreds of bytes for each
Step = tuple[str, str]
"""``("run", source)`` for a cell of the learner, ``("check", exercise)`` for a check by the grader."""


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook file of at most 50 MiB, with at most a million characters of code.

    Raises
    ------
    ValueError
        If it is larger, not a notebook of format 4, or a pipe or device, which is not opened.
    OSError
        If it cannot be read.
    """
    check_regular(path, at_most=_MOST_BYTES)
    try:
        notebook = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON, so it is not a notebook: {error}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ValueError(f"{path.name} is not a notebook of format 4: it has no list of cells")
    if (n := sum(map(len, _code(notebook)))) > _MOST_CODE:
        raise ValueError(f"{path.name} has {n:,} characters of code; a notebook has at most {_MOST_CODE:,}")
    return notebook


def checked_exercises(notebook: dict[str, Any]) -> list[str]:
    """Return the names of the exercises that a notebook checks by ``check.NAME(…)``, in order."""
    return list(dict.fromkeys(name for source in _code(notebook) for name in _CHECK.findall(source)))


def course_notebook(path: Path, notebook: dict[str, Any]) -> str:
    """Find out which notebook of the course it is, by its metadata or else by the start of the file name.

    Raises
    ------
    ValueError
        If it is not a notebook of the course with exercises.
    """
    metadata = notebook.get("metadata")
    ours = metadata.get("minillm") if isinstance(metadata, dict) else None
    name = ours.get("notebook") if isinstance(ours, dict) else None
    if isinstance(name, str) and name in COURSE:
        return name
    for known in COURSE:
        if path.name.startswith(known):
            return known
    raise ValueError(
        f"{path.name} is not a notebook of the course with exercises ({', '.join(COURSE)}); "
        "for your own assignment, name the notebook that you handed out"
    )


def plan(notebook: dict[str, Any], exercises: Sequence[str]) -> tuple[list[Step], list[str]]:
    """Plan the steps that grade a notebook, up to the last check.

    The checks of the grader take the place of those in the notebook. A cell that only checks is dropped. If the check
    of an exercise was deleted, it follows the last cell that defines the exercise's name, so that a later import of the
    library's function under the same name earns nothing.

    Returns
    -------
    steps
        Cells to run and exercises to check, in order.
    missing
        Names of the exercises that the notebook does not answer.
    """
    steps: list[Step] = []
    checked: set[str] = set()
    for source in _code(notebook):
        found = [name for name in _CHECK.findall(source) if name in exercises and name not in checked]
        if not _ONLY_A_CHECK.fullmatch(source):
            steps.append(("run", source))
        steps += [("check", name) for name in found]
        checked.update(found)
    unchecked = [name for name in exercises if name not in checked]
    defined_by = {name: index for index, (_, source) in enumerate(steps) for name in _defined_names(source)}
    for name in sorted(
        (name for name in unchecked if name in defined_by), key=lambda name: -defined_by[name]
    ):
        steps.insert(defined_by[name] + 1, ("check", name))
    last = max((index for index, (kind, _) in enumerate(steps) if kind == "check"), default=-1)
    return steps[: last + 1], [name for name in unchecked if name not in defined_by]


def _code(notebook: dict[str, Any]) -> list[str]:
    sources = [cell.get("source", "") for cell in notebook["cells"] if cell.get("cell_type") == "code"]
    return ["".join(map(str, source)) if isinstance(source, list) else str(source) for source in sources]


def _defined_names(source: str) -> list[str]:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
