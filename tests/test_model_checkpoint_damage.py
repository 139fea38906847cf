"""Damage to a checkpoint is found and named: flipped bits, missing files, weights that are no numbers."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import re
import shutil
import socket
import subprocess

import pytest
import torch
from foreign_models import TEXTS, save_qwen3
from safetensors.torch import load_file, save_file

from minillm_lib.io.checksums import write_checksums
from minillm_lib.model.checkpoint import CheckpointError, load_checkpoint
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.torch_files import torch_load
from minillm_lib.tokenizer import Tokenizer

N_FLIPS = 40
FILES = (
    "SHA256SUMS",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "intermediate_size": 24}
    model = MiniLLM(ModelConfig(vocab_size=360, max_seq_len=32, **shape)).eval()
    model.tokenizer, model.stage = Tokenizer.train(TEXTS, vocab_size=360), "sft"
    return model


@pytest.fixture(params=["model", "model.pt"])
def saved(request, tmp_path, model):
    path = tmp_path / request.param
    model.save(path)
    return path


@pytest.fixture
def folder(tmp_path, model):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def flips(path, n, seed=0, first=0, last=None):
    """Flip one bit after the other, each in the intact file, which is restored at the end."""
    content, rng = path.read_bytes(), random.Random(seed)
    try:
        for _ in range(n):
            position, bit = rng.randrange(first, last or len(content)), rng.randrange(8)
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            yield f"bit {bit} of byte {position} of {path.name}"
    finally:
        path.write_bytes(content)


def refusal(path, **options):
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path, **options)
    return str(error.value)


def loaded_or_words(path):
    try:
        return load_checkpoint(path), ""
    except CheckpointError as error:
        return None, str(error)


def is_same(loaded, model):
    """Return whether all that a checkpoint holds is what was saved."""
    ours, theirs = model.state_dict(), loaded.state_dict()
    return (
        loaded.config == model.config
        and loaded.stage == model.stage
        and loaded.tokenizer == model.tokenizer
        and ours.keys() == theirs.keys()
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
    )


def test_every_file_of_a_folder_is_listed(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    listed = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    others = sorted(set(FILES) - {"SHA256SUMS"})
    assert listed == [*others, *others, "SHA256SUMS"], "SHA-256 for other programs, CRC-32 for this one"


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_of_any_file_of_a_folder_is_refused(folder, name):
    for flip in flips(folder / name, N_FLIPS, seed=FILES.index(name)):
        assert name in refusal(folder), flip
    load_checkpoint(folder)


@pytest.mark.parametrize("seal", [True, False])
def test_a_flipped_bit_of_a_single_file_is_refused_or_changes_nothing(tmp_path, model, seal):
    path = tmp_path / "model.pt"
    model.save(path)
    if not seal:
        torch.save(torch.load(path), path)
    size = path.stat().st_size
    refused = 0
    for first, last in ((0, size), (0, 2000), (size - 2500, size)):
        for flip in flips(path, N_FLIPS, seed=first, first=first, last=last):
            loaded, words = loaded_or_words(path)
            assert str(path) in words if loaded is None else is_same(loaded, model), flip
            refused += loaded is None
    assert refused > (3 * N_FLIPS * 0.9 if seal else N_FLIPS)


def test_a_cut_of_a_single_file_is_refused(tmp_path, model):
    path = tmp_path / "model.pt"
    model.save(path)
    content = path.read_bytes()
    for length in (0, 1, 4, 100, len(content) // 2, len(content) - 22, len(content) - 1):
        path.write_bytes(content[:length])
        assert str(path) in refusal(path), length


def test_other_programs_read_a_single_file_with_its_checksum(tmp_path, model):
    model.save(tmp_path / "model.pt")
    for mmap in (False, True):
        assert {"config", "model"} <= torch.load(tmp_path / "model.pt", mmap=mmap).keys()


def test_a_missing_file_is_named_and_one_more_does_not_matter(folder):
    (folder / "README.md").write_text("mine")
    load_checkpoint(folder)
    (folder / "chat_template.jinja").unlink()
    assert "chat_template.jinja: missing, though SHA256SUMS lists it" in refusal(folder)


def test_what_was_changed_on_purpose_is_loaded_without_verifying_or_after_renewing(folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"rope_theta": 5e4}))
    message = refusal(folder)
    assert "config.json: damaged or changed" in message
    assert f"write_checksums({str(folder)!r})" in message
    assert MiniLLM.load_from_checkpoint(folder, verify=False).config.rope_theta == 5e4
    write_checksums(folder)
    assert load_checkpoint(folder).config.rope_theta == 5e4


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_the_list_is_what_sha256sum_checks(folder):
    assert subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder).returncode == 0


def test_checkpoints_without_checksums_are_noted_once(folder, tmp_path, caplog):
    (folder / "SHA256SUMS").unlink()
    others = save_qwen3(tmp_path / "qwen")
    with caplog.at_level(logging.WARNING):
        for path in (folder, folder, others, others):
            load_checkpoint(path)
    ours = [record for record in caplog.records if record.name.startswith("minillm_lib")]
    assert [record.getMessage() for record in ours] == [
        f"{path} has no checksums (SHA256SUMS), so that damage to it may go unnoticed"
        for path in (folder, others)
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, model, value):
    with torch.no_grad():
        broken = MiniLLM(model.config)
        broken.layers[0].mlp.up_proj.weight[3, :2] = value
    broken.save(tmp_path / "model")
    message = refusal(tmp_path / "model")
    assert (
        "2 of 384 values in tensor model.layers.0.mlp.up_proj.weight are infinite or not numbers" in message
    )
    loaded = load_checkpoint(tmp_path / "model", verify=False)
    assert not loaded.layers[0].mlp.up_proj.weight.isfinite().all()


def test_weights_too_large_for_a_type_are_refused_in_that_type(tmp_path, model):
    with torch.no_grad():
        large = MiniLLM(model.config)
        large.norm.weight[0] = 1e30
    large.save(tmp_path / "model")
    load_checkpoint(tmp_path / "model")
    assert "1 of 16 values in tensor model.norm.weight are too large for torch.float16" in refusal(
        tmp_path / "model", dtype=torch.float16
    )


def test_what_is_not_a_file_is_not_read(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    assert "pipe.pt is a named pipe (FIFO); a file is expected" in refusal(tmp_path / "pipe.pt")
    assert "/dev/zero is a character device" in refusal("/dev/zero")
    (tmp_path / "folder.pt").mkdir()
    assert "config.json: missing" in refusal(tmp_path / "folder.pt")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening, contextlib.chdir(tmp_path):
        listening.bind("s.pt")
        assert "s.pt is a socket" in refusal("s.pt")


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.model", "generation_config.json"]
)
def test_a_pipe_or_a_device_in_a_folder_is_not_read(folder, name, listed):
    if not listed:
        (folder / "SHA256SUMS").unlink()
    path = folder / name
    path.unlink()
    os.mkfifo(path)
    assert f"{path} is a named pipe (FIFO)" in refusal(folder)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert f"{path} is a character device" in refusal(folder)


def test_damage_to_a_tokenizer_alone_is_found(tmp_path, model):
    file = model.tokenizer.save(tmp_path)
    for flip in flips(file, 100):
        with pytest.raises(ValueError, match=r"tokenizer\.model: .*damaged"):
            Tokenizer.load(file), flip
    content = file.read_bytes()
    for length in (0, 10, 3000, len(content) - 35, len(content) - 34, len(content) - 1):
        file.write_bytes(content[:length])
        if length == len(content) - 35:  # as older versions wrote it
            assert Tokenizer.load(file) == model.tokenizer
        else:
            with pytest.raises(ValueError, match=r"tokenizer\.model: "):
                Tokenizer.load(file)


def test_damage_to_a_tokenizer_of_other_programs_is_found_in_a_folder_of_ours(tmp_path):
    Tokenizer.load(save_qwen3(tmp_path / "qwen")).save(tmp_path / "own")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        for flip in flips(tmp_path / "own" / name, N_FLIPS):
            with pytest.raises(ValueError, match=re.escape(name)):
                Tokenizer.load(tmp_path / "own"), flip


def test_saving_another_tokenizer_renews_its_checksum(folder, model):
    model.tokenizer.save(folder)
    load_checkpoint(folder)
    (folder / "tokenizer.model").write_bytes(b"damaged")
    assert load_checkpoint(folder, tokenizer=False, verify=False).tokenizer is None


def test_weights_for_minimind_have_a_checksum_too(tmp_path, model):
    from minillm_lib.interop.minimind import save_minimind

    path = save_minimind(model, tmp_path / "model.pth")
    for flip in flips(path, 20):
        with pytest.raises(CheckpointError, match=r"model\.pth"):
            torch_load(path), flip


def test_tensors_that_share_memory_become_separate(tmp_path, folder):
    expected = load_checkpoint(folder).state_dict()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "SHA256SUMS").unlink()
    names = [name for name in tensors if name.endswith("layernorm.weight")]
    shared = tensors[names[0]]
    tensors |= dict.fromkeys(names, shared)
    name = "model.layers.0.self_attn.q_proj.weight"
    tensors[name] = tensors[name].T.contiguous().T  # in another order in memory
    torch.save(tensors, folder / "pytorch_model.bin")
    loaded = load_checkpoint(folder)
    assert torch.equal(loaded.layers[0].self_attn.q_proj.weight, expected["layers.0.self_attn.q_proj.weight"])
    with torch.no_grad():
        loaded.layers[0].input_layernorm.weight.fill_(7)
    assert torch.equal(loaded.layers[0].post_attention_layernorm.weight, shared)


def test_a_list_beside_shards_is_verified(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    half = len(tensors) // 2
    parts = dict(list(tensors.items())[:half]), dict(list(tensors.items())[half:])
    for number, part in enumerate(parts):
        save_file(part, folder / f"{number}.safetensors", metadata={"format": "pt"})
    places = {name: f"{number}.safetensors" for number, part in enumerate(parts) for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    write_checksums(folder)
    load_checkpoint(folder)
    for flip in flips(folder / "1.safetensors", 10):
        assert "1.safetensors" in refusal(folder), flip
