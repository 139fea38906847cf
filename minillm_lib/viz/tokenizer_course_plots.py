"""Figures of notebook 04: how words grow by merges, the vocabulary with them, and what a text costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import BLUE, GREEN, INK, ORANGE, PALE, StyledFigure, style

with optional_imports("report", "to draw figures"):
    from matplotlib.figure import Figure

Words = Mapping[tuple[str, ...], int]

_ON_CELLS = "#101418"  # dark on the pale cells, in dark themes too


def plot_growing_words(
    states: Sequence[Words],
    shown: Sequence[str],
    moments: Sequence[int] = (0, 6, 12, 24, 48, 96, 150, 212),
) -> Figure:
    """Draw words in pieces after so many merges: a panel for each word, a bar for each moment.

    Parameters
    ----------
    states
        The words in pieces, before the first merge and after each, always in the same order.
    shown
        The words to draw.
    moments
        Numbers of merges.
    """
    words = ["".join(pieces) for pieces in states[0]]
    with style():
        figure = StyledFigure(9.5, 3.4)
        axes = figure.subplots(1, len(shown), sharey=True)
        for axis, word in zip(axes, shown, strict=True):
            for line, moment in enumerate(moments):
                left = 0
                for piece in list(states[moment])[words.index(word)]:
                    merged = len(piece) > 1
                    axis.barh(line, len(piece) - 0.12, left=left, height=0.75, color=BLUE if merged else PALE)
                    ink = "white" if merged else _ON_CELLS
                    middle = left + len(piece) / 2 - 0.06
                    axis.text(middle, line, piece, ha="center", va="center", fontsize=8, color=ink)
                    left += len(piece)
            axis.set(title=word, xlabel="characters", xticks=range(0, len(word) + 1, 3))
            axis.grid(visible=False)
        axes[0].set(ylabel="merges learned", yticks=range(len(moments)), yticklabels=moments)
        axes[0].invert_yaxis()
    return figure


def plot_vocabulary_growth(
    states: Sequence[Words], merges: Sequence[tuple[str, str]], named: Sequence[int]
) -> Figure:
    """Draw the number of tokens of the text against the size of the vocabulary.

    Parameters
    ----------
    states
        The words in pieces, before the first merge and after each.
    merges
        The merges, first learned first.
    named
        Numbers of merges to be marked with a dot and the piece that they make, counted from 0.
    """
    n_tokens = [sum(len(pieces) * count for pieces, count in state.items()) for state in states]
    n_characters = len({piece for pieces in states[0] for piece in pieces})
    with style():
        figure = StyledFigure(7, 3.3)
        axis = figure.subplots()
        sizes = [n_characters + n for n in range(len(states))]
        axis.plot(sizes, n_tokens, color=BLUE, label="the page in pieces")
        axis.axhline(
            sum(states[0].values()), color=ORANGE, linestyle="--", linewidth=1.2, label="every word one piece"
        )
        line = {"arrowstyle": "-", "color": INK, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3}
        for number in named:
            point = sizes[number + 1], n_tokens[number + 1]
            axis.plot(*point, "o", color=BLUE, markersize=4)
            axis.annotate("".join(merges[number]), point, (22, 14), textcoords="offset points", fontsize=9,
                          ha="left", va="center", arrowprops=line)  # fmt: skip
        axis.set(xlabel="size of the vocabulary (pieces)", ylabel="tokens of the page", ylim=(0, None))
        axis.legend(loc="upper right")
    return figure


def plot_compression(compression: Mapping[str, Mapping[tuple[str, int], float]]) -> Figure:
    """Draw bytes per token against the size of the vocabulary: a panel for each language of the text.

    Parameters
    ----------
    compression
        By the language of the text, then by what a tokenizer was trained on and the size of its vocabulary.
    """
    with style():
        figure = StyledFigure(9, 3.2)
        axes = figure.subplots(1, len(compression), sharey=True)
        for axis, (language, values) in zip(axes, compression.items(), strict=True):
            names = dict.fromkeys(name for name, _ in values)
            for name, colour in zip(names, cycle((BLUE, ORANGE, GREEN)), strict=False):
                curve = {size: value for (trained_on, size), value in values.items() if trained_on == name}
                axis.plot(curve.keys(), curve.values(), marker="o", markersize=4, color=colour, label=name)
            axis.set(title=f"{language} text", xscale="log", xlabel="size of the vocabulary", ylim=(0, 4.2))
            axis.set_xticks(list(curve), [f"{size:,}" for size in curve])
            axis.minorticks_off()
        axes[0].set_ylabel("bytes per token, held-out text")
        axes[-1].legend(title="tokenizer trained on")
    return figure
