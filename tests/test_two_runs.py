"""The same seed gives the same files, byte for byte, in two runs: from docstrings to rows of conversations."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

RUN = """
import json, sys
from pathlib import Path

from minillm_lib.corpora.docstrings.questions import docstring_questions
from minillm_lib.corpora.docstrings.corpus import load_docstrings
from minillm_lib.corpora.cleaning.pipeline import clean_corpus
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.sft_rows import encode_conversations, pack_conversations
from minillm_lib.training.token_file import pack

folder, n_jobs = Path(sys.argv[1]), int(sys.argv[2])
packages = {"joblib": ("joblib",), "click": ("click",)}
train, test = (
    load_docstrings(split, packages=packages, cache_dir=folder, n_jobs=n_jobs, progress=False)
    for split in ("train", "test")
)
clean_corpus(train, folder / "clean.jsonl", test_documents=test, n_jobs=n_jobs).save(folder / "report.json")
tokenizer = Tokenizer.train((document.text for document in train), vocab_size=1200)
tokenizer.save(folder)
pack(train, tokenizer, folder / "tokens", n_jobs=n_jobs, progress=False)
questions = list(docstring_questions(train, seed=3))
asked = [[each.turns, each.source, each.meta] for each in questions]
(folder / "questions.json").write_text(json.dumps(asked), encoding="utf-8")
rows = pack_conversations(encode_conversations(questions, tokenizer, 256)[0], 256)
(folder / "rows").write_bytes(rows.input_ids.numpy().tobytes() + rows.labels.numpy().tobytes())
"""


@pytest.mark.slow
def test_two_processes_write_the_same_files(tmp_path):
    """Sets are ordered otherwise in each of them, and one has more processes under it."""
    runs = []
    for n_jobs in ("1", "2"):
        folder = tmp_path / n_jobs
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": n_jobs}
        subprocess.run([sys.executable, "-c", RUN, folder, n_jobs], env=environment, check=True)
        files = (path for path in folder.rglob("*") if path.is_file())
        runs.append({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
    assert {"clean.jsonl", "report.json", "tokenizer.model", "tokens", "questions.json", "rows"} < set(
        runs[0]
    )
    assert runs[0] == runs[1]
