"""Declared mistakes are recognised in results: alone, together, and with something general besides."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from minillm_lib.checks import Exercise


def energy(x, *, square=True, half=True, sign=True):
    return (x**2 if square else x) * (0.5 if half else 1) * (1 if sign else -1)


ENERGY = Exercise(
    name="energy",
    reference=energy,
    inputs=lambda rng: (rng.uniform(2, 3, size=4),),
    variant=energy,
    slips={
        ("square", False): "You forgot the square.",
        ("half", False): "You forgot the half.",
        ("sign", False): "The sign is wrong.",
    },
)


@pytest.mark.parametrize(
    ("answer", "count", "parts"),
    [
        (lambda x: x / 2, None, ["You forgot the square."]),
        (lambda x: x, "two", ["You forgot the square.", "And the other: You forgot the half."]),
        (lambda x: 50 * x, "two", ["You forgot the square.", "Besides, the result", "times 100"]),
        (
            lambda x: 100 * x,
            "three",
            ["You forgot the square.", "And the other: You forgot the half.", "Besides, the result", "times 100"],
        ),
    ],
)  # fmt: skip
def test_mistakes_that_come_together_are_counted_once(answer, count, parts):
    message = ENERGY(answer).message
    assert message.count("mistakes at once") == (count is not None)
    assert message.startswith(f"This looks like {count} mistakes at once. " if count else parts[0])
    places = [message.index(part) for part in parts]
    assert places == sorted(places)


def test_two_pairs_of_mistakes_are_not_combined():
    message = ENERGY(lambda x: -x).message
    assert message.count("mistakes at once") <= 1, message


def test_results_that_say_little_are_not_taken_for_a_mistake():
    """Nothing but NaN, one value for all inputs, or an error of the same type: each has many reasons."""
    exercise = Exercise(
        name="share",
        reference=lambda a, b: a / b,
        inputs=lambda rng: (int(rng.integers(2, 9)), int(rng.integers(10, 20))),
        misconceptions={
            lambda a, b: float("nan"): "You take the logarithm of a negative number.",
            lambda a, b: [1][a]: "You read past the end.",
        },
        variant=lambda a, b, *, whole=False, root=False: (a // b if whole else a / b) ** (0.5 if root else 1),
        slips={("whole", True): "You get a whole number: `//`?", ("root", True): "You take a root."},
    )
    assert exercise(lambda a, b: math.nan * a).message.startswith("The result is NaN")
    assert exercise(lambda a, b: [1][a]).message == "You read past the end."
    assert exercise(lambda a, b: [][b]).message == "You read past the end."
    assert exercise(lambda a, b: np.zeros(2)[a + b]).message.startswith("An index lies beyond the end")
    assert "root" not in exercise(lambda a, b: 0.0).message


def test_small_changes_of_large_numbers_are_not_confused():
    exercise = Exercise(
        name="large",
        reference=lambda a: 1e5 + a,
        inputs=lambda rng: (float(rng.uniform(1, 9)),),
        rtol=1e-9,
        misconceptions={lambda a: 1e5 + 2 * a: "You add it twice.", lambda a: 1e5: "You do not add it."},
    )
    for answer, said in (
        (lambda a: 1e5 + a - 1, "minus 1"),
        (lambda a: 1e5 + a + 1, "1 too large"),
        (lambda a: float(int(1e5 + a)), "digits after the point cut off"),
        (lambda a: 1e5 + a**1.3, "nearly right"),
    ):
        message = exercise(answer).message
        assert said in message
        assert "two mistakes" not in message


def test_the_warnings_of_wrong_answers_that_are_tried_do_not_reach_the_learner():
    exercise = Exercise(
        name="logs",
        reference=lambda x: np.log1p(x),
        inputs=lambda rng: (rng.integers(0, 3, size=6).astype(float),),
        misconceptions={
            lambda x: np.log(x): "You forget the 1.",
            lambda x: np.log(x) / np.zeros(0).mean(): "You average nothing.",
        },
    )
    with warnings.catch_warnings(record=True) as out:
        warnings.simplefilter("always")
        message = exercise(lambda x: np.cos(x)).message
    assert message
    assert [str(warning.message) for warning in out] == []
