"""Figures of cleaning: the documents and characters left after each step, and how MinHash finds equal texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minillm_lib.corpora.cleaning.report import PipelineReport
from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import BLUE, GREEN, ORANGE, StyledFigure, style

with optional_imports("report", "to draw figures"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter


def plot_cleaning(report: PipelineReport) -> Figure:
    """Draw how many documents and characters were left after each cleaning step, from top to bottom.

    The blue part of a bar is what was left, the orange part what the step removed. The number next to the bar is the
    change made by the step, which for characters includes what edits added.

    Raises
    ------
    ValueError
        If the report counts no documents.
    """
    if not report.documents_read:
        raise ValueError(
            "the report counts no documents: consume the documents that clean() yields before drawing"
        )
    names = ["read", *(step.name for step in report.steps)]
    documents = [report.documents_read, *(step.documents_left for step in report.steps)]
    characters = [report.characters_read, *(step.characters_left for step in report.steps)]
    with style():
        figure = StyledFigure(9.0, 1.0 + 0.32 * len(names))
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_bars(left, names, documents, "documents left")
        _draw_bars(right, names, characters, "characters left")
        left.set_ylabel("after the step")
        left.invert_yaxis()
    return figure


def _draw_bars(ax: Axes, names: Sequence[str], left: Sequence[int], xlabel: str) -> None:
    before = [left[0], *left[:-1]]
    taken = [max(earlier - now, 0) for earlier, now in zip(before, left, strict=True)]
    ax.barh(names, left, color=BLUE)
    ax.barh(names, taken, left=left, color=ORANGE)
    for row, (earlier, now) in enumerate(zip(before, left, strict=True)):
        if now != earlier:
            ax.annotate(
                f"{now - earlier:+,}".replace("-", "−"),
                (max(earlier, now), row),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
    ax.set(xlabel=xlabel, xlim=(0, 1.18 * max(*left, 1)))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.grid(axis="y", visible=False)


def plot_minhash(
    similarities: Sequence[float], estimates: Sequence[float], *, n_functions: int = 128
) -> Figure:
    """Draw the similarities of pairs as MinHash estimates them, and how likely bands are to find a pair.

    The orange field on the left is two standard errors wide to each side.

    Parameters
    ----------
    similarities, estimates
        The Jaccard similarity of each pair, and the share of equal entries in its two signatures.
    n_functions
        Length of a signature, a multiple of 8.
    """
    s = np.linspace(0, 1, 101)
    error = 2 * np.sqrt(s * (1 - s) / n_functions)
    with style():
        figure = StyledFigure(9.0, 3.4)
        left, right = figure.subplots(1, 2)
        left.plot(similarities, estimates, ".", color=BLUE, alpha=0.5)
        left.fill_between(s, s - error, s + error, color=ORANGE, alpha=0.3, linewidth=0)
        left.set(xlabel="Jaccard similarity", ylabel="share of equal entries")
        for n_rows, colour in ((2, ORANGE), (4, BLUE), (8, GREEN)):
            n_bands = n_functions // n_rows
            found = 1 - (1 - s**n_rows) ** n_bands
            right.plot(s, found, color=colour, label=f"{n_bands} bands of {n_rows}")
        right.set(xlabel="Jaccard similarity", ylabel="probability of being compared")
        right.legend(loc="lower right")
    return figure
