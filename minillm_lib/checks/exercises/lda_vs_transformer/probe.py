"""A linear probe: ridge regression on one-hot targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Array = np.ndarray[Any, np.dtype[Any]]


def _labelled(
    rng: np.random.Generator, topics: list[int], n_topics: int, size: int, n_new: int, penalty: float
) -> Inputs:
    """Draw states far from 0 for these topics, and new states from elsewhere."""
    centres = 2 * rng.standard_normal((n_topics, size)) + np.linspace(2, 4, size)
    numbers = np.array(topics)
    states = centres[numbers] + rng.standard_normal((len(topics), size))
    new_states = centres[rng.integers(0, n_topics, n_new)] + rng.standard_normal((n_new, size)) + 0.5
    return states, numbers, new_states, n_topics, penalty


def _states(rng: np.random.Generator) -> Inputs:
    """Draw topics of different frequency."""
    topics = rng.permutation([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3]).tolist()
    return _labelled(rng, topics, 4, 6, 5, float(rng.uniform(1.5, 5)))


def _state_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(15)
    return {
        "a topic that no labelled document has": _labelled(rng, [0, 2, 0, 2, 2, 0, 1], 5, 3, 4, 2.0),
        "a topic in the middle that no labelled document has": _labelled(
            rng, [0, 3, 0, 3, 1, 0], 4, 3, 4, 0.5
        ),
        "a single new document": _labelled(rng, [0, 1, 1, 0, 2, 1, 2, 1], 3, 4, 1, 3.0),
        "more dimensions than documents": _labelled(rng, [0, 1, 1, 0], 2, 7, 3, 1.0),
        "states of one dimension": _labelled(rng, [0, 1, 1, 0, 1, 1], 2, 1, 3, 0.3),
        "a small penalty": _labelled(rng, [0, 1, 2, 0, 1, 2, 1, 2, 0, 1], 3, 4, 3, 0.01),
    }


def _linear_probe(states: Array, topics: Array, new_states: Array, n_topics: int, penalty: float) -> Array:
    ridge = Ridge(alpha=penalty).fit(states, np.eye(n_topics)[topics])
    scores: Array = np.asarray(ridge.predict(new_states)).reshape(len(new_states), n_topics)
    return scores


def _column_mean(states: Array) -> Array:
    mean: Array = states.mean(axis=0)
    return mean


def _nothing(states: Array) -> Array:
    return 0 * states[0]


def _probe_with(
    mean_of: Callable[[Array], Array] = _column_mean,
    new_mean_of: Callable[[Array, Array, Array], Array] = lambda states, new_states, mean: mean,
    scale_of: Callable[[Array], Array | float] = lambda states: 1.0,
    targets: Callable[[Array, int], Array] = lambda topics, n_topics: np.eye(n_topics)[topics],
    target_mean_of: Callable[[Array], Array] = _column_mean,
    penalty_of: Callable[[float, int, int], float] = lambda penalty, n, n_topics: penalty,
    added: Callable[[int], Array] = np.eye,
    sign: float = 1.0,
    read: Callable[[Array, Array], Array] = lambda states, new_states: new_states,
    offset: float = 1.0,
    finished: Callable[[Array, Array], Any] = lambda scores, weights: scores,
) -> Callable[..., Any]:
    """Return a wrong probe that differs by the given options."""

    def wrong_probe(states: Array, topics: Array, new_states: Array, n_topics: int, penalty: float) -> Any:
        one_hot = targets(topics, n_topics)
        mean, share, scale = mean_of(states), target_mean_of(one_hot), scale_of(states)
        x, y = (states - mean) / scale, one_hot - share
        size = x.shape[1]
        ridge = penalty_of(penalty, len(states), n_topics) * added(size)
        weights = np.linalg.lstsq(x.T @ x + sign * ridge, x.T @ y, rcond=None)[0]
        asked = (read(states, new_states) - new_mean_of(states, new_states, mean)) / scale
        return finished(asked @ weights + offset * share, weights)

    return wrong_probe


def _softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: Array = raised / raised.sum(axis=1, keepdims=True)
    return probabilities


def _present_topics(topics: Array, n_topics: int) -> Array:
    return (topics[:, None] == np.unique(topics)).astype(float)


LINEAR_PROBE = Exercise(
    name="linear_probe",
    points=3,
    reference=_linear_probe,
    inputs=_states,
    edge_cases=_state_edges,
    hints=(
        "Five things in order: one-hot rows, two means, two centred matrices, W, the scores. Write down their shapes.",
        "`np.eye(n_topics)[topics]` gives the one-hot rows. Both means are over documents, `axis=0`; the new states "
        "are moved by the mean of the *labelled* ones.",
        "`W = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)`; the scores are `(new_states - mean) "
        "@ W` plus the mean of the one-hot rows.",
    ),
    misconceptions={
        _probe_with(
            mean_of=_nothing, target_mean_of=_nothing
        ): "Nothing is centred. Subtract the means over the labelled documents, of the states and of the one-hot "
        "rows; otherwise the probe has no offset, and the penalty acts on it.",
        _probe_with(
            mean_of=_nothing
        ): "The states are not centred: subtract their mean over the labelled documents, from the new ones, too.",
        _probe_with(
            targets=lambda topics, n_topics: topics[:, None].astype(float)
        ): "You regress on the topic's *number*, as if topic 2 were twice topic 1. Each topic has a column of its "
        "own: one-hot rows.",
        _probe_with(
            finished=lambda scores, weights: np.eye(scores.shape[1])[scores.argmax(axis=1)]
        ): "You return the answers as one-hot rows. Return the scores themselves.",
    },
    variant=variant(_probe_with),
    slips={
        (
            "new_mean_of",
            lambda states, new_states, mean: new_states.mean(axis=0),
        ): "You centre the new states by their own mean. They must be moved as the labelled ones were, by the mean of "
        "the labelled ones.",
        (
            "new_mean_of",
            lambda states, new_states, mean: 0 * mean,
        ): "You centre the labelled states, but not the new ones: subtract the same mean from them.",
        (
            "new_mean_of",
            lambda states, new_states, mean: -mean,
        ): "You add the mean to the new states. Subtract it.",
        (
            "new_mean_of",
            lambda states, new_states, mean: np.concatenate([states, new_states]).mean(axis=0),
        ): "The new states are centred by the mean of all states. Only labelled ones count for it.",
        (
            "mean_of",
            lambda states: states.mean(),
        ): "You subtract one number, the mean of all entries. Each dimension has a mean of its own: `axis=0`.",
        (
            "scale_of",
            lambda states: states.std(axis=0),
        ): "You divide the states by their standard deviation. They are only centred here; the penalty then means "
        "something else.",
        (
            "scale_of",
            lambda states: states.std(axis=0, ddof=1),
        ): "You divide the states by their standard deviation. They are only centred here; the penalty then means "
        "something else. Yours has n − 1 in it.",
        (
            "offset",
            0.0,
        ): "The scores lack the mean of the one-hot rows, which was subtracted from the targets: add it again.",
        (
            "offset",
            2.0,
        ): "The mean of the one-hot rows is in the scores twice.",
        (
            "offset",
            -1.0,
        ): "You subtract the mean of the one-hot rows from the scores. Add it.",
        ("penalty_of", lambda penalty, n, n_topics: 0.0): "The penalty is missing: λI belongs to XᵀX.",
        (
            "penalty_of",
            lambda penalty, n, n_topics: penalty * n,
        ): "You multiply the penalty by the number of documents. In the formula it is added to XᵀX, which is a sum, "
        "as it is.",
        (
            "penalty_of",
            lambda penalty, n, n_topics: penalty / n,
        ): "You divide the penalty by the number of documents, or do not divide it where XᵀX is divided. It is added "
        "to XᵀX as it is.",
        (
            "penalty_of",
            lambda penalty, n, n_topics: penalty**2,
        ): "You square the penalty. λ is added as it is.",
        (
            "penalty_of",
            lambda penalty, n, n_topics: penalty**0.5,
        ): "You take the root of the penalty. λ is added to XᵀX as it is.",
        (
            "penalty_of",
            lambda penalty, n, n_topics: penalty / 2,
        ): "You halve the penalty. λ is added as it is.",
        (
            "penalty_of",
            lambda penalty, n, n_topics: 2 * penalty,
        ): "You double the penalty. λ is added as it is.",
        (
            "penalty_of",
            lambda penalty, n, n_topics: 1 / penalty,
        ): "You take 1/λ: scikit-learn's classifiers have such a C, but here λ itself is added.",
        (
            "penalty_of",
            lambda penalty, n, n_topics: 1.0,
        ): "The penalty is always 1: λ is to multiply the identity matrix.",
        (
            "added",
            lambda size: np.ones((size, size)),
        ): "You add the penalty to *every* entry of XᵀX. λI has it on the diagonal only: `penalty * np.eye(d)`.",
        ("sign", -1.0): "You subtract the penalty. It is added to XᵀX.",
        (
            "targets",
            lambda topics, n_topics: np.eye(int(topics.max()) + 1)[topics],
        ): "You make a column for each topic up to the largest number that occurs. There are `n_topics`, also where "
        "no labelled document has the last ones.",
        (
            "targets",
            _present_topics,
        ): "Only topics that occur get a column. There are `n_topics`, also where a topic has no labelled document.",
        (
            "targets",
            lambda topics, n_topics: 2 * np.eye(n_topics)[topics] - 1,
        ): "Your targets are −1 and 1. One-hot rows have 0 and 1.",
        (
            "read",
            lambda states, new_states: states,
        ): "You return the scores of the labelled documents. Those of `new_states` are wanted.",
        (
            "finished",
            lambda scores, weights: scores.argmax(axis=1),
        ): "You return the answers. Return the scores, of which they are the largest: (m, n_topics).",
        (
            "finished",
            lambda scores, weights: _softmax(scores),
        ): "You return probabilities, by a softmax. Return the scores as they are.",
        (
            "finished",
            lambda scores, weights: scores.T,
        ): "The scores are transposed: a row for each document, (m, n_topics).",
        (
            "finished",
            lambda scores, weights: weights,
        ): "You return W. Return the scores of the new documents.",
    },
)
