"""The inner loops of Gibbs sampling for LDA, compiled with numba.

The notation is that of Griffiths & Steyvers (2004). A corpus has ``n_tokens`` tokens; token *i* has the term
``terms[i]``, stands in document *d*, and is assigned to topic ``topics[i]``. Three tables count the assignments and are
kept up to date token by token: ``doc_topic`` (n_documents, width), ``term_topic`` (n_terms, width) and ``topic_totals``
(width,). ``width`` is the number of topics rounded up to full SIMD registers (see :func:`padded_width`). The columns
beyond ``n_topics`` hold zeros, so they are never drawn.

If tokens carry weights (Wilson & Chew 2010), the tables hold sums of weights in float64. Otherwise ``weights`` is
``None``, numba removes the branch when it compiles, and the tables hold integers in float32.

Every function releases the GIL, so that threads run in parallel, and draws from its own counter-based generator
(SplitMix64: Steele, Lea & Flood 2014), whose state is one ``uint64`` in an array of length one.
"""

from __future__ import annotations

import math

import numba
import numpy as np

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_LANES = 8


def padded_width(n_topics: int) -> int:
    """Return the number of columns of a count table: ``n_topics`` rounded up to a multiple of eight."""
    return -(-n_topics // _LANES) * _LANES


@numba.njit(inline="always")
def _mix(state):
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@numba.njit(inline="always")
def _uniform(state):
    """Return a number in [0, 1) made from 53 random bits."""
    return (_mix(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@numba.njit(inline="always")
def _draw(weights, threshold, n_topics):
    """Return the first index at which the running sum of ``weights`` exceeds ``threshold``, or else the last topic.

    The index is counted and not searched for, so that the loop has no branch that the processor could mispredict.
    """
    topic = 0
    running = weights[0]
    for k in range(1, n_topics):
        topic += running <= threshold
        running += weights[k]
    return topic


@numba.njit(inline="always")
def _sum_in_lanes(weights):
    """Sum a padded row in four lanes, as fast as with the compiler's own reordering but in a fixed order.

    With ``fastmath``, the order and thus the last bit would depend on where the arrays lie in memory.
    """
    a = b = c = d = weights.dtype.type(0.0)
    for k in range(0, weights.shape[0], 4):
        a += weights[k]
        b += weights[k + 1]
        c += weights[k + 2]
        d += weights[k + 3]
    return (a + b) + (c + d)


@numba.njit(nogil=True, cache=True)
def sweep(
    segment_documents,
    segment_starts,
    terms,
    weights,
    topics,
    doc_topic,
    term_topic,
    topic_totals,
    alpha,
    beta,
    n_topics,
    generator,
):
    """Resample the topic of every token once, given all the others.

    Segment *s* holds the tokens ``segment_starts[s]:segment_starts[s + 1]``, which all belong to document
    ``segment_documents[s]``. The topic is drawn from equation 5 of Griffiths & Steyvers (2004)::

        p(z_i = k | z_-i, w)  ∝  (n_dk + alpha_k) (n_kw + beta) / (n_k + n_terms beta)
    """
    width = term_topic.shape[1]
    real = term_topic.dtype.type
    prior = real(beta)
    prior_total = beta * term_topic.shape[0]
    inverse_totals = np.zeros(width, dtype=term_topic.dtype)
    for k in range(n_topics):
        inverse_totals[k] = 1.0 / (topic_totals[k] + prior_total)
    by_topic = np.empty(width, dtype=term_topic.dtype)
    weight = real(1.0)
    state = generator[0]
    for segment in range(segment_documents.shape[0]):
        in_document = doc_topic[segment_documents[segment]]
        for i in range(segment_starts[segment], segment_starts[segment + 1]):
            of_term = term_topic[terms[i]]
            if weights is not None:
                weight = weights[i]

            # The tables still count this token. It is subtracted as they are read, so that nothing is written for a
            # token that keeps its topic.
            old = topics[i]
            inverse_without = real(1.0 / (topic_totals[old] - weight + prior_total))
            for k in range(width):
                own = weight if k == old else real(0.0)
                inverse = inverse_without if k == old else inverse_totals[k]
                by_topic[k] = (in_document[k] - own + alpha[k]) * (of_term[k] - own + prior) * inverse
            total = _sum_in_lanes(by_topic)
            state += _GOLDEN_GAMMA
            new = _draw(by_topic, real(_uniform(state)) * total, n_topics)

            if new != old:
                topics[i] = new
                in_document[old] -= weight
                in_document[new] += weight
                of_term[old] -= weight
                of_term[new] += weight
                topic_totals[old] -= weight
                topic_totals[new] += weight
                inverse_totals[old] = 1.0 / (topic_totals[old] + prior_total)
                inverse_totals[new] = 1.0 / (topic_totals[new] + prior_total)
    generator[0] = state


@numba.njit(nogil=True, cache=True)
def count(segment_documents, segment_starts, terms, weights, topics, doc_topic, term_topic, topic_totals):
    """Add the assignment of every token to the three tables; segments are as in :func:`sweep`."""
    weight = 1.0
    for segment in range(segment_documents.shape[0]):
        document = segment_documents[segment]
        for i in range(segment_starts[segment], segment_starts[segment + 1]):
            if weights is not None:
                weight = weights[i]
            doc_topic[document, topics[i]] += weight
            term_topic[terms[i], topics[i]] += weight
            topic_totals[topics[i]] += weight


@numba.njit(nogil=True, cache=True)
def log_rising(table, prior, lookup, n_topics):
    """Sum ``log Γ(n + prior_k) − log Γ(prior_k)`` over a count table; zero counts add nothing.

    ``lookup`` (n_topics, any length) holds the summand for the integers from 0 up to its length. It is empty if the
    counts are sums of weights.
    """
    total = 0.0
    for row in range(table.shape[0]):
        for k in range(n_topics):
            n = table[row, k]
            if n > 0:
                if n < lookup.shape[1]:
                    total += lookup[k, int(n)]
                else:
                    total += math.lgamma(n + prior[k]) - math.lgamma(prior[k])
    return total


@numba.njit(inline="always")
def _document_state(terms, weights, first, last, seed):
    """Return a generator state that depends only on the seed and on what the document contains."""
    state = seed
    for i in range(first, last):
        state = _mix(state + _GOLDEN_GAMMA * (np.uint64(terms[i]) + np.uint64(1)))
        if weights is not None:
            state = _mix(state + np.uint64(np.int64(weights[i] * 4294967296.0)))
    return state


@numba.njit(inline="always")
def _weigh(in_document, alpha, of_term, weights):
    """Write ``(n_dk + alpha_k) phi_kw`` to ``weights`` and return their sum."""
    total = 0.0
    for k in range(weights.shape[0]):
        weights[k] = (in_document[k] + alpha[k]) * of_term[k]
        total += weights[k]
    return total


@numba.njit(nogil=True, cache=True)
def fold_in(starts, terms, weights, term_topic, alpha, n_sweeps, burn_in, seed, mean_counts):
    """Sample the topics of new documents by Gibbs sampling, with the topics' distributions fixed.

    ``term_topic`` (n_terms, n_topics) holds phi, the probability of each term under each topic. The counts of topics
    in each document, averaged over the sweeps after ``burn_in``, are written to ``mean_counts``
    (n_documents, n_topics).
    """
    n_topics = term_topic.shape[1]
    by_topic = np.empty(n_topics)
    in_document = np.empty(n_topics)
    weight = 1.0
    for document in range(starts.shape[0] - 1):
        first, last = starts[document], starts[document + 1]
        state = _document_state(terms, weights, first, last, seed)
        topics = np.full(last - first, -1, dtype=np.int32)
        in_document[:] = 0.0
        for step in range(n_sweeps):
            for i in range(first, last):
                if weights is not None:
                    weight = weights[i]
                if topics[i - first] >= 0:
                    in_document[topics[i - first]] -= weight
                total = _weigh(in_document, alpha, term_topic[terms[i]], by_topic)
                state += _GOLDEN_GAMMA
                new = _draw(by_topic, _uniform(state) * total, n_topics)
                topics[i - first] = new
                in_document[new] += weight
            if step >= burn_in:
                for k in range(n_topics):
                    mean_counts[document, k] += in_document[k] / (n_sweeps - burn_in)


@numba.njit(nogil=True, cache=True)
def left_to_right(starts, terms, term_topic, alpha, n_particles, seed, log_probabilities):
    """Estimate the log-probability of each document from left to right (Wallach et al. 2009, algorithm 3).

    Each particle walks through the document from its first token to its last. At every step, it resamples all the
    topics behind it and predicts the next token. Each prediction is averaged over the particles, and the averages are
    multiplied. The results, in nats, are written to ``log_probabilities`` (n_documents,).
    """
    n_topics = term_topic.shape[1]
    alpha_total = alpha.sum()
    by_topic = np.empty(n_topics)
    in_document = np.empty(n_topics)
    for document in range(starts.shape[0] - 1):
        first, last = starts[document], starts[document + 1]
        length = last - first
        state = _document_state(terms, None, first, last, seed)
        predictions = np.zeros(length)
        topics = np.empty(length, dtype=np.int32)
        for _ in range(n_particles):
            in_document[:] = 0.0
            for position in range(length):
                for behind in range(position):
                    in_document[topics[behind]] -= 1.0
                    total = _weigh(in_document, alpha, term_topic[terms[first + behind]], by_topic)
                    state += _GOLDEN_GAMMA
                    topics[behind] = _draw(by_topic, _uniform(state) * total, n_topics)
                    in_document[topics[behind]] += 1.0
                total = _weigh(in_document, alpha, term_topic[terms[first + position]], by_topic)
                predictions[position] += total / (alpha_total + position)
                state += _GOLDEN_GAMMA
                topics[position] = _draw(by_topic, _uniform(state) * total, n_topics)
                in_document[topics[position]] += 1.0
        log_probabilities[document] = np.log(predictions / n_particles).sum()
