"""The scores of a multilayer perceptron over several previous tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding as looked_up, linear

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.counts_to_gradients.drawing import normal, tokens
from minillm_lib.checks.exercises.slip_names import made, named


def _network(
    rng: np.random.Generator, batch: int, n: int, width: int, hidden: int, vocabulary: int
) -> Inputs:
    return (
        tokens(rng, vocabulary, batch, n),
        normal(rng, vocabulary, width),
        normal(rng, hidden, n * width),
        normal(rng, hidden),
        normal(rng, vocabulary, hidden),
        normal(rng, vocabulary),
    )


def _networks(rng: np.random.Generator) -> Inputs:
    return _network(rng, int(rng.integers(2, 5)), 3, 2, 7, 5)


def _network_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(64)
    return {
        "a batch of one": _network(rng, 1, 3, 2, 7, 5),
        "a single previous token": _network(rng, 4, 1, 3, 2, 6),
        "as many hidden units as inputs": _network(rng, 3, 2, 2, 4, 4),
    }


def _mlp_logits(tokens: Tensor, embedding: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    hidden = linear(looked_up(tokens, embedding).flatten(start_dim=1), w1, b1).relu()
    return linear(hidden, w2, b2)


def _logits(
    tokens: Tensor, embedding: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, /, **slips: Any
) -> Any:
    has = made(slips)
    vectors = embedding[tokens]  # (batch, n, width)
    n = tokens.shape[1]
    vectors = {
        "flipped": vectors.flip(1),
        "turned": vectors.transpose(1, 2),
        "mean": vectors.mean(dim=1, keepdim=True).expand(-1, n, -1),
        "sum": vectors.sum(dim=1, keepdim=True).expand(-1, n, -1),
        "last": vectors[:, -1:].expand(-1, n, -1),
    }.get(slips.get("joined", ""), vectors)
    joined = vectors.flatten(1) if not has("joined:turned") else vectors.reshape(len(tokens), -1)
    activate: Any = {
        "none": lambda x: x,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "gelu": torch.nn.functional.gelu,
        "abs": torch.abs,
        "softmax": lambda x: torch.softmax(x, dim=-1),
        "negative": lambda x: x.clamp(max=0),
    }.get(slips.get("bend", ""), torch.relu)
    first = joined @ w1.T
    if has("b1:after"):
        hidden = activate(first) + b1
    else:
        hidden = activate(first if has("b1:none") else first - b1 if has("b1:minus") else first + b1)
    logits = hidden @ w2.T
    logits = logits if has("b2:none") else logits - b2 if has("b2:minus") else logits + b2
    if has("end:relu"):
        return torch.relu(logits)
    if has("end:softmax"):
        return torch.softmax(logits, dim=-1)
    return torch.log_softmax(logits, dim=-1) if has("end:log") else logits


MLP_LOGITS = Exercise(
    name="mlp_logits",
    points=2,
    reference=_mlp_logits,
    inputs=_networks,
    edge_cases=_network_edges,
    hints=(
        "Follow the shapes. What does indexing `embedding` with `tokens` give? What shape does `w1` want, and what is "
        "the shape of the result of each line of (6)?",
        "`embedding[tokens]` is (batch, n, width). Put the n vectors of an example one after the other, "
        "(batch, n · width), and multiply by the *transposed* `w1`, which is (hidden, n · width).",
        "`embedding[tokens].flatten(1)`, then `@ w1.T + b1`, then `torch.relu`, then `@ w2.T + b2`.",
    ),
    variant=_logits,
    slips=named(
        {
            "bend:none": "The activation is missing: without ReLU between them, the two linear layers are one.",
            "bend:tanh": "You bend with tanh. Equation (6) takes ReLU.",
            "bend:sigmoid": "You bend with the sigmoid. Equation (6) takes ReLU.",
            "bend:gelu": "You bend with GELU. Equation (6) takes ReLU.",
            "bend:abs": "You take the absolute value. ReLU makes negative numbers zero.",
            "bend:softmax": "You put the hidden units through a softmax. Equation (6) takes ReLU; softmax comes after "
            "the logits, and not in this function.",
            "bend:negative": "You keep what is negative. ReLU keeps what is positive: max(0, x).",
            "joined:flipped": "The vectors are joined in reverse. The first token's comes first.",
            "joined:turned": "You join coordinate by coordinate: the first coordinates of all tokens, then the second. "
            "Each token's vector stays together, one after the other.",
            "joined:mean": "You average the vectors of the tokens, which forgets their order. Join them.",
            "joined:sum": "You add the vectors of the tokens up, which forgets their order. Join them.",
            "joined:last": "You use the last token's vector in the place of all. Each has its own.",
            "b1:none": "The bias `b1` is missing.",
            "b1:minus": "You subtract `b1`. It is added.",
            "b1:after": "You add `b1` after the activation. It belongs inside: ReLU(W₁x + b₁).",
            "b2:none": "The bias `b2` is missing.",
            "b2:minus": "You subtract `b2`. It is added.",
            "end:relu": "You bend the output too. Logits may be negative: there is no activation after the last layer.",
            "end:softmax": "You return probabilities. Return the logits: the cross-entropy takes scores.",
            "end:log": "You return logarithms of probabilities. Return the logits, as they are.",
        }
    ),
)
