"""``minillm grade`` and ``minillm exercises check`` as an instructor uses them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pandas as pd
import psutil
import pytest
from grading_cases import CHECKS, OWN, RIGHT, SETUP, STUBS, assignment_in, notebook

WRONG = "def double(x):\n    return x + 1"


def minillm(*arguments, expected=0):
    """Run the command, and return what it says, in one line."""
    result = subprocess.run(
        [sys.executable, "-m", "minillm_lib", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == expected, result.stdout + result.stderr
    return re.sub(r"\s+", " ", result.stdout + result.stderr)


@pytest.fixture
def arguments(tmp_path):
    """The options for the small assignment."""
    made = assignment_in(tmp_path)
    return ["--assignment", made["assignment"], "--exercises", made["exercises_file"]]


@pytest.mark.slow
def test_a_folder_is_graded_to_all_kinds_of_results(tmp_path, arguments):
    folder = tmp_path / "class"
    folder.mkdir()
    notebook(folder / "ann.ipynb", SETUP, *RIGHT.values())
    notebook(folder / "cas.ipynb", SETUP, WRONG, CHECKS["double"], "import os; os.abort()")
    (folder / "bob.ipynb").write_text("{", encoding="utf-8")
    (folder / "random.py").write_text("raise RuntimeError('in the way')", encoding="utf-8")
    said = minillm(
        "grade", folder, *arguments, "--csv", tmp_path / "out.csv", "--feedback", tmp_path / "pages", "--summary",
        tmp_path / "summary.html", "-j", "2",
    )  # fmt: skip
    assert "5 of 5" in said
    assert "Skipped, since they are not notebooks (1): random.py (a script, not a notebook)" in said
    table = pd.read_csv(tmp_path / "out.csv").set_index("student")
    assert list(table.columns) == ["double", "triple", "total", "seconds", "problem"]
    assert table.loc["ann", "total"] == 5
    assert table.loc["cas", "total"] == 0
    assert pd.isna(table.loc["bob", "total"])
    assert table.loc["bob", "problem"].startswith("could not be graded: bob.ipynb is not JSON")
    assert table.loc["cas", "problem"] == "its process was killed by signal 6"
    assert sorted(page.name for page in (tmp_path / "pages").iterdir()) == [
        "ann.html",
        "bob.html",
        "cas.html",
    ]
    assert "You add one." in (tmp_path / "summary.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_one_submission_is_graded_for_gradescope(tmp_path, arguments):
    path = notebook(tmp_path / "x.ipynb", SETUP, *RIGHT.values())
    minillm("grade", path, *arguments, "--gradescope", tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_bytes())["score"] == 5


@pytest.mark.slow
def test_wrong_exercises_are_found_before_anything_is_graded(tmp_path, arguments):
    path = notebook(tmp_path / "x.ipynb", SETUP, *RIGHT.values())
    own = tmp_path / "own.py"
    for wrong, told in (
        (OWN.replace("points=factor", "points=-1"), "points is -1; it must be a number, 0 or more"),
        (OWN.replace("factor * x", "factor * y"), "NameError: name 'y' is not defined"),
        (OWN + "\nnump.zeros(3)", "NameError: name 'nump' is not defined"),
    ):
        own.write_text(wrong, encoding="utf-8")
        assert told in minillm("grade", path, *arguments, expected=2)


@pytest.mark.slow
def test_exercises_are_checked_before_they_are_handed_out(tmp_path, arguments):
    said = minillm("exercises", "check", arguments[3], arguments[1])
    assert "✓ double: the reference passes, a stub gets 0 of 2 points, 1 misconception told apart" in said
    assert "is graded for 5 points" in said
    passing = tmp_path / "passing.py"
    passing.write_text(
        OWN.replace("lambda x: x + 1", "lambda x, factor=factor: x * factor"), encoding="utf-8"
    )
    assert "no input tells it from the reference" in minillm("exercises", "check", passing, expected=1)


def test_the_place_of_the_marks_is_checked_first(tmp_path):
    path = notebook(tmp_path / "x.ipynb", SETUP)
    assert "is a folder; give the name of a file" in minillm("grade", path, "--csv", tmp_path, expected=2)


def test_the_command_names_a_path_that_does_not_exist(tmp_path):
    assert "none.ipynb does not exist" in minillm("grade", tmp_path / "none.ipynb", expected=2)


def test_what_is_not_guarded_against_is_said():
    said = minillm("grade", "--help")
    assert "NOT guarded against" in said
    assert "docker run" in said
    assert "pip install '.[course]'" in said  # which markup would take for a style


def grading_until(n_reports, options, **how):
    """Start to grade, and return the process and its journal once so many submissions are graded."""
    command = [sys.executable, "-m", "minillm_lib", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **how)
    journal = options[options.index("--csv") + 1].with_name("marks.csv.journal")
    while not journal.exists() or journal.read_bytes().count(b"report") < n_reports:
        assert process.poll() is None
        time.sleep(0.1)
    return process, journal


@pytest.mark.slow
def test_ctrl_c_keeps_the_marks_and_leaves_nothing_running(tmp_path, arguments):
    folder = tmp_path / "class"
    folder.mkdir()
    for index in range(4):
        notebook(folder / f"ann{index}.ipynb", SETUP, *RIGHT.values())
    notebook(folder / "zoe.ipynb", SETUP, "import time\ntime.sleep(4321)", *RIGHT.values())
    options = ["grade", folder, *arguments, "--csv", tmp_path / "marks.csv"]
    first, _ = grading_until(4, options, stderr=subprocess.PIPE, text=True)
    below = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "--resume goes on" in said
    assert not [one for one in below if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert list(pd.read_csv(tmp_path / "marks.csv")["total"]) == [5, 5, 5, 5]


HOSTILE = {
    "surrogate": [SETUP, "def double(x):\n    raise ValueError('\\udcff')"],
    "deep": [SETUP, "x = " + "-" * 20_000 + "1", "def double(x):\n    return x"],
    "abort": ["import os\nos.abort()"],
    "watcher": ["import os\nos.kill(os.getppid(), 9)"],
    "worker": ["import os, psutil\nos.kill(psutil.Process(os.getppid()).ppid(), 9)"],
    "noise": ["import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, b'\\xff')\n    except OSError: pass"],
    "loop": [SETUP, "def double(x):\n    while True:\n        pass"],
    "children": ["import os, time\nfor _ in range(90):\n    if os.fork() == 0:\n        time.sleep(99)"],
    "forger": ["import json\nopen('marks.csv', 'w').write('forger,5')", "double = triple = check = 5"],
}  # fmt: skip


@pytest.mark.slow
def test_two_hundred_submissions_ten_of_them_bad_are_graded_killed_and_resumed(tmp_path, arguments):
    folder = tmp_path / "class"
    folder.mkdir()
    kinds = {"both": (RIGHT["double"], RIGHT["triple"]), "one": (RIGHT["double"], STUBS[1]), "none": tuple(STUBS),
             "wrong": (WRONG, RIGHT["triple"])}  # fmt: skip
    points = {"both": 5, "one": 2, "none": 0, "wrong": 3}
    for index in range(190):
        kind = list(kinds)[index % 4]
        notebook(folder / f"{kind}{index:03}.ipynb", SETUP, *kinds[kind], *CHECKS.values())
    for name, cells in HOSTILE.items():
        notebook(folder / f"{name}.ipynb", *cells)
    with open(os.fsencode(folder) + b"/\xd5\xc5.ipynb", "wb") as file:
        file.write(b"\xff not a notebook")
    options = ["grade", folder, *arguments, "--csv", tmp_path / "marks.csv", "-j2"]
    first, journal = grading_until(70, options, stderr=subprocess.DEVNULL)
    first.send_signal(signal.SIGKILL)
    first.wait()
    so_far = pd.read_csv(tmp_path / "marks.csv")
    assert 68 <= len(so_far) < 200
    start = time.monotonic()
    minillm(*options, "--resume")
    print(f"the other {200 - len(so_far)} took {time.monotonic() - start:.0f} seconds")
    table = pd.read_csv(tmp_path / "marks.csv").set_index("student")
    assert len(table) == 200
    honest = {name: row["total"] for name, row in table.iterrows() if name.rstrip("0123456789") in points}
    assert len(honest) == 190
    assert all(total == points[name.rstrip("0123456789")] for name, total in honest.items())
    assert not table.loc[[name for name in table.index if name not in honest], "total"].gt(0).any()
    reports = [json.loads(line) for line in journal.read_bytes().splitlines()]
    graded = Counter(line["student"] for line in reports if "report" in line)
    assert max(graded[name] for name in honest) == 1, "nobody was graded twice"
