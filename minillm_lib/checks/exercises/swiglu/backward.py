"""The gradients through a gate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, sigmoid
from torch.nn.functional import silu

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Activation = Callable[[Tensor], Tensor]


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _gradients(rng: np.random.Generator, *shape: int) -> Inputs:
    return tuple(1.5 * _tensor(rng, *shape) for _ in range(3))


def _backward_inputs(rng: np.random.Generator) -> Inputs:
    return _gradients(rng, 3, 4)


def _backward_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(9)
    gate = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0])
    return {
        "gates that are open, half open and shut": (torch.ones(5), gate, torch.full((5,), 2.0)),
        "square matrices": _gradients(rng, 4, 4),
        "a batch of one row": _gradients(rng, 1, 5),
        "three dimensions": _gradients(rng, 2, 3, 4),
    }


def _swiglu_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        inputs = [each.detach().requires_grad_() for each in (gate, up)]
        product = silu(inputs[0]) * inputs[1]
        by_gate, by_up = torch.autograd.grad(product, inputs, grad)
    return by_gate, by_up


def _silu_slope(x: Tensor) -> Tensor:
    return sigmoid(x) * (1 + x * (1 - sigmoid(x)))


def _backward_with(
    slope: Activation = _silu_slope,
    other_branch: Activation = lambda up: up,
    passed: Activation = silu,
    above_gate: Activation = lambda grad: grad,
    above_up: Activation = lambda grad: grad,
    finished: Callable[[Tensor, Tensor], tuple[Tensor, ...]] = lambda by_gate, by_up: (by_gate, by_up),
) -> Callable[..., tuple[Tensor, ...]]:
    """Return wrong gradients that differ by the given options."""

    def wrong_gradients(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, ...]:
        return finished(
            above_gate(grad) * other_branch(up) * slope(gate),
            above_up(grad) * passed(gate),
        )

    return wrong_gradients


SWIGLU_BACKWARD = Exercise(
    name="swiglu_backward",
    points=3,
    reference=_swiglu_backward,
    inputs=_backward_inputs,
    edge_cases=_backward_edges,
    hints=(
        "The product rule: one factor is differentiated, the other is held constant. The chain rule: `grad` comes in.",
        "Of `up`: `grad` times what `up` was multiplied with. Of `gate`: `grad`, times `up`, times the slope of SiLU "
        "from equation (4).",
        "With `s = torch.sigmoid(gate)` the slope is `s * (1 + gate * (1 - s))`, and SiLU itself is `gate * s`.",
    ),
    misconceptions={
        _backward_with(
            above_gate=torch.ones_like, above_up=torch.ones_like
        ): "These are the slopes of the product. Multiply each by `grad`, which comes from above: the chain rule.",
        lambda grad, gate, up: (
            grad * _silu_slope(gate) * up * silu(gate),
            grad * silu(gate) * up,
        ): "You multiply each gradient by the whole product as well. The factor differentiated drops out.",
        lambda grad, gate, up: (
            grad * up * _silu_slope(up),
            grad * silu(gate),
        ): "In the gradient of `gate` you take the slope of SiLU at `up`. It is taken where SiLU was: at `gate`.",
        lambda grad, gate, up: (
            grad * up * _silu_slope(gate)
        ): "You return the gradient of `gate` alone. Return both, as a tuple.",
        lambda grad, gate, up: (
            grad * up * _silu_slope(gate) + grad * silu(gate)
        ): "You add the two gradients. `gate` and `up` have one each: return both, as a tuple.",
    },
    variant=variant(_backward_with),
    slips={
        (
            "slope",
            sigmoid,
        ): "In the gradient of `gate` you take σ as the slope of SiLU. z·σ(z) is a product, and has a second term.",
        (
            "slope",
            lambda z: sigmoid(z) * (1 - sigmoid(z)),
        ): "In the gradient of `gate` you take the slope of the sigmoid, σ(1 − σ). SiLU is z·σ(z), a product.",
        (
            "slope",
            lambda z: z * sigmoid(z) * (1 - sigmoid(z)),
        ): "In the gradient of `gate` the first term of SiLU's slope is missing: σ + z·σ(1 − σ).",
        (
            "slope",
            lambda z: sigmoid(z) * (1 - z * (1 - sigmoid(z))),
        ): "The sign in SiLU's slope is wrong: it is σ·(1 + z·(1 − σ)).",
        (
            "slope",
            lambda z: 1 + z * (1 - sigmoid(z)),
        ): "The factor σ in front of SiLU's slope is missing: it is σ·(1 + z·(1 − σ)).",
        (
            "slope",
            lambda z: sigmoid(z) + z * (1 - sigmoid(z)),
        ): "In SiLU's slope the second term lacks a factor σ: it is σ + z·σ(1 − σ).",
        (
            "slope",
            lambda z: sigmoid(z) * (1 + z * sigmoid(z)),
        ): "In SiLU's slope you have σ where 1 − σ belongs: σ·(1 + z·(1 − σ)).",
        (
            "slope",
            lambda z: sigmoid(z) * (1 + (1 - sigmoid(z))),
        ): "In SiLU's slope the factor z is missing in front of (1 − σ).",
        (
            "slope",
            silu,
        ): "In the gradient of `gate` you take SiLU itself. Its *slope* belongs there, equation (4).",
        ("slope", torch.ones_like): "In the gradient of `gate` the slope of SiLU is missing, equation (4).",
        (
            "other_branch",
            torch.ones_like,
        ): "In the gradient of `gate` the other factor is missing: a product is differentiated with `up` held "
        "constant, not with `up` left out.",
        (
            "passed",
            lambda gate: gate,
        ): "In the gradient of `up` you multiply by the gate itself. `up` was multiplied by SiLU of the gate.",
        (
            "passed",
            sigmoid,
        ): "In the gradient of `up` you multiply by σ of the gate. `up` was multiplied by SiLU: gate · σ(gate).",
        (
            "passed",
            _silu_slope,
        ): "In the gradient of `up` you have the slope of SiLU. `up` is multiplied by SiLU, which is held constant.",
        (
            "passed",
            torch.ones_like,
        ): "In the gradient of `up` the other factor is missing: SiLU of the gate, held constant.",
        ("above_gate", torch.ones_like): "In the gradient of `gate` the factor `grad` is missing.",
        ("above_up", torch.ones_like): "In the gradient of `up` the factor `grad` is missing.",
        (
            "finished",
            lambda by_gate, by_up: (by_up, by_gate),
        ): "The two gradients are in the wrong order: first that of `gate`, then that of `up`.",
        (
            "finished",
            lambda by_gate, by_up: (by_gate.mean(dim=0), by_up.mean(dim=0)),
        ): "You average over the first dimension. Each number of `gate` and `up` has a gradient of its own.",
        (
            "finished",
            lambda by_gate, by_up: (by_gate.sum(), by_up.sum()),
        ): "You add everything up. Each number of `gate` and `up` has a gradient of its own.",
        (
            "finished",
            lambda by_gate, by_up: (by_gate.sum(dim=0), by_up.sum(dim=0)),
        ): "You sum over the first dimension. Each number of `gate` and `up` has a gradient of its own.",
        (
            "finished",
            lambda by_gate, by_up: (-by_gate, -by_up),
        ): "Both gradients have the wrong sign. The minus belongs to the optimiser's step, not here.",
    },
)
