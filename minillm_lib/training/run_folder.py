"""A run on disk: its configuration, the metrics of every step, and its checkpoints.

::

    runs/pretrain/
        config.yaml              every key, defaults included
        metrics.jsonl            a record a line; "kind" is start, step, evaluation, sample, warning, resume or end
        checkpoints/step-000200/ a model that anything can load, with trainer_state/ beside its weights
        bad-batches/             what a loss that was not finite, or a spike, had read, a file a batch

A batch whose file says ``"reaction": "rollback"`` is left out by the run from then on.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.model.checkpoint import CheckpointError, atomic_directory, torch_load, write_model_files
from minillm_lib.model.decoder import MiniLLM

STATE_FOLDER = "trainer_state"
Record = dict[str, Any]
"""A line of the metrics, such as ``{"kind": "step", "step": 1, "loss": 8.76, …}``."""

_TAKEN_AGAIN = ("step", "evaluation", "sample")  # after going back; the other kinds tell what has happened


class RunError(ValueError):
    """A run that cannot begin or go on; the message says why, and what to do."""


class RunFolder:
    """The files of one run. Only the first of several processes writes them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.metrics_path = self.path / "metrics.jsonl"
        self.checkpoints_path = self.path / "checkpoints"
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
        """The configuration of the run."""
        try:
            values = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.path}: there is no run here (config.yaml is missing)") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RunError(f"{self.path}/config.yaml is damaged: {' '.join(str(error).split())}") from error
        return dict(values)

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Keep the configuration."""
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
        with self.saying_what_is_left(self.path / "config.yaml"):
            write_atomically(self.path / "config.yaml", text.encode())

    def clear(self) -> None:
        """Remove an earlier run: its checkpoints and records, nothing else."""
        for name in ("config.yaml", "metrics.jsonl", "wandb-id"):
            (self.path / name).unlink(missing_ok=True)
        for name in ("checkpoints", "bad-batches", "tensorboard"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def record(self, record: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        with self.saying_what_is_left(self.metrics_path), self.metrics_path.open("ab") as file:
            file.write(_as_line(record))

    def records(self, kind: str | None = None) -> list[Record]:
        """The metrics; a last line that was cut off is left out."""
        if not self.metrics_path.is_file():
            return []
        records = []
        for line in self.metrics_path.read_bytes().splitlines():
            with suppress(ValueError):
                records.append(json.loads(line))
        return [record for record in records if kind in (None, record.get("kind"))]

    def forget_after(self, step: int) -> None:
        """Drop what will be recorded again when the run goes on from a step; what has happened to it stays."""
        kept = [
            record
            for record in self.records()
            if record.get("kind") != "end"
            and not (record.get("kind") in _TAKEN_AGAIN and record["step"] > step)
        ]
        with self.saying_what_is_left(self.metrics_path):
            write_atomically(self.metrics_path, b"".join(map(_as_line, kept)))

    def keep_bad_batch(self, number: int, facts: Mapping[str, Any]) -> Path:
        """Write down what a step had read when its loss went wrong."""
        path = self.bad_batches_path / f"batch-{number:06d}.json"
        with self.saying_what_is_left(path):
            write_atomically(path, json.dumps(facts, indent=1, ensure_ascii=False).encode())
        return path

    def skipped_batches(self) -> list[int]:
        """The numbers of the batches without which the run goes on, since it was rolled back over them."""
        facts = (json.loads(path.read_bytes()) for path in self.bad_batches_path.glob("batch-*.json"))
        return sorted(each["batch"] for each in facts if each["reaction"] == "rollback")

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint after this many steps is."""
        return self.checkpoints_path / f"step-{step:06d}"

    def checkpoint_steps(self) -> list[int]:
        """The steps after which there is a checkpoint, in order."""
        if not self.checkpoints_path.is_dir():
            return []
        names = (path.name for path in self.checkpoints_path.iterdir() if path.is_dir())
        return sorted(int(name.removeprefix("step-")) for name in names if name.startswith("step-"))

    def save(self, step: int, model: MiniLLM, tensors: Any, facts: Mapping[str, Any]) -> Path:
        """Write a checkpoint that appears whole or not at all.

        Parameters
        ----------
        tensors, facts
            The state of the optimizers, for ``torch.save``; and what else is needed to go on, for JSON.

        Raises
        ------
        RunError
            If the disk is full or not writable; the checkpoints that were there stay.
        """
        path = self.checkpoint_path(step)
        with self.saying_what_is_left(path), atomic_directory(path) as folder:
            write_model_files(model, folder, model.tokenizer)
            state = folder / STATE_FOLDER
            state.mkdir()
            torch.save(tensors, state / "optimizer.pt")
            files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
            hashes = {file.relative_to(folder).as_posix(): _sha256(file) for file in files}
            content = {"step": step, **facts, "files": hashes}
            sealed = {**content, "sha256": _digest(content)}
            (state / "state.json").write_text(json.dumps(sealed, indent=1), encoding="utf-8")
        return path

    def verified_facts(self, step: int) -> dict[str, Any]:
        """The facts of a checkpoint, once every byte of it has been found to be as it was written.

        Raises
        ------
        CheckpointError
            If a file is missing or was altered; the message names it.
        """
        folder = self.checkpoint_path(step)
        path = folder / STATE_FOLDER / "state.json"
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            own_digest = facts.pop("sha256")
        except FileNotFoundError:
            raise CheckpointError(f"{path}: missing; this checkpoint cannot be trained further") from None
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{path}: damaged: {error}") from error
        if _digest(facts) != own_digest:
            raise CheckpointError(f"{path}: damaged: its content does not have the hash that stands in it")
        for name, expected in facts["files"].items():
            file = folder / name
            if not file.is_file():
                raise CheckpointError(f"{file}: missing, though the checkpoint was written with it")
            if _sha256(file) != expected:
                raise CheckpointError(
                    f"{file}: damaged: its content does not have the hash it was written with"
                )
        return facts

    def load_optimizer_state(self, step: int) -> Any:
        """What :meth:`save` was given as ``tensors``."""
        return torch_load(self.checkpoint_path(step) / STATE_FOLDER / "optimizer.pt")

    def newest_whole_checkpoint(self) -> tuple[int, list[str]]:
        """The step of the newest checkpoint that is whole, and what is wrong with those after it.

        Damaged ones are put aside, as ``damaged-step-…``, so that nothing takes them for checkpoints again.

        Raises
        ------
        CheckpointError
            If none is whole; then all stay where they are.
        """
        faults: dict[int, str] = {}
        for step in reversed(self.checkpoint_steps()):
            try:
                self.verified_facts(step)
            except CheckpointError as error:
                faults[step] = str(error)
                continue
            for damaged in faults:
                self._put_aside(damaged)
            return step, list(faults.values())
        raise CheckpointError(
            f"{self.path}: no checkpoint is whole: {'; '.join(faults.values())}. Begin anew with --overwrite"
        )

    def _put_aside(self, step: int) -> None:
        path = self.checkpoint_path(step)
        aside = path.with_name(f"damaged-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)

    def remove_checkpoints(self, keep: Sequence[int]) -> None:
        """Remove all checkpoints but those of these steps, and what an interrupted write has left."""
        for step in set(self.checkpoint_steps()) - set(keep):
            path = self.checkpoint_path(step)
            path.rename(
                path.with_name(f".{path.name}.removed")
            )  # at once, so that half of one never stands there
        for path in self.checkpoints_path.glob(".step-*"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def saying_what_is_left(self, path: Path) -> Iterator[None]:
        """Turn a failure to write into words: why, what is safe, and how to go on.

        torch and safetensors report a failed write by errors of their own, which do not always have the reason.
        """
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(
                error
            )
            is_full = is_full or shutil.disk_usage(self.path).free < 1 << 20
            reason = "the disk is full" if is_full else " ".join(str(error).split())
            steps = self.checkpoint_steps()
            left = f"the checkpoint of step {steps[-1]} is whole" if steps else "there is no checkpoint yet"
            raise RunError(
                f"{path} could not be written: {reason}; {left}. "
                "Once it can be, go on with the same command and --resume"
            ) from error


def _as_line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(_without_infinities(record), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _without_infinities(value: Any) -> Any:
    """``null`` for numbers that JSON does not have, such as the norm of a gradient that a loss scaler threw away."""
    if isinstance(value, Mapping):
        return {key: _without_infinities(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_infinities(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
