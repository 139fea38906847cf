"""The exercises of notebook 02: the Dirichlet integral, the conditional of Gibbs sampling, and its Markov chain."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from minillm_lib.checks.exercise import Exercise, Inputs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _counts_and_prior(rng: np.random.Generator) -> Inputs:
    return rng.integers(0, 9, size=5) + np.array([0, 3, 0, 1, 2]), rng.uniform(0.2, 2.5, size=5)


def _log_sequence_probability(counts: IntArray, prior: FloatArray) -> float:
    whole = gammaln(prior.sum()) - gammaln(counts.sum() + prior.sum())
    return float(whole + np.sum(gammaln(counts + prior) - gammaln(prior)))


def _without_the_totals(counts: IntArray, prior: FloatArray) -> float:
    return float(np.sum(gammaln(counts + prior) - gammaln(prior)))


def _without_the_prior_constants(counts: IntArray, prior: FloatArray) -> float:
    return float(np.sum(gammaln(counts + prior)) - gammaln(counts.sum() + prior.sum()))


def _of_any_order(counts: IntArray, prior: FloatArray) -> float:
    orders = gammaln(counts.sum() + 1) - np.sum(gammaln(counts + 1))
    return float(_log_sequence_probability(counts, prior) + orders)


def _from_estimated_shares(counts: IntArray, prior: FloatArray) -> float:
    shares = (counts + prior) / (counts.sum() + prior.sum())
    return float(np.sum(counts * np.log(shares)))


def _corpus(rng: np.random.Generator) -> Inputs:
    """Draw a corpus in which documents and terms repeat, with alpha unlike beta, and V beta far from beta."""
    n_topics, n_terms, size = 4, 7, 60
    documents, terms, topics = rng.integers(0, (5, n_terms, n_topics), size=(size, 3)).T
    alpha, beta = rng.uniform(0.6, 1.4), rng.uniform(0.1, 0.4)
    return documents, terms, topics, int(rng.integers(size)), n_topics, n_terms, float(alpha), float(beta)


def _weights(
    documents: IntArray,
    terms: IntArray,
    topics: IntArray,
    i: int,
    n_topics: int,
    prior_total: float,
    alpha: float,
    beta: float,
    *,
    own: bool = False,
) -> FloatArray:
    """Compute equation (5) without normalising it; ``own`` counts token i as well."""
    counted = (np.arange(len(topics)) != i) | own
    in_document = np.bincount(topics[counted & (documents == documents[i])], minlength=n_topics)
    of_term = np.bincount(topics[counted & (terms == terms[i])], minlength=n_topics)
    totals = np.bincount(topics[counted], minlength=n_topics)
    return (in_document + alpha) * (of_term + beta) / (totals + prior_total)


def _normalised(weights: FloatArray) -> FloatArray:
    return weights / weights.sum()


def _topic_conditional(
    documents: IntArray,
    terms: IntArray,
    topics: IntArray,
    i: int,
    n_topics: int,
    n_terms: int,
    alpha: float,
    beta: float,
) -> FloatArray:
    return _normalised(_weights(documents, terms, topics, i, n_topics, n_terms * beta, alpha, beta))


def _token_not_removed(documents, terms, topics, i, n_topics, n_terms, alpha, beta):  # type: ignore[no-untyped-def]
    weights = _weights(documents, terms, topics, i, n_topics, n_terms * beta, alpha, beta, own=True)
    return _normalised(weights)


def _priors_exchanged(documents, terms, topics, i, n_topics, n_terms, alpha, beta):  # type: ignore[no-untyped-def]
    return _topic_conditional(documents, terms, topics, i, n_topics, n_terms, beta, alpha)


def _beta_not_times_terms(documents, terms, topics, i, n_topics, n_terms, alpha, beta):  # type: ignore[no-untyped-def]
    return _normalised(_weights(documents, terms, topics, i, n_topics, beta, alpha, beta))


def _beta_times_topics(documents, terms, topics, i, n_topics, n_terms, alpha, beta):  # type: ignore[no-untyped-def]
    return _normalised(_weights(documents, terms, topics, i, n_topics, n_topics * beta, alpha, beta))


def _without_topic_totals(documents, terms, topics, i, n_topics, n_terms, alpha, beta):  # type: ignore[no-untyped-def]
    weights = _weights(documents, terms, topics, i, n_topics, n_terms * beta, alpha, beta)
    totals = np.bincount(np.delete(topics, i), minlength=n_topics)
    return _normalised(weights * (totals + n_terms * beta))


def _not_normalised(documents, terms, topics, i, n_topics, n_terms, alpha, beta):  # type: ignore[no-untyped-def]
    return _weights(documents, terms, topics, i, n_topics, n_terms * beta, alpha, beta)


def _states_and_joints(rng: np.random.Generator) -> Inputs:
    """Return all assignments of three tokens to three topics, in random order, with random joints."""
    states = rng.permutation(np.array(list(itertools.product(range(3), repeat=3))))
    return states, rng.uniform(-6, -1, size=len(states)), int(rng.integers(3))


def _alike(states: IntArray, i: int) -> npt.NDArray[np.bool_]:
    others = np.delete(states, i, axis=1)
    return np.asarray((others[:, None] == others[None]).all(axis=2))


def _by_rows(weights: npt.NDArray[Any]) -> FloatArray:
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _resampling_matrix(states: IntArray, log_joints: FloatArray, i: int) -> FloatArray:
    return _by_rows(_alike(states, i) * np.exp(log_joints - np.max(log_joints)))


EXERCISES = (
    Exercise(
        name="log_sequence_probability",
        reference=_log_sequence_probability,
        inputs=_counts_and_prior,
        misconceptions={
            _without_the_totals: "The first fraction of equation (2) is missing: the gamma functions of the sums, "
            "over all topics, of prior and of counts plus prior.",
            _without_the_prior_constants: "The gamma functions of the prior alone are missing: they come from the "
            "density (1), and without them the probabilities do not sum to 1.",
            _of_any_order: "You give the probability of these counts in *any* order, with a multinomial "
            "coefficient. Here it is one sequence: leave the coefficient out.",
            _from_estimated_shares: "You estimate the shares and put them in. Equation (2) is an average over all "
            "shares; no single vector of shares stands for it.",
            lambda counts, prior: (
                -_log_sequence_probability(counts, prior)
            ): "The sign is wrong: this is minus the logarithm of the probability.",
        },
    ),
    Exercise(
        name="topic_conditional",
        points=2,
        reference=_topic_conditional,
        inputs=_corpus,
        misconceptions={
            _token_not_removed: "You count token i itself, so it votes for the topic that it already has. All counts "
            "in (5) are without it: leave it out of all three before you count.",
            _priors_exchanged: "You have exchanged α and β. α belongs to the topics of the document, β to the terms "
            "of the topic.",
            _beta_not_times_terms: "In the denominator β stands once. A topic gives β to each of the V terms, so the "
            "total is n_k + V β.",
            _beta_times_topics: "In the denominator you multiply β by the number of topics. A topic gives β to each "
            "*term*: multiply by `n_terms`.",
            _without_topic_totals: "The denominator n_k + V β is missing. It is not the same for all topics: without "
            "it, large topics take everything.",
            _not_normalised: "The proportions are right, but they do not sum to 1: divide by their sum.",
        },
    ),
    Exercise(
        name="resampling_matrix",
        points=3,
        reference=_resampling_matrix,
        inputs=_states_and_joints,
        misconceptions={
            lambda states, log_joints, i: (
                _resampling_matrix(states, log_joints, i).T
            ): "The matrix is transposed: "
            "the row is the state from which the chain comes, and each row sums to 1.",
            lambda states, log_joints, i: _by_rows(
                np.ones((len(states), 1)) * np.exp(log_joints)
            ): "You draw the whole state anew. Only token i may change: all other entries of `states[a]` and "
            "`states[b]` must be equal.",
            lambda states, log_joints, i: _by_rows(
                (states[:, None, i] == states[None, :, i]) * np.exp(log_joints)
            ): "You hold token i fixed and draw the others anew. It is the other way round.",
            lambda states, log_joints, i: (
                _alike(states, i) * np.exp(log_joints) / np.exp(log_joints).sum()
            ): "You divide by the sum over *all* states. From state a only those can be reached that differ in token "
            "i at most: divide each row by its own sum.",
            lambda states, log_joints, i: _by_rows(
                (_alike(states, i) & ~np.eye(len(states), dtype=bool)) * np.exp(log_joints)
            ): "You do not let the chain stay where it is. The topic is drawn anew, and may turn out the same.",
            lambda states, log_joints, i: _by_rows(
                1.0 * _alike(states, i)
            ): "You let all topics be equally likely. State b has a weight proportional to its joint probability.",
        },
    ),
)
