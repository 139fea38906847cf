"""How far can one trust a topic? Independent chains, matched topic by topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

FloatArray = npt.NDArray[np.floating]

_EQUAL = 1e-9
UNSTABLE = 0.6
"""A topic whose stability is below this is marked.

Below it, most matched topics of two chains share fewer than five of their ten most probable terms. And where terms are
dealt to documents at random, so that there is nothing to find, topics still overlap by 0.5 to 0.6, because all of them
are made of the common terms; in a corpus of a few thousand tokens by more. Both are measured in
``benchmarks/stability.py``.
"""


def topic_overlap(topic_word_a: FloatArray, topic_word_b: FloatArray) -> FloatArray:
    """Return the probability that each topic of one model shares with each topic of another.

    This is the sum over the terms of the smaller of the two probabilities: 1 for equal topics, 0 for topics without a
    common term.

    Parameters
    ----------
    topic_word_a, topic_word_b
        Each topic's distribution over the same terms, ``(n_topics, n_terms)``; the numbers of topics may differ.

    Returns
    -------
    overlap
        ``(n_topics_a, n_topics_b)``, between 0 and 1.

    Raises
    ------
    ValueError
        If the two have different numbers of terms.
    """
    if topic_word_a.shape[1] != topic_word_b.shape[1]:
        raise ValueError(
            f"the topics are distributions over {topic_word_a.shape[1]:,} and {topic_word_b.shape[1]:,} terms; "
            "only topics over the same vocabulary can be compared"
        )
    return np.clip(1 - cdist(topic_word_a, topic_word_b, "cityblock") / 2, 0, 1)


def match_topics(
    topic_word_a: FloatArray, topic_word_b: FloatArray
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Match the topics of two models one to one, such that they share as much probability as possible.

    Parameters
    ----------
    topic_word_a, topic_word_b
        Each topic's distribution over the same terms, ``(n_topics, n_terms)``.

    Returns
    -------
    order
        The topic of the second model that belongs to each topic of the first, ``(n_topics,)``.
    overlap
        What each of these pairs shares, between 0 and 1, ``(n_topics,)``; see :func:`topic_overlap`.

    Raises
    ------
    ValueError
        If the numbers of topics or of terms differ.
    """
    if len(topic_word_a) != len(topic_word_b):
        raise ValueError(
            f"{len(topic_word_a)} topics cannot be matched one to one with {len(topic_word_b)}; "
            "both models need the same number"
        )
    shared = topic_overlap(topic_word_a, topic_word_b)
    rows, order = linear_sum_assignment(shared, maximize=True)
    return order.astype(np.int64), shared[rows, order]


@dataclass(frozen=True)
class ChainMatches:
    """The topics of all chains, matched with those of the most central one.

    Attributes
    ----------
    central
        Index of the chain whose topics the others find best.
    matches
        The topic of each chain that belongs to each topic of the central chain, ``(n_chains, n_topics)``.
    overlap
        What it shares with that topic, between 0 and 1, ``(n_chains, n_topics)``; 1 in the central chain itself.
    agreement
        Mean overlap of the matched topics of each two chains, ``(n_chains, n_chains)``.
    """

    central: int
    matches: npt.NDArray[np.int64]
    overlap: FloatArray
    agreement: FloatArray

    @property
    def stability(self) -> FloatArray:
        """How well the other chains find each topic of the central one: the mean of their overlaps, ``(n_topics,)``."""
        return np.delete(self.overlap, self.central, axis=0).mean(axis=0)


def match_chains(
    topic_words: Sequence[FloatArray], log_likelihoods: Sequence[float] | None = None
) -> ChainMatches:
    """Match the topics of several chains, and find the most central chain.

    Parameters
    ----------
    topic_words
        Each chain's ``(n_topics, n_terms)``.
    log_likelihoods
        One number per chain, which decides between chains that are equally central, as any two are that are alone.

    Raises
    ------
    ValueError
        If there are fewer than two chains, or if they do not fit together.
    """
    n_chains = len(topic_words)
    if n_chains < 2:
        raise ValueError(f"stability compares at least two chains; got {n_chains}")
    n_topics = len(topic_words[0])
    matches = np.tile(np.arange(n_topics), (n_chains, n_chains, 1))
    overlap = np.ones((n_chains, n_chains, n_topics))
    for a in range(n_chains):
        for b in range(a + 1, n_chains):
            order, shared = match_topics(topic_words[a], topic_words[b])
            matches[a, b], overlap[a, b] = order, shared
            matches[b, a, order], overlap[b, a, order] = np.arange(n_topics), shared
    agreement = overlap.mean(axis=2)
    total = agreement.sum(axis=1)
    heights = np.zeros(n_chains) if log_likelihoods is None else np.asarray(log_likelihoods)
    central = int(np.where(total >= total.max() - _EQUAL, heights, -np.inf).argmax())
    return ChainMatches(central, matches[central], overlap[central], agreement)
