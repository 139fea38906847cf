"""Prove on a GPU what the package promises for one: its tests, then its speed against Hugging Face and plain code.

    python benchmarks/gpu.py [--parts tests training decoding packing claim recipe] [--device cuda] [--quick]
                             [--data FOLDER] [--minutes 8]

Only the repository and the PyTorch that is installed there are needed; what another package is missing for is left out,
and said. Every part runs in a process of its own and within the minutes that are left. The results are
``results/gpu/DEVICE.json``, and the tables are printed.

1. ``tests``: the tests marked ``cuda``.
2. ``training``: pretraining steps of ``26m`` and ``104m`` in tokens/s and as a share of the speed of plain matrix
   products (MFU), eager and compiled, against Hugging Face's Llama and against a plain GPT.
3. ``decoding``: greedy decoding of 1 and 64 texts: layer by layer, with a recorded CUDA graph, and by Hugging Face's
   ``generate``; and peak memory.
4. ``packing``: attention over rows of packed conversations, by the kernels that PyTorch has for it.
5. ``claim``: "memory -40 %, inference 1.3-1.6x", ``26m`` against ``26m-classic`` at the same prompts.
6. ``recipe``: the whole of ``configs/pretrain.yaml`` and ``configs/sft.yaml``, and the time to a held-out perplexity of
   12.2. It needs the token files of the data, ``--data``, since the text is that of the packages of requirements.lock.

Without CUDA this says so, runs ``--device cpu --quick``, which finds mistakes in the script itself, and writes nothing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PARTS = ("tests", "training", "decoding", "packing", "claim", "recipe")
NEEDED = (
    "torch", "numpy", "pydantic", "yaml", "safetensors", "sentencepiece", "lazy_loader", "rich", "tqdm", "psutil",
)  # fmt: skip
USEFUL = {
    "transformers": "the comparison with Hugging Face",
    "triton": "compiled parts",
    "pytest": "the tests",
}


def missing(names: tuple[str, ...]) -> list[str]:
    """Return the packages of a list that are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def describe_device(device: str) -> dict[str, Any]:
    """Return what is measured on, and with which versions."""
    import torch

    facts: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version()}
    for name in ("transformers", "triton"):
        if importlib.util.find_spec(name):
            facts[name] = importlib.metadata.version(name)
    if device == "cpu":
        return facts | {
            "name": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
        }
    properties = torch.cuda.get_device_properties(0)
    return facts | {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "count": torch.cuda.device_count(),
        "cuda": torch.version.cuda,
    }


def run_part(part: str, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Run a part in a process of its own; return its record, or why there is none under ``"skipped"``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        command = [
            sys.executable,
            __file__,
            "--part",
            part,
            "--device",
            options.device,
            "--output",
            str(path),
        ]
        command += ["--quick"] * options.quick + (["--data", str(options.data)] if options.data else [])
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        start = time.monotonic()
        try:
            done = subprocess.run(
                command, timeout=seconds, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, check=False
            )
        except subprocess.TimeoutExpired:
            known = json.loads(path.read_text()) if path.exists() else {}
            return known | {"skipped": [f"the rest of it: the {seconds:.0f} s that were left are over"]}
        if not path.exists():
            ended = f"the process ended with status {done.returncode}"
            return {"skipped": [f"all of it: {ended}"], "failures": [f"{part}: {ended}"]}
        return json.loads(path.read_text()) | {"seconds": round(time.monotonic() - start, 1)}


def tests(options: argparse.Namespace) -> dict[str, Any]:
    """Run the tests marked ``cuda``."""
    if missing(("pytest",)):
        return {"skipped": ["all of it: pytest is not installed"]}
    environment = os.environ | ({"MINILLM_TEST_DEVICE": "cpu"} if options.device == "cpu" else {})
    # the project's own settings name plugins that need not be there
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",  # so that a crash shows in which test it was
        "-rfs",
        "-c",
        os.devnull,
        "--rootdir",
        str(ROOT),
        "-p",
        "no:cacheprovider",
    ]
    command += ["-W", "ignore", "-m", "cuda", str(ROOT / "tests" / "test_cuda.py"), "--noconftest"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    print(done.stdout[-6000:], done.stderr[:4000], flush=True)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout)}
    failures = re.findall(r"^FAILED .*?::(\S+)", done.stdout, flags=re.MULTILINE)
    if done.returncode and not failures:
        last = re.findall(r"::(\S+)", done.stdout)[-1:] or ["the first test"]
        failures = [f"{last[0]}: pytest ended with status {done.returncode}"]
    skipped = re.findall(r"^SKIPPED \[\d+\] \S+ (.*)$", done.stdout, flags=re.MULTILINE)
    return {"counts": counts, "failures": failures, "skipped": sorted(set(skipped))}


def show(record: dict[str, Any]) -> None:
    """Print the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    console.print(record["device"])
    for part in PARTS:
        found = record.get(part)
        if found is None:
            continue
        rows = found.get("rows", [])
        if rows:
            table = Table(title=part, title_justify="left")
            keys = list(dict.fromkeys(key for row in rows for key in row))
            for key in keys:
                table.add_column(
                    key.replace("_", " "), justify="left" if isinstance(rows[0].get(key), str) else "right"
                )
            for row in rows:
                table.add_row(*(_cell(row.get(key, "")) for key in keys))
            console.print(table)
        facts = {key: value for key, value in found.items() if key not in ("rows", "skipped")}
        console.print(f"{part}: {facts}" if facts else part)
        for reason in found.get("skipped", []):
            console.print(f"  left out: {reason}")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: is the script right?")
    parser.add_argument("--data", type=Path, help="the folder data/ of a machine that has packed the texts")
    parser.add_argument("--minutes", type=float, default=8, help="time for all parts together")
    parser.add_argument("--output", type=Path, help="by default results/gpu/DEVICE.json")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if lacking := missing(NEEDED):
        sys.exit(f"error: needed and not installed here: {', '.join(lacking)} (wheels can be carried there)")
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "There is no CUDA device here. What follows only checks the script, on the CPU and with tiny sizes."
        )
        options.device, options.quick = "cpu", True
    if options.part:
        sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
        import gpu_parts

        measure = tests if options.part == "tests" else getattr(gpu_parts, options.part)
        found = measure(options)
        options.output.write_text(json.dumps(found, indent=1))
        return
    deadline = time.monotonic() + 60 * options.minutes
    record: dict[str, Any] = {"device": describe_device(options.device), "quick": options.quick}
    record |= earlier_parts(record, options)
    for name, purpose in USEFUL.items():
        if missing((name,)):
            print(f"{name} is not installed here; without it there is nothing of: {purpose}", flush=True)
    for part in options.parts:
        left = deadline - time.monotonic()
        print(f"== {part}, {left:.0f} s left", flush=True)
        if left < 5:
            record[part] = {"skipped": [f"all of it: the {options.minutes:g} minutes are over"]}
        else:
            record[part] = run_part(part, options, left)
        keep(record, options)
    show(record)
    failed = [failure for part in options.parts for failure in record[part].get("failures", [])]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def record_path(record: dict[str, Any], options: argparse.Namespace) -> Path | None:
    """Return where the record goes; nowhere if what was tried is only the script itself."""
    if options.output is not None:
        return Path(options.output)
    if options.device == "cpu" or options.quick:
        return None
    name = re.sub(r"[^a-z0-9]+", "-", record["device"]["name"].lower()).strip("-")
    return ROOT / "results" / "gpu" / f"{name}.json"


def earlier_parts(record: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return the parts that are not run now and were measured before, on the same device with the same versions."""
    path = record_path(record, options)
    if path is None or not path.exists():
        return {}
    earlier = json.loads(path.read_text(encoding="utf-8"))
    if any(earlier.get(key) != record[key] for key in record):
        return {}
    kept = {part: earlier[part] for part in PARTS if part in earlier and part not in options.parts}
    if kept:
        print(f"kept from {path}: {', '.join(kept)}", flush=True)
    return kept


def keep(record: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the record after each part: a machine that is taken away leaves what was measured."""
    path = record_path(record, options)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
