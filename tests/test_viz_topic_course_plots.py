"""The figures of notebook 03 draw what they are given."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex

from minillm_lib.viz.style import BLUE, PALE
from minillm_lib.viz.topic_course_plots import (
    plot_changes,
    plot_long_chains,
    plot_term_lists,
    plot_topics_together,
)


def test_the_best_term_is_at_the_top_of_each_panel():
    lists = {1.0: {"graph": (3.0, 9.0), "tree": (2.0, 2.5)}, 0.0: {"tree": (2.0, 2.5), "edge": (1.0, 1.0)}}
    first, second = plot_term_lists(lists).axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["graph", "tree"]
    assert first.yaxis_inverted()
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("λ = 1", "λ = 0")
    assert first.get_xlim()[1] > 9


def test_topics_that_meet_as_often_as_by_chance_have_the_middle_colour():
    figure = plot_topics_together(np.array([[3.0, 1.0], [1.0, 3.0]]), ["a 0", "b 1"])
    mesh = figure.axes[0].collections[0]
    assert np.ma.allclose(mesh.get_array().ravel().compressed(), 0)
    assert mesh.norm.vmin == -mesh.norm.vmax


def test_the_colour_bar_is_labelled_with_the_ratio_that_the_cells_show():
    figure = plot_topics_together(np.array([[1.0, 4.0], [0.5, 1.0]]), ["a 0", "b 1"])
    bar = figure.axes[1]
    ratios = {"¼": 0.25, "½": 0.5, "1": 1, "2": 2, "4": 4}
    labels = [label.get_text() for label in bar.get_yticklabels()]
    np.testing.assert_allclose(bar.get_yticks(), np.log2([ratios[label] for label in labels]))
    assert bar.get_ylabel() == "ratio"


def test_each_seed_has_its_line_and_a_dot_for_each_topic():
    rows = [
        {"seed": seed, "sweeps": sweeps, "r_hat": 1.5, "overlaps": [[0.5, 0.7], [0.8, 0.8]]}
        for seed in range(3)
        for sweeps in (250, 500)
    ]
    left, right = plot_long_chains(rows, 0.6).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["seed 0", "seed 1", "seed 2"]
    lines = [line.get_ydata() for line in right.lines]
    assert sum(np.allclose(line, 0.7) for line in lines) == 3


def test_only_an_interval_without_zero_is_blue_and_an_unstable_topic_is_hollow():
    middle, error = np.array([3.0, 2.0, -4.0]), np.ones(3)
    figure = plot_changes(middle, error, 2.5, ["a", "b", "c"], np.array([True, True, False]))
    circles = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in circles] == [-4, 2, 3]
    assert [line.get_color() for line in circles] == [BLUE, PALE, BLUE]
    assert to_hex(circles[0].get_markerfacecolor()) != BLUE
    assert circles[2].get_markerfacecolor() == BLUE
