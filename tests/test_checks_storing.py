"""What learners get checks like the instructor's file, and does not hold the answers."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from grading_cases import notebook
from typer.testing import CliRunner

from minillm_lib.checks.assignment import load_exercises, module_for_learners, stand_ins
from minillm_lib.checks.grading import Grader
from minillm_lib.checks.storing import StudentFile, student_file
from minillm_lib.cli.main import app

HEAD = "import numpy as np\nfrom minillm_lib.checks import Exercise, check\n"
MINE = HEAD + '''
TOLERANCE = 1e-6

def _rows_sum_to_one(result, x):
    if np.shape(result) != x.shape or np.any(np.abs(np.sum(result, axis=-1) - 1) > TOLERANCE):
        return "the rows do not sum to 1."

def _scaled(x, /, sign=1, scale="d"):
    return sign * x / (x.shape[-1] if scale == "d" else 1)

def _draw(rng):
    return (rng.normal(size=(3, 5)),)

check.register(
    Exercise(
        name="softmax",
        points=2,
        reference=lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
        inputs=_draw,
        edge_cases={"a single row": (np.ones((1, 2)),)},
        misconceptions={
            lambda x: np.exp(x) / np.exp(x).sum(): "Each row has its own sum.",
            lambda x: np.exp(x) / np.exp(x).sum(axis=1): "You sum without `keepdims`.",
            lambda x: {}[str(len(x))]: "You look up what is not there.",
        },
        hints=["Look at one row first."],
    ),
    Exercise(name="rows", must_hold=_rows_sum_to_one, inputs=_draw),
    Exercise(name="scaled", reference=_scaled, variant=_scaled, inputs=_draw,
             slips={("sign", -1): "The sign is wrong.", ("scale", "none"): "You do not divide."}),
    Exercise(name="sampled", reference=lambda rng: float(rng.random()),
             inputs=lambda rng: (np.random.default_rng(int(rng.integers(99))),)),
    Exercise(name="pairs", reference=dict, use=lambda make, items: sorted(make(items).items()),
             inputs=lambda rng: ([("a", int(rng.integers(9))), ("b", 2)],)),
)
'''  # fmt: skip


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


ANSWERS = {
    "softmax": [
        softmax,
        lambda x: np.exp(x) / np.exp(x).sum(),
        lambda x: np.exp(x) / np.exp(x).sum(axis=1),
        lambda x: {}[str(len(x))],
        lambda x: 2 * softmax(x),
        lambda x: softmax(x).tolist(),
        lambda x: x.T,
        lambda x: None,
        lambda x: 1 / 0,
        lambda: 3,
    ],
    "rows": [softmax, lambda x: x],
    "scaled": [lambda x: x / 5, lambda x: -x / x.shape[-1], lambda x: x, lambda x: -x],
    "sampled": [lambda rng: float(rng.random()), lambda rng: float(rng.normal())],
    "pairs": [dict, lambda items: {}],
}


def read(made: StudentFile, folder):
    """Return the exercises of a file for learners, by name."""
    path = folder / "mine_student.py"
    path.write_text(made.text, encoding="utf-8")
    return {one.name: one.mark(where=f"check.{one.name}") for one in load_exercises(path)}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The exercises of the instructor and of the learner, and the learner's file."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    made = student_file(folder / "mine.py")
    assert made.checked == dict.fromkeys(ANSWERS, "")
    own = {one.name: one.mark(where=f"check.{one.name}") for one in load_exercises(folder / "mine.py")}
    return own, read(made, folder), made


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_gets_the_result_that_the_instructors_file_gives(both, name):
    own, learners, _ = both
    results = [repr(own[name](answer)) for answer in ANSWERS[name]]
    assert [repr(learners[name](answer)) for answer in ANSWERS[name]] == results
    assert "passed" in results[0]
    assert all("failed" in result for result in results[1:])


def test_neither_answers_nor_wrong_answers_are_in_the_file(both):
    text = both[2].text
    code, _, rest = text.partition("register_stored(")
    stored = zlib.decompress(base64.b85decode("".join(rest.split('"""')[1].split())))
    for answer in ("np.exp", "keepdims=", "_scaled", "_draw", "shape[-1]", "rng.", "lambda x"):
        assert answer not in code
        assert answer.encode() not in stored
    assert "Each row has its own sum." not in text
    assert "abs(np.sum(result, axis=-1) - 1) > TOLERANCE" in text  # what must hold stays code


def test_the_learner_sees_the_input_that_fails_and_hints(both):
    learners = both[1]
    learners["softmax"](lambda x: 2 * x)
    np.testing.assert_array_equal(learners["softmax"].failing_input[0], np.ones((1, 2)))
    assert "Look at one row first." in repr(learners["softmax"].hint())


def test_there_is_no_other_function_until_the_learners_own_has_passed(both):
    one = both[1]["softmax"]
    with pytest.raises(RuntimeError, match="the right answer is not in this file"):
        one(lambda x: x).function(np.ones((1, 2)))
    assert one.whose == "nobody's"
    assert one(softmax).function is softmax
    assert one.whose == "yours"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("reference=lambda f: f(3), inputs=lambda rng: (lambda x: x + 1,)", "its input `f` is or holds a function"),
        ("reference=lambda x: object(), inputs=lambda rng: (3,)", "its right result is or holds an `object`"),
        (
            "reference=helper, inputs=lambda rng: (3,), must_hold=lambda r, x: helper(x) and None",
            "`helper` is needed for it, which the right answer uses too",
        ),
        (
            "reference=lambda x: helper(x), inputs=lambda rng: (3,), use=lambda f, x: helper(f(x))",
            "`helper` is needed for it, which the right answer uses too",
        ),
        ("must_hold=made(3), inputs=lambda rng: (3,)", "uses `k` of the function in which it is made"),
        ("must_hold=lambda r, x: beside.check(r), inputs=lambda rng: (3,)", "the module `beside` is needed"),
        ("must_hold=lambda r, x: TABLE[x], inputs=lambda rng: (0,)", "`TABLE` is needed for it, which is of type"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_without_the_answer_is_named_and_not_checked(tmp_path, fields, reason):
    (tmp_path / "beside.py").write_text("def check(result): return None", encoding="utf-8")
    path = tmp_path / "mine.py"
    path.write_text(
        f"{HEAD}import beside\nTABLE = np.array([None])\ndef helper(x): return x + 1\n"
        f"def made(k):\n    return lambda r, x: None if k else 'no.'\n"
        f"check.register(Exercise(name='one', {fields}))",
        encoding="utf-8",
    )
    made = student_file(path)
    assert made.checked == {}
    assert reason in made.unchecked["one"]
    result = read(made, tmp_path)["one"](lambda *inputs: 3)
    assert (result.status, result.points) == ("not checked", 0)
    assert "checked when your notebook is graded" in result.message


def test_a_table_of_the_stored_results_is_found_out_by_other_inputs(both, monkeypatch):
    own, learners, _ = both
    table = {case[0].tobytes(): softmax(case[0]) for case in learners["softmax"].draw_cases()}

    def copied(x):
        return table[x.tobytes()]

    assert learners["softmax"](copied).passed
    monkeypatch.setenv("MINILLM_CHECK_SEED", "1")
    assert not own["softmax"](copied).passed
    assert learners["softmax"](copied).passed  # no seed changes what is stored


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("reference=lambda: 3, inputs=lambda rng: ()", "has no inputs, so that the stored result is the answer"),
        ("reference=abs, inputs=lambda rng: (-3,)", "draws few different inputs, and all are stored"),
        ("reference=abs, inputs=lambda rng: (np.ones(3),)", "draws few different inputs, and all are stored"),
        ("reference=abs, inputs=lambda rng: (int(rng.integers(9)),)", "% of them are stored with their right results"),
        ("reference=abs, inputs=lambda rng: (1,), cases=0, edge_cases={'-1': (-1,)}", "draws no inputs"),
        ("reference=abs, inputs=lambda rng: (rng.normal(),), edge_cases={'0': (0,)}", ""),
        ("reference=abs, inputs=lambda rng: (int(rng.integers(999)),)", ""),
        ("reference=lambda rng: rng.random(), inputs=lambda rng: (rng,)", ""),
        ("must_hold=lambda result, x: None, inputs=lambda rng: (-3,)", ""),
    ],
)  # fmt: skip
def test_an_exercise_whose_stored_results_can_be_copied_is_named(tmp_path, fields, reason):
    path = tmp_path / "mine.py"
    path.write_text(f"{HEAD}check.register(Exercise(name='tol', {fields}))", encoding="utf-8")
    made = student_file(path)
    assert "tol" in made.checked
    assert set(made.given_away) == ({"tol"} if reason else set())
    assert reason in made.given_away.get("tol", "")


def test_functions_of_a_loop_keep_their_own_defaults(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        HEAD
        + "for n in (2, 3):\n    check.register(Exercise(name=f'at_least_{n}', inputs=lambda rng: (1,),\n"
        "        must_hold=lambda result, x, least=n: None if result >= least else 'too small.'))",
        encoding="utf-8",
    )
    learners = read(student_file(path), tmp_path)
    assert learners["at_least_2"](lambda x: 2).passed
    assert not learners["at_least_3"](lambda x: 2).passed


def test_a_damaged_file_is_refused(both, tmp_path):
    text = both[2].text
    middle = len(text) // 2
    damaged = StudentFile(text[:middle] + text[middle + 200 :])
    with pytest.raises(ValueError, match="the stored checks are damaged: get the file from your instructor"):
        read(damaged, tmp_path)


def test_the_module_for_learners_can_be_imported(tmp_path):
    assert module_for_learners("week 1/mine.py") == "mine_student"
    assert module_for_learners("2-sums.py") == "_2_sums_student"
    (tmp_path / "mine.py").touch()
    assert stand_ins(tmp_path / "mine.py") == ["mine.py", "mine_student.py"]
    assert stand_ins(tmp_path / "random.py") == ["random_student.py"]


@pytest.mark.slow
def test_a_notebook_that_imports_the_file_for_learners_is_graded_without_it(tmp_path):
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    cells = [
        "import numpy as np, mine_student, mine\nfrom minillm_lib import check",
        "def softmax(x):\n    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)",
        "check.softmax(softmax)",
    ]
    path = notebook(tmp_path / "ann.ipynb", *cells)
    with Grader(assignment=path, exercises_file=tmp_path / "mine.py") as grader:
        report = grader.grade(path)
    assert (report.points, report.problem) == (2, "")


def test_the_command_overwrites_only_what_it_has_written(tmp_path):
    path, written = tmp_path / "mine.py", tmp_path / "mine_student.py"
    path.write_text(
        f"{HEAD}check.register(Exercise(name='same', reference=abs, inputs=lambda rng: (int(rng.integers(9)),)),"
        "Exercise(name='of_f', reference=lambda f: f(1), inputs=lambda rng: (abs,)))",
        encoding="utf-8",
    )
    for _ in range(2):
        done = CliRunner().invoke(app, ["exercises", "student", str(path)])
        assert done.exit_code == 0, done.output
    assert "✓ same: checked without the answer" in done.output
    assert (
        "! same: a learner can pass by copying what is stored, since it draws few different inputs"
        in done.output
    )
    assert "! of_f: cannot be written without the answer, since its input `f` is or holds" in done.output
    written.write_text("x = 1", encoding="utf-8")
    done = CliRunner().invoke(app, ["exercises", "student", str(path)])
    assert "was not written by this command" in str(done.exception)
    assert written.read_text(encoding="utf-8") == "x = 1"
    path.write_text(path.read_text(encoding="utf-8").replace("f(1)", "f(y)"), encoding="utf-8")
    done = CliRunner().invoke(app, ["exercises", "student", str(path), "-o", str(tmp_path / "new.py")])
    assert "NameError: name 'y' is not defined" in str(done.exception)
    assert not (tmp_path / "new.py").exists()
