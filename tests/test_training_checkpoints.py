"""A run that is killed, damaged or out of disk space continues as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil

import pytest
import torch
from faults.full_disk import small_disk
from killed_run import run_in_process
from quick_runs import quick_pretraining, quick_sft, write_conversations, write_documents

from minillm_lib.model.checkpoint import CheckpointError
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training import checkpoints, divergence
from minillm_lib.training.checkpoints import CheckpointFolder
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.divergence import Problem
from minillm_lib.training.evaluation import HeldOut, Score
from minillm_lib.training.run_folder import RunError, RunFolder
from minillm_lib.training.stages import pretrain, sft

SIGKILL = -9


pytestmark = pytest.mark.usefixtures("known_speed")


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    path = write_documents(tmp_path_factory.mktemp("text") / "documents.jsonl")
    prepare_pretraining_data(quick_pretraining(path.parent, path).data, progress=False)
    return path


@pytest.fixture(scope="module")
def pretrained(documents, tmp_path_factory):
    """A model that fine-tuning starts from; its configuration has dropout."""
    config = quick_pretraining(tmp_path_factory.mktemp("pretrained"), documents, steps=2)
    return pretrain(config, progress=False).output


@pytest.fixture(scope="module")
def config_of(documents, pretrained, tmp_path_factory):
    conversations = write_conversations(documents.parent / "conversations.jsonl")

    def make(stage, folder, run, **train):
        if stage == "pretrain":
            return quick_pretraining(folder, documents, run, **train)
        return quick_sft(folder, pretrained, conversations, run, **train)

    return make


def what_a_run_left(config):
    """Its weights, the optimizers' state and the metrics, without what depends on the clock."""
    folder = RunFolder(config.run)
    checkpoints = CheckpointFolder(folder.path)
    last = checkpoints.path_of(checkpoints.steps()[-1])
    untimed = [
        {key: value for key, value in record.items() if key not in _TIMED}
        for record in folder.records()
        if record["kind"] in ("step", "evaluation", "sample")
    ]
    weights = (last / "model.safetensors").read_bytes()
    exported = MiniLLM.load_from_checkpoint(config.output).state_dict()
    return weights, flat(torch.load(last / "trainer_state" / "optimizer.pt")), flat(exported), untimed


_TIMED = ("seconds", "tokens_per_second", "mfu", "memory")


def flat(value, prefix=""):
    """Nested containers of tensors as one mapping from paths to bytes."""
    if isinstance(value, torch.Tensor):
        return {prefix: (value.dtype, value.shape, value.numpy().tobytes())}
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {path: leaf for key, inner in items for path, leaf in flat(inner, f"{prefix}/{key}").items()}
    return {prefix: value}


def uninterrupted(stage, config):
    status, report = run_in_process(stage, config, resume=False)
    assert status == 0, report
    return what_a_run_left(config), report["changes"]


def go_on(stage, config, **kill):
    """As a user does: with ``--resume`` if a run has begun."""
    return run_in_process(stage, config, resume=RunFolder(config.run).has_run, **kill)


@pytest.mark.parametrize(
    ("stage", "optimizer", "n_kills"),
    [
        ("pretrain", "muon", 2),
        ("sft", "adamw", 2),
        pytest.param("pretrain", "adamw", 15, marks=pytest.mark.slow),
        pytest.param("sft", "muon", 15, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_anywhere_goes_on_bit_for_bit(tmp_path, config_of, stage, optimizer, n_kills):
    """With dropout and several micro-batches; killed between steps and while checkpoints are written."""
    options = {"optimizer": {"name": optimizer}, "steps": 8}
    expected, n_changes = uninterrupted(stage, config_of(stage, tmp_path, "whole", **options))
    config = config_of(stage, tmp_path, "killed", **options)
    rng = random.Random(f"{stage} {optimizer}")
    n_killed = 0
    while n_killed < n_kills:
        status, report = go_on(stage, config, kill_before=rng.randint(1, n_changes // 2))
        assert status in (0, SIGKILL), report
        n_killed += status == SIGKILL
        if status == 0:
            break
    status, report = go_on(stage, config)
    assert status == 0, report
    assert n_killed >= 2
    assert what_a_run_left(config) == expected
    assert list(CheckpointFolder(config.run).path.glob(".*")) == [], "half checkpoints are cleared away"


@pytest.mark.slow
def test_there_is_no_moment_at_which_a_kill_does_harm(tmp_path, config_of):
    expected, n_changes = uninterrupted("pretrain", config_of("pretrain", tmp_path, "whole", steps=4))
    assert n_changes > 60
    for change in range(1, n_changes + 1):
        config = config_of("pretrain", tmp_path, f"killed-{change}", steps=4)
        assert go_on("pretrain", config, kill_before=change)[0] == SIGKILL
        assert go_on("pretrain", config)[0] == 0
        assert what_a_run_left(config) == expected, change


def test_the_last_the_best_and_every_nth_are_kept(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=12, lr=3.0, warmup_steps=1)
    config = config.replace(
        checkpoint={"every": 1, "keep_last": 2, "keep_every": 5},
        evaluation={"every": 1, "max_tokens": 256},
    )
    result = pretrain(config, progress=False)
    best = result.best["step"]
    assert best not in (5, 10, 11, 12), "such a learning rate does its best early"
    checkpoints = CheckpointFolder(config.run)
    assert checkpoints.steps() == sorted({best, 5, 10, 11, 12})
    exported = result.load_model().state_dict()
    assert flat(exported) == flat(MiniLLM.load_from_checkpoint(checkpoints.path_of(best)).state_dict())


@pytest.fixture(scope="module")
def finished(documents, tmp_path_factory, known_speed):
    """A run of ten steps with checkpoints at 9 and 10."""
    config = quick_pretraining(tmp_path_factory.mktemp("finished"), documents)
    pretrain(config, progress=False)
    return config


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_flipped_byte_in_any_file_is_found_and_the_file_named(finished):
    checkpoints = CheckpointFolder(finished.run)
    files = [file for file in checkpoints.path_of(9).rglob("*") if file.is_file()]
    assert len(files) >= 10
    checkpoints.verified_metadata(9)
    for file in files:
        content = file.read_bytes()
        flip_a_byte(file)
        with pytest.raises(CheckpointError, match=f"{file}: damaged"):
            checkpoints.verified_metadata(9)
        file.unlink()
        with pytest.raises(CheckpointError, match=f"{file}: missing"):
            checkpoints.verified_metadata(9)
        file.write_bytes(content)
    checkpoints.verified_metadata(9)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path, documents, capsys):
    config = quick_pretraining(tmp_path, documents, steps=8)
    pretrain(config, progress=False)
    expected, folder = what_a_run_left(config), RunFolder(config.run)
    checkpoints = CheckpointFolder(folder.path)
    assert checkpoints.steps() == [6, 8]
    flip_a_byte(checkpoints.path_of(8) / "model.safetensors")
    result = pretrain(config, resume=True, progress=False)
    said = capsys.readouterr().out
    assert "step-000008/model.safetensors: damaged" in said
    assert "the run resumes from step 6" in said
    (warning,) = result.of_kind("warning")
    assert "step-000008/model.safetensors" in warning["problem"]
    assert (checkpoints.path / "damaged-step-000008").is_dir(), "nothing is thrown away"
    assert what_a_run_left(config) == expected


def test_without_a_whole_checkpoint_the_run_does_not_go_on(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=4)
    pretrain(config, progress=False)
    folder = RunFolder(config.run)
    checkpoints = CheckpointFolder(folder.path)
    for step in checkpoints.steps():
        flip_a_byte(checkpoints.path_of(step) / "trainer_state" / "optimizer.pt")
    before = folder.metrics_path.read_bytes()
    with pytest.raises(
        CheckpointError, match=r"no checkpoint is intact: .*step-000004/trainer_state/optimizer.pt"
    ):
        pretrain(config, resume=True, progress=False)
    assert checkpoints.steps() == [3, 4]
    assert folder.metrics_path.read_bytes() == before


def test_a_damaged_best_checkpoint_is_replaced_by_the_last_one_and_that_is_said(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=12, lr=3.0, warmup_steps=1)
    config = config.replace(checkpoint={"every": 6}, evaluation={"every": 2, "max_tokens": 256})
    checkpoints = CheckpointFolder(config.run)
    damaged = []

    def damage(record):
        if record["kind"] == "step" and record["step"] == 12:
            damaged.extend(step for step in checkpoints.steps() if step != 6)
            for step in damaged:
                flip_a_byte(checkpoints.path_of(step) / "config.json")

    result = pretrain(config, progress=False, on_record=damage)
    assert damaged
    assert result.best["step"] in damaged
    assert result.of_kind("end")[0]["best_step"] == 12
    assert result.saved["step"] == 12, "what is reported is the model that was saved"
    assert "the model of the last step is saved" in result.of_kind("warning")[0]["problem"]
    last = MiniLLM.load_from_checkpoint(checkpoints.path_of(12))
    assert flat(result.load_model().state_dict()) == flat(last.state_dict())


def test_a_disk_that_fills_up_loses_nothing(tmp_path, documents):
    """Real refused writes, from below torch and safetensors: a limit on file sizes that the fifth step brings."""
    whole = quick_pretraining(tmp_path, documents, "whole", steps=7)
    pretrain(whole, progress=False)
    config = quick_pretraining(tmp_path, documents, "full", steps=7)
    status, report = run_in_process("pretrain", config, resume=False, file_limit_at=5)
    assert status == 0
    assert "step-000006 could not be written" in report["error"]
    assert "the checkpoint of step 4 is intact" in report["error"]
    assert "--resume" in report["error"]
    checkpoints = CheckpointFolder(config.run)
    assert [path.name for path in sorted(checkpoints.path.iterdir())] == ["step-000003", "step-000004"]
    for step in checkpoints.steps():
        checkpoints.verified_metadata(step)
    pretrain(config, resume=True, progress=False)
    assert what_a_run_left(config) == what_a_run_left(whole)


def test_without_room_for_the_next_checkpoint_the_run_stops_and_goes_on_once_there_is(
    tmp_path, documents, monkeypatch
):
    whole = quick_pretraining(tmp_path, documents, "whole", steps=7)
    pretrain(whole, progress=False)
    config = quick_pretraining(tmp_path, documents, "full", steps=7)

    def fill(record):
        if record["kind"] == "step" and record["step"] == 5:
            monkeypatch.setattr(checkpoints, "free_room", lambda path: 1 << 17)

    with pytest.raises(
        RunError,
        match=r"step-000006 needs \d+ KiB, and the disk has 128 KiB free, \d+ KiB too little: the run stops here; the "
        r"checkpoint of step 4 is intact. Once that is solved, resume",
    ):
        pretrain(config, progress=False, on_record=fill)
    assert CheckpointFolder(config.run).steps() == [3, 4]
    monkeypatch.undo()
    pretrain(config, resume=True, progress=False)
    assert what_a_run_left(config) == what_a_run_left(whole)


@pytest.mark.slow
def test_a_disk_that_is_really_full_stops_a_run_and_loses_nothing(tmp_path, documents):
    whole = quick_pretraining(tmp_path, documents, "whole", steps=7)
    pretrain(whole, progress=False)
    with small_disk(tmp_path / "disk", 32 << 20) as disk:
        config = quick_pretraining(disk.path, documents, "full", steps=7)
        for left in (400_000, 100_000, 8192, 0):

            def fill(record, left=left):
                if record["kind"] == "step" and record["step"] >= 5:
                    disk.leave(left)

            with pytest.raises(
                RunError, match=r"too little|could not be written: the disk is full|are needed for"
            ):
                pretrain(config, resume=RunFolder(config.run).has_run, progress=False, on_record=fill)
            folder = CheckpointFolder(config.run)
            assert folder.steps(), left
            for step in folder.steps():
                folder.verified_metadata(step)
            hidden = [path for path in disk.path.rglob(".*.*") if path.name != ".filling"]
            assert hidden == [], left
            disk.free_all()
        pretrain(config, resume=True, progress=False)
        assert what_a_run_left(config) == what_a_run_left(whole)


def test_a_run_resumes_beside_copies_of_its_checkpoints_and_what_a_kill_has_left(tmp_path, documents, capsys):
    config = quick_pretraining(tmp_path, documents, steps=4)
    pretrain(config, progress=False)
    expected, folder = what_a_run_left(config), CheckpointFolder(config.run)
    last = folder.path_of(4)
    for name in ("step-000004 (copy)", "step-000004.bak", "step-4", "step-000009"):
        shutil.copytree(last, folder.path / name)
    (folder.path / "step-000012").mkdir()
    (folder.path / "step-000007").write_bytes(b"a file")
    (folder.path / ".DS_Store").write_bytes(b"")
    (folder.path / ".step-000005.0123456789abcdef").mkdir()
    config.output.with_name(f".{config.output.name}.0123456789abcdef").write_bytes(b"half")
    pretrain(config, resume=True)
    said = capsys.readouterr().out
    assert "removed 2 half-written items that an interrupted run had left" in said
    assert (
        "not taken for checkpoints, and left alone: step-000004 (copy), step-000004.bak, step-000007, step-4"
        in said
    )
    assert "step-000012/trainer_state/state.json: missing" in said
    assert "step-000009: this is the checkpoint of step 4 under another name" in said
    assert what_a_run_left(config) == expected
    assert folder.steps() == [3, 4]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "Expecting value"),
        (b"[1, 2]", r"it holds \[1, 2\], and should be an object"),
        (b"null", "it holds None"),
        (b'{"step": 10}', "its content does not match the hash"),
        (b'{"sha256": 3}', "its content does not match the hash"),
        (b"[" * 100_000, "nested too deeply|recursion"),
        (b'{"a": "\xff"}', "codec can't decode"),
    ],
)
def test_a_damaged_state_is_named(finished, tmp_path, content, problem):
    checkpoints = CheckpointFolder(tmp_path)
    shutil.copytree(CheckpointFolder(finished.run).path_of(10), checkpoints.path_of(10))
    path = checkpoints.path_of(10) / "trainer_state" / "state.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{path}: damaged: .*({problem})"):
        checkpoints.verified_metadata(10)


def test_a_full_disk_is_called_a_full_disk(tmp_path, documents, monkeypatch):
    config = quick_pretraining(tmp_path, documents)

    def full_disk(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(record):
        if record["kind"] == "step" and record["step"] == 5:
            monkeypatch.setattr(os, "fsync", full_disk)

    with pytest.raises(
        RunError, match=r"step-000006 could not be written: the disk is full \(.* step 4 is intact"
    ):
        pretrain(config, progress=False, on_record=fill)


def test_a_model_that_finds_no_room_at_the_end_is_put_there_later(tmp_path, documents, monkeypatch):
    config = quick_pretraining(tmp_path, documents, steps=4)

    def full_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save_checkpoint", full_disk)
        with pytest.raises(
            RunError, match=r"run.pt could not be written: the disk is full \(.* step 4 is intact"
        ):
            pretrain(config, progress=False)
    assert not config.output.exists()
    result = pretrain(config, resume=True, progress=False)
    assert result.series("loss")[0].tolist() == [1, 2, 3, 4]
    assert result.load_model().tokenizer is not None


def test_metrics_that_cannot_be_written_stop_the_run_in_words(tmp_path, documents, monkeypatch):
    config = quick_pretraining(tmp_path, documents)

    def make_unwritable(record):
        if record["kind"] == "step" and record["step"] == 5:
            path = RunFolder(config.run).metrics_path
            path.rename(path.with_suffix(".moved"))
            path.mkdir()

    with pytest.raises(
        RunError, match=r"metrics.jsonl could not be written: .*the checkpoint of step 4 is intact"
    ):
        pretrain(config, progress=False, on_record=make_unwritable)


def test_nothing_but_a_run_of_this_data_is_gone_on_with(tmp_path, documents):
    own = write_documents(tmp_path / "own.jsonl")
    config = quick_pretraining(tmp_path, own, steps=4)
    pretrain(config, progress=False)
    write_documents(own, seed=1)
    with pytest.raises(RunError, match=r"other data .*\(different: tokenizer, train, validation\)"):
        pretrain(config, resume=True, progress=False)
    write_documents(own)
    assert pretrain(config, resume=True, progress=False).is_finished


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_theta": 5000.0}, "rope_theta was 10000.0, is 5000.0"),
        ({"norm_eps": 1e-6}, "norm_eps was 1e-05, is 1e-06"),
        ({"max_seq_len": 64}, "max_seq_len was 32, is 64"),
        ({"dropout": 0.2}, "dropout was 0.1, is 0.2"),
        ({"intermediate_size": 64}, "intermediate_size was 48, is 64"),
        ({"n_layers": 3, "qk_norm": True}, "n_layers was 2, is 3; qk_norm was False, is True"),
        (None, "the tokenizer is another one"),
    ],
)
def test_a_fine_tuning_goes_on_only_with_the_model_that_it_began_with(
    tmp_path, documents, pretrained, change, message
):
    """The file at ckpt is made again meanwhile."""
    ckpt = shutil.copy(pretrained, tmp_path / "base.pt")
    config = quick_sft(tmp_path, ckpt, write_conversations(tmp_path / "conversations.jsonl"), steps=4)
    sft(config.replace(train=config.train.replace(steps=2)), progress=False)
    before = MiniLLM.load_from_checkpoint(ckpt)
    tokenizer = before.tokenizer
    if change is None:
        tokenizer = Tokenizer.train(documents.read_text().splitlines()[:60], vocab_size=320)
    MiniLLM(before.config.replace(**change or {})).save(ckpt, tokenizer)
    records = RunFolder(config.run).records()
    with pytest.raises(
        RunError, match=rf"ckpt=.*base.pt is not the model that the run began with \({message}\)"
    ):
        sft(config, resume=True, progress=False)
    assert RunFolder(config.run).records() == records
    MiniLLM(before.config.replace(initializer_range=0.01)).save(ckpt, before.tokenizer)
    assert sft(config, resume=True, progress=False).is_finished, "what a resumed run does not use may differ"


def test_the_best_is_chosen_again_among_losses_that_compare(tmp_path, documents, monkeypatch, capsys):
    """With another evaluation.max_tokens, losses are of other text: those from before are lower here.

    What has been measured since is remembered in going back to the checkpoint that was loaded.
    """
    losses = iter([0.01, 0.02, 0.5, 0.6])
    monkeypatch.setattr(
        HeldOut, "_score", lambda self, rows: Score(next(losses), self.config.evaluation.max_tokens, 900)
    )
    problems = iter([None] * 5 + [Problem("nan", "the loss is nan")] + [None] * 3)
    monkeypatch.setattr(divergence, "find_problem", lambda *_, **__: next(problems))
    config = quick_pretraining(tmp_path, documents, steps=4, on_nan="rollback")
    config = config.replace(evaluation={"every": 100, "max_tokens": 256}, checkpoint={"every": 100})
    assert pretrain(config, progress=False).best["step"] == 0
    longer = config.replace(train=config.train.replace(steps=7), evaluation={"every": 100, "max_tokens": 512})
    result = pretrain(longer, resume=True, progress=False)
    said = capsys.readouterr().out
    assert (
        said.count("evaluation.max_tokens was 256 and is 512: held-out losses from before do not compare")
        == 1
    )
    assert len(result.of_kind("warning")) == 1, "it went back"
    evaluations = result.of_kind("evaluation")
    assert [(each["step"], each["loss"]) for each in evaluations] == [
        (0, 0.01),
        (4, 0.02),
        (4, 0.5),
        (7, 0.6),
    ]
    assert result.of_kind("end")[-1]["best_step"] == 4
    assert result.best == result.saved == evaluations[2]
    assert pretrain(longer, resume=True, progress=False).of_kind("evaluation") == evaluations, "once only"


def test_a_checkpoint_opens_like_any_other_model(finished):
    path = CheckpointFolder(finished.run).path_of(10)
    model = MiniLLM.load_from_checkpoint(path)
    assert model.tokenizer is not None
    assert len(model.generate("the topic", max_new_tokens=3, seed=0)[0].ids) <= 3
    facts = json.loads((path / "trainer_state" / "state.json").read_text())
    assert facts["progress"]["step"] == 10
    assert facts["progress"]["tokens"] == 10 * 4 * 32
