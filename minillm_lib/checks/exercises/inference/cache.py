"""Attention with a past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.model.attention import attend, causal_mask
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.rope import RotaryEmbedding, rotate

Past = tuple[Tensor, Tensor]


class _Rotary(RotaryEmbedding):
    def __repr__(self) -> str:
        return "RoPE"


def _call(
    rng: np.random.Generator, n_past: int, n_new: int, *, batch: int = 2, heads: int = 3, width: int = 8
) -> Inputs:
    """Draw queries, keys and values of new tokens, and the keys and values of those before; add the rotation."""
    config = ModelConfig(
        hidden_size=heads * width, n_heads=heads, n_kv_heads=heads, head_dim=width, rope_theta=100.0
    )

    def drawn(n: int) -> Tensor:
        return torch.from_numpy(1.5 * rng.standard_normal((batch, heads, n, width))).float()

    past = (drawn(n_past), drawn(n_past)) if n_past else None
    return drawn(n_new), drawn(n_new), drawn(n_new), past, _Rotary(config)


def _call_with_a_past(rng: np.random.Generator) -> Inputs:
    return _call(rng, n_past=int(rng.integers(2, 6)), n_new=int(rng.integers(2, 5)))


def _call_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(14)
    return {
        "the first call, with several tokens": _call(rng, 0, 4),
        "the first call, with a single token": _call(rng, 0, 1),
        "a single new token": _call(rng, 5, 1),
        "a single new token after another": _call(rng, 1, 1, batch=1, heads=2),
        "several new tokens after one": _call(rng, 1, 3, batch=1, heads=1, width=4),
        "as many new tokens as there are already": _call(rng, 3, 3, batch=1, heads=2, width=6),
    }


Placed = Callable[[int, int], tuple[int, int]]


def _cached_with(
    places: Placed = lambda n_past, n_new: (n_past, n_past + n_new),
    key_places: Placed | None = None,
    turn_query: bool = True,
    turn_key: bool = True,
    turn_value: bool = False,
    turn_all_keys: bool = False,
    joined: Callable[[Tensor, Tensor], Tensor] = lambda old, new: torch.cat([old, new], dim=2),
    sees_past: bool = True,
    mask: Callable[[int, int], Tensor | None] | None = None,
    attended: Callable[..., Tensor] = attend,
    kept: Callable[[Past, Past, Past | None], Any] = lambda everything, new, past: everything,
    given: Callable[[Tensor, Any], Any] = lambda output, kept: (output, kept),
) -> Callable[..., Any]:
    """Return wrong attention: where tokens stand, what is turned, put together, masked and kept."""

    def wrong_attention(
        query: Tensor, key: Tensor, value: Tensor, past: Past | None, rotary: RotaryEmbedding
    ) -> Any:
        n_past, n_new = 0 if past is None else past[0].shape[2], query.shape[2]
        turned_key = key
        if turn_key and not turn_all_keys:
            turned_key = rotate(key, *rotary(torch.arange(*(key_places or places)(n_past, n_new))[None]))
        rotation = rotary(torch.arange(*places(n_past, n_new))[None])
        query = rotate(query, *rotation) if turn_query else query
        value = rotate(value, *rotation) if turn_value else value
        keys, values = turned_key, value
        if past is not None:
            keys, values = joined(past[0], turned_key), joined(past[1], value)
        everything = keys, values
        if not sees_past:
            keys, values = turned_key, value
        if turn_all_keys:
            keys = rotate(keys, *rotary(torch.arange(keys.shape[2])[None]))
            everything = keys, values
        seen = keys.shape[2] - n_new
        visible = causal_mask(seen, n_new, None, query.device) if mask is None else mask(seen, n_new)
        return given(attended(query, keys, values, visible), kept(everything, (turned_key, value), past))

    return wrong_attention


def _cached_attention(
    query: Tensor, key: Tensor, value: Tensor, past: Past | None, rotary: RotaryEmbedding
) -> tuple[Tensor, Past]:
    output, kept = _cached_with()(query, key, value, past, rotary)
    return output, kept


def _everything_visible(n_past: int, n_new: int) -> Tensor:
    return torch.ones(n_new, n_past + n_new, dtype=torch.bool)


def _aligned_at_the_start(n_past: int, n_new: int) -> Tensor:
    return _everything_visible(n_past, n_new).tril()


def _aligned_unless_single(n_past: int, n_new: int) -> Tensor | None:
    return None if n_new == 1 else _aligned_at_the_start(n_past, n_new)


def _one_too_far(n_past: int, n_new: int) -> Tensor:
    return _everything_visible(n_past, n_new).tril(n_past + 1)


def _not_itself(n_past: int, n_new: int) -> Tensor:
    return _everything_visible(n_past, n_new).tril(n_past - 1)


def _not_scaled(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    return attend(query * query.shape[-1] ** 0.5, key, value, mask)


CACHED_ATTENTION = Exercise(
    name="cached_attention",
    points=3,
    reference=_cached_attention,
    inputs=_call_with_a_past,
    edge_cases=_call_edges,
    atol=1e-5,
    hints=(
        "How many tokens stand before the new ones? Two things depend on that number: where the new ones stand, and "
        "what each of them may see.",
        "In this order: turn the new queries and keys by their positions; put the old keys and values before the new "
        "ones; attend with a mask. What you have put together is what you keep. New token i stands in position n_past "
        "+ i: which of the n_past + n_new keys may it see?",
        "`n_past = 0 if past is None else past[0].shape[2]`; `positions = torch.arange(n_past, n_past + n_new)`; "
        "`rotate(query, *rotary(positions[None]))`, and likewise the key; `torch.cat([past[0], key], dim=2)`, and "
        "likewise the values; the mask is `torch.arange(n_past + n_new) <= positions[:, None]`.",
    ),
    misconceptions={
        _cached_with(
            turn_query=False, turn_key=False
        ): "Nothing is turned. Queries and keys are, each by its own position: `rotate(x, *rotation)`.",
        _cached_with(
            turn_query=False, turn_key=False, turn_value=True
        ): "You turn the values, but neither queries nor keys. Positions decide where attention looks, not what it "
        "fetches.",
        _cached_with(
            sees_past=False, kept=lambda everything, new, past: new
        ): "The past is left out: the new tokens see only one another, and only they are kept. Put the keys and "
        "values of `past` before theirs.",
    },
    variant=variant(_cached_with),
    slips={
        (
            "places",
            lambda n_past, n_new: (0, n_new),
        ): "Your positions begin at 0 with every call. The first new token stands after all that are kept: its "
        "position is the number of keys in `past`.",
        (
            "places",
            lambda n_past, n_new: (n_past + 1, n_past + n_new + 1),
        ): "Your positions are one too large: the first token of a text has position 0, and the first new one n_past.",
        (
            "places",
            lambda n_past, n_new: (max(0, n_past - 1), max(0, n_past - 1) + n_new),
        ): "Your positions are one too small after a past: the last of n_past tokens has position n_past − 1, and the "
        "first new one n_past.",
        (
            "places",
            lambda n_past, n_new: (n_new, 2 * n_new),
        ): "Your positions begin at the number of *new* tokens. They begin at the number of those in `past`.",
        (
            "key_places",
            lambda n_past, n_new: (0, n_new),
        ): "The keys' positions begin at 0 with every call. They are those of the queries: they begin at the number "
        "of keys in `past`.",
        (
            "turn_key",
            False,
        ): "The keys are not turned. Queries and keys both are, each by its own position.",
        (
            "turn_query",
            False,
        ): "The queries are not turned. Queries and keys both are, each by its own position.",
        (
            "turn_value",
            True,
        ): "You turn the values, too. Positions decide where attention looks, not what it fetches.",
        (
            "turn_all_keys",
            True,
        ): "You turn all keys at every call: old keys are turned again and again. Those in `past` are "
        "turned already: turn each key once, before it is kept.",
        (
            "joined",
            lambda old, new: torch.cat([new, old], dim=2),
        ): "You put the new keys *before* the old ones. The mask counts on the order of the text: old ones first.",
        (
            "sees_past",
            False,
        ): "The new tokens see only one another. Put the keys and values of `past` before theirs, and attend to all.",
        (
            "mask",
            _everything_visible,
        ): "There is no mask: when several tokens come at once, each sees those after it.",
        (
            "mask",
            _aligned_at_the_start,
        ): "Your mask counts the new tokens from 0, so that the first of them sees only the first key of the past. It "
        "may see all of the past, and itself.",
        (
            "mask",
            _aligned_unless_single,
        ): "A single new token is right, but of several that come with a past the first sees only the first key. It "
        "may see all of the past: the mask must know how long that is.",
        (
            "mask",
            _one_too_far,
        ): "Your mask lets a token see the one after it.",
        (
            "mask",
            _not_itself,
        ): "Your mask hides each new token from itself.",
        (
            "attended",
            lambda query, key, value, mask: attend(query, key, key, mask),
        ): "You fetch keys: the third argument of `attend` is the values.",
        (
            "attended",
            lambda query, key, value, mask: attend(query, value, key, mask),
        ): "Keys and values are exchanged in `attend`: queries are compared with keys, and values are fetched.",
        (
            "attended",
            _not_scaled,
        ): "The scores are not divided by the root of head_dim. `attend` does it.",
        (
            "kept",
            lambda everything, new, past: new,
        ): "You keep the new keys and values *instead* of the past: at the next call everything before is gone. Keep "
        "what you have put together.",
        (
            "kept",
            lambda everything, new, past: past,
        ): "You return the past as it came. At the next call the new tokens are gone: keep what you have put "
        "together.",
        (
            "kept",
            lambda everything, new, past: (everything[1], everything[0]),
        ): "Keys and values are kept in the wrong order: (keys, values).",
        (
            "kept",
            lambda everything, new, past: everything[0],
        ): "You keep the keys alone. Values are needed as well: (keys, values).",
        (
            "given",
            lambda output, kept: output,
        ): "You return the output alone. Return two things: the output, and the pair (keys, values) to keep.",
        (
            "given",
            lambda output, kept: (kept, output),
        ): "Output and past are exchanged: first the output, then the pair (keys, values).",
        (
            "given",
            lambda output, kept: (output, *kept),
        ): "You return three things. Keys and values belong together: (output, (keys, values)).",
        (
            "given",
            lambda output, kept: (output.transpose(1, 2), kept),
        ): "The output has heads and tokens exchanged: it is (batch, heads, n_new, head_dim).",
    },
)
