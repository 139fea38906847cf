"""What a check reports for answers that are wrong in ways not specific to the exercise."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from minillm_lib.checks import CheckFailedError, Exercise, check
from minillm_lib.checks.registry import Checks

SCALE = Exercise(
    name="scale",
    points=2,
    reference=lambda x, factor: x * factor,
    inputs=lambda rng: (rng.normal(size=(2, 3)), float(rng.uniform(2, 3))),
    misconceptions={lambda x, factor: x / factor: "You divide."},
)


def test_right_and_usual_wrong():
    right = SCALE(lambda x, factor: factor * x)
    assert (right.status, right.points, right.max_points) == ("passed", 2, 2)
    wrong = SCALE(lambda x, factor: x / factor)
    assert (wrong.status, wrong.points, wrong.message) == ("failed", 0, "You divide.")


def test_the_result_reads_as_text_and_as_html():
    result = SCALE(lambda x, factor: None)
    assert repr(result).startswith("scale: failed, 0 of 2 points. The result is `None`: is there a `return`?")
    html = result._repr_html_()
    assert "<code>None</code>" in html
    assert "✗ failed" in html
    assert "<b>x</b>" not in replace(result, message="<b>x</b>")._repr_html_()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x, factor: x[0] * factor, "The result has shape (3,), but (2, 3) is expected."),
        (lambda x, factor: (x * factor).T, "The result has shape (3, 2), but (2, 3) is expected. Is it transposed?"),
        (lambda x, factor: (x * factor).astype(int), "The result has dtype int64, but float64 is expected."),
        (lambda x, factor: (x * factor).tolist(), "The result is of type `list`, but a NumPy array is expected."),
        (lambda x, factor: torch.tensor(x * factor), "The result is a torch tensor, but a NumPy array is expected."),
        (lambda x, factor: x * np.nan, "The result has 6 of 6 values that are not finite (NaN or infinite)."),
        (lambda x, factor: x * factor + [[0, 0, 1]], "but 2 of 6 values are wrong: at index (0, 2)"),
        (lambda x: x, "`scale` has the arguments `(x)`, but is called with `(x, factor)`."),
        (3, "`scale` is of type `int`; a function or class is expected."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(answer, message):
    result = SCALE(answer)
    assert result.status == "failed"
    assert message in result.message


def test_the_input_is_described():
    assert "The input was `x` of shape (2, 3), `factor=2." in SCALE(lambda x, factor: x).message


def test_an_exception_is_shown_with_the_line_of_the_learner():
    def helper(x):
        return x.no_such_method()

    def scale(x, factor):
        return np.vectorize(lambda value: value)(helper(x))

    message = SCALE(scale).message
    assert "raised AttributeError: 'numpy.ndarray' object has no attribute 'no_such_method'" in message
    assert message.endswith("of your cell: `return x.no_such_method()`")


def test_sys_exit_is_an_exception_as_any_other():
    def scale(x, factor):
        raise SystemExit("enough")

    assert "raised SystemExit: enough" in SCALE(scale).message


def test_only_the_stub_is_not_attempted():
    def stub(x, factor):
        raise NotImplementedError

    def library_raises(x, factor):
        return torch.nn.Module()(x)

    assert SCALE(stub).status == "not attempted"
    failed = SCALE(library_raises)
    assert failed.status == "failed"
    assert 'NotImplementedError: Module [Module] is missing the required "forward"' in failed.message


def test_an_endless_loop_ends_and_is_located():
    rounds = []

    def scale(x, factor):
        while True:
            rounds.append(1)

    result = replace(SCALE, time_limit=0.2)(scale)
    assert "No answer after 0.2 seconds. Is there an endless loop?" in result.message
    assert "rounds.append(1)" in result.message or "while True:" in result.message
    after = len(rounds)
    time.sleep(0.05)
    assert len(rounds) == after, "the loop goes on"


def test_a_loop_that_catches_everything_does_not_hold_the_check_up():
    running = [True]

    def scale(x, factor):
        while running:
            try:
                time.sleep(0.001)
            except BaseException:
                continue

    assert "No answer" in replace(SCALE, time_limit=0.1)(scale).message
    running.clear()


def test_changing_an_input_in_place_is_told_unless_allowed():
    def scale(x, factor):
        x *= factor
        return x

    result = SCALE(scale)
    assert result.message == "The result is right, but `x` was changed in place: work on a new array."
    assert replace(SCALE, may_change=["x"])(scale).passed


def test_hidden_inputs_are_those_of_the_seed(monkeypatch):
    first, again = SCALE.draw_cases(), SCALE.draw_cases()
    monkeypatch.setenv("MINILLM_CHECK_SEED", "7")
    other = SCALE.draw_cases()
    assert np.array_equal(first[0][0], again[0][0])
    assert not np.array_equal(first[0][0], other[0][0])
    assert len(first) == SCALE.cases


def test_a_class_is_put_to_use():
    exercise = Exercise(
        name="Scale",
        reference=torch.nn.Identity,
        inputs=lambda rng: (torch.tensor(rng.normal(size=4)),),
        use=lambda cls, x: cls()(x),
        misconceptions={torch.nn.ReLU: "You drop what is negative."},
    )

    class Stub(torch.nn.Module):
        def forward(self, x):
            raise NotImplementedError

    assert exercise(torch.nn.Identity).passed
    assert exercise(torch.nn.ReLU).message == "You drop what is negative."
    assert exercise(Stub).status == "not attempted"
    assert "missing 1 required positional argument" in exercise(lambda needed: None).message


def test_a_text_answer_and_a_number():
    exercise = Exercise(
        name="norm_of_llama",
        reference=lambda: "RMSNorm",
        inputs=lambda rng: (),
        misconceptions={lambda: "LayerNorm": "That was GPT-2."},
        compare=lambda got, right: None if str(got).lower() == right.lower() else f"{got!r} is not it.",
    )
    assert exercise(lambda: "rmsnorm").passed
    assert exercise(lambda: "LayerNorm").message == "That was GPT-2."
    assert exercise(lambda: "BatchNorm").message.startswith("'BatchNorm' is not it.")
    number = Exercise(name="two", reference=lambda: 2.0, inputs=lambda rng: ())
    assert number(lambda: 2).passed
    assert number(lambda: np.float64(3)).message == "The result is 3, but 2 is expected."
    assert "(`.item()` gives it)" in number(lambda: torch.tensor(2.0)).message


def test_gradients_and_modules_may_be_results_and_inputs():
    def step(model, x):
        model(x).sum().backward()
        return model.weight.grad

    exercise = Exercise(
        name="step",
        reference=step,
        inputs=lambda rng: (torch.nn.Linear(3, 1), torch.ones(2, 3)),
    )
    assert exercise(step).passed
    assert exercise(lambda model, x: model(x)).message.startswith("The result has shape (2, 1), but (1, 3)")


def test_nbgrader_is_told_by_an_exception(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert SCALE(lambda x, factor: x * factor).passed
    with pytest.raises(CheckFailedError, match="You divide"):
        SCALE(lambda x, factor: x / factor)


def test_own_exercises_are_registered_by_name():
    own = Checks()
    own.register(SCALE)
    assert own.scale is SCALE
    assert "scale" in dir(own)
    with pytest.raises(ValueError, match="'_x'; allowed are Python names"):
        own.register(replace(SCALE, name="_x"))


def test_an_unknown_exercise_is_answered_with_those_there_are():
    with pytest.raises(AttributeError, match=r"no exercise 'rmsnorm'; the exercises are .*rms_norm"):
        _ = check.rmsnorm
