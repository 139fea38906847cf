"""Try a wrong answer on further inputs, to find out what its results depend on, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.comparing import difference
from minillm_lib.checks.deadline import Deadline
from minillm_lib.checks.running import Inputs, Outcome

Call = Callable[[Inputs], Outcome]


def ignored_input(
    cases: Sequence[Inputs],
    outcomes: Sequence[Outcome],
    answer: Call,
    reference: Call,
    names: Sequence[str],
    deadline: Deadline,
) -> str | None:
    """Return the name of an input on which the right result depends, but not the answer's; None if there is none.

    In some cases one input is replaced by that of another case. The answer ignores it if its result stays the same
    wherever the right one changes.
    """
    for index, name in enumerate(names):
        confirmed = 0
        for case, outcome in zip(cases, outcomes, strict=True):
            if outcome.error is not None or deadline.passed:
                continue
            other = _another(cases, case, index)
            if other is None:
                continue
            mixed = (*case[:index], other, *case[index + 1 :])
            before, after = reference(case), reference(mixed)
            if before.error or after.error or not difference(after.value, before.value):
                continue
            changed = answer(mixed)
            if changed.error is not None:
                continue
            if difference(changed.value, outcome.value, rtol=1e-9, atol=0):
                confirmed = 0
                break
            confirmed += 1
        if confirmed >= 2:
            return name
    return None


def _another(cases: Sequence[Inputs], case: Inputs, index: int) -> Any:
    """Return an input of another case in the place of this one: of the same type and shape, but different."""
    mine = case[index]
    if isinstance(mine, np.random.Generator) or callable(mine):
        return None
    for other in cases:
        if other is not case and len(other) == len(case) and type(other[index]) is type(mine):
            same_shape = not kinds.is_array(mine) or tuple(mine.shape) == tuple(other[index].shape)
            if same_shape and difference(mine, other[index], rtol=0, atol=0):
                return other[index]
    return None


def wrong_scaling(
    cases: Sequence[Inputs],
    outcomes: Sequence[Outcome],
    answer: Call,
    reference: Call,
    names: Sequence[str],
    deadline: Deadline,
) -> str | None:
    """Say how the result changes when an input is doubled, if the right one changes in another way in every case.

    This is said only where the right results change by one factor, which is the same in all cases, such as by 4 for a
    square, or not at all.
    """
    for index, name in enumerate(names):
        factors: list[tuple[float, float | None]] = []
        for case, outcome in zip(cases, outcomes, strict=True):
            if deadline.passed:
                return None
            if outcome.error is not None:
                continue
            doubled = _doubled(case, index)
            if doubled is None or (right := _factor(reference(case), reference(doubled))) is None:
                break
            after = answer(doubled)
            if after.error is not None:
                break
            factors.append((right, _factor(outcome, after)))
        else:
            if sentence := _scaled_otherwise(name, factors):
                return sentence
    return None


def _doubled(case: Inputs, index: int) -> Inputs | None:
    value = case[index]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_floats = kinds.is_array(value) and "float" in str(value.dtype)
    if not (is_number or is_floats):
        return None
    return (*case[:index], 2 * value, *case[index + 1 :])


def _factor(before: Outcome, after: Outcome) -> float | None:
    """Return the one factor that all values have changed by; None if there is none."""
    if before.error is not None or after.error is not None:
        return None
    old, new = kinds.values(before.value), kinds.values(after.value)
    if old is None or new is None or old.shape != new.shape or "c" in (old.dtype.kind, new.dtype.kind):
        return None
    old, new = old.astype(float), new.astype(float)
    if not np.isfinite(old).all() or not np.isfinite(new).all() or not old.any() or new[old == 0].any():
        return None
    factors = new[old != 0] / old[old != 0]
    return float(factors.flat[0]) if np.allclose(factors, factors.flat[0], rtol=1e-3, atol=0) else None


def _scaled_otherwise(name: str, factors: Sequence[tuple[float, float | None]]) -> str | None:
    rights = [right for right, _ in factors]
    if len(rights) < 3 or not np.allclose(rights, rights[0], rtol=1e-3, atol=0):
        return None
    got = [one for _, one in factors if one is not None]
    should = f"If `{name}` is doubled, the result should {_changed(rights[0])}"
    if any(np.isclose(one, rights[0], rtol=0.01) for one in got):
        return None
    if len(got) < len(factors) or not np.allclose(got, got[0], rtol=1e-3, atol=0):
        return f"{should}, and yours does not."
    return f"{should}; yours would {_changed(got[0])}."


def _changed(factor: float) -> str:
    for known, words in (
        (1.0, "stay as it is"),
        (2.0, "double, too"),
        (0.5, "become half as large"),
        (-1.0, "change its sign"),
    ):
        if np.isclose(factor, known, rtol=1e-3):
            return words
    return f"become {factor:.4g} times what it is"
