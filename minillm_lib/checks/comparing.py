"""Describe in words how a result differs from what is expected."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


def difference(
    got: Any, expected: Any, *, rtol: float = 1e-4, atol: float = 1e-6, what: str = "the result"
) -> str | None:
    """Describe in a sentence how ``got`` differs from ``expected``.

    Tensors, arrays, sparse matrices, numbers, and lists, tuples and dicts of these are compared by their values.
    Anything else must be equal. Floating-point values may differ by ``atol + rtol * |expected|``, integers must be
    equal. Tensors must have the same dtype. NumPy arrays must only have the same kind of dtype, because the width of an
    int differs between systems.

    Parameters
    ----------
    what
        What to call the result in the sentence.

    Returns
    -------
    sentence
        The sentence, or None if there is no difference.
    """
    tolerance = {"rtol": rtol, "atol": atol}
    if got is None and expected is not None:
        return f"{what} is `None`: is there a `return`?"
    if _kind(got) != _kind(expected):
        hint = " (`.item()` gives it)" if _kind(expected) == "a number" and _n_values(got) == 1 else ""
        return f"{what} is {_kind(got)}, but {_kind(expected)} is expected{hint}."
    if isinstance(expected, Mapping):
        return _mapping_difference(got, expected, what=what, **tolerance)
    if isinstance(expected, list | tuple):
        return _sequence_difference(got, expected, what=what, **tolerance)
    if _is_array(expected):
        return _shape_difference(got, expected, what) or _values_difference(
            _as_numpy(got), _as_numpy(expected), what=what, **tolerance
        )
    if isinstance(expected, numbers.Number):
        if _are_close(np.asarray(got), np.asarray(expected), **tolerance):
            return None
        return f"{what} is {_short(got)}, but {_short(expected)} is expected."
    return None if got == expected else f"{what} is {_short(got)}, but {_short(expected)} is expected."


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # without torch there are no tensors
    return torch is not None and isinstance(value, torch.Tensor)


def _is_sparse(value: Any) -> bool:
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and sparse.issparse(value)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or _is_tensor(value) or _is_sparse(value)


def _kind(value: Any) -> str:
    if _is_tensor(value):
        return "a torch tensor"
    if _is_sparse(value):
        return "a sparse matrix"
    if isinstance(value, np.ndarray):
        return "a NumPy array"
    if isinstance(value, numbers.Number | np.bool_):
        return "a number"
    if callable(value):
        return "a function or class"
    return "a string" if isinstance(value, str) else f"of type `{type(value).__name__}`"


def _n_values(value: Any) -> int:
    return int(np.prod(value.shape)) if _is_array(value) else 0


def _as_numpy(array: Any) -> np.ndarray:
    if _is_sparse(array):
        return array.toarray()
    if not _is_tensor(array):
        return array
    tensor = array.detach().cpu().resolve_conj()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def _shape_difference(got: Any, expected: Any, what: str) -> str | None:
    shape, expected_shape = tuple(got.shape), tuple(expected.shape)
    if shape != expected_shape:
        hint = " Is it transposed?" if shape == expected_shape[::-1] else ""
        return f"{what} has shape {shape}, but {expected_shape} is expected.{hint}"
    same = got.dtype == expected.dtype if _is_tensor(expected) else got.dtype.kind == expected.dtype.kind
    return None if same else f"{what} has dtype {got.dtype}, but {expected.dtype} is expected."


def _values_difference(
    got: np.ndarray, expected: np.ndarray, *, rtol: float, atol: float, what: str
) -> str | None:
    close = _are_close(got, expected, rtol=rtol, atol=atol)
    if close.all():
        return None
    if expected.dtype.kind in "fc" and np.isfinite(expected).all() and not np.isfinite(got).all():
        broken = int(np.sum(~np.isfinite(got)))
        return f"{what} has {broken} of {got.size} values that are not finite (NaN or infinite)."
    place = tuple(map(int, np.argwhere(~close)[0]))
    wrong = int(np.sum(~close))
    where = f" at index {place if len(place) > 1 else place[0]}" if place else ""
    return (
        f"{what} has the right shape, but {wrong} of {got.size} values are wrong:"
        f"{where} it is {_short(got[place])}, but {_short(expected[place])} is expected."
    )


def _are_close(got: np.ndarray, expected: np.ndarray, *, rtol: float, atol: float) -> np.ndarray:
    if got.dtype.kind in "fc" or expected.dtype.kind in "fc":
        return np.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    return np.asarray(got == expected)


def _mapping_difference(
    got: Mapping[Any, Any], expected: Mapping[Any, Any], *, rtol: float, atol: float, what: str
) -> str | None:
    if missing := [key for key in expected if key not in got]:
        return f"{what} lacks the key {_short(missing[0])}."
    if extra := [key for key in got if key not in expected]:
        return f"{what} has the key {_short(extra[0])}, which is not expected."
    parts = (
        difference(got[key], expected[key], rtol=rtol, atol=atol, what=f"{what} under {_short(key)}")
        for key in expected
    )
    return next(filter(None, parts), None)


def _sequence_difference(got: Any, expected: Any, *, rtol: float, atol: float, what: str) -> str | None:
    if len(got) != len(expected):
        return f"{what} has {len(got)} items, but {len(expected)} are expected."
    parts = (
        difference(one, other, rtol=rtol, atol=atol, what=f"item {index} of {what}")
        for index, (one, other) in enumerate(zip(got, expected, strict=True))
    )
    return next(filter(None, parts), None)


def _short(value: Any, limit: int = 60) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= limit else f"{text[:limit]} …"
