"""Explain errors of Python, results that are ``None``, and failed cases for which no mistake is known."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.error_meanings import MEANINGS
from minillm_lib.checks.guarded import describe_error


def error_in_words(error: BaseException) -> str:
    """Return what an error of the learner's code means, what Python says, and in which line it was."""
    said = describe_error(error)
    for pattern, meaning in MEANINGS:
        if match := re.search(pattern, f"{type(error).__name__}: {error}"):
            return f"{meaning.format(*match.groups())} Python's words are `{_one_line(said)}`{_place(said)}"
    whose = (
        "Your code" if "\nIt was in line " in said else "Using your answer"
    )  # perhaps in the way that it is used
    return f"{whose} raised {said}"


def _one_line(said: str) -> str:
    return said.partition("\n")[0].replace("`", "'")


def _place(said: str) -> str:
    _, newline, place = said.partition("\n")
    rest = place if place.startswith("It was in line") else place.rpartition("\n")[2]
    return f".\n{rest}" if newline and rest.startswith("It was in line") else "."


def nothing_returned(answer: Any, name: str) -> str:
    """Explain a result that is ``None`` by what the source of the answer shows."""
    generic = "The result is `None`: is there a `return`?"
    returns = _returns(answer)
    if returns is None:
        return generic
    values = [one.value for one in returns if one.value is not None]
    if not values:
        return (
            f"`{name}` has no `return` with a value, so that what it computes is lost: the result is `None`."
        )
    calls = [
        value for value in values if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
    ]
    if calls:
        called = ast.unparse(calls[-1]).replace("`", "'")
        return (
            f"`{name}` returns what `{called}` gives, and that is `None`: such a method changes something in place. "
            "Call it in a line of its own, and return what it has changed."
        )
    return (
        f"`{name}` has a `return`, but does not come to it with a value in every case: the result is `None`."
    )


def _returns(answer: Any) -> list[ast.Return] | None:
    """Return the ``return`` statements of a function, without those of functions inside it; None without a source."""
    try:
        source = getattr(answer, "__source__", None) or inspect.getsource(answer)
        tree = ast.parse(textwrap.dedent(source)).body[0]
    except Exception:  # built in, run remotely, or part of a larger statement
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    found: list[ast.Return] = []
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return):
            found.append(node)
        elif not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)
    return found


def inputs_in_words(inputs: Mapping[str, Any], limit: int = 240) -> str:
    """Return the inputs of a case as they would be written, or their shapes if they are large."""
    written = [_input(name, value, limit) for name, value in inputs.items()]
    return ", ".join(written)


def _input(name: str, value: Any, limit: int) -> str:
    if kinds.is_array(value) and not kinds.is_number(value):
        small = int(np.prod(value.shape)) <= 12
        return f"`{name} = {_array(value)}`" if small else f"`{name}` of shape {tuple(value.shape)}"
    shown = repr(value) if isinstance(value, float) else kinds.text(value, limit)
    if len(shown) <= limit:
        return f"`{name} = {shown}`".replace("\n", " ")
    size = f" of length {len(value)}" if hasattr(value, "__len__") else ""
    return f"`{name}`{size}"


def _array(value: Any) -> str:
    try:
        plain = kinds.array(value)
    except kinds.NotPlainError:
        return kinds.kind(value)
    return np.array2string(
        plain, separator=", ", precision=5, suppress_small=False, max_line_width=10_000
    ).replace("\n", "")


def value_in_words(value: Any, limit: int = 200) -> str | None:
    """Return a result as it would be written, or None if it is too long to be read."""
    if kinds.is_array(value) and not kinds.is_number(value):
        return _array(value) if 0 < int(np.prod(value.shape)) <= 12 else None
    shown = kinds.text(value, limit)
    return shown if len(shown) <= limit else None


def size(value: Any) -> int:
    """Return how much there is to read of a value, to find the smallest case."""
    if kinds.is_array(value):
        return max(1, int(np.prod(value.shape)))
    if isinstance(value, str | bytes):
        return 1 + len(value) // 4
    if isinstance(value, Mapping):
        return 1 + sum(size(item) for item in value.values())
    if isinstance(value, Sequence | set | frozenset):
        return 1 + sum(map(size, value))
    return 1
