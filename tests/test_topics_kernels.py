"""The pieces under the sampler: random numbers, vectors, the categorical draw, lists of topics, likelihoods."""

from __future__ import annotations

import functools
import math

import numba
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from minillm_lib.topics.kernels import dense, folding, random_numbers, register, simd, sparse, tables


@numba.njit
def stream(state, n):
    out = np.empty((2, n))
    for i in range(n):
        state += random_numbers.GOLDEN_GAMMA
        out[0, i] = random_numbers.uniform(state)
        out[1, i] = random_numbers.uniform32(state)
    return out


def test_random_numbers_are_uniform_and_uncorrelated():
    for numbers in stream(np.uint64(12345), 200_000):
        assert numbers.min() >= 0
        assert numbers.max() < 1
        assert stats.kstest(numbers, "uniform").pvalue > 1e-3
        for lag in (1, 2, 7):
            assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 0.01


@numba.njit
def share_of(state, total):
    return total * random_numbers.uniform32(state)


def test_a_share_of_a_total_is_always_less_than_the_total():
    """Otherwise a draw could fall beyond the last topic; the largest random number is one step below 1."""
    largest = np.float32(1.0 - 2.0**-23)
    totals = np.random.default_rng(0).uniform(1, 2, size=100_000).astype(np.float32)
    assert (totals * largest < totals).all()
    assert share_of(np.uint64(3), np.float32(2.0)) < 2.0


def test_splitmix_gives_the_published_numbers():
    """First outputs of SplitMix64 from state 1234567, as in the generator's reference implementation."""
    state, outputs = 1234567, []
    for _ in range(3):
        state = (state + int(random_numbers.GOLDEN_GAMMA)) % 2**64
        outputs.append(int(mixed(np.uint64(state))))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@numba.njit
def mixed(state):
    return random_numbers.mix(state)


def test_a_draw_never_leaves_the_topics_nor_hits_an_impossible_one():
    weights = np.array([0.0, 0.2, 0.0, 0.5, 0.3, 0.0, 0.0, 0.0])
    draw = numba.njit(lambda threshold: dense.draw(weights, threshold, 5))
    thresholds = np.linspace(0, np.nextafter(1.0, 0), 10_001)
    drawn = np.array([draw(t) for t in thresholds])
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / len(drawn), weights[:5], atol=1e-3)
    assert draw(np.float64(1.0)) == 4  # a product rounded up to the total


def vector_functions(lanes):
    @numba.njit
    def functions(numbers, indices, threshold):
        floats, integers = np.zeros((5, lanes), dtype=np.float32), np.zeros((2, lanes), dtype=np.int32)
        x, k = simd.load(numbers, 0, lanes), simd.load(indices, 0, lanes)
        sums = simd.running_sum(x)
        above = simd.first_above(sums, threshold)
        simd.prefetch(numbers, 0)
        one, two = simd.spread(np.float32(1.0), lanes), simd.spread(np.float32(2.0), lanes)
        for row, value in enumerate(
            (
                sums,
                simd.gather(numbers, k),
                simd.select(above, one, two),
                x * two - x / two + one,
                simd.select(simd.equal(k, simd.spread(np.int32(3), lanes)), one, simd.to_floats(k)),
            )
        ):
            simd.store(floats.reshape(-1), row * lanes, value)
        simd.store(integers.reshape(-1), 0, simd.one_hot(np.int32(2), lanes))
        simd.store(integers.reshape(-1), lanes, k + simd.one_hot(np.int32(-1), lanes))
        none = simd.lane_of(simd.spread(False, lanes))
        return floats, integers, simd.lane_of(above), none, simd.lane(sums, np.int32(lanes - 1))

    return functions


@pytest.mark.parametrize("lanes", [8, 16, 32])
def test_vectors_calculate_as_arrays_do(lanes):
    rng = np.random.default_rng(lanes)
    x = rng.uniform(0.5, 2, size=lanes).astype(np.float32)
    k = rng.permutation(lanes).astype(np.int32)
    threshold = np.float32(x.sum() * 0.6)
    floats, integers, above, none, last = vector_functions(lanes)(x, k, threshold)
    np.testing.assert_allclose(floats[0], np.cumsum(x, dtype=np.float64), rtol=1e-6)
    np.testing.assert_array_equal(floats[1], x[k])
    assert above == np.flatnonzero(floats[0] > threshold)[0]
    np.testing.assert_array_equal(floats[2], np.where(np.arange(lanes) == above, 1, 2))
    np.testing.assert_array_equal(floats[3], x * np.float32(2) - x / np.float32(2) + np.float32(1))
    np.testing.assert_array_equal(floats[4], np.where(k == 3, 1, k))
    np.testing.assert_array_equal(integers[0], np.arange(lanes) == 2)
    np.testing.assert_array_equal(integers[1], k)
    assert none == lanes
    assert last == floats[0, -1]


def drawn_lane(lanes):
    @numba.njit
    def function(numbers, threshold):
        return simd.lane_of(simd.first_above(simd.running_sum(simd.load(numbers, 0, lanes)), threshold))

    return function


@pytest.mark.parametrize(("n_topics", "lanes"), [(3, 8), (10, 16), (20, 32), (32, 32)])
def test_padding_in_front_of_the_topics_is_never_drawn(n_topics, lanes):
    """At thresholds that are sums themselves; behind the topics, rounding would let some of these draw padding."""
    rng = np.random.default_rng(n_topics)
    drawn = drawn_lane(lanes)
    for _ in range(2_000):
        weights = np.zeros(lanes, dtype=np.float32)
        weights[lanes - n_topics :] = rng.gamma(0.3, size=n_topics)
        sums = sums_of(lanes)(weights)
        assert (sums[: lanes - n_topics] == 0).all()
        below = np.append(sums[sums < sums[-1]], np.nextafter(sums[-1], np.float32(0)))
        for threshold in below:
            assert lanes - n_topics <= drawn(weights, threshold) < lanes


@functools.cache
def sums_of(lanes):
    @numba.njit
    def function(numbers):
        sums = np.empty(lanes, dtype=np.float32)
        simd.store(sums, 0, simd.running_sum(simd.load(numbers, 0, lanes)))
        return sums

    return function


@pytest.mark.slow
@pytest.mark.parametrize("n_topics", [3, 10, 20])
def test_hundreds_of_millions_of_draws_stay_among_the_topics(n_topics):
    """What happens once in some millions of draws happens here."""
    rng = np.random.default_rng(0)
    terms = rng.integers(50, size=100_000, dtype=np.int32)
    topics = rng.integers(n_topics, size=100_000, dtype=np.int32)
    bounds = np.stack([np.arange(0, 100_000, 100), np.arange(100, 100_001, 100)], axis=1)
    lanes = register.lanes_for(n_topics)
    table, totals, alpha = (
        np.zeros((50, lanes), np.int32),
        np.zeros(lanes, np.int32),
        np.zeros(lanes, np.float32),
    )
    np.add.at(table, (terms, lanes - n_topics + topics), 1)
    totals[:], alpha[lanes - n_topics :] = table.sum(axis=0), 0.1
    generator = np.array([1], dtype=np.uint64)
    for _ in range(2_000):
        register.sweep_of(lanes)(bounds, 0, terms, topics, table, totals, alpha, 0.1, n_topics, generator)
        assert topics.min() >= 0
        assert topics.max() < n_topics
    np.testing.assert_array_equal(np.bincount(topics, minlength=n_topics), totals[lanes - n_topics :])


@pytest.mark.parametrize(("n_topics", "lanes"), [(1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (32, 32)])
def test_vectors_have_room_for_the_topics(n_topics, lanes):
    assert register.lanes_for(n_topics) == lanes


@numba.njit
def change(entries, firsts, lengths, terms, olds, news, unused, known):
    """Move tokens from one topic to another, as the sweep does; the place of the new one may be known."""
    for i in range(terms.shape[0]):
        if olds[i] == news[i]:
            continue
        first = firsts[terms[i]]
        entry = np.int64(-1)
        if known[i]:
            entry = sparse._find(entries, first, np.int64(lengths[terms[i]]), news[i])
        entry = sparse._remove(entries, first, lengths, terms[i], olds[i], unused, entry)
        sparse._add(entries, first, lengths, terms[i], news[i], entry)


def test_the_shares_of_a_document_of_millions_of_tokens_add_up():
    n = 6_000_000
    terms, weights = np.zeros(n, dtype=np.int32), np.full(n, 0.3)
    mean_counts = np.zeros((1, 1))
    table, alpha = np.zeros((1, folding.LANES), dtype=np.float32), np.zeros(folding.LANES, dtype=np.float32)
    table[0, -1], alpha[-1] = 1, 0.1
    starts = np.array([0, n])
    folding.fold_in(starts, terms, terms, weights, table, alpha, 1, 0, np.uint64(0), mean_counts)
    assert mean_counts[0, 0] == pytest.approx(0.3 * n, rel=1e-3)


def test_lists_of_topics_count_like_a_table():
    """Lists that overflow a group, run empty and are full: all as a table counts, after thousands of changes."""
    rng = np.random.default_rng(0)
    n_terms, n_topics = 30, 40
    terms = np.sort(rng.zipf(1.3, size=3_000) % n_terms).astype(np.int32)
    topics = rng.integers(n_topics, size=3_000, dtype=np.int32)
    lists = sparse.lists_of(np.bincount(terms, minlength=n_terms), n_topics)
    assert lists[0].ctypes.data % 64 == 0
    sparse.count(terms, topics, *lists)
    for _ in range(20):
        moved = rng.permutation(3_000)[:1_500]
        news = np.where(rng.random(1_500) < 0.5, rng.integers(3, size=1_500), topics[moved]).astype(np.int32)
        change(*lists, terms[moved], topics[moved], news, np.int32(n_topics), rng.random(1_500) < 0.5)
        topics[moved] = news
        expected = np.zeros((n_terms, n_topics))
        np.add.at(expected, (terms, topics), 1)
        counted = np.zeros_like(expected)
        sparse.add_lists(*lists, np.arange(n_terms), np.ones(n_topics), counted)
        np.testing.assert_array_equal(counted, expected)
        np.testing.assert_array_equal(lists[2], (expected > 0).sum(axis=1))


def test_tokens_are_arranged_by_document_and_share():
    starts = np.array([0, 4, 4, 7])
    terms = np.array([0, 1, 2, 3, 3, 1, 0], dtype=np.int32)
    order, bounds = np.empty(7, dtype=np.int32), np.empty((3, 3), dtype=np.int64)
    tables.arrange(starts, terms, np.array([1, 0, 1, 0]), 2, order, bounds)
    assert bounds.tolist() == [[0, 2, 4], [4, 4, 4], [4, 6, 7]]
    assert order.tolist() == [1, 3, 0, 2, 4, 5, 6]


def looked_up(prior, size):
    small = np.arange(size)
    return gammaln(prior[:, None] + small) - gammaln(prior)[:, None]


@pytest.mark.parametrize("size", [0, 2, 50])
def test_rising_factorials_of_documents_and_tables(size):
    """Short documents, long ones and one without tokens, with and without a table of the small counts."""
    rng = np.random.default_rng(1)
    prior = np.array([0.5, 2.0, 0.1, 0.3])
    bounds = np.array([[0, 1], [1, 1], [1, 3], [3, 60]])
    topics = rng.integers(4, size=60, dtype=np.int32)
    counts = np.array([np.bincount(topics[a:b], minlength=4) for a, b in bounds])
    expected = (gammaln(counts + prior) - gammaln(prior)).sum()
    lookup = looked_up(prior, size)
    assert tables.log_rising_of_documents(
        bounds, topics, None, prior, lookup, np.zeros((2, 4), dtype=np.int32)
    ) == pytest.approx(expected)
    by_table = tables.log_rising_of_table(counts, prior[0], lookup[0])
    assert by_table == pytest.approx((gammaln(counts + 0.5) - gammaln(0.5)).sum())
    lists = sparse.lists_of(np.array([60]), 4)
    sparse.count(np.zeros(60, dtype=np.int32), topics, *lists)
    by_lists = tables.log_rising_of_lists(lists[0], prior[0], lookup[0])
    assert by_lists == pytest.approx((gammaln(np.bincount(topics) + 0.5) - gammaln(0.5)).sum())


def test_rising_factorials_of_weights():
    prior = np.array([0.5, 2.0])
    weights = np.array([1.0, 0.25, 1.0])
    value = tables.log_rising_of_documents(
        np.array([[0, 3]]),
        np.array([0, 0, 1], dtype=np.int32),
        weights,
        prior,
        looked_up(prior, 0),
        np.zeros((2, 2)),
    )
    assert value == pytest.approx(math.lgamma(1.75) - math.lgamma(0.5) + math.log(2.0))
