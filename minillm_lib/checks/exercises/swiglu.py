"""The exercises of notebook 09: GELU, the gated layer, its width at equal cost, and the gradient through a gate."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, sigmoid
from torch.nn import functional
from torch.nn.functional import linear, silu

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.feed_forward import SwiGLU


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _points(rng: np.random.Generator) -> Inputs:
    """Draw values on both sides of zero, mostly where the approximations of GELU are worst."""
    return (1.5 * _tensor(rng, 4, 6),)


def _gelu(x: Tensor) -> Tensor:
    return functional.gelu(x)


def _layer_inputs(rng: np.random.Generator) -> Inputs:
    hidden, width = 5, 7
    return (
        _tensor(rng, 2, 3, hidden),
        *(_tensor(rng, width, hidden) for _ in range(2)),
        _tensor(rng, hidden, width),
    )


def _swiglu(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    width, hidden = gate.shape
    layer = SwiGLU(
        ModelConfig(hidden_size=hidden, n_heads=1, n_kv_heads=1, head_dim=2, intermediate_size=width)
    )
    weights = {"gate_proj.weight": gate, "up_proj.weight": up, "down_proj.weight": down}
    layer.load_state_dict(weights)
    return layer(x)


def _from_projections(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return a wrong layer, given as a function of the two projections."""

    def answer(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        return linear(combine(linear(x, gate), linear(x, up)), down)

    return answer


def _width_inputs(rng: np.random.Generator) -> Inputs:
    """Draw a rounding step, and a hidden size for which 8/3 of it is just above a multiple of the step."""
    multiple_of = int(rng.choice([16, 32, 64]))
    hidden_size = int(rng.integers(200, 2000))
    while not 1 < (8 * hidden_size / 3) % multiple_of < multiple_of / 2:
        hidden_size += 1
    return hidden_size, multiple_of


def _gated_width(hidden_size: int, multiple_of: int) -> int:
    return math.ceil(8 * hidden_size / 3 / multiple_of) * multiple_of


def _rounded_up(numerator: int, denominator: int) -> Callable[[int, int], int]:
    def answer(hidden_size: int, multiple_of: int) -> int:
        return math.ceil(numerator * hidden_size / denominator / multiple_of) * multiple_of

    return answer


def _backward_inputs(rng: np.random.Generator) -> Inputs:
    return tuple(1.5 * _tensor(rng, 3, 4) for _ in range(3))


def _swiglu_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        inputs = [each.detach().requires_grad_() for each in (gate, up)]
        product = silu(inputs[0]) * inputs[1]
        by_gate, by_up = torch.autograd.grad(product, inputs, grad)
    return by_gate, by_up


def _silu_slope(x: Tensor) -> Tensor:
    return sigmoid(x) * (1 + x * (1 - sigmoid(x)))


EXERCISES = (
    Exercise(
        name="gelu",
        reference=_gelu,
        inputs=_points,
        misconceptions={
            lambda x: functional.gelu(
                x, approximate="tanh"
            ): "This is the tanh approximation of GPT-2: close, but up to 0.0005 off. The exact one uses `torch.erf`.",
            lambda x: (
                x * sigmoid(1.702 * x)
            ): "This is the sigmoid approximation of GELU, off by up to 0.02. The exact "
            "one uses `torch.erf`.",
            lambda x: silu(
                x
            ): "This is SiLU: x times the logistic sigmoid. GELU has the normal distribution's Φ there; "
            "see equation (2).",
            lambda x: (
                (1 + torch.erf(x / math.sqrt(2))) / 2
            ): "This is Φ(x) alone, the share that passes. GELU is x *times* that share.",
            lambda x: sigmoid(
                x
            ): "This is the sigmoid alone, a number between 0 and 1. GELU multiplies x, and by "
            "Φ(x) rather than the sigmoid.",
            lambda x: (
                x * (1 + torch.erf(x)) / 2
            ): "The √2 is missing: erf belongs to a normal distribution of variance "
            "½, so its argument is x/√2.",
            lambda x: (
                x * torch.erf(x / math.sqrt(2))
            ): "You multiply by erf, which runs from −1 to 1. Φ runs from 0 to 1: it is (1 + erf) / 2.",
            lambda x: (
                x * torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
            ): "You multiply by the density of the "
            "normal distribution. Φ is the probability to the left of x, the area under that density.",
        },
    ),
    Exercise(
        name="swiglu",
        reference=_swiglu,
        inputs=_layer_inputs,
        misconceptions={
            _from_projections(
                lambda gate, up: gate * silu(up)
            ): "The activation stands on the wrong branch: it belongs to the gate, and `up` passes as it is.",
            _from_projections(
                lambda gate, up: silu(gate) + up
            ): "You add the two branches. The gate *multiplies*: where it is near zero, nothing of `up` passes.",
            _from_projections(
                lambda gate, up: silu(gate * up)
            ): "You activate the product. Activate the gate first, and multiply by `up` then.",
            _from_projections(
                lambda gate, up: silu(gate) * silu(up)
            ): "You activate both branches. Only the gate has an activation; `up` passes as it is.",
            _from_projections(
                lambda gate, up: sigmoid(gate) * up
            ): "This is GLU, whose gate is the sigmoid alone. In SwiGLU it is SiLU: the gate times its sigmoid.",
            _from_projections(
                lambda gate, up: functional.gelu(gate) * up
            ): "This is GEGLU, with GELU in the gate. SwiGLU has SiLU there.",
            _from_projections(
                lambda gate, up: gate * up
            ): "The activation is missing: this is the bilinear layer.",
            _from_projections(
                lambda gate, up: silu(gate)
            ): "This leaves `up` out: it is a classic feed-forward layer with SiLU. Multiply by the other branch.",
        },
    ),
    Exercise(
        name="gated_width",
        points=2,
        reference=_gated_width,
        inputs=_width_inputs,
        misconceptions={
            _rounded_up(
                4, 1
            ): "This keeps the classic width. Three matrices of it hold half as much again as two.",
            _rounded_up(
                2, 1
            ): "You halve the classic width because there are two wide branches. But the matrix that "
            "leads back is there in both layers: three matrices against two.",
            _rounded_up(
                6, 1
            ): "You multiply by 3/2, the wrong way round: more matrices, so each must be narrower.",
            _rounded_up(
                2, 3
            ): "You take two thirds of `hidden_size`. The rule takes two thirds of the *classic* width, "
            "which is four times as large.",
            lambda hidden_size, multiple_of: (
                8 * hidden_size // 3
            ): "The width is right before rounding. Round it up to a multiple of `multiple_of`.",
            lambda hidden_size, multiple_of: round(
                8 * hidden_size / 3
            ): "The width is right before rounding. Round it "
            "up to a multiple of `multiple_of`, not to a whole number.",
            lambda hidden_size, multiple_of: (
                8 * hidden_size // 3 // multiple_of * multiple_of
            ): "You round to the multiple below, or to the nearest one. Round *up*, as Llama does.",
        },
    ),
    Exercise(
        name="swiglu_backward",
        points=3,
        reference=_swiglu_backward,
        inputs=_backward_inputs,
        misconceptions={
            lambda grad, gate, up: (
                grad * silu(gate),
                grad * up * _silu_slope(gate),
            ): "Right, but in the wrong order: first the gradient by `gate`, then the one by `up`.",
            lambda grad, gate, up: (
                grad * _silu_slope(gate),
                grad * silu(gate),
            ): "The gradient by `up` is right. In "
            "the one by `gate` the other factor is missing: a product is differentiated with `up` held constant, "
            "not with `up` left out.",
            lambda grad, gate, up: (
                grad * up * sigmoid(gate),
                grad * silu(gate),
            ): "The gradient by `up` is right. For "
            "`gate` you took σ as the derivative of SiLU; z·σ(z) is a product, and has a second term.",
            lambda grad, gate, up: (
                grad * up * sigmoid(gate) * (1 - sigmoid(gate)),
                grad * silu(gate),
            ): "The gradient "
            "by `up` is right. For `gate` you took the derivative of the sigmoid, σ(1 − σ); SiLU is z·σ(z).",
            lambda grad, gate, up: (
                grad * up * _silu_slope(gate),
                grad * gate,
            ): "The gradient by `gate` is right. What "
            "multiplies `up` is SiLU of the gate, not the gate itself.",
            lambda grad, gate, up: (
                up * _silu_slope(gate),
                silu(gate),
            ): "These are the derivatives of the product. "
            "Multiply each by `grad`, which comes from above: the chain rule.",
        },
    ),
)
