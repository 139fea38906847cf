"""Figures of what the heads of attention look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minillm_lib.viz.style import BLUE, GREEN, INK, ORANGE, PURPLE, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

_KINDS = (BLUE, GREEN, PURPLE, INK, ORANGE)
_ON_CELLS = "#101418"  # dark on the pale cells of the table, in dark themes too


def plot_attention(
    weights: ArrayLike,
    tokens: Sequence[str],
    marks: Mapping[int, int],
    *,
    queries: Sequence[int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the weights of one head: a line per query, a column per key, the darker the more weight.

    Parameters
    ----------
    weights
        ``(seq, seq)``, of each query over the keys.
    tokens
        The token at each position, short enough to stand under a column.
    marks
        Keys to put a ring around, by the position of the query.
    queries
        The queries to draw, by position; by default all.
    """
    shown = list(range(len(tokens)) if queries is None else queries)
    ax = axes_for(ax, 5, 0.5 + 0.2 * len(shown))
    ax.imshow(np.asarray(weights, float)[shown], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    rings = [(marks[query], line) for line, query in enumerate(shown) if query in marks]
    for column, line in rings:
        ax.plot(column, line, "o", markersize=9, markerfacecolor="none", color=ORANGE)
    ax.set_xticks(range(len(tokens)), tokens)
    ax.set_yticks(range(len(shown)), [tokens[query] for query in shown])
    ax.tick_params(labelsize=9, length=0)
    ax.set(xlabel="key", ylabel="query")
    ax.grid(visible=False)
    return ax


def plot_shares(
    shares: ArrayLike, rows: Sequence[str], columns: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Draw a table of numbers between 0 and 1, ``(rows, columns)``: the darker, the higher."""
    values = np.asarray(shares, float)
    ax = axes_for(ax, 5, 0.8 + 0.4 * len(rows))
    ax.imshow(values, cmap="Blues", vmin=0, vmax=2, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color=_ON_CELLS)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    return ax


def plot_removals(
    accuracies: Mapping[str, ArrayLike], kinds: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Draw what is left when a part is removed: a line per removal, a dot per model and kind of question.

    Parameters
    ----------
    accuracies
        For each removal the shares of right answers, ``(models, kinds)``.
    kinds
        The kinds of questions.
    """
    ax = axes_for(ax, 9, 0.8 + 0.37 * len(accuracies))
    for place, of_models in enumerate(accuracies.values()):
        for number, (kind, shares) in enumerate(zip(kinds, np.asarray(of_models, float).T, strict=True)):
            heights = np.full(len(shares), place + 0.13 * (number - (len(kinds) - 1) / 2))
            colour = _KINDS[number % len(_KINDS)]
            ax.plot(shares, heights, "o", color=colour, markersize=5, label=None if place else kind)
    ax.set_yticks(range(len(accuracies)), list(accuracies))
    ax.set(xlabel="share of right answers", xlim=(-0.03, 1.03))
    ax.invert_yaxis()
    ax.legend(title="question", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax
