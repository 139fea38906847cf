"""Quantities as people write them."""

from __future__ import annotations

import doctest

import pytest

from minillm_lib.io import wording
from minillm_lib.io.wording import duration, flop


@pytest.mark.parametrize(("seconds", "words"), [
    (0.0123, "0.012 s"), (5, "5 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (125, "2 min"), (3569, "59 min"),
    (3599, "1 h 00 min"), (7500, "2 h 05 min"), (360_000, "100 h 00 min"),
])  # fmt: skip
def test_a_time_is_told_in_units_that_fit(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("operations", "words"), [(1, "1 FLOP"), (1500, "1.5 KFLOP"), (2e15, "2 PFLOP"), (3e19, "30 EFLOP")]
)
def test_operations_are_told_in_units_that_fit(operations, words):
    assert flop(operations) == words


def test_the_examples_in_the_documentation_are_true():
    assert doctest.testmod(wording).failed == 0
