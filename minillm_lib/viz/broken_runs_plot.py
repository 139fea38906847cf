"""Training runs with a bug each, beside a healthy one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minillm_lib.viz.style import BLUE, INK, ORANGE, PURPLE, ROW_GAP, StyledFigure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4
_CUT = 1.6  # losses are drawn up to so many times the first loss of an untrained model
_NORM_RANGE = (0.01, 60)


def plot_broken_runs(
    runs: Mapping[str, Mapping[str, Any]], healthy: Mapping[str, Any], *, floor: float, start: float
) -> Figure:
    """Draw the loss of each run, and under it the length of its gradient, both beside those of the healthy run.

    Parameters
    ----------
    runs
        By name: ``losses`` and ``norms`` of all steps, and the loss on ``held_out`` text at the end.
    floor
        The lowest loss that a model can have.
    start
        The loss of a model that knows nothing.
    """
    lines = -(-len(runs) // _COLUMNS)
    with style():
        figure = StyledFigure(9.4, 3.7 * lines)
        figure.set_layout_engine("constrained", h_pad=ROW_GAP)
        grid = figure.subplots(
            2 * lines, _COLUMNS, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [2, 1] * lines}
        )
        for number, (name, run) in enumerate(runs.items()):
            line, column = divmod(number, _COLUMNS)
            _draw_loss(grid[2 * line, column], run, healthy, start)
            grid[2 * line, column].axhline(floor, color=INK, linestyle=":", linewidth=1)
            grid[2 * line, column].set_title(name)
            _draw_norm(grid[2 * line + 1, column], run, healthy)
        for line in range(lines):
            for row, label in (
                (grid[2 * line], "loss\n(nats per token)"),
                (grid[2 * line + 1], "length of the\ngradient"),
            ):
                row[0].set_ylabel(label)
                for axis in row[1:]:
                    axis.tick_params(labelleft=False)
        for axis in grid[-1]:
            axis.set_xlabel("step")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, ncols=4, loc="outside upper center")
    return figure


def _draw_loss(axis: Axes, run: Mapping[str, Any], healthy: Mapping[str, Any], start: float) -> None:
    top = _CUT * start
    for one, colour, name in ((healthy, BLUE, "healthy"), (run, ORANGE, "broken")):
        axis.plot(np.minimum(one["losses"], top), color=colour, linewidth=1.4, label=name)
    end = len(run["losses"])
    axis.plot(end, min(healthy["held_out"], top), "o", color=BLUE, markersize=5, label="healthy, held-out")
    axis.plot(end, min(run["held_out"], top), "o", color=PURPLE, markersize=5, label="broken, held-out")
    axis.set_ylim(-0.03 * top, 1.03 * top)


def _draw_norm(axis: Axes, run: Mapping[str, Any], healthy: Mapping[str, Any]) -> None:
    for one, colour in ((healthy, BLUE), (run, ORANGE)):
        axis.plot(np.clip(one["norms"], *_NORM_RANGE), color=colour, linewidth=1)
    axis.set(yscale="log", ylim=_NORM_RANGE)
    axis.set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    axis.minorticks_off()
