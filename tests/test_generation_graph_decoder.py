"""The step that a CUDA graph records, computed here on a CPU, is that of the layers."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
from torch.nn.functional import linear

from minillm_lib.generation import graph_decoder
from minillm_lib.generation.decoding import generate
from minillm_lib.generation.graph_decoder import GraphDecoder, give_back, take_decoder
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM

SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "n_layers": 2,
    "n_heads": 4,
    "intermediate_size": 48,
    "max_seq_len": 64,
}
KINDS = {
    "grouped": {"n_kv_heads": 2, "qk_norm": True},
    "classic": {"positions": "learned", "norm": "layer", "feed_forward": "gelu", "attention_bias": True},
    "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "max_seq_len": 16},
}


def model_of(kind):
    torch.manual_seed(0)
    return MiniLLM(ModelConfig(**SHAPE | KINDS[kind], initializer_range=0.3)).eval()


@torch.inference_mode()
def after_prompts(model, ids, mask):
    cache = model.new_cache(ids.shape[0], 24)
    hidden = model.hidden_states(ids, attention_mask=mask, cache=cache)
    return cache, linear(hidden[:, -1], model.output_weight)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [0, 3])
def test_each_step_gives_the_logits_of_the_layers(kind, padding):
    model = model_of(kind)
    ids = torch.randint(50, (3, 7))
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1, :padding] = False
    cache, logits = after_prompts(model, ids, mask if padding else None)
    decoder = GraphDecoder(model, cache, 32, record=False)
    for _ in range(12):
        tokens = logits.argmax(dim=-1, keepdim=True)
        with torch.inference_mode():
            hidden = model.hidden_states(tokens, cache=cache)
            logits = linear(hidden[:, -1], model.output_weight)
            torch.testing.assert_close(decoder(tokens), logits.float(), rtol=1e-4, atol=1e-4)


def test_a_decoder_begins_anew_with_another_cache():
    model = model_of("grouped")
    first, _ = after_prompts(model, torch.randint(50, (2, 9)), None)
    second, logits = after_prompts(model, torch.randint(50, (2, 5)), None)
    decoder = GraphDecoder(model, first, 24, record=False)
    for _ in range(6):
        decoder(torch.zeros(2, 1, dtype=torch.long))
    assert decoder.fits(model, second)
    decoder.load(second)
    fresh = GraphDecoder(model, second, 24, record=False)
    tokens = logits.argmax(dim=-1, keepdim=True)
    torch.testing.assert_close(decoder(tokens), fresh(tokens))


def test_it_fits_only_as_many_rows_and_slots_and_the_same_weights():
    model = model_of("grouped")
    cache, _ = after_prompts(model, torch.randint(50, (2, 9)), None)
    decoder = GraphDecoder(model, cache, 24, record=False)
    assert decoder.fits(model, model.new_cache(2, 24))
    assert not decoder.fits(model, model.new_cache(3, 24))
    assert not decoder.fits(model, model.new_cache(2, 25))
    assert not decoder.fits(copy.deepcopy(model), model.new_cache(2, 24))


def test_moved_weights_are_noticed():
    model = model_of("grouped")
    cache, _ = after_prompts(model, torch.randint(50, (2, 9)), None)
    decoder = GraphDecoder(model, cache, 24, record=False)
    model.norm.weight = torch.nn.Parameter(torch.ones(32))
    with pytest.raises(RuntimeError, match="the model was moved, or its weights replaced"):
        decoder(torch.zeros(2, 1, dtype=torch.long))


def test_generation_takes_a_decoder_and_gives_it_back(monkeypatch):
    model = model_of("grouped")
    prompts = [[1, 2, 3, 4], [5, 6]]
    expected = [row.ids for row in generate(model, prompts, temperature=0, max_new_tokens=8)]
    taken = []

    def take(model, cache):
        taken.append(GraphDecoder(model, cache, 32, record=False))
        return taken[-1]

    monkeypatch.setattr("minillm_lib.generation.decoding.take_decoder", take)
    assert [row.ids for row in generate(model, prompts, temperature=0, max_new_tokens=8)] == expected
    assert len(taken) == 1
    assert graph_decoder._decoders[model] is taken[0]
    assert [
        row.ids for row in generate(model, prompts, temperature=0, max_new_tokens=8, fast=False)
    ] == expected
    assert len(taken) == 1


def test_the_layers_decode_on_a_cpu_with_hooks_and_for_another_model_class(monkeypatch):
    model = model_of("grouped")
    cache = model.new_cache(1, 8)
    assert take_decoder(model, cache) is None
    monkeypatch.setattr(MiniLLM, "device", property(lambda self: torch.device("cuda")))
    made = []
    monkeypatch.setattr(graph_decoder, "GraphDecoder", lambda *arguments: made.append(arguments))
    take_decoder(model, cache)
    assert len(made) == 1
    model.norm.register_forward_hook(lambda *_: None)
    assert take_decoder(model, cache) is None

    class Other(MiniLLM):
        def hidden_states(self, *arguments, **options):
            return super().hidden_states(*arguments, **options)

    assert take_decoder(Other(model.config), cache) is None
    assert len(made) == 1


def test_a_graph_that_cannot_be_recorded_leaves_the_work_to_the_layers(monkeypatch, caplog):
    def fails(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(MiniLLM, "device", property(lambda self: torch.device("cuda")))
    monkeypatch.setattr(graph_decoder, "GraphDecoder", fails)
    model = model_of("grouped")
    assert take_decoder(model, model.new_cache(1, 8)) is None
    assert (
        "each kernel is launched by itself, since no CUDA graph could be recorded: out of memory"
        in caplog.text
    )


def test_a_kept_decoder_does_not_keep_its_model():
    model = model_of("grouped")
    cache, _ = after_prompts(model, torch.randint(50, (1, 4)), None)
    decoder = GraphDecoder(model, cache, 8, record=False)
    decoder._model = None  # as after recording
    give_back(model, decoder)
    gone = weakref.ref(model)
    del model, cache, decoder
    gc.collect()
    assert gone() is None
