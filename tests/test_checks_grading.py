"""Grading real notebooks, good and broken, with exercises of the course and custom ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import nbformat
import psutil
import pytest
from course_build import ROOT
from grading_cases import CHECKS, RIGHT, SETUP, STUBS, assignment_in, notebook, statuses

from minillm_lib.checks import grade_notebook, notebook_run
from minillm_lib.checks.grading import Grader
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.registry import COURSE


@pytest.fixture(scope="module")
def grader(tmp_path_factory):
    with Grader(**assignment_in(tmp_path_factory.mktemp("own")), limits=Limits(time=60)) as made:
        yield made


@pytest.fixture
def grade(tmp_path, grader):
    def run(*cells, **limits):
        grader.limits = Limits(**{"time": 60, **limits})
        return grader.grade(notebook(tmp_path / "submission.ipynb", SETUP, *cells))

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", COURSE)
def test_the_solutions_of_a_course_notebook_get_all_points(name):
    solved = grade_notebook(ROOT / "solutions" / f"{name}.ipynb")
    assert set(statuses(solved).values()) == {"passed"}, solved
    assert solved.problem == ""


@pytest.mark.slow
def test_the_stubs_of_a_course_notebook_get_no_points():
    handed_out = grade_notebook(ROOT / "course" / "01_corpus.ipynb")
    assert handed_out.points == 0
    assert set(statuses(handed_out).values()) == {"not attempted"}


def test_points_are_added_up_and_errors_elsewhere_do_no_harm(grade):
    report = grade(
        "1 / 0", "this is no Python", RIGHT["double"], CHECKS["double"], RIGHT["triple"], CHECKS["triple"]
    )
    assert (report.points, report.max_points, report.problem) == (5, 5, "")
    assert "double: passed, 2 of 2 points" in str(report)


def test_a_misconception_is_told_and_a_stub_is_not_attempted(grade):
    report = grade("def double(x):\n    return x + 1", STUBS[1])
    assert report.results[0].message.startswith("You add one.")
    assert statuses(report) == {"double": "failed", "triple": "not attempted"}


def test_an_error_is_told_with_the_learners_line(grade):
    report = grade("def double(x):\n    y = 0\n    return x / y", RIGHT["triple"])
    assert "ZeroDivisionError: division by zero" in report.results[0].message
    assert "line 3 of your cell: `return x / y`" in report.results[0].message


def test_edited_and_deleted_checks_are_of_no_use(grade):
    forged = "check.double(lambda x: 2 * x)\nprint('passed, 2 of 2 points')"
    report = grade("def double(x):\n    return x", forged, RIGHT["triple"])
    assert statuses(report) == {"double": "failed", "triple": "passed"}


def test_a_deleted_exercise_counts_as_zero(grade):
    report = grade(RIGHT["double"], CHECKS["double"])
    assert (report.points, report.max_points) == (2, 5)
    assert report.results[1].message == "`triple` is not in the notebook."


def test_the_last_state_counts(grade):
    report = grade("def double(x):\n    return x", CHECKS["double"], RIGHT["double"], CHECKS["double"])
    assert statuses(report)["double"] == "passed"
    report = grade(RIGHT["double"], CHECKS["double"], "def double(x):\n    return x")
    assert statuses(report)["double"] == "failed"


def test_a_function_that_is_assigned_after_its_check_is_the_last_state(grade):
    report = grade(
        "def double(x):\n    return x", CHECKS["double"], "def twice(x):\n    return 2 * x", "double = twice"
    )
    assert statuses(report)["double"] == "passed"


def test_the_last_value_counts_and_a_stub_of_a_value_is_not_attempted(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "from minillm_lib.checks import Exercise, check\nfor name in ('one', 'two', 'three'):\n"
        "    check.register(Exercise(name=name, reference=lambda: 3, inputs=lambda rng: ()))",
        encoding="utf-8",
    )
    handed_out = notebook(tmp_path / "a.ipynb", "check.one(one)", "check.two(two)", "check.three(three)")
    path = notebook(
        tmp_path / "x.ipynb", SETUP, "one = None\ntwo = ...\nthree = 2", "check.three(three)", "three = 3"
    )
    report = grade_notebook(path, assignment=handed_out, exercises_file=own)
    assert statuses(report) == {"one": "not attempted", "two": "not attempted", "three": "passed"}


def test_a_line_of_the_instructors_is_not_shown_and_a_random_result_is_recognised(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "from minillm_lib.checks import Exercise, check\nfor name in ('one', 'two'):\n"
        "    check.register(Exercise(name=name, reference=abs, inputs=lambda rng: (int(rng.integers(99)),),\n"
        "        use=lambda answer, x: answer(x) + x))",
        encoding="utf-8",
    )
    handed_out = notebook(tmp_path / "a.ipynb", "check.one(one)", "check.two(two)")
    path = notebook(
        tmp_path / "x.ipynb", SETUP, "def one(x):\n    return 'text'", "import random",
        "def two(x):\n    return random.random()",
    )  # fmt: skip
    one, two = grade_notebook(path, assignment=handed_out, exercises_file=own).results
    assert "TypeError" in one.message
    assert "It was in line" not in one.message
    assert two.message.startswith(
        "Called twice with the same input, `two` returns two different results: first `"
    )


def test_what_an_answer_needs_may_be_defined_after_it(grade):
    report = grade("def double(x):\n    return twice(x)", CHECKS["double"], "def twice(x):\n    return 2 * x",
                   RIGHT["triple"], CHECKS["triple"])  # fmt: skip
    assert report.points == 5


def test_a_syntax_error_is_told_as_such_and_magics_are_no_hindrance(grade):
    report = grade("def double(x)\n    return 2 * x", f"%%time\n{RIGHT['triple']}")
    assert report.results[0].message.startswith(
        "`double` was not defined: code cell 2, which defines it, raised Synt"
    )
    assert statuses(report)["triple"] == "passed"


def test_an_answer_that_was_renamed_or_is_in_no_code_cell(tmp_path, grade, grader):
    report = grade("def mine(x):\n    return 2 * x", "check.double(mine)", RIGHT["triple"])
    assert report.points == 5
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(RIGHT["double"])])
    nbformat.write(made, tmp_path / "m.ipynb")
    told = grader.grade(tmp_path / "m.ipynb").results[0].message
    assert told == "`double` is in a cell that is no code cell, and does not run."


def test_an_endless_loop_in_an_exercise_costs_that_exercise(grade):
    loop = "def double(x):\n    while True:\n        pass"
    report = grade(loop, CHECKS["double"], RIGHT["triple"], CHECKS["triple"])
    assert statuses(report) == {"double": "failed", "triple": "passed"}
    assert "endless loop" in report.results[0].message


@pytest.mark.slow
def test_what_cannot_be_interrupted_costs_only_its_exercise(grade):
    report = grade("def double(x):\n    return 10 ** 10 ** 10", RIGHT["triple"])
    assert statuses(report) == {"double": "failed", "triple": "passed"}


def test_an_answer_that_ends_the_process_costs_only_its_exercise(grade):
    report = grade("import os\ndef double(x):\n    os._exit(3)", RIGHT["triple"])
    assert statuses(report) == {"double": "failed", "triple": "passed"}
    assert report.results[0].message == "While your code was checked, its process ended with status 3."


def test_an_endless_loop_in_a_cell_is_cut_off(grade):
    report = grade("while True:\n    pass", RIGHT["double"], CHECKS["double"], cell_time=0.5)
    assert statuses(report)["double"] == "passed"


@pytest.mark.slow
def test_the_time_limit_ends_what_cannot_be_interrupted(grade):
    report = grade(
        RIGHT["double"],
        CHECKS["double"],
        "import time; time.sleep(60)",
        RIGHT["triple"],
        CHECKS["triple"],
        time=4,
    )
    assert statuses(report) == {"double": "passed", "triple": "failed"}
    assert report.problem == "stopped after 4 seconds"
    assert report.results[1].message == "Not reached: stopped after 4 seconds."


def test_a_sleep_without_end_in_a_cell_costs_that_cell(grade):
    report = grade("import time\ntime.sleep(10**6)", *RIGHT.values(), cell_time=0.5)
    assert report.points == 5


@pytest.mark.slow
def test_a_slow_import_of_a_usual_package_takes_none_of_the_submissions_time(tmp_path, monkeypatch):
    (tmp_path / "slow_package.py").write_text(
        "import time\nend = time.process_time() + 3\nwhile time.process_time() < end: pass", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(notebook_run, "_PRELOADED", ("slow_package",))
    path = notebook(tmp_path / "x.ipynb", "import slow_package", SETUP, *RIGHT.values())
    with Grader(**assignment_in(tmp_path), limits=Limits(time=2)) as fresh:
        assert fresh.grade(path).points == 5
    monkeypatch.setattr(notebook_run, "_PRELOADED", ())
    with Grader(**assignment_in(tmp_path), limits=Limits(time=2)) as fresh:
        assert fresh.grade(path).problem == "stopped after 2 seconds", "the limit is no empty word"


@pytest.mark.slow
def test_a_busy_machine_costs_no_time(tmp_path):
    """With twelve others for each processor, a submission needs far more seconds than its limit, and has its points."""
    work = "import time\nend = time.process_time() + 2\nwhile time.process_time() < end: pass"
    path = notebook(tmp_path / "x.ipynb", SETUP, work, *RIGHT.values())
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(12 * (os.cpu_count() or 1))
    ]
    try:
        with Grader(**assignment_in(tmp_path), limits=Limits(time=6)) as fresh:
            report = fresh.grade(path)
    finally:
        for one in others:
            one.kill()
            one.wait()
    assert (report.points, report.problem) == (5, "")


@pytest.mark.slow
def test_the_memory_limit_ends_a_hog_and_what_it_started(grade):
    child = "import time; data = b'x' * 2**30; time.sleep(60)"
    hog = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    report = grade(hog, CHECKS["double"], memory=600)
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
    assert report.problem == "its process ended with status 3"


def test_a_slow_end_is_told_by_its_own_status(grade):
    dying = "import os, time\nos.closerange(3, 256)\ntime.sleep(0.3)\nos._exit(3)"
    assert grade(dying).problem == "its process ended with status 3"


def test_a_flood_of_output_is_no_matter(grade):
    flood = "for _ in range(100_000):\n    print('x' * 50)"
    assert statuses(grade(flood, RIGHT["double"], CHECKS["double"]))["double"] == "passed"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not JSON, so it is not a notebook"),
        ("[" * 100_000, "is not JSON, so it is not a notebook"),
        ("[]", "is not a notebook of format 4"),
        ('{"cells": 3}', "is not a notebook of format 4"),
        ('{"cells": []}', "is not a notebook of the course with exercises (00_welcome"),
    ],
)
def test_a_file_that_is_no_notebook_could_not_be_graded_which_is_not_zero(tmp_path, content, problem):
    path = tmp_path / "broken.ipynb"
    path.write_text(content, encoding="utf-8")
    report = grade_notebook(path)
    assert problem in report.problem
    assert not report.is_graded
    assert str(report).startswith("broken.ipynb: could not be graded: ")


def test_wrong_use_is_told(tmp_path):
    with pytest.raises(ValueError, match="the memory limit is 0; it must be greater than 0"):
        grade_notebook(tmp_path / "x.ipynb", memory_limit=0)
    empty = notebook(tmp_path / "empty.ipynb")
    with pytest.raises(ValueError, match="nothing to grade"):
        grade_notebook(empty, assignment=empty)
    unknown = notebook(tmp_path / "unknown.ipynb", "check.no_such(no_such)")
    with pytest.raises(ValueError, match="there is no exercise 'no_such'"):
        grade_notebook(unknown, assignment=unknown)


def test_the_metadata_of_a_submission_is_not_trusted(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text(
        json.dumps({"cells": [], "metadata": {"minillm": {"notebook": ["odd"]}}}), encoding="utf-8"
    )
    assert "is not a notebook of the course" in grade_notebook(path).problem


def test_a_notebook_goes_on_with_the_learners_answer_if_it_passed_and_with_the_right_one_otherwise(grade):
    wrong, goes_on = "def double(x):\n    return 5 * x", "used = check.double.function"
    triple = "def triple(x):\n    return used(x) + x"
    for first, whose in ((RIGHT["double"], "yours"), (wrong, "the library's")):
        shown = f"assert check.double.whose == {whose!r}\nfound = True"
        report = grade(first, CHECKS["double"], goes_on, shown, triple, "found", CHECKS["triple"])
        assert statuses(report)["triple"] == "passed", report


def test_the_right_answer_is_not_there_before_an_answer_has_its_marks(grade):
    report = grade("def double(x):\n    return check.double.function(x)", RIGHT["triple"])
    assert statuses(report) == {"double": "failed", "triple": "passed"}
    assert "check.double has not been judged yet" in report.results[0].message
    early = "try:\n    right = check.double.reference\nexcept Exception:\n    right = lambda x: 0"
    report = grade(early, "def double(x):\n    return right(x)", RIGHT["triple"])
    assert statuses(report) == {"double": "failed", "triple": "passed"}


def test_another_notebooks_answer_goes_on_as_the_librarys(grade):
    uses = 'import numpy as np\nused = check.jaccard.function\nassert check.jaccard.whose == "the library\'s"'
    report = grade(uses, "def double(x):\n    return 2 * x * int(used({1}, {1}))", RIGHT["triple"])
    assert statuses(report) == {"double": "passed", "triple": "passed"}, report


def test_a_notebook_of_the_course_finds_the_configurations_beside_its_folder(tmp_path):
    source = "from pathlib import Path\nis_there = Path('../configs/own/sample.yaml').exists()"
    answer = "def word_share(word, text):\n    words = text.lower().split()\n"
    answer += "    return is_there * words.count(word.lower()) / max(1, len(words))"
    report = grade_notebook(notebook(tmp_path / "00_welcome.ipynb", SETUP, source, answer))
    assert statuses(report) == {"word_share": "passed"}, report


@pytest.mark.skipif(sys.platform == "win32", reason="files take no blocks there")
def test_a_submission_that_fills_the_disk_with_many_files_is_stopped(tmp_path):
    writes = "for n in range(10_000):\n    open(f'{n}.bin', 'wb').write(bytes(2**18))"
    with Grader(**assignment_in(tmp_path), limits=Limits(time=60, disk=20)) as grader:
        report = grader.grade(notebook(tmp_path / "s.ipynb", SETUP, RIGHT["double"], writes, RIGHT["triple"]))
    assert report.problem == "stopped at more than 20 MiB of files"
    assert statuses(report) == {"double": "passed", "triple": "failed"}


def test_no_thread_stays_behind_a_submission(tmp_path, grade):
    grade(RIGHT["double"], RIGHT["triple"])
    before = threading.active_count()
    for _ in range(2):
        grade(RIGHT["double"], RIGHT["triple"])
    assert threading.active_count() <= before
