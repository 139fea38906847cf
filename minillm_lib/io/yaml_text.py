"""YAML of unknown origin, read within limits: how long, how deep, and how large with all its aliases resolved.

A file of a few hundred bytes can describe 10⁹ values by aliases of aliases, and one of a few thousand brackets ends the
parser, which calls itself for each level. Both are found in the stream of events, before any value is built.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from minillm_lib.io.regular_file import NotRegularFileError, check_regular
from minillm_lib.io.wording import shown, size

_MOST_BYTES = 1 << 18
_SEAL = b"# crc32 "
_DEEPEST = 50
_MOST_VALUES = 20_000
_FAILURES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)  # PyYAML lets pass


class YAMLError(ValueError):
    """A text that is no YAML, or is beyond the limits; the message says what is wrong, and in which line."""


class _Loader(yaml.SafeLoader):
    """YAML in which no key may occur twice in a mapping; ordinary YAML lets the second one win."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _FAILURES as error:
            if isinstance(error, YAMLError) or not isinstance(node, yaml.ScalarNode):
                raise
            kind = node.tag.rpartition(":")[2]
            problem = f"{shown(node.value)} is no {kind} that can be read: {error}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            value = self.construct_object(key, deep=True)
            try:
                problem = f"the key {shown(value)} occurs twice" if value in found else None
                found.add(value)
            except TypeError:
                problem = f"{shown(value)} cannot be a key"
            if problem is not None:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        return super().construct_mapping(node, deep)


def sealed_yaml(values: Mapping[str, Any]) -> bytes:
    """Return values as YAML whose last line is a comment with a checksum, which :func:`read_yaml` verifies."""
    content = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).encode()
    return content + b"%s%08x (to change a value by hand, remove this line)\n" % (_SEAL, zlib.crc32(content))


def _check_seal(content: bytes) -> None:
    """Compare YAML with the checksum in its last line, if it has one; the ends of lines may have been converted."""
    above, seal, own = content.replace(b"\r\n", b"\n").rpartition(_SEAL)
    if seal and own[:8] != b"%08x" % zlib.crc32(above):
        raise YAMLError(
            "it is not what its checksum in the last line says; restore the file or, if a value was changed on "
            "purpose, remove that line"
        )


def read_yaml(path: Path) -> Any:
    """Read a YAML file: see :func:`parse_yaml`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    YAMLError
        If it cannot be read, is not UTF-8, is no YAML, is beyond the limits, or does not match its checksum. The
        message does not name the file.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except (NotRegularFileError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise YAMLError(f"it cannot be read: {reason}") from error
    if len(content) > _MOST_BYTES:
        raise YAMLError(f"it is longer than {size(_MOST_BYTES)}, which no configuration is")
    _check_seal(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YAMLError(f"line {line} is not UTF-8 text (byte 0x{content[error.start]:02x})") from None
    return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text; nothing but YAML's own types is ever built.

    Raises
    ------
    YAMLError
        If the text is no YAML, a key occurs twice in a mapping, values are nested more than 50 levels deep, or there
        are more than 20,000 of them, where an alias counts as all that it stands for.
    """
    try:
        _check_size(text)
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise YAMLError(_in_words(error)) from None
    except YAMLError:
        raise
    except _FAILURES as error:
        raise YAMLError(f"a value cannot be read: {type(error).__name__}: {error}") from None


def _check_size(text: str) -> None:
    """Walk through the events of a text, which needs no recursion, and count values as if aliases were written out."""
    sizes: dict[str, int] = {}
    opened: list[
        tuple[str | None, int]
    ] = []  # the anchor of each open collection, and the count where it began
    n_values = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in opened):
                raise YAMLError(f"line {line}: *{event.anchor} stands within the value that it stands for")
            n_values += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            n_values += 1
            opened.append((event.anchor, n_values))
        elif isinstance(event, yaml.ScalarEvent):
            n_values += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, began = opened.pop()
            if anchor is not None:
                sizes[anchor] = n_values - began + 1
        if len(opened) > _DEEPEST:
            raise YAMLError(f"line {line}: values are nested more than {_DEEPEST} levels deep")
        if n_values > _MOST_VALUES:
            raise YAMLError(
                f"line {line}: there are more than {_MOST_VALUES:,} values, counting what each alias (*) stands for"
            )


def _in_words(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character U+{int(error.character):04X}, the {error.position + 1:,}th, is not allowed in YAML"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    context = getattr(error, "context", None)
    if "'\\t'" in problem:
        problem += " (YAML is indented by spaces, not by tabs)"
    where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return f"{where}{problem}" + (f" ({context})" if context else "")
