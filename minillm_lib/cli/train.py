"""``minillm pretrain``, ``sft`` and ``plan``: training runs, and what one will cost."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from minillm_lib.cli.options import OVERRIDES, NoVerify, console, say, show_warnings_plainly
from minillm_lib.io.atomic_write import open_atomically
from minillm_lib.io.terminal import data_output, styled
from minillm_lib.io.wording import duration, flop

if TYPE_CHECKING:
    from minillm_lib.training.config import RunConfig
    from minillm_lib.training.planning import Plan
    from minillm_lib.training.run import RunResult

train_app = typer.Typer()

Config = TypeVar("Config", bound="RunConfig")

_Config = Annotated[Path | None, typer.Option("--config", help="A YAML file, such as those in configs/.")]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Resume from the run's last checkpoint; without --config, with the configuration it began with.",
    ),
]
_Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Remove the run that is in the folder, and start again.")
]
_ShowConfig = Annotated[
    bool, typer.Option("--show-config", help="Print every key with its value, as YAML, and exit.")
]
_EPILOG = (
    "Any key of the configuration is an option too: --run runs/mine --train.steps 200 --train.lr 3e-4. All keys are "
    "listed below.\n\n"
    "Ctrl-C finishes the step and saves; a run that was stopped or killed resumes with the same command and "
    "--resume.\n\n"
    "In several processes: torchrun --nproc_per_node 2 -m minillm_lib {command} …, where --run is called --run_folder."
)
_SPARK_LEVELS = " ▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 60


class _PretrainCommand(TyperCommand):
    """A command whose help also lists the keys of its configuration."""

    stage: ClassVar[str] = "pretrain"

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        print_keys(self.stage)


class _SFTCommand(_PretrainCommand):
    stage = "sft"


@train_app.command(
    cls=_PretrainCommand, context_settings=OVERRIDES, epilog=_EPILOG.format(command="pretrain")
)
def pretrain(
    context: typer.Context,
    config: _Config = None,
    ckpt: Annotated[
        Path | None,
        typer.Option("--ckpt", help="A model to train further; by default it starts from random weights."),
    ] = None,
    no_verify: NoVerify = False,
    resume: _Resume = False,
    overwrite: _Overwrite = False,
    show_config: _ShowConfig = False,
) -> None:
    """Train a model to continue text."""
    from minillm_lib.training.config import PretrainConfig

    loaded = _loaded(PretrainConfig, config, context, resume, show_config, ckpt)
    from minillm_lib.training.stages import pretrain

    _finish(pretrain(loaded, resume=resume, overwrite=overwrite, verify=not no_verify), 'generate "The"')


@train_app.command(cls=_SFTCommand, context_settings=OVERRIDES, epilog=_EPILOG.format(command="sft"))
def sft(
    context: typer.Context,
    config: _Config = None,
    ckpt: Annotated[Path | None, typer.Option("--ckpt", help="The pretrained model.")] = None,
    no_verify: NoVerify = False,
    resume: _Resume = False,
    overwrite: _Overwrite = False,
    show_config: _ShowConfig = False,
) -> None:
    """Teach a pretrained model to answer."""
    from minillm_lib.training.config import SFTConfig

    loaded = _loaded(SFTConfig, config, context, resume, show_config, ckpt)
    from minillm_lib.training.stages import sft

    _finish(sft(loaded, resume=resume, overwrite=overwrite, verify=not no_verify), "chat")


def _loaded(
    kind: type[Config],
    path: Path | None,
    context: typer.Context,
    resume: bool,
    show: bool,
    ckpt: Path | None,
) -> Config:
    """Return the configuration of the command line; if it is only to be shown, the command ends here."""
    from minillm_lib.training.overrides import load_config, parse_overrides

    show_warnings_plainly()
    overrides = parse_overrides(context.args) | ({} if ckpt is None else {"ckpt": str(ckpt)})
    if resume and path is None:
        given = overrides.get("run", overrides.get("run_folder", kind.model_fields["run"].default))
        own = Path(str(given)) / "config.yaml"
        path = own if own.is_file() else None
    loaded = load_config(kind, path, overrides)
    if show:
        import yaml

        data_output().write(yaml.safe_dump(loaded.as_json(), sort_keys=False, allow_unicode=True))
        raise typer.Exit
    return loaded


def _finish(result: RunResult, use: str) -> None:
    """Say how a run ended; one that was stopped ends with the status of its signal, 130 or 143."""
    is_first = os.environ.get("RANK", "0") == "0"
    if is_first and result.is_finished:
        saved = result.saved
        say(
            f"held-out perplexity {saved['perplexity']:,.2f} ({saved['bits_per_byte']:.3f} bits per byte) "
            f"at step {saved['step']}; the model: {result.output}"
        )
        say(f"try it: minillm {use} --ckpt {result.output}")
    status = 128 + result.stopped_by if is_first and result.stopped_by is not None else 0
    if "RANK" in os.environ:
        # Gloo's threads now and then abort a process whose interpreter ends before they do (pytorch/pytorch#179291).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise typer.Exit(status)


@train_app.command(context_settings=OVERRIDES)
def plan(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="The YAML file of a pretraining or fine-tuning run.")
    ] = None,
    no_verify: NoVerify = False,
    figure: Annotated[
        Path | None, typer.Option(help="Where the figure goes; by default next to the run's folder.")
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="List every key of a configuration with its default and meaning.")
    ] = False,
    gpu: Annotated[
        str | None,
        typer.Option(
            "--gpu",
            help='Estimate the run on a GPU that is not here, such as "RTX 3090"; ? lists the known ones.',
        ),
    ] = None,
    mfu: Annotated[
        float | None,
        typer.Option(help="With --gpu: the share of its peak speed that is reached; 0.3 by default."),
    ] = None,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="With --gpu: its price per hour, to estimate the cost.")
    ] = None,
) -> None:
    """Show the steps, tokens, learning rate, time, memory and disk space of a run before it is started.

    A few micro-steps of the real model are timed on this machine. Keys are overridden as for the run itself:
    --train.lr 3e-4. With --gpu, nothing is timed: the time follows from the data sheet of that GPU.
    """
    if keys:
        print_keys("pretrain")
        print_keys("sft")
        raise typer.Exit
    if gpu == "?":
        _print_gpus()
        raise typer.Exit
    if gpu is None and (mfu is not None or price_per_hour is not None):
        raise ValueError("--mfu and --price-per-hour belong to --gpu; on this machine, the speed is measured")
    if config is None:
        raise ValueError("give --config, the YAML file of a run, such as configs/pretrain.yaml, or --keys")
    from minillm_lib.training.overrides import kind_of_config, load_config, parse_overrides

    loaded = load_config(kind_of_config(config), config, parse_overrides(context.args))
    draw = _figure_drawer(figure or loaded.run.with_name(f"{loaded.run.name}-plan.png"))
    from minillm_lib.training.planning import plan

    if gpu is None:
        with console.status("timing some steps of the model …"):
            found = plan(loaded, verify=not no_verify)
        lines = [*rows(found), *_rows_here(found)]
    else:
        found = _plan_on_gpu(loaded, config, gpu, mfu, not no_verify)
        lines = [*rows(found), *_rows_there(found, price_per_hour)]
    table = Table(show_header=False, box=None, title=f"{loaded.stage}: {loaded.run}", title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    for name, value in lines:
        table.add_row(name, value)
    console.print(table, highlight=False)
    for warning in found.warnings:
        console.print(warning, style="yellow", highlight=False)
    if draw is not None:
        draw(found)


def print_keys(stage: str) -> None:
    """Print the keys of a stage's configuration by section: what is allowed, the default, and the meaning."""
    from minillm_lib.training.config import SHORT_NAMES, PretrainConfig, SFTConfig
    from minillm_lib.training.overrides import describe_keys

    described = describe_keys(PretrainConfig if stage == "pretrain" else SFTConfig)
    short = ", ".join(f"train.{name} for train.{'.'.join(full)}" for name, full in SHORT_NAMES.items())
    console.print(f"Keys of minillm {stage}", style="bold", highlight=False)
    console.print(
        f"In a YAML file, or as options: --KEY VALUE. Short names: {short}. [] marks the keys of a list's items, which "
        "are given in the file, or with the list: --data.corpora '[{name: grammar, repeat: 2}]'.",
        highlight=False,
    )
    first_of = {each.section: number for number, each in reversed(list(enumerate(described)))}
    ordered = sorted(described, key=lambda each: (each.section != "", first_of[each.section]))
    for section, group in groupby(ordered, key=lambda each: each.section):
        console.print(f"\n{section or 'at the top'}", style="bold", highlight=False)
        for each in group:
            line = Text(f"  {each.key}", "cyan")
            line.append(f" = {each.default}" if each.default else "", "default")
            line.append(f"   {each.allowed}", "dim")
            console.print(line)
            console.print(Padding(Text(each.meaning), (0, 0, 0, 6)))


def rows(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what is shown of a plan wherever it runs, line by line."""
    train = plan.config.train
    rates = plan.learning_rates()
    yield "model", f"{plan.model.n_parameters:,} parameters"
    yield "batch", f"{train.batch_size} rows of {plan.seq_len} tokens: {plan.tokens_per_step:,} per step"
    yield (
        "micro-batch",
        f"{train.rows_at_a_time(plan.seq_len, on_gpu=plan.device not in ('cpu', 'mps'))} rows at a time",
    )
    yield "steps", f"{train.steps:,}, evaluated after {len(plan.evaluation_steps)} of them"
    yield "tokens", f"{plan.tokens:,}"
    if plan.epochs is None or plan.tokens_per_epoch is None:
        yield "epochs", "unknown until the text is prepared, which the run itself begins with"
    else:
        yield "epochs", f"{plan.epochs:.2f} of {plan.tokens_per_epoch:,} tokens"
    yield "optimizer", f"{train.optimizer.name}, weight decay {train.optimizer.weight_decay:g} on matrices"
    yield "learning rate", f"{train.schedule.name}: up to {max(rates):.3g}, at the end {rates[-1]:.3g}"
    yield "", sparkline(rates, _CURVE_WIDTH)
    yield "FLOPs", f"{flop(plan.flops_per_token)} per token, {flop(plan.flops)} in total"


def _rows_here(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what was measured on this machine."""
    cost = plan.cost
    yield "device", f"{plan.device}, {plan.precision}, {flop(cost.matmul_flops)}/s in matrix products"
    yield (
        "per step",
        (
            f"{duration(cost.step_seconds)}: {plan.tokens_per_step / cost.step_seconds:,.0f} tokens/s, "
            f"{flop(plan.mfu * cost.matmul_flops)}/s, MFU {plan.mfu:.0%}"
        ),
    )
    yield "time", f"{duration(plan.seconds)}, evaluations included"
    yield "memory", f"{cost.memory_bytes / 2**30:.2f} GiB above what the libraries take"
    free = shutil.disk_usage(_nearest_folder(plan.config.run)).free
    yield (
        "disk",
        (
            f"{plan.disk_bytes / 2**30:.2f} GiB, one checkpoint {cost.checkpoint_bytes / 2**30:.2f}; "
            f"{free / 2**30:,.1f} GiB are free"
        ),
    )


def _plan_on_gpu(config: RunConfig, path: Path, gpu: str, mfu: float | None, verify: bool) -> Plan:
    """Estimate a run; the model to fine-tune may be one that pretrain.yaml in the same folder is going to make."""
    from minillm_lib.training.config import PretrainConfig, SFTConfig
    from minillm_lib.training.gpus import ASSUMED_MFU, find_gpu, plan_on_gpu
    from minillm_lib.training.overrides import load_config
    from minillm_lib.training.preflight import is_same_path

    pretraining, beside = None, path.with_name("pretrain.yaml")
    if isinstance(config, SFTConfig) and not config.ckpt.exists() and beside.is_file():
        pretraining = load_config(PretrainConfig, beside)
        if not is_same_path(pretraining.output, config.ckpt):
            pretraining = None
    return plan_on_gpu(
        config,
        find_gpu(gpu),
        mfu=ASSUMED_MFU if mfu is None else mfu,
        pretraining=pretraining,
        verify=verify,
    )


def _rows_there(plan: Plan, price_per_hour: float | None) -> Iterator[tuple[str, str]]:
    """Yield what is estimated for a named GPU."""
    from minillm_lib.training.gpus import find_gpu

    gpu, cost, tokens = find_gpu(plan.device), plan.cost, plan.tokens_per_step
    speed = tokens / cost.step_seconds
    yield "device", f"{gpu.name}: {flop(gpu.flops)}/s in {gpu.precision} matrix products, by its data sheet"
    yield "assumed", f"MFU {plan.mfu:.0%}, that is {flop(plan.mfu * gpu.flops)}/s; --mfu sets another share"
    yield "per step", f"{duration(cost.step_seconds)}: {speed:,.0f} tokens/s"
    yield "time", f"about {duration(plan.seconds)}, evaluations included, preparing the text not"
    if price_per_hour is not None:
        yield "cost", f"about {price_per_hour * plan.seconds / 3600:,.2f} at {price_per_hour:g} per hour"
    needed, there = cost.memory_bytes / 2**30, gpu.memory_bytes / 2**30
    fits = (
        "it fits"
        if needed < 0.9 * there
        else "too little: lower train.micro_batch_size, or take a smaller model"
    )
    yield "memory", f"about {needed:.1f} GiB of {there:.0f}: {fits}"
    yield "disk", f"{plan.disk_bytes / 2**30:.2f} GiB, one checkpoint {cost.checkpoint_bytes / 2**30:.2f}"


def _print_gpus() -> None:
    from minillm_lib.training.gpus import GPUS

    table = Table("GPU", "memory", "matrix products", "type", box=None)
    for gpu in GPUS.values():
        table.add_row(gpu.name, f"{gpu.memory_bytes / 1e9:.0f} GB", f"{flop(gpu.flops)}/s", gpu.precision)
    console.print(table, highlight=False)


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw a curve as a line of blocks whose heights go from 0 to the highest value.

    >>> sparkline([0, 1, 2, 3, 4], 5)
    ' ▂▄▆█'
    """
    width, highest = min(width, len(values)), max(values) or 1.0
    chosen = [values[i * (len(values) - 1) // max(width - 1, 1)] for i in range(width)]
    return "".join(_SPARK_LEVELS[round(value / highest * (len(_SPARK_LEVELS) - 1))] for value in chosen)


def _nearest_folder(path: Path) -> Path:
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.is_dir())


def _figure_drawer(path: Path) -> Any:
    """Check that the figure can be drawn there, before anything is timed; None, with a note, without matplotlib."""
    from minillm_lib.io.optional import MissingPackageError

    try:
        from minillm_lib.viz.training_plan import plot_plan
    except MissingPackageError as error:
        console.print(f"no figure will be drawn: {error}", style="yellow", highlight=False)
        return None
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise ValueError(
            f"--figure {path}: its name must end with one of {', '.join('.' + each for each in known)}"
        )
    if path.is_dir():
        raise ValueError(f"--figure {path} is a folder; give the name of a file")

    def draw(found: Plan) -> None:
        with open_atomically(path) as file:
            plot_plan(found).savefig(file, format=path.suffix.removeprefix("."), dpi=130)
        told = styled("the learning rate as a figure: ", (path, "bold"))
        console.print(told, highlight=False, soft_wrap=True)

    return draw
