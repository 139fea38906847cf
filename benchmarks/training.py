"""Compare a training step of the 26 M decoder with Hugging Face's Llama, and time the data loader alone.

    python benchmarks/training.py [--parts step peak_memory loader] [--modes eager compiled]
                                  [--precisions float32 bf16] [--repeats 5] [--preset 26m] [--batch 8] [--seq 512]

1. ``step``: forward and backward pass, gradient clipping and a fused AdamW update, for this project's decoder and for
   ``LlamaForCausalLM`` with the same weights, optimizer and batch. Each is measured in eager mode and under
   ``torch.compile`` (this project compiles parts of its model, the peer is compiled as a whole), in float32 and under
   bfloat16 autocast. For each precision and mode the two packages take turns, each in a separate process. Times are
   medians over the repeats. GFLOP/s count the matrix products only (``ModelConfig.flops_per_token``). They are also
   given as a share of the speed of a plain matrix product with the same type in the same run. ``train.precision: auto``
   should choose the precision that is faster in eager mode on this machine. The record contains its choice.
2. ``peak_memory``: the peak memory of a process that takes two such steps, above the memory in use after all imports.
3. ``loader``: the speed of reading batches from a packed token file in the order of a run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from decoder import ROOT, alternate, high_water_mark, hugging_face_twin
from rich.console import Console
from rich.table import Table
from torch.nn.utils import clip_grad_norm_

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import DataConfig, OptimizerConfig, TrainConfig
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.optimizer import make_optimizers
from minillm_lib.training.parallel import Processes, Replica
from minillm_lib.training.precision import Precision
from minillm_lib.training.rows import Batch, rows_of_step

PACKAGES = ("minillm_lib", "Hugging Face")
MODES = ("eager", "compiled")
PRECISIONS = ("float32", "bf16")
CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)
OPTIMIZER = OptimizerConfig(lr=1e-6)
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
MATRIX_SIZE = 2048
LOADED_BATCHES = 500

Setting = tuple[str, str, str]
"""Package, mode and precision."""


def fresh_model(preset: str, seq: int) -> MiniLLM:
    """Return a model with the same weights in every call."""
    torch.manual_seed(0)
    return MiniLLM.from_preset(preset, max_seq_len=seq)


def random_text(preset: str, batch_size: int, seq: int) -> torch.Tensor:
    """Return ids of shape ``(batch_size, seq + 1)``, the same in every call."""
    torch.manual_seed(0)
    return torch.randint(MiniLLM.from_preset(preset).config.vocab_size, (batch_size, seq + 1))


def step_of(package: str, mode: str, preset: str, ids: torch.Tensor) -> Callable[[Precision], None]:
    """Return a function that takes a training step with one of the packages in a given precision."""
    model = fresh_model(preset, ids.shape[1] - 1)
    if package == PACKAGES[0]:
        return our_step(model, mode, ids)
    return their_step(hugging_face_twin(model), mode, ids)


def check_same_loss(preset: str, ids: torch.Tensor) -> None:
    """Check that both models have the same loss on the same text; the peer shifts the labels itself."""
    ours = fresh_model(preset, ids.shape[1] - 1)
    with torch.no_grad():
        expected = hugging_face_twin(ours)(input_ids=ids[:1], labels=ids[:1]).loss
        torch.testing.assert_close(ours.loss(ids[:1, :-1], ids[:1, 1:]), expected, rtol=1e-4, atol=1e-4)


def our_step(model: MiniLLM, mode: str, ids: torch.Tensor) -> Callable[[Precision], None]:
    """Return a function that does what the training loop does in a step of one micro-batch."""
    replica = Replica(model, TrainConfig(compile=mode == "compiled"), ALONE, None)
    optimizers = make_optimizers(model, OPTIMIZER)
    batch = Batch(ids[:, :-1], ids[:, 1:])

    def take(precision: Precision) -> None:
        with precision.autocast():
            loss = replica(batch)
        precision.backward(loss / batch.n_labels)
        precision.step(optimizers, replica.clip_gradients(1.0))
        optimizers[0].zero_grad(set_to_none=True)

    return take


def their_step(model: Any, mode: str, ids: torch.Tensor) -> Callable[[Precision], None]:
    """Return a function that takes the same step with Hugging Face's model, as its users would write it."""
    model.train()
    called = torch.compile(model) if mode == "compiled" else model
    (optimizer,) = make_optimizers(model, OPTIMIZER)

    def take(precision: Precision) -> None:
        with precision.autocast():
            loss = called(input_ids=ids[:, :-1], labels=ids[:, :-1]).loss
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return take


class Worker:
    """A process that takes one training step in a setting at each call, and waits in between."""

    def __init__(self, setting: Setting, arguments: argparse.Namespace) -> None:
        command = own_command("--steps-of", setting, arguments)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        while (line := self._process.stdout.readline()) != "done\n":
            if not line:
                raise RuntimeError(f"the worker process ended unexpectedly: {self._process.args}")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def own_command(option: str, setting: Setting, arguments: argparse.Namespace) -> list[str]:
    """Return the command that runs this script in a separate process for one setting."""
    sizes = ("preset", "batch", "seq")
    options = (part for size in sizes for part in (f"--{size}", str(getattr(arguments, size))))
    return [sys.executable, __file__, option, *setting, *options]


def take_steps_when_told(setting: Setting, arguments: argparse.Namespace) -> None:
    """Act as a worker: take one step for each line of standard input."""
    package, mode, precision = setting
    ids = random_text(arguments.preset, arguments.batch, arguments.seq)
    take, types = step_of(package, mode, arguments.preset, ids), Precision(precision, CPU)
    for _ in sys.stdin:
        take(types)
        print("done", flush=True)


def race(settings: list[Setting], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure each setting's tokens per second and GFLOP/s, and the speed of plain matrix products in its type."""
    check_same_loss(arguments.preset, random_text(arguments.preset, arguments.batch, arguments.seq))
    n_tokens = arguments.batch * arguments.seq
    flops = n_tokens * MiniLLM.from_preset(arguments.preset).config.flops_per_token(arguments.seq)
    seconds: dict[Any, list[float]] = {}
    peaks = {}
    for mode, precision in dict.fromkeys(setting[1:] for setting in settings):
        matrix = torch.rand(MATRIX_SIZE, MATRIX_SIZE).to(DTYPES[precision])
        with ExitStack() as stack:
            contestants: dict[Any, Callable[[], Any]] = {"matmul": partial(torch.mm, matrix, matrix)}
            for setting in settings:
                if setting[1:] == (mode, precision):
                    contestants[setting] = stack.enter_context(closing(Worker(setting, arguments)))
            seconds |= alternate(contestants, arguments.repeats)
        peaks[mode, precision] = 2 * MATRIX_SIZE**3 / statistics.median(seconds["matmul"])
    rows = []
    for setting in settings:
        package, mode, precision = setting
        median, peak = statistics.median(seconds[setting]), peaks[mode, precision]
        rows.append(
            {
                "package": package,
                "mode": mode,
                "precision": precision,
                "tokens_per_second": n_tokens / median,
                "slowest": n_tokens / max(seconds[setting]),
                "fastest": n_tokens / min(seconds[setting]),
                "gflops": flops / median / 1e9,
                "matmul_gflops": peak / 1e9,
                "share_of_matmul": flops / median / peak,
            }
        )
    return rows


def peak_memory_of(setting: Setting, preset: str, batch_size: int, seq: int) -> int:
    """Take two steps in this process, and return the peak memory in bytes, above what the process held before."""
    if setting[0] != PACKAGES[0]:
        import transformers.models.llama.modeling_llama  # noqa: F401
    before = high_water_mark()
    package, mode, precision = setting
    take = step_of(package, mode, preset, random_text(preset, batch_size, seq))
    take(Precision(precision, CPU))
    take(Precision(precision, CPU))
    return high_water_mark() - before


def peak_memory(settings: list[Setting], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the peak memory of each setting in bytes, each in a separate process."""
    rows = []
    for package, mode, precision in settings:
        command = own_command("--peak-memory-of", (package, mode, precision), arguments)
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        rows.append(
            {"package": package, "mode": mode, "precision": precision, "peak_bytes": int(output.split()[-1])}
        )
    return rows


def loader(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the rows per second read from a memory-mapped token file in the order of a run."""
    corpus = {"name": "grammar", "options": {"n": 5000}}
    with tempfile.TemporaryDirectory() as folder:
        config = DataConfig.model_validate({"corpora": [corpus], "vocab_size": 1500, "folder": folder})
        data = prepare_pretraining_data(config, progress=False)
        rows = []
        for document_mask in (False, True):
            windows = data.windows("train", arguments.seq, document_mask=document_mask)

            def load(windows: Any = windows) -> None:
                for step in range(LOADED_BATCHES):
                    windows[rows_of_step(step, arguments.batch, len(windows), 0)]

            seconds = statistics.median(alternate({"load": load}, arguments.repeats)["load"])
            rows.append(
                {
                    "document_mask": document_mask,
                    "rows": len(windows),
                    "rows_per_second": LOADED_BATCHES * arguments.batch / seconds,
                    "tokens_per_second": LOADED_BATCHES * arguments.batch * arguments.seq / seconds,
                }
            )
    return rows


def show(record: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(width=120)
    by_setting = {setting_of(row): row for row in record.get("step", [])}
    table = Table(title=f"A training step, {record['batch']} x {record['seq']}", title_justify="left")
    for heading in (
        "precision",
        "mode",
        "package",
        "tokens/s",
        "range",
        "GFLOP/s",
        "of matmul",
        "vs Hugging Face",
    ):
        table.add_column(heading, justify="left" if heading in ("precision", "mode", "package") else "right")
    for (package, mode, precision), row in by_setting.items():
        peer = by_setting.get((PACKAGES[1], mode, precision))
        table.add_row(
            precision,
            mode,
            package,
            f"{row['tokens_per_second']:,.0f}",
            f"{row['slowest']:,.0f}-{row['fastest']:,.0f}",
            f"{row['gflops']:.0f}",
            f"{row['share_of_matmul']:.0%}",
            "" if peer is None else f"{row['tokens_per_second'] / peer['tokens_per_second']:.2f}x",
        )
    console.print(table)

    table = Table(
        "precision", "mode", *PACKAGES, title="Peak memory above that of the imports", title_justify="left"
    )
    peaks = {setting_of(row): row["peak_bytes"] for row in record.get("peak_memory", [])}
    for mode, precision in dict.fromkeys(setting[1:] for setting in peaks):
        sizes = (peaks.get((package, mode, precision)) for package in PACKAGES)
        table.add_row(
            precision, mode, *("" if size is None else f"{size / 2**20:,.0f} MiB" for size in sizes)
        )
    console.print(table)

    table = Table("attention", "rows/s", "tokens/s", title="The data loader alone", title_justify="left")
    for row in record.get("loader", []):
        kind = "within documents" if row["document_mask"] else "across documents"
        table.add_row(kind, f"{row['rows_per_second']:,.0f}", f"{row['tokens_per_second']:,.0f}")
    console.print(table)
    if "auto" in record:
        quickest = (
            "" if record["quickest"] is None else f"; the fastest in eager mode was {record['quickest']}"
        )
        console.print(f"train.precision: auto chooses {record['auto']} on this machine{quickest}")


def setting_of(row: dict[str, Any]) -> Setting:
    return row["package"], row["mode"], row["precision"]


def quickest_precision(rows: list[dict[str, Any]]) -> str | None:
    """Return the precision in which this project's eager step is fastest; None if only one was measured."""
    speeds = {
        row["precision"]: row["tokens_per_second"]
        for row in rows
        if (row["package"], row["mode"]) == (PACKAGES[0], "eager")
    }
    return max(speeds, key=lambda precision: speeds[precision]) if len(speeds) > 1 else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--preset", default="26m")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=512)
    parts = ["step", "peak_memory", "loader"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--peak-memory-of", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--steps-of", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "training.json")
    arguments = parser.parse_args()
    if arguments.peak_memory_of:
        setting = tuple(arguments.peak_memory_of)
        print(peak_memory_of(setting, arguments.preset, arguments.batch, arguments.seq))
        return
    if arguments.steps_of:
        take_steps_when_told(tuple(arguments.steps_of), arguments)
        return
    settings = [
        (package, mode, precision)
        for precision in arguments.precisions
        for mode in arguments.modes
        for package in PACKAGES
    ]
    measure: dict[str, Callable[[], Any]] = {
        "step": lambda: race(settings, arguments),
        "peak_memory": lambda: peak_memory(settings, arguments),
        "loader": lambda: loader(arguments),
    }
    sizes = {"preset": arguments.preset, "batch": arguments.batch, "seq": arguments.seq}
    record: dict[str, Any] = {}
    with suppress(FileNotFoundError):  # other parts keep the values recorded for the same sizes
        kept = json.loads(arguments.output.read_text(encoding="utf-8"))
        record = kept if all(kept.get(key) == value for key, value in sizes.items()) else {}
    record |= sizes
    record["machine"] = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    record |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "repeats": arguments.repeats}
    for part in arguments.parts:
        start = time.perf_counter()
        record[part] = measure[part]()
        print(f"{part}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    record["auto"] = Precision("auto", CPU).name
    record["quickest"] = quickest_precision(record.get("step", []))
    show(record)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
