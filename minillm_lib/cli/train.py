"""``minillm pretrain`` and ``minillm sft``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from minillm_lib.training.config import RunConfig
    from minillm_lib.training.run import RunResult
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from minillm_lib.training.planning import Plan

training_app = typer.Typer()
console = Console()

Config = TypeVar("Config", bound="RunConfig")

_ANY_KEY = {"allow_extra_args": True, "ignore_unknown_options": True}
_Config = Annotated[Path | None, typer.Option("--config", help="A YAML file; the configs/ folder has some.")]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on from the run's last checkpoint; without --config, as the run was configured."
    ),
]
_Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Remove the run that is in the folder, and begin anew.")
]
_ShowConfig = Annotated[
    bool, typer.Option("--show-config", help="Print every key with its value, as YAML, and stop.")
]
_EPILOG = (
    "Any key of the configuration is an option too: --run runs/mine --train.steps 200 --train.lr 3e-4. "
    "The sections are {sections}; --show-config prints all keys, defaults included.\n\n"
    "Ctrl-C finishes the step and saves; a run that was stopped or killed goes on with the same command "
    "and --resume.\n\n"
    "On several processes: torchrun --nproc_per_node 2 -m minillm_lib.cli.main {command} …"
)


@training_app.command(
    context_settings=_ANY_KEY,
    epilog=_EPILOG.format(
        command="pretrain",
        sections="model, data, train (in it train.optimizer and train.schedule), evaluation, checkpoint and log",
    ),
)
def pretrain(
    context: typer.Context,
    config: _Config = None,
    ckpt: Annotated[
        Path | None,
        typer.Option("--ckpt", help="A model to train further; by default it starts from nothing."),
    ] = None,
    resume: _Resume = False,
    overwrite: _Overwrite = False,
    show_config: _ShowConfig = False,
) -> None:
    """Train a model to continue text."""
    from minillm_lib.training.config import PretrainConfig

    loaded = _loaded(PretrainConfig, config, context, resume, show_config, ckpt)
    from minillm_lib.training.stages import pretrain

    _finish(pretrain(loaded, resume=resume, overwrite=overwrite), 'generate "The"')


@training_app.command(
    context_settings=_ANY_KEY,
    epilog=_EPILOG.format(
        command="sft",
        sections="data, train (in it train.optimizer and train.schedule), evaluation, checkpoint and log",
    ),
)
def sft(
    context: typer.Context,
    config: _Config = None,
    ckpt: Annotated[Path | None, typer.Option("--ckpt", help="The pretrained model.")] = None,
    resume: _Resume = False,
    overwrite: _Overwrite = False,
    show_config: _ShowConfig = False,
) -> None:
    """Teach a pretrained model to answer."""
    from minillm_lib.training.config import SFTConfig

    loaded = _loaded(SFTConfig, config, context, resume, show_config, ckpt)
    from minillm_lib.training.stages import sft

    _finish(sft(loaded, resume=resume, overwrite=overwrite), "chat")


def _loaded(
    kind: type[Config],
    path: Path | None,
    context: typer.Context,
    resume: bool,
    show: bool,
    ckpt: Path | None,
) -> Config:
    """The configuration of the command line; if it is only to be shown, the command ends here."""
    from minillm_lib.training.config import load_config, parse_overrides

    overrides = parse_overrides(context.args) | ({} if ckpt is None else {"ckpt": str(ckpt)})
    if resume and path is None:
        own = Path(overrides.get("run", kind.model_fields["run"].default)) / "config.yaml"
        path = own if own.is_file() else None
    loaded = load_config(kind, path, overrides)
    if show:
        import yaml

        typer.echo(yaml.safe_dump(loaded.as_json(), sort_keys=False, allow_unicode=True), nl=False)
        raise typer.Exit
    return loaded


def _finish(result: RunResult, use: str) -> None:
    """Say what came of a run; one that was stopped ends like an interrupted program."""
    is_first = os.environ.get("RANK", "0") == "0"
    if is_first and result.is_finished:
        best = result.best
        for line in (
            f"held-out perplexity {best['perplexity']:,.2f} ({best['bits_per_byte']:.3f} bits a byte) "
            f"at step {best['step']}; the model: {result.output}",
            f"try it: minillm {use} --ckpt {result.output}",
        ):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    status = 130 if is_first and not result.is_finished else 0
    if "RANK" in os.environ:
        # Gloo's threads now and then abort a process whose interpreter ends before they do (pytorch/pytorch#179291).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise typer.Exit(status)


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
    from minillm_lib.training.planning import plan
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
