"""What is kept of runs: small, complete, the same figures, and readable as the run itself."""

from __future__ import annotations

import json
import os
import platform

import pytest
import yaml
from course_build import ROOT
from recorded_run import CONFIG, changed, recorded_run, write_run

from minillm_lib.analysis.health.report import examine_run
from minillm_lib.analysis.reference import FILE_NAME, ReferenceBand
from minillm_lib.training.run_folder import RunFolder
from minillm_lib.viz.lda_report import ReportError
from minillm_lib.viz.run_report import run_report_html, summarize_run
from minillm_lib.viz.run_results import keep_results, rounded

ORIGINAL = ROOT / "results" / "26m" / "original.json"
OF_ALL = {"report.html", "table.md", "environment.json", "samples.md"}
OF_A_RUN = {"config.yaml", "metrics.jsonl", "curves.png", FILE_NAME}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "pretrain", recorded_run(200))


@pytest.fixture(scope="module")
def kept(run, tmp_path_factory):
    return keep_results(tmp_path_factory.mktemp("results") / "26m", [run])


def test_one_run_lies_at_the_top(kept):
    assert {path.name for path in kept.iterdir()} == OF_ALL | OF_A_RUN
    assert (kept / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert yaml.safe_load((kept / "config.yaml").read_text()) == CONFIG


@pytest.fixture(scope="module")
def both(run, tmp_path_factory):
    """Two runs, one with samples that are Markdown, kept in a folder where there is something already."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "kept").mkdir()
    (folder / "kept" / "MODEL_CARD.md").write_text("kept")
    records = changed(
        recorded_run(60, stage="sft"), lambda each: {"text": f"```\n# {each['step']}"}, "sample"
    )
    return keep_results(folder / "kept", [run, write_run(folder / "sft", records)])


def test_several_have_a_folder_each_and_other_files_stay(both):
    assert {path.name for path in both.iterdir()} == {*OF_ALL, "pretrain", "sft", "MODEL_CARD.md"}
    assert {path.name for path in (both / "pretrain").iterdir()} == OF_A_RUN
    assert {path.name for path in (both / "sft").iterdir()} == OF_A_RUN - {FILE_NAME}  # of 60 steps
    table = (both / "table.md").read_text()
    assert f"`minillm sft --config {(both / 'sft' / 'config.yaml').as_posix()}`" in table
    assert (both / "MODEL_CARD.md").read_text() == "kept"


def test_every_step_is_kept_in_fewer_digits(run, kept):
    before, after = RunFolder(run).records(), RunFolder(kept).records()
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        assert new.keys() == old.keys()
        for key, value in old.items():
            if isinstance(value, float):
                assert new[key] == pytest.approx(value, rel=1e-4)
            else:
                assert new[key] == value
    assert (kept / "metrics.jsonl").stat().st_size < 0.9 * (run / "metrics.jsonl").stat().st_size


def test_what_is_kept_makes_the_same_report_again(run, kept):
    first, again = summarize_run(run), summarize_run(kept)
    assert again.best["perplexity"] == pytest.approx(first.best["perplexity"], rel=1e-4)
    assert again.hours == pytest.approx(first.hours, rel=1e-3)
    assert [each.severity for each in examine_run(kept).findings] == [
        each.severity for each in examine_run(run).findings
    ]
    assert "Pretraining: 26m" in run_report_html([kept])


def test_later_runs_are_compared_with_it(run, kept, tmp_path):
    assert ReferenceBand.load(kept / FILE_NAME).name == "26m (pretrain)"
    same = write_run(tmp_path / "same", recorded_run(200, seed=5))
    finding = examine_run(same, references=kept.parent).about("reference")
    assert finding.severity == "ok"
    assert "26m (pretrain) has" in finding.found


def test_the_environment_is_this_machine_and_that_of_the_run(kept):
    facts = json.loads((kept / "environment.json").read_text())
    assert facts["made_on"]["python"] == platform.python_version()
    assert facts["made_on"]["cores"] == os.cpu_count()
    assert facts["made_on"]["processor"]
    assert facts["runs"]["pretrain"] == {
        "device": "cpu",
        "processes": 1,
        "precision": "float32",
        "matmul_flops": 2e11,
        "torch": "2.13.0",
    }


def test_all_samples_are_kept_and_cannot_break_out_of_their_fence(both):
    lines = (both / "samples.md").read_text().splitlines()
    assert lines.count("```text") == 11  # of the pretraining
    assert lines.count("````text") == lines.count("````") == 4
    headings = [line for line in lines if line.startswith("# ")]
    assert headings == ["# What the models wrote", "# 0", "# 20", "# 40", "# 60"]


def test_the_table_has_the_law_with_its_doubts(kept):
    table = (kept / "table.md").read_text()
    assert table.startswith("| | these runs |\n| --- | --- |\n")
    assert "| Pretraining: perplexity | 6,529 → " in table
    assert "original" not in table
    assert "By this law" not in table
    assert "- Do not trust this law:" in table


def test_an_original_and_a_target_are_compared_with_if_asked(run, tmp_path):
    kept = keep_results(tmp_path / "kept", [run], target_perplexity=12.2, original=ORIGINAL)
    table = (kept / "table.md").read_text()
    assert table.startswith("| | the original | these runs |\n| --- | --- | --- |\n")
    assert "| Pretraining: perplexity | 1600 → 12.2 | 6,529 → " in table
    assert "- By this law, perplexity 12.2 is reached after" in table
    assert "- Do not trust this number:" in table
    assert "1600 → 12.2" in (kept / "report.html").read_text()


def test_a_malformed_original_is_refused_before_anything_is_written(run, tmp_path):
    (tmp_path / "original.json").write_text("[]")
    with pytest.raises(ValueError, match=r"original\.json: the file is invalid: input should be an object"):
        keep_results(tmp_path / "kept", [run], original=tmp_path / "original.json")
    assert not (tmp_path / "kept").exists()


def test_numbers_are_rounded_wherever_they_stand():
    assert rounded({"a": [1.234567, {"b": 12345678.9}], "n": 123456789, "text": "1.234567"}) == {
        "a": [1.2346, {"b": 12346000.0}],
        "n": 123456789,
        "text": "1.234567",
    }
    assert rounded(float("inf")) == float("inf")


def test_two_runs_of_one_name_are_refused(run, tmp_path):
    twin = write_run(tmp_path / "pretrain", recorded_run(60))
    with pytest.raises(ValueError, match="two runs have the same name: pretrain, pretrain"):
        keep_results(tmp_path / "kept", [run, twin])
    assert not (tmp_path / "kept").exists()


def test_a_place_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"cannot write the results to .*file"):
        keep_results(tmp_path / "file" / "kept", [run])
