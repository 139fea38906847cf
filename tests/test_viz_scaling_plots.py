"""The figures of notebook 13: what is marked on them."""

from __future__ import annotations

import numpy as np
import pytest

from minillm_lib.viz import isoflop_optimum, plot_isoflop, plot_power_law_axes, plot_race

SIZES = [1000, 10_000, 100_000]


def test_the_best_size_is_that_at_the_lowest_point_of_a_parabola():
    losses = [3 + (np.log(size) - np.log(5000)) ** 2 for size in SIZES]
    assert isoflop_optimum(SIZES, losses) == pytest.approx(5000)


@pytest.mark.parametrize(
    ("losses", "best"), [((1.0, 2.0, 4.0), 1000), ((2.0, 1.0, 0.5), 100_000), ((1, 2, 1), 1000)]
)
def test_a_best_size_beyond_the_sizes_is_the_nearest_of_them(losses, best):
    assert isoflop_optimum(SIZES, losses) == pytest.approx(best)


def test_isoflop_curves_mark_the_sizes_and_a_lowest_point_for_each_budget():
    figure = plot_isoflop(SIZES, {1e9: [3.0, 2.8, 3.1], 2e9: [2.9, 2.5, 2.4]})
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1,000", "10,000", "100,000"]
    assert len(axis.get_lines()[-1].get_xdata()) == 2


def test_seeds_of_one_size_share_a_colour_and_a_name():
    tokens, losses = np.array([10.0, 100.0, 1000.0]), np.array([4.0, 3.0, 2.0])
    figure = plot_race(
        [(500, 6e3, tokens, losses), (900, 9e3, tokens, losses), (500, 6e3, tokens, losses + 0.1)]
    )
    left, right = figure.axes
    colours = [line.get_color() for line in left.get_lines()]
    assert colours[0] == colours[2] != colours[1]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["500 parameters", "900 parameters"]
    assert right.get_lines()[0].get_xdata()[-1] == 6e6


def test_only_the_losses_less_their_floor_are_straight_on_logarithmic_axes():
    tokens = np.geomspace(1, 1000, 10)
    figure = plot_power_law_axes(tokens, 1.7 + 4 * tokens**-0.3, floor=1.7)
    slopes = [np.diff(np.log(axis.get_lines()[0].get_ydata())) for axis in figure.axes]
    assert np.allclose(slopes[2], slopes[2][0])
    assert not np.allclose(slopes[1], slopes[1][0])


def test_a_figure_of_a_power_law_has_no_formula_among_its_numbers():
    figure = plot_power_law_axes(np.geomspace(1, 1000, 20), 1.7 + 4 * np.geomspace(1, 1000, 20) ** -0.3, 1.7)
    figure.draw_without_rendering()
    sides = [side for axis in figure.axes for side in (axis.xaxis, axis.yaxis)]
    labels = [label.get_text() for side in sides for label in side.get_ticklabels(which="both")]
    assert not [label for label in labels if "$" in label]
    assert {"1", "10", "100", "1000"} <= set(labels)
