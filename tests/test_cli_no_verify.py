"""``--no-verify``: one option of every command that loads a checkpoint."""

from __future__ import annotations

import importlib.util

import pytest
import torch
import yaml
from quick_runs import MODEL, quick_pretraining, quick_sft, write_conversations, write_documents

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM

COMMANDS = ["chat", "generate", "export", "serve", "eval", "pretrain", "sft", "plan"]


def arguments_of(command, folder):
    if command in ("pretrain", "sft", "plan"):
        (folder / "model").mkdir(exist_ok=True)
        if command != "pretrain":
            config = quick_sft(folder, folder / "model", write_conversations(folder / "c.jsonl"))
        else:
            config = quick_pretraining(folder, write_documents(folder / "d.jsonl")).replace(
                ckpt=folder / "model"
            )
        (folder / "config.yaml").write_text(yaml.safe_dump(config.as_json()))
        return [command, "--config", folder / "config.yaml"]
    own = {"chat": ["hello"], "generate": ["hello"], "export": [folder / "out"], "serve": [], "eval": []}[
        command
    ]
    return [command, *own, "--ckpt", folder / "model"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_loads_a_checkpoint_has_it(minillm, monkeypatch, tmp_path, command):
    if command == "eval" and importlib.util.find_spec("lm_eval") is None:
        pytest.skip("needs lm_eval")
    (tmp_path / "model").mkdir()

    def load(path, *, verify=True, **options):
        raise ValueError(f"asked for {path} with verify={verify}")

    monkeypatch.setattr("minillm_lib.model.checkpoint.load_checkpoint", load)
    for more, verify in (([], True), (["--no-verify"], False)):
        result = minillm(*arguments_of(command, tmp_path), *more)
        assert result.returncode == 2
        assert f"asked for {tmp_path / 'model'} with verify={verify}" in result.stderr


def test_what_it_skips_is_said(minillm):
    words = minillm("generate", "--help").stdout.replace("│", " ").replace("<bool>", " ").split()
    told = " ".join(words[words.index("--no-verify") + 1 :])
    assert told.startswith(
        "Load a checkpoint as it is, damaged or changed on purpose: its files are not compared"
    )


def test_a_damaged_checkpoint_is_used_with_it_and_a_note(minillm, tmp_path, caplog):
    torch.manual_seed(0)
    path = tmp_path / "model"
    model = MiniLLM(ModelConfig.model_validate(MODEL))
    model.save(path)
    content = bytearray((path / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (path / "model.safetensors").write_bytes(content)
    refused = minillm("export", tmp_path / "out", "--ckpt", path)
    assert refused.returncode == 2
    assert "model.safetensors: damaged or changed" in refused.stderr
    assert "--no-verify" in refused.stderr
    result = minillm("export", tmp_path / "out", "--ckpt", path, "--no-verify")
    assert result.returncode == 0, result.stderr
    assert f"{path} is not verified, so that damage to it may go unnoticed" in caplog.text
    assert MiniLLM.load_from_checkpoint(tmp_path / "out").config == model.config
