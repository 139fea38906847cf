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
    from minillm_lib.training.run_result import RunResult

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
    "On several processes: torchrun --nproc_per_node 2 -m minillm_lib.cli {command} …"
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
    from minillm_lib.training.runs import pretrain

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
    from minillm_lib.training.runs import sft

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
