"""A look inside: the probabilities of the tokens of a conversation, and what the heads attend to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from minillm_lib.generation.decoding import tokenizer_of
from minillm_lib.model.attention import GroupedQueryAttention
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.serving.errors import ApiError

MOST_TOKENS = 2048
_POSITIONS_AT_A_TIME = 256  # whose logits are in memory at once


def most_inspected(model: MiniLLM) -> int:
    """Return how many tokens a conversation may have to be looked into."""
    return min(MOST_TOKENS, model.config.context_length)


@torch.inference_mode()
def inspect_tokens(
    model: MiniLLM, ids: list[int], n_prompt: int, token: int | None, top: int
) -> dict[str, Any]:
    """Return each token's text, probability and alternatives and, of one of them, the attention map.

    Parameters
    ----------
    ids
        The conversation with the reply.
    n_prompt
        How many of them come before the reply.
    token
        Number of the token whose attention map is wanted, from 1. It is the attention at the position before it, from
        which the model predicts it, over all tokens before it.
    top
        How many alternatives each token has.

    Returns
    -------
    dict
        ``tokens``, a list with ``id``, ``text``, ``in_reply``, ``probability`` (``None`` for the first) and
        ``alternatives`` (each with ``id``, ``text`` and ``probability``); and ``attention``,
        ``(n_layers, n_heads, token)``, or ``None``.

    Raises
    ------
    ApiError
        If there are too many tokens, or there is no such token.
    """
    most = most_inspected(model)
    if len(ids) > most:
        raise ApiError(
            400,
            f"the conversation has {len(ids)} tokens; at most {most} can be looked into",
            param="messages",
            code="too_long_to_inspect",
        )
    if token is not None and token >= len(ids):
        raise ApiError(
            400,
            f"there is no token {token}; the conversation has the tokens 0 to {len(ids) - 1}",
            param="token",
            code="invalid_value",
        )
    probabilities, best = _probabilities(model, ids, top)
    tokenizer = tokenizer_of(model)

    def text(number: int) -> str:
        return tokenizer.decode([number]) or tokenizer.vocabulary[number]

    tokens = [
        {
            "id": number,
            "text": text(number),
            "in_reply": place >= n_prompt,
            "probability": probability,
            "alternatives": [{"id": other, "text": text(other), "probability": p} for other, p in others],
        }
        for place, (number, probability, others) in enumerate(zip(ids, probabilities, best, strict=True))
    ]
    attention = None
    if token is not None:
        weights = attention_maps(model, torch.tensor([ids[:token]], device=model.device))[:, 0]
        attention = [[[round(weight, 4) for weight in head] for head in layer] for layer in weights.tolist()]
    return {"tokens": tokens, "attention": attention}


def _probabilities(
    model: MiniLLM, ids: list[int], top: int
) -> tuple[list[float | None], list[list[tuple[int, float]]]]:
    """Return the probability of each token after those before it, and the likeliest ones in its place."""
    hidden = model.hidden_states(torch.tensor([ids], device=model.device))[0]  # (seq, hidden)
    own: list[float | None] = [None]
    best: list[list[tuple[int, float]]] = [[]]
    for start in range(0, len(ids) - 1, _POSITIONS_AT_A_TIME):
        following = torch.tensor(ids[start + 1 : start + 1 + _POSITIONS_AT_A_TIME], device=hidden.device)
        logits = linear(hidden[start : start + len(following)], model.output_weight).float()
        p = logits.softmax(dim=-1)  # (positions, vocab)
        own += p.gather(1, following[:, None])[:, 0].tolist()
        likeliest = p.topk(min(top, p.shape[1]))
        best += [
            list(zip(tokens, values, strict=True))
            for tokens, values in zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        ]
    return own, best


def attention_maps(model: MiniLLM, ids: Tensor) -> Tensor:
    """Return how the last token attends to each token, in every head: ``(n_layers, batch, n_heads, seq)`` in float32.

    Parameters
    ----------
    ids
        ``(batch, seq)`` token ids.
    """
    maps: list[Tensor] = []

    def note(layer: nn.Module, given: tuple[Any, ...]) -> None:
        assert isinstance(layer, GroupedQueryAttention)
        maps.append(layer.last_weights(given[0], given[1]).float())

    layers = [module for module in model.modules() if isinstance(module, GroupedQueryAttention)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        model.hidden_states(ids)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(maps)
