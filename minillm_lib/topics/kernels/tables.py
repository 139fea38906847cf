"""Counting assignments, and their log-likelihood."""

from __future__ import annotations

import math

import numba

from minillm_lib.io.compiled import compiled
from minillm_lib.topics.kernels.sparse import LANES


@compiled
def arrange(starts, terms, share_of_term, n_shares, order, bounds):
    """Order the tokens of each document by the share of their terms; within a share, they stay in order.

    ``order`` (n_tokens,) becomes the old number of each token, and ``bounds`` (n_documents, n_shares + 1) the place of
    each share of each document.
    """
    for document in range(starts.shape[0] - 1):
        first, last = starts[document], starts[document + 1]
        bounds[document, :] = 0
        for i in range(first, last):
            bounds[document, share_of_term[terms[i]] + 1] += 1
        bounds[document, 0] = first
        for share in range(n_shares):
            bounds[document, share + 1] += bounds[document, share]
        place = bounds[document, :-1].copy()
        for i in range(first, last):
            share = share_of_term[terms[i]]
            order[place[share]] = i
            place[share] += 1


@compiled
def count(terms, topics, weights, term_topic):
    """Add the assignment of every token, or its weight, to a table ``(n_terms, n_topics)``."""
    for i in range(terms.shape[0]):
        term_topic[terms[i], topics[i]] += 1 if weights is None else weights[i]


@compiled
def add_table(table, rows, factors, sums):
    """Add a table times the topics' ``factors`` to the terms' ``rows`` of ``sums``, ``(n_terms, n_topics)``."""
    for term in range(table.shape[0]):
        for k in range(table.shape[1]):
            sums[rows[term], k] += table[term, k] * factors[k]


@numba.njit(inline="always")
def _log_rising(n, prior, lookup):
    """Return ``log Γ(n + prior) − log Γ(prior)``, from ``lookup`` if that holds it."""
    if n < lookup.shape[0]:
        return lookup[int(n)]
    if n == 0:
        return 0.0
    return math.lgamma(n + prior) - math.lgamma(prior)


@compiled
def log_rising_of_documents(bounds, topics, weights, prior, lookup, counts):
    """Sum ``log Γ(n_dk + alpha_k) − log Γ(alpha_k)`` over documents and topics; counts of 0 add nothing.

    ``lookup`` (n_topics, any length) holds the summand for the integers from 0 up to its length. It is empty if tokens
    have weights. ``counts`` (2, n_topics) is room to count in, zeros of int32 or, with weights, float64.
    """
    n_topics = prior.shape[0]
    total = 0.0
    for document in range(bounds.shape[0]):
        first, last = bounds[document, 0], bounds[document, -1]
        # In two rows: neighbours often have one topic, and the second would have to wait.
        for i in range(first, last):
            counts[i % 2, topics[i]] += 1 if weights is None else weights[i]
        if n_topics <= last - first:
            for k in range(n_topics):
                total += _log_rising(counts[0, k] + counts[1, k], prior[k], lookup[k])
            counts[:] = 0
            continue
        for i in range(first, last):
            k = topics[i]
            total += _log_rising(counts[0, k] + counts[1, k], prior[k], lookup[k])
            counts[0, k] = counts[1, k] = 0
    return total


@compiled
def log_rising_of_table(table, prior, lookup):
    """Sum ``log Γ(n_kw + beta) − log Γ(beta)`` over a table of counts, ``(n_terms, n_topics)``."""
    total = 0.0
    for term in range(table.shape[0]):
        for k in range(table.shape[1]):
            if table[term, k] > 0:
                total += _log_rising(table[term, k], prior, lookup)
    return total


@compiled
def log_rising_of_lists(entries, prior, lookup):
    """Sum ``log Γ(n_kw + beta) − log Γ(beta)`` over the lists of the sparse sampler, ``entries``."""
    total = 0.0
    for group in range(0, entries.shape[0], 2 * LANES):
        for place in range(group + LANES, group + 2 * LANES):
            if entries[place] > 0:
                total += _log_rising(entries[place], prior, lookup)
    return total
