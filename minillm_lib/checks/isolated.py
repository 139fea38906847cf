"""Python processes in which nothing that lies where the grader works can take the place of a module."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")


def isolated_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package."""
    return [sys.executable, "-P", "-m", module, *arguments]


def isolated_environment() -> dict[str, str]:
    """Return the environment for it: without what looks like a secret of the instructor, and without the seed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not any(word in name.upper() for word in _SECRETS)
        and not name.startswith(("MINILLM_CHECK", "NBGRADER"))
    }
    return {**kept, "PYTHONPATH": _import_path()}


def _import_path() -> str:
    """Return the import path of this process, without the folder where it works; the package itself is found last."""
    here, package = os.getcwd(), str(Path(__file__).parents[2])
    found = [path for path in sys.path if path and os.path.abspath(path) not in (here, package)]
    return os.pathsep.join([*found, package])
