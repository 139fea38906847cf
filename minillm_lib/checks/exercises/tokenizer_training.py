"""The exercise of notebook 04 in which the training of byte-pair encoding is assembled."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.checks.exercises.tokenizer_pairs import (
    LETTERS,
    Pair,
    Words,
    count_pairs,
    first_only,
    merge_pair,
)


def _learn_merges(words: Words, n_merges: int, /, **slips: Any) -> Any:
    has = made(slips)
    merges: list[Pair] = []
    first = dict(words)
    stop = n_merges + (1 if has("number:more") else -1 if has("number:less") else 0)
    while len(merges) < stop:
        of = first if has("counts:first") else words
        counts = count_pairs(dict.fromkeys(of, 1) if has("counts:words") else of)
        for known in merges if has("counts:first") else ():
            counts.pop(known, None)
        if not counts or (has("stop:once") and max(counts.values()) < 2):
            break

        def order(pair: Pair, counts: Any = counts) -> Any:
            joined = "".join(pair)
            rule = {
                "first": (),
                "pair": pair,
                "alphabet": (joined,),
                "longest": (-len(joined), joined),
                "last": (len(joined), [-ord(letter) for letter in joined]),
            }.get(slips.get("tie", ""), (len(joined), joined))
            return (counts[pair] if has("rarest") else -counts[pair], rule)

        merges.append(min(counts, key=order))
        merge = first_only if has("merged:once") else merge_pair
        merged: dict[tuple[str, ...], int] = {}
        for pieces, count in words.items():
            merged[tuple(merge(list(pieces), merges[-1]))] = count
        words = merged
    return (
        ["".join(pair) for pair in merges] if has("pieces") else merges[::-1] if has("reversed") else merges
    )


def _reference(words: Words, n_merges: int) -> list[Pair]:
    merges: list[Pair] = []
    while len(merges) < n_merges and (counts := count_pairs(words)):
        merges.append(
            min(counts, key=lambda pair: (-counts[pair], len(pair[0] + pair[1]), pair[0] + pair[1]))
        )
        words = {tuple(merge_pair(pieces, merges[-1])): count for pieces, count in words.items()}
    return merges


_TIES = (
    "counts:first",
    "counts:words",
    "merged:once",
    "tie:first",
    "tie:pair",
    "tie:alphabet",
    "tie:longest",
)


def _random_words(rng: np.random.Generator) -> Inputs:
    """Draw words of few letters, so that a pair occurs twice in a word, and pairs are equally frequent."""
    while True:
        letters = rng.choice(LETTERS, size=4, replace=False)
        texts = ["".join(rng.choice(letters, size=rng.integers(3, 8))) for _ in range(12)]
        words = {tuple(text): int(rng.integers(1, 6)) for text in texts}
        right = _reference(words, 10)
        wrong = [
            _learn_merges(words, 10, **{name.partition(":")[0]: name.partition(":")[2]}) for name in _TIES
        ]
        if len(right) == 10 and right not in wrong:
            return words, 10


def _words(text: str) -> Words:
    """Return the words of a text in letters, each with its count: ``"ab*3 b"``."""
    parts = [word.partition("*") for word in text.split()]
    return {tuple(word): int(count or 1) for word, _, count in parts}


LEARN_MERGES = Exercise(
    name="learn_merges",
    points=3,
    reference=_reference,
    edge_cases={
        "no merges": (_words("ab*2"), 0),
        "fewer pairs than merges": (_words("abc*2 d"), 9),
        "no words": ({}, 3),
        "pairs that occur once": (_words("abcd"), 2),
        "equally frequent pairs": (_words("xy ab ba"), 2),
        "equally frequent pairs of which one makes a longer piece": (_words("abc*3 zz*3 ab"), 2),
        "equally long pieces of different parts": (_words("bb*20 ab*10 abb*3 aba*3"), 3),
        "a run of equal letters": (_words("aaaaa*2 ab*3"), 3),
    },
    inputs=_random_words,
    hints=(
        "One round of the loop: count the pairs of the words *as they are now*, choose one, note it, and write all "
        "words anew with it merged. When does the loop end?",
        "The rule for ties can be put into one key for `min`: a tuple that is compared entry by entry, the number of "
        "occurrences first, with a minus sign. The keys of `words` are tuples, and `merge_pair` returns a list.",
        "`while len(merges) < n_merges`, and leave the loop when `count_pairs(words)` is empty. The key of a pair is "
        "its count with a minus sign, then the length of the two joined, then the two joined.",
    ),
    variant=_learn_merges,
    slips=named(
        {
            "counts:first": "You choose by the counts of the text in single letters. After each merge write the words "
            "anew with it, and count again: the pairs have changed, and there are new ones.",
            "counts:words": "You count each word once. A word that occurs nine times brings each of its pairs nine "
            "times.",
            "merged:once": "You merge the pair at its first place in a word only. It may stand there more than once.",
            "rarest": "You take the rarest pair. The most frequent one is merged: mind the sign in the key of `min`, "
            "or take `max`.",
            "tie:first": "Of equally frequent pairs you take the one that was met first. The one that makes the "
            "shorter piece comes first, and of equally long ones the first in the alphabet.",
            "tie:pair": "You compare equally frequent pairs as tuples. They are compared by the piece that they "
            "*make*: the shorter one first, then by the alphabet.",
            "tie:alphabet": "You order equally frequent pairs by the alphabet alone. The shorter piece comes first, "
            "the alphabet only decides between equally long ones.",
            "tie:longest": "Of equally frequent pairs you take the one that makes the longest piece. The shorter "
            "piece comes first.",
            "tie:last": "Of equally frequent and equally long pieces you take the last in the alphabet. With `max` "
            "and a tuple as the key, all its entries are turned round.",
            "stop:once": "You stop when no pair occurs twice. Go on as long as there is a pair and merges are left.",
            "number:more": "You learn one merge too many.",
            "number:less": "You learn one merge too few.",
            "pieces": "Your list holds the merged pieces. Encoding needs the two parts of each: a list of pairs.",
            "reversed": "Your list begins with the merge that was learned last. The first comes first.",
        }
    ),
    misconceptions={
        lambda words, n_merges: _reference(words, n_merges)[
            :1
        ]: "You return after the first merge. Is the `return` inside the loop?",
    },
)
