"""The exercise of notebook 04 on incremental counts: what a merge changes in one word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.tokenizer_pairs import (
    LETTERS,
    Pair,
    first_only,
    merge_pair,
    same_counts,
)

Changes = dict[Pair, int]


def _difference(before: Sequence[str], after: Sequence[str]) -> Changes:
    changes = Counter(pairwise(after))
    changes.subtract(Counter(pairwise(before)))
    return {pair: change for pair, change in changes.items() if change}


def _count_changes(pieces: Sequence[str], pair: Pair) -> Changes:
    return _difference(pieces, merge_pair(pieces, pair))


def _by_old_neighbours(pieces: Sequence[str], pair: Pair) -> Changes:
    """Change the counts at each place of the pair as if nothing else were merged beside it."""
    changes: Counter[Pair] = Counter()
    joined, i = pair[0] + pair[1], 0
    while i < len(pieces) - 1:
        if (pieces[i], pieces[i + 1]) != tuple(pair):
            i += 1
            continue
        changes[pair] -= 1
        if i > 0:
            changes[pieces[i - 1], pair[0]] -= 1
            changes[pieces[i - 1], joined] += 1
        if i + 2 < len(pieces):
            changes[pair[1], pieces[i + 2]] -= 1
            changes[joined, pieces[i + 2]] += 1
        i += 2
    return {changed: change for changed, change in changes.items() if change}


def _new_only(pieces: Sequence[str], pair: Pair) -> Changes:
    return {changed: change for changed, change in _count_changes(pieces, pair).items() if change > 0}


def _lost_only(pieces: Sequence[str], pair: Pair) -> Changes:
    return {changed: change for changed, change in _count_changes(pieces, pair).items() if change < 0}


def _neighbours_only(pieces: Sequence[str], pair: Pair) -> Changes:
    return {changed: change for changed, change in _count_changes(pieces, pair).items() if changed != pair}


def _each_kind_once(pieces: Sequence[str], pair: Pair) -> Changes:
    before, after = set(pairwise(pieces)), set(pairwise(merge_pair(pieces, pair)))
    return {**dict.fromkeys(after - before, 1), **dict.fromkeys(before - after, -1)}


def _word_and_pair(rng: np.random.Generator) -> Inputs:
    """Draw a word in which the pair stands at the end, twice in succession, and between others."""
    x, y, *others = (str(letter) for letter in rng.choice(LETTERS, size=5, replace=False))
    parts = [[x, y, x, y], [x, y, others[0]], [others[1], x, y], [others[2]], [x, y, others[0]]]
    pieces = [piece for i in rng.permutation(len(parts)) for piece in parts[i]]
    return [*pieces, others[1], x, y], (x, y)


COUNT_CHANGES = Exercise(
    name="count_changes",
    points=2,
    reference=_count_changes,
    compare=same_counts,
    edge_cases={
        "a word without the pair": (["a", "c", "b"], ("a", "b")),
        "a word that is the pair": (["a", "b"], ("a", "b")),
        "the pair at the beginning": (["a", "b", "c"], ("a", "b")),
        "the pair at the end": (["c", "a", "b"], ("a", "b")),
        "the pair twice in succession": (["a", "b", "a", "b"], ("a", "b")),
        "a run of equal pieces": (["a", "a", "a", "a", "a"], ("a", "a")),
        "a neighbour that is like the pair's own pieces": (["b", "a", "b", "a"], ("a", "b")),
        "a single piece": (["a"], ("a", "b")),
        "pieces of several letters": (["th", "e", "r", "th", "e"], ("th", "e")),
    },
    inputs=_word_and_pair,
    hints=(
        "Which pairs does the word have before, and which after? By how much does the number of each differ?",
        "`Counter(pairwise(…))` counts the pairs of one word, and `merge_pair` gives the word afterwards. A `Counter` "
        "can be negative if you use `subtract`; the operator `-` drops what is not above 0.",
        "Begin with the pairs after the merge as a `Counter`, and `subtract` those before.",
    ),
    misconceptions={
        _by_old_neighbours: "You change the counts at each occurrence by the neighbours as they were before the merge. "
        "Where the pair stands twice in succession, the neighbour of the one is the other, and it is merged too.",
        lambda pieces, pair: dict(
            Counter(pairwise(merge_pair(pieces, pair)))
        ): "Those are the pairs after the merge. Take away those before it.",
        lambda pieces, pair: dict(
            Counter(pairwise(pieces))
        ): "Those are the pairs before the merge. How many are there of each after it?",
        lambda pieces, pair: _difference(
            merge_pair(pieces, pair), pieces
        ): "Your signs are the wrong way round: what is new counts +1, what is gone −1.",
        _new_only: "You leave out what becomes less: pairs that are gone have a negative change. With counters, "
        "`a - b` drops all that is not above 0; `subtract` does not.",
        _lost_only: "You leave out the new pairs, those with the merged piece.",
        _neighbours_only: "The pair itself is missing: it is gone too, as often as it was merged.",
        lambda pieces, pair: {
            pair: -(len(pieces) - len(merge_pair(pieces, pair)))
        }: "Only the pair itself is in your result. Its neighbours change as well: they now stand beside another "
        "piece.",
        _each_kind_once: "You look at which pairs there are, not at how many. A pair that stands there twice counts "
        "twice.",
        lambda pieces, pair: _difference(
            pieces, first_only(pieces, pair)
        ): "You merge the pair at its first place only. It is merged wherever it stands.",
    },
)
