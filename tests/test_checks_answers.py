"""Answers as learners write them (tests/answers) get the marks that they deserve, and a message that fits."""

from __future__ import annotations

import importlib
import re
from functools import partial
from pathlib import Path

import pytest

from minillm_lib.checks.registry import check

MODULES = [path.stem for path in sorted((Path(__file__).parent / "answers").glob("[a-z]*.py"))]
BANKS = [importlib.import_module(f"answers.{module}") for module in MODULES]
RIGHT = [
    pytest.param(name, answer, id=f"{name}-{index}")
    for bank in BANKS
    for name, answers in bank.RIGHT.items()
    for index, answer in enumerate(answers)
]
WRONG = [
    pytest.param(name, answer, part, id=f"{name}-{index}")
    for bank in BANKS
    for name, answers in bank.WRONG.items()
    for index, (answer, part) in enumerate(answers)
]


@pytest.fixture(params=["0", "25"], ids="seed {}".format)
def seed(request, monkeypatch):
    monkeypatch.setenv("MINILLM_CHECK_SEED", request.param)


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_a_right_answer_passes_however_it_is_written(name, answer, seed):
    result = getattr(check, name)(answer)
    assert result.passed, result


@pytest.mark.parametrize(("name", "answer", "part"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong_with_it(name, answer, part, seed):
    result = getattr(check, name)(answer)
    assert result.status == "failed"
    assert re.search(part, result.message), result.message


@pytest.mark.parametrize("name", [name for bank in BANKS for name in bank.RIGHT])
def test_each_slip_gets_exactly_its_message(name, monkeypatch):
    monkeypatch.setenv("MINILLM_CHECK_SEED", "3")
    exercise = getattr(check, name)
    for (keyword, value), message in exercise.slips.items():
        result = exercise(partial(exercise.variant, **{keyword: value}))
        assert (result.status, result.message) == ("failed", message)


@pytest.mark.parametrize("name", [name for bank in BANKS for name in bank.RIGHT])
def test_three_hints_lead_to_the_answer(name):
    hints = getattr(check, name).hints
    assert len(set(hints)) == 3
    assert all(hint.endswith((".", "?")) for hint in hints)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({parameters.values[0] for parameters in RIGHT + WRONG}))
def test_marks_do_not_depend_on_the_seed(name, monkeypatch):
    answers = [parameters.values for parameters in RIGHT + WRONG if parameters.values[0] == name]
    for seed in range(30):
        monkeypatch.setenv("MINILLM_CHECK_SEED", str(seed))
        for _, answer, *part in answers:
            assert getattr(check, name)(answer).passed == (not part), (seed, answer)
