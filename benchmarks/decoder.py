"""Compare the 26 M decoder with Hugging Face's Llama, and with a decoder of equal size made of classic blocks.

    python benchmarks/decoder.py [--parts hugging_face decoding classic peak_memory] [--repeats 5]

It prints four tables. In each, the contestants take turns on this machine, and times are medians over the repeats:

1. A training step (forward, backward, AdamW) against ``LlamaForCausalLM`` with the same weights, in float32. GFLOP/s
   count the matrix products only (see ``ModelConfig.flops_per_token``). They are also given as a share of the speed of
   a plain matrix product in the same run.
2. Greedy decoding of one text with the chat model of ``results/26m``: by Hugging Face, by the layers of this package
   (``fast=False``), on its fast path, and with weights in 8 bits; and by llama.cpp where ``llama-cpp-python`` is
   installed. The weights of that model fit into bfloat16, so the fast path reads the same numbers from half the memory;
   "all 32 bits" is the same model with weights a millionth larger, which do not. The limit is the speed at which as
   many threads read as many bytes as the weights take, over and over, in the same run; what fits into a cache is read
   from there. The same again with two other processes that keep the processor busy. Then prompts, and sixteen texts at
   a time, which have to be as fast as the layers are; and the perplexity of the weights in 8 bits on this package's own
   code.
3. A test of the claim "memory -40 %, inference 1.3-1.6x" in the report that this project follows: ``26m`` (RMSNorm,
   SwiGLU, grouped queries, rotary positions) against ``26m-classic`` (LayerNorm, GELU, full heads, learned positions).
   Decoding starts from a full context. Its cache is filled at random, because the time depends on how much is read, not
   on the values.
4. Peak memory of a process that takes a training step or decodes, above the memory in use once torch is imported.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from busy import busy_processes
from rich.console import Console
from rich.table import Table

from minillm_lib.generation.decoding import generate, tokenizer_of
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM

ROOT = Path(__file__).parent.parent
BATCH, SEQ = 8, 512
NEW_TOKENS = 128
BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2, "int8": 1}
QUESTION = "What is the difference between LDA and a Transformer?"


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
    """Time a training step on 8 x 512 tokens."""
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
    return [
        {
            "job": f"training step, {BATCH} x {SEQ}",
            "package": name,
            "tokens_per_second": BATCH * SEQ / s,
            "gflops": flops / s / 1e9,
            "share_of_matmul": flops / s / peak,
        }
        for name, s in seconds.items()
    ]


@numba.njit(nogil=True, fastmath=True)
def read(numbers: np.ndarray) -> float:
    """Read an array from memory, and do as little as possible with it."""
    total = np.float32(0)
    for i in range(numbers.shape[0]):
        total += numbers[i]
    return total


def seconds_to_read(n_bytes: int, repeats: int) -> float:
    """Measure the time in which the threads that torch may use read ``n_bytes``, each its own part."""
    n_threads = torch.get_num_threads()
    parts = np.array_split(np.ones(n_bytes // 4, np.float32), n_threads)
    times = []
    with ThreadPoolExecutor(n_threads) as threads:
        for _ in range(10 * repeats):
            start = time.perf_counter()
            list(threads.map(read, parts))
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def llama_cpp_decoder(model: MiniLLM, prompt: list[int]) -> Callable[[int], list[int]] | None:
    """Return a function that lets llama.cpp continue a prompt, in float32, or ``None`` if it is not installed."""
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    import tempfile

    from minillm_lib.interop.gguf import export_gguf

    folder = tempfile.mkdtemp()
    path = export_gguf(model, Path(folder) / "model.gguf", dtype="f32")
    llama = Llama(str(path), n_ctx=512, n_threads=torch.get_num_threads(), verbose=False)

    def decode(n_tokens: int) -> list[int]:
        tokens = llama.generate(prompt, temp=0.0, reset=True)
        return [token for _, token in zip(range(n_tokens), tokens, strict=False)]

    return decode


def decoding(repeats: int) -> dict[str, Any]:
    """Time one text at a time, on an idle and on a busy machine, and what must not have become slower."""
    shipped = ROOT / "results" / "26m"
    model = MiniLLM.load_from_checkpoint(shipped / "chat", dtype=torch.float32)
    quantized, theirs = model.quantized(), hugging_face_twin(model)
    in_full = copy.deepcopy(
        model
    )  # its weights no longer fit into bfloat16, in which the shipped ones were saved
    with torch.no_grad():
        for parameter in in_full.parameters():
            parameter.mul_(1 + 2**-20)
    tokenizer = tokenizer_of(model)
    text = tokenizer.encode(held_out_text())
    question = [{"role": "user", "content": QUESTION}]
    prompt = [int(token) for token in tokenizer.apply_chat_template(question, add_generation_prompt=True)]

    def decode_theirs(n_tokens: int) -> list[int]:
        ids = torch.tensor([prompt])
        result = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=n_tokens,
            max_new_tokens=n_tokens, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        return result[0, len(prompt) :].tolist()

    def ours(model: MiniLLM, prompts: list[list[int]], n_tokens: int, fast: bool) -> list[list[int]]:
        rows = generate(model, prompts, temperature=0, max_new_tokens=n_tokens, end_ids=(), fast=fast)
        assert all(len(row.ids) == n_tokens for row in rows)
        return [row.ids for row in rows]

    decoders: dict[str, Callable[[int], list[int]]] = {
        "Hugging Face": decode_theirs,
        "layers": lambda n_tokens: ours(model, [prompt], n_tokens, False)[0],
        "fast path": lambda n_tokens: ours(model, [prompt], n_tokens, True)[0],
        "fast path, all 32 bits": lambda n_tokens: ours(in_full, [prompt], n_tokens, True)[0],
        "fast path, int8": lambda n_tokens: ours(quantized, [prompt], n_tokens, True)[0],
    }
    if llama := llama_cpp_decoder(model, prompt):
        decoders["llama.cpp"] = llama
    reference = decoders["layers"](NEW_TOKENS)
    agree = {name: n_equal(decode(NEW_TOKENS), reference) for name, decode in decoders.items()}

    n_weights = sum(parameter.numel() for parameter in model.parameters())
    limits = {name: 1 / seconds_to_read(n_weights * size, repeats) for name, size in BYTES_PER_WEIGHT.items()}
    reads = {"fast path": "bfloat16", "fast path, int8": "int8"}  # the others read float32
    speeds: dict[str, dict[str, float]] = {}
    for state, n_processes in (("idle", 0), ("busy", 2)):
        with busy_processes(n_processes):
            runs = {name: lambda run=run: run(NEW_TOKENS) for name, run in decoders.items()}
            seconds = alternate(runs, repeats if state == "idle" else min(repeats, 3))
        speeds[state] = {name: NEW_TOKENS / statistics.median(s) for name, s in seconds.items()}
    rows = [
        {
            "package": name,
            "tokens_per_second": speeds["idle"][name],
            "share_of_limit": speeds["idle"][name] / limits[reads.get(name, "float32")],
            "against_hugging_face": speeds["idle"][name] / speeds["idle"]["Hugging Face"],
            "busy_tokens_per_second": speeds["busy"][name],
            "busy_against_idle": speeds["busy"][name] / speeds["idle"][name],
            "tokens_as_with_layers": agree[name],
        }
        for name in decoders
    ]

    long, many = [text[:511]], [text[start : start + 32] for start in range(0, 160, 10)]
    jobs = {"prompt of 511 tokens": (long, 1, 511), "16 texts of 32 tokens": (many, 32, 16 * 32)}
    not_slower = []
    for job, (prompts, n_new, n_tokens) in jobs.items():
        seconds = alternate(
            {
                "layers": lambda p=prompts, n=n_new: ours(model, p, n, False),
                "fast path": lambda p=prompts, n=n_new: ours(model, p, n, True),
                "fast path, int8": lambda p=prompts, n=n_new: ours(quantized, p, n, True),
            },
            repeats,
        )
        speed = {name: n_tokens / statistics.median(s) for name, s in seconds.items()}
        not_slower.append({"job": job, "tokens_per_second": speed})

    windows = torch.tensor(text[: len(text) // 257 * 257]).view(-1, 257)[:32]
    losses = {}
    for name, each in (("float32", model), ("int8", quantized)):
        with torch.inference_mode():
            losses[name] = each.loss(windows[:, :-1], windows[:, 1:]).item()
    return {
        "n_tokens": NEW_TOKENS,
        "limit_tokens_per_second": limits,
        "bandwidth_gb_per_second": {
            name: limit * n_weights * BYTES_PER_WEIGHT[name] / 1e9 for name, limit in limits.items()
        },
        "rows": rows,
        "not_slower": not_slower,
        "perplexity": {name: math.exp(loss) for name, loss in losses.items()},
        "perplexity_tokens": windows[:, 1:].numel(),
    }


def n_equal(tokens: list[int], others: list[int]) -> int:
    """Count the tokens before the first that differs."""
    pairs = enumerate(zip(tokens, others, strict=True))
    return next((number for number, (one, other) in pairs if one != other), len(tokens))


def held_out_text() -> str:
    """Return text that no model was trained on: the code and documentation of this package."""
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "minillm_lib" / "model").glob("*.py"))
    )


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

    if "decoding" in record:
        show_decoding(console, record["decoding"])

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


def show_decoding(console: Console, record: dict[str, Any]) -> None:
    table = Table(title=f"Decoding one text of {record['n_tokens']} tokens; busy: beside two other processes")
    for heading in (
        "",
        "tokens/s",
        "of limit",
        "vs Hugging Face",
        "busy tokens/s",
        "vs Hugging Face",
        "vs idle",
        "same text",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    busy_peer = next(r["busy_tokens_per_second"] for r in record["rows"] if r["package"] == "Hugging Face")
    for row in record["rows"]:
        table.add_row(
            row["package"],
            f"{row['tokens_per_second']:,.0f}",
            f"{row['share_of_limit']:.0%}",
            f"{row['against_hugging_face']:.2f}x",
            f"{row['busy_tokens_per_second']:,.0f}",
            f"{row['busy_tokens_per_second'] / busy_peer:.2f}x",
            f"{row['busy_against_idle']:.0%}",
            f"{row['tokens_as_with_layers']} of {record['n_tokens']}",
        )
    for name, limit in record["limit_tokens_per_second"].items():
        bandwidth = record["bandwidth_gb_per_second"][name]
        table.add_row(f"limit, {name}: {bandwidth:.0f} GB/s", f"{limit:,.0f}")
    console.print(table)
    table = Table("tokens/s", "layers", "fast path", "fast path, int8", title="What must not be slower")
    for row in record["not_slower"]:
        table.add_row(row["job"], *(f"{speed:,.0f}" for speed in row["tokens_per_second"].values()))
    console.print(table)
    perplexity = record["perplexity"]
    console.print(
        f"perplexity on {record['perplexity_tokens']:,} held-out tokens: {perplexity['float32']:.3f} in float32, "
        f"{perplexity['int8']:.3f} in 8 bits ({perplexity['int8'] / perplexity['float32'] - 1:+.2%})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--contexts", type=int, nargs="+", default=[512, 2048, 8192])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parts = ["hugging_face", "decoding", "classic", "peak_memory"]
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
        "decoding": lambda: decoding(arguments.repeats),
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
