"""Grading a class: marks are on disk as they come, nothing is lost, and an interrupted grading is resumed."""

from __future__ import annotations

import csv
import io
import json
import os
import queue
import threading
from dataclasses import replace

import pandas as pd
import pytest

from minillm_lib.checks import class_grading, grading_pool
from minillm_lib.checks.class_grading import check_place, grade_class
from minillm_lib.checks.feedback import mistakes, notes_on_class, student_page, summary_page, write_feedback
from minillm_lib.checks.grade_report import GradeReport, Mark
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.marks import gradescope_json, marks_csv, notes_on_names
from minillm_lib.checks.submissions import Submission, find_submissions, fingerprint


def submission(student, fingerprint="1"):
    return Submission(f"{student}.ipynb", student, fingerprint)


def report(points=2, problem="", message="Right.", *, is_graded=True):
    status = "passed" if points else "failed"
    marks = (Mark("double", status, message, points, 2),) if is_graded else ()
    return GradeReport("x.ipynb", marks, problem, 1.25, is_graded)


@pytest.fixture
def pretended(monkeypatch):
    """Replaces the grading of notebooks by reports that are given, and notes who was graded."""
    seen, reports = [], {}

    def grade_all(submissions, settings, jobs, on_begin=lambda one: None):
        for one in submissions:
            on_begin(one)
            seen.append((one.student, settings.seed))
            made = reports.get(one.student, report())
            if isinstance(made, BaseException):
                raise made
            yield one, made

    monkeypatch.setattr(class_grading, "grade_all", grade_all)
    monkeypatch.setattr(class_grading, "Grader", lambda **_: None)
    return seen, reports


def test_the_marks_so_far_are_written_when_the_grading_is_interrupted_and_it_is_resumed(tmp_path, pretended):
    seen, reports = pretended
    target = tmp_path / "marks.csv"
    people = [submission(name) for name in ("ann", "bob", "cas")]
    reports["bob"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        grade_class(people, to_csv=target)
    assert list(pd.read_csv(target)["student"]) == ["ann"]
    with pytest.raises(ValueError, match=r"holds the marks of 1 submission .* add --resume"):
        grade_class(people, to_csv=target)
    reports["bob"] = report(0, message="No.")
    graded = grade_class(people, to_csv=target, resume=True)
    assert [one.student for one, _ in graded] == ["ann", "bob", "cas"]
    assert [name for name, _ in seen] == ["ann", "bob", "bob", "cas"]
    assert len({seed for _, seed in seen}) == 1, "all have the same hidden inputs"
    table = pd.read_csv(target)
    assert list(table.columns) == ["student", "double", "total", "seconds", "problem"]
    assert list(table["total"]) == [2, 0, 2]


def test_only_what_has_changed_or_could_not_be_graded_is_graded_again(tmp_path, pretended):
    seen, reports = pretended
    reports["bob"] = report(problem="out of luck", is_graded=False)
    people = [submission("ann"), submission("bob"), submission("cas")]
    grade_class(people, to_csv=tmp_path / "marks.csv")
    seen.clear()
    grade_class([*people[:2], submission("cas", "2")], to_csv=tmp_path / "marks.csv", resume=True)
    assert [name for name, _ in seen] == ["bob", "cas"]


def test_marks_of_other_exercises_are_not_mixed(tmp_path, pretended):
    (tmp_path / "own.py").write_text("1")
    grade_class([submission("ann")], to_csv=tmp_path / "marks.csv", exercises_file=tmp_path / "own.py")
    (tmp_path / "own.py").write_text("2")
    with pytest.raises(ValueError, match="of a grading with other exercises"):
        grade_class(
            [submission("ann")],
            to_csv=tmp_path / "marks.csv",
            exercises_file=tmp_path / "own.py",
            resume=True,
        )


def test_a_journal_whose_last_line_was_cut_off_is_read(tmp_path, pretended):
    seen, _ = pretended
    grade_class([submission("ann"), submission("bob")], to_csv=tmp_path / "marks.csv")
    journal = tmp_path / "marks.csv.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert b"bob" in lines[4]
    journal.write_bytes(b"".join(lines[:4]) + lines[4][:40])
    seen.clear()
    grade_class([submission("ann"), submission("bob")], to_csv=tmp_path / "marks.csv", resume=True)
    assert [name for name, _ in seen] == ["bob"]


def killed_while_graded(target, student, people, pretended):
    """Resume a grading that is killed, with all its processes, while a student's notebook runs."""
    seen, reports = pretended
    reports[student] = SystemError("killed")
    journal = target.with_name(f"{target.name}.journal")
    is_first = not journal.exists()
    seen.clear()
    with pytest.raises(SystemError):
        grade_class(people, to_csv=target, resume=not is_first)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(
        b"".join(line for line in lines if b"interrupted" not in line)
    )  # it had no time for that
    return [name for name, _ in seen]


def test_a_submission_that_kills_the_whole_grading_again_and_again_costs_nobody_else_the_marks(
    tmp_path, pretended
):
    target, people = tmp_path / "marks.csv", [submission(name) for name in ("ann", "bad", "cas", "dan")]
    assert killed_while_graded(target, "bad", people, pretended) == ["ann", "bad"]
    assert killed_while_graded(target, "bad", people, pretended) == ["cas", "dan", "bad"]
    pretended[0].clear()
    graded = dict(grade_class(people, to_csv=target, resume=True))
    assert pretended[0] == []
    assert [one.student for one, report in graded.items() if report.is_graded] == ["ann", "cas", "dan"]
    assert "was cut off 2 times while it ran" in graded[people[1]].problem
    table = pd.read_csv(target).set_index("student")
    assert pd.isna(table.loc["bad", "total"])
    assert list(table["total"].dropna()) == [2, 2, 2]


def test_an_interrupt_by_hand_is_nobodys_fault(tmp_path, pretended):
    _, reports = pretended
    people = [submission("ann"), submission("bob")]
    reports["ann"] = KeyboardInterrupt()
    for resume in (False, True, True):
        with pytest.raises(KeyboardInterrupt):
            grade_class(people, to_csv=tmp_path / "marks.csv", resume=resume)
    del reports["ann"]
    assert all(
        report.is_graded for _, report in grade_class(people, to_csv=tmp_path / "marks.csv", resume=True)
    )


def test_no_process_is_started_when_the_interrupt_comes_as_a_submission_begins(tmp_path, monkeypatch):
    path = tmp_path / "ann.ipynb"
    path.write_text("{}", encoding="utf-8")
    todo, done, started = queue.SimpleQueue(), queue.SimpleQueue(), []
    begun, stopped = threading.Event(), threading.Event()
    monkeypatch.setattr(grading_pool, "isolated_command", lambda module: started.append(module) or ["false"])
    todo.put(Submission(path, "ann", fingerprint(path)))

    def begin(_):
        begun.set()
        stopped.wait(10)

    worker = grading_pool._Worker(grading_pool.Settings(None, None, Limits(), seed=0), todo, done, begin)
    worker.start()
    begun.wait(10)
    worker.stop()
    stopped.set()
    worker.join(10)
    assert not worker.is_alive()
    assert (started, done.empty()) == ([], True)


def test_lines_that_something_else_wrote_into_the_journal_do_no_harm(tmp_path, pretended):
    target = tmp_path / "marks.csv"
    grade_class([submission("ann")], to_csv=target)
    with open(tmp_path / "marks.csv.journal", "ab") as journal:
        journal.write(
            b'3\n{"report": 5}\n{"begun": [[]]}\n{"student": "ann", "fingerprint": "1", "report": {}}\n[[['
        )
    assert [one.student for one, _ in grade_class([submission("ann")], to_csv=target, resume=True)] == ["ann"]


def test_a_class_of_two_notebooks_or_with_one_file_twice_is_told():
    other = GradeReport("y.ipynb", (Mark("gelu", "passed", "Right.", 1, 1),))
    graded = [
        (submission("ann", "1"), report()),
        (submission("bob", "1"), report()),
        (submission("cas", "3"), other),
    ]
    first, second = notes_on_class(graded)
    assert first.startswith("Not all were graded for the same exercises: for double, except cas.")
    assert second == "The same file, byte by byte: ann, bob."
    assert "except cas" in summary_page(graded)
    assert notes_on_class([(submission("ann", "1"), report(0)), (submission("bob", "1"), report(0))]) == []


def test_the_place_of_the_marks_is_checked_before_anything_is_graded(tmp_path, pretended):
    seen, _ = pretended
    with pytest.raises(ValueError, match="is a folder; give the name of a file"):
        grade_class([submission("ann")], to_csv=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file, not a folder"):
        check_place(tmp_path / "file" / "marks.csv", "the marks cannot be written")
    with pytest.raises(ValueError, match="--resume needs --csv"):
        grade_class([submission("ann")], resume=True)
    assert seen == []


def test_a_submission_that_could_not_be_graded_has_empty_cells_not_zero():
    graded = [
        (submission("ann"), report(0)),
        (submission("bob"), report(problem="it is a folder", is_graded=False)),
    ]
    rows = list(csv.DictReader(marks_csv(graded).decode("utf-8-sig").splitlines()))
    assert [row["total"] for row in rows] == ["0", ""]
    assert rows[1]["problem"] == "could not be graded: it is a folder"
    assert "could not be graded, because: it is a folder" in student_page(*graded[1])


def test_names_that_are_formulas_or_no_text_are_written_harmlessly(tmp_path):
    graded = [
        (submission("=HYPERLINK(1)"), report()),
        (submission("\udcff"), report(message="\ud800 <script>", problem="@SUM(1)")),
        (submission("＋1\x00\u202e"), report()),
    ]
    table = pd.read_csv(io.BytesIO(marks_csv(graded)))
    assert set(table["student"]) == {"'=HYPERLINK(1)", "\\udcff", "'＋1\\x00\\u202e"}
    assert "'@SUM(1)" in set(table["problem"])
    pages = write_feedback(
        tmp_path / "pages", [*graded, (submission("../a\0b"), report()), (submission("a/.."), report())]
    )
    assert len(set(pages)) == 5
    assert all(page.parent == tmp_path / "pages" for page in pages)
    assert "&lt;script&gt;" in pages[1].read_text(encoding="utf-8")


def test_different_names_stay_different_in_the_table_and_what_was_changed_is_told(tmp_path):
    for name in ("=1", "'=1", "ann", "a\x1b", r"a\x1b"):
        (tmp_path / f"{name}.ipynb").touch()
    found, _ = find_submissions(tmp_path)
    table = pd.read_csv(io.BytesIO(marks_csv([(one, report()) for one in found])))
    assert set(table["student"]) == {"'=1", "''=1", "ann", r"a\x1b", r"a\x1b (2)"}
    notes = notes_on_names(found)
    assert len(notes) == 2
    assert (
        notes[1] == "In the table of the marks =1 is written '=1, lest a spreadsheet take it for a formula."
    )


def test_how_it_is_known_which_notebook_of_the_course_was_graded_is_told(tmp_path, pretended):
    seen, reports = pretended
    by_metadata, by_name = "07_rmsnorm, by its metadata", "07_rmsnorm, by its file name"
    reports["ann"] = replace(report(), graded_as=by_metadata)
    reports["bob"] = replace(report(), graded_as=by_name)
    people = [submission("ann"), submission("bob", "2")]
    graded = grade_class(people, to_csv=tmp_path / "marks.csv")
    assert notes_on_class(graded[:1]) == [f"Graded as {by_metadata}."]
    notes = [f"Graded as {by_metadata}: ann.", f"Graded as {by_name}: bob."]
    assert notes_on_class(graded) == notes
    seen.clear()
    assert notes_on_class(grade_class(people, to_csv=tmp_path / "marks.csv", resume=True)) == notes
    assert seen == []
    assert f"Graded as {by_metadata}." in str(replace(graded[0][1], path=tmp_path))


def test_fractions_of_points_are_kept():
    assert b",0.5,0.5," in marks_csv([(submission("ann"), report(0.5))])


def test_the_summary_counts_mistakes_whatever_the_numbers_in_them():
    marks = [
        Mark("double", "failed", f"It is {x}, but {2 * x} is expected: `double({x})`.\nThe input was …", 0, 2)
        for x in (3, 4.5)
    ]
    marks += [Mark("double", "failed", "You add one.", 0, 2), Mark("double", "passed", "Right.", 2, 2)]
    assert mistakes(marks) == [(marks[0].message.split("\n")[0], 2), ("You add one.", 1)]
    graded = [(submission(str(index)), GradeReport("x", (mark,))) for index, mark in enumerate(marks)]
    page = summary_page(graded, ["notes.zip"])
    assert "1 passed, 3 failed" in page
    assert "width: 50%" in page
    assert "notes.zip" in page


def test_gradescope_gets_no_score_for_what_could_not_be_graded():
    made = json.loads(gradescope_json(report()))
    assert made["score"] == 2
    assert made["tests"][0]["max_score"] == 2
    assert "score" not in json.loads(gradescope_json(report(is_graded=False, problem="x")))


def test_submissions_are_found_by_any_name_and_the_rest_is_named(tmp_path):
    made = [
        "ann.ipynb",
        "BOB.IPYNB",
        "notes.zip",
        "mine.py",
        ".DS_Store",
        ".ipynb_checkpoints/ann.ipynb",
        "张.ipynb",
    ]
    for name in made:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with open(os.fsencode(tmp_path) + b"/\xd5\xc5.ipynb", "w"):
        pass
    (tmp_path / "again").symlink_to(tmp_path)
    found, skipped = find_submissions(tmp_path)
    assert [one.student for one in found] == ["BOB", "ann", "\\xd5\\xc5", "张"]
    assert skipped == [
        "mine.py (a script, not a notebook)",
        "notes.zip (unpack it, if there are notebooks in it)",
        "again (a link to a folder)",
    ]


def test_students_have_the_names_of_their_folders_if_each_has_one(tmp_path):
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "homework.ipynb").touch()
    assert [one.student for one in find_submissions(tmp_path)[0]] == ["ann", "bob"]
    (tmp_path / "bob" / "second.ipynb").touch()
    found = [one.student for one in find_submissions(tmp_path)[0]]
    assert found == [
        os.path.join(*pair) for pair in (("ann", "homework"), ("bob", "homework"), ("bob", "second"))
    ]
