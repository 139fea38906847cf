"""What may have been done to right numbers to make them wrong: a factor, a sign, a power, a shift, another order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm_lib.checks.diagnoses import quantities

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Pair:
    """The numbers of a case that failed, those expected, and the case's inputs by name."""

    got: Array
    expected: Array
    inputs: Mapping[str, Any]


def near(one: Any, other: Any) -> bool:
    """Return whether all values are equal but for rounding."""
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape or "c" in (one.dtype.kind, other.dtype.kind):
        return False
    with np.errstate(all="ignore"):
        one, other = one.astype(float), other.astype(float)
        # faster than np.isclose, of which there are many; to an infinite value nothing is near but itself
        close = (np.abs(one - other) <= 2e-6 + 2e-4 * np.abs(other)) & np.isfinite(other)
        return bool((close | (one == other) | (np.isnan(one) & np.isnan(other))).all())


def becomes(got: Any, changed: Any, right: Any) -> bool:
    """Return whether the result is the right one after a change: as near to it as the change is large.

    To 10,000, it makes no difference whether 1 or 2 is added; so nearness alone would claim both.
    """
    if not near(got, changed):
        return False
    with np.errstate(all="ignore"):
        got, changed, right = (np.asarray(one).astype(float) for one in (got, changed, right))
        rounding = 1e-6 * np.abs(changed) + 1e-9
        close = np.abs(got - changed) <= 0.02 * np.abs(changed - right) + rounding
        return bool((close | ~np.isfinite(changed) | ~np.isfinite(right)).all())


def n_distinct(pairs: list[Pair]) -> int:
    """Return how many different values are expected, zero aside: the more, the less does chance explain."""
    return len(
        {float(f"{v:.6g}") for pair in pairs for v in pair.expected.ravel()[:500] if np.isfinite(v) and v}
    )


def _map(function: Callable[..., Any], pairs: list[Pair]) -> bool:
    """Return whether the function makes what was got of what was expected, in every case."""
    with np.errstate(all="ignore"):
        changed = [function(pair.expected) for pair in pairs]
    if all(np.array_equal(pair.got, pair.expected) for pair in pairs):
        return False  # what is wrong with them is not a function: their type, say
    return all(becomes(pair.got, value, pair.expected) for pair, value in zip(pairs, changed, strict=True))


_FUNCTIONS: list[tuple[str, Callable[[Array], Array]]] = [
    ("{what} has the right size, but the wrong sign", lambda x: -x),
    ("{what} is the reciprocal of what it should be: 1 divided by it would be right", lambda x: 1 / x),
    ("{what} is minus the reciprocal of what it should be", lambda x: -1 / x),
    ("{what} is 1 minus what it should be", lambda x: 1 - x),
    ("{what} is what it should be minus 1", lambda x: x - 1),
    ("{what} is 1 too large", lambda x: x + 1),
    ("{what} is the logarithm of what it should be: the exponential is missing", np.log),
    ("{what} is minus the logarithm of what it should be", lambda x: -np.log(x)),
    ("{what} is the logarithm to base 2 of what it should be", np.log2),
    ("{what} is minus the logarithm to base 2 of what it should be", lambda x: -np.log2(x)),
    ("{what} is the exponential of what it should be: the logarithm is missing", np.exp),
    ("{what} is the exponential of minus what it should be", lambda x: np.exp(-x)),
    ("{what} is 2 to the power of what it should be", np.exp2),
    ("{what} is the square of what it should be: the root is missing", np.square),
    ("{what} is the square root of what it should be: a root is taken once too often, or a square is missing", np.sqrt),
    ("{what} is the absolute value of what it should be: its sign is lost", np.abs),
    ("{what} is what it should be with all negative values set to 0", lambda x: np.maximum(x, 0)),
    ("{what} is what it should be, but never more than 1", lambda x: np.minimum(x, 1)),
    ("{what} is what it should be, but never less than 1", lambda x: np.maximum(x, 1)),
]  # fmt: skip
_N_UNLIMITED = (
    len(_FUNCTIONS) - 3
)  # the last three set a limit, which results that are all the same may just have
_WHOLE: list[tuple[str, Callable[[Array], Array]]] = [
    ("{what} is what it should be with the digits after the point cut off: by `//`, or whole numbers?", np.trunc),
    ("{what} is what it should be, rounded down: is there a `//`?", np.floor),
    ("{what} is what it should be, rounded up", np.ceil),
    ("{what} is what it should be, rounded to whole numbers", np.round),
]  # fmt: skip


def function_of_the_right(pairs: list[Pair], what: str) -> str | None:
    """Name the function that was applied to the right values, or that is missing."""
    if any(pair.expected.dtype.kind == "b" for pair in pairs):
        logical = all(pair.expected.dtype.kind == pair.got.dtype.kind == "b" for pair in pairs)
        if logical and all(pair.got.size and (pair.got == ~pair.expected).all() for pair in pairs):
            return f"{what} is inverted: True and False are exchanged."
        return None
    if n_distinct(pairs) < 2:
        return None
    constant = len({float(value) for pair in pairs for value in np.unique(pair.got)[:2]}) == 1
    for words, function in _FUNCTIONS[:_N_UNLIMITED] if constant else _FUNCTIONS:
        if _map(function, pairs):
            return f"{words.format(what=what)}."
    for words, function in _WHOLE:
        if _map(function, pairs) and any(np.any(pair.got) for pair in pairs):
            text = words.format(what=what)
            return text if text.endswith("?") else f"{text}."
    if all(not pair.got.any() for pair in pairs) and all((np.abs(pair.expected) < 1).all() for pair in pairs):
        return f"{what} is 0 where fractions below 1 should be: does `//`, or an array of whole numbers, cut them off?"
    for digits in range(1, 6):
        if _map(lambda x, digits=digits: np.round(x, digits), pairs):
            return f"{what} is rounded to {digits} digits after the point: leave it as it is."
    return None


def off_by_a_quantity(pairs: list[Pair], what: str) -> str | None:
    """Name a number or a quantity of the inputs by which the right values are multiplied, shifted or raised."""
    named = off_by_a_named_quantity(pairs, what)
    return named or (_unnamed_constant(pairs, what) if n_distinct(pairs) >= 3 else None)


def off_by_a_constant(pairs: list[Pair], what: str) -> str | None:
    """Name a familiar constant that the right values are multiplied by, or raised to the power of."""
    if any("c" in (pair.got.dtype.kind, pair.expected.dtype.kind) for pair in pairs) or n_distinct(pairs) < 3:
        return None
    floats = [Pair(pair.got.astype(float), pair.expected.astype(float), pair.inputs) for pair in pairs]
    with np.errstate(all="ignore"):
        return _constant(floats, what)


def off_by_a_named_quantity(pairs: list[Pair], what: str) -> str | None:
    """Name a familiar constant, or a quantity of the inputs, by which the right values are off."""
    if any("c" in (pair.got.dtype.kind, pair.expected.dtype.kind) for pair in pairs) or n_distinct(pairs) < 3:
        return None
    pairs = [Pair(pair.got.astype(float), pair.expected.astype(float), pair.inputs) for pair in pairs]
    with np.errstate(all="ignore"):
        return _constant(pairs, what) or _quantity(pairs, what)


def _factor(pairs: list[Pair]) -> float | None:
    """Return the constant that the right values are multiplied by, if it is the same in all cases."""
    ratio = np.concatenate([(pair.got / pair.expected)[pair.expected != 0].ravel() for pair in pairs])
    if not ratio.size or not np.isfinite(ratio).all():
        return None
    factor = float(np.median(ratio))
    fits = all(becomes(pair.got, factor * pair.expected, pair.expected) for pair in pairs)
    return factor if factor and fits else None


def _times(factor: float, what: str) -> str | None:
    sign, size = ("minus " if factor < 0 else ""), abs(factor)
    if words := quantities.familiar(size):
        return _asking(f"{what} is {sign}what it should be, times {words[0]}", words[1])
    if words := quantities.familiar(1 / size):
        return _asking(f"{what} is {sign}what it should be, divided by {words[0]}", words[1])
    return None


def _asking(statement: str, question: str) -> str:
    return f"{statement}: {question}" if question else f"{statement}."


def _exponent(pairs: list[Pair]) -> float | None:
    if any((pair.expected <= 0).any() or (pair.got <= 0).any() for pair in pairs):
        return None
    logs = [(np.log(pair.got), np.log(pair.expected)) for pair in pairs]
    ratio = np.concatenate([(got / expected)[np.abs(expected) > 1e-3].ravel() for got, expected in logs])
    if not ratio.size or not np.isfinite(ratio).all():
        return None
    power = float(np.median(ratio))
    fits = all(becomes(pair.got, pair.expected**power, pair.expected) for pair in pairs)
    return power if fits else None


def _constant(pairs: list[Pair], what: str) -> str | None:
    factor = _factor(pairs)
    if factor is not None and (words := _times(factor, what)):
        return words
    power = _exponent(pairs)
    if power is not None and power > 0:
        if words_ := quantities.familiar(power):
            return _asking(f"{what} is what it should be, to the power {words_[0]}", words_[1])
        if words_ := quantities.familiar(1 / power):
            return _asking(
                f"{what} is what it should be, to the power 1 / {words_[0].partition(' ≈')[0]}", words_[1]
            )
    return None


def _unnamed_constant(pairs: list[Pair], what: str) -> str | None:
    if any("c" in (pair.got.dtype.kind, pair.expected.dtype.kind) for pair in pairs):
        return None
    pairs = [Pair(pair.got.astype(float), pair.expected.astype(float), pair.inputs) for pair in pairs]
    factor = _factor(pairs)
    if factor is not None:
        return f"{what} is what it should be, times {factor:.4g}: the same constant factor in every case."
    gap = np.concatenate([(pair.got - pair.expected).ravel() for pair in pairs])
    if np.isfinite(gap).all() and abs(gap[0]) > 1e-4 and near(gap, np.full_like(gap, gap[0])):
        size = "larger" if gap[0] > 0 else "smaller"
        return f"{what} is {size} than it should be by the same {abs(gap[0]):.4g} in every case."
    return None


_OPERATIONS: list[tuple[str, Callable[[Array, Array], Array]]] = [
    ("{what} is what it should be, times {quantity}", lambda x, q: x * q),
    ("{what} is what it should be, divided by {quantity}", lambda x, q: x / q),
    ("{what} is larger than it should be by {quantity}", lambda x, q: x + q),
    ("{what} is smaller than it should be by {quantity}", lambda x, q: x - q),
    ("{what} is what it should be, to the power of {quantity}", lambda x, q: np.power(x, q)),
    ("{what} is what it should be, to the power of 1 / {quantity}", lambda x, q: np.power(x, 1 / q)),
    ("{what} is {quantity} minus what it should be", lambda x, q: q - x),
]

_MINUS: list[tuple[str, Callable[[Array, Array], Array]]] = [
    ("{what} is minus what it should be, times {quantity}", lambda x, q: -x * q),
    ("{what} is minus what it should be, divided by {quantity}", lambda x, q: -x / q),
]


def _quantity(pairs: list[Pair], what: str) -> str | None:
    named = [quantities.of_inputs(pair.inputs, pair.expected) for pair in pairs]
    names = quantities.shared(named)
    for name, plainly in (*((name, True) for name in names), *((name, False) for name in names)):
        options = [dict(quantities.functions(name, case[name])) for case in named]
        for words in [name] if plainly else list(options[0])[1:]:
            values = [np.asarray(option.get(words, np.nan)) for option in options]
            if not all(_fits(value, pair.expected) for value, pair in zip(values, pairs, strict=True)):
                continue
            for sentence, operation in (*_OPERATIONS, *(_MINUS if plainly else ())):
                if "should be by" in sentence and any((value < 0).any() for value in values):
                    continue  # "larger by -3" says less than "smaller by 3"
                if _by(operation, values, pairs) and not _chance(values, pairs):
                    return f"{sentence.format(what=what, quantity=words)}."
    return None


def _fits(value: Array, expected: Array) -> bool:
    """Return whether a quantity can be combined with every value expected, and would change something."""
    if value.dtype.kind not in "fiu" or not np.isfinite(value).all() or not value.any():
        return False
    if value.ndim == 0:
        return True
    return value.ndim <= expected.ndim and all(
        one in (1, other) for one, other in zip(value.shape[::-1], expected.shape[::-1], strict=False)
    )


def _by(operation: Callable[[Array, Array], Array], values: list[Array], pairs: list[Pair]) -> bool:
    return all(
        becomes(pair.got, operation(pair.expected, value), pair.expected)
        for value, pair in zip(values, pairs, strict=True)
    )


def _chance(values: list[Array], pairs: list[Pair]) -> bool:
    """Return whether the quantity is one number that is the same in all cases, so that it need not be the cause."""
    plain = [round(float(value), 6) for value in values if value.ndim == 0]
    return (
        len(plain) == len(values) and len(set(plain)) == 1 and (len(pairs) < 2 or plain[0] in (0, 0.5, 1, 2))
    )


def off_in_each_row(pairs: list[Pair], what: str) -> str | None:
    """Say that each row (or column) is off by a factor or a constant of its own."""
    if n_distinct(pairs) < 4 or any(pair.got.ndim == 0 or pair.got.dtype.kind == "c" for pair in pairs):
        return None
    for axis in sorted({-1, *range(min(pair.got.ndim for pair in pairs))}):
        where = _line(pairs[0].got.ndim, axis)
        with np.errstate(all="ignore"):
            if all(pair.got.shape[axis] > 2 and _proportional(pair, axis) for pair in pairs):
                sums = [(pair.expected.sum(axis), pair.got.sum(axis)) for pair in pairs]
                if all(near(right, np.ones_like(right)) for right, _ in sums):
                    return (
                        f"{what} is not normalised: the values of {where} must add up to 1, but {_sum(sums)}."
                    )
                return f"{what} is off by one factor in {where}, each by its own: what is it divided by?"
            gaps = [pair.got - pair.expected for pair in pairs]
            if all(
                gap.shape[axis] > 2 and near(gap, np.mean(gap, axis, keepdims=True) + 0 * gap) for gap in gaps
            ):
                return f"{what} is off by one constant in {where}, each by its own: what is subtracted there, or added?"
    return None


def _line(n_axes: int, axis: int) -> str:
    if n_axes == 1:
        return "the result"
    last = axis in (-1, n_axes - 1)
    if n_axes == 2:
        return "each row" if last else "each column"
    return "each line along the last axis" if last else f"each line along axis {axis}"


def _proportional(pair: Pair, axis: int) -> bool:
    weight = np.abs(pair.expected).sum(axis, keepdims=True)
    if not weight.all():
        return False
    factor = (pair.got * np.sign(pair.expected)).sum(axis, keepdims=True) / weight
    return near(pair.got, factor * pair.expected)


def _sum(sums: list[tuple[Array, Array]]) -> str:
    for right, got in sums:
        wrong = ~np.isclose(got, right, rtol=1e-4)
        if wrong.any():
            return f"once they add up to {float(np.asarray(got)[wrong].ravel()[0]):.4g}"
    return "they do not"


def nearly_right(pairs: list[Pair], what: str) -> str | None:
    """Say what makes values that are nearly right differ: that they are rounded, or otherwise to how many digits."""
    for words, function in _WHOLE:
        rounded = [np.asarray(function(pair.expected.astype(float))) for pair in pairs]
        differ = any((pair.got != pair.expected).any() for pair in pairs)
        if differ and all((pair.got == new).all() for pair, new in zip(pairs, rounded, strict=True)):
            text = words.format(what=what)
            return text if text.endswith("?") else f"{text}: leave it as it is."
    for words, function in _FUNCTIONS if n_distinct(pairs) > 1 else ():
        if _map(function, pairs):
            return f"{words.format(what=what)}."
    return precision(pairs, what)


def precision(pairs: list[Pair], what: str) -> str | None:
    """Say to how many digits the values are right, if to some."""
    if all(np.array_equal(pair.got, pair.expected) for pair in pairs):
        return None  # of another type, which is said elsewhere
    if (
        any("f" not in (pair.expected.dtype.kind, pair.got.dtype.kind) for pair in pairs)
        or n_distinct(pairs) < 2
    ):
        return None
    with np.errstate(all="ignore"):
        scale = [np.abs(pair.expected).max() if pair.expected.size else 0 for pair in pairs]
        errors = [
            np.abs(pair.got - pair.expected).max() / size
            for pair, size in zip(pairs, scale, strict=True)
            if size
        ]
    worst = max(errors, default=math.inf)
    if not worst < 1e-2:
        return None
    if all((values == np.round(values)).all() for pair in pairs for values in (pair.got, pair.expected)):
        return f"{what} is nearly right, off by less than 1 %: is something small left out, or counted too often?"
    digits = int(-math.log10(max(worst, 1e-9)))
    return (
        f"{what} is nearly right: {digits} digits are, the others are not. Is something small missing or in the wrong "
        "place (such as an `eps`), or something rounded (such as by `float16`)?"
    )
