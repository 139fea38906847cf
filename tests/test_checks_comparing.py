from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_matrix

from minillm_lib.checks.comparing import difference


@given(arrays(np.float64, (3, 2), elements=st.floats(-100, 100)))
def test_equal_values_do_not_differ_whatever_holds_them(values):
    nested = {"a": [values, (torch.tensor(values), 1)], "b": "text"}
    assert difference(nested, nested) is None
    assert difference(csr_matrix(values), csr_matrix(values)) is None


@given(st.integers(10**6, 10**9))
def test_whole_numbers_are_compared_exactly(number):
    assert difference(np.array([number]), np.array([number + 1]))
    assert difference(number, number + 1)


def test_floating_point_values_are_compared_within_the_tolerance():
    assert difference(1.00009, 1.0) is None
    assert difference(torch.tensor([1.0009]), torch.tensor([1.0])) == (
        "the result has the right shape, but 1 of 1 values are wrong: at index 0 it is 1.001, but 1 is expected."
    )
    assert difference(np.array([np.nan, np.inf]), np.array([np.nan, np.inf])) is None


@pytest.mark.parametrize(
    ("got", "expected", "message"),
    [
        ([1, 2], [1, 2, 3], "the result has 2 items, but 3 are expected."),
        ([1, 5], [1, 2], "item 1 of the result is 5, but 2 is expected."),
        ({"a": 1}, {"b": 1}, "the result lacks the key 'b'."),
        ({"a": 1, "b": 2}, {"a": 1}, "the result has the key 'b', which is not expected."),
        ({"a": 2}, {"a": 1}, "the result under 'a' is 2, but 1 is expected."),
        ((1,), [1], "the result is of type `tuple`, but of type `list` is expected."),
        ("b", "a", "the result is 'b', but 'a' is expected."),
        (1, "a", "the result is a number, but a string is expected."),
        (torch.zeros(2).double(), torch.zeros(2), "has dtype torch.float64, but torch.float32 is expected."),
        (
            np.zeros((2, 2)),
            csr_matrix((2, 2)),
            "the result is a NumPy array, but a sparse matrix is expected.",
        ),
        (torch.full((2,), -torch.inf), torch.zeros(2), "2 of 2 values that are not finite"),
    ],
)
def test_the_difference_is_named(got, expected, message):
    assert message in difference(got, expected)


def test_the_width_of_an_int_is_no_difference():
    assert difference(np.array([1], dtype=np.int32), np.array([1], dtype=np.int64)) is None
