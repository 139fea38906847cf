"""The records of a healthy run that nobody trained: a power law with noise, at 4,096 tokens per step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

VOCAB_SIZE = 6400
TOKENS_PER_STEP = 4096
FLOOR, SCALE, EXPONENT = 2.0, 1.9, 0.4  # loss = FLOOR + SCALE (tokens / 10^6)^-EXPONENT
CONFIG: dict[str, Any] = {
    "run": "runs/recorded",
    "train": {"steps": 400, "clip_norm": 1.0},
    "model": {"initializer_range": 0.02, "max_seq_len": 512},
    "data": {"corpora": [{"name": "docstrings"}], "folder": "nowhere"},
}


def law(tokens: Any) -> Any:
    """The loss without noise: at most that of a uniform guess."""
    return np.minimum(FLOOR + SCALE * (np.maximum(tokens, 1) / 1e6) ** -EXPONENT, math.log(VOCAB_SIZE))


def recorded_run(
    n_steps: int = 400,
    *,
    seed: int = 0,
    stage: str = "pretrain",
    peak: float = 3e-3,
    warmup_steps: int = 20,
    noise: float = 0.05,
    epoch: int = 10**9,
    every: int = 20,
) -> list[dict[str, Any]]:
    """All records, from ``start`` to ``end``; ``epoch`` is ``tokens_per_epoch``."""
    rng = np.random.default_rng(seed)
    start = {
        "kind": "start",
        "step": 0,
        "stage": stage,
        "parameters": 25_829_888,
        "vocab_size": VOCAB_SIZE,
        "tokens_per_epoch": epoch,
        "tokens_per_step": TOKENS_PER_STEP,
        "device": "cpu",
        "processes": 1,
        "precision": "float32",
        "matmul_flops": 2e11,
        "flops_per_token": 174_000_000,
        "torch": "2.13.0",
    }
    records: list[dict[str, Any]] = [start, *_evaluation(0)]
    for step in range(1, n_steps + 1):
        tokens = step * TOKENS_PER_STEP
        record = {
            "kind": "step",
            "step": step,
            "tokens": tokens,
            "loss": float(law(tokens) + rng.normal(0, noise if step > 1 else 0)),
            "grad_norm": float(0.7 * rng.lognormal(0, 0.1)),
            "lr": peak * min(step / warmup_steps, 1.0),
            "labels": TOKENS_PER_STEP,
            "seconds": float(rng.normal(3.5, 0.05)),
            "tokens_per_second": float(TOKENS_PER_STEP / rng.normal(3.5, 0.05)),
            "mfu": 0.8,
            "memory": 2**30 + int(rng.integers(2**20)),
        }
        if step % every == 0:
            record["layer_grad_norms"] = [0.3, 0.2, 0.15, 0.2]
        records += [record, *(_evaluation(step) if step % every == 0 else [])]
    return [*records, {"kind": "end", "step": n_steps, "best_step": n_steps}]


def _evaluation(step: int) -> list[dict[str, Any]]:
    tokens = step * TOKENS_PER_STEP
    loss = float(law(tokens) + 0.02)
    return [
        {
            "kind": "evaluation",
            "step": step,
            "tokens": tokens,
            "loss": loss,
            "perplexity": math.exp(loss),
            "bits_per_byte": loss / math.log(2) / 2.84,
            "n_tokens": 100_000,
        },
        {"kind": "sample", "step": step, "prompt": "Return the", "text": f" shape, after {step} steps."},
    ]


def changed(records: list[dict[str, Any]], change: Any, kind: str = "step") -> list[dict[str, Any]]:
    """Return the records, with those of one kind changed by a function that returns the keys to set."""
    return [{**each, **change(each)} if each["kind"] == kind else each for each in records]


def write_run(folder: Path, records: list[dict[str, Any]], config: dict[str, Any] | None = None) -> Path:
    """Put records where ``RunFolder`` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump(CONFIG if config is None else config), encoding="utf-8"
    )
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder
