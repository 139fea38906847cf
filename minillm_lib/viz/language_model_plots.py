"""Figures of notebook 05: losses by the size of the text and by position, and what topics add to n-gram models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minillm_lib.viz.style import BLUE, GREEN, INK, ORANGE, PURPLE, VERMILLION, StyledFigure, axes_for, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.floating]


def plot_losses_by_size(
    losses: Mapping[int, Mapping[int, float]],
    *,
    floor: float | None = None,
    logarithmic: bool = False,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of n-gram models against the number of documents that they learned from.

    Parameters
    ----------
    losses
        By n, then by the number of documents; a data frame with a column for each n will do.
    floor
        The entropy of the source, drawn as a dotted line.
    logarithmic
        Whether the axis of the loss is logarithmic.
    """
    ax = axes_for(ax, 7, 3.6)
    for n, colour in zip(losses, cycle((INK, BLUE, ORANGE, GREEN, PURPLE, VERMILLION)), strict=False):
        sizes, values = zip(*losses[n].items(), strict=True)
        ax.plot(sizes, values, marker="o", markersize=4, color=colour, label=f"n = {n}")
    if floor is not None:
        ax.axhline(floor, color=INK, linewidth=1, linestyle=":", label="entropy of the grammar")
    ax.set(xscale="log", xlabel="documents to learn from", ylabel="loss (nats per token)", title=title)
    if logarithmic:
        ax.set(yscale="log", ylim=(0.28, 8))
        ax.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
    else:
        ax.set_ylim(0, None)
    shown = [size for size in sizes if str(size).startswith("2")]
    ax.set_xticks(shown, [f"{size:,}" for size in shown])
    ax.minorticks_off()
    # between the highest curve and the others, or below all of them
    place: dict[str, Any] = (
        {"loc": "center right", "bbox_to_anchor": (1, 0.68)} if logarithmic else {"loc": "lower left"}
    )
    ax.legend(ncols=2, fontsize=9, **place)
    return ax


def plot_losses_by_position(
    positions: Sequence[float], panels: Sequence[Mapping[str, Sequence[Sequence[float]]]]
) -> Figure:
    """Draw the loss of models against the position of a token in its document.

    Parameters
    ----------
    positions
        The middle of each stretch of positions.
    panels
        For each panel the models, by name, and for each of these the losses of one run or more,
        ``(n_runs, n_positions)``.
    """
    with style():
        figure = StyledFigure(9, 3.2)
        for ax, models in zip(figure.subplots(1, len(panels)), panels, strict=True):
            for (name, runs), colour in zip(models.items(), cycle((INK, BLUE, ORANGE)), strict=False):
                for number, losses in enumerate(runs):
                    label = None if number else name
                    ax.plot(positions, losses, marker="o", markersize=3.5, color=colour, label=label)
            ax.set(xlabel="position in the document (tokens)", ylabel="loss (nats per token)", ylim=(0, None))
            ax.legend(loc="lower left")
    return figure


def plot_gains(
    by_kind: Mapping[str, FloatArray], names: Sequence[str], *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw what topics gain on n-gram models, with intervals.

    Parameters
    ----------
    by_kind
        For each kind of text or topics the gain and both ends of its interval, ``(n_models, 3)``.
    names
        The n-gram models.
    """
    ax = axes_for(ax, 6, 2.8)
    for number, ((kind, values), colour) in enumerate(
        zip(by_kind.items(), cycle((BLUE, ORANGE, GREEN)), strict=False)
    ):
        at = np.arange(len(values)) + (number - (len(by_kind) - 1) / 2) / 8
        ends = np.abs(values[:, 1:] - values[:, :1]).T
        ax.errorbar(at, values[:, 0], ends, fmt="o", capsize=3, color=colour, label=kind)
        if len(by_kind) == 1:
            for place, gain in zip(at, values[:, 0], strict=True):
                ax.annotate(f"{gain:.2f}", (place, gain), (10, 0), textcoords="offset points", va="center")
    ax.set(xticks=range(len(names)), xticklabels=list(names), xlim=(-0.4, len(names) - 0.4), ylim=(0, 0.8))
    ax.set(xlabel="n-gram model", ylabel="gain by topics (nats per token)", title=title)
    ax.legend()
    return ax
