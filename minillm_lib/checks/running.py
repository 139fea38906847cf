"""Use an answer on the cases of an exercise, and keep what comes out of each."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.comparing import difference
from minillm_lib.checks.guarded import (
    StopRequest,
    TimeLimitError,
    code_of_instructor,
    is_stub,
    without_code,
)

Inputs = tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """The inputs of one call; ``edge`` says what is special about them, and is empty if they were drawn."""

    inputs: Inputs
    edge: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came out of one call: a value or an error, and the name of an input that was changed against the rules."""

    value: Any = None
    error: BaseException | None = None
    changed: str | None = None


class Recorded:
    """What came out of a function in each case, in place of the function: it can be looked up, but not called.

    Parameters
    ----------
    known
        The inputs of each case, which are told apart by identity, and what came out.
    names
        The names of the inputs.
    """

    def __init__(self, known: Iterable[tuple[Inputs, Outcome]], names: Sequence[str]) -> None:
        self._known = list(known)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def outcome(self, inputs: Inputs) -> Outcome:
        """Return what came out for inputs; an error if they are not among those that were tried."""
        unknown = Outcome(error=LookupError("it was not tried on these inputs"))
        return next((outcome for known, outcome in self._known if known is inputs), unknown)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Raise an error, since only results are known."""
        raise RuntimeError("the right answer is not in this file, and yours has not passed its check yet")


def run(
    use: Callable[..., Any],
    answer: Callable[..., Any],
    cases: Iterable[Case],
    *,
    names: Sequence[str],
    may_change: Sequence[str] = (),
    into: list[Outcome] | None = None,
    own: Iterable[Callable[..., Any] | None] = (),
) -> list[Outcome]:
    """Use an answer on copies of the inputs of all cases; an error in one does not stop the next.

    Parameters
    ----------
    into
        Where the outcomes go, one by one, for those who do not wait for the end.
    own
        Functions of the instructor, whose lines are not shown as those of the answer.

    Raises
    ------
    TimeLimitError
        If the answer itself reports that it took too long.
    """
    outcomes = [] if into is None else into
    if isinstance(answer, Recorded):
        outcomes += [answer.outcome(case.inputs) for case in cases]
        return outcomes
    for case in cases:
        inputs = copy.deepcopy(case.inputs)
        try:
            value = snapshot(use(answer, *inputs))
        except (StopRequest, TimeLimitError):
            raise
        except BaseException as raised:  # also SystemExit: the learner's code raised it
            error = without_code(raised, code_of_instructor(own, answer)) if own else raised
            outcomes.append(Outcome(error=error))
            if is_stub(error):
                break
            continue
        outcomes.append(Outcome(value, changed=changed_input(names, case.inputs, inputs, may_change)))
    return outcomes


def snapshot(value: Any) -> Any:
    """Return a copy that later calls cannot change, or the value itself if it cannot be copied (as a generator)."""
    try:
        return copy.deepcopy(_detached(value))
    except (Exception, SystemExit):
        return value


def _detached(value: Any) -> Any:
    """Return tensors without their history, because only such tensors can be copied."""
    if type(value) in (list, tuple):
        return type(value)(map(_detached, value))
    if type(value) is dict:
        return {key: _detached(item) for key, item in value.items()}
    return value.detach() if kinds.is_tensor(value) else value


def changed_input(
    names: Sequence[str], before: Inputs, after: Inputs, may_change: Sequence[str]
) -> str | None:
    """Return the name of an input that holds other values than before, although it may not be changed."""
    for name, old, new in zip(names, before, after, strict=False):
        if name not in may_change and _is_data(old) and difference(new, old, rtol=0, atol=0):
            return name
    return None


def is_comparable(value: Any) -> bool:
    """Return whether a result is made of nothing but values that can be compared, and remains as it is."""
    return _is_plain(value) or _is_data(value)


def _is_data(value: Any, depth: int = 4) -> bool:
    """Return whether a value can be changed in place, and is made of nothing but values that can be compared."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_plain(item) or (depth > 0 and _is_data(item, depth - 1)) for item in value)
    if isinstance(value, Mapping):
        return all(_is_plain(item) or (depth > 0 and _is_data(item, depth - 1)) for item in value.values())
    return isinstance(value, np.ndarray) or kinds.is_tensor(value) or kinds.is_sparse(value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bytes) or kinds.is_number(value)


def loosened(expected: Sequence[Any]) -> list[Any]:
    """Return the right values of all cases, whole numbers as floats where another case has a float at that place.

    A formula may give ``0`` for an empty text and ``2.5`` for another; then the type of the 0 means nothing.
    """
    plain = [
        value
        for value in expected
        if isinstance(value, int | float | np.number) and not isinstance(value, bool)
    ]
    if plain and len(plain) == len(expected):
        whole = [isinstance(value, int | np.integer) for value in plain]
        return [float(value) for value in plain] if any(whole) and not all(whole) else list(expected)
    tuples = [value for value in expected if type(value) is tuple]
    if tuples and len(tuples) == len(expected) and tuples[0] and len({len(value) for value in tuples}) == 1:
        return list(zip(*map(loosened, zip(*tuples, strict=True)), strict=True))
    return list(expected)
