from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from minillm_lib.corpora.document import PART, SPLITS, Document, divided, place_of, sample, split_of

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


def test_many_documents_are_divided_by_their_own_hash_in_order():
    documents = [Document(text) for text in TEXTS]
    assert list(divided(documents)) == [(split_of(text), Document(text)) for text in TEXTS]


@given(st.integers(20, 199), st.integers(0, 10**6))
def test_from_twenty_documents_on_each_split_gets_whole_ones(n, seed):
    documents = [Document(f"{seed} {i}") for i in range(n)]
    found = list(divided(documents))
    assert [document for _, document in found] == documents
    counts = Counter(split for split, _ in found)
    assert set(counts) == set(SPLITS)
    assert counts["train"] > 0.5 * n


@given(
    st.lists(st.text("ab cd.\n。", min_size=400, max_size=3000).filter(lambda text: text.strip()), min_size=1)
    .filter(lambda texts: len(texts) < 20)
)  # fmt: skip
def test_fewer_are_cut_and_lose_nothing_but_white_space(texts):
    found = list(divided([Document(text, "here", {"title": "t"}) for text in texts]))
    joined = "".join(document.text for _, document in found)
    assert "".join(joined.split()) == "".join("".join(texts).split())
    assert all(document.meta == {"title": "t", PART: split} for split, document in found)
    held_out = sum(len(document.text) for split, document in found if split != "train")
    assert held_out <= 0.35 * sum(map(len, texts))


def test_a_long_text_is_cut_between_paragraphs_rather_than_lines_rather_than_words():
    paragraphs = [f"Line one of {i}.\nLine two of {i}, which is a little longer." for i in range(2000)]
    for separator, text in (("\n\n", "\n\n".join(paragraphs)), ("\n", "\n".join(paragraphs))):
        parts = {split: document.text for split, document in divided([Document(text)])}
        assert separator.join(parts[split] for split in SPLITS) == text
        for split in ("validation", "test"):
            assert len(parts[split]) / len(text) == pytest.approx(0.05, abs=0.01)
    words = {split: document.text for split, document in divided([Document("word " * 5000)])}
    assert all(set(part.split()) == {"word"} for part in words.values())


def test_a_short_text_keeps_most_of_itself_and_a_tiny_one_all():
    parts = [(split, len(document.text)) for split, document in divided([Document("x" * 1000)])]
    assert parts == [("train", 800), ("validation", 100), ("test", 100)]
    assert [split for split, _ in divided([Document("x")])] == ["train"]
