"""The exercises of notebook 11: a step of AdamW, a schedule, and gradients in parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.model.loss import linear_cross_entropy
from minillm_lib.training.config import ScheduleConfig
from minillm_lib.training.optimizer import learning_rate_factor

Updated = tuple[Tensor, Tensor, Tensor]


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _adamw_inputs(rng: np.random.Generator) -> Inputs:
    """Draw a step after the first, an ``eps`` and a decay that matter, and gradients of different sizes."""
    weight, grad, m = (_tensor(rng, 4, 3) for _ in range(3))
    v = _tensor(rng, 4, 3).square() + 0.05
    lr, beta1, beta2 = rng.uniform(0.1, 0.3), rng.uniform(0.7, 0.9), rng.uniform(0.92, 0.99)
    eps, weight_decay = rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.6)
    step = int(rng.integers(2, 7))
    return weight, grad, m, v, step, float(lr), float(beta1), float(beta2), float(eps), float(weight_decay)


def _adamw(
    weight: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> Updated:
    """Take one step of PyTorch's AdamW from the given state."""
    parameter = nn.Parameter(weight.clone())
    parameter.grad = grad
    optimizer = torch.optim.AdamW(
        [parameter], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay
    )
    state = {"step": torch.tensor(step - 1.0), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.state[parameter] = state
    optimizer.step()
    return parameter.detach(), state["exp_avg"], state["exp_avg_sq"]


def _step_with(
    direction: Callable[[Tensor, Tensor, float, float, float], Tensor] | None = None,
    *,
    decays_by: Callable[[float, float], float] = lambda lr, decay: lr * decay,
    in_gradient: bool = False,
    corrections_at: Callable[[int], int | None] = lambda step: step,
    sign: float = 1.0,
) -> Callable[..., Updated]:
    """Return a wrong step of AdamW that differs by the given options."""

    def usual(m: Tensor, v: Tensor, first: float, second: float, eps: float) -> Tensor:
        return (m / first) / ((v / second).sqrt() + eps)

    def wrong_step(
        weight: Tensor,
        grad: Tensor,
        m: Tensor,
        v: Tensor,
        step: int,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
    ) -> Updated:
        if in_gradient:
            grad = grad + weight_decay * weight
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad.square()
        at = corrections_at(step)
        first, second = (1.0, 1.0) if at is None else (1 - beta1**at, 1 - beta2**at)
        moved = sign * lr * (direction or usual)(m, v, first, second, eps)
        decay = 0.0 if in_gradient else decays_by(lr, weight_decay)
        return weight - decay * weight - moved, m, v

    return wrong_step


def _schedule_inputs(rng: np.random.Generator) -> Inputs:
    return int(rng.integers(20, 40)), int(rng.integers(3, 8)), float(rng.uniform(0.05, 0.3))


def _cosine_factor(step: int, n_steps: int, warmup_steps: int, final_share: float) -> float:
    schedule = ScheduleConfig(name="cosine", warmup_steps=warmup_steps, final_share=final_share)
    return learning_rate_factor(step, n_steps, schedule)


def _whole_schedule(
    factor: Callable[..., float], n_steps: int, warmup_steps: int, final_share: float
) -> list[float]:
    return [factor(step, n_steps, warmup_steps, final_share) for step in range(n_steps)]


def _cosine_with(
    rise: Callable[[int, int], float] = lambda step, warmup: (step + 1) / warmup,
    progress: Callable[[int, int, int], float] = lambda step, n, warmup: (step + 1 - warmup) / (n - warmup),
    fall: Callable[[float], float] = lambda p: (1 + math.cos(math.pi * p)) / 2,
    scaled: Callable[[float, float], float] = lambda fall, final: final + (1 - final) * fall,
) -> Callable[..., float]:
    """Return a wrong schedule that differs by the given options."""

    def wrong_factor(step: int, n_steps: int, warmup_steps: int, final_share: float) -> float:
        if step < warmup_steps:
            return rise(step, warmup_steps)
        return scaled(fall(progress(step, n_steps, warmup_steps)), final_share)

    return wrong_factor


Part = tuple[Tensor, Tensor]


def _parts(rng: np.random.Generator) -> Inputs:
    """Draw parts with different numbers of labels, some of which do not count."""
    vocab, d = 7, 4
    parts = []
    for n, n_ignored in ((6, 4), (9, 1), (5, 2)):
        labels = torch.from_numpy(rng.integers(0, vocab, n))
        labels[torch.from_numpy(rng.permutation(n)[:n_ignored])] = -100
        parts.append((2 * _tensor(rng, n, d), labels))
    return _tensor(rng, vocab, d).requires_grad_(), parts


def _accumulated(weight: Tensor, parts: list[Part]) -> Tensor:
    """Return the gradient of the whole batch at once."""
    hidden, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    return torch.autograd.grad(linear_cross_entropy(hidden, weight, labels), weight)[0]


def _gradient(weight: Tensor, part: Part, reduction: str) -> Tensor:
    hidden, labels = part
    loss = cross_entropy(hidden @ weight.T, labels, ignore_index=-100, reduction=reduction)
    return torch.autograd.grad(loss, weight)[0]


def _total(weight: Tensor, parts: list[Part], reduction: str) -> Tensor:
    zero = torch.zeros_like(weight)
    return sum((_gradient(weight, part, reduction) for part in parts), start=zero)


def _n_labels(parts: list[Part]) -> int:
    return sum(int((labels != -100).sum()) for _, labels in parts)


def _n_positions(parts: list[Part]) -> int:
    return sum(len(labels) for _, labels in parts)


_misread_as_adamw: dict[Callable[..., Any], str] = {
    _step_with(
        in_gradient=True
    ): "You add the decay to the gradient: that is L2 regularisation, and it is divided by "
    "√v like the rest. In AdamW the decay is decoupled: it acts on the weight directly, as the second term of "
    "equation (5), and m and v do not see it.",
    _step_with(
        corrections_at=lambda step: None
    ): "The bias correction of equation (4) is missing: m and v began at "
    "0, and in the first steps they are too small.",
    _step_with(
        lambda m, v, first, second, eps: (m / first) / (v / second + eps).sqrt()
    ): "You add `eps` under the "
    "root. In equation (5) it stands beside the root; under it, its own root would be added, which is far larger.",
    _step_with(
        corrections_at=lambda step: step - 1
    ): "You correct for one step too few. `step` counts from 1, so "
    "the powers in equation (4) are β₁^step and β₂^step.",
    _step_with(
        decays_by=lambda lr, decay: decay
    ): "The decay is not multiplied by the learning rate: in equation "
    "(5) the weight shrinks by lr · weight_decay · weight.",
    _step_with(
        decays_by=lambda lr, decay: 0.0
    ): "The weight does not decay: the second term of equation (5) is missing.",
    _step_with(
        lambda m, v, first, second, eps: (m / first) / (v / second + eps)
    ): "You divide by v itself. v is a mean of *squares*: the typical size of a gradient is its root.",
    _step_with(
        lambda m, v, first, second, eps: (m / first) / ((v.sqrt() + eps) / second**0.5)
    ): "You add `eps` "
    "before the correction of v, which then scales it as well. First correct v, then take the root, then add `eps`.",
    _step_with(sign=-1.0): "The step goes uphill: the direction is subtracted from the weight.",
}

EXERCISES = (
    Exercise(
        name="adamw_step",
        reference=_adamw,
        inputs=_adamw_inputs,
        misconceptions=_misread_as_adamw,
    ),
    Exercise(
        name="cosine_factor",
        points=2,
        reference=_cosine_factor,
        inputs=_schedule_inputs,
        use=_whole_schedule,
        misconceptions={
            _cosine_with(
                rise=lambda step, warmup: step / warmup
            ): "Your warm-up begins at 0: the first step would "
            "change nothing. Step 0 takes 1 / warmup_steps, and the last step of the warm-up takes 1.",
            _cosine_with(
                progress=lambda step, n, warmup: (step + 1) / n
            ): "You count the progress of the cosine from "
            "the first step of all, so that the rate jumps down where the warm-up ends. Count it from there.",
            _cosine_with(
                progress=lambda step, n, warmup: (step - warmup) / (n - warmup)
            ): "Your progress lags one step behind: the last step, n_steps - 1, must have progress 1.",
            _cosine_with(
                scaled=lambda fall, final: fall
            ): "The rate falls to 0. It is to fall to `final_share`.",
            _cosine_with(
                scaled=lambda fall, final: max(fall, final)
            ): "You cut the cosine off at `final_share`. It is "
            "squeezed instead, so that it comes down to `final_share` in the last step only.",
            _cosine_with(
                fall=lambda p: (1 + math.cos(2 * math.pi * p)) / 2
            ): "You go through a whole cosine, down and up again. Half of one, from 0 to π, is wanted.",
            _cosine_with(fall=lambda p: 1 - p): "You fall in a straight line. Here it is half a cosine.",
        },
    ),
    Exercise(
        name="accumulated_gradient",
        points=2,
        reference=_accumulated,
        inputs=_parts,
        misconceptions={
            lambda weight, parts: (
                _total(weight, parts, "mean") / len(parts)
            ): "You take the mean of the parts' means. "
            "The parts have different numbers of labels, and those of a short part would count more: take sums, and "
            "divide by the number of all labels.",
            lambda weight, parts: _total(
                weight, parts, "mean"
            ): "You add up the parts' means. Each is a mean over "
            "its own labels only: take sums, and divide by the number of all labels.",
            lambda weight, parts: _total(
                weight, parts, "sum"
            ): "You add up sums, which is right, but do not divide by the number of labels that count.",
            lambda weight, parts: (
                _total(weight, parts, "sum") / _n_positions(parts)
            ): "You divide by the number of all positions. Those with the label -100 do not count.",
            lambda weight, parts: (
                _gradient(weight, parts[-1], "sum") / _n_labels(parts)
            ): "You return what the last "
            "part gives. The gradients of all parts are added up; do not reset them in between.",
        },
    ),
)
