"""The package's rooms: each imports only from rooms above it (see the list), so never in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minillm_lib

PACKAGE = Path(minillm_lib.__file__).parent
ROOMS = [
    "corpora",
    "topics",
    "tokenizer",
    "model",
    "generation",
    "training",
    "interop",
    "viz",
    "checks",
    "doctor",
    "cli_course",
    "demo",
    "cli_data",
    "cli_runs",
    "cli_plan",
    "cli_tokenizer",
    "cli_training",
    "cli",
]


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; rooms are named in full"
            names = [node.module]
            if node.module == "minillm_lib":
                names = [f"minillm_lib.{alias.name}" for alias in node.names if alias.name[0].islower()]
        yield from ((node.lineno, name.split(".")[1]) for name in names if name.startswith("minillm_lib."))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_above_it(path):
    if path == PACKAGE / "__init__.py":
        pytest.skip("the front door opens every room, lazily")
    here = ROOMS.index(room_of(path))
    for line, room in imported_rooms(path):
        assert ROOMS.index(room) <= here, f"{path.relative_to(PACKAGE)}:{line} imports {room!r} from below"


def test_the_import_is_lazy():
    """Neither the package nor the command line's help loads torch, numba or scikit-learn."""
    code = (
        "import sys, minillm_lib, minillm_lib.cli.main;"
        "print(sorted({'torch', 'numba', 'sklearn', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_can_be_imported_from_the_top():
    for name in minillm_lib.__all__:
        assert getattr(minillm_lib, name).__module__.startswith("minillm_lib."), name
    with pytest.raises(AttributeError, match=r"no attribute 'Gibs'; it offers .*GibbsLDA"):
        _ = minillm_lib.Gibs
