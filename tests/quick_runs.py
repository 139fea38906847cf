"""Runs that take less than a second: a model of two narrow layers on a few kilobytes of made-up text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from minillm_lib.training.config import PretrainConfig, SFTConfig

WORDS = "the topic model of a word draws from its document each token with some chance and then it ends"
MODEL = {
    "vocab_size": 320,
    "hidden_size": 32,
    "n_layers": 2,
    "n_heads": 2,
    "n_kv_heads": 1,
    "intermediate_size": 48,
    "max_seq_len": 32,
    "dropout": 0.1,
}
TRAIN: dict[str, Any] = {
    "steps": 10,
    "batch_size": 4,
    "micro_batch_size": 2,
    "device": "cpu",
    "precision": "float32",
    "lr": 5e-3,
    "warmup_steps": 2,
}


def write_documents(path: Path, n: int = 120, seed: int = 0) -> Path:
    """Write JSON lines with documents of about thirty words."""
    rng = random.Random(seed)
    texts = (" ".join(rng.choices(WORDS.split(), k=rng.randint(20, 40))) for _ in range(n))
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def write_conversations(path: Path, n: int = 60, seed: int = 0) -> Path:
    """Write JSON lines with conversations of a short question and a short answer."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(n):
            question, answer = (" ".join(rng.choices(WORDS.split(), k=rng.randint(2, 5))) for _ in range(2))
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"conversations": turns}) + "\n")
    return path


def quick_pretraining(folder: Path, documents: Path, run: str = "run", **train: Any) -> PretrainConfig:
    """A run in ``folder / run``, with dropout and two micro-batches per step; keys of ``train`` may be given."""
    data = {
        "corpora": [{"name": "files", "options": {"paths": str(documents)}}],
        "vocab_size": 320,
        "folder": documents.parent / "data",
    }
    return PretrainConfig.model_validate(
        {"model": MODEL, "data": data, **_places(folder, run), **_settings("the topic", train)}
    )


def quick_sft(folder: Path, ckpt: Path, conversations: Path, run: str = "run", **train: Any) -> SFTConfig:
    """A run that fine-tunes ``ckpt`` in ``folder / run``."""
    data = {"conversations": [{"path": str(conversations), "held_out": 0.2}]}
    return SFTConfig.model_validate(
        {"ckpt": ckpt, "data": data, **_places(folder, run), **_settings("the word", train)}
    )


def _places(folder: Path, run: str) -> dict[str, Any]:
    return {"run": folder / run, "output": folder / f"{run}.pt"}


def _settings(prompt: str, train: dict[str, Any]) -> dict[str, Any]:
    return {
        "train": {**TRAIN, **train},
        "evaluation": {"every": 4, "max_tokens": 256, "prompts": [prompt], "sample_tokens": 4},
        "checkpoint": {"every": 3},
    }
