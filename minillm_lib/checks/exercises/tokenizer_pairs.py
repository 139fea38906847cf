"""The exercises of notebook 04 on pairs: merging one, and counting all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from minillm_lib.checks.comparing import difference
from minillm_lib.checks.exercise import Exercise, Inputs

Pair = tuple[str, str]
Words = Mapping[tuple[str, ...], int]
LETTERS = tuple("abdeghiklnorstu")


def merge_pair(pieces: Sequence[str], pair: Pair) -> list[str]:
    """Merge a pair wherever it stands, from left to right."""
    merged: list[str] = []
    i = 0
    while i < len(pieces):
        together = tuple(pieces[i : i + 2]) == tuple(pair)
        merged.append(pair[0] + pair[1] if together else pieces[i])
        i += 2 if together else 1
    return merged


def _merge_inputs(rng: np.random.Generator) -> Inputs:
    """Draw three equal pieces in succession, the pair twice, a piece that only ends like the pair's first."""
    x, y, other = (str(letter) for letter in rng.choice(LETTERS, size=3, replace=False))
    pair = (x, x) if rng.random() < 0.5 else (x, y)
    parts = [[x, x, x, other], [*pair, other], [other + x, pair[1], other], [x, y, x, other], [y, x, other]]
    end = [[y], list(pair), [x]][int(rng.integers(3))]
    return [piece for i in rng.permutation(len(parts)) for piece in parts[i]] + end, pair


def _overlapping(pieces: Sequence[str], pair: Pair) -> list[str]:
    found = [tuple(pieces[i : i + 2]) == pair for i in range(len(pieces))]
    return [
        "".join(pair) if here else piece
        for piece, here, before in zip(pieces, found, [False, *found], strict=False)
        if here or not before
    ]


def _second_kept(pieces: Sequence[str], pair: Pair) -> list[str]:
    return ["".join(pair) if tuple(pieces[i : i + 2]) == pair else pieces[i] for i in range(len(pieces))]


def _replaced_in_text(pieces: Sequence[str], pair: Pair) -> list[str]:
    return " ".join(pieces).replace(" ".join(pair), "".join(pair)).split(" ")


def first_only(pieces: Sequence[str], pair: Pair) -> list[str]:
    """Merge a pair at its first place, which is a mistake."""
    places = [i for i in range(len(pieces)) if tuple(pieces[i : i + 2]) == pair]
    if not places:
        return list(pieces)
    return [*pieces[: places[0]], "".join(pair), *pieces[places[0] + 2 :]]


def _from_the_right(pieces: Sequence[str], pair: Pair) -> list[str]:
    mirrored = merge_pair([piece[::-1] for piece in pieces[::-1]], (pair[1][::-1], pair[0][::-1]))
    return [piece[::-1] for piece in mirrored[::-1]]


def _rewritten(
    fits: Callable[[str, str, Pair], bool] = lambda a, b, pair: (a, b) == pair,
    written: Callable[[str, str, Pair], list[Any]] = lambda a, b, pair: [a + b],
    end: int = 0,
) -> Callable[[Sequence[str], Pair], list[Any]]:
    """Return a wrong ``merge_pair`` that merges other places, writes something else there, or stops too early."""

    def answer(pieces: Sequence[str], pair: Pair) -> list[Any]:
        merged: list[Any] = []
        i = 0
        while i < len(pieces):
            together = i + 1 < len(pieces) - end and fits(pieces[i], pieces[i + 1], pair)
            merged += written(pieces[i], pieces[i + 1], pair) if together else [pieces[i]]
            i += 2 if together else 1
        return merged

    return answer


def _last_lost(pieces: Sequence[str], pair: Pair) -> list[str]:
    merged, i = [], 0
    while i < len(pieces) - 1:
        together = (pieces[i], pieces[i + 1]) == pair
        merged.append(pieces[i] + pieces[i + 1] if together else pieces[i])
        i += 2 if together else 1
    return merged


def _unbounded(pieces: Sequence[str], pair: Pair) -> list[str]:
    if pieces and pieces[-1] == pair[0] and merge_pair(pieces, pair)[-1] == pair[0]:
        raise IndexError("list index out of range")
    return merge_pair(pieces, pair)


def _reaching_beyond(pieces: Sequence[str], pair: Pair) -> list[str]:
    if pieces and merge_pair(pieces, pair)[-1] == pieces[-1]:
        raise IndexError("list index out of range")
    return merge_pair(pieces, pair)


_MERGES: dict[str, Inputs] = {
    "a list that ends with the first of the pair": (["b", "a", "b", "a"], ("a", "b")),
    "a list that ends with the pair": (["b", "a", "b"], ("a", "b")),
    "a list of the pair alone": (["a", "b"], ("a", "b")),
    "four equal pieces in a row": (["a", "a", "a", "a"], ("a", "a")),
    "an empty list": ([], ("a", "b")),
    "a single piece": (["a"], ("a", "b")),
    "a list without the pair": (["b", "a", "c", "b"], ("a", "b")),
    "pieces of several letters": (["th", "e", "t", "he", "th", "e", "e"], ("th", "e")),
    "pieces that already are the merged one": (["aa", "a", "b", "aa"], ("a", "a")),
}


def count_pairs(words: Words) -> Counter[Pair]:
    """Count the places of each pair of neighbours."""
    counts: Counter[Pair] = Counter()
    for pieces, count in words.items():
        for pair in pairwise(pieces):
            counts[pair] += count
    return counts


def _word_counts(rng: np.random.Generator) -> Inputs:
    """Draw words with equal pieces in succession, a pair that occurs twice, and a pair in both orders."""
    x, y, z = (str(letter) for letter in rng.choice(LETTERS, size=3, replace=False))
    words = [(x, x, x, y), (y, x, y, x, z), (x + y, z), (z, y, x), (y, x + y, z)]
    counts = rng.permutation(np.arange(2, 12))[: len(words)].tolist()
    return (dict(zip(words, counts, strict=True)),)


def same_counts(got: Any, expected: Any) -> str | None:
    """Compare counts in any kind of mapping; a count of 0 equals a missing entry."""
    got, expected = (
        {pair: count for pair, count in counts.items() if count != 0}
        if isinstance(counts, Mapping)
        else counts
        for counts in (got, expected)
    )
    return difference(got, expected)


def _in_blocks(pieces: list[str], pair: Pair) -> list[str]:
    blocks = [pieces[i : i + 2] for i in range(0, len(pieces), 2)]
    return [piece for block in blocks for piece in (["".join(pair)] if tuple(block) == pair else block)]


def _by_index(pieces: list[str], pair: Pair) -> list[str]:
    merged = []
    for piece in pieces:
        place = pieces.index(piece)
        if tuple(pieces[place : place + 2]) == pair:
            merged.append("".join(pair))
        elif place == 0 or tuple(pieces[place - 1 : place + 1]) != pair:
            merged.append(piece)
    return merged


def _without_overlaps(words: Words) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for pieces, count in words.items():
        for pair in set(pairwise(pieces)):
            counts[pair] += count * (len(pieces) - len(merge_pair(pieces, pair)))
    return counts


def _once_a_word(words: Words) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for pieces, count in words.items():
        for pair in set(pairwise(pieces)):
            counts[pair] += count
    return counts


def _across_words(words: Words) -> Counter[Pair]:
    row = [piece for pieces, count in words.items() for _ in range(count) for piece in pieces]
    return Counter(pairwise(row))


def _in_any_order(words: Words) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for (left, right), count in count_pairs(words).items():
        counts[min(left, right), max(left, right)] += count
    return counts


def _single_pieces(words: Words) -> Counter[str]:
    return Counter({piece: sum(n * p.count(piece) for p, n in words.items()) for p in words for piece in p})


def _counted(
    pairs: Callable[[tuple[str, ...]], Iterable[Any]], times: Callable[[int], int] = lambda count: count
) -> Callable[[Words], Counter[Any]]:
    """Return a wrong ``count_pairs`` that takes other pairs from a word, or counts them another number of times."""

    def answer(words: Words) -> Counter[Any]:
        counts: Counter[Any] = Counter()
        for pieces, count in words.items():
            for pair in pairs(pieces):
                counts[pair] += times(count)
        return counts

    return answer


def _last_word_only(words: Words) -> dict[Pair, int]:
    return {pair: count for pieces, count in words.items() for pair in pairwise(pieces)}


_WORDS: dict[str, Inputs] = {
    "no words": ({},),
    "words of a single piece": ({("a",): 3, ("b",): 2},),
    "a word of two pieces": ({("a", "b"): 4},),
    "a run of equal pieces": ({("a", "a", "a", "a"): 2},),
    "pieces of several letters": ({("th", "e"): 5, ("t", "he"): 1, ("th", "e", "r", "e"): 2},),
}


PAIR_EXERCISES = (
    Exercise(
        name="merge_pair",
        reference=merge_pair,
        edge_cases=_MERGES,
        inputs=_merge_inputs,
        cases=12,
        hints=(
            "Go through the list with an index i of your own. What do you put into the new list at i, and "
            "how far does i go on, if the pair stands there? And if not?",
            "If `pieces[i]` and `pieces[i + 1]` are the pair, append their concatenation and go on by 2, "
            "otherwise append `pieces[i]` and go on by 1. Mind the last piece, which has no next one.",
            "`while i < len(pieces)`. Compare the pair with a slice of two pieces, as a tuple: at the end the slice "
            "is shorter, and so is not equal.",
        ),
        misconceptions={
            _overlapping: "Where three equal pieces stand in a row, you use the middle one twice. A piece "
            "that has been merged is gone: go on after it, so that a a a becomes aa a.",
            _second_kept: "You put the merged piece in, and then its second half once more. Skip both "
            "pieces of the pair, not only the first.",
            _replaced_in_text: "You replace inside a joined text. There a piece that only *ends* like the "
            "first of the pair passes for it: with the pair (a, b), the pieces ca b become cab. Compare "
            "whole pieces.",
            _in_blocks: "You go on by two pieces at each step, so a pair is only found at an even place. Go on by "
            "one where nothing is merged.",
            _by_index: "`pieces.index(…)` gives the *first* place of a piece. Where it occurs again, your code looks "
            "at the wrong neighbour: count the places yourself.",
            first_only: "You merge the first place only. Go on to the end of the list.",
            _from_the_right: "You go from right to left, so that a a a becomes a aa. Begin at the left.",
            _unbounded: "If the list ends with the first of the pair, your code reads one piece too far: "
            "the last piece has no next one. Test `i + 1 < len(pieces)` first.",
            _reaching_beyond: "At the last piece your code reads one piece too far: it has no next one. Test "
            "`i + 1 < len(pieces)` first.",
            _last_lost: "The last piece is lost if it is not merged: the loop ends one before it. Append "
            "it after the loop.",
            _rewritten(end=1): "A pair at the very end of the list is not merged: your loop stops too early.",
            _rewritten(lambda a, b, pair: a == pair[0]): "You only compare the first of the pair. Both "
            "pieces must be equal: `(pieces[i], pieces[i + 1]) == pair`.",
            _rewritten(lambda a, b, pair: b == pair[1]): "You only compare the second of the pair. Both "
            "pieces must be equal: `(pieces[i], pieces[i + 1]) == pair`.",
            _rewritten(lambda a, b, pair: a + b == pair[0] + pair[1]): "You compare what the two pieces "
            "make together. Other pieces may make the same letters, as a bc and ab c: compare piece by "
            "piece.",
            _rewritten(lambda a, b, pair: {a, b} == set(pair)): "You merge the two in either order. The "
            "pair (a, b) is not (b, a).",
            _rewritten(lambda a, b, pair: (b, a) == pair): "You look for the pair in the wrong order: "
            "`pair[0]` stands first.",
            _rewritten(written=lambda a, b, pair: [b + a]): "You join the two in the wrong order: "
            "`pair[0] + pair[1]`.",
            _rewritten(written=lambda a, b, pair: [f"{a} {b}"]): "You put a space between the two. Their "
            "concatenation has none.",
            _rewritten(written=lambda a, b, pair: [pair]): "You put the pair in as a tuple. It becomes "
            "one string: `pair[0] + pair[1]`.",
            _rewritten(written=lambda a, b, pair: []): "The pair is taken out, but the merged piece is "
            "not put in.",
            _rewritten(written=lambda a, b, pair: [a + b, a, b]): "You put the merged piece in, and keep "
            "both pieces as well. It replaces them.",
            _rewritten(written=lambda a, b, pair: [a, b]): "The list comes back as it was: nothing is "
            "merged.",
            lambda pieces, pair: ["".join(pair) for place in pairwise(pieces) if place == pair]: "You "
            "return the merged pieces only. All others stay in the list.",
            lambda pieces, pair: "".join(pieces): "You return one string. A list of pieces is asked for.",
        },
    ),
    Exercise(
        name="count_pairs",
        points=2,
        reference=count_pairs,
        edge_cases=_WORDS,
        inputs=_word_counts,
        compare=same_counts,
        hints=(
            "Two loops: over the words with their counts, and inside over the neighbours within a word.",
            "`pairwise(pieces)`, or `zip(pieces, pieces[1:])`, gives the neighbours. How much does each "
            "place add to the count of its pair?",
            "A `Counter` begins at 0 for every pair. Inside both loops, add to the entry of the pair as "
            "many as the word has occurrences in the text.",
        ),
        misconceptions={
            _counted(pairwise, lambda count: 1): "You count each word once. A word that occurs nine times "
            "in the text brings each of its pairs nine times.",
            _once_a_word: "A pair that stands in a word twice counts twice; you count it once for each word.",
            _without_overlaps: "In a row of three equal pieces the pair stands at two places, and both "
            "count. You count how often it could be merged.",
            _across_words: "You count pairs across the border of two words. A piece never spans words, so "
            "only neighbours *within* a word make a pair.",
            _in_any_order: "You count (a, b) and (b, a) as one. They would become different pieces, ab "
            "and ba.",
            _single_pieces: "You count single pieces. Count neighbours: `zip(pieces, pieces[1:])` gives "
            "them.",
            _last_word_only: "A pair that stands in several places keeps the count of the last one only: "
            "add to it, with `+=`.",
            _counted(lambda pieces: list(pairwise(pieces))[:-1]): "The last pair of each word is lost: a "
            "word of n pieces has n − 1 pairs.",
            _counted(lambda pieces: list(pairwise(pieces))[1:]): "The first pair of each word is lost: a "
            "word of n pieces has n − 1 pairs.",
            _counted(lambda pieces: zip(pieces, (*pieces[1:], pieces[0]), strict=True)): "The last piece "
            "of a word makes a pair with the first in your code. Only neighbours do.",
            _counted(lambda pieces: zip(pieces[::2], pieces[1::2], strict=False)): "You cut each word "
            "into pairs, so that a piece belongs to one pair only. Each piece but the last makes a pair "
            "with the next one.",
            _counted(lambda pieces: combinations(pieces, 2)): "You count all pairs of pieces of a word. Only "
            "neighbours make a pair.",
            _counted(lambda pieces: zip(pieces, pieces[2:], strict=False)): "You leave out the piece "
            "between the two. Neighbours make a pair: `pieces[i]` and `pieces[i + 1]`.",
            _counted(lambda pieces: ((b, a) for a, b in pairwise(pieces))): "Your pairs are in the wrong "
            "order: the piece on the left comes first.",
            _counted(lambda pieces: (a + b for a, b in pairwise(pieces))): "Your keys are the joined "
            "strings. A key is the pair, a tuple of two pieces: ab may come from (a, b) only, but abc from "
            "(a, bc) or (ab, c).",
            _counted(lambda pieces: (f"{a} {b}" for a, b in pairwise(pieces))): "Your keys are strings. A "
            "key is the pair, a tuple of two pieces.",
            _counted(lambda pieces: pairwise("".join(pieces))): "You count pairs of *letters*. Count "
            "pairs of pieces, which may have several letters.",
            _counted(pairwise, lambda count: 2 * count): "You add each count twice.",
            _counted(pairwise, lambda count: count + 1): "Your counts begin at 1, or one is added too "
            "often: each place adds the count of its word, and nothing else.",
            lambda words: Counter(
                {words_of: sum(1 for _ in pairwise(words_of)) for words_of in words}
            ): "Your keys are the words. A key is a pair of neighbouring pieces.",
            lambda words: count_pairs(words).most_common(): "You return a list. A dictionary (or "
            "Counter) is asked for, from pair to count.",
            lambda words: sum(count_pairs(words).values()): "You return how many pairs there are "
            "altogether. Each pair has a count of its own, in a dictionary.",
        },
    ),
)
