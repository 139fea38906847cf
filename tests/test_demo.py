"""The main job as a user meets it, with a few steps of everything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from browser import open_browser, visit

from minillm_lib.model.decoder import MiniLLM


@pytest.mark.slow  # it reads the installed documentation and trains a tokenizer on it
def test_the_demo_goes_the_whole_way_and_writes_one_page_that_needs_no_network(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "minillm_lib", "demo", "--quick"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "120", "TERM": "dumb"},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    for heading in ("1/5", "2/5", "3/5", "4/5", "5/5"):
        assert heading in result.stdout
    for bar in ("Gibbs sampling: 100%", "pretrain: 100%", "sft: 100%", "asking: 100%"):
        assert bar in result.stderr
    assert "8 answers" in result.stdout
    assert MiniLLM.load_from_checkpoint(tmp_path / "runs/demo/sft.pt").tokenizer.vocab_size == 6400
    with open_browser() as browser, visit(browser, tmp_path / "demo-report.html") as page:
        assert page.requests_to_outside == []
        assert page.errors == []
        headings = page.page.locator("h1.part").all_inner_texts()
        assert [heading[0] for heading in headings] == ["1", "2", "3", "4", "5"]
        assert "讲讲 LDA 与 Transformer 的差异？" in page.page.inner_text("main")


def test_a_report_that_cannot_be_written_is_told_before_any_work(minillm, tmp_path):
    result = minillm("demo", "--output", tmp_path, cwd=tmp_path)
    assert result.returncode == 2
    assert "it is a folder" in result.stderr
    assert list(tmp_path.iterdir()) == []
