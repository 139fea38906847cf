"""The fitted law against the one that made the losses, and when it says that it cannot be trusted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from recorded_run import EXPONENT, FLOOR, SCALE, TOKENS_PER_STEP, changed, law, recorded_run

from minillm_lib.analysis.scaling_law import fit_scaling_law, scaling_points

TARGET = math.log(12.2)
TRUE_TOKENS = 1e6 * (SCALE / (TARGET - FLOOR)) ** (1 / EXPONENT)


def run_to(n_steps, *, noise=0.0, seed=0, every=100):
    """A run whose evaluations follow the law exactly, or with noise."""
    rng = np.random.default_rng(seed)
    records = recorded_run(n_steps, every=every)
    return changed(
        records, lambda each: {"loss": float(law(each["tokens"])) + rng.normal(0, noise)}, "evaluation"
    )


def test_the_law_that_made_the_losses_is_found_again():
    fitted = fit_scaling_law(run_to(5000))
    assert (fitted.floor, fitted.scale, fitted.exponent) == pytest.approx((FLOOR, SCALE, EXPONENT), rel=1e-3)
    assert fitted.tokens_to_reach(TARGET) == pytest.approx(TRUE_TOKENS, rel=1e-2)
    assert float(fitted.loss(TRUE_TOKENS)) == pytest.approx(TARGET, abs=1e-3)
    assert fitted.doubts(TARGET) == []


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    hits = 0
    for seed in range(20):
        low, high = fit_scaling_law(run_to(3000, noise=0.01, seed=seed), n_samples=60).tokens_interval(TARGET)
        hits += low <= TRUE_TOKENS <= high
    assert hits >= 15  # 90 % of 20 is 18


def test_more_noise_makes_it_wider():
    quiet, loud = (fit_scaling_law(run_to(3000, noise=noise)) for noise in (0.002, 0.02))
    for name in ("floor", "scale", "exponent"):
        widths = [np.ptp(each.parameter_interval(name)) for each in (quiet, loud)]
        assert widths[0] < widths[1]
    low, high = loud.loss_interval(np.array([1e6, 1e8]))
    assert high[0] - low[0] < high[1] - low[1]  # and further away it knows less


def test_what_lies_below_the_floor_is_never_reached():
    fitted = fit_scaling_law(run_to(5000))
    assert fitted.tokens_to_reach(FLOOR - 0.1) == math.inf
    assert any("never reached" in doubt for doubt in fitted.doubts(FLOOR - 0.1))


@pytest.mark.parametrize(
    ("records", "doubt"),
    [
        (run_to(600, every=100), "based on only 6 evaluations"),
        (run_to(400, every=20), "times as far as the run has come"),
        (run_to(3000, noise=0.1), "deviate from the curve"),
    ],
)
def test_it_says_why_it_is_not_to_be_trusted(records, doubt):
    assert any(doubt in each for each in fit_scaling_law(records).doubts(TARGET))


def test_evaluations_of_the_decay_are_left_out():
    """With WSD the loss drops below the law at the end."""
    decay_from = 2500

    def decay(each):
        return {"lr": 3e-3 * min(1.0, (3000 - each["step"]) / 500)} if each["step"] > decay_from else {}

    records = changed(run_to(3000), decay)
    records = changed(
        records, lambda each: {"loss": each["loss"] - 0.3 * (each["step"] > decay_from)}, "evaluation"
    )
    points = scaling_points(records)
    assert points.has_constant_rate
    assert points.tokens[-1] <= (decay_from + 100) * TOKENS_PER_STEP
    assert points.end[0] == 3000 * TOKENS_PER_STEP
    assert fit_scaling_law(records).exponent == pytest.approx(EXPONENT, rel=0.01)


def test_a_rate_that_falls_all_the_time_is_a_doubt():
    records = changed(
        run_to(2000), lambda each: {"lr": 3e-3 * (1 + math.cos(math.pi * each["step"] / 2000)) / 2}
    )
    assert not scaling_points(records).has_constant_rate
    assert any("learning rate falls" in doubt for doubt in fit_scaling_law(records).doubts(TARGET))


def test_too_few_evaluations_are_an_error():
    with pytest.raises(ValueError, match="4 evaluations after the warm-up; there are 2"):
        fit_scaling_law(run_to(200, every=100))
