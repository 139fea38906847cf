"""Each mistake is one clear error before anything is computed, and nothing that was there is touched."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch
from quick_runs import quick_pretraining, quick_sft, write_conversations, write_documents

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training import preflight
from minillm_lib.training.checkpoints import CheckpointFolder
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.parallel import Processes
from minillm_lib.training.preflight import check_machine, check_room
from minillm_lib.training.run_folder import RunError, RunFolder
from minillm_lib.training.stages import pretrain, sft
from minillm_lib.training.trainer import Trainer


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    path = write_documents(tmp_path_factory.mktemp("text") / "documents.jsonl")
    prepare_pretraining_data(quick_pretraining(path.parent, path).data, progress=False)
    return path


@pytest.fixture(scope="module")
def conversations(documents):
    return write_conversations(documents.parent / "conversations.jsonl")


pytestmark = pytest.mark.usefixtures("known_speed")


@pytest.fixture
def nothing_is_computed(monkeypatch):
    def run(self):
        raise AssertionError("the run has begun")

    monkeypatch.setattr(Trainer, "run", run)


def changed(config, **sections):
    """The configuration with keys of its sections changed."""
    values = config.as_json()
    for section, keys in sections.items():
        values[section] = {**values[section], **keys} if isinstance(keys, dict) else keys
    return type(config).model_validate(values)


def assert_refused(run, config, message, **options):
    folder = config.run
    before = {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    }
    with pytest.raises(ValueError, match=message) as raised:
        run(config, progress=False, **options)
    assert "\n" not in str(raised.value)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"corpora": [{"name": "docstring"}]}}, "there is no corpus 'docstring'"),
        ({"data": {"vocab_size": 400}}, r"data.vocab_size=400 does not fit model.vocab_size=320"),
        (
            {"data": {"tokenizer": "big.model"}},
            r"data.tokenizer=.*, vocab_size=330 does not fit model.vocab_size=320",
        ),
        ({"data": {"corpora": [{"name": "course-faq", "options": {"language": "fr"}}]}}, "language is 'fr'"),
        (
            {"data": {"corpora": [{"name": "files", "options": {"paths": "one.txt"}}]}},
            "the training text is too short: .* give more text, or train.seq_len of at most",
        ),
        (
            {"train": {"batch_size": 4, "precision": "fp16"}},
            "train.precision is 'fp16', which needs a CUDA device",
        ),
        ({"train": {"device": "cuda:99"}}, "train.device is 'cuda:99'"),
        ({"model": {"max_seq_len": 3000}}, "fewer than one row of seq_len=3000"),
        ({"log": {"wandb": "course"}}, "log.wandb needs the package wandb, which is not installed"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_pretraining_that_cannot_work_does_not_begin(tmp_path, documents, sections, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minillm_lib.training.metrics.find_spec", lambda name: None)
    (tmp_path / "one.txt").write_text("one document, which is in the training text")
    texts = documents.read_text().splitlines()
    Tokenizer.train(texts, vocab_size=330).save("big.model")
    Tokenizer.train(texts, vocab_size=320).save("fitting.model")
    if "corpora" in sections.get("data", {}):
        sections = {"data": {**sections["data"], "tokenizer": "fitting.model"}}
    config = changed(quick_pretraining(tmp_path, documents), **sections)
    assert_refused(pretrain, config, message)
    assert not RunFolder(config.run).has_run


def test_a_sequence_longer_than_the_model_is_refused_by_the_configuration(tmp_path, documents):
    with pytest.raises(ValueError, match=r"train.seq_len=33 is longer than the max_seq_len=32 of the model"):
        quick_pretraining(tmp_path, documents, seq_len=33)


@pytest.fixture(scope="module")
def pretrained(documents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    texts = documents.read_text().splitlines()
    config = quick_pretraining(folder, documents).model
    MiniLLM(config).save(folder / "model.pt", Tokenizer.train(texts, vocab_size=320))
    MiniLLM(config).save(folder / "bare.pt")
    spoiled = MiniLLM(config)
    with torch.no_grad():
        spoiled.norm.weight[3] = float("nan")
    spoiled.save(folder / "spoiled.pt", Tokenizer.train(texts, vocab_size=320))
    (folder / "text.pt").write_text("no checkpoint")
    return folder


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize(
    ("name", "sections", "message"),
    [
        ("nowhere.pt", {}, "nowhere.pt: there is nothing here"),
        ("bare.pt", {}, "bare.pt holds no tokenizer, so it cannot be trained further"),
        (
            "spoiled.pt",
            {},
            "spoiled.pt: 1 of 32 values in tensor model.norm.weight are infinite or not numbers",
        ),
        ("text.pt", {}, "text.pt: truncated, damaged, or not a file of tensors"),
        (
            "model.pt",
            {"train": {"seq_len": 64}},
            "train.seq_len=64 is longer than the max_seq_len=32 of ckpt=",
        ),
        ("model.pt", {"train": {"seq_len": 2}}, "none of .* conversations fits into 2 tokens"),
        ("model.pt", {"data": {"conversations": [{"path": "nowhere.jsonl"}]}}, "nowhere.jsonl"),
    ],
)
def test_a_fine_tuning_that_cannot_work_does_not_begin(
    tmp_path, pretrained, conversations, name, sections, message
):
    config = changed(quick_sft(tmp_path, pretrained / name, conversations), **sections)
    with pytest.raises((ValueError, OSError), match=message):
        sft(config, progress=False)
    assert not RunFolder(config.run).has_run


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize(
    ("name", "sections", "message"),
    [
        ("nowhere.pt", {}, "nowhere.pt: there is nothing here"),
        ("bare.pt", {}, "bare.pt.*holds no tokenizer"),
        (
            "spoiled.pt",
            {},
            "spoiled.pt: 1 of 32 values in tensor model.norm.weight are infinite or not numbers",
        ),
        (
            "model.pt",
            {"model": {"n_layers": 1, "qk_norm": True}},
            r"model.pt is a model of a different shape \(its values in brackets\): "
            r"model.n_layers=1 \(2\), model.qk_norm=True \(False\)",
        ),
        (
            "model.pt",
            {"data": {"tokenizer": "other.model"}},
            "other.model is not the tokenizer of ckpt=.*leave data.tokenizer out",
        ),
    ],
)
def test_a_pretraining_that_cannot_go_on_from_a_model_does_not_begin(
    tmp_path, documents, pretrained, name, sections, message, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Tokenizer.train(documents.read_text().splitlines()[:60], vocab_size=310).save("other.model")
    config = quick_pretraining(tmp_path, documents).replace(ckpt=pretrained / name)
    with pytest.raises((ValueError, OSError), match=message):
        pretrain(changed(config, **sections), progress=False)
    assert not RunFolder(config.run).has_run


@pytest.mark.usefixtures("nothing_is_computed")
def test_the_model_that_a_run_starts_from_is_not_written_over(tmp_path, pretrained, conversations, documents):
    further = quick_pretraining(tmp_path, documents).replace(
        ckpt=pretrained / "model.pt", output=pretrained / "model.pt"
    )
    assert_refused(pretrain, further, "is also the ckpt that the run starts from; give a different output")
    config = quick_sft(tmp_path, pretrained / "model.pt", conversations)
    config = config.replace(output=pretrained / "sub" / ".." / "model.pt")
    assert_refused(sft, config, "is also the ckpt that the run starts from; give a different output")
    weights = quick_sft(tmp_path, tmp_path / "folder" / "model.safetensors", conversations)
    weights = weights.replace(output=tmp_path / "folder")
    assert_refused(sft, weights, "is also the ckpt that the run starts from; give a different output")


@pytest.fixture(scope="module")
def begun(documents, tmp_path_factory):
    """A finished run of four steps."""
    config = quick_pretraining(tmp_path_factory.mktemp("begun"), documents, steps=4)
    pretrain(config, progress=False)
    return config


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_folder_with_a_run_needs_to_be_told_what_to_do(begun):
    assert_refused(
        pretrain,
        begun,
        r"a run has already begun here \(it has reached step 4\): resume it with --resume, "
        r"start again with --overwrite",
    )
    assert_refused(pretrain, begun, "resume and overwrite exclude each other", resume=True, overwrite=True)


@pytest.mark.usefixtures("nothing_is_computed")
def test_checkpoints_without_a_configuration_are_not_taken_for_those_of_a_new_run(tmp_path, begun):
    shutil.copytree(begun.run, tmp_path / "copy")
    (tmp_path / "copy" / "config.yaml").unlink()
    assert_refused(
        pretrain,
        begun.replace(run=tmp_path / "copy"),
        r"a run has already begun here \(it has reached step 4\): its config.yaml is missing: start again with --over",
    )


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_run_has_at_least_the_steps_that_it_has_taken(begun):
    assert_refused(
        pretrain,
        changed(begun, train={"steps": 3}),
        r"the run has already taken 4 steps, and train.steps is 3; give train.steps of at least 4",
        resume=True,
    )


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize(("rank", "option"), [(None, "--run"), ("0", "--run_folder")])
def test_the_option_that_is_advised_is_one_that_torchrun_passes_on(
    begun, documents, monkeypatch, rank, option
):
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    option = rf"{option}\b(?!_)"
    assert_refused(pretrain, begun, f"another folder with {option}")
    assert_refused(pretrain, changed(begun, train={"seed": 1}), f"another {option}", resume=True)
    assert_refused(pretrain, changed(begun, train={"steps": 3}), f"another {option}", resume=True)
    with RunFolder(begun.run).locked():
        assert_refused(pretrain, begun, f"another folder with {option}")
    say_free(monkeypatch, {0: 10})
    assert_refused(pretrain, begun, f"another {option} or --output", overwrite=True)


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"train": {"batch_size": 8}}, "train.batch_size was 4, is 8"),
        ({"train": {"seed": 1}}, "train.seed was 0, is 1"),
        ({"model": {"dropout": 0.2}}, r"model.dropout was 0.1, is 0.2"),
        ({"train": {"clip_norm": None}}, "train.clip_norm was 1.0, is None"),
        ({"train": {"seed": 1, "batch_size": 8}}, "train.batch_size was 4, is 8; train.seed was 0, is 1"),
    ],
)
def test_a_run_goes_on_only_as_it_began(begun, sections, message):
    assert_refused(pretrain, changed(begun, **sections), message, resume=True)


def test_what_does_not_decide_on_the_weights_may_change_and_is_recorded(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=4)
    pretrain(config, progress=False)
    changes = {
        "train": {
            "steps": 6,
            "micro_batch_size": 4,
            "activation_checkpointing": True,
            "on_spike": "stop",
        },
        "model": {"activation_checkpointing": True},
        "evaluation": {"every": 2},
        "checkpoint": {"keep_last": 1},
    }
    later = changed(config, **changes)
    result = pretrain(later, resume=True, progress=False)
    assert result.series("loss")[0].tolist() == [1, 2, 3, 4, 5, 6]
    (resumed,) = result.of_kind("resume")
    assert resumed["changed"] == {
        "train.steps": [4, 6],
        "train.schedule.steps": [None, 4],
        "train.micro_batch_size": [2, 4],
        "train.activation_checkpointing": [False, True],
        "model.activation_checkpointing": [False, True],
        "train.on_spike": ["warn", "stop"],
        "evaluation.every": [4, 2],
        "checkpoint.keep_last": [2, 1],
    }
    later = changed(later, train={"schedule": {**later.as_json()["train"]["schedule"], "steps": 4}})
    assert RunFolder(config.run).config() == later.as_json()
    assert pretrain(later, resume=True, progress=False).of_kind("resume")[1]["changed"] == {}


@pytest.mark.usefixtures("nothing_is_computed")
def test_only_a_run_that_is_there_and_of_the_same_kind_goes_on(
    tmp_path, begun, documents, pretrained, conversations
):
    config = quick_pretraining(tmp_path, documents)
    assert_refused(pretrain, config, "there is no run to resume; leave out --resume", resume=True)
    assert not config.run.exists()
    other = quick_sft(tmp_path, pretrained / "model.pt", conversations).replace(run=begun.run)
    assert_refused(
        sft,
        other,
        "this folder holds a pretraining run, which cannot be resumed as the other kind",
        resume=True,
    )


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_run_whose_checkpoints_are_gone_does_not_silently_begin_anew(tmp_path, begun):
    shutil.copytree(begun.run, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "checkpoints")
    assert_refused(
        pretrain, begun.replace(run=tmp_path / "copy"), "the checkpoints of this run are missing", resume=True
    )


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_from_the_start(tmp_path, begun):
    folder = RunFolder(tmp_path / "copy")
    folder.path.mkdir()
    shutil.copy(begun.run / "config.yaml", folder.path)
    folder.record({"kind": "start", "step": 0})
    losses = {"loss": 6.0, "perplexity": 403.4, "bits_per_byte": 3.1}
    folder.record({"kind": "evaluation", "step": 0, "tokens": 0, **losses})
    result = pretrain(begun.replace(run=folder.path), resume=True, progress=False)
    np.testing.assert_array_equal(
        result.series("loss"), (pretrain(begun, resume=True, progress=False)).series("loss")
    )
    assert result.series("loss", "evaluation")[0].tolist() == [0, 4]


@pytest.mark.usefixtures("nothing_is_computed")
def test_two_runs_do_not_share_a_folder(begun):
    with RunFolder(begun.run).locked():
        for options in ({}, {"resume": True}, {"overwrite": True}):
            assert_refused(pretrain, begun, "another run is writing here", **options)


def test_overwriting_removes_the_earlier_run_only_once_the_new_one_can_begin(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=2)
    pretrain(config, progress=False)
    bad = changed(config, data={"vocab_size": 400})
    assert_refused(pretrain, bad, "does not fit", overwrite=True)
    result = pretrain(changed(config, train={"seed": 1}), overwrite=True, progress=False)
    assert len(result.series("loss")[0]) == 2
    assert len(result.of_kind("start")) == 1


@pytest.mark.usefixtures("nothing_is_computed")
def test_an_output_that_cannot_be_written_is_found_at_once(tmp_path, documents):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.md").write_text("mine")
    for name, message in (
        ("file/model.pt", "cannot be written: File exists"),
        ("folder.pt", "is an existing folder"),
        ("file", "this is a file, and a directory of this name cannot be made"),
        ("notes", "not replaced, because it is not a checkpoint; it holds mine.md"),
    ):
        config = quick_pretraining(tmp_path, documents).replace(output=tmp_path / name)
        assert_refused(pretrain, config, message)
    assert (tmp_path / "notes" / "mine.md").read_text() == "mine"


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_missing_permission_is_named(tmp_path, documents, monkeypatch):
    """The system's refusal is played, since a superuser is refused nothing."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    config = quick_pretraining(tmp_path, documents)
    with monkeypatch.context() as patched:
        patched.setattr(preflight.tempfile, "TemporaryFile", refuse)
        assert_refused(
            pretrain, config, re.escape(f"output={config.output} cannot be written: Permission denied")
        )
    with monkeypatch.context() as patched:
        patched.setattr("minillm_lib.training.run_folder.FileLock.acquire", refuse)
        assert_refused(pretrain, config, "nothing can be written here: Permission denied")


BESIDE = 131_072 + 100 * 6400  # the tokenizer and configurations beside the tensors of a checkpoint
FINISHED = 4 * 25_829_888 + BESIDE


def say_free(monkeypatch, free):
    """Let every disk have ``free[0]`` bytes, and a place in ``free`` its own number."""
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: shutil._ntuple_diskusage(10**12, 0, free.get(path, free[0])),
    )


def test_room_is_needed_for_all_that_a_run_adds_to_a_disk(tmp_path, documents, monkeypatch):
    config = quick_pretraining(tmp_path, documents, steps=100).replace(
        checkpoint={"keep_last": 3, "keep_every": 10}
    )
    model, folder = ModelConfig.from_preset("26m"), RunFolder(tmp_path)
    checkpoints = CheckpointFolder(folder.path)
    one = 12 * 25_829_888 + BESIDE
    # 3 last, the best, 10 of every tenth step, and one while it is written; the metrics; and the finished model
    free = {0: 15 * one + 500 * 100 + FINISHED}
    say_free(monkeypatch, free)
    check_room(config, model, folder)
    free[0] -= 1
    with pytest.raises(
        RunError,
        match=r"4.44 GiB are needed for 15 more checkpoints \(4.34 GiB\), its metrics \(48.8 KiB\), the finished model "
        r"\(99.3 MiB\), and the disk has 4.44 GiB free, 1 byte too little; make room, keep fewer checkpoints with "
        r"--checkpoint.keep_last, or give another --run or --output",
    ):
        check_room(config, model, folder)
    (checkpoints.path / "step-000010").mkdir(parents=True)
    check_room(config, model, folder)


def test_another_disk_needs_room_for_the_model_alone(tmp_path, documents, monkeypatch):
    config = quick_pretraining(tmp_path, documents).replace(output=tmp_path / "elsewhere" / "model.pt")
    config.output.parent.mkdir()
    free = {0: 10**12, config.output.parent: FINISHED}
    say_free(monkeypatch, free)
    monkeypatch.setattr(preflight, "_disk_of", lambda place: place.name == "elsewhere")
    model, folder = ModelConfig.from_preset("26m"), RunFolder(tmp_path)
    check_room(config, model, folder)
    free[config.output.parent] -= 5000
    with pytest.raises(
        RunError,
        match=r"elsewhere: 99.3 MiB are needed for the finished model \(99.3 MiB\), and the disk has 99.3 MiB free, "
        "4.88 KiB too little",
    ):
        check_room(config, model, folder)


def test_a_batch_is_shared_out_evenly(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents)
    check_machine(config, Processes(0, 4, torch.device("cpu")))
    with pytest.raises(RunError, match=r"train.batch_size=4 cannot be divided evenly among 3 processes"):
        check_machine(config, Processes(0, 3, torch.device("cpu")))
