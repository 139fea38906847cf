"""``minillm pretrain`` and ``minillm sft`` as a user meets them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import yaml
from quick_runs import quick_pretraining, quick_sft, write_conversations, write_documents

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.checkpoints import CheckpointFolder, Checkpoints
from minillm_lib.training.config import PretrainConfig
from minillm_lib.training.run_folder import RunFolder


@pytest.fixture
def minillm(minillm, known_speed):
    """Run the command in this process; returns its exit status and what it printed and complained of."""

    def run(*arguments):
        result = minillm(*arguments, COLUMNS="100")
        return result.returncode, result.stdout, result.stderr

    return run


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("text") / "documents.jsonl")


@pytest.fixture
def config_file(tmp_path, documents):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(quick_pretraining(tmp_path, documents, steps=4).as_json()))
    return path


def test_the_commands_of_the_course(minillm, tmp_path, config_file):
    """From text to an answer: pretrain, sft, chat, each with the output of the one before."""
    status, out, err = minillm("pretrain", "--config", config_file)
    assert (status, "pretrain: 100%" in err) == (0, True), err
    assert "held-out perplexity" in out
    assert f'try it: minillm generate "The" --ckpt {tmp_path}/run.pt' in out.splitlines()
    conversations = write_conversations(tmp_path / "chat.jsonl")
    values = quick_sft(tmp_path, tmp_path / "nowhere.pt", conversations, "chat", steps=4).as_json()
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(values))
    status, out, err = minillm("sft", "--config", tmp_path / "sft.yaml", "--ckpt", tmp_path / "run.pt")
    assert status == 0, err
    assert "conversations of" in out
    assert f"try it: minillm chat --ckpt {tmp_path}/chat.pt" in out.splitlines()
    status, out, err = minillm(
        "chat", "the word", "--ckpt", tmp_path / "chat.pt", "--max-new-tokens", 4, "--seed", 1
    )
    assert status == 0, err


def test_any_key_can_be_given(minillm, tmp_path, config_file):
    options = [
        "--train.lr",
        "1e-3",
        "--train.steps=2",
        "--run",
        tmp_path / "other",
        "--evaluation.prompts",
        "[a, b]",
    ]
    status, _, err = minillm("pretrain", "--config", config_file, *options)
    assert status == 0, err
    kept = RunFolder(tmp_path / "other").config()
    assert kept["train"]["optimizer"]["lr"] == 1e-3
    assert kept["train"]["steps"] == 2
    assert kept["evaluation"]["prompts"] == ["a", "b"]
    steps = [record["step"] for record in RunFolder(tmp_path / "other").records("step")]
    assert steps == [1, 2]


def test_a_run_goes_on_with_or_without_its_configuration(minillm, tmp_path, config_file):
    assert minillm("pretrain", "--config", config_file, "--train.steps", 2)[0] == 0
    status, _, err = minillm("pretrain", "--config", config_file)
    assert status == 2
    assert "a run has already begun here (it has reached step 2): resume it with --resume" in err
    status, _, err = minillm("pretrain", "--config", config_file, "--resume")
    assert status == 0, err
    status, _, err = minillm("pretrain", "--run", tmp_path / "run", "--resume", "--train.steps", 5)
    assert status == 0, err
    records = RunFolder(tmp_path / "run").records
    assert [record["step"] for record in records("step")] == [1, 2, 3, 4, 5]
    assert [record["changed"] for record in records("resume")] == [
        {"train.steps": [2, 4], "train.schedule.steps": [None, 2]},
        {"train.steps": [4, 5]},
    ]


def test_overwrite_begins_anew(minillm, tmp_path, config_file):
    for options in ((), ("--overwrite", "--train.seed", 3)):
        status, _, err = minillm("pretrain", "--config", config_file, "--train.steps", 2, *options)
        assert status == 0, err
    assert RunFolder(tmp_path / "run").config()["train"]["seed"] == 3
    assert len(RunFolder(tmp_path / "run").records("step")) == 2


def test_what_is_reported_at_the_end_is_the_model_that_was_saved(minillm, config_file, monkeypatch):
    """The best checkpoint is played to be damaged, so that it is the last model."""
    sound = Checkpoints.export_best

    def export_last(self, progress, output):
        assert progress.best_step == 0, "such a learning rate makes the model worse"
        return sound(self, replace(progress, best_step=progress.step), output)

    monkeypatch.setattr(Checkpoints, "export_best", export_last)
    options = ("--train.lr", 3.0, "--train.warmup_steps", 1)
    status, out, err = minillm("pretrain", "--config", config_file, *options)
    assert status == 0, err
    assert "bits per byte) at step 4; the model: " in out


@pytest.mark.parametrize("command", ["pretrain", "sft"])
def test_the_configuration_is_shown_whole_and_nothing_is_run(minillm, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    status, out, _ = minillm(command, "--show-config", "--train.lr", "3e-4", "--run", "runs/主题")
    values = yaml.safe_load(out)
    assert status == 0
    assert values["train"]["optimizer"]["lr"] == 3e-4
    assert values["run"] == "runs/主题"
    assert ("model" in values) == (command == "pretrain")
    assert list(tmp_path.iterdir()) == []
    if command == "pretrain":
        assert PretrainConfig.model_validate(values).as_json() == values, "it can be saved and used"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrain", "--train.lrr", "3"], "unknown key --train.lrr (value '3'). Did you mean --train.lr?"),
        (["pretrain", "--train.steps", "many"], "train.steps is 'many'"),
        (["pretrain", "--train.steps"], "--train.steps needs a value"),
        (["pretrain", "config.yaml"], "'config.yaml' is no option"),
        (["pretrain", "--config", "nowhere.yaml"], "there is no configuration nowhere.yaml"),
        (["pretrain", "--resume"], "runs/pretrain: there is no run to resume"),
        (["pretrain", "--resume", "--overwrite"], "resume and overwrite exclude each other"),
        (["pretrain", "--model", "huge"], "unknown preset 'huge'; the presets are nano, tiny"),
        (["pretrain", "--train.device", "tpu9"], "train.device is 'tpu9'"),
        (["sft", "--ckpt", "nowhere.pt"], "nowhere.pt: there is nothing here"),
        (["sft", "--ckpt", "checkpoints/sft.pt"], "is also the ckpt that the run starts from"),
    ],
)
def test_a_mistake_is_one_line(minillm, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = minillm(*arguments)
    assert status == 2
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""


def test_help_says_what_there_is(minillm):
    status, out, _ = minillm("pretrain", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert status == 0
    for part in (
        "--config",
        "--resume",
        "--overwrite",
        "--show-config",
        "--train.lr 3e-4",
        "train.optimizer",
    ):
        assert part in text, part
    assert "torchrun --nproc_per_node 2 -m minillm_lib pretrain …, where --run is called --run_folder" in text


def wait_for(records, kind, step=0):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(record["step"] >= step for record in records(kind)):
            return
        time.sleep(0.02)
    raise AssertionError(f"no {kind} {step}")


def assert_stopped_and_saved(folder, out, err, name="SIGINT"):
    last = folder.records("step")[-1]["step"]
    assert f"{name}: stopped after step {last} of 100000; everything is saved" in out
    assert f"{name}: finishing this step, then saving; a second signal stops at once" in err
    assert "Traceback" not in err
    assert CheckpointFolder(folder.path).steps()[-1] == last
    return last


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_ends_like_an_interrupted_program(
    minillm, tmp_path, config_file, number, expected
):
    folder = RunFolder(tmp_path / "run")

    def press():
        wait_for(folder.records, "step", 3)
        os.kill(os.getpid(), number)

    user = threading.Thread(target=press)
    user.start()
    status, out, err = minillm("pretrain", "--config", config_file, "--train.steps", 100_000)
    user.join()
    assert status == expected, err
    last = assert_stopped_and_saved(folder, out, err, number.name)
    status, _, err = minillm("pretrain", "--run", folder.path, "--resume", "--train.steps", last + 1)
    assert status == 0, err
    assert MiniLLM.load_from_checkpoint(tmp_path / "run.pt").tokenizer is not None


def started(*arguments, folder):
    command = [sys.executable, "-m", "minillm_lib", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.slow
def test_a_process_of_its_own_is_stopped_by_ctrl_c(tmp_path, config_file):
    folder = RunFolder(tmp_path / "run")
    process = started("pretrain", "--config", config_file, "--train.steps", 100_000, folder=tmp_path)
    wait_for(folder.records, "step", 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert_stopped_and_saved(folder, out, err)


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(tmp_path, config_file):
    """It comes during a step that takes minutes."""
    folder = RunFolder(tmp_path / "run")
    checkpoints = CheckpointFolder(folder.path)
    options = ["--train.batch_size", 100_000, "--train.micro_batch_size", 1]
    process = started("pretrain", "--config", config_file, *options, folder=tmp_path)
    wait_for(folder.records, "sample")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert any("finishing this step" in line for line in process.stderr), "the first one has been noticed"
    time.sleep(2)
    assert process.poll() is None, "it lets the step finish"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert checkpoints.steps() == [0]
    checkpoints.verified_metadata(0)
