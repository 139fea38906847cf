import json
import os
import shutil

import pytest
import torch
from hugging_face_reference import SCALINGS, small_config
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from minillm_lib.io import atomic_folder
from minillm_lib.model import checkpoint
from minillm_lib.model.checkpoint import (
    CheckpointError,
    atomic_directory,
    load_checkpoint,
    save_checkpoint,
    write_model_files,
)
from minillm_lib.model.config import PRESETS
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer

TOKENS = torch.arange(40).view(2, 20) % 97
CLASSIC = {**PRESETS["26m-classic"], "n_kv_heads": 4, "intermediate_size": 80}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_model(**overrides):
    model = MiniLLM(small_config(**overrides)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.2)
    return model


def logits(model, tokens=TOKENS):
    with torch.no_grad():
        output = model(tokens)
    return getattr(output, "logits", output)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["the quick brown fox jumps over the lazy dog"] * 5, vocab_size=330)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint"
    random_model().save(path)
    return path


@pytest.mark.parametrize("name", ["folder", "model.pt"])
@pytest.mark.parametrize("block", [{}, {"tied_embeddings": False}, {"qk_norm": True}, CLASSIC])
def test_what_is_loaded_is_what_was_saved(tmp_path, name, block):
    model = random_model(**block)
    model.save(tmp_path / name)
    loaded = MiniLLM.load_from_checkpoint(tmp_path / name)
    assert loaded.config == model.config
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(logits(loaded), logits(model))
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_opens_it_without_custom_code(tmp_path, scaling, qk_norm, tied):
    model = random_model(rope_scaling=SCALINGS[scaling], qk_norm=qk_norm, tied_embeddings=tied)
    model.save(tmp_path / "checkpoint")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")
    assert theirs.dtype == torch.float32
    tokens = torch.randint(0, 97, (2, 70))
    torch.testing.assert_close(logits(theirs, tokens), logits(model, tokens), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("max_shard_size", ["5GB", "20KB"])
def test_a_llama_checkpoint_of_transformers_loads_here(tmp_path, scaling, max_shard_size):
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=80,
        head_dim=16,
        max_position_embeddings=32,
        initializer_range=0.2,
        rope_parameters={"rope_theta": 5000.0, **(SCALINGS[scaling] or {"rope_type": "default"})},
    )
    theirs = LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (max_shard_size == "20KB")
    tokens = torch.randint(0, 97, (2, 70))
    torch.testing.assert_close(
        logits(load_checkpoint(tmp_path), tokens), logits(theirs, tokens), atol=1e-4, rtol=0
    )


def test_an_old_checkpoint_with_pickled_weights_and_stored_frequencies_loads(tmp_path, saved):
    tensors = load_file(saved / "model.safetensors")
    expected = logits(load_checkpoint(saved))
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(6)
    shutil.copy(saved / "config.json", tmp_path)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    assert torch.equal(logits(load_checkpoint(tmp_path)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["folder", "model.pt"])
def test_the_saved_dtype_is_kept_unless_another_is_asked_for(tmp_path, dtype, name):
    model = random_model().to(dtype)
    model.save(tmp_path / name)
    kept, widened = load_checkpoint(tmp_path / name), load_checkpoint(tmp_path / name, dtype=torch.float32)
    assert {parameter.dtype for parameter in kept.parameters()} == {dtype}
    assert {parameter.dtype for parameter in widened.parameters()} == {torch.float32}
    assert kept.rotary.frequencies.dtype == torch.float32
    assert torch.equal(logits(kept), logits(model))
    if name == "folder":
        assert AutoModelForCausalLM.from_pretrained(tmp_path / name).dtype == dtype


def test_a_scaling_may_be_chosen_when_loading(tmp_path):
    model = random_model()
    model.save(tmp_path / "checkpoint")
    loaded = MiniLLM.load_from_checkpoint(
        tmp_path / "checkpoint", rope_scaling={"rope_type": "yarn", "factor": 4}
    )
    assert loaded.config.max_seq_len == 4 * model.config.max_seq_len
    expected = MiniLLM(model.config.with_rope_scaling({"rope_type": "yarn", "factor": 4}))
    expected.load_state_dict(model.state_dict())
    assert torch.equal(logits(loaded), logits(expected))
    assert not torch.allclose(logits(loaded), logits(model))


def test_loading_leaves_the_random_numbers_alone(saved):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_checkpoint(saved)
    assert torch.equal(torch.rand(3), expected)


def test_tied_weights_stay_tied(saved):
    loaded = load_checkpoint(saved)
    assert "lm_head.weight" not in load_file(saved / "model.safetensors")
    assert loaded.output_weight is loaded.embed_tokens.weight


@pytest.mark.parametrize("name", ["folder", "model.pt"])
def test_the_tokenizer_travels_with_the_model(tmp_path, tokenizer, name):
    model = random_model(vocab_size=tokenizer.vocab_size)
    model.save(tmp_path / name, tokenizer)
    loaded = MiniLLM.load_from_checkpoint(tmp_path / name)
    assert loaded.tokenizer == tokenizer
    loaded.save(tmp_path / "again" / name)
    assert MiniLLM.load_from_checkpoint(tmp_path / "again" / name).tokenizer == tokenizer


def test_transformers_opens_the_tokenizer_and_stops_where_a_turn_ends(tmp_path, tokenizer):
    random_model(vocab_size=tokenizer.vocab_size).save(tmp_path / "checkpoint", tokenizer)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    assert theirs("the lazy fox")["input_ids"] == tokenizer.encode("the lazy fox")
    config = AutoConfig.from_pretrained(tmp_path / "checkpoint")
    assert config.eos_token_id == [tokenizer.eos_id, tokenizer.end_of_turn_id]
    assert (config.bos_token_id, config.pad_token_id) == (tokenizer.bos_id, tokenizer.pad_id)


def test_another_programs_tokenizer_is_left_out_with_a_warning(saved):
    (saved / "tokenizer.model").write_bytes(b"not one of ours")
    with pytest.warns(UserWarning, match=r"tokenizer\.model.*without a tokenizer"):
        assert load_checkpoint(saved).tokenizer is None


class DiskFullError(Exception):
    pass


def fail(*args, **kwargs):
    raise DiskFullError


@pytest.mark.parametrize(
    ("module", "function"),
    [(checkpoint, "save_file"), (atomic_folder, "_flush_to_disk"), (os, "rename")],
)
def test_a_failure_while_saving_leaves_the_earlier_directory(monkeypatch, saved, module, function):
    before = logits(load_checkpoint(saved))
    with monkeypatch.context() as patch:
        patch.setattr(module, function, fail)
        with pytest.raises(DiskFullError):
            random_model(n_layers=1).save(saved)
    assert torch.equal(logits(load_checkpoint(saved)), before)
    assert os.listdir(saved.parent) == [saved.name]


def test_a_failure_of_the_last_rename_puts_the_earlier_directory_back(monkeypatch, saved):
    before, rename = logits(load_checkpoint(saved)), os.rename

    def fail_for_the_new_one(source, target):
        if target == saved and not str(source).endswith(".previous"):
            raise DiskFullError
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_for_the_new_one)
    with pytest.raises(DiskFullError):
        random_model(n_layers=1).save(saved)
    assert torch.equal(logits(load_checkpoint(saved)), before)
    assert os.listdir(saved.parent) == [saved.name]


def test_a_machine_that_stops_between_the_renames_loses_nothing(monkeypatch, saved):
    before = logits(load_checkpoint(saved))
    saved.rename(saved.with_name(f".{saved.name}.previous"))
    assert torch.equal(logits(load_checkpoint(saved)), before)
    model = random_model(n_layers=1)
    model.save(saved)
    assert torch.equal(logits(load_checkpoint(saved)), logits(model))
    assert os.listdir(saved.parent) == [saved.name]


def test_a_failure_while_saving_leaves_the_earlier_file(monkeypatch, tmp_path):
    path = tmp_path / "model.pt"
    random_model().save(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(DiskFullError):
            random_model(n_layers=1).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.pt"]


def test_saving_replaces_a_checkpoint_but_nothing_else(saved, tmp_path):
    smaller = random_model(n_layers=1)
    (saved / "trainer_state").mkdir()
    assert save_checkpoint(smaller, saved) == saved
    assert torch.equal(logits(load_checkpoint(saved)), logits(smaller))
    assert not (saved / "trainer_state").exists()
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter_1.txt").write_text("It was a dark and stormy night.")
    with pytest.raises(CheckpointError, match=r"thesis: not replaced.*chapter_1\.txt"):
        smaller.save(precious)
    with pytest.raises(CheckpointError, match=r"this is a file"):
        smaller.save(precious / "chapter_1.txt")
    assert (precious / "chapter_1.txt").exists()


def test_a_link_to_a_checkpoint_is_followed(saved, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(saved, target_is_directory=True)
    random_model(n_layers=1).save(link)
    assert link.is_symlink()
    assert load_checkpoint(link).config.n_layers == load_checkpoint(saved).config.n_layers == 1


def test_more_files_may_join_a_checkpoint_atomically(saved):
    model = random_model(n_layers=1)
    with atomic_directory(saved) as folder:
        write_model_files(model, folder)
        (folder / "trainer_state").mkdir()
        (folder / "trainer_state" / "step").write_text("7")
        assert load_checkpoint(saved).config.n_layers == 2
    assert load_checkpoint(saved).config.n_layers == 1
    assert (saved / "trainer_state" / "step").read_text() == "7"


def refusal(path):
    """Say why a checkpoint without a list of checksums is refused."""
    if path.is_dir():
        (path / "SHA256SUMS").unlink(missing_ok=True)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    return str(error.value)


def test_nothing_there(tmp_path):
    assert "nothing here" in refusal(tmp_path / "missing")
    assert "config.json: missing" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"model_type": "bert"}', b"\xff\xfe"])
def test_a_foreign_or_damaged_configuration(saved, content):
    (saved / "config.json").write_bytes(content)
    assert "config.json" in refusal(saved)


def test_no_tensors(saved):
    (saved / "model.safetensors").unlink()
    assert "expected one of model.safetensors" in refusal(saved)


@pytest.mark.parametrize("n_bytes", [0, 4, 100, 5000])
@pytest.mark.parametrize("name", ["folder", "model.pt"])
def test_truncated_tensors(tmp_path, n_bytes, name):
    random_model().save(tmp_path / name)
    file = tmp_path / name / "model.safetensors" if name == "folder" else tmp_path / name
    file.write_bytes(file.read_bytes()[:n_bytes])
    message = refusal(tmp_path / name)
    assert str(file) in message
    assert "truncated" in message


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tensors: tensors.pop(UP), [f"{UP} is missing", "(80, 48)"]),
        (lambda tensors: tensors.update({UP: torch.zeros(64, 48)}), [UP, "(64, 48)", "(80, 48)"]),
        (lambda tensors: tensors.update({UP: torch.zeros(80, 48, dtype=torch.int8)}), [UP, "torch.int8"]),
        (
            lambda tensors: tensors.update({"model.extra": torch.zeros(3)}),
            ["model.extra", "(3,)", "unexpected"],
        ),
        (lambda tensors: tensors.update({"lm_head.weight": torch.zeros(97, 48)}), ["ties lm_head.weight"]),
    ],
)
def test_mismatched_tensors_are_named_with_both_shapes(saved, change, named):
    change_tensors(saved, change)
    message = refusal(saved)
    assert [part for part in [str(saved / "model.safetensors"), *named] if part not in message] == []


def test_a_missing_shard_and_a_damaged_index(saved):
    tensors = load_file(saved / "model.safetensors")
    (saved / "model.safetensors").unlink()
    save_file({UP: tensors[UP]}, saved / "model-1.safetensors")
    index = saved / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {UP: "model-1.safetensors", "other": "model-2.safetensors"}}))
    assert "model-2.safetensors: missing" in refusal(saved)
    index.write_text(json.dumps({"weight_map": {UP: "../../elsewhere.safetensors"}}))
    assert "'../../elsewhere.safetensors' lies outside" in refusal(saved)
    for content in ("{}", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'):
        index.write_text(content)
        assert "no 'weight_map'" in refusal(saved)
    index.write_text("")
    assert "index.json: not JSON" in refusal(saved)
    index.write_text(json.dumps({"weight_map": {UP: "model-1.safetensors", "other": "model-2.safetensors"}}))
    shutil.copy(saved / "model-1.safetensors", saved / "model-2.safetensors")
    assert f"tensor {UP} is also in another shard" in refusal(saved)


class Hostile:
    """Unpickling this makes a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin"])
def test_a_hostile_pickle_is_refused_and_does_not_run(saved, tmp_path, name):
    (saved / "model.safetensors").unlink()
    trap = str(tmp_path / "trap")
    torch.save({"config": {}, "model": Hostile(trap)}, saved / name)
    message = refusal(saved / name if name == "model.pt" else saved)
    assert name in message
    assert "refused" in message
    assert "mkdir" in message
    assert not os.path.exists(trap)


def test_pickled_content_that_is_no_tensors_is_refused(saved):
    (saved / "model.safetensors").unlink()
    for content in ([torch.zeros(3)], {"model.norm.weight": 3}):
        torch.save(content, saved / "pytorch_model.bin")
        assert "pytorch_model.bin: expected tensors by name" in refusal(saved)


@pytest.mark.parametrize("content", [{"weight": torch.zeros(2)}, [1, 2], torch.zeros(3)])
def test_a_foreign_pt_file_says_what_it_holds_instead(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    message = refusal(tmp_path / "model.pt")
    assert "expected the keys 'config' and 'model'" in message
    assert "weight" in message or "list" in message or "Tensor" in message
