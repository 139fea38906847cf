"""The learning rate as a function of the step."""

from __future__ import annotations

import math

from minillm_lib.training.config import ScheduleConfig


def learning_rate_factor(step: int, n_steps: int, schedule: ScheduleConfig) -> float:
    """What the peak learning rate is multiplied by in a step, counted from 0 to ``n_steps - 1``.

    The first step of a warm-up takes ``1 / warmup_steps``, since a step at rate 0 would be lost; the last step of a
    decay takes ``final_share``.

    >>> schedule = ScheduleConfig(name="wsd", warmup_steps=2, decay_share=0.4, final_share=0.0)
    >>> [round(learning_rate_factor(step, 10, schedule), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    if schedule.name == "constant":
        return 1.0
    n_decay = max(n_steps - schedule.warmup_steps, 1)
    if schedule.name == "wsd":
        n_decay = min(max(round(schedule.decay_share * n_steps), 1), n_decay)
    left = (n_steps - 1 - step) / n_decay  # 1 where the decay begins, 0 in the last step
    if left >= 1:
        return 1.0
    if schedule.name == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return schedule.final_share + (1 - schedule.final_share) * max(left, 0.0)
