"""Phrases in a corpus of numbered words: which words belong together, and the corpus with them joined.

The same as :func:`~minillm_lib.topics.terms.join_phrases` does with the words of one document, for all documents at
once, on arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from minillm_lib.topics.terms import normalized_pointwise_mutual_information

Numbers = NDArray[np.int32]
"""Words by their number in a list of words, and -1 where no phrase may extend across, as between two documents."""


def find_phrases(
    numbers: Numbers, words: Sequence[str], *, min_count: int, min_npmi: float
) -> frozenset[str]:
    """Find runs of two to four words that belong together.

    Two adjacent words are a phrase if they stand together at least ``min_count`` times with a normalised pointwise
    mutual information of at least ``min_npmi``. A second pass, over the text with those phrases joined, finds longer
    ones: "stochastic" + "gradient descent". A phrase that then stands alone fewer than ``min_count`` times was part of
    a longer phrase ("hidden markov") and is dropped.

    Parameters
    ----------
    words
        The word of each number.

    Returns
    -------
    frozenset[str]
        The phrases, with spaces between their words.
    """
    phrases: list[str] = []
    for _ in range(2):
        joined, _ = join_phrases(numbers, words, phrases)
        names = [*words, *phrases]
        counts = np.bincount(joined[joined >= 0], minlength=len(names))
        total = int(counts.sum())
        found = {
            f"{names[a]} {names[b]}"
            for a, b, count in _frequent_pairs(joined, counts, min_count)
            if normalized_pointwise_mutual_information(count, int(counts[a]), int(counts[b]), total)
            >= min_npmi
        }
        phrases = sorted(found.union(phrases))
    joined, _ = join_phrases(numbers, words, phrases)
    alone = np.bincount(joined[joined >= 0], minlength=len(words) + len(phrases))[len(words) :]
    return frozenset(phrase for phrase, count in zip(phrases, alone, strict=True) if count >= min_count)


def _frequent_pairs(
    numbers: Numbers, counts: NDArray[np.int64], min_count: int
) -> list[tuple[int, int, int]]:
    """Return the two numbers of each pair of different neighbours, and how often they stand together."""
    is_frequent = np.append(counts >= min_count, False)  # the last place is that of -1
    at = np.flatnonzero(is_frequent[numbers[:-1]] & is_frequent[numbers[1:]] & (numbers[:-1] != numbers[1:]))
    pairs = numbers[at].astype(np.int64) * len(counts) + numbers[at + 1]
    pairs.sort()
    firsts = np.flatnonzero(np.r_[True, pairs[1:] != pairs[:-1]][: len(pairs)])
    sizes = np.diff(np.r_[firsts, len(pairs)])
    frequent = sizes >= min_count
    a, b = np.divmod(pairs[firsts[frequent]], len(counts))
    return list(zip(a.tolist(), b.tolist(), sizes[frequent].tolist(), strict=True))


def join_phrases(
    numbers: Numbers, words: Sequence[str], phrases: Collection[str]
) -> tuple[Numbers, NDArray[np.int64]]:
    """Join the words of known phrases, from the left and with the longest phrase first.

    Returns
    -------
    joined
        The numbers, in which ``len(words) + i`` stands for the ``i``-th of the sorted phrases.
    removed
        The places in ``numbers``, in order, that a phrase took up besides its first one.
    """
    places, lengths, found = _longest_phrases(numbers, _Prefixes(words, sorted(phrases)))
    chosen, end = [], 0
    for i, (place, length) in enumerate(zip(places.tolist(), lengths.tolist(), strict=True)):
        if place >= end:
            chosen.append(i)
            end = place + length
    places, lengths = places[chosen], lengths[chosen]
    joined = numbers.copy()
    joined[places] = len(words) + found[chosen]
    removed = np.sort(np.concatenate([places[lengths > more] + more for more in range(1, 4)]))
    return np.delete(joined, removed), removed


class _Prefixes:
    """The beginnings of phrases: the first word, then the first two, three and four.

    Attributes
    ----------
    keys
        For each length from 2 to 4, the sorted beginnings of this length: the place of the beginning that is one word
        shorter (for 2, the number of the first word) times ``n_words``, plus the number of the last word.
    phrase
        For each of these, the number of the phrase that it is, or -1.
    """

    def __init__(self, words: Sequence[str], phrases: Sequence[str]) -> None:
        self.n_words = len(words)
        number_of = {word: number for number, word in enumerate(words)}
        known = {}
        for i, phrase in enumerate(phrases):
            numbers = tuple(number_of.get(word, -1) for word in phrase.split(" "))
            if -1 not in numbers:
                known[numbers] = i
        self.keys: list[NDArray[np.int64]] = []
        self.phrase: list[NDArray[np.int64]] = []
        place_of: dict[tuple[int, ...], int] = {(number,): number for each in known for number in each[:1]}
        for length in range(2, 5):
            beginnings = {each[:length] for each in known if len(each) >= length}
            keys = {each: place_of[each[:-1]] * self.n_words + each[-1] for each in beginnings}
            in_order = sorted(keys, key=keys.__getitem__)
            place_of = {each: place for place, each in enumerate(in_order)}
            self.keys.append(np.array([keys[each] for each in in_order], dtype=np.int64))
            self.phrase.append(np.array([known.get(each, -1) for each in in_order], dtype=np.int64))


def _longest_phrases(
    numbers: Numbers, prefixes: _Prefixes
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each place where a phrase starts, the length of the longest one there, and its number."""
    is_first, is_second = (np.zeros(prefixes.n_words + 1, dtype=bool) for _ in range(2))
    first, second = np.divmod(prefixes.keys[0], max(prefixes.n_words, 1))
    is_first[first] = is_second[second] = True
    places = np.flatnonzero(is_first[numbers[:-1]] & is_second[numbers[1:]])
    lengths, phrases = np.ones(len(places), dtype=np.int64), np.full(len(places), -1)
    alive, prefix = np.arange(len(places)), numbers[places].astype(np.int64)
    for length, keys, phrase in zip(range(2, 5), prefixes.keys, prefixes.phrase, strict=True):
        last = places[alive] + length - 1
        word = np.where(last < len(numbers), numbers[np.minimum(last, len(numbers) - 1)], -1)
        wanted = prefix * prefixes.n_words + word
        place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        matches = (word >= 0) & (keys[place] == wanted) if len(keys) else np.zeros(len(alive), dtype=bool)
        alive, prefix = alive[matches], place[matches]
        is_phrase = phrase[prefix] >= 0
        lengths[alive[is_phrase]] = length
        phrases[alive[is_phrase]] = phrase[prefix[is_phrase]]
    is_phrase = phrases >= 0
    return places[is_phrase], lengths[is_phrase], phrases[is_phrase]
