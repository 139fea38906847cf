"""The sweep for many topics: only those of the document and of the term are visited (Yao, Mimno & McCallum 2009).

The weight of a topic is a sum of three terms, and so is the total over the topics::

    (n_dk + alpha_k) (n_kw + beta) / t_k  =  (n_dk + alpha_k) n_kw / t_k      topics of the term
                                          +  n_dk beta / t_k                  topics of the document
                                          +  alpha_k beta / t_k               all topics

with ``t_k = n_k + n_terms beta``.

A number below the total picks one of the three, and then a topic within it. The first, which nearly every draw falls
into, needs only the topics that the term has at present. The second needs only those of the document. The third
changes in two places per token, and is added up in blocks of about ``sqrt(n_topics)`` topics, so that a draw looks at
one number per block and then at the topics of one block.

The topics of a term are a list without an order, in groups of eight: eight topics, then their eight counts. A group is
64 bytes, the size of a cache line, and is read as two vectors. Unused places hold the topic ``n_topics`` with a count
of 0.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import float32, int32, int64

from minillm_lib.io.compiled import compiled
from minillm_lib.topics.kernels.random_numbers import GOLDEN_GAMMA, uniform
from minillm_lib.topics.kernels.simd import (
    equal,
    first_above,
    gather,
    lane,
    lane_of,
    load,
    prefetch,
    running_sum,
    select,
    spread,
    store,
    to_floats,
)

LANES = 8
_GROUP = 2 * LANES
_AHEAD = 4  # tokens; the lists of terms that come next are fetched while this one's is in use
_inlined = numba.njit(nogil=True, error_model="numpy", forceinline=True)


def lists_of(frequencies, n_topics):
    """Return empty lists for terms that occur ``frequencies`` times, ``(n_terms,)``.

    Returns
    -------
    tuple
        ``entries``, all groups, in int32; ``firsts``, the place of each term's first group; and ``lengths``, the number
        of topics in each list.
    """
    groups = -(-np.minimum(frequencies, n_topics) // LANES)
    firsts = np.concatenate([[0], np.cumsum(groups * _GROUP)])
    size = int(firsts[-1]) + _GROUP
    unaligned = np.empty(size + 16, dtype=np.int32)
    start = -(unaligned.ctypes.data // 4) % 16
    entries = unaligned[start : start + size]
    entries.reshape(-1, 2, LANES)[:, 0] = n_topics
    entries.reshape(-1, 2, LANES)[:, 1] = 0
    return entries, firsts[:-1].astype(np.int64), np.zeros(len(frequencies), dtype=np.int32)


@_inlined
def _place(j):
    """Return the place of entry ``j`` of a list in its groups: that of its topic; its count follows 8 places later."""
    return j // LANES * _GROUP + j % LANES


@_inlined
def _find(entries, first, length, topic):
    """Return the number of the entry of a topic in a list, or -1."""
    wanted = spread(topic, LANES)
    for j in range(0, length, LANES):
        found = int64(lane_of(equal(load(entries, first + 2 * j, LANES), wanted)))
        if found < LANES:
            return j + found
    return int64(-1)


@_inlined
def _add(entries, first, lengths, term, topic, entry):
    """Count one more token of a term in a topic; ``entry`` is its number in the list, or -1 if it is not known."""
    length = int64(lengths[term])
    if entry < 0:
        entry = _find(entries, first, length, topic)
    if entry < 0:
        entry = length
        entries[first + _place(entry)] = topic
        lengths[term] = length + 1
    entries[first + _place(entry) + LANES] += 1


@_inlined
def _remove(entries, first, lengths, term, topic, unused, entry):
    """Count one token less, and return where ``entry`` is now: a topic that has none left is replaced by the last."""
    length = int64(lengths[term])
    mine = _find(entries, first, length, topic)
    place = first + _place(mine)
    entries[place + LANES] -= 1
    if entries[place + LANES] == 0:
        end = first + _place(length - 1)
        entries[place], entries[place + LANES] = entries[end], entries[end + LANES]
        entries[end], entries[end + LANES] = unused, 0
        lengths[term] = length - 1
        if entry == length - 1:
            entry = mine
    return entry


@compiled
def count(terms, topics, entries, firsts, lengths):
    """Count the assignments of all tokens in the lists of their terms."""
    for i in range(terms.shape[0]):
        _add(entries, firsts[terms[i]], lengths, terms[i], topics[i], int64(-1))


@compiled
def count_more(terms, topics, counts, entries, firsts, lengths):
    """Add ``counts`` (n,), each at least 1, of ``terms`` in ``topics`` to the lists of the terms."""
    for i in range(terms.shape[0]):
        first = firsts[terms[i]]
        _add(entries, first, lengths, terms[i], topics[i], int64(-1))
        entry = _find(entries, first, int64(lengths[terms[i]]), topics[i])
        entries[first + _place(entry) + LANES] += counts[i] - 1


@compiled
def add_lists(entries, firsts, lengths, rows, factors, sums):
    """Add the counts times the topics' ``factors`` to the terms' ``rows`` of ``sums``, ``(n_terms, n_topics)``."""
    for term in range(firsts.shape[0]):
        for j in range(lengths[term]):
            place = firsts[term] + _place(j)
            topic = entries[place]
            sums[rows[term], topic] += entries[place + LANES] * factors[topic]


@_inlined
def _weigh(entries, first, n_groups, by_document, old, weight_of_old, sums):
    """Return the running sums over the lanes of ``(n_dk + alpha_k) n_kw / (n_k + n_terms beta)``, without one token.

    ``by_document`` holds the factor of ``n_kw``, with the token counted; for its topic ``old``, ``weight_of_old`` is
    the factor without it. Sums within each lane go to ``sums``, one vector per group.
    """
    olds, factors = spread(old, LANES), spread(weight_of_old, LANES)
    zero, one = spread(float32(0.0), LANES), spread(float32(1.0), LANES)
    total = zero
    for group in range(n_groups):
        topics = load(entries, first + _GROUP * group, LANES)
        counts = to_floats(load(entries, first + _GROUP * group + LANES, LANES))
        mine = equal(topics, olds)
        counts = counts - select(mine, one, zero)
        total = total + select(mine, factors, gather(by_document, topics)) * counts
        if n_groups > 1:
            store(sums, LANES * group, total)
    return running_sum(total)


@_inlined
def _pick(running, threshold, n_groups, sums):
    """Return the number of the entry at which the sums pass ``threshold``: first the lane, then the group in it."""
    place = min(int64(lane_of(first_above(running, threshold))), int64(LANES - 1))
    if n_groups == 1:
        return place
    if place > 0:
        threshold -= lane(running, int32(place - 1))
    group = 0
    for g in range(n_groups - 1):
        group += sums[LANES * g + place] <= threshold
    return LANES * group + place


@numba.njit(nogil=True)
def _pick_in_document(threshold, listed, n_listed, in_document, inverse_totals, old, inverse_of_old):
    """Return the topic at which the sums of ``n_dk / (n_k + n_terms beta)`` over a document pass ``threshold``."""
    for j in range(n_listed):
        k = listed[j]
        n = in_document[k] - (k == old)
        threshold -= n * (inverse_of_old if k == old else inverse_totals[k])
        if threshold < 0:
            return k
    return listed[n_listed - 1]


@numba.njit(nogil=True)
def _pick_anywhere(threshold, blocks, block_size, alpha, inverse_totals, old, inverse_of_old):
    """Return the topic at which the sums of ``alpha_k / (n_k + n_terms beta)`` pass ``threshold``."""
    n_topics = alpha.shape[0]
    change = alpha[old] * (inverse_of_old - inverse_totals[old])
    block = 0
    while block < blocks.shape[0] - 1:
        size = blocks[block] + (change if old // block_size == block else 0.0)
        if threshold < size:
            break
        threshold -= size
        block += 1
    first = block * block_size
    last = min(first + block_size, n_topics) - 1
    for k in range(first, last):
        threshold -= alpha[k] * (inverse_of_old if k == old else inverse_totals[k])
        if threshold < 0:
            return int32(k)
    return int32(last)


@compiled(error_model="numpy")
def sweep(bounds, share, terms, topics, entries, firsts, lengths, topic_totals, alpha, beta, generator):
    """Resample the topic of every token of a share once, given all the others.

    ``entries``, ``firsts`` and ``lengths`` are as in :func:`lists_of`, and ``topic_totals`` (n_topics,) is in int32.
    Counts are exact, the weights of the term's topics are computed in float32, the other two sums in float64.
    """
    n_topics, prior_total = alpha.shape[0], beta * firsts.shape[0]
    unused = int32(n_topics)
    block_size = 1
    while block_size * block_size < n_topics:
        block_size *= 2
    blocks = np.zeros(-(-n_topics // block_size))
    inverse_totals = np.empty(n_topics)
    by_document = np.zeros(
        n_topics + 1, dtype=np.float32
    )  # (n_dk + alpha_k) / (n_k + n_terms beta); 0 for `unused`
    smoothing = 0.0
    for k in range(n_topics):
        inverse_totals[k] = 1.0 / (topic_totals[k] + prior_total)
        by_document[k] = alpha[k] * inverse_totals[k]
        blocks[k // block_size] += alpha[k] * inverse_totals[k]
        smoothing += alpha[k] * inverse_totals[k]
    in_document = np.zeros(n_topics, dtype=np.int32)
    listed = np.empty(n_topics, dtype=np.int32)  # the topics of the document, in no order
    position = np.empty(n_topics, dtype=np.int32)  # of each topic in that list
    sums = np.zeros(LANES * (n_topics // LANES + 2), dtype=np.float32)
    state = generator[0]
    for document in range(bounds.shape[0]):
        first_token, last_token = bounds[document, share], bounds[document, share + 1]
        if first_token == last_token:
            continue
        n_listed = 0
        for i in range(bounds[document, 0], bounds[document, -1]):
            k = topics[i]
            if in_document[k] == 0:
                position[k] = n_listed
                listed[n_listed] = k
                n_listed += 1
            in_document[k] += 1
        of_document = 0.0
        for j in range(n_listed):
            k = listed[j]
            by_document[k] = (in_document[k] + alpha[k]) * inverse_totals[k]
            of_document += in_document[k] * inverse_totals[k]

        for i in range(first_token, last_token):
            if i + _AHEAD < last_token:
                prefetch(entries, firsts[terms[i + _AHEAD]])
            term, old = terms[i], topics[i]
            first, n_groups = firsts[term], (int64(lengths[term]) + LANES - 1) // LANES

            # The tables still count this token; it is subtracted as they are read, so that nothing is written for one
            # that keeps its topic.
            n = in_document[old] - 1
            inverse = 1.0 / (topic_totals[old] - 1 + prior_total)
            change = inverse - inverse_totals[old]
            document_sum = of_document + in_document[old] * change - inverse
            smoothing_sum = smoothing + alpha[old] * change
            running = _weigh(
                entries, first, n_groups, by_document, old, float32((n + alpha[old]) * inverse), sums
            )
            term_sum = lane(running, int32(LANES - 1))

            state += GOLDEN_GAMMA
            threshold = uniform(state) * (term_sum + beta * (document_sum + smoothing_sum))
            entry = int64(-1)
            if threshold < term_sum:
                entry = _pick(running, float32(threshold), n_groups, sums)
                new = entries[first + _place(entry)]
                if new == unused:  # by rounding, beyond the last entry
                    entry = int64(0)
                    new = entries[first]
            else:
                threshold = (threshold - term_sum) / beta
                if threshold < document_sum:
                    new = _pick_in_document(
                        threshold, listed, n_listed, in_document, inverse_totals, old, inverse
                    )
                else:
                    new = _pick_anywhere(
                        threshold - document_sum, blocks, block_size, alpha, inverse_totals, old, inverse
                    )
            if new == old:
                continue

            topics[i] = new
            entry = _remove(entries, first, lengths, term, old, unused, entry)
            _add(entries, first, lengths, term, new, entry)

            topic_totals[old] -= 1
            inverse_totals[old] = inverse
            blocks[old // block_size] += alpha[old] * change
            in_document[old] = n
            by_document[old] = (n + alpha[old]) * inverse
            if n == 0:
                n_listed -= 1
                moved = listed[n_listed]
                listed[position[old]] = moved
                position[moved] = position[old]

            topic_totals[new] += 1
            inverse = 1.0 / (topic_totals[new] + prior_total)
            change = inverse - inverse_totals[new]
            inverse_totals[new] = inverse
            smoothing = smoothing_sum + alpha[new] * change
            blocks[new // block_size] += alpha[new] * change
            n = in_document[new]
            of_document = document_sum + n * change + inverse
            if n == 0:
                position[new] = n_listed
                listed[n_listed] = new
                n_listed += 1
            in_document[new] = n + 1
            by_document[new] = (n + 1 + alpha[new]) * inverse

        for j in range(n_listed):
            k = listed[j]
            in_document[k] = 0
            by_document[k] = alpha[k] * inverse_totals[k]
    generator[0] = state
