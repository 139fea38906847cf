"""``make gpu`` is prepared for the first GPU: what can be tried on a CPU is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=500, check=False
    )


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_and_tries_everything_on_the_cpu(tmp_path):
    done = run("--output", str(tmp_path / "record.json"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "There is no CUDA device here." in done.stdout
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["quick"]
    assert record["tests"]["counts"]["passed"] >= 10
    assert not record["tests"]["failures"]
    packages = {row["package"] for row in record["training"]["rows"]}
    assert packages == {"minillm_lib", "Hugging Face", "plain GPT"}
    assert all(
        row["tokens_per_second"] > 0 for row in record["training"]["rows"] + record["decoding"]["rows"]
    )
    assert record["decoding"]["same_texts_by_both_ways"] == [1.0, 1.0]
    assert len(record["packing"]["rows"]) == 2
    assert record["claim"]["rows"][0]["faster"] > 0
    assert "--data must name the folder" in record["recipe"]["skipped"][0]


def test_help_says_what_is_measured():
    done = run("--help")
    assert done.returncode == 0
    assert "the tests marked ``cuda``" in done.stdout


def test_time_that_is_over_is_said(tmp_path):
    done = run("--device", "cpu", "--quick", "--minutes", "0", "--output", str(tmp_path / "record.json"))
    assert done.returncode == 0, done.stderr
    assert "left out: all of it: the 0 minutes are over" in done.stdout
