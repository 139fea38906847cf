"""GGUF files: their content is enough to compute the model, and llama.cpp writes the same text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import jinja2
import pytest
import tokenizers
import torch
from faults.full_disk import failing_writes, small_disk
from foreign_models import TEMPLATE, TEXTS, WORDS, byte_level_tokenizer, save_qwen3, save_tokenizer
from gguf import GGUFReader, TokenType
from gguf.quants import dequantize
from hypothesis import given, strategies as st

from minillm_lib.generation.chat_session import chat
from minillm_lib.generation.decoding import generate
from minillm_lib.interop.gguf import export_gguf
from minillm_lib.io.write_errors import WriteError
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer

TEXT = "a rose is a rose is a rose, one in 12 ÷ 3 = 4"
MESSAGES = [
    {"role": "system", "content": "be a rose"},
    {"role": "user", "content": "one in 3?"},
    {"role": "assistant", "content": "a rose"},
    {"role": "user", "content": "is\n  it {{ 12 }}?"},
]
YARN = {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 16}
SHAPES = {
    "plain": {},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "mqa with wide heads, untied": {"n_kv_heads": 1, "head_dim": 32, "tied_embeddings": False},
    "qk norm": {"qk_norm": True},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 4}},
    "llama3": {"rope_scaling": {"rope_type": "llama3", "factor": 8, "original_max_position_embeddings": 16}},
    "yarn": {"rope_scaling": YARN},
    "yarn with its own factor": {"rope_scaling": {**YARN, "attention_factor": 1.5}},
    "yarn with mscale": {"rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 0.5}},
    "qk norm, yarn": {"qk_norm": True, "rope_scaling": YARN},
}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train([TEXT] * 9, vocab_size=310)


def random_model(tokenizer, **overrides):
    """Random weights, those of norms and biases too, so that a lost one is noticed."""
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 96}
    config = {"vocab_size": 310, "max_seq_len": 64, "initializer_range": 0.2, "rope_theta": 500.0, **shape}
    model = MiniLLM(ModelConfig(**{**config, **overrides})).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter.data, 0.5 if "norm" in name else -1.0, 1.5)
    model.tokenizer = tokenizer
    return model


def contents(path):
    """The fields and the tensors of a file; fields lose the name of the architecture."""
    reader = GGUFReader(path)
    architecture = reader.get_field("general.architecture").contents()
    fields = {
        name.removeprefix(f"{architecture}."): field.contents() for name, field in reader.fields.items()
    }
    tensors = {
        tensor.name: torch.tensor(dequantize(tensor.data, tensor.tensor_type)) for tensor in reader.tensors
    }
    return fields, tensors


def logits_from_file(fields, tensors, ids):
    """A Llama or Qwen3 of nothing but what the file says, with rotations as complex numbers."""
    n_heads, n_kv_heads, size = (
        fields[f"attention.{key}"] for key in ("head_count", "head_count_kv", "key_length")
    )
    neighbours = fields["general.architecture"] == "llama"
    frequencies = fields["rope.freq_base"] ** (-torch.arange(0, size, 2) / size)
    frequencies = frequencies / tensors.get("rope_freqs.weight", torch.ones(()))
    frequencies = frequencies / fields.get("rope.scaling.factor", 1.0)
    turns = torch.polar(torch.ones(()), torch.arange(len(ids))[:, None, None] * frequencies)

    def linear(x, name):
        return x @ tensors[f"{name}.weight"].T + tensors.get(f"{name}.bias", torch.zeros(()))

    def norm(x, name):
        eps = fields["attention.layer_norm_rms_epsilon"]
        gain = tensors.get(f"{name}.weight", None)
        return x if gain is None else gain * x * (x.square().mean(-1, keepdim=True) + eps).rsqrt()

    def rotate(x):
        pairs = x.unflatten(-1, (-1, 2) if neighbours else (2, -1))
        pairs = pairs if neighbours else pairs.mT
        turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turns)
        return (turned if neighbours else turned.mT).flatten(-2)

    x = tensors["token_embd.weight"][ids]
    for layer in range(fields["block_count"]):
        block = f"blk.{layer}."
        seen = norm(x, f"{block}attn_norm")
        query, key, value = (linear(seen, f"{block}attn_{kind}").unflatten(-1, (-1, size)) for kind in "qkv")
        query, key = rotate(norm(query, f"{block}attn_q_norm")), rotate(norm(key, f"{block}attn_k_norm"))
        key, value = (each.repeat_interleave(n_heads // n_kv_heads, dim=1) for each in (key, value))
        scores = torch.einsum("qhd,khd->hqk", query, key) / size**0.5
        weights = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -torch.inf).softmax(-1)
        heads = torch.einsum("hqk,khd->qhd", weights, value).flatten(1)
        x = x + linear(heads, f"{block}attn_output")
        seen = norm(x, f"{block}ffn_norm")
        gate = linear(seen, f"{block}ffn_gate")
        x = x + linear(gate * gate.sigmoid() * linear(seen, f"{block}ffn_up"), f"{block}ffn_down")
    return norm(x, "output_norm") @ tensors.get("output.weight", tensors["token_embd.weight"]).T


@pytest.mark.parametrize("shape", [name for name in SHAPES if "yarn" not in name])
def test_the_file_alone_gives_the_logits_of_the_model(tokenizer, tmp_path, shape):
    model = random_model(tokenizer, **SHAPES[shape])
    fields, tensors = contents(export_gguf(model, tmp_path / "model.gguf"))
    ids = torch.randint(310, (40,))
    with torch.no_grad():
        expected = model(ids[None])[0]
    torch.testing.assert_close(logits_from_file(fields, tensors, ids), expected, rtol=1e-4, atol=1e-4)
    assert fields["GGUF.version"] == 3
    assert fields["context_length"] == model.config.context_length
    assert fields["rope.dimension_count"] == model.config.head_dim


@pytest.mark.parametrize("tied", [True, False])
def test_rows_without_a_piece_are_left_out(tokenizer, tmp_path, tied):
    model = random_model(tokenizer, vocab_size=320, tied_embeddings=tied)
    fields, tensors = contents(export_gguf(model, tmp_path / "model.gguf"))
    ids = torch.randint(310, (20,))
    with torch.no_grad():
        expected = model(ids[None])[0, :, :310]
    torch.testing.assert_close(logits_from_file(fields, tensors, ids), expected, rtol=1e-4, atol=1e-4)
    assert fields["vocab_size"] == len(fields["tokenizer.ggml.tokens"]) == 310


def test_matrices_are_rounded_to_the_type_asked_for_and_vectors_are_not(tokenizer, tmp_path):
    model = random_model(tokenizer)
    exact = contents(export_gguf(model, tmp_path / "f32.gguf"))[1]
    for dtype, rounded in {"f16": torch.Tensor.half, "bf16": torch.Tensor.bfloat16}.items():
        for name, tensor in contents(export_gguf(model, tmp_path / f"{dtype}.gguf", dtype=dtype))[1].items():
            assert torch.equal(tensor, rounded(exact[name]).float() if tensor.dim() == 2 else exact[name])


@pytest.fixture(scope="module")
def vocabulary(tokenizer, tmp_path_factory):
    path = export_gguf(random_model(tokenizer), tmp_path_factory.mktemp("gguf") / "model.gguf")
    return contents(path)[0]


@given(text=st.text("arose in=÷3124,<|>🌹\n", max_size=40))
def test_merging_by_the_files_scores_gives_the_tokens_of_the_tokenizer(tokenizer, vocabulary, text):
    """As llama.cpp does: of all neighbours that form a piece, join those of the best score, until none is left."""
    pieces, scores, kinds = (
        vocabulary[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores", "token_type")
    )
    score = {piece: score for piece, score, kind in zip(pieces, scores, kinds, strict=True) if kind == 1}
    parts = list(text.replace(" ", "▁"))
    while joined := [(score[a + b], -i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in score]:
        place = -max(joined)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    found = []
    for part in parts:
        as_bytes = [f"<0x{byte:02X}>" for byte in part.encode()]
        found += [pieces.index(piece) for piece in ([part] if part in score else as_bytes)]
    assert found == tokenizer.encode(text)


def test_the_special_tokens_and_what_text_is_given_besides(tokenizer, vocabulary):
    fields = {name.removeprefix("tokenizer.ggml."): value for name, value in vocabulary.items()}
    named = {kind: fields[f"{kind}_token_id"] for kind in ("padding", "unknown", "bos", "eos", "eot")}
    assert named == {"padding": 0, "unknown": 1, "bos": 2, "eos": 3, "eot": tokenizer.end_of_turn_id}
    assert (fields["add_bos_token"], fields["add_eos_token"], fields["add_space_prefix"]) == (
        False,
        False,
        False,
    )
    control, unknown, byte = 3, 2, 6
    assert fields["token_type"][:8] == [control, unknown, *[control] * 6]
    assert fields["token_type"][8:264] == [byte] * 256
    assert fields["token_type"][264:] == [1] * (310 - 264)


@pytest.mark.parametrize("n_messages", [2, 4])
def test_the_files_template_renders_conversations_without_extensions_of_jinja(
    tokenizer, vocabulary, n_messages
):
    template = jinja2.Environment(autoescape=False).from_string(vocabulary["tokenizer.chat_template"])
    rendered = template.render(messages=MESSAGES[:n_messages], add_generation_prompt=True)
    ids = tokenizer.apply_chat_template(MESSAGES[:n_messages], add_generation_prompt=True)
    assert rendered == tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"vocab_size": 309}, "its vocabulary size is 309, below the tokenizer's 310"),
        ({"norm": "layer"}, "do not use RMSNorm, SwiGLU and rotary positions"),
        ({"qk_norm": True, "attention_bias": True}, "has both biases and query–key norm"),
        ({"qk_norm": True, **SHAPES["llama3"]}, "both RoPE scaling 'llama3' and query–key norm"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2}}, "RoPE scaling is 'dynamic'"),
        ({"rope_scaling": {**YARN, "truncate": False}}, "YaRN bounds are not the usual ones"),
        ({"rope_scaling": {**YARN, "beta_slow": 2}}, "YaRN bounds are not the usual ones"),
    ],
)
def test_what_llama_cpp_cannot_compute_is_not_written(tokenizer, tmp_path, overrides, message):
    with pytest.raises(ValueError, match=f"llama.cpp does not support this model: .*{message}"):
        export_gguf(random_model(tokenizer, **overrides), tmp_path / "model.gguf")
    assert list(tmp_path.iterdir()) == []


def test_other_tokenizers_and_types_are_refused(tokenizer, tmp_path):
    model = random_model(tokenizer)
    with pytest.raises(ValueError, match="dtype is 'q4'; it must be one of f32, f16, bf16"):
        export_gguf(model, tmp_path / "model.gguf", dtype="q4")
    model = random_model(Tokenizer.train([TEXT] * 9, vocab_size=305, model_type="unigram"), vocab_size=305)
    with pytest.raises(ValueError, match="tokenizer is unigram"):
        export_gguf(model, tmp_path / "model.gguf")
    model.tokenizer = None
    with pytest.raises(ValueError, match="this model has none"):
        export_gguf(model, tmp_path / "model.gguf")


def test_an_interrupted_export_leaves_the_earlier_file_whole(tokenizer, tmp_path, monkeypatch):
    path = export_gguf(random_model(tokenizer), tmp_path / "model.gguf")
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        export_gguf(random_model(tokenizer, qk_norm=True), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def llama_cpp():
    """Run a file in llama.cpp, in this Python or in the one that MINILLM_LLAMA_PYTHON names."""
    python = os.environ.get("MINILLM_LLAMA_PYTHON") or (find_spec("llama_cpp") and sys.executable)
    if not python:
        pytest.skip("needs llama-cpp-python here, or in a Python that MINILLM_LLAMA_PYTHON names")

    def run(path, **job):
        job = {"path": str(path), "n_ctx": 64, "max_tokens": 16, "ids": [300], "prompt": "a", **job}
        job = {"texts": [], "messages": MESSAGES[:2], **job}
        worker = [python, str(Path(__file__).with_name("llama_cpp_worker.py"))]
        done = subprocess.run(worker, input=json.dumps(job), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_llama_cpp_gives_the_logits_of_the_model(tokenizer, tmp_path, llama_cpp, shape):
    model = random_model(tokenizer, **SHAPES[shape])
    ids = torch.randint(264, 310, (40,))
    answer = llama_cpp(export_gguf(model, tmp_path / "model.gguf"), ids=ids.tolist())
    with torch.no_grad():
        expected = model(ids[None])[0]
    torch.testing.assert_close(torch.tensor(answer["logits"]), expected, rtol=1e-3, atol=2e-3)


def briefly_trained(tokenizer):
    """A model that has learned a sentence and two short conversations, in a few seconds."""
    model = random_model(tokenizer, initializer_range=0.02).train()
    ends = tokenizer.eos_id, tokenizer.end_of_turn_id
    chats = [MESSAGES[:3], [*MESSAGES, {"role": "assistant", "content": "12 in 4 🌹"}]]
    texts = [[*tokenizer.encode(TEXT), ends[0]], *(tokenizer.apply_chat_template(each) for each in chats)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        sum(
            model.loss(ids[:, :-1], ids[:, 1:]) for ids in map(torch.tensor, ([text] for text in texts))
        ).backward()
        optimizer.step()
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_llama_cpp_writes_the_same_text(tokenizer, tmp_path, llama_cpp, dtype):
    """From the same prompt, tokenised there, and in a conversation, by the file's template."""
    model = briefly_trained(tokenizer)
    texts = [TEXT, " two  spaces ", "12345", "玫瑰 🌹\n\t", "<|end|> <0x0A>", "", "\x00\ufeffe\u0301"]
    path = export_gguf(model, tmp_path / "model.gguf", dtype=dtype)
    answer = llama_cpp(path, prompt="a rose is", texts=texts, messages=MESSAGES)
    options = {"temperature": 0, "max_new_tokens": 16}
    (ours,) = generate(model, "a rose is", **options)
    assert answer["text"]["text"] == ours.text
    assert ours.text.startswith(" a rose is a rose, one")
    reply = chat(model, MESSAGES[-1]["content"], history=MESSAGES[:-1], **options)
    assert answer["reply"]["message"]["content"] == reply == "12 in 4 🌹"
    assert answer["reply"]["finish_reason"] == "stop"
    assert answer["ids"] == [tokenizer.encode(text) for text in texts]
    assert answer["conversation"] == tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True)


@pytest.mark.parametrize(("words", "name"), [(WORDS, "qwen2"), (None, "gpt-2")])
def test_a_byte_level_tokenizer_is_written_so_that_its_ids_can_be_computed(tmp_path, words, name):
    """The vocabulary and merges in the file, with the words of that name, give the ids of the tokenizer."""
    folder = save_qwen3(tmp_path)
    own = MiniLLM.load_from_checkpoint(folder, tokenizer=save_tokenizer(tmp_path / "other", words=words))
    fields = GGUFReader(export_gguf(own, tmp_path / "model.gguf")).fields
    read = {key.removeprefix("tokenizer."): field.contents() for key, field in fields.items()}
    assert (read["ggml.model"], read["ggml.pre"]) == ("gpt2", name)
    assert len(read["ggml.tokens"]) == own.n_ids == 402
    vocab = {piece: token_id for token_id, piece in enumerate(read["ggml.tokens"])}
    library = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab, [tuple(merge.split(" ")) for merge in read["ggml.merges"]])
    )
    library.pre_tokenizer = byte_level_tokenizer(words).pre_tokenizer
    for text in (*TEXTS, "it's  12\n\n topics 🌹"):
        assert library.encode(text).ids == own.tokenizer.encode(text)
    kinds = read["ggml.token_type"]
    assert kinds[:3] == [TokenType.CONTROL] * 3
    assert kinds[-2:] == [TokenType.USER_DEFINED] * 2
    assert kinds[3:-2] == [TokenType.NORMAL] * 397
    assert (read["ggml.eos_token_id"], read["ggml.eot_token_id"], read["ggml.padding_token_id"]) == (2, 2, 0)
    assert read["chat_template"] == TEMPLATE


def test_words_without_a_name_in_llama_cpp_are_refused(tmp_path):
    folder = save_qwen3(tmp_path)
    save_tokenizer(folder, words=r"\w+|\W")
    with pytest.raises(ValueError, match=r"splits words by a pattern without a name there, '\\\\w\+"):
        export_gguf(MiniLLM.load_from_checkpoint(folder), tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("normalizer", {"type": "NFC"}, None),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}]}, None),
        ("normalizer", {"type": "Lowercase"}, "changes a text before it splits it, by Lowercase"),
        (
            "normalizer",
            {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "NFC"}, {"type": "Lowercase"}]},
            "by Lowercase, NFKC",
        ),
        (
            "normalizer",
            {"type": "Replace", "pattern": {"String": "a"}, "content": "b"},
            "changes a text before it splits it, by Replace",
        ),
        ("dropout", 0.1, r"does more than merge pairs: it has dropout=0\.1"),
        ("end_of_word_suffix", "</w>", "it has end_of_word_suffix='</w>'"),
        ("ignore_merges", True, "has ignore_merges, which is not known there with the words of qwen2"),
    ],
)
def test_what_llama_cpp_does_not_do_to_a_text_is_refused(tmp_path, part, value, message):
    folder = save_qwen3(tmp_path / "model")
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    (content if part in content else content["model"])[part] = value
    file.write_text(json.dumps(content), encoding="utf-8")
    model, path = MiniLLM.load_from_checkpoint(folder), tmp_path / "model.gguf"
    if message is None:
        assert export_gguf(model, path).exists()
    else:
        with pytest.raises(
            ValueError, match=f"llama.cpp does not support this model: its tokenizer .*{message}"
        ):
            export_gguf(model, path)
        assert not path.exists()


def full_disk_while(writing, path):
    """Check that a failing write of a GGUF file names it and leaves nothing else."""
    with pytest.raises(WriteError, match=rf"^{path} could not be written: the disk is full"):
        writing()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"earlier"


def test_a_full_disk_names_the_file_and_leaves_the_earlier_one(tokenizer, tmp_path):
    model, path = random_model(tokenizer), tmp_path / "model.gguf"
    with failing_writes(tmp_path) as counted:
        export_gguf(model, path)
    path.write_bytes(b"earlier")
    for at in {1, 2, 3, counted.n_writes // 2, counted.n_writes - 1, counted.n_writes}:
        with failing_writes(tmp_path, at=at):
            full_disk_while(lambda: export_gguf(model, path), path)


@pytest.mark.slow
def test_so_does_a_disk_that_is_really_full(tokenizer, tmp_path):
    """Tensors are written by NumPy, past Python's files, and its error knows no reason."""
    model = random_model(tokenizer)
    with small_disk(tmp_path / "disk", 200_000) as disk:
        path = disk.path / "model.gguf"
        path.write_bytes(b"earlier")
        full_disk_while(lambda: export_gguf(model, path), path)
