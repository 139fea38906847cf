"""How far a run has come, and which batch its next step reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minillm_lib.io.wording import shown

RECENT = 100
"""How many losses are kept to compare the next one with."""


@dataclass
class Progress:
    """What a checkpoint records of the run, besides the weights and the optimizers' state.

    Attributes
    ----------
    step, tokens
        How many steps have been taken, and how many tokens they have read.
    recent_losses
        The losses of the last hundred steps, without spikes.
    best_loss, best_step
        The lowest loss on held-out text, and the step after which it was measured.
    """

    step: int = 0
    tokens: int = 0
    recent_losses: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_step: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Progress:
        """Return what a checkpoint has recorded.

        Raises
        ------
        ValueError
            If a key is missing, unknown, or has a value of another type.
        """
        kinds: dict[str, Any] = {
            "step": int,
            "tokens": int,
            "best_step": int,
            "best_loss": (int, float),
            "recent_losses": list,
        }
        if values.keys() != kinds.keys():
            differing = ", ".join(sorted(map(str, values.keys() ^ kinds.keys())))
            raise ValueError(f"its progress lacks, or has more than, these keys: {differing}")
        for key, kind in kinds.items():
            if not isinstance(values[key], kind) or isinstance(values[key], bool):
                raise ValueError(f"its progress has {key} {shown(values[key])}")
        if not all(isinstance(each, int | float) for each in values["recent_losses"]):
            raise ValueError(f"its progress has recent_losses {shown(values['recent_losses'])}")
        return cls(**values)

    def add_step(self, loss: float, n_tokens: int, *, is_usual: bool = True) -> None:
        """Count a step; an unusual loss is not added to the recent losses."""
        self.step += 1
        self.tokens += n_tokens
        if is_usual:
            self.recent_losses = [*self.recent_losses, loss][-RECENT:]

    def is_best(self, loss: float) -> bool:
        """Tell whether a held-out loss is lower than all before it."""
        return loss < self.best_loss

    def remember_best(self, loss: float) -> None:
        """Remember a held-out loss, measured after the current step, as the lowest."""
        self.best_loss, self.best_step = loss, self.step


def batch_of_step(step: int, skipped: Iterable[int]) -> int:
    """Return the number of the batch that a step reads: its own number, shifted by the batches skipped before it.

    >>> [batch_of_step(step, skipped=[1, 2]) for step in range(4)]
    [0, 3, 4, 5]
    """
    number = step
    for each in sorted(skipped):
        number += each <= number
    return number
