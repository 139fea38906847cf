"""Figures of notebooks 13, 14 and 18: a sweep of learning rates, runs with several seeds, and a model of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from minillm_lib.evaluation.own_model import OwnModelFigures
from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import BLUE, GREEN, INK, ORANGE, PALE, StyledFigure, style

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

with optional_imports("report", "to draw figures"):
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter


def plot_sweep(rates: Sequence[float], losses: ArrayLike, chosen: float | None = None) -> Figure:
    """Draw the held-out losses of short runs over their learning rates: a dot per run, a line through the means.

    Parameters
    ----------
    losses
        ``(rates, seeds)``, in nats per token; runs that diverged, whose loss is not finite, are left out.
    chosen
        The rate that was chosen, marked by an upright line.
    """
    table = np.asarray(losses, dtype=float)
    with style():
        figure = StyledFigure(6.0, 2.8)
        ax = figure.subplots()
        ax.plot(rates, table.mean(axis=1), color=BLUE, label="mean over the seeds")
        for seed in range(table.shape[1]):
            label = None if seed else "one seed each"
            ax.plot(rates, table[:, seed], "o", color=ORANGE, markersize=5, label=label)
        if chosen is not None:
            ax.axvline(chosen, color=INK, linewidth=0.9, linestyle=":", label="chosen")
        ax.set(
            xscale="log", xlabel="learning rate", ylabel="held-out loss after the\nshort run (nats per token)"
        )
        ax.set_xticks(list(rates))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.legend()
    return figure


def plot_own_model(figures: OwnModelFigures) -> Figure:
    """Draw a model before and after fine-tuning: its loss on held-out text, and what becomes of its answers.

    On the left, lower is better, and the broken line is what counting pairs of tokens achieves. On the right, higher is
    better.
    """
    shares = [
        ("before", PALE, figures.before),
        ("after, as taught", GREEN, figures.after),
        *([("after, in other words", BLUE, figures.reworded)] if figures.reworded is not None else []),
    ]
    with style():
        figure = StyledFigure(9.0, 3.0)
        left, right = figure.subplots(1, 2, width_ratios=[2, 3])
        left.bar(["before", "after"], [figures.base_bits, figures.chat_bits], color=[PALE, GREEN])
        left.axhline(figures.ngram_bits, color=INK, linestyle="--", linewidth=1, label="bigram")
        left.set(
            ylabel="held-out text\n(bits per byte)",
            ylim=(0, 1.35 * max(figures.ngram_bits, figures.chat_bits)),
        )
        left.legend(loc="upper left")
        width = 0.8 / len(shares)
        for number, (name, colour, report) in enumerate(shares):
            places = np.arange(2) + (number - (len(shares) - 1) / 2) * width
            values = [100 * report.right_share(), 100 * report.ended_share]
            right.bar(places, values, width=0.9 * width, color=colour, label=name)
        right.set_xticks([0, 1], ["right", "end by themselves"])
        right.set(ylabel="answers to own questions (%)", ylim=(0, 135), yticks=range(0, 101, 20))
        right.legend(loc="upper left", ncols=3, fontsize=8)
    return figure


def plot_seeds(
    results: Mapping[str, ArrayLike], *, ylabel: str, line: tuple[float, str] | None = None
) -> Figure:
    """Draw what several seeds gave: a bar for the mean of each kind, and a dot for each seed.

    Parameters
    ----------
    results
        By name, one number per seed.
    line
        A value to compare with, and its name.
    """
    colours = (PALE, BLUE, GREEN, ORANGE)
    with style():
        figure = StyledFigure(1.6 + 1.4 * len(results), 2.8)
        ax = figure.subplots()
        for (name, values), colour in zip(results.items(), cycle(colours), strict=False):
            own = np.atleast_1d(np.asarray(values, dtype=float))
            ax.bar(name, own.mean(), color=colour, width=0.6)
            ax.plot([name] * len(own), own, "o", color=INK, markersize=4)
        if line is not None:
            ax.axhline(line[0], color=INK, linestyle=":", linewidth=1, label=line[1])
            ax.legend(loc="upper right", fontsize=8)
        ax.set(ylabel=ylabel)
        ax.set_ylim(0, 1.25 * ax.get_ylim()[1])
    return figure
