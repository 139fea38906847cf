"""The state of a run on disk, and how it is gathered from the processes and given back to them.

A checkpoint is the same whatever number of processes wrote it, and any other number can resume from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from minillm_lib.io.checksums import listed_sha256, sha256_of
from minillm_lib.io.regular_file import check_regular
from minillm_lib.io.wording import shown, size
from minillm_lib.io.write_errors import free_room
from minillm_lib.model.checkpoint import (
    CheckpointError,
    atomic_directory,
    save_checkpoint,
    write_model_files,
)
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.weights import torch_load
from minillm_lib.training.config import RunConfig
from minillm_lib.training.parallel import Processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.progress import Progress
from minillm_lib.training.run_folder import (
    RunError,
    RunFolder,
    checkpoint_steps,
    explain_write_errors,
    run_option,
    strays_among_checkpoints,
    what_is_safe,
)

STATE_FOLDER = "trainer_state"
_LARGEST_STATE = 1 << 26
_STATE_KEYS: dict[str, tuple[type, str]] = {
    "step": (int, "a whole number"),
    "files": (dict, "an object with the hash of each file"),
    "progress": (dict, "an object"),
    "data": (dict, "an object"),
    "precision": (dict, "an object"),
}

_NOT_RESUMED = {"initializer_range", "scale_residual_init", "activation_checkpointing"}
"""Keys of a model that affect only its initial weights, or the memory that it takes."""
_ON_CPU = StateDictOptions(full_state_dict=True, cpu_offload=True)
_FULL = StateDictOptions(full_state_dict=True)


class CheckpointFolder:
    """The checkpoints of one run as files: each is written atomically, and every byte of it is verified.

    Parameters
    ----------
    run
        The run's folder; the checkpoints are in ``checkpoints/`` there.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.path = run / "checkpoints"

    def path_of(self, step: int) -> Path:
        """Return where the checkpoint after this many steps is."""
        return self.path / f"step-{step:06d}"

    def steps(self) -> list[int]:
        """Return the steps after which there is a checkpoint, in order."""
        return checkpoint_steps(self.run)

    def strays(self) -> list[str]:
        """Return the names of what lies among the checkpoints and is none, such as a copy of one."""
        return strays_among_checkpoints(self.run)

    def write(self, step: int, model: MiniLLM, tensors: Any, metadata: Mapping[str, Any]) -> Path:
        """Write a checkpoint for resuming, which appears complete or not at all.

        Beside the model, as :func:`~minillm_lib.model.checkpoint.write_model_files` writes it, there is
        ``trainer_state/`` with the optimizers' tensors and a hash of every file.

        Parameters
        ----------
        tensors, metadata
            The state of the optimizers, for ``torch.save``; and what else is needed to resume, for JSON.

        Raises
        ------
        RunError
            If the disk is full or not writable; the checkpoints that were there stay.
        """
        path = self.path_of(step)
        self._check_room(
            step, n_bytes_of(model.state_dict()) + n_bytes_of(tensors) + beside_tensors(model.config)
        )
        with explain_write_errors(path, self.run), atomic_directory(path) as folder:
            write_model_files(model, folder, model.tokenizer)
            state = folder / STATE_FOLDER
            state.mkdir()
            with (state / "optimizer.pt").open(
                "wb"
            ) as file:  # given a path, torch hides the reason of a failure
                torch.save(tensors, file)
            files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
            known = {folder / name: sha256 for name, sha256 in listed_sha256(folder).items()}
            hashes = {
                file.relative_to(folder).as_posix(): known.get(file) or sha256_of(file) for file in files
            }
            content = {"step": step, **metadata, "files": hashes}
            sealed = {**content, "sha256": _digest(content)}
            (state / "state.json").write_text(json.dumps(sealed, indent=1), encoding="utf-8")
        return path

    def _check_room(self, step: int, n_bytes: int) -> None:
        """Check that a checkpoint of this size fits on the disk, before any of it is written."""
        needed, free = n_bytes, free_room(self.path)
        if free < needed:
            raise RunError(
                f"{self.path_of(step)} needs {size(needed)}, and the disk has {size(free)} free, {size(needed - free)} "
                f"too little: the run stops here; {what_is_safe(self.run)}"
            )

    def verified_metadata(self, step: int) -> dict[str, Any]:
        """Read the metadata of a checkpoint, after verifying every byte of it.

        Raises
        ------
        CheckpointError
            If a file is missing or was altered; the message names it.
        """
        folder = self.path_of(step)
        path = folder / STATE_FOLDER / "state.json"
        metadata = _sealed_content(path)
        if metadata["step"] != step:
            raise CheckpointError(
                f"{folder}: this is the checkpoint of step {metadata['step']} under another name"
            )
        for name, expected in metadata["files"].items():
            file = folder / name
            if not file.is_file():
                raise CheckpointError(f"{file}: missing, though it is part of the checkpoint")
            if sha256_of(file) != expected:
                raise CheckpointError(f"{file}: damaged: its content does not match the hash recorded for it")
        return metadata

    def load_optimizer_state(self, step: int) -> Any:
        """Load what :meth:`write` was given as ``tensors``."""
        return torch_load(self.path_of(step) / STATE_FOLDER / "optimizer.pt")

    def newest_intact(self) -> tuple[int, list[str]]:
        """Return the step of the newest intact checkpoint, and what is wrong with those after it.

        Damaged ones are renamed to ``damaged-step-…``, so that nothing takes them for checkpoints again.

        Raises
        ------
        CheckpointError
            If none is intact; then all stay where they are.
        """
        problems: dict[int, str] = {}
        for step in reversed(self.steps()):
            try:
                self.verified_metadata(step)
            except CheckpointError as error:
                problems[step] = str(error)
                continue
            for damaged in problems:
                self._put_aside(damaged)
            return step, list(problems.values())
        raise CheckpointError(
            f"{self.run}: no checkpoint is intact: {'; '.join(problems.values())}. Start again with --overwrite"
        )

    def _put_aside(self, step: int) -> None:
        path = self.path_of(step)
        aside = path.with_name(f"damaged-{path.name}")
        for number in count(2):
            if not os.path.lexists(aside):
                break
            aside = path.with_name(f"damaged-{path.name}-{number}")
        with explain_write_errors(aside, self.run):
            path.rename(aside)

    def remove_all_but(self, keep: Sequence[int]) -> None:
        """Remove all checkpoints except those of these steps."""
        for step in sorted(set(self.steps()) - set(keep)):
            path = self.path_of(step)
            if path.is_symlink():
                path.unlink()
                continue
            removed = path.with_name(f".{path.name}.removed")
            with explain_write_errors(removed, self.run):
                path.rename(removed)  # at once, so that half of one never stands there
            shutil.rmtree(removed, ignore_errors=True)


def _sealed_content(path: Path) -> dict[str, Any]:
    """Read a ``state.json``, and check that it is what :meth:`CheckpointFolder.write` has written."""
    try:
        check_regular(path, at_most=_LARGEST_STATE)
        metadata = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path}: missing; this checkpoint cannot be trained further") from None
    except (ValueError, OSError, RecursionError) as error:
        problem = " ".join(str(error).split()) or "values are nested too deeply"
        raise CheckpointError(f"{path}: damaged: {problem}") from error
    if not isinstance(metadata, dict):
        raise CheckpointError(
            f"{path}: damaged: it holds {shown(metadata)}, and should be an object with the state of the run"
        )
    own_digest = metadata.pop("sha256", None)
    if not isinstance(own_digest, str) or _digest(metadata) != own_digest:
        raise CheckpointError(f"{path}: damaged: its content does not match the hash recorded in it")
    for key, (kind, wanted) in _STATE_KEYS.items():
        if not isinstance(metadata.get(key), kind):
            raise CheckpointError(
                f"{path}: damaged: {key} is {shown(metadata.get(key))}; it must be {wanted}"
            )
    return metadata


def beside_tensors(model: ModelConfig) -> int:
    """Return how many bytes a checkpoint needs besides its tensors, at most: mainly for the tokenizer's files."""
    return (1 << 17) + 100 * model.vocab_size


def n_bytes_of(value: Any) -> int:
    """Return how many bytes the tensors in a value take, whatever lists and mappings hold them."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return sum(map(n_bytes_of, inner))


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Loaded(NamedTuple):
    """What :meth:`Checkpoints.load_newest` has loaded: how far the run has come, and what is to be said of it."""

    progress: Progress
    problems: list[str]
    """What is wrong with newer checkpoints."""
    max_tokens: int
    """``evaluation.max_tokens`` of the run when it was saved, with which its held-out losses were measured."""


class Checkpoints:
    """Saves a run's model, optimizers, scaler and progress to its :class:`CheckpointFolder`, and loads them in place.

    Parameters
    ----------
    data_fingerprint
        What distinguishes the data from any other; a run resumes only with the data that it began with.
    """

    def __init__(
        self,
        folder: RunFolder,
        processes: Processes,
        model: MiniLLM,
        optimizers: Sequence[Optimizer],
        precision: Precision,
        data_fingerprint: Mapping[str, Any],
        config: RunConfig,
    ) -> None:
        self.folder, self.processes, self.config = CheckpointFolder(folder.path), processes, config
        self.model, self.optimizers, self.precision = model, optimizers, precision
        self.data_fingerprint = dict(data_fingerprint)
        with torch.device("meta"):
            self._gathered = MiniLLM(model.config)  # what the gathered weights are put into, to be written
        self._gathered.described_as(model)

    @property
    def exist(self) -> bool:
        """Whether there is one."""
        return bool(self.folder.steps())

    def save(self, progress: Progress) -> None:
        """Gather the run's state from all processes, write a checkpoint, and remove those that are not to be kept.

        Raises
        ------
        RunError
            If it cannot be written; the checkpoints that were there stay.
        """
        weights = get_model_state_dict(self.model, options=_ON_CPU)
        optimizer_state = self._optimizer_state(progress.step)
        if self.processes.is_first:
            self._gathered.load_state_dict(weights, assign=True)
            metadata = {
                "progress": asdict(progress),
                "data": self.data_fingerprint,
                "max_tokens": self.config.evaluation.max_tokens,
                "precision": self.precision.state(),
                "processes": self.processes.count,
            }
            self.folder.write(progress.step, self._gathered, optimizer_state, metadata)
            self.folder.remove_all_but(self._to_keep(progress.best_step))
        self.processes.wait()

    def _to_keep(self, best_step: int) -> list[int]:
        """Return the steps of the last few, the best by held-out loss, and those at regular intervals."""
        saved, every = self.folder.steps(), self.config.checkpoint.keep_every
        kept = {best_step, *saved[-self.config.checkpoint.keep_last :]}
        if every is not None:
            kept |= {step for step in saved if step > 0 and step % every == 0}
        return sorted(kept)

    def load_newest(self) -> Loaded:
        """Load the newest intact checkpoint in place.

        Raises
        ------
        CheckpointError
            If none is intact.
        RunError
            If the data, or the model that the run starts from, is not what it began with.
        """
        step, problems = self.folder.newest_intact() if self.processes.is_first else (0, [])
        step = int(self.processes.total(step)[0])
        metadata = self.folder.verified_metadata(step)
        try:
            progress = Progress.of(metadata["progress"])
        except ValueError as error:
            raise CheckpointError(
                f"{self.folder.path_of(step)}: of another version of this package: {error}"
            ) from None
        saved = MiniLLM.load_from_checkpoint(self.folder.path_of(step))
        self._check_beginning(saved.config, metadata["data"])
        self._set_optimizer_state(self.folder.load_optimizer_state(step))
        set_model_state_dict(self.model, saved.state_dict(), options=_FULL)
        self.precision.load_state(metadata["precision"])
        now = self.config.evaluation.max_tokens  # checkpoints of earlier versions do not record it
        return Loaded(progress, problems, metadata.get("max_tokens", now))

    def export_best(self, progress: Progress, output: Path) -> tuple[int, list[str]]:
        """Save the model with the lowest held-out loss to ``output``, without the trainer's state; return its step.

        Where that checkpoint is damaged, it is the model of the last step, and the list says what was wrong.

        Raises
        ------
        RunError
            If it cannot be written. The run is complete then, and ``--resume`` only has to export the model.
        """
        step, problems = progress.best_step, list[str]()
        try:
            self.folder.verified_metadata(step)
        except CheckpointError as error:
            step, problems = progress.step, [str(error)]
        model = MiniLLM.load_from_checkpoint(self.folder.path_of(step))
        with explain_write_errors(output, self.folder.run):
            save_checkpoint(model, output)
        return step, problems

    def _optimizer_state(self, step: int) -> Any:
        """Return the full state on the CPU; None before the first step, when torch would make one up."""
        if step == 0:
            return None
        return get_optimizer_state_dict(self.model, self.optimizers, options=_ON_CPU)

    def _set_optimizer_state(self, state: Any) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            optimizer.state.clear()
        if state is not None:
            set_optimizer_state_dict(self.model, self.optimizers, state, options=_FULL)

    def _check_beginning(self, model: ModelConfig, data: Mapping[str, Any]) -> None:
        """Check that the run resumes with a model of the same configuration, and with the same data."""
        own, before = self.model.config.model_dump(), model.model_dump()
        of_model = [
            f"{key} was {before[key]!r}, is {own[key]!r}"
            for key in own
            if key not in _NOT_RESUMED and own[key] != before[key]
        ]
        of_data = [
            key
            for key in {**data, **self.data_fingerprint}
            if data.get(key) != self.data_fingerprint.get(key)
        ]
        begin = f"or begin a new run with --overwrite or another {run_option()}"
        if self.config.ckpt is not None and (of_model or "tokenizer" in of_data):
            what = "; ".join(of_model) or "the tokenizer is another one"
            raise RunError(
                f"{self.folder.run}: ckpt={self.config.ckpt} is not the model that the run began with ({what}); put "
                f"that one there again, {begin}"
            )
        if of_model or of_data:
            raise RunError(
                f"{self.folder.run}: the run began with other data (different: {', '.join(of_data + of_model)}); "
                f"restore the text that it began with, {begin}"
            )
