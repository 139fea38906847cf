"""The exercises of notebook 03: which terms describe a topic, held-out perplexity, and convergence over chains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.topics import summary

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _topics(rng: np.random.Generator) -> Inputs:
    topic_word = rng.dirichlet(np.full(9, 2.0), size=4)
    return topic_word, rng.integers(5, 300, size=9), float(rng.uniform(0.1, 0.4))


def _relevance(topic_word: FloatArray, term_frequency: IntArray, weight: float) -> FloatArray:
    return summary.relevance(topic_word, term_frequency, weight)


def _relevance_from_counts(topic_word: FloatArray, term_frequency: IntArray, weight: float) -> FloatArray:
    return np.log(topic_word) - (1 - weight) * np.log(term_frequency)


def _relevance_without_logarithms(
    topic_word: FloatArray, term_frequency: IntArray, weight: float
) -> FloatArray:
    return weight * topic_word + (1 - weight) * topic_word / (term_frequency / term_frequency.sum())


def _relevance_of_inverted_lift(
    topic_word: FloatArray, term_frequency: IntArray, weight: float
) -> FloatArray:
    log_lift = np.log(topic_word) - np.log(term_frequency / term_frequency.sum())
    return weight * np.log(topic_word) - (1 - weight) * log_lift


def _held_out(rng: np.random.Generator) -> Inputs:
    """Draw documents of very different lengths, in which terms repeat."""
    doc_topic, topic_word = rng.dirichlet(np.full(3, 0.5), size=4), rng.dirichlet(np.full(8, 0.5), size=3)
    lengths = np.array([3, 60, 12, 150])
    hidden = np.array([rng.multinomial(n, p) for n, p in zip(lengths, doc_topic @ topic_word, strict=True)])
    # a floor, so that no term is impossible for any topic
    return doc_topic, (topic_word + 0.02) / (1 + 8 * 0.02), hidden


def _mean_log_probability(doc_topic: FloatArray, topic_word: FloatArray, hidden: IntArray) -> float:
    return float(np.sum(hidden * np.log(doc_topic @ topic_word)) / hidden.sum())


def _completion_perplexity(doc_topic: FloatArray, topic_word: FloatArray, hidden: IntArray) -> float:
    return float(np.exp(-_mean_log_probability(doc_topic, topic_word, hidden)))


def _from_mean_probability(doc_topic: FloatArray, topic_word: FloatArray, hidden: IntArray) -> float:
    return float(hidden.sum() / np.sum(hidden * (doc_topic @ topic_word)))


def _logarithm_inside_the_mixture(doc_topic: FloatArray, topic_word: FloatArray, hidden: IntArray) -> float:
    return float(np.exp(-np.sum(hidden * (doc_topic @ np.log(topic_word))) / hidden.sum()))


def _each_term_once(doc_topic: FloatArray, topic_word: FloatArray, hidden: IntArray) -> float:
    return _completion_perplexity(doc_topic, topic_word, (hidden > 0).astype(np.int64))


def _each_document_alike(doc_topic: FloatArray, topic_word: FloatArray, hidden: IntArray) -> float:
    by_document = np.sum(hidden * np.log(doc_topic @ topic_word), axis=1) / hidden.sum(axis=1)
    return float(np.exp(-by_document.mean()))


def _mean_of_perplexities(doc_topic: FloatArray, topic_word: FloatArray, hidden: IntArray) -> float:
    by_document = np.sum(hidden * np.log(doc_topic @ topic_word), axis=1) / hidden.sum(axis=1)
    return float(np.exp(-by_document).mean())


def _chains(rng: np.random.Generator) -> Inputs:
    """Draw four short chains at different levels, each with a drift."""
    drift = rng.uniform(-1, 1, size=(4, 1)) * np.linspace(0, 2, 12)
    return (rng.standard_normal((4, 12)) + rng.standard_normal((4, 1)) + drift,)


def _halves(chains: FloatArray) -> FloatArray:
    return np.concatenate(np.split(chains, 2, axis=1))


def _r_hat(pieces: FloatArray, *, within_ddof: int = 1, between_ddof: int = 1) -> float:
    n = pieces.shape[1]
    within = pieces.var(axis=1, ddof=within_ddof).mean()
    return float(np.sqrt((n - 1) / n + pieces.mean(axis=1).var(ddof=between_ddof) / within))


def _split_r_hat(chains: FloatArray) -> float:
    return _r_hat(_halves(chains))


def _ratio_with_b(chains: FloatArray) -> float:
    halves = _halves(chains)
    n = halves.shape[1]
    ratio = n * halves.mean(axis=1).var(ddof=1) / halves.var(axis=1, ddof=1).mean()
    return float(np.sqrt((n - 1) / n + ratio))


def _over_all_values(chains: FloatArray) -> float:
    halves = _halves(chains)
    n = halves.shape[1]
    return float(np.sqrt((n - 1) / n + halves.mean(axis=1).var(ddof=1) / halves.var(ddof=1)))


EXERCISES = (
    Exercise(
        name="relevance",
        reference=_relevance,
        inputs=_topics,
        misconceptions={
            lambda topic_word, term_frequency, weight: _relevance(
                topic_word, term_frequency, 1 - weight
            ): "You have exchanged λ and 1 − λ: λ belongs to the probability, 1 − λ to the lift.",
            _relevance_from_counts: "The lift needs p(w), but `term_frequency` holds counts: divide them by their "
            "sum. The ranking comes out right, the numbers do not.",
            _relevance_of_inverted_lift: "The lift is upside down: it is p(w|k) / p(w), large where the topic uses "
            "the term more than others do.",
            _relevance_without_logarithms: "The logarithms are missing: (1) weighs ln p(w|k) against ln of the lift.",
            lambda topic_word, term_frequency, weight: (
                weight * np.log(topic_word) + (1 - weight) * np.log(topic_word / topic_word.sum(axis=0))
            ): "You divide by the sum over the topics, as if all were "
            "equally large. p(w) comes from `term_frequency`.",
        },
    ),
    Exercise(
        name="completion_perplexity",
        points=2,
        reference=_completion_perplexity,
        inputs=_held_out,
        misconceptions={
            _from_mean_probability: "You average the probabilities and take the inverse. Perplexity averages their "
            "*logarithms*: one token that was thought impossible must count.",
            _logarithm_inside_the_mixture: "You take the logarithm of φ before mixing. A token's probability is the "
            "sum over topics; the logarithm comes after it.",
            _each_term_once: "You count each term of a document once. `hidden` holds how often it stands there: every "
            "token counts.",
            _each_document_alike: "You average within each document first, so a token of a short document weighs more. "
            "In (2) all tokens weigh the same: one sum, divided by their total number.",
            _mean_of_perplexities: "You average the perplexities of the documents. Equation (2) has one mean, over all "
            "tokens, and the exponential comes last.",
            lambda doc_topic, topic_word, hidden: (
                -_mean_log_probability(doc_topic, topic_word, hidden)
            ): "That is the loss in nats a token. Its exponential is the perplexity.",
            lambda doc_topic, topic_word, hidden: float(
                2 ** -_mean_log_probability(doc_topic, topic_word, hidden)
            ): "You mix bases: the logarithm is natural, the power is of 2. Take the same for both.",
            lambda doc_topic, topic_word, hidden: float(
                np.exp(_mean_log_probability(doc_topic, topic_word, hidden))
            ): "The minus sign is missing: a perplexity is at least 1.",
        },
    ),
    Exercise(
        name="split_r_hat",
        points=3,
        reference=_split_r_hat,
        inputs=_chains,
        misconceptions={
            _r_hat: "You do not cut the chains into halves: then a chain that drifts all the way looks settled.",
            lambda chains: _r_hat(
                np.concatenate([chains[:, ::2], chains[:, 1::2]])
            ): "You take every second value. The halves are the first and the second half of each chain: otherwise "
            "both drift alike.",
            lambda chains: _split_r_hat(chains) ** 2: "The square root is missing.",
            _ratio_with_b: "You divide B by W, but the formula has B / n, the variance of the means itself: do not "
            "multiply it by n.",
            _over_all_values: "You divide by the variance of all values together. W is the mean of the variances "
            "*within* the pieces, so that it does not see how far apart they lie.",
            lambda chains: _r_hat(
                _halves(chains), within_ddof=0, between_ddof=0
            ): "Your variances divide by the number of values. The usual estimate divides by one less: `ddof=1`.",
            lambda chains: _r_hat(
                _halves(chains), between_ddof=0
            ): "The variance of the means needs `ddof=1` too: there are few pieces, so it matters there most.",
            lambda chains: _r_hat(
                _halves(chains), within_ddof=0
            ): "The variances within the pieces need `ddof=1` too.",
        },
    ),
)
