"""Figures of the decoder: its two kinds of feed-forward layer, where its parameters are, a block, and what it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import torch

from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import BLUE, GREEN, INK, ORANGE, PALE, StyledFigure, style

with optional_imports("report", "to draw figures"):
    from matplotlib.patches import Circle, FancyBboxPatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

_DARK = "#1f2933"  # text on pale boxes, in dark themes too
Point = tuple[float, float]


def plot_feed_forward_layers() -> Figure:
    """Draw the classic and the gated feed-forward layer beside each other, with the widths of their vectors."""
    with style():
        figure = StyledFigure(9, 2.9)
        classic, gated = figure.subplots(1, 2)
        _path(classic, [(0, 1), (1.25, 1), (2.75, 1), (4.25, 1), (5.4, 1)])
        _box(classic, (1.25, 1), "up", BLUE)
        _box(classic, (2.75, 1), "GELU", PALE)
        _box(classic, (4.25, 1), "down", BLUE)
        _path(gated, [(0, 1), (0.35, 1)], tip=False)
        for height, name in ((1.75, "gate"), (0.25, "up")):
            _path(gated, [(0.35, 1), (0.35, height), (1.25, height)])
            _box(gated, (1.25, height), name, BLUE)
        _path(gated, [(1.25, 1.75), (2.75, 1.75)])
        _box(gated, (2.75, 1.75), "SiLU", PALE)
        _path(gated, [(2.75, 1.75), (3.9, 1.75), (3.9, 1)])
        _path(gated, [(1.25, 0.25), (3.9, 0.25), (3.9, 1)])
        _path(gated, [(3.9, 1), (5, 1), (6.15, 1)])
        _sign(gated, (3.9, 1), "×")
        _box(gated, (5, 1), "down", BLUE)
        for axis, name, wide, end in (
            (classic, "classic: GELU", "h", 5.4),
            (gated, "gated: SwiGLU", "⅔ h", 6.15),
        ):
            axis.text(0, 1.14, "d", ha="center")
            axis.text(end, 1.14, "d", ha="center")
            axis.text(2, (1.14, 1.89)[axis is gated], wide, ha="center")
            if axis is gated:
                axis.text(2.75, 0.39, wide, ha="center")
            axis.set(xlim=(-0.3, 6.4), ylim=(-0.3, 2.4), title=name)
            axis.set_axis_off()
    return figure


def plot_census(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draw which share of a model's parameters is in which part: a bar for each model.

    Parameters
    ----------
    counts
        For each model the parameters of each part, by name. Parts that all models have, in the same order.
    """
    with style():
        figure = StyledFigure(8, 2.8)
        axis = figure.subplots()
        left = [0.0] * len(counts)
        for part, colour in zip(
            next(iter(counts.values())), cycle((PALE, BLUE, ORANGE, GREEN)), strict=False
        ):
            shares = [100 * parts[part] / sum(parts.values()) for parts in counts.values()]
            bars = axis.barh(list(counts), shares, left=left, color=colour, label=part)
            labels = [f"{share:.0f}%" if share > 1 else "" for share in shares]
            ink = "white" if colour == BLUE else _DARK
            axis.bar_label(bars, labels, label_type="center", fontsize=9, color=ink)
            left = [start + share for start, share in zip(left, shares, strict=True)]
        axis.set(xlabel="share of the parameters (%)", ylabel="preset", xlim=(0, 100))
        axis.invert_yaxis()
        figure.legend(*axis.get_legend_handles_labels(), ncols=4, loc="outside upper center")
    return figure


def plot_block() -> Figure:
    """Draw a block: the residual stream, and the two parts that read a normalised copy of it and add to it."""
    with style():
        figure = StyledFigure(8.5, 2.7)
        axis = figure.subplots()
        _path(axis, [(-0.4, 0), (10.4, 0)], width=2.6)
        for left, norm, part, colour in ((0.4, "norm₁", "attention", BLUE), (5.3, "norm₂", "SwiGLU", ORANGE)):
            _path(axis, [(left, 0), (left, 1.4), (left + 1.15, 1.4)])
            _path(axis, [(left + 1.15, 1.4), (left + 2.85, 1.4)])
            _path(axis, [(left + 2.85, 1.4), (left + 4.1, 1.4), (left + 4.1, 0.16)])
            _box(axis, (left + 1.15, 1.4), norm, PALE)
            _box(axis, (left + 2.85, 1.4), part, colour)
            axis.add_patch(Circle((left, 0), 0.07, color=INK, zorder=3))
            _sign(axis, (left + 4.1, 0), "+")
        axis.text(-0.4, -0.5, "from the block before")
        axis.text(10.4, -0.5, "to the next block", ha="right")
        axis.text(5, -0.5, "residual stream", ha="center")
        axis.set(xlim=(-0.5, 10.5), ylim=(-0.7, 2), aspect="equal")
        axis.set_axis_off()
    return figure


def plot_look_ahead(logits_of: Callable[[Tensor], Tensor], ids: Tensor) -> Figure:
    """Draw by how much a change of the token at each position changes the logits of each position.

    Parameters
    ----------
    logits_of
        A model: takes ids, ``(batch, seq)``, and returns logits, ``(batch, seq, vocab)``.
    ids
        A text, ``(1, seq)``.
    """
    seq = ids.shape[1]
    with torch.no_grad():
        before = logits_of(ids)
        changed = ids.repeat(seq, 1)
        changed[range(seq), range(seq)] = (changed[range(seq), range(seq)] + 1) % before.shape[-1]
        change = (logits_of(changed) - before).square().mean(dim=-1).sqrt()  # (changed at, seq)
    with style():
        figure = StyledFigure(4.8, 3.8)
        axis = figure.subplots()
        drawn = axis.imshow(change.cpu().numpy(), cmap="Blues", vmin=0)
        figure.colorbar(drawn, ax=axis, label="change of the logits (rms)")
        axis.set(xlabel="position whose logits are looked at", ylabel="position whose token is changed")
        axis.grid(visible=False)
    return figure


def _path(axis: Axes, points: list[Point], *, width: float = 1.2, tip: bool = True) -> None:
    """Draw a line through points, with an arrow's tip at its end."""
    axis.plot(*zip(*points, strict=True), color=INK, linewidth=width, solid_capstyle="butt", zorder=1)
    if tip:
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", points[-1], points[-2], arrowprops=arrow, zorder=1)


def _box(axis: Axes, centre: Point, name: str, colour: str) -> None:
    shape = FancyBboxPatch(
        (centre[0] - 0.5, centre[1] - 0.22), 1, 0.44, boxstyle="round,pad=0.0,rounding_size=0.1", zorder=3
    )
    shape.set(facecolor=colour, edgecolor=colour, linewidth=1)
    axis.add_patch(shape)
    ink = "white" if colour == BLUE else _DARK
    axis.text(*centre, name, ha="center", va="center", fontsize=9, color=ink, zorder=4)


def _sign(axis: Axes, centre: Point, sign: str) -> None:
    """Draw where two values are combined: a circle with the sign of the operation in it."""
    axis.plot(*centre, "o", markersize=15, markerfacecolor="white", markeredgecolor=INK, zorder=3)
    axis.text(*centre, sign, ha="center", va="center_baseline", fontsize=12, color=_DARK, zorder=4)
