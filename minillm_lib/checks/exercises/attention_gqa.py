"""The exercises of notebook 09: causal attention, its heads and groups, the whole layer, and what fits into memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.attention_gqa_layer import ATTENTION_LAYER, SPLIT_HEADS
from minillm_lib.checks.exercises.attention_gqa_looking import LEAKING_POSITIONS
from minillm_lib.checks.exercises.attention_gqa_online import ADD_BLOCK
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.model.attention import attend
from minillm_lib.model.config import ModelConfig


def _attention_case(rng: np.random.Generator, *shape: int) -> Inputs:
    query, key, value = (torch.from_numpy(rng.standard_normal(shape)).float() for _ in range(3))
    return 1.5 * query, key, value


def _attention_inputs(rng: np.random.Generator) -> Inputs:
    return _attention_case(rng, 2, 3, int(rng.integers(4, 7)), 2 * int(rng.integers(4, 7)))


def _attention_cases() -> dict[str, Inputs]:
    rng = np.random.default_rng(8)
    return {
        "a batch of one": _attention_case(rng, 1, 2, 4, 6),
        "inputs of three dimensions": _attention_case(rng, 3, 5, 4),
        "inputs of two dimensions": _attention_case(rng, 4, 3),
        "as many positions as entries of a vector": _attention_case(rng, 2, 2, 4, 4),
        "a single position": _attention_case(rng, 2, 3, 1, 8),
        "inputs of five dimensions": _attention_case(rng, 2, 1, 2, 3, 4),
    }


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    lead = query.shape[:-2]
    query, key, value = (x.reshape(-1, 1, *x.shape[-2:]) for x in (query, key, value))
    return attend(query, key, value).reshape(*lead, *value.shape[-2:])


def _causal_attention(query: Tensor, key: Tensor, value: Tensor, /, **slips: Any) -> Any:
    has = made(slips)
    seq, head_dim = query.shape[-2:]
    if has("roles:key and value"):
        key, value = value, key
    if has("roles:query and key"):
        query, key = key, query
    if has("roles:query and value"):
        query, value = value, query
    if has("roles:own"):
        key = query
    divisor = {
        "none": 1.0,
        "d": head_dim,
        "seq": math.sqrt(seq),
        "8": math.sqrt(8),
        "twice": head_dim**0.5 * head_dim**0.5 * 2,
    }.get(slips.get("scale", ""), math.sqrt(head_dim))
    scores = query @ key.mT
    scores = scores * divisor if has("scale:times") else scores / divisor
    ones = torch.ones(seq, seq, dtype=torch.bool)
    visible = {
        "none": ones,
        "future": ones.triu(),
        "strict future": ones.triu(1),
        "strict past": ones.tril(-1),
        "one more": ones.tril(1),
        "own": ones.tril() & ones.triu(),
    }.get(slips.get("mask", ""), ones.tril())
    fill = 0.0 if has("fill:0") else 1.0 if has("fill:1") else math.inf if has("fill:plus") else -math.inf
    if has("fill:after"):
        weights = scores.softmax(dim=-1).masked_fill(~visible, 0.0)
    elif has("weights:scores"):
        weights = scores.masked_fill(~visible, 0.0)
    else:
        scores = scores.masked_fill(~visible, fill)
        weights = (
            scores.flatten(-2).softmax(dim=-1).unflatten(-1, (seq, seq))
            if has("dim:both")
            else scores.softmax(dim=-2 if has("dim:queries") else 0 if has("dim:first") else -1)
        )
    if has("weights:sigmoid"):
        weights = scores.sigmoid()
    if has("weights:logs"):
        weights = scores.log_softmax(dim=-1)
    if has("out:weights"):
        return weights
    if has("out:scaled"):
        return weights @ value / math.sqrt(head_dim)
    return (weights.mT if has("out:transposed") else weights) @ value


def _repeat_case(rng: np.random.Generator, group_size: int, *shape: int) -> Inputs:
    return torch.from_numpy(rng.standard_normal(shape)).float(), group_size


def _repeat_inputs(rng: np.random.Generator) -> Inputs:
    return _repeat_case(rng, int(rng.integers(2, 5)), 2, int(rng.integers(2, 5)), 5, 4)


def _repeat_cases() -> dict[str, Inputs]:
    rng = np.random.default_rng(9)
    return {
        "a batch of one": _repeat_case(rng, 3, 1, 2, 5, 4),
        "a single key–value head": _repeat_case(rng, 4, 2, 1, 3, 2),
        "`group_size=1`": _repeat_case(rng, 1, 2, 3, 4, 2),
        "a single position": _repeat_case(rng, 2, 2, 3, 1, 4),
        "equal dimensions": _repeat_case(rng, 2, 3, 3, 3, 3),
    }


def _repeated(x: Tensor, group_size: int) -> Tensor:
    return x.repeat_interleave(group_size, dim=1)


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


def _memory_cases() -> dict[str, Inputs]:
    """Return sizes with which a token takes 2 · 3 · 2 · 16 · 2 bytes of each conversation, or few of them."""
    token = 2 * 3 * 2 * 16 * 2
    return {
        "a memory that is filled to the last byte": (5 * 100 * token, 5, 3, 4, 2, 16, 2),
        "a memory that lacks one byte for one token more": (5 * 100 * token - 1, 5, 3, 4, 2, 16, 2),
        "a memory that is too small for one token": (5 * token - 1, 5, 3, 4, 2, 16, 2),
        "a single conversation": (1_000_003, 1, 2, 8, 2, 8, 4),
        "a single layer, with one key–value head": (77_777, 3, 1, 4, 1, 8, 2),
    }


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


def _tokens(
    memory: int,
    batch_size: int,
    n_layers: int,
    n_heads: int,
    n_kv_heads: int,
    head_dim: int,
    bytes_per_value: int,
    /,
    **slips: Any,
) -> Any:
    has = made(slips)
    heads = {"query": n_heads, "both": n_heads + n_kv_heads, "groups": n_heads // n_kv_heads, "none": 1}.get(
        slips.get("heads", ""), n_kv_heads
    )
    kinds = 1 if has("kinds:1") else 3 if has("kinds:3") else 2
    size = kinds * heads
    size *= 1 if has("layers") else n_layers
    size *= 1 if has("batch:none") else batch_size
    size *= 1 if has("dim:none") else n_heads * head_dim if has("dim:hidden") else head_dim
    size *= {"1": 1, "bits": 8 * bytes_per_value, "2": 2, "4": 4}.get(slips.get("bytes", ""), bytes_per_value)
    if has("out:bytes"):
        return size
    if has("out:float"):
        return memory / size
    if has("out:round"):
        return round(memory / size)
    if has("out:up"):
        return -(-memory // size)
    if has("out:less"):
        return max(memory - 1, 0) // size
    if has("out:one less"):
        return memory // size - 1
    return batch_size * (memory // size) if has("batch:all") else memory // size


EXERCISES = (
    Exercise(
        name="causal_attention",
        points=2,
        reference=_attended,
        edge_cases=_attention_cases,
        inputs=_attention_inputs,
        atol=1e-5,
        hints=(
            "Scores, mask, softmax, weighted sum: four steps. Which dimensions do the scores have, and what "
            "must a masked score be so that its weight becomes 0?",
            "`query @ key.mT / head_dim**0.5` are the scores; fill those above the diagonal with −∞, before "
            "the softmax over the last dimension.",
            "`visible = torch.ones(seq, seq, dtype=torch.bool).tril()`, then `scores.masked_fill(~visible, "
            'float("-inf")).softmax(dim=-1) @ value`.',
        ),
        variant=_causal_attention,
        slips=named(
            {
                "mask:future": "Your mask is transposed: each token looks at itself and at those *after* "
                "it. Row i of the scores belongs to query i, which may look at the columns j ≤ i.",
                "mask:strict future": "Your mask is inverted: each token sees only those *after* it. "
                "`masked_fill` fills where its mask is true: give it what is *not* visible, `~visible`.",
                "mask:none": "This is attention without a mask: every token sees the future.",
                "mask:strict past": "A token may look at itself, too: the diagonal stays visible. Without "
                "it the first token has nothing to look at, and a softmax over nothing is NaN.",
                "mask:one more": "Each token sees the next one as well: the diagonal is the last that is "
                "visible, `tril()` without a 1.",
                "mask:own": "Each token sees only itself. It may look at all those before it: columns j ≤ i.",
                "fill:after": "You mask after the softmax. The scores of later keys still stand in its "
                "denominator, so that each weight that is left depends on the future: mask the scores, with "
                "−inf, before the softmax.",
                "fill:0": "You set the masked scores to 0. The softmax makes exp(0) = 1 of that, a full "
                "vote: it takes −inf to get the weight 0.",
                "fill:1": "You set the masked scores to 1. It takes −inf to get the weight 0.",
                "fill:plus": "You set the masked scores to +∞. It takes *minus* infinity to get the "
                "weight 0.",
                "scale:none": "The scores are not divided by √d: look again at equation (4).",
                "scale:d": "You divide the scores by d. Their *variance* is d; it is the standard "
                "deviation √d that they are divided by.",
                "scale:seq": "You divide by the root of the number of positions. d is the length of the "
                "vectors, `query.shape[-1]`.",
                "scale:8": "You divide by √8, whatever the length of the vectors is. d is `query.shape[-1]`.",
                "scale:twice": "You divide by 2 d. The scores are divided by √d.",
                "scale:times": "You multiply by √d. The scores are divided by it.",
                "dim:queries": "You take the softmax over the queries. The weights of one query, over the "
                "keys, must add up to 1: that is the last dimension of the scores.",
                "dim:first": "You take the softmax over the first dimension. The weights of one query, "
                "over the keys, must add up to 1: `dim=-1`.",
                "dim:both": "You take one softmax over queries and keys together. Each query has weights "
                "of its own, over the last dimension.",
                "weights:scores": "The softmax is missing: the values are weighted by the scores themselves.",
                "weights:sigmoid": "You take a sigmoid of each score. A softmax over the keys makes "
                "weights that add up to 1.",
                "weights:logs": "You take the logarithm of the softmax. The weights are the softmax itself.",
                "out:weights": "You return the weights. They still have to be multiplied by the values: "
                "`weights @ value`.",
                "out:scaled": "You divide the result by √d. Equation (4) divides the scores, before the "
                "softmax.",
                "out:transposed": "The weights are transposed before they meet the values. Row i belongs "
                "to query i: `weights @ value`.",
                "roles:key and value": "Key and value are exchanged: scores come from the keys, the sum "
                "is of the values.",
                "roles:query and key": "Query and key are exchanged, so the scores are transposed: `query "
                "@ key.mT`.",
                "roles:query and value": "Query and value are exchanged: the scores are `query @ key.mT`.",
                "roles:own": "You compare the queries with each other. The scores are `query @ key.mT`.",
            }
        ),
        misconceptions={
            lambda query, key, value: value.cumsum(dim=-2) / torch.arange(1, value.shape[-2] + 1)[:, None]: (
                "You give all earlier tokens the same weight. The weights come from the scores, by a softmax."
            ),
            lambda query, key, value: query @ key.mT / math.sqrt(query.shape[-1]): "These are the "
            "scores. Mask, softmax and the sum over the values are still to come.",
        },
    ),
    LEAKING_POSITIONS,
    SPLIT_HEADS,
    Exercise(
        name="repeat_key_value_heads",
        reference=_repeated,
        edge_cases=_repeat_cases,
        inputs=_repeat_inputs,
        hints=(
            "Write down the key–value head of each query head, for two of them and groups of three: 0, 0, "
            "0, 1, 1, 1. Which dimension of `x` are the heads?",
            "`repeat` sets whole copies one after the other; `repeat_interleave` repeats each entry on the "
            "spot.",
            "`x.repeat_interleave(group_size, dim=1)`.",
        ),
        misconceptions={
            lambda x, group_size: x.repeat(1, group_size, 1, 1): "The order is 0, 1, 2, 0, 1, 2, …: whole "
            "sets of heads one after the other. Query heads that stand side by side share a key–value head: "
            "0, 0, …, 1, 1, ….",
            lambda x, group_size: (
                x.repeat_interleave(group_size, dim=2).unflatten(2, (group_size, -1)).flatten(1, 2)
            ): "The shape is right, but you have repeated the *positions* and then cut them up. Repeat "
            "along dimension 1, the heads.",
            lambda x, group_size: x.repeat_interleave(group_size, dim=2): "You repeat the positions. The "
            "heads are dimension 1.",
            lambda x, group_size: x.repeat(1, 1, group_size, 1): "You repeat along the positions. The "
            "heads are dimension 1.",
            lambda x, group_size: x.repeat_interleave(group_size, dim=0): "You repeat the texts of the "
            "batch. The heads are dimension 1.",
            lambda x, group_size: x.repeat(group_size, 1, 1, 1): "You repeat the whole batch. The heads "
            "are dimension 1.",
            lambda x, group_size: x.repeat_interleave(group_size, dim=-1): "You repeat the entries of the "
            "vectors. The heads are dimension 1.",
            lambda x, group_size: x.repeat(1, 1, 1, group_size): "You set copies of each vector side by "
            "side. The heads are dimension 1.",
            lambda x, group_size: x.repeat_interleave(group_size): "You repeat every number, and without "
            "`dim` the result is flat. Repeat along dimension 1, the heads.",
            lambda x, group_size: x[:, :1].expand(-1, x.shape[1] * group_size, -1, -1): "All query heads "
            "get key–value head 0. That is right for a single one only (MQA).",
            lambda x, group_size: x[:, :, None].expand(-1, -1, group_size, -1, -1): "The heads are "
            "repeated, in a dimension of their own. Join it with that of the heads: `.flatten(1, 2)`.",
            lambda x, group_size: x[:, None].expand(-1, group_size, -1, -1, -1): "You add a dimension "
            "before the heads. It belongs behind them, and is then joined with them: `.flatten(1, 2)`.",
            lambda x, group_size: x.flip(1).repeat_interleave(group_size, dim=1): "The heads come in "
            "reverse order.",
            lambda x, group_size: x.repeat_interleave(group_size, dim=1) / group_size: "You divide by "
            "`group_size`. The copies are the heads as they are.",
            lambda x, group_size: x.repeat_interleave(group_size + 1, dim=1): "Each head comes once too "
            "often. `group_size` is the number of query heads that share it, the first included.",
            lambda x, group_size: x.repeat_interleave(2, dim=1): "You repeat each head twice, whatever "
            "`group_size` is.",
            lambda x, group_size: x: "You return x as it was. Each head is needed `group_size` times.",
            lambda x, group_size: x.repeat_interleave(group_size, dim=1).mT: "The last two dimensions are "
            "exchanged. Only the heads change.",
            lambda x, group_size: x.repeat_interleave(group_size, dim=1).transpose(1, 2): "Heads and "
            "positions are exchanged. The heads stay dimension 1.",
        },
    ),
    ATTENTION_LAYER,
    ADD_BLOCK,
    Exercise(
        name="longest_context",
        reference=_longest_context,
        edge_cases=_memory_cases,
        inputs=_memory_inputs,
        rtol=0,  # a count: a fraction of a token more is wrong, however many there are
        atol=0,
        hints=(
            "How many bytes does *one token of one conversation* take? Which of the arguments does it "
            "depend on?",
            "A token leaves a key and a value, in each layer, for each key–value head, of `head_dim` "
            "numbers. All conversations share the memory.",
            "`memory // (batch_size * 2 * n_layers * n_kv_heads * head_dim * bytes_per_value)`.",
        ),
        variant=_tokens,
        slips=named(
            {
                "kinds:1": "Twice too long: a token leaves a key *and* a value.",
                "kinds:3": "You count query, key and value. Queries are not kept: two, not three.",
                "heads:query": "You count the query heads. Queries are not kept; only the key–value heads "
                "are in the cache.",
                "heads:both": "You count query heads and key–value heads. Queries are not kept.",
                "heads:groups": "You multiply by the number of query heads in a group. The cache holds "
                "the `n_kv_heads` key–value heads.",
                "heads:none": "The number of key–value heads is missing: each has keys and values of its "
                "own.",
                "layers": "Each layer has keys and values of its own: the number of layers is missing.",
                "batch:none": "This is the length for a single text. The texts of the batch share the "
                "memory.",
                "batch:all": "You give the tokens of all conversations together. How many may *each* have?",
                "dim:none": "A key is a vector of `head_dim` numbers, not a single one.",
                "dim:hidden": "You count vectors of `n_heads * head_dim` numbers. Those of a key–value "
                "head have `head_dim`.",
                "bytes:1": "You count numbers, not bytes: each takes `bytes_per_value`.",
                "bytes:bits": "You count bits. `memory` is in bytes, and each number takes "
                "`bytes_per_value` of them.",
                "bytes:2": "You take 2 bytes for each number. It takes `bytes_per_value`.",
                "bytes:4": "You take 4 bytes for each number. It takes `bytes_per_value`.",
                "out:float": "The quotient still has to be rounded down: a context is a whole number of "
                "tokens. `//` does both.",
                "out:round": "You round to the nearest number. What does not fit entirely does not fit: "
                "round down, with `//`.",
                "out:up": "You round up. What does not fit entirely does not fit: round down, with `//`.",
                "out:less": "Where the memory is filled to the last byte, you give one token too few: "
                "nothing has to be subtracted from it.",
                "out:one less": "You give one token too few: rounding down is enough.",
                "out:bytes": "That is how many bytes a token takes. `memory` still has to be divided by it.",
            }
        ),
    ),
)
