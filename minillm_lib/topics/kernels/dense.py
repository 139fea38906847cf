"""The sweep as it is written in papers: for every token, the weights of all topics."""

from __future__ import annotations

import numba
import numpy as np

from minillm_lib.io.compiled import compiled
from minillm_lib.topics.kernels.random_numbers import GOLDEN_GAMMA, uniform


@numba.njit(inline="always")
def draw(weights, threshold, n_topics):
    """Return the first index at which the running sum of ``weights`` exceeds ``threshold``, or else the last topic.

    The index is counted and not searched for, so that the loop has no branch that the processor could mispredict.
    """
    topic = 0
    running = weights[0]
    for k in range(1, n_topics):
        topic += running <= threshold
        running += weights[k]
    return topic


@compiled(error_model="numpy")
def sweep(bounds, share, terms, topics, weights, term_topic, topic_totals, alpha, beta, generator):
    """Resample the topic of every token of a share once, given all the others.

    The topic is drawn from equation 5 of Griffiths & Steyvers (2004)::

        p(z_i = k | z_-i, w)  ∝  (n_dk + alpha_k) (n_kw + beta) / (n_k + n_terms beta)

    ``term_topic`` (n_terms, n_topics) and ``topic_totals`` (n_topics,), in float64, count the assignments and are kept
    up to date. If tokens carry ``weights`` (Wilson & Chew 2010), they hold sums of weights; otherwise ``weights`` is
    ``None``, and numba removes the branch when it compiles.
    """
    n_terms, n_topics = term_topic.shape
    prior_total = beta * n_terms
    in_document = np.empty(n_topics)
    by_topic = np.empty(n_topics)
    inverse_totals = 1.0 / (topic_totals + prior_total)
    weight = 1.0
    state = generator[0]
    for document in range(bounds.shape[0]):
        in_document[:] = 0.0
        for i in range(bounds[document, 0], bounds[document, -1]):
            in_document[topics[i]] += 1.0 if weights is None else weights[i]
        for i in range(bounds[document, share], bounds[document, share + 1]):
            of_term = term_topic[terms[i]]
            if weights is not None:
                weight = weights[i]

            old = topics[i]
            in_document[old] -= weight
            of_term[old] -= weight
            topic_totals[old] -= weight
            inverse_totals[old] = 1.0 / (topic_totals[old] + prior_total)

            total = 0.0
            for k in range(n_topics):
                by_topic[k] = (in_document[k] + alpha[k]) * (of_term[k] + beta) * inverse_totals[k]
                total += by_topic[k]
            state += GOLDEN_GAMMA
            new = draw(by_topic, uniform(state) * total, n_topics)

            topics[i] = new
            in_document[new] += weight
            of_term[new] += weight
            topic_totals[new] += weight
            inverse_totals[new] = 1.0 / (topic_totals[new] + prior_total)
    generator[0] = state
