"""What only a GPU can show; ``make gpu`` runs it.

``MINILLM_TEST_DEVICE=cpu`` runs what a CPU can compute as well, to find mistakes in the tests where no GPU is at hand.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minillm_lib.generation.decoding import generate
from minillm_lib.generation.graph_decoder import GraphDecoder, take_decoder
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.compilation import compile_parts
from minillm_lib.training.config import OptimizerConfig, PretrainConfig
from minillm_lib.training.optimizer import make_optimizers
from minillm_lib.training.precision import Precision
from minillm_lib.training.rows import Batch, batch_loss
from minillm_lib.training.sft_rows import EncodedConversation, pack_conversations, pad_conversations

DEVICE = os.environ.get("MINILLM_TEST_DEVICE", "cuda")
ON_CPU = DEVICE == "cpu"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not ON_CPU and not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
needs_gpu = pytest.mark.skipif(ON_CPU, reason="this is about CUDA itself")
CHAT = Path(__file__).parent.parent / "results" / "26m" / "chat"
KINDS = {
    "llama": {},
    "qwen3": {"qk_norm": True, "tied_embeddings": False},
    "classic": {"positions": "learned", "norm": "layer", "feed_forward": "gelu", "attention_bias": True},
    "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "max_seq_len": 32},
}


@pytest.fixture(autouse=True)
def full_float32():
    """Products of float32 numbers are not rounded to TF32, so that they can be compared with the CPU's."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def model_of(kind="llama", **changes):
    torch.manual_seed(0)
    shape = {"vocab_size": 512, "hidden_size": 128, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2,
             "intermediate_size": 256, "max_seq_len": 128, "initializer_range": 0.1}  # fmt: skip
    return MiniLLM(ModelConfig(**shape | KINDS[kind] | changes))


def batch_of(model, rows=4, seq=64):
    torch.manual_seed(1)
    ids = torch.randint(model.config.vocab_size, (rows, min(seq, model.config.max_seq_len) + 1))
    return Batch(ids[:, :-1], ids[:, 1:])


def gradients(model, batch, precision="float32"):
    types = Precision(precision, model.device, tf32=False)
    with types.autocast():
        loss = batch_loss(model, batch.to(model.device))
    types.backward(loss)
    types.unscale(make_optimizers(model, OptimizerConfig()))
    return loss.item(), {name: each.grad.float().cpu() for name, each in model.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_gradients_are_the_cpus(kind):
    ours = model_of(kind)
    theirs = copy.deepcopy(ours).to(DEVICE)
    batch = batch_of(ours)
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(batch.input_ids.to(DEVICE)).cpu(), ours(batch.input_ids), rtol=1e-4, atol=1e-4
        )
    (loss, expected), (other, found) = gradients(ours, batch), gradients(theirs, batch)
    assert other == pytest.approx(loss, rel=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.03), ("fp16", 0.01)])
@needs_gpu
def test_gradients_in_half_precision_point_where_those_of_float32_do(precision, bound):
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU has no bf16")
    model = model_of()
    batch = batch_of(model)
    loss, expected = gradients(copy.deepcopy(model), batch)
    half, found = gradients(model.to(DEVICE), batch, precision)
    assert half == pytest.approx(loss, rel=bound)
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() < bound * 2 * gradient.norm(), name


def test_hugging_face_computes_the_same_logits(tmp_path):
    transformers = pytest.importorskip("transformers")
    model = model_of().eval()
    model.save(tmp_path / "model")
    twin = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).to(
        DEVICE
    )
    ids = batch_of(model).input_ids.to(DEVICE)
    with torch.no_grad():
        torch.testing.assert_close(model.to(DEVICE)(ids), twin(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@needs_gpu
def test_a_recorded_step_gives_the_logits_of_the_layers(kind):
    model = model_of(kind).to(DEVICE).eval()
    cache = model.new_cache(3, 24)
    mask = torch.ones(3, 7, dtype=torch.bool, device=DEVICE)
    mask[1, :3] = False
    with torch.inference_mode():
        logits = model(torch.randint(512, (3, 7), device=DEVICE), attention_mask=mask, cache=cache)[:, -1]
        decoder = take_decoder(model, cache)
        assert isinstance(decoder, GraphDecoder)
        assert decoder._graph is not None
        for _ in range(16):
            tokens = logits.argmax(dim=-1, keepdim=True)
            logits = model(tokens, cache=cache)[:, -1]
            torch.testing.assert_close(decoder(tokens), logits, rtol=1e-3, atol=1e-3)


def test_ragged_batches_are_continued_as_each_prompt_alone_and_as_on_the_cpu():
    model = model_of().eval()
    prompts = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 11], [12, 13, 14, 15]]
    on_cpu = [row.ids for row in generate(model, prompts, temperature=0, max_new_tokens=20)]
    model.to(DEVICE)
    together = [row.ids for row in generate(model, prompts, temperature=0, max_new_tokens=20)]
    alone = [generate(model, [each], temperature=0, max_new_tokens=20)[0].ids for each in prompts]
    layers = [row.ids for row in generate(model, prompts, temperature=0, max_new_tokens=20, fast=False)]
    assert together == alone == layers == on_cpu


def test_a_seed_decides_what_is_drawn():
    model = model_of().to(DEVICE).eval()
    options = {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 20}
    drawn = [[row.ids for row in generate(model, [[1, 2], [3]], seed=seed, **options)] for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_steps_of_the_optimizers_are_the_cpus(name):
    models = [model_of(), model_of().to(DEVICE)]
    batch = batch_of(models[0])
    for model in models:
        optimizers = make_optimizers(model, OptimizerConfig(name=name, lr=0.01))
        for _ in range(3):
            batch_loss(model, batch.to(model.device)).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    for (key, ours), theirs in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert (ours - theirs.cpu()).abs().mean() < 2e-4, key  # signs of tiny gradients may differ


@needs_gpu
def test_compiled_parts_give_the_same_loss_and_gradients():
    pytest.importorskip("triton")
    plain, compiled = model_of().to(DEVICE), model_of().to(DEVICE)
    compile_parts(compiled)
    batch = batch_of(plain)
    (loss, expected), (other, found) = gradients(plain, batch), gradients(compiled, batch)
    assert other == pytest.approx(loss, rel=1e-4)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-2, atol=1e-4, msg=name)


@needs_gpu
def test_activation_checkpointing_takes_less_memory_for_the_same_gradients():
    peaks, results = [], []
    for recompute in (False, True):
        model = model_of(n_layers=8, activation_checkpointing=recompute).to(DEVICE).train()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        results.append(gradients(model, batch_of(model, rows=32, seq=128)))
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < peaks[0]
    for name, gradient in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_packed_conversations_have_the_loss_of_each_alone():
    model = model_of().to(DEVICE)
    generator = torch.Generator().manual_seed(0)
    conversations = [
        EncodedConversation(
            torch.randint(1, 512, (n,), generator=generator).tolist(),
            [position > n // 2 for position in range(n)],
        )
        for n in (9, 20, 33, 12, 28)
    ]
    packed, padded = pack_conversations(conversations, 64, 0), pad_conversations(conversations, 64, 0)
    with torch.no_grad():
        torch.testing.assert_close(
            batch_loss(model, packed.to(model.device)),
            batch_loss(model, padded.to(model.device)),
            rtol=1e-4,
            atol=1e-5,
        )


def run_config(folder, name, **train):
    return PretrainConfig.model_validate(
        {
            "run": f"{folder}/{name}",
            "output": f"{folder}/{name}.pt",
            "model": {"preset": "nano", "vocab_size": 400, "max_seq_len": 64, "dropout": 0.1},
            "data": {"corpora": [{"name": "grammar", "options": {"language": "en", "n": 60}}], "vocab_size": 400,
                     "folder": f"{folder}/data"},
            "train": {"steps": 8, "batch_size": 8, "warmup_steps": 2, "device": DEVICE, "optimizer": {"name": "muon"}}
            | train,
            "evaluation": {"every": 4, "max_tokens": 2000},
            "checkpoint": {"every": 2},
        }
    )  # fmt: skip


def train(config, path, *, stop_at=None, resume=False):
    """Train in a process of its own, deterministically; stopped as by a crash after a step if one is given."""
    path.write_text(json.dumps(config.as_json()))
    script = (
        "import json, os, sys, torch; torch.use_deterministic_algorithms(True);"
        "from minillm_lib.training import PretrainConfig, pretrain;"
        "config = PretrainConfig.model_validate(json.load(open(sys.argv[1])));"
        f"stop = lambda record: record.get('kind') == 'step' and record['step'] == {stop_at} and os._exit(9);"
        f"pretrain(config, progress=False, resume={resume}, on_record=stop)"
    )
    environment = os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    command = [sys.executable, "-X", "faulthandler", "-c", script, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    """Bit for bit, with deterministic algorithms."""
    whole, killed = run_config(tmp_path, "whole"), run_config(tmp_path, "killed")
    done = train(whole, tmp_path / "whole.json")
    assert done.returncode == 0, done.stderr[:4000]
    done = train(killed, tmp_path / "killed.json", stop_at=5)
    assert done.returncode == 9, done.stderr[:4000]
    done = train(killed, tmp_path / "killed.json", resume=True)
    assert done.returncode == 0, done.stderr[:4000]
    weights, resumed = (
        MiniLLM.load_from_checkpoint(tmp_path / f"{name}.pt").state_dict() for name in ("whole", "killed")
    )
    assert all(torch.equal(resumed[name], tensor) for name, tensor in weights.items())


@needs_gpu
def test_without_memory_the_run_says_what_fits(tmp_path):
    values = run_config(tmp_path, "large").as_json()
    values["model"] = {"preset": "tiny", "vocab_size": 400, "max_seq_len": 2048}
    values["data"]["corpora"][0]["options"]["n"] = 2000
    values["train"] |= {"batch_size": 256, "micro_batch_size": 256, "seq_len": 2048}
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(free - (1500 << 20), 1), dtype=torch.uint8, device=DEVICE)  # leaves 1.5 GB
    try:
        done = train(PretrainConfig.model_validate(values), tmp_path / "large.json")
    finally:
        del taken
        torch.cuda.empty_cache()
    words = r"has no memory for \d+ rows of 2,048 tokens at a time, but for \d+: set"
    assert re.search(words, done.stderr), done.stderr[:4000]


@pytest.mark.parametrize("distributed", ["ddp", "fsdp"])
def test_processes_on_all_gpus_give_the_losses_of_one(tmp_path, distributed):
    n = 2 if ON_CPU else min(torch.cuda.device_count(), 8)
    config = run_config(tmp_path, "one", batch_size=8 * n, precision="float32", tf32=False)
    done = train(config, tmp_path / "one.json")
    assert done.returncode == 0, done.stderr[:4000]
    values = config.as_json() | {"run": f"{tmp_path}/many", "output": f"{tmp_path}/many.pt"}
    values["train"] |= {"distributed": distributed, "device": DEVICE}
    path = tmp_path / "many.yaml"
    path.write_text(json.dumps(values))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(n)]
    command += ["-m", "minillm_lib", "pretrain", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, many = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "many")
    )
    for ours, theirs in zip(
        *([each for each in run if each["kind"] == "evaluation"] for run in (one, many)), strict=True
    ):
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-2)


def test_the_shipped_model_answers_on_the_gpu_as_on_the_cpu():
    """The line of the original's README."""
    model = MiniLLM.load_from_checkpoint(CHAT).eval()
    question = "讲讲 LDA 与 Transformer 的差异？"
    expected = model.float().chat(question, temperature=0)
    answer = MiniLLM.load_from_checkpoint(CHAT).eval().to(DEVICE).float().chat(question, temperature=0)
    assert answer == expected
    if not ON_CPU:
        assert MiniLLM.load_from_checkpoint(CHAT).eval().cuda().chat(question).strip()
