"""The figures of notebook 17, and runs with several seeds: what stands on them."""

from __future__ import annotations

import numpy as np

from minillm_lib.viz import plot_lines, plot_losses_by_model, plot_seeds, plot_topic_match


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
