"""The exercises of notebook 15: a linear probe, and a topic model that reads in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from minillm_lib.checks.exercise import Exercise, Inputs

Array = np.ndarray[Any, np.dtype[Any]]
Filtered = tuple[Array, Array]


def _states(rng: np.random.Generator) -> Inputs:
    """Draw topics of different frequency, states far from 0, and new states from elsewhere."""
    n_topics, size = 4, 6
    topics = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3])[rng.permutation(12)]
    centres = 2 * rng.standard_normal((n_topics, size)) + 3
    states = centres[topics] + rng.standard_normal((12, size))
    new_states = centres[rng.integers(0, n_topics, 5)] + rng.standard_normal((5, size)) + 0.5
    return states, topics, new_states, n_topics, float(rng.uniform(1, 5))


def _linear_probe(states: Array, topics: Array, new_states: Array, n_topics: int, penalty: float) -> Array:
    ridge = Ridge(alpha=penalty).fit(states, np.eye(n_topics)[topics])
    scores: Array = ridge.predict(new_states)
    return scores


def _probe_with(
    centred: bool = True,
    mean_of: Callable[[Array, Array], Array] = lambda states, new_states: states.mean(axis=0),
    penalty_of: Callable[[float, int], float] = lambda penalty, n: penalty,
    adds_the_mean: bool = True,
) -> Callable[[Array, Array, Array, int, float], Array]:
    """Return a wrong probe that differs by the given options."""

    def wrong_probe(states: Array, topics: Array, new_states: Array, n_topics: int, penalty: float) -> Array:
        one_hot = np.eye(n_topics)[topics]
        mean, share = states.mean(axis=0) * centred, one_hot.mean(axis=0) * centred
        x, y = states - mean, one_hot - share
        ridge = penalty_of(penalty, len(states)) * np.eye(x.shape[1])
        weights = np.linalg.solve(x.T @ x + ridge, x.T @ y)
        scores: Array = (new_states - mean_of(states, new_states) * centred) @ weights
        return scores + share * adds_the_mean

    return wrong_probe


def _document(rng: np.random.Generator) -> Inputs:
    """Draw topics of unequal frequency that share words, and a document, sometimes of a thousand words."""
    n_topics, n_terms = 3, 8
    topic_word = rng.dirichlet(np.full(n_terms, 1.0), size=n_topics) + 0.02
    topic_word /= topic_word.sum(axis=1, keepdims=True)
    length = 1000 if rng.random() < 0.4 else int(rng.integers(4, 9))
    words = rng.choice(n_terms, length, p=topic_word[rng.integers(n_topics)])
    return words, topic_word, rng.dirichlet(np.array([1.0, 3.0, 6.0]))


def _topic_filter(words: Array, topic_word: Array, prior: Array) -> Filtered:
    """Compute the filter in logarithms, for all words at once."""
    log_joint = np.log(prior)[:, None] + np.log(topic_word[:, words]).cumsum(axis=1)  # (K, T)
    log_evidence = np.logaddexp.reduce(log_joint, axis=0)  # (T,)
    return -np.diff(log_evidence, prepend=0.0), np.exp(log_joint[:, -1] - log_evidence[-1])


def _filter_with(
    predict: Callable[[Array, Array], float] = lambda belief, likelihood: float(belief @ likelihood),
    learn: Callable[[Array, Array, Array], Array] = lambda belief, likelihood, prior: belief * likelihood,
    sees_the_word: bool = False,
    log: Callable[[float], Any] = np.log,
    sign: float = -1.0,
) -> Callable[[Array, Array, Array], Filtered]:
    """Return a wrong filter that differs by the given options."""

    def wrong_filter(words: Array, topic_word: Array, prior: Array) -> Filtered:
        belief, losses = prior, []
        for word in words:
            likelihood = topic_word[:, word]
            learned = learn(belief, likelihood, prior)
            learned = learned / learned.sum()
            losses.append(sign * log(predict(learned if sees_the_word else belief, likelihood)))
            belief = learned
        return np.array(losses), belief

    return wrong_filter


def _by_the_likeliest(belief: Array, likelihood: Array) -> float:
    return float(likelihood[belief.argmax()])


def _by_the_mean_logarithm(belief: Array, likelihood: Array) -> float:
    return float(np.exp(belief @ np.log(likelihood)))


EXERCISES = (
    Exercise(
        name="linear_probe",
        points=2,
        reference=_linear_probe,
        inputs=_states,
        misconceptions={
            _probe_with(
                centred=False
            ): "Nothing is centred. Subtract the means over the labelled documents, of the "
            "states and of the one-hot rows; otherwise the probe has no offset, and the penalty acts on it.",
            _probe_with(
                mean_of=lambda states, new_states: new_states.mean(axis=0)
            ): "You centre the new states by "
            "their own mean. They must be moved as the labelled ones were, by the mean of the labelled ones.",
            _probe_with(
                mean_of=lambda states, new_states: 0 * states[0]
            ): "You centre the labelled states, but not the new ones: subtract the same mean from them.",
            _probe_with(
                adds_the_mean=False
            ): "The scores lack the mean of the one-hot rows, which was subtracted "
            "from the targets: add it again.",
            _probe_with(penalty_of=lambda penalty, n: 0.0): "The penalty is missing: λI belongs to XᵀX.",
            _probe_with(
                penalty_of=lambda penalty, n: penalty * n
            ): "You multiply the penalty by the number of "
            "documents. In the formula it is added to XᵀX, which is a sum, as it is.",
        },
    ),
    Exercise(
        name="topic_filter",
        points=4,
        reference=_topic_filter,
        inputs=_document,
        misconceptions={
            _filter_with(
                sees_the_word=True
            ): "You predict each word with what was learned from that very word. "
            "First predict with the belief so far, then learn.",
            _filter_with(
                learn=lambda belief, likelihood, prior: prior
            ): "Nothing is learned: each word is predicted "
            "from the prior. After each word the belief must be multiplied by its likelihood, and normalised.",
            _filter_with(
                learn=lambda belief, likelihood, prior: prior * likelihood
            ): "Your belief starts from the "
            "prior again with each word, so that it rests on the last word only. Start from the belief so far.",
            _filter_with(
                learn=lambda belief, likelihood, prior: belief * likelihood * prior
            ): "The prior is multiplied in with every word. It counts once, at the beginning.",
            _filter_with(
                predict=_by_the_likeliest
            ): "You predict from the likeliest topic alone. Equation (2) sums "
            "over all topics, weighted by their probabilities.",
            _filter_with(
                predict=_by_the_mean_logarithm
            ): "You average logarithms over the topics. Average the "
            "probabilities, and take the logarithm of that.",
            _filter_with(
                log=np.log2
            ): "Your losses are in bits. Here they are in nats: take the natural logarithm.",
            _filter_with(sign=1.0): "Your losses have the wrong sign: a loss is *minus* the logarithm.",
        },
    ),
)
