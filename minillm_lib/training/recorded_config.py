"""The ``config.yaml`` of a run, which may have been cut, edited, or written by another version of this package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minillm_lib.io.wording import shown
from minillm_lib.io.yaml_text import YAMLError, read_yaml

# What is read of it once the run has begun; other keys are only compared with those of a run that resumes.
_SECTION, _TEXT, _LIST = (dict, "keys with values"), (str, "a text"), (list, "a list")
_COUNT, _COUNT_OR_NULL = (int, "a whole number from 1"), ((int, type(None)), "a whole number from 1, or null")
_NUMBER, _NUMBER_OR_NULL = ((int, float), "a number"), ((int, float, type(None)), "a number, or null")
_READ: dict[str, tuple[Any, str]] = {
    "run": _TEXT,
    "output": _TEXT,
    "data": _SECTION,
    "data.folder": _TEXT,
    "data.corpora": _LIST,
    "data.conversations": _LIST,
    "model": _SECTION,
    "model.vocab_size": _COUNT_OR_NULL,
    "model.max_seq_len": _COUNT,
    "model.initializer_range": _NUMBER,
    "train": _SECTION,
    "train.steps": _COUNT,
    "train.seq_len": _COUNT_OR_NULL,
    "train.clip_norm": _NUMBER_OR_NULL,
    "train.schedule": _SECTION,
    "train.schedule.steps": _COUNT_OR_NULL,
}


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of a run.

    Raises
    ------
    FileNotFoundError
        If there is none.
    YAMLError
        If it is no YAML, or a key that is read later has a value of another type. The message does not name the file.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        found = "it is empty" if values is None else f"it holds {shown(values)}"
        raise YAMLError(f"{found}; it must hold the keys of a run, such as 'train:'")
    for key, (kind, wanted) in _READ.items():
        found, is_there = _value(values, key)
        if is_there and not _is_of(kind, found):
            raise YAMLError(f"{key} is {shown(found)}; it must be {wanted}")
    for items in ("data.corpora", "data.conversations"):
        for each in _value(values, items)[0] or ():
            if not isinstance(each, dict):
                raise YAMLError(f"{items} has the item {shown(each)}; each must have keys with values")
    return values


def _value(values: Mapping[str, Any], key: str) -> tuple[Any, bool]:
    """Return the value of a dotted key, and whether it is there."""
    value: Any = values
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None, False
        value = value[part]
    return value, True


def _is_of(kind: Any, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return (
        not isinstance(value, int) or 0 < value < 2**63 or float in (kind if isinstance(kind, tuple) else ())
    )
