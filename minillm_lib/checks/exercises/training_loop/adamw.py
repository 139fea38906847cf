"""One step of AdamW."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

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


def _adamw_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(11)
    first = (_tensor(rng, 2, 3), _tensor(rng, 2, 3), torch.zeros(2, 3), torch.zeros(2, 3))
    long = [_tensor(rng, 5) for _ in range(3)]
    deep = [_tensor(rng, 2, 1, 3) for _ in range(3)]
    silent = (_tensor(rng, 3), torch.tensor([0.5, 0.0, -0.5]), torch.zeros(3), torch.zeros(3))
    return {
        "the first step": (*first, 1, 0.1, 0.9, 0.95, 1e-8, 0.1),
        "one dimension": (*long, torch.full((5,), 0.3), 3, 0.2, 0.8, 0.9, 0.2, 0.5),
        "three dimensions and no decay": (*deep, torch.full((2, 1, 3), 0.3), 1000, 0.1, 0.9, 0.99, 0.1, 0.0),
        "a weight that never had a gradient": (*silent, 1, 0.1, 0.9, 0.95, 1e-8, 0.1),
    }


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


Average = Callable[[Tensor, Tensor, float], Tensor]


def _average(old: Tensor, new: Tensor, beta: float) -> Tensor:
    return beta * old + (1 - beta) * new


def _exchanged(old: Tensor, new: Tensor, beta: float) -> Tensor:
    return (1 - beta) * old + beta * new


def _sum(old: Tensor, new: Tensor, beta: float) -> Tensor:
    return beta * old + new


def _usual_decay(weight: Tensor, lr: float, decay: float) -> Tensor:
    return lr * decay * weight


def _step_with(
    direction: Callable[[Tensor, Tensor, float], Tensor] = lambda m, v, eps: m / (v.sqrt() + eps),
    decay: Callable[[Tensor, float, float], Tensor] = _usual_decay,
    in_gradient: bool = False,
    corrections: Callable[[float, float, int], tuple[Any, Any]] = lambda b1, b2, step: (
        1 - b1**step,
        1 - b2**step,
    ),
    average_m: Average = _average,
    average_v: Average = _average,
    squared: Callable[[Tensor], Tensor] = torch.square,
    betas: Callable[[float, float], tuple[float, float]] = lambda b1, b2: (b1, b2),
    moved: Callable[[float, Tensor], Tensor] = lambda lr, direction: lr * direction,
    seen: Callable[[Updated, Updated], tuple[Tensor, Tensor]] = lambda old, new: (new[1], new[2]),
    given: Callable[[Updated, Updated, Updated], Any] = lambda old, new, corrected: new,
) -> Callable[..., Any]:
    """Return a wrong step of AdamW that differs by the given options."""

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
    ) -> Any:
        old = weight, m, v
        beta1, beta2 = betas(beta1, beta2)
        if in_gradient:
            grad = grad + weight_decay * weight
        m, v = average_m(m, grad, beta1), average_v(v, squared(grad), beta2)
        used_m, used_v = seen(old, (weight, m, v))
        first, second = corrections(beta1, beta2, step)
        lost = 0.0 if in_gradient else decay(weight, lr, weight_decay)
        weight = weight - lost - moved(lr, direction(used_m / first, used_v / second, eps))
        return given(old, (weight, m, v), (weight, m / first, v / second))

    return wrong_step


def _decay_of_the_new_weight(*inputs: Any) -> Updated:
    lr, weight_decay = inputs[5], inputs[-1]
    without_decay = (*inputs[:-1], 0.0)
    moved, m, v = _adamw(*without_decay)
    return moved - lr * weight_decay * moved, m, v


ADAMW_STEP = Exercise(
    name="adamw_step",
    points=2,
    reference=_adamw,
    inputs=_adamw_inputs,
    edge_cases=_adamw_edges,
    hints=(
        "Three lines before the last: the new m, the new v, and both corrected. Go from equation (3) to (5).",
        "m is an average of gradients, v one of their squares. The corrected ones go into the step, the uncorrected "
        "ones are returned.",
        "`m = beta1 * m + (1 - beta1) * grad`, v likewise with `grad**2`. The direction is `m / (1 - beta1**step)` "
        "divided by the root of the corrected v, plus `eps`. The decay, `lr * weight_decay * weight`, stands apart.",
    ),
    misconceptions={
        _step_with(
            corrections=lambda b1, b2, step: ((1 - b1**step) / (1 - b2**step) ** 0.5, 1.0)
        ): "You add `eps` before the correction of v, which then scales it as well. First "
        "correct v, then take the root, then add `eps`.",
        _decay_of_the_new_weight: "The decay acts on the weight that has moved already. In equation (5) both terms "
        "have the old weight.",
        _step_with(
            average_v=lambda old, new, beta: _average(old, new, beta).square(), squared=lambda grad: grad
        ): "You square the average of gradients. v is the average of *squares*: square each gradient first.",
        _step_with(
            corrections=lambda b1, b2, step: (1.0, 1 - b2**step)
        ): "The average m is not corrected: equation (4) divides both m and v.",
        _step_with(
            corrections=lambda b1, b2, step: (1 - b1**step, 1.0)
        ): "The average v is not corrected: equation (4) divides both m and v.",
        _step_with(
            corrections=lambda b1, b2, step: (1 - b1 ** (step + 1), 1 - b2 ** (step + 1))
        ): "You correct for one step too many. `step` counts from 1: the powers in equation (4) are β₁^step and "
        "β₂^step.",
        _step_with(
            corrections=lambda b1, b2, step: (1 - b1, 1 - b2)
        ): "You correct by 1 − β. Equation (4) has the power β^step.",
        _step_with(
            corrections=lambda b1, b2, step: (1 - b1 * step, 1 - b2 * step)
        ): "You correct with β · step. Equation (4) has the *power* β^step: `beta1**step`.",
        _step_with(
            corrections=lambda b1, b2, step: (1 - b1**step, 1 - b1**step)
        ): "You correct both averages with β₁. That of v is β₂.",
        _step_with(
            corrections=lambda b1, b2, step: (1 / (1 - b1**step), 1 / (1 - b2**step))
        ): "You multiply by 1 − β^step. Equation (4) divides by it: m and v are too small.",
        _step_with(
            corrections=lambda b1, b2, step: (b1**step, b2**step)
        ): "You divide by β^step. Equation (4) divides by 1 − β^step.",
        _step_with(
            direction=lambda m, v, eps: m / v.sqrt() + eps
        ): "`eps` is added to the quotient: brackets are missing around √v + ε, both of which divide.",
        _step_with(
            direction=lambda m, v, eps: m
        ): "You move by m alone. Equation (5) divides it by √v + ε, number by number.",
        _step_with(
            direction=lambda m, v, eps: m / (v.square() + eps)
        ): "You square v, where its root belongs.",
        _step_with(
            decay=lambda weight, lr, decay: -lr * decay * weight
        ): "The decay has the wrong sign: the weight grows. It is subtracted.",
        _step_with(
            decay=lambda weight, lr, decay: lr * decay * torch.ones_like(weight)
        ): "The decay does not depend on the weight: it is lr · weight_decay · *weight*.",
        _step_with(
            average_m=_exchanged
        ): "In m, β₁ and 1 − β₁ are exchanged: most of the *old* average is kept.",
        _step_with(
            average_v=_exchanged
        ): "In v, β₂ and 1 − β₂ are exchanged: most of the *old* average is kept.",
        _step_with(
            average_m=_exchanged, average_v=_exchanged
        ): "In m and v, β and 1 − β are exchanged: most of the *old* average is kept.",
        _step_with(
            betas=lambda b1, b2: (1 - b1, 1 - b2)
        ): "You exchange β and 1 − β, everywhere: most of the *old* average is kept.",
        _step_with(betas=lambda b1, b2: (b2, b1)): "You exchange β₁ and β₂: m has β₁, v has β₂.",
        _step_with(betas=lambda b1, b2: (b1, b1)): "You use β₁ for v as well. v has β₂.",
        _step_with(average_m=_sum): "In m the factor 1 − β₁ in front of the gradient is missing.",
        _step_with(average_v=_sum): "In v the factor 1 − β₂ in front of the squared gradient is missing.",
        _step_with(
            squared=torch.abs
        ): "The average v is one of the gradient's squares. You take its absolute value.",
        _step_with(
            seen=lambda old, new: (old[1], old[2])
        ): "You move by the old m and v. The step takes the new ones, which have seen the gradient.",
        _step_with(
            seen=lambda old, new: (new[1], old[2])
        ): "You divide by the old v. The step takes the new one, which has seen the gradient.",
        _step_with(
            seen=lambda old, new: (old[1], new[2])
        ): "You move by the old m. The step takes the new one, which has seen the gradient.",
        _step_with(
            given=lambda old, new, corrected: (new[0], old[1], old[2])
        ): "You return m and v as they came. Return the new ones, for the next step.",
        _step_with(
            given=lambda old, new, corrected: (new[0], new[2], new[1])
        ): "Your m and v are returned in the wrong order: (weight, m, v).",
        _step_with(
            given=lambda old, new, corrected: (new[1], new[2], new[0])
        ): "The weight is returned last: the order is (weight, m, v).",
        _step_with(
            given=lambda old, new, corrected: new[0]
        ): "You return the weight alone. Return (weight, m, v): the next step needs the averages.",
        _step_with(
            given=lambda old, new, corrected: (old[0] - new[0], new[1], new[2])
        ): "You return by how much the weight changes. Return the new weight.",
    },
    variant=variant(_step_with),
    slips={
        (
            "in_gradient",
            True,
        ): "You add the decay to the gradient: that is L2 regularisation, and it is divided by √v like the rest. In "
        "AdamW the decay is decoupled: it acts on the weight directly, as the second term of equation (5); m and v do "
        "not see it.",
        (
            "corrections",
            lambda b1, b2, step: (1.0, 1.0),
        ): "The bias correction of equation (4) is missing: m and v began at 0, and in the first steps they are too "
        "small.",
        (
            "corrections",
            lambda b1, b2, step: (1 - b2**step, 1 - b1**step),
        ): "The two corrections are exchanged: β₁ belongs to m, β₂ to v.",
        (
            "corrections",
            lambda b1, b2, step: (1 - b1 ** (step - 1), 1 - b2 ** (step - 1)),
        ): "You correct for one step too few. `step` counts from 1, so the powers in equation (4) are β₁^step and "
        "β₂^step.",
        (
            "direction",
            lambda m, v, eps: m / (v + eps).sqrt(),
        ): "You add `eps` under the root. In equation (5) it stands beside the root; under it, its own root would be "
        "added, which is far larger.",
        (
            "direction",
            lambda m, v, eps: m / (v + eps),
        ): "You divide by v itself. v is a mean of *squares*: the typical size of a gradient is its root.",
        (
            "direction",
            lambda m, v, eps: m / v.sqrt(),
        ): "`eps` is forgotten: equation (5) adds it to the root, so that nothing is divided by 0.",
        (
            "decay",
            lambda weight, lr, decay: decay * weight,
        ): "The decay is not multiplied by the learning rate: in equation (5) the weight shrinks by lr · weight_decay "
        "· weight.",
        (
            "decay",
            lambda weight, lr, decay: torch.zeros_like(weight),
        ): "The weight does not decay: the second term of equation (5) is missing.",
        (
            "squared",
            lambda grad: grad,
        ): "The average v is one of the gradient's *squares*: the square is missing.",
        (
            "moved",
            lambda lr, direction: -lr * direction,
        ): "The step goes uphill: the direction is subtracted.",
        ("moved", lambda lr, direction: direction): "The step is not multiplied by the learning rate.",
        (
            "given",
            lambda old, new, corrected: corrected,
        ): "You return the corrected m and v. The next step goes on from the uncorrected ones: return those.",
    },
)
