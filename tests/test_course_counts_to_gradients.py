"""What notebook 06 says of n-gram models with longer contexts than the library's can have."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minillm_lib import load_grammar
from minillm_lib.model import NGramModel

DISCOUNT = 0.75


@pytest.fixture(scope="module")
def texts():
    """Return the training and the test text of the notebook as tokens, and the number of different tokens."""
    grammar = load_grammar("en")
    words = [
        [[*re.findall(r"\w+|[^\w\s]", document.text), "<end>"] for document in grammar.generate(n, seed=seed)]
        for n, seed in ((2000, 0), (100, 1))
    ]
    vocabulary = ["<end>", *sorted({word for document in words[0] for word in document} - {"<end>"})]
    number = {word: i for i, word in enumerate(vocabulary)}
    return *(np.array([number[word] for document in part for word in document]) for part in words), len(
        vocabulary
    )


def kneser_ney_loss(train, test, vocab_size, order):
    """Return the loss of an n-gram model of any order; n-grams are random 64-bit sums, which hardly ever collide."""
    codes = np.random.default_rng(0).integers(0, 2**63, size=(order, vocab_size), dtype=np.uint64)

    def grams(tokens, n):
        padded = np.concatenate([np.zeros(order - 1, dtype=int), tokens])
        parts = [codes[back][padded[order - 1 - back : len(padded) - back]] for back in range(n)]
        return sum(parts), sum(parts[1:], np.zeros(len(tokens), dtype=np.uint64))

    p = np.full(len(test), 1 / vocab_size)
    for n in range(1, order + 1):
        seen, contexts = grams(train, n)
        if n < order:  # below the highest order, an n-gram counts once for each different token before it
            first = np.unique(grams(train, n + 1)[0], return_index=True)[1]
            seen, contexts = seen[first], contexts[first]
        kinds, first, counts = np.unique(seen, return_index=True, return_counts=True)
        groups, group = np.unique(contexts[first], return_inverse=True)
        totals, followers = np.bincount(group, weights=counts), np.bincount(group)
        wanted, wanted_contexts = grams(test, n)
        count, total, n_followers = (
            looked_up(kinds, counts, wanted),
            looked_up(groups, totals, wanted_contexts),
            looked_up(groups, followers, wanted_contexts),
        )
        mixed = (np.maximum(count - DISCOUNT, 0) + DISCOUNT * n_followers * p) / np.maximum(total, 1)
        p = np.where(total > 0, mixed, p)
    return -np.log(p).mean()


def looked_up(keys, values, wanted):
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)


def test_codes_give_the_loss_of_the_library(texts):
    train, test, vocab_size = texts
    padded = [np.concatenate([np.zeros(2, dtype=int), tokens]) for tokens in (train, test)]
    library = NGramModel(3, vocab_size, DISCOUNT).fit(padded[0]).loss(padded[1])
    assert kneser_ney_loss(train, test, vocab_size, 3) == pytest.approx(library)


def test_seven_tokens_before_are_best_and_eleven_are_worse(texts):
    losses = {order: kneser_ney_loss(*texts, order) for order in (6, 8, 12)}
    assert losses[8] == pytest.approx(0.51, abs=0.005)
    assert losses[6] == pytest.approx(losses[12], abs=0.005)
    assert losses[12] == pytest.approx(0.56, abs=0.005)
