"""The metrics of a run: where its records go, and what they say about speed and memory.

:class:`Metrics` passes each record to the run's folder, the caller, the progress bar, and the loggers (TensorBoard,
Weights & Biases). :class:`Throughput` computes tokens per second, MFU and memory.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch
from tqdm import tqdm

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.devices import matmul_flops
from minillm_lib.training.config import LogConfig, RunConfig
from minillm_lib.training.parallel import Processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.records import faults_in_words
from minillm_lib.training.run_folder import Record, RunError, RunFolder

_SECTIONS = {"step": "train", "evaluation": "held_out"}


class Metrics:
    """Passes the records of a run on; in all processes except the first it does nothing.

    Parameters
    ----------
    show_bar
        Show a progress bar.
    on_record
        Called with each record.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        processes: Processes,
        *,
        show_bar: bool,
        on_record: Callable[[Record], None] | None,
    ) -> None:
        self.config, self.folder = config, folder
        self.is_on, self.show_bar, self.on_record = processes.is_first, show_bar, on_record
        self._loggers: list[Logger] = []
        self._bar: tqdm[Any] | None = None

    @contextmanager
    def opened(self, step: int) -> Iterator[None]:
        """Show the bar and open the loggers, for a run that is at this step; close them at the end."""
        if not self.is_on:
            yield
            return
        with ExitStack() as closing:
            self._loggers = open_loggers(self.config, step)
            closing.callback(self._tell_loggers, "close")
            self._bar = closing.enter_context(
                progress_bar(
                    total=self.config.train.steps,
                    initial=step,
                    desc=self.config.stage,
                    unit="step",
                    disable=not self.show_bar,
                )
            )
            yield

    def record(self, record: Record) -> None:
        """Pass a record to the folder, the loggers, the bar and the caller."""
        if not self.is_on:
            return
        self.folder.record(record)
        self._tell_loggers("log", record)
        if self._bar is not None and record["kind"] == "step":
            self._bar.set_postfix_str(_in_a_line(record), refresh=False)
            self._bar.update()
        if self.on_record is not None:
            self.on_record(record)

    def go_back(self, step: int) -> None:
        """Drop what was recorded after this step, since it will be recorded again."""
        if not self.is_on:
            return
        faulty = self.folder.forget_after(step)
        if faulty:
            told = faults_in_words(self.folder.metrics_path, faulty)
            self.say(f"{told}; they are kept in {self.folder.unreadable_path}")
        self._tell_loggers("go_back", step)
        if self._bar is not None:
            self._bar.n = step

    def _tell_loggers(self, what: str, *values: Any) -> None:
        """Pass something on to each logger; one that fails gets nothing more, and the run goes on without it."""
        for logger in tuple(self._loggers):
            try:
                getattr(logger, what)(*values)
            except Exception as error:  # of other people's packages, on full disks and lost networks
                self._loggers.remove(logger)
                self.say(
                    f"{type(logger).__name__}: {type(error).__name__}: {' '.join(str(error).split())}; nothing more is "
                    f"logged there, and everything is in {self.folder.metrics_path}"
                )

    def warn(self, step: int, problem: str) -> None:
        """Record that something is wrong, and tell the user."""
        self.record({"kind": "warning", "step": step, "problem": problem, "reaction": "warn"})
        self.say(problem)

    def say(self, text: str) -> None:
        """Tell the user something, above the bar."""
        if self.is_on:
            tqdm.write(text)


def _in_a_line(record: Record) -> str:
    return (
        f"loss {record['loss']:.3f}, {record['tokens_per_second']:,.0f} tokens/s, "
        f"perplexity {math.exp(min(record['loss'], 20)):,.1f}, MFU {record['mfu']:.0%}"
    )


class Logger(Protocol):
    """A destination of metrics."""

    def log(self, record: Record) -> None:
        """Log a record."""

    def go_back(self, step: int) -> None:
        """Prepare for all records after this step to be logged again."""

    def close(self) -> None:
        """Send what has not been sent yet."""


def check_loggers(config: LogConfig) -> None:
    """Check that the packages of the configured loggers are installed.

    Raises
    ------
    RunError
        If a package is missing; the message names it.
    """
    for name, is_wanted in (("tensorboard", config.tensorboard), ("wandb", config.wandb is not None)):
        if is_wanted and find_spec(name) is None:
            raise RunError(f"log.{name} needs the package {name}, which is not installed: pip install {name}")


def open_loggers(config: RunConfig, step: int) -> list[Logger]:
    """Open the configured loggers, for a run that is at this step."""
    loggers: list[Logger] = []
    if config.log.tensorboard:
        loggers.append(TensorBoardLogger(config.run / "tensorboard", step))
    if config.log.wandb is not None:
        loggers.append(WandbLogger(config.log.wandb, config))
    return loggers


class TensorBoardLogger:
    """Writes event files to the run's folder, for ``tensorboard --logdir runs``."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._open(step)

    def _open(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # TensorBoard ignores events of later steps, from before the run was killed or went back.
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)

    def log(self, record: Record) -> None:
        """Log a record: numbers as scalars, samples as texts."""
        step = record["step"]
        for name, value in scalars(record):
            self._writer.add_scalar(name, value, step)
        if record["kind"] == "sample":
            self._writer.add_text(record["prompt"], record["text"], step)

    def go_back(self, step: int) -> None:
        """Discard the events after this step."""
        self.close()
        self._open(step)

    def close(self) -> None:
        """Write what has not been written yet."""
        self._writer.close()


class WandbLogger:
    """Logs to a run of Weights & Biases, which is resumed when the run of this folder is.

    Its axis is ``step``, a metric like the others, so that steps which are repeated are shown again.

    Raises
    ------
    RunError
        If Weights & Biases cannot be reached, or nobody is logged in.
    """

    def __init__(self, project: str, config: RunConfig) -> None:
        import wandb  # type: ignore[import-not-found, unused-ignore]

        path = config.run / "wandb-id"
        if not path.is_file():
            write_atomically(path, secrets.token_hex(4).encode())
        try:
            self._run: Any = wandb.init(
                project=project,
                name=config.run.name,
                id=path.read_text(encoding="utf-8"),
                resume="allow",
                config=config.as_json(),
                dir=str(config.run),
            )
        except Exception as error:  # its errors have no narrower base class
            raise RunError(
                f"log.wandb: {' '.join(str(error).split())} (log in with `wandb login`, or set WANDB_MODE=offline)"
            ) from error
        self._run.define_metric("*", step_metric="step")

    def log(self, record: Record) -> None:
        """Log a record."""
        values: dict[str, Any] = dict(scalars(record))
        if record["kind"] == "sample":
            values[f"samples/{record['prompt']}"] = record["text"]
        if values:
            self._run.log({"step": record["step"], **values})

    def go_back(self, step: int) -> None:
        """Do nothing, since a step may be logged more than once."""

    def close(self) -> None:
        """Send what has not been sent yet."""
        self._run.finish()


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a record by name, such as ``train/loss`` and ``held_out/course-faq/perplexity``."""
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


class Throughput:
    """Tokens per second, memory, and the share of the measured peak speed of matrix products (MFU).

    Source: model FLOPs utilisation, Chowdhery et al. 2022, arXiv:2204.02311, appendix B.
    """

    def __init__(self, model: ModelConfig, seq_len: int, processes: Processes, precision: Precision) -> None:
        self.device, self.n_processes, self.precision = processes.device, processes.count, precision.name
        self.flops_per_token = model.flops_per_token(seq_len)
        self._flops_per_label = 3 * 2 * model.vocab_size * model.hidden_size
        self.matmul_flops = processes.total(matmul_flops(self.device, precision.matmul_dtype))[0]

    def machine(self) -> dict[str, Any]:
        """Return what a run records about its machine when it begins."""
        return {
            "device": str(self.device),
            "processes": self.n_processes,
            "precision": self.precision,
            "matmul_flops": self.matmul_flops,
            "flops_per_token": self.flops_per_token,
            "torch": torch.__version__,
        }

    def of_step(self, n_tokens: int, n_labels: int, seconds: float) -> dict[str, Any]:
        """Return what is recorded of a step that read ``n_tokens`` in all processes together.

        The output head works only for the ``n_labels`` tokens that count in the loss.
        """
        flops = self.flops_per_token * n_tokens - self._flops_per_label * (n_tokens - n_labels)
        return {
            "seconds": round(seconds, 4),
            "tokens_per_second": round(n_tokens / seconds, 1),
            "mfu": round(flops / seconds / self.matmul_flops, 4),
            "memory": self._memory(),
        }

    def _memory(self) -> int:
        """Return the bytes in use: the peak so far on a CUDA device, otherwise those of this process now."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return int(psutil.Process().memory_info().rss)
