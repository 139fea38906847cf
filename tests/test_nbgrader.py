"""nbgrader for real: assignments, submissions, honest and not, marks in the gradebook, and feedback."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import shutil
import site
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from course_build import ROOT

from minillm_lib.checks.registry import exercises_of

pytestmark = pytest.mark.slow
CONFIG = """\
from minillm_lib.checks.nbgrader import configure

configure(get_config())
"""
CONFIG_OWN = CONFIG.replace("get_config()", 'get_config(), exercises="mine.py"')
PATIENCE = """
get_config().Execute.timeout = 900  # the machine may be busy
get_config().Execute.iopub_timeout = 120
"""
MINE = '''
"""Exercises of an instructor."""
import numpy as np
from minillm_lib.checks import Exercise, check

check.register(
    Exercise(
        name="softmax",
        points=2,
        reference=lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
        inputs=lambda rng: (rng.normal(size=(3, 5)),),
        misconceptions={lambda x: np.exp(x) / np.exp(x).sum(): "Each row has its own sum."},
    ),
    Exercise(
        name="double", points=0.5, reference=lambda x: 2 * x, inputs=lambda rng: (int(rng.integers(1, 99)),)
    ),
    Exercise(name="triple", reference=lambda x: 3 * x, inputs=lambda rng: (int(rng.integers(1, 99)),)),
)
'''
SETUP = "import mine_student\nimport numpy as np\nfrom minillm_lib import check"
SOFTMAX = "def softmax(x):\n    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)"
TIMES = "def double(x):\n    return 2 * x\n\n\ndef triple(x):\n    return 3 * x"
WRONG_SOFTMAX = "def softmax(x):\n    return np.exp(x) / np.exp(x).sum()"
WRONG_TIMES = "def double(x):\n    return x\n\n\ndef triple(x):\n    return x"
HALF_TIMES = "def double(x):\n    return 2 * x\n\n\ndef triple(x):\n    return x"
ALL = {"check-softmax": 4.0, "check-times": 3.0, "check-mixed": 1.0, "plain": 1.0}
NOTHING = dict.fromkeys(ALL, 0.0)
JUST_PLAIN = {
    **NOTHING,
    "plain": 1.0,
}  # what asserts without a check say is nbgrader's, and so is their protection


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with nbgrader and this package: this one if it has nbgrader, or else a new virtual environment."""
    if importlib.util.find_spec("nbgrader"):
        return Path(sys.executable)
    home = tmp_path_factory.mktemp("nbgrader")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    made = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    (packages,) = home.glob("[Ll]ib/**/site-packages")
    # what is installed here is there too, pip among it, behind what the environment has itself
    (packages / "tests.pth").write_text("\n".join([*site.getsitepackages(), str(ROOT)]), encoding="utf-8")
    command = [made, "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "20", "nbgrader"]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"nbgrader could not be installed: {installed.stderr.strip().splitlines()[-1]}")
    return made


class Course:
    """A folder in which an instructor works with nbgrader."""

    def __init__(self, folder, python, config):
        self.folder, self.python = folder, python
        (folder / "nbgrader_config.py").write_text(config, encoding="utf-8")

    def run(self, *arguments, status=0):
        """Run a command of nbgrader as an instructor does, and return what it logs."""
        path = os.pathsep.join([str(self.python.parent), os.environ["PATH"]])
        # nbconvert's templates are those of this environment
        templates = os.path.join(sys.prefix, "share", "jupyter")
        environment = {**os.environ, "PATH": path, "HOME": str(self.folder), "JUPYTER_PATH": templates}
        done = subprocess.run(
            [self.python, "-m", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True,
            encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr

    def release(self, assignment):
        """Hand out an assignment, and return what a student opens."""
        log = self.run("nbgrader", "generate_assignment", assignment)
        assert not troubles(log), log
        (path,) = (self.folder / "release" / assignment).glob("*.ipynb")
        return nbformat.read(path, as_version=4)

    def submit(self, student, assignment, name, notebook):
        folder = self.folder / "submitted" / student / assignment
        shutil.copytree(self.folder / "release" / assignment, folder)
        nbformat.write(notebook, folder / f"{name}.ipynb")

    def marks(self, assignment):
        """The marks in the gradebook: by student and test cell."""
        code = """
            import json, sys
            from nbgrader.api import Gradebook
            with Gradebook("sqlite:///gradebook.db") as gradebook:
                marks = {
                    one.student_id: {grade.name: grade.auto_score for book in one.notebooks for grade in book.grades}
                    for one in gradebook.assignment_submissions(sys.argv[1])
                }
            print(json.dumps(marks))
        """
        command = [self.python, "-c", textwrap.dedent(code), assignment]
        path = os.pathsep.join([str(self.python.parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path}
        return json.loads(subprocess.check_output(command, cwd=self.folder, env=environment))

    def feedback(self, student, assignment, name):
        return (self.folder / "feedback" / student / assignment / f"{name}.html").read_text(encoding="utf-8")


def troubles(log):
    return [line for line in log.splitlines() if "| WARNING]" in line or "| ERROR]" in line]


def of_student(log, student):
    """What was logged while one student's submission was graded."""
    parts = log.split("Creating/updating student with ID ")
    return next(part for part in parts if part.startswith(f"'{student}'"))


def answered(notebook, answers):
    """The notebook with other sources in the cells of these names."""
    made = copy.deepcopy(notebook)
    for cell in made.cells:
        if "nbgrader" in cell.metadata:
            cell.source = answers.get(cell.metadata.nbgrader.grade_id, cell.source)
    return made


def test_cell(name, source, points):
    """A cell as nbgrader's toolbar marks it up: ``points`` for tests, None for answers."""
    facts = {"grade_id": name, "grade": points is not None, "locked": points is not None, "schema_version": 3}
    facts |= {"solution": points is None, "task": False} | ({} if points is None else {"points": points})
    return nbformat.v4.new_code_cell(source, metadata={"nbgrader": facts})


test_cell.__test__ = False


@pytest.fixture(scope="module")
def week(python, tmp_path_factory):
    """A notebook of the course: what was handed out, the log of the grading, and the course itself, untouched."""
    before = {
        path: path.read_bytes()
        for path in [*ROOT.glob("course/*"), *ROOT.glob("solutions/*")]
        if path.is_file()
    }
    made = Course(tmp_path_factory.mktemp("week"), python, CONFIG + PATIENCE)
    for room in ("solutions", "course"):
        (made.folder / "source" / f"from-{room}").mkdir(parents=True)
        shutil.copy(ROOT / room / "01_corpus.ipynb", made.folder / "source" / f"from-{room}")
    made.released = {room: made.release(f"from-{room}") for room in ("solutions", "course")}
    solved = nbformat.read(ROOT / "solutions" / "01_corpus.ipynb", as_version=4)
    solved = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in solved.cells}
    wrong = {
        "jaccard": "def jaccard(a, b):\n    return len(a & b) / min(len(a), len(b))",
        "document_term_counts": "def document_term_counts(documents, vocabulary):\n    return None",
        "expected_vocabulary": "def expected_vocabulary(counts, n):\n    return float(n)",
    }
    right = {"jaccard": "def jaccard(a, b):\n    return len(a & b) / len(a | b)"}
    handed_out = made.released["solutions"]
    for student, notebook in (
        ("honest", answered(handed_out, solved)), ("wrong", answered(handed_out, wrong)),
        ("partial", answered(handed_out, right)), ("empty", handed_out),
    ):  # fmt: skip
        made.submit(student, "from-solutions", "01_corpus", notebook)
    made.log = made.run("nbgrader", "autograde", "from-solutions")
    made.feedback_log = made.run("nbgrader", "generate_feedback", "from-solutions")
    made.is_untouched = all(path.read_bytes() == content for path, content in before.items())
    return made


def test_the_course_is_handed_out_as_it_is_and_stays_so(week):
    course = nbformat.read(ROOT / "course" / "01_corpus.ipynb", as_version=4)
    for notebook in week.released.values():
        assert [cell.source for cell in notebook.cells] == [cell.source for cell in course.cells]
    assert week.is_untouched


def test_the_marks_of_the_course_are_right_and_nothing_is_warned_of(week):
    names = [f"check-{exercise.name}" for exercise in exercises_of("01_corpus")]
    points = tuple(exercise.points for exercise in exercises_of("01_corpus"))
    nothing = (0,) * len(points)
    expected = {"honest": points, "wrong": nothing, "partial": (1, *nothing[1:]), "empty": nothing}
    marks = week.marks("from-solutions")
    assert {student: tuple(marks[student][name] for name in names) for student in marks} == expected
    assert not troubles(week.log), week.log
    pictures = "Alternative text is missing"  # for the figures of the course; nbconvert says so everywhere
    assert not [line for line in troubles(week.feedback_log) if pictures not in line], week.feedback_log


def test_the_feedback_holds_the_messages(week):
    def shown(student):
        return week.feedback(student, "from-solutions", "01_corpus")

    total = f"{sum(exercise.points for exercise in exercises_of('01_corpus')):.1f}"
    assert f"(Score: {total} / {total})" in shown("honest")
    assert "\u2713 passed" in shown("honest")
    assert f"(Score: 0.0 / {total})" in shown("wrong")
    assert "You divide by the size of the smaller set" in shown("wrong")
    assert f"(Score: 1.0 / {total})" in shown("partial")
    assert shown("empty").count("not attempted") >= 3


def own_notebook():
    """An instructor's notebook: checks worth other points than declared, two in one cell, and asserts."""
    marked = [
        test_cell("softmax", solution(SOFTMAX), None),
        test_cell("check-softmax", "check.softmax(softmax)", 4),
        test_cell("times", "\n\n\n".join(map(solution, TIMES.split("\n\n\n"))), None),
        test_cell("check-times", "check.double(double)\ncheck.triple(triple)", 3),
        test_cell("check-mixed", "check.double(double)\nassert double(4) == 8", 1),
        test_cell("seen", "### BEGIN SOLUTION\nseen = True\n### END SOLUTION", None),
        test_cell("plain", "assert seen", 1),
    ]  # fmt: skip
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SETUP), *marked])
    made.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return made


def solution(code):
    head, _, body = code.partition("\n")
    return f"{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"


RIGHT = {"softmax": SOFTMAX, "times": TIMES, "seen": "seen = True"}
WRONG = {"softmax": WRONG_SOFTMAX, "times": WRONG_TIMES, "seen": "seen = True"}
WARNS = SOFTMAX.replace("    return", "    import sys\n    print('careful', file=sys.stderr)\n    return")
TRICKS = {
    "variable": "import os\nos.environ.pop('NBGRADER_EXECUTION', None)",
    "rebound": """
        class Anything:
            def __getattr__(self, name):
                return lambda answer: 4.0
        check = Anything()
    """,
    "patched": """
        from minillm_lib.checks import comparing, judging, result
        from minillm_lib.checks.exercise import Exercise
        Exercise.__call__ = lambda self, answer: 4.0
        judging.judge = comparing.difference = lambda *args, **kwargs: None
        result.CheckResult.passed = True
        np.isclose = np.allclose = np.array_equal = lambda *args, **kwargs: True
    """,
    "formatted": """
        shell = get_ipython()
        shell.display_formatter.format = lambda *args, **kwargs: ({"text/plain": "4.0"}, {})
        shell.showtraceback = lambda *args, **kwargs: None
        class Anything:
            def __getattr__(self, name):
                return lambda answer: answer
        check = Anything()
    """,
}


def own_submissions(released):
    """Submissions by student, each with the marks that it deserves."""
    made = {
        "honest": (answered(released, RIGHT), ALL),
        "warns": (answered(released, {**RIGHT, "softmax": WARNS}), ALL),
        "wrong": (answered(released, WRONG), JUST_PLAIN),
        "half": (
            answered(released, {**RIGHT, "times": HALF_TIMES}),
            {"check-softmax": 4.0, "check-times": 1.0, "check-mixed": 1.0, "plain": 1.0},
        ),
        "empty": (released, NOTHING),
    }
    for name, trick in TRICKS.items():
        notebook = answered(released, WRONG)
        notebook.cells[0].source += "\n" + textwrap.dedent(trick)
        made[name] = (notebook, JUST_PLAIN)
    taken = "import sys\nsys.path.insert(0, '../../..')\nimport mine\n"
    taken = {
        "softmax": f"{taken}softmax = check.softmax.reference",
        "times": "double, triple = check.double.reference, check.triple.reference",
    }
    made["reference"] = (answered(released, {**WRONG, **taken}), JUST_PLAIN)
    forged = answered(released, WRONG)
    copies = []
    for cell in forged.cells[1:]:
        if cell.metadata.nbgrader.grade:
            copies.append(copy.deepcopy(cell))
            cell.source, cell.metadata.nbgrader.points = "100.0", 100
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "4.0"})]
    forged.cells += copies
    made["forged"] = (forged, JUST_PLAIN)
    for student, answers, points in (
        ("deletes", WRONG, {**NOTHING, "plain": None}),
        ("forgetful", RIGHT, {**ALL, "plain": None}),
    ):
        notebook = answered(released, answers)
        notebook.cells = [
            cell for cell in notebook.cells if not cell.metadata.get("nbgrader", {}).get("grade")
        ]
        made[student] = (notebook, points)
    dead = answered(released, RIGHT)
    dead.cells.insert(-1, nbformat.v4.new_code_cell("import os\nos._exit(1)"))
    made["dies"] = (dead, {**ALL, "plain": 0.0})
    return made


@pytest.fixture(scope="module")
def own(python, tmp_path_factory):
    """An instructor's own assignment, graded."""
    made = Course(tmp_path_factory.mktemp("own"), python, CONFIG_OWN + PATIENCE)
    (made.folder / "mine.py").write_text(MINE, encoding="utf-8")
    source = made.folder / "source" / "own"
    source.mkdir(parents=True)
    nbformat.write(own_notebook(), source / "own.ipynb")
    made.run("minillm_lib", "exercises", "student", "mine.py", "--output", str(source / "mine_student.py"))
    made.submissions = own_submissions(made.release("own"))
    for student, (notebook, _) in made.submissions.items():
        made.submit(student, "own", "own", notebook)
    made.log = made.run("nbgrader", "autograde", "own")
    made.run("nbgrader", "generate_feedback", "own")
    return made


def test_every_submission_gets_the_marks_that_it_deserves(own):
    assert own.marks("own") == {student: points for student, (_, points) in own.submissions.items()}


def test_ordinary_submissions_give_no_warning(own):
    for student in ("honest", "warns", "wrong", "half", "empty", *TRICKS):
        assert not troubles(of_student(own.log, student)), student


def test_what_is_odd_is_said(own):
    assert "The check 'check-softmax' was missing; it was put back." in of_student(own.log, "forgetful")
    assert "The notebook did not run to its end" in of_student(own.log, "dies")
    assert "Cell 'check-softmax': points had been changed." in of_student(own.log, "forged")
    assert "Cell with id 'check-softmax' exists multiple times!" in of_student(own.log, "forged")


def test_feedback_on_own_exercises_holds_their_messages(own):
    assert "Each row has its own sum." in own.feedback("wrong", "own", "own")
    half = own.feedback("half", "own", "own")
    assert "(Score: 7.0 / 9.0)" in half
    assert "1 of 1" in half
    assert "0 of 2" in half


def test_a_mistake_in_the_instructors_exercises_is_not_the_students(python, tmp_path):
    made = Course(tmp_path, python, CONFIG_OWN)
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "source" / "own").mkdir(parents=True)
    nbformat.write(own_notebook(), tmp_path / "source" / "own" / "own.ipynb")
    made.submit("honest", "own", "own", answered(made.release("own"), RIGHT))
    broken = MINE.replace("reference=lambda x: 3 * x", "reference=lambda x: 3 * y")
    (tmp_path / "mine.py").write_text(broken, encoding="utf-8")
    log = made.run("nbgrader", "autograde", "own", status=1)
    assert "would give wrong marks, so nothing is graded" in log
    assert "name 'y' is not defined" in log
    assert set(made.marks("own")["honest"].values()) == {None}


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readmes_show_these_files(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert CONFIG in text
    assert 'configure(get_config(), exercises="mine.py")' in text
