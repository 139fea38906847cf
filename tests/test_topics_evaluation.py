"""Evaluation against gensim, against enumeration, and against what the definitions imply."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from gensim.corpora import Dictionary
from gensim.models import CoherenceModel
from scipy import sparse
from scipy.special import gammaln

from minillm_lib.topics.evaluation import (
    coherence,
    completion_perplexity,
    left_to_right_perplexity,
    r_hat,
    split_tokens,
)
from minillm_lib.topics.gibbs_sampler import Tokens


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    themes = rng.dirichlet(np.full(40, 0.1), size=4)
    lengths = rng.integers(1, 200, size=150)
    return [
        [f"t{v}" for v in rng.choice(40, size=n, p=rng.dirichlet(np.full(4, 0.3)) @ themes)] for n in lengths
    ] + [["rare"], ["rare", "t1"]]


TOPICS = [["t1", "t2", "t3", "t4", "rare"], ["t9", "t8", "t17", "t30", "t1"], ["t5", "t6"]]


@pytest.mark.parametrize(
    ("measure", "window_size"),
    [("c_npmi", None), ("c_npmi", 4), ("c_v", None), ("c_v", 20), ("u_mass", None)],
)
@pytest.mark.parametrize(
    "topics", [TOPICS, TOPICS[2:]], ids=["three topics", "documents without any of the terms"]
)
def test_coherence_equals_gensim(texts, topics, measure, window_size):
    dictionary = Dictionary(texts)
    theirs = CoherenceModel(
        topics=topics,
        texts=texts,
        corpus=[dictionary.doc2bow(text) for text in texts],
        dictionary=dictionary,
        coherence=measure,
        window_size=window_size,
        processes=1,
    ).get_coherence_per_topic()
    np.testing.assert_allclose(
        coherence(topics, texts, measure=measure, window_size=window_size), theirs, rtol=1e-9
    )


@pytest.mark.parametrize("measure", ["c_npmi", "c_v", "u_mass"])
def test_a_matrix_is_documents_that_fit_one_window(texts, measure):
    vocabulary = sorted({term for text in texts for term in text})
    counts = sparse.csr_matrix([[text.count(term) for term in vocabulary] for text in texts])
    as_texts = coherence(TOPICS, texts, measure=measure, window_size=10_000)
    for matrix in (counts, counts.toarray()):
        np.testing.assert_allclose(
            coherence(TOPICS, matrix, vocabulary=vocabulary, measure=measure), as_texts
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "c_uci"}, "'c_uci' is not one of u_mass, c_npmi, c_v"),
        ({"topics": [["t1"]]}, "fewer than two terms"),
        ({"topics": [["t1", "unheard"]]}, "no document contains the term 'unheard'"),
        ({"documents": np.ones((2, 3)), "vocabulary": ["t1"]}, "3 columns needs a vocabulary"),
    ],
)
def test_coherence_says_what_is_wrong(texts, arguments, message):
    with pytest.raises(ValueError, match=message):
        coherence(**{"topics": TOPICS, "documents": texts, **arguments})


def test_left_to_right_equals_the_exact_probability():
    """All assignments of short documents enumerated: p(w) = Σ_z p(z | alpha) Π phi[z, w]."""
    rng = np.random.default_rng(1)
    phi, alpha = rng.dirichlet(np.ones(5), size=3), np.array([0.2, 0.7, 0.4])
    X = np.array([[2, 1, 0, 1, 1], [0, 3, 0, 0, 0], [1, 0, 1, 1, 0]])
    tokens = Tokens.from_matrix(sparse.csr_matrix(X.astype(float)))
    exact = 0.0
    for d in range(3):
        words = np.repeat(np.arange(5), X[d])
        total = 0.0
        for z in itertools.product(range(3), repeat=len(words)):
            n = np.bincount(z, minlength=3)
            prior = (
                gammaln(alpha.sum())
                - gammaln(alpha.sum() + n.sum())
                + (gammaln(alpha + n) - gammaln(alpha)).sum()
            )
            total += np.exp(prior) * phi[list(z), words].prod()
        exact += np.log(total)
    estimate = left_to_right_perplexity(tokens, phi, alpha, n_particles=20_000, seed=3)
    assert np.log(estimate) == pytest.approx(-exact / X.sum(), rel=2e-3)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_the_memory_for_held_out_tokens_does_not_grow_with_their_number(weight):
    rng = np.random.default_rng(4)
    n_topics, n_tokens = 200, 200_000  # 640 MB, if all shares were there at once
    phi, theta = rng.dirichlet(np.ones(50), size=n_topics), rng.dirichlet(np.ones(n_topics), size=20)
    terms = rng.integers(50, size=n_tokens).astype(np.int32)
    weights = np.where(np.arange(n_tokens) % 3, 1.0, weight)
    tokens = Tokens(terms, np.arange(0, n_tokens + 1, n_tokens // 20), weights if weight < 1 else None, 50)
    tracemalloc.start()
    perplexity = completion_perplexity(theta, phi, tokens)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20
    log_probabilities = np.log(theta @ phi)[tokens.documents, terms]
    assert perplexity == pytest.approx(np.exp(-(weights * log_probabilities).sum() / weights.sum()))


def test_split_deals_each_document_in_two_whatever_its_neighbours():
    X = np.random.default_rng(2).poisson(1.5, size=(40, 12)).astype(float)
    observed, hidden = split_tokens(Tokens.from_matrix(sparse.csr_matrix(X)), seed=5)
    halves = [np.zeros_like(X), np.zeros_like(X)]
    for half, tokens in zip(halves, (observed, hidden), strict=True):
        np.add.at(half, (tokens.documents, tokens.terms), 1)
    np.testing.assert_array_equal(halves[0] + halves[1], X)
    np.testing.assert_array_equal(halves[0].sum(axis=1), X.sum(axis=1) // 2)
    alone, _ = split_tokens(Tokens.from_matrix(sparse.csr_matrix(X[7:8])), seed=5)
    np.testing.assert_array_equal(np.bincount(alone.terms, minlength=12), halves[0][7])


def test_r_hat_tells_chains_that_agree_from_chains_that_do_not():
    rng = np.random.default_rng(6)
    agree = rng.normal(size=(4, 1_000))
    assert r_hat(agree) < 1.01
    assert r_hat(agree + np.arange(4)[:, None]) > 1.5
    assert (
        r_hat(agree + np.linspace(0, 3, 1_000)) > 1.2
    )  # all drift together: only splitting the chains shows it
    assert (
        r_hat(agree * np.array([[1], [1], [1], [9]])) > 1.2
    )  # same centre, other spread: only folding shows it
    assert r_hat(np.exp(agree)) == pytest.approx(
        r_hat(agree), abs=0.02
    )  # ranks do not mind a change of scale
    with pytest.raises(ValueError, match="at least two chains"):
        r_hat(agree[:1])


def test_chains_that_never_move_agree_only_at_the_same_value():
    assert r_hat([[1.0] * 4, [1.0] * 4]) == 1
    assert r_hat([[1.0] * 4, [2.0] * 4]) == float("inf")
