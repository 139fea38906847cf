"""Figures of notebook 17: losses of kinds of models, topics beside true ones, and lines of several models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import numpy.typing as npt

from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, StyledFigure, style

with optional_imports("report", "to draw figures"):
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
_COLOURS = (BLUE, ORANGE, INK, GREEN, PURPLE)
_OF_NAME = {
    **dict.fromkeys(("LDA", "LDA's θ"), GREEN),
    **dict.fromkeys(("Transformer", "mean state"), BLUE),
    **dict.fromkeys(("not trained", "mean state, not trained"), INK),
    "word counts": PURPLE,
}


def plot_losses_by_model(losses: Mapping[str, float], *, floor: float | None = None) -> Figure:
    """Draw the loss of each kind of model as a bar, from the worst to the best, with its perplexity.

    Parameters
    ----------
    floor
        The loss that no model gets below, if it is known.
    """
    names = sorted(losses, key=lambda name: -losses[name])
    with style():
        figure = StyledFigure(7, 3)
        axis = figure.subplots()
        values = [losses[name] for name in names]
        axis.barh(names, values, color=[_OF_NAME.get(name, PALE) for name in names])
        for row, loss in enumerate(values):
            axis.text(loss + 0.05, row, f"perplexity {math.exp(loss):.3g}", va="center", fontsize=9)
        axis.grid(visible=False, axis="y")
        if floor is not None:
            axis.axvline(floor, color=INK, linestyle=":", label="the source itself")
            axis.legend(loc="lower right")
        axis.invert_yaxis()
        axis.set(xlabel="loss on unseen documents (nats per word)", xlim=(0, 1.25 * max(values)))
    return figure


def plot_topic_match(shares: FloatArray, found: Sequence[str], true: Sequence[str]) -> Figure:
    """Draw the mean topic shares of the documents of each true topic as a table of fields.

    Parameters
    ----------
    shares
        ``(true topics, found topics)``.
    found
        What to write under each found topic.
    true
        The names of the true topics.
    """
    order = np.lexsort([shares.argmax(axis=0), shares.max(axis=0) < 0.5])  # by true topic, the weak ones last
    with style():
        figure = StyledFigure(6.5, 4.6)
        axis = figure.subplots()
        image = axis.imshow(shares[:, order], cmap="Blues", vmin=0, vmax=1)
        names = [found[topic] for topic in order]
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
        axis.set_yticks(range(len(true)), true)
        axis.set(xlabel="topic of LDA (three of its most relevant words)", ylabel="true topic")
        axis.grid(visible=False)
        figure.colorbar(image, label="mean share θ")
    return figure


def plot_lines(
    x: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    line: tuple[float, str] | None = None,
    log: bool = False,
) -> Figure:
    """Draw one line per name over the same numbers, from 0 to 1.

    Parameters
    ----------
    line
        A value to compare with, and its name.
    log
        Whether the horizontal axis is logarithmic.
    """
    with style():
        figure = StyledFigure(7.5, 3.2)
        axis = figure.subplots()
        for (name, values), colour in zip(lines.items(), cycle(_COLOURS), strict=False):
            axis.plot(x, values, "o-", color=_OF_NAME.get(name, colour), label=name)
        if line is not None:
            axis.axhline(line[0], color=INK, linestyle=":", label=line[1])
        axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, 1.05), xscale="log" if log else "linear")
        axis.set_xticks(list(x), [f"{value:g}" for value in x])
        axis.minorticks_off()
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
