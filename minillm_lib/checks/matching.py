"""Recognise the declared mistakes of an exercise in results: one of them, two at once, or one and a general one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.diagnoses.general import Failure, general_changes
from minillm_lib.checks.diagnoses.values import near
from minillm_lib.checks.running import Case, Outcome

_MOST_TO_COMBINE = 40
_SECONDS = 1.0
Differ = Callable[[Any, Any], str | None]


class Mistake:
    """A declared mistake, with what comes out of it in each case; a case is run when it is asked for."""

    def __init__(self, message: str, run: Callable[[int], Outcome]) -> None:
        self.message = message
        self._run = run
        self._known: dict[int, Outcome] = {}

    def outcome(self, index: int) -> Outcome:
        """Return what comes out of the mistake in a case."""
        if index not in self._known:
            self._known[index] = self._run(index)
        return self._known[index]


@dataclass(frozen=True)
class Observed:
    """What there is to explain: the cases, with the names of their inputs, the answer's outcomes and the right ones."""

    cases: Sequence[Case]
    outcomes: Sequence[Outcome]
    expected: Sequence[Outcome]
    names: Sequence[str]
    differ: Differ

    @property
    def usual(self) -> list[int]:
        """The indices of the cases that were drawn."""
        return [index for index, case in enumerate(self.cases) if not case.edge]

    def equal(self, one: Outcome, other: Outcome) -> bool:
        """Return whether two outcomes are the same: equal values, or errors of one type or of a special case of it."""
        if one.error is not None or other.error is not None:
            kinds_of_error = {type(one.error), type(other.error)}
            if kinds_of_error & {type(None), Exception, BaseException}:
                return False
            return isinstance(one.error, type(other.error)) or isinstance(other.error, type(one.error))
        return self.differ(one.value, other.value) is None


def recognise(observed: Observed, mistakes: Sequence[Mistake]) -> str | None:
    """Return the message of the declared mistake whose results are the same; None if there is none."""
    usual = observed.usual
    edges = [index for index in range(len(observed.cases)) if index not in usual]
    if all(observed.equal(observed.outcomes[index], observed.expected[index]) for index in usual):
        return _at_an_edge(observed, mistakes, usual, edges)
    nearly = None
    for mistake in mistakes:
        if _fits(observed, mistake, usual):
            if _fits(observed, mistake, edges):
                return mistake.message
            nearly = nearly or mistake.message
    return nearly


def _fits(observed: Observed, mistake: Mistake, indices: Sequence[int]) -> bool:
    return all(observed.equal(observed.outcomes[index], mistake.outcome(index)) for index in indices)


def recognise_two(observed: Observed, mistakes: Sequence[Mistake]) -> str | None:
    """Return the messages of two declared mistakes that together give the results, or of one as another type."""
    few = mistakes[:_MOST_TO_COMBINE]
    return _in_other_types(observed, mistakes, observed.usual) or _two(observed, few, observed.usual)


def recognise_and_more(observed: Observed, mistakes: Sequence[Mistake]) -> str | None:
    """Return the message of a declared mistake, with what was done to its results, such as a transposition."""
    return _and_another(observed, mistakes[:_MOST_TO_COMBINE], observed.usual)


def _at_an_edge(
    observed: Observed, mistakes: Sequence[Mistake], usual: Sequence[int], edges: Sequence[int]
) -> str | None:
    """Recognise a mistake that shows in edge cases only: in all of them, or where another one shows in the others."""
    wrong = [
        index for index in edges if not observed.equal(observed.outcomes[index], observed.expected[index])
    ]
    partly = []
    for mistake in mistakes:
        shown = [index for index in wrong if observed.equal(observed.outcomes[index], mistake.outcome(index))]
        if shown and _fits(observed, mistake, usual):
            if len(shown) == len(wrong) and _fits(observed, mistake, edges):
                return mistake.message
            if any(observed.outcomes[index].error is None for index in shown):
                partly.append(mistake.message)
    return partly[0] if partly else None


def _flat(value: Any) -> np.ndarray | None:
    """Return all numbers of a value one after the other, also of a tuple of arrays; None if there is anything else."""
    array = kinds.values(value)
    if array is not None:
        return None if array.dtype.kind == "c" else array.astype(float).ravel()
    if not isinstance(value, tuple | list):
        return None
    parts = [_flat(item) for item in value]
    return None if not parts or any(part is None for part in parts) else np.concatenate(parts)  # type: ignore[arg-type]


def _numbers(
    outcomes: Sequence[Outcome] | Mapping[int, Outcome], usual: Sequence[int]
) -> list[np.ndarray] | None:
    chosen = [outcomes[index] for index in usual]
    flat = [None if one.error is not None else _flat(one.value) for one in chosen]
    return None if any(one is None for one in flat) else flat  # type: ignore[return-value]


def _in_other_types(observed: Observed, mistakes: Sequence[Mistake], usual: Sequence[int]) -> str | None:
    """Recognise a mistake whose values come as another type, as a list for an array."""
    got, right = _numbers(observed.outcomes, usual), _numbers(observed.expected, usual)
    if got is None or right is None:
        return None
    for mistake in mistakes:
        wrong = _numbers({index: mistake.outcome(index) for index in usual}, usual)
        if wrong is None or all(map(near, wrong, right)) or not all(map(near, got, wrong)):
            continue
        shapes = [(observed.outcomes[index].value, mistake.outcome(index).value) for index in usual]
        if all(_shape(one) == _shape(other) for one, other in shapes):
            besides = next(filter(None, (observed.differ(*pair) for pair in shapes)), "")
            return f"{mistake.message} Besides, {besides}" if besides else mistake.message
    return None


def _shape(value: Any) -> tuple[int, ...] | None:
    array = kinds.values(value)
    return None if array is None else array.shape


def _two(observed: Observed, mistakes: Sequence[Mistake], usual: Sequence[int]) -> str | None:
    """Recognise two mistakes that are independent of each other: their factors, or their errors, come together."""
    got, right = _numbers(observed.outcomes, usual), _numbers(observed.expected, usual)
    if got is None or right is None or sum(len(one) for one in right) < 3:
        return None
    effects = [
        (mistake, _numbers({index: mistake.outcome(index) for index in usual}, usual)) for mistake in mistakes
    ]
    known = [
        (mistake, wrong)
        for mistake, wrong in effects
        if wrong is not None
        and all(one.shape == other.shape for one, other in zip(wrong, right, strict=True))
    ]
    if not all(one.shape == other.shape for one, other in zip(got, right, strict=True)):
        return None
    with np.errstate(all="ignore"):
        for one, other in _candidates([wrong for _, wrong in known], got, right):
            if _together(got, known[one][1], known[other][1], right):
                return both(known[one][0].message, known[other][0].message)
    return None


def _candidates(
    wrong: list[list[np.ndarray]], got: list[np.ndarray], right: list[np.ndarray], n_values: int = 8
) -> list[tuple[int, int]]:
    """Return the pairs of mistakes that give the first few values, so that only these have to be looked at closely."""
    if not wrong:
        return []
    few = np.stack([np.concatenate(one)[:n_values] for one in wrong])
    g, r = (np.concatenate(one)[:n_values] for one in (got, right))
    sums, products = few[:, None] + few[None] - r, few[:, None] * few[None] / r
    close = np.isclose(sums, g, rtol=1e-3).all(-1) | np.isclose(products, g, rtol=1e-3).all(-1)
    return [(int(one), int(other)) for one, other in np.argwhere(close) if one < other]


def _together(
    got: list[np.ndarray], one: list[np.ndarray], other: list[np.ndarray], right: list[np.ndarray]
) -> bool:
    if all(map(near, one, other)) or any(all(map(near, wrong, right)) for wrong in (one, other)):
        return False
    quadruples = list(zip(got, one, other, right, strict=True))
    return all(near(g, a * b / r) for g, a, b, r in quadruples) or all(
        near(g, a + b - r) for g, a, b, r in quadruples
    )


def both(first: str, second: str) -> str:
    """Return the message about two mistakes."""
    return f"These are two mistakes at once. {first} And the other: {second[0].upper()}{second[1:]}"


def _and_another(observed: Observed, mistakes: Sequence[Mistake], usual: Sequence[int]) -> str | None:
    """Recognise a declared mistake, to whose results something general is done."""
    deadline = time.monotonic() + _SECONDS
    for mistake in mistakes:
        if time.monotonic() > deadline:
            return None
        wrong = [
            (mistake.outcome(index), observed.outcomes[index], observed.expected[index]) for index in usual
        ]
        if any(outcome.error is not None for row in wrong for outcome in row):
            continue
        if any(observed.equal(alone, right) for alone, _, right in wrong):
            continue
        failures = [
            Failure(
                got.value, alone.value, dict(zip(observed.names, observed.cases[index].inputs, strict=False))
            )
            for index, (alone, got, _) in zip(usual, wrong, strict=True)
        ]
        for sentence in _changes(failures):
            besides = sentence.replace("what it should be", "what this mistake alone would give")
            return f"These are two mistakes at once. {mistake.message} Besides, {besides}"
    return None


def _changes(failures: list[Failure]) -> Iterator[str]:
    try:
        yield from general_changes(failures)
    except Exception:  # results of the learner's own types
        return
