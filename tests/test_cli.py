"""The command line as a user meets it: a process, its output, its exit status."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys

import pytest

import minillm_lib

THEMES = ["river harbour boat anchor sailor tide", "bread flour oven yeast dough baker"]


def minillm(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "minillm_lib.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120", "TERM": "dumb", **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def own_documents(tmp_path_factory):
    """Two plain themes, in a folder of text files and in a JSONL file."""
    folder = tmp_path_factory.mktemp("own")
    rng = random.Random(0)
    texts = ["The " + " and ".join(rng.choices(THEMES[i % 2].split(), k=30)) for i in range(12)]
    (folder / "texts").mkdir()
    for i, text in enumerate(texts):
        (folder / "texts" / f"{i:02}.txt").write_text(text, encoding="utf-8")
    rows = [
        json.dumps({"text": text, "title": f"Note {i}", "year": 2000 + i}) for i, text in enumerate(texts)
    ]
    (folder / "notes.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder


def test_help_names_every_command():
    result = minillm("--help")
    assert result.returncode == 0
    for command in ("lda", "demo", "doctor"):
        assert re.search(rf"^\W*{command}\b", result.stdout, re.MULTILINE), command
    assert minillm("--version").stdout.strip() == minillm_lib.__version__


def test_the_demo_finds_ten_topics_and_writes_the_report(tmp_path):
    result = minillm("demo", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1,000 documents" in result.stdout
    assert "Gibbs sampling: 100%" in result.stderr
    assert "log-likelihood -7." in result.stderr
    assert {int(n) for n in re.findall(r"^. (\d) +. +\d+\.\d%", result.stdout, re.MULTILINE)} == set(
        range(10)
    )
    html = (tmp_path / "lda-report.html").read_text(encoding="utf-8")
    assert "reinforcement learning" in html


@pytest.mark.parametrize(("option", "name"), [("--text", "texts"), ("--jsonl", "notes.jsonl")])
def test_own_documents(tmp_path, own_documents, option, name):
    report = tmp_path / "deep" / "own.html"
    path = str(own_documents / name)
    result = minillm("lda", option, path, "-k", "2", "--sweeps", "60", "--no-learn-priors", "-o", str(report))
    assert result.returncode == 0, result.stderr
    best = re.findall(r"^. \d +. +\d+\.\d% . (\w+), (\w+), (\w+)", result.stdout, re.MULTILINE)
    assert len(best) == 2
    assert [sum(set(terms) <= set(theme.split()) for terms in best) for theme in THEMES] == [1, 1]
    assert "stop words" in result.stdout
    assert "river" in report.read_text(encoding="utf-8")


def test_numbers_of_topics_are_compared_on_request(tmp_path, own_documents):
    path = str(own_documents / "texts")
    result = minillm("lda", "--text", path, "-k", "2", "--sweeps", "20", "--compare", "1,2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^. (\d) +. ([\d,]+) ± \d+ +. +-?\d\.\d+ ± \d\.\d+", result.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "2"]
    assert int(rows[1][1]) < int(rows[0][1]), "two themes are predicted better by two topics"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lda", "--text", "nowhere"], "nowhere"),
        (["lda", "--text", "a", "--jsonl", "b"], "exclude each other"),
        (["lda", "-k", "0"], "'n_topics' parameter of GibbsLDA"),
        (["lda", "--compare", "5;10"], "whole numbers with commas"),
        (["lda", "-o", "."], "is a folder"),
        (["lda", "--report-language", "fr"], "'fr' is not one of 'en', 'zh'"),
        (["lad"], "No such command 'lad'"),
    ],
)
def test_a_mistake_is_one_clear_message_and_no_traceback(tmp_path, arguments, message):
    result = minillm(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_developer_can_ask_for_the_traceback(tmp_path):
    assert "Traceback" in minillm("lda", "-k", "0", cwd=tmp_path, MINILLM_DEBUG="1").stderr


def test_doctor_prints_machine_and_presets():
    result = minillm("doctor")
    assert result.returncode == 0, result.stderr
    for expected in ("cores", "memory", "torch", "widgets", "browser", "26m-classic", "25,829,888"):
        assert expected in result.stdout
