"""What lies in a checkpoint: a tokenizer that belongs to the weights, other people's models, and what they are for."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
import torch
from foreign_models import TEXTS, byte_level_tokenizer, save_qwen3, save_tokenizer
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
    pipeline,
)

from minillm_lib.model.checkpoint import CheckpointError, load_checkpoint
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.metadata import ChatDefaults
from minillm_lib.tokenizer import SentencePieceTokenizer, Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, vocab_size=360)


def small_model(vocab_size=360, **changes):
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 48}
    config = ModelConfig(vocab_size=vocab_size, max_seq_len=128, initializer_range=0.3, **(shape | changes))
    return MiniLLM(config).eval()


@pytest.fixture
def saved(tmp_path, tokenizer):
    small_model().save(tmp_path / "model", tokenizer)
    return tmp_path / "model"


def refusal(path, **options):
    """Say why a checkpoint without a list of checksums is refused."""
    if path.is_dir():
        (path / "SHA256SUMS").unlink(missing_ok=True)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path, **options)
    return str(error.value)


def test_a_missing_tokenizer_is_named_and_the_weights_can_be_had_alone(saved):
    (saved / "tokenizer.model").unlink()
    assert refusal(saved).startswith(f"tokenizer.model is missing from {saved}")
    alone = load_checkpoint(saved, tokenizer=False)
    with pytest.raises(ValueError, match=r"has none \(tokenizer\.model is missing from .*model"):
        alone.chat("hello")


@pytest.mark.parametrize("name", ["model", "model.pt"])
def test_another_tokenizer_is_refused_unless_it_is_given(tmp_path, tokenizer, name):
    other = Tokenizer.train([text.upper() for text in TEXTS], vocab_size=360)
    path = tmp_path / name
    small_model().save(path, tokenizer)
    if path.is_dir():
        other.save(path)
    else:
        content = torch.load(path)
        content["tokenizer"] = torch.tensor(list(other.files()["tokenizer.model"]), dtype=torch.uint8)
        torch.save(content, path)
    message = refusal(path)
    assert f"SHA-256 {other.sha256[:12]}…) is not the one that the weights were trained with" in message
    assert tokenizer.sha256[:12] in message
    given = other if name == "model" else other.save(tmp_path / "elsewhere")
    assert load_checkpoint(path, tokenizer=given).tokenizer == other


def test_a_tokenizer_with_more_ids_than_the_weights_is_refused(saved, tmp_path):
    larger = Tokenizer.train(TEXTS, vocab_size=365)
    assert "the tokenizer has 365 ids, but the weights have rows for only 360" in refusal(
        saved, tokenizer=larger
    )
    assert "there is no tokenizer at" in refusal(saved, tokenizer=tmp_path / "nowhere")


def test_a_damaged_tokenizer_is_an_error(saved):
    (saved / "tokenizer.model").write_bytes(b"damaged")
    assert "tokenizer.model: this is not a SentencePiece model" in refusal(saved)


@pytest.mark.parametrize("change", ["missing", "damaged", "intact"])
def test_a_checkpoint_without_a_hash_loads_as_before(saved, change):
    config = json.loads((saved / "config.json").read_text())
    del config["minillm_tokenizer"]
    (saved / "config.json").write_text(json.dumps(config))
    (saved / "SHA256SUMS").unlink()
    if change == "intact":
        assert isinstance(load_checkpoint(saved).tokenizer, SentencePieceTokenizer)
    elif change == "damaged":
        (saved / "tokenizer.model").write_bytes(b"damaged")
        with pytest.warns(UserWarning, match=r"tokenizer\.model.*without a tokenizer"):
            assert load_checkpoint(saved).tokenizer is None
    else:
        for name in ("tokenizer.model", "tokenizer.json"):
            (saved / name).unlink()
        assert load_checkpoint(saved).tokenizer is None


@pytest.mark.parametrize("name", ["model", "model.pt"])
@pytest.mark.parametrize("stage", ["pretrain", "sft", None])
def test_what_is_known_of_a_model_survives(tmp_path, tokenizer, name, stage):
    model = small_model()
    model.tokenizer, model.stage = tokenizer, stage
    model.chat_defaults = ChatDefaults(not_sure_below=0.25, fresh=True)
    model.quantized().save(tmp_path / "int8")
    model.save(tmp_path / name)
    for path in (tmp_path / name, tmp_path / "int8"):
        loaded = load_checkpoint(path)
        assert (loaded.stage, loaded.chat_defaults) == (stage, model.chat_defaults)
        assert loaded.source == path
    assert load_checkpoint(tmp_path / "int8").dequantized().chat_defaults == model.chat_defaults


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        (
            "config.json",
            "minillm_stage",
            "dpo",
            "minillm_stage is 'dpo'; it must be one of 'pretrain', 'sft'",
        ),
        ("config.json", "minillm_tokenizer", "x", "it must have the strings 'file' and 'sha256'"),
        ("generation_config.json", "minillm", {"not_sure_below": 2}, "not_sure_below"),
        ("generation_config.json", "minillm", {"sure": 1}, "unknown key 'sure'"),
    ],
)
def test_what_is_not_valid_is_named(saved, file, key, value, message):
    content = json.loads((saved / file).read_text())
    (saved / file).write_text(json.dumps(content | {key: value}))
    assert message in refusal(saved)


def fine_tuned(tokenizer, answers):
    """A model that was trained on some answers until it knows them."""
    model = small_model()
    model.tokenizer, model.stage = tokenizer, "sft"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        for question, answer in answers.items():
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            ids, mask = map(torch.tensor, tokenizer.chat_ids_and_mask(turns))
            loss = model.loss(ids[None, :-1], ids.where(mask, -100)[None, 1:])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return model.eval()


def test_the_pipeline_of_transformers_answers_as_chat_does(tmp_path, tokenizer):
    """Its own default draws at a temperature of 0.7, and goes on after the end of the turn."""
    answers = {"What is a topic?": "Words that go together.", "你好": "主题模型，语言模型。"}
    model = fine_tuned(tokenizer, answers)
    model.chat_defaults = ChatDefaults(not_sure_below=0.5)
    model.save(tmp_path / "model")
    generator = pipeline("text-generation", str(tmp_path / "model"))
    for question, answer in answers.items():
        reply = generator([{"role": "user", "content": question}])[0]["generated_text"][-1]["content"]
        assert reply == model.chat(question) == answer
    assert GenerationConfig.from_pretrained(tmp_path / "model").max_new_tokens == 256


def test_a_model_that_was_only_pretrained_draws(tmp_path, tokenizer):
    model = small_model()
    model.tokenizer, model.stage = tokenizer, "pretrain"
    model.save(tmp_path / "model")
    config = GenerationConfig.from_pretrained(tmp_path / "model")
    assert (config.do_sample, config.temperature) == (True, 0.8)


SHAPES = {
    "qwen3": (Qwen3Config, {"head_dim": 24, "tie_word_embeddings": True}),
    "qwen3, odd heads, untied": (
        Qwen3Config,
        {"num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 20},
    ),
    "qwen3, biases, one key head": (
        Qwen3Config,
        {"num_key_value_heads": 1, "head_dim": 8, "attention_bias": True},
    ),
    "qwen2": (Qwen2Config, {}),
    "qwen2, tied": (Qwen2Config, {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    "llama, wide heads": (LlamaConfig, {"head_dim": 24, "attention_bias": True, "mlp_bias": True}),
}


@pytest.mark.parametrize("shards", ["50GB", "20KB"])
@pytest.mark.parametrize(("kind", "changes"), SHAPES.values(), ids=SHAPES)
def test_logits_are_those_of_transformers(tmp_path, kind, changes, shards):
    torch.manual_seed(0)
    shape = {"vocab_size": 97, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    theirs = AutoModelForCausalLM.from_config(kind(**(shape | heads | changes))).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size=shards)
    ours = load_checkpoint(tmp_path / "theirs")
    ours.save(tmp_path / "ours")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    ids = torch.randint(0, 97, (2, 11))
    with torch.no_grad():
        expected = theirs(ids).logits
        torch.testing.assert_close(ours(ids), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(again(ids).logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["again", "again.pt"])
def test_a_qwen3_of_transformers_runs_and_is_saved_again(tmp_path, name):
    folder = save_qwen3(tmp_path / "qwen")
    model = load_checkpoint(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.randint(0, 402, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=1e-4, atol=1e-5)
    assert model.tokenizer.end_ids == (2, 0)
    reply = model.chat("a topic", max_new_tokens=12)
    model.save(tmp_path / name)
    again = load_checkpoint(tmp_path / name)
    assert again.tokenizer == model.tokenizer
    assert again.tokenizer.end_ids == (2, 0)
    assert again.chat("a topic", max_new_tokens=12) == reply
    assert again.generate("a topic", max_new_tokens=3, temperature=0)[0].ids


def test_a_file_of_tensors_beside_its_configuration_stands_for_the_folder(tmp_path):
    folder = save_qwen3(tmp_path / "qwen")
    assert load_checkpoint(folder / "model.safetensors").tokenizer == Tokenizer.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gemma3_text"}, "model_type is 'gemma3_text'; this package reads 'llama'"),
        ({"model_type": "qwen3_moe", "num_experts": 8}, "model_type is 'qwen3_moe'"),
        ({"num_experts": 8}, "num_experts is 8; a mixture of experts is not supported"),
        ({"num_local_experts": 4}, "num_local_experts is 4"),
        ({"use_sliding_window": True}, "use_sliding_window is True"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types has 'sliding_attention'"),
    ],
)
def test_what_this_package_cannot_compute_is_named(tmp_path, changes, message):
    folder = save_qwen3(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    assert message in refusal(folder)


@pytest.fixture
def minimind(tmp_path, monkeypatch):
    """MiniMind's repository after training: weights in out/, the tokenizer in model/."""
    config = {"hidden_size": 64, "n_heads": 8, "n_kv_heads": 4, "qk_norm": True, "rope_theta": 1e6}
    model = small_model(416, **config, norm_eps=1e-6)
    (tmp_path / "out").mkdir()
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save(tensors | {"lm_head.weight": model.embed_tokens.weight}, tmp_path / "out" / "full_sft_64.pth")
    save_tokenizer(tmp_path / "model")
    return model, tmp_path


def test_a_file_of_minimind_finds_its_tokenizer_and_says_what_it_guesses(minimind):
    model, folder = minimind
    with pytest.warns(UserWarning, match="has no configuration") as caught:
        loaded = load_checkpoint(folder / "out" / "full_sft_64.pth")
    notes = [str(each.message) for each in caught]
    assert any("n_heads=8, rope_theta=1000000.0, norm_eps=1e-06, max_seq_len=32768" in note for note in notes)
    assert any(f"the tokenizer is the one in {folder / 'model'}" in note for note in notes)
    ids = torch.randint(0, 402, (2, 9))
    torch.testing.assert_close(loaded(ids), model(ids))
    assert loaded.tokenizer == Tokenizer.load(folder / "model")
    assert isinstance(loaded.chat("a topic", max_new_tokens=3), str)


def test_what_a_file_of_minimind_does_not_tell_can_be_given(minimind):
    _, folder = minimind
    given = {"rope_theta": 1e4, "max_seq_len": 128, "norm_eps": 1e-5, "n_heads": 8}
    shutil.rmtree(folder / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_checkpoint(folder / "out" / "full_sft_64.pth", overrides=given)
    assert (loaded.config.rope_theta, loaded.config.max_seq_len, loaded.tokenizer) == (1e4, 128, None)
    scaled = load_checkpoint(
        folder / "out" / "full_sft_64.pth",
        overrides=given,
        rope_scaling={"rope_type": "linear", "factor": 2},
    )
    assert scaled.config.max_seq_len == 256
    assert "unknown key 'heads'" in refusal(folder / "out" / "full_sft_64.pth", overrides={"heads": 8})


def test_overrides_are_refused_where_the_configuration_is_complete(saved):
    assert "its configuration is complete, and overrides={'n_heads': 2}" in refusal(
        saved, overrides={"n_heads": 2}
    )


def test_minimind_directories_and_mixtures_of_experts(minimind):
    model, folder = minimind
    native = folder / "native"
    shutil.copytree(folder / "model", native)
    shutil.copy(folder / "out" / "full_sft_64.pth", native / "pytorch_model.bin")
    config = {"model_type": "minimind", "num_attention_heads": 8, "num_experts": 4, "use_moe": False}
    (native / "config.json").write_text(json.dumps(config))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_checkpoint(native)
    ids = torch.randint(0, 402, (2, 9))
    torch.testing.assert_close(loaded(ids), model(ids))
    assert loaded.tokenizer is not None
    (native / "config.json").write_text(json.dumps(config | {"use_moe": True}))
    assert "use_moe is True; a mixture of experts is not supported" in refusal(native)


def test_gpt2s_tokenizer_has_no_chat_template_and_says_so(tmp_path):
    folder = save_qwen3(tmp_path / "base", template=None)
    byte_level_tokenizer(None).save(str(folder / "tokenizer.json"))
    model = load_checkpoint(folder)
    assert model.generate("a topic", max_new_tokens=2, temperature=0)[0].ids
    with pytest.raises(ValueError, match=r"no chat template.*continues texts, and does not chat"):
        model.chat("hello")
