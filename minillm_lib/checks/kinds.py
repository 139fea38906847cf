"""What sort of value a result is: in words, and as plain numbers and arrays that can be compared."""

from __future__ import annotations

import decimal
import inspect
import math
import numbers
import sys
from collections.abc import Iterator, Sequence, Set as AbstractSet
from fractions import Fraction
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np

NUMBERS = (numbers.Number, decimal.Decimal, np.number, np.bool_)
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


class NotPlainError(ValueError):
    """A value has no plain numbers to compare; the message says why, and what to do."""


def _loaded(name: str) -> ModuleType | None:
    """Return a library if it is imported: without it, no value can be of its types."""
    return sys.modules.get(name)


def is_tensor(value: Any) -> bool:
    """Return whether the value is a tensor of PyTorch."""
    torch = _loaded("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_sparse(value: Any) -> bool:
    """Return whether the value is a sparse matrix or array of SciPy."""
    sparse = _loaded("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(value))


def is_array(value: Any) -> bool:
    """Return whether the value is an array, a tensor or a sparse matrix, of any number of dimensions."""
    return isinstance(value, np.ndarray) or is_tensor(value) or is_sparse(value)


def is_number(value: Any) -> bool:
    """Return whether the value is one number: of Python, of NumPy, or alone in an array without dimensions."""
    if isinstance(value, NUMBERS):
        return True
    return is_array(value) and tuple(value.shape) == () and not isinstance(value, np.void)


def is_sequence(value: Any) -> bool:
    """Return whether the value has its items in order, as a list has: not a string, not an array."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _is_frame(value: Any) -> bool:
    pandas = _loaded("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series | pandas.Index)


def kind(value: Any) -> str:
    """Return what sort of value it is, with an article: ``"a list"``, ``"a torch tensor"``, ``"a number"``."""
    if value is None:
        return "`None`"
    if isinstance(value, bool | np.bool_):
        return f"`{bool(value)}`"
    if is_tensor(value):
        return "a torch tensor"
    if is_sparse(value):
        return "a sparse matrix"
    if isinstance(value, np.ndarray):
        return "a NumPy array"
    if isinstance(value, NUMBERS):
        return "a number"
    if _is_frame(value):
        return f"a pandas {type(value).__name__}"
    if inspect.isgenerator(value) or isinstance(value, Iterator):
        return "a generator" if inspect.isgenerator(value) else f"an iterator (`{type(value).__name__}`)"
    if isinstance(value, _VIEWS):
        return "a view of a dict"
    plain = {
        str: "a string",
        bytes: "a bytes object",
        list: "a list",
        tuple: "a tuple",
        dict: "a dict",
        range: "a range",
    }
    for of_type, words in plain.items():
        if isinstance(value, of_type):
            return words
    if isinstance(value, AbstractSet):
        return "a set"
    if inspect.iscoroutine(value):
        return "a coroutine"
    if inspect.ismodule(value):
        return "a module"
    if inspect.isclass(value) or (callable(value) and hasattr(value, "__name__")):
        return f"the {'class' if inspect.isclass(value) else 'function'} `{value.__name__}` itself"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} `{name}`"


def number(value: Any) -> Any:
    """Return a number as one of Python: bool, int, float, complex, Fraction or Decimal.

    Raises
    ------
    NotPlainError
        If it is in an array that holds no number.
    """
    if is_array(value):
        value = array(value)[()]
    if isinstance(value, np.generic):
        plain = value.item()
        value = float(value) if isinstance(plain, np.generic) else plain  # a longdouble remains itself
    if isinstance(value, bool | int | float | complex | Fraction | decimal.Decimal):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, numbers.Complex):
        return complex(value)
    raise NotPlainError(f"{kind(value)}, which holds no number")


def array(value: Any) -> np.ndarray:
    """Return an array, a tensor or a sparse matrix as a NumPy array of a plain type.

    Raises
    ------
    NotPlainError
        If it has no values that could be compared.
    """
    if is_sparse(value):
        return np.asarray(value.toarray())
    if is_tensor(value):
        return _of_tensor(value)
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise NotPlainError(
            "a masked array, some of whose values are hidden: `.filled(…)` gives them a value"
        )
    plain = np.asarray(value).view(np.ndarray)
    if plain.dtype.kind == "O":
        return _of_objects(plain)
    return plain.astype(float) if plain.dtype == np.longdouble else plain


def _of_tensor(value: Any) -> np.ndarray:
    torch = sys.modules["torch"]
    with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
        if value.is_meta:
            raise NotPlainError('a tensor of the device "meta", which has a shape but no values')
        if value.is_nested:
            raise NotPlainError("a nested tensor, which has no shape: `.to_padded_tensor(…)` gives it one")
        if value.layout != torch.strided:
            raise NotPlainError("a sparse tensor: `.to_dense()` makes it an ordinary one")
        if value.is_quantized:
            raise NotPlainError("a quantized tensor: `.dequantize()` makes it an ordinary one")
        plain = value.detach().cpu().resolve_conj().resolve_neg()
        return np.array((plain.double() if plain.is_floating_point() else plain).numpy())


def _of_objects(objects: np.ndarray) -> np.ndarray:
    """Return an array of Python objects as one of numbers, if they are; integers beyond 64 bits stay objects."""
    items = [number(item) if is_number(item) else item for item in objects.ravel()]
    if not all(isinstance(item, NUMBERS) for item in items):
        raise NotPlainError(
            "a NumPy array of objects (dtype `object`): `np.array(…, dtype=float)` makes it one of numbers"
        )
    if all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        wide = any(abs(item) >= 2**63 for item in items)
        return np.array(items, dtype=object if wide else np.int64).reshape(objects.shape)
    if any(isinstance(item, complex) for item in items):
        return np.array([complex(item) for item in items]).reshape(objects.shape)
    if not all(isinstance(item, bool) for item in items) and not any(map(beyond_floats, items)):
        items = list(map(_as_float, items))
    wide = any(map(beyond_floats, items))
    return np.array(items, dtype=object if wide else None).reshape(objects.shape)


def beyond_floats(value: Any) -> TypeGuard[int | Fraction | decimal.Decimal]:
    """Return whether a number is finite, but too large for a float, as ``10**400``."""
    finite = value.is_finite() if isinstance(value, decimal.Decimal) else isinstance(value, int | Fraction)
    return finite and math.isinf(_as_float(value))


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def values(value: Any) -> np.ndarray | None:
    """Return all numbers of a number, an array, or regular lists of these as one array of floats or booleans.

    None if it is something else, has text in it, numbers too large for floats, or lists of different lengths.
    """
    try:
        if is_number(value):
            one = number(value)
            if beyond_floats(one):
                return None
            return np.asarray(one if isinstance(one, bool | complex) else _as_float(one))
        if is_array(value):
            plain = array(value)
            return plain if plain.dtype.kind in "bc" else plain.astype(float)
        if is_sequence(value):
            items = [values(item) for item in value]
            if (
                any(item is None for item in items)
                or len({item.shape for item in items if item is not None}) > 1
            ):
                return None
            return np.stack([item for item in items if item is not None]) if items else np.zeros(0)
    except (NotPlainError, TypeError, ValueError, OverflowError):
        return None
    return None


def shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of an array, or ``()`` for a number; None for everything else."""
    if is_array(value):
        return tuple(value.shape)
    return () if is_number(value) else None


def text(value: Any, limit: int = 60) -> str:
    """Return a value as Python writes it, cut where it is too long; never an error."""
    try:
        if isinstance(value, float | np.floating):
            return f"{value:.4g}"
        if isinstance(value, np.ndarray) or is_tensor(value):
            return f"{kind(value)} of shape {tuple(value.shape)}" if value.ndim else text(array(value)[()])
        if beyond_floats(value):
            return _of_digits(value)
        written = repr(value.item() if isinstance(value, np.generic) else value)
    except (Exception, SystemExit):  # a `__repr__` of the learner's own
        return kind(value)
    written = written.encode("utf-8", "backslashreplace").decode()
    return written if len(written) <= limit else f"{written[:limit]} …"


def number_text(value: Any, other: Any = None) -> str:
    """Return a number with four digits, or with as many as are needed to tell it from ``other``."""
    if isinstance(value, bool) or not isinstance(value, NUMBERS):
        return text(value)
    if isinstance(value, int):
        if abs(value) < 10**40:
            return str(value)
        return _of_digits(value) if beyond_floats(value) else f"{_as_float(value):.6g}"
    if isinstance(value, complex):
        return f"{value:.4g}"
    if beyond_floats(value):
        return _of_digits(value)
    shown = _as_float(value)
    if not isinstance(other, NUMBERS) or isinstance(other, complex):
        return f"{shown:.4g}"
    for digits in range(4, 18):
        if f"{shown:.{digits}g}" != f"{_as_float(other):.{digits}g}":
            # one more, unless the difference shows in more than the last digit already
            return f"{shown:.{digits}g}"
    return f"{shown:.17g}"


def _of_digits(value: int | Fraction | decimal.Decimal) -> str:
    """Return in words how large a number is that no float can hold."""
    sign = "minus " if value < 0 else ""
    if isinstance(value, decimal.Decimal):
        return f"{sign}a number of {value.adjusted() + 1:,} digits"
    whole = abs(int(value))
    n_digits = round(math.log10(whole))  # one less, or right
    return f"{sign}a number of {n_digits + (whole >= 10**n_digits):,} digits"
