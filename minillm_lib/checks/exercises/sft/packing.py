"""First-fit decreasing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.training.sft_rows import first_fit_decreasing

Room = list[int]


def _lengths(rng: np.random.Generator) -> Inputs:
    """Draw unsorted conversation lengths, some of them equal, for which the rules give different results."""
    return [int(length) for length in rng.integers(5, 60, size=40)], 100


_LENGTH_EDGES: dict[str, Inputs] = {
    "lengths that fill a row exactly": ([4, 6, 5, 5], 10),
    "a conversation as long as a row": ([3, 10, 7], 10),
    "conversations of one length": ([6, 6, 6], 10),
    "two pairs of one length": ([3, 7, 3, 7, 5], 10),
    "a single conversation": ([4], 9),
    "a last one that also fits a fuller row": ([1, 12, 9, 11, 10, 9], 20),
    "a last one that also fits an emptier row": ([5, 10, 12, 11], 20),
    "short conversations, all in one row": ([1, 2, 3], 50),
}


def _fill_rows(lengths: Sequence[int], row_length: int) -> list[int]:
    rows: list[int] = first_fit_decreasing(lengths, row_length).tolist()
    return rows


def _first(room: Room, length: int) -> int | None:
    return next((row for row, left in enumerate(room) if left >= length), None)


def _first_with_more_room(room: Room, length: int) -> int | None:
    return next((row for row, left in enumerate(room) if left > length), None)


def _best(room: Room, length: int) -> int | None:
    return min(
        (row for row, left in enumerate(room) if left >= length), key=lambda row: room[row], default=None
    )


def _worst(room: Room, length: int) -> int | None:
    return max(
        (row for row, left in enumerate(room) if left >= length), key=lambda row: room[row], default=None
    )


def _newest(room: Room, length: int) -> int | None:
    return len(room) - 1 if room and room[-1] >= length else None


def _newest_with_more_room(room: Room, length: int) -> int | None:
    return len(room) - 1 if room and room[-1] > length else None


def _last_with_room(room: Room, length: int) -> int | None:
    return max((row for row, left in enumerate(room) if left >= length), default=None)


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: -lengths[index])


def _shortest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: lengths[index])


Given = Callable[[list[int], list[int], Room, Sequence[int]], Any]


def _filled_with(
    choose: Callable[[Room, int], int | None] = _first,
    order: Callable[[Sequence[int]], list[int]] = _longest_first,
    first_row: int = 0,
    given: Given = lambda row_of, order, room, lengths: row_of,
) -> Callable[[Sequence[int], int], Any]:
    """Return a rule that takes conversations in an order, and chooses a row by the space left in each."""

    def wrong_rows(lengths: Sequence[int], row_length: int) -> Any:
        row_of, room = [0] * len(lengths), list[int]()
        taken = order(lengths)
        for index in taken:
            row = choose(room, lengths[index])
            if row is None:
                row = len(room)
                room.append(row_length)
            room[row] -= lengths[index]
            row_of[index] = row + first_row
        return given(row_of, taken, room, lengths)

    return wrong_rows


def _room_never_taken(lengths: Sequence[int], row_length: int) -> list[int]:
    return [0] * len(lengths)


def _one_row_each(lengths: Sequence[int], row_length: int) -> list[int]:
    row_of = [0] * len(lengths)
    for row, index in enumerate(_longest_first(lengths)):
        row_of[index] = row
    return row_of


def _by_the_length(row_of: list[int], order: list[int], room: Room, lengths: Sequence[int]) -> list[int]:
    """Write each row at the first conversation of that length, as ``lengths.index`` would."""
    written = [0] * len(lengths)
    for index in order:
        written[list(lengths).index(lengths[index])] = row_of[index]
    return written


def _looked_up_by_length(
    row_of: list[int], order: list[int], room: Room, lengths: Sequence[int]
) -> list[int]:
    """Give all conversations of one length the row of the last of them, as a dict by length would."""
    row_of_length = {lengths[index]: row_of[index] for index in order}
    return [row_of_length[length] for length in lengths]


FILL_ROWS = Exercise(
    name="fill_rows",
    points=2,
    reference=_fill_rows,
    inputs=_lengths,
    edge_cases=_LENGTH_EDGES,
    hints=(
        "Keep two lists: the room that is left in each row, and the row of each conversation. In which order do the "
        "conversations come?",
        "Sort the *indices* by length, so that you can write each row to its place: `sorted(range(len(lengths)), "
        "key=lambda index: -lengths[index])`. For each look through the rows from the first.",
        "`next((row for row, left in enumerate(room) if left >= lengths[index]), len(room))` is the row; if it is "
        "`len(room)`, append `row_length` to `room`. Then take the length off, and set `row_of[index]`.",
    ),
    misconceptions={
        _room_never_taken: "All conversations are in row 0: the room of a row must shrink with each conversation that "
        "is put into it.",
        _one_row_each: "Each conversation has a row of its own. Put it into the first row that has room.",
    },
    variant=variant(_filled_with),
    slips={
        (
            "order",
            lambda lengths: list(range(len(lengths))),
        ): "You take the conversations in the order in which they came: that is first-fit, without 'decreasing'. Take "
        "the longest first; short ones then fill the gaps.",
        (
            "order",
            _shortest_first,
        ): "You take the shortest first, and the long ones find no gap any more. Take the longest first.",
        (
            "order",
            lambda lengths: _shortest_first(lengths)[::-1],
        ): "Of conversations of one length you take the last first: `[::-1]` also turns those around. Sort by "
        "`-length`, or with `reverse=True`, which keep their order.",
        (
            "order",
            lambda lengths: list(range(len(lengths)))[::-1],
        ): "You take the conversations from the last to the first. Take the *longest* first.",
        (
            "choose",
            _newest,
        ): "You look at the last row only, and open a new one where it is full: that is next-fit. Earlier rows may "
        "still have room: look through all of them, from the first on.",
        (
            "choose",
            _best,
        ): "You choose the row with the least room that is enough: that is best-fit. Here the *first* row with room "
        "is taken.",
        (
            "choose",
            _worst,
        ): "You choose the row with the most room: that is worst-fit. Here the *first* row with room is taken.",
        (
            "choose",
            _last_with_room,
        ): "You take the last row that has room. Here the *first* one is taken: look from the beginning, and stop.",
        (
            "choose",
            _first_with_more_room,
        ): "A conversation that fits exactly is sent away: a row may be filled to the last place.",
        (
            "choose",
            _newest_with_more_room,
        ): "You look at the last row only, and a conversation that fits it exactly is sent away. Look through all "
        "rows, and fill them to the last place.",
        ("first_row", 1): "Your rows count from 1. They count from 0.",
        (
            "given",
            lambda row_of, order, room, lengths: [row_of[index] for index in order],
        ): "The rows are right, but in the order in which you placed the conversations. Return them in the order in "
        "which the conversations came. Sorting `lengths` itself has this effect, too: sort the indices.",
        (
            "given",
            lambda row_of, order, room, lengths: [
                [index for index in range(len(row_of)) if row_of[index] == row] for row in range(len(room))
            ],
        ): "You return which conversations are in each row. Wanted is the row of each conversation: one number for "
        "each.",
        (
            "given",
            lambda row_of, order, room, lengths: [
                [lengths[index] for index in order if row_of[index] == row] for row in range(len(room))
            ],
        ): "You return the lengths in each row. Wanted is the row of each conversation: one number for each.",
        (
            "given",
            lambda row_of, order, room, lengths: [
                [index for index in order if row_of[index] == row] for row in range(len(room))
            ],
        ): "You return the conversations in each row. Wanted is the row of each conversation: one number for each.",
        (
            "given",
            lambda row_of, order, room, lengths: len(room),
        ): "You return the number of rows. Wanted is the row of each conversation.",
        (
            "given",
            lambda row_of, order, room, lengths: room,
        ): "You return the room that is left in each row. Wanted is the row of each conversation.",
        (
            "given",
            lambda row_of, order, room, lengths: order,
        ): "You return the order in which the conversations are taken. Wanted is the row of each.",
        (
            "given",
            lambda row_of, order, room, lengths: dict(enumerate(row_of)),
        ): "You return a dict. Wanted is a list: the row of each conversation, in the order in which they came.",
        (
            "given",
            _by_the_length,
        ): "`lengths.index(…)` always finds the first conversation of a length, so that those of one length overwrite "
        "each other. Sort the indices.",
        (
            "given",
            _looked_up_by_length,
        ): "Conversations of one length all have the same row: the length alone does not tell them apart. Sort the "
        "indices.",
    },
)
