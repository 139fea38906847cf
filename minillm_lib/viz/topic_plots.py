"""Figures of a topic model: its convergence, the terms of its topics, and how topics change and relate.

Every function returns a figure that is unknown to pyplot, and draws only what it is given.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.cells import cell_len, chop_cells
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from minillm_lib.io.optional import optional_imports
from minillm_lib.topics.summary import TopicSummary
from minillm_lib.viz.style import BLUE, ORANGE, PALE, StyledFigure, axes_for, style

with optional_imports("report", "to draw figures"):
    import seaborn as sns
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter


def plot_convergence(
    sweeps: ArrayLike,
    log_likelihoods: Sequence[ArrayLike],
    *,
    best: int = 0,
    burn_in: int | None = None,
    xlabel: str = "sweep",
    ylabel: str = "log p(w, z) per token (nats)",
    ax: Axes | None = None,
) -> Figure:
    """Draw the log-likelihood of each chain over the sweeps.

    Parameters
    ----------
    sweeps
        Numbers of the sweeps, ``(n_sweeps,)``.
    log_likelihoods
        One array ``(n_sweeps,)`` per chain.
    best
        Index of the chain that the topics come from. It is blue, the others are orange.
    burn_in
        The sweep after which samples are taken, marked by a dotted line; None for no line.
    ax
        Axes to draw on; None for a new figure.

    Raises
    ------
    ValueError
        If there is no chain.
    """
    if not log_likelihoods:
        raise ValueError("there is no chain to draw")
    with style():
        ax = axes_for(ax, 6.4, 3.6)
        for number, chain in enumerate(log_likelihoods):
            colour, on_top = (BLUE, 3) if number == best else (ORANGE, 2)
            ax.plot(sweeps, chain, color=colour, zorder=on_top, marker="." if np.size(sweeps) < 3 else None)
        if burn_in is not None:
            ax.axvline(burn_in, color=PALE, linestyle=":")
        ax.set(xlabel=xlabel, ylabel=ylabel)
    return _figure_of(ax)


def plot_topic_shares(
    years: ArrayLike,
    shares: ArrayLike,
    summaries: Sequence[TopicSummary],
    *,
    n_columns: int = 5,
    xlabel: str = "year",
    ylabel: str = "share of tokens",
) -> Figure:
    """Draw the share of each topic over the years, in one small panel per topic.

    The pale lines in a panel are the other topics.

    Parameters
    ----------
    years
        ``(n_years,)``.
    shares
        ``(n_years, n_topics)``, as returned by :func:`~minillm_lib.topics.summary.topic_shares_by_year`.
    summaries
        One per topic, as returned by :func:`~minillm_lib.topics.summary.summarize_topics`.
    n_columns
        Maximum number of panels side by side.

    Raises
    ------
    ValueError
        If there are no years, or the shapes do not match.
    """
    years, shares = np.asarray(years), np.asarray(shares)
    if not len(years) or shares.shape != (len(years), len(summaries)):
        raise ValueError(
            f"shares has shape {shares.shape} for {len(years)} years and {len(summaries)} topics; "
            "it must be (n_years, n_topics) with at least one year"
        )
    with style():
        figure, panels = _small_multiples(len(summaries), n_columns, height=1.75)
        for k, (panel, summary) in enumerate(zip(panels, summaries, strict=True)):
            panel.plot(years, np.delete(shares, k, axis=1), color=PALE, linewidth=0.8)
            panel.plot(years, shares[:, k], color=BLUE, marker="o", markersize=3.5)
            panel.set_title(_two_lines(f"{summary.topic}: {summary.label}"), fontsize=8.5)
            panel.set_xticks(years[:: -(-len(years) // 3)])
            panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            panel.set_ylim(bottom=0)
        figure.supxlabel(xlabel, fontsize=10)
        figure.supylabel(ylabel, fontsize=10)
    return figure


def plot_topic_similarity(
    similarity: ArrayLike,
    summaries: Sequence[TopicSummary],
    *,
    xlabel: str = "topic",
    ylabel: str = "topic",
    label: str = "similarity",
    ax: Axes | None = None,
) -> Figure:
    """Draw the similarity of each pair of topics as a heat map, with similar topics side by side.

    Topics are in the order of the leaves of average-linkage clustering. The diagonal is left blank.

    Parameters
    ----------
    similarity
        ``(n_topics, n_topics)``, as returned by :func:`~minillm_lib.topics.summary.topic_similarity`.
    summaries
        One per topic, as returned by :func:`~minillm_lib.topics.summary.summarize_topics`.
    label
        Label of the colour bar.
    ax
        Axes to draw on; None for a new figure.
    """
    similarity = np.asarray(similarity)
    order = _clustered_order(1 - similarity)
    many = len(order) > 15
    off_diagonal = similarity[~np.eye(len(order), dtype=bool)]
    with style():
        ax = axes_for(ax, 6.4, 4.4)
        sns.heatmap(
            similarity[np.ix_(order, order)],
            mask=np.eye(len(order), dtype=bool),
            vmin=off_diagonal.min(initial=1),
            vmax=off_diagonal.max(initial=0),
            cmap=sns.light_palette(BLUE, as_cmap=True),
            annot=not many,
            fmt=".2f",
            annot_kws={"fontsize": 7},
            linewidths=0 if many else 1,
            rasterized=many,
            xticklabels=[str(summaries[k].topic) for k in order],
            yticklabels=[f"{_shortened(summaries[k].label, 40)}  {summaries[k].topic}" for k in order],
            cbar_kws={"label": label, "shrink": 0.8},
            ax=ax,
        )
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.tick_params(length=0, labelsize=8.5)
        ax.grid(visible=False)
    return _figure_of(ax)


def plot_top_terms(
    summaries: Sequence[TopicSummary],
    *,
    n_columns: int = 5,
    topic_name: str = "Topic",
    xlabel: str = "probability in the topic",
) -> Figure:
    """Draw the most relevant terms of each topic, with their probabilities in the topic as bars.

    The most relevant term is at the top of its topic's panel.

    Parameters
    ----------
    summaries
        One per topic, as returned by :func:`~minillm_lib.topics.summary.summarize_topics`.
    n_columns
        Maximum number of panels side by side.
    """
    n_terms = max(len(summary.terms) for summary in summaries)
    with style():
        figure, panels = _small_multiples(
            len(summaries), n_columns, height=0.5 + 0.17 * n_terms, sharex=False
        )
        for panel, summary in zip(panels, summaries, strict=True):
            positions = range(len(summary.terms))
            panel.barh(positions, summary.probabilities, color=BLUE, height=0.7)
            panel.set_yticks(positions, [_shortened(term, 22) for term in summary.terms], fontsize=8.5)
            panel.set_ylim(n_terms - 0.5, -0.5)
            panel.set_title(f"{topic_name} {summary.topic} · {summary.share:.1%}", fontsize=9)
            panel.xaxis.set_major_locator(MaxNLocator(2))
            panel.xaxis.set_major_formatter(lambda probability, _: f"{100 * probability:g}%")
            panel.tick_params(axis="y", length=0)
            panel.grid(visible=False, axis="y")
        figure.supxlabel(xlabel, fontsize=10)
    return figure


def _figure_of(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _small_multiples(
    n_panels: int, n_columns: int, *, height: float, sharex: bool = True
) -> tuple[Figure, list[Axes]]:
    """Make a figure of ``n_panels`` panels, each ``height`` inches tall, in rows of ``n_columns``."""
    n_columns = min(n_columns, n_panels)
    n_rows = -(-n_panels // n_columns)
    figure = StyledFigure(2.5 * n_columns, height * n_rows + 0.4)
    grid = figure.subplots(n_rows, n_columns, sharex=sharex, sharey=sharex, squeeze=False)
    for spare in grid.flat[n_panels:]:
        spare.remove()
    return figure, list(grid.flat[:n_panels])


def _clustered_order(distance: NDArray[np.float64]) -> NDArray[np.int32]:
    if len(distance) < 3:
        return np.arange(len(distance), dtype=np.int32)
    pairs = squareform(distance, checks=False)
    return leaves_list(linkage(pairs, "average", optimal_ordering=True))


def _shortened(text: str, width: int) -> str:
    """Shorten ``text`` to ``width`` columns; a Chinese character takes two columns."""
    return text if cell_len(text) <= width else chop_cells(text, width - 1)[0] + "…"


def _two_lines(text: str) -> str:
    text = text.replace(" ·", "\N{NO-BREAK SPACE}·")
    return "\n".join(textwrap.wrap(text, 26, max_lines=2, placeholder=" …"))
