"""The figures of notebook 17, and runs with several seeds: what stands on them, and that nothing is left out."""

from __future__ import annotations

import numpy as np
import pytest

from minillm_lib.viz import plot_isoflop, plot_lines, plot_losses_by_model, plot_seeds, plot_topic_match
from minillm_lib.viz.decoder_diagrams import plot_census
from minillm_lib.viz.language_model_plots import plot_gains, plot_losses_by_position, plot_losses_by_size
from minillm_lib.viz.tokenizer_course_plots import plot_compression


def test_models_stand_from_the_worst_to_the_best():
    (axis,) = plot_losses_by_model({"LDA": 4.0, "unigram": 5.0, "Transformer": 0.5}, floor=0.3).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["unigram", "LDA", "Transformer"]
    assert axis.yaxis_inverted()


def test_weak_topics_stand_last():
    shares = np.array([[0.1, 0.9, 0.0], [0.1, 0.0, 0.9]])
    axis = plot_topic_match(shares, ["weak", "first", "second"], ["one", "two"]).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["first", "second", "weak"]


def test_lines_are_drawn_over_the_same_numbers():
    figure = plot_lines(
        (5, 10), {"a": [0.1, 0.2], "b": [0.3, 0.4]}, xlabel="x", ylabel="y", line=(0.1, "guessing")
    )
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.get_lines()] == ["a", "b", "guessing"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["5", "10"]


def test_a_bar_is_the_mean_of_its_seeds():
    (axis,) = plot_seeds({"a": [1.0, 3.0], "b": [5.0]}, ylabel="loss").axes
    assert [patch.get_height() for patch in axis.patches] == [2.0, 5.0]
    assert sum(len(line.get_xdata()) for line in axis.get_lines()) == 3


MANY = [f"series {number}" for number in range(9)]


@pytest.mark.parametrize(
    "figure_of",
    [
        lambda: plot_lines((1, 2), {name: [0.1, 0.2] for name in MANY}, xlabel="x", ylabel="y"),
        lambda: plot_losses_by_size({name: {20: 3.0, 200: 2.0} for name in MANY}).figure,
        lambda: plot_losses_by_position([1, 2], [{name: [[3.0, 2.0]] for name in MANY}] * 2),
        lambda: plot_gains({name: np.array([[0.2, 0.1, 0.3]]) for name in MANY}, ["unigram"]).figure,
        lambda: plot_isoflop([10, 100, 1000], {1e9 * (1 + i): [3.0, 2.0, 2.5] for i in range(9)}),
    ],
    ids=["lines", "losses by size", "losses by position", "gains", "isoflop"],
)
def test_no_series_is_left_out_for_want_of_a_colour(figure_of):
    figure = figure_of()
    assert all(len(axis.get_legend().get_texts()) >= len(MANY) for axis in figure.axes)


def test_neither_is_a_bar_a_part_or_a_tokenizer():
    assert len(plot_seeds({name: [1.0] for name in MANY}, ylabel="loss").axes[0].patches) == len(MANY)
    assert len(plot_census({"small": dict.fromkeys(MANY, 1)}).axes[0].containers) == len(MANY)
    sizes = {(name, size): 3.0 for name in MANY for size in (1000, 2000)}
    assert len(plot_compression({"en": sizes, "zh": sizes}).axes[0].get_lines()) == len(MANY)
