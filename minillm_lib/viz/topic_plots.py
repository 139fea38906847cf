"""Figures of a topic model: its convergence, the terms of its topics, and how topics change and relate.

Every function returns a figure that is unknown to pyplot, and draws only what it is given.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.cells import cell_len, chop_cells
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from minillm_lib.io.optional import optional_imports
from minillm_lib.topics.periods import is_consecutive
from minillm_lib.topics.summary import TopicSummary
from minillm_lib.viz.style import BLUE, ORANGE, PALE, ROW_GAP, StyledFigure, axes_for, style

with optional_imports("report", "to draw figures"):
    import seaborn as sns
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

if TYPE_CHECKING:
    from minillm_lib.topics.model_selection import TopicCountScore


_LEAST_CELL = 0.32  # inches that a number needs to be read


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
    periods: ArrayLike,
    shares: ArrayLike,
    summaries: Sequence[TopicSummary],
    *,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    n_columns: int = 3,
    xlabel: str = "year",
    ylabel: str = "share of tokens",
) -> Figure:
    """Draw the share of each topic over the years or months, in one small panel per topic.

    Periods that follow each other are joined by a line; where one is missing in between, nothing is drawn. The pale
    lines in a panel are the other topics.

    Parameters
    ----------
    periods
        Years as numbers, or years or months as ``datetime64``, ``(n_periods,)``.
    shares
        ``(n_periods, n_topics)``, as returned by :func:`~minillm_lib.topics.summary.topic_shares_by_year` or
        :func:`~minillm_lib.topics.periods.topic_shares_over_time`.
    summaries
        One per topic, as returned by :func:`~minillm_lib.topics.summary.summarize_topics`.
    low, high
        Ends of the intervals, ``(n_periods, n_topics)``, drawn as error bars; None for none.
    n_columns
        Maximum number of panels side by side.

    Raises
    ------
    ValueError
        If there are no periods, or the shapes do not match.
    """
    periods, shares = _as_periods(periods), np.asarray(shares)
    if not len(periods) or shares.shape != (len(periods), len(summaries)):
        raise ValueError(
            f"shares has shape {shares.shape} for {len(periods)} years and {len(summaries)} topics; "
            "it must be (n_years, n_topics) with at least one year"
        )
    with style():
        figure, panels = _small_multiples(len(summaries), n_columns, height=1.75)
        for k, (panel, summary) in enumerate(zip(panels, summaries, strict=True)):
            draw_topic_shares(panel, periods, shares, k, low=low, high=high)
            panel.set_title(_two_lines(f"{summary.topic}: {summary.label}"), fontsize=8.5)
        figure.supxlabel(xlabel, fontsize=10)
        figure.supylabel(ylabel, fontsize=10)
    return figure


def draw_topic_shares(
    panel: Axes,
    periods: NDArray[np.datetime64],
    shares: NDArray[np.float64],
    k: int,
    *,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> None:
    """Draw the panel of column ``k`` of :func:`plot_topic_shares`; periods are ``datetime64``."""
    places = periods.astype(np.int64) + (1970 if np.datetime_data(periods.dtype)[0] == "Y" else 0)
    gaps = 1 + np.flatnonzero(~is_consecutive(periods))
    joined, broken = np.insert(places.astype(float), gaps, np.nan), np.insert(shares, gaps, np.nan, axis=0)
    panel.plot(joined, np.delete(broken, k, axis=1), color=PALE, linewidth=0.8)
    panel.plot(joined, broken[:, k], color=BLUE, marker="o", markersize=3.5, linewidth=1.2)
    if low is not None and high is not None:
        ends = np.asarray(low)[:, k], np.asarray(high)[:, k]
        panel.vlines(places, *ends, color=BLUE, linewidth=1.2, alpha=0.7)
    every = -(-len(places) // 3)
    panel.set_xticks(places[::every], [str(period) for period in periods[::every]])
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.set_ylim(bottom=0)


def _as_periods(periods: ArrayLike) -> NDArray[np.datetime64]:
    values = np.asarray(periods)
    if np.issubdtype(values.dtype, np.datetime64):
        return values
    return (values.astype(np.int64) - 1970).astype("datetime64[Y]")


MEASURES = ("perplexity", "coherence", "stability")
"""What is measured of each number of topics."""


def plot_topic_counts(
    scores: Sequence[TopicCountScore],
    *,
    titles: Sequence[str] = (
        "held-out perplexity (lower is better)",
        "coherence, NPMI (higher)",
        "stability (higher)",
    ),
    xlabel: str = "number of topics",
) -> Figure:
    """Draw what :func:`~minillm_lib.topics.model_selection.compare_topic_counts` measured of each number of topics.

    The panels are perplexity, coherence and stability. The bars are one standard error to each side.

    Raises
    ------
    ValueError
        If there are no scores.
    """
    if not scores:
        raise ValueError("there are no scores to draw")
    with style():
        figure = StyledFigure(8.8, 2.8)
        for panel, name, title in zip(figure.subplots(1, 3), MEASURES, titles, strict=True):
            draw_topic_counts(panel, scores, name)
            panel.set_title(title, fontsize=9)
            panel.set_xlabel(xlabel)
    return figure


def draw_topic_counts(panel: Axes, scores: Sequence[TopicCountScore], name: str) -> None:
    """Draw one panel of :func:`plot_topic_counts`, that of one of :data:`MEASURES`."""
    ordered = sorted(scores, key=lambda score: score.n_topics)
    counts = [score.n_topics for score in ordered]
    panel.errorbar(
        counts,
        [getattr(score, name) for score in ordered],
        yerr=[getattr(score, f"{name}_error") for score in ordered],
        color=BLUE,
        marker="o",
        markersize=4.5,
        linestyle="none",
        capsize=3,
        linewidth=1.2,
    )
    if counts[-1] > 5 * counts[0]:
        panel.set_xscale("log")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.margins(x=0.12, y=0.15)


def plot_topic_similarity(
    similarity: ArrayLike,
    summaries: Sequence[TopicSummary],
    *,
    xlabel: str = "topic",
    ylabel: str = "topic",
    label: str = "similarity",
    has_names: bool = True,
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
    has_names
        Whether the rows have the labels of the topics beside their numbers.
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
            annot=bool(_LEAST_CELL * len(order) < 0.45 * _figure_of(ax).get_figwidth()),
            fmt=".2f",
            annot_kws={"fontsize": 8},
            linewidths=0 if many else 1,
            rasterized=many,
            xticklabels=[str(summaries[k].topic) for k in order],
            yticklabels=[
                f"{_shortened(summaries[k].label, 40)}  {summaries[k].topic}"
                if has_names
                else str(summaries[k].topic)
                for k in order
            ],
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
    n_columns: int = 3,
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
    figure.set_layout_engine("constrained", h_pad=ROW_GAP)
    grid = figure.subplots(n_rows, n_columns, sharex=sharex, sharey=sharex, squeeze=False)
    for spare in grid.flat[n_panels:]:
        spare.remove()
    panels = list(grid.flat[:n_panels])
    for lowest in panels[-n_columns:]:
        lowest.tick_params(labelbottom=True)
    return figure, panels


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
