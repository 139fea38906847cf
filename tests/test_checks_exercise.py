"""What a check reports for answers that are wrong in ways not specific to the exercise."""

from __future__ import annotations

import runpy
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from IPython.lib.pretty import pretty

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
    starred = replace(
        result, message="The *whole `x`* is `a * b * c`, not 2 * 3 * 4; f(*args, *more), a*b*c."
    )
    assert starred._repr_html_().endswith(
        "The <em>whole <code>x</code></em> is <code>a * b * c</code>, not 2 * 3 * 4; f(*args, *more), a*b*c.</div>"
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x, factor: x[0] * factor, "should be of shape (2, 3). It is only the first item along axis 0"),
        (lambda x, factor: (x * factor).T, "should be of shape (2, 3). The values are right, but it is transposed."),
        (lambda x, factor: (x * factor).astype(int), "with the digits after the point cut off"),
        (lambda x, factor: (x * factor).tolist(), "a list where a NumPy array should be. `np.array(…)` makes one"),
        (lambda x, factor: torch.tensor(x * factor), "a torch tensor where a NumPy array should be. `.numpy()`"),
        (lambda x, factor: x * np.nan, "The result is NaN (not a number) in every value: is there 0 / 0"),
        (lambda x, factor: x * factor + [[0, 0, 1]], "The result is right, except in the last column."),
        (lambda x: x, "`scale` has the arguments `(x)`, but is called with `(x, factor)`."),
        (3, "`scale` is of type `int`; a function or class is expected."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(answer, message):
    result = SCALE(answer)
    assert result.status == "failed"
    assert message in result.message


def test_the_input_is_described():
    message = SCALE(lambda x, factor: np.cos(x * factor) + np.cumsum(x**3).reshape(2, 3)).message
    assert message.startswith("If `x` is doubled, the result should double, too, and yours does not.")
    assert "Yours: `[[" in message
    assert "The input was `x = [[" in message
    assert "`factor = 2." in message
    assert "failing_input" not in message, "this exercise cannot be reached by check.scale"
    assert np.array_equal(SCALE.failing_input[0], SCALE.draw_cases()[0][0])


def test_an_exception_is_shown_with_the_line_of_the_learner():
    def helper(x):
        return x.no_such_method()

    def scale(x, factor):
        return np.vectorize(lambda value: value)(helper(x))

    message = SCALE(scale).message
    assert message.startswith(
        "A `numpy.ndarray` has no `no_such_method`. Python's words are `AttributeError: "
    )
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
    assert "`.item()` gives it" in number(lambda: torch.tensor(2.0)).message
    assert number(2).passed, "a plain value will do where there are no inputs"


@pytest.mark.parametrize(("stub", "written"), [(None, "None"), (..., "...")])
def test_the_stub_of_a_plain_value_is_not_attempted(stub, written):
    number = Exercise(name="tol", reference=lambda: 2, inputs=lambda rng: ())
    result = number(stub)
    assert (result.status, result.points) == ("not attempted", 0)
    assert f"give `tol` a value in place of `{written}`" in result.message
    assert number(lambda: stub).status == "failed", "this function has been written"
    assert SCALE(stub).status == "failed", "where a function is wanted, None may come from calling one"


def _remembering():
    calls = []

    def answer(x, factor):
        calls.append(1)
        return x * factor + len(calls)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, factor: x + np.random.default_rng().normal(size=np.shape(x)),
        lambda x, factor: x * factor + np.random.default_rng().normal(0, 0.01),
        _remembering(),
    ],
)
def test_a_result_that_differs_between_two_calls_with_the_same_input_is_told(answer):
    message = SCALE(answer).message
    assert message.startswith("Called twice with the same input, `scale` returns two different results")
    assert "Does it draw at random" in message


def test_a_generator_among_the_inputs_makes_no_answer_random():
    exercise = Exercise(
        name="drawn",
        reference=lambda rng: float(rng.random()),
        inputs=lambda rng: (np.random.default_rng(int(rng.integers(99))),),
    )
    assert "twice" not in exercise(lambda rng: float(rng.normal())).message
    assert (
        "`drawn` returns two different results: first `0."
        in exercise(lambda rng: np.random.default_rng().random()).message
    )
    anything = Exercise(
        name="luck", reference=lambda x: np.random.default_rng().random(), inputs=lambda rng: (1,)
    )
    assert "twice" not in anything(lambda x: np.random.default_rng().random()).message, (
        "the reference draws, too"
    )


INSTRUCTORS = """
def helper(result):
    return result.total + 1

def use(answer, x):
    return helper(answer(x))

def slow(answer, x):
    while answer(x):
        pass
"""


def _of_a_file(tmp_path, text, name):
    path = tmp_path / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return runpy.run_path(str(path))


def test_a_line_of_the_instructors_is_not_shown_as_the_learners(tmp_path):
    own = _of_a_file(tmp_path, INSTRUCTORS, "instructors")
    mine = _of_a_file(
        tmp_path, "def wrong(x):\n    return x\n\ndef broken(x):\n    return x[0]\n", "learners"
    )
    exercise = Exercise(name="f", must_hold=lambda result, x: None, inputs=lambda rng: (3,), use=own["use"])
    said = exercise(mine["wrong"]).message
    assert "It was in line" not in said
    assert "'int' object has no attribute 'total'" in said
    assert "line 5 of your cell: `return x[0]`" in exercise(mine["broken"]).message

    def in_the_same_file(x):
        return x.missing

    beside = replace(exercise, use=lambda answer, x: answer(x) + x.total)
    assert "It was in line" not in beside(lambda x: x).message
    assert "of your cell: `return x.missing`" in beside(in_the_same_file).message


def test_a_loop_of_the_instructors_is_not_shown_as_the_learners(tmp_path):
    own = _of_a_file(tmp_path, INSTRUCTORS, "instructors")
    exercise = Exercise(
        name="f", must_hold=lambda result, x: None, inputs=lambda rng: (3,), use=own["slow"], time_limit=0.3
    )
    assert "It was in line" not in exercise(abs).message
    assert exercise(abs).message.startswith("No answer after 0.3 seconds.")


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
    assert exercise(lambda model, x: model(x)).message.startswith(
        "The result has shape (2, 1), but (1, 3) is expected."
    )


def test_nbgrader_is_told_by_an_exception(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert SCALE(lambda x, factor: x * factor).passed
    with pytest.raises(CheckFailedError, match="You divide"):
        SCALE(lambda x, factor: x / factor)


def test_nbgrader_is_given_a_number(monkeypatch):
    """The text of a cell's result is its mark for nbgrader, which takes other texts for full marks, with a warning."""
    result = SCALE(lambda x, factor: x * factor)
    assert pretty(result) == repr(result)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert float(pretty(result)) == SCALE.points


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


MEAN = Exercise(
    name="mean",
    reference=lambda values: float(np.mean(values)) if len(values) else 0.0,
    inputs=lambda rng: (rng.normal(size=int(rng.integers(3, 9))),),
    edge_cases={"an empty array": (np.zeros(0),), "a single value": (np.array([2.5]),)},
    hints=("What is a mean made of?", "A sum, divided by a count.", "`values.sum() / len(values)`"),
)


def test_edge_cases_come_first_on_every_seed(monkeypatch):
    for seed in "0", "1":
        monkeypatch.setenv("MINILLM_CHECK_SEED", seed)
        cases = MEAN.draw_cases()
        assert len(cases) == 2 + MEAN.cases
        assert [len(values) for (values,) in cases[:2]] == [0, 1]


def test_what_fails_only_in_edge_cases_is_told_so():
    raised = MEAN(lambda values: sum(values) / len(values)).message
    assert raised.startswith("For usual inputs the result is right, but not for an empty array. ")
    wrong = MEAN(lambda values: float(np.mean(values)) if len(values) > 1 else 0.0)
    assert wrong.message.startswith(
        "For usual inputs the result is right, but not for a single value. There it is `0`, where `2.5` should be."
    )
    assert MEAN.failing_input == (np.array([2.5]),)


def test_without_drawn_cases_edge_cases_are_the_usual_ones():
    exercise = replace(MEAN, cases=0)
    assert "usual inputs" not in exercise(lambda values: 7.0).message
    assert exercise(MEAN.reference).passed


def test_two_slips_at_once_are_both_named():
    def variant(x, *, square=True, half=True):
        return (x**2 if square else x) * (0.5 if half else 1)

    exercise = Exercise(
        name="energy",
        reference=variant,
        inputs=lambda rng: (rng.uniform(2, 3, size=4),),
        variant=variant,
        slips={("square", False): "You forgot the square.", ("half", False): "You forgot the half."},
    )
    assert exercise(lambda x: x / 2).message == "You forgot the square."
    both = exercise(lambda x: x).message
    assert "You forgot the square. And the other: You forgot the half." in both
    with pytest.raises(ValueError, match="slips but no variant"):
        replace(exercise, variant=None)


def test_a_declared_mistake_and_a_general_one_are_both_named():
    exercise = replace(SCALE, misconceptions={lambda x, factor: x + factor: "You add."})
    message = exercise(lambda x, factor: 100 * (x + factor)).message
    assert message.startswith(
        "This looks like two mistakes at once. You add. Besides, the result is what this mistake alone"
    )
    assert "times 100" in message


def test_a_misconception_may_raise_an_error():
    exercise = replace(SCALE, misconceptions={lambda x, factor: x + "a": "You add a text."})
    assert exercise(lambda x, factor: x + "b").message == "You add a text."
    other = exercise(lambda x, factor: "b" * factor).message
    assert other.startswith("A list, a tuple or a string cannot be multiplied"), (
        "the same type, another reason"
    )


def test_hints_come_one_after_the_other():
    exercise = replace(MEAN)
    assert [exercise.hint().text for _ in range(3)] == list(MEAN.hints)
    assert repr(exercise.hint()).startswith(
        "mean: There are no more hints for this exercise. `hint(1)` shows the first"
    )
    assert repr(exercise.hint(2)) == "mean: hint 2 of 3: A sum, divided by a count."
    assert "<code>values.sum() / len(values)</code>" in exercise.hint(3)._repr_html_()
    with pytest.raises(ValueError, match="no hint 4 for mean; the numbers are 1 to 3"):
        exercise.hint(4)
    assert SCALE.hint().text == "There are no hints for this exercise."
    with pytest.raises(ValueError, match="at most 3"):
        replace(MEAN, hints=("a", "b", "c", "d"))


def test_the_notebook_goes_on_with_the_learners_code_if_it_passed():
    exercise = replace(SCALE)

    def mine(x, factor):
        return factor * x

    assert (exercise.function, exercise.whose) == (exercise.reference, "the library's")
    passed = exercise(mine)
    assert (passed.function, passed.whose) == (mine, "yours")
    assert (exercise.function, exercise.whose) == (mine, "yours")
    failed = exercise(lambda x, factor: x)
    assert (failed.function, failed.whose) == (exercise.reference, "the library's")


def test_the_failing_input_is_a_copy():
    exercise = replace(SCALE)
    with pytest.raises(ValueError, match="there is no failing input"):
        _ = exercise.failing_input
    exercise(lambda x, factor: x)
    x, _ = exercise.failing_input
    x[:] = 0
    assert exercise.failing_input[0].any()


def test_a_property_may_take_the_place_of_a_reference():
    exercise = Exercise(
        name="softmax",
        inputs=lambda rng: (rng.normal(size=4),),
        must_hold=lambda result, x: None if np.isclose(result.sum(), 1) else "the values do not add up to 1.",
    )
    assert exercise(lambda x: np.full(4, 0.25)).passed
    assert exercise(lambda x: x + 9).message.startswith(
        "The values do not add up to 1.\nThe input was `x = ["
    )
    assert "cannot be looked at" in exercise(lambda x: "text").message
    with pytest.raises(ValueError, match="reference"):
        replace(exercise, must_hold=None)


def test_a_broken_check_is_nobodys_mistake():
    result = replace(SCALE, reference=lambda x, factor: x.missing)(lambda x, factor: x)
    assert (result.status, result.points) == ("not checked", 0)
    assert "not your fault" in result.message


class _EndsAll:
    def __eq__(self, other):
        raise SystemExit


@pytest.mark.parametrize(
    "value",
    [(n for n in [1]), {}.keys(), object(), Ellipsis, len, torch.zeros(2, device="meta"), _EndsAll()],
)
def test_no_result_makes_the_check_raise(value):
    result = SCALE(lambda x, factor: value)
    assert result.status == "failed"
    assert "two different results" not in result.message
    strict = replace(
        SCALE, compare=lambda got, right: None if (got + 1 == right + 1).all() else "It differs."
    )
    assert strict(lambda x, factor: value).status == "failed"


def test_a_missing_return_is_told_from_one_that_returns_nothing():
    def without(x, factor):
        x * factor

    def sorts(x, factor):
        return x.sort()

    assert "`scale` has no `return` with a value" in SCALE(without).message
    assert "`scale` returns what `x.sort()` gives, and that is `None`" in SCALE(sorts).message
