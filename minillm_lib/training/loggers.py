"""TensorBoard and Weights & Biases: where metrics also go, if the configuration says so."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from minillm_lib.training.config import LogConfig, RunConfig
from minillm_lib.training.run_folder import Record, RunError

_SECTIONS = {"step": "train", "evaluation": "held_out"}


class Logger(Protocol):
    """Somewhere that metrics go."""

    def log(self, record: Record) -> None:
        """Take a record."""

    def go_back(self, step: int) -> None:
        """What comes after this step will be recorded again."""

    def close(self) -> None:
        """Send what has not been sent yet."""


def check_loggers(config: LogConfig) -> None:
    """See that what is asked for is installed.

    Raises
    ------
    RunError
        If a package is missing; the message says which.
    """
    for name, is_wanted in (("tensorboard", config.tensorboard), ("wandb", config.wandb is not None)):
        if is_wanted and find_spec(name) is None:
            raise RunError(f"log.{name} needs the package {name}, which is not installed: pip install {name}")


def open_loggers(config: RunConfig, step: int) -> list[Logger]:
    """Those of the configuration; a run that goes on from a step is continued there."""
    loggers: list[Logger] = []
    if config.log.tensorboard:
        loggers.append(TensorBoardLogger(config.run / "tensorboard", step))
    if config.log.wandb is not None:
        loggers.append(WandbLogger(config.log.wandb, config))
    return loggers


class TensorBoardLogger:
    """Event files in the run's folder: ``tensorboard --logdir runs``."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._open(step)

    def _open(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Events of later steps, from before the run was killed or went back, are taken as void.
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)

    def log(self, record: Record) -> None:
        """Take a record: numbers as scalars, samples as texts."""
        step = record["step"]
        for name, value in scalars(record):
            self._writer.add_scalar(name, value, step)
        if record["kind"] == "sample":
            self._writer.add_text(record["prompt"], record["text"], step)

    def go_back(self, step: int) -> None:
        """What comes after this step will be recorded again."""
        self.close()
        self._open(step)

    def close(self) -> None:
        """Write what has not been written yet."""
        self._writer.close()


class WandbLogger:
    """A run of Weights & Biases, continued where the run of this folder is.

    Its axis is ``step``, a metric like the others, so that steps which are taken again are shown again.
    """

    def __init__(self, project: str, config: RunConfig) -> None:
        import wandb  # type: ignore[import-not-found, unused-ignore]

        path = config.run / "wandb-id"
        if not path.is_file():
            path.write_text(secrets.token_hex(4), encoding="utf-8")
        try:
            self._run: Any = wandb.init(
                project=project,
                name=config.run.name,
                id=path.read_text(encoding="utf-8"),
                resume="allow",
                config=config.as_json(),
                dir=str(config.run),
            )
        except Exception as error:  # its own errors derive from nothing more special
            raise RunError(
                f"log.wandb: {' '.join(str(error).split())} (log in by `wandb login`, or set WANDB_MODE=offline)"
            ) from error
        self._run.define_metric("*", step_metric="step")

    def log(self, record: Record) -> None:
        """Take a record."""
        values: dict[str, Any] = dict(scalars(record))
        if record["kind"] == "sample":
            values[f"samples/{record['prompt']}"] = record["text"]
        if values:
            self._run.log({"step": record["step"], **values})

    def go_back(self, step: int) -> None:
        """Nothing to do: steps may come again."""

    def close(self) -> None:
        """Send what has not been sent yet."""
        self._run.finish()


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """The numbers of a record by name, such as ``train/loss`` and ``held_out/course-faq/perplexity``."""
    if section := _SECTIONS.get(record["kind"]):
        yield from _numbers(section, {key: record[key] for key in record if key not in ("kind", "step")})


def _numbers(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, int | float):
        yield prefix, value
    elif isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(prefix if key == "by_source" else f"{prefix}/{key}", inner)
