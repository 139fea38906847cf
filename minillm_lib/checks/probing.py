"""Try a wrong answer on further inputs, to find out what its results depend on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.comparing import difference
from minillm_lib.checks.running import Inputs, Outcome

Call = Callable[[Inputs], Outcome]


def ignored_input(
    cases: Sequence[Inputs],
    outcomes: Sequence[Outcome],
    answer: Call,
    reference: Call,
    names: Sequence[str],
    deadline: float,
) -> str | None:
    """Return the name of an input on which the right result depends, but not the answer's; None if there is none.

    In some cases one input is replaced by that of another case. The answer ignores it if its result stays the same
    wherever the right one changes.
    """
    for index, name in enumerate(names):
        confirmed = 0
        for case, outcome in zip(cases, outcomes, strict=True):
            if outcome.error is not None or time.monotonic() > deadline:
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
