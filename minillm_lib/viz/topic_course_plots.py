"""Figures of notebook 03: relevance, topics that meet in papers, long chains, and changes over years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import BLUE, GREEN, ORANGE, PALE, StyledFigure, style

with optional_imports("report", "to draw figures"):
    import seaborn as sns
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.floating]


def plot_term_lists(lists: Mapping[float, Mapping[str, tuple[float, float]]]) -> Figure:
    """Draw the terms that describe a topic, one panel for each weight λ of relevance.

    Parameters
    ----------
    lists
        For each weight the terms, best first, with their expected numbers of tokens: in the topic, and in all.
    """
    most = max(everywhere for terms in lists.values() for _, everywhere in terms.values())
    with style():
        figure = StyledFigure(9.5, 3.3)
        for axis, (weight, terms) in zip(figure.subplots(1, len(lists)), lists.items(), strict=True):
            here, everywhere = zip(*terms.values(), strict=True)
            axis.barh(list(terms), everywhere, color=PALE, label="in all topics")
            axis.barh(list(terms), here, color=BLUE, label="in this topic")
            axis.set(title=f"λ = {weight:g}", xlim=(0, 1.05 * most))
            axis.invert_yaxis()
        figure.supxlabel("expected number of tokens")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def plot_topics_together(ratio: FloatArray, names: Sequence[str]) -> Figure:
    """Draw how often two topics are in the same papers, compared with chance, ``(n_topics, n_topics)``."""
    with style():
        figure = StyledFigure(8, 4.2)
        axis = figure.subplots()
        sns.heatmap(
            np.log2(ratio),
            annot=ratio,
            fmt=".1f",
            mask=np.eye(len(ratio), dtype=bool),
            center=0,
            vmin=-2,
            vmax=2,
            cmap="vlag",
            yticklabels=names,
            cbar_kws={"label": "ratio"},
            ax=axis,
        )
        axis.set(xlabel="topic", ylabel="topic")
        axis.tick_params(axis="y", rotation=0, labelsize=8.5)
        figure.axes[-1].set_yticks(range(-2, 3), ["¼", "½", "1", "2", "4"])  # as the cells
        axis.grid(visible=False)
    return figure


def plot_long_chains(rows: Sequence[Mapping[str, Any]], unstable: float) -> Figure:
    """Draw R-hat and the stability of each topic over the sweeps, as ``benchmarks/long_chains.py`` recorded them."""
    with style():
        figure = StyledFigure(9, 3.2)
        left, right = figure.subplots(1, 2, sharex=True)
        for seed, colour in enumerate((BLUE, ORANGE, GREEN)):
            own = [row for row in rows if row["seed"] == seed]
            sweeps = np.array([row["sweeps"] for row in own])
            topics = np.array([np.mean(row["overlaps"], axis=1) for row in own])  # (n_lengths, n_topics)
            left.plot(sweeps, [row["r_hat"] for row in own], "o-", color=colour, label=f"seed {seed}")
            right.plot(sweeps * 1.06 ** (seed - 1), topics, ".", color=colour, markersize=5)
            right.plot(sweeps, topics.mean(axis=1), color=colour)
        left.axhline(1.01, color=PALE, linestyle=":")
        right.axhline(unstable, color=PALE, linestyle=":")
        left.set(xscale="log", xlabel="sweeps", ylabel="R-hat")
        left.set_xticks(sweeps, [str(number) for number in sweeps])
        left.minorticks_off()
        right.set(xlabel="sweeps", ylabel="stability: topics, and mean")
        left.legend(loc="upper right")
    return figure


def plot_changes(
    middle: FloatArray,
    error: FloatArray,
    width: float,
    names: Sequence[str],
    is_stable: npt.NDArray[np.bool_],
) -> Figure:
    """Draw the change of each topic with two intervals: of 90 % for itself, and simultaneous.

    Parameters
    ----------
    middle, error
        Changes in percentage points and their standard errors, ``(n_topics,)``.
    width
        Standard errors to each side of the simultaneous intervals.
    is_stable
        Topics that are not stable have a hollow circle, ``(n_topics,)``.
    """
    with style():
        figure = StyledFigure(7.5, 3.4)
        axis = figure.subplots()
        order = np.argsort(middle)
        for place, k in enumerate(order):
            colour = BLUE if abs(middle[k]) > width * error[k] else PALE
            for half, line in ((width, 1.2), (1.645, 4)):
                ends = middle[k] + half * error[k] * np.array([-1, 1])
                axis.plot(ends, [place, place], color=colour, linewidth=line, solid_capstyle="butt")
            face = colour if is_stable[k] else axis.get_facecolor()
            axis.plot(middle[k], place, "o", color=colour, markerfacecolor=face, markersize=8, zorder=3)
        axis.axvline(0, color=ORANGE, linewidth=1)
        axis.set_yticks(range(len(order)), [names[k] for k in order])
        axis.set(xlabel="change in share, 2013 to 2017 (percentage points)", ylabel="topic")
    return figure
