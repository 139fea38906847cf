"""Eval mode without a flag being changed: same results, same weights, and the flags of before at every moment."""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from minillm_lib.generation.decoding import generate
from minillm_lib.generation.turns import takes_turns
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.eval_view import in_eval_mode
from minillm_lib.model.perplexity import perplexity_by_position
from minillm_lib.serving.engine import Engine
from minillm_lib.tokenizer import Tokenizer


def tiny_model(dropout=0.5, **overrides):
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 48}
    config = {"vocab_size": 97, "max_seq_len": 32, "initializer_range": 0.3, **shape, **overrides}
    return MiniLLM(ModelConfig(dropout=dropout, **config)).train()


class Watched(nn.Dropout):
    """A dropout that notes whenever a flag, its own or a copy's, is set."""

    def __init__(self, p):
        self.noted = []
        super().__init__(p)

    def __setattr__(self, name, value):
        if name == "training":
            self.noted.append(value)
        super().__setattr__(name, value)


def test_a_model_in_eval_mode_is_used_as_it_is():
    model = tiny_model().eval()
    assert in_eval_mode(model) is model
    model.layers[1].dropout.train()
    view = in_eval_mode(model)
    assert view is not model
    assert view.layers[0] is model.layers[0]
    assert view.layers[1].self_attn is model.layers[1].self_attn


def test_it_computes_as_after_eval_with_the_very_weights():
    model = tiny_model()
    ids = torch.randint(97, (2, 9))
    view = in_eval_mode(model)
    assert not any(module.training for module in view.modules())
    assert all(module.training for module in model.modules())
    assert [id(each) for each in view.parameters()] == [id(each) for each in model.parameters()]
    found = view(ids)
    found.sum().backward()
    assert model.embed_tokens.weight.grad is not None
    torch.testing.assert_close(model.eval()(ids), found, rtol=0, atol=0)


def test_a_module_in_two_places_stays_one_and_what_forward_assigns_is_kept():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.n_calls, self.last = 0, None
            self.register_buffer("total", torch.zeros(()))

        def forward(self, x):
            self.n_calls += 1
            self.last = x
            self.total = self.total + x.sum()
            return x

    layer = Counting()
    model = nn.Sequential(layer, nn.Dropout(0.9), layer)
    in_eval_mode(model)(torch.ones(3))
    assert layer.n_calls == 2
    assert layer.last.tolist() == [1, 1, 1]
    assert layer.total == 6
    assert layer.training


@pytest.mark.parametrize("fast", [True, False], ids=["fast path", "layers"])
def test_eight_threads_write_what_one_after_the_other_writes_and_set_no_flag(fast):
    model = tiny_model()
    model.dropout = Watched(0.5).train()
    model.layers[1].eval()
    flags = [module.training for module in model.modules()]
    model.dropout.noted.clear()
    prompts = [[3 + seed % 5, 9, 2][: 1 + seed % 3] for seed in range(24)]

    def write(seed):
        row = generate(model, prompts[seed], max_new_tokens=8, seed=seed, fast=fast)
        return row[0].ids, [module.training for module in model.modules()] == flags

    expected = [write(seed) for seed in range(24)]
    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(write, range(24))) == expected
    assert all(is_unchanged for _, is_unchanged in expected)
    assert len({tuple(ids) for ids, _ in expected}) > 20
    assert model.dropout.noted == []


def test_batches_with_padding_and_other_users_of_the_model_set_no_flag_either():
    tokenizer = Tokenizer.train(["a rose is a rose is a rose"] * 9, vocab_size=310)
    model = tiny_model(vocab_size=tokenizer.vocab_size, max_seq_len=64)
    model.tokenizer = tokenizer
    model.dropout = Watched(0.5).train()
    model.dropout.noted.clear()
    text = torch.randint(310, (64,))
    first = generate(model, [[5, 6, 7], [8]], temperature=0, max_new_tokens=5)
    turns, buckets = takes_turns(model), perplexity_by_position(model, text, window=32)
    assert model.dropout.noted == []
    model.eval()
    assert generate(model, [[5, 6, 7], [8]], temperature=0, max_new_tokens=5) == first
    assert (takes_turns(model), perplexity_by_position(model, text, window=32)) == (turns, buckets)


def test_a_model_in_training_mode_is_served_without_dropout_and_stays_in_its_mode():
    tokenizer = Tokenizer.train(["a rose is a rose is a rose"] * 9, vocab_size=310)
    model = tiny_model(vocab_size=tokenizer.vocab_size, max_seq_len=64)
    model.tokenizer = tokenizer
    engine = Engine(model)
    assert not any(module.training for module in engine.model.modules())
    assert all(module.training for module in model.modules())


def test_what_a_copy_holds_is_freed_with_it():
    """Without waiting for the garbage collector: a forward may have kept its cache."""
    view = weakref.ref(in_eval_mode(tiny_model()))
    assert view() is None
