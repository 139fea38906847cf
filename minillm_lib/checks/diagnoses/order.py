"""Whether the right values are there, but in other places: reversed, sorted, transposed, shifted, or added up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minillm_lib.checks.diagnoses.values import Pair, becomes, n_distinct, near

Array = np.ndarray[Any, Any]


def moved(pairs: list[Pair], what: str) -> str | None:
    """Say that the right values are there, reversed, sorted, transposed or one place further."""
    if n_distinct(pairs) < 3 or any(pair.got.ndim == 0 for pair in pairs):
        return None
    n_axes = {pair.got.ndim for pair in pairs}
    if len(n_axes) == 1:
        for words, move in _moves(n_axes.pop()):
            if _moved(move, pairs):
                return f"{what} has the right values, but {words}."
    return None


def rearranged(pairs: list[Pair], what: str) -> str | None:
    """Say that the right values are there, but in other places."""
    if n_distinct(pairs) < 3 or any(pair.got.ndim == 0 for pair in pairs):
        return None
    if sentence := moved(pairs, what):
        return sentence
    if not all(near(np.sort(pair.got, axis=None), np.sort(pair.expected, axis=None)) for pair in pairs):
        return None
    if all(near(np.sort(pair.got, axis=-1), np.sort(pair.expected, axis=-1)) for pair in pairs):
        row = " within each row" if pairs[0].got.ndim > 1 else ""
        return f"{what} has the right values, but in another order{row}."
    if pairs[0].got.ndim > 1 and all(
        near(np.sort(p.got, axis=0), np.sort(p.expected, axis=0)) for p in pairs
    ):
        return f"{what} has the right values in each column, but in another order."
    return f"{what} has the right values, but in other places: the order is another one."


Move = Callable[..., bool]  # of the result, and the right one


def _moved(move: Move, pairs: list[Pair]) -> bool:
    return all(pair.got.size > 1 and move(pair.got, pair.expected) for pair in pairs)


def _moves(n_axes: int) -> Iterator[tuple[str, Move]]:
    for axis in range(n_axes):
        place = "" if n_axes == 1 else f" along axis {axis}"
        yield f"reversed{place}", lambda got, right, axis=axis: near(got, np.flip(right, axis))
        yield f"sorted{place}", lambda got, right, axis=axis: near(got, np.sort(right, axis))
        yield (
            f"sorted the largest first{place}",
            lambda got, right, axis=axis: near(got, -np.sort(-right, axis)),
        )
        yield (
            f"each is one place too late{place}",
            lambda got, right, axis=axis: _shifted(got, right, axis),
        )
        yield (
            f"each is one place too early{place}",
            lambda got, right, axis=axis: _shifted(right, got, axis),
        )
    if n_axes >= 2:
        words = "rows and columns are exchanged" if n_axes == 2 else "the last two axes are exchanged"
        yield words, lambda got, right: near(got, np.swapaxes(right, -1, -2))
    if n_axes >= 3:
        yield "the first two axes are exchanged", lambda got, right: near(got, np.swapaxes(right, 0, 1))


def _shifted(late: Array, early: Array, axis: int) -> bool:
    if late.shape != early.shape or late.shape[axis] < 3:
        return False
    late, early = np.moveaxis(late, axis, 0), np.moveaxis(early, axis, 0)
    return near(late[1:], early[:-1])


def accumulated(pairs: list[Pair], what: str) -> str | None:
    """Say that the values are running sums of the right ones, or the other way round."""
    if n_distinct(pairs) < 3 or any(pair.got.ndim == 0 for pair in pairs):
        return None
    for axis in range(min(pair.got.ndim for pair in pairs)):
        place = "" if pairs[0].got.ndim == 1 else f" along axis {axis}"
        if all(becomes(pair.got, np.cumsum(pair.expected, axis), pair.expected) for pair in pairs):
            return f"{what} has running sums{place} in place of the values themselves."
        if all(near(np.cumsum(pair.got, axis), pair.expected) for pair in pairs):
            return f"{what} has the single values{place} where running sums should be: `cumsum` is missing."
    return None
