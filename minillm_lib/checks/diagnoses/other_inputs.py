"""Recognise results that would be right for other inputs: one more, two exchanged, a default in place of a value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.deadline import Deadline
from minillm_lib.checks.guarded import quiet

Reference = Callable[[Mapping[str, Any]], Any]
Same = Callable[[Any, Any], bool]
Change = Callable[..., Any]  # of one input, or of all


def right_for_other_inputs(
    cases: Sequence[tuple[Mapping[str, Any], Any, Any]], reference: Reference, same: Same, deadline: Deadline
) -> str | None:
    """Say which inputs the results would be right for, if that explains every case.

    Parameters
    ----------
    cases
        The inputs of each failed case by name, the result, and the right one.
    reference
        Returns the right result for inputs; it may raise errors.
    same
        Whether two results are equal.
    deadline
        Until when to look.
    """
    if len(cases) < 2:  # a single number is easily right by chance
        return None
    for words, change in _changes(cases[0][0]):
        if deadline.passed:
            return None
        if _explains(change, cases, reference, same):
            return f"The result is what would be right for {words}."
    return None


def _explains(
    change: Change, cases: Sequence[tuple[Any, Any, Any]], reference: Reference, same: Same
) -> bool:
    told_apart = 0
    for inputs, got, right in cases:
        try:
            with quiet():
                other = reference(change(inputs))
        except Exception:  # these inputs make no sense for this exercise
            return False
        if not same(got, other):
            return False
        told_apart += not same(other, right)
    return told_apart == len(cases)


def _changes(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Change]]:
    """Yield changes of the inputs of a case, with the words for what they make of them."""
    for name, value in inputs.items():
        for words, change in _of_one(name, value):
            yield words, lambda case, name=name, change=change: {**case, name: change(case[name])}
    for one, other in itertools.combinations(inputs, 2):
        if _alike(inputs[one], inputs[other]):
            yield (
                f"`{one}` and `{other}` exchanged",
                lambda case, a=one, b=other: {**case, a: case[b], b: case[a]},
            )
            yield f"`{one}` in the place of `{other}`, too", lambda case, a=one, b=other: {**case, b: case[a]}
            yield f"`{other}` in the place of `{one}`, too", lambda case, a=one, b=other: {**case, a: case[b]}


def _alike(one: Any, other: Any) -> bool:
    if kinds.is_array(one) or kinds.is_array(other):
        return kinds.is_array(one) and kinds.is_array(other) and tuple(one.shape) == tuple(other.shape)
    if kinds.is_number(one) and kinds.is_number(other):
        return isinstance(one, bool) == isinstance(other, bool)
    return type(one) is type(other)


def _of_one(name: str, value: Any) -> Iterator[tuple[str, Change]]:
    plain = f"`{name}`"
    if isinstance(value, bool):
        yield f"the opposite of {plain}", lambda x: not x
        yield f"`{name} = {value}`, whatever it is", lambda _: value
        return
    if kinds.is_number(value) and not kinds.is_array(value):
        yield from _of_number(name)
        return
    if kinds.is_array(value):
        yield from _of_array(name, value)
    elif isinstance(value, list | tuple):
        yield from _of_list(name, value)
    elif isinstance(value, str):
        yield f"{plain} in lower case", lambda x: x.lower()
        yield f"{plain} without its first character", lambda x: x[1:]
        yield f"{plain} without its last character", lambda x: x[:-1]
        yield f"{plain} reversed", lambda x: x[::-1]
        yield f"{plain} without blanks around it", lambda x: x.strip()


def _of_number(name: str) -> Iterator[tuple[str, Change]]:
    of = f"in the place of `{name}`"
    whole: list[tuple[str, Change]] = [
        (f"`{name} + 1` {of}", lambda x: x + 1),
        (f"`{name} - 1` {of}", lambda x: x - 1),
        (f"`2 * {name}` {of}", lambda x: 2 * x),
        (f"`{name} // 2` {of}", lambda x: x // 2),
        (f"`{name} = 0`", lambda x: type(x)(0)),
        (f"`{name} = 1`", lambda x: type(x)(1)),
        (f"`-{name}` {of}", lambda x: -x),
        (f"`1 - {name}` {of}", lambda x: 1 - x),
        (f"`1 / {name}` {of}", lambda x: 1 / x),
        (f"`{name} / 2` {of}", lambda x: x / 2),
        (f"`{name} ** 2` {of}", lambda x: x**2),
        (f"the square root of `{name}` {of}", lambda x: math.sqrt(x)),
        (f"the logarithm of `{name}` {of}", lambda x: math.log(x)),
        (f"the exponential of `{name}` {of}", lambda x: math.exp(x)),
        (f"`{name} = 0.5`", lambda _: 0.5),
        (f"`{name} = 2`", lambda x: type(x)(2)),
    ]
    yield from whole


def _of_array(name: str, value: Any) -> Iterator[tuple[str, Change]]:
    plain, of = f"`{name}`", f"in the place of `{name}`"
    if value.ndim == 0 or kinds.is_sparse(value):
        return
    boolean = str(value.dtype).endswith("bool")
    yield f"{plain} reversed", lambda x: x[::-1] if isinstance(x, np.ndarray) else x.flip(0)
    yield f"{plain} without its first item", lambda x: x[1:]
    yield f"{plain} without its last item", lambda x: x[:-1]
    yield f"only the first half of {plain}", lambda x: x[: len(x) // 2]
    if boolean:
        yield f"`~{name}` {of}", lambda x: ~x
        return
    yield f"`{name} + 1` {of}", lambda x: x + 1
    yield f"`{name} - 1` {of}", lambda x: x - 1
    yield f"`-{name}` {of}", lambda x: -x
    yield f"`2 * {name}` {of}", lambda x: 2 * x
    yield f"`{name} / 2` {of}", lambda x: x / 2
    yield f"`abs({name})` {of}", abs
    yield f"`{name}` all 0", lambda x: x * 0
    yield f"`{name}` all 1", lambda x: x * 0 + 1
    yield f"`{name} ** 2` {of}", lambda x: x**2
    yield f"the square roots of `{name}` {of}", lambda x: x**0.5
    yield f"the exponential of `{name}` {of}", _like(np.exp)
    yield f"the logarithm of `{name}` {of}", _like(np.log)
    yield f"{plain} divided by its sum", lambda x: x / x.sum()
    yield f"{plain} with its mean subtracted", lambda x: x - x.mean()
    yield f"one and the same value all over {plain}, its mean", lambda x: x * 0 + x.mean()
    yield f"{plain} sorted", lambda x: np.sort(x) if isinstance(x, np.ndarray) else x.sort(-1).values
    yield f"1 in {plain} wherever it is not 0", lambda x: (x != 0) * 1 + 0 * x
    yield f"{plain} with negative values set to 0", lambda x: x * (x > 0)
    if value.ndim > 1:
        yield f"{plain} transposed", lambda x: x.T if x.ndim == 2 else x.swapaxes(-1, -2)
        yield f"{plain} reversed along its last axis", _like(lambda x: np.flip(x, -1).copy())
        yield f"{plain} divided by the sums of its rows", _like(lambda x: x / x.sum(-1, keepdims=True))
        yield f"only the first row of {plain}", lambda x: x[:1]
        yield f"only the first half of each row of {plain}", lambda x: x[..., : x.shape[-1] // 2]
        yield (
            f"{plain} with the order of its values changed by `reshape`",
            _like(lambda x: x.T.reshape(x.shape)),
        )


def _like(function: Change) -> Change:
    """Return a function of arrays as one of arrays and tensors."""

    def change(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return function(value)
        import torch

        return torch.from_numpy(function(value.detach().cpu().numpy()))

    return change


def _of_list(name: str, value: Sequence[Any]) -> Iterator[tuple[str, Change]]:
    plain, of = f"`{name}`", f"in the place of `{name}`"
    kind: Callable[..., Any] = type(value)
    yield f"{plain} reversed", lambda x: x[::-1]
    yield f"{plain} without its last item", lambda x: x[:-1]
    yield f"{plain} without its first item", lambda x: x[1:]
    yield f"only the first item of {plain}", lambda x: x[:1]
    yield f"only the last item of {plain}", lambda x: x[-1:]
    yield f"{plain} sorted", lambda x: kind(sorted(x))
    yield f"{plain} sorted the largest first", lambda x: kind(sorted(x, reverse=True))
    yield f"{plain} without repeated items", lambda x: kind(dict.fromkeys(x))
    if value and kinds.is_number(value[0]):
        yield f"each item of {plain} plus 1", lambda x: kind(item + 1 for item in x)
        yield f"each item of {plain} minus 1", lambda x: kind(item - 1 for item in x)
        yield f"the running sums of {plain} {of}", lambda x: kind(itertools.accumulate(x))
    if value and isinstance(value[0], list | tuple):
        yield f"the inner lists of {plain} reversed", lambda x: kind(item[::-1] for item in x)
        yield f"the inner lists of {plain} without their last items", lambda x: kind(item[:-1] for item in x)
        yield f"the inner lists of {plain} without their first items", lambda x: kind(item[1:] for item in x)
        yield (
            f"all inner lists of {plain} joined to one",
            lambda x: kind([[*itertools.chain.from_iterable(x)]]),
        )
    if value and isinstance(value[0], str):
        yield f"{plain} in lower case", lambda x: kind(item.lower() for item in x)
