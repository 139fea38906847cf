"""Comparing documents by hashes gives what comparing their words gives."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minillm_lib.corpora.cleaning.duplicates import (
    find_duplicates,
    jaccard,
    minhash_signature,
    ngram_hashes,
    shingle_hashes,
    shingles,
    text_units,
)
from minillm_lib.corpora.cleaning.pipeline import decontamination, exact_duplicates, near_duplicates
from minillm_lib.corpora.document import Document

WORDS = [f"word{number}" for number in range(300)]
small_texts = st.lists(st.sampled_from(["a", "b", "C", "的", "。", "the,"]), max_size=12).map(" ".join)


def ngrams(text, n):
    units = text_units(text)
    return {tuple(units[start : start + n]) for start in range(len(units) - n + 1)}


def judged(step, texts):
    """The positions of the texts that a corpus filter removes."""
    judge = step.new_memory()
    return [number for number, text in enumerate(texts) if judge(step.sketch(text), number)]


@given(st.lists(small_texts, max_size=4), small_texts, st.integers(1, 5))
@settings(deadline=None)
def test_decontamination_is_the_intersection_of_ngrams(test_texts, text, n):
    shared = any(ngrams(text, n) & ngrams(test_text, n) for test_text in test_texts)
    removal = decontamination(map(Document, test_texts), n=n).test(text)
    assert (removal is not None) == shared
    if removal:
        assert tuple(removal.detail.split()) in ngrams(text, n)
        assert any(tuple(removal.detail.split()) in ngrams(test_text, n) for test_text in test_texts)


def test_thirteen_words_are_found_whatever_their_case_and_punctuation_and_twelve_are_not():
    run = WORDS[:13]
    test = decontamination([Document("Before. " + " ".join(run) + " after")]).test
    assert test("Quite another text: " + ", ".join(run).upper() + "!")
    assert test("Quite another text: " + " ".join(run[:12]) + " something else") is None
    chinese = "主题模型把每篇文档看作若干主题的混合"
    assert decontamination([Document(chinese)]).test("我们说，" + chinese[:13] + "。")
    assert decontamination([Document(chinese)]).test("我们说，" + chinese[:12] + "。") is None


def test_test_documents_too_short_to_look_for_are_counted():
    assert "1 too short" in decontamination([Document("What is LDA?"), Document(" ".join(WORDS))]).why
    with pytest.raises(ValueError, match="n is 0"):
        decontamination([], n=0)


@given(st.lists(small_texts, max_size=12))
@settings(deadline=None)
def test_exact_duplicates_are_those_that_find_duplicates_names(texts):
    named = [duplicate.index for duplicate in find_duplicates(texts, threshold=1) if duplicate.exact]
    assert judged(exact_duplicates(), texts) == named


@given(small_texts, small_texts, st.integers(1, 4))
@settings(deadline=None)
def test_hashes_are_equal_where_ngrams_are(first, second, n):
    a, b = (set(ngram_hashes(text_units(text), n).tolist()) for text in (first, second))
    assert len(a) == len(ngrams(first, n))
    assert len(a & b) == len(ngrams(first, n) & ngrams(second, n))


@pytest.mark.parametrize("changes", [0, 2, 5, 15, 60])
def test_signatures_estimate_the_jaccard_similarity(changes):
    """The mean over forty pairs is within four standard errors of the mean of the exact similarities."""
    draw = random.Random(changes)
    errors = []
    for _ in range(40):
        words = draw.choices(WORDS, k=200)
        edited = list(words)
        for position in draw.sample(range(200), changes):
            edited[position] = "changed"
        first, second = " ".join(words), " ".join(edited)
        own, other = (minhash_signature(shingle_hashes(text_units(text))) for text in (first, second))
        estimate = np.mean(own == other)
        errors.append(estimate - jaccard(shingles(first), shingles(second)))
    assert abs(np.mean(errors)) <= 4 * 0.5 / np.sqrt(128 * 40)
    assert max(map(abs, errors)) <= 5 * 0.5 / np.sqrt(128)


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_near_duplicates_are_found_and_only_those(seed):
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=200)) for _ in range(10)]
    for text in texts[:5]:
        words = text.split()
        words[draw.randrange(200)] = "changed"
        texts.append(" ".join(words))
    for text in texts[5:10]:
        texts.append(" ".join(word if draw.random() > 0.2 else "changed" for word in text.split()))
    assert judged(near_duplicates(), texts) == [d.index for d in find_duplicates(texts)] == [*range(10, 15)]


def test_a_memory_without_texts_grows_by_the_documents_kept_alone():
    step = near_duplicates(threshold=0.5)
    assert judged(step, ["", "…", *[" ".join(WORDS)] * 5, ""]) == [3, 4, 5, 6]


@pytest.mark.parametrize("options", [{"threshold": 0.4}, {"threshold": 1.1}, {"shingle_size": 0}])
def test_options_out_of_range_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        near_duplicates(**options)
