"""From scores to probabilities, and to the loss of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.counts_to_gradients.drawing import normal, recorded, tokens, with_gradient
from minillm_lib.checks.exercises.slip_names import made, named


def _scores(rng: np.random.Generator) -> Inputs:
    return (2 * normal(rng, 3, int(rng.integers(2, 5)), int(rng.integers(5, 8))),)


def _softmax_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(6)
    return {
        "a single vector": (normal(rng, 4),),
        "scores of a thousand": (normal(rng, 3, 5) + 1000,),
        "scores of minus a thousand": (normal(rng, 3, 5) - 1000,),
        "vectors of very different sizes": (
            normal(rng, 4, 3) + torch.tensor([[900.0], [-900.0], [0.0], [1e3]]),
        ),
        "one score far above the others": (torch.tensor([[400.0, 0.0, -400.0], [1.0, 2.0, 3.0]]),),
    }


_SMALL = ("0.01", "0.001", "0.0001")  # 1e-5 is less than float32 leaves of scores of a thousand


def _softmax(z: Tensor, /, **slips: Any) -> Any:
    has = made(slips)
    dim: Any = {"0": 0, "1": min(1, z.ndim - 1), "all": tuple(range(z.ndim))}.get(slips.get("dim", ""), -1)
    z = -z if has("sign") else z
    shifts = {
        "none": torch.zeros(()),
        "mean": z.mean(dim=-1, keepdim=True),
        "min": z.amin(dim=-1, keepdim=True),
        "all": z.max(),
    }
    shifted = z.clamp(-80, 80) if has("shift:clipped") else z - shifts.get(
        slips.get("shift", ""), z.amax(dim=-1, keepdim=True)
    )  # fmt: skip
    if has("exp:none"):
        return z / z.sum(dim=-1, keepdim=True)
    power = (
        shifted.exp2() if has("exp:2") else shifted.square().exp() if has("exp:squared") else shifted.exp()
    )
    below = power.sum(dim=dim, keepdim=True)
    if has("divide:none"):
        return power
    if has("divide:mean"):
        below = power.mean(dim=-1, keepdim=True)
    if has("divide:length"):
        below = power.square().sum(dim=-1, keepdim=True).sqrt()
    if has("divide:plus 1"):
        below = below + 1
    for small in _SMALL:
        if has(f"divide:plus {small}"):
            below = below + float(small)
    p = power / below
    return p.log() if has("log") else p


STABLE_SOFTMAX = Exercise(
    name="stable_softmax",
    reference=lambda z: torch.softmax(z, dim=-1),
    rtol=5e-5,  # what float32 leaves of scores of a thousand, by way of `logsumexp`
    inputs=_scores,
    edge_cases=_softmax_edges,
    hints=(
        "What can be added to all scores of a vector without changing the probabilities? Which choice makes every "
        "power small enough for float32?",
        "Take the largest score of each vector away from its scores. Then the largest power is e⁰ = 1.",
        "`z.amax(dim=-1, keepdim=True)` is the largest of each vector; `exp()` of the difference, divided by its "
        "`sum(dim=-1, keepdim=True)`.",
    ),
    variant=_softmax,
    slips=named(
        {
            "shift:none": "Large scores overflow: from 89 on, e to that power is infinite in float32, and infinity "
            "divided by infinity is not a number; far below zero all powers are 0. What may be added to the scores?",
            "shift:mean": "You take the mean of the scores away. A single score far above the mean still overflows: "
            "take away what is never below any of them.",
            "shift:min": "You take the smallest score away, so that all that is left is positive and may still "
            "overflow. The powers must not exceed 1.",
            "shift:all": "You take the largest score of the whole tensor away. In a vector whose scores all lie far "
            "below it every power becomes 0: each vector has its own largest score.",
            "shift:clipped": "You clip the scores. That changes their differences, and with them the probabilities: "
            "shift them instead.",
            "dim:0": "You divide by sums over the first dimension. Each vector along the *last* one is a distribution "
            "of its own: `dim=-1`.",
            "dim:1": "You divide by sums over dimension 1. Each vector along the *last* dimension is a distribution "
            "of its own: `dim=-1`.",
            "dim:all": "You divide by the sum of the whole tensor. Each vector along the last dimension must sum to 1: "
            "`dim=-1, keepdim=True`.",
            "exp:none": "You divide the scores themselves by their sum. The exponential makes them positive first.",
            "exp:2": "You take powers of 2. Softmax takes powers of e.",
            "exp:squared": "You square the scores before the exponential. Large negative scores would become the "
            "likeliest.",
            "divide:none": "You do not divide: the powers must sum to 1 along the last dimension.",
            "divide:mean": "You divide by the mean of the powers, so that the result sums to n. Divide by their sum.",
            "divide:length": "You divide by the length of the vector of powers. Divide by the sum of the powers.",
            "divide:plus 1": "You add 1 to the sum. The probabilities must sum to 1 exactly.",
            **{
                f"divide:plus {small}": f"You add a small number, {small}, to the sum, so that the probabilities sum "
                "to less than 1. Nothing has to be added: with the largest score taken away, the sum is at least 1."
                for small in _SMALL
            },
            "sign": "The sign of the scores is wrong: the highest score must get the highest probability.",
            "log": "Those are the logarithms of the probabilities. Return the probabilities.",
        }
    ),
    misconceptions={
        lambda z: torch.sigmoid(
            z
        ): "That is the sigmoid, 1/(1 + e⁻ᶻ), of each score by itself. In softmax the "
        "scores of a vector compete: divide each power by the sum of all.",
    },
)


def _batch(rng: np.random.Generator) -> Inputs:
    n_examples, n_tokens = int(rng.integers(4, 7)), int(rng.integers(7, 10))
    return 2 * normal(rng, n_examples, n_tokens), tokens(rng, n_tokens, n_examples)


def _batch_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(60)
    unlikely = normal(rng, 3, 4)
    unlikely[1, 2] = -300
    return {
        "a batch of one": (normal(rng, 1, 5), torch.tensor([3])),
        "scores in the thousands": (normal(rng, 3, 5) + 4000, torch.tensor([0, 4, 2])),
        "a token that the model takes for nearly impossible": (unlikely, torch.tensor([0, 2, 2])),
        "as many examples as tokens": (normal(rng, 4, 4), torch.tensor([1, 1, 3, 0])),
    }


def _cross_entropy(logits: Tensor, targets: Tensor, /, **slips: Any) -> Any:
    has = made(slips)
    rows = torch.arange(len(logits))
    dim = 0 if has("dim") else -1
    plain = logits.exp().sum(dim=dim, keepdim=True)
    total = plain.log() if has("lse:plain") else logits.logsumexp(dim=dim, keepdim=True)
    log_p = logits - total
    if has("lse:of p"):
        log_p = torch.softmax(logits, dim=dim).log()
    if has("lse:eps"):
        log_p = (torch.softmax(logits, dim=dim) + 1e-9).log()
    if has("lse:none"):
        log_p = logits
    if has("lse:sum"):
        log_p = logits - logits.sum(dim=dim, keepdim=True)
    if has("lse:max"):
        log_p = logits - logits.amax(dim=dim, keepdim=True)
    if has("log:none"):
        log_p = log_p.exp()
    if has("log:2"):
        log_p = log_p / np.log(2)
    of_target = log_p[rows, targets]
    if has("of:all"):
        of_target = log_p[:, targets]
    if has("of:largest"):
        of_target = log_p.amax(dim=-1)
    if has("of:every"):
        of_target = log_p
    if has("of:entropy"):
        of_target = (log_p.exp() * log_p).sum(dim=-1)
    loss = of_target if has("sign") else -of_target
    if has("mean:none"):
        return loss
    if has("mean:sum"):
        return loss.sum()
    return loss.sum() / logits.numel() if has("mean:tokens") else loss.mean()


def _use(cross_entropy: Callable[[Tensor, Tensor], Any], logits: Tensor, targets: Tensor) -> Any:
    """Call an answer with scores that need a gradient."""
    scores = recorded(logits)
    loss = cross_entropy(scores, targets)
    logits.copy_(scores.detach())  # so that it is noticed if the answer changes them in place
    return with_gradient(loss)


CROSS_ENTROPY = Exercise(
    name="cross_entropy",
    points=2,
    use=_use,
    use_in_submission=True,
    reference=lambda logits, targets: cross_entropy(logits, targets),
    inputs=_batch,
    edge_cases=_batch_edges,
    hints=(
        "Two numbers for each example: the score of the token that came, and the logarithm of the sum of all powers. "
        "How are they combined, and what is done with the results of the batch?",
        "`logits[torch.arange(len(logits)), targets]` takes from each row the score of its target. For the logarithm "
        "of the sum, take the largest score out of the sum, or use `torch.logsumexp`.",
        "Minus the score of the target, plus `torch.logsumexp(logits, dim=-1)`; and the mean of that.",
    ),
    variant=_cross_entropy,
    slips=named(
        {
            "lse:plain": "Large scores overflow in the sum of the powers. Take the largest score out of it first: "
            "ln Σ eᶻ = m + ln Σ eᶻ⁻ᵐ, or use `torch.logsumexp`.",
            "lse:of p": "You take the logarithm of probabilities. Where float32 makes a probability 0, its logarithm "
            "is minus infinity: compute by equation (2), from the scores.",
            "lse:eps": "You add a small number to the probabilities, so that a token thought nearly impossible costs "
            "too little. Compute by equation (2), from the scores, and nothing has to be added.",
            "lse:none": "The second part of (2) is missing: the logarithm of the sum of the powers.",
            "lse:sum": "You take the sum of the scores away. It is the logarithm of the sum of their *powers*.",
            "lse:max": "You take the largest score away, and nothing else. That is only nearly the logarithm of the "
            "sum of the powers.",
            "log:none": "That is minus the probability of the tokens that came. The loss takes its logarithm.",
            "log:2": "Your logarithm is to the base 2. The loss is in nats: natural logarithms.",
            "of:all": "`logits[:, targets]` takes the scores of *all* targets in each row. Each row has one target: "
            "`logits[torch.arange(len(logits)), targets]`.",
            "of:largest": "You take the likeliest token of each row. The loss is that of the token that came, "
            "`targets`.",
            "of:every": "You average over all tokens of the vocabulary. Only the one that came counts, `targets`.",
            "of:entropy": "That is the entropy of the model's own distribution. The loss is −ln p of the token that "
            "came.",
            "dim": "You sum the powers over the batch. Each row is a distribution over the tokens: `dim=-1`.",
            "sign": "The sign is wrong: −ln p is never negative.",
            "mean:none": "You give a loss for each example. The loss of the batch is their mean.",
            "mean:sum": "You add the losses up. Take their mean, or the loss grows with the size of the batch.",
            "mean:tokens": "You divide by the number of all scores. Divide by the number of examples.",
        }
    ),
    misconceptions={
        lambda logits, targets: torch.tensor(
            cross_entropy(logits, targets).item()
        ): "The value is right, but it is a new tensor that has lost its connection with the scores. Section 5 "
        "computes gradients through it: compute with tensors throughout, without `.item()`, `.tolist()`, `.detach()` "
        "or `torch.tensor(…)`.",
    },
)
