"""Figures of training runs: losses, learning rate, gradient norms and speed.

Every function takes runs as folders, as results of ``pretrain`` and ``sft``, or as records. It returns a figure that is
unknown to pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, Literal

import numpy as np

from minillm_lib.analysis.scaling_law import ScalingLaw
from minillm_lib.io.optional import optional_imports
from minillm_lib.training.run import FloatArray, RunResult, RunSource, smoothed
from minillm_lib.viz.style import BLUE, INK, PALETTE, VERMILLION, StyledFigure, axes_for, style

with optional_imports("report", "to draw figures"):
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import (
        FuncFormatter,
        Locator,
        LogFormatter,
        MaxNLocator,
        NullFormatter,
        PercentFormatter,
    )

XAxis = Literal["tokens", "steps"]
_MOST_BLOCKS_NAMED = 6
# not joined: between two evaluations nothing was measured
_DOTS: Mapping[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "none"}
_DASHES = (":", "--", "-.", (0, (1, 3)), (0, (6, 3)), (0, (4, 2, 1, 2, 1, 2)))


def plot_losses(
    *runs: RunSource,
    baselines: Mapping[str, float] | None = None,
    x: XAxis = "tokens",
    ax: Axes | None = None,
) -> Figure:
    """Draw the loss of one or several runs in nats per token, with perplexity on the right.

    The faint line is the loss of each batch, the solid line its trend, and the dots are the loss on held-out text. The
    legend stands above the axes, where no curve can cross it.

    Parameters
    ----------
    baselines
        Losses to compare with, by name, such as those of :func:`~minillm_lib.analysis.baselines.count_baselines` or
        the entropy of a grammar. Each is a broken line.
    x
        Draw over ``"tokens"`` or ``"steps"``.
    ax
        Axes to draw on; None for a new figure.

    Raises
    ------
    ValueError
        If no run is given, a run has neither steps nor evaluations, or ``x`` is not allowed.
    """
    every = _metrics(runs)
    with style():
        ax = axes_for(ax, 7.0, 4.2)
        for metrics, colour in zip(every, cycle(PALETTE), strict=False):
            _draw_loss(ax, metrics, colour, x, is_alone=len(every) == 1)
        if len(every) > 1 and any(metrics.evaluations for metrics in every):
            ax.plot([], [], color=INK, label="held-out", **_DOTS)
        for (name, loss), dashes in zip((baselines or {}).items(), cycle(_DASHES), strict=False):
            _draw_baseline(ax, name, loss, dashes)
        ax.set(ylabel="loss (nats per token)")
        _label_x(ax, x)
        _legend_above(ax)
        _add_perplexity(ax)
    return _figure_of(ax)


def _draw_loss(ax: Axes, metrics: RunResult, colour: str, x: XAxis, *, is_alone: bool) -> None:
    loss, held_out = metrics.values("loss"), metrics.series("loss", "evaluation")[1]
    if not len(loss) and not len(held_out):
        raise ValueError(f"{metrics.name} has neither a step nor an evaluation to draw")
    _draw_trend(ax, _places(metrics.steps, x), loss, colour, label="training" if is_alone else metrics.name)
    if len(held_out):
        ax.plot(
            _places(metrics.evaluations, x),
            held_out,
            color=VERMILLION if is_alone else colour,
            label="held-out" if is_alone else None,
            zorder=4,
            **_DOTS,
        )


def _draw_trend(
    ax: Axes, places: FloatArray, values: FloatArray, colour: str, label: str | None = None
) -> None:
    """Draw values as a faint line, and as a solid line their moving average without single outliers."""
    ax.plot(places, values, color=colour, alpha=0.25, linewidth=0.7, zorder=2)
    medians = pd.Series(values).rolling(5, center=True, min_periods=1).median().to_numpy()
    ax.plot(places, smoothed(medians), color=colour, label=label, zorder=3)


def _draw_baseline(ax: Axes, name: str, loss: float, dashes: Any = ":") -> None:
    ax.axhline(loss, color=INK, linestyle=dashes, linewidth=1.2, zorder=1.5, label=name)


def _legend_above(ax: Axes) -> None:
    """Put the legend above the axes, where it covers nothing, in as many columns as fit."""
    _, labels = ax.get_legend_handles_labels()
    inches = _figure_of(ax).get_figwidth() * ax.get_position().width
    fitting = int(14 * inches / (6 + max(map(len, labels), default=0)))
    ax.legend(
        fontsize=8.5,
        ncols=max(1, min(fitting, len(labels))),
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        borderaxespad=0.2,
        columnspacing=1.2,
        handlelength=1.8,
    )


def plot_learning_rate(*runs: RunSource, x: XAxis = "tokens", ax: Axes | None = None) -> Figure:
    """Draw the learning rate of each step.

    Raises
    ------
    ValueError
        If no run is given, or ``x`` is not allowed.
    """
    every = _metrics(runs)
    with style():
        ax = axes_for(ax, 6.0, 3.6)
        for metrics, colour in zip(every, cycle(PALETTE), strict=False):
            ax.plot(_places(metrics.steps, x), metrics.values("lr"), color=colour, label=metrics.name)
        ax.set(ylabel="learning rate")
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _label_x(ax, x)
        if len(every) > 1:
            _legend_above(ax)
    return _figure_of(ax)


def plot_gradient_norms(run: RunSource, *, x: XAxis = "tokens", ax: Axes | None = None) -> Figure:
    """Draw the norm of the gradient before clipping, and the norm of each block if it was recorded.

    The lines of the blocks go from pale (the first) to dark (the last). The dotted line is the norm to which larger
    gradients are clipped.
    """
    metrics = RunResult.of(run)
    with style():
        ax = axes_for(ax, 6.0, 3.6)
        places, norms = _places(metrics.steps, x), metrics.values("grad_norm")
        _draw_trend(ax, places, norms, BLUE, label="all weights")
        _draw_blocks(ax, metrics, x)
        limit = metrics.setting("train", "clip_norm")
        if limit is not None:
            ax.axhline(limit, color=INK, linestyle=":", linewidth=1.2, label=f"clipped to {limit:g}")
        ax.set(yscale="log", ylabel="gradient norm")
        ax.yaxis.set_major_formatter(_PlainLogFormatter())
        ax.yaxis.set_minor_formatter(_PlainLogFormatter(minor_thresholds=(1, 0.4)))
        _label_x(ax, x)
        _legend_above(ax)
    return _figure_of(ax)


def _draw_blocks(ax: Axes, metrics: RunResult, x: XAxis) -> None:
    recorded = [record for record in metrics.steps if "layer_grad_norms" in record]
    if not recorded:
        return
    places = _places(recorded, x)
    norms = np.array([record["layer_grad_norms"] for record in recorded], dtype=np.float64)
    n_blocks = norms.shape[1]
    for block, shade in enumerate(np.linspace(0.25, 0.9, n_blocks)):
        colour = (0.84 * shade + 0.96 * (1 - shade), 0.37 * shade + 0.85 * (1 - shade), 0.72 * (1 - shade))
        is_named = n_blocks <= _MOST_BLOCKS_NAMED or block in (0, n_blocks - 1)
        label = f"block {block}" if is_named else None
        ax.plot(places, norms[:, block], color=colour, linewidth=1.0, marker=".", markersize=3, label=label)


def plot_throughput(run: RunSource, *, x: XAxis = "tokens", ax: Axes | None = None) -> Figure:
    """Draw the number of training tokens per second, with model FLOPs utilisation (MFU) on the right.

    MFU is the speed of the model's own matrix products as a share of the measured speed of a matrix product.
    """
    metrics = RunResult.of(run)
    with style():
        ax = axes_for(ax, 6.0, 3.6)
        _draw_trend(ax, _places(metrics.steps, x), metrics.values("tokens_per_second"), BLUE)
        ax.set(ylabel="tokens/s")
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        _label_x(ax, x)
        shares = metrics.values("mfu") / metrics.values("tokens_per_second")
        if metrics.start.get("matmul_flops") and np.isfinite(shares).any():
            # In fine-tuning, the head's part differs from step to step, so the axis is that of a usual step.
            share: Any = np.nanmedian(shares)
            right = ax.secondary_yaxis(
                "right", functions=(lambda speed: speed * share, lambda mfu: mfu / share)
            )
            right.set_ylabel("MFU")
            right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return _figure_of(ax)


def training_overview(
    run: RunSource, *, baselines: Mapping[str, float] | None = None, x: XAxis = "tokens"
) -> Figure:
    """Draw the losses, learning rate, gradient norms and speed of a run in one figure."""
    metrics = RunResult.of(run)
    with style():
        figure = StyledFigure(11.0, 7.0)
        panels = figure.subplots(2, 2)
        plot_losses(metrics, baselines=baselines, x=x, ax=panels[0, 0])
        plot_learning_rate(metrics, x=x, ax=panels[0, 1])
        plot_gradient_norms(metrics, x=x, ax=panels[1, 0])
        plot_throughput(metrics, x=x, ax=panels[1, 1])
    return figure


def plot_scaling_law(law: ScalingLaw, *, target: float | None = None, ax: Axes | None = None) -> Figure:
    """Draw a fitted law with its 90 % interval, the evaluations that it was fitted to, and its extrapolation.

    Parameters
    ----------
    target
        A loss in nats per token, drawn as a dotted line. The curve continues to the point where it reaches the loss,
        but at most to a hundred times the tokens read. None for no line.
    ax
        Axes to draw on; None for a new figure.
    """
    tokens, loss, _, (end_tokens, end_loss) = law.points
    farthest = 3 * tokens[-1]
    if target is not None:
        farthest = max(farthest, min(1.5 * law.tokens_to_reach(target), 100 * tokens[-1]))
    places = np.geomspace(tokens[0], farthest, 200)
    with style():
        ax = axes_for(ax, 7.0, 4.0)
        low, high = law.loss_interval(places)
        ax.fill_between(places, low, high, color=BLUE, alpha=0.15, linewidth=0)
        is_measured = places <= tokens[-1]
        ax.plot(places[is_measured], law.loss(places[is_measured]), color=BLUE, label="fitted law")
        ax.plot(places[~is_measured], law.loss(places[~is_measured]), color=BLUE, linestyle="--")
        ax.plot(tokens, loss, "o", color=VERMILLION, markersize=3.5, label="held-out")
        if end_tokens > tokens[-1]:
            ax.plot(end_tokens, end_loss, "D", color=INK, markersize=4.5, label="end of the run")
        if target is not None:
            _draw_baseline(ax, f"perplexity {math.exp(target):.3g}", target)
        ax.set(xscale="log", xlabel="tokens read", ylabel="loss (nats per token)")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _count(value)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        _legend_above(ax)
        _add_perplexity(ax)
    return _figure_of(ax)


class _PerplexityLocator(Locator):
    """Ticks at the losses of round perplexities: 1, 2 and 5 times each power of ten."""

    def __call__(self) -> list[float]:
        assert self.axis is not None
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        low, high = sorted((vmin, vmax))
        step = 1 if high - low < 8 else math.ceil((high - low) / 16)
        factors = (1, 2, 5) if step == 1 else (1,)
        decades = range(
            step * math.floor(low / math.log(10) / step), math.ceil(high / math.log(10)) + 1, step
        )
        ticks = (decade * math.log(10) + math.log(factor) for decade in decades for factor in factors)
        shown = [tick for tick in ticks if low <= tick <= high and tick > -1e-9]
        return shown if len(shown) > 1 else self._even_ticks(low, high)

    def _even_ticks(self, low: float, high: float) -> list[float]:
        """Divide a range within which there is no round perplexity."""
        perplexities = MaxNLocator(4).tick_values(math.exp(min(low, 700)), math.exp(min(high, 700)))
        return [math.log(value) for value in perplexities if value > 0 and low <= math.log(value) <= high]


class _PlainLogFormatter(LogFormatter):
    """Label the ticks that matplotlib would label, but as 0.1 rather than as powers of ten."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def _add_perplexity(ax: Axes) -> None:
    right = ax.secondary_yaxis("right")
    right.set_ylabel("perplexity")
    right.yaxis.set_major_locator(_PerplexityLocator())
    right.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: _short_number(math.exp(min(loss, 700)))))


def _short_number(value: float) -> str:
    return f"{value:.0e}" if value >= 1e6 else f"{value:,.4g}" if value >= 10 else f"{value:.3g}"


def _metrics(runs: Sequence[RunSource]) -> list[RunResult]:
    if not runs:
        raise ValueError("there is no run to draw")
    return [RunResult.of(run) for run in runs]


def _places(records: Sequence[Mapping[str, Any]], x: XAxis) -> FloatArray:
    if x not in ("tokens", "steps"):
        raise ValueError(f"x is {x!r}; allowed values: 'tokens', 'steps'")
    return np.array([record["tokens" if x == "tokens" else "step"] for record in records], dtype=np.float64)


def _label_x(ax: Axes, x: XAxis) -> None:
    ax.set_xlabel("tokens read" if x == "tokens" else "step")
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _count(value)))


def _count(value: float) -> str:
    """Format a number of tokens or steps for an axis: 250, 40 k, 1.5 M."""
    for unit, size, least in (("G", 1e9, 1e9), ("M", 1e6, 1e6), ("k", 1e3, 1e4)):
        if abs(value) >= least:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _figure_of(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
