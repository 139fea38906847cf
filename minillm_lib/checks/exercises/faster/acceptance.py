"""The rule of acceptance in speculative decoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant


def _target_and_draft(rng: np.random.Generator) -> Inputs:
    target, draft = rng.dirichlet(np.ones(8), size=2)
    return torch.from_numpy(target).float(), torch.from_numpy(draft).float()


_EDGES: dict[str, Inputs] = {
    "two tokens": (torch.tensor([0.25, 0.75]), torch.tensor([0.5, 0.5])),
    "a token for which both are equal": (torch.tensor([0.5, 0.2, 0.3]), torch.tensor([0.25, 0.2, 0.55])),
    "a draft that hardly ever proposes a token": (
        torch.tensor([0.6, 0.2, 0.2]),
        torch.tensor([1e-6, 0.5, 0.5 - 1e-6]),
    ),
}


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum()


def _accepted(target: Tensor, draft: Tensor) -> Tensor:
    return (target / draft).clamp(max=1)


def _missing(target: Tensor, draft: Tensor) -> Tensor:
    return _normalised((target - draft).clamp(min=0))


Rule = Callable[[Tensor, Tensor], Tensor]


def _rule_with(
    accept: Rule = _accepted,
    residual: Rule = _missing,
    given: Callable[[Tensor, Tensor], Any] = lambda accept, residual: (accept, residual),
) -> Callable[[Tensor, Tensor], Any]:
    """Return a wrong rule: with which probability a proposal is accepted, and what is drawn from otherwise."""

    def wrong_rule(target: Tensor, draft: Tensor) -> Any:
        return given(accept(target, draft), residual(target, draft))

    return wrong_rule


def accepted_and_missing(target: Tensor, draft: Tensor) -> tuple[Tensor, Tensor]:
    """Return with which probability each token is accepted, and what is drawn from otherwise, ``(vocab,)`` each."""
    return _accepted(target, draft), _missing(target, draft)


SPECULATIVE_RULE = Exercise(
    name="speculative_rule",
    points=3,
    reference=accepted_and_missing,
    inputs=_target_and_draft,
    edge_cases=_EDGES,
    hints=(
        "Look at one token alone. How much of p(x) may accepted proposals bring in at most? And how often is x "
        "proposed at all?",
        "q·a may neither exceed p nor q: so the most that can be accepted of x is the smaller of the two. Which a "
        "gives that? What is then still missing of p must come from r.",
        "a is p / q, but at most 1. Missing of p is p − min(p, q), which is p − q where that is positive and 0 "
        "elsewhere; divided by its sum, it is r.",
    ),
    misconceptions={
        lambda target, draft: accepted_and_missing(
            draft, target
        ): "You exchange p and q in both: p is `target`, q is `draft`.",
    },
    variant=variant(_rule_with),
    slips={
        (
            "accept",
            lambda target, draft: (draft / target).clamp(max=1),
        ): "In a the quotient is upside down: you accept for certain what the draft proposes too *often*, and reject "
        "some of what it proposes too rarely.",
        (
            "accept",
            lambda target, draft: (target >= draft).float(),
        ): "In a you accept all or nothing. A token that the draft proposes too often is still wanted sometimes: "
        "accept such a share of the proposals that p is left.",
        (
            "accept",
            lambda target, draft: target,
        ): "You accept with probability p. A token is then proposed *and* accepted with probability p · q; it should "
        "be p, as far as q reaches.",
        (
            "accept",
            lambda target, draft: draft,
        ): "You accept with probability q, whatever the target says. Choose a so that q · a is p, as far as q "
        "reaches.",
        (
            "accept",
            torch.minimum,
        ): "Your a is min(p, q). That is q · a, how often a token is proposed *and* accepted: divide it by q.",
        (
            "accept",
            lambda target, draft: target / draft,
        ): "Some of your probabilities a are above 1. No more than every proposal can be accepted: min(1, p / q).",
        (
            "accept",
            lambda target, draft: (target / draft).clamp(min=1),
        ): "In a you take the larger of 1 and p/q. A probability is at most 1: take the *smaller* one.",
        (
            "accept",
            lambda target, draft: 1 - _accepted(target, draft),
        ): "Your a is the probability to reject. It is that of accepting, min(1, p / q).",
        (
            "accept",
            lambda target, draft: target / (target + draft),
        ): "Your a is p / (p + q), which keeps less than it could. Accept as much as possible: min(1, p / q).",
        (
            "accept",
            lambda target, draft: torch.minimum(target, draft).sum(),
        ): "Your a is how often anything is accepted. Return the probability for each token.",
        (
            "accept",
            lambda target, draft: torch.ones_like(target),
        ): "You accept every proposal: the text would be the draft's.",
        (
            "accept",
            lambda target, draft: _normalised(_accepted(target, draft)),
        ): "You divide a by its sum. It is no distribution: each token has a probability of its own to be accepted.",
        (
            "accept",
            lambda target, draft: (target - draft).clamp(min=0),
        ): "Your a is what p has more than q. That belongs to r; a is p / q, at most 1.",
        (
            "residual",
            lambda target, draft: target,
        ): "After a rejection you draw from p. But tokens that the draft proposed have had their share already: draw "
        "from what is still missing.",
        (
            "residual",
            lambda target, draft: draft,
        ): "After a rejection you draw from q, from which the proposal came. Draw from what is still missing of p.",
        (
            "residual",
            lambda target, draft: _normalised((target - draft).abs()),
        ): "Your r is made of |p − q|. Where the draft proposes too often, nothing is missing: take the positive part "
        "of p − q only.",
        (
            "residual",
            lambda target, draft: (target - draft).abs(),
        ): "Your r is |p − q|. Where the draft proposes too often, nothing is missing: take the positive part of p − "
        "q, and divide it by its sum.",
        (
            "residual",
            lambda target, draft: _normalised((draft - target).clamp(min=0)),
        ): "Your r is what the draft proposes too *often*. Missing is what it proposes too rarely: p − q, where that "
        "is positive.",
        (
            "residual",
            lambda target, draft: (draft - target).clamp(min=0),
        ): "Your r is what the draft proposes too *often*, and does not add up to 1. Missing is p − q, where that is "
        "positive; divide it by its sum.",
        (
            "residual",
            lambda target, draft: (target - draft).clamp(min=0),
        ): "What is missing, r, is no distribution yet: divide it by its sum.",
        (
            "residual",
            lambda target, draft: target - draft,
        ): "Your r has negative numbers. Where the draft proposes too often, nothing is missing: take the positive "
        "part, and divide it by its sum.",
        (
            "residual",
            lambda target, draft: (target - draft).softmax(dim=-1),
        ): "Your r is a softmax of p − q. Take the positive part, and divide it by its sum.",
        (
            "residual",
            lambda target, draft: (target - draft).clamp(min=0).softmax(dim=-1),
        ): "You take the softmax of what is missing, which gives all tokens something. Divide by the sum.",
        (
            "residual",
            lambda target, draft: _normalised(target * (1 - _accepted(target, draft))),
        ): "Your r is p · (1 − a). Missing of p is p − q · a.",
        (
            "residual",
            lambda target, draft: 1 - _accepted(target, draft),
        ): "Your r is 1 − a, the probability to reject each token. It is the distribution to draw from: p − q · a, "
        "divided by its sum.",
        (
            "residual",
            lambda target, draft: _normalised(1 - _accepted(target, draft)),
        ): "Your r is made of 1 − a, the probability to reject each token. Missing of p is p − q · a.",
        (
            "residual",
            lambda target, draft: _normalised(torch.maximum(target, draft)),
        ): "Your r is made of the larger of p and q. Missing of p is p − q · a.",
        (
            "residual",
            lambda target, draft: _normalised(torch.minimum(target, draft)),
        ): "Your r is made of min(p, q), which has been accepted already. Draw from what is missing of p.",
        (
            "residual",
            lambda target, draft: _normalised((target - draft).clamp(min=1)),
        ): "All tokens are equally likely in your r. `clamp(min=0)` keeps the positive part of p − q.",
        (
            "given",
            lambda accept, residual: (residual, accept),
        ): "You exchange a and r: first the acceptance, then the distribution to draw from.",
        ("given", lambda accept, residual: accept): "You return a alone. Return both, a and r.",
        ("given", lambda accept, residual: residual): "You return r alone. Return both, a and r.",
    },
)
