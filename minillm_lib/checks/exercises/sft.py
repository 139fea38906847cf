"""The exercises of notebook 13: what a conversation's loss is made of, and how conversations share rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.model.attention import causal_mask
from minillm_lib.training.sft_rows import (
    EncodedConversation,
    first_fit_decreasing,
    pack_conversations,
)

Turns = Sequence[tuple[str, list[int]]]
Labelled = tuple[list[int], list[int]]
Layout = tuple[Tensor, Tensor, Tensor]
_ROLES = ("system", "user", "assistant")


def _turns(rng: np.random.Generator) -> Inputs:
    """Draw two questions and answers, sometimes after a system turn; no token repeats or is special."""
    roles = [*(["system"] if rng.random() < 0.5 else []), *("user", "assistant") * 2]
    words = iter(rng.permutation(np.arange(20, 80)).tolist())
    turns = [(role, [next(words) for _ in range(rng.integers(2, 6))]) for role in roles]
    special = [int(each) for each in rng.permutation(np.arange(1, 10))[:4]]
    return turns, dict(zip(_ROLES, special, strict=False)), special[3]


def _with_mask(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> tuple[list[int], list[bool]]:
    """Return all ids, and for each whether it is content or the end of a turn of the assistant."""
    ids: list[int] = []
    mask: list[bool] = []
    for role, content in turns:
        ids += [role_ids[role], *content, end_id]
        mask += [False] + [role == "assistant"] * (len(content) + 1)
    return ids, mask


def _labels(ids: Sequence[int], mask: Sequence[bool]) -> list[int]:
    return [token if trained else -100 for token, trained in zip(ids, mask, strict=True)]


def _conversation_labels(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids, mask = _with_mask(turns, role_ids, end_id)
    return ids[:-1], _labels(ids[1:], mask[1:])


def _all_trained(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids, _ = _with_mask(turns, role_ids, end_id)
    return ids[:-1], ids[1:]


def _not_shifted(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids, mask = _with_mask(turns, role_ids, end_id)
    return ids[:-1], _labels(ids[:-1], mask[:-1])


def _whole_and_not_shifted(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids, mask = _with_mask(turns, role_ids, end_id)
    return ids, _labels(ids, mask)


def _mask_not_shifted(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids, mask = _with_mask(turns, role_ids, end_id)
    return ids[:-1], _labels(ids[1:], mask[:-1])


def _without_the_end(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids, labels = _conversation_labels(turns, role_ids, end_id)
    return ids, [-100 if label == end_id else label for label in labels]


def _with_the_role(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids, mask = _with_mask(turns, role_ids, end_id)
    is_role = [token == role_ids["assistant"] for token in ids]
    both = [trained or role for trained, role in zip(mask, is_role, strict=True)]
    return ids[:-1], _labels(ids[1:], both[1:])


def _only_the_last_answer(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids, mask = _with_mask(turns, role_ids, end_id)
    start = len(ids) - len(turns[-1][1]) - 2
    mask = [trained and place > start for place, trained in enumerate(mask)]
    return ids[:-1], _labels(ids[1:], mask[1:])


def _row(rng: np.random.Generator) -> Inputs:
    lengths = [int(length) for length in rng.integers(2, 6, size=3)]
    return lengths, sum(lengths) + int(rng.integers(2, 5))


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
    mask: Callable[[Tensor, Tensor], Tensor] = lambda same, causal: same & causal,
) -> Callable[[Sequence[int], int], Layout]:
    """Return a wrong layout that differs by the given options."""

    def wrong_layout(lengths: Sequence[int], row_length: int) -> Layout:
        right_positions, right_segments, _ = _row_layout(lengths, row_length)
        own = segments(right_segments)
        causal = torch.ones(row_length, row_length, dtype=torch.bool).tril()
        return positions(right_positions, right_segments), own, mask(own[:, None] == own[None, :], causal)

    return wrong_layout


def _running_on(positions: Tensor, segments: Tensor) -> Tensor:
    return torch.arange(len(positions)) * (segments > 0)


def _counted_from_one(positions: Tensor, segments: Tensor) -> Tensor:
    return positions + (segments > 0).long()


def _last_segment_reaches_on(segments: Tensor) -> Tensor:
    return torch.where(segments == 0, segments.max(), segments)


def _lengths(rng: np.random.Generator) -> Inputs:
    """Draw unsorted conversation lengths, some of them equal, for which the rules give different results."""
    return [int(length) for length in rng.integers(5, 60, size=40)], 100


def _fill_rows(lengths: Sequence[int], row_length: int) -> list[int]:
    rows: list[int] = first_fit_decreasing(lengths, row_length).tolist()
    return rows


def _fitted(
    choose: Callable[[list[int], int], int | None],
    order: Callable[[Sequence[int]], list[int]],
) -> Callable[[Sequence[int], int], list[int]]:
    """Return a rule that takes conversations in an order, and chooses a row by the space left in each."""

    def wrong_rows(lengths: Sequence[int], row_length: int) -> list[int]:
        row_of, room = [0] * len(lengths), list[int]()
        for index in order(lengths):
            row = choose(room, lengths[index])
            if row is None:
                row = len(room)
                room.append(row_length)
            room[row] -= lengths[index]
            row_of[index] = row
        return row_of

    return wrong_rows


def _first(room: list[int], length: int) -> int | None:
    return next((row for row, left in enumerate(room) if left >= length), None)


def _first_with_more_room(room: list[int], length: int) -> int | None:
    return next((row for row, left in enumerate(room) if left > length), None)


def _best(room: list[int], length: int) -> int | None:
    return min(
        (row for row, left in enumerate(room) if left >= length), key=lambda row: room[row], default=None
    )


def _last(room: list[int], length: int) -> int | None:
    return len(room) - 1 if room and room[-1] >= length else None


def _as_they_came(lengths: Sequence[int]) -> list[int]:
    return list(range(len(lengths)))


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: -lengths[index])


def _shortest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: lengths[index])


def _in_order_of_placing(lengths: Sequence[int], row_length: int) -> list[int]:
    rows = _fill_rows(lengths, row_length)
    return [rows[index] for index in _longest_first(lengths)]


EXERCISES = (
    Exercise(
        name="conversation_labels",
        reference=_conversation_labels,
        inputs=_turns,
        misconceptions={
            _all_trained: "You train on every token, the user's too. The model need not learn to ask: only what the "
            "assistant says keeps its label, all else is -100.",
            _not_shifted: "Your labels are not shifted: the label at place t is the token that stands at place t "
            "itself, which the model has just read. It must be the token at place t + 1.",
            _whole_and_not_shifted: "Your labels are not shifted: each is the token that stands at its own place. "
            "Drop the last input and the first label, so that every input meets the token that follows it.",
            _mask_not_shifted: "The labels are shifted, but the mask is not: you ask whether the token that is *read* "
            "is the assistant's. What counts is whether the *label* is.",
            _without_the_end: "The end of the assistant's turn has the label -100. The model has to learn to write "
            "it: otherwise it never stops.",
            _with_the_role: "You train on the token that opens the assistant's turn. It is given to the model, as the "
            "end of the prompt; the first label is the first token of the answer.",
            _only_the_last_answer: "You train on the last answer only. Every turn of the assistant counts.",
        },
    ),
    Exercise(
        name="row_layout",
        points=2,
        reference=_row_layout,
        inputs=_row,
        misconceptions={
            _layout_with(
                positions=_running_on
            ): "Your positions run on through the row. They begin at 0 in each "
            "conversation, as if it were alone.",
            _layout_with(
                positions=_counted_from_one
            ): "Your positions begin at 1. The first token of a conversation has position 0.",
            _layout_with(
                segments=lambda segments: (segments - 1).clamp(min=0)
            ): "Your segments begin at 0, which is "
            "the number of padding: the first conversation would see the padding, and be seen by it. Begin at 1.",
            _layout_with(
                segments=_last_segment_reaches_on
            ): "Your padding belongs to the last conversation. It has the segment 0.",
            _layout_with(
                mask=lambda same, causal: same
            ): "Your mask keeps the conversations apart, but within each "
            "a token sees the future. Both conditions must hold: the same segment, and not later.",
            _layout_with(
                mask=lambda same, causal: causal
            ): "Your mask is causal, but conversations see those before "
            "them in the row. Both conditions must hold: the same segment, and not later.",
            _layout_with(
                mask=lambda same, causal: same & causal.T
            ): "Your mask is transposed: a token sees what "
            "comes after it. The first index is the token that looks, the second the one that is looked at.",
        },
    ),
    Exercise(
        name="fill_rows",
        points=3,
        reference=_fill_rows,
        inputs=_lengths,
        misconceptions={
            _fitted(
                _first, _as_they_came
            ): "You take the conversations in the order in which they came: that is "
            "first-fit, without 'decreasing'. Take the longest first; short ones then fill the gaps.",
            _fitted(
                _first, _shortest_first
            ): "You take the shortest first, and the long ones find no gap any more. Take the longest first.",
            _fitted(
                _last, _longest_first
            ): "You look at the last row only, and open a new one where it is full. "
            "Earlier rows may still have room: look through all of them, from the first on.",
            _fitted(
                _best, _longest_first
            ): "You choose the row with the least room that is enough: that is best-fit. "
            "Here the *first* row with room is taken.",
            _fitted(
                _first_with_more_room, _longest_first
            ): "A conversation that fits exactly is sent away: a row may be filled to the last place.",
            _in_order_of_placing: "The rows are right, but in the order in which you placed the conversations. "
            "Return them in the order in which the conversations came.",
        },
    ),
)
