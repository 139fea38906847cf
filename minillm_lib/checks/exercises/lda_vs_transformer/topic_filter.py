"""A topic model that reads in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Array = np.ndarray[Any, np.dtype[Any]]
Filtered = tuple[Array, Array]


def _text(rng: np.random.Generator, length: int, n_topics: int, n_terms: int) -> Inputs:
    """Draw topics of unequal frequency that share words, and a document."""
    topic_word = rng.dirichlet(np.full(n_terms, 1.0), size=n_topics) + 0.02
    topic_word /= topic_word.sum(axis=1, keepdims=True)
    words = rng.choice(n_terms, length, p=topic_word[rng.integers(n_topics)])
    return words, topic_word, rng.dirichlet(np.arange(1.0, n_topics + 1) + 1)


def _document(rng: np.random.Generator) -> Inputs:
    return _text(rng, int(rng.integers(4, 9)), 3, 8)


def _document_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(15)
    one_topic = (np.array([2, 0, 1]), np.array([[0.2, 0.5, 0.3]]), np.array([1.0]))
    return {
        "a document of one word": _text(rng, 1, 3, 8),
        "a document of a thousand words": _text(rng, 1000, 3, 8),
        "another document of a thousand words": _text(rng, 1200, 4, 30),
        "as many topics as words": _text(rng, 4, 4, 4),
        "a single topic": one_topic,
    }


def _topic_filter(words: Array, topic_word: Array, prior: Array) -> Filtered:
    """Compute the filter in logarithms, for all words at once."""
    log_joint = np.log(prior)[:, None] + np.log(topic_word[:, words]).cumsum(axis=1)  # (K, T)
    log_evidence = np.logaddexp.reduce(log_joint, axis=0)  # (T,)
    return -np.diff(log_evidence, prepend=0.0), np.exp(log_joint[:, -1] - log_evidence[-1])


Finish = Callable[[Array, Array], Any]


def _filter_with(
    start: Callable[[Array], Array] = lambda prior: prior,
    predict: Callable[[Array, Array], float] = lambda belief, likelihood: float(belief @ likelihood),
    learn: Callable[[Array, Array, Array], Array] = lambda belief, likelihood, prior: belief * likelihood,
    sees_the_word: bool = False,
    log: Callable[[float], Any] = np.log,
    sign: float = -1.0,
    losses: Callable[[Array], Any] = lambda losses: losses,
    posterior: Callable[[Array, Array, Array], Any] = lambda before, belief, start: belief,
    given: Callable[[Any, Any], Any] = lambda losses, belief: (losses, belief),
) -> Callable[[Array, Array, Array], Any]:
    """Return a wrong filter that differs by the given options."""

    def wrong_filter(words: Array, topic_word: Array, prior: Array) -> Any:
        belief = before = start(prior)
        found = []
        for word in words:
            likelihood = topic_word[:, word]
            learned = learn(belief, likelihood, prior)
            learned = learned / learned.sum()
            found.append(sign * log(predict(learned if sees_the_word else belief, likelihood)))
            before, belief = belief, learned
        return given(losses(np.array(found)), posterior(before, belief, start(prior)))

    return wrong_filter


def _never_normalised(words: Array, topic_word: Array, prior: Array) -> tuple[Array, Array, Array]:
    """Return the products of probabilities as floating point has them: (T + 1, K); and the losses they give."""
    joint = [prior]
    with np.errstate(all="ignore"):
        for word in words:
            joint.append(joint[-1] * topic_word[:, word])
        products = np.array(joint)
        sums = products.sum(axis=1)
        return products, sums, -np.log(sums[1:] / sums[:-1])


def _underflowing(words: Array, topic_word: Array, prior: Array) -> Filtered:
    with np.errstate(all="ignore"):
        products, sums, losses = _never_normalised(words, topic_word, prior)
        return losses, products[-1] / sums[-1]


def _hidden_underflow(words: Array, topic_word: Array, prior: Array) -> Filtered:
    products, sums, _ = _never_normalised(words, topic_word, prior)
    tiny = 1e-300
    return -np.log((sums[1:] + tiny) / (sums[:-1] + tiny)), products[-1] / (sums[-1] + tiny)


def _joint_losses(words: Array, topic_word: Array, prior: Array) -> Filtered:
    with np.errstate(all="ignore"):
        products, sums, _ = _never_normalised(words, topic_word, prior)
        return -np.log(sums[1:]), products[-1] / sums[-1]


def _joint_belief(words: Array, topic_word: Array, prior: Array) -> Filtered:
    products, _, _ = _never_normalised(words, topic_word, prior)
    return _topic_filter(words, topic_word, prior)[0], products[-1]


def _losses_of_the_prior(words: Array, topic_word: Array, prior: Array) -> Filtered:
    return -np.log(prior @ topic_word[:, words]), _topic_filter(words, topic_word, prior)[1]


def _last_word_only(words: Array, topic_word: Array, prior: Array) -> Filtered:
    return _topic_filter(words, topic_word, prior)[0], _topic_filter(words[-1:], topic_word, prior)[1]


def _by_the_likeliest(belief: Array, likelihood: Array) -> float:
    return float(likelihood[belief.argmax()])


def _by_the_mean_logarithm(belief: Array, likelihood: Array) -> float:
    return float(np.exp(belief @ np.log(likelihood)))


TOPIC_FILTER = Exercise(
    name="topic_filter",
    points=2,
    reference=_topic_filter,
    inputs=_document,
    edge_cases=_document_edges,
    hints=(
        "Go through the words with one variable, the probabilities of the topics so far. What is it before the first "
        "word?",
        "For each word: belief times likelihood, number by number. The sum of that is the prediction, and that "
        "divided by its sum is the new belief.",
        "`joint = belief * topic_word[:, word]`; append `-np.log(joint.sum())`; then `belief = joint / joint.sum()`. "
        "Begin with `belief = prior`.",
    ),
    misconceptions={
        _underflowing: "Right for short documents. In long ones the product of so many probabilities becomes 0 in "
        "floating point: divide the belief by its sum after each word.",
        _hidden_underflow: "In long documents your product of probabilities becomes 0 in floating point, and the "
        "small number added to it hides that. Divide the belief by its sum after each word.",
        _joint_losses: "Your losses add up from word to word, because the belief is not divided by its sum: they are "
        "those of all words so far. And in long documents the product becomes 0.",
        _joint_belief: "The losses are right, but the probabilities of the topics are not divided by their sum.",
        _losses_of_the_prior: "Each word is predicted from the prior. Predict it from what was learned of the words "
        "before.",
        _last_word_only: "The losses are right, but the probabilities in the end rest on the last word alone.",
    },
    variant=variant(_filter_with),
    slips={
        (
            "sees_the_word",
            True,
        ): "You predict each word with what was learned from that very word. First predict with the belief so far, "
        "then learn.",
        (
            "learn",
            lambda belief, likelihood, prior: prior,
        ): "Nothing is learned: each word is predicted from the prior. After each word the belief must be multiplied "
        "by its likelihood, and normalised.",
        (
            "learn",
            lambda belief, likelihood, prior: prior * likelihood,
        ): "Your belief starts from the prior again with each word, so that it rests on the last word only. Start "
        "from the belief so far.",
        (
            "learn",
            lambda belief, likelihood, prior: belief * likelihood * prior,
        ): "The prior is multiplied in with every word. It counts once, at the beginning.",
        (
            "learn",
            lambda belief, likelihood, prior: likelihood,
        ): "The belief is only the last word's likelihood. Multiply it by the belief so far.",
        (
            "learn",
            lambda belief, likelihood, prior: belief + likelihood,
        ): "You add the likelihood. By Bayes' rule the belief is *multiplied* by it.",
        (
            "learn",
            lambda belief, likelihood, prior: belief / likelihood,
        ): "You divide by the likelihood. By Bayes' rule the belief is *multiplied* by it.",
        (
            "start",
            lambda prior: np.full(len(prior), 1 / len(prior)),
        ): "You begin with topics that are equally likely. Begin with `prior`.",
        (
            "predict",
            _by_the_likeliest,
        ): "You predict from the likeliest topic alone. Equation (3) sums over all topics, weighted by their "
        "probabilities.",
        (
            "predict",
            _by_the_mean_logarithm,
        ): "You average logarithms over the topics. Average the probabilities, and take the logarithm of that.",
        (
            "predict",
            lambda belief, likelihood: float(likelihood.mean()),
        ): "You average over the topics as if all were equally likely. Weigh them by the belief.",
        (
            "predict",
            lambda belief, likelihood: float(likelihood.sum()),
        ): "You add up the word's probabilities over the topics. Weigh them by the belief.",
        (
            "predict",
            lambda belief, likelihood: float((belief * likelihood).max()),
        ): "You take the largest term. Equation (3) *sums* over the topics.",
        (
            "predict",
            lambda belief, likelihood: float((belief * likelihood).mean()),
        ): "You average the terms. Equation (3) *sums* over the topics: the belief is the weight already.",
        (
            "log",
            np.log2,
        ): "Your losses are in bits. Here they are in nats: take the natural logarithm.",
        (
            "log",
            np.log10,
        ): "Your losses have the logarithm to base 10. Here they are in nats: take the natural logarithm.",
        (
            "log",
            lambda probability: probability,
        ): "The logarithm is missing in the losses.",
        (
            "sign",
            1.0,
        ): "Your losses have the wrong sign: a loss is *minus* the logarithm.",
        (
            "losses",
            lambda losses: losses.cumsum(),
        ): "Your losses add up from word to word. Wanted is the loss of each word alone.",
        (
            "losses",
            lambda losses: losses.mean(),
        ): "You return the mean loss. Return that of each word, (T,).",
        (
            "losses",
            lambda losses: losses.sum(),
        ): "You return the sum of the losses. Return that of each word, (T,).",
        (
            "losses",
            lambda losses: losses.tolist(),
        ): "Your losses are a list. Make an array of it: `np.array(losses)`.",
        (
            "losses",
            np.exp,
        ): "You raise e to the losses. Leave them as logarithms.",
        (
            "losses",
            lambda losses: losses[1:],
        ): "The loss of the first word is missing: it is predicted from the prior.",
        (
            "losses",
            lambda losses: losses[:-1],
        ): "The loss of the last word is missing.",
        (
            "losses",
            lambda losses: losses[:, None],
        ): "Your losses have two dimensions. Here they are (T,).",
        (
            "posterior",
            lambda before, belief, start: np.log(belief),
        ): "You return the logarithms of the topics' probabilities. Return the probabilities.",
        (
            "posterior",
            lambda before, belief, start: before,
        ): "The last word is not learned from: return the probabilities of the topics after *all* words.",
        (
            "posterior",
            lambda before, belief, start: start,
        ): "You return the probabilities from before the first word. Return those after all words.",
        (
            "posterior",
            lambda before, belief, start: int(belief.argmax()),
        ): "You return the likeliest topic. Return the probabilities of all, (K,).",
        (
            "given",
            lambda losses, belief: (belief, losses),
        ): "Losses and probabilities are exchanged: first the losses, (T,), then the topics' probabilities, (K,).",
        (
            "given",
            lambda losses, belief: losses,
        ): "You return the losses alone. Return the probabilities of the topics as well.",
        (
            "given",
            lambda losses, belief: belief,
        ): "You return the probabilities of the topics alone. Return the losses as well, first.",
    },
)
