"""The fast path against the layers: every configuration, and everything that it must notice."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import pytest
import torch
from hugging_face_reference import SCALINGS
from scripted_model import ScriptedModel
from torch import nn

from minillm_lib.generation.decoding import generate
from minillm_lib.generation.fast_path import FastDecoder, why_not_fast
from minillm_lib.generation.streaming import stream
from minillm_lib.generation.weight_table import FastPathError, WeightTable
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.quantization import dequantize
from minillm_lib.tokenizer import Tokenizer

PROMPT = [5, 6, 7, 8, 9, 10, 11]
CLASSIC = {"positions": "learned", "norm": "layer", "feed_forward": "gelu", "n_kv_heads": 4}
SHAPES = {
    "gqa": {},
    "mha": {"n_kv_heads": 4},
    "mqa with qk norm, untied": {"n_kv_heads": 1, "qk_norm": True, "tied_embeddings": False},
    "classic": CLASSIC,
    "classic with biases, untied": {
        **CLASSIC, "attention_bias": True, "mlp_bias": True, "tied_embeddings": False
    },
    "swiglu with biases": {"attention_bias": True, "mlp_bias": True},
    "layer norm with rope": {"norm": "layer"},
    "odd sizes": {"hidden_size": 33, "n_heads": 3, "n_kv_heads": 3, "head_dim": 10, "intermediate_size": 47},
    "wide heads": {"head_dim": 24},
    "one layer": {"n_layers": 1},
    **{name: {"rope_scaling": scaling} for name, scaling in SCALINGS.items() if scaling},
    "dynamic beyond the trained length": {
        "max_seq_len": 12, "rope_scaling": {"rope_type": "dynamic", "factor": 4}
    },
}  # fmt: skip


def tiny_model(**overrides):
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 48}
    config = {"vocab_size": 97, "max_seq_len": 48, "initializer_range": 0.3, **shape, **overrides}
    model = MiniLLM(ModelConfig(**config)).eval()
    for name, parameter in model.named_parameters():
        if (
            name.endswith("bias") or "norm" in name
        ):  # as they are initialised, they could be left out unnoticed
            nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.3)
    return model


def filled_cache(model, prompt=PROMPT):
    cache = model.new_cache(max_len=min(48, model.config.context_length))
    with torch.inference_mode():
        model(torch.tensor([prompt]), cache=cache)
    return cache


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a rose is a rose is a rose, one in 12 ÷ 3 = 4"] * 9, vocab_size=310)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("quantized", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
def test_logits_and_cache_are_those_of_the_layers(overrides, quantized, n_threads):
    model = tiny_model(**overrides)
    if quantized:
        model = model.quantized()
    ours, theirs = filled_cache(model), filled_cache(model)
    decoder = FastDecoder(model, ours, n_threads)
    for token in range(20, 50):
        with torch.inference_mode():
            expected = model(torch.tensor([[token]]), cache=theirs)[:, -1]
        torch.testing.assert_close(decoder(token), expected, atol=2e-4, rtol=1e-3)
    assert ours.length == theirs.length == len(PROMPT) + 30
    torch.testing.assert_close(ours.keys, theirs.keys, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(ours.values, theirs.values, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
def test_texts_are_those_of_the_layers(overrides, fast_steps):
    model = tiny_model(**overrides)
    for options in (
        {"temperature": 0},
        {"temperature": 0, "repetition_penalty": 1.5},
        {"temperature": 1.2, "top_p": 0.9, "seed": 3},
        {"temperature": 0.9, "top_k": 5, "repetition_penalty": 1.2, "seed": 4},
    ):
        exact = generate(model, PROMPT, max_new_tokens=None, fast=False, **options)
        assert not fast_steps
        assert generate(model, PROMPT, max_new_tokens=None, **options) == exact
        assert fast_steps == exact[0].ids[:-1]
        fast_steps.clear()


def test_the_layers_can_go_on_where_the_fast_path_stops():
    model = tiny_model()
    ours, theirs = filled_cache(model), filled_cache(model)
    FastDecoder(model, ours)(20)
    with torch.inference_mode():
        model(torch.tensor([[20]]), cache=theirs)
        torch.testing.assert_close(
            model(torch.tensor([[21, 22]]), cache=ours), model(torch.tensor([[21, 22]]), cache=theirs)
        )


def test_only_single_prompts_are_on_the_fast_path(fast_steps):
    model = tiny_model()
    generate(model, [PROMPT, PROMPT], max_new_tokens=4)
    assert not fast_steps
    generate(model, [PROMPT], max_new_tokens=4)
    assert len(fast_steps) == 3


def test_streams_and_chats_take_it_and_can_leave_it(tokenizer, fast_steps):
    model = tiny_model(vocab_size=310)
    model.tokenizer = tokenizer
    for fast, n_steps in ((True, 4), (False, 0)):
        for write in (
            lambda **options: "".join(stream(model, "a rose", **options)),
            lambda **options: "".join(model.stream("a rose", **options)),
            lambda **options: model.chat("a rose", **options),
            lambda **options: model.generate("a rose", **options),
        ):
            write(fast=fast, max_new_tokens=5, temperature=0)
            assert len(fast_steps) == n_steps
            fast_steps.clear()


def test_a_model_in_training_mode_decodes_without_dropout_and_stays_in_it(fast_steps):
    model = tiny_model(dropout=0.5)
    expected = generate(model, PROMPT, temperature=0, max_new_tokens=8)
    assert generate(model.train(), PROMPT, temperature=0, max_new_tokens=8) == expected
    assert len(fast_steps) == 14
    assert all(module.training for module in model.modules())


def double(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)


def replace_data(model):
    for parameter in model.parameters():
        parameter.data = parameter.data * 2.0


CHANGES = {
    "in place": double,
    "in place, past autograd": lambda model: [p.data.mul_(2.0) for p in model.parameters()],
    "new memory": replace_data,
    "a state": lambda model: model.load_state_dict({n: 2 * t for n, t in model.state_dict().items()}),
    "an assigned state": lambda model: model.load_state_dict(
        {n: 2 * t for n, t in model.state_dict().items()}, assign=True
    ),
    "another module": lambda model: setattr(model.layers[1], "mlp", tiny_model(initializer_range=0.5).layers[0].mlp),
    "a step of training": lambda model: train(model),
}  # fmt: skip


def train(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model.loss(torch.tensor([PROMPT]), torch.tensor([PROMPT])).backward()
    optimizer.step()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_weights_are_seen_at_once_between_texts_and_within_one(change, fast_steps):
    def write(fast):
        model = tiny_model()
        texts = [generate(model, PROMPT, temperature=0, max_new_tokens=8, fast=fast)]
        model.tokenizer = Letters()
        pieces = stream(model, PROMPT, temperature=0, max_new_tokens=30, fast=fast, end_ids=())
        begun = [next(pieces) for _ in range(10)]
        change(model)
        texts += ["".join([*begun, *pieces])]
        return [*texts, generate(model, PROMPT, temperature=0, max_new_tokens=8, fast=fast)]

    exact = write(fast=False)
    assert not fast_steps
    assert write(fast=True) == exact
    assert len(fast_steps) == 7 + 29 + 7
    assert exact[2] != exact[0]


def as_saved_in_bfloat16(**overrides):
    model = tiny_model(**overrides)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    return model


@pytest.mark.parametrize("shape", ["gqa", "mqa with qk norm, untied", "classic with biases, untied"])
def test_weights_that_fit_into_bfloat16_are_read_from_half_the_memory(shape):
    """The same numbers give the same logits, to the bit; one number that does not fit, and nothing is copied."""
    model = as_saved_in_bfloat16(**SHAPES[shape])
    logits = []
    for halve in (False, True):
        cache = model.new_cache(max_len=len(PROMPT) + 1)
        with torch.inference_mode():
            model(torch.tensor([PROMPT]), cache=cache)
        decoder = FastDecoder(model, cache)
        decoder.table = WeightTable(model, halve=halve)
        assert decoder.table.like.dtype == ("uint16" if halve else "float32")
        logits.append(decoder(5))
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        model.layers[-1].mlp.down_proj.weight[0, 0] += 1e-4
    assert WeightTable(model, halve=True).like.dtype == "float32"


@pytest.mark.parametrize(
    "name", [name for name in CHANGES if name not in ("in place, past autograd", "another module")]
)
def test_changes_of_copied_weights_are_seen_within_a_text(name, fast_steps):
    def write(fast):
        model = as_saved_in_bfloat16()
        model.tokenizer = Letters()
        pieces = stream(model, PROMPT, temperature=0, max_new_tokens=30, fast=fast, end_ids=())
        begun = [next(pieces) for _ in range(10)]
        CHANGES[name](model)
        return "".join([*begun, *pieces])

    assert write(fast=True) == write(fast=False)
    assert fast_steps


class Letters:
    """A tokenizer in which each token is a letter."""

    eos_id = end_of_turn_id = -1
    end_ids = (-1,)
    vocab_size = 97

    def decode_stream(self, ids):
        return (chr(1000 + token) for token in ids)

    def decode(self, ids):
        return "".join(self.decode_stream(ids))


class OtherLinear(nn.Linear):
    pass


def parametrize(model):
    nn.utils.parametrizations.weight_norm(model.layers[0].mlp.up_proj)


def other_linear(model):
    new = OtherLinear(32, 48, bias=False)
    new.weight = model.layers[0].mlp.up_proj.weight
    model.layers[0].mlp.up_proj = new


def non_contiguous(model):
    parameter = model.layers[0].mlp.up_proj.weight
    parameter.data = parameter.data.t().contiguous().t()


def replaced_forward(model):
    mlp = model.layers[0].mlp
    forward = mlp.forward
    mlp.forward = lambda x: 2 * forward(x)


def mixed_precision(model):
    model.layers[2].bfloat16()


def broken_matrix(model):
    model.layers[0].mlp.up_proj.weight = nn.Parameter(torch.zeros(1, 32))


OBSTACLES = {
    "a hook": (
        lambda model: model.layers[0].register_forward_hook(lambda *_: None),
        "there are forward hooks",
    ),
    "a hook before": (
        lambda model: model.norm.register_forward_pre_hook(lambda *_: None),
        "there are forward hooks",
    ),
    "another layer": (other_linear, "layers.0.mlp.up_proj is a OtherLinear"),
    "a parametrization": (parametrize, "layers.0.mlp.up_proj is a Parametrized"),
    "another forward": (replaced_forward, "the forward method of layers.0.mlp was replaced"),
    "half precision": (lambda model: model.bfloat16(), "is in torch.bfloat16, but .*model.float"),
    "mixed precision": (mixed_precision, r"layers\.2.*torch\.bfloat16"),
    "fewer blocks": (lambda model: model.layers.pop(2), "2 blocks, but its configuration 3"),
    "another constant": (lambda model: setattr(model.norm, "eps", 0.5), "norm has eps=0.5"),
    "another layout": (non_contiguous, r"shape \(48, 32\) and the strides \(1, 48\)"),
    "another matrix": (broken_matrix, r"layers.0.mlp.up_proj.weight has the shape \(1, 32\)"),
}


@pytest.mark.parametrize(("change", "reason"), OBSTACLES.values(), ids=OBSTACLES)
def test_the_layers_decode_what_only_they_know_and_the_reason_is_named(change, reason, fast_steps, caplog):
    model = tiny_model()
    assert why_not_fast(model) is None
    change(model)
    with pytest.raises(FastPathError, match=reason):
        FastDecoder(model, model.new_cache())
    assert why_not_fast(model)
    if change in (broken_matrix, mixed_precision):
        return  # there is nothing to compute with the layers either
    with caplog.at_level(logging.DEBUG, logger="minillm_lib"):
        written = generate(model, PROMPT, temperature=0, max_new_tokens=8)
    assert written == generate(model, PROMPT, temperature=0, max_new_tokens=8, fast=False)
    assert not fast_steps
    assert why_not_fast(model) in caplog.text


def test_a_hook_during_a_text_is_called(fast_steps):
    model, calls = tiny_model(), []
    model.tokenizer = Letters()
    pieces = stream(model, PROMPT, temperature=0, max_new_tokens=20, end_ids=())
    begun = [next(pieces) for _ in range(5)]
    hook = model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    begun += [next(pieces) for _ in range(5)]
    hook.remove()
    begun += pieces
    assert (len(calls), len(fast_steps)) == (5, 4)
    assert "".join(begun) == "".join(
        stream(model, PROMPT, temperature=0, max_new_tokens=20, end_ids=(), fast=False)
    )


def test_autocast_and_overridden_models_use_the_layers(tokenizer, fast_steps):
    with torch.autocast("cpu", torch.bfloat16):
        assert "autocast" in why_not_fast(tiny_model())
        generate(tiny_model(), PROMPT, max_new_tokens=3)
    scripted = ScriptedModel(tokenizer, [300, 301, 302])
    assert why_not_fast(scripted) == "ScriptedModel computes hidden_states in its own way"
    assert generate(scripted, "a rose", max_new_tokens=3)[0].ids == [300, 301, 302]
    assert not fast_steps


def test_a_cache_that_it_cannot_use_is_named():
    model = tiny_model()
    with pytest.raises(FastPathError, match="for 2 rows in torch"):
        FastDecoder(model, model.new_cache(batch_size=2))
    with pytest.raises(FastPathError, match=r"for 1 row in torch\.bfloat16"):
        FastDecoder(model, tiny_model().bfloat16().new_cache())


def test_what_has_no_room_or_no_meaning_is_an_error():
    model = tiny_model(**CLASSIC)
    decoder = FastDecoder(model, model.new_cache(max_len=2))
    with pytest.raises(ValueError, match="token 97 is not in the vocabulary: ids are from 0 to 96"):
        decoder(97)
    decoder(1)
    decoder(2)
    with pytest.raises(ValueError, match="the cache is full: 2 of 2 slots"):
        decoder(3)
    cache = filled_cache(model, list(range(48)))
    cache.max_len = 60
    with pytest.raises(ValueError, match="49 tokens exceed the model's learned positions, 48"):
        FastDecoder(model, cache)(1)


def test_interleaved_texts_of_one_model_do_not_mix():
    model = tiny_model()
    model.tokenizer = Letters()
    options = {"temperature": 0, "max_new_tokens": 20, "end_ids": ()}
    alone = ["".join(stream(model, prompt, **options)) for prompt in (PROMPT, [3])]
    together = zip(*(stream(model, prompt, **options) for prompt in (PROMPT, [3])), strict=True)
    assert ["".join(letters) for letters in zip(*together, strict=True)] == alone


def test_several_threads_write_at_the_same_time():
    model = tiny_model(hidden_size=256, intermediate_size=1024, vocab_size=4000)
    expected = [generate(model, [first], temperature=0, max_new_tokens=40) for first in range(6)]
    written = {}

    def write(first):
        written[first] = generate(model, [first], temperature=0, max_new_tokens=40)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [written[first] for first in range(6)] == expected


def test_a_busy_machine_changes_nothing():
    """Two processes per core compete for the time that the helper threads would have."""
    model = tiny_model(hidden_size=256, intermediate_size=1024, vocab_size=4000)
    expected = generate(model, PROMPT, temperature=0, max_new_tokens=40, fast=False)
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        cache = filled_cache(model)
        decoder = FastDecoder(model, cache, n_threads=4)
        token, written = expected[0].ids[0], expected[0].ids[:1]
        for _ in range(39):
            token = int(decoder(token).argmax())
            written.append(token)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert written == expected[0].ids


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_decodes():
    """It has none of the helper threads."""
    model = tiny_model()
    decoder = FastDecoder(model, filled_cache(model), n_threads=2)
    expected = decoder(20)
    child_decoder = FastDecoder(model, filled_cache(model), n_threads=2)
    child = os.fork()
    if child == 0:
        os._exit(not torch.equal(child_decoder(20), expected))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nothing_of_inference_mode_stays_behind():
    model = tiny_model()
    generate(model, PROMPT, max_new_tokens=3)
    train(model)
    assert not any(parameter.is_inference() for parameter in model.parameters())


def test_a_quantized_model_writes_what_its_dequantized_one_does(fast_steps):
    model = tiny_model().quantized()
    expected = generate(dequantize(model), PROMPT, temperature=0, max_new_tokens=20, fast=False)
    assert generate(model, PROMPT, temperature=0, max_new_tokens=20) == expected
    assert len(fast_steps) == 19
    assert generate(model, PROMPT, temperature=0, max_new_tokens=20, fast=False) == expected


def test_numba_is_loaded_only_when_needed():
    code = "import sys, minillm_lib.generation.decoding, minillm_lib.model.quantization; print('numba' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_without_numba_the_layers_decode():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from minillm_lib import MiniLLM; from minillm_lib.generation import why_not_fast\n"
        "model = MiniLLM.from_preset('nano'); print(len(model.generate([1], max_new_tokens=3)[0].ids))\n"
        "print(why_not_fast(model))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("3\nnumba, which compiles the fast path, cannot be imported")
