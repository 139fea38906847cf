"""Several processes give the same results as one; they are started by torchrun and communicate over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import yaml

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import PretrainConfig, SFTConfig
from minillm_lib.training.data import prepare_conversations
from minillm_lib.training.overrides import load_config
from minillm_lib.training.parallel import LostProcessError, Processes, joined_processes
from minillm_lib.training.rows import rows_of_step
from minillm_lib.training.stages import pretrain, sft

PRETRAIN = {
    "model": {"preset": "nano", "vocab_size": 400, "n_layers": 2, "max_seq_len": 64},
    "data": {"corpora": [{"name": "grammar", "options": {"language": "en", "n": 60}}], "vocab_size": 400},
    "train": {"steps": 6, "batch_size": 8, "micro_batch_size": 2, "warmup_steps": 2},
    "evaluation": {"every": 3, "max_tokens": 2000},
}
SFT = {
    "data": {"conversations": [{"path": "chat.jsonl", "held_out": 0.2}]},
    "train": {"steps": 4, "batch_size": 4, "micro_batch_size": 1, "warmup_steps": 2},
    "evaluation": {"every": 2},
}
STAGES = {"pretrain": (PretrainConfig, pretrain, PRETRAIN), "sft": (SFTConfig, sft, SFT)}


class Runs:
    """Runs of one experiment in a folder, by name; only how many processes take part differs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.joinpath("chat.jsonl").write_text(_conversations(), encoding="utf-8")

    def config(self, stage: str, name: str, **train: object) -> Path:
        """Write the configuration of a run."""
        kind, _, values = STAGES[stage]
        values = {**values, "run": f"{self.folder}/{name}", "output": f"{self.folder}/{name}.pt"}
        values["train"] = {**values["train"], "device": "cpu", "precision": "float32", **train}
        if stage == "pretrain":
            values["data"] = {**values["data"], "folder": f"{self.folder}/data"}
        else:
            values["ckpt"] = f"{self.folder}/pretrained.pt"
            values["data"] = {"conversations": [{"path": f"{self.folder}/chat.jsonl", "held_out": 0.2}]}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        load_config(kind, path)
        return path

    def alone(self, stage: str, name: str, *, resume: bool = False, **train: object) -> None:
        """Train in this process."""
        STAGES[stage][1](self.config(stage, name, **train), resume=resume, progress=False)

    def together(self, stage: str, name: str, *, resume: bool = False, **train: object) -> None:
        """Train in two processes."""
        finished = self.started_together(stage, name, resume=resume, **train)
        assert finished.returncode == 0, finished.stderr[-3000:]

    def started_together(
        self, stage: str, name: str, *, resume: bool = False, **train: object
    ) -> subprocess.CompletedProcess[str]:
        """Two processes, as a user would start them."""
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        command += ["-m", "minillm_lib", stage, "--config", str(self.config(stage, name, **train))]
        command += ["--resume"] if resume else []
        return subprocess.run(
            command, capture_output=True, text=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )

    def losses(self, name: str) -> dict[tuple[str, int], float]:
        """The loss of each step and evaluation."""
        lines = (self.folder / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return {(record["kind"], record["step"]): record["loss"] for record in records if "loss" in record}

    def assert_same(self, name: str, reference: str) -> None:
        """The losses of two runs are the same to 1e-4, step by step, and so are the weights that they end with."""
        found, expected = self.losses(name), self.losses(reference)
        assert found.keys() >= expected.keys()
        assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-4)
        *_, last = expected.values()
        assert last < expected["evaluation", 0] - 0.05, "a run that learns nothing compares nothing"
        weights, others = (
            MiniLLM.load_from_checkpoint(self.folder / f"{each}.pt").state_dict()
            for each in (name, reference)
        )
        torch.testing.assert_close(weights, others, rtol=0, atol=2e-3)


def _conversations() -> str:
    """Answers of very different length."""
    lines = []
    for i in range(40):
        answer = " ".join(["the bear sees the river"] * (1 + 3 * (i % 3))) + f" {i}"
        lines.append(json.dumps({"instruction": f"say {i}", "output": answer}))
    return "\n".join(lines)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def pretrained(runs):
    """The folder of the runs, with a model for fine-tuning in it."""
    runs.alone("pretrain", "pretrained", steps=20, lr=3e-3)
    return runs


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one_and_another_number_goes_on_from_them(runs):
    runs.alone("pretrain", "one", schedule={"name": "constant"}, steps=6)
    runs.together("pretrain", "two", schedule={"name": "constant"}, steps=4)
    runs.alone("pretrain", "two", schedule={"name": "constant"}, steps=6, resume=True)
    runs.assert_same("two", "one")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("distributed", ["ddp", "fsdp"])
def test_pretraining_is_the_same_however_it_is_distributed(runs, distributed, optimizer):
    reference = f"one-{optimizer}"
    if not (runs.folder / reference).exists():
        runs.alone("pretrain", reference, optimizer={"name": optimizer})
    name = f"{distributed}-{optimizer}"
    runs.together("pretrain", name, optimizer={"name": optimizer}, distributed=distributed)
    runs.assert_same(name, reference)


@pytest.mark.slow
@pytest.mark.parametrize("distributed", ["ddp", "fsdp"])
def test_fine_tuning_is_the_same_though_processes_have_unequal_numbers_of_labels(pretrained, distributed):
    config = load_config(SFTConfig, pretrained.config("sft", "sft-one", lr=3e-3))
    model = MiniLLM.load_from_checkpoint(config.ckpt)
    rows = prepare_conversations(config.data.conversations, model.tokenizer, 64).train
    first = rows_of_step(0, config.train.batch_size, len(rows), config.train.seed)
    assert rows[first[0::2]].n_labels != rows[first[1::2]].n_labels
    if not config.run.exists():
        pretrained.alone("sft", "sft-one", lr=3e-3)
    pretrained.together("sft", f"sft-{distributed}", lr=3e-3, distributed=distributed)
    pretrained.assert_same(f"sft-{distributed}", "sft-one")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_goes_on_with_other_numbers_of_processes_and_ways_to_share(runs, optimizer):
    """One process, then DDP on two, then FSDP on two, then one again: as if it had been one all the time."""
    options = {"optimizer": {"name": optimizer}, "schedule": {"name": "constant"}}
    runs.alone("pretrain", f"whole-{optimizer}", steps=8, **options)
    name = f"relay-{optimizer}"
    runs.alone("pretrain", name, steps=2, **options)
    runs.together("pretrain", name, steps=4, distributed="ddp", resume=True, **options)
    runs.together("pretrain", name, steps=6, distributed="fsdp", resume=True, **options)
    runs.alone("pretrain", name, steps=8, resume=True, **options)
    runs.assert_same(name, f"whole-{optimizer}")


@pytest.mark.slow
def test_what_one_process_finds_wrong_is_not_buried_under_the_complaints_of_the_other(runs):
    runs.alone("pretrain", "begun", steps=1)
    finished = runs.started_together("pretrain", "begun", steps=1)
    assert finished.returncode == 1
    errors = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert any("a run has already begun here" in line for line in errors)
    assert "error: another process of this run has ended; see its own message" in errors
    assert "minillm_lib/" not in finished.stderr, "no traceback of ours"


_WAITING = """
import sys, time
from datetime import timedelta
from minillm_lib.training import parallel

parallel._PATIENCE = timedelta(seconds=2)
with parallel.joined_processes("cpu") as processes:
    processes.wait()
    if processes.is_first:
        time.sleep(5)
    processes.wait()
"""


@pytest.mark.slow
def test_a_process_that_does_not_answer_is_not_said_to_have_ended(tmp_path):
    (tmp_path / "waiting.py").write_text(_WAITING)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    finished = subprocess.run(
        [*command, str(tmp_path / "waiting.py")],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert "another process of this run has not answered for 0:00:02" in finished.stderr, finished.stderr[
        -3000:
    ]


def test_processes_wait_for_days_while_the_first_prepares_the_text(monkeypatch):
    """The usual limit is 30 minutes between CPUs, and 10 between GPUs."""
    joined = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **options: joined.update(options))
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    with joined_processes("cpu"):
        assert joined["timeout"].days >= 1


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            "[gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 2000ms for recv operation",
            "has not answered",
        ),
        ("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:21211", "has ended"),
    ],
)
def test_waiting_in_vain_and_a_lost_process_are_told_apart(monkeypatch, problem, message):
    def fail():
        raise RuntimeError(problem)

    monkeypatch.setattr(dist, "barrier", fail)
    with pytest.raises(LostProcessError, match=f"another process of this run {message}"):
        Processes(0, 2, torch.device("cpu")).wait()


def test_one_process_is_its_own_total():
    with joined_processes("cpu") as processes:
        assert processes == Processes(0, 1, torch.device("cpu"))
        assert processes.is_first
        assert processes.total(2.0, 3.0) == [2.0, 3.0]
        assert processes.highest(15) == 15
        processes.wait()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "train.device is 'gpu'; allowed values: cpu, mps, cuda, or a numbered device such as cuda:1"),
        ("meta", "train.device is 'meta'; allowed values"),
        ("mps", "train.device is 'mps', which is not available here"),
        ("cuda", "train.device is 'cuda', which is not available here"),
    ],
)
def test_a_device_that_is_not_there_is_named(name, message):
    if getattr(torch, name, torch.cpu).is_available() and name in ("cuda", "mps"):
        pytest.skip(f"this machine has {name}")
    with pytest.raises(ValueError, match=message), joined_processes(name):
        pass


def test_more_processes_than_cuda_devices_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(
            ValueError, match=r"process 2 has no CUDA device: this machine has 2; .*--train\.device cpu"
        ),
        joined_processes("cuda"),
    ):
        pass


def test_several_processes_on_mps_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="2 processes cannot share an MPS device"), joined_processes("mps"):
        pass
