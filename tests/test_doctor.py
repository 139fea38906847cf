"""The doctor's figures against what the machine and the models report about themselves."""

from __future__ import annotations

import importlib.metadata
import io
import os

import pytest
from rich.console import Console

from minillm_lib.doctor import MachineReport, examine_machine
from minillm_lib.model.config import PRESETS


def rendered(report):
    console = Console(file=io.StringIO(), width=100)
    console.print(report)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def report():
    return examine_machine()


def test_it_reports_this_machine(report):
    assert report.cores <= os.cpu_count()
    assert 0 < report.memory_available < report.memory
    assert report.matmul_flops > 1e8
    assert report.packages["torch"] == importlib.metadata.version("torch")
    assert report.has_widgets


def test_every_preset_has_a_row(report):
    text = rendered(report)
    for name in PRESETS:
        assert f" {name} " in text
    assert "25,829,888" in text
    assert "394 MiB" in text  # 25,829,888 parameters, 16 bytes each while training


def test_what_is_missing_is_said_with_what_to_do():
    report = MachineReport(
        system="Plan 9",
        python="3.11",
        device="CPU",
        cores=1,
        memory=2**30,
        memory_available=2**28,
        disk_free=2**30,
        device_memory=0,
        precision="float32",
        matmul_flops=1e9,
        packages={"jupyterlab": None, "ipywidgets": "8.1.0"},
        browser=None,
    )
    text = rendered(report)
    assert not report.has_widgets
    assert "pip install 'minillm-lib[course]'" in text
    assert "none found" in text
    row = next(line for line in text.splitlines() if line.split()[:1] == ["26m"])
    assert row.split()[-1] == "no"  # 394 MiB do not fit into 256
