"""``minillm report`` and ``minillm doctor RUN``: what they print, write, and end with."""

from __future__ import annotations

import pytest
from recorded_run import recorded_run, write_run
from typer.testing import CliRunner

from minillm_lib.cli.main import app
from minillm_lib.training.run_folder import RunError


@pytest.fixture
def minillm(tmp_path, monkeypatch):
    """Call the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


def test_the_doctor_ends_with_0_for_a_healthy_run_and_with_1_for_a_sick_one(minillm, tmp_path):
    healthy = minillm("doctor", write_run(tmp_path / "healthy", recorded_run()))
    assert healthy.exit_code == 0
    assert "Is healthy healthy?" in healthy.output
    assert "Nothing is wrong." in healthy.output
    sick = minillm("doctor", write_run(tmp_path / "sick", recorded_run(peak=0.1)))
    assert sick.exit_code == 1
    assert "too high?" in " ".join(sick.output.split())
    unfinished = minillm("doctor", write_run(tmp_path / "unfinished", recorded_run(300)[:-1]))
    assert unfinished.exit_code == 0  # to look at, but not wrong
    assert "--resume" in unfinished.output


def test_a_folder_without_a_run_is_named(minillm, tmp_path):
    for command in ("doctor", "report"):
        result = minillm(command, tmp_path / "nothing")
        assert isinstance(result.exception, RunError)
        assert "nothing: there is no run here" in str(result.exception)


def test_a_report_goes_into_the_folder_of_the_first_run(minillm, tmp_path):
    run = write_run(tmp_path / "mine", recorded_run(100))
    result = minillm("report", run)
    assert result.exit_code == 0, result.output
    assert "Pretraining: mine: held-out perplexity" in result.output
    assert {path.name for path in run.iterdir()} == {"config.yaml", "metrics.jsonl", "report.html"}


def test_with_an_output_everything_is_kept(minillm, tmp_path):
    runs = [write_run(tmp_path / stage, recorded_run(200, stage=stage)) for stage in ("pretrain", "sft")]
    result = minillm("report", *runs, "--output", "kept", "--perplexity", "20")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "kept" / "sft" / "metrics.jsonl").is_file()
    table = (tmp_path / "kept" / "table.md").read_text()
    assert "perplexity 20 is reached" in table
    assert "original" not in table
    assert not (runs[0] / "report.html").exists()


def test_it_compares_with_an_original_if_asked(minillm, tmp_path):
    run = write_run(tmp_path / "mine", recorded_run(100))
    figures = tmp_path / "original.json"
    figures.write_text(
        '{"title": "A report", "stages": {"pretrain": {"perplexity": "99 → 9"}}}', encoding="utf-8"
    )
    result = minillm("report", run, "--original", figures)
    assert result.exit_code == 0, result.output
    assert "99 → 9" in (run / "report.html").read_text(encoding="utf-8")
    figures.write_text('{"title": "A report"}', encoding="utf-8")
    refused = minillm("report", run, "--original", figures)
    assert str(refused.exception) == f"{figures}: the key stages is missing"
