"""The exercises of notebook 14: temper and cut a distribution, keep keys and values, accept what a draft proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.generation.sampling import apply_temperature, keep_top_p, penalise_repetition
from minillm_lib.model.attention import attend, causal_mask
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.rope import RotaryEmbedding, rotate

Past = tuple[Tensor, Tensor]


def _logits_and_temperature(rng: np.random.Generator) -> Inputs:
    logits = torch.from_numpy(2 * rng.standard_normal((3, 12))).float()
    return logits, float(rng.choice([0.4, 0.7, 1.5, 2.5]))


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    return apply_temperature(logits, temperature).softmax(dim=-1)


def _probabilities_divided(logits: Tensor, temperature: float) -> Tensor:
    return logits.softmax(dim=-1) / temperature


def _distributions(rng: np.random.Generator) -> Inputs:
    """Draw four distributions; in the last one, a single token has more than ``p``."""
    probabilities = rng.dirichlet(np.full(10, 0.8), size=4)
    p = float(rng.uniform(0.6, 0.9))
    probabilities[3] = (1 - p) / 2 * rng.dirichlet(np.ones(10))
    probabilities[3, rng.integers(10)] += (1 + p) / 2
    return torch.from_numpy(probabilities).float(), p


def _nucleus(probabilities: Tensor, p: float) -> Tensor:
    return keep_top_p(probabilities.log(), p).softmax(dim=-1)


def _kept(probabilities: Tensor, p: float) -> Tensor:
    return _nucleus(probabilities, p) > 0


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=-1, keepdim=True)


def _without_the_crossing_token(probabilities: Tensor, p: float) -> Tensor:
    ordered, order = probabilities.sort(descending=True)
    kept = ordered.cumsum(dim=-1) < p
    return _normalised(probabilities * torch.zeros_like(kept).scatter(-1, order, kept))


def _first_but_not_the_crossing_token(probabilities: Tensor, p: float) -> Tensor:
    ordered, order = probabilities.sort(descending=True)
    kept = ordered.cumsum(dim=-1) < p
    kept[:, 0] = True
    return _normalised(probabilities * torch.zeros_like(kept).scatter(-1, order, kept))


def _in_order_of_the_vocabulary(probabilities: Tensor, p: float) -> Tensor:
    return _normalised(probabilities * (probabilities.cumsum(dim=-1) - probabilities < p))


def _least_likely_first(probabilities: Tensor, p: float) -> Tensor:
    ordered, order = probabilities.sort()
    kept = ordered.cumsum(dim=-1) - ordered < p
    return _normalised(probabilities * torch.zeros_like(kept).scatter(-1, order, kept))


def _left_in_sorted_order(probabilities: Tensor, p: float) -> Tensor:
    return _nucleus(probabilities, p).sort(descending=True).values


def _mask_in_sorted_order(probabilities: Tensor, p: float) -> Tensor:
    ordered = probabilities.sort(descending=True).values
    return _normalised(probabilities * (ordered.cumsum(dim=-1) - ordered < p))


def _scores(rng: np.random.Generator) -> Inputs:
    """Draw logits of either sign among those of the tokens that occurred."""
    logits = torch.from_numpy(3 * rng.standard_normal((2, 12))).float()
    return logits, torch.from_numpy(rng.random((2, 12)) < 0.6), float(rng.choice([1.1, 1.3, 1.8]))


def _piecewise(rng: np.random.Generator) -> Inputs:
    """Draw queries, keys and values of a text, and the lengths of its pieces; add the rotation."""
    lengths = [int(rng.integers(2, 5)), 1, int(rng.integers(2, 4)), 1]
    config = ModelConfig(hidden_size=32, n_heads=4, n_kv_heads=2, rope_theta=100.0)

    def drawn(n_heads: int) -> Tensor:
        return torch.from_numpy(1.5 * rng.standard_normal((1, n_heads, sum(lengths), 8))).float()

    return drawn(4), drawn(2), drawn(2), lengths, RotaryEmbedding(config)


def _piece_by_piece(
    answer: Callable[..., Any],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: Sequence[int],
    rotary: RotaryEmbedding,
) -> Tensor:
    """Return the outputs for a complete text that arrives in pieces of these lengths."""
    past, outputs, start = None, [], 0
    for length in lengths:
        new = slice(start, start + length)
        result = answer(query[:, :, new], key[:, :, new], value[:, :, new], past, rotary)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                "cached_attention must return two things: the output, and the keys and values to keep"
            )
        outputs.append(result[0])
        past, start = result[1], start + length
    return torch.cat(outputs, dim=2)


def _cached_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past: Past | None,
    rotary: RotaryEmbedding,
    *,
    first_position: int | None = None,
    turn_query: bool = True,
    turn_key: bool = True,
    turn_value: bool = False,
    turn_all_keys: bool = False,
    newest_first: bool = False,
    look_at_past: bool = True,
    keep_past: bool = True,
    mask: Callable[[int, int], Tensor | None] | None = None,
) -> tuple[Tensor, Past]:
    """Compute attention with a past; each option changes one part of it."""
    n_past, n_new = 0 if past is None else past[0].shape[2], query.shape[2]
    start = n_past if first_position is None else first_position
    rotation = rotary(torch.arange(start, start + n_new)[None])
    query = rotate(query, *rotation) if turn_query else query
    key = rotate(key, *rotation) if turn_key and not turn_all_keys else key
    value = rotate(value, *rotation) if turn_value else value
    keys, values = key, value
    if past is not None and look_at_past:
        pieces = [(key, value), past] if newest_first else [past, (key, value)]
        keys, values = (torch.cat(both, dim=2) for both in zip(*pieces, strict=True))
    if turn_all_keys:
        keys = rotate(keys, *rotary(torch.arange(keys.shape[2])[None]))
    seen = keys.shape[2] - n_new
    visible = causal_mask(seen, n_new, None, query.device) if mask is None else mask(seen, n_new)
    kept = (keys, values) if keep_past else (key, value)
    return attend(query, keys, values, visible), kept


def _doing(**options: Any) -> Callable[..., tuple[Tensor, Past]]:
    def wrong_attention(
        query: Tensor, key: Tensor, value: Tensor, past: Past | None, rotary: RotaryEmbedding
    ) -> tuple[Tensor, Past]:
        return _cached_attention(query, key, value, past, rotary, **options)

    return wrong_attention


def _everything_visible(n_past: int, n_new: int) -> Tensor:
    return torch.ones(n_new, n_past + n_new, dtype=torch.bool)


def _aligned_at_the_start(n_past: int, n_new: int) -> Tensor:
    return _everything_visible(n_past, n_new).tril()


def _aligned_unless_single(n_past: int, n_new: int) -> Tensor | None:
    return None if n_new == 1 else _aligned_at_the_start(n_past, n_new)


def _target_and_draft(rng: np.random.Generator) -> Inputs:
    target, draft = rng.dirichlet(np.ones(8), size=2)
    return torch.from_numpy(target).float(), torch.from_numpy(draft).float()


def _speculative_rule(target: Tensor, draft: Tensor) -> tuple[Tensor, Tensor]:
    return (target / draft).clamp(max=1), _normalised((target - draft).clamp(min=0))


EXERCISES = (
    Exercise(
        name="tempered",
        reference=_tempered,
        inputs=_logits_and_temperature,
        misconceptions={
            _probabilities_divided: "You divide the probabilities by the temperature, and they no longer add up to 1. "
            "Divide the *logits*, then take the softmax.",
            lambda logits, temperature: _normalised(
                _probabilities_divided(logits, temperature)
            ): "You divide the probabilities, and then by their sum: the temperature cancels, and nothing has changed. "
            "Divide the *logits*, then take the softmax.",
            lambda logits, temperature: (logits * temperature).softmax(
                dim=-1
            ): "You multiply by the temperature: a high one sharpens the distribution. It must flatten it.",
            lambda logits, temperature: (
                logits / temperature
            ): "These are the logits, divided as they should be. The probabilities are their softmax.",
            lambda logits, temperature: (logits / temperature).softmax(
                dim=0
            ): "You take the softmax over the texts of the batch. The tokens are the last dimension.",
        },
    ),
    Exercise(
        name="nucleus",
        points=2,
        reference=_nucleus,
        inputs=_distributions,
        misconceptions={
            _without_the_crossing_token: "You leave out the token with which the sum reaches p. It belongs to the "
            "nucleus; where the first token alone has p, yours is empty. Ask what the tokens *before* it add up to.",
            _first_but_not_the_crossing_token: "You leave out the token with which the sum reaches p. It belongs to "
            "the nucleus: a token goes only if those *before* it add up to p already.",
            lambda probabilities, p: (
                probabilities * _kept(probabilities, p)
            ): "The right tokens are kept, but they no longer add up to 1: divide by the sum of what is left.",
            _in_order_of_the_vocabulary: "You add up the probabilities in the order of the vocabulary. Sort them, "
            "the largest first.",
            _least_likely_first: "You begin with the *least* likely tokens. Sort with `descending=True`.",
            _left_in_sorted_order: "The probabilities are right, but in sorted order: which token does each belong "
            "to? Bring them back with `scatter` and the indices that `sort` returns.",
            _mask_in_sorted_order: "You found out which places of the *sorted* row to keep, and applied that to "
            "the row as it was. Bring the mask back to the order of the tokens with `scatter`.",
        },
    ),
    Exercise(
        name="penalised",
        reference=penalise_repetition,
        inputs=_scores,
        misconceptions={
            lambda logits, seen, penalty: torch.where(
                seen, logits / penalty, logits
            ): "You divide negative logits, too: −4 becomes −2, and the token *more* likely. A negative logit is "
            "multiplied by the penalty.",
            lambda logits, seen, penalty: torch.where(
                seen, logits * penalty, logits
            ): "You multiply positive logits, too, which makes those tokens more likely. A positive logit is divided.",
            lambda logits, seen, penalty: torch.where(
                seen, torch.where(logits > 0, logits * penalty, logits / penalty), logits
            ): "The two cases are exchanged: you reward repetition. A positive logit is divided by the penalty, a "
            "negative one multiplied.",
            lambda logits, seen, penalty: torch.where(
                logits > 0, logits / penalty, logits * penalty
            ): "You change the logits of all tokens. Only those that occurred are penalised.",
            lambda logits, seen, penalty: penalise_repetition(
                logits, ~seen, penalty
            ): "You penalise the tokens that did *not* occur.",
            lambda logits, seen, penalty: torch.where(
                seen, logits - penalty, logits
            ): "You subtract the penalty. That is a rule, too, but not this one: here logits are divided or "
            "multiplied by it.",
        },
    ),
    Exercise(
        name="cached_attention",
        points=2,
        reference=_cached_attention,
        inputs=_piecewise,
        use=_piece_by_piece,
        atol=1e-5,
        misconceptions={
            _doing(
                first_position=0
            ): "Your positions begin at 0 with every call. The first new token stands after "
            "all that are kept: its position is the number of keys in `past`.",
            _doing(
                keep_past=False
            ): "You attend to the whole past, but then keep the new keys and values *instead* "
            "of it: at the next call everything before is gone. Keep what you have laid end to end.",
            _doing(
                look_at_past=False
            ): "The new tokens see only one another. Lay the keys and values of `past` before theirs.",
            _doing(
                newest_first=True
            ): "You put the new keys *before* the old ones. The mask counts on the order of "
            "the text: old ones first.",
            _doing(turn_key=False): "The keys are not turned. Queries and keys both are, each by "
            "its own position.",
            _doing(
                turn_query=False
            ): "The queries are not turned. Queries and keys both are, each by its own position.",
            _doing(
                turn_value=True
            ): "You turn the values, too. Positions decide where attention looks, not what it fetches.",
            _doing(turn_all_keys=True): "You turn the "
            "whole row of keys at every call, and keep them turned: old keys are turned again and again. Turn each "
            "key once, before it is kept.",
            _doing(
                mask=_everything_visible
            ): "There is no mask: when several tokens come at once, each sees those after it.",
            _doing(
                mask=_aligned_at_the_start
            ): "Your mask counts the new tokens from 0, so that the first of them "
            "sees only the first key of the past. It may see all of the past, and itself: "
            "`causal_mask(n_past, n_new, None, query.device)`.",
            _doing(
                mask=_aligned_unless_single
            ): "A single new token is right, but of several that come with a past "
            "the first sees only the first key. It may see all of the past: the mask must know how long that is.",
        },
    ),
    Exercise(
        name="speculative_rule",
        points=3,
        reference=_speculative_rule,
        inputs=_target_and_draft,
        misconceptions={
            lambda target, draft: (
                (draft / target).clamp(max=1),
                _speculative_rule(target, draft)[1],
            ): "The quotient is upside down: you accept for certain what the draft proposes too rarely, and reject "
            "what the target wants.",
            lambda target, draft: (
                (target >= draft).float(),
                _speculative_rule(target, draft)[1],
            ): "You accept all or nothing. A token that the draft proposes too often is still wanted sometimes: "
            "accept such a share of the proposals that p is left.",
            lambda target, draft: (
                target,
                _speculative_rule(target, draft)[1],
            ): "You accept with probability p. A "
            "token is then proposed *and* accepted with probability p · q; it should be p, as far as q reaches.",
            lambda target, draft: (
                _speculative_rule(target, draft)[0],
                target,
            ): "After a rejection you draw from p. "
            "But tokens that the draft proposed have had their share already: draw from what is still missing.",
            lambda target, draft: (
                _speculative_rule(target, draft)[0],
                _normalised((target - draft).abs()),
            ): "You draw from |p − q|. Where the draft proposes too often, nothing is missing: take the positive "
            "part of p − q only.",
            lambda target, draft: (
                _speculative_rule(target, draft)[0],
                _normalised((draft - target).clamp(min=0)),
            ): "After a rejection you draw what the draft proposes too *often*. Missing is what it proposes too "
            "rarely: p − q, where that is positive.",
            lambda target, draft: (
                _speculative_rule(target, draft)[0],
                (target - draft).clamp(min=0),
            ): "What is missing is right, but it is no distribution yet: divide it by its sum.",
            lambda target, draft: (
                target / draft,
                _speculative_rule(target, draft)[1],
            ): "Some of your probabilities are above 1. No more than every proposal can be accepted: min(1, p / q).",
        },
    ),
)
