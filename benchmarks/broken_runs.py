"""Eight broken training runs beside a healthy one, recorded for the last exercise of notebook 12.

    python benchmarks/broken_runs.py [--output FILE]

The runs are named by the letters of the exercise; which bug each has is in ``minillm_lib.checks``. Each run has the
loss and the length of the gradient of every step, and the held-out loss at the end, which is measured with the bug if
the bug is in the data or in the model. The model is larger than the one of the notebook, and reads Chinese.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from minillm_lib import MiniLLM, PretrainConfig, load_grammar
from minillm_lib.checks.exercises.training_loop.bugs import BUGS
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.training import (
    OptimizerConfig,
    ScheduleConfig,
    learning_rate_factor,
    make_optimizers,
    prepare_pretraining_data,
    rows_of_step,
)

ROOT = Path(__file__).parent.parent
STEPS, BATCH, SEQ, LR, WARMUP, VOCAB = 240, 16, 48, 0.012, 24, 1200


def configured(folder: str) -> PretrainConfig:
    """Return the configuration of the data and the model."""
    shape = {"vocab_size": VOCAB, "hidden_size": 64, "n_layers": 3, "n_heads": 4, "max_seq_len": SEQ}
    corpus = {"name": "grammar", "options": {"n": 2500, "language": "zh"}}
    return PretrainConfig.model_validate(
        {
            "run": f"{folder}/run",
            "output": f"{folder}/model.pt",
            "model": {**shape, "intermediate_size": 192, "initializer_range": 0.05},
            "data": {"corpora": [corpus], "vocab_size": VOCAB, "folder": f"{folder}/data"},
        }
    )


def with_bug(batch: Any, bug: str) -> Any:
    """Return a batch as a bug in the data makes it."""
    if bug == "labels not shifted":
        return replace(batch, labels=batch.input_ids)
    if bug == "labels shifted twice":
        return replace(batch, input_ids=batch.input_ids[:, :-1], labels=batch.labels[:, 1:])
    return batch


def everything_visible(past: int, seq: int, *_: Any, **__: Any) -> Tensor:
    """Return a mask that hides nothing."""
    return torch.ones(1, 1, seq, past + seq, dtype=torch.bool)


def recorded(config: PretrainConfig, batches: list[Any], held_out: Any, bug: str) -> dict[str, Any]:
    """Train a model with a bug, and return what was recorded."""
    torch.manual_seed(3)
    model = MiniLLM(config.model)
    factor = {"learning rate × 100": 100, "learning rate / 100": 0.01}.get(bug, 1)
    schedule = ScheduleConfig(name="cosine", warmup_steps=0 if bug == "no warm-up" else WARMUP)
    (optimizer,) = make_optimizers(model, OptimizerConfig(name="adamw", lr=LR))
    losses, norms = [], []
    for step in range(STEPS):
        batch = with_bug(batches[0 if bug == "the same batch always" else step], bug)
        for group in optimizer.param_groups:
            group["lr"] = factor * LR * learning_rate_factor(step, STEPS, schedule)
        loss = model.loss(batch.input_ids, batch.labels)
        loss.backward()
        norms.append(round(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)), 2))
        optimizer.step()
        if bug != "gradients not zeroed":
            optimizer.zero_grad()
        losses.append(round(loss.item(), 3))
    with torch.no_grad():
        batch = with_bug(held_out, bug)
        return {
            "losses": losses,
            "norms": norms,
            "held_out": round(model.loss(batch.input_ids, batch.labels).item(), 3),
        }


def all_runs(config: PretrainConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the healthy run and the broken ones, by their letters."""
    data = prepare_pretraining_data(config.data, progress=False)
    rows, held_out = data.windows("train", SEQ), data.windows("validation", SEQ)[:96]
    batches = [rows[rows_of_step(step, BATCH, len(rows), seed=0)] for step in range(STEPS)]
    per_token = load_grammar("zh").entropy_per_document() * len(data.train) / len(data.train.tokens)
    yield "floor", {"ln_V": round(math.log(VOCAB), 3), "entropy": round(per_token, 3)}
    for letter, bug in {"healthy": "", **BUGS}.items():
        no_mask = mock.patch("minillm_lib.model.decoder.causal_mask", everything_visible)
        with no_mask if bug == "no causal mask" else nullcontext():
            yield letter, recorded(config, batches, held_out, bug)


def main() -> None:
    """Record the runs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "training" / "broken_runs.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = dict(all_runs(configured(folder)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(run)}" for name, run in found.items())
    write_atomically(options.output, f"{{\n{lines}\n}}\n".encode())
    for letter, run in found.items():
        if "losses" in run:
            print(
                letter,
                [round(sum(run["losses"][i : i + 5]) / 5, 2) for i in range(0, STEPS, 24)],
                run["held_out"],
            )


if __name__ == "__main__":
    main()
