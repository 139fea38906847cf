from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from minillm_lib.training.config import ScheduleConfig
from minillm_lib.training.optimizer import learning_rate_factor


def factors(n_steps, **options):
    schedule = ScheduleConfig(**options)
    return [learning_rate_factor(step, n_steps, schedule) for step in range(n_steps)]


@pytest.mark.parametrize("name", ["cosine", "wsd", "constant"])
def test_the_warm_up_is_a_straight_line_to_the_peak(name):
    found = factors(100, name=name, warmup_steps=10)
    np.testing.assert_allclose(found[:10], np.linspace(0.1, 1, 10))


@pytest.mark.parametrize("final_share", [0.0, 0.1, 1.0])
def test_a_decay_ends_at_its_share_of_the_peak_in_the_last_step(final_share):
    for name in ("cosine", "wsd"):
        assert factors(80, name=name, warmup_steps=7, final_share=final_share)[-1] == pytest.approx(
            final_share
        )


def test_cosine_is_that_of_torch():
    """``CosineAnnealingLR``, begun at the peak: the last step of the warm-up."""
    n_steps, warmup = 60, 5
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps - warmup, eta_min=0.1)
    wanted = []
    for _ in range(n_steps - warmup + 1):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(factors(n_steps, warmup_steps=warmup)[warmup - 1 :], wanted, rtol=1e-6)


def test_cosine_is_half_way_down_in_the_middle():
    assert factors(101, warmup_steps=1, final_share=0.2)[50] == pytest.approx(0.6)


def test_wsd_stays_at_the_peak_and_then_falls_in_a_straight_line():
    found = factors(100, name="wsd", warmup_steps=10, decay_share=0.25, final_share=0.5)
    assert found[9:75] == [1.0] * 66
    np.testing.assert_allclose(found[74:], np.linspace(1, 0.5, 26))


@pytest.mark.parametrize("name", ["cosine", "wsd"])
def test_the_rate_stays_at_its_floor_beyond_the_end(name):
    schedule = ScheduleConfig(name=name, warmup_steps=3, final_share=0.2)
    beyond = [learning_rate_factor(step, 30, schedule) for step in range(29, 200)]
    assert beyond == pytest.approx([0.2] * len(beyond))


@pytest.mark.parametrize("name", ["cosine", "wsd"])
def test_a_schedule_with_steps_of_its_own_does_not_depend_on_those_of_the_run(name):
    options = {"name": name, "warmup_steps": 4, "final_share": 0.1}
    assert factors(100, steps=40, **options) == pytest.approx(factors(40, **options) + [0.1] * 60)
    assert factors(20, steps=40, **options) == factors(40, **options)[:20]


def test_constant_stays():
    assert factors(30, name="constant", warmup_steps=0) == [1.0] * 30


@given(
    name=st.sampled_from(["cosine", "wsd", "constant"]),
    n_steps=st.integers(1, 300),
    warmup_steps=st.integers(0, 400),
    decay_share=st.floats(0.01, 1),
    final_share=st.floats(0, 1),
)
def test_it_rises_then_falls_without_a_jump(name, n_steps, warmup_steps, decay_share, final_share):
    """Also where warm-up and decay would overlap, and where the run ends within its warm-up."""
    found = factors(
        n_steps, name=name, warmup_steps=warmup_steps, decay_share=decay_share, final_share=final_share
    )
    peak = min(warmup_steps, n_steps) - 1 if warmup_steps else 0
    changes = np.diff(found)
    assert all(0 <= factor <= 1 for factor in found)
    assert (changes[:peak] > 0).all()
    assert (changes[max(peak, 0) :] <= 1e-12).all()
    n_decay = max(n_steps - warmup_steps, 1)
    if name == "wsd":
        n_decay = min(n_decay, max(round(decay_share * n_steps), 1))
    steepest = math.pi / 2 / n_decay  # of a cosine; a straight line is less steep
    assert (changes >= -max(steepest, 1 / n_decay) - 1e-9).all()
