"""The decoder that is made of the learner's pieces computes what the library's model computes, and can be trained."""

from __future__ import annotations

import pytest
import torch

from minillm_lib import MiniLLM, ModelConfig, course
from minillm_lib.checks.registry import check


@pytest.fixture(autouse=True)
def no_progress(monkeypatch):
    monkeypatch.setenv("MINILLM_PROGRESS", "off")
    check.rms_norm._memory.pop("passed", None)
    yield
    check.rms_norm._memory.pop("passed", None)


@pytest.fixture
def library():
    torch.manual_seed(0)
    shape = {"n_heads": 4, "n_kv_heads": 2, "intermediate_size": 40, "initializer_range": 0.2}
    return MiniLLM(ModelConfig(vocab_size=50, hidden_size=16, n_layers=3, **shape))


def test_it_computes_what_the_library_computes(library):
    model = course.assembled(library.config, course.setup(*course.PIECES, threads=None))
    model.load_state_dict(library.state_dict())
    ids = torch.randint(50, (2, 9))
    labels = ids.roll(-1, dims=1).masked_fill(torch.rand(2, 9) < 0.3, -100)
    torch.testing.assert_close(model(ids), library(ids), rtol=1e-4, atol=1e-5)
    for reduction in ("mean", "sum"):
        mine, theirs = (each.loss(ids, labels, reduction=reduction) for each in (model, library))
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
    mine.backward()
    theirs.backward()
    for name, parameter in library.named_parameters():
        torch.testing.assert_close(model.get_parameter(name).grad, parameter.grad, rtol=1e-3, atol=1e-4)


def test_pieces_that_let_no_gradient_through_give_way_to_the_librarys(library):
    pieces = course.setup(*course.PIECES, threads=None)
    check.rms_norm(through_numpy)
    assert pieces.whose("rms_norm") == "yours"
    with pytest.warns(UserWarning, match="cannot be trained"):
        model = course.assembled(library.config, pieces)
    model.load_state_dict(library.state_dict())
    ids = torch.randint(50, (1, 5))
    torch.testing.assert_close(model(ids), library(ids), rtol=1e-4, atol=1e-5)


def through_numpy(x, weight, eps):
    x, weight = x.detach().numpy(), weight.detach().numpy()
    return torch.from_numpy(weight * x / ((x**2).mean(axis=-1, keepdims=True) + eps) ** 0.5)
