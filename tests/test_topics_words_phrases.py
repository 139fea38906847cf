from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, strategies as st

from minillm_lib.topics import terms
from minillm_lib.topics.terms import normalized_pointwise_mutual_information
from minillm_lib.topics.words.phrases import find_phrases, join_phrases

DOCUMENTS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=14), max_size=6)


def as_numbers(documents: list[list[str | None]]) -> tuple[np.ndarray, list[str]]:
    words = ["a", "b", "c", "d"]
    numbers = [words.index(word) if word else -1 for document in documents for word in [*document, None]]
    return np.array(numbers, dtype=np.int32), words


def find_word_by_word(documents: list[list[str | None]], min_count: int, min_npmi: float) -> frozenset[str]:
    phrases: frozenset[str] = frozenset()
    for _ in range(2):
        joined = [terms.join_phrases(document, phrases) for document in documents]
        words = Counter(word for document in joined for word in document if word)
        pairs = Counter(pair for document in joined for pair in pairwise(document) if None not in pair)
        phrases |= {
            f"{a} {b}"
            for (a, b), count in pairs.items()
            if count >= min_count
            and a != b
            and normalized_pointwise_mutual_information(count, words[a], words[b], words.total()) >= min_npmi
        }
    alone = Counter(term for document in documents for term in terms.join_phrases(document, phrases))
    return frozenset(phrase for phrase in phrases if alone[phrase] >= min_count)


@given(DOCUMENTS, st.integers(1, 4), st.floats(-1, 1))
def test_phrases_are_those_that_counting_word_by_word_finds(
    documents: list[list[str | None]], min_count: int, min_npmi: float
) -> None:
    numbers, words = as_numbers(documents)
    expected = find_word_by_word(documents, min_count, min_npmi)
    assert find_phrases(numbers, words, min_count=min_count, min_npmi=min_npmi) == expected


@given(
    DOCUMENTS,
    st.sets(st.lists(st.sampled_from("abcde"), min_size=2, max_size=4).map(" ".join), max_size=8),
)
def test_phrases_are_joined_as_in_a_single_document(
    documents: list[list[str | None]], phrases: set[str]
) -> None:
    numbers, words = as_numbers(documents)
    joined, removed = join_phrases(numbers, words, phrases)
    names = [*words, *sorted(phrases)]
    expected = [term for document in documents for term in [*terms.join_phrases(document, phrases), None]]
    assert [names[number] if number >= 0 else None for number in joined] == expected
    assert len(joined) + len(removed) == len(numbers)
    assert np.all(np.diff(removed) > 0)
