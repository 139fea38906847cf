from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from minillm_lib.model.ngram import NGramModel


@pytest.fixture
def tokens():
    return np.random.default_rng(0).integers(0, 7, 400) ** 2 % 7


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_of_any_context_sum_to_one(order, tokens):
    model = NGramModel(order, 7).fit(tokens)
    for context in np.ndindex(*[7] * (order - 1)):
        probabilities = model.probabilities(context)
        assert probabilities.min() > 0
        assert probabilities.sum() == pytest.approx(1)


def test_a_bigram_model_equals_the_formula_written_with_dictionaries(tokens):
    discount, pairs = 0.6, list(zip(tokens.tolist(), tokens[1:].tolist(), strict=False))
    count, total = Counter(pairs), Counter(first for first, _ in pairs)
    followers = Counter(first for first, _ in count)
    preceding = Counter(second for _, second in count)

    def unigram(token):
        n_kinds = len(preceding)
        freed = discount * n_kinds / len(count)
        return max(preceding[token] - discount, 0) / len(count) + freed / 7

    def bigram(first, second):
        if not total[first]:
            return unigram(second)
        freed = discount * followers[first] / total[first]
        return max(count[first, second] - discount, 0) / total[first] + freed * unigram(second)

    model = NGramModel(2, 7, discount=discount).fit(tokens)
    for first in range(7):
        expected = [bigram(first, second) for second in range(7)]
        np.testing.assert_allclose(model.probabilities([first]), expected)
    expected_loss = -np.mean([math.log(bigram(*pair)) for pair in pairs])
    assert model.loss(tokens) == pytest.approx(expected_loss)


def test_a_unigram_model_comes_near_the_entropy_of_independent_tokens():
    shares = np.array([0.5, 0.25, 0.125, 0.125])
    draw = np.random.default_rng(1).choice(4, size=40_000, p=shares)
    model = NGramModel(1, 4).fit(draw[:20_000])
    entropy = -(shares * np.log(shares)).sum()
    assert model.loss(draw[20_000:]) == pytest.approx(entropy, abs=0.02)


def test_higher_orders_learn_what_lower_ones_cannot_see():
    # Each token is the sum of the two before it: no pair predicts anything, every triple does.
    tokens = np.random.default_rng(2).integers(0, 5, 2).tolist()
    generator = np.random.default_rng(3)
    for step in range(6000):
        tokens.append(int(generator.integers(0, 5)) if step % 3 == 0 else (tokens[-1] + tokens[-2]) % 5)
    train, test = tokens[:5000], tokens[5000:]
    bigram, trigram = (NGramModel(order, 5).fit(train).loss(test) for order in (2, 3))
    assert trigram < bigram - 0.2


def test_an_unseen_context_is_left_to_the_lower_order():
    model = NGramModel(3, 4).fit([0, 1, 2, 0, 1, 2, 0, 1])
    bigrams = NGramModel(2, 4)
    bigrams._tables = model._tables[:2]
    np.testing.assert_allclose(model.probabilities([3, 1]), bigrams.probabilities([1]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 5), "order is 0"),
        ((5, 10_000), "63 bits"),
        ((2, 5, 1.0), "discount is 1.0"),
    ],
)
def test_impossible_settings_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        NGramModel(*arguments)


def test_texts_that_are_too_short_or_foreign_are_refused():
    with pytest.raises(ValueError, match="no 3-gram"):
        NGramModel(3, 5).fit([1, 2])
    model = NGramModel(3, 5).fit([1, 2, 3, 4])
    with pytest.raises(ValueError, match="tokens are from 1 to 9; allowed are 0 to 4"):
        model.loss([1, 2, 9])
    with pytest.raises(ValueError, match="needs 2"):
        model.probabilities([1])
    with pytest.raises(ValueError, match="no token to predict"):
        model.loss([1, 2])
