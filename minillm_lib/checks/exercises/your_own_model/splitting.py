"""A held-out split that does not leak: near copies stay on one side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

Pairs = Sequence[tuple[int, int]]


def _documents(rng: np.random.Generator) -> Inputs:
    """Draw documents of which some are near copies, in chains whose pairs come in any order."""
    n = int(rng.integers(14, 22))
    places = [round(float(place), 3) for place in rng.random(n)]
    order, pairs, start = rng.permutation(n), [], 0
    while start < n - 4:
        size = int(rng.integers(2, 5))
        chain = [int(number) for number in order[start : start + size]]
        pairs += [(min(pair), max(pair)) for pair in pairwise(chain)]
        start += size + int(rng.integers(0, 2))
    return places, [pairs[index] for index in rng.permutation(len(pairs))], float(rng.choice([0.3, 0.4, 0.5]))


def _groups(n: int, near_copies: Pairs, kind: str | None) -> list[list[int]]:
    """Return for each document those of its group, itself included."""
    if kind == "ignored":
        return [[number] for number in range(n)]
    if kind == "direct":
        return [
            sorted({number, *(other for pair in near_copies if number in pair for other in pair)})
            for number in range(n)
        ]
    first = list(range(n))
    if kind == "once":
        for one, other in near_copies:
            first[other] = first[one]
    else:
        for _ in range(n):
            for one, other in near_copies:
                first[one] = first[other] = min(first[one], first[other])
    return [[other for other in range(n) if first[other] == first[number]] for number in range(n)]


def _held_out_split(places: Sequence[float], near_copies: Pairs, share: float, /, **slips: Any) -> Any:
    has, n = made(slips), len(places)
    if has("by:position"):
        alone = [number >= round((1 - share) * n) for number in range(n)]
    elif has("by:rank"):
        lowest = set(np.argsort(places, kind="stable")[: round(share * n)].tolist())
        alone = [number in lowest for number in range(n)]
    else:
        alone = [place <= share if has("bound") else place < share for place in places]
    result = []
    for group in _groups(n, near_copies, slips.get("copies")):
        members = [alone[number] for number in group]
        decided = {"last": members[-1], "any": any(members), "all": all(members)}
        result.append(decided.get(str(slips.get("goes")), members[0]))
    if has("dropped"):
        result = [one and result[number] for number, one in enumerate(alone)]
    if has("numbers"):
        return [number for number, one in enumerate(result) if one]
    return [not one for one in result] if has("side") else result


HELD_OUT_SPLIT = Exercise(
    name="held_out_split",
    points=2,
    reference=lambda places, near_copies, share: _held_out_split(places, near_copies, share),
    edge_cases={
        "documents without copies": ([0.9, 0.02, 0.4, 0.07], [], 0.1),
        "a chain whose pairs come in the wrong order": (
            [0.03, 0.8, 0.9, 0.7, 0.06],
            [(1, 2), (0, 1), (2, 3)],
            0.1,
        ),
        "a place that equals the share": ([0.1, 0.05, 0.3], [], 0.1),
        "no documents": ([], [], 0.1),
    },
    inputs=_documents,
    hints=(
        "Without copies it is one comparison per document. What must become of a document whose copy is on the other "
        "side, and of the copy of its copy?",
        "Give each document the number of the first document of its group: at the beginning its own number. A pair "
        "makes "
        "the two numbers equal, the smaller one; go through the pairs again until nothing changes.",
        "`first = list(range(n))`; repeat, as long as something changes: for each pair `(i, j)`, "
        "`first[i] = first[j] = min(first[i], first[j])`. Then document i is held out if `places[first[i]] < share`.",
    ),
    variant=_held_out_split,
    slips=named(
        {
            "copies:ignored": "Near copies land on both sides, so the held-out text is known by heart in part. A group "
            "of copies goes where its first document goes.",
            "copies:direct": "You look at a document's own pairs only. Copies of copies are of the same group: if 0 is "
            "like 1, and 1 is like 2, all three stay together.",
            "copies:once": "You go through the pairs once, each in its order. A pair that comes later may change the "
            "first document of one that came before: go through them until nothing changes.",
            "goes:last": "A group goes where its *first* document goes; yours goes where the last one does.",
            "goes:any": "You hold out a group if any of its documents has a place below the share, so large groups are "
            "held out too often. Its first document decides.",
            "goes:all": "You hold out a group only if all its documents have places below the share, so large groups "
            "hardly ever are. Its first document decides.",
            "dropped": "You hold out a document only if its own place is below the share as well. The first document "
            "of the group decides for all of them.",
            "by:position": "You take the last documents in the order in which they came. Compare each document's place "
            "with the share: then a new file does not move the others.",
            "by:rank": "You take as many as the share of the documents, the lowest places first. Then a new document "
            "can move an old one: compare each place with the share itself.",
            "bound": "A place that equals the share is not below it.",
            "numbers": "You return the numbers of the held-out documents. Return one truth value for each document.",
            "side": "The two sides are exchanged: True is for held-out documents, whose places are *below* the share.",
        }
    ),
)
