"""The exercises of notebook 04: encoding by merges; the others are in the modules ``tokenizer_…``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.tokenizer_bytes import BYTE_EXERCISES
from minillm_lib.checks.exercises.tokenizer_changes import COUNT_CHANGES
from minillm_lib.checks.exercises.tokenizer_pairs import (
    LETTERS,
    PAIR_EXERCISES,
    Pair,
    Words,
    count_pairs,
    first_only,
    merge_pair,
)
from minillm_lib.checks.exercises.tokenizer_training import LEARN_MERGES
from minillm_lib.checks.exercises.tokenizer_unigram import LIKELIEST_SEGMENTATION


def _apply_merges(word: str, merges: Sequence[Pair]) -> list[str]:
    ranks = {(left, right): rank for rank, (left, right) in reversed(list(enumerate(merges)))}
    pieces = list(word)
    while known := ranks.keys() & set(pairwise(pieces)):
        pieces = merge_pair(pieces, min(known, key=ranks.__getitem__))
    return pieces


def _longest_match(word: str, merges: Sequence[Pair]) -> list[str]:
    vocabulary = {left + right for left, right in merges}
    pieces = []
    while word:
        length = max((n for n in range(2, len(word) + 1) if word[:n] in vocabulary), default=1)
        pieces.append(word[:length])
        word = word[length:]
    return pieces


def _leftmost_first(word: str, merges: Sequence[Pair]) -> list[str]:
    known = set(merges)
    pieces = list(word)
    while places := [i for i in range(len(pieces) - 1) if (pieces[i], pieces[i + 1]) in known]:
        pieces[places[0] : places[0] + 2] = [pieces[places[0]] + pieces[places[0] + 1]]
    return pieces


def _last_learned_first(word: str, merges: Sequence[Pair]) -> list[str]:
    return _apply_merges(word, merges[::-1])


def _each_once(word: str, merges: Sequence[Pair]) -> list[str]:
    pieces = list(word)
    for pair in merges:
        pieces = first_only(pieces, pair)
    return pieces


def _until_one_is_missing(word: str, merges: Sequence[Pair]) -> list[str]:
    pieces = list(word)
    for pair in merges:
        merged = merge_pair(pieces, pair)
        if merged == pieces:
            break
        pieces = merged
    return pieces


def _one_pass(word: str, merges: Sequence[Pair]) -> list[str]:
    """Apply merges like :func:`_apply_merges`, except where a later merge makes an earlier one possible."""
    pieces = list(word)
    for pair in merges:
        pieces = merge_pair(pieces, pair)
    return pieces


def _characters(word: str, merges: Sequence[Pair]) -> list[str]:
    return list(word)


def _one_merge(word: str, merges: Sequence[Pair]) -> list[str]:
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    known = [pair for pair in pairwise(word) if pair in ranks]
    return merge_pair(list(word), min(known, key=ranks.__getitem__)) if known else list(word)


def _shortest_first(word: str, merges: Sequence[Pair]) -> list[str]:
    return _apply_merges(word, sorted(merges, key=lambda pair: len(pair[0] + pair[1])))


def _longest_first(word: str, merges: Sequence[Pair]) -> list[str]:
    return _apply_merges(word, sorted(merges, key=lambda pair: -len(pair[0] + pair[1])))


def _sorted_first(word: str, merges: Sequence[Pair]) -> list[str]:
    return _apply_merges(word, sorted(merges))


def _rightmost_first(word: str, merges: Sequence[Pair]) -> list[str]:
    known = set(merges)
    pieces = list(word)
    while places := [i for i in range(len(pieces) - 1) if (pieces[i], pieces[i + 1]) in known]:
        pieces[places[-1] : places[-1] + 2] = [pieces[places[-1]] + pieces[places[-1] + 1]]
    return pieces


_LEARNED: list[Pair] = [("a", "b"), ("b", "c"), ("ab", "c"), ("c", "a")]
_SHORT_AND_LONG: list[Pair] = [("a", "b"), ("ab", "c"), ("c", "d"), ("e", "f"), ("g", "h"), ("ef", "g")]
_TO_CUT: dict[str, Inputs] = {
    "an empty word": ("", _LEARNED),
    "a word of one letter": ("b", _LEARNED),
    "an empty list of merges": ("abc", []),
    "a word without known pairs": ("ddad", _LEARNED),
    "a word that becomes one piece": ("abc", _LEARNED),
    "a word that holds a pair twice": ("abdab", _LEARNED),
    "a run of equal letters": ("aaaaa", [("a", "a"), ("aa", "a")]),
    "a pair that is learned late": ("dbcad", _LEARNED),
    "short pieces learned before and after longer ones": ("abcdefgh", _SHORT_AND_LONG),
}

_WRONG_ORDERS = (_longest_match, _leftmost_first, _last_learned_first, _each_once, _until_one_is_missing)


def _learned(words: Words, n_merges: int) -> list[Pair]:
    merges: list[Pair] = []
    for _ in range(n_merges):
        counts = count_pairs(words)
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        words = {tuple(merge_pair(pieces, merges[-1])): count for pieces, count in words.items()}
    return merges


def _word_and_merges(rng: np.random.Generator) -> Inputs:
    """Draw merges learned from random words, and a word for which every wrong order gives another result."""
    while True:
        letters = rng.choice(LETTERS, size=4, replace=False)
        texts = ["".join(rng.choice(letters, size=rng.integers(4, 9))) for _ in range(20)]
        merges = _learned({tuple(text): int(rng.integers(1, 9)) for text in texts}, 12)
        for _ in range(20):
            word = "".join(rng.choice(letters, size=24))
            right = _apply_merges(word, merges)
            answers = {tuple(right), *(tuple(wrong(word, merges)) for wrong in _WRONG_ORDERS)}
            if right == _one_pass(word, merges) and len(answers) == 1 + len(_WRONG_ORDERS):
                return word, merges


EXERCISES = (
    *PAIR_EXERCISES,
    LEARN_MERGES,
    Exercise(
        name="apply_merges",
        points=3,
        reference=_apply_merges,
        edge_cases=_TO_CUT,
        inputs=_word_and_merges,
        hints=(
            "Begin with `list(word)`. In each round, which pairs of neighbours are in the list of merges, "
            "and which of these was learned first?",
            "A dictionary from each pair to its place in the list gives the order: the smallest place is "
            "merged first, by `merge_pair`, wherever it stands. Repeat until no pair is known.",
            "`rank = {pair: number for number, pair in enumerate(merges)}` before the loop. In it, collect "
            "those of `pairwise(pieces)` that have a rank; without any, you are done; of the others "
            "`min(…, key=rank.get)` is merged.",
        ),
        misconceptions={
            _longest_match: "You take the longest known piece from the left. That is WordPiece's way; "
            "here the *order* of the merges decides, not the length of what comes out.",
            _leftmost_first: "You merge the leftmost pair that is in the list. Of all pairs present, the "
            "one that was learned *first* comes first, wherever it stands.",
            _rightmost_first: "You merge the rightmost pair that is in the list. Of all pairs present, "
            "the one that was learned *first* comes first, wherever it stands.",
            _last_learned_first: "You prefer the merges that were learned last. Training began with the "
            "first, and the later ones were counted on what it had left.",
            lambda word, merges: _one_pass(
                word, merges[::-1]
            ): "You go through the list from its end, so that those "
            "learned last come first, and each comes once. In each round the first of the list comes first.",
            _each_once: "You merge each pair at one place only. A word can hold it more than once.",
            _until_one_is_missing: "You stop at the first merge that this word does not have. Pass over "
            "it: later ones may still apply.",
            _one_merge: "You stop after one merge. Repeat until no pair of neighbours is in the list.",
            _characters: "The word comes back in single characters: nothing is merged.",
            _shortest_first: "You prefer the merge that makes the shortest piece. The one that was "
            "learned *first* comes first.",
            _longest_first: "You prefer the merge that makes the longest piece. The one that was learned "
            "*first* comes first.",
            _sorted_first: "You take the merges in alphabetical order. They are to be taken in the order "
            "of the list.",
            lambda word, merges: _apply_merges(word, merges[:-1]): "The last merge of the list is never "
            "made.",
            lambda word, merges: _apply_merges(word, merges[1:]): "The first merge of the list is never "
            "made.",
            lambda word, merges: _apply_merges(word, merges[:1]): "Only the first merge of the list is made.",
            lambda word, merges: _apply_merges(word[::-1], merges): "You begin with the characters in "
            "reverse order.",
            lambda word, merges: "".join(_apply_merges(word, merges)): "You return one string. A list of "
            "pieces is asked for.",
            lambda word, merges: " ".join(_apply_merges(word, merges)): "You return one string with "
            "spaces. A list of pieces is asked for.",
            lambda word, merges: [word]: "You return the whole word as one piece. Begin with single "
            "characters: `list(word)`.",
            lambda word, merges: len(_apply_merges(word, merges)): "You return the number of pieces. A "
            "list of pieces is asked for.",
        },
    ),
    BYTE_EXERCISES[0],
    COUNT_CHANGES,
    LIKELIEST_SEGMENTATION,
    BYTE_EXERCISES[1],
)
