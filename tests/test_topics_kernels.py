"""The pieces under the sampler: random numbers, the categorical draw, the padding."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from scipy import stats

from minillm_lib.topics import kernels


@numba.njit
def stream(state, n):
    out = np.empty(n)
    for i in range(n):
        state += kernels._GOLDEN_GAMMA
        out[i] = kernels._uniform(state)
    return out


def test_random_numbers_are_uniform_and_uncorrelated():
    numbers = stream(np.uint64(12345), 200_000)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 0.01


def test_splitmix_gives_the_published_numbers():
    """First outputs of SplitMix64 from state 1234567, as in the generator's reference implementation."""
    state, outputs = 1234567, []
    for _ in range(3):
        state = (state + int(kernels._GOLDEN_GAMMA)) % 2**64
        outputs.append(int(mixed(np.uint64(state))))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@numba.njit
def mixed(state):
    return kernels._mix(state)


def test_a_draw_never_leaves_the_topics_nor_hits_an_impossible_one():
    weights = np.array([0.0, 0.2, 0.0, 0.5, 0.3, 0.0, 0.0, 0.0])
    draw = numba.njit(lambda threshold: kernels._draw(weights, threshold, 5))
    thresholds = np.linspace(0, np.nextafter(1.0, 0), 10_001)
    drawn = np.array([draw(t) for t in thresholds])
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / len(drawn), weights[:5], atol=1e-3)
    assert draw(np.float64(1.0)) == 4  # a product rounded up to the total


@pytest.mark.parametrize(("n_topics", "width"), [(1, 8), (8, 8), (9, 16), (1000, 1000)])
def test_padding_rounds_up_to_whole_registers(n_topics, width):
    assert kernels.padded_width(n_topics) == width


def test_log_rising_is_the_logarithm_of_a_product():
    table = np.array([[3.0, 0.0, 9.0], [0.0, 2.0, 9.0]])
    prior = np.array([0.5, 2.0])
    expected = math.log(0.5 * 1.5 * 2.5) + math.log(2.0 * 3.0)
    for size in (0, 3, 9):
        lookup = np.array([[math.lgamma(n + p) - math.lgamma(p) for n in range(size)] for p in prior])
        assert kernels.log_rising(table, prior, lookup.reshape(2, size), 2) == pytest.approx(expected)
