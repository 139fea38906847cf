"""How far a run is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

RECENT = 100


@dataclass
class Progress:
    """All that a checkpoint holds beside the weights and the optimizers' state.

    ``recent_losses`` are those of the last hundred steps, without spikes; ``best_loss`` is the lowest on held-out text
    and ``best_step`` the step after which it was found.
    """

    step: int = 0
    tokens: int = 0
    recent_losses: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_step: int = 0

    def add_step(self, loss: float, n_tokens: int, *, is_usual: bool = True) -> None:
        """Count a step; the loss of one that is not usual is no measure for those that follow."""
        self.step += 1
        self.tokens += n_tokens
        if is_usual:
            self.recent_losses = [*self.recent_losses, loss][-RECENT:]

    def is_best(self, loss: float) -> bool:
        """Whether a held-out loss is the lowest so far; it is then remembered."""
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, self.step
            return True
        return False


def batch_of_step(step: int, skipped: Iterable[int]) -> int:
    """The number of the batch that a step reads: its own number, later by each batch that is skipped before it.

    >>> [batch_of_step(step, skipped=[1, 2]) for step in range(4)]
    [0, 3, 4, 5]
    """
    number = step
    for each in sorted(skipped):
        number += each <= number
    return number
