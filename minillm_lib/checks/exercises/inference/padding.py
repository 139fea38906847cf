"""Prompts of different lengths in one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Prompts = list[list[int]]


def _prompts(rng: np.random.Generator) -> Inputs:
    lengths = rng.permutation([2, int(rng.integers(3, 5)), 6])
    return [rng.integers(1, 30, length).tolist() for length in lengths], 0


_EDGES: dict[str, Inputs] = {
    "a single prompt": ([[5, 3, 8]], 0),
    "prompts of one length": ([[5, 3], [8, 4]], 0),
    "a prompt of a single token": ([[7], [5, 3, 8]], 2),
    "a prompt that begins with the padding's own id": ([[3, 6], [3, 3, 5, 9]], 3),
    "a prompt that has the padding's own id inside": ([[4, 0, 6], [1], [2, 9, 0, 3]], 0),
}


def _on_the_left(lengths: Tensor, longest: int) -> Tensor:
    return torch.arange(longest) >= longest - lengths[:, None]


def _counted(is_token: Tensor) -> Tensor:
    return (is_token.cumsum(dim=-1) - 1).clamp(min=0)


def _padded_with(
    where: Callable[[Tensor, int], Tensor] = _on_the_left,
    longest: Callable[[Tensor], int] = lambda lengths: int(lengths.max()),
    mask: Callable[[Tensor, Tensor, int], Tensor] = lambda is_token, ids, pad_id: is_token,
    positions: Callable[[Tensor], Tensor] = _counted,
    padding: Callable[[list[int], int], int] = lambda prompt, pad_id: pad_id,
    given: Callable[[Tensor, Tensor, Tensor], Any] = lambda ids, is_token, positions: (
        ids,
        is_token,
        positions,
    ),
) -> Callable[[Prompts, int], Any]:
    """Return wrong padding: where it stands and what it is, what is masked, and how positions are counted."""

    def wrong_padding(prompts: Prompts, pad_id: int) -> Any:
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        is_token = where(lengths, longest(lengths))
        ids = torch.tensor([[padding(prompt, pad_id)] * is_token.shape[1] for prompt in prompts])
        ids[is_token] = torch.tensor([token for prompt in prompts for token in prompt])
        return given(ids, mask(is_token, ids, pad_id), positions(is_token))

    return wrong_padding


def _left_padded(prompts: Prompts, pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    ids, is_token, positions = _padded_with()(prompts, pad_id)
    return ids, is_token, positions


def _one_count_for_all(is_token: Tensor) -> Tensor:
    return torch.arange(is_token.shape[1]).expand(is_token.shape).clone()


LEFT_PADDED = Exercise(
    name="left_padded",
    points=2,
    reference=_left_padded,
    inputs=_prompts,
    edge_cases=_EDGES,
    hints=(
        "How many slots of padding does a prompt of n tokens need, if the longest has N? Everything follows from that "
        "number.",
        "The mask is false for the first N − n slots and true for the others. The position of a token is how many "
        "tokens of its *own* prompt stand before it.",
        "`is_token.cumsum(dim=-1) - 1` counts in each row from its first token on; `clamp(min=0)` for the padding.",
    ),
    misconceptions={
        lambda prompts, pad_id: torch.tensor(
            [[pad_id] * (max(map(len, prompts)) - len(prompt)) + prompt for prompt in prompts]
        ): "You return the ids alone. Three things are asked for: ids, mask and positions.",
    },
    variant=variant(_padded_with),
    slips={
        (
            "where",
            lambda lengths, longest: torch.arange(longest) < lengths[:, None],
        ): "You pad on the right. Then the newest token of each prompt stands in another column; pad on the left, so "
        "that it is the last one everywhere.",
        (
            "longest",
            lambda lengths: int(lengths.max()) + 1,
        ): "You pad the longest prompt, too. It needs no padding.",
        (
            "mask",
            lambda is_token, ids, pad_id: ids != pad_id,
        ): "You take every token with the id of the padding for padding. A prompt may contain that id: the *lengths* "
        "say what is padding.",
        (
            "mask",
            lambda is_token, ids, pad_id: ~is_token,
        ): "Your mask is the wrong way round: it is true for tokens, and false for padding.",
        (
            "mask",
            lambda is_token, ids, pad_id: torch.ones_like(is_token),
        ): "Your mask hides nothing: it is false for padding.",
        (
            "mask",
            lambda is_token, ids, pad_id: is_token.long(),
        ): "Your mask has numbers. It is to be boolean: true and false.",
        (
            "positions",
            _one_count_for_all,
        ): "Your positions count slots, with the padding. Each prompt counts from its own first token, which has "
        "position 0.",
        (
            "positions",
            lambda is_token: is_token.cumsum(dim=-1),
        ): "Your positions begin at 1. The first token of a text has position 0.",
        (
            "positions",
            lambda is_token: is_token.cumsum(dim=-1) - 1,
        ): "The positions of the padding are negative. What they are makes no difference to the tokens, but not every "
        "table of positions takes a negative number: let them be 0.",
        (
            "positions",
            lambda is_token: torch.arange(is_token.shape[1]) - (~is_token).sum(dim=-1, keepdim=True),
        ): "The positions of the padding are negative. What they are makes no difference to the tokens, but let them "
        "be 0.",
        (
            "positions",
            lambda is_token: (is_token.cumsum(dim=0) - 1).clamp(min=0),
        ): "You count down the batch. Count along each prompt, the last dimension.",
        (
            "positions",
            lambda is_token: _counted(is_token).flip(-1) * is_token,
        ): "Your positions count backwards: the first token of a text has position 0.",
        (
            "padding",
            lambda prompt, pad_id: prompt[0],
        ): "The slots of padding hold the prompt's first token. They are to hold `pad_id`.",
        (
            "given",
            lambda ids, is_token, positions: (ids, positions, is_token),
        ): "Mask and positions are exchanged: first the ids, then the mask, then the positions.",
        (
            "given",
            lambda ids, is_token, positions: (ids, is_token),
        ): "You return ids and mask. The positions are missing.",
    },
)
