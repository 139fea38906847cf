"""The main job as a user meets it, with a few steps of everything."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import pytest
from browser import open_browser, visit

from minillm_lib import demo
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
    assert "\r" not in result.stdout + result.stderr  # this is no terminal
    for early, late in pairwise(
        ("Most relevant terms", "demo-report.html shows these topics", "2/5", "5/5", "Together")
    ):
        assert result.stdout.index(early) < result.stdout.index(late)
    assert MiniLLM.load_from_checkpoint(tmp_path / "runs/demo/sft.pt").tokenizer.vocab_size == 6400
    with open_browser() as browser, visit(browser, tmp_path / "demo-report.html") as page:
        assert page.requests_to_outside == []
        assert page.errors == []
        headings = page.page.locator("h1.part").all_inner_texts()
        assert [heading[0] for heading in headings] == ["1", "2", "3", "4", "5"]
        assert "讲讲 LDA 与 Transformer 的差异？" in page.page.inner_text("main")


def test_a_stage_says_once_how_long_it_will_take(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(demo.time, "perf_counter", lambda: now)
    estimate = demo._Estimate(500, "steps")
    estimate({"kind": "evaluation"})
    for _ in range(100):
        estimate({"kind": "step"})
        now += 0.25
    assert capsys.readouterr().out == "about 2 min: 500 steps, 4 per second\n"


def test_a_stopped_demo_leaves_a_page_with_what_it_has_found(monkeypatch, tmp_path):
    """Here it is stopped after the topics, before the text is prepared."""

    def stop(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "prepare_pretraining_data", stop)
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(tmp_path / "page.html", folder=tmp_path / "runs", quick=True)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "after stage 1 of 5" in page
    assert "pyLDAvis" in page


def test_a_report_that_cannot_be_written_is_told_before_any_work(minillm, tmp_path):
    result = minillm("demo", "--output", tmp_path, cwd=tmp_path)
    assert result.returncode == 2
    assert "it is a folder" in result.stderr
    assert list(tmp_path.iterdir()) == []
