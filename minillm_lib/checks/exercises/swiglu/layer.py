"""The gated layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, sigmoid
from torch.func import functional_call
from torch.nn import functional
from torch.nn.functional import linear, silu

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.feed_forward import SwiGLU


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _layer(rng: np.random.Generator, *shape: int, width: int) -> Inputs:
    """Draw an input of this shape, and the three matrices for it."""
    hidden = shape[-1]
    return (
        _tensor(rng, *shape),
        *(_tensor(rng, width, hidden) for _ in range(2)),
        _tensor(rng, hidden, width),
    )


def _layer_inputs(rng: np.random.Generator) -> Inputs:
    return _layer(rng, 2, 3, 5, width=7)


def _layer_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(9)
    return {
        "a layer as wide as x": _layer(rng, 3, 4, width=4),
        "an x of two dimensions": _layer(rng, 3, 4, width=6),
        "an x of one dimension": _layer(rng, 5, width=3),
        "a batch of one row": _layer(rng, 1, 6, width=8),
        "a batch of one row of one token": _layer(rng, 1, 1, 4, width=6),
        "an x of four dimensions": _layer(rng, 2, 1, 3, 4, width=5),
    }


def _swiglu(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    width, hidden = gate.shape
    layer = SwiGLU(
        ModelConfig(hidden_size=hidden, n_heads=1, n_kv_heads=1, head_dim=2, intermediate_size=width)
    )
    weights = {"gate_proj.weight": gate, "up_proj.weight": up, "down_proj.weight": down}
    return functional_call(layer, weights, (x,))  # unlike load_state_dict, it lets gradients through


def _swiglu_with(
    combine: Callable[[Tensor, Tensor], Tensor] = lambda gate, up: silu(gate) * up,
    read_by: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda gate, up: (gate, up),
    lead_back: Callable[[Tensor, Tensor], Tensor] = linear,
    around: float = 0.0,
) -> Callable[..., Tensor]:
    """Return a wrong layer that differs by the given options."""

    def wrong_layer(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        read = [linear(x, matrix) for matrix in read_by(gate, up)]
        result = lead_back(combine(read[0], read[1]), down)
        return result + around * x if around else result

    return wrong_layer


def _not_transposed(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return (silu(x @ gate) * (x @ up)) @ down


def _columns(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    columns = x.permute(*range(x.ndim)[::-1])
    result = down @ (silu(gate @ columns) * (up @ columns))
    return result.permute(*range(result.ndim)[::-1])


SWIGLU = Exercise(
    name="swiglu",
    reference=_swiglu,
    inputs=_layer_inputs,
    edge_cases=_layer_edges,
    hints=(
        "Read equation (6) from the inside: two projections of the same x, one function, one product, one projection.",
        "`nn.Linear` stores `(out, in)`, so a projection of row vectors is `x @ gate.T`. Only the gate has an "
        "activation; the branches are multiplied number by number.",
        "The wide vector is `functional.silu(x @ gate.T) * (x @ up.T)`. `down` leads back in the same way.",
    ),
    misconceptions={
        lambda x, gate, up, down: linear(
            silu(linear(x, gate) + linear(x, up)), down
        ): "You add the branches and activate the sum. Activate the gate alone, and multiply by `up`.",
        _not_transposed: "The matrices are not transposed: `nn.Linear` stores `(out, in)`, so row vectors need `x @ "
        "gate.T`.",
        _columns: "You treat x as a matrix of column vectors. That works for two dimensions only; x is `(…, d)`, so "
        "put it first: `x @ gate.T`.",
    },
    variant=variant(_swiglu_with),
    slips={
        (
            "combine",
            lambda gate, up: gate * silu(up),
        ): "The activation stands on the wrong branch: it belongs to the gate, and `up` passes as it is.",
        (
            "combine",
            lambda gate, up: silu(gate) + up,
        ): "You add the two branches. The gate *multiplies*: where it is near zero, nothing of `up` passes.",
        (
            "combine",
            lambda gate, up: silu(gate * up),
        ): "You activate the product. Activate the gate first, and multiply by `up` then.",
        (
            "combine",
            lambda gate, up: silu(gate) * silu(up),
        ): "You activate both branches. Only the gate has an activation; `up` passes as it is.",
        (
            "combine",
            lambda gate, up: sigmoid(gate) * up,
        ): "This is GLU, whose gate is the sigmoid alone. In SwiGLU it is SiLU: the gate times its sigmoid.",
        (
            "combine",
            lambda gate, up: gate * sigmoid(up),
        ): "You take the sigmoid alone, and of the wrong branch. SiLU, z · σ(z), belongs to the gate.",
        (
            "combine",
            lambda gate, up: gate * sigmoid(-gate) * up,
        ): "The sign in the sigmoid is wrong: SiLU is z · σ(z), with σ(z) = 1 / (1 + e^(−z)).",
        (
            "combine",
            lambda gate, up: silu(silu(gate)) * up,
        ): "You activate the gate twice. `functional.silu` is to be called once.",
        (
            "combine",
            lambda gate, up: functional.gelu(gate) * up,
        ): "This is GEGLU, with GELU in the gate. SwiGLU has SiLU there.",
        (
            "combine",
            lambda gate, up: functional.relu(gate) * up,
        ): "This is ReGLU, with ReLU in the gate. SwiGLU has SiLU there.",
        (
            "combine",
            lambda gate, up: torch.tanh(gate) * up,
        ): "You take tanh of the gate. SwiGLU has SiLU there: z · σ(z).",
        (
            "combine",
            lambda gate, up: gate.softmax(dim=-1) * up,
        ): "You take the softmax of the gate. SwiGLU has SiLU there, which works on each number alone.",
        ("combine", lambda gate, up: gate * up): "The activation is missing: this is the bilinear layer.",
        (
            "combine",
            lambda gate, up: silu(gate),
        ): "This leaves `up` out: it is a classic feed-forward layer with SiLU. Multiply by the other branch.",
        (
            "combine",
            lambda gate, up: up,
        ): "This leaves the gate out. Activate `x @ gate.T`, and multiply by it.",
        (
            "read_by",
            lambda gate, up: (gate, gate),
        ): "Both branches read x by the matrix `gate`. One of them belongs to `up`.",
        (
            "read_by",
            lambda gate, up: (up, up),
        ): "Both branches read x by the matrix `up`. One of them belongs to `gate`.",
        (
            "lead_back",
            lambda wide, down: wide,
        ): "`down` is missing: this is the wide vector, which is to be led back to d numbers.",
        (
            "lead_back",
            lambda wide, down: silu(linear(wide, down)),
        ): "You activate the result of `down` as well. Nothing comes after `down`.",
        (
            "around",
            1.0,
        ): "You add x to the result. That is the block's part; the layer returns only what is added.",
    },
)
