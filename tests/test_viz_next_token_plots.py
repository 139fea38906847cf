"""Figures of a distribution over the next token: what stands in them is what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from minillm_lib.viz import plot_next_token, plot_sampling_rules

PIECES = ["▁the", "a", "\n", "▁of", "s"]
MODEL = np.array([0.1, 0.4, 0.2, 0.25, 0.05])
CUT = np.array([0.0, 0.4, 0.2, 0.4, 0.0])


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def test_the_likeliest_tokens_stand_in_front_with_marks_for_blanks():
    axes = plot_next_token(MODEL, MODEL, PIECES, n=4)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "␣of", "↵", "␣the"]
    assert axes.get_xlabel()
    assert axes.get_ylabel()


def test_the_title_counts_what_is_left_and_gives_its_entropy():
    title = plot_next_token(MODEL, [0, 0.5, 0.5, 0, 0], PIECES).get_title(loc="left")
    assert title == f"2 tokens left, entropy {np.log(2):.2f} nats"
    assert plot_next_token(MODEL, [0, 1, 0, 0, 0], PIECES).get_title(loc="left").startswith("1 token left")


def test_a_bar_has_the_height_of_its_probability():
    axes = plot_next_token(MODEL, CUT, PIECES, n=5)
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([0.4, 0.4, 0.2, 0, 0, 0.4, 0.25, 0.2, 0.1, 0.05])


def test_the_table_says_per_cent_and_a_dash_for_what_is_cut_off():
    axes = plot_sampling_rules({"as it is": MODEL, "cut": CUT}, PIECES, n=4)
    assert texts_of(axes) == ["40", "40", "25", "40", "20", "20", "10", "–", "5", "3"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "␣of", "↵", "␣the", "tokens left"]


def test_what_is_below_half_a_per_cent_is_not_called_zero():
    small = np.array([0.997, 0.003, 0, 0, 0])
    assert "<1" in texts_of(plot_sampling_rules({"as it is": small}, PIECES, n=2))
