"""A run on disk: its configuration, the metrics of every step, and its checkpoints.

::

    runs/pretrain/
        config.yaml              every key, defaults included; the last line is a checksum
        metrics.jsonl            one record per line, its last key a checksum; "kind" is start, step, evaluation,
                                 sample, warning, resume or end
        checkpoints/step-000200/ a model that anything can load, with trainer_state/ beside its weights
        bad-batches/             what a step had read when its loss was not finite, or a spike: one file per batch

A batch whose file says ``"reaction": "rollback"`` is left out by the run from then on. Checkpoints are written and read
by :class:`~minillm_lib.training.checkpoints.CheckpointFolder`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from minillm_lib.io.atomic_write import append_whole, write_atomically
from minillm_lib.io.leftovers import remove_leftovers
from minillm_lib.io.regular_file import NotRegularFileError, check_regular
from minillm_lib.io.wording import shown
from minillm_lib.io.write_errors import WriteError, named_write_errors
from minillm_lib.io.yaml_text import YAMLError, sealed_yaml
from minillm_lib.training.recorded_config import read_config
from minillm_lib.training.records import FaultyLine, Record as Record, as_line, read_records

_CHECKPOINT = re.compile(r"step-(\d{6,})")
_REMOVED = re.compile(r"\.step-\d{6,}\.removed")
_BAD_BATCH = re.compile(r"batch-(\d{6,})\.json")
_LARGEST_BAD_BATCH = 1 << 26
_REACTIONS = ("warn", "stop", "rollback")
_WRITTEN_IN = {
    "checkpoints": ("step-*", ".step-*", "damaged-step-*"),
    "bad-batches": ("batch-*", ".batch-*"),
    "tensorboard": ("events.out.tfevents.*",),
}
_RECORDED_AGAIN = ("step", "evaluation", "sample")  # after going back; the other kinds tell what has happened


class RunError(ValueError):
    """A run that cannot begin or resume; the message says why, and what to do."""


class RunFolder:
    """The configuration and the records of one run. Only the first of several processes writes them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.metrics_path = self.path / "metrics.jsonl"
        self.unreadable_path = self.path / "metrics-unreadable.txt"
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
                f"{self.path}: another run is writing here; wait for it, or give another folder with "
                f"{run_option()}"
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
            return read_config(self.path / "config.yaml")
        except (FileNotFoundError, NotADirectoryError):
            raise RunError(f"{self.path}: there is no run here (config.yaml is missing)") from None
        except YAMLError as error:
            raise RunError(f"{self.path}/config.yaml is damaged: {error}") from error

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Write the configuration."""
        with explain_write_errors(self.path / "config.yaml", self.path):
            write_atomically(self.path / "config.yaml", sealed_yaml(values))

    def clear(self) -> None:
        """Remove an earlier run: its checkpoints and records, nothing else.

        Where one of its folders is a link, the link stays, and what runs write is removed from the folder behind it.

        Raises
        ------
        RunError
            If something cannot be removed. The folder still holds a run then, since its configuration goes last.
        """
        records = ("metrics.jsonl", self.unreadable_path.name, "wandb-id", "config.yaml")
        for path in (*self._written_in_folders(), *(self.path / name for name in records)):
            try:
                _remove(path)
            except OSError as error:
                raise RunError(
                    f"{path}, which belongs to the run that is to be overwritten, cannot be removed: {error.strerror}; "
                    f"remove it yourself, or give another folder with {run_option()}"
                ) from error

    def _written_in_folders(self) -> Iterator[Path]:
        for name, written in _WRITTEN_IN.items():
            folder = self.path / name
            if folder.is_symlink():
                yield from sorted(path for pattern in written for path in folder.glob(pattern))
            else:
                yield folder

    def remove_leftovers(self) -> list[Path]:
        """Remove what a killed process has left half-written in the folder, and return the paths that were removed.

        Only the process that has locked the folder may do this.
        """
        checkpoints = self.path / "checkpoints"
        removed = [
            path
            for folder in (self.path, self.bad_batches_path, checkpoints)
            for path in remove_leftovers(folder)
        ]
        for path in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else ():
            if _REMOVED.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
        return removed

    def record(self, record: Mapping[str, Any]) -> None:
        """Append a line to the metrics: the whole line, or nothing."""
        with explain_write_errors(self.metrics_path, self.path):
            append_whole(self.metrics_path, as_line(record))

    def records(self, kind: str | None = None) -> list[Record]:
        """Read the metrics, of one kind or all; lines that are no records are left out."""
        return [record for record in self.read_records()[0] if kind in (None, record["kind"])]

    def read_records(self) -> tuple[list[Record], list[FaultyLine]]:
        """Read the metrics: the records, and the lines that are none.

        Raises
        ------
        RunError
            If metrics.jsonl is not a file, or cannot be read.
        """
        try:
            return read_records(self.metrics_path)
        except (NotRegularFileError, OSError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise RunError(f"{self.metrics_path} cannot be read: {reason}") from error

    def forget_after(self, step: int) -> list[FaultyLine]:
        """Drop what will be recorded again when the run resumes from a step; what has happened to it stays.

        Lines that are no records are moved to ``metrics-unreadable.txt``, and returned.
        """
        records, faulty = self.read_records()
        kept = [
            record
            for record in records
            if record["kind"] != "end" and not (record["kind"] in _RECORDED_AGAIN and record["step"] > step)
        ]
        with explain_write_errors(self.metrics_path, self.path):
            if faulty:
                append_whole(self.unreadable_path, b"".join(each.content + b"\n" for each in faulty))
            write_atomically(self.metrics_path, b"".join(map(as_line, kept)))
        return faulty

    def keep_bad_batch(self, number: int, values: Mapping[str, Any]) -> Path:
        """Write down what a step had read when its loss went wrong."""
        path = self._bad_batch_path(number)
        with explain_write_errors(path, self.path):
            write_atomically(path, json.dumps(values, indent=1, ensure_ascii=False).encode())
        return path

    def skipped_batches(self) -> list[int]:
        """Return the numbers of the batches that the run leaves out since it was rolled back over them.

        Raises
        ------
        RunError
            If the file of a batch is damaged, so that nothing tells whether it is to be left out.
        """
        folder = self.bad_batches_path
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        found = {int(match[1]) for name in names if (match := _BAD_BATCH.fullmatch(name))}
        numbers = [number for number in sorted(found) if self._bad_batch_path(number).name in names]
        return [number for number in numbers if self._reaction_to(number) == "rollback"]

    def _bad_batch_path(self, number: int) -> Path:
        return self.bad_batches_path / f"batch-{number:06d}.json"

    def _reaction_to(self, number: int) -> str:
        """Return how the run has reacted to a batch that went wrong."""
        path = self._bad_batch_path(number)
        try:
            check_regular(path, at_most=_LARGEST_BAD_BATCH)
            values = json.loads(path.read_bytes())
        except (ValueError, OSError, RecursionError) as error:
            problem = " ".join(str(error).split()) or "values are nested too deeply"
        else:
            problem = f"it holds {shown(values)}"
            if isinstance(values, dict):
                batch, reaction = values.get("batch"), values.get("reaction")
                if batch == number and reaction in _REACTIONS:
                    return str(reaction)
                problem = f"its batch is {shown(batch)} and its reaction {shown(reaction)}"
        raise RunError(
            f"{path} is damaged: {problem}; allowed is an object with batch {number} and a reaction "
            f"({', '.join(_REACTIONS)}). The run left this batch out if the reaction was rollback: restore the file, "
            f'or write {{"batch": {number}, "reaction": "rollback"}} into it, or remove it if the batch was read'
        )


def run_option() -> str:
    """Return the option that names the folder of a run: torchrun takes ``--run`` for one of its own."""
    return "--run_folder" if "RANK" in os.environ else "--run"


def _remove(path: Path) -> None:
    """Remove a file, a link, or a folder with what it holds; an empty folder may stay, as a mount point does."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except OSError:
        if any(path.iterdir()):
            raise


def checkpoint_steps(run: Path) -> list[int]:
    """Return the steps after which there is a checkpoint in a run's folder, in order.

    Only folders with exactly the name that a checkpoint gets are counted: see :func:`strays_among_checkpoints`.
    """
    return sorted(int(path.name.removeprefix("step-")) for path in _entries(run) if _is_checkpoint(path))


def strays_among_checkpoints(run: Path) -> list[str]:
    """Return the names of what lies among a run's checkpoints and is none, such as a copy of one; hidden files are not.

    What a run itself has set aside, ``damaged-step-…``, is not among them.
    """
    return [
        path.name
        for path in _entries(run)
        if not _is_checkpoint(path) and not path.name.startswith((".", "damaged-step-"))
    ]


def _entries(run: Path) -> list[Path]:
    folder = run / "checkpoints"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_checkpoint(path: Path) -> bool:
    found = _CHECKPOINT.fullmatch(path.name)
    return found is not None and path.name == f"step-{int(found[1]):06d}" and path.is_dir()


@contextmanager
def explain_write_errors(path: Path, run: Path) -> Iterator[None]:
    """Turn a failure to write a file of a run into words: why it failed, what is safe, and how to resume.

    Raises
    ------
    RunError
        In place of the errors that such a failure gives.
    """
    try:
        with named_write_errors(path):
            yield
    except WriteError as error:
        raise RunError(f"{error}; {what_is_safe(run)}") from error


def what_is_safe(run: Path) -> str:
    """Return which checkpoint a run that has to stop resumes from, and how."""
    steps = checkpoint_steps(run)
    left = f"the checkpoint of step {steps[-1]} is intact" if steps else "there is no checkpoint yet"
    return f"{left}. Once that is solved, resume with the same command and --resume"
