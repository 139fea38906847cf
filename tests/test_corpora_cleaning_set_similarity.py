from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minillm_lib.corpora.cleaning.duplicates import find_duplicates, jaccard, shingle_hashes
from minillm_lib.corpora.cleaning.set_similarity import find_similar_sets

SETS = st.lists(st.sets(st.integers(0, 12), max_size=12), max_size=12)


def flat(sets: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sets as sorted hashes, which are spread as those of texts are."""
    spread = [sorted(hash_of(number) for number in each) for each in sets]
    starts = np.cumsum([0, *map(len, sets)])
    return np.array([number for each in spread for number in each], dtype=np.uint32), starts


def hash_of(number: int) -> int:
    return (number + 1) * 0x9E3779B1 % 2**32


def by_comparing_all(sets: list[set[int]], threshold: float) -> list[tuple[int, int, float]]:
    found: list[tuple[int, int, float]] = []
    for own, numbers in enumerate(sets):
        originals = [i for i in range(own) if i not in {copy for copy, _, _ in found} and sets[i]]
        similarities = {i: jaccard(numbers, sets[i]) for i in originals if numbers}
        best = max(similarities, key=similarities.__getitem__, default=None)
        if best is not None and similarities[best] >= threshold:
            found.append((own, best, similarities[best]))
    return found


@given(SETS, st.sampled_from([0.1, 0.3, 0.5, 0.75, 0.8, 1.0]))
def test_the_same_copies_as_by_comparing_all_pairs(sets: list[set[int]], threshold: float) -> None:
    found = find_similar_sets(*flat(sets), threshold=threshold)
    assert found.copies == by_comparing_all(sets, threshold)
    assert found.incomplete == []


@pytest.mark.parametrize("size", [5, 15, 35, 45, 1000])
def test_a_pair_exactly_at_the_threshold_is_found(size: int) -> None:
    whole, part = set(range(size)), set(range(size * 4 // 5))
    assert [copy[:2] for copy in find_similar_sets(*flat([whole, part])).copies] == [(1, 0)]


def test_texts_are_found_as_by_minhash() -> None:
    random = np.random.default_rng(0)
    words = [f"w{i}" for i in range(300)]
    originals = [random.choice(words, size=random.integers(1, 60)).tolist() for _ in range(60)]
    texts = []
    for _ in range(300):
        text = list(originals[random.integers(len(originals))])
        for _ in range(random.integers(0, 3)):
            text[random.integers(len(text))] = words[random.integers(len(words))]
        texts.append(" ".join(text))
    expected = find_duplicates(texts)
    exact = {duplicate.index for duplicate in expected if duplicate.exact}
    hashes = [np.unique(shingle_hashes(text.split()) >> np.uint64(32)).astype(np.uint32) for text in texts]
    starts = np.cumsum([0, *map(len, hashes)])
    left_out = np.array([number in exact for number in range(len(texts))])
    found = find_similar_sets(np.concatenate(hashes), starts, left_out=left_out)
    assert len(found.copies) > 20
    assert found.copies == [(each.index, each.kept, each.similarity) for each in expected if not each.exact]


def test_many_letters_from_one_form_do_not_take_time_in_their_square() -> None:
    form = set(range(100))
    sets = [form | set(range(1000 * i, 1000 * i + 20)) for i in range(1, 300)]  # similarity 100/140
    found = find_similar_sets(*flat(sets), most_candidates=50)
    assert found.copies == []
    assert 0 < len(found.incomplete) <= len(sets) - 50


def test_nothing_to_compare() -> None:
    for sets in ([], [set()], [set(), set()], [{1}]):
        assert find_similar_sets(*flat(sets)).copies == []
