from __future__ import annotations

import math

import pytest
import torch
from quick_runs import MODEL

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import TrainConfig
from minillm_lib.training.parallel import Processes, Replica, SummedLoss
from minillm_lib.training.rows import Batch

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def replica():
    torch.manual_seed(0)
    model = MiniLLM(ModelConfig.model_validate({**MODEL, "dropout": 0.0}))
    replica = Replica(model.eval(), TrainConfig(), ALONE, None)
    ids = torch.randint(0, 320, (2, 9))
    labels = ids[:, 1:].clone()
    labels[:, :3] = -100
    with replica.exchanging_gradients(True):
        replica(Batch(ids[:, :-1], labels)).backward()
    return replica


def test_its_loss_is_the_sum_over_the_labels_that_count(replica):
    assert replica.model.training
    ids = torch.randint(0, 320, (2, 9))
    labels = ids[:, 1:].clone()
    labels[0, 2:] = -100
    expected = 10 * replica.model.loss(ids[:, :-1], labels)
    torch.testing.assert_close(replica(Batch(ids[:, :-1], labels)), expected)
    torch.testing.assert_close(replica.summed_loss(Batch(ids[:, :-1], labels)), expected)


def test_norms_of_gradients(replica):
    parameters = dict(replica.model.named_parameters())
    squares = {name: float(each.grad.square().sum()) for name, each in parameters.items()}
    of_layer = [
        math.sqrt(sum(square for name, square in squares.items() if f"layers.{layer}." in name))
        for layer in range(2)
    ]
    assert replica.grad_norms_by_layer() == pytest.approx(of_layer, abs=1e-5)
    total = math.sqrt(sum(squares.values()))
    before = [each.grad.clone() for each in parameters.values()]
    assert replica.clip_gradients(None) == pytest.approx(total, rel=1e-5)
    assert all(torch.equal(each.grad, old) for each, old in zip(parameters.values(), before, strict=True))
    assert replica.clip_gradients(total / 4) == pytest.approx(total, rel=1e-5)
    for each, old in zip(parameters.values(), before, strict=True):
        torch.testing.assert_close(each.grad, old / 4, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_weight_that_is_no_number_is_found(replica, value):
    assert replica.has_finite_weights()
    with torch.no_grad():
        replica.model.layers[1].mlp.up_proj.weight[2, 3] = value
    assert not replica.has_finite_weights()


@pytest.mark.slow
def test_one_compiled_graph_has_the_loss_and_the_gradients_of_the_parts(replica):
    ids = torch.randint(0, 320, (2, 9))
    segments = torch.tensor([[1, 1, 1, 2, 2, 2, 2, 0]] * 2)
    batch = Batch(
        ids[:, :-1], ids[:, 1:], (segments == 2).cumsum(1) + (segments == 1).cumsum(1) - 1, segments
    )
    results = []
    for as_one_graph in (False, True):
        replica.model.zero_grad()
        loss = SummedLoss(replica.model, as_one_graph=as_one_graph)(batch)
        loss.backward()
        results.append((loss, [each.grad.clone() for each in replica.model.parameters()]))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
