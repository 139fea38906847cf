"""Describe in words how a result differs from what is expected."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping, Set as AbstractSet
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.kinds import kind, number_text, text

_KINDS_OF_DTYPE = {
    "b": "True and False",
    "i": "whole numbers",
    "u": "whole numbers",
    "f": "floats",
    "c": "complex numbers",
}


def difference(
    got: Any, expected: Any, *, rtol: float = 1e-4, atol: float = 1e-6, what: str = "the result"
) -> str | None:
    """Describe in a sentence how ``got`` differs from ``expected``; whatever the two are, nothing is raised.

    Values are compared as a person would who reads the text of an exercise:

    - A number may be of any type, also a ``Fraction`` or alone in a NumPy array without
      dimensions, but not a tensor. Where a whole number is
      expected it must be one; a float is none, even if nothing follows its point. Whole numbers are compared exactly,
      others may differ by ``atol + rtol * |expected|``.
    - A tuple may stand for a list, and the other way round; any mapping for a dict, any set for a set.
    - An array, a tensor and a sparse matrix are three things. Each may have any width (float64 for float32, int32 for
      int64), but no floats where whole numbers, or numbers where True and False are expected.
    - Anything else must be of the same type, and equal.

    Parameters
    ----------
    what
        What to call the result in the sentence.

    Returns
    -------
    sentence
        The sentence, or None if there is no difference.
    """
    try:
        return _difference(got, expected, rtol, atol, what)
    except kinds.NotPlainError as error:
        return f"{what} is {error}."
    except (Exception, SystemExit) as error:  # whatever the learner's own types do when they are looked at
        return (
            f"{what} is {kind(got)}, which cannot be compared with {kind(expected)} "
            f"({type(error).__name__}: {text(str(error), 100)})."
        )


def _difference(got: Any, expected: Any, rtol: float, atol: float, what: str) -> str | None:
    if got is None or expected is None:
        return None if got is expected else _other_kind(got, expected, what)
    if kinds.is_number(expected):
        return _number_difference(got, expected, rtol, atol, what)
    if kinds.is_array(expected):
        return _array_difference(got, expected, rtol, atol, what)
    for is_kind, compare in (
        (lambda value: isinstance(value, Mapping), _mapping_difference),
        (kinds.is_sequence, _sequence_difference),
    ):
        if is_kind(expected):
            return (
                compare(got, expected, rtol, atol, what) if is_kind(got) else _other_kind(got, expected, what)
            )
    if isinstance(expected, AbstractSet) and isinstance(got, AbstractSet):
        return _set_difference(got, expected, what)
    if (isinstance(expected, str) and isinstance(got, str)) or (
        isinstance(expected, bytes) and isinstance(got, bytes)
    ):
        # without the methods of a class of the learner's that claims to be equal to everything
        same = [*got] == [*expected]
        return None if same else f"{what} is {text(got)}, but {text(expected)} is expected."
    if type(got) is not type(expected):
        return _other_kind(got, expected, what)
    return None if expected == got else f"{what} is {text(got)}, but {text(expected)} is expected."


def _other_kind(got: Any, expected: Any, what: str) -> str:
    if got is None:
        return f"{what} is `None`: is there a `return`?"
    shown = text(got) if expected is None or isinstance(got, bool) else kind(got)
    wanted = kind(expected)
    if shown == wanted:  # two classes of one name
        wanted = f"another {wanted.partition(' ')[2]}"
    return f"{what} is {shown}, but {wanted} is expected.{way_to(got, expected)}"


def way_to(got: Any, expected: Any) -> str:
    """Return a sentence on how to make what is expected of a result, with a blank before it; empty if none is usual."""
    if kinds.is_array(got) and kinds.is_number(expected) and math.prod(got.shape) == 1:
        return " `.item()` gives it."
    if kinds.is_tensor(got) and isinstance(expected, np.ndarray):
        return " `.numpy()` makes one of it."
    if kinds.is_sequence(expected):
        if kind(got).startswith(("a generator", "an iterator", "a view", "a set")):
            return " `list(…)` makes one of it."
        return " `.tolist()` makes one of it." if kinds.is_array(got) and isinstance(expected, list) else ""
    if kinds.is_sequence(got):
        if isinstance(expected, np.ndarray):
            return " `np.array(…)` makes one of it."
        return " `torch.tensor(…)` makes one of it." if kinds.is_tensor(expected) else ""
    if isinstance(got, np.ndarray) and kinds.is_tensor(expected):
        return " `torch.from_numpy(…)` makes one of it."
    return " `.to_numpy()` makes one of it." if kind(got).startswith("a pandas") else ""


def _number_difference(got: Any, expected: Any, rtol: float, atol: float, what: str) -> str | None:
    if not kinds.is_number(got) or kinds.is_tensor(got) != kinds.is_tensor(expected):
        return _other_kind(got, expected, what)
    one, other = kinds.number(got), kinds.number(expected)
    whole = isinstance(other, int) and not isinstance(other, bool)
    if not numbers_close(one, other, rtol, atol):
        shown, wanted = number_text(one, other), number_text(other, one)
        return f"{what} is {shown}, but {wanted} is expected."
    if whole and isinstance(one, float):
        return f"{what} is {one!r}, a float, where a whole number (`{other}`) should be: `//` or `int(…)` gives one."
    return None


def numbers_close(got: Any, expected: Any, rtol: float, atol: float) -> bool:
    """Return whether two numbers of Python are equal: exactly if both are whole, else within the tolerances."""
    if isinstance(got, int) and isinstance(expected, int):
        return got == expected
    if isinstance(got, complex) or isinstance(expected, complex):
        one, other = complex(got), complex(expected)
        return one == other or (cmath.isfinite(one) and abs(one - other) <= atol + rtol * abs(other))
    try:
        one, other = float(got), float(expected)
    except (
        OverflowError
    ):  # an integer or a fraction too large for a float: compared as fractions, if both are finite
        if any(isinstance(value, float | Decimal) and not math.isfinite(value) for value in (got, expected)):
            return False
        gap = abs(Fraction(got) - Fraction(expected))
        return gap <= Fraction(atol) + Fraction(rtol) * abs(Fraction(expected))
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or (
        math.isfinite(one) and math.isfinite(other) and abs(one - other) <= atol + rtol * abs(other)
    )


def _array_difference(got: Any, expected: Any, rtol: float, atol: float, what: str) -> str | None:
    if not kinds.is_array(got) or [kinds.is_tensor(got), kinds.is_sparse(got)] != [
        kinds.is_tensor(expected),
        kinds.is_sparse(expected),
    ]:
        return _other_kind(got, expected, what)
    if tuple(got.shape) != tuple(expected.shape):
        hint = " Is it transposed?" if tuple(got.shape) == tuple(expected.shape)[::-1] else ""
        return f"{what} has shape {tuple(got.shape)}, but {tuple(expected.shape)} is expected.{hint}"
    one, other = kinds.array(got), kinds.array(expected)
    return _values_difference(one, other, rtol, atol, what) or _dtype_difference(one, other, got, what)


def _dtype_difference(one: np.ndarray, other: np.ndarray, got: Any, what: str) -> str | None:
    """Return what is wrong with the sort of numbers, though their values are right."""
    if one.size == 0 or other.dtype.kind in "fcO" or one.dtype.kind == "O":
        return None
    if one.dtype.kind == other.dtype.kind or (one.dtype.kind in "iu" and other.dtype.kind in "iu"):
        return None
    wanted = "`bool`" if other.dtype.kind == "b" else "an integer dtype"
    return (
        f"{what} has the right values, but as {_KINDS_OF_DTYPE.get(one.dtype.kind, 'other values')} "
        f"(dtype `{got.dtype}`); make them {_KINDS_OF_DTYPE.get(other.dtype.kind, 'others')}, of {wanted}."
    )


def are_close(got: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    """Return where two arrays of one shape are equal: whole numbers exactly, others within the tolerances."""
    if "O" in (got.dtype.kind, expected.dtype.kind):
        pairs = zip(got.ravel().tolist(), expected.ravel().tolist(), strict=True)
        return np.array([numbers_close(*pair, rtol, atol) for pair in pairs], dtype=bool).reshape(got.shape)
    if got.dtype.kind in "fc" or expected.dtype.kind in "fc":
        with np.errstate(all="ignore"):
            return np.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    return np.asarray(got == expected)


def _values_difference(
    got: np.ndarray, expected: np.ndarray, rtol: float, atol: float, what: str
) -> str | None:
    close = are_close(got, expected, rtol, atol)
    if close.all():
        return None
    numeric = got.dtype.kind in "fc" and expected.dtype.kind in "fc"
    if numeric and np.isfinite(expected).all() and not np.isfinite(got).all():
        broken = int(np.sum(~np.isfinite(got)))
        return f"{what} has {broken} of {got.size} values that are not finite (NaN or infinite)."
    place = tuple(map(int, np.argwhere(~close)[0]))
    wrong = int(np.sum(~close))
    where = f" at index {place if len(place) > 1 else place[0]}" if place else ""
    one, other = kinds.number(got[place]), kinds.number(expected[place])
    count = f"{wrong} of {got.size} values are wrong" if got.size > 1 else "its value is wrong"
    return (
        f"{what} has the right shape, but {count}:{where} it is {number_text(one, other)}, "
        f"but {number_text(other, one)} is expected."
    )


def _mapping_difference(
    got: Mapping[Any, Any], expected: Mapping[Any, Any], rtol: float, atol: float, what: str
) -> str | None:
    if missing := [key for key in expected if key not in got]:
        return f"{what} lacks the key {text(missing[0])}."
    if extra := [key for key in got if key not in expected]:
        return f"{what} has the key {text(extra[0])}, which is not expected."
    parts = (
        _difference(got[key], expected[key], rtol, atol, f"{what} under {text(key)}") for key in expected
    )
    return next(filter(None, parts), None)


def _sequence_difference(got: Any, expected: Any, rtol: float, atol: float, what: str) -> str | None:
    if len(got) != len(expected):
        return f"{what} has {len(got)} items, but {len(expected)} are expected."
    parts = (
        _difference(one, other, rtol, atol, f"item {index} of {what}")
        for index, (one, other) in enumerate(zip(got, expected, strict=True))
    )
    return next(filter(None, parts), None)


def _set_difference(got: AbstractSet[Any], expected: AbstractSet[Any], what: str) -> str | None:
    if missing := [item for item in expected if item not in got]:
        return f"{what} lacks {text(missing[0])}."
    extra = [item for item in got if item not in expected]
    return f"{what} has {text(extra[0])}, which is not expected." if extra else None
