"""Positions, segments and mask of a packed row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.model.attention import causal_mask
from minillm_lib.training.sft_rows import EncodedConversation, pack_conversations

Layout = tuple[Tensor, Tensor, Tensor]


def _row(rng: np.random.Generator) -> Inputs:
    lengths = [int(length) for length in rng.integers(2, 6, size=3)]
    return lengths, sum(lengths) + int(rng.integers(2, 5))


_ROW_EDGES: dict[str, Inputs] = {
    "a row without padding": ([3, 2, 4], 9),
    "a single conversation": ([3], 5),
    "a single conversation that fills the row": ([4], 4),
    "conversations of one token": ([1, 1, 2], 6),
    "a single position of padding": ([2, 3], 6),
}


def _row_layout(lengths: Sequence[int], row_length: int) -> Layout:
    empty = [
        EncodedConversation(np.zeros(length, np.int64), np.zeros(length, np.int64)) for length in lengths
    ]
    # Packed by decreasing length, a row has its conversations in the order in which they came.
    rows = pack_conversations(empty, row_length)
    mask = causal_mask(0, row_length, None, torch.device("cpu"), rows.segment_ids)
    assert mask is not None
    assert rows.positions is not None
    assert rows.segment_ids is not None
    return rows.positions[0], rows.segment_ids[0], mask[0, 0]


def _layout_with(
    positions: Callable[[Tensor, Tensor], Tensor] = lambda positions, segments: positions,
    segments: Callable[[Tensor], Tensor] = lambda segments: segments,
    own_mask: bool = False,
    mask: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda same, causal, is_token: same & causal,
    written: Callable[[Tensor], Tensor] = lambda mask: mask,
    given: Callable[[Tensor, Tensor, Tensor], Any] = lambda positions, segments, mask: (
        positions,
        segments,
        mask,
    ),
) -> Callable[[Sequence[int], int], Any]:
    """Return a wrong layout; ``own_mask`` makes the mask of the right segments, whatever is returned as segments."""

    def wrong_layout(lengths: Sequence[int], row_length: int) -> Any:
        right_positions, right_segments, _ = _row_layout(lengths, row_length)
        shown = segments(right_segments)
        used = right_segments if own_mask else shown
        causal = torch.ones(row_length, row_length, dtype=torch.bool).tril()
        seen = mask(used[:, None] == used[None, :], causal, right_segments > 0)
        return given(positions(right_positions, right_segments), shown, written(seen))

    return wrong_layout


def _running_on(positions: Tensor, segments: Tensor) -> Tensor:
    return torch.arange(len(positions)) * (segments > 0)


def _without_the_padding(lengths: Sequence[int], row_length: int) -> Layout:
    return _row_layout(lengths, sum(lengths))


def _from_zero(segments: Tensor) -> Tensor:
    return (segments - 1).clamp(min=0)


ROW_LAYOUT = Exercise(
    name="row_layout",
    points=2,
    reference=_row_layout,
    inputs=_row,
    edge_cases=_ROW_EDGES,
    hints=(
        "Go through the conversations with a `start` that grows. Where do positions and segment of each belong?",
        "Two tensors of zeros are right for the padding already; fill in slices. The mask is made of two conditions "
        "that must both hold.",
        "Same segment: `segment_ids[:, None] == segment_ids[None, :]`. Not later: `torch.ones(row_length, row_length, "
        "dtype=torch.bool).tril()`. The mask is their `&`.",
    ),
    misconceptions={
        _without_the_padding: "The padding is missing: your tensors end with the last conversation, and are shorter "
        "than `row_length`.",
        _layout_with(
            segments=_from_zero
        ): "Your segments begin at 0, which is the number of padding: the first conversation would see the padding, "
        "and be seen by it. Begin at 1.",
        _layout_with(
            segments=_from_zero, own_mask=True
        ): "Your segments begin at 0, which is the number of padding. Begin at 1.",
        _layout_with(
            segments=lambda segments: segments - 1
        ): "Your segments begin at 0, and padding has −1. Conversations begin at 1, padding has 0.",
    },
    variant=variant(_layout_with),
    slips={
        (
            "positions",
            _running_on,
        ): "Your positions run on through the row. They begin at 0 in each conversation, as if it were alone.",
        (
            "positions",
            lambda positions, segments: torch.arange(len(positions)),
        ): "Your positions run on through the row and the padding. They begin at 0 in each conversation, and padding "
        "has 0.",
        (
            "positions",
            lambda positions, segments: positions + (segments > 0).long(),
        ): "Your positions begin at 1. The first token of a conversation has position 0.",
        (
            "positions",
            lambda positions, segments: positions + 1,
        ): "All your positions are one too large. The first token of a conversation has position 0, and so has "
        "padding.",
        (
            "positions",
            lambda positions, segments: torch.where(
                segments > 0, positions, (segments == 0).long().cumsum(0) - 1
            ),
        ): "Positions are counted in the padding, too. There they are 0.",
        (
            "positions",
            lambda positions, segments: torch.where(segments > 0, positions, torch.arange(len(positions))),
        ): "Positions run on in the padding. There they are 0.",
        (
            "positions",
            lambda positions, segments: positions.float(),
        ): "Your positions are floats: give `torch.zeros` the dtype `torch.int64`.",
        (
            "segments",
            lambda segments: torch.where(segments == 0, segments.max(), segments),
        ): "Your padding belongs to the last conversation. It has the segment 0.",
        (
            "segments",
            lambda segments: torch.where(segments == 0, segments.max() + 1, segments),
        ): "Your padding has a segment number of its own, after the last conversation. It has the segment 0.",
        (
            "segments",
            lambda segments: torch.where(segments == 0, -1, segments),
        ): "Your padding has the segment −1. It has the segment 0.",
        (
            "segments",
            lambda segments: (segments > 0).long(),
        ): "All your conversations have one segment number: it is to tell them apart, 1, 2, ….",
        (
            "segments",
            lambda segments: torch.where(segments > 0, segments + 1, 0),
        ): "Your segments begin at 2. The first conversation has 1.",
        (
            "segments",
            lambda segments: segments.float(),
        ): "Your segments are floats: give `torch.zeros` the dtype `torch.int64`.",
        (
            "mask",
            lambda same, causal, is_token: same,
        ): "Your mask keeps the conversations apart, but within each a token sees the future. Both conditions must "
        "hold: the same segment, and not later.",
        (
            "mask",
            lambda same, causal, is_token: causal,
        ): "Your mask is causal, but conversations see those before them in the row. Both conditions must hold: the "
        "same segment, and not later.",
        (
            "mask",
            lambda same, causal, is_token: same | causal,
        ): "One of your two conditions is enough. Both must hold: `&`, not `|`.",
        (
            "mask",
            lambda same, causal, is_token: same & causal.T,
        ): "Your mask is transposed: a token sees what comes after it. The first index is the token that looks, the "
        "second the one that is looked at.",
        (
            "mask",
            lambda same, causal, is_token: same & causal & ~torch.eye(len(same), dtype=torch.bool),
        ): "The diagonal is missing: a token sees itself.",
        (
            "mask",
            lambda same, causal, is_token: same & torch.ones_like(causal).tril(1),
        ): "Your mask lets a token see one position too far.",
        (
            "mask",
            lambda same, causal, is_token: same & causal & is_token[:, None],
        ): "Your padding sees nothing. It sees the padding up to itself: a softmax over nothing would be undefined.",
        (
            "mask",
            lambda same, causal, is_token: same & (causal | ~is_token[:, None]),
        ): "Your padding sees all padding. It, too, must not see what comes later.",
        (
            "mask",
            lambda same, causal, is_token: (same | ~is_token[:, None]) & causal,
        ): "Your padding sees the conversations. It sees padding only.",
        (
            "mask",
            lambda same, causal, is_token: ~same & causal,
        ): "Your tokens see the *other* conversations. A token sees its own: the segments must be equal.",
        (
            "written",
            lambda mask: ~mask,
        ): "Your mask is inverted: it must be true where a token *may* look.",
        (
            "written",
            lambda mask: mask.long(),
        ): "Your mask holds the numbers 0 and 1. It must be of dtype bool: keep the comparison, or add `.bool()`.",
        (
            "written",
            lambda mask: mask.float(),
        ): "Your mask holds the floats 0 and 1. It must be of dtype bool: keep the comparison, or add `.bool()`.",
        (
            "written",
            lambda mask: torch.zeros(mask.shape).masked_fill(~mask, -torch.inf),
        ): "Your mask is one to be added to the scores, 0 and −∞. Here it is of dtype bool: true where a token may "
        "look.",
        (
            "written",
            lambda mask: mask[None, None],
        ): "Your mask has four dimensions. Here it is (row_length, row_length).",
        (
            "given",
            lambda positions, segments, mask: (segments, positions, mask),
        ): "Positions and segments are exchanged: (positions, segment_ids, mask).",
        (
            "given",
            lambda positions, segments, mask: (mask, positions, segments),
        ): "The mask comes first. The order is (positions, segment_ids, mask).",
        (
            "given",
            lambda positions, segments, mask: mask,
        ): "You return the mask alone. Return (positions, segment_ids, mask).",
        (
            "given",
            lambda positions, segments, mask: (positions, segments),
        ): "The mask is missing: return (positions, segment_ids, mask).",
        (
            "given",
            lambda positions, segments, mask: (positions.tolist(), segments.tolist(), mask),
        ): "Positions and segments are lists. Make tensors of them: `torch.tensor(…)`.",
        (
            "given",
            lambda positions, segments, mask: (positions.tolist(), segments.tolist(), mask.tolist()),
        ): "You return lists. Make tensors of them: `torch.tensor(…)`.",
    },
)
