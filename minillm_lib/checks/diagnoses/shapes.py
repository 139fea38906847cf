"""Why an array has the wrong shape: transposed, an axis too many or too few, an item too many or too few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minillm_lib.checks.diagnoses.values import Pair, near
from minillm_lib.checks.guarded import quiet

Array = np.ndarray[Any, Any]
Mend = Callable[..., Any]  # of the array, and the right shape


def wrong_shape(pairs: list[Pair], what: str, *, certain: bool = False) -> str | None:
    """Explain a wrong shape by what makes the right values of the wrong ones, or else by the shapes alone.

    With ``certain``, the shapes alone are not enough.
    """
    if not all(pair.got.shape != pair.expected.shape for pair in pairs):
        return None
    got, right = pairs[0].got.shape, pairs[0].expected.shape
    shapes = f"{what} is {_shape(got)} where it should be {_shape(right)}"
    if len({(pair.got.ndim, pair.expected.ndim) for pair in pairs}) == 1:
        for sentence, mend in _mendings(pairs):
            if all(_mends(mend, pair) for pair in pairs):
                return f"{shapes}. {sentence}"
    reason = next(
        filter(None, (_by_shape(pairs, check) for check in (_REASONS[:1] if certain else _REASONS))), None
    )
    return f"{shapes}. {reason}" if reason else None


def _shape(shape: tuple[int, ...]) -> str:
    return f"of shape {shape}" if shape else "one number"


def _mends(mend: Mend, pair: Pair) -> bool:
    try:
        with quiet():  # the mean of nothing
            return near(mend(pair.got, pair.expected.shape), pair.expected)
    except (ValueError, IndexError):
        return False


def _mendings(pairs: list[Pair]) -> Iterator[tuple[str, Mend]]:
    """Yield what might make the right result of the wrong one, and the sentence to say if it does."""
    n_got, n_right = pairs[0].got.ndim, pairs[0].expected.ndim
    if n_got == 2:
        yield "The values are right, but it is transposed.", lambda x, _: x.T
    if n_got > 2:
        yield (
            "The values are right, but the last two axes are exchanged.",
            lambda x, _: np.swapaxes(x, -1, -2),
        )
        yield "The values are right, but the first two axes are exchanged.", lambda x, _: np.swapaxes(x, 0, 1)
    if n_got != n_right:
        words = (
            "there is an axis of length 1 too many" if n_got > n_right else "an axis of length 1 is missing"
        )
        yield f"The values are right, but {words}.", _squeezed
    for axis in range(n_got):
        of = "" if n_got == 1 else f" along axis {axis}"
        if n_got == n_right + 1:
            yield (
                f"It is not summed yet{of}: add the values up, and it is right.",
                lambda x, _, a=axis: x.sum(a),
            )
            yield f"The mean{of} is missing: take it, and it is right.", lambda x, _, a=axis: x.mean(a)
            yield f"Only the last item{of} is asked for.", lambda x, _, a=axis: np.take(x, -1, a)
            yield f"Only the first item{of} is asked for.", lambda x, _, a=axis: np.take(x, 0, a)
            yield f"Only the largest value{of} is asked for.", lambda x, _, a=axis: x.max(a)
            yield f"The product{of} is missing: take it, and it is right.", lambda x, _, a=axis: x.prod(a)
        if n_got == n_right:
            yield (
                f"There is one item too many at the start{of}.",
                lambda x, _, a=axis: _cut(x, a, slice(1, None)),
            )
            yield (
                f"There is one item too many at the end{of}.",
                lambda x, _, a=axis: _cut(x, a, slice(None, -1)),
            )
            yield (
                f"Every value is there twice{of}, one beside the other.",
                lambda x, _, a=axis: _cut(x, a, slice(None, None, 2)),
            )
            yield (
                f"Everything is there twice{of}, one after the other.",
                lambda x, _, a=axis: _cut(x, a, slice(x.shape[a] // 2)),
            )
            yield (
                f"There are items too many at the end{of}.",
                (lambda x, shape, a=axis: _cut(x, a, slice(shape[a]))),
            )
            yield (
                f"It is not summed yet{of}: `keepdim=True` keeps the axis.",
                lambda x, _, a=axis: x.sum(a, keepdims=True),
            )
    if n_got == n_right + 2:
        yield "It is not summed yet over its first two axes.", lambda x, _: x.sum((0, 1))
        yield "The mean over its two axes is missing.", lambda x, _: x.mean((0, 1))
    if n_right == 0:
        yield "Add all its values up, and it is right.", lambda x, _: np.asarray(x.sum())
        yield "Take the mean of all its values, and it is right.", lambda x, _: np.asarray(x.mean())
    if all(pair.got.size == pair.expected.size for pair in pairs):
        yield (
            "The values are right and in order: `reshape` gives them the shape.",
            lambda x, shape: x.reshape(shape),
        )
    yield (
        "It is one part of the right result, which holds it several times.",
        (lambda x, shape: np.broadcast_to(x, shape)),
    )


def _squeezed(array: Array, shape: tuple[int, ...]) -> Array:
    if tuple(size for size in array.shape if size != 1) != tuple(size for size in shape if size != 1):
        raise ValueError
    return array.reshape(shape)


def _cut(array: Array, axis: int, part: slice) -> Array:
    return np.moveaxis(np.moveaxis(array, axis, 0)[part], 0, axis)


Reason = Callable[[Pair], str | None]


def _by_shape(pairs: list[Pair], reason: Reason) -> str | None:
    """Return what the check says, if it says the same of all cases."""
    found = {reason(pair) for pair in pairs}
    return found.pop() if len(found) == 1 else None


def _of_reduced(pair: Pair) -> str | None:
    """Say what of the right result it would be, if it is a sum, a mean or an end of it."""
    got, right = pair.got, pair.expected
    for axis in range(right.ndim):
        of = "" if right.ndim == 1 else f" along axis {axis}"
        reductions = {
            "sum": right.sum(axis),
            "mean": right.mean(axis) if right.shape[axis] else right.sum(axis),
        }
        for name, value in reductions.items():
            if near(got, value) or near(got, np.expand_dims(value, axis)):
                return f"It is the {name}{of} of what is asked for: every value of it is wanted."
        for name, index in (("first", 0), ("last", -1)):
            if right.shape[axis] and near(got, np.take(right, index, axis)):
                return f"It is only the {name} item{of} of what is asked for."
    for name, part in (("first", slice(1, None)), ("last", slice(None, -1))):
        for axis in range(right.ndim if got.ndim == right.ndim else 0):
            of = "" if right.ndim == 1 else f" along axis {axis}"
            if near(got, _cut(right, axis, part)):
                return f"The {name} item{of} is missing; the others are right."
    return None


def _transposed(pair: Pair) -> str | None:
    if pair.got.ndim >= 2 and pair.got.shape == pair.expected.shape[::-1]:
        return "Is it transposed?"
    if pair.got.ndim >= 3 and pair.got.shape == np.swapaxes(pair.expected, -1, -2).shape:
        return "Are its last two axes exchanged?"
    return None


def _axis_missing(pair: Pair) -> str | None:
    got, right = pair.got.shape, pair.expected.shape
    if pair.got.ndim == pair.expected.ndim - 1:
        axes = [axis for axis in range(len(right)) if right[:axis] + right[axis + 1 :] == got]
        if len(axes) == 1:
            kept = right[axes[0]] == 1
            more = (
                "`keepdim=True` keeps it."
                if kept
                else "is it summed or averaged over, or is an index taken there?"
            )
            return f"Axis {axes[0]} is gone: {more}"
        return "An axis is missing: is it summed or averaged over?"
    if pair.got.ndim == pair.expected.ndim + 1:
        axes = [axis for axis in range(len(got)) if got[:axis] + got[axis + 1 :] == right]
        if len(axes) == 1:
            return f"Axis {axes[0]} of yours is one too many: a sum, a mean or an index over it is missing."
        return "There is one axis too many: is a sum, a mean or an index missing?"
    return None


def _length(pair: Pair) -> str | None:
    if pair.got.ndim != pair.expected.ndim:
        return None
    gaps = [one - other for one, other in zip(pair.got.shape, pair.expected.shape, strict=True)]
    axes = [axis for axis, gap in enumerate(gaps) if gap]
    of = "" if pair.got.ndim == 1 else f" along axis {axes[0]}"
    if len(axes) == 1:
        one, other, gap = pair.got.shape[axes[0]], pair.expected.shape[axes[0]], gaps[axes[0]]
        if abs(gap) == 1:
            return f"There is one item too {'many' if gap > 0 else 'few'}{of}."
        if one == 2 * other:
            return f"There are twice as many items as there should be{of}."
        if 2 * one == other:
            return f"There are half as many items as there should be{of}."
        if one == 1:
            return (
                f"There is one item{of} where there should be several: is `keepdim=True` there without need?"
            )
        return f"There are too {'many' if gap > 0 else 'few'} items{of}."
    return None


def _one_number(pair: Pair) -> str | None:
    if pair.got.ndim == 0:
        return "Is a sum or a mean taken over everything?"
    return "A sum or a mean over everything is missing." if pair.expected.ndim == 0 else None


def _joined_elsewhere(pair: Pair) -> str | None:
    got, right = pair.got.shape, pair.expected.shape
    if pair.got.size != pair.expected.size or len(got) != len(right):
        return None
    longer = [axis for axis, (one, other) in enumerate(zip(got, right, strict=True)) if one > other]
    shorter = [axis for axis, (one, other) in enumerate(zip(got, right, strict=True)) if one < other]
    if len(longer) == len(shorter) == 1 and got[longer[0]] == 2 * right[longer[0]]:
        return f"Two parts are joined along axis {longer[0]} that belong together along axis {shorter[0]}."
    return None


_REASONS: tuple[Reason, ...] = (
    _of_reduced,
    _transposed,
    _joined_elsewhere,
    _axis_missing,
    _one_number,
    _length,
)
