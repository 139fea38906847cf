"""An instructor's mistakes are found before they become the students' zeros."""

from __future__ import annotations

import numpy as np
import pytest

from minillm_lib.checks import Exercise, check
from minillm_lib.checks.assignment import Assignment, ExercisesFileError, load_exercises
from minillm_lib.checks.declaration import check_declaration, declaration_problems
from minillm_lib.checks.self_check import examine_exercise, examine_exercises


class Declared:
    """The fields of an exercise, unchecked."""

    name, points, cases, rtol, atol, time_limit, answer = "f", 1, 5, 1e-4, 1e-6, 10.0, ""
    misconceptions = {}  # noqa: RUF012

    def __init__(self, **fields):
        self.reference = self.inputs = self.use = print
        vars(self).update(fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"points": -1}, "points is -1"),
        ({"points": float("nan")}, "points is nan"),
        ({"points": True}, "points is True"),
        ({"cases": 0}, "cases is 0"),
        ({"cases": 2.5}, "cases is 2.5"),
        ({"rtol": -1}, "rtol is -1"),
        ({"atol": "small"}, "atol is 'small'"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"reference": 3}, "reference is 3; it must be a function"),
        ({"inputs": (1,)}, "inputs is (1,); it must be a function"),
        ({"answer": "my answer"}, "answer is 'my answer'; it must be a Python name"),
        ({"misconceptions": {print: " "}}, "must be a function with a text"),
        ({"misconceptions": {3: "You …"}}, "must be a function with a text"),
        ({"misconceptions": [print]}, "it must be a dict"),
    ],
)
def test_a_wrong_declaration_is_refused_by_name(fields, told):
    with pytest.raises(ValueError, match="exercise 'f': ") as refused:
        check_declaration(Declared(**fields))
    assert told in str(refused.value)


def test_a_sound_declaration_is_not_refused():
    assert declaration_problems(Declared(points=0.5, cases=np.int64(3), rtol=0)) == []
    check_declaration(Declared())


def exercise(**fields):
    defaults = {
        "name": "double",
        "reference": lambda x: 2 * x,
        "inputs": lambda rng: (int(rng.integers(5, 99)),),
        "cases": 3,
    }
    return Exercise(**{**defaults, **fields})


def test_a_sound_exercise_passes():
    found = examine_exercise(exercise(misconceptions={lambda x: x + 2: "You add two."}))
    assert (found.errors, found.warnings, found.n_misconceptions) == ([], [], 1)


def test_a_misconception_that_the_inputs_do_not_tell_apart_is_an_error():
    found = examine_exercise(
        exercise(inputs=lambda rng: (2,), misconceptions={lambda x: x + 2: "You add two."})
    )
    assert found.errors == [
        "a misconception passes, since no input tells it from the reference: “You add two.”"
    ]


def test_two_misconceptions_that_are_not_told_apart_are_a_warning():
    both = {lambda x: x + 2: "You add two.", lambda x: 2 + x: "You add to two."}
    found = examine_exercise(exercise(misconceptions=both))
    assert found.errors == []
    assert "does not get its own message “You add to two.”" in found.warnings[0]


def test_an_error_in_the_instructors_function_comes_with_its_line():
    found = examine_exercise(exercise(reference=lambda x: x / 0))
    assert "ZeroDivisionError" in found.errors[0]
    assert "test_checks_self_check.py" in found.errors[0]


def test_inputs_that_are_no_tuple_are_told():
    found = examine_exercise(exercise(inputs=lambda rng: 3))
    assert "it must give a tuple, also for one input: (x,)" in found.errors[0]


def test_a_random_reference_does_not_pass():
    rng = np.random.default_rng()
    found = examine_exercise(exercise(reference=lambda x: float(rng.random())))
    assert "the reference does not pass" in found.errors[0]


def test_an_error_in_the_file_is_told_with_its_own_lines(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1\ny = nump.zeros(3)\n", encoding="utf-8")
    with pytest.raises(ExercisesFileError, match="no exercise can be used") as refused:
        load_exercises(path)
    assert "line 2" in str(refused.value)
    assert "NameError: name 'nump' is not defined" in str(refused.value)
    assert "runpy" not in str(refused.value)
    path.write_text("raise SystemExit", encoding="utf-8")
    with pytest.raises(ExercisesFileError, match="SystemExit"):
        load_exercises(path)
    path.write_text("x = 1", encoding="utf-8")
    with pytest.raises(ExercisesFileError, match="registers no exercise"):
        load_exercises(path)


def test_a_file_of_exercises_may_import_what_lies_beside_it_but_nothing_of_python_is_hidden(tmp_path):
    (tmp_path / "beside.py").write_text("FACTOR = 2", encoding="utf-8")
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('in the way')", encoding="utf-8")
    (tmp_path / "mine.py").write_text(
        "import colorsys, beside\nfrom minillm_lib.checks import Exercise, check\n"
        "check.register(Exercise(name='of_file', reference=abs, inputs=lambda rng: (beside.FACTOR,)))",
        encoding="utf-8",
    )
    assert [one.name for one in load_exercises(tmp_path / "mine.py")] == ["of_file"]
    assert check.of_file.name == "of_file"


def test_the_name_of_the_answer_comes_from_the_exercise_or_else_from_the_notebook():
    class Named(Declared):
        answer = "theirs"

    made = Assignment.of(
        [Named(name="a"), Declared(name="b"), Declared(name="c")], {"a": "x", "b": "mine", "c": None}
    )
    assert made.answers == {"a": "theirs", "b": "mine", "c": "c"}


@pytest.mark.parametrize(
    ("must_hold", "told"),
    [
        (lambda result, x: None if reslt == x else "wrong", "name 'reslt' is not defined"),  # noqa: F821
        (lambda result: None, "too many positional arguments"),
        (lambda result, x: result == x, "must_hold returned"),
    ],
)
def test_a_mistake_in_what_must_hold_is_the_instructors_and_no_students(must_hold, told):
    exercise = Exercise(name="f", inputs=lambda rng: (int(rng.integers(9)),), must_hold=must_hold)
    (error,) = examine_exercise(exercise).errors
    assert told in error
    result = exercise(lambda x: x)
    assert result.status == "not checked"
    assert told in result.message


def test_without_a_reference_it_is_not_said_to_pass():
    exercise = Exercise(name="f", inputs=lambda rng: (3,), must_hold=lambda result, x: None)
    assert not examine_exercise(exercise).has_reference


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "class"}, "name is 'class', a keyword of Python"),
        ({"answer": "lambda"}, "answer is 'lambda', a keyword of Python"),
        ({"may_change": "x"}, "may_change is 'x'; it must be a sequence of names of inputs: ('x',)"),
        ({"may_change": (0,)}, "may_change is (0,); it must be a sequence of names"),
        ({"may_change": ("y",)}, "may_change names 'y', which is no input; the inputs are x"),
        ({"may_change": ("y",), "reference": lambda: 3}, "'y', which is no input; there are no inputs"),
        ({"may_change": ("answer",), "use": lambda answer, x: 0}, "'answer', which is no input; the inputs are x"),
    ],
)  # fmt: skip
def test_names_that_mean_nothing_are_refused(fields, told):
    with pytest.raises(ValueError, match=r"exercise '.*': ") as refused:
        exercise(**fields)
    assert told in str(refused.value)


def test_an_input_that_may_be_changed_is_named():
    assert exercise(may_change=["x"]).may_change == ["x"]
    assert exercise(may_change=["b"], use=lambda answer, a, b: 0).may_change == ["b"]
    assert exercise(may_change=["x"], reference=None, must_hold=lambda result, x: None).may_change == ["x"]


def test_two_exercises_of_one_name_are_refused_together_and_the_later_one_replaces_an_earlier(monkeypatch):
    monkeypatch.setattr(check, "_registered", {})
    with pytest.raises(ValueError, match="several exercises named 'double' in one call of register"):
        check.register(exercise(name="triple"), exercise(), exercise())
    assert check._registered == {}
    later = exercise()
    check.register(exercise())
    check.register(later)
    assert check.double is later


def test_a_wrong_must_hold_beside_a_reference_is_told_to_the_instructor():
    (error,) = examine_exercise(exercise(must_hold=lambda result, x: 3)).errors
    assert error.endswith(
        "must_hold returned 3; it must return what is wrong with the result, in words, or None"
    )


SHARING = """
import torch
from torch import nn

from minillm_lib.checks import Exercise, check


class Net(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)


def step(model, optimizer, x):
    loss = (x @ model.weight).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def use(answer, model, x):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return [answer(model, optimizer, x) for _ in range(2)], model.weight.detach()


def inputs(rng):
    return Net(torch.from_numpy(rng.normal(size=(3, 2)))), torch.from_numpy(rng.normal(size=(5, 3)))


check.register(Exercise(name="step", reference=step, use=use, inputs=inputs, use_in_submission=THERE))
"""


@pytest.mark.parametrize("there", [False, True])
def test_a_reference_has_to_pass_where_it_is_graded(there, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SHARING.replace("THERE", str(there)), encoding="utf-8")
    (found,) = examine_exercises(load_exercises(path), path)
    assert (found.errors == []) == there
    assert all("say `use_in_submission=True`" in error for error in found.errors)


def test_a_use_that_needs_the_right_answer_does_not_leave_the_grader(tmp_path):
    path = tmp_path / "mine.py"
    source = SHARING.replace("[answer(model", "step(model, optimizer, x), [answer(model").replace(
        "THERE", "True"
    )
    path.write_text(source, encoding="utf-8")
    (found,) = examine_exercises(load_exercises(path), path)
    assert "it uses 'step', which stays with the grader" in "".join(found.errors)
