"""The exercise of notebook 09 on the online softmax: attention over keys and values that come in blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

State = tuple[Tensor, Tensor, Tensor]


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _block(rng: np.random.Generator, m: int, n: int, d: int, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    return 2 * _normal(rng, m, n) + shift, _normal(rng, n, d)


def _nothing(m: int, d: int) -> State:
    return torch.full((m,), -math.inf), torch.zeros(m), torch.zeros(m, d)


def _case(
    rng: np.random.Generator, m: int, n: int, d: int, *, first: float = 0.0, shift: float = 0.0
) -> Inputs:
    """Draw a block, and the state after an earlier one whose scores are ``first`` higher."""
    state = _add_block(_nothing(m, d), *_block(rng, m, n + 1, d, first))
    return state, *_block(rng, m, n, d, shift)


def _drawn(rng: np.random.Generator) -> Inputs:
    """Draw a block that brings a higher maximum for some queries, and for others not."""
    while True:
        case = _case(rng, int(rng.integers(4, 7)), int(rng.integers(2, 5)), 3)
        higher = case[1].amax(dim=-1) > case[0][0]
        if higher.any() and not higher.all():
            return case


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(94)
    return {
        "the first block": (_nothing(3, 2), *_block(rng, 3, 4, 2)),
        "a block of a single key": _case(rng, 3, 1, 2),
        "a single query": _case(rng, 1, 3, 2),
        "scores in the thousands": _case(rng, 3, 3, 2, first=2000.0, shift=2000.0),
        "scores far below zero": _case(rng, 3, 3, 2, first=-2000.0, shift=-2000.0),
    }


def _add_block(state: State, scores: Tensor, value: Tensor) -> State:
    highest, total, weighted = state
    new = torch.maximum(highest, scores.amax(dim=-1))  # (m,)
    powers = (scores - new[:, None]).exp()  # (m, n)
    rescaled = (highest - new).exp()
    return new, rescaled * total + powers.sum(dim=-1), rescaled[:, None] * weighted + powers @ value


def _wrong(state: State, scores: Tensor, value: Tensor, /, **slips: Any) -> Any:
    has = made(slips)
    highest, total, weighted = state
    of_block = scores.amax(dim=-1)
    new = torch.maximum(highest, of_block)
    new = {
        "block": of_block,
        "old": torch.where(highest.isinf(), of_block, highest),
        "all": torch.full_like(new, float(new.max())),
        "keys": torch.full_like(new, float(of_block.max())),
    }.get(slips.get("highest", ""), new)
    below = {"none": torch.zeros_like(new), "block": of_block}.get(slips.get("power", ""), new)
    powers = (scores - below[:, None]).exp()
    rescaled = (new - highest).exp() if has("upside down") else (highest - new).exp()
    old_total, old_weighted = total, weighted
    if not has("rescale:none"):
        old_total = total if has("rescale:not the total") else rescaled * total
        old_weighted = weighted if has("rescale:not the sum") else rescaled[:, None] * weighted
    if has("rescale:both"):
        new_total, new_weighted = (
            rescaled * (total + powers.sum(dim=-1)),
            rescaled[:, None] * (weighted + powers @ value),
        )
    else:
        new_total, new_weighted = old_total + powers.sum(dim=-1), old_weighted + powers @ value
    if has("forgotten:total"):
        new_total = powers.sum(dim=-1)
    if has("forgotten:sum"):
        new_weighted = powers @ value
    if has("divided"):
        new_weighted = new_weighted / new_total[:, None]
    if has("out:order"):
        return new, new_weighted, new_total
    if has("out:quotient"):
        return new_weighted / new_total[:, None]
    return (highest if has("highest:kept") else new), new_total, new_weighted


ADD_BLOCK = Exercise(
    name="add_block",
    points=3,
    reference=_add_block,
    inputs=_drawn,
    edge_cases=_edges,
    atol=1e-5,
    hints=(
        "The powers in the two sums were taken with the old maximum below them, e^(s − old). By which factor does each "
        "of them change if the maximum becomes another? Is it the same for all keys of a query?",
        "e^(s − new) = e^(s − old) · e^(old − new). So multiply the old total and the old sum by `(highest - "
        "new).exp()`, which is 1 where nothing has changed, and add what the block brings, with the new maximum.",
        "`new = torch.maximum(highest, scores.amax(dim=-1))`, `powers = (scores - new[:, None]).exp()`, `factor = "
        "(highest - new).exp()`; the new total is `factor * total + powers.sum(dim=-1)`, and the new sum `factor[:, "
        "None] * weighted + powers @ value`.",
    ),
    variant=_wrong,
    slips=named(
        {
            "rescale:none": "What was added up before is not rescaled. Its powers were taken with the old maximum; "
            "with a higher one they are smaller, by the factor e^(old − new).",
            "rescale:not the total": "The sum of the values is rescaled, the total is not. Both hold powers with the "
            "old maximum.",
            "rescale:not the sum": "The total is rescaled, the sum of the values is not. Both hold powers with the old "
            "maximum.",
            "rescale:both": "You rescale what the block brings as well. Its powers have the new maximum already; only "
            "what was there before needs the factor.",
            "upside down": "The factor is upside down: a higher maximum makes the old powers smaller, e^(old − new).",
            "highest:block": "You take the maximum of the block, even where an earlier one was higher. It is the "
            "highest of both.",
            "highest:old": "You keep the old maximum, and scores above it make powers without a limit. Take the higher "
            "of both.",
            "highest:kept": "You return the old maximum. The next block needs the new one.",
            "highest:all": "You take one maximum over all queries. Each query has its own: `amax(dim=-1)`.",
            "highest:keys": "You take the maximum over the whole block. Each query has its own, the higher of its old "
            "one and that of its scores in the block.",
            "power:none": "You take powers of the scores as they are. With scores in the thousands they are infinite: "
            "subtract the new maximum first.",
            "power:block": "You subtract the maximum of the block from its scores. Subtract the new maximum, which may "
            "come from an earlier block: all powers need the same one.",
            "forgotten:total": "The total of the earlier blocks is lost. Add the block to it.",
            "forgotten:sum": "The values of the earlier blocks are lost. Add the block to them.",
            "divided": "You divide by the total. That is done once, after the last block: the next block is added to "
            "the sum as it is.",
            "out:order": "Total and sum of the values are exchanged: (highest, total, weighted).",
            "out:quotient": "You return the weighted average. Return the state, (highest, total, weighted): the "
            "division comes after the last block.",
        }
    ),
)
