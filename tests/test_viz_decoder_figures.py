"""The figures of notebooks 10 to 12 that the package draws."""

from __future__ import annotations

import json

import numpy as np
import torch
from course_build import ROOT
from matplotlib.text import Text

from minillm_lib.checks.exercises.training_loop.bugs import BUGS
from minillm_lib.viz import plot_broken_runs
from minillm_lib.viz.decoder_diagrams import (
    plot_block,
    plot_census,
    plot_feed_forward_layers,
    plot_look_ahead,
)


def texts_of(axis):
    return [text.get_text() for text in axis.texts]


def test_the_layers_show_their_matrices_and_widths():
    classic, gated = plot_feed_forward_layers().axes
    assert {"up", "down", "GELU", "h"} <= set(texts_of(classic))
    assert {"gate", "up", "down", "SiLU", "×", "⅔ h"} <= set(texts_of(gated))


def test_the_bar_of_each_model_ends_at_100_and_parts_too_thin_to_see_have_no_number():
    figure = plot_census({"small": {"embedding": 30, "norms": 70}, "large": {"embedding": 995, "norms": 5}})
    (axis,) = figure.axes
    ends = [bar.get_x() + bar.get_width() for bar in axis.containers[1]]
    assert np.allclose(ends, 100)
    assert texts_of(axis) == ["30%", "100%", "70%", ""]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["embedding", "norms"]


def test_the_block_adds_twice():
    (axis,) = plot_block().axes
    assert texts_of(axis).count("+") == 2
    assert {"attention", "SwiGLU", "residual stream"} <= set(texts_of(axis))


def test_the_look_ahead_of_a_running_sum_is_on_and_above_the_diagonal():
    embedded = torch.eye(5)
    axis = plot_look_ahead(lambda ids: embedded[ids].cumsum(dim=1), torch.tensor([[3, 1, 4, 1]])).axes[0]
    shown = axis.images[0].get_array()
    np.testing.assert_array_equal(shown > 0, np.triu(np.ones((4, 4), dtype=bool)))


def test_the_recorded_runs_have_the_letters_of_the_exercise_and_what_is_said_of_them():
    recorded = json.loads((ROOT / "results" / "training" / "broken_runs.json").read_text())
    healthy, floor = recorded["healthy"], recorded["floor"]
    runs = {letter: recorded[letter] for letter in BUGS}
    figure = plot_broken_runs(runs, healthy, floor=floor["entropy"], start=floor["ln_V"])
    assert [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")] == list(BUGS)
    by_bug = {bug: runs[letter] for letter, bug in BUGS.items()}
    for bug in ("labels not shifted", "no causal mask"):
        assert by_bug[bug]["held_out"] < floor["entropy"]
    assert by_bug["labels not shifted"]["losses"][0] < floor["ln_V"] - 1
    assert (
        by_bug["the same batch always"]["losses"][-1]
        < 0.05
        < floor["ln_V"]
        < by_bug["the same batch always"]["held_out"]
    )
    assert min(by_bug["gradients not zeroed"]["norms"]) > 1 > np.median(healthy["norms"])
    assert np.median(by_bug["labels shifted twice"]["norms"]) < 1
    assert np.mean(by_bug["no warm-up"]["losses"][:5]) < np.mean(healthy["losses"][:5]) - 0.1
    assert max(by_bug["learning rate × 100"]["losses"]) > floor["ln_V"] + 2
    assert by_bug["learning rate / 100"]["losses"][-1] > 5


def test_the_broken_runs_have_letters_of_nine_pixels_in_a_column_of_640_and_titles_clear_of_the_row_above():
    run = {"losses": [3.0, 2.0], "norms": [1.0, 0.5], "held_out": 2.0}
    figure = plot_broken_runs(dict.fromkeys("ABCDEFGH", run), run, floor=1.0, start=3.0)
    figure.draw_without_rendering()
    smallest = min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())
    assert smallest / 72 * 640 / figure.get_figwidth() >= 9
    for above, panel in zip(figure.axes[4:8], figure.axes[8:12], strict=True):
        assert above.get_tightbbox().y0 - panel.get_tightbbox().y1 > 0.1 * figure.dpi
