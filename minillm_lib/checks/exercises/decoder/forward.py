"""The forward pass of a whole decoder: embedding, blocks, norm, and the embedding again as the output head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant


class _Block(nn.Module):
    """A block that the check passes: later positions read earlier ones, and something is added to the stream."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        means = x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1)[:, None]
        return x + torch.tanh(means @ self.weight)

    def __repr__(self) -> str:
        return "a block"


class _Norm(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 0.1)

    def __repr__(self) -> str:
        return "a norm"


class _Model(nn.Module):
    """The parts of a decoder."""

    def __init__(self, rng: np.random.Generator, vocab: int, size: int, n_layers: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding.from_pretrained(_tensor(rng, vocab, size))
        self.layers = nn.ModuleList(_Block(_tensor(rng, size, size)) for _ in range(n_layers))
        self.norm = _Norm(1 + 0.5 * _tensor(rng, size))

    def __repr__(self) -> str:
        return f"a model of {len(self.layers)} block{'s' * (len(self.layers) != 1)}"


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _case(rng: np.random.Generator, vocab: int, size: int, n_layers: int, batch: int, seq: int) -> Inputs:
    return _Model(rng, vocab, size, n_layers), torch.from_numpy(rng.integers(0, vocab, (batch, seq)))


def _inputs(rng: np.random.Generator) -> Inputs:
    return _case(rng, 9, 6, int(rng.integers(2, 5)), 2, 5)


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(11)
    return {
        "a model of one block": _case(rng, 7, 4, 1, 2, 3),
        "a batch of one text": _case(rng, 8, 6, 3, 1, 4),
        "texts of one token": _case(rng, 8, 6, 2, 3, 1),
        "a vocabulary as large as the vectors": _case(rng, 6, 6, 2, 2, 4),
    }


Blocks = Callable[[Tensor, list[Any]], Tensor]


def _in_turn(x: Tensor, layers: list[Any]) -> Tensor:
    for block in layers:
        x = block(x)
    return x


def _each_from_the_embedding(x: Tensor, layers: list[Any]) -> Tensor:
    return [block(x) for block in layers][-1]


def _added_twice(x: Tensor, layers: list[Any]) -> Tensor:
    for block in layers:
        x = x + block(x)
    return x


def _added_up(x: Tensor, layers: list[Any]) -> Tensor:
    return torch.stack([block(x) for block in layers]).sum(dim=0)


def _forward_with(
    blocks: Blocks = _in_turn,
    chosen: Callable[[list[Any]], list[Any]] = lambda layers: layers,
    normed: Callable[[Any, Tensor], Tensor] = lambda norm, x: norm(x),
    before: Callable[[Any, Tensor], Tensor] = lambda norm, x: x,
    head: Callable[[Tensor, Any], Tensor] = lambda x, table: x @ table.weight.T,
    finished: Callable[[Tensor], Tensor] = lambda logits: logits,
) -> Callable[..., Tensor]:
    """Return a wrong forward pass that differs by the given options."""

    def wrong_forward(model: _Model, ids: Tensor) -> Tensor:
        x = before(model.norm, model.embed_tokens(ids))
        x = blocks(x, chosen(list(model.layers)))
        return finished(head(normed(model.norm, x), model.embed_tokens))

    return wrong_forward


def _norm_in_each_block(x: Tensor, layers: list[Any], norm: Any) -> Tensor:
    for block in layers:
        x = norm(block(x))
    return x


def _norm_in_the_loop(model: _Model, ids: Tensor) -> Tensor:
    x = _norm_in_each_block(model.embed_tokens(ids), list(model.layers), model.norm)
    return x @ model.embed_tokens.weight.T


DECODER_FORWARD = Exercise(
    name="decoder_forward",
    points=2,
    reference=_forward_with(),
    inputs=_inputs,
    edge_cases=_edges,
    hints=(
        "Three stations: from ids to vectors, through the blocks one after the other, from vectors to scores. What is "
        "handed on from one block to the next?",
        "The residual stream `x` begins as `model.embed_tokens(ids)`, and each block returns the stream with its own "
        "part added. The last norm comes after the last block. Which shape must the output head have, so that "
        "(batch, seq, hidden) becomes (batch, seq, vocab)?",
        "The head is the table of the embedding, `model.embed_tokens.weight`, `(vocab, hidden)`, transposed; `@` "
        "multiplies each vector of the stream with it.",
    ),
    misconceptions={
        _norm_in_the_loop: "The last norm stands inside the loop. It comes once, after the last block: on the stream "
        "itself nothing stands but additions.",
    },
    variant=variant(_forward_with),
    slips={
        (
            "blocks",
            _each_from_the_embedding,
        ): "Each block reads the embedding anew, and only the last one counts. What a block returns goes into the next "
        "one.",
        (
            "blocks",
            _added_twice,
        ): "You add the stream to what a block returns. The block has done that already: it returns the stream with "
        "its own parts added.",
        (
            "blocks",
            _added_up,
        ): "All blocks read the embedding, and you add up what they return. They come one after the other: each reads "
        "what the one before has returned.",
        ("chosen", lambda layers: layers[:-1]): "The last block is left out.",
        ("chosen", lambda layers: layers[1:]): "The first block is left out.",
        ("chosen", lambda layers: layers[:0]): "The blocks are missing.",
        ("chosen", lambda layers: layers[::-1]): "The blocks come in reverse order.",
        ("normed", lambda norm, x: x): "The norm after the last block is missing.",
        ("normed", lambda norm, x: norm(norm(x))): "The last norm is applied twice.",
        (
            "before",
            lambda norm, x: norm(x),
        ): "You normalise the embedding. The stream begins with the embedding as it is; `model.norm` comes after the "
        "last block.",
        (
            "head",
            lambda x, table: x,
        ): "These are the vectors of the stream. The output head is missing: a score for each piece of the vocabulary.",
        (
            "finished",
            lambda logits: logits.softmax(dim=-1),
        ): "These are probabilities. The model returns logits; the softmax belongs to the loss.",
        (
            "finished",
            lambda logits: logits.log_softmax(dim=-1),
        ): "These are logarithms of probabilities. The model returns logits; the softmax belongs to the loss.",
        (
            "finished",
            lambda logits: logits.argmax(dim=-1),
        ): "These are the likeliest tokens. Return all logits.",
        (
            "finished",
            lambda logits: logits[:, -1],
        ): "These are the logits of the last position. In training every position predicts: return all of them.",
        (
            "finished",
            lambda logits: logits[:, :-1],
        ): "The last position is missing. Which logits meet which label is a matter of the loss.",
    },
)
