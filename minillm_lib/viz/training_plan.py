"""A figure of a planned run: its learning rate at each step, and when it evaluates and saves."""

from __future__ import annotations

from typing import get_args

from minillm_lib.io.optional import optional_imports
from minillm_lib.training.config import ScheduleConfig
from minillm_lib.training.planning import Plan
from minillm_lib.viz.style import BLUE, INK, StyledFigure, style

with optional_imports("report", "to draw figures"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

_MILLION = 1e6


def plot_plan(plan: Plan) -> Figure:
    """Draw the learning rate over the optimizer steps, and below it the steps that evaluate and those that save.

    The configured schedule is blue. Thin lines are the other schedules with the same settings. The upper axis counts
    tokens.
    """
    with style():
        figure = StyledFigure(8.0, 4.2)
        rate, events = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
        _draw_learning_rates(rate, plan)
        _draw_events(events, plan)
        per_step = plan.tokens_per_step / _MILLION
        tokens = rate.secondary_xaxis("top", (lambda step: step * per_step, lambda n: n / per_step))
        tokens.set_xlabel("tokens read (millions)")
    return figure


def _draw_learning_rates(ax: Axes, plan: Plan) -> None:
    steps, chosen = range(1, plan.config.train.steps + 1), plan.config.train.schedule.name
    faint = iter(("--", ":"))
    for name in get_args(ScheduleConfig.model_fields["name"].annotation):
        rates = plan.learning_rates(name)
        if name == chosen:
            ax.plot(steps, rates, color=BLUE, zorder=3, label=f"{name}, as configured")
        else:
            ax.plot(steps, rates, color=INK, linewidth=0.9, linestyle=next(faint), label=name)
    ax.legend(fontsize=8.5, loc="lower center", ncols=3)
    ax.set(ylabel="learning rate", ylim=(0, 1.08 * plan.config.train.optimizer.lr))


def _draw_events(ax: Axes, plan: Plan) -> None:
    steps, every = plan.config.train.steps, plan.config.checkpoint.every
    saved = [*range(every, steps, every), steps]
    for height, places in ((1, plan.evaluation_steps), (0, saved)):
        ax.plot(places, [height] * len(places), linestyle="", marker="|", color=INK, markersize=9)
    ax.set(xlabel="optimizer step", ylim=(-0.7, 1.7), yticks=[1, 0], yticklabels=["evaluates", "saves"])
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.grid(axis="y", visible=False)
