"""Values that a checkpoint holds beside its tensors, read such that no content of a file surprises what uses them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minillm_lib.io.regular_file import NotRegularFileError, check_regular
from minillm_lib.io.wording import shown

_LARGEST_JSON = 16 << 20
_DEEPEST, _MOST_VALUES = 32, 200_000


class CheckpointError(ValueError):
    """The error of a checkpoint that cannot be read or must not be replaced; it names the file and what is wrong."""


def check_file(path: str | os.PathLike[str], *, at_most: int | None = None) -> None:
    """Check that a path is a regular file, as :func:`~minillm_lib.io.regular_file.check_regular` does.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    CheckpointError
        If it is not, or is larger than ``at_most`` bytes.
    """
    try:
        check_regular(path, at_most=at_most)
    except NotRegularFileError as error:
        raise CheckpointError(str(error)) from None


def read_json(path: Path, why: str = "") -> dict[str, Any]:
    """Read a file that holds one JSON object, in which no key occurs twice and every number is finite.

    Parameters
    ----------
    why
        Why the file is needed, for the error.

    Raises
    ------
    CheckpointError
        If it is missing, or holds something else.
    """
    try:
        check_file(path, at_most=_LARGEST_JSON)
        text = path.read_bytes().decode()
        values = json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; {why}" if why else f"{path}: missing") from None
    except CheckpointError:
        raise
    except RecursionError:
        raise CheckpointError(
            f"{path}: values lie within values too deeply; at most {_DEEPEST} levels are read"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    return mapping_of_values(path, values)


def mapping_of_values(path: Path, values: Any, name: str = "the configuration") -> dict[str, Any]:
    """Return what was read if it is a mapping of strings to values such as JSON has.

    Parameters
    ----------
    path, name
        Where it comes from and what it is, for errors.

    Raises
    ------
    CheckpointError
        If it is something else, too deep or too large, or holds a number that is not finite.
    """
    if not isinstance(values, dict):
        raise CheckpointError(
            f"{path}: {name} is not a mapping of keys to values, but of the type {type(values).__name__}"
        )
    waiting: list[tuple[str, Any, int]] = [("", values, 0)]
    n_values = 0
    while waiting:
        key, value, depth = waiting.pop()
        n_values += 1
        where = f"{path}: {name}" + (f", key {shown(key)}," if key else "")
        if depth > _DEEPEST or n_values > _MOST_VALUES:
            limits = f"{_DEEPEST} levels and {_MOST_VALUES:,} values"
            raise CheckpointError(f"{where} is too deep or too large; at most {limits} are read")
        if isinstance(value, Mapping):
            for inner in value:
                if not isinstance(inner, str):
                    raise CheckpointError(
                        f"{where} has a key of the type {type(inner).__name__}; keys must be strings"
                    )
            waiting += [(key or inner, own, depth + 1) for inner, own in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(key, own, depth + 1) for own in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise CheckpointError(f"{where} has the value {value}; numbers must be finite")
        elif not (value is None or isinstance(value, bool | int | float | str)):
            raise CheckpointError(
                f"{where} holds a value of the type {type(value).__name__}; allowed are numbers, strings, lists and "
                "mappings"
            )
    return values


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {shown(key)} occurs twice in one object")
        values[key] = value
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it has the number {name}; numbers must be finite")
