"""Measure ``minillm serve``: one client, then many at once, through HTTP on this machine.

    python benchmarks/serving.py [--clients 50] [--seconds 60] [--max-batch 64] [--ckpt results/26m/chat]

Each client asks a question of the course, reads the answer as a stream, and asks the next one at once. The clients are
one other process of this machine, on the same processor as the server. What is reported: tokens per second, answers by
HTTP status, the time to the first token (median and 95th percentile), and the server's memory at the start of each
part, after a third of it and at its end. Tokens are those that the server counts in ``usage`` and, for answers that are
cut off by the end of a part, the pieces that arrived. It writes results/benchmarks/serving.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table

from minillm_lib.corpora.faq import faq_questions

ROOT = Path(__file__).parent.parent
MAX_TOKENS = 128


@dataclass
class Load:
    """What clients have seen."""

    n_tokens: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    first_token_ms: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60, help="of the part with many clients")
    parser.add_argument("--max-batch", type=int, default=64)
    parser.add_argument("--ckpt", type=Path, default=ROOT / "results" / "26m" / "chat")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "serving.json")
    options = parser.parse_args()

    command = [sys.executable, "-m", "minillm_lib", "serve", "--port", "0", "--ckpt", str(options.ckpt)]
    command += ["--max-batch", str(options.max_batch)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        port = _port(server)
        process = psutil.Process(server.pid)
        questions = [each.phrasings[0] for each in faq_questions()]
        asyncio.run(_load(port, 1, 3, questions))  # what is loaded at the first use
        parts = {}
        for n_clients, seconds in ((1, min(options.seconds, 20)), (options.clients, options.seconds)):
            memory = [process.memory_info().rss]
            soon = threading.Timer(seconds / 3, lambda own=memory: own.append(process.memory_info().rss))
            soon.start()
            load = asyncio.run(_load(port, n_clients, seconds, questions))
            memory.append(process.memory_info().rss)
            parts[str(n_clients)] = _facts(load, seconds, memory)
    finally:
        server.send_signal(signal.SIGINT)
        status = server.wait(30)
    one, many = parts["1"], parts[str(options.clients)]
    results = {
        "machine": {"cpu_count": os.cpu_count(), "processor": _processor(), "torch": torch.__version__},
        "checkpoint": options.ckpt.name,
        "max_batch": options.max_batch,
        "clients": parts,
        "ratio": round(many["tokens_per_second"] / one["tokens_per_second"], 2),
        "exit_status": status,
    }
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _show(results)


def _port(server: subprocess.Popen[str]) -> int:
    assert server.stdout is not None
    for line in server.stdout:
        if match := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
            return int(match[1])
    raise RuntimeError("the server did not start")


async def _load(port: int, n_clients: int, seconds: float, questions: list[str]) -> Load:
    load, end = Load(), time.perf_counter() + seconds
    await asyncio.gather(*(_client(port, seed, end, questions, load) for seed in range(n_clients)))
    return load


async def _client(port: int, seed: int, end: float, questions: list[str], load: Load) -> None:
    """Ask one question after the other, on one connection as long as it holds."""
    choice, connection = random.Random(seed), None
    while (left := end - time.perf_counter()) > 0:
        try:
            async with asyncio.timeout(left):
                connection = connection or await asyncio.open_connection("127.0.0.1", port)
                await _ask(connection, choice.choice(questions), load)
        except TimeoutError:
            break
        except (OSError, EOFError) as error:
            load.faults[type(error).__name__] += 1
            connection = None
    if connection is not None:
        connection[1].close()


async def _ask(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], question: str, load: Load
) -> None:
    reader, writer = connection
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": question}],
            "max_tokens": MAX_TOKENS,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    start, n_pieces, is_first = time.perf_counter(), 0, True
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    load.statuses[status := int(headers.split(maxsplit=2)[1])] += 1
    if status != 200:
        await reader.readexactly(int(headers.split("content-length: ")[1].split("\r\n")[0]))
        await asyncio.sleep(0.1)
        return
    try:
        while size := int(await reader.readline(), 16):
            chunk = await reader.readexactly(size + 2)
            if is_first and b'"content":"' in chunk.replace(b'"content":""', b""):
                load.first_token_ms.append(1000 * (time.perf_counter() - start))
                is_first = False
            n_pieces += chunk.count(b'"delta":{"content":"') - chunk.count(b'"error"')
            if usage := re.search(rb'"completion_tokens":(\d+)', chunk):
                load.n_tokens += int(usage[1])
                n_pieces = 0
            load.faults["error event"] += chunk.count(b'data: {"error"')
        await reader.readline()
    finally:
        load.n_tokens += n_pieces


def _facts(load: Load, seconds: float, memory: list[int]) -> dict[str, Any]:
    ordered = sorted(load.first_token_ms)
    return {
        "seconds": seconds,
        "tokens_per_second": round(load.n_tokens / seconds, 1),
        "answers": {str(status): n for status, n in sorted(load.statuses.items())},
        "faults": {name: n for name, n in load.faults.items() if n},
        "first_token_ms": {
            "median": round(statistics.median(ordered), 1),
            "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        },
        "memory_mib": {
            name: round(size / 2**20, 1)
            for name, size in zip(("start", "after_a_third", "end"), memory, strict=True)
        },
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _show(results: dict[str, Any]) -> None:
    columns = ("clients", "tokens/s", "answers", "faults", "first token, median", "95 %", "memory, MiB")
    table = Table(*columns)
    for n_clients, part in results["clients"].items():
        first, memory = part["first_token_ms"], part["memory_mib"]
        table.add_row(
            n_clients,
            f"{part['tokens_per_second']:,.0f}",
            ", ".join(f"{n} × {status}" for status, n in part["answers"].items()),
            ", ".join(f"{n} × {name}" for name, n in part["faults"].items()) or "none",
            f"{first['median']:.0f} ms",
            f"{first['p95']:.0f} ms",
            " → ".join(f"{size:.0f}" for size in memory.values()),
        )
    console = Console()
    console.print(table)
    console.print(f"ratio of tokens/s: {results['ratio']}")


if __name__ == "__main__":
    main()
