"""Grading real notebooks, good and broken, with exercises of the course and custom ones."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import textwrap

import nbformat
import psutil
import pytest
from course_build import ROOT

from minillm_lib.checks import grade_notebook
from minillm_lib.checks.submission import plan

OWN = """
from minillm_lib.checks import Exercise, check

for name, factor in (("double", 2), ("triple", 3)):
    check.register(Exercise(
        name=name,
        points=factor,
        reference=lambda x, factor=factor: factor * x,
        inputs=lambda rng: (int(rng.integers(1, 99)),),
        time_limit=1,
    ))
"""
RIGHT = {"double": "def double(x):\n    return 2 * x", "triple": "def triple(x):\n    return 3 * x"}
CHECKS = {name: f"check.{name}({name})" for name in RIGHT}
SETUP = "from minillm_lib import check"


def notebook(path, *cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, path)
    return path


@pytest.fixture
def grade(tmp_path):
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    assignment = notebook(tmp_path / "assignment.ipynb", SETUP, *CHECKS.values())

    def run(*cells, **limits):
        path = notebook(tmp_path / "submission.ipynb", SETUP, *cells)
        return grade_notebook(path, assignment=assignment, exercises_file=tmp_path / "own.py", **limits)

    return run


def statuses(report):
    return {result.exercise: result.status for result in report.results}


@pytest.mark.slow
def test_the_solutions_of_a_course_notebook_get_all_points_and_its_stubs_none():
    solved = grade_notebook(ROOT / "solutions" / "01_corpus.ipynb")
    assert (solved.points, solved.max_points, solved.problem) == (5, 5, "")
    handed_out = grade_notebook(ROOT / "course" / "01_corpus.ipynb")
    assert handed_out.points == 0
    assert set(statuses(handed_out).values()) == {"not attempted"}


def test_points_are_added_up_and_errors_elsewhere_do_no_harm(grade):
    report = grade(
        "1 / 0", "this is no Python", RIGHT["double"], CHECKS["double"], RIGHT["triple"], CHECKS["triple"]
    )
    assert (report.points, report.max_points, report.problem) == (5, 5, "")
    assert "double: passed, 2 of 2 points" in str(report)


def test_edited_and_deleted_checks_are_of_no_use(grade):
    forged = "check.double(lambda x: 2 * x)\nprint('passed, 2 of 2 points')"
    report = grade("def double(x):\n    return x", forged, RIGHT["triple"])
    assert statuses(report) == {"double": "failed", "triple": "passed"}


def test_registering_an_easier_exercise_is_of_no_use(grade):
    easier = (
        "from minillm_lib.checks import Exercise\n"
        "check.register(Exercise(name='double', reference=lambda x: x, inputs=lambda rng: (1,)))"
    )
    report = grade(easier, "def double(x):\n    return x", CHECKS["double"])
    assert statuses(report)["double"] == "failed"


def test_a_deleted_exercise_counts_as_zero(grade):
    report = grade(RIGHT["double"], CHECKS["double"])
    assert (report.points, report.max_points) == (2, 5)
    assert report.results[1].message == "`triple` is not in the notebook."


def test_an_import_after_the_check_does_not_count():
    """A later cell may well take the library's piece by the learner's name."""
    cells = ["def double(x):\n    raise NotImplementedError", "double = lambda x: 2 * x"]
    made = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    steps, missing = plan(made, ["double"])
    assert steps == [("run", cells[0]), ("check", "double")]
    assert missing == []


def test_an_endless_loop_in_an_exercise_costs_that_exercise(grade):
    loop = "def double(x):\n    while True:\n        pass"
    report = grade(loop, CHECKS["double"], RIGHT["triple"], CHECKS["triple"])
    assert statuses(report) == {"double": "failed", "triple": "passed"}
    assert "endless loop" in report.results[0].message


def test_an_endless_loop_in_a_cell_is_cut_off(grade):
    report = grade("while True:\n    pass", RIGHT["double"], CHECKS["double"], cell_time_limit=0.5)
    assert statuses(report)["double"] == "passed"


def test_the_time_limit_ends_what_cannot_be_interrupted(grade):
    report = grade(
        RIGHT["double"], CHECKS["double"], "import time; time.sleep(60)", CHECKS["triple"], time_limit=4
    )
    assert statuses(report) == {"double": "passed", "triple": "failed"}
    assert report.problem == "stopped after 4 seconds"
    assert report.results[1].message == "Not reached: stopped after 4 seconds."


def test_the_memory_limit_ends_a_hog_and_what_it_started(grade):
    child = "import time; data = b'x' * 2**30; time.sleep(60)"
    hog = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    report = grade(hog, CHECKS["double"], memory_limit=600)
    assert report.problem == "stopped at more than 600 MiB of memory"
    assert not any("time.sleep(60)" in " ".join(child.cmdline()) for child in psutil.Process().children(True))


@pytest.mark.parametrize("end", ["import sys; sys.exit()", "exit()", "raise KeyboardInterrupt"])
def test_a_polite_end_does_not_end_the_grading(grade, end):
    assert statuses(grade(end, RIGHT["double"], CHECKS["double"]))["double"] == "passed"


def test_a_crash_keeps_what_was_reached(grade):
    report = grade(
        RIGHT["double"], CHECKS["double"], "import os; os._exit(3)", RIGHT["triple"], CHECKS["triple"]
    )
    assert report.points == 2
    assert report.problem == "the process ended with status 3"


def test_a_flood_of_output_is_no_matter(grade):
    flood = "for _ in range(300_000):\n    print('x' * 50)"
    assert statuses(grade(flood, RIGHT["double"], CHECKS["double"]))["double"] == "passed"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not JSON, so it is not a notebook"),
        ("[]", "is not a notebook of format 4"),
        ('{"cells": 3}', "is not a notebook of format 4"),
        ('{"cells": []}', "is not a notebook of the course with exercises (01_corpus"),
    ],
)
def test_a_file_that_is_no_notebook_is_a_problem_not_an_exception(tmp_path, content, problem):
    path = tmp_path / "broken.ipynb"
    path.write_text(content, encoding="utf-8")
    report = grade_notebook(path)
    assert problem in report.problem
    assert report.points == 0


def test_wrong_use_is_told(tmp_path, grade):
    with pytest.raises(ValueError, match="the memory limit is 0; it must be greater than 0"):
        grade(memory_limit=0)
    empty = notebook(tmp_path / "empty.ipynb")
    with pytest.raises(ValueError, match="nothing to grade"):
        grade_notebook(empty, assignment=empty)
    unknown = notebook(tmp_path / "unknown.ipynb", "check.no_such(no_such)")
    with pytest.raises(ValueError, match="there is no exercise 'no_such'"):
        grade_notebook(unknown, assignment=unknown)


def test_the_command_grades_a_folder_to_csv_and_no_submission_stops_the_rest(tmp_path):
    (tmp_path / "own.py").write_text(textwrap.dedent(OWN), encoding="utf-8")
    assignment = notebook(tmp_path / "assignment.ipynb", SETUP, *CHECKS.values())
    folder = tmp_path / "class"
    folder.mkdir()
    notebook(folder / "ann.ipynb", SETUP, *RIGHT.values())
    notebook(folder / "cas.ipynb", SETUP, "import os; os.abort()")
    (folder / "bob.ipynb").write_text("{", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "minillm_lib", "grade", str(folder), "--assignment", str(assignment),
         "--exercises", str(tmp_path / "own.py"), "--csv", str(tmp_path / "out.csv")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "5 of 5" in result.stdout
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    totals = {row["submission"].rpartition("/")[2]: row for row in rows if row["exercise"] == "total"}
    assert [(name, row["points"]) for name, row in totals.items()] == [
        ("ann.ipynb", "5"), ("bob.ipynb", "0"), ("cas.ipynb", "0"),
    ]  # fmt: skip
    assert "not JSON" in totals["bob.ipynb"]["message"]
    assert all(row["max_points"] == "5" for row in totals.values())


def test_the_command_names_a_path_that_does_not_exist(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "minillm_lib", "grade", str(tmp_path / "none.ipynb")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert "none.ipynb does not exist" in result.stderr


def test_the_metadata_of_a_submission_is_not_trusted(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text(
        json.dumps({"cells": [], "metadata": {"minillm": {"notebook": ["odd"]}}}), encoding="utf-8"
    )
    assert "is not a notebook of the course" in grade_notebook(path).problem
