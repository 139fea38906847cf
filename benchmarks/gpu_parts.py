"""The measurements of gpu.py; each returns rows for a table, and what was left out."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, linear, scaled_dot_product_attention

from minillm_lib.generation.decoding import generate
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import DataConfig, OptimizerConfig, PretrainConfig, SFTConfig, TrainConfig
from minillm_lib.training.data import folder_of
from minillm_lib.training.optimizer import make_optimizers
from minillm_lib.training.overrides import load_config
from minillm_lib.training.parallel import Processes, Replica
from minillm_lib.training.precision import Precision
from minillm_lib.training.rows import Batch
from minillm_lib.training.stages import pretrain, sft

ROOT = Path(__file__).parent.parent
HAS_TRANSFORMERS = importlib.util.find_spec("transformers") is not None
NO_TRANSFORMERS = "Hugging Face: transformers is not installed"
REPEATS = 20
MODES = ("eager", "compiled")


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(run: Callable[[], object], device: torch.device, repeats: int, warm_up: int = 3) -> float:
    """Return the median time of a run, after some that are not counted."""
    seconds = []
    for repeat in range(warm_up + repeats):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        if repeat >= warm_up:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@contextmanager
def peak_memory(device: torch.device) -> Iterator[dict[str, float]]:
    """Record under ``"gib"`` the most memory that tensors took inside the block; nothing on a CPU."""
    found: dict[str, float] = {}
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield found
    if device.type == "cuda":
        found["gib"] = torch.cuda.max_memory_allocated(device) / 2**30


def matmul_flops(device: torch.device, dtype: torch.dtype, n: int) -> float:
    """Return the operations per second of plain products of two square matrices with random numbers."""
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    return 2 * n**3 / median_seconds(lambda: a @ b, device, 10)


def hugging_face_twin(model: MiniLLM, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
    """Return a ``LlamaForCausalLM`` with the same weights."""
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        return AutoModelForCausalLM.from_pretrained(Path(folder) / "model", dtype=dtype).to(device)


class PlainGPT(nn.Module):
    """A decoder as one would write it in an afternoon: learned positions, LayerNorm, GELU, fused attention."""

    def __init__(self, config: ModelConfig, seq: int) -> None:
        super().__init__()
        width, self.n_heads = config.hidden_size, config.n_heads
        self.tokens, self.places = nn.Embedding(config.vocab_size, width), nn.Embedding(seq, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * config.n_layers + 1))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(config.n_layers))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(config.n_layers))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(config.n_layers))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(config.n_layers))

    def forward(self, ids: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss."""
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        for layer, (qkv, out, up, down) in enumerate(
            zip(self.qkv, self.out, self.up, self.down, strict=True)
        ):
            heads = qkv(self.norms[2 * layer](x)).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
            mixed = scaled_dot_product_attention(*heads, is_causal=True)
            x = x + out(mixed.transpose(1, 2).flatten(2))
            x = x + down(gelu(up(self.norms[2 * layer + 1](x))))
        logits = linear(self.norms[-1](x), self.tokens.weight)
        return cross_entropy(logits.flatten(0, 1).float(), labels.flatten())

    @property
    def flops_per_token(self) -> float:
        """Operations of forward and backward pass: six for each weight of a matrix, and those of causal attention."""
        matrices = [*self.qkv, *self.out, *self.up, *self.down]
        weights = sum(each.weight.numel() for each in matrices) + self.tokens.weight.numel()
        return 6 * weights + 6 * len(self.qkv) * self.places.weight.numel()


def _our_step(model: MiniLLM, batch: Batch, compiled: bool, types: Precision) -> Callable[[], None]:
    config = TrainConfig(compile=compiled, optimizer=OptimizerConfig(lr=1e-6))
    replica = Replica(model, config, Processes(0, 1, model.device), None)
    optimizers = make_optimizers(model, config.optimizer)
    n_labels = batch.n_labels  # the trainer counts them before it moves the rows to the device

    def step() -> None:
        with types.autocast():
            loss = replica(batch)
        types.backward(loss / n_labels)
        types.step(optimizers, replica.clip_gradients(1.0))
        for each in optimizers:
            each.zero_grad(set_to_none=True)

    return step


def _their_step(loss_of: Callable[[], Tensor], model: nn.Module, types: Precision) -> Callable[[], None]:
    (optimizer,) = make_optimizers(model, OptimizerConfig(lr=1e-6))

    def step() -> None:
        with types.autocast():
            loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def training(options: argparse.Namespace) -> dict[str, Any]:
    """Measure training steps in bf16 over float32 weights."""
    device = torch.device(options.device)
    types = Precision("auto", device)
    peak = matmul_flops(device, types.matmul_dtype, 256 if options.quick else 8192)
    sizes = [("nano", 2, 64)] if options.quick else [("26m", 64, 512), ("104m", 32, 512)]
    repeats = 2 if options.quick else REPEATS
    can_compile = device.type == "cpu" or importlib.util.find_spec("triton") is not None
    skipped = [] if HAS_TRANSFORMERS else [NO_TRANSFORMERS]
    found: dict[str, Any] = {}
    skipped += [] if can_compile else ["compiled steps: triton is not installed"]
    rows: list[dict[str, Any]] = []
    for preset, n_rows, seq in sizes:
        torch.manual_seed(0)
        config = ModelConfig.from_preset(preset, max_seq_len=seq)
        ids = torch.randint(config.vocab_size, (n_rows, seq + 1), device=device)
        batch = Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        for compiled in (False, True) if can_compile and not options.quick else (False,):
            for package in ("minillm_lib", *(["Hugging Face"] * HAS_TRANSFORMERS), "plain GPT"):
                torch.compiler.reset()
                torch.manual_seed(0)
                ours = MiniLLM(config).to(device)
                flops = float(config.flops_per_token(seq))
                if package == "minillm_lib":
                    step = _our_step(ours, batch, compiled, types)
                elif package == "Hugging Face":
                    theirs = hugging_face_twin(ours, device).train()
                    called = torch.compile(theirs) if compiled else theirs
                    step = _their_step(
                        lambda c=called, b=batch: c(input_ids=b.input_ids, labels=b.input_ids).loss,
                        theirs,
                        types,
                    )
                else:
                    plain = PlainGPT(config, seq).to(device)
                    flops = plain.flops_per_token
                    called = torch.compile(plain) if compiled else plain
                    step = _their_step(lambda c=called, b=batch: c(b.input_ids, b.labels), plain, types)
                with peak_memory(device) as memory:
                    seconds = median_seconds(step, device, repeats)
                speed = n_rows * seq / seconds
                rows.append(
                    {"preset": preset, "rows": n_rows, "package": package, "mode": MODES[compiled],
                     "tokens_per_second": speed, "share_of_matmul": flops * speed / peak,
                     "peak_gib": memory.get("gib", 0.0)}
                )  # fmt: skip
                print(rows[-1], flush=True)
                found = {
                    "precision": types.name,
                    "matmul_tflops": peak / 1e12,
                    "rows": rows,
                    "skipped": skipped,
                }
                options.output.write_text(json.dumps(found))  # is kept if the time is over
                del ours, step
    return found


def decoding(options: argparse.Namespace) -> dict[str, Any]:
    """Measure greedy decoding in bf16."""
    device = torch.device(options.device)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    n_new, sizes = (8, (1, 4)) if options.quick else (128, (1, 64))
    torch.manual_seed(0)
    model = MiniLLM.from_preset("nano" if options.quick else "26m").to(device, dtype).eval()
    theirs = hugging_face_twin(model, device, dtype).eval() if HAS_TRANSFORMERS else None
    rows, agreement = [], []
    for n_rows in sizes:
        prompts = torch.randint(model.config.vocab_size, (n_rows, 32)).tolist()

        def ours(fast: bool, prompts: list[list[int]] = prompts) -> list[list[int]]:
            made = generate(model, prompts, temperature=0, max_new_tokens=n_new, end_ids=(), fast=fast)
            return [row.ids for row in made]

        def peer(prompts: list[list[int]] = prompts) -> Tensor:
            ids = torch.tensor(prompts, device=device)
            return theirs.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=n_new, max_new_tokens=n_new,
                eos_token_id=None, pad_token_id=0,
            )  # fmt: skip

        fast_name = "recorded graph" if device.type == "cuda" else "fast path"
        runs: dict[str, Callable[[], object]] = {"layers": lambda: ours(False), fast_name: lambda: ours(True)}
        if theirs is not None:
            runs["Hugging Face"] = peer
        agreement.append(sum(a == b for a, b in zip(ours(False), ours(True), strict=True)) / n_rows)
        speeds = {}
        for name, run in runs.items():
            with peak_memory(device) as memory:
                speeds[name] = n_rows * n_new / median_seconds(run, device, 1 if options.quick else 3, 1)
            rows.append(
                {
                    "texts": n_rows,
                    "way": name,
                    "tokens_per_second": speeds[name],
                    "peak_gib": memory.get("gib", 0.0),
                }
            )
        for row in rows[-len(runs) :]:
            if theirs is not None:
                row["against_hugging_face"] = row["tokens_per_second"] / speeds["Hugging Face"]
    skipped = [] if HAS_TRANSFORMERS else [NO_TRANSFORMERS]
    if device.type == "cuda":
        skipped.append("weights in 8 bits: the package computes with them on CPUs only")
    return {"same_texts_by_both_ways": agreement, "rows": rows, "skipped": skipped}


def packing(options: argparse.Namespace) -> dict[str, Any]:
    """Measure forward and backward pass of attention over rows in which conversations are packed."""
    device = torch.device(options.device)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    n_rows, seq, heads, width = (2, 64, 2, 16) if options.quick else (32, 512, 8, 64)
    length = seq // 16  # of a conversation
    torch.manual_seed(0)
    parts = [
        torch.randn(n_rows, heads, seq, width, device=device, dtype=dtype, requires_grad=True)
        for _ in range(3)
    ]
    segments = torch.arange(seq, device=device) // length
    mask = (segments[:, None] == segments) & torch.ones(seq, seq, dtype=torch.bool, device=device).tril()
    skipped, rows = [], []

    def dense() -> Tensor:
        return scaled_dot_product_attention(*parts, attn_mask=mask)

    def unmasked() -> Tensor:
        return scaled_dot_product_attention(*parts, is_causal=True)

    ways: dict[str, Callable[[], Tensor]] = {"a mask for every row (as the package does)": dense}
    ways["causal only, conversations not kept apart"] = unmasked
    if device.type == "cuda":
        ways |= _ways_of_cuda(parts, segments, length, skipped)
    reference = dense().detach()
    for name, way in ways.items():

        def run(way: Callable[[], Tensor] = way) -> None:
            way().sum().backward()

        try:
            error = (way().detach().float() - reference.float()).abs().max().item()
            seconds = median_seconds(run, device, 2 if options.quick else REPEATS)
        except Exception as failure:
            skipped.append(f"{name}: {type(failure).__name__}: {str(failure).splitlines()[0][:150]}")
            continue
        rows.append({"way": name, "milliseconds": 1000 * seconds, "largest_difference": error})
    return {"conversations_in_a_row": seq // length, "rows": rows, "skipped": skipped}


def _ways_of_cuda(
    parts: list[Tensor], segments: Tensor, length: int, skipped: list[str]
) -> dict[str, Callable[[], Tensor]]:
    ways: dict[str, Callable[[], Tensor]] = {}
    n_rows, heads, seq, width = parts[0].shape
    try:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        def visible(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (query >= key) & (segments[query] == segments[key])

        blocks = create_block_mask(visible, None, None, seq, seq, device=str(parts[0].device))
        flex = torch.compile(flex_attention, dynamic=False)
        ways["FlexAttention, compiled"] = lambda: flex(*parts, block_mask=blocks)
    except Exception as failure:
        skipped.append(f"FlexAttention: {type(failure).__name__}: {str(failure).splitlines()[0][:150]}")
    try:
        from torch.nn.attention.varlen import varlen_attn

        causal: dict[str, Any] = {"window_size": (-1, 0)}  # as many tokens before as there are, none after
        if "is_causal" in inspect.signature(varlen_attn).parameters:  # until PyTorch 2.10 or so
            causal = {"is_causal": True}
        ends = torch.arange(0, n_rows * seq + 1, length, device=parts[0].device, dtype=torch.int32)

        def varlen() -> Tensor:
            flat = [each.transpose(1, 2).reshape(n_rows * seq, heads, width) for each in parts]
            mixed: Tensor = varlen_attn(*flat, ends, ends, length, length, **causal)
            return mixed.view(n_rows, seq, heads, width).transpose(1, 2)

        ways["variable lengths, flash"] = varlen
    except Exception as failure:
        skipped.append(
            f"attention of variable lengths: {type(failure).__name__}: {str(failure).splitlines()[0][:150]}"
        )
    return ways


def claim(options: argparse.Namespace) -> dict[str, Any]:
    """Measure memory and speed of decoding, 26m against 26m-classic."""
    device = torch.device(options.device)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    cases = [(1, 32)] if options.quick else [(1, 512), (1, 2048), (16, 2048), (64, 2048)]
    rows = []
    for n_rows, context in cases:
        found: dict[str, dict[str, float]] = {}
        for preset in ("26m", "26m-classic"):
            torch.manual_seed(0)
            model = MiniLLM.from_preset(preset, max_seq_len=context + 64).to(device, dtype).eval()
            prompts = torch.randint(model.config.vocab_size, (n_rows, context)).tolist()

            def run(model: MiniLLM = model, prompts: list[list[int]] = prompts) -> None:
                n_new = 4 if options.quick else 64
                generate(model, prompts, temperature=0, max_new_tokens=n_new, end_ids=())

            with peak_memory(device) as memory:
                seconds = median_seconds(run, device, 1 if options.quick else 3, 1)
            found[preset] = {"seconds": seconds, "gib": memory.get("gib", math.nan)}
        ours, classic = found["26m"], found["26m-classic"]
        rows.append(
            {"texts": n_rows, "context": context, "faster": classic["seconds"] / ours["seconds"],
             "memory": ours["gib"] / classic["gib"] - 1, "gib_26m": ours["gib"], "gib_classic": classic["gib"]}
        )  # fmt: skip
    return {"rows": rows}


def recipe(options: argparse.Namespace) -> dict[str, Any]:
    """Train by ``configs/pretrain.yaml`` and ``configs/sft.yaml``, and take the time."""
    config = load_config(PretrainConfig, ROOT / "configs" / "pretrain.yaml", {})
    packed = folder_of(config.data.model_copy(update={"folder": options.data or Path("data")}))
    if options.data is None or not packed.is_dir():
        reason = f"--data must name the folder data/ with the token files of configs/pretrain.yaml ({packed})"
        return {"skipped": [f"all of it: {reason}"]}
    work = Path(tempfile.mkdtemp())
    try:
        changes: dict[str, Any] = {
            "run": str(work / "pretrain"), "output": str(work / "pretrain.pt"), "train.device": options.device,
            "train.compile": options.device == "cuda" and not options.quick, "train.micro_batch_size": 16,
        } | ({"train.steps": 1, "train.batch_size": 1, "train.micro_batch_size": 1, "evaluation.max_tokens": 1024,
              "evaluation.sample_tokens": 4, "train.schedule.warmup_steps": 1} if options.quick else {})  # fmt: skip
        start = time.monotonic()
        reached: float | None = None

        def watch(record: dict[str, Any]) -> None:
            nonlocal reached
            if record.get("kind") == "evaluation" and reached is None and record["perplexity"] <= 12.2:
                reached = time.monotonic() - start

        config = load_config(PretrainConfig, ROOT / "configs" / "pretrain.yaml", changes)
        config = config.model_copy(update={"data": DataConfig(packed=packed)})
        run = pretrain(config, progress=False, on_record=watch)
        pretrained = time.monotonic() - start
        changes |= {
            "run": str(work / "sft"),
            "output": str(work / "sft.pt"),
            "ckpt": str(work / "pretrain.pt"),
        }
        tuned = sft(load_config(SFTConfig, ROOT / "configs" / "sft.yaml", changes), progress=False)
        losses = {
            name: [each["perplexity"] for each in result.evaluations]
            for name, result in (("pretrain", run), ("sft", tuned))
        }
        return {
            "seconds_to_12.2": reached,
            "pretraining_seconds": pretrained,
            "sft_seconds": time.monotonic() - start - pretrained,
            "perplexity": {name: [values[0], min(values)] for name, values in losses.items()},
        }
    finally:
        shutil.rmtree(work, ignore_errors=True)


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
