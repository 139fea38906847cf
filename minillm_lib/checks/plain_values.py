"""Values as bytes and back, without pickle: what a submission sends must never run code in the grader.

A value becomes a tree of lists that JSON can hold, and a list of raw buffers for the arrays in it. Numbers, texts,
bytes, containers, NumPy arrays, sparse matrices and tensors are copied. Anything else, such as a function or an object
of the learner's own class, stays where it is, and a number stands for it: see :class:`Keeper`.
"""

from __future__ import annotations

import collections
import decimal
import fractions
import math
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

MOST_ITEMS = 300_000
DEEPEST = 100
_MOST_CHARACTERS = 10_000_000
_MOST_BITS = 200_000  # of a whole number: what is done with larger ones takes minutes
_MOST_ROWS = 10_000_000
_VIEWS: dict[type, str] = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
_CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "l": list,
    "t": tuple,
    "s": set,
    "fs": frozenset,
    "g": lambda items: (item for item in items),
}
_MAPPINGS: dict[str, Callable[[Any], Any]] = {
    "dict": dict,
    "Counter": lambda pairs: collections.Counter(dict(pairs)),
    "OrderedDict": collections.OrderedDict,
}
_DTYPE_KINDS = "biufcSUMm"


class PlainValueError(ValueError):
    """A value that cannot be sent, or bytes that are no value."""


class Keeper(Protocol):
    """Keeps what is not copied: gives it a tree that stands for it, and finds what a tree stands for."""

    def keep(self, value: Any) -> list[Any]:
        """Return a tree, whose first item is ``"o"``, that stands for the value."""

    def find(self, tree: list[Any]) -> Any:
        """Return what the tree stands for."""


class Encoder:
    """Turns values into trees; the arrays' bytes gather in :attr:`buffers`."""

    def __init__(self, keeper: Keeper) -> None:
        self.buffers: list[bytes] = []
        self._keeper = keeper
        self._left = MOST_ITEMS

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Return the tree of a value.

        Raises
        ------
        PlainValueError
            If it is nested too deeply or has too many items.
        """
        self._left -= 1
        if depth > DEEPEST:
            raise PlainValueError(f"it is nested more than {DEEPEST} deep")
        if self._left < 0:
            raise PlainValueError(f"it has more than {MOST_ITEMS:,} items")
        if value is None or isinstance(value, bool):
            return value
        return self._number_or_text(value) or self._array(value, depth) or self._container(value, depth)

    def _number_or_text(self, value: Any) -> Any:
        # of a subclass, only what the base class knows of it is sent
        if isinstance(value, int) and not isinstance(value, np.generic):
            return ["i", hex(_moderate(int.__add__(value, 0)))]
        if isinstance(value, float) and not isinstance(value, np.generic):
            return ["f", float.hex(value)]
        if isinstance(value, str) and not isinstance(value, np.generic):
            return ["u", _short(str.__str__(value))]
        if isinstance(value, complex) and not isinstance(value, np.generic):
            return ["c", float.hex(value.real), float.hex(value.imag)]
        if isinstance(value, bytes | bytearray) and not isinstance(value, np.generic):
            return ["b" if isinstance(value, bytes) else "ba", self._buffer(_short(bytes(value)))]
        if isinstance(value, fractions.Fraction):
            return ["F", hex(_moderate(value.numerator)), hex(_moderate(value.denominator))]
        if isinstance(value, decimal.Decimal):
            return ["D", str(_of_moderate_exponent(value))]
        if isinstance(value, range):
            if value and abs(value.stop - value.start) // abs(value.step) >= MOST_ITEMS:  # len() has a limit
                raise PlainValueError(f"it has more than {MOST_ITEMS:,} items")
            return ["r", *(hex(_moderate(end)) for end in (value.start, value.stop, value.step))]
        return None

    def _array(self, value: Any, depth: int) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            kind = "n" if isinstance(value, np.generic) else "a"
            if array.dtype.kind in _DTYPE_KINDS:
                return [kind, array.dtype.str, list(array.shape), self._buffer(array.tobytes())]
            if array.dtype.kind == "O":
                return ["ao", list(array.shape), [self.encode(item, depth + 1) for item in array.ravel()]]
            return None
        torch, sparse = sys.modules.get("torch"), sys.modules.get("scipy.sparse")
        if torch is not None and isinstance(value, torch.Tensor):
            return self._tensor(torch, value)
        if sparse is not None and sparse.issparse(value):
            flat = value.tocoo()
            parts = [self._array(part, depth) for part in (flat.data, flat.row, flat.col)]
            return ["sp", value.format, isinstance(value, sparse.sparray), list(value.shape), *parts]
        return None

    def _tensor(self, torch: Any, tensor: Any) -> Any:
        takes_gradient = [True] if tensor.is_leaf and tensor.requires_grad else []
        tensor = tensor.detach().as_subclass(torch.Tensor)
        name, shape = str(tensor.dtype).removeprefix("torch."), list(tensor.shape)
        if tensor.is_meta:
            return ["xm", name, shape]
        if tensor.is_quantized or tensor.is_nested:
            return None
        is_sparse = tensor.layout != torch.strided
        dense = (tensor.to_dense() if is_sparse else tensor).cpu().resolve_conj().resolve_neg()
        raw = dense.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes() if dense.numel() else b""
        return ["xs" if is_sparse else "x", name, shape, self._buffer(raw), *takes_gradient]

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, list | tuple | set | frozenset):
            for name, kind in (("l", list), ("t", tuple), ("s", set), ("fs", frozenset)):
                if isinstance(value, kind):
                    return [name, [self.encode(item, depth + 1) for item in value]]
        if isinstance(value, dict):
            name = next((base.__name__ for base in type(value).__mro__ if base.__name__ in _MAPPINGS), "dict")
            return ["d", name, [self._pair(pair, depth) for pair in value.items()]]
        if type(value) in _VIEWS:
            return ["v", _VIEWS[type(value)], [self.encode(item, depth + 1) for item in value]]
        if isinstance(value, Iterator) and isinstance(
            value, types.GeneratorType | map | filter | zip | enumerate | reversed
        ):
            return ["g", [self.encode(item, depth + 1) for item in value]]
        return self._keeper.keep(value)

    def _pair(self, pair: tuple[Any, Any], depth: int) -> list[Any]:
        return [self.encode(pair[0], depth + 1), self.encode(pair[1], depth + 1)]

    def _buffer(self, content: bytes) -> int:
        self.buffers.append(content)
        return len(self.buffers) - 1


class Decoder:
    """Turns trees and buffers into values again."""

    def __init__(self, buffers: list[bytes], keeper: Keeper) -> None:
        self._buffers = buffers
        self._keeper = keeper

    def decode(self, tree: Any) -> Any:
        """Return the value of a tree.

        Raises
        ------
        PlainValueError
            If it is not a tree that :class:`Encoder` makes.
        """
        try:
            return self._decode(tree, 0)
        except PlainValueError:
            raise
        except Exception as error:  # the bytes come from a stranger, and may be anything
            raise PlainValueError(f"these bytes are no value: {type(error).__name__}") from None

    def _decode(self, tree: Any, depth: int) -> Any:
        if tree is None or isinstance(tree, bool):
            return tree
        if depth > DEEPEST:
            raise PlainValueError(f"it is nested more than {DEEPEST} deep")
        kind, *parts = tree
        if kind in _CONTAINERS:
            return _CONTAINERS[kind]([self._decode(item, depth + 1) for item in parts[0]])
        if kind == "d":
            pairs = [(self._decode(key, depth + 1), self._decode(item, depth + 1)) for key, item in parts[1]]
            return _MAPPINGS[parts[0]](pairs)
        if kind == "v":
            items = [self._decode(item, depth + 1) for item in parts[1]]
            if parts[0] == "values":
                return dict(enumerate(items)).values()
            return dict.fromkeys(items).keys() if parts[0] == "keys" else dict(items).items()
        if kind in ("a", "n", "ao", "x", "xs", "xm", "sp"):
            return self._array(kind, parts, depth)
        if kind == "o":
            return self._keeper.find(tree)
        return self._number_or_text(kind, parts)

    def _number_or_text(self, kind: str, parts: list[Any]) -> Any:
        numbers: dict[str, Callable[..., Any]] = {
            "i": _whole,
            "f": float.fromhex,
            "u": lambda text: _short(str(text)),
            "c": lambda real, imaginary: complex(float.fromhex(real), float.fromhex(imaginary)),
            "b": lambda index: _short(bytes(self._buffers[index])),
            "ba": lambda index: bytearray(_short(self._buffers[index])),
            "F": lambda top, bottom: fractions.Fraction(_whole(top), _whole(bottom)),
            "D": lambda text: _of_moderate_exponent(decimal.Decimal(_short(str(text)))),
            "r": lambda *ends: range(*map(_whole, ends))[:MOST_ITEMS],
        }
        return numbers[kind](*parts)

    def _array(self, kind: str, parts: list[Any], depth: int) -> Any:
        if kind == "ao":
            array = np.empty(len(parts[1]), dtype=object)
            for index, item in enumerate(parts[1]):
                array[index] = self._decode(item, depth + 1)
            return array.reshape(_shape(parts[0]))
        if kind == "sp":
            from scipy import sparse

            shape = _shape(parts[2])
            if max(shape) > _MOST_ROWS:  # the usual formats take memory for each row, also for empty ones
                raise PlainValueError(f"a sparse matrix of {shape} is not sent")
            data, row, column = (self._decode(part, depth + 1) for part in parts[3:])
            made = sparse.coo_array if parts[1] is True else sparse.coo_matrix
            name = str(parts[0]) if math.prod(shape) <= _MOST_ROWS else "csr"
            return made((data, (row, column)), shape=shape).asformat(name)
        if kind in ("a", "n"):
            dtype = np.dtype(parts[0])
            if dtype.kind not in _DTYPE_KINDS:
                raise PlainValueError(f"arrays of {dtype} are not sent")
            array = np.frombuffer(bytearray(self._buffers[parts[2]]), dtype=dtype).reshape(_shape(parts[1]))
            return array if kind == "a" else array[()]
        return self._tensor(kind, *parts)

    def _tensor(
        self, kind: str, name: str, shape: list[int], index: int = 0, takes_gradient: bool = False
    ) -> Any:
        import torch

        dtype = getattr(torch, name)
        if not isinstance(dtype, torch.dtype):
            raise PlainValueError(f"there is no torch.{name}")
        if kind == "xm":
            return torch.empty(_shape(shape), dtype=dtype, device="meta")
        raw = bytearray(self._buffers[index])
        flat = torch.frombuffer(raw, dtype=torch.uint8).view(dtype) if raw else torch.empty(0, dtype=dtype)
        tensor = flat.reshape(_shape(shape))
        tensor = tensor.to_sparse() if kind == "xs" else tensor
        return tensor.requires_grad_() if takes_gradient is True else tensor


def _shape(shape: list[Any]) -> tuple[int, ...]:
    if not all(type(size) is int and size >= 0 for size in shape):
        raise PlainValueError("a shape is no list of sizes")
    return tuple(shape)


def _short(value: Any) -> Any:
    if len(value) > _MOST_CHARACTERS:
        raise PlainValueError(f"a text or bytes of it are longer than {_MOST_CHARACTERS:,}")
    return value


def _moderate(number: int) -> int:
    if number.bit_length() > _MOST_BITS:
        raise PlainValueError("a whole number in it has more than 60,000 digits")
    return number


def _whole(text: str) -> int:
    if len(text) > _MOST_BITS // 4 + 4:
        raise PlainValueError("a whole number in it has more than 60,000 digits")
    return int(text, 16)


def _of_moderate_exponent(number: decimal.Decimal) -> decimal.Decimal:
    if number.is_finite() and abs(number.adjusted()) > _MOST_BITS // 4:
        raise PlainValueError("a Decimal in it has more than 50,000 digits")
    return number
