"""Intervals and tests against published values, simulation and enumeration."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from minillm_lib.evaluation.statistics import ratio_interval, sign_test, wilson_interval


@pytest.mark.parametrize(("right", "n"), [(0, 1), (3, 3), (0, 40), (7, 20), (53, 106), (199, 200)])
def test_the_interval_of_a_share_is_scipys(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("right", "n"), [(0, 0), (-1, 4), (5, 4)])
def test_what_is_no_share_is_refused(right, n):
    with pytest.raises(ValueError, match=f"{right} of {n}"):
        wilson_interval(right, n)


def test_the_interval_of_a_ratio_holds_the_ratio_95_times_in_a_hundred():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        sizes = generator.integers(5, 50, 60)
        values = sizes * 2.0 + generator.normal(0, 3, 60) * np.sqrt(sizes)
        low, high = ratio_interval(values.tolist(), sizes.tolist())
        held += low < 2.0 < high
    assert held / 2000 == pytest.approx(0.95, abs=0.02)


def test_a_single_part_has_no_interval():
    assert ratio_interval([3.0], [2]) is None
    assert ratio_interval([], []) is None


def test_the_sign_test_counts_splits_as_uneven():
    for first, second in [(0, 0), (3, 3), (1, 6), (5, 0), (2, 5)]:
        n = first + second
        heads = [sum(toss) for toss in itertools.product((0, 1), repeat=n)]
        as_uneven = sum(abs(2 * count - n) >= abs(first - second) for count in heads)
        assert sign_test(first, second) == pytest.approx(as_uneven / 2**n)
