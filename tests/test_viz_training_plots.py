"""Figures of runs: what they draw is what was recorded, and every axis says what it is."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from recorded_run import TOKENS_PER_STEP, changed, law, recorded_run, write_run

from minillm_lib.analysis.scaling_law import fit_scaling_law
from minillm_lib.training.run import smoothed
from minillm_lib.viz.style import PALETTE
from minillm_lib.viz.training_plots import (
    plot_gradient_norms,
    plot_learning_rate,
    plot_losses,
    plot_scaling_law,
    plot_throughput,
    training_overview,
)

RECORDS = recorded_run(200)
STEPS = [each for each in RECORDS if each["kind"] == "step"]
EVALUATIONS = [each for each in RECORDS if each["kind"] == "evaluation"]


def lines(figure):
    """Every line of the first axes as ``(x, y)``, by its label (those without one by their order)."""
    return {line.get_label(): np.array(line.get_data()) for line in figure.axes[0].get_lines()}


def right_axis(figure):
    (axis,) = figure.axes[0].child_axes
    figure.draw_without_rendering()
    return axis


def test_the_losses_are_those_of_steps_and_evaluations():
    drawn = lines(plot_losses(RECORDS))
    raw = [each["loss"] for each in STEPS]
    np.testing.assert_array_equal(drawn["_child0"], [[each["tokens"] for each in STEPS], raw])
    np.testing.assert_array_equal(drawn["held-out"][1], [each["loss"] for each in EVALUATIONS])
    np.testing.assert_array_equal(drawn["held-out"][0], [each["tokens"] for each in EVALUATIONS])
    np.testing.assert_allclose(drawn["training"][1][30:], smoothed(raw)[30:], atol=0.1)


def test_an_outlier_is_seen_in_the_faint_line_only():
    records = changed(RECORDS, lambda each: {"loss": 50.0} if each["step"] == 100 else {})
    drawn = lines(plot_losses(records))
    assert drawn["_child0"][1].max() == 50
    assert drawn["training"][1][60:].max() < 6


def test_steps_can_take_the_place_of_tokens():
    figure = plot_losses(RECORDS, x="steps")
    assert lines(figure)["training"][0][-1] == 200
    assert figure.axes[0].get_xlabel() == "step"
    assert plot_losses(RECORDS).axes[0].get_xlabel() == "tokens read"
    with pytest.raises(ValueError, match="x is 'hours'; allowed values: 'tokens', 'steps'"):
        plot_losses(RECORDS, x="hours")


def test_the_right_axis_has_the_perplexities_of_the_losses():
    axis = right_axis(plot_losses(RECORDS))
    assert axis.get_ylabel() == "perplexity"
    ticks = {
        label.get_text(): place
        for place, label in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)
    }
    assert {"100", "200", "500", "1,000"} <= set(ticks)
    for text, loss in ticks.items():
        assert math.exp(loss) == pytest.approx(float(text.replace(",", "")))


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.1), (80.0, 85.0), (2.0, 60.0)])
def test_it_finds_ticks_for_any_loss(low, high):
    places = np.linspace(high, low, 50)
    records = [{"kind": "step", "step": i + 1, "tokens": i, "loss": loss} for i, loss in enumerate(places)]
    assert len(right_axis(plot_losses(records)).get_yticks()) <= 16


def test_baselines_are_named_lines():
    figure = plot_losses(RECORDS, baselines={"unigram": 6.9, "entropy floor": 2.1})
    drawn = lines(figure)
    assert {name: drawn[name][1][0] for name in ("unigram", "entropy floor")} == {
        "unigram": 6.9,
        "entropy floor": 2.1,
    }
    legend = figure.axes[0].get_legend()
    assert {"unigram", "entropy floor"} <= {text.get_text() for text in legend.get_texts()}


def test_held_out_points_are_not_joined_and_the_legend_lies_above_the_curves():
    figure = plot_losses(RECORDS, baselines={"unigram": 6.9})
    [held_out] = [line for line in figure.axes[0].get_lines() if line.get_label() == "held-out"]
    assert (held_out.get_linestyle(), held_out.get_marker()) == ("None", "o")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1 - 1
    assert len(axes.texts) == 0


def test_several_runs_have_their_names_and_colours(tmp_path):
    folders = [write_run(tmp_path / name, recorded_run(60, seed=seed)) for seed, name in enumerate("abc")]
    axes = plot_losses(*folders).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c", "held-out"]
    assert {line.get_color() for line in axes.get_lines()} >= set(PALETTE[:3])
    legend = plot_learning_rate(*folders).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="there is no run to draw"):
        plot_losses()
    with pytest.raises(ValueError, match="pretrain has neither a step nor an evaluation to draw"):
        plot_losses(RECORDS[:1])


def test_the_learning_rate_is_that_of_each_step():
    (line,) = plot_learning_rate(RECORDS).axes[0].get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [each["lr"] for each in STEPS])


def test_gradient_norms_have_a_line_for_each_block_and_the_clip(tmp_path):
    drawn = lines(plot_gradient_norms(write_run(tmp_path / "run", RECORDS)))
    assert [label for label in drawn if not label.startswith("_")] == [
        "all weights",
        *(f"block {block}" for block in range(4)),
        "clipped to 1",
    ]
    np.testing.assert_array_equal(drawn["block 1"][1], [0.2] * 10)
    without = changed(
        RECORDS, lambda each: {"layer_grad_norms": [0.1] * 12} if each["step"] % 20 == 0 else {}
    )
    assert [label for label in lines(plot_gradient_norms(without)) if not label.startswith("_")] == [
        "all weights",
        "block 0",
        "block 11",
    ]


@pytest.mark.parametrize("spread", [1.1, 100.0])
def test_its_ticks_are_numbers_that_can_be_read(spread):
    records = changed(RECORDS, lambda each: {"grad_norm": 0.5 * spread ** (each["step"] / 200)})
    figure = plot_gradient_norms(records)
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    labels = [label.get_text() for label in (*axis.get_majorticklabels(), *axis.get_minorticklabels())]
    assert {float(label) for label in labels if label}
    assert not any("$" in label for label in labels)


def test_the_speed_has_mfu_on_the_right():
    figure = plot_throughput(RECORDS)
    axis = right_axis(figure)
    assert axis.get_ylabel() == "MFU"
    share = np.median([each["mfu"] / each["tokens_per_second"] for each in RECORDS if each["kind"] == "step"])
    assert axis.get_ylim() == pytest.approx([share * speed for speed in figure.axes[0].get_ylim()])
    assert plot_throughput(RECORDS[1:]).axes[0].child_axes == []


def test_the_overview_has_four_panels_with_named_axes_and_leaks_nothing():
    figure = training_overview(RECORDS, baselines={"unigram": 6.9})
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "loss (nats per token)",
        "learning rate",
        "gradient norm",
        "tokens/s",
    ]
    assert all(ax.get_xlabel() == "tokens read" for ax in figure.axes)
    figure.draw_without_rendering()
    assert plt.get_fignums() == []


def test_the_law_goes_on_to_the_target():
    records = changed(
        recorded_run(3000, every=100), lambda each: {"loss": float(law(each["tokens"]))}, "evaluation"
    )
    fitted, target = fit_scaling_law(records), math.log(12.2)
    figure = plot_scaling_law(fitted, target=target)
    drawn = lines(figure)
    np.testing.assert_array_equal(drawn["held-out"][0], fitted.points.tokens)
    np.testing.assert_allclose(drawn["fitted law"][1], fitted.loss(drawn["fitted law"][0]))
    assert figure.axes[0].get_xlim()[1] > fitted.tokens_to_reach(target)
    assert drawn["perplexity 12.2"][1][0] == pytest.approx(target)
    never = plot_scaling_law(fitted, target=1.0)
    assert never.axes[0].get_xlim()[1] < 1000 * 3000 * TOKENS_PER_STEP


def test_it_marks_where_a_run_with_a_decay_ended():
    records = changed(
        recorded_run(3000, every=100),
        lambda each: {"lr": 3e-3 * (3000 - each["step"]) / 500} if each["step"] > 2500 else {},
    )
    drawn = lines(plot_scaling_law(fit_scaling_law(records)))
    assert drawn["end of the run"][0] == 3000 * TOKENS_PER_STEP
