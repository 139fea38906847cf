"""Submissions that try to lose the marks of others, or to get some for nothing; each kind once."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil
import pytest
from grading_cases import CHECKS, RIGHT, SETUP, assignment_in, notebook, statuses

from minillm_lib.checks.feedback import student_page
from minillm_lib.checks.grading import Grader
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.marks import marks_csv
from minillm_lib.checks.submissions import Submission

WRONG = "def double(x):\n    return x"
CHANNEL = """
import sys, threading
def inside():
    frame = sys._current_frames()[threading.main_thread().ident]
    while "verbs" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals
"""  # the way to what talks to the grader
FORGED = CHANNEL + WRONG + "\ninside()['verbs']['{}'] = lambda **fields: {}"


@pytest.fixture(scope="module")
def grader(tmp_path_factory):
    limits = Limits(time=60, file_size=2, processes=20)
    with Grader(**assignment_in(tmp_path_factory.mktemp("own")), limits=limits) as made:
        yield made


@pytest.fixture
def grade(tmp_path, grader, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def run(*cells):
        return grader.grade(notebook(tmp_path / "submission.ipynb", SETUP, *cells))

    return run


NOTHING_FOR_IT = {
    "the reference": "double = check.double.reference",
    "the reference by gc": "import gc\nfrom minillm_lib.checks import Exercise\n"
    "found = [o for o in gc.get_objects() if isinstance(o, Exercise)]\ndouble = found[0].reference",
    "the exercises of the course": "from minillm_lib.checks.exercises import corpus\ndouble = corpus.EXERCISES[0]",
    "a patched exercise": "from minillm_lib.checks import Exercise\nfrom minillm_lib.checks.result import CheckResult\n"
    "Exercise.__call__ = lambda self, answer: CheckResult(self.name, 'passed', 'Right.', 99)\n"
    "Exercise._judge = lambda self, answer: ('passed', 'Right.')",
    "patched built-ins": "import builtins\nbuiltins.any = lambda *a: False",
    "patched comparing": "import numpy as np\nnp.isclose = lambda *a, **k: np.array(True)\n"
    "from minillm_lib.checks import comparing\ncomparing.difference = lambda *a, **k: None",
    "an easier exercise": "from minillm_lib.checks import Exercise\n"
    "check.register(Exercise(name='double', reference=lambda x: x, inputs=lambda rng: (1,)))",
    "frames": "import sys\ndef double(x):\n    frame = sys._getframe()\n    while frame:\n"
    "        for value in frame.f_locals.values():\n            if hasattr(value, 'reference'):\n"
    "                return value.reference(x)\n        frame = frame.f_back\n    return x",
    "a number that equals everything": "class Any(int):\n    __eq__ = lambda self, other: True\n"
    "    __ne__ = lambda self, other: False\n    __hash__ = int.__hash__\n    __abs__ = __sub__ = lambda *a: 0\n"
    "def double(x):\n    return Any(x)",
    "an object that equals everything": "class Any:\n    __eq__ = lambda self, other: True\n"
    "def double(x):\n    return Any()",
    "the seed's variable": "import os\ndef double(x):\n    return 2 * int(os.environ['MINILLM_CHECK_SEED'])",
    "nbgrader's variable": "import os\nos.environ.pop('NBGRADER_EXECUTION', None)\n" + WRONG,
    "another check": "class check:\n    double = staticmethod(lambda answer: 'passed')\n" + WRONG,
    "forged results": "import os, json\nline = json.dumps({'exercise': 'double', 'status': 'passed',"
    " 'message': 'Right.', 'max_points': 1003}) + chr(10)\n" + WRONG + "\n"
    "for root, _, files in os.walk('.'):\n    for name in files:\n"
    "        open(os.path.join(root, name), 'a').write(line)",
    "forged replies": FORGED.format("call", "{'value': 5, 'changed': [], 'passed': True, 'points': 99}"),
    "a forged answer": FORGED.format(
        "look", "{'found': fields['name'] != 'double', 'value': 5, 'passed': True}"
    ),
    "inputs changed to fit": "def double(x):\n    x = 0\n    return x",
    "a value that changes": "class Sly(list):\n    __iter__ = lambda self: iter([])\n"
    "def double(x):\n    return Sly([1])",
}


@pytest.mark.parametrize("trick", NOTHING_FOR_IT.values(), ids=NOTHING_FOR_IT)
def test_there_are_no_points_for(grade, trick):
    cells = [trick] if "double" in trick and "def double" in trick else [WRONG, trick]
    report = grade(*cells, CHECKS["double"], RIGHT["triple"])
    assert statuses(report)["double"] == "failed"
    assert statuses(report)["triple"] == "passed" or "inside()" in trick, "what is forged may end the rest"
    assert report.max_points == 5


@pytest.mark.slow
def test_there_are_no_points_for_a_tensor_that_equals_everything(grade):
    trick = """
import torch
class Any(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True if function in (torch.equal, torch.allclose) else super().__torch_function__(function, types, args)
    def __eq__(self, other): return True
    __hash__ = None
def double(x):
    return torch.tensor(x).as_subclass(Any)
"""
    assert statuses(grade(trick, RIGHT["triple"])) == {"double": "failed", "triple": "passed"}


SURVIVED = {
    "half characters in a message": "def double(x):\n    raise ValueError('\\udcff \\ud800 \\x00')",
    "half characters in a result": "def double(x):\n    return '\\ud800'",
    "a message that raises": "class Bad(Exception):\n    __str__ = lambda self: 1 / 0\n"
    "def double(x):\n    raise Bad",
    "an error group": "def double(x):\n    raise ExceptionGroup('many', [ValueError(1)])",
    "an error with odd arguments": "def double(x):\n    return b'\\xff'.decode()",
    "an interrupt": "def double(x):\n    raise KeyboardInterrupt",
    "an exit": "def double(x):\n    raise SystemExit(0)",
    "an endless repr": "class Bad:\n    __repr__ = lambda self: 1 / 0\n    __getattribute__ = lambda s, n: 1 / 0\n"
    "def double(x):\n    return Bad()",
    "a list in itself": "def double(x):\n    made = []\n    made.append(made)\n    return made",
    "a deep list": "def double(x):\n    made = []\n    for _ in range(20_000):\n        made = [made]\n    return made",
    "a deep expression": "x = " + "-" * 20_000 + "1\n" + WRONG,
    "a huge number": "def double(x):\n    return 10 ** 20_000",
    "a fraction": "from fractions import Fraction\ndef double(x):\n    return Fraction(x, 3)",
    "an object array": "import numpy as np\ndef double(x):\n    return np.array([object(), None])",
    "a strange dtype": "import numpy as np\ndef double(x):\n    return np.zeros(2, dtype=[('a', 'i4'), ('b', 'O')])",
    "deep recursion": "def double(x):\n    return double(x)",
    "the interpreter's stack": "import sys\nsys.setrecursionlimit(10**9)\ndef double(x):\n    return double(x)",
    "an abort": "import os\ndef double(x):\n    os.abort()",
    "no more modules": "import sys\nsys.modules.clear()\n" + WRONG,
    "no more built-ins": "import builtins\nremove = builtins.delattr\nfor name in list(vars(builtins)):\n"
    "    remove(builtins, name)",
    "closed files": "import os\nos.closerange(0, 256)",
    "noise on every open file": "import os\nfor fd in range(3, 64):\n    try:\n"
    "        os.write(fd, b'{\"a\":1}\\xff\\n')\n    except OSError:\n        pass",
    "the watcher killed": "import os\nos.kill(os.getppid(), 9)",
    "the group killed": "import os\nos.killpg(0, 9)",
    "threads that go on": "import threading\ndef spin():\n    while True:\n        pass\n"
    "threading.Thread(target=spin, daemon=True).start()\n" + WRONG,
    "malformed errors": FORGED.format("call", "{'error': {'kinds': [], 'text': 5}}"),
    "errors of no place": FORGED.format(
        "call", "{'error': {'kinds': ['E' * 10**6], 'text': 'y' * 10**6, 'line': (1, '\\x00'), 'is_own': 1}}"
    ),
    "a long story": FORGED.format("run", "{'problem': 'x' * 10**7}"),
    "messages without end": CHANNEL
    + "def double(x):\n    while True:\n        inside()['channel'].send(id=-1)",
    "calls without end": CHANNEL + "def double(x):\n    while True:\n"
    "        inside()['channel'].send(callback=0, path='', args=[], kwargs=[])",
    "half a message": CHANNEL + "import time\ndef double(x):\n    writer = inside()['channel']._writer\n"
    "    writer.write((10**8).to_bytes(8, 'big'))\n    writer.flush()\n    time.sleep(99)",
    "a list of millions": "def double(x):\n    return [0] * 10**7",
    "a text of millions": "def double(x):\n    return 'x' * 5 * 10**7",
    "a number of a billion digits": "import decimal\ndef double(x):\n    return decimal.Decimal('1e999999999')",
    "a number of a million bits": "def double(x):\n    return 1 << 10**6",
    "a long range": "def double(x):\n    return range(10**30)",
    "items without end": "import itertools\ndef double(x):\n    return map(str, itertools.count())",
    "an item that never comes": "import time\ndef double(x):\n    return map(lambda i: time.sleep(99), [1])",
    "a generator without end": "def double(x):\n    while True:\n        yield 1",
    "a long message": "def double(x):\n    raise ValueError('x' * 10**8)",
    "a long name": "def double(x):\n    raise type('x' * 10**7, (Exception,), {})",
    "a halt": "import os, signal\ndef double(x):\n    os.kill(os.getpid(), signal.SIGSTOP)",
    "the watcher halted": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\n" + WRONG,
    "clocks that stand still": "import time\ntime.monotonic = time.process_time = lambda: 0.0\n"
    "def double(x):\n    while True:\n        pass",
    "a sleep without end": "import time\ndef double(x):\n    time.sleep(10**6)",
    "a loop that cannot be stopped": "def double(x):\n    while True:\n        try:\n            while True:\n"
    "                pass\n        except BaseException:\n            pass",
    "folders in folders": "import os\nfor _ in range(2000):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\n"
    + WRONG,
    "no folder": "import os, shutil\nshutil.rmtree(os.getcwd())\n" + WRONG,
    "a locked folder": "import os\nos.makedirs('a/b')\nos.chmod('a', 0)\nos.chmod('.', 0)\n" + WRONG,
    "links to everywhere": "import os\nos.symlink('.', 'x')\nos.symlink('/', 'root')\n" + WRONG,
    "signals ignored": "import signal\nfor number in range(1, 65):\n    try:\n"
    "        signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\n"
    + WRONG,
    "a hook that raises": "import sys\ndef hook(*event):\n    raise RuntimeError\nsys.addaudithook(hook)\n"
    + WRONG,
    "a twin in the answer": "import os\ndef double(x):\n    os.fork()\n    return x",
    "a twin": "import os\nos.fork()\n" + WRONG,
    "a crash": "import ctypes\ndef double(x):\n    ctypes.string_at(0)",
    "a question": "def double(x):\n    return input()",
    "many threads": "import threading, time\nfor _ in range(300):\n"
    "    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n" + WRONG,
    "a print that raises": "import sys\nsys.stdout = sys.stderr = None\n" + WRONG,
}


SLOW = dict.fromkeys(
    ("the interpreter's stack", "half a message", "calls without end", "a list of millions", "a text of millions",
     "items without end", "an item that never comes", "a generator without end", "a long message", "a long name",
     "a halt", "the watcher halted", "folders in folders", "clocks that stand still", "a loop that cannot be stopped"),
    pytest.mark.slow,
)  # fmt: skip


@pytest.mark.parametrize(
    "trick", [pytest.param(trick, id=name, marks=SLOW.get(name, ())) for name, trick in SURVIVED.items()]
)
def test_the_next_submission_has_its_marks_after(grade, trick):
    report = grade(trick, CHECKS["double"])
    assert report.points == 0
    assert len(str(report)) < 20_000
    submission = Submission(report.path, "ann", "")
    marks_csv([(submission, report)]).decode("utf-8-sig")
    student_page(submission, report).encode("utf-8", "backslashreplace")
    assert grade(*RIGHT.values()).points == 5
    assert list(Path(tempfile.gettempdir()).iterdir()) == [], "the folders of both are gone"


def test_what_a_submission_leaves_running_is_killed(grade):
    """Also a process that has left its group, and whose parent is gone."""
    lone = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        time.sleep(3217)\n    os._exit(0)"
    )
    argument = (
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3217)'], "
    )
    before = {process.pid for process in psutil.process_iter()}
    grade(lone, argument + "start_new_session=True)", RIGHT["double"])
    time.sleep(0.1)
    mine = [
        p
        for p in psutil.process_iter()
        if p.pid not in before and "time.sleep(3217)" in " ".join(p.cmdline())
    ]
    assert mine == []
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert len(left) <= 1  # the one below which submissions run


def test_too_many_processes_are_ended(grade):
    bomb = "import os, time\nfor _ in range(60):\n    if os.fork() == 0:\n        time.sleep(60)"
    assert grade(bomb, RIGHT["double"]).problem == "stopped at more than 20 processes"


def test_a_file_that_grows_too_large_is_an_error_in_its_cell(grade):
    report = grade("open('x', 'wb').write(bytes(3 * 2**20))", RIGHT["double"])
    assert statuses(report)["double"] == "passed"


def test_what_lies_beside_the_notebooks_takes_the_place_of_no_module(tmp_path, grade):
    for name in ("random", "string", "tokenize", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('in the way')", encoding="utf-8")
    code = "import os, random, string, tokenize, numpy, json\nfound = sorted(os.listdir())\n"
    code += "seen = {'.tmp', 'notebook.ipynb', 'own.py', 'own_student.py'}\n"
    code += "def double(x):\n    return 2 * x if set(found) == seen else found"
    report = grade(code, RIGHT["triple"])
    assert (report.points, report.problem) == (5, "")


def test_secrets_of_the_environment_are_not_handed_on(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_API_KEY", "secret")
    code = "import os\nfound = 'MY_API_KEY' in os.environ\ndef double(x):\n    return x if found else 2 * x"
    with Grader(**assignment_in(tmp_path)) as fresh:
        assert fresh.grade(notebook(tmp_path / "x.ipynb", SETUP, code)).points == 2


def test_without_forks_a_submission_is_graded_all_the_same(tmp_path):
    """As on Windows and macOS, where each submission starts a fresh process."""
    from minillm_lib.checks.submission_process import Starter

    with Grader(**assignment_in(tmp_path), starter=Starter(forks=False)) as fresh:
        report = fresh.grade(notebook(tmp_path / "x.ipynb", SETUP, "print('a')", *RIGHT.values()))
        assert (report.points, report.problem) == (5, "")
        report = fresh.grade(notebook(tmp_path / "x.ipynb", SETUP, "import os\nos._exit(4)", *RIGHT.values()))
        assert report.problem == "its process ended with status 4"
