"""How likely a model finds an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named


def _text(rng: np.random.Generator, length: int, n_prompt: int, vocabulary: int = 7) -> Inputs:
    logits = torch.tensor(2 * rng.standard_normal((length, vocabulary)), dtype=torch.float32)
    return logits, torch.tensor(rng.integers(0, vocabulary, length)), n_prompt


def _drawn(rng: np.random.Generator) -> Inputs:
    length = int(rng.integers(7, 12))
    return _text(rng, length, int(rng.integers(2, length - 3)))


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(141)
    return {
        "an answer of one token": _text(rng, 6, 5),
        "a prompt of one token": _text(rng, 6, 1),
        "a long answer": _text(rng, 40, 4),
        "a token whose probability is 0 in float32": (
            torch.tensor([[0.0, 200.0], [3.0, 1.0], [0.0, 1.0]]),
            torch.tensor([1, 0, 0]),
            1,
        ),
    }


def _answer_log_probability(logits: Tensor, ids: Tensor, n_prompt: int, /, **slips: Any) -> Any:
    has = made(slips)
    log_p = logits if has("scores:logits") else logits.log_softmax(0 if has("scores:dim") else -1)
    if has("scores:log of softmax"):
        log_p = logits.softmax(-1).log()
    if has("scores:probabilities"):
        log_p = logits.softmax(-1)
    first = {"late": n_prompt + 1, "early": n_prompt - 1, "all": 1}.get(str(slips.get("first")), n_prompt)
    first = max(first, 1)
    if has("offset:none"):
        chosen = log_p[torch.arange(first, len(ids)), ids[first:]]
    elif has("offset:wrong way"):
        chosen = log_p[torch.arange(first, len(ids)), ids[first - 1 : -1]]
    else:
        chosen = log_p[torch.arange(first - 1, len(ids) - 1), ids[first:]]
    if has("last"):
        chosen = chosen[:-1]
    total = chosen.mean() if has("total:mean") else chosen.sum()
    if has("total:probability"):
        total = total.exp()
    return -total if has("total:loss") else total


def _as_number(answer: Any, logits: Tensor, ids: Tensor, n_prompt: int) -> Any:
    """Use the answer; a tensor without dimensions is as good as a number."""
    score = answer(logits, ids, n_prompt)
    return score.item() if isinstance(score, Tensor | np.ndarray) and score.ndim == 0 else score


ANSWER_LOG_PROBABILITY = Exercise(
    name="answer_log_probability",
    points=2,
    reference=lambda logits, ids, n_prompt: _answer_log_probability(logits, ids, n_prompt),
    use=_as_number,
    inputs=_drawn,
    edge_cases=_edges,
    hints=(
        "Which row of the logits predicts the first token of the answer? It is not the one at the token itself.",
        "`logits.log_softmax(dim=-1)` turns scores into log probabilities. The token at position t is predicted by "
        "row "
        "t − 1, and the answer begins at position `n_prompt`.",
        "With `log_p = logits.log_softmax(dim=-1)`, the rows are `log_p[n_prompt - 1 : -1]` and the tokens "
        "`ids[n_prompt:]`. Pick from each row the entry of its token (`gather`, or a pair of indices) and add up.",
    ),
    variant=_answer_log_probability,
    slips=named(
        {
            "scores:logits": "You add up logits. They become log probabilities by `log_softmax` over the vocabulary.",
            "scores:dim": "Your softmax runs over the positions. The probabilities of *tokens* add up to 1: "
            "`dim=-1`.",
            "scores:probabilities": "You add up probabilities. The probability of the answer is their product: add "
            "up "
            "their logarithms.",
            "scores:log of softmax": "Right, but a probability may be too small for float32: its softmax is 0, whose "
            "logarithm is minus infinity. `log_softmax` takes both steps at once, and is right there, too.",
            "first:late": "The first token of the answer is missing. It is predicted where the last token of the "
            "prompt is read.",
            "first:early": "You count the last token of the prompt too. It is given: the answer begins at "
            "`n_prompt`.",
            "first:all": "You count the prompt as well. Only the tokens of the answer are the model's to predict.",
            "offset:none": "You take the logits at each token's own position. They predict the *next* token: the one "
            "at t is predicted at t − 1.",
            "offset:wrong way": "Shifted the wrong way: the logits at t predict the token at t + 1, not the one "
            "before.",
            "last": "The last token of the answer is missing.",
            "total:mean": "You return the mean over the tokens. Here the sum is wanted: the log probability of the "
            "whole answer.",
            "total:probability": "You raise e to the sum. Return the logarithm; the probability itself of a long "
            "answer is too small for float32.",
            "total:loss": "You return minus the log probability, a loss. A likelier answer is to have a higher "
            "score.",
        }
    ),
)
