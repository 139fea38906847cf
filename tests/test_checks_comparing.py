from __future__ import annotations

from collections import Counter
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
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
        "the result has the right shape, but its value is wrong: at index 0 it is 1.001, but 1 is expected."
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
        ({1}, [1], "the result is a set, but a list is expected. `list(…)` makes one of it."),
        ((n for n in [1]), [1], "the result is a generator, but a list is expected."),
        ({1: 2}.values(), [2], "the result is a view of a dict, but a list is expected."),
        (5.0, 5, "the result is 5.0, a float, where a whole number (`5`) should be"),
        (
            np.array([5.0]),
            np.array([5]),
            "right values, but as floats (dtype `float64`); make them whole numbers",
        ),
        (torch.tensor([1]), torch.tensor([True]), "make them True and False, of `bool`"),
        (
            torch.tensor(2.0),
            2.0,
            "the result is a torch tensor, but a number is expected. `.item()` gives it.",
        ),
        (torch.zeros(2, device="meta"), torch.zeros(2), 'a tensor of the device "meta"'),
        (torch.eye(2).to_sparse(), torch.eye(2), "the result is a sparse tensor: `.to_dense()`"),
        (
            pd.DataFrame({"a": [1]}),
            np.array([[1]]),
            "a pandas DataFrame, but a NumPy array is expected. `.to_numpy()`",
        ),
        (np.array([{}], dtype=object), np.array([1]), "the result is a NumPy array of objects"),
        (10**30, 10**30 + 1, f"the result is {10**30}, but {10**30 + 1} is expected."),
        (2.694412, 2.6949, "the result is 2.694, but 2.695 is expected."),
        (2.69441, 2.69412, "the result is 2.6944, but 2.6941 is expected."),
        (1e20 * 1.001, 10**20, "is expected."),
        pytest.param(
            10**20000,
            3.5,
            "the result is a number of 20,001 digits, but 3.5 is expected.",
            id="a huge number",
        ),
        (1 - 10**400, 3, "the result is minus a number of 400 digits, but 3 is expected."),
        (Decimal("1e500"), 3.5, "the result is a number of 501 digits, but 3.5 is expected."),
        (np.array([10**400, 0.5]), np.ones(2), "at index 0 it is a number of 401 digits, but 1 is expected."),
        (abs, 1.0, "the result is the function `abs` itself, but a number is expected."),
        ("b", "a", "the result is 'b', but 'a' is expected."),
        (1, "a", "the result is a number, but a string is expected."),
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


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (Fraction(1, 3), 1 / 3),
        (Decimal("0.5"), 0.5),
        (np.array(2.5), 2.5),
        (np.float32(0.1), 0.1),
        (np.uint8(7), 7),
        (np.array(7, dtype=np.uint32), 7),
        (2, 2.0),
        ((1, 2), [1, 2]),
        ([1, (2, 3)], (1, [2.0, 3.0])),
        (range(3), [0, 1, 2]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (frozenset("ab"), {"a", "b"}),
        (torch.zeros(2).double(), torch.zeros(2)),
        (torch.tensor([1], dtype=torch.uint8), torch.tensor([1])),
        (np.array([1, 2], dtype=object), np.array([1, 2])),
        (np.array([10**30], dtype=object), np.array([10**30], dtype=object)),
        (np.array([1]), np.array([1.0])),
        (10**30, 10**30),
        (np.zeros(0), np.zeros(0, dtype=int)),
    ],
)
def test_a_right_value_may_be_of_another_type(got, expected):
    assert difference(got, expected) is None


class Hostile:
    """Compares, prints and converts with errors only."""

    def __eq__(self, other):
        raise RuntimeError("no")

    __repr__ = __float__ = __len__ = __hash__ = __eq__


@pytest.mark.parametrize(
    "got",
    [
        Hostile(),
        [Hostile()],
        {"a": Hostile()},
        np.array([Hostile()], dtype=object),
        float("nan"),
        10**400,
        Fraction(10**400, 3),
        Decimal("sNaN"),
        np.array([("a", 1)], dtype=[("x", "U1"), ("y", int)]),
        np.array("text"),
        np.array(["2024-01-01"], dtype="datetime64[D]"),
        torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)], layout=torch.jagged),
        np.ma.masked_array([1.0], mask=[True]),
        1j,
        "\ud800",
        type,
        np,
        iter([1]),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "expected", [1, 0.5, [1], {"a": 1}, np.ones(1), torch.ones(2), "a", {1}, None], ids=str
)
def test_whatever_comes_is_told_apart_in_words(got, expected):
    sentence = difference(got, expected)
    assert sentence is not None
    assert sentence.endswith(".") or "`return`" in sentence
    sentence.encode()
