"""``minillm tokenizer`` and ``minillm data clean`` on the grammar, which needs no network and no build."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from minillm_lib.cli.main import app
from minillm_lib.corpora.document import sample
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
        "--split", "all", "--jobs", 1, "--step", "control characters", "--step", "exact duplicates",
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
