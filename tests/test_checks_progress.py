"""The file of a learner's progress, and the tables of it."""

from __future__ import annotations

import json

import pytest

from minillm_lib.checks import progress
from minillm_lib.checks.progress_file import progress_file, read_progress, record


@pytest.fixture
def kept(tmp_path, monkeypatch):
    path = tmp_path / "data" / "progress.json"
    monkeypatch.setenv("MINILLM_PROGRESS", str(path))
    return path


def test_what_has_passed_stays_passed(kept):
    for status in "not attempted", "failed", "passed", "failed", "not checked":
        record("jaccard", status)
    record("gelu", "failed")
    record("swiglu", "not attempted")
    assert read_progress() == {"jaccard": "passed", "gelu": "attempted"}
    assert json.loads(kept.read_bytes())["exercises"]["jaccard"]["since"].startswith("20")


@pytest.mark.parametrize("name", ["MINILLM_CHECK_SEED", "NBGRADER_EXECUTION"])
def test_nothing_is_kept_while_submissions_are_graded(kept, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    record("jaccard", "passed")
    assert not kept.exists()


def test_a_file_that_cannot_be_written_is_noted_once(kept, capsys):
    kept.parent.write_text("a file where the folder should be")
    record("jaccard", "passed")
    record("gelu", "passed")
    note = capsys.readouterr().err
    assert note.count("Your progress") == 1
    assert str(kept) in note


def test_a_broken_file_is_set_aside(kept, capsys):
    kept.parent.mkdir()
    kept.write_text('{"exercises": [')
    record("jaccard", "passed")
    assert read_progress() == {"jaccard": "passed"}
    assert kept.with_name("progress.json.broken").read_text() == '{"exercises": ['
    assert "a new one is begun" in capsys.readouterr().err


def test_the_place_follows_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("MINILLM_PROGRESS")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert progress_file() == tmp_path / "minillm" / "progress.json"
    monkeypatch.setenv("MINILLM_PROGRESS", "off")
    assert progress_file() is None
    assert read_progress() == {}


def test_the_tables_show_every_notebook_and_the_total(kept):
    record("jaccard", "passed")
    record("document_term_counts", "failed")
    state = progress()
    assert state.notebooks["01_corpus"] == {
        "jaccard": "passed",
        "minhash_signature": "open",
        "document_term_counts": "attempted",
        "expected_vocabulary": "open",
    }
    assert state.summary == f"1 of {state.total} exercises passed, 1 attempted, {state.total - 2} open"
    assert "01_corpus" in repr(state)
    assert "✓ jaccard" in repr(state)
    html = state._repr_html_()
    assert html.count("<tr>") == 1 + len(state.notebooks)
    assert 'title="attempted">✗ document_term_counts' in html


def test_the_command_prints_the_table(kept):
    from typer.testing import CliRunner

    from minillm_lib.cli.progress import progress_app

    record("jaccard", "passed")
    shown = CliRunner().invoke(progress_app, [], env={"COLUMNS": "120"})
    assert shown.exit_code == 0
    assert "1 of" in shown.output
    assert "✓ jaccard" in shown.output


def test_no_mark_is_parted_from_its_name(kept):
    from typer.testing import CliRunner

    from minillm_lib.cli.progress import progress_app

    shown = CliRunner().invoke(progress_app, [], env={"COLUMNS": "80"})
    assert "○ log_sequence_probability" in shown.stdout
    assert not [line for line in shown.stdout.splitlines() if line.rstrip(" │").endswith("○")]


def test_a_check_of_the_course_is_kept_and_an_own_one_is_not(kept):
    from minillm_lib.checks import Exercise, check

    check.jaccard(lambda a, b: len(a & b) / len(a | b))
    Exercise(name="gelu", reference=lambda: 1, inputs=lambda rng: ())(lambda: 1)
    assert read_progress() == {"jaccard": "passed"}
