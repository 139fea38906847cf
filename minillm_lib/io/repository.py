"""Files that are part of the repository but not of the installed package: models, configurations, notebooks."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
"""The folder of the repository, if the package runs from it."""


def repository_file(path: str) -> Path:
    """Return where a file or folder of the repository is.

    Parameters
    ----------
    path
        Relative to the repository, such as ``"configs/pretrain-tiny.yaml"``.

    Raises
    ------
    FileNotFoundError
        If it is not there; the message says that it is part of the repository.
    """
    found = REPOSITORY / path
    if not found.exists():
        raise FileNotFoundError(
            f"there is no {found}: {path} is part of the repository, not of the installed package; clone the "
            "repository and run the command there"
        )
    return found
