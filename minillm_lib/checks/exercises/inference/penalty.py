"""The repetition penalty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.generation.sampling import penalise_repetition


def _scores(rng: np.random.Generator) -> Inputs:
    """Draw logits of either sign among those of the tokens that occurred."""
    logits = torch.from_numpy(3 * rng.standard_normal((2, 12))).float()
    return logits, torch.from_numpy(rng.random((2, 12)) < 0.6), float(rng.choice([1.1, 1.3, 1.8]))


def _score_edges() -> dict[str, Inputs]:
    logits = torch.tensor([[2.0, -2.0, 0.0, 0.5, -4.0, 1.0]])
    seen = torch.tensor([[True, True, True, False, False, True]])
    return {
        "a batch of one text, and a logit of 0": (logits, seen, 1.5),
        "tokens that have all occurred": (logits, torch.ones_like(seen), 2.0),
        "tokens of which none has occurred": (logits, torch.zeros_like(seen), 2.0),
        "a penalty of 1": (logits, seen, 1.0),
        "texts with different tokens": (logits.repeat(3, 1), torch.eye(6, dtype=torch.bool)[:3], 1.2),
    }


Change = Callable[[Tensor, float], Tensor]


def _penalised_with(
    positive: Change = lambda logits, penalty: logits / penalty,
    negative: Change = lambda logits, penalty: logits * penalty,
    others: Change = lambda logits, penalty: logits,
    of_seen: Callable[[Tensor], Tensor] = lambda seen: seen,
    is_positive: Callable[[Tensor], Tensor] = lambda logits: logits > 0,
    finished: Callable[[Tensor], Tensor] = lambda logits: logits,
) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Return wrong logits: what is done to positive, to negative and to other tokens' logits."""

    def wrong(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
        lower = torch.where(is_positive(logits), positive(logits, penalty), negative(logits, penalty))
        return finished(torch.where(of_seen(seen), lower, others(logits, penalty)))

    return wrong


def _divided(logits: Tensor, penalty: float) -> Tensor:
    return logits / penalty


def _multiplied(logits: Tensor, penalty: float) -> Tensor:
    return logits * penalty


def _everywhere(change: Change) -> Callable[[Tensor, Tensor, float], Tensor]:
    return _penalised_with(positive=change, negative=change)


PENALISED = Exercise(
    name="penalised",
    reference=penalise_repetition,
    inputs=_scores,
    edge_cases=_score_edges,
    hints=(
        "−4 divided by 2 is −2, which is *more*. What lowers a negative number?",
        "A positive logit is divided, a negative one multiplied; and only where `seen` is true. `torch.where` "
        "chooses.",
        "`lower = torch.where(logits > 0, logits / penalty, logits * penalty)`; a second `torch.where` takes it where "
        "`seen` is true, and the logits as they are elsewhere.",
    ),
    misconceptions={
        _everywhere(
            lambda logits, penalty: logits - penalty
        ): "You subtract the penalty. That is a rule, too, but not this one: here logits are divided or multiplied by "
        "it.",
        _everywhere(
            lambda logits, penalty: logits - np.log(penalty)
        ): "You divide the probabilities by the penalty, by subtracting its logarithm. Here the logits themselves are "
        "divided or multiplied.",
        _everywhere(
            lambda logits, penalty: torch.full_like(logits, -torch.inf)
        ): "You forbid the tokens that occurred. They are only to become less likely: divide or multiply their "
        "logits.",
        _everywhere(
            lambda logits, penalty: torch.zeros_like(logits)
        ): "You set the logits of the tokens that occurred to 0. Divide or multiply them by the penalty.",
        _everywhere(
            lambda logits, penalty: logits - penalty * logits.abs()
        ): "You subtract a share of the logit's size. Here it is divided by the penalty, or multiplied by it.",
        lambda logits, seen, penalty: torch.where(
            logits > 0, logits / penalty, logits * penalty
        ): "You change the logits of all tokens. Only those that occurred are penalised.",
        lambda logits, seen, penalty: (
            logits / penalty
        ): "You divide the logits of all tokens. Only those that occurred are penalised; and a negative logit is "
        "multiplied.",
        lambda logits, seen, penalty: logits: "You return the logits as they were: nothing is penalised.",
        _penalised_with(
            positive=_multiplied, negative=_divided
        ): "The two cases are exchanged: you reward repetition. A positive logit is divided by the penalty, a "
        "negative one multiplied.",
    },
    variant=variant(_penalised_with),
    slips={
        (
            "negative",
            _divided,
        ): "You divide negative logits, too: −4 becomes −2, and the token *more* likely. A negative logit is "
        "multiplied by the penalty.",
        (
            "negative",
            lambda logits, penalty: logits,
        ): "You leave negative logits as they are. They, too, are to become lower: multiply them by the penalty.",
        (
            "negative",
            lambda logits, penalty: logits - penalty,
        ): "You subtract the penalty from negative logits. Multiply them by it.",
        (
            "negative",
            lambda logits, penalty: -logits * penalty,
        ): "Your negative logits become positive, and the tokens likely. Multiply by the penalty and keep the sign.",
        (
            "negative",
            lambda logits, penalty: -logits / penalty,
        ): "You divide negative logits and turn their sign, and the tokens become likely. Multiply by the penalty "
        "instead.",
        (
            "negative",
            lambda logits, penalty: torch.zeros_like(logits),
        ): "Negative logits become 0, and the tokens more likely. Multiply them by the penalty.",
        (
            "positive",
            _multiplied,
        ): "You multiply positive logits, too, which makes those tokens more likely. A positive logit is divided.",
        (
            "positive",
            lambda logits, penalty: logits,
        ): "You leave positive logits as they are. They are divided by the penalty.",
        (
            "positive",
            lambda logits, penalty: logits - penalty,
        ): "You subtract the penalty from positive logits. Divide them by it.",
        ("of_seen", lambda seen: ~seen): "You penalise the tokens that did *not* occur.",
        (
            "of_seen",
            lambda seen: seen.any(dim=0, keepdim=True).expand_as(seen),
        ): "You penalise a token in all texts if it occurred in one. Each text has its own row of `seen`.",
        (
            "others",
            lambda logits, penalty: torch.zeros_like(logits),
        ): "The logits of tokens that did not occur become 0. They stay as they are.",
        (
            "others",
            _multiplied,
        ): "You multiply the logits of tokens that did not occur. They stay as they are.",
        (
            "is_positive",
            lambda logits: logits > 1,
        ): "You treat logits between 0 and 1 as negative. The sign decides: `logits > 0`.",
        (
            "finished",
            lambda logits: logits.softmax(dim=-1),
        ): "You return probabilities. Return the logits.",
        ("finished", torch.log): "You take the logarithm of the logits, which are logarithms already.",
    },
)
