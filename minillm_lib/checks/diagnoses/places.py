"""Where in an array the values are wrong: at an end, on a diagonal, or wherever something holds for an input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.diagnoses.values import Pair

Array = np.ndarray[Any, Any]
Regions = Callable[[Pair], Iterator[tuple[str, Array]]]
WHERE_WRONG = ", where it is wrong,"
_BUT = "everywhere but "
_NOT_ZERO = "where the right value is not 0"


def wrong_places(pair: Pair) -> Array:
    """Return where the values are wrong."""
    with np.errstate(all="ignore"):
        if "c" in (pair.got.dtype.kind, pair.expected.dtype.kind):
            return ~np.isclose(pair.got, pair.expected, rtol=1e-4, atol=1e-6, equal_nan=True)
        got, expected = pair.got.astype(float), pair.expected.astype(float)
        return ~np.isclose(got, expected, rtol=1e-4, atol=1e-6, equal_nan=True)


def only_there(pairs: list[Pair], what: str) -> str | None:
    """Say which places are wrong, if all others are right and these have something in common."""
    return _there(pairs, what, _regions)


def right_only_there(pairs: list[Pair], what: str) -> str | None:
    """Say which places are right, if they are the first or the last of a dimension."""
    return _there(pairs, what, _all_but_an_end)


def _there(pairs: list[Pair], what: str, regions: Regions) -> str | None:
    if any(pair.got.ndim == 0 for pair in pairs):
        return None
    wrong = [wrong_places(pair) for pair in pairs]
    if not all(0 < mask.sum() < mask.size for mask in wrong):
        return None
    what, place = what.removesuffix(WHERE_WRONG), _place(pairs, wrong, regions)
    if place == _NOT_ZERO:
        return f"{what} is 0 wherever it should be, and wrong elsewhere."
    if place and place.startswith(_BUT):
        return f"{what} is right only {place.removeprefix(_BUT)}."
    return f"{what} is right, except {place}." if place else None


def _place(pairs: list[Pair], wrong: list[Array], regions_of: Regions) -> str | None:
    """Return the description that fits best to all places that are wrong, and to little else."""
    described = [dict(regions_of(pair)) for pair in pairs]
    best: tuple[float, str] | None = None
    for words in described[0]:
        found = [regions.get(words) for regions in described]
        regions = [region for region in found if region is not None]
        if len(regions) < len(found) or not all(region.any() and not region.all() for region in regions):
            continue
        if any((mask & ~region).any() for mask, region in zip(wrong, regions, strict=True)):
            continue
        share = sum(np.count_nonzero(mask) for mask in wrong) / sum(map(np.count_nonzero, regions))
        if share >= 0.5 and (best is None or share > best[0] + 1e-9):
            best = share, words
    return best[1] if best else None


def _regions(pair: Pair) -> Iterator[tuple[str, Array]]:
    """Yield regions of the result by their descriptions, the simplest first."""
    shape = pair.expected.shape
    for axis, size in enumerate(shape):
        if size > 1:
            for words, index in (("first", [0]), ("last", [-1])):
                yield f"{_at(words, axis, len(shape))}", _lines(shape, axis, index)
            if size > 3:
                yield f"{_at('first and last', axis, len(shape))}", _lines(shape, axis, [0, -1])
                yield f"{_at('first two', axis, len(shape))}", _lines(shape, axis, [0, 1])
                yield f"{_at('last two', axis, len(shape))}", _lines(shape, axis, [-2, -1])
                half = size // 2
                yield f"in the first half{_along(axis, len(shape))}", _lines(shape, axis, list(range(half)))
                yield (
                    f"in the second half{_along(axis, len(shape))}",
                    _lines(shape, axis, list(range(half, size))),
                )
    if len(shape) >= 2 and shape[-1] > 1 and shape[-2] > 1:
        ones = np.ones(shape, dtype=bool)
        square = " of the last two axes" if len(shape) > 2 else ""
        yield f"on the diagonal{square}", np.tril(np.triu(ones))
        yield f"above the diagonal{square}", np.triu(ones, 1)
        yield f"below the diagonal{square}", np.tril(ones, -1)
        yield f"on and above the diagonal{square}", np.triu(ones)
        yield f"on and below the diagonal{square}", np.tril(ones)
        yield f"beside the diagonal{square}", ~np.tril(np.triu(ones))
    yield from _by_values("the right value", pair.expected)
    if pair.got.dtype.kind != "b":
        yield "where yours is 0", pair.got == 0
    for name, value in pair.inputs.items():
        array = kinds.values(value)
        if array is not None and array.ndim and _broadcasts(array.shape, shape):
            for words, region in (*_by_values(f"`{name}`", array), *_by_ties(f"`{name}`", array)):
                yield words, np.broadcast_to(region, shape)


def _all_but_an_end(pair: Pair) -> Iterator[tuple[str, Array]]:
    shape = pair.expected.shape
    for axis, size in enumerate(shape):
        if size > 2:
            for words, index in (("first", [0]), ("last", [-1])):
                yield f"{_BUT}{_at(words, axis, len(shape))}", ~_lines(shape, axis, index)


def _at(words: str, axis: int, n_axes: int) -> str:
    items = "" if words in ("first", "last") else "s"
    if n_axes == 1:
        return f"for the {words} item{items}"
    if n_axes == 2:
        return f"in the {words} {'row' if axis == 0 else 'column'}{items}"
    return f"at the {words} place{items} along axis {axis}"


def _along(axis: int, n_axes: int) -> str:
    if n_axes == 1:
        return ""
    return (" of the rows" if axis == 0 else " of each row") if n_axes == 2 else f" along axis {axis}"


def _lines(shape: tuple[int, ...], axis: int, index: list[int]) -> Array:
    region = np.zeros(shape, dtype=bool)
    np.moveaxis(region, axis, 0)[index] = True
    return region


def _by_values(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    if array.dtype.kind == "b":
        yield f"where {name} is True", array
        yield f"where {name} is False", ~array
        return
    if array.dtype.kind == "c":
        return
    with np.errstate(all="ignore"):
        yield f"where {name} is 0", array == 0
        yield f"where {name} is not 0", array != 0
        if array.ndim > 1:
            rows = (array == 0).all(-1, keepdims=True)
            yield f"in rows in which {name} is 0 throughout", np.broadcast_to(rows, array.shape)
        yield f"where {name} is 1", array == 1
        yield f"where {name} is -100", array == -100
        yield f"where {name} is infinite", np.isinf(array)
        yield f"where {name} is negative", array < 0
        yield f"where {name} is positive", array > 0
        yield f"where {name} is above 1", array > 1
        yield f"where {name} is below 1", array < 1
        finite = array[np.isfinite(array)]
        if finite.size:
            yield f"where {name} is the largest", array == finite.max()
            yield f"where {name} is the smallest", array == finite.min()
            if array.ndim == 2 and array.shape[1] > 1:
                yield f"where {name} is the largest of its row", array == array.max(-1, keepdims=True)


def _by_ties(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    if array.ndim == 1 and array.size > 2 and array.dtype.kind != "c":
        _, where, counts = np.unique(array, return_inverse=True, return_counts=True)
        yield f"where {name} has equal values (ties)", counts[where] > 1
        yield f"where {name} is the same as one place before", np.r_[False, array[1:] == array[:-1]]


def _broadcasts(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False


def one_sided(pairs: list[Pair], what: str) -> str | None:
    """Say whether True and False are wrong in one direction only."""
    if not all(pair.got.dtype.kind == pair.expected.dtype.kind == "b" for pair in pairs):
        return None
    what = what.removesuffix(WHERE_WRONG)
    if not any((pair.got & ~pair.expected).any() for pair in pairs):
        return f"{what} is too often False: it is right wherever it is True."
    if not any((~pair.got & pair.expected).any() for pair in pairs):
        return f"{what} is too often True: it is right wherever it is False."
    return None


def equal_rows(pairs: list[Pair], what: str) -> str | None:
    """Say that all rows are the same, and whether they are the sum of the right ones."""
    if not all(pair.got.ndim >= 2 and len(pair.got) > 1 and pair.got.size for pair in pairs):
        return None
    if not all(
        (pair.got == pair.got[:1]).all() and not (pair.expected == pair.expected[:1]).all() for pair in pairs
    ):
        return None
    if all(np.allclose(pair.got[0], pair.expected.sum(0)) for pair in pairs):
        return (
            f"{what} has the same row everywhere, the sum of the right ones: is it one list several times, as "
            "`[[0] * n] * m` makes it?"
        )
    return f"{what} has the same row everywhere, where each should be different."


def not_finite(pairs: list[Pair], what: str) -> str | None:
    """Say where there are NaN or infinite values that should not be there."""
    broken = []
    for pair in pairs:
        if pair.got.dtype.kind not in "fc" or pair.got.shape != pair.expected.shape:
            return None
        broken.append(~np.isfinite(pair.got) & np.isfinite(pair.expected))
    if not all(mask.any() for mask in broken):
        return None
    nan = any(np.isnan(pair.got[mask]).any() for pair, mask in zip(pairs, broken, strict=True))
    name = "NaN (not a number)" if nan else "infinite"
    cause = (
        "is there 0 / 0, a logarithm or root of a negative number, or inf − inf?"
        if nan
        else "is there a division by 0, log 0, or a number too large for a float?"
    )
    if all(mask.all() for mask in broken):
        every = "in every value" if pairs[0].got.ndim else ""
        return f"{what} is {name} {every}".rstrip() + f": {cause}"
    place = _place(pairs, broken, _regions) or f"in {int(broken[0].sum())} of {broken[0].size} values"
    return f"{what} is {name} {place}: {cause}"


def broken_property(pairs: list[Pair], what: str) -> str | None:
    """Name something that holds for the right values in all cases, but not for these."""
    if any(pair.got.shape != pair.expected.shape or pair.got.dtype.kind == "c" for pair in pairs):
        return None
    return _sums(pairs, what) or _triangle(pairs, what) or _range(pairs, what)


def _sums(pairs: list[Pair], what: str) -> str | None:
    for axis in (-1, *range(max(pair.got.ndim for pair in pairs))):
        if not all(pair.got.ndim > max(axis, 0) and pair.got.shape[axis] > 1 for pair in pairs):
            continue
        if any(pair.expected.dtype.kind == "b" for pair in pairs):
            return None
        sums = [(pair.expected.sum(axis), pair.got.sum(axis)) for pair in pairs]
        if all(np.allclose(right, 1, rtol=1e-4) for right, _ in sums) and any(
            not np.allclose(got, 1, rtol=1e-3) for _, got in sums
        ):
            wrong = next(got for _, got in sums if not np.allclose(got, 1, rtol=1e-3))
            if not np.isfinite(wrong).all():
                return None
            one = np.atleast_1d(wrong)[~np.isclose(np.atleast_1d(wrong), 1, rtol=1e-3)].ravel()[0]
            rows = {
                1: "its values",
                2: "the values of each row" if axis in (-1, 1) else "the values of each column",
            }
            line = rows.get(pairs[0].got.ndim, f"the values along axis {axis}")
            return f"{what} is not normalised: {line} must add up to 1, but once they add up to {one:.4g}."
    return None


def _triangle(pairs: list[Pair], what: str) -> str | None:
    if not all(pair.got.ndim >= 2 and pair.got.shape[-1] == pair.got.shape[-2] > 2 for pair in pairs):
        return None
    for words, part in (("above", lambda x: np.triu(x, 1)), ("below", lambda x: np.tril(x, -1))):
        if not any(part(pair.expected).any() for pair in pairs) and any(
            part(pair.got).any() for pair in pairs
        ):
            zero = "False" if pairs[0].expected.dtype.kind == "b" else "0"
            return f"{what} must be {zero} everywhere {words} the diagonal, and yours is not."
    return None


def _range(pairs: list[Pair], what: str) -> str | None:
    what = what.removesuffix(WHERE_WRONG)
    if any("b" in (pair.got.dtype.kind, pair.expected.dtype.kind) for pair in pairs):
        return None
    right = np.concatenate([pair.expected.ravel() for pair in pairs])
    got = np.concatenate([pair.got.ravel() for pair in pairs])
    if right.size < 4 or not np.isfinite(right).all() or not np.isfinite(got).all():
        return None
    if (right >= 0).all() and (got < -1e-6).any():
        return f"{what} is never negative if it is right; yours is {got.min():.4g} once."
    if (right <= 1).all() and (right >= 0).all() and (got > 1 + 1e-4).any():
        return f"{what} lies between 0 and 1 if it is right; yours is {got.max():.4g} once."
    if (right == np.round(right)).all() and (np.abs(got - np.round(got)) > 1e-4).any():
        one = got[np.abs(got - np.round(got)) > 1e-4][0]
        return f"{what} consists of whole numbers if it is right; yours has {one:.4g}."
    return None
