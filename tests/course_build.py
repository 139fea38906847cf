"""solutions/build.py as a module, and helpers for tests of the notebooks of the course."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("course_build_script", ROOT / "solutions" / "build.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)

SOURCES = build.source_paths()


def exercise_cell(notebook, name):
    """Return the cell in solutions/ that answers an exercise, and all code cells before it."""
    code = [
        cell for cell in build.notebook_of(source_of(notebook), solved=True).cells if cell.cell_type == "code"
    ]
    for index, cell in enumerate(code):
        if cell.metadata.get("nbgrader", {}).get("grade_id") == name:
            return cell.source, [earlier.source for earlier in code[:index]]
    raise AssertionError(f"{notebook} has no exercise {name}")


def source_of(notebook):
    return ROOT / "solutions" / f"{notebook}.py"


def answer(cell, earlier, name):
    """Return what a cell defines under a name, given the imports and definitions of the cells before it."""
    namespace = {"__name__": "notebook"}
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    for source in earlier:
        tree = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))
        tree.body = [node for node in tree.body if isinstance(node, kinds)]
        exec(compile(tree, "earlier cell", "exec"), namespace)
    exec(compile(cell, f"cell of {name}", "exec"), namespace)
    return namespace[name]
