"""The nucleus of a distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant


def _distributions(rng: np.random.Generator) -> Inputs:
    """Draw four distributions; in the last one, a single token has more than ``p``."""
    probabilities = rng.dirichlet(np.full(10, 0.8), size=4)
    p = float(rng.uniform(0.6, 0.9))
    probabilities[3] = (1 - p) / 2 * rng.dirichlet(np.ones(10))
    probabilities[3, rng.integers(10)] += (1 + p) / 2
    return torch.from_numpy(probabilities).float(), p


def _distribution_edges() -> dict[str, Inputs]:
    row = [0.125, 0.5, 0.0625, 0.25, 0.0625]  # sums of these are exact in floating point
    two = torch.tensor([row, [0.25, 0.125, 0.125, 0.0, 0.5]])
    return {
        "tokens that have exactly p together": (torch.tensor([row]), 0.75),
        "a single token that has exactly p": (torch.tensor([row]), 0.5),
        "two texts, in which the sum reaches exactly p": (two, 0.75),
        "p = 1": (torch.tensor([row]), 1.0),
        "a small p": (two, 0.1),
        "as many texts as tokens": (torch.tensor([[0.3, 0.1, 0.6], [0.2, 0.7, 0.1], [0.5, 0.1, 0.4]]), 0.8),
        "a batch of one text": (torch.tensor([[0.05, 0.3, 0.15, 0.1, 0.4]]), 0.6),
    }


Kept = Callable[[Tensor, Tensor, float], Tensor]


def _with_the_first(kept: Kept) -> Kept:
    def changed(ordered: Tensor, total: Tensor, p: float) -> Tensor:
        return kept(ordered, total, p) | (torch.arange(ordered.shape[-1]) == 0)

    return changed


def _scattered(probabilities: Tensor, ordered: Tensor, order: Tensor, kept: Tensor) -> Tensor:
    return torch.zeros_like(probabilities).scatter(-1, order, ordered * kept)


def _descending(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    ordered, order = probabilities.sort(descending=True)
    return ordered, order


def _ascending(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    ordered, order = probabilities.sort()
    return ordered, order


def _unsorted(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    return probabilities, torch.arange(probabilities.shape[-1]).expand_as(probabilities)


def _nucleus_with(
    sort: Callable[[Tensor], tuple[Tensor, Tensor]] = _descending,
    kept: Kept = lambda ordered, total, p: total - ordered < p,
    placed: Callable[..., Tensor] = _scattered,
    finished: Callable[[Tensor, float], Any] = lambda weights, p: weights / weights.sum(dim=-1, keepdim=True),
) -> Callable[[Tensor, float], Any]:
    """Return a wrong nucleus: how tokens are sorted, which are kept, where they are put, what they are divided by."""

    def wrong_nucleus(probabilities: Tensor, p: float) -> Any:
        ordered, order = sort(probabilities)
        chosen = kept(ordered, ordered.cumsum(dim=-1), p)
        return finished(placed(probabilities, ordered, order, chosen), p)

    return wrong_nucleus


def _one_more(ordered: Tensor, total: Tensor, p: float) -> Tensor:
    before = total - ordered
    return torch.cat([torch.zeros_like(before[..., :1]), before[..., :-1]], dim=-1) < p


def _nucleus(probabilities: Tensor, p: float) -> Tensor:
    weights: Tensor = _nucleus_with()(probabilities, p)
    return weights


NUCLEUS = Exercise(
    name="nucleus",
    points=2,
    reference=_nucleus,
    inputs=_distributions,
    edge_cases=_distribution_edges,
    hints=(
        "Sort, add up from the largest on, keep the first ones, bring them back to their places, divide by their sum.",
        "A token belongs to the nucleus if the likelier ones *before* it have less than p together: the sum up to it, "
        "minus itself.",
        "`before = ordered.cumsum(dim=-1) - ordered`; keep `ordered * (before < p)`, put it back with "
        "`torch.zeros_like(probabilities).scatter(-1, order, …)`, and divide each row by its sum.",
    ),
    misconceptions={
        lambda probabilities, p: (
            probabilities
        ): "You return the probabilities as they were: nothing is cut off.",
        _nucleus_with(
            finished=lambda weights, p: (weights > 0).float()
        ): "You return which tokens are kept. Return their probabilities, divided by their sum.",
    },
    variant=variant(_nucleus_with),
    slips={
        (
            "kept",
            lambda ordered, total, p: total < p,
        ): "You leave out the token with which the sum reaches p. It belongs to the nucleus; where the first token "
        "alone has p, yours is empty. Ask what the tokens *before* it add up to.",
        (
            "kept",
            lambda ordered, total, p: total <= p,
        ): "You leave out the token with which the sum exceeds p, though it did not reach p before. It belongs to the "
        "nucleus. Ask what the tokens *before* it add up to.",
        (
            "kept",
            _with_the_first(lambda ordered, total, p: total < p),
        ): "You leave out the token with which the sum reaches p. It belongs to the nucleus: a token goes only if "
        "those *before* it add up to p already.",
        (
            "kept",
            _with_the_first(lambda ordered, total, p: total <= p),
        ): "You leave out the token with which the sum exceeds p, though it did not reach p before: a token goes only "
        "if those *before* it add up to p already.",
        (
            "kept",
            lambda ordered, total, p: total - ordered <= p,
        ): "You keep a token too many where the sum is exactly p: the smallest set that has *at least* p is complete "
        "then. `<`, not `<=`.",
        (
            "kept",
            _one_more,
        ): "You keep one token too many: the token with which the sum reaches p is the last.",
        (
            "kept",
            lambda ordered, total, p: ordered >= p,
        ): "You compare single probabilities with p. It is their sum, from the largest on, that is to reach p.",
        (
            "kept",
            _with_the_first(lambda ordered, total, p: ordered >= p),
        ): "You compare single probabilities with p, and keep the first one anyway. It is their *sum* that is to "
        "reach p.",
        (
            "kept",
            lambda ordered, total, p: ordered >= 1 - p,
        ): "You compare single probabilities with 1 − p. It is their sum, from the largest on, that is to reach p.",
        (
            "kept",
            lambda ordered, total, p: ordered >= p * ordered.amax(dim=-1, keepdim=True),
        ): "You compare each token with p times the likeliest one: that is min-p. In top-p the *sum* is to reach p.",
        (
            "kept",
            lambda ordered, total, p: total - ordered < 1 - p,
        ): "You keep tokens up to 1 − p. They are to have p together.",
        (
            "kept",
            lambda ordered, total, p: total - ordered >= p,
        ): "You keep the tokens that are to be cut off, and cut off the nucleus.",
        (
            "kept",
            lambda ordered, total, p: total > p,
        ): "You keep the tokens from which on the sum exceeds p: the unlikely ones. Keep those before.",
        (
            "kept",
            lambda ordered, total, p: total >= p,
        ): "You keep the tokens from which on the sum has reached p: the unlikely ones. Keep those before, and the "
        "one with which p is reached.",
        (
            "kept",
            lambda ordered, total, p: ordered.cumsum(dim=0) - ordered < p,
        ): "You add up over the texts of the batch. Add up the tokens of each row, the last dimension.",
        (
            "kept",
            lambda ordered, total, p: torch.arange(ordered.shape[-1]).expand_as(ordered) == 0,
        ): "Only the likeliest token is kept. Keep as many as are needed to reach p.",
        (
            "sort",
            _unsorted,
        ): "You add up the probabilities in the order of the vocabulary. Sort them, the largest first.",
        (
            "sort",
            _ascending,
        ): "You begin with the *least* likely tokens. Sort with `descending=True`.",
        (
            "placed",
            lambda probabilities, ordered, order, kept: (ordered * kept).gather(-1, order),
        ): "`gather` takes from the places that `order` names. You need to *put* each value to the place it came "
        "from: `scatter(-1, order, values)`.",
        (
            "placed",
            lambda probabilities, ordered, order, kept: probabilities * kept.gather(-1, order),
        ): "You bring the mask back with `gather`, which takes *from* the places that `order` names. `scatter` puts "
        "it to them.",
        (
            "placed",
            lambda probabilities, ordered, order, kept: ordered * kept,
        ): "The probabilities are in sorted order: which token does each belong to? Bring them back with `scatter` "
        "and the indices that `sort` returns.",
        (
            "placed",
            lambda probabilities, ordered, order, kept: probabilities * kept,
        ): "You found out which places of the *sorted* row to keep, and applied that to the row as it was. Bring the "
        "mask back to the order of the tokens with `scatter`.",
        (
            "finished",
            lambda weights, p: weights,
        ): "What is kept no longer adds up to 1: divide by the sum of what is left.",
        (
            "finished",
            lambda weights, p: weights / p,
        ): "You divide by p. What is kept usually has more than p: divide by its own sum.",
        (
            "finished",
            lambda weights, p: weights / weights.sum(),
        ): "You divide by the sum of the whole batch. Each row has a sum of its own.",
        (
            "finished",
            lambda weights, p: weights / weights.sum(dim=0, keepdim=True),
        ): "You divide by the sum over the texts of the batch. Each row has a sum of its own.",
        (
            "finished",
            lambda weights, p: weights.softmax(dim=-1),
        ): "You take the softmax of what is kept, which also gives something to the tokens that were cut off. Divide "
        "by the sum.",
        (
            "finished",
            lambda weights, p: weights / weights.amax(dim=-1, keepdim=True),
        ): "You divide by the largest probability. Divide by the sum of what is left.",
    },
)
