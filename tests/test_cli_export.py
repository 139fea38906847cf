"""``minillm export`` reads other people's checkpoints, and takes what they do not tell."""

from __future__ import annotations

import pytest
import torch
from foreign_models import save_qwen3, save_tokenizer
from typer.testing import CliRunner

from minillm_lib.cli.main import app
from minillm_lib.model.checkpoint import CheckpointError, load_checkpoint


def export(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture
def weights(tmp_path):
    """A .pth as MiniMind's training writes it, with 4 heads, which its shapes do not tell."""
    model = load_checkpoint(save_qwen3(tmp_path / "qwen"))
    state = model.state_dict().items()
    tensors = {
        f"model.{name}": value for name, value in state if "q_norm" not in name and "k_norm" not in name
    }
    torch.save(tensors, tmp_path / "own.pth")
    return tmp_path / "own.pth"


@pytest.mark.filterwarnings("ignore:.*has no configuration")
def test_what_a_pth_does_not_tell_is_given_by_set(tmp_path, weights):
    given = ["--set", "n_heads=4", "--set", "rope_theta=500", "--set", "max_seq_len=64"]
    tokenizer = save_tokenizer(tmp_path / "words")
    result = export(tmp_path / "out", "--ckpt", weights, *given, "--tokenizer", tokenizer)
    assert result.exit_code == 0, result.output
    model = load_checkpoint(tmp_path / "out")
    assert (model.config.n_heads, model.config.rope_theta, model.config.max_seq_len) == (4, 500.0, 64)
    assert model.tokenizer is not None


@pytest.mark.parametrize(
    ("given", "message"),
    [("n_heads", "--set 'n_heads': give a key and a value"), ("heads=4", "unknown key 'heads'")],
)
def test_a_key_that_is_not_one_is_named(tmp_path, weights, given, message):
    result = export(tmp_path / "out", "--ckpt", weights, "--set", "n_heads=4", "--set", given)
    assert message in str(result.exception)


def test_a_gguf_file_of_a_qwen3(tmp_path):
    folder = save_qwen3(tmp_path / "qwen")
    result = export(tmp_path / "model.gguf", "--ckpt", folder)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "model.gguf").read_bytes()[:4] == b"GGUF"


def test_the_name_of_a_file_of_tensors_is_refused_and_what_is_replaced_is_said(tmp_path):
    folder = save_qwen3(tmp_path / "qwen")
    refused = export(tmp_path / "out.safetensors", "--ckpt", folder)
    assert refused.exit_code != 0
    assert "give a directory" in str(refused.exception)
    assert not (tmp_path / "out.safetensors").exists()
    first, second = (export(tmp_path / "out", "--ckpt", folder) for _ in range(2))
    assert "in place of" not in first.output
    assert "in place of what was there" in second.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gguf", b"GGUF\x03\x00\x00\x00", "a GGUF file, which is for llama.cpp"),
        ("pretrain.yaml", "# 模型\nrun: runs/x\n".encode() * 40, "a text file; a checkpoint is a directory"),
    ],
)
def test_another_kind_of_file_is_not_called_damaged(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / name)
