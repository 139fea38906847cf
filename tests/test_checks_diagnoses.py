"""General diagnoses: each is made for what it describes, and never for what it does not hold for."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest

from minillm_lib.checks import check
from minillm_lib.checks.diagnoses.general import Failure, diagnose, general_changes
from minillm_lib.checks.explaining import error_in_words

RNG = np.random.default_rng(0)
X = [RNG.uniform(0.2, 0.9, size=(4, 4)) * RNG.choice([-1, 1], size=(4, 4)) for _ in range(3)]
ROWS = [RNG.dirichlet(np.ones(4), size=3) for _ in range(3)]
NUMBERS = [0.31, 0.74, 0.52, 0.93]
TOKENS = [["a", "b", "c"], ["b", "d", "a", "e"], ["c", "a"]]


def failures(got, expected, inputs=None):
    inputs = inputs or [{}] * len(expected)
    return [Failure(one, right, names) for one, right, names in zip(got, expected, inputs, strict=True)]


def said_of(function, expected, inputs=None, **options):
    return diagnose(failures([function(right) for right in expected], expected, inputs), **options)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (np.negative, "The result has the right size, but the wrong sign."),
        (lambda x: 1 - x, "The result is 1 minus what it should be."),
        (lambda x: 1 / x, "the reciprocal of what it should be"),
        (lambda x: 2 * x, "what it should be, times 2."),
        (lambda x: x / 2, "what it should be, divided by 2."),
        (lambda x: x * math.log(2), "times ln 2 ≈ 0.693: are logarithms to base 2 and to base e exchanged"),
        (lambda x: x / math.log(10), "divided by ln 10"),
        (lambda x: 100 * x, "times 100: is it a percentage?"),
        (lambda x: 0.123 * x, "times 0.123: the same constant factor in every case."),
        (lambda x: x + 1, "1 too large"),
        (lambda x: x + 0.37, "larger than it should be by the same 0.37"),
        (np.trunc, "fractions below 1 should be"),
        (np.exp, "the exponential of what it should be: the logarithm is missing."),
        (np.abs, "its sign is lost"),
        (lambda x: np.round(x, 2), "rounded to 2 digits"),
        (np.transpose, "right values, but rows and columns are exchanged."),
        (lambda x: x[::-1], "right values, but reversed along axis 0."),
        (lambda x: np.sort(x, 1), "right values, but sorted along axis 1."),
        (lambda x: np.roll(x, 1, 1), "each is one place too late along axis 1"),
        (lambda x: np.roll(x, -1, 0), "each is one place too early along axis 0"),
        (lambda x: x[:, [2, 0, 3, 1]], "right values, but in another order within each row."),
        (lambda x: x.cumsum(1), "running sums along axis 1"),
        (lambda x: x * np.nan, "NaN (not a number) in every value"),
        (lambda x: x * 0 + 5, "`5` everywhere"),
        (lambda x: x + np.eye(4), "is right, except on the diagonal."),
        (lambda x: x + 3 * np.triu(np.ones((4, 4)), 1) * x**2, "is right, except above the diagonal."),
        (lambda x: np.where(np.arange(4) == 3, 7 * x**2, x), "is right, except in the last column."),
        (lambda x: np.where(x < 0, x**2 + 5, x), "except where the right value is negative."),
        (lambda x: np.where(np.arange(4) == 0, x, np.cos(9 * x)), "The result is right only in the first column."),
        (lambda x: x * (1 + 1e-3 * np.cos(100 * x)), "nearly right"),
        (lambda x: x[0], "It is only the first item along axis 0 of what is asked for"),
        (lambda x: x.sum(1), "It is the sum along axis 1 of what is asked for"),
        (lambda x: x[None], "an axis of length 1 too many"),
        (lambda x: x[:, :-1], "The last item along axis 1 is missing; the others are right."),
        (lambda x: np.repeat(x, 2, 0), "twice along axis 0, one beside the other"),
        (lambda x: x.ravel(), "`reshape` gives them the shape"),
        (lambda x: x.tolist(), "a list where a NumPy array should be. `np.array(…)` makes one of it. Its values"),
        (lambda x: (100 * x).tolist(), "Besides, it is what it should be, times 100"),
    ],
)  # fmt: skip
def test_what_happened_to_numbers_is_named(function, message):
    assert message in said_of(function, X)


def test_rows_that_do_not_add_up_to_1_are_told():
    assert "not normalised: the values of each row must add up to 1" in said_of(
        lambda p: p * [[1], [2], [3]], ROWS
    )
    assert "not normalised" in said_of(lambda p: p**2 + 0.01, ROWS)


def test_a_quantity_of_the_inputs_is_found_by_its_name():
    sizes = ((3, 0.9), (5, 0.7), (6, 0.6), (9, 0.8))
    inputs = [{"x": np.ones((size, 8)), "beta": beta, "text": "ab c" * size} for size, beta in sizes]
    for change, words in (
        (lambda value, case: value / len(case["x"]), "divided by `x.shape[0]`"),
        (lambda value, case: value * math.sqrt(len(case["x"])), "times √`x.shape[0]`"),
        (lambda value, case: value / (1 - case["beta"]), "divided by (1 − `beta`)"),
        (lambda value, case: value + case["beta"], "larger than it should be by `beta`"),
        (lambda value, case: value ** len(case["text"]), "to the power of `len(text)`"),
        (lambda value, case: value * (len(case["x"]) - 1), "times (`x.shape[0]` − 1)"),
    ):
        got = [change(value, case) for value, case in zip(NUMBERS, inputs, strict=True)]
        assert words in diagnose(failures(got, NUMBERS, inputs))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[::-1], "reverse order"),
        (lambda x: x[:-1], "lacks its last item"),
        (lambda x: [*x, "z"], "one item too many at the end"),
        (lambda x: [x], "wrapped in a list of length 1"),
        (lambda x: [[item] for item in x], "each item in a list of its own"),
        (lambda x: [item for item in x if item != "a"], "lacks items; those that it has are right"),
        (lambda x: [len(item) for item in x], "has a number as each item, where a string should be"),
        (lambda x: iter(x), "where a list should be. `list(…)` makes one of it."),
        (lambda x: " ".join(x), "a string where a list should be"),
        (lambda x: ["".join(x)], "holds the right text, but in too few pieces"),
        (lambda x: [*x[:-2], x[-1], x[-2]], "right items, but in another order"),
    ],
)  # fmt: skip
def test_what_happened_to_lists_is_named(function, message):
    assert message in said_of(function, TOKENS)


def test_what_happened_to_dicts_and_strings_is_named():
    counts = [{("a", "b"): 2, ("b", "c"): 3}, {("x", "y"): 5}]
    assert "each pair that is a key in the wrong order" in said_of(
        lambda c: {k[::-1]: v for k, v in c.items()}, counts
    )
    assert "lacks keys; what it has is right" in said_of(lambda c: dict(list(c.items())[:1]), counts[:1])
    assert "shares, which add up to 1" in said_of(
        lambda c: {k: v / sum(c.values()) for k, v in c.items()}, counts
    )
    words = [" a b", " cd"]
    assert "lacks the blank at its start" in said_of(str.strip, words)
    assert "upper and lower case" in said_of(str.upper, words)


def test_only_the_wrong_item_of_several_results_is_blamed():
    pairs = [(x, x.sum()) for x in X]
    said = said_of(lambda pair: (pair[0], -pair[1]), pairs)
    assert said == "Item 1 of the result has the right size, but the wrong sign. The other item is right."
    assert "right 2 items, but in another order" in said_of(lambda pair: pair[::-1], pairs)
    said = said_of(lambda pair: (np.cos(31 * pair[0]), pair[1]), pairs)
    assert "tem 1 of the result is right" in said


def test_rows_that_an_input_leaves_empty_are_named():
    inputs = [{"counts": np.array([[1, 2, 0], [0, 0, 0], [3, 0, 1]])} for _ in X]
    rows = [p[:, :3] for p in ROWS]
    got = [np.where(np.arange(3)[:, None] == 1, 1.0, row) for row in rows]
    assert diagnose(failures(got, rows, inputs)) == (
        "The result is right, except in rows in which `counts` is 0 throughout."
    )


def test_a_number_in_place_of_a_tensor_is_not_called_imprecise():
    said = diagnose(failures([0.31, 0.74, 0.52], [np.array(value) for value in (0.31, 0.74, 0.52)]))
    assert said == "The result is a number where a NumPy array should be. Its values are right."


def test_items_within_items_are_named_in_full():
    def of(x):
        return np.cos(x), (np.sin(x), x)

    said = said_of(lambda pair: (pair[0], (np.cos(31 * pair[1][0]), pair[1][1])), [of(x) for x in X])
    assert said.startswith("Item 1 of item 1 of the result is right, so look at how you make the other.")


def test_the_items_of_a_tuple_are_not_moved():
    triples = [(x, 2 * x**2, 3 * x**3) for x in X]
    said = said_of(lambda items: (items[0] + 5 * items[2] ** 2, items[0], items[1]), triples)
    assert said is None or "too late" not in said


def test_an_input_that_comes_back_is_recognised():
    inputs = [{"x": x} for x in X]
    assert "is `x`, as it came in" in diagnose(failures(X, [x * 2 for x in X], inputs))


def test_the_same_result_for_all_inputs_is_told():
    assert "it does not depend on them" in diagnose(failures([7.5] * 4, NUMBERS))


def test_a_number_too_large_for_a_float_is_not_called_infinite():
    said = diagnose(failures([10**20000, 10**500, Fraction(10**600, 3)], NUMBERS[:3]))
    assert said.startswith("The result is far too large, a number of 501 digits: is something multiplied")
    some = diagnose(failures([10**20000, 0.5, 0.6], NUMBERS[:3]))
    assert some is None or "infinite" not in some


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (np.zeros((0, 3)), np.zeros((2, 3))),
        (np.zeros((2, 2, 0)), np.zeros(2)),
        (np.zeros((2, 2, 0)), np.float64(1)),
        (np.full((3, 2), np.inf), np.arange(2.0)),
        (np.full((2, 3, 2), np.nan), np.arange(2.0)),
        (np.array([np.inf, -np.inf]), np.array([0.0, -np.inf])),
        (np.ones(2), np.full((3, 2), np.inf)),
        (np.ones(3), np.zeros((3, 0))),
        (np.array([[np.inf, 1.0]] * 2), np.array([[0.5, 0.5]] * 2)),
    ],
)
def test_no_warning_comes_out_of_a_diagnosis(got, expected):
    with warnings.catch_warnings(record=True) as out:
        warnings.simplefilter("always")
        diagnose(failures([got] * 3, [expected] * 3))
        list(general_changes(failures([got] * 3, [expected] * 3)))
    assert out == []


def test_nothing_is_claimed_that_does_not_hold_for_all_cases():
    mixed = [-X[0], 2 * X[1], X[2] ** 2]
    assert diagnose(failures(mixed, X), certain=True) is None
    noise = [np.random.default_rng(i).normal(size=(4, 4)) for i in range(3)]
    assert diagnose(failures(noise, X), certain=True) is None
    assert diagnose(failures([1.0], [2.0])) is None, "one number says nothing"
    large = [{"n": 400.0}, {"n": 500.0}, {"n": 600.0}]
    assert diagnose(failures([3.1, 9.2, 5.7], [7.0, 13.0, 19.0], large)) is None, (
        "7 ** 400 is infinite, and not near 3.1"
    )


def test_results_that_resist_being_looked_at_are_no_error():
    class Hostile:
        def __getattr__(self, name):
            raise RuntimeError(name)

        def __eq__(self, other):
            raise RuntimeError

        __hash__ = None

    said = diagnose(failures([Hostile()] * 3, X))
    assert said is None or "Hostile" in said


@pytest.mark.parametrize(
    ("action", "meaning"),
    [
        (lambda: 1 / 0, "Something is divided by zero. Python's words are `ZeroDivisionError: division by zero`."),
        (lambda: {1} / {2}, "Sets cannot be divided"),
        (lambda: [1] * 0.5, "A list, a tuple or a string cannot be multiplied by a `float`"),
        (lambda: bool(np.ones(2)), "A comparison of arrays gives an array"),
        (lambda: np.ones((2, 3)) @ np.ones((2, 3)), "Two shapes do not fit together"),
        (lambda: range(2.5), "A whole number is needed here"),
        (lambda: math.log(0), "A logarithm or root is taken of a number for which there is none"),
        (lambda: [][1], "An index lies beyond the end"),
        (lambda: {}["a"], "This key is not in the dict"),
        (lambda: None.x, "Something is `None` here"),
        (lambda: np.ones(2, dtype=int).__itruediv__(2), "An array of whole numbers is changed in place"),
        (lambda: int("x"), "A text is taken for a number"),
        (lambda: math.exp(1e6), "A number becomes too large"),
    ],
)  # fmt: skip
def test_errors_of_python_are_explained(action, meaning):
    with pytest.raises(Exception) as raised:  # noqa: PT011
        action()
    assert error_in_words(raised.value).startswith(meaning)


def test_of_right_values_of_another_type_nothing_false_is_said():
    expected = [np.array([3, 0, 7]), np.array([1, 2])]
    for told in (
        said_of(lambda right: right.astype(float), expected),
        check.minhash_signature(lambda *x: check.minhash_signature.reference(*x).astype(float)).message,
    ):
        assert told.startswith("The result has the right values, but as floats")
    counts = [{("a", "b"): 3, ("b", "c"): 1}]
    assert "too small" not in (
        said_of(lambda right: {key: float(n) for key, n in right.items()}, counts) or ""
    )
