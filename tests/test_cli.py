"""The command line as a user meets it: its output, its errors, its exit status."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys

import pytest
import torch

import minillm_lib
from minillm_lib.cli.options import own_or_shipped

THEMES = ["river harbour boat anchor sailor tide", "bread flour oven yeast dough baker"]


def in_a_process(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "minillm_lib", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"},
        check=False,
    )


@pytest.fixture(scope="module")
def own_documents(tmp_path_factory):
    """Two plain themes, in a folder of text files and in a JSONL file."""
    folder = tmp_path_factory.mktemp("own")
    rng = random.Random(0)
    texts = ["The " + " and ".join(rng.choices(THEMES[i % 2].split(), k=30)) for i in range(12)]
    (folder / "texts").mkdir()
    for i, text in enumerate(texts):
        (folder / "texts" / f"{i:02}.txt").write_text(text, encoding="utf-8")
    rows = [
        json.dumps({"text": text, "title": f"Note {i}", "year": 2000 + i}) for i, text in enumerate(texts)
    ]
    (folder / "notes.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder


def test_help_names_every_command():
    result = in_a_process("--help")
    assert result.returncode == 0
    for command in ("lda", "demo", "generate", "chat", "export", "data", "tokenizer", "doctor"):
        assert re.search(rf"^\W*{command}\b", result.stdout, re.MULTILINE), command
    assert in_a_process("--version").stdout.strip() == minillm_lib.__version__


def test_lda_without_documents_finds_ten_topics_of_the_shipped_papers(minillm, tmp_path):
    result = minillm("lda", "--sweeps", 50, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1,000 documents" in result.stdout
    assert "Gibbs sampling: 100%" in result.stderr
    assert "log-likelihood -7." in result.stderr
    assert {int(n) for n in re.findall(r"^. (\d) +. +\d+\.\d%", result.stdout, re.MULTILINE)} == set(
        range(10)
    )
    html = (tmp_path / "lda-report.html").read_text(encoding="utf-8")
    assert "reinforcement learning" in html


@pytest.mark.parametrize(
    "arguments", [["--text", "texts"], ["--text", "notes.jsonl"], ["notes.jsonl"], ["texts"]]
)
def test_own_documents(minillm, tmp_path, own_documents, arguments):
    report = tmp_path / "deep" / "own.html"
    *option, name = arguments
    path = str(own_documents / name)
    result = minillm(
        "lda", *option, path, "-k", "2", "--sweeps", "60", "--no-learn-priors", "-o", str(report)
    )
    assert result.returncode == 0, result.stderr
    row = r"^. \d +. +\d+\.\d% . +\d\.\d\d +. (\w+), (\w+), (\w+)"
    best = re.findall(row, result.stdout, re.MULTILINE)
    assert len(best) == 2
    assert [sum(set(terms) <= set(theme.split()) for terms in best) for theme in THEMES] == [1, 1]
    assert "stop words" in result.stdout
    assert "river" in report.read_text(encoding="utf-8")


def test_numbers_of_topics_are_compared_on_request(minillm, tmp_path, own_documents):
    path = str(own_documents / "texts")
    result = minillm("lda", "--text", path, "-k", "2", "--sweeps", "20", "--compare", "1,2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    row = r"^. (\d) +. ([\d,]+) ± \d+ +. +-?\d\.\d+ ± \d\.\d+ +. +\d\.\d\d ± \d\.\d\d"
    rows = re.findall(row, result.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "2"]
    assert int(rows[1][1]) < int(rows[0][1]), "two themes are predicted better by two topics"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lda", "--text", "nowhere"], "nowhere"),
        (["lda", "-k", "0"], "Invalid value for '--topics'"),
        (["lda", "--alpha", "0"], "--alpha is 0; it must be from 1e-100 to 1e+09"),
        (["lda", "--compare", "5;10"], "whole numbers with commas"),
        (["lda", "-o", "."], "is a folder"),
        (["lda", "--report-language", "fr"], "'fr' is not one of 'en', 'zh'"),
        (["lad"], "No such command 'lad'"),
    ],
)
def test_a_mistake_is_one_clear_message_and_no_traceback(minillm, tmp_path, arguments, message):
    result = minillm(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_developer_can_ask_for_the_traceback(minillm, tmp_path):
    with pytest.raises(ValueError, match="alpha"):
        minillm("lda", "--alpha", "0", cwd=tmp_path, MINILLM_DEBUG="1")


def test_doctor_prints_machine_and_presets(minillm):
    result = minillm("doctor")
    assert result.returncode == 0, result.stderr
    for expected in ("cores", "memory", "torch", "widgets", "browser", "26m-classic", "25,829,888"):
        assert expected in result.stdout


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained model with a small tokenizer: it writes nonsense, but the same nonsense for the same seed."""
    import torch

    torch.manual_seed(0)
    tokenizer = minillm_lib.Tokenizer.train(["a river, a harbour, a boat " * 20], vocab_size=305)
    model = minillm_lib.MiniLLM.from_preset("nano", vocab_size=tokenizer.vocab_size)
    path = tmp_path_factory.mktemp("models") / "nano"
    model.save(path, tokenizer)
    return path


def test_generate_writes_what_the_library_writes(minillm, checkpoint):
    model = minillm_lib.MiniLLM.load_from_checkpoint(checkpoint)
    (expected,) = model.generate("a river", max_new_tokens=12, seed=3)
    options = ["--ckpt", str(checkpoint), "--max-new-tokens", "12", "--seed", "3", "--device", "cpu"]
    result = minillm("generate", "a river", *options)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"a river{expected.text}\n"


def test_chat_answers_one_message_or_holds_a_conversation(minillm, checkpoint):
    model = minillm_lib.MiniLLM.load_from_checkpoint(checkpoint)
    expected = model.chat("a boat?", max_new_tokens=12, seed=5, temperature=0.8)
    assert expected.strip()
    options = ["--ckpt", str(checkpoint), "--max-new-tokens", "12", "--seed", "5", "--device", "cpu"]
    options += ["--temperature", "0.8"]
    result = minillm("chat", "a boat?", *options)
    assert result.stdout == f"{expected}\n"
    talk = minillm("chat", *options, standard_input="a boat?\n/reset\na boat?\n")
    assert talk.returncode == 0, talk.stderr
    assert talk.stdout.count(expected) == 2


def test_export_writes_for_llama_cpp_and_for_transformers(minillm, checkpoint, tmp_path):
    for name in ("model.gguf", "folder"):
        assert minillm("export", str(tmp_path / name), "--ckpt", str(checkpoint)).returncode == 0
    assert (tmp_path / "model.gguf").read_bytes()[:4] == b"GGUF"
    assert (tmp_path / "folder" / "model.safetensors").exists()


def test_export_writes_a_folder_in_the_type_that_is_asked_for(minillm, checkpoint, tmp_path):
    options = ["--ckpt", str(checkpoint), "--dtype", "bf16"]
    assert minillm("export", str(tmp_path / "folder"), *options).returncode == 0
    written = minillm_lib.MiniLLM.load_from_checkpoint(tmp_path / "folder")
    assert {parameter.dtype for parameter in written.parameters()} == {torch.bfloat16}


def test_export_in_8_bits_gives_a_model_to_chat_with(minillm, checkpoint, tmp_path):
    small = str(tmp_path / "small")
    assert minillm("export", small, "--ckpt", str(checkpoint), "--dtype", "int8").returncode == 0
    model = minillm_lib.MiniLLM.load_from_checkpoint(small)
    expected = (
        minillm_lib.MiniLLM.load_from_checkpoint(checkpoint).quantized().chat("a boat?", max_new_tokens=9)
    )
    assert model.chat("a boat?", max_new_tokens=9) == expected
    options = ["--max-new-tokens", "9", "--device", "cpu"]
    for extra in ((), ("--exact",)):
        assert minillm("chat", "a boat?", "--ckpt", small, *options, *extra).stdout == f"{expected}\n"
    for name, source in (("plain", small), ("model.gguf", small)):
        result = minillm("export", str(tmp_path / name), "--ckpt", source, "--dtype", "f16")
        assert result.returncode == 0, result.stderr
    plain = minillm_lib.MiniLLM.load_from_checkpoint(tmp_path / "plain")
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.float16}
    result = minillm("export", str(tmp_path / "other.gguf"), "--ckpt", str(checkpoint), "--dtype", "int8")
    assert result.returncode != 0
    assert "--dtype int8" in result.stderr


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_exact_computes_with_the_layers_alone(minillm, checkpoint, command, monkeypatch):
    from minillm_lib.generation.fast_path import FastDecoder

    steps, step = [], FastDecoder.__call__
    monkeypatch.setattr(FastDecoder, "__call__", lambda self, token: steps.append(token) or step(self, token))
    options = ["--ckpt", str(checkpoint), "--max-new-tokens", "9", "--device", "cpu", "--temperature", "0"]
    model = minillm_lib.MiniLLM.load_from_checkpoint(checkpoint, dtype=torch.float32)
    exact = minillm(command, "a boat", *options, "--exact")
    assert not steps
    expected = getattr(model, command)("a boat", max_new_tokens=9, temperature=0, fast=False)
    assert exact.stdout == (f"{expected}\n" if command == "chat" else f"a boat{expected[0].text}\n")

    fast = minillm(command, "a boat", *options)
    assert steps
    if command == "chat":
        assert fast.stdout == f"{model.quantized().chat('a boat', max_new_tokens=9)}\n"
        assert "rounded to 8 bits" in fast.stderr
        assert "8 bits" not in exact.stderr
    else:
        assert fast.stdout == exact.stdout


def test_chat_without_a_checkpoint_answers_with_the_model_that_came_along(tmp_path):
    result = in_a_process("chat", "讲讲 LDA 与 Transformer 的差异？", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "词袋" in result.stdout
    assert "the model: results/26m/chat, which came with the course" in result.stderr


def test_where_no_model_came_along_chat_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minillm_lib.io.repository.REPOSITORY", tmp_path)
    with pytest.raises(
        ValueError, match=r"no --ckpt is given, .* part of the repository, not of the installed package"
    ):
        own_or_shipped("chat")


def test_without_a_checkpoint_the_users_own_is_taken(minillm, checkpoint, tmp_path):
    own = tmp_path / "checkpoints" / "sft.pt"
    minillm_lib.MiniLLM.load_from_checkpoint(checkpoint).save(own)
    options = ["--max-new-tokens", "12", "--seed", "3", "--device", "cpu"]
    named = minillm("generate", "Once", "--ckpt", str(checkpoint), *options)
    found = minillm("generate", "Once", *options, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout == named.stdout
    assert f"the model: {own.relative_to(tmp_path)}" in found.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ckpt", "nowhere"], "nowhere"),
        (["--top-p", "2"], "'--top-p': Input should be less than or equal to 1"),
        (["--device", "cuda:7"], "--device 'cuda:7' is not available here"),
        (["--device", "tpu9"], "--device 'tpu9' is not available here"),
    ],
)
def test_generation_mistakes_are_named(minillm, checkpoint, tmp_path, options, message):
    result = minillm("generate", "a", "--ckpt", str(checkpoint), *options, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
