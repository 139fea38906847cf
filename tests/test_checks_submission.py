"""Reading submissions: which cells answer which exercise, and what is no notebook."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from minillm_lib.checks import submission
from minillm_lib.checks.notebook_run import modules_of
from minillm_lib.checks.submission import (
    answers_in,
    checked_exercises,
    course_notebook,
    defines,
    plan,
    read_notebook,
)


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


@pytest.mark.parametrize(
    "later",
    ["f = g", "f: object = lambda x: 2", "f, h = lambda x: 2, 3", "f = partial(g, 2)", "f = g if g else None",
     "h = g\nf = h", "if True:\n    f = g", "%%time\nf = g"],
)  # fmt: skip
def test_a_function_that_is_assigned_after_its_check_counts(later):
    made = cells("def f(x):\n    return 1\ndef g(x):\n    return 2", "check.f(f)", later, "print(f)")
    assert plan(made, {"f": "f"})[-3:] == [("run", later), ("check", "f"), ("run", "print(f)")]


@pytest.mark.parametrize(
    "later",
    ["tol = 0.1", "tol: float = 0.1", "tol, n = 0.1, 3", "tol *= 2", "tol = np.pi", "tol = best(1)",
     "for _ in 'ab':\n    tol = 1", "tol = !nproc"],
)  # fmt: skip
def test_a_plain_value_that_is_assigned_after_its_check_counts(later):
    made = cells("tol = None", "check.tol(tol)", later, "print(tol)")
    assert plan(made, {"tol": "tol"})[-3:] == [("run", later), ("check", "tol"), ("run", "print(tol)")]


@pytest.mark.parametrize("later", ["tol = check.tol(tol).function", "tol == 2", "f(tol=2)", "tol.x = 2"])
def test_what_a_check_returns_is_no_answer_and_a_comparison_no_assignment(later):
    steps = plan(cells("tol = 1", later, "tols = 3"), {"tol": "tol"})
    place = 2 if "check" in later else 1  # the cell with a check of its own is one that checks it
    assert steps[place] == ("check", "tol")


def test_a_number_by_the_name_of_a_function_is_not_the_answer():
    made = cells("def perplexity(p): ...", "perplexity = 12.5")
    assert plan(made, {"perplexity": "perplexity"})[1] == ("check", "perplexity")
    renamed = cells("def mine(p): ...", "check.perplexity(mine)", "perplexity = mine(0.5)")
    assert answers_in(renamed, {"perplexity": "perplexity"}) == {"perplexity": "mine"}


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


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b" \n", "it is empty"),
        (b"<!DOCTYPE html><p>Log in", "it is a web page"),
        (b"PK\x03\x04...", "it is a ZIP archive; unpack it"),
        (
            b'{"cells": [\n<<<<<<< HEAD\n=======\n>>>>>>> other\n]}',
            "it has the marks of a merge conflict of git",
        ),
        (b'{"worksheets": []}', "it is of format 3, which Jupyter converts when it opens it"),
    ],
)
def test_what_usual_files_are_is_told(tmp_path, content, what):
    path = tmp_path / "n.ipynb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{what}$"):
        read_notebook(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_notebook_may_have_any_unicode_encoding_and_line_ends(tmp_path, encoding):
    path = tmp_path / "n.ipynb"
    path.write_bytes(
        json.dumps(cells("x = '中'"), indent=1, ensure_ascii=False).replace("\n", "\r\n").encode(encoding)
    )
    assert read_notebook(path) == cells("x = '中'")


NORM = "def rms_norm(x): ...\ncheck.rms_norm(rms_norm)"
ROPE = "def ntk_base(x): ..."


@pytest.mark.parametrize(
    ("named", "file", "sources", "expected"),
    [
        ("07_rmsnorm", "ann.ipynb", [], ("07_rmsnorm", "by its metadata")),
        ("07_rmsnorm", "07_rmsnorm-ann.ipynb", [ROPE], ("07_rmsnorm", "by its metadata")),
        (None, "07_rmsnorm-ann.ipynb", [ROPE], ("07_rmsnorm", "by its file name")),
        (None, "Ann Lee_12345_07_rmsnorm.ipynb", [], ("07_rmsnorm", "by its file name")),
        ("no_such", "08_rope.ipynb", [], ("08_rope", "by its file name")),
        ("07_rmsnorm", "08_rope.ipynb", [NORM],
         ("07_rmsnorm", "by its metadata, though its file name says 08_rope")),
        ("07_rmsnorm", "08_rope.ipynb", [],
         ("07_rmsnorm", "by its metadata, though its file name says 08_rope")),
        ("07_rmsnorm", "08_rope.ipynb", [ROPE],
         ("08_rope", "by its file name; its metadata say 07_rmsnorm, of which it has fewer exercises")),
    ],
)  # fmt: skip
def test_which_notebook_of_the_course_it_is_and_how_that_is_known(named, file, sources, expected):
    made = {**cells(*sources), "metadata": {"minillm": {"notebook": named}} if named else {}}
    assert course_notebook(Path(file), made) == expected


def test_a_number_before_the_name_is_another_notebook():
    with pytest.raises(ValueError, match="is not a notebook of the course with exercises"):
        course_notebook(Path("107_rmsnorm.ipynb"), cells())


def test_an_answer_that_was_renamed_is_found_by_the_notebooks_own_check():
    renamed = cells("def mine(x): ...", "check.f(mine)", "check.g(h)")
    assert answers_in(renamed, {"f": "f", "g": "g"}) == {"f": "mine", "g": "g"}
    both = cells("def mine(x): ...", "def f(x): ...", "check.f(mine)")
    assert answers_in(both, {"f": "f"}) == {"f": "f"}


@pytest.mark.parametrize(
    "cell",
    ["check.f(f)" + " " * 900_000 + "!", "\n" * 900_000 + "x", "import" + " " * 900_000, "check.f" + "\n" * 900_000,
     "if a: pass\n" + "elif b: pass\n" * 50_000],
    ids=["blanks", "lines", "import", "check", "elif"],
)  # fmt: skip
def test_a_cell_that_is_hard_to_look_through_takes_no_long_time(cell):
    start = time.process_time()
    plan(cells(cell), {"f": "f"})
    modules_of(cells(cell))
    assert time.process_time() - start < 2


def test_many_cells_are_looked_through_once_each():
    start = time.process_time()
    plan(
        cells(*(f"def f(x):\n    return {index}\ncheck.f(f)" for index in range(5000))),
        {f"f{i}": f"f{i}" for i in range(20)},
    )
    assert time.process_time() - start < 2
