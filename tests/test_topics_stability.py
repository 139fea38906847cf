"""Matching topics: known permutations, known chains, and what a fitted model says of itself."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from test_topics_gibbs_lda import bars

from minillm_lib import GibbsLDA
from minillm_lib.topics.evaluation import convergence_verdict
from minillm_lib.topics.stability import UNSTABLE, match_chains, match_topics, topic_overlap

OF_CHAINS = ("r_hat_", "stability_", "matches_", "match_overlap_")


@pytest.fixture
def topics():
    return np.random.default_rng(0).dirichlet(np.full(60, 0.1), size=7)


def test_overlap_is_the_sum_of_the_smaller_probabilities(topics):
    others = np.random.default_rng(1).dirichlet(np.full(60, 0.1), size=4)
    expected = [[np.minimum(a, b).sum() for b in others] for a in topics]
    np.testing.assert_allclose(topic_overlap(topics, others), expected)
    np.testing.assert_allclose(topic_overlap(topics, topics).diagonal(), 1)
    apart = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.2, 0.8]])
    np.testing.assert_allclose(topic_overlap(apart, apart), np.eye(2), atol=1e-12)


def test_a_permutation_is_found(topics):
    order = np.random.default_rng(2).permutation(7)
    found, overlap = match_topics(topics, topics[order])
    np.testing.assert_array_equal(order[found], np.arange(7))
    np.testing.assert_allclose(overlap, 1)


def test_topics_are_matched_one_to_one_even_if_two_have_the_same_best_partner():
    a = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]])
    b = np.array([[1.0, 0.0, 0.0], [0.0, 0.3, 0.7]])
    order, overlap = match_topics(a, b)
    assert order.tolist() == [0, 1]
    np.testing.assert_allclose(overlap, [0.9, 0.2])


def test_the_chain_in_the_middle_is_central_and_its_topics_are_rated_by_the_others(topics):
    rng = np.random.default_rng(3)
    sign = np.where(rng.random(60) < 0.5, 1, -1)
    shift = topics * sign - topics * (topics @ sign)[:, None]  # adds up to 0
    near = [topics + 0.3 * shift, topics - 0.3 * shift]
    far = rng.dirichlet(np.full(60, 0.1), size=7)
    orders = [rng.permutation(7) for _ in range(4)]
    chains = [far[orders[0]], near[0][orders[1]], topics[orders[2]], near[1][orders[3]]]
    matched = match_chains(chains)
    assert matched.central == 2
    np.testing.assert_array_equal(matched.matches[2], np.arange(7))
    np.testing.assert_array_equal(matched.overlap[2], np.ones(7))
    for chain in (1, 3):
        np.testing.assert_array_equal(orders[chain][matched.matches[chain]], orders[2])
        assert (matched.overlap[chain] > 0.8).all()
    np.testing.assert_allclose(matched.stability, matched.overlap[[0, 1, 3]].mean(axis=0))
    np.testing.assert_allclose(matched.agreement, matched.agreement.T)
    for row, own in zip(matched.matches, chains, strict=True):
        shared = np.minimum(own[row], chains[2]).sum(axis=1)
        np.testing.assert_allclose(shared, matched.overlap[list(map(id, chains)).index(id(own))])


def test_of_two_chains_the_likelier_is_taken(topics):
    others = np.roll(topics, 1, axis=1)
    assert match_chains([topics, others], [-8.0, -7.0]).central == 1
    assert match_chains([topics, others], [-7.0, -8.0]).central == 0


def test_what_does_not_fit_together_is_named(topics):
    with pytest.raises(ValueError, match="over 60 and 59 terms"):
        match_topics(topics, topics[:, 1:])
    with pytest.raises(ValueError, match="7 topics cannot be matched one to one with 6"):
        match_topics(topics, topics[1:])
    with pytest.raises(ValueError, match="at least two chains; got 1"):
        match_chains([topics])


def test_stability_tells_topics_that_are_there_from_topics_that_are_not():
    """Ten bars and ten topics are found by every chain; of pure chance no two chains find the same."""
    X, _ = bars()
    noise = np.random.default_rng(0).multinomial(30, np.full(200, 1 / 200), size=300)
    true = GibbsLDA(10, n_sweeps=200, alpha=0.2, random_state=0).fit(X)
    chance = GibbsLDA(10, n_sweeps=200, alpha=0.2, random_state=0).fit(noise)
    assert true.stability_.mean() > 0.85
    assert (chance.stability_ < UNSTABLE).mean() > 0.8
    np.testing.assert_allclose(true.match_overlap_[true.best_chain_], 1)
    central = true.chains_[true.best_chain_].topic_word
    for chain, order, overlap in zip(true.chains_, true.matches_, true.match_overlap_, strict=True):
        np.testing.assert_allclose(np.minimum(chain.topic_word[order], central).sum(axis=1), overlap)


def test_the_consensus_averages_each_topic_over_the_chains_that_find_it():
    X, _ = bars(200)
    parameters = {"n_sweeps": 60, "alpha": 0.2, "learn_alpha": True, "random_state": 0}
    lda, plain = (GibbsLDA(10, shown=shown, **parameters).fit(X) for shown in ("consensus", "central"))
    central = lda.chains_[lda.best_chain_]
    assert (
        lda.match_overlap_ < UNSTABLE
    ).any()  # chains that found something else, which must not be mixed in
    for topic in range(10):
        finds = [
            (chain, order[topic])
            for chain, order, overlap in zip(lda.chains_, lda.matches_, lda.match_overlap_, strict=True)
            if chain is central or overlap[topic] >= UNSTABLE
        ]
        mean = np.mean([chain.topic_word[own] for chain, own in finds], axis=0)
        np.testing.assert_allclose(lda.topic_word_[topic], mean)
        counts = np.mean([chain.topic_word_counts[own] for chain, own in finds], axis=0)
        np.testing.assert_allclose(lda.components_[topic], counts + central.beta)
        in_documents = np.mean([chain.doc_topic_matrix.toarray()[:, own] for chain, own in finds], axis=0)
        np.testing.assert_allclose(lda._doc_topic_matrix.toarray()[:, topic], in_documents)
    np.testing.assert_allclose(lda.topic_word_.sum(axis=1), 1)
    np.testing.assert_allclose(lda.doc_topic_.sum(axis=1), 1)
    np.testing.assert_array_equal(lda.alpha_, central.alpha)
    np.testing.assert_array_equal(lda.z_, central.assignments)
    np.testing.assert_array_equal(plain.topic_word_, central.topic_word)
    np.testing.assert_array_equal(plain.doc_topic_, central.doc_topic)
    single = GibbsLDA(10, n_sweeps=60, n_chains=1, random_state=0)
    np.testing.assert_array_equal(
        single.fit(X).topic_word_, single.set_params(shown="central").fit(X).topic_word_
    )


def test_a_model_of_one_chain_does_not_have_what_compares_chains():
    """So that dir, hasattr, tab completion and inspect work on every fitted model."""
    one = GibbsLDA(2, n_sweeps=10, n_chains=1, random_state=0).fit([[1, 2], [2, 1]])
    several = GibbsLDA(2, n_sweeps=10, n_chains=2, random_state=0).fit([[1, 2], [2, 1]])
    for name in OF_CHAINS:
        assert not hasattr(one, name)
        assert hasattr(several, name)
        assert not hasattr(GibbsLDA(), name)
        with pytest.raises(AttributeError, match=f"{name} compares several chains.*n_chains=2 or more"):
            getattr(one, name)
        with pytest.raises(NotFittedError):
            getattr(GibbsLDA(), name)
    for model in (one, several, GibbsLDA()):
        assert "fit" in dir(model)
        assert "fit" in dict(inspect.getmembers(model))
    short = GibbsLDA(2, n_sweeps=7, n_chains=2, random_state=0).fit([[1, 2], [2, 1]])
    with pytest.raises(AttributeError, match="at least eight sweeps; this model was fitted with 7"):
        _ = short.r_hat_


def test_the_verdict_on_r_hat_follows_the_papers():
    verdicts = {r_hat: convergence_verdict(r_hat) for r_hat in (1.0, 1.01, 1.02, 1.07, 1.1, 1.2, np.inf)}
    assert list(verdicts.values()) == ["agree"] * 2 + ["nearly agree"] * 3 + ["differ"] * 2
    with pytest.raises(ValueError, match="NaN"):
        convergence_verdict(float("nan"))
