"""Build the notebooks from their sources: ``python solutions/build.py [NOTEBOOK …] [--force] [--check]``.

The source of a notebook is ``solutions/NN_title.py`` (jupytext's ``py:percent`` format). Only this file is edited by
hand. It is built into ``course/NN_title.ipynb``, with a stub in place of each solution, and into
``solutions/NN_title.ipynb``, with the solutions. Both notebooks are executed. Notebooks that are up to date are not
built again: their cells have been executed and are those of the source.

A cell with ``### BEGIN SOLUTION`` and ``### END SOLUTION`` is an exercise, and a cell ``check.NAME(NAME)`` checks it.
Both get the metadata that nbgrader needs.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode
from tqdm.auto import tqdm

from minillm_lib.checks import check
from minillm_lib.checks.progress_file import PROGRESS_VARIABLE
from minillm_lib.io.atomic_write import write_atomically

SOURCES = Path(__file__).parent
COURSE = SOURCES.parent / "course"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
IGNORE_OUTPUT = "nbval-ignore-output"
STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
_CHECK = re.compile(r"check\.(\w+)\((\w+)\)")
_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    # As the kernel says it: else JupyterLab writes it into a notebook that is only looked at, and marks it modified.
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": platform.python_version(),
    },
}
_CELL_SECONDS = 300


class SourceError(ValueError):
    """The source of a notebook breaks one of its conventions."""


def source_paths(names: Sequence[str] = ()) -> list[Path]:
    """Return the sources of the named notebooks, or of all notebooks if no name is given.

    Raises
    ------
    ValueError
        If there is no notebook with one of the names.
    """
    known = {path.stem: path for path in sorted(SOURCES.glob("[0-9][0-9]_*.py"))}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"there is no notebook {unknown[0]!r}; the notebooks are {', '.join(known)}")
    return [known[name] for name in names or known]


def notebook_of(source: Path, *, solved: bool) -> NotebookNode:
    """Make the notebook of a source without executing it.

    Raises
    ------
    SourceError
        If the source breaks one of its conventions.
    """
    parsed = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    stubbed = [without_solution(cell.source) for cell in parsed.cells]
    names = _exercise_names(parsed.cells, source)
    cells: list[NotebookNode] = []
    used: set[str] = set()
    for cell, stub, exercise in zip(parsed.cells, stubbed, names, strict=True):
        metadata = _metadata(cell, exercise)
        made = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}[cell.cell_type]
        text = cell.source if solved else stub
        # made from the source, not from the notebook's text, so that both notebooks have the same ids
        cells.append(made(text, metadata=metadata, id=_unused_id(cell.source, metadata, used)))
    metadata = {**_METADATA, "minillm": {"notebook": source.stem}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata, nbformat_minor=5)


def _exercise_names(cells: Sequence[NotebookNode], source: Path) -> list[str | None]:
    """Return for each cell the exercise that it sets or checks; the first check after an exercise names it."""
    names: list[str | None] = [None] * len(cells)
    posed: int | None = None
    for index, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        where = f"{source.name}, the cell that begins with {cell.source.splitlines()[:1]}"
        if BEGIN in cell.source:
            if posed is not None:
                raise SourceError(f"{where}: the previous exercise has no check")
            posed = index
        if match := _CHECK.fullmatch(cell.source.strip()):
            if match[1] != match[2] or match[1] not in dir(check):
                raise SourceError(
                    f"{where}: a check must be check.NAME(NAME), for an exercise of checks/registry.py"
                )
            if posed is None or match[1] not in _defined_names(cells[posed].source):
                raise SourceError(f"{where}: no exercise before this check defines {match[1]}")
            names[posed] = names[index] = match[1]
            posed = None
    if posed is not None:
        raise SourceError(f"{source.name}: the last exercise has no check")
    return names


def _defined_names(code: str) -> list[str]:
    body = ast.parse(code).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def _metadata(cell: NotebookNode, exercise: str | None) -> dict[str, Any]:
    """Return the metadata of a cell: the tags of the source, and nbgrader's metadata (schema 3)."""
    tags = list(cell.metadata.get("tags", []))
    metadata: dict[str, Any] = {}
    if exercise is not None:
        is_check = BEGIN not in cell.source
        tags += ["check", IGNORE_OUTPUT] if is_check else ["exercise"]
        metadata["nbgrader"] = {
            "schema_version": 3,
            "grade_id": f"check-{exercise}" if is_check else exercise,
            "grade": is_check,
            "solution": not is_check,
            "locked": is_check,
            "task": False,
        }
        if is_check:
            metadata["nbgrader"]["points"] = getattr(check, exercise).points
    if tags:
        metadata["tags"] = tags
    return metadata


def _unused_id(text: str, metadata: dict[str, Any], used: set[str]) -> str:
    """Return an unused id that depends on the text of the cell but not on its position."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    base = metadata["nbgrader"]["grade_id"] if "nbgrader" in metadata else digest
    number, name = 1, base
    while name in used:
        number += 1
        name = f"{base}-{number}"
    used.add(name)
    return name


def without_solution(code: str) -> str:
    """Replace each marked solution with nbgrader's stub.

    Raises
    ------
    SourceError
        If a mark has no counterpart, or is outside a function, where the stub would stop the notebook.
    """
    kept: list[str] = []
    inside = False
    for line in code.splitlines():
        mark = line.strip()
        if mark in (BEGIN, END):
            if inside == (mark == BEGIN):
                raise SourceError(
                    f"{mark} without its counterpart in the cell that begins with {code.splitlines()[0]!r}"
                )
            inside = mark == BEGIN
            indent = line[: len(line) - len(line.lstrip())]
            if inside and not indent:
                raise SourceError(
                    f"{mark} outside a function, in the cell that begins with {code.splitlines()[0]!r}"
                )
            kept += [indent + stub for stub in STUB] if inside else []
        elif not inside:
            kept.append(line)
    if inside:
        raise SourceError(
            f"{BEGIN} without its counterpart in the cell that begins with {code.splitlines()[0]!r}"
        )
    return "\n".join(kept)


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in a fresh kernel in a folder, and drop metadata that would differ in the next run.

    What whoever builds has passed before is not looked at: notebook 00 shows a table of it.
    """
    from nbclient import NotebookClient

    client = NotebookClient(
        notebook,
        timeout=_CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute(env={**os.environ, PROGRESS_VARIABLE: "off"})
    notebook.metadata = {**notebook.metadata, **_METADATA}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def dump(notebook: NotebookNode) -> bytes:
    """Return the notebook as JSON, in which the random ids of widgets are replaced with consecutive numbers."""
    text = nbformat.writes(notebook)
    state = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    for number, model_id in enumerate(state.get("state", {})):
        text = text.replace(model_id, f"{number:032x}")
    return (json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n").encode()


def outdated(notebook: NotebookNode, path: Path) -> str | None:
    """Return why the file at ``path`` is not the executed ``notebook``; None if it is."""
    if not path.exists():
        return "it does not exist"
    found = nbformat.read(path, as_version=4)
    facts = ("cell_type", "id", "source", "metadata")
    if [[cell[f] for f in facts] for cell in found.cells] != [
        [cell[f] for f in facts] for cell in notebook.cells
    ]:
        return "its cells differ from those of its source"
    code = [cell for cell in found.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        return "not all of its cells were executed, in order, in a fresh kernel"
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        return "one of its cells raised an error"
    return None


def targets(source: Path) -> dict[Path, bool]:
    """Return the notebooks that are built from a source, and whether each contains the solutions."""
    return {COURSE / f"{source.stem}.ipynb": False, SOURCES / f"{source.stem}.ipynb": True}


def build(sources: Sequence[Path], *, force: bool = False) -> None:
    """Build the notebooks that are out of date, one after the other; with ``force``, build all."""
    jobs = []
    for source in sources:
        for path, solved in targets(source).items():
            notebook = notebook_of(source, solved=solved)
            if force or outdated(notebook, path):
                jobs.append((notebook, path))
    for notebook, path in tqdm(jobs, unit="notebook", disable=not sys.stderr.isatty()):
        start = time.monotonic()
        execute(notebook, path.parent)
        data = dump(notebook)
        write_atomically(path, data)
        size = f"{len(data) / 2**20:.2f} MiB"
        tqdm.write(f"{path.relative_to(SOURCES.parent)}: {time.monotonic() - start:.0f} s, {size}")
    if not jobs:
        print("all notebooks are up to date")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build notebooks, or report which are out of date."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("notebooks", nargs="*", help="names such as 07_rmsnorm; by default all")
    parser.add_argument("--force", action="store_true", help="also build notebooks that are up to date")
    parser.add_argument(
        "--check", action="store_true", help="build nothing, and fail if a notebook is out of date"
    )
    options = parser.parse_args(arguments)
    sources = source_paths(options.notebooks)
    if not options.check:
        build(sources, force=options.force)
        return
    found = [
        f"{path.name} in {path.parent.name}/: {why}"
        for source in sources
        for path, solved in targets(source).items()
        if (why := outdated(notebook_of(source, solved=solved), path))
    ]
    if found:
        sys.exit("\n".join([*found, "Run: make notebooks"]))


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"error: {error}")
