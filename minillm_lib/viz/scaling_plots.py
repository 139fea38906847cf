"""Figures of notebook 13: a power law on three kinds of axes, a race between sizes, and its isoFLOP curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import numpy.typing as npt

from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import BLUE, GREEN, INK, ORANGE, PURPLE, StyledFigure, style

with optional_imports("report", "to draw figures"):
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

FloatArray = npt.NDArray[np.float64]
Racer = tuple[int, float, FloatArray, FloatArray]
"""Parameters, operations per token, tokens read, and the held-out losses then."""

_COLOURS = (ORANGE, GREEN, BLUE, PURPLE, INK)


_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def _power_of_ten(value: float, _: object = None) -> str:
    return "10" + str(round(math.log10(value))).translate(_RAISED)


def _in_powers_of_ten(axis: Axis) -> None:
    """Label a logarithmic axis in plain text, at the powers of ten only."""
    axis.set_major_formatter(FuncFormatter(_power_of_ten))
    axis.set_minor_formatter(NullFormatter())


def plot_power_law_axes(tokens: FloatArray, losses: FloatArray, floor: float) -> Figure:
    """Draw the same losses on linear axes, on logarithmic ones, and on logarithmic ones less their floor.

    Parameters
    ----------
    tokens
        In millions.
    """
    with style():
        figure = StyledFigure(10, 2.8)
        axes = figure.subplots(1, 3)
        for axis, values, scale, title in (
            (axes[0], losses, "linear", "linear: looks finished"),
            (axes[1], losses, "log", "logarithmic: still bent"),
            (axes[2], losses - floor, "log", "less E: a straight line"),
        ):
            axis.plot(tokens, values, ".-", color=BLUE)
            axis.set(xscale=scale, yscale=scale, xlabel="tokens (millions)", title=title)
            axis.set_yticks([2, 3, 4, 5] if values is losses else [0.5, 1, 2, 4])
            for side in (axis.xaxis, axis.yaxis):
                side.set_major_formatter("{x:g}")
                side.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel("loss (nats per token)")
        axes[2].set_ylabel("loss − E")
    return figure


def plot_race(race: Sequence[Racer]) -> Figure:
    """Draw the held-out losses of models by the tokens that they read, and by the operations that they spent.

    Models of one size, which differ in their seed, have one colour.
    """
    sizes = sorted({parameters for parameters, *_ in race})
    with style():
        figure = StyledFigure(9.5, 3.2)
        left, right = figure.subplots(1, 2, sharey=True)
        seen = set[int]()
        for parameters, cost, tokens, losses in race:
            colour = _COLOURS[sizes.index(parameters) % len(_COLOURS)]
            label = None if parameters in seen else f"{parameters:,} parameters"
            seen.add(parameters)
            left.plot(tokens, losses, ".-", color=colour, linewidth=1, label=label)
            right.plot(tokens * cost, losses, ".-", color=colour, linewidth=1)
        left.set(xscale="log", xlabel="tokens read", ylabel="held-out loss (nats per token)")
        right.set(xscale="log", xlabel="operations spent")
        for axis in (left.xaxis, right.xaxis):
            _in_powers_of_ten(axis)
        left.legend(fontsize=8)
    return figure


def isoflop_optimum(parameters: Sequence[int], losses: Sequence[float]) -> float:
    """Return the size at the lowest point of a parabola through losses by the logarithm of the size.

    Where it has no lowest point between the sizes, the nearest size is returned.
    """
    x = np.log(np.asarray(parameters, dtype=float))
    curve = np.polyfit(x, losses, 2)
    lowest = -curve[1] / (2 * curve[0]) if curve[0] > 0 else x[int(np.argmin(losses))]
    return float(np.exp(np.clip(lowest, x.min(), x.max())))


def plot_isoflop(parameters: Sequence[int], losses: Mapping[float, Sequence[float]]) -> Figure:
    """Draw isoFLOP curves: for each budget the losses by size, a parabola through them, and its lowest point.

    Parameters
    ----------
    parameters
        The size of each model.
    losses
        For each budget in operations, the loss of each model when it has spent it.
    """
    lowest = []
    grid = np.geomspace(min(parameters), max(parameters), 100)
    with style():
        figure = StyledFigure(6.5, 3.2)
        axis = figure.subplots()
        for (budget, values), colour in zip(losses.items(), cycle(_COLOURS), strict=False):
            curve = np.polyfit(np.log(np.asarray(parameters, dtype=float)), values, 2)
            optimum = isoflop_optimum(parameters, values)
            lowest.append((optimum, np.polyval(curve, np.log(optimum))))
            axis.plot(parameters, values, "o", color=colour, markersize=5)
            label = f"{budget / 1e9:g} billion operations"
            axis.plot(grid, np.polyval(curve, np.log(grid)), color=colour, linewidth=1, label=label)
        axis.plot(*np.array(lowest).T, "x--", color=INK, label="lowest points")
        axis.set(xscale="log", xlabel="parameters", ylabel="held-out loss\n(nats per token)")
        sizes = sorted(set(parameters))
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.legend(fontsize=8)
    return figure
