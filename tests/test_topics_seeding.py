"""Seed terms: exact posteriors with them, and a theme that goes where it is told to."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse
from scipy.special import gammaln, psi
from test_topics_gibbs_sampler import sampler_for, visits_of

from minillm_lib.topics.gibbs_lda import GibbsLDA
from minillm_lib.topics.gibbs_sampler import Tokens
from minillm_lib.topics.neurips_papers import load_neurips
from minillm_lib.topics.seeding import seed_matrix

KERNELS = ["plain", "dense", "sparse"]


def log_joint(tokens, z, alpha, beta, seeds):
    """log p(w, z) with the prior of term w in topic k at beta + seeds[k, w], term by term from the definition."""
    n_topics, n_terms = seeds.shape
    doc_topic, topic_word = np.zeros((tokens.n_documents, n_topics)), np.zeros((n_topics, n_terms))
    np.add.at(doc_topic, (tokens.documents, z), 1)
    np.add.at(topic_word, (z, tokens.terms), 1)

    def rows(counts, prior):
        by_row = gammaln(prior.sum(axis=-1)) - gammaln((counts + prior).sum(axis=-1))
        return by_row.sum() + (gammaln(counts + prior) - gammaln(prior)).sum()

    return rows(doc_topic, np.broadcast_to(alpha, doc_topic.shape)) + rows(topic_word, beta + seeds)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n_topics", [2, 3])
def test_samples_follow_the_exact_posterior_with_prior_counts(kernel, n_topics):
    X = [[2, 1, 0], [0, 1, 2]] if n_topics == 2 else [[2, 1, 0], [0, 1, 1]]
    seeds = np.array([[3, 0, 0], [0, 0, 1], [0, 2, 2]])[:n_topics]
    alpha, n_tokens = np.array([0.9, 0.2, 0.5])[:n_topics], int(np.sum(X))
    tokens = Tokens.from_matrix(sparse.csr_matrix(np.asarray(X, dtype=np.float64)))
    states = itertools.product(range(n_topics), repeat=n_tokens)
    exact = np.exp([log_joint(tokens, np.array(z), alpha, 0.3, seeds) for z in states])
    exact /= exact.sum()
    sampler = sampler_for(X, n_topics, alpha=alpha, kernel=kernel, seed_terms=sparse.csr_matrix(seeds))
    visits = visits_of(sampler, n_tokens)
    assert 0.5 * np.abs(visits - exact).sum() < 0.03

    plain = visits_of(sampler_for(X, n_topics, alpha=alpha, kernel=kernel), n_tokens, n_sweeps=4_000)
    assert 0.5 * np.abs(plain - exact).sum() > 0.1  # the test can fail: without the seeds, it does


@pytest.mark.parametrize("n_blocks", [1, 3])
@pytest.mark.parametrize(("n_topics", "kernel"), [(5, "dense"), (5, "plain"), (5, "sparse"), (40, "auto")])
def test_prior_counts_are_in_phi_and_in_the_likelihood_but_not_in_the_counts(n_topics, kernel, n_blocks):
    rng = np.random.default_rng(1)
    X, alpha, beta = rng.poisson(0.7, size=(30, 17)), np.full(n_topics, 0.5), 0.3
    X[:, 3] = 0  # a seeded term that no document has
    seeds = np.zeros((n_topics, 17))
    seeds[0, [2, 3]], seeds[1, 2], seeds[4, 16] = 1_000, 7, 1
    tokens = Tokens.from_matrix(sparse.csr_matrix(X.astype(float)))
    sampler = sampler_for(X, n_topics, kernel=kernel, n_blocks=n_blocks, seed_terms=sparse.csr_matrix(seeds))
    sums = np.zeros((17, n_topics)), np.zeros((17, n_topics))
    with ThreadPoolExecutor(3) as executor:
        for _ in range(5):
            sampler.sweep(executor)
    counts = np.zeros((n_topics, 17))
    np.add.at(counts, (sampler.assignments, tokens.terms), 1)
    np.testing.assert_array_equal(sampler.topic_word_counts, counts)
    np.testing.assert_array_equal(sampler.topic_totals, counts.sum(axis=1))
    phi = counts + seeds + beta
    phi /= phi.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sampler.topic_word(), phi)
    sampler.add_to(*sums)
    averaged = sums[1].T + (beta / sampler.topic_masses)[:, None]
    np.testing.assert_allclose(averaged, phi)
    exact = log_joint(tokens, sampler.assignments, alpha, beta, seeds) / X.sum()
    assert sampler.log_likelihoods[-1] == pytest.approx(exact, rel=1e-9)
    assert sampler.log_likelihood() == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("n_topics", [3, 40])
def test_beta_is_learned_given_the_prior_counts(n_topics):
    """At the fixed point, the derivative of log p(w, z) by beta vanishes."""
    rng = np.random.default_rng(4)
    X, seeds = rng.poisson(1.0, size=(100, 20)), np.zeros((n_topics, 20))
    seeds[0, :5], seeds[1, 7] = 4, 30
    sampler = sampler_for(X, n_topics, seed_terms=sparse.csr_matrix(seeds))
    for _ in range(5):
        sampler.sweep()
    for _ in range(3_000):
        sampler.update_beta()
    n, prior = sampler.topic_word_counts, sampler.beta + seeds
    derivative = (psi(n + prior) - psi(prior)).sum()
    derivative -= 20 * (psi((n + prior).sum(axis=1)) - psi(prior.sum(axis=1))).sum()
    assert derivative == pytest.approx(0, abs=1e-2)
    assert sampler.beta > 1e-3


@pytest.mark.parametrize("shown", ["central", "consensus"])
@pytest.mark.parametrize("n_topics", [4, 40])
def test_the_estimator_gives_the_mean_of_the_samples_and_transforms_with_it(n_topics, shown):
    rng = np.random.default_rng(2)
    X, seeds = rng.poisson(0.6, size=(40, 12)), np.zeros((n_topics, 12), dtype=int)
    seeds[2, [0, 5]] = 20
    lda = GibbsLDA(
        n_topics, n_sweeps=12, burn_in=6, thin=3, n_chains=1, random_state=0, seed_terms=seeds, shown=shown
    )
    seen = []
    for (sampler,) in lda.iter_sweeps(X):
        seen.append((sampler.topic_word(), sampler.topic_word_counts + lda.beta + seeds))
    np.testing.assert_allclose(lda.topic_word_, np.mean([seen[8][0], seen[11][0]], axis=0), rtol=1e-6)
    np.testing.assert_allclose(lda.components_, np.mean([seen[8][1], seen[11][1]], axis=0), rtol=1e-6)
    several = GibbsLDA(
        n_topics, n_sweeps=12, random_state=0, seed_terms=sparse.csr_matrix(seeds), shown=shown
    )
    several.fit(X)
    np.testing.assert_allclose(several.topic_word_.sum(axis=1), 1)
    assert (several.components_[2, [0, 5]] >= 20).all()
    assert several.transform([[3] + [0] * 11])[0, 2] > 1 / n_topics


def test_seeds_of_zero_change_nothing():
    X = np.random.default_rng(3).poisson(0.5, size=(30, 9))
    plain, seeded = (
        GibbsLDA(3, n_sweeps=8, random_state=0, seed_terms=seeds).fit(X) for seeds in (None, np.zeros((3, 9)))
    )
    np.testing.assert_array_equal(plain.topic_word_, seeded.topic_word_)


def test_seed_words_bring_their_theme_into_the_topic_of_your_choice():
    bag = load_neurips()
    seeds = seed_matrix({7: ["neuron", "spike", "cortex"]}, bag.vocabulary, 10)
    for seed in range(3):
        lda = GibbsLDA(10, n_sweeps=100, n_chains=2, random_state=seed, seed_terms=seeds).fit(bag)
        # words that nobody gave: they come along
        assert {"brain", "neural"} <= set(lda.top_terms(15)[7])
        column = list(bag.vocabulary).index("neuron")
        in_topics = lda.components_[:, column] - seeds[:, [column]].toarray().ravel()
        assert in_topics.argmax() == 7


def test_a_mapping_becomes_a_matrix_by_numbers_or_by_labels():
    vocabulary = ["game", "neuron", "player", "spike"]
    by_number = seed_matrix({2: ["spike", "neuron", "spike"]}, vocabulary, 3, weight=8)
    assert by_number.toarray().tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 8, 0, 8]]
    by_label = seed_matrix({"brain": ["spike"], "games": ["game", "player"]}, vocabulary, 3, weight=2)
    assert by_label.toarray().tolist() == [[0, 0, 0, 2], [2, 0, 2, 0], [0, 0, 0, 0]]
    with pytest.warns(UserWarning, match="1 seed words are not in the vocabulary and have no effect: axon"):
        seed_matrix({0: ["spike", "axon"]}, vocabulary, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"words": {3: ["game"]}}, "seed words for topic 3, but the topics are 0 to 2"),
        ({"words": {"a": ["game"], 1: ["player"]}}, "all numbers of topics, or all labels"),
        ({"words": {c: ["game"] for c in "abcd"}}, "seed words for 4 topics, but n_topics=3"),
        ({"words": {0: ["axon"]}}, "none of the words of topic 0 is in the vocabulary: axon"),
        ({"words": {0: []}}, "none of the words of topic 0 .*there are none"),
        ({"words": {0: "game"}}, "are one text; give a list of words"),
        ({"weight": 0}, "weight=0 must be a whole number"),
        ({"weight": 1.5}, "weight=1.5 must be a whole number"),
    ],
)
def test_bad_seed_words_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        seed_matrix(**{"words": {0: ["game"]}, "vocabulary": ["game", "player"], "n_topics": 3, **arguments})


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\); it must be \(n_topics, n_terms\) = \(2, 2\)"),
        ([[1, 0.5], [0, 0]], "whole numbers of at least 0; got 0.5"),
        ([[1, -1], [0, 0]], "whole numbers of at least 0; got -1"),
        ([[1, np.nan], [0, 0]], "whole numbers of at least 0; got nan"),
        ([[2**31, 1], [0, 0]], "adds up to 2.15e\\+09"),
        ([["a", "b"], ["c", "d"]], "seed_terms must be a matrix of whole numbers"),
    ],
)
def test_bad_prior_counts_are_named(seeds, message):
    with pytest.raises(ValueError, match=message):
        GibbsLDA(2, n_sweeps=2, seed_terms=seeds).fit([[1, 2], [2, 1]])


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_the_seed_terms_of_the_user_stay_as_they_are(dtype, form):
    """Also those that are not in order, have an entry twice, or hold a zero."""
    parts = (np.array([2, 0, 3, 4], dtype=dtype), (np.array([0, 0, 1, 1]), np.array([2, 1, 0, 0])))
    seeds = sparse.coo_matrix(parts, shape=(2, 3)).asformat(form)
    if form == "csr":
        seeds = sparse.csr_matrix((parts[0], np.array([2, 1, 0, 0]), np.array([0, 2, 4])), shape=(2, 3))
    arrays = [seeds.data, *(seeds.coords if form == "coo" else (seeds.indices, seeds.indptr))]
    before = [array.copy() for array in arrays]
    GibbsLDA(2, n_sweeps=2, n_chains=1, seed_terms=seeds).fit([[1, 2, 3], [3, 0, 1]])
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)
