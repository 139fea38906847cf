from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from minillm_lib.corpora.document import SPLITS, Document, place_of, sample, split_of

TEXTS = [f"text {i}" for i in range(20_000)]


def test_ninety_in_a_hundred_are_for_training():
    counts = Counter(map(split_of, TEXTS))
    assert set(counts) == set(SPLITS)
    shares = [counts[split] / len(TEXTS) for split in SPLITS]
    assert shares == pytest.approx([0.9, 0.05, 0.05], abs=0.005)


def test_places_are_spread_evenly():
    tenths = Counter(int(10 * place_of(text)) for text in TEXTS)
    assert sorted(tenths) == list(range(10))
    assert all(count / len(TEXTS) == pytest.approx(0.1, abs=0.01) for count in tenths.values())


@given(st.text(st.characters()))
def test_any_text_has_a_place_even_one_with_lone_surrogates(text):
    assert 0 <= place_of(text) < 1


def test_a_sample_is_even_and_does_not_depend_on_the_order():
    documents = [Document(text) for text in TEXTS]
    drawn = sample(documents, 1000)
    assert len({document.text for document in drawn}) == 1000
    assert drawn == sample(random.Random(0).sample(documents, len(documents)), 1000)
    numbers = [int(document.text.split()[1]) for document in drawn]
    assert sum(numbers) / 1000 == pytest.approx(len(TEXTS) / 2, rel=0.06)
    assert sorted(sample(documents[:5], 9), key=str) == sorted(documents[:5], key=str)
