"""Every exercise of the course: its solution passes, its stub is not attempted, each misconception gets its message."""

from __future__ import annotations

import pytest
from course_build import SOURCES, answer, build, exercise_cell

from minillm_lib.checks.registry import COURSE, check, exercises_of

WRITTEN = {path.stem for path in SOURCES}
EXERCISES = [(notebook, name) for notebook, names in COURSE.items() if notebook in WRITTEN for name in names]
OF_FILES = {"own_model"}  # its answer names files that the notebook makes: tests/test_evaluation_own_model.py
MISCONCEPTIONS = [
    pytest.param(exercise, index, id=f"{exercise.name}-{index}")
    for notebook in COURSE
    if notebook in WRITTEN
    for exercise in exercises_of(notebook)
    for index in range(len(exercise.misconceptions))
]


@pytest.fixture(params=["0", "1"], ids="seed {}".format)
def seed(request, monkeypatch):
    monkeypatch.setenv("MINILLM_CHECK_SEED", request.param)


@pytest.mark.parametrize("notebook", COURSE)
def test_the_registry_names_what_the_module_declares(notebook):
    assert tuple(exercise.name for exercise in exercises_of(notebook)) == tuple(COURSE[notebook])


def test_every_name_is_that_of_one_exercise_in_a_notebook_that_exists():
    names = [name for names in COURSE.values() for name in names]
    assert len(set(names)) == len(names)
    assert set(COURSE) <= WRITTEN


@pytest.mark.parametrize("notebook", sorted(WRITTEN & set(COURSE)))
def test_the_notebook_poses_the_exercises_in_order(notebook):
    cells = build.notebook_of(build.SOURCES / f"{notebook}.py", solved=True).cells
    posed = [cell.metadata.nbgrader.grade_id for cell in cells if "exercise" in cell.metadata.get("tags", [])]
    assert tuple(posed) == tuple(COURSE[notebook])


@pytest.mark.parametrize(("notebook", "name"), [each for each in EXERCISES if each[1] not in OF_FILES])
def test_the_solution_passes(notebook, name, seed):
    cell, earlier = exercise_cell(notebook, name)
    result = getattr(check, name)(answer(cell, earlier, name))
    assert result.passed, result
    assert result.points == result.max_points > 0


@pytest.mark.parametrize(("notebook", "name"), EXERCISES)
def test_the_stub_is_not_attempted(notebook, name):
    cell, earlier = exercise_cell(notebook, name)
    result = getattr(check, name)(answer(build.without_solution(cell), earlier, name))
    assert (result.status, result.points) == ("not attempted", 0), result


@pytest.mark.parametrize(("exercise", "index"), MISCONCEPTIONS)
def test_a_misconception_gets_exactly_its_message(exercise, index, seed):
    wrong, message = list(exercise.misconceptions.items())[index]
    result = exercise(wrong)
    assert result.status == "failed"
    assert result.message == message


@pytest.mark.parametrize(("notebook", "name"), EXERCISES)
def test_usual_misconceptions_are_known(notebook, name):
    exercise = getattr(check, name)
    messages = [*exercise.misconceptions.values(), *exercise.slips.values()]
    assert len(messages) >= 2
    assert len(set(messages)) == len(messages)
    assert all(not message[0].islower() and message.endswith((".", "?")) for message in messages)
