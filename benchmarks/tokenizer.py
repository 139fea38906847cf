"""Compare packing a corpus into token ids with Hugging Face ``tokenizers``.

All contestants encode the same text (the docstrings of the installed packages) with BPE vocabularies of the same size,
on the same number of cores, and write the ids to a file. They take turns. The first peer is Hugging Face's usual
tokenizer, a byte-level BPE trained on the same text. The second is this project's vocabulary, exported to
``tokenizers``.

    python benchmarks/tokenizer.py [--megabytes 10] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from minillm_lib.corpora.docstrings.corpus import load_docstrings
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.token_file import pack

ROOT = Path(__file__).parent.parent
VOCAB_SIZE = 6400
CHUNK = 2000


def read_texts(megabytes: float) -> list[str]:
    """Return an evenly spaced sample of the corpus of about this size."""
    texts = [document.text for document in load_docstrings()]
    step = max(1, round(sum(len(text.encode()) for text in texts) / 1e6 / megabytes))
    return texts[::step]


def train_byte_level(texts: list[str]) -> tokenizers.Tokenizer:
    """Train Hugging Face's byte-level BPE, as used by GPT-2 and its successors."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write_ids(tokenizer: tokenizers.Tokenizer, texts: list[str], path: Path) -> int:
    """Do what ``pack`` does, but with ``tokenizers`` and numpy, and return the number of ids."""
    total = 0
    with path.open("wb") as file:
        for start in range(0, len(texts), CHUNK):
            encodings = tokenizer.encode_batch_fast(texts[start : start + CHUNK], add_special_tokens=False)
            ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), dtype=np.uint16)
            file.write(ids.tobytes())
            total += len(ids)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "tokenizer.json")
    arguments = parser.parse_args()

    texts = read_texts(arguments.megabytes)
    n_bytes = sum(len(text.encode()) for text in texts)
    sample = texts[:: max(1, len(texts) // 4000)]
    ours = Tokenizer.train(sample, vocab_size=VOCAB_SIZE)
    byte_level = train_byte_level(sample)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exported = tokenizers.Tokenizer.from_file(str(ours.save_hugging_face(folder) / "tokenizer.json"))
        contestants: dict[str, Callable[[], int]] = {
            "minillm pack": lambda: (
                len(pack(texts, ours, folder / "ours", progress=False).tokens) - len(texts)
            ),
            "tokenizers, byte-level BPE": lambda: write_ids(byte_level, texts, folder / "byte-level"),
            "tokenizers, our vocabulary": lambda: write_ids(exported, texts, folder / "exported"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        n_tokens = {name: contestant() for name, contestant in contestants.items()}  # also warms up
        for _ in range(arguments.repeats):
            for name, contestant in contestants.items():
                start = time.perf_counter()
                contestant()
                seconds[name].append(time.perf_counter() - start)

    print(
        f"{len(texts):,} documents, {n_bytes / 1e6:.1f} MB, {VOCAB_SIZE} pieces, medians of {arguments.repeats}"
    )
    print(f"{'':28}{'s':>8}{'MB/s':>8}{'bytes/token':>13}")
    rows = []
    for name, own in seconds.items():
        median = statistics.median(own)
        row = {
            "name": name,
            "seconds": median,
            "all_seconds": own,
            "megabytes_per_second": n_bytes / median / 1e6,
            "bytes_per_token": n_bytes / n_tokens[name],
        }
        rows.append(row)
        print(f"{name:28}{median:8.2f}{row['megabytes_per_second']:8.2f}{row['bytes_per_token']:13.2f}")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    facts = {"documents": len(texts), "bytes": n_bytes, "vocab_size": VOCAB_SIZE, "rows": rows}
    arguments.output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
