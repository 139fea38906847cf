"""The sweep for up to 32 topics: every row of the tables fits into one vector.

The plain loop of :mod:`~minillm_lib.topics.kernels.dense` spends its time waiting. Each token waits for the topic of
the one before, adds up the weights one by one, divides, and writes single numbers into rows that are read as a whole
right afterwards. Here the counts of the document and of the topics stay in registers, and the weights are added up in
three to five steps. The waiting is filled: what does not depend on the topic of the token before is computed without
it, and what does is computed for both cases, so that the topic only has to choose between them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import float32, int32

from minillm_lib.io.compiled import compiled
from minillm_lib.topics.kernels.random_numbers import GOLDEN_GAMMA, uniform32
from minillm_lib.topics.kernels.simd import (
    first_above,
    lane,
    lane_of,
    load,
    one_hot,
    running_sum,
    select,
    spread,
    store,
    to_floats,
)

MOST_TOPICS = 32
"""The largest number of topics; beyond it, a vector takes too many registers."""


def lanes_for(n_topics):
    """Return the length of the shortest vector for so many topics: 8, 16 or 32."""
    return max(8, 1 << (n_topics - 1).bit_length())


@cache
def sweep_of(lanes):
    """Return the sweep for vectors of 8, 16 or 32 lanes; each is compiled when it is first called."""

    @compiled(error_model="numpy")
    def sweep(bounds, share, terms, topics, term_topic, topic_totals, alpha, beta, n_topics, generator):
        """Resample the topic of every token of a share once, given all the others.

        The distribution is that of :func:`minillm_lib.topics.kernels.dense.sweep`, computed in float32.

        ``term_topic`` (n_terms, lanes) and ``topic_totals`` (lanes,), in int32, and ``alpha`` (lanes,), in float32, are
        padded with zeros in front. There, the running sums of the weights are exactly 0, and no number draws such a
        lane. (Behind the topics, sums that should be equal differ by rounding, and one in millions would.)
        """
        table = term_topic.reshape(-1)
        prior = spread(float32(beta), lanes)
        prior_total = spread(float32(beta * term_topic.shape[0]), lanes)
        zero, one = spread(int32(0), lanes), spread(int32(1), lanes)
        one_float = spread(float32(1.0), lanes)
        alphas = load(alpha, 0, lanes)
        scratch = np.zeros(lanes, dtype=np.int32)
        padding = int32(lanes - n_topics)
        state = generator[0]

        # `drawn` marks the topic of the token before, which is not yet counted in `totals`, in `in_document` and in the
        # row `last_row` of the table.
        totals = load(topic_totals, 0, lanes)
        drawn = spread(False, lanes)
        last_row = -1
        for document in range(bounds.shape[0]):
            first, last = bounds[document, share], bounds[document, share + 1]
            if first == last:
                continue
            scratch[:] = 0
            for i in range(bounds[document, 0], bounds[document, -1]):
                scratch[padding + topics[i]] += 1
            in_document = load(scratch, 0, lanes)
            same_document = float32(0.0)
            for i in range(first, last):
                row = terms[i] * lanes
                if last_row < 0:
                    last_row = row
                own = one_hot(padding + topics[i], lanes)
                of_term = load(table, row, lanes) - own
                store(table, row, of_term)
                in_document = in_document - own
                totals = totals - own

                by_document = to_floats(in_document) + alphas
                by_term = to_floats(of_term) + prior
                total = to_floats(totals) + prior_total
                same_term = float32(row == last_row)
                if_drawn = (by_document + spread(same_document, lanes)) * (by_term + spread(same_term, lanes))
                by_topic = select(drawn, if_drawn / (total + one_float), by_document * by_term / total)

                counted = select(drawn, one, zero)
                store(table, last_row, load(table, last_row, lanes) + counted)
                totals = totals + counted
                if same_document > 0:
                    in_document = in_document + counted

                sums = running_sum(by_topic)
                state += GOLDEN_GAMMA
                drawn = first_above(sums, uniform32(state) * lane(sums, lanes - 1))
                topics[i] = lane_of(drawn) - padding
                last_row = row
                same_document = float32(1.0)
        if last_row < 0:
            return
        counted = select(drawn, one, zero)
        store(table, last_row, load(table, last_row, lanes) + counted)
        store(topic_totals, 0, totals + counted)
        generator[0] = state

    return sweep
