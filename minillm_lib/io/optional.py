"""Packages that only some parts of the library need: an error that names the command which installs them."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class MissingPackageError(ImportError):
    """A package is missing that an optional part of the library needs; the message says how to install it."""


@contextmanager
def optional_imports(extra: str, purpose: str) -> Iterator[None]:
    """Replace the error about a missing package, in imports inside the block, by one that says how to install it.

    Parameters
    ----------
    extra
        The extra of this package that installs what is imported, such as ``"report"``.
    purpose
        What it is needed for, such as ``"to draw figures"``.

    Raises
    ------
    MissingPackageError
        If a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "minillm_lib"):
            raise
        raise MissingPackageError(
            f"{purpose}, install the package {package}: pip install 'minillm-lib[{extra}]'", name=error.name
        ) from None


def needed(module: str, extra: str, purpose: str) -> Any:
    """Import a module of an optional package and return it, as :func:`optional_imports` does for a statement.

    Parameters
    ----------
    module
        Its dotted name.
    extra, purpose
        See :func:`optional_imports`.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    with optional_imports(extra, purpose):
        return importlib.import_module(module)


def installed_version(package: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
