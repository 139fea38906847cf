"""Search for the recipe of the 26 M model: short runs, each with a change to ``configs/pretrain.yaml``.

    python benchmarks/recipe.py [--preset tiny] [--steps 200] [--only NAME …] [--output results/26m/recipe-tiny.json]

Every trial reads the same number of tokens in the same order, unless its name says otherwise. Its learning rate falls
to zero over the last 30 % of the steps, as in the real run, and it ends with an evaluation on the same held-out text.
Trials that are already in the record are skipped, so a search can be stopped and continued.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.training.config import PretrainConfig
from minillm_lib.training.overrides import load_config
from minillm_lib.training.stages import pretrain

ROOT = Path(__file__).parent.parent

BATCH = 8
BASE: dict[str, Any] = {
    "train.batch_size": BATCH,
    "train.optimizer.name": "muon",
    "train.lr": 3e-3,
    "evaluation.max_tokens": 100_000,
    "evaluation.prompts": (),
}
TRIALS: dict[str, dict[str, Any]] = {
    "adamw 1e-3": {"train.optimizer.name": "adamw", "train.lr": 1e-3},
    "adamw 3e-3": {"train.optimizer.name": "adamw", "train.lr": 3e-3},
    "muon 1.5e-3": {"train.lr": 1.5e-3},
    "muon 3e-3": {},
    "muon 6e-3": {"train.lr": 6e-3},
    "muon 1.2e-2": {"train.lr": 1.2e-2},
    "qk_norm": {"model.qk_norm": True},
    "qk_norm, 6e-3": {"model.qk_norm": True, "train.lr": 6e-3},
    "no weight decay": {"train.weight_decay": 0.0},
    "beta2 0.99": {"train.optimizer.beta2": 0.99},
    "initial weights 0.01": {"model.initializer_range": 0.01},
    "initial weights 0.04": {"model.initializer_range": 0.04},
    "attention within documents": {"data.document_mask": True},
    "half the batch, twice the steps": {"train.batch_size": BATCH // 2, "steps": 2},
    "twice the batch, half the steps": {"train.batch_size": 2 * BATCH, "steps": 0.5},
    "rows of 256": {"train.batch_size": 2 * BATCH, "train.seq_len": 256},
    "cosine": {"train.schedule.name": "cosine"},
    "decay over 60 %": {"train.schedule.decay_share": 0.6},
}


def trial(changes: dict[str, Any], preset: str, n_steps: int, data_folder: Path) -> dict[str, Any]:
    """Run one trial and return its results."""
    changes = dict(changes)
    n_steps = int(n_steps * changes.pop("steps", 1))
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "run": f"{folder}/run",
            "output": f"{folder}/model.pt",
            "model.preset": preset,
            "data.folder": str(data_folder),
            "train.steps": n_steps,
            "train.warmup_steps": max(n_steps // 20, 1),
            "evaluation.every": n_steps,
            "checkpoint.every": n_steps,
            **BASE,
            **changes,
        }
        config = load_config(PretrainConfig, ROOT / "configs" / "pretrain.yaml", overrides)
        start = time.perf_counter()
        result = pretrain(config)
        if not result.is_finished:
            raise SystemExit("stopped; the finished trials are kept")
        *_, last = result.of_kind("evaluation")
        return {
            "steps": n_steps,
            "tokens": last["tokens"],
            "loss": last["loss"],
            "perplexity": last["perplexity"],
            "bits_per_byte": last["bits_per_byte"],
            "seconds": round(time.perf_counter() - start, 1),
            "precision": result.of_kind("start")[0].get("precision"),
        }


def show(record: dict[str, Any]) -> None:
    """Print a table of the trials, best first."""
    table = Table(title=f"{record['preset']}: short runs, best first", title_justify="left")
    for heading in ("trial", "tokens", "loss", "perplexity", "bits/byte", "s"):
        table.add_column(heading, justify="left" if heading == "trial" else "right")
    for name, row in sorted(record["trials"].items(), key=lambda item: item[1]["loss"]):
        figures = (f"{row['tokens']:,}", f"{row['loss']:.4f}", f"{row['perplexity']:.2f}")
        table.add_row(name, *figures, f"{row['bits_per_byte']:.4f}", f"{row['seconds']:.0f}")
    Console(width=100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--data-folder", type=Path, default=ROOT / "data")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    output = arguments.output or ROOT / "results" / "26m" / f"recipe-{arguments.preset}.json"
    record: dict[str, Any] = {"preset": arguments.preset, "steps": arguments.steps, "trials": {}}
    if output.exists():
        kept = json.loads(output.read_text(encoding="utf-8"))
        record = kept if all(kept[key] == record[key] for key in ("preset", "steps")) else record
    for name in arguments.only:
        if name in record["trials"]:
            continue
        print(f"{name} …", flush=True)
        record["trials"][name] = trial(TRIALS[name], arguments.preset, arguments.steps, arguments.data_folder)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, (json.dumps(record, indent=1) + "\n").encode())
    show(record)
    print(f"written to {output}")


if __name__ == "__main__":
    main()
