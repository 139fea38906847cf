"""What a run keeps on disk, beside its checkpoints (test_training_checkpoints.py)."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minillm_lib.io.sealed_values import unsealed
from minillm_lib.training.checkpoints import CheckpointFolder
from minillm_lib.training.config import ConfigError, PretrainConfig
from minillm_lib.training.overrides import load_config
from minillm_lib.training.run_folder import RunError, RunFolder

RECORDS = [
    {"kind": "start", "step": 0},
    {"kind": "evaluation", "step": 0, "tokens": 0, "loss": 6.0, "perplexity": 403.4, "bits_per_byte": 3.1},
    {"kind": "step", "step": 1, "tokens": 64, "loss": 5.9},
    {"kind": "step", "step": 2, "tokens": 128, "loss": 5.8},
    {"kind": "warning", "step": 3, "problem": "the loss is nan", "reaction": "rollback"},
    {"kind": "evaluation", "step": 2, "tokens": 128, "loss": 5.7, "perplexity": 298.9, "bits_per_byte": 2.9},
    {"kind": "sample", "step": 2, "prompt": "topic", "text": "主题模型"},
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
    (cut,) = folder.forget_after(2)
    assert (cut.number, cut.problem) == (len(RECORDS) + 1, "it is cut off")
    assert folder.unreadable_path.read_bytes() == b'{"kind": "st\n', "nothing is lost"
    third = {"kind": "step", "step": 3, "tokens": 192, "loss": 5.6}
    folder.record(third)
    assert folder.records() == [*RECORDS[:-1], third]


def test_batches_that_were_rolled_back_over_are_skipped(folder):
    for number, reaction in ((7, "rollback"), (3, "warn"), (5, "stop"), (2, "rollback"), (5, "rollback")):
        folder.keep_bad_batch(number, {"batch": number, "reaction": reaction, "texts": ["…"]})
    assert folder.skipped_batches() == [2, 5, 7]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "Expecting value"),
        (b'{"a": "\xff"}', "codec can't decode"),
        (b"[" * 100_000, "nested too deeply|recursion"),
        (b"[1, 2]", r"it holds \[1, 2\]"),
        (b'{"batch": 8, "reaction": "rollback"}', "its batch is 8 and its reaction 'rollback'"),
        (b'{"batch": 7, "reaction": "rollbakc"}', "its reaction 'rollbakc'"),
        (b'{"batch": "7"}', "its batch is '7' and its reaction None"),
    ],
)
def test_a_damaged_batch_is_named_since_it_decides_what_the_run_reads(folder, content, problem):
    folder.keep_bad_batch(5, {"batch": 5, "reaction": "rollback"})
    path = folder.keep_bad_batch(7, {"batch": 7, "reaction": "rollback"})
    path.write_bytes(content)
    allowed = r"allowed is an object with batch 7 and a reaction \(warn, stop, rollback\)"
    with pytest.raises(RunError, match=rf"batch-000007.json is damaged: .*({problem}).*; {allowed}"):
        folder.skipped_batches()


def test_copies_of_a_batch_are_not_counted_again(folder):
    path = folder.keep_bad_batch(7, {"batch": 7, "reaction": "rollback"})
    for name in ("batch-000007 (copy).json", "batch-000007.json.bak", "batch-7.json", "batch-0000007.json"):
        (folder.bad_batches_path / name).write_bytes(path.read_bytes())
    assert folder.skipped_batches() == [7]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it is empty; it must hold the keys of a run"),
        ("- 1", r"it holds \[1\]"),
        ("42", "it holds 42"),
        ("data: 3", "data is 3; it must be keys with values"),
        ("train: {steps: many}", "train.steps is 'many'; it must be a whole number from 1"),
        ("train: {steps: -1}", "train.steps is -1; it must be a whole number from 1"),
        ("train: {schedule: [1]}", r"train.schedule is \[1\]"),
        ("data: {corpora: [docstrings]}", "data.corpora has the item 'docstrings'"),
        ("output: [a]", r"output is \['a'\]; it must be a text"),
        ("[" * 3000, "nested more than 50 levels deep"),
    ],
)
def test_a_configuration_of_another_form_is_damaged(folder, content, problem):
    (folder.path / "config.yaml").write_text(content)
    with pytest.raises(RunError, match=f"run/config.yaml is damaged: .*{problem}"):
        folder.config()


def test_what_a_killed_process_leaves_is_removed(folder):
    hidden = "0123456789abcdef"
    left = [
        folder.path / f".metrics.jsonl.{hidden}",
        folder.bad_batches_path / f".batch-000001.json.{hidden}",
        folder.path / "checkpoints" / f".step-000003.{hidden}" / "model.safetensors",
        folder.path / "checkpoints" / ".step-000001.removed" / "config.json",
    ]
    kept = [
        folder.path / "checkpoints" / name for name in (".DS_Store", "step-000002 (copy)", ".step-000004")
    ]
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert len(folder.remove_leftovers()) == 4
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


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


def test_clearing_empties_the_folder_behind_a_link_of_what_runs_write(folder, tmp_path):
    written = {
        "checkpoints": [
            "step-000001/model.safetensors",
            "damaged-step-000002/config.json",
            ".step-000003.removed/a",
        ],
        "bad-batches": ["batch-000001.json"],
        "tensorboard": ["events.out.tfevents.17.host"],
    }
    folder.write_config({})
    for name, files in written.items():
        (folder.path / name).symlink_to(tmp_path / f"disk-{name}")
        for file in (*files, "mine/notes.md"):
            path = tmp_path / f"disk-{name}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("a")
    folder.clear()
    assert not folder.has_run
    for name in written:
        assert (folder.path / name).is_symlink()
        assert [path.name for path in (tmp_path / f"disk-{name}").iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["checkpoints", "bad-batches", "tensorboard", "metrics.jsonl"])
def test_what_cannot_be_cleared_is_named_and_the_folder_still_holds_a_run(folder, name, monkeypatch):
    """The system's refusal is played, since a superuser is refused nothing."""

    def refusing(remove):
        def refuse(path, *rest, **options):
            if path == folder.path / name:
                raise PermissionError(13, "Permission denied", str(path))
            remove(path, *rest, **options)

        return refuse

    folder.write_config({})
    for each in ("checkpoints", "bad-batches", "tensorboard"):
        (folder.path / each / "step-000001").mkdir(parents=True)
    monkeypatch.setattr(shutil, "rmtree", refusing(shutil.rmtree))
    monkeypatch.setattr(Path, "unlink", refusing(Path.unlink))
    with pytest.raises(RunError, match=f"{folder.path / name}, .* cannot be removed: Permission denied"):
        folder.clear()
    assert folder.has_run


def test_a_mount_point_that_is_emptied_is_cleared(folder, monkeypatch):
    """It cannot be removed itself, which is played."""
    sound, checkpoints = os.rmdir, folder.path / "checkpoints"

    def rmdir(path, **options):
        if Path(path) == checkpoints:
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        sound(path, **options)

    (checkpoints / "step-000001").mkdir(parents=True)
    monkeypatch.setattr(os, "rmdir", rmdir)
    folder.clear()
    assert list(checkpoints.iterdir()) == []


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


def test_only_folders_with_the_name_of_a_checkpoint_count(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    assert checkpoints.steps() == []
    strays = [
        "step-000010 (copy)",
        "step-000010.bak",
        "step-10",
        "step-0000010",
        "step-x",
        "notes",
        "step-000013",
    ]
    for name in ("step-000010", "step-000002", "damaged-step-000012", *strays[:-1]):
        (checkpoints.path / name).mkdir(parents=True)
    (checkpoints.path / "step-000013").write_text("")
    (checkpoints.path / ".DS_Store").write_text("")
    assert checkpoints.steps() == [2, 10]
    assert checkpoints.strays() == sorted(strays)
    checkpoints.remove_all_but([10])
    left = sorted(path.name for path in checkpoints.path.iterdir())
    assert left == sorted([".DS_Store", "damaged-step-000012", "step-000010", *strays])


def test_metrics_are_strict_json(folder):
    """Which has no NaN and no infinity."""
    folder.record({"kind": "step", "step": 3, "grad_norm": math.inf, "layers": [math.nan, 1.0], "loss": 2.5})

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    lines = folder.metrics_path.read_text(encoding="utf-8").splitlines()
    assert unsealed(json.loads(lines[-1], parse_constant=refuse)) == {
        "kind": "step",
        "step": 3,
        "grad_norm": None,
        "layers": [None, 1.0],
        "loss": 2.5,
    }


def test_a_flipped_bit_in_the_configuration_is_found_by_whoever_reads_it(folder):
    folder.write_config({"run": str(folder.path), "train": {"steps": 12}})
    assert folder.config()["train"] == {"steps": 12}
    path = folder.path / "config.yaml"
    path.write_bytes(path.read_bytes().replace(b"steps: 12", b"steps: 13"))
    with pytest.raises(
        RunError, match=r"config\.yaml is damaged: it is not what its checksum in the last line says"
    ):
        folder.config()
    with pytest.raises(
        ConfigError, match=r"config\.yaml is no configuration: it is not what its checksum .* says"
    ):
        load_config(PretrainConfig, path)


def test_a_flipped_bit_in_the_metrics_is_named_and_its_line_kept_aside(folder):
    lines = folder.metrics_path.read_bytes().splitlines(keepends=True)
    damaged = lines[2].replace(b'"tokens": 64', b'"tokens": 65')
    assert damaged != lines[2]
    folder.metrics_path.write_bytes(b"".join([*lines[:2], damaged, *lines[3:]]))
    (faulty,) = folder.forget_after(9)
    assert faulty.number == 3
    assert faulty.problem.startswith("it is damaged: its values are not those of its checksum")
    assert folder.unreadable_path.read_bytes() == faulty.content + b"\n" == damaged
    ends = [line for line in lines if b'"kind": "end"' in line]
    kept = [line for line in lines if line not in (lines[2], *ends)]
    assert folder.metrics_path.read_bytes() == b"".join(kept)
