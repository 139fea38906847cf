"""The map of an attention head shows what it is given."""

from __future__ import annotations

import numpy as np
import pytest

from minillm_lib.viz import plot_attention, plot_removals, plot_shares


def weights(seq):
    lower = np.tril(np.random.default_rng(0).random((seq, seq)))
    return lower / lower.sum(axis=1, keepdims=True)


def test_every_query_has_a_line_and_every_key_a_column():
    axes = plot_attention(weights(4), "abcd", {3: 1})
    assert [label.get_text() for label in axes.get_xticklabels()] == list("abcd")
    assert [label.get_text() for label in axes.get_yticklabels()] == list("abcd")
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(weights(4))


def test_chosen_queries_alone_are_drawn_each_with_its_own_mark():
    axes = plot_attention(weights(4), "abcd", {3: 1, 1: 0}, queries=[1, 3])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "d"]
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(weights(4)[[1, 3]])
    assert [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines] == [(0, 0), (1, 1)]


def test_the_axes_say_what_they_are():
    axes = plot_attention(weights(3), "abc", {})
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("key", "query")


def test_a_table_of_shares_names_each_number():
    axes = plot_shares([[0.25, 1.0]], ["1"], ["0.0", "0.1"])
    assert [text.get_text() for text in axes.texts] == ["0.25", "1.00"]


def test_each_removal_has_a_dot_per_model_and_kind():
    accuracies = {"nothing": [[1.0, 0.9], [0.8, 1.0]], "a head": [[0.5, 0.1], [0.4, 0.2]]}
    axes = plot_removals(accuracies, ["1", "^"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["nothing", "a head"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[1.0, 0.8], [0.9, 1.0], [0.5, 0.4], [0.1, 0.2]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["1", "^"]
