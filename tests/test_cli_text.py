"""``minillm tokenizer`` and ``minillm data clean`` on the grammar, which needs no network and no build."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from minillm_lib.cli.main import app
from minillm_lib.corpora.document import sample, split_of
from minillm_lib.corpora.registry import load_corpus
from minillm_lib.tokenizer import Tokenizer


def run(*arguments):
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    for model_type in ("bpe", "unigram"):
        options = [
            "--corpus",
            "grammar",
            "--documents",
            200,
            "--vocab-size",
            1200,
            "--model-type",
            model_type,
        ]
        run("tokenizer", "train", folder / f"{model_type}.model", *options)
    return folder


@pytest.mark.slow
def test_what_is_trained_is_what_the_library_trains(models):
    texts = [document.text for document in sample(load_corpus("grammar"), 200)]
    assert Tokenizer.load(models / "bpe.model") == Tokenizer.train(texts, vocab_size=1200)
    assert Tokenizer.load(models / "unigram.model").model_type == "unigram"


def test_show_prints_pieces_and_ids(models):
    text = "We study the graph."
    output = run("tokenizer", "show", models / "bpe.model", text)
    ids = Tokenizer.load(models / "bpe.model").encode(text)
    assert " ".join(map(str, ids)) in output
    assert f"{len(ids)} tokens, {len(text)} bytes" in output


def test_compare_gives_bytes_a_token_for_each_language(models):
    output = run(
        "tokenizer", "compare", models / "bpe.model", models / "unigram.model", "--corpus", "grammar"
    )
    rows = re.findall(r"grammar\W+(en|zh)\W+(\d+\.\d\d)\W+(\d+\.\d\d)", output)
    assert [row[0] for row in rows] == ["en", "zh"]
    tokenizer = Tokenizer.load(models / "bpe.model")
    texts = [document.text for document in sample(load_corpus("grammar", split="validation"), 500)]
    english = [text for text in texts if text.isascii()]
    assert f"{tokenizer.bytes_per_token(english):.2f}" == next(row[1] for row in rows if row[0] == "en")


def test_clean_writes_documents_and_an_account_of_what_went(tmp_path):
    source = tmp_path / "notes.jsonl"
    texts = ["A sentence about boats and the harbour where they wait. " + c * 9 for c in "abc"]
    rows = [{"text": text} for text in [*texts, texts[0], "short"]]
    source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    output = run(
        "data", "clean", "files", tmp_path / "clean.jsonl", "--option", f"paths={source}",
        "--jobs", 1, "--step", "control characters", "--step", "exact duplicates",
    )  # fmt: skip
    kept = [
        json.loads(line)["text"]
        for line in (tmp_path / "clean.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert kept == [*texts, "short"]
    assert "files (all)" in output
    assert "exact duplicates" in output
    assert json.loads((tmp_path / "clean.report.json").read_text(encoding="utf-8"))
    assert (tmp_path / "clean.report.png").read_bytes()[:4] == b"\x89PNG"


def test_files_of_ones_own_are_cleaned_and_shown_in_full_unless_a_split_is_kept_out(tmp_path):
    text = "\n\n".join(f"{i} boats wait in the harbour until the tide comes in." for i in range(40))
    (tmp_path / "own.txt").write_text(text)
    options = ["--option", f"paths={tmp_path / 'own.txt'}", "--option", "documents=file"]
    cleaning = [
        "data",
        "clean",
        "files",
        tmp_path / "clean.jsonl",
        *options,
        "--jobs",
        1,
        "--step",
        "encoding",
    ]
    run(*cleaning)
    assert json.loads((tmp_path / "clean.jsonl").read_text())["text"] == text
    assert "39 boats wait" in run("data", "show", "files", *options)
    assert "files (train)" in run(*cleaning, "--step", "test text", "--against", "test")
    kept = json.loads((tmp_path / "clean.jsonl").read_text())
    assert text.startswith(kept["text"])
    assert kept["text"] != text


def test_a_tokenizer_learns_from_all_of_your_own_text_whatever_its_hash(tmp_path):
    """One text whose hash puts it into the validation split, when splits go by whole documents."""
    text = next(
        text for i in range(100) if split_of(text := f"{i} the river runs past the mill. " * 60) != "train"
    )
    (tmp_path / "own.txt").write_text(text)
    options = ["--corpus", "files", "--option", f"paths={tmp_path / 'own.txt'}"]
    output = run("tokenizer", "train", tmp_path / "own", *options)
    tokenizer = Tokenizer.load(tmp_path / "own")
    assert tokenizer == Tokenizer.train([text.strip()], or_fewer=True)
    assert "files: split all" in output
    assert f"yields only {tokenizer.vocab_size} pieces" in output
    assert f"data.tokenizer: {tmp_path / 'own'}" in output
    part = run("tokenizer", "train", tmp_path / "part", *options, "--split", "train")
    assert "files: split train" in part
    wrong = CliRunner().invoke(app, ["tokenizer", "train", str(tmp_path), *options, "--vocab-size", "6400"])
    assert "this corpus yields at most" in str(wrong.exception)


def test_ids_are_packed_for_a_run(tmp_path):
    tokenizer = Tokenizer.train(["a rose is a rose"] * 9, vocab_size=300)
    tokenizer.save(tmp_path / "tokenizer")
    np.array(tokenizer.encode("a rose is a rose", add_eos=True) * 50, dtype="<u2").tofile(
        tmp_path / "ids.bin"
    )
    options = ["--tokenizer", tmp_path / "tokenizer", "--output", tmp_path / "packed"]
    output = run("data", "pack", tmp_path / "ids.bin", *options)
    assert "50 documents; a document ends after id 3" in output
    assert "minillm pretrain --data.packed" in output
    assert (tmp_path / "packed" / "train.tokens").is_file()
