"""A pretraining run that takes a few seconds: a decoder of 0.1 million parameters on sentences of the grammar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minillm_lib.training.config import PretrainConfig
from minillm_lib.training.run import RunResult
from minillm_lib.training.stages import pretrain

STEPS = 120
LEARNING_RATE = 6e-3
WARMUP_STEPS = 15


def small_config(folder: Path, *, name: str = "run", **train: Any) -> PretrainConfig:
    """The configuration; ``train`` holds keys of ``train``, and ``model_`` before a name makes it one of the model."""
    model = {key.removeprefix("model_"): train.pop(key) for key in list(train) if key.startswith("model_")}
    n_documents = train.pop("n_documents", 2000)
    return PretrainConfig.model_validate(
        {
            "run": folder / name,
            "output": folder / f"{name}.pt",
            "model": {
                "vocab_size": 320,
                "hidden_size": 64,
                "n_layers": 3,
                "n_heads": 4,
                "n_kv_heads": 2,
                "intermediate_size": 128,
                "max_seq_len": 32,
                **model,
            },
            "data": {
                "corpora": [{"name": "grammar", "options": {"n": n_documents, "language": "en"}}],
                "vocab_size": 320,
                "folder": folder / "data",
            },
            "train": {
                "steps": STEPS,
                "batch_size": 16,
                "optimizer": {"name": "muon"},
                "lr": LEARNING_RATE,
                "warmup_steps": WARMUP_STEPS,
                "device": "cpu",
                "precision": "float32",
                **train,
            },
            "evaluation": {"every": 15, "max_tokens": 4096, "prompts": ["We"], "sample_tokens": 12},
            "checkpoint": {"every": 1000},
        }
    )


def small_run(folder: Path, *, name: str = "run", **train: Any) -> RunResult:
    """Train it, without a progress bar."""
    return pretrain(small_config(folder, name=name, **train), progress=False)
