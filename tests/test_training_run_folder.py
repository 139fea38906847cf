"""What a run keeps on disk, beside its checkpoints (test_training_checkpoints.py)."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from minillm_lib.training.checkpoints import CheckpointFolder
from minillm_lib.training.run_folder import RunError, RunFolder

RECORDS = [
    {"kind": "start", "step": 0},
    {"kind": "evaluation", "step": 0, "loss": 6.0},
    {"kind": "step", "step": 1, "loss": 5.9},
    {"kind": "step", "step": 2, "loss": 5.8},
    {"kind": "warning", "step": 3, "problem": "the loss is nan", "reaction": "rollback"},
    {"kind": "evaluation", "step": 2, "loss": 5.7},
    {"kind": "sample", "step": 2, "text": "主题模型"},
    {"kind": "end", "step": 2},
]


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    for record in RECORDS:
        folder.record(record)
    return folder


def test_records_come_back_as_they_were_written(folder):
    assert folder.records() == RECORDS
    assert [record["step"] for record in folder.records("step")] == [1, 2]
    assert "主题模型" in folder.metrics_path.read_text(encoding="utf-8"), "readable as it lies there"


def test_a_line_that_was_cut_off_is_no_record(folder):
    content = folder.metrics_path.read_bytes()
    folder.metrics_path.write_bytes(content + b'{"kind": "step", "step": 3, "lo')
    assert folder.records() == RECORDS


def test_going_back_drops_what_will_be_taken_again_and_keeps_what_has_happened(folder):
    folder.forget_after(1)
    assert folder.records() == [*RECORDS[:3], RECORDS[4]]


def test_going_back_also_drops_a_line_that_was_cut_off(folder):
    with folder.metrics_path.open("a") as file:
        file.write('{"kind": "st')
    folder.forget_after(2)
    folder.record({"kind": "step", "step": 3})
    assert folder.records() == [*RECORDS[:-1], {"kind": "step", "step": 3}]


def test_batches_that_were_rolled_back_over_are_skipped(folder):
    for number, reaction in ((7, "rollback"), (3, "warn"), (5, "stop"), (2, "rollback"), (5, "rollback")):
        folder.keep_bad_batch(number, {"batch": number, "reaction": reaction, "texts": ["…"]})
    assert folder.skipped_batches() == [2, 5, 7]


def test_the_configuration_comes_back(folder):
    values = {"run": "runs/a", "train": {"lr": 3e-4, "seq_len": None}, "prompts": ["主题"]}
    assert not folder.has_run
    folder.write_config(values)
    assert folder.has_run
    assert folder.config() == values


def test_a_missing_or_damaged_configuration_is_named(folder):
    with pytest.raises(RunError, match="there is no run here"):
        folder.config()
    (folder.path / "config.yaml").write_text("a: [")
    with pytest.raises(RunError, match=r"run/config.yaml is damaged: .*line 1"):
        folder.config()


def test_clearing_removes_the_run_and_nothing_else(folder):
    folder.write_config({})
    folder.keep_bad_batch(1, {"batch": 1, "reaction": "warn"})
    for name in ("checkpoints/step-000001", "tensorboard"):
        (folder.path / name).mkdir(parents=True)
    (folder.path / "wandb-id").write_text("a")
    (folder.path / "notes.md").write_text("mine")
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == ["notes.md"]


def test_a_folder_belongs_to_one_run_at_a_time_and_to_none_after_a_kill(tmp_path):
    code = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1] + '/.lock'): print('locked', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match="another run is writing here"), RunFolder(tmp_path).locked():
            pass
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with RunFolder(tmp_path).locked():
        pass


def test_a_place_where_nothing_can_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "run"
    with (
        pytest.raises(RunError, match=f"{path}: nothing can be written here: Not a directory"),
        RunFolder(path).locked(),
    ):
        pass


def test_only_whole_checkpoint_folders_count(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    assert checkpoints.steps() == []
    for name in ("step-000010", "step-000002", ".step-000011.0123", "damaged-step-000012"):
        (checkpoints.path / name).mkdir(parents=True)
    (checkpoints.path / "step-000013").write_text("")
    assert checkpoints.steps() == [2, 10]
    checkpoints.remove_all_but([10])
    left = sorted(path.name for path in checkpoints.path.iterdir())
    assert left == ["damaged-step-000012", "step-000010", "step-000013"]


def test_metrics_are_strict_json(folder):
    """Which has no NaN and no infinity."""
    folder.record({"kind": "step", "step": 3, "grad_norm": math.inf, "layers": [math.nan, 1.0], "loss": 2.5})

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    lines = folder.metrics_path.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1], parse_constant=refuse) == {
        "kind": "step",
        "step": 3,
        "grad_norm": None,
        "layers": [None, 1.0],
        "loss": 2.5,
    }
