"""Constants and quantities of the inputs by which a result may be off, with their names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minillm_lib.checks import kinds

LN2, LN10 = math.log(2), math.log(10)
_BITS = "are logarithms to base 2 and to base e exchanged (bits and nats)?"
_DECIMAL = "are logarithms to base 10 and to base e exchanged?"
CONSTANTS: Mapping[float, tuple[str, str]] = {
    2.0: ("2", ""),
    LN2: ("ln 2 ≈ 0.693", _BITS),
    LN10: ("ln 10 ≈ 2.303", _DECIMAL),
    LN10 / LN2: ("log₂ 10 ≈ 3.322", "are logarithms to base 2 and to base 10 exchanged?"),
    math.pi: ("π", ""),
    2 * math.pi: ("2π", ""),
    math.sqrt(2): ("√2", ""),
    math.e: ("e", ""),
    100.0: ("100", "is it a percentage?"),
    8.0: ("8", "are bits and bytes exchanged?"),
    1000.0: ("1,000", ""),
    1024.0: ("1,024", ""),
    10.0: ("10", ""),
    3.0: ("3", ""),
    4.0: ("4", ""),
    6.0: ("6", ""),
}
"""Familiar constants: how each is written, and what a result that is off by it may come from."""


def familiar(value: float) -> tuple[str, str] | None:
    """Return the words for a constant, and a question about where it comes from; None if it is not familiar."""
    for constant, words in CONSTANTS.items():
        if math.isclose(value, constant, rel_tol=2e-4):
            return words
    return None


Quantity = tuple[str, Any]


def of_inputs(inputs: Mapping[str, Any], result: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantities of a case by their names: its numbers and arrays, and how long and how large they are."""
    found: dict[str, np.ndarray] = {}
    for name, value in inputs.items():
        for words, quantity in _of_input(name, value):
            found.setdefault(words, np.asarray(quantity))
    for axis, size in enumerate(result.shape):
        found.setdefault(f"the size of axis {axis} of the result", np.asarray(float(size)))
    if result.ndim > 1:
        found.setdefault("the number of values in the result", np.asarray(float(result.size)))
    return found


def _of_input(name: str, value: Any) -> Iterator[Quantity]:
    array = kinds.values(value)
    if array is not None and array.ndim == 0:
        yield f"`{name}`", array
        return
    if isinstance(value, Mapping):
        yield f"`len({name})`", float(len(value))
        weights = kinds.values(list(value.values()))
        if weights is not None and weights.size:
            yield f"`sum({name}.values())`", weights.sum()
        return
    if array is not None:
        if array.dtype.kind != "c":
            yield f"`{name}`", array
            yield from _of_array(name, value, array)
    elif isinstance(value, str):
        yield f"`len({name})`", float(len(value))
        yield f"`len({name}.encode())`", float(len(value.encode("utf-8", "replace")))
        yield f"the number of words in `{name}`", float(len(value.split()))
    elif hasattr(value, "__len__"):
        yield f"`len({name})`", float(len(value))
        if kinds.is_sequence(value) and value and all(hasattr(item, "__len__") for item in value):
            yield f"the number of all items in `{name}`", float(sum(len(item) for item in value))


def _of_array(name: str, value: Any, array: np.ndarray) -> Iterator[Quantity]:
    in_array = kinds.is_array(value)
    for axis, size in enumerate(array.shape):
        words = f"`{name}.shape[{axis - array.ndim if axis == array.ndim - 1 else axis}]`"
        yield words if in_array and array.ndim > 1 else f"`len({name})`", float(size)
        if not in_array:
            break
    if array.ndim > 1:
        yield f"the number of values in `{name}`", float(array.size)
    if array.size and array.dtype.kind != "b":
        yield f"the sum of `{name}`", array.sum()
        yield f"the number of values other than 0 in `{name}`", float(np.count_nonzero(array))
        yield f"the largest value of `{name}`", array.max()
        yield f"the mean of `{name}`", array.mean()


def functions(name: str, quantity: np.ndarray) -> Iterator[Quantity]:
    """Return a quantity, and if it is one number, also what formulas usually make of it."""
    yield name, quantity
    if quantity.ndim:
        return
    if " " in name:
        name = f"({name})"
    value = float(quantity)
    yield f"({name} + 1)", value + 1
    yield f"(1 − {name})", 1 - value
    yield f"({name} − 1)", value - 1
    yield f"{name}²", value**2
    yield f"(2 · {name})", 2 * value
    yield f"({name} / 2)", value / 2
    if value > 0:
        yield f"√{name}", math.sqrt(value)
        if value != 1:
            yield f"ln {name}", math.log(value)
    if value not in (0, 1):
        yield f"({name} / ({name} − 1))", value / (value - 1)
        yield f"(({name} + 1) / {name})", (value + 1) / value


def shared(cases: Iterable[Mapping[str, np.ndarray]]) -> list[str]:
    """Return the names of the quantities that all cases have, in order."""
    every = [dict(case) for case in cases]
    return [name for name in every[0] if all(name in case for case in every)] if every else []
