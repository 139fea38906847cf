"""Reading submissions: which cells answer which exercise, and what is no notebook."""

from __future__ import annotations

import json
import os

import pytest

from minillm_lib.checks import submission
from minillm_lib.checks.submission import checked_exercises, defines, plan, read_notebook


def cells(*sources):
    return {"cells": [{"cell_type": "code", "source": source} for source in sources]}


def test_the_check_follows_the_last_cell_that_defines_or_checks_the_answer():
    made = cells("def f(x):\n    return 1", "check.f(f)", "f = lambda x: 2", "print(f)")
    assert plan(made, {"f": "f"}) == [
        ("run", made["cells"][0]["source"]),
        ("run", "f = lambda x: 2"),
        ("check", "f"),
        ("run", "print(f)"),
    ]


@pytest.mark.parametrize(
    "later", ["from library import f", "f = library.f", "f = check.other(g).function", "import library as f"]
)
def test_a_later_cell_that_takes_the_librarys_piece_by_the_learners_name_does_not_count(later):
    steps = plan(cells("def f(x):\n    return 1", later), {"f": "f"})
    assert steps == [("run", "def f(x):\n    return 1"), ("check", "f"), ("run", later)]


def test_the_answer_may_have_another_name_than_the_exercise():
    assert checked_exercises(
        cells("check.softmax(\n    students_softmax\n)", "y = check.gelu(gelu).function")
    ) == {
        "softmax": "students_softmax",
        "gelu": "gelu",
    }
    assert plan(cells("def mine(x): ..."), {"softmax": "mine"})[-1] == ("check", "softmax")


def test_what_no_cell_seems_to_define_is_looked_for_at_the_end():
    assert plan(cells("exec('def f(): ...')", "x = 1"), {"f": "f"})[-2:] == [("run", "x = 1"), ("check", "f")]


def test_a_registration_or_a_comment_is_no_check():
    assert checked_exercises(cells("check.register(Exercise())", "# check.f(f)", "'check.f(f)'")) == {}


@pytest.mark.parametrize(
    "source",
    ["%%time\ndef f(x): ...", "def f(x)\n    return", "if True:\n    def f(x): ...", "!ls\nclass f: ...",
     "async def f(x): ..."],
)  # fmt: skip
def test_definitions_are_found_among_magics_and_errors(source):
    assert defines(source, "f")
    assert not defines(source, "g")


@pytest.mark.parametrize("deep", ["-" * 20_000 + "1", "(" * 20_000 + ")" * 20_000, "1" + "+1" * 20_000])
def test_a_deep_expression_is_no_definition_and_no_error(deep):
    assert not defines(deep, "f")
    assert plan(cells(deep, "def f(): ..."), {"f": "f"})[-1] == ("check", "f")


def test_only_a_regular_file_is_read(tmp_path):
    (tmp_path / "zero.ipynb").symlink_to(os.devnull)
    with pytest.raises(ValueError, match=r"zero\.ipynb is a character device; a file is expected"):
        read_notebook(tmp_path / "zero.ipynb")
    os.mkfifo(tmp_path / "pipe.ipynb")
    with pytest.raises(ValueError, match=r"pipe\.ipynb is a named pipe"):
        read_notebook(tmp_path / "pipe.ipynb")


def test_sizes_are_limited(tmp_path, monkeypatch):
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": "x = 1\n" * 20}]}))
    assert read_notebook(path)["cells"]
    monkeypatch.setattr(submission, "_MOST_CODE", 100)
    with pytest.raises(ValueError, match="has 120 characters of code; a notebook has at most 100"):
        read_notebook(path)
    monkeypatch.setattr(submission, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"n\.ipynb has \d+ bytes; files of its kind have at most 100"):
        read_notebook(path)


def test_json_that_would_end_the_parser_is_an_error(tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_text('{"cells": ' + "[" * 5000 + "]" * 5000 + "}")
    with pytest.raises(ValueError, match="not a notebook: nested more than 100 levels deep"):
        read_notebook(path)
