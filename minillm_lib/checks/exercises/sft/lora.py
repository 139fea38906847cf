"""A linear layer whose weight stays as it is, with a trained update of low rank."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named


def _layer(rng: np.random.Generator, rank: int = 0, alpha: float = 0.0, n: int = 3) -> Inputs:
    """Draw a weight, an update of low rank, and inputs."""
    d_in, d_out = int(rng.integers(6, 10)), int(rng.integers(11, 14))
    rank = rank or int(rng.integers(2, 5))
    shapes = ((d_out, d_in), (rank, d_in), (d_out, rank), (n, d_in))
    weight, down, up, x = (torch.tensor(rng.standard_normal(each), dtype=torch.float32) for each in shapes)
    return weight, down, up, alpha or float(rank * rng.choice([0.5, 2.0, 3.0])), x


def _layer_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(142)
    return {"rank 1": _layer(rng, rank=1, alpha=8.0), "a single input": _layer(rng, n=1)}


def _use(lora: Any, weight: Tensor, down: Tensor, up: Tensor, alpha: float, x: Tensor) -> Any:
    """Build the layer; compute with it as it begins, and with a given update; merge it."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        linear.weight.copy_(weight)
    layer = lora(linear, len(down), alpha)
    begins_as_before = torch.allclose(layer(x).detach(), x @ weight.T, atol=1e-5)
    trained = sorted(tuple(each.shape) for each in layer.parameters() if each.requires_grad)
    moves = bool((layer.down.detach() != 0).any() or (layer.up.detach() != 0).any())
    with torch.no_grad():
        layer.down.copy_(down)
        layer.up.copy_(up)
    output = layer(x)
    if output.requires_grad:
        output.sum().backward()
    merged = layer.merged().detach().clone()
    return {
        "begins as the old layer": begins_as_before,
        "shapes of what is trained": trained,
        "down or up differs from zero": moves,
        "output with an update": output.detach(),
        "gradients of down and up": [layer.down.grad, layer.up.grad],
        "merged weight": merged,
        "merged weight, a second time": layer.merged().detach().clone(),
        "output after merging": layer(x).detach(),
    }


class _LoRALinear(nn.Module):
    """``x`` times the frozen weight, plus ``alpha / rank`` times ``x`` through ``down`` and ``up``."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, **slips: Any) -> None:
        super().__init__()
        self._has = made(slips)
        self.linear = linear
        if not self._has("frozen:not"):
            linear.weight.requires_grad_(False)
        d_out, d_in = linear.weight.shape
        self.down = nn.Parameter(torch.randn(rank, d_in) / math.sqrt(d_in))
        self.up = nn.Parameter(torch.zeros(d_out, rank))
        if self._has("start:random"):
            nn.init.normal_(self.up)
        if self._has("start:zeros"):
            nn.init.zeros_(self.down)
        if self._has("frozen:down"):
            self.down.requires_grad_(False)
        if self._has("frozen:all"):
            self.down.requires_grad_(False)
            self.up.requires_grad_(False)
        scales = {"one": 1.0, "alpha": alpha, "rank": rank / alpha, "root": alpha / math.sqrt(rank)}
        self._scale = next(
            (value for name, value in scales.items() if self._has(f"scale:{name}")), alpha / rank
        )

    def forward(self, x: Tensor) -> Tensor:
        update = self._scale * (x @ self.down.T @ self.up.T)
        if self._has("output:update"):
            return update
        if self._has("output:base"):
            return self.linear(x) + 0 * update
        out: Tensor = self.linear(x) + update
        return out

    def merged(self) -> Tensor:
        """Return the weight with the update in it."""
        if self._has("merged:base"):
            return self.linear.weight
        scale = 1.0 if self._has("merged:scale") else self._scale
        update: Tensor = scale * (self.up @ self.down)
        return update if self._has("merged:update") else self.linear.weight + update


def _variant(linear: nn.Linear, rank: int, alpha: float, /, **slips: Any) -> _LoRALinear:
    return _LoRALinear(linear, rank, alpha, **slips)


LORA_LINEAR = Exercise(
    name="LoRALinear",
    points=3,
    reference=_LoRALinear,
    use=_use,
    use_in_submission=True,
    inputs=_layer,
    edge_cases=_layer_edges,
    atol=1e-5,
    hints=(
        "Three things to decide: which parameters are trained, what they are at the beginning, and what is added to "
        "the output of the old layer.",
        "`linear.weight.requires_grad_(False)` freezes the old weight. `down` is random, (rank, d_in), and `up` is "
        "zero, (d_out, rank), both `nn.Parameter`. The update of the output is x through `down`, then through `up`, "
        "times alpha / rank.",
        "In `forward`: `self.linear(x) + self.scale * (x @ self.down.T @ self.up.T)`; in `merged`: "
        "`self.linear.weight + self.scale * self.up @ self.down`, with `self.scale = alpha / rank`.",
    ),
    variant=_variant,
    slips=named(
        {
            "frozen:not": "The old weight is trained too. Freeze it: `linear.weight.requires_grad_(False)`.",
            "frozen:down": "`down` is not trained. Both `down` and `up` are.",
            "frozen:all": "Nothing is trained: `down` and `up` must be parameters that need a gradient.",
            "start:random": "The layer does not begin as the old one: `up` must be zero at first, so that the "
            "update is "
            "nothing.",
            "start:zeros": "`down` and `up` are both zero. Then the gradient of each is zero as well, and nothing "
            "ever moves: make `down` random.",
            "scale:one": "The factor alpha / rank is missing.",
            "scale:alpha": "You multiply by alpha. The factor is alpha / rank.",
            "scale:rank": "The factor is upside down: it is alpha / rank.",
            "scale:root": "You divide by the root of the rank. Here the factor is alpha / rank.",
            "output:update": "The old layer is missing in the output: the update is *added* to it.",
            "output:base": "The update is missing in the output.",
            "merged:base": "The update is missing in the merged weight.",
            "merged:update": "The old weight is missing in the merged one.",
            "merged:scale": "The factor alpha / rank is missing in the merged weight.",
        }
    ),
)
