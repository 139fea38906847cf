"""The exercises of notebook 08: causal attention, shared key–value heads, and what fits into memory."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.model.attention import attend
from minillm_lib.model.config import ModelConfig


def _attention_inputs(rng: np.random.Generator) -> Inputs:
    def drawn() -> Tensor:
        return torch.from_numpy(rng.standard_normal((2, 3, 5, 8))).float()

    return 1.5 * drawn(), drawn(), drawn()


def _causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return attend(query, key, value)


def _masked_attention(
    query: Tensor, key: Tensor, value: Tensor, *, visible: Tensor, divisor: float, dim: int = -1
) -> Tensor:
    scores = (query @ key.mT / divisor).masked_fill(~visible, -math.inf)
    return scores.softmax(dim=dim) @ value


def _square(query: Tensor) -> Tensor:
    return torch.ones(query.shape[-2], query.shape[-2], dtype=torch.bool)


def _past(query: Tensor) -> Tensor:
    return _square(query).tril()


def _root(query: Tensor) -> float:
    return math.sqrt(query.shape[-1])


def _weights_before_the_mask(query: Tensor, key: Tensor) -> Tensor:
    return (query @ key.mT / _root(query)).softmax(dim=-1)


def _scores_set_to_zero(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.mT / _root(query)).masked_fill(~_past(query), 0.0).softmax(dim=-1) @ value


def _repeat_inputs(rng: np.random.Generator) -> Inputs:
    return torch.from_numpy(rng.standard_normal((2, 3, 5, 4))).float(), int(rng.integers(2, 5))


_GIB = 2**30


def _memory_inputs(rng: np.random.Generator) -> Inputs:
    n_kv_heads = int(rng.integers(2, 5))
    return (
        int(rng.integers(4 * _GIB, 40 * _GIB)),
        int(rng.integers(3, 9)),
        int(rng.integers(12, 40)),
        n_kv_heads * int(rng.integers(2, 7)),
        n_kv_heads,
        int(rng.choice([64, 96, 128])),
        int(rng.choice([2, 4])),
    )


def _longest_context(
    memory: int,
    batch_size: int,
    n_layers: int,
    n_heads: int,
    n_kv_heads: int,
    head_dim: int,
    bytes_per_value: int,
) -> int:
    config = ModelConfig(
        hidden_size=n_heads * head_dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
    )
    return memory // config.kv_cache_bytes(batch_size, seq_len=1, bytes_per_value=bytes_per_value)


EXERCISES = (
    Exercise(
        name="causal_attention",
        reference=_causal_attention,
        inputs=_attention_inputs,
        atol=1e-5,
        misconceptions={
            lambda query, key, value: _masked_attention(
                query, key, value, visible=_square(query).triu(), divisor=_root(query)
            ): "Your mask is transposed: each token looks at those *after* it. Row i of the scores belongs to query "
            "i, which may look at the columns j ≤ i.",
            lambda query, key, value: (
                _weights_before_the_mask(query, key) * _past(query) @ value
            ): "You mask after the softmax. The weights that are left no longer add up to 1, and the future has "
            "had its say in their sum: mask the scores, with −inf, before the softmax.",
            lambda query, key, value: _masked_attention(
                query, key, value, visible=_past(query), divisor=1.0
            ): "The scores are not divided by √d: look again at equation (4).",
            lambda query, key, value: _masked_attention(
                query, key, value, visible=_past(query), divisor=query.shape[-1]
            ): "You divide the scores by d. Their *variance* is d; it is the standard deviation √d that they are "
            "divided by.",
            lambda query, key, value: _masked_attention(
                query, key, value, visible=_square(query), divisor=_root(query)
            ): "This is attention without a mask: every token sees the future.",
            lambda query, key, value: _masked_attention(
                query, key, value, visible=_square(query).tril(-1), divisor=_root(query)
            ): "A token may look at itself, too: the diagonal stays visible. Without it the first token has nothing "
            "to look at, and a softmax over nothing is NaN.",
            _scores_set_to_zero: "You set the masked scores to 0. The softmax makes exp(0) = 1 of that, a full vote: "
            "it takes −inf to get the weight 0.",
            lambda query, key, value: _masked_attention(
                query, key, value, visible=_past(query), divisor=_root(query), dim=-2
            ): "You take the softmax over the queries. The weights of one query, over the keys, must add up to 1: "
            "that is the last dimension of the scores.",
        },
    ),
    Exercise(
        name="repeat_key_value_heads",
        points=2,
        reference=lambda x, group_size: x.repeat_interleave(group_size, dim=1),
        inputs=_repeat_inputs,
        misconceptions={
            lambda x, group_size: x.repeat(
                1, group_size, 1, 1
            ): "The order is 0, 1, 2, 0, 1, 2, …: whole sets of heads one after the other. Query heads that stand side "
            "by side share a key–value head: 0, 0, …, 1, 1, ….",
            lambda x, group_size: (
                x.repeat_interleave(group_size, dim=2).unflatten(2, (group_size, -1)).flatten(1, 2)
            ): "The shape is right, but you have repeated the *positions* and then cut them up. Repeat "
            "along dimension 1, the heads.",
            lambda x, group_size: x.repeat_interleave(
                group_size, dim=2
            ): "You repeat the positions. The heads are dimension 1.",
            lambda x, group_size: x.repeat_interleave(
                group_size, dim=0
            ): "You repeat the texts of the batch. The heads are dimension 1.",
            lambda x, group_size: x[:, :1].expand(
                -1, x.shape[1] * group_size, -1, -1
            ): "All query heads get key–value head 0. That is right for a single one only (MQA).",
        },
    ),
    Exercise(
        name="longest_context",
        points=3,
        reference=_longest_context,
        inputs=_memory_inputs,
        rtol=0,  # a count: a fraction of a token more is wrong, however many there are
        atol=0,
        misconceptions={
            lambda memory, batch_size, n_layers, n_heads, n_kv_heads, head_dim, bytes_per_value: (
                memory // (batch_size * n_layers * n_kv_heads * head_dim * bytes_per_value)
            ): "Twice too long: a token leaves a key *and* a value.",
            lambda memory, batch_size, n_layers, n_heads, n_kv_heads, head_dim, bytes_per_value: (
                memory // (2 * batch_size * n_layers * n_heads * head_dim * bytes_per_value)
            ): "You count the query heads. Queries are not kept; only the key–value heads are in the cache.",
            lambda memory, batch_size, n_layers, n_heads, n_kv_heads, head_dim, bytes_per_value: (
                memory // (2 * batch_size * n_kv_heads * head_dim * bytes_per_value)
            ): "Each layer has keys and values of its own: the number of layers is missing.",
            lambda memory, batch_size, n_layers, n_heads, n_kv_heads, head_dim, bytes_per_value: (
                memory // (2 * n_layers * n_kv_heads * head_dim * bytes_per_value)
            ): "This is the length for a single text. The texts of the batch share the memory.",
            lambda memory, batch_size, n_layers, n_heads, n_kv_heads, head_dim, bytes_per_value: (
                memory // (2 * batch_size * n_layers * n_kv_heads * head_dim)
            ): "You count numbers, not bytes: each takes `bytes_per_value`.",
            lambda memory, batch_size, n_layers, n_heads, n_kv_heads, head_dim, bytes_per_value: (
                memory / (2 * batch_size * n_layers * n_kv_heads * head_dim * bytes_per_value)
            ): "The formula is right, but a context is a whole number of tokens: round down, with `//`.",
        },
    ),
)
