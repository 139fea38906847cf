"""Measure perplexity by position on texts longer than those in training, with and without short fine-tuning.

    python benchmarks/long_context.py [--ckpt checkpoints/pretrain.pt] [--factor 4] [--windows 64] [--steps 30]
                                      [--config configs/pretrain.yaml] [--output results/26m]

Four ways to scale the rotary positions are compared on the same weights: none, linear interpolation (Chen et al. 2023),
dynamic NTK (bloc97 2023) and YaRN (Peng et al. 2023), all but the first by ``--factor``. The model reads held-out text
of the configuration's corpora in windows of ``factor`` times the trained length. Each variant is then trained for
``--steps`` steps on rows of that length, by the function behind ``minillm pretrain --ckpt``, with as many tokens per
step as in the configuration, and measured again on the same windows. Rows are filled with consecutive documents, as in
pretraining, so a longer context mostly adds text of other documents.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from rich.console import Console
from rich.table import Table

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.model.checkpoint import load_checkpoint
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.perplexity import perplexity_by_position
from minillm_lib.training.config import PretrainConfig
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.overrides import load_config
from minillm_lib.training.precision import Precision
from minillm_lib.training.stages import pretrain
from minillm_lib.viz.style import BLUE, GREEN, ORANGE, PURPLE, settings

ROOT = Path(__file__).parent.parent
SCALINGS = {"none": None, "linear": "linear", "dynamic NTK": "dynamic", "YaRN": "yarn"}
COLOURS = dict(zip(SCALINGS, (BLUE, ORANGE, GREEN, PURPLE), strict=True))
PEAK_RATE = 1e-3
BUCKET = 128
TICKS = [10, 15, 20, 30, 40]

Buckets = list[dict[str, float]]


def stretched(ckpt: Path, kind: str | None, factor: int) -> MiniLLM:
    """Load the model with one of the scalings."""
    scaling = None if kind is None else {"rope_type": kind, "factor": factor}
    return load_checkpoint(ckpt, dtype=torch.float32, rope_scaling=scaling)


def measured(model: MiniLLM, tokens: torch.Tensor, window: int) -> Buckets:
    """Return loss and perplexity in buckets of positions."""
    with Precision("auto", torch.device("cpu")).autocast():
        buckets = perplexity_by_position(model, tokens, window=window, bucket=BUCKET, batch_size=2)
    return [
        {
            "start": each.start,
            "end": each.end,
            "loss": round(each.loss, 4),
            "perplexity": round(each.perplexity, 3),
        }
        for each in buckets
    ]


def fine_tuned(base: PretrainConfig, model: MiniLLM, window: int, arguments: argparse.Namespace) -> MiniLLM:
    """Train the model briefly on rows of the longer length, and return it."""
    rows = max(1, base.train.batch_size * base.seq_len // window)
    with tempfile.TemporaryDirectory() as folder:
        values = base.as_json() | {
            "run": f"{folder}/run",
            "output": f"{folder}/model.pt",
            "model": model.config.model_dump(),
            "evaluation": {"every": arguments.steps, "max_tokens": 2 * window},
            "checkpoint": {"every": arguments.steps},
        }
        if model.config.rope_scaling is None:
            values["model"]["max_seq_len"] = window
        values["train"] |= {"steps": arguments.steps, "batch_size": rows, "seq_len": window}
        values["train"]["optimizer"] |= {"lr": PEAK_RATE}
        values["train"]["schedule"] = {"name": "cosine", "warmup_steps": 5, "final_share": 0.0}
        return pretrain(PretrainConfig.model_validate(values)).load_model()


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw perplexity over positions, with one line per scaling, before and after fine-tuning."""
    plt.rcParams.update(settings())
    stages = [stage for stage in ("as_trained", "fine_tuned") if record["scalings"]["none"].get(stage)]
    figure, axes = plt.subplots(
        1, len(stages), figsize=(5 * len(stages), 3.4), sharey=True, squeeze=False, layout="constrained"
    )
    titles = {
        "as_trained": f"trained on {record['trained_length']:,} tokens",
        "fine_tuned": f"after {record['fine_tuning']['steps']} steps on {record['window']:,} tokens",
    }
    for axis, stage in zip(axes[0], stages, strict=True):
        for name, of_stage in record["scalings"].items():
            buckets = of_stage[stage]
            middles = [(each["start"] + each["end"]) / 2 for each in buckets]
            axis.plot(middles, [each["perplexity"] for each in buckets], color=COLOURS[name], label=name)
        axis.axvline(record["trained_length"], color="#888", linewidth=0.8, linestyle=":")
        axis.set(yscale="log", xlabel="position", title=titles[stage], yticks=TICKS, yticklabels=TICKS)
        axis.minorticks_off()
    axes[0][0].set_ylabel("held-out perplexity")
    axes[0][-1].legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def show(record: dict[str, Any]) -> None:
    """Print a table of the perplexity within the trained length and in the last quarter of the window."""
    table = Table(
        title=f"Held-out perplexity within {record['trained_length']:,} tokens and in the last quarter"
    )
    for heading in ("positions", "within", "last quarter", "fine-tuned: within", "last quarter"):
        table.add_column(heading, justify="left" if heading == "positions" else "right")
    for name, of_stage in record["scalings"].items():
        cells = [
            f"{of_stage[stage][key]:,.2f}" if stage in of_stage else ""
            for stage in ("as_trained_summary", "fine_tuned_summary")
            for key in ("within", "last_quarter")
        ]
        table.add_row(name, *cells)
    Console(width=100).print(table)


def summary_of(buckets: Buckets, trained: int, window: int) -> dict[str, float]:
    """Return the perplexity within the trained length, and in the last quarter of the window."""

    def over(start: int, end: int) -> float:
        own = [each for each in buckets if start <= each["start"] < end]
        widths = [each["end"] - each["start"] for each in own]
        mean = sum(each["loss"] * width for each, width in zip(own, widths, strict=True)) / sum(widths)
        return round(math.exp(mean), 3)

    return {"within": over(0, trained), "last_quarter": over(window * 3 // 4, window)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ckpt", type=Path, default=ROOT / "checkpoints" / "pretrain.pt")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "pretrain.yaml")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30, help="steps of fine-tuning; 0 for none")
    parser.add_argument(
        "--data", type=Path, help="folder of the prepared text; by default that of the configuration"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "26m")
    arguments = parser.parse_args()
    overrides = {"ckpt": str(arguments.ckpt)}
    if arguments.data is not None:
        overrides["data.folder"] = str(arguments.data)
    base = load_config(PretrainConfig, arguments.config, overrides)
    trained = base.seq_len
    window = trained * arguments.factor
    held_out = prepare_pretraining_data(base.text).validation
    tokens = torch.from_numpy(held_out.tokens[: arguments.windows * window].astype("int64"))
    record: dict[str, Any] = {
        "trained_length": trained,
        "window": window,
        "windows": len(tokens) // window,
        "fine_tuning": {"steps": arguments.steps, "peak_rate": PEAK_RATE},
        "scalings": {},
    }
    for name, kind in SCALINGS.items():
        model, start = stretched(arguments.ckpt, kind, arguments.factor), time.perf_counter()
        own = record["scalings"][name] = {"as_trained": measured(model, tokens, window)}
        own["as_trained_summary"] = summary_of(own["as_trained"], trained, window)
        if arguments.steps:
            own["fine_tuned"] = measured(fine_tuned(base, model, window, arguments), tokens, window)
            own["fine_tuned_summary"] = summary_of(own["fine_tuned"], trained, window)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    show(record)
    draw(record, arguments.output / "long-context.png")
    content = json.dumps(record, indent=1) + "\n"
    write_atomically(arguments.output / "long-context.json", content.encode())
    print(f"written to {arguments.output / 'long-context.json'}")


if __name__ == "__main__":
    main()
