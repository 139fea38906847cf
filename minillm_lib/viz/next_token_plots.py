"""Figures of a distribution over the next token, and of what the sampling rules make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minillm_lib.viz.style import BLUE, INK, PALE, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


_ON_CELLS = "#101418"  # dark on the pale cells of the table, in dark themes too


def plot_next_token(
    before: ArrayLike, after: ArrayLike, pieces: Sequence[str], *, n: int = 14, ax: Axes | None = None
) -> Axes:
    """Draw the likeliest tokens as bars: outlined what a model says, filled what the sampling rules make of it.

    Parameters
    ----------
    before, after
        Probabilities, ``(vocab,)``.
    pieces
        The pieces of the vocabulary.
    n
        How many tokens to draw.
    """
    ax = axes_for(ax, 7, 3.2)
    was, now = np.asarray(before, float), np.asarray(after, float)
    shown = np.argsort(-was, kind="stable")[:n]
    ax.bar(range(len(shown)), now[shown], color=BLUE)
    ax.bar(range(len(shown)), was[shown], color="none", edgecolor=INK, linewidth=0.8)
    ax.set_xticks(range(len(shown)), [_label(pieces[token]) for token in shown], rotation=90)
    ax.grid(visible=False, axis="x")
    n_left = int((now > 0).sum())
    entropy = -float((now[now > 0] * np.log(now[now > 0])).sum())
    ax.set_title(f"{n_left:,} token{'s' * (n_left != 1)} left, entropy {entropy:.2f} nats", loc="left")
    ax.set(xlabel="token", ylabel="probability", ylim=(0, 1))
    return ax


def plot_sampling_rules(
    by_rule: Mapping[str, ArrayLike], pieces: Sequence[str], *, n: int = 10, ax: Axes | None = None
) -> Axes:
    """Draw a table: a line per token, a column per sampling rule, probabilities in per cent as numbers and shades.

    A dash stands for a token that a rule has cut off. The last line counts the tokens that are left.

    Parameters
    ----------
    by_rule
        Probabilities, ``(vocab,)``, by the name of the rule. The first ones decide the order of the tokens.
    pieces
        The pieces of the vocabulary.
    n
        How many tokens to draw.
    """
    ax = axes_for(ax, 5, 4.4)
    columns = np.array([np.asarray(each, float) for each in by_rule.values()])  # (rules, vocab)
    shown = np.argsort(-columns[0], kind="stable")[:n]
    table = columns[:, shown].T  # (tokens, rules)
    ax.pcolormesh(table, cmap="Blues", vmin=0, vmax=2.2, edgecolors="white", linewidth=1)
    for (line, column), probability in np.ndenumerate(table):
        ax.text(
            column + 0.5, line + 0.5, _per_cent(probability), ha="center", va="center", fontsize=9, color=INK
        )
    for column, n_left in enumerate((columns > 0).sum(axis=1)):
        ax.text(column + 0.5, len(shown) + 0.5, f"{n_left:,}", ha="center", va="center", fontsize=9)
    ax.axhline(len(shown), color=PALE)
    names = [_label(pieces[token]) for token in shown]
    ax.set_yticks(np.arange(len(shown) + 1) + 0.5, [*names, "tokens left"])
    ax.set_xticks(np.arange(len(columns)) + 0.5, [name.replace(" ", "\n", 1) for name in by_rule])
    ax.set(xlabel="rule", ylabel="next token", ylim=(len(shown) + 1, 0))
    ax.grid(visible=False)
    ax.tick_params(length=0)
    return ax


def _label(piece: str) -> str:
    return piece.replace("▁", "␣").replace("\n", "↵")


def _per_cent(probability: float) -> str:
    if probability == 0:
        return "–"
    return f"{100 * probability:.0f}" if probability >= 0.005 else "<1"
