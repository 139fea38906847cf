"""The topics of new documents, with the topics' distributions over terms fixed."""

from __future__ import annotations

import numba
import numpy as np
from numba import float32, int32, int64

from minillm_lib.io.compiled import compiled
from minillm_lib.topics.kernels.dense import draw
from minillm_lib.topics.kernels.random_numbers import GOLDEN_GAMMA, document_state, uniform, uniform32
from minillm_lib.topics.kernels.simd import (
    first_above,
    lane,
    lane_of,
    load,
    running_sum,
    spread,
    store,
)

LANES = 16
AT_A_TIME = 1 << 16
"""Tokens whose shares are summed in float32, to which those of millions would add nothing any more."""


@compiled(error_model="numpy")
def fold_in(starts, terms, rows, weights, term_topic, alpha, n_sweeps, burn_in, seed, mean_counts):
    """Sample the topics of new documents by Gibbs sampling.

    ``term_topic`` (n_rows, width) holds the probability of each term under each topic, up to a factor per term;
    ``rows`` (n_tokens,) is the row of each token's term, and
    ``alpha`` (width,) the prior; both are in float32, and padded with zeros to a multiple of 16. In the sweeps after
    ``burn_in``, each token adds the probabilities of all topics given the other tokens, not only the topic that is
    drawn: the mean is the same, with less noise (Rao & Blackwell). The average over these sweeps is written to
    ``mean_counts`` (n_documents, n_topics).
    """
    n_topics, width = mean_counts.shape[1], term_topic.shape[1]
    n_vectors, padding = width // LANES, width - n_topics
    table = term_topic.reshape(-1)
    counts = np.empty(width)
    by_document = np.empty(width, dtype=np.float32)  # n_dk + alpha_k
    sums = np.empty(width, dtype=np.float32)
    expected = np.zeros(width, dtype=np.float32)
    weight = 1.0
    for document in range(starts.shape[0] - 1):
        first, last = starts[document], starts[document + 1]
        state = document_state(terms, weights, first, last, seed)
        topics = np.full(last - first, -1, dtype=np.int32)
        counts[:] = 0.0
        by_document[:] = alpha
        for step in range(n_sweeps):
            for start in range(first, last, AT_A_TIME):
                for i in range(start, min(start + AT_A_TIME, last)):
                    if weights is not None:
                        weight = weights[i]
                    old = topics[i - first]
                    if old >= 0:
                        counts[old] -= weight
                        by_document[old] = counts[old] + alpha[old]

                    row = rows[i] * width
                    total = spread(float32(0.0), LANES)
                    for v in range(0, width, LANES):
                        total = total + load(by_document, v, LANES) * load(table, row + v, LANES)
                        store(sums, v, total)
                    running = running_sum(total)
                    everything = lane(running, int32(LANES - 1))
                    state += GOLDEN_GAMMA
                    new = _draw(running, uniform32(state) * everything, n_vectors, sums)

                    if step >= burn_in:
                        scale = spread(float32(weight / everything), LANES)
                        for v in range(0, width, LANES):
                            share = load(by_document, v, LANES) * load(table, row + v, LANES) * scale
                            store(expected, v, load(expected, v, LANES) + share)
                    topics[i - first] = new
                    counts[new] += weight
                    by_document[new] = counts[new] + alpha[new]
                if step >= burn_in:
                    for k in range(n_topics):
                        mean_counts[document, k] += expected[padding + k] / (n_sweeps - burn_in)
                    expected[:] = 0.0


@numba.njit(inline="always")
def _draw(running, threshold, n_vectors, sums):
    """Return the place of the topic at which the sums pass ``threshold``: first its lane, then its vector.

    Sums over padding in front are exactly 0, so they never pass a threshold of 0 or more.
    """
    place = int64(lane_of(first_above(running, threshold)))
    if n_vectors == 1:
        return place
    if place > 0:
        threshold = max(threshold - lane(running, int32(place - 1)), float32(0.0))
    vector = 0
    for v in range(n_vectors - 1):
        vector += sums[LANES * v + place] <= threshold
    return LANES * vector + place


@numba.njit(inline="always")
def _weigh(in_document, alpha, of_term, weights):
    """Write ``(n_dk + alpha_k) phi_kw`` to ``weights`` and return their sum."""
    total = 0.0
    for k in range(weights.shape[0]):
        weights[k] = (in_document[k] + alpha[k]) * of_term[k]
        total += weights[k]
    return total


@compiled
def left_to_right(starts, terms, term_topic, alpha, n_particles, seed, log_probabilities):
    """Estimate the log-probability of each document from left to right (Wallach et al. 2009, algorithm 3).

    Each particle walks through the document from its first token to its last. At every step, it resamples all the
    topics behind it and predicts the next token. Each prediction is averaged over the particles, and the averages are
    multiplied. ``term_topic`` (n_terms, n_topics) holds phi. The results, in nats, are written to
    ``log_probabilities`` (n_documents,).
    """
    n_topics = term_topic.shape[1]
    alpha_total = alpha.sum()
    by_topic = np.empty(n_topics)
    in_document = np.empty(n_topics)
    for document in range(starts.shape[0] - 1):
        first, last = starts[document], starts[document + 1]
        length = last - first
        state = document_state(terms, None, first, last, seed)
        predictions = np.zeros(length)
        topics = np.empty(length, dtype=np.int32)
        for _ in range(n_particles):
            in_document[:] = 0.0
            for position in range(length):
                for behind in range(position):
                    in_document[topics[behind]] -= 1.0
                    total = _weigh(in_document, alpha, term_topic[terms[first + behind]], by_topic)
                    state += GOLDEN_GAMMA
                    topics[behind] = draw(by_topic, uniform(state) * total, n_topics)
                    in_document[topics[behind]] += 1.0
                total = _weigh(in_document, alpha, term_topic[terms[first + position]], by_topic)
                predictions[position] += total / (alpha_total + position)
                state += GOLDEN_GAMMA
                topics[position] = draw(by_topic, uniform(state) * total, n_topics)
                in_document[topics[position]] += 1.0
        log_probabilities[document] = np.log(predictions / n_particles).sum()
