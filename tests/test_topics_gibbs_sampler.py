"""One chain against the exact posterior, and the bookkeeping of its tables."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.special import gammaln, psi

from minillm_lib.topics.gibbs_sampler import GibbsSampler, Tokens


def sampler_for(X, n_topics=2, *, alpha=0.5, beta=0.3, seed=0, kernel="auto", **options):
    """A sampler; the kernel "plain" is the loop for weights, here with weights of 1."""
    tokens = Tokens.from_matrix(sparse.csr_matrix(np.asarray(X, dtype=np.float64)))
    if kernel == "plain":
        tokens, kernel = replace(tokens, weights=np.ones(len(tokens))), "dense"
    prior = np.full(n_topics, alpha) if np.ndim(alpha) == 0 else np.asarray(alpha)
    seed = np.random.SeedSequence(seed)
    return GibbsSampler(tokens, n_topics, alpha=prior, beta=beta, seed=seed, kernel=kernel, **options)


def joint_log_probability(terms, documents, weights, z, n_terms, alpha, beta):
    """log p(w, z) from the definition: two Dirichlet-multinomials, written without the sampler's tables."""
    total = 0.0
    for d in set(documents):
        n = np.array(
            [
                sum(w for w, e, k in zip(weights, documents, z, strict=True) if e == d and k == t)
                for t in range(len(alpha))
            ]
        )
        total += (
            gammaln(alpha.sum())
            - gammaln(alpha.sum() + n.sum())
            + (gammaln(alpha + n) - gammaln(alpha)).sum()
        )
    for t in range(len(alpha)):
        n = np.array(
            [
                sum(w for w, v, k in zip(weights, terms, z, strict=True) if v == u and k == t)
                for u in range(n_terms)
            ]
        )
        total += (
            gammaln(n_terms * beta)
            - gammaln(n_terms * beta + n.sum())
            + (gammaln(beta + n) - gammaln(beta)).sum()
        )
    return total


def visits_of(sampler, n_tokens, n_sweeps=40_000):
    """How often each assignment of the tokens to topics was the state after a sweep."""
    visits = np.zeros(sampler.n_topics**n_tokens)
    place = sampler.n_topics ** np.arange(n_tokens)[::-1]
    for _ in range(n_sweeps):
        sampler.sweep()
        visits[sampler.assignments @ place] += 1
    return visits / n_sweeps


@pytest.mark.parametrize("kernel", ["plain", "dense", "sparse"])
@pytest.mark.parametrize("alpha", [[0.5, 0.5], [0.9, 0.2], [0.3, 2.0, 0.05]])
def test_samples_follow_the_exact_posterior_over_all_assignments(alpha, kernel):
    """Six tokens, two topics: all 64 assignments are visited as often as they should be; or five, three and 243."""
    X, alpha = [[2, 1, 0], [0, 1, 2]] if len(alpha) == 2 else [[2, 1, 0], [0, 1, 1]], np.array(alpha)
    n_tokens = int(np.sum(X))
    tokens = Tokens.from_matrix(sparse.csr_matrix(np.asarray(X, dtype=np.float64)))
    states = itertools.product(range(len(alpha)), repeat=n_tokens)
    ones = np.ones(n_tokens)
    exact = np.exp(
        [joint_log_probability(tokens.terms, tokens.documents, ones, z, 3, alpha, 0.3) for z in states]
    )
    exact /= exact.sum()
    # A sampler that forgets to take the current token out gives more than 0.1 here (see the next test but one).
    visits = visits_of(sampler_for(X, len(alpha), alpha=alpha, kernel=kernel), n_tokens)
    assert 0.5 * np.abs(visits - exact).sum() < 0.03


@pytest.mark.parametrize("kernel", ["plain", "dense", "sparse"])
@pytest.mark.parametrize("n_topics", [7, 20, 40])
def test_one_token_is_drawn_from_the_conditional_distribution(n_topics, kernel):
    """Among fixed counts, so that every topic, every lane and every part of the sparse sum is drawn from."""
    rng = np.random.default_rng(n_topics)
    X = rng.poisson(3.0, size=(6, 9))
    X[0], X[0, 4] = 0, 1  # a document with one token
    alpha = rng.uniform(0.1, 2.0, size=n_topics)
    sampler = sampler_for(X, n_topics, alpha=alpha, beta=0.2, kernel=kernel)
    sampler._diagonals = [[replace(sampler._diagonals[0][0], documents=slice(0, 1))]]
    table, totals, old = sampler.topic_word_counts, sampler.topic_totals, sampler.assignments[0]
    table[old, 4] -= 1
    totals[old] -= 1
    expected = alpha * (table[:, 4] + 0.2) / (totals + 9 * 0.2)
    drawn = np.zeros(n_topics)
    n_draws = 10_000
    for _ in range(n_draws):
        sampler.sweep()
        drawn[sampler.assignments[0]] += 1
    p = expected / expected.sum()
    assert stats.chisquare(drawn, n_draws * p).pvalue > 1e-3


def test_weighted_samples_follow_the_chain_of_wilson_and_chew():
    """There is no joint to enumerate, but the chain's transition matrix has a stationary distribution."""
    X, alpha, beta = [[1.6, 1, 0], [0, 0.5, 1.2]], np.array([0.9, 0.2]), 0.3
    tokens = Tokens.from_matrix(sparse.csr_matrix(X))
    states = np.array(list(itertools.product(range(2), repeat=len(tokens))))
    chain = np.eye(len(states))
    for i in range(len(tokens)):
        step = np.zeros_like(chain)
        for before, z in enumerate(states):
            others = np.arange(len(tokens)) != i
            by_topic = [others & (z == k) for k in range(2)]
            p = np.array(
                [
                    (tokens.weights[m & (tokens.documents == tokens.documents[i])].sum() + alpha[k])
                    * (tokens.weights[m & (tokens.terms == tokens.terms[i])].sum() + beta)
                    / (tokens.weights[m].sum() + 3 * beta)
                    for k, m in enumerate(by_topic)
                ]
            )
            for k in range(2):
                after = np.flatnonzero((states == np.where(others, z, k)).all(axis=1))[0]
                step[before, after] = p[k] / p.sum()
        chain = chain @ step
    stationary = np.linalg.matrix_power(chain, 1_000)[0]
    visits = visits_of(sampler_for(X, alpha=alpha, beta=beta), len(tokens))
    assert 0.5 * np.abs(visits - stationary).sum() < 0.03


def test_the_posterior_test_can_fail():
    """Forgetting to remove the current token is the usual mistake; the distance above must see it."""
    X, alpha, beta = np.array([[2, 1, 0], [0, 1, 2]]), np.array([0.5, 0.5]), 0.3
    tokens = Tokens.from_matrix(sparse.csr_matrix(X.astype(float)))
    states = list(itertools.product(range(2), repeat=6))
    exact = np.exp(
        [joint_log_probability(tokens.terms, tokens.documents, np.ones(6), z, 3, alpha, beta) for z in states]
    )
    exact /= exact.sum()
    rng = np.random.default_rng(0)
    z, visits = rng.integers(2, size=6), np.zeros(64)
    for _ in range(4_000):
        for i in range(6):
            in_document = np.bincount(z[tokens.documents == tokens.documents[i]], minlength=2)
            of_term = np.bincount(z[tokens.terms == tokens.terms[i]], minlength=2)
            p = (in_document + alpha) * (of_term + beta) / (np.bincount(z, minlength=2) + 3 * beta)
            z[i] = rng.random() > p[0] / p.sum()
        visits[z @ (2 ** np.arange(6)[::-1])] += 1
    assert 0.5 * np.abs(visits / visits.sum() - exact).sum() > 0.1


@pytest.mark.parametrize("n_blocks", [1, 2, 3])
@pytest.mark.parametrize(
    ("n_topics", "kernel"),
    [(5, "dense"), (5, "plain"), (5, "sparse"), (32, "auto"), (33, "auto"), (300, "auto")],
)
def test_the_tables_always_count_the_assignments(n_topics, kernel, n_blocks):
    rng = np.random.default_rng(1)
    X = rng.poisson(0.7, size=(30, 17)) + rng.poisson(20, size=17) * (np.arange(30) == 9)[:, None]
    X[4] = 0
    sampler = sampler_for(X, n_topics, n_blocks=n_blocks, kernel=kernel)
    tokens = Tokens.from_matrix(sparse.csr_matrix(X.astype(float)))
    with ThreadPoolExecutor(3) as executor:
        for _ in range(5):
            sampler.sweep(executor)
    doc_topic, topic_word = np.zeros((30, n_topics)), np.zeros((n_topics, 17))
    np.add.at(doc_topic, (tokens.documents, sampler.assignments), 1)
    np.add.at(topic_word, (sampler.assignments, tokens.terms), 1)
    np.testing.assert_array_equal(sampler.doc_topic_counts, doc_topic)
    np.testing.assert_array_equal(sampler.topic_word_counts, topic_word)
    np.testing.assert_array_equal(sampler.topic_totals, topic_word.sum(axis=1))
    np.testing.assert_array_equal(doc_topic.sum(axis=1), X.sum(axis=1))
    by_definition = (gammaln(doc_topic + 0.5) - gammaln(0.5)).sum() + (
        gammaln(topic_word + 0.3) - gammaln(0.3)
    ).sum()
    by_definition -= (gammaln(X.sum(axis=1) + n_topics * 0.5) - gammaln(n_topics * 0.5)).sum()
    by_definition -= (gammaln(topic_word.sum(axis=1) + 17 * 0.3) - gammaln(17 * 0.3)).sum()
    assert sampler.log_likelihoods[-1] == pytest.approx(by_definition / X.sum(), rel=1e-9)


def test_the_kernel_is_chosen_by_the_number_of_topics_and_can_be_given():
    X = [[2, 1], [1, 3]]
    assert [sampler_for(X, k).kernel for k in (2, 32, 33, 500)] == ["dense", "dense", "sparse", "sparse"]
    assert sampler_for(X, 500, kernel="dense").kernel == "dense"
    assert sampler_for(X, 2, kernel="sparse").kernel == "sparse"
    assert sampler_for([[2, 1.5]], 500).kernel == "dense"
    with pytest.raises(ValueError, match="kernel='sparse' needs whole counts"):
        sampler_for([[2, 1.5]], kernel="sparse")
    with pytest.raises(ValueError, match="kernel='fast' is not one of 'auto', 'dense', 'sparse'"):
        sampler_for(X, kernel="fast")


@pytest.mark.parametrize("kernel", ["dense", "sparse"])
def test_tiny_priors_lose_no_token(kernel):
    """Their product is 0 in float32, and with it the weight of every topic that is not in use."""
    sampler = sampler_for([[3, 1, 0], [1, 0, 2]], 6, alpha=1e-30, beta=1e-30, kernel=kernel)
    for _ in range(50):
        sampler.sweep()
    assert sampler.topic_word_counts.sum(axis=0).tolist() == [4, 1, 2]
    assert np.isfinite(sampler.log_likelihoods).all()


def test_the_state_grows_with_the_tokens_and_not_with_empty_documents():
    few, many = (sparse.random(n, 50, density=20 / n, rng=0, format="csr") for n in (100, 1_000_000))
    few.data[:] = many.data[:] = 1
    of_few, of_many = (
        GibbsSampler(
            Tokens.from_matrix(X), 100, alpha=np.full(100, 0.1), beta=0.1, seed=np.random.SeedSequence(0)
        )
        for X in (few, many)
    )
    assert of_many.state_bytes < 4 * of_few.state_bytes
    of_many.sweep()
    assert of_many.doc_topic_matrix.shape == (1_000_000, 100)
    assert of_many.doc_topic_matrix.sum() == many.sum()


@pytest.mark.slow
@pytest.mark.parametrize("n_topics", [3, 40])
def test_counts_beyond_the_integers_of_float32_are_exact(n_topics):
    X = sparse.csr_matrix([[9_000_000.0, 9_000_000.0], [3.0, 0.0]])
    sampler = sampler_for(X.toarray(), n_topics)
    sampler.sweep()
    counts = sampler.topic_word_counts
    assert counts.sum(axis=0).tolist() == [9_000_003, 9_000_000]
    np.testing.assert_array_equal(np.bincount(sampler.assignments, minlength=n_topics), counts.sum(axis=1))
    np.testing.assert_array_equal(sampler.topic_totals, counts.sum(axis=1))


def test_log_likelihood_is_the_joint_probability_by_definition():
    X = np.array([[2, 1.3, 0], [0, 1, 2], [0, 0, 0]])
    alpha = np.array([0.9, 0.2, 0.4])
    sampler = sampler_for(X, 3, alpha=alpha, beta=0.3)
    tokens = Tokens.from_matrix(sparse.csr_matrix(X))
    sampler.sweep()
    by_definition = joint_log_probability(
        tokens.terms, tokens.documents, tokens.weights, sampler.assignments, 3, alpha, 0.3
    )
    assert sampler.log_likelihoods[-1] == pytest.approx(by_definition / X.sum(), rel=1e-9)


def test_fractional_entries_become_whole_tokens_and_a_rest():
    tokens = Tokens.from_matrix(sparse.csr_matrix([[2.3, 0.0, 1.0], [0.0, 0.5, 0.0]]))
    assert tokens.terms.tolist() == [0, 0, 0, 2, 1]
    np.testing.assert_allclose(tokens.weights, [1, 1, 0.3, 1, 0.5])
    assert tokens.starts.tolist() == [0, 4, 5]


@pytest.mark.parametrize("kernel", ["plain", "dense", "sparse"])
def test_the_result_depends_on_the_blocks_never_on_the_threads(kernel):
    X = np.random.default_rng(2).poisson(0.5, size=(200, 60))
    results = []
    for n_threads in (1, 2, 5):
        sampler = sampler_for(X, 4, n_blocks=4, kernel=kernel)
        with ThreadPoolExecutor(n_threads) as executor:
            for _ in range(20):
                sampler.sweep(executor)
        results.append(sampler.assignments)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_fixed_points_find_the_priors_that_made_the_data():
    rng = np.random.default_rng(3)
    alpha, beta, n_terms = np.array([0.2, 0.6, 1.5]), 0.05, 300
    phi = rng.dirichlet(np.full(n_terms, beta), size=3)
    X = np.array([rng.multinomial(150, theta @ phi) for theta in rng.dirichlet(alpha, size=800)])
    sampler = sampler_for(X, 3, alpha=1.0, beta=0.5, seed=1)
    for sweep in range(150):
        sampler.sweep()
        if sweep > 20:
            sampler.update_alpha()
            sampler.update_beta()
    np.testing.assert_allclose(np.sort(sampler.alpha), alpha, rtol=0.15)
    assert sampler.beta == pytest.approx(beta, rel=0.15)


def test_alpha_update_is_the_fixed_point_of_minka():
    """At the fixed point the gradient of the Dirichlet-multinomial likelihood vanishes."""
    X = np.random.default_rng(4).poisson(1.0, size=(100, 20))
    sampler = sampler_for(X, 3)
    sampler.sweep()
    for _ in range(3_000):
        sampler.update_alpha()
    n, a = sampler.doc_topic_counts.astype(float), sampler.alpha
    gradient = (psi(a.sum()) - psi(n.sum(axis=1) + a.sum())).sum() + (psi(n + a) - psi(a)).sum(axis=0)
    np.testing.assert_allclose(gradient, 0, atol=1e-2)
