"""The exercise of notebook 09 in which a test is written of whether a layer looks ahead."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

Layer = Callable[[Tensor], Tensor]


def _scores(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores, ``(batch, seq, seq)``, and which of them belong to later positions."""
    seq = x.shape[1]
    return x @ x.mT / math.sqrt(x.shape[-1]), torch.ones(seq, seq, dtype=torch.bool).triu(1)


def _causal(x: Tensor) -> Tensor:
    scores, later = _scores(x)
    return scores.masked_fill(later, -math.inf).softmax(dim=-1) @ x


def _masked_after(x: Tensor) -> Tensor:
    scores, later = _scores(x)
    return scores.softmax(dim=-1).masked_fill(later, 0.0) @ x


def _one_ahead(x: Tensor) -> Tensor:
    scores, later = _scores(x)
    return scores.masked_fill(later.triu(2), -math.inf).softmax(dim=-1) @ x


def _normed_over_positions(x: Tensor) -> Tensor:
    return _causal(x) / (1 + x.std(dim=1, keepdim=True))


def _one_into_one(x: Tensor, source: int, target: int) -> Tensor:
    output = _causal(x)
    output[:, target] += 0.1 * x[:, source]
    return output


_LAYERS: dict[str, Layer] = {
    "causal attention": _causal,
    "attention with a mask after the softmax": _masked_after,
    "attention in which each position sees the next one": _one_ahead,
    "attention that is divided by a spread over all positions": _normed_over_positions,
    "a layer in which only position 1 gets into position 0": lambda x: _one_into_one(x, 1, 0),
    "a layer in which only position 3 gets into position 2": lambda x: _one_into_one(x, 3, 2),
    "a layer in which only the last position gets into position 1": lambda x: _one_into_one(x, -1, 1),
    "a layer that works on each position alone": torch.tanh,
    "a running sum": lambda x: x.cumsum(dim=1),
}


class _Named:
    """A layer by its name, as an input that can be shown."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.dim() != 3:
            raise ValueError("the layer takes a tensor of shape (batch, seq, hidden)")
        return _LAYERS[self.name](x)

    def __repr__(self) -> str:
        return self.name


def _x(rng: np.random.Generator, seq: int = 6) -> Tensor:
    return torch.from_numpy(rng.standard_normal((2, seq, 4))).float()


def _layer_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(93)
    return {name: (_Named(name), _x(rng)) for name in _LAYERS}


def _drawn_layer(rng: np.random.Generator) -> Inputs:
    names = list(_LAYERS)
    return _Named(names[int(rng.integers(len(names)))]), _x(rng, int(rng.integers(4, 7)))


def _leaking_positions(layer: Layer, x: Tensor) -> list[int]:
    return list(_test(layer, x))


def _test(layer: Layer, x: Tensor, /, **slips: Any) -> Any:
    has = made(slips)
    generator = torch.Generator().manual_seed(0)
    before, seq = layer(x), x.shape[1]
    places: Any = {"last": [seq - 1], "second": [1], "but the last": range(1, seq - 1)}.get(
        slips.get("changed", ""), range(seq)
    )
    found = []
    for place in places:
        changed = x.clone()
        noise = torch.randn(x.shape, generator=generator)
        if not has("changed:all"):
            noise[:, :place] = 0
            noise[:, place + 1 :] = noise[:, place + 1 :] if has("changed:rest") else 0
        difference = (layer(changed + noise) - before).abs().amax(dim=(0, 2))  # (seq,)
        looked = {
            "itself": difference[: place + 1],
            "later": difference[place + 1 :],
            "first": difference[: min(place, 1)],
            "neighbour": difference[max(place - 1, 0) : place],
        }.get(slips.get("looked", ""), difference[:place])
        if looked.numel() and looked.max() > (0.3 if has("coarse") else 1e-5):
            found += [place] if not has("where") else (looked > 1e-5).nonzero().flatten().tolist()
    if has("where"):
        found = sorted(set(found))
    if has("others"):
        return [place for place in range(seq) if place not in found]
    return bool(found) if has("kind") else [place + 1 for place in found] if has("from 1") else found


LEAKING_POSITIONS = Exercise(
    name="leaking_positions",
    use_in_submission=True,
    points=2,
    reference=_leaking_positions,
    inputs=_drawn_layer,
    edge_cases=_layer_edges,
    hints=(
        "Change the input at one position. At which positions may the output of a causal layer change, and at which "
        "not? And is it enough to change one position only?",
        "For each position t: copy `x`, add random numbers to `changed[:, t]`, and compare `layer(changed)` with "
        "`layer(x)` at the positions *before* t, `[:, :t]`. If anything differs there, t belongs into the list.",
        "In the loop over t: `changed = x.clone()`, `changed[:, t] += torch.randn_like(x[:, t])`; append t if not "
        "`torch.allclose(layer(changed)[:, :t], layer(x)[:, :t], atol=1e-5)`.",
    ),
    variant=_test,
    slips=named(
        {
            "changed:last": "You change the last position only. A layer may let position 1 into position 0 and hide "
            "the last one: change each position in turn.",
            "changed:second": "You change position 1 only. A layer may hide that one and show another: change each "
            "position in turn.",
            "changed:but the last": "You never change the last position: the loop ends one too early.",
            "changed:all": "You change all positions at once. Then earlier outputs change in any layer: change one at "
            "a time, and look before it.",
            "changed:rest": "You change a position and all those after it. Then you do not know which of them got "
            "through: change one at a time.",
            "looked:itself": "You count the output at the changed position itself, which may change: a token may look "
            "at itself. Compare the positions before it, `[:, :t]`.",
            "looked:later": "You look at the positions *after* the change. They may change; those before it may not.",
            "looked:first": "You look at the output of position 0 only. Compare all positions before the change.",
            "looked:neighbour": "You look only at the position just before the change. Compare all those before it.",
            "coarse": "Your tolerance is too large: a small leak is a leak. Differences that rounding makes are below "
            "1e-5 here.",
            "where": "You give the positions at which something arrives. Give those that it comes from: the changed "
            "ones.",
            "others": "It is the other way round: you give the positions whose change does not get through.",
            "from 1": "You count the positions from 1. The first one is 0.",
            "kind": "You say whether there is a leak. Give the list of the positions whose change gets through; it is "
            "empty if none does.",
        }
    ),
    misconceptions={
        lambda layer, x: []: "You return an empty list for every layer. Some of these look ahead.",
    },
)
