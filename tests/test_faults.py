"""The campaign of faults itself: a few faults of the quicker kinds survive, and what is lost is noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults.campaign import Journal, Kind, Outcome, plan, run, try_all
from faults.forked import Lost, NotPossibleHereError
from faults.kinds import all_kinds
from faults.report import as_markdown, lost_of, rows_of

TESTS = Path(__file__).parent
QUICK = (
    "interrupting downloads",
    "token files",
    "tokenizer folder",
    "configurations",
    "conversations",
    "matrices",
)


def campaign(folder, *options):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
        "COLUMNS": "100",
    }
    command = [sys.executable, "-m", "faults", "--seed", "1", "--folder", str(folder), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_a_few_faults_survive(tmp_path):
    """The other kinds need longer: ``make faults`` tries them all."""
    done = campaign(tmp_path, "--quick", "--kinds", ",".join((*QUICK, "download faults")))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "faults.json").read_text(encoding="utf-8"))
    assert not report["lost"]
    assert all(row["tried"] for row in report["kinds"])
    assert len(report["kinds"]) == len(QUICK) + 1


def test_a_campaign_has_a_thousand_faults_and_a_seed_says_them_all():
    kinds = all_kinds()
    one, other, again = (
        [(kind.name, fault) for kind, fault in plan(kinds, seed, False)] for seed in (0, 1, 0)
    )
    assert one == again != other
    assert len(one) > 1000
    assert len(one) - len(set(one)) < 5


def the_kind(name="a kind"):
    """Faults that are named after what becomes of them."""

    @contextmanager
    def workshop(folder):
        def try_one(fault):
            match fault[0]:
                case "lost":
                    raise Lost("it was lost")
                case "error":
                    raise KeyError("nobody foresaw this")
                case "death":
                    os._exit(3)
                case "impossible":
                    raise NotPossibleHereError("no such disk")

        yield try_one

    order = ("fine", "lost", "death", "error", "fine", "impossible", "fine")
    return Kind(
        name, "nothing happens", lambda rng, quick: [(each, n) for n, each in enumerate(order)], workshop
    )


def test_what_is_lost_is_noticed_even_if_it_ends_the_campaign(tmp_path):
    planned = plan([the_kind()], 0, quick=False)
    journal = Journal(tmp_path / "journal.jsonl", {"seed": 0})
    environment = f"from test_faults import tried_in_a_process; tried_in_a_process({str(tmp_path)!r})"
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    subprocess.run([sys.executable, "-c", environment], env={**os.environ, "PYTHONPATH": path}, check=True)
    outcomes = journal.outcomes()
    assert [outcomes[number].outcome for number in range(7)] == [
        *("survived", "lost", "lost", "lost", "survived"),
        *["not possible here"] * 2,
    ]
    assert "nobody foresaw this" in outcomes[3].detail
    (row,) = rows_of(planned, outcomes)
    assert (row.tried, row.survived, row.lost, row.not_possible, row.why_not) == (5, 2, 3, 2, "no such disk")
    assert [each.fault[0] for each in lost_of(outcomes)] == ["lost", "death", "error"]
    assert "| a kind | 5 | 2 | 3 |" in as_markdown([row], 0)


def tried_in_a_process(folder):
    """Try them in forks of a process with a single thread, which that of pytest may not be."""
    journal = Journal(Path(folder, "journal.jsonl"), {"seed": 0})
    for _ in run(plan([the_kind()], 0, quick=False), journal, Path(folder), jobs=1):
        pass


def test_a_kind_that_cannot_be_prepared_is_lost_as_a_whole(tmp_path):
    @contextmanager
    def workshop(folder):
        raise OSError("no room")
        yield

    kind = Kind("a kind", "nothing happens", lambda rng, quick: [(0,), (1,)], workshop)
    journal = Journal(tmp_path / "journal.jsonl", {"seed": 0})
    try_all(plan([kind], 0, quick=False), [0, 1], journal, tmp_path)
    assert [each.outcome for each in journal.outcomes().values()] == ["lost", "lost"]


def test_a_journal_goes_on_only_with_the_same_campaign(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, {"seed": 7})
    journal.add(Outcome(3, "a kind", ("a", 1), "survived", "", 0.1))
    with path.open("ab") as file:
        file.write(b'{"number": 4, "ki')
    assert list(Journal(path, {"seed": 7}).outcomes()) == [3]
    assert Journal.seed_of(path) == 7
    assert not Journal(path, {"seed": 8}).outcomes()


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("forked(lambda: 7)", 0, "7"),
        ("forked(lambda: 1 / 0)", 70, "ZeroDivisionError"),
        ("forked(lambda: print('hello'))", 0, "hello"),
        ("forked(lambda: time.sleep(60), limit=0.2)", -9, ""),
        ("forked(lambda: time.sleep(60), stop=Stop(signal.SIGTERM, seconds=0.1))", -15, ""),
        ("forked(lambda: time.sleep(60), stop=Stop(signal.SIGINT, seconds=0.1))", 130, "interrupted"),
        ("forked(lambda: bytearray(1 << 30), memory=1 << 28)", 70, "MemoryError"),
        ("forked(two_files, stop=Stop(signal.SIGKILL, change=2, folder=Path.cwd()))", -9, ""),
    ],
)
def test_forked_processes(tmp_path, what, status, said):
    script = (
        "import signal, time\nfrom pathlib import Path\nfrom faults.forked import *\n"
        "def two_files():\n    Path('a').touch()\n    Path('b').touch()\n"
        f"ended = {what}\nprint(ended.status, ended.value, ended.text)"
    )
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith(f"{status} "), done.stdout + done.stderr
    assert said in done.stdout
    assert not (tmp_path / "b").exists()
    if "two_files" in what:
        assert (tmp_path / "a").exists()
