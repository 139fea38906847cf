"""Compare the 26 M decoder with Hugging Face's Llama, and with a decoder of equal size made of classic blocks.

    python benchmarks/decoder.py [--parts hugging_face classic peak_memory] [--repeats 5]

It prints three tables. In each, the contestants take turns on this machine, and times are medians over the repeats:

1. A training step (forward, backward, AdamW) and greedy decoding at batch size 1, against ``LlamaForCausalLM`` with the
   same weights, in float32. GFLOP/s count the matrix products only (see ``ModelConfig.flops_per_token``). They are also
   given as a share of the speed of a plain matrix product in the same run.
2. A test of the claim "memory -40 %, inference 1.3-1.6x" in the report that this project follows: ``26m`` (RMSNorm,
   SwiGLU, grouped queries, rotary positions) against ``26m-classic`` (LayerNorm, GELU, full heads, learned positions).
   Decoding starts from a full context. Its cache is filled at random, because the time depends on how much is read, not
   on the values.
3. Peak memory of a process that takes a training step or decodes, above the memory in use once torch is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from minillm_lib.generation.decoding import generate
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM

ROOT = Path(__file__).parent.parent
BATCH, SEQ = 8, 512
NEW_TOKENS = 128


def alternate(contestants: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Run the contestants in turn, ``repeats`` times after an uncounted warm-up, and return the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def hugging_face_twin(model: MiniLLM) -> Any:
    """Return a ``LlamaForCausalLM`` of the same shape with the same weights."""
    import tempfile

    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        return AutoModelForCausalLM.from_pretrained(Path(folder) / "model", dtype=torch.float32)


def against_hugging_face(repeats: int) -> list[dict[str, Any]]:
    """Time a training step on 8 x 512 tokens, and greedy decoding of 128 tokens after a prompt of 32."""
    torch.manual_seed(0)
    ours = MiniLLM.from_preset("26m")
    theirs = hugging_face_twin(ours)
    ids = torch.randint(ours.config.vocab_size, (BATCH, SEQ + 1))
    optimizers = {
        name: torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
        for name, model in (("ours", ours), ("theirs", theirs))
    }

    def train_ours() -> None:
        ours.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizers["ours"].step()
        optimizers["ours"].zero_grad()

    def train_theirs() -> None:
        theirs(input_ids=ids[:, :-1], labels=ids[:, :-1]).loss.backward()
        optimizers["theirs"].step()
        optimizers["theirs"].zero_grad()

    matrix = torch.rand(2048, 2048)
    contestants = {
        "minillm_lib": train_ours,
        "Hugging Face": train_theirs,
        "matmul": lambda: torch.mm(matrix, matrix),
    }
    seconds = {name: statistics.median(s) for name, s in alternate(contestants, repeats).items()}
    flops = BATCH * SEQ * ours.config.flops_per_token(SEQ)
    peak = 2 * 2048**3 / seconds.pop("matmul")
    rows = [
        {
            "job": f"training step, {BATCH} x {SEQ}",
            "package": name,
            "tokens_per_second": BATCH * SEQ / s,
            "gflops": flops / s / 1e9,
            "share_of_matmul": flops / s / peak,
        }
        for name, s in seconds.items()
    ]

    ours.eval()
    theirs.eval()
    prompt = ids[:1, :32]
    sampling = SamplingConfig(temperature=0, max_new_tokens=NEW_TOKENS)

    def decode_ours() -> None:
        (result,) = generate(ours, [prompt[0].tolist()], sampling)
        assert len(result.ids) == NEW_TOKENS

    def decode_theirs() -> None:
        result = theirs.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, min_new_tokens=NEW_TOKENS,
            max_new_tokens=NEW_TOKENS, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        assert result.shape[1] == 32 + NEW_TOKENS

    for name, s in alternate({"minillm_lib": decode_ours, "Hugging Face": decode_theirs}, repeats).items():
        rows.append(
            {
                "job": f"decoding {NEW_TOKENS} tokens, batch 1",
                "package": name,
                "tokens_per_second": NEW_TOKENS / statistics.median(s),
            }
        )
    return rows


def filled_cache(model: MiniLLM, batch: int, context: int, room: int) -> Any:
    """Return a cache that holds ``context`` random tokens per row and has room for ``room`` more."""
    cache = model.new_cache(batch, context + room)
    cache.extend(batch, context)
    cache.keys[:, :, :, :context].normal_()
    cache.values[:, :, :, :context].normal_()
    return cache


def against_classic(
    repeats: int, contexts: list[int], batches: list[int], steps: int = 16
) -> list[dict[str, Any]]:
    """Measure cache size and decoding speed of ``26m`` and ``26m-classic`` for each batch size and context length."""
    longest = max(contexts) + (repeats + 1) * steps
    torch.manual_seed(0)
    models = {name: MiniLLM.from_preset(name, max_seq_len=longest).eval() for name in ("26m", "26m-classic")}
    rows = []
    for batch in batches:
        for context in contexts:
            caches = {n: filled_cache(m, batch, context, (repeats + 1) * steps) for n, m in models.items()}
            ids = torch.zeros(batch, 1, dtype=torch.long)

            def decode(name: str, caches: dict[str, Any] = caches, ids: torch.Tensor = ids) -> None:
                with torch.inference_mode():
                    for _ in range(steps):
                        models[name](ids, cache=caches[name])

            seconds = alternate({name: lambda n=name: decode(n) for name in models}, repeats)  # type: ignore[misc]
            speed = {name: batch * steps / statistics.median(s) for name, s in seconds.items()}
            size = {name: model.config.kv_cache_bytes(batch, context, 4) for name, model in models.items()}
            rows.append(
                {
                    "batch": batch,
                    "context": context,
                    "kv_cache_bytes": size,
                    "tokens_per_second": speed,
                    "cache_ratio": size["26m"] / size["26m-classic"],
                    "speed_ratio": speed["26m"] / speed["26m-classic"],
                }
            )
    return rows


def high_water_mark() -> int:
    """Return the most memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would include what the parent process held before this program started
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def peak_memory_of(job: str, preset: str) -> int:
    """Run a job in this process, and return its peak memory in bytes, above what the process held before."""
    before = high_water_mark()
    config = ModelConfig.from_preset(preset)
    if job == "train":
        model = MiniLLM(config)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        ids = torch.randint(config.vocab_size, (BATCH, SEQ + 1))
        for _ in range(2):
            model.loss(ids[:, :-1], ids[:, 1:]).backward()
            optimizer.step()
            optimizer.zero_grad()
    else:
        batch, context = (int(number) for number in job.split("x"))
        model = MiniLLM(config.replace(max_seq_len=max(config.max_seq_len, context))).eval()
        cache = filled_cache(model, batch, context - 1, 1)
        with torch.inference_mode():
            model(torch.zeros(batch, 1, dtype=torch.long), cache=cache)
    return high_water_mark() - before


def peak_memory(jobs: list[str]) -> list[dict[str, Any]]:
    """Measure the peak memory of each job in bytes, for both presets, each in a separate process."""
    rows = []
    for job in jobs:
        peaks = {}
        for preset in ("26m", "26m-classic"):
            command = [sys.executable, __file__, "--peak-memory-of", job, preset]
            peaks[preset] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        rows.append({"job": job, "peak_bytes": peaks, "ratio": peaks["26m"] / peaks["26m-classic"]})
    return rows


def show(record: dict[str, Any]) -> None:
    console = Console(width=120)
    table = Table(
        "job", "package", "tokens/s", "GFLOP/s", "of matmul", "vs Hugging Face", title="Against Hugging Face"
    )
    for row in record.get("hugging_face", []):
        (peer,) = [
            r["tokens_per_second"]
            for r in record["hugging_face"]
            if r["job"] == row["job"] and r["package"] == "Hugging Face"
        ]
        table.add_row(
            row["job"],
            row["package"],
            f"{row['tokens_per_second']:,.0f}",
            f"{row['gflops']:.0f}" if "gflops" in row else "",
            f"{row['share_of_matmul']:.0%}" if "gflops" in row else "",
            f"{row['tokens_per_second'] / peer:.2f}x",
        )
    console.print(table)

    table = Table(title="26m against 26m-classic: decoding in float32")
    for heading in (
        "batch",
        "context",
        "cache 26m",
        "cache classic",
        "cache",
        "26m tokens/s",
        "classic tokens/s",
        "speed",
    ):
        table.add_column(heading, justify="right")
    for row in record.get("classic", []):
        table.add_row(
            str(row["batch"]),
            str(row["context"]),
            *(f"{row['kv_cache_bytes'][name] / 2**20:,.0f} MiB" for name in ("26m", "26m-classic")),
            f"{row['cache_ratio'] - 1:+.0%}",
            *(f"{row['tokens_per_second'][name]:,.0f}" for name in ("26m", "26m-classic")),
            f"{row['speed_ratio']:.2f}x",
        )
    console.print(table)

    table = Table(
        "job",
        "26m",
        "26m-classic",
        "difference",
        title="Peak memory of the process, above that of the imports",
    )
    for row in record.get("peak_memory", []):
        name = (
            f"training step, {BATCH} x {SEQ}"
            if row["job"] == "train"
            else f"decoding, batch x context {row['job']}"
        )
        sizes = (f"{row['peak_bytes'][preset] / 2**20:,.0f} MiB" for preset in ("26m", "26m-classic"))
        table.add_row(name, *sizes, f"{row['ratio'] - 1:+.0%}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--contexts", type=int, nargs="+", default=[512, 2048, 8192])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parts = ["hugging_face", "classic", "peak_memory"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--peak-memory-of", nargs=2, metavar=("JOB", "PRESET"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "decoder.json")
    arguments = parser.parse_args()
    if arguments.peak_memory_of:
        print(peak_memory_of(*arguments.peak_memory_of))
        return
    jobs = ["train", *(f"{batch}x{context}" for batch in arguments.batches for context in arguments.contexts)]
    measure: dict[str, Callable[[], Any]] = {
        "hugging_face": lambda: against_hugging_face(arguments.repeats),
        "classic": lambda: against_classic(arguments.repeats, arguments.contexts, arguments.batches),
        "peak_memory": lambda: peak_memory(jobs),
    }
    record: dict[str, Any] = {}
    if arguments.output.exists():  # parts that are not measured now keep their recorded values
        record = json.loads(arguments.output.read_text(encoding="utf-8"))
    record["machine"] = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    record |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "repeats": arguments.repeats}
    record |= {part: measure[part]() for part in arguments.parts}
    show(record)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
