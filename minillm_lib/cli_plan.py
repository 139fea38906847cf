"""``minillm plan``: what a training run will do and cost, before it is started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from minillm_lib.training.plan import Plan

plan_app = typer.Typer()
console = Console()

_LEVELS = " ▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 60


@plan_app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def plan(
    context: typer.Context,
    config: Annotated[Path, typer.Option("--config", help="The YAML file of a pretraining or SFT run.")],
    figure: Annotated[
        Path | None, typer.Option(help="Where the figure goes; by default beside the run's folder.")
    ] = None,
) -> None:
    """Steps, tokens, learning rate, time, memory and disk of a run, before it is started.

    Some micro-steps of the real model are timed on this machine. Keys are overridden as for the run itself:
    --train.lr 3e-4.
    """
    from minillm_lib.training.config import kind_of_config, load_config, parse_overrides

    loaded = load_config(kind_of_config(config), config, parse_overrides(context.args))
    from minillm_lib.training.plan import plan
    from minillm_lib.viz.training_plan import plot_plan

    path = figure or loaded.run.with_name(f"{loaded.run.name}-plan.png")
    _check_figure(path)
    with console.status("timing some steps of the model …"):
        found = plan(loaded)
    table = Table(show_header=False, box=None, title=f"{loaded.stage}: {loaded.run}", title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    for name, value in rows(found):
        table.add_row(name, value)
    console.print(table, highlight=False)
    for warning in found.warnings:
        console.print(f"[yellow]{warning}[/yellow]", highlight=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plot_plan(found).savefig(path, dpi=130)
    console.print(f"the learning rate as a figure: [bold]{path}[/bold]", highlight=False)


def rows(plan: Plan) -> Iterator[tuple[str, str]]:
    """What is shown of a plan, line by line."""
    train, cost = plan.config.train, plan.cost
    rates = plan.learning_rates()
    yield "model", f"{plan.model.n_parameters:,} parameters"
    yield "batch", f"{train.batch_size} rows of {plan.seq_len} tokens: {plan.tokens_per_step:,} a step"
    yield "micro-batch", f"{train.rows_at_a_time(plan.seq_len)} rows at a time"
    yield "steps", f"{train.steps:,}, evaluated after {len(plan.evaluation_steps)} of them"
    yield "tokens", f"{plan.tokens:,}"
    if plan.epochs is None or plan.tokens_per_epoch is None:
        yield "epochs", "unknown until the text is prepared, which the run itself begins with"
    else:
        yield "epochs", f"{plan.epochs:.2f} of {plan.tokens_per_epoch:,} tokens"
    yield "optimizer", f"{train.optimizer.name}, weight decay {train.optimizer.weight_decay:g} on matrices"
    yield "learning rate", f"{train.schedule.name}: up to {max(rates):.3g}, at the end {rates[-1]:.3g}"
    yield "", sparkline(rates, _CURVE_WIDTH)
    yield "FLOPs", f"{_metric(plan.flops_per_token)} a token, {_metric(plan.flops)} in all"
    yield "device", f"{plan.device}, {plan.precision}, {_metric(cost.matmul_flops)}/s in matrix products"
    yield (
        "a step",
        (
            f"{_duration(cost.step_seconds)}: {plan.tokens_per_step / cost.step_seconds:,.0f} tokens/s, "
            f"{_metric(plan.mfu * cost.matmul_flops)}/s, MFU {plan.mfu:.0%}"
        ),
    )
    yield "time", f"{_duration(plan.seconds)}, evaluations included"
    yield "memory", f"{cost.memory_bytes / 2**30:.2f} GiB above the libraries'"
    free = shutil.disk_usage(_nearest_folder(plan.config.run)).free
    yield (
        "disk",
        (
            f"{plan.disk_bytes / 2**30:.2f} GiB, a checkpoint {cost.checkpoint_bytes / 2**30:.2f}; "
            f"{free / 2**30:,.1f} GiB are free"
        ),
    )


def sparkline(values: Sequence[float], width: int) -> str:
    """A curve as a line of blocks whose heights go from 0 to the highest value.

    >>> sparkline([0, 1, 2, 3, 4], 5)
    ' ▂▄▆█'
    """
    width, highest = min(width, len(values)), max(values) or 1.0
    chosen = [values[i * (len(values) - 1) // max(width - 1, 1)] for i in range(width)]
    return "".join(_LEVELS[round(value / highest * (len(_LEVELS) - 1))] for value in chosen)


def _metric(flops: float) -> str:
    """A number of floating-point operations in the largest unit that leaves at least one before the point."""
    for unit in ("", "K", "M", "G", "T", "P"):
        if flops < 1000:
            return f"{flops:.3g} {unit}FLOP"
        flops /= 1000
    return f"{flops:.3g} EFLOP"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _nearest_folder(path: Path) -> Path:
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.is_dir())


def _check_figure(path: Path) -> None:
    """See that the figure can be drawn there, before anything is timed."""
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise ValueError(
            f"--figure {path}: its name must end with one of {', '.join('.' + each for each in known)}"
        )
    if path.is_dir():
        raise ValueError(f"--figure {path} is a folder; give the name of a file")
