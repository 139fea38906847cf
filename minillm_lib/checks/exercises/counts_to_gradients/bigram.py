"""The gradient of the bigram's loss by its table of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.counts_to_gradients.drawing import normal
from minillm_lib.checks.exercises.slip_names import made, named


def _pairs(rng: np.random.Generator) -> Inputs:
    """Draw a batch in which some tokens stand before several others, and some before none."""
    n_tokens = int(rng.integers(5, 8))
    before = torch.from_numpy(rng.permutation(np.r_[[0, 0, 0, 1, 1], rng.integers(2, n_tokens, 3)]))
    return 1.5 * normal(rng, n_tokens, n_tokens), before, torch.from_numpy(rng.integers(0, n_tokens, 8))


def _pair_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(66)
    return {
        "a batch of one": (normal(rng, 4, 4), torch.tensor([2]), torch.tensor([1])),
        "a token that always stands before": (normal(rng, 4, 4), torch.tensor([3, 3, 3]), torch.tensor([0, 1, 1])),
        "tokens of which each stands before once": (
            normal(rng, 5, 5),
            torch.tensor([4, 1, 2]),
            torch.tensor([4, 3, 0]),
        ),
    }  # fmt: skip


def _bigram_gradient(table: Tensor, before: Tensor, after: Tensor) -> Tensor:
    error = torch.softmax(table[before], dim=-1)
    error[torch.arange(len(before)), after] -= 1
    return torch.zeros_like(table).index_add_(0, before, error / len(before))


def _gradient(table: Tensor, before: Tensor, after: Tensor, /, **slips: Any) -> Any:
    has = made(slips)
    if has("exchanged"):
        before, after = after, before
    n, positions = len(before), torch.arange(len(before))
    scores = table.T[before] if has("columns") else table[before]
    p = torch.softmax(scores, dim=0 if has("softmax:batch") else -1)
    if has("softmax:none"):
        p = scores
    if has("softmax:log"):
        p = p.log()
    y = torch.zeros_like(p)
    y[positions, after] = 1
    each = {"y": -y, "p": p, "own": -y * (1 - p), "half": 2 * (p - y), "product": p * (1 - p)}.get(
        slips.get("each", ""), p - y
    )
    each = -each if has("sign") else each
    result = torch.zeros_like(table)
    if has("rows:none"):
        return each / n
    if has("rows:set"):
        for row, one in zip(before.tolist(), each, strict=True):
            result[row] = one
    elif has("rows:after"):
        result.index_add_(0, after, each)
    elif has("rows:all"):
        result = n * torch.softmax(table, dim=-1) - torch.zeros_like(table).index_put_(
            (before, after), torch.ones(n), accumulate=True
        )
    else:
        result.index_add_(0, before, each)
    counts = torch.bincount(before, minlength=len(table))[:, None].clamp(min=1)
    divisor: Any = {"none": 1, "row": counts, "vocabulary": len(table), "all": table.numel()}.get(
        slips.get("divide", ""), n
    )
    result = result / divisor
    return result.T if has("turned") else result


BIGRAM_GRADIENT = Exercise(
    name="bigram_gradient",
    points=3,
    reference=_bigram_gradient,
    inputs=_pairs,
    edge_cases=_pair_edges,
    hints=(
        "Which scores does the loss of one position depend on? For these you know the gradient, (3); for all others "
        "it is zero. Then think of the whole batch: the loss is a mean over its positions.",
        "The row `before[b]` of the table gets (p − y)/B from position b, and what several positions bring to one row "
        "adds up. Beware of `gradient[before] += …`: where a row is named twice, only one of the two is kept.",
        "Make `p` with a softmax of `table[before]`, take 1 away at `[torch.arange(B), after]`, divide by B; then "
        "`torch.zeros_like(table).index_add_(0, before, …)`, or multiply by the transposed one-hot matrix of `before`.",
    ),
    variant=_gradient,
    slips=named(
        {
            "each:y": "The p of p − y is missing: you only count the pairs, and all other scores are left as they are.",
            "each:p": "The y of p − y is missing: take 1 away at the token that came.",
            "each:own": "You keep the score of the token that came only. The scores of all other tokens in the row "
            "have a gradient too: p.",
            "each:half": "There is a factor 2 too many. It is a square whose derivative would have one; this loss has "
            "none.",
            "each:product": "That is p(1 − p), a derivative of the probabilities. The loss takes their logarithm, and "
            "its gradient is p − y.",
            "softmax:none": "You take the scores for probabilities: put them through the softmax first.",
            "softmax:log": "You take the logarithm of the probabilities. The gradient is p − y, without one.",
            "softmax:batch": "Your softmax runs over the batch. Each row is a distribution over the tokens: `dim=-1`.",
            "sign": "The sign is wrong: you give y − p, the direction in which the loss falls. The gradient is p − y; "
            "the minus belongs to the step.",
            "rows:set": "Where a token stands before several others, only the last of these positions is kept. "
            "`gradient[before] = …` and `gradient[before] += …` write each row once: what the positions bring must "
            "be added up, as by `index_add_`.",
            "rows:after": "You add to the rows of the tokens that came. The scores stand in the row of the token "
            "*before*.",
            "rows:all": "You take the probabilities of every row of the table once for each position. A row has a "
            "gradient only from the positions whose token stands before.",
            "rows:none": "You return p − y of each position, a matrix with a row for each of them. The gradient of "
            "the table has the table's shape: add each to the row of its token.",
            "divide:none": "You add up the positions' gradients. The loss is their mean: divide by the batch size.",
            "divide:row": "You take the mean within each row of the table. The loss is the mean over the batch, so "
            "each position counts 1/B.",
            "divide:vocabulary": "You divide by the size of the vocabulary. The loss is a mean over the positions.",
            "divide:all": "You divide by the number of all scores. The loss is a mean over the positions.",
            "columns": "You read the table by columns. The scores after token v are its *row* v.",
            "exchanged": "You exchange `before` and `after`: the row is that of the token before, and the 1 stands at "
            "the token after.",
            "turned": "It is transposed: a row for each token before, a column for each token after.",
        }
    ),
)
