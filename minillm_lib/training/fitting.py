"""A training loop for small experiments: the steps of :class:`Trainer`, without files, configuration or resuming."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from minillm_lib.training.config import OptimizerConfig, ScheduleConfig
from minillm_lib.training.divergence import TrainingDivergedError
from minillm_lib.training.optimizer import learning_rate_factor, make_optimizers


def fit(
    model: nn.Module,
    loss_of_step: Callable[[int], Tensor],
    steps: int,
    *,
    lr: float,
    optimizer: Literal["adamw", "muon"] = "muon",
    schedule: Literal["constant", "cosine", "wsd"] = "cosine",
    warmup_steps: int = 20,
    final_share: float = 0.05,
    weight_decay: float = 0.1,
    clip_norm: float | None = 1.0,
    progress: bool = False,
) -> list[float]:
    """Train a model in place: loss, gradient, clipping, step.

    Parameters
    ----------
    model
        Any module; its parameters that need a gradient are trained.
    loss_of_step
        Returns the loss of a step, a scalar, by the number of the step, from 0.
    steps
        Number of steps.
    lr
        The highest learning rate.
    optimizer
        Muon takes the matrices of the layers, AdamW the rest, or all.
    schedule, warmup_steps, final_share
        The learning rate over the steps: see :func:`~minillm_lib.training.learning_rate_factor`.
    clip_norm
        The longest gradient; longer ones are scaled to this length. None for no limit.
    progress
        Whether to show a progress bar.

    Returns
    -------
    losses
        The loss of each step, before it.

    Raises
    ------
    TrainingDivergedError
        If a loss is infinite or not a number.
    """
    optimizers = make_optimizers(model, OptimizerConfig(name=optimizer, lr=lr, weight_decay=weight_decay))
    plan = ScheduleConfig(
        name=schedule, warmup_steps=min(warmup_steps, max(steps - 1, 0)), final_share=final_share
    )
    losses: list[float] = []
    for step in tqdm(range(steps), unit="step", disable=not progress):
        loss = loss_of_step(step)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise TrainingDivergedError(
                f"the loss of step {step} is {losses[-1]}; a lower learning rate than {lr:g} often helps"
            )
        loss.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        rate = lr * learning_rate_factor(step, steps, plan)
        for each in optimizers:
            for group in each.param_groups:
                group["lr"] = rate
            each.step()
            each.zero_grad()
    return losses
