from __future__ import annotations

import sys

import pytest
import torch
from torch._dynamo.utils import counters

from minillm_lib.generation.decoding import generate
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.compilation import check_compiler, compile_parts, uncompiled
from minillm_lib.training.config import ConfigError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BLOCK_NORM_AND_LOSS = 3


@pytest.fixture
def compiled(monkeypatch):
    """A model whose parts are traced, but not built: for that a compiler takes half a minute."""
    usual = torch.compile
    monkeypatch.setattr(torch, "compile", lambda part: usual(part, backend="aot_eager"))
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    model = MiniLLM.from_preset("nano", vocab_size=300)
    compile_parts(model)
    yield model
    torch._dynamo.reset()


def gradients(model):
    torch.manual_seed(1)
    ids = torch.randint(300, (2, 17))
    model.zero_grad()
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def test_one_block_one_norm_and_the_loss_are_compiled_and_give_the_same_gradients(compiled):
    plain = MiniLLM(compiled.config)
    plain.load_state_dict(compiled.state_dict())
    for ours, theirs in zip(gradients(compiled), gradients(plain), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert counters["stats"]["unique_graphs"] == BLOCK_NORM_AND_LOSS
    assert len(compiled.layers) > 1


def test_sampling_compiles_nothing(compiled):
    """Each length of the cache would be another shape; after a few, training would not be compiled either."""
    gradients(compiled)
    with uncompiled():
        generate(compiled.eval(), [[1, 2, 3]], max_new_tokens=12)
    assert counters["stats"]["unique_graphs"] == BLOCK_NORM_AND_LOSS


@pytest.mark.slow
def test_what_is_built_gives_the_same_gradients():
    check_compiler(CPU)
    torch.manual_seed(0)
    model = MiniLLM.from_preset("nano", vocab_size=300)
    expected = gradients(model)
    compile_parts(model)
    for ours, theirs in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ConfigError, match=r"needs the C\+\+ compiler no-such-compiler, and it was not found; install it"
    ):
        check_compiler(CPU)
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"needs the C\+\+ compiler g\+\+"):
        check_compiler(CPU)


def test_a_missing_c_compiler_is_named_before_triton_needs_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(
        ConfigError, match=r"needs the C compiler gcc or clang, and it was not found; .* CC, or"
    ):
        check_compiler(CUDA)
    for name in ("clang", "tcc"):
        (tmp_path / name).touch(mode=0o755)
    check_compiler(CUDA)
    monkeypatch.setenv("CC", "tcc")
    check_compiler(CUDA)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ConfigError, match="needs the C compiler no-such-compiler"):
        check_compiler(CUDA)


def test_a_missing_triton_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs the package triton on CUDA"):
        check_compiler(CUDA)
