"""The loop of small experiments trains as the parts that it is made of do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from minillm_lib.training import TrainingDivergedError, fit


def line(seed=0):
    torch.manual_seed(seed)
    model = nn.Linear(3, 1)
    x = torch.randn(64, 3)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.25
    return model, lambda step: (model(x) - y).square().mean()


def test_a_line_is_found():
    model, loss = line()
    losses = fit(model, loss, 300, lr=0.05, optimizer="adamw", weight_decay=0.0)
    assert len(losses) == 300
    assert losses[0] > 1
    assert losses[-1] < 1e-3
    torch.testing.assert_close(model.bias.item(), 0.25, atol=0.02, rtol=0)


def test_it_is_adamw_with_the_schedule_and_clipping_written_out():
    model, loss = line()
    losses = fit(
        model, loss, 4, lr=0.1, optimizer="adamw", warmup_steps=2, schedule="constant", clip_norm=0.5
    )
    plain, loss = line()
    rate = torch.optim.AdamW(
        [{"params": [plain.weight], "weight_decay": 0.1}, {"params": [plain.bias], "weight_decay": 0.0}],
        betas=(0.9, 0.95),
    )
    for step, lr in enumerate([0.05, 0.1, 0.1, 0.1]):
        assert loss(step).item() == pytest.approx(losses[step], rel=1e-6)
        rate.zero_grad()
        loss(step).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        for group in rate.param_groups:
            group["lr"] = lr
        rate.step()
    torch.testing.assert_close(model.weight, plain.weight)


def test_a_loss_that_is_no_number_stops_with_the_step():
    model, _ = line()
    with pytest.raises(
        TrainingDivergedError, match=r"the loss of step 2 is nan; a lower learning rate than 0\.1"
    ):
        fit(model, lambda step: model.weight.sum() * (float("nan") if step == 2 else 1.0), 5, lr=0.1)
