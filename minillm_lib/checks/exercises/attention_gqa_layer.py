"""The exercises of notebook 09 in which the attention layer is put together: heads, and the whole layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.model.attention import attend
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.rope import RotaryEmbedding, rotate


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _rows_case(rng: np.random.Generator, batch: int, seq: int, n_heads: int, head_dim: int) -> Inputs:
    return _normal(rng, batch, seq, n_heads * head_dim), head_dim


def _rows_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(91)
    return {
        "a batch of one": _rows_case(rng, 1, 4, 3, 2),
        "a single head": _rows_case(rng, 2, 3, 1, 4),
        "a single position": _rows_case(rng, 3, 1, 2, 4),
        "as many positions as heads": _rows_case(rng, 2, 4, 4, 4),
    }


def _split_heads(x: Tensor, head_dim: int) -> Tensor:
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


def _split(x: Tensor, head_dim: int, /, **slips: Any) -> Any:
    has = made(slips)
    batch, seq, width = x.shape
    n_heads = width // head_dim
    if has("reshape"):
        return x.reshape(batch, n_heads, seq, head_dim)
    if has("coordinates"):
        return x.unflatten(-1, (head_dim, n_heads)).permute(0, 3, 1, 2)
    heads = x.unflatten(-1, (n_heads, head_dim))  # (batch, seq, n_heads, head_dim)
    if has("order:kept"):
        return heads
    if has("order:first"):
        return heads.permute(2, 0, 1, 3)
    if has("order:last"):
        return heads.permute(0, 2, 3, 1)
    heads = heads.transpose(1, 2)
    return heads.flip(1) if has("reversed") else heads[:, :1] if has("one") else heads


SPLIT_HEADS = Exercise(
    name="split_heads",
    reference=_split_heads,
    inputs=lambda rng: _rows_case(
        rng, 2, int(rng.integers(4, 7)), int(rng.integers(2, 4)), 2 * int(rng.integers(2, 4))
    ),
    edge_cases=_rows_edges,
    hints=(
        "What do the first `head_dim` numbers of a token's vector belong to, and what the next ones? Cut each vector "
        "up first, and think about the order of the dimensions afterwards.",
        "`x.unflatten(-1, (-1, head_dim))` is (batch, seq, heads, head_dim), with every token's vector cut into heads. "
        "Positions and heads still have to change places, and `reshape` does not do that.",
        "`x.unflatten(-1, (-1, head_dim)).transpose(1, 2)`.",
    ),
    variant=_split,
    slips=named(
        {
            "reshape": "The shape is right, and the numbers are in the wrong place. `reshape` and `view` read the "
            "numbers in the order in which they are stored, so that a head gets vectors of several tokens. Cut each "
            "token's vector into heads, and then `transpose` heads and positions.",
            "coordinates": "You cut the vectors the wrong way: a head gets every n-th number. Its numbers stand next "
            "to each other: `head_dim` of them, then those of the next head.",
            "order:kept": "The vectors are cut, but heads and positions still have to change places: "
            "`.transpose(1, 2)`.",
            "order:first": "The heads come first, before the batch. They are dimension 1.",
            "order:last": "Positions and the numbers of a head are exchanged: it is (batch, heads, seq, head_dim).",
            "reversed": "The heads come in reverse order.",
            "one": "You return the first head alone.",
        }
    ),
)


def _layer_case(
    rng: np.random.Generator,
    batch: int,
    seq: int,
    *,
    n_kv_heads: int,
    group: int,
    head_dim: int,
    hidden: int | None = None,
) -> Inputs:
    n_heads = n_kv_heads * group
    hidden = hidden or n_heads * head_dim
    widths = n_heads * head_dim, n_kv_heads * head_dim
    config = ModelConfig(
        hidden_size=hidden, n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=head_dim, rope_theta=20.0
    )
    matrices = [1.6 * _normal(rng, width, hidden) / math.sqrt(hidden) for width in (*widths, widths[1])]
    w_o = _normal(rng, hidden, widths[0]) / math.sqrt(widths[0])
    rotation = RotaryEmbedding(config)(torch.arange(2, 2 + seq)[None])
    return _normal(rng, batch, seq, hidden), *matrices, w_o, head_dim, rotation


def _layer_inputs(rng: np.random.Generator) -> Inputs:
    return _layer_case(
        rng, 2, int(rng.integers(4, 7)), n_kv_heads=2, group=int(rng.integers(2, 4)), head_dim=4
    )


def _layer_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(92)
    return {
        "a batch of one": _layer_case(rng, 1, 5, n_kv_heads=2, group=2, head_dim=4),
        "as many key–value heads as query heads": _layer_case(rng, 2, 4, n_kv_heads=3, group=1, head_dim=4),
        "one key–value head for all": _layer_case(rng, 2, 4, n_kv_heads=1, group=4, head_dim=2),
        "heads that are wider together than `x`": _layer_case(
            rng, 2, 4, n_kv_heads=2, group=2, head_dim=4, hidden=6
        ),
        "a single position": _layer_case(rng, 2, 1, n_kv_heads=2, group=2, head_dim=4),
    }


Rotation = tuple[Tensor, Tensor]


def _attention_layer(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, head_dim: int, rotation: Rotation
) -> Tensor:
    query, key, value = (_split_heads(x @ weight.mT, head_dim) for weight in (w_q, w_k, w_v))
    heads = attend(rotate(query, *rotation), rotate(key, *rotation), value)
    return heads.transpose(1, 2).flatten(2) @ w_o.mT


def _layer(
    x: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    w_o: Tensor,
    head_dim: int,
    rotation: Rotation,
    /,
    **slips: Any,
) -> Any:
    has = made(slips)
    if has("roles:key and value"):
        w_k, w_v = w_v, w_k
    if has("roles:value"):
        w_v = w_k
    split = {"reshape": "reshape", "coordinates": "coordinates"}.get(slips.get("split", ""))
    projected = (x @ weight.mT for weight in (w_q, w_k, w_v))
    query, key, value = (
        _split(each, head_dim, **({split: True} if split else {})) for each in projected
    )  # each (batch, heads, seq, head_dim)
    turned = {"none": "", "query": "q", "key": "k", "all": "qkv"}.get(slips.get("turned", ""), "qk")
    query = rotate(query, *rotation) if "q" in turned else query
    key = rotate(key, *rotation) if "k" in turned else key
    value = rotate(value, *rotation) if "v" in turned else value
    group, seq = query.shape[1] // key.shape[1], query.shape[2]
    if has("groups:sets"):
        key, value = key.repeat(1, group, 1, 1), value.repeat(1, group, 1, 1)
    elif has("groups:first"):
        key, value = (each[:, :1].expand(-1, query.shape[1], -1, -1) for each in (key, value))
    else:
        key, value = (each.repeat_interleave(group, dim=1) for each in (key, value))
    divisor = {"none": 1.0, "hidden": math.sqrt(x.shape[-1]), "d": head_dim}.get(
        slips.get("scale", ""), math.sqrt(head_dim)
    )
    scores = query @ key.mT / divisor
    later = torch.ones(seq, seq, dtype=torch.bool).triu(1)
    if has("mask:none"):
        weights = scores.softmax(dim=-1)
    elif has("mask:after"):
        weights = scores.softmax(dim=-1).masked_fill(later, 0.0)
    elif has("mask:future"):
        weights = scores.masked_fill(later.mT, -math.inf).softmax(dim=-1)
    else:
        weights = scores.masked_fill(later, -math.inf).softmax(dim=-1)
    heads = weights @ value
    batch = len(x)
    merged = heads.reshape(batch, seq, -1) if has("merge:reshape") else heads.transpose(1, 2).flatten(2)
    if has("merge:coordinates"):
        merged = heads.permute(0, 2, 3, 1).flatten(2)
    if has("out:none"):
        return merged
    if has("out:residual"):
        return x + merged @ w_o.mT
    return merged @ (w_o if has("out:turned") and w_o.shape[0] == w_o.shape[1] else w_o.mT)


ATTENTION_LAYER = Exercise(
    name="attention_layer",
    points=3,
    reference=_attention_layer,
    inputs=_layer_inputs,
    edge_cases=_layer_edges,
    atol=1e-5,
    hints=(
        "Write down the shape after every step, from (batch, seq, hidden) back to (batch, seq, hidden). Where do the "
        "heads become a dimension of their own, and where do they go back into the vectors?",
        "Project, split, turn queries and keys, repeat the key–value heads for their groups, attend. The result is "
        "(batch, heads, seq, head_dim): what `split_heads` did is undone before the last matrix, in reverse order.",
        "With the pieces of this notebook: `query, key, value = (split_heads(x @ w.T, head_dim) for w in (w_q, w_k, "
        "w_v))`; `rotate(query, *rotation)`, and likewise the key; `repeat_key_value_heads(key, group_size)`, and "
        "likewise the value; and at the end `heads.transpose(1, 2).flatten(2) @ w_o.T`.",
    ),
    variant=_layer,
    slips=named(
        {
            "split:reshape": "The heads are split with `reshape` alone: each gets vectors of several tokens. Cut each "
            "token's vector into heads, and then transpose heads and positions.",
            "split:coordinates": "You cut the vectors the wrong way: a head gets every n-th number. Its numbers stand "
            "next to each other.",
            "merge:reshape": "Before the last matrix the heads are joined with `reshape` alone, so that a token's "
            "vector is made of parts of other tokens. Transpose heads and positions back first.",
            "merge:coordinates": "You lay the heads' numbers side by side in turns. Each head's numbers stay together: "
            "(batch, seq, heads, head_dim), and then the last two dimensions are joined.",
            "groups:sets": "Your groups are wrong: you repeat whole sets of key–value heads, 0, 1, 0, 1. The first "
            "query heads share head 0, the next ones head 1: 0, 0, 1, 1.",
            "groups:first": "All query heads use key–value head 0. Each group has its own.",
            "turned:none": "Nothing is turned by its position. Queries and keys are: `rotate(query, *rotation)`.",
            "turned:query": "The keys are not turned by their positions. Queries and keys both are.",
            "turned:key": "The queries are not turned by their positions. Queries and keys both are.",
            "turned:all": "You turn the values, too. Positions decide where attention looks, not what it fetches.",
            "scale:none": "The scores are not divided by the root of `head_dim`.",
            "scale:hidden": "You divide by the root of the hidden size. The vectors that are compared have `head_dim` "
            "numbers.",
            "scale:d": "You divide by `head_dim`. The scores are divided by its root.",
            "mask:none": "There is no mask: every token sees those after it.",
            "mask:after": "You mask after the softmax: the scores of later keys still stand in its denominator.",
            "mask:future": "Your mask is transposed: each token sees itself and those *after* it.",
            "roles:key and value": "Keys and values are exchanged: scores come from `w_k`, and what is fetched from "
            "`w_v`.",
            "roles:value": "You use the keys as values. The values have a matrix of their own, `w_v`.",
            "out:none": "The last matrix is missing: what the heads have found is mixed by `w_o`.",
            "out:residual": "You add `x` at the end. The layer returns what it has found; the addition belongs to the "
            "block around it.",
            "out:turned": "`w_o` is multiplied without being transposed. Like the others it is (outputs, inputs): "
            "`@ w_o.T`.",
        }
    ),
)
