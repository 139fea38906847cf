"""Configurations from YAML files and command lines: ``minillm pretrain --config FILE --train.lr 3e-4``.

Libraries that do this were tried (pydantic-settings): where a key is misspelt, they print the usage of all options and
"unrecognized arguments", where :func:`load_config` names the key, its value, the nearest key and those that exist.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, overload

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from minillm_lib.io.refusals import refusal_in_words
from minillm_lib.io.wording import shown
from minillm_lib.io.yaml_text import YAMLError, parse_yaml, read_yaml
from minillm_lib.model.config import PRESETS, ModelConfig, StrictConfig
from minillm_lib.training.config import (
    SHORT_NAMES,
    ConfigError,
    PretrainConfig,
    RunConfig,
    SFTConfig,
    TrainConfig,
    with_full_names,
)

Config = TypeVar("Config", bound=RunConfig)

_CROSS_REFERENCE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")  # of Sphinx, which a terminal does not render
_RUN_FOLDER = "run_folder"
"""Another name for ``run``: torchrun takes ``--run`` for an abbreviation of its own options, and stops."""


def kind_of_config(path: str | os.PathLike[str]) -> type[PretrainConfig] | type[SFTConfig]:
    """Tell whether a YAML file is for pretraining or for fine-tuning, by the keys that only one of them has.

    Raises
    ------
    ConfigError
        If there is no such file, or it is no mapping.
    """
    values = _read_yaml(Path(path))
    data = values.get("data")
    section = data if isinstance(data, Mapping) else {}
    is_pretraining = "model" in values or "corpora" in section
    return (
        SFTConfig
        if "conversations" in section or ("ckpt" in values and not is_pretraining)
        else PretrainConfig
    )


@overload
def load_config(
    kind: type[Config],
    path: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config: ...


@overload
def load_config(
    kind: str | os.PathLike[str], path: None = None, overrides: Mapping[str, Any] | None = None
) -> PretrainConfig | SFTConfig: ...


def load_config(
    kind: type[Config] | str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config | PretrainConfig | SFTConfig:
    """Read a configuration from YAML and change some of its keys.

    Parameters
    ----------
    kind
        :class:`~minillm_lib.training.config.PretrainConfig` or :class:`~minillm_lib.training.config.SFTConfig`; or
        the YAML file, whose keys tell which of the two it is.
    path
        The YAML file; None for the defaults.
    overrides
        Values by dotted key, ``{"train.lr": 3e-4}``. A section is applied before its own keys, whatever their order.

    Raises
    ------
    ConfigError
        If the file is missing, no YAML within the limits of :func:`~minillm_lib.io.yaml_text.parse_yaml`, or no
        mapping; if a key is unknown or a value not allowed.
    """
    if isinstance(kind, str | os.PathLike):
        return load_config(kind_of_config(kind), kind, overrides)
    values = {} if path is None else _read_yaml(Path(path))
    broadest_first = sorted((overrides or {}).items(), key=lambda override: override[0].count("."))
    try:
        for key, value in broadest_first:
            _override(values, _full_name(kind, key, value), value)
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(in_one_line(error, kind)) from None


def with_overrides(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Return a configuration with some keys changed, whose others stay as they are.

    Parameters
    ----------
    overrides
        Values by dotted key, ``{"train.lr": 3e-4}``, or by section, ``{"train": {"lr": 3e-4}}``.

    Raises
    ------
    ConfigError
        If a key is unknown or a value not allowed.
    """
    kind = type(config)
    values = config.model_dump(exclude_unset=True)
    try:
        for key, value in _by_dotted_key(kind, overrides):
            _override(values, _full_name(kind, key, value), value)
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(in_one_line(error, kind)) from None


def _by_dotted_key(
    kind: type[StrictConfig], overrides: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested sections by dotted key."""
    keys = set(_keys(kind))
    sections = {key.rpartition(".")[0] for key in keys}
    for name, value in overrides.items():
        if isinstance(value, Mapping) and prefix + name in sections:
            yield from _by_dotted_key(kind, value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a dotted key, and leave its neighbours as they are."""
    *sections, last = key.split(".")
    for depth, section in enumerate(sections, 1):
        inner = values.get(section) or {}
        if section == "model" and isinstance(inner, str):
            inner = {"preset": inner}
        if not isinstance(inner, Mapping):
            raise ConfigError(
                f"{'.'.join(sections[:depth])} is {shown(inner)}; it must hold keys with values"
            )
        if section == "train":
            try:
                inner = with_full_names(inner)
            except ConfigError as error:
                raise ConfigError(f"train: {error}") from None
        values[section] = dict(inner)
        values = values[section]
    values[last] = value


def in_one_line(error: ValidationError, kind: type[StrictConfig] | None = None) -> str:
    """Say what a configuration gets wrong: each key with its value, what is allowed, and what the key means.

    Parameters
    ----------
    kind
        The configuration, for the meaning of its keys.
    """
    return refusal_in_words(error, meanings=None if kind is None else _meanings(kind))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration {path}") from None
    except YAMLError as error:
        raise ConfigError(f"{path} is no configuration: {error}") from None
    if not isinstance(values, dict):
        found = "it is empty" if values is None else f"it holds {shown(values)}"
        raise ConfigError(f"{path} must hold keys with values, such as 'train:'; {found}")
    return values


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Turn ``["--train.lr", "3e-4", "--log.tensorboard=true"]`` into values by dotted key.

    Lists, mappings and ``null`` are written as in YAML; all else stays text, which the configuration converts.

    Raises
    ------
    ConfigError
        If an argument is not an option, a value is missing, or a list or mapping is not closed.
    """
    overrides: dict[str, Any] = {}
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("--"):
            raise ConfigError(f"{argument!r} is no option; keys are overridden as in --train.lr 3e-4")
        key, equals, value = argument.removeprefix("--").partition("=")
        if not equals:
            value = next(remaining, "")
        if not value or value.startswith("--"):
            raise ConfigError(f"--{key} needs a value, as in --train.lr 3e-4")
        overrides[key] = _value(key, value)
    return overrides


def _value(key: str, text: str) -> Any:
    if not text.startswith(("[", "{")) and text not in ("null", "~"):
        return text
    try:
        return parse_yaml(text)
    except YAMLError as error:
        raise ConfigError(f"--{key} is {shown(text)}, which is no list or mapping: {error}") from None


def _full_name(kind: type[StrictConfig], key: str, value: Any) -> str:
    """Return a dotted key without short names; an unknown one is an error that names the nearest key."""
    if key == _RUN_FOLDER:
        return "run"
    keys = list(_keys(kind))
    section, _, last = key.rpartition(".")
    if key not in keys:
        ends_so = sorted((name for name in keys if name.endswith(f".{key}")), key=len)
        by_last_part = {name.rpartition(".")[2]: name for name in reversed(keys)}
        similar = difflib.get_close_matches(last, by_last_part, n=1)
        close = (
            ends_so or difflib.get_close_matches(key, keys, n=1) or [by_last_part[each] for each in similar]
        )
        meaning = _meanings(kind).get(close[0]) if close else None
        hint = f" Did you mean --{close[0]}{f' ({meaning})' if meaning else ''}?" if close else ""
        known = [name for name in keys if name.rpartition(".")[0] == section]
        where = f"of {section}" if section and known else "at the top"
        raise ConfigError(
            f"unknown key --{key} (value {shown(value)}).{hint} The keys {where} are "
            f"{', '.join(known or kind.model_fields)}"
        )
    return ".".join(("train", *SHORT_NAMES[last])) if section == "train" and last in SHORT_NAMES else key


def _keys(kind: type[StrictConfig], prefix: str = "") -> Iterator[str]:
    """Yield all dotted keys of a configuration."""
    for name, field in kind.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, StrictConfig):
            yield from _keys(field.annotation, f"{prefix}{name}.")
    if kind is TrainConfig:
        yield from (prefix + short for short in SHORT_NAMES)
    if kind is ModelConfig:
        yield f"{prefix}preset"


@dataclass(frozen=True)
class KeyDescription:
    """A key of a configuration: its dotted ``key``, what is ``allowed``, its ``default`` and its ``meaning``."""

    key: str
    allowed: str
    default: str
    meaning: str

    @property
    def section(self) -> str:
        """The key without its last part; empty for a key at the top."""
        return self.key.rpartition(".")[0]


def describe_keys(kind: type[StrictConfig], prefix: str = "") -> list[KeyDescription]:
    """List every key of a configuration, in order, sections resolved into their keys.

    >>> from minillm_lib.training.config import CheckpointConfig
    >>> describe_keys(CheckpointConfig)[0]
    KeyDescription(key='every', allowed='int', default='100', meaning='Steps between two checkpoints.')
    """
    found = []
    if kind is ModelConfig:
        names = ", ".join(PRESETS)
        found.append(KeyDescription(f"{prefix}preset", names, "", "A named shape; other keys change it."))
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, StrictConfig):
            found += describe_keys(field.annotation, f"{prefix}{name}.")
            continue
        default = "" if field.default is PydanticUndefined else _as_yaml(field.default)
        meaning = _CROSS_REFERENCE.sub(r"\1", " ".join((field.description or "").split()))
        found.append(KeyDescription(prefix + name, _allowed(field.annotation), default, meaning))
        for item in get_args(field.annotation):
            if isinstance(item, type) and issubclass(item, StrictConfig):
                found += describe_keys(item, f"{prefix}{name}[].")
    return found


def _meanings(kind: type[StrictConfig]) -> dict[str, str]:
    return {each.key: each.meaning.rstrip(".") for each in describe_keys(kind)}


def _as_yaml(value: Any) -> str:
    if isinstance(value, tuple) and any(isinstance(each, StrictConfig) for each in value):
        return ", ".join(str(getattr(each, "name", each)) for each in value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "[]" if value == () else str(value)


def _allowed(annotation: Any) -> str:
    """Name a type as a user would: int, float, text, path, true or false, or the words that are allowed."""
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return ", ".join(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        parts = [_allowed(each) for each in get_args(annotation) if each is not NoneType]
        return " or ".join(dict.fromkeys(parts)) + " or null" * (NoneType in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"list of {_allowed(get_args(annotation)[0])}"
    names = {bool: "true or false", str: "text", Path: "path", int: "int", float: "float"}
    return names.get(annotation, "mapping")


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted keys at which two configurations differ, with both values.

    Parameters
    ----------
    before, now
        As :meth:`RunConfig.as_json <minillm_lib.training.config.RunConfig.as_json>` returns them.
    prefix
        What the keys begin with.
    """
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", old, new
