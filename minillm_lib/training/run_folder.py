"""A run on disk: its configuration, the metrics of every step, and its checkpoints.

::

    runs/pretrain/
        config.yaml              every key, defaults included
        metrics.jsonl            one record per line; "kind" is start, step, evaluation, sample, warning, resume or end
        checkpoints/step-000200/ a model that anything can load, with trainer_state/ beside its weights
        bad-batches/             what a step had read when its loss was not finite, or a spike: one file per batch

A batch whose file says ``"reaction": "rollback"`` is left out by the run from then on. Checkpoints are written and read
by :class:`~minillm_lib.training.checkpoints.CheckpointFolder`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from minillm_lib.io.atomic_write import write_atomically

Record = dict[str, Any]
"""A line of the metrics, such as ``{"kind": "step", "step": 1, "loss": 8.76, …}``."""

_RECORDED_AGAIN = ("step", "evaluation", "sample")  # after going back; the other kinds tell what has happened


class RunError(ValueError):
    """A run that cannot begin or resume; the message says why, and what to do."""


class RunFolder:
    """The configuration and the records of one run. Only the first of several processes writes them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.metrics_path = self.path / "metrics.jsonl"
        self.bad_batches_path = self.path / "bad-batches"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out; the lock ends with the process, however that ends.

        Raises
        ------
        RunError
            If another process has the folder, or nothing can be written there.
        """
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise RunError(
                f"{self.path}: another run is writing here; wait for it, or give another folder with --run"
            ) from None
        except OSError as error:
            raise RunError(f"{self.path}: nothing can be written here: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    @property
    def has_run(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / "config.yaml").is_file()

    def config(self) -> dict[str, Any]:
        """Read the configuration of the run.

        Raises
        ------
        RunError
            If it is missing or damaged.
        """
        try:
            values = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.path}: there is no run here (config.yaml is missing)") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RunError(f"{self.path}/config.yaml is damaged: {' '.join(str(error).split())}") from error
        return dict(values)

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Write the configuration."""
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
        with explain_write_errors(self.path / "config.yaml", self.path):
            write_atomically(self.path / "config.yaml", text.encode())

    def clear(self) -> None:
        """Remove an earlier run: its checkpoints and records, nothing else."""
        for name in ("config.yaml", "metrics.jsonl", "wandb-id"):
            (self.path / name).unlink(missing_ok=True)
        for name in ("checkpoints", "bad-batches", "tensorboard"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def record(self, record: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        with explain_write_errors(self.metrics_path, self.path), self.metrics_path.open("ab") as file:
            file.write(_as_line(record))

    def records(self, kind: str | None = None) -> list[Record]:
        """Read the metrics, of one kind or all; a last line that was cut off is left out."""
        if not self.metrics_path.is_file():
            return []
        records = []
        for line in self.metrics_path.read_bytes().splitlines():
            with suppress(ValueError):
                records.append(json.loads(line))
        return [record for record in records if kind in (None, record.get("kind"))]

    def forget_after(self, step: int) -> None:
        """Drop what will be recorded again when the run resumes from a step; what has happened to it stays."""
        kept = [
            record
            for record in self.records()
            if record.get("kind") != "end"
            and not (record.get("kind") in _RECORDED_AGAIN and record["step"] > step)
        ]
        with explain_write_errors(self.metrics_path, self.path):
            write_atomically(self.metrics_path, b"".join(map(_as_line, kept)))

    def keep_bad_batch(self, number: int, values: Mapping[str, Any]) -> Path:
        """Write down what a step had read when its loss went wrong."""
        path = self.bad_batches_path / f"batch-{number:06d}.json"
        with explain_write_errors(path, self.path):
            write_atomically(path, json.dumps(values, indent=1, ensure_ascii=False).encode())
        return path

    def skipped_batches(self) -> list[int]:
        """Return the numbers of the batches that the run leaves out since it was rolled back over them."""
        found = (json.loads(path.read_bytes()) for path in self.bad_batches_path.glob("batch-*.json"))
        return sorted(each["batch"] for each in found if each["reaction"] == "rollback")


def checkpoint_steps(run: Path) -> list[int]:
    """Return the steps after which there is a checkpoint in a run's folder, in order."""
    folder = run / "checkpoints"
    names = (path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    return sorted(int(name.removeprefix("step-")) for name in names if name.startswith("step-"))


@contextmanager
def explain_write_errors(path: Path, run: Path) -> Iterator[None]:
    """Turn a failure to write a file of a run into words: why it failed, what is safe, and how to resume.

    torch and safetensors report a failed write by errors of their own, which do not always have the reason.

    Raises
    ------
    RunError
        In place of the errors that such a failure gives.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error)
        is_full = is_full or shutil.disk_usage(run).free < 1 << 20
        reason = "the disk is full" if is_full else " ".join(str(error).split())
        steps = checkpoint_steps(run)
        left = f"the checkpoint of step {steps[-1]} is intact" if steps else "there is no checkpoint yet"
        raise RunError(
            f"{path} could not be written: {reason}; {left}. "
            "Once that is solved, resume with the same command and --resume"
        ) from error


def _as_line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(_without_infinities(record), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _without_infinities(value: Any) -> Any:
    """Replace numbers that JSON lacks by null, such as the norm of a gradient that a loss scaler discarded."""
    if isinstance(value, Mapping):
        return {key: _without_infinities(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_infinities(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
