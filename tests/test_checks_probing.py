"""A wrong answer is tried on further inputs: what does its result depend on, and how?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from minillm_lib.checks import Exercise


def work(mass, distance, name):
    return mass * distance**2 + 0 * len(name)


WORK = Exercise(
    name="work",
    reference=work,
    inputs=lambda rng: (float(rng.uniform(1, 9)), float(rng.uniform(2, 9)), str(rng.integers(99))),
    edge_cases={"a mass of 0": (0.0, 3.0, "a"), "a distance of 1": (2.0, 1.0, "b")},
)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda m, d, n: 5.5, "the same for different inputs, 5.5"),
        (lambda m, d, n: math.sin(3 * d) + 7, "The result does not depend on `mass`"),
        (lambda m, d, n: m * d**2.7, "should become 4 times what it is; yours would become 6.498 times what it is."),
        (lambda m, d, n: m * math.exp(d), "should become 4 times what it is, and yours does not."),
        (lambda m, d, n: (m + m**2) * (d**2 + d), "If `mass` is doubled, the result should double, too, and"),
    ],
)  # fmt: skip
def test_what_a_result_depends_on_is_told(answer, message):
    assert message in WORK(answer).message


def test_the_failing_case_is_shown_besides():
    message = WORK(lambda m, d, n: m * math.exp(d)).message
    assert "The input was `mass = " in message
    assert "Yours: `" in message
    assert "Right: `" in message


def test_where_numbers_are_right_and_in_which_direction_they_are_wrong_is_told():
    exercise = Exercise(
        name="distance",
        reference=lambda a, b: math.hypot(a, b) + 1,
        inputs=lambda rng: (float(rng.uniform(1, 9)), float(rng.uniform(1, 9))),
        edge_cases={"`a = 0`": (0.0, 3.0)},
    )
    said = exercise(lambda a, b: a + b + 1).message
    assert said.startswith("The result is too large in 5 of 6 cases. For example, it is ")
    assert "should be. It is right for `a = 0`." in said


def test_an_error_in_all_usual_cases_comes_before_a_value_in_an_odd_one():
    exercise = Exercise(
        name="rows",
        reference=lambda x: x / x.sum(-1, keepdims=True),
        inputs=lambda rng: (rng.uniform(1, 2, size=(3, 5)),),
        edge_cases={"a square": (np.arange(1.0, 5.0).reshape(2, 2),)},
    )
    assert exercise(lambda x: x / x.sum(-1)).message.startswith("Two shapes do not fit together")
