"""Recognise the declared mistakes of an exercise in results: one of them, two at once, or one and a general one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.deadline import Deadline
from minillm_lib.checks.diagnoses.general import Failure, general_changes
from minillm_lib.checks.diagnoses.values import becomes, near
from minillm_lib.checks.running import Case, Outcome

_MOST_TO_COMBINE = 40
_SECONDS = 1.0
_AT_ONCE = "This looks like two mistakes at once."
Differ = Callable[[Any, Any], str | None]


class Mistake:
    """A declared mistake, with what comes out of it in each case; a case is run when it is asked for.

    ``is_slip`` says that it is made by the exercise's variant, and so is every pair of it and another slip.
    """

    def __init__(self, message: str, run: Callable[[int], Outcome], *, is_slip: bool = False) -> None:
        self.message, self.is_slip = message, is_slip
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

    @property
    def constant(self) -> bool:
        """Whether the answer's outcomes say little, since they are the same in all drawn cases, and should not be."""
        usual = self.usual
        first, right = self.outcomes[usual[0]], self.expected[usual[0]]
        return all(self.equal(self.outcomes[index], first) for index in usual) and not all(
            self.equal(self.expected[index], right) for index in usual
        )

    def equal(self, one: Outcome, other: Outcome) -> bool:
        """Return whether two outcomes are the same: equal values, or errors of one type or of a special case of it."""
        if one.error is not None or other.error is not None:
            names = {type(each.error).__name__ for each in (one, other)}
            if names & {"NoneType", "Exception", "BaseException"}:
                return False
            return any(names <= _kinds_of(each.error) for each in (one, other))
        return self.differ(one.value, other.value) is None


def _kinds_of(error: BaseException | None) -> set[str]:
    """Return the names of an error's class and its bases; of one from another process, also those it had there."""
    return {kind.__name__ for kind in type(error).__mro__} | getattr(error, "kinds", set())


def recognise(observed: Observed, mistakes: Sequence[Mistake]) -> str | None:
    """Return the message of the declared mistake whose results are the same; None if there is none."""
    usual = observed.usual
    edges = [index for index in range(len(observed.cases)) if index not in usual]
    if all(observed.equal(observed.outcomes[index], observed.expected[index]) for index in usual):
        return _at_an_edge(observed, mistakes, usual, edges)
    if all(_is_nan(observed.outcomes[index].value) for index in usual) and not _telling(observed, edges):
        return None  # there are many ways to nothing but NaN
    nearly = None
    if observed.constant:
        mistakes = [one for one in mistakes if not one.message.startswith(_AT_ONCE)]
    only_errors = all(observed.outcomes[index].error is not None for index in usual)
    for mistake in mistakes:
        if only_errors and not _same_words(observed.outcomes[usual[0]], mistake.outcome(usual[0])):
            continue
        if _fits(observed, mistake, usual):
            if _fits(observed, mistake, edges):
                return mistake.message
            nearly = nearly or mistake.message
    return None if observed.constant else nearly


def _is_nan(value: Any) -> bool:
    """Return whether a value consists of nothing but NaN."""
    numbers = kinds.values(value)
    return numbers is not None and numbers.size > 0 and bool(np.isnan(numbers).all())


def _telling(observed: Observed, edges: Sequence[int]) -> bool:
    """Return whether there is a wrong result among the edge cases that is more than NaN."""
    return any(
        not observed.equal(observed.outcomes[index], observed.expected[index])
        and not _is_nan(observed.outcomes[index].value)
        for index in edges
    )


def _fits(observed: Observed, mistake: Mistake, indices: Sequence[int]) -> bool:
    return all(observed.equal(observed.outcomes[index], mistake.outcome(index)) for index in indices)


def _same_words(one: Outcome, other: Outcome) -> bool:
    """Return whether two errors have the same message but for numbers and names."""
    first, second = (
        re.sub(r"\d+|'[^']*'|list|tuple|string", "", str(outcome.error)) for outcome in (one, other)
    )
    return first == second


def recognise_two(observed: Observed, mistakes: Sequence[Mistake]) -> str | None:
    """Return the messages of two declared mistakes that together give the results, or of one as another type."""
    if observed.constant:
        return None
    alone = [mistake for mistake in mistakes if not mistake.message.startswith(_AT_ONCE)]
    return _in_other_types(observed, mistakes, observed.usual) or _two(
        observed, alone[:_MOST_TO_COMBINE], observed.usual
    )


def recognise_and_more(observed: Observed, mistakes: Sequence[Mistake]) -> str | None:
    """Return the message of a declared mistake, with what was done to its results, such as a transposition."""
    if observed.constant:
        return None
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
            if known[one][0].is_slip and known[other][0].is_slip:
                continue  # what the two give together is known exactly
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
    return all(becomes(g, a * b / r, r) for g, a, b, r in quadruples) or all(
        becomes(g, a + b - r, r) for g, a, b, r in quadruples
    )


def both(first: str, second: str) -> str:
    """Return the message about two mistakes."""
    return f"{_AT_ONCE} {first} And the other: {second[0].upper()}{second[1:]}"


def _and_another(observed: Observed, mistakes: Sequence[Mistake], usual: Sequence[int]) -> str | None:
    """Recognise a declared mistake, to whose results something general is done."""
    deadline = Deadline(_SECONDS)
    for mistake in mistakes:
        if deadline.passed:
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
            plain = re.sub(r": (are|is|does) [^:]*\?$", ".", sentence)  # without guesses at the cause
            besides = plain.replace("what it should be", "what this mistake alone would give")
            return _and_besides(mistake.message, besides)
    return None


def _and_besides(message: str, besides: str) -> str:
    """Return the message about a declared mistake, or two of them, and something general besides."""
    if message.startswith(_AT_ONCE):
        return (
            f"{_AT_ONCE.replace('two', 'three')} {message.removeprefix(_AT_ONCE).strip()} Besides, {besides}"
        )
    return f"{_AT_ONCE} {message} Besides, {besides}"


def _changes(failures: list[Failure]) -> Iterator[str]:
    try:
        yield from general_changes(failures)
    except (Exception, SystemExit):  # results of the learner's own types
        return
