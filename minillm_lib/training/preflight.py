"""Checks of a run before anything is computed: its processes, its folder, its output, and the room on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TypeVar

from minillm_lib.model.checkpoint import SINGLE_FILE_SUFFIXES, check_replaceable
from minillm_lib.model.config import ModelConfig
from minillm_lib.training.compilation import check_compiler
from minillm_lib.training.config import PretrainConfig, RunConfig
from minillm_lib.training.metrics import check_loggers
from minillm_lib.training.overrides import differences
from minillm_lib.training.parallel import Processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.run_folder import RunError, RunFolder, checkpoint_steps

Config = TypeVar("Config", bound=RunConfig)

# What may change when a run resumes; everything else affects its weights.
_FREE = (
    *(
        "run",
        "output",
        "data.folder",
        "train.steps",
        "train.schedule.steps",
        "train.micro_batch_size",
        "train.compile",
        "train.device",
        "train.activation_checkpointing",
        "model.activation_checkpointing",
    ),
    *("train.distributed", "train.on_nan", "train.on_spike", "train.spike_deviations"),
)
_FREE_SECTIONS = ("evaluation.", "checkpoint.", "log.")
_BYTES_PER_PARAMETER = 12  # weights and two moments, in float32


def check_machine(config: RunConfig, processes: Processes) -> None:
    """Check that the processes can share the work, the device has the precision, and the loggers are installed.

    Raises
    ------
    ValueError
        If not; the message names the key of the configuration.
    """
    batch_size, count = config.train.batch_size, processes.count
    if batch_size % count:
        raise RunError(
            f"train.batch_size={batch_size} cannot be divided evenly among {count} processes; "
            f"give a multiple of {count}"
        )
    Precision(config.train.precision, processes.device, config.train.tf32)
    if config.train.compile:
        check_compiler(processes.device)
    check_loggers(config.log)


def check_folder(
    config: RunConfig, folder: RunFolder, *, resume: bool, overwrite: bool
) -> dict[str, list[object]]:
    """Check that a run may begin or resume in a folder; return the keys that have changed, with both values.

    Raises
    ------
    RunError
        If the folder holds a run and neither ``resume`` nor ``overwrite`` is given; or if ``resume`` is given and the
        folder holds no run, or one whose configuration differs in a key that affects the weights.
    """
    if resume:
        return _changed_keys(config, folder)
    if folder.has_run and not overwrite:
        steps = checkpoint_steps(folder.path)
        last = f" (it has reached step {steps[-1]})" if steps else ""
        raise RunError(
            f"{folder.path}: a run has already begun here{last}: resume it with --resume, start again with "
            "--overwrite, or give another folder with --run"
        )
    return {}


def _changed_keys(config: RunConfig, folder: RunFolder) -> dict[str, list[object]]:
    before = folder.config()
    was_sft, is_sft = ("conversations" in each["data"] for each in (before, config.as_json()))
    if was_sft != is_sft:
        other = "an SFT run" if was_sft else "a pretraining run"
        raise RunError(f"{folder.path}: this folder holds {other}, which cannot be resumed as the other kind")
    now = config.as_json()
    if isinstance(config, PretrainConfig) and config.model_vocab_size is None:
        now["model"]["vocab_size"] = before["model"]["vocab_size"]  # it is the tokenizer's
    changes = {key: [old, new] for key, old, new in differences(before, now)}
    refused = [
        f"{key} was {old!r}, is {new!r}"
        for key, (old, new) in changes.items()
        if key not in _FREE and not key.startswith(_FREE_SECTIONS)
    ]
    if refused:
        raise RunError(
            f"{folder.path}: the configuration differs from that of the run: {'; '.join(refused)}. "
            "Give the values that it began with, or begin a new run with --overwrite or another --run"
        )
    return changes


def with_its_schedule(config: Config, folder: RunFolder) -> Config:
    """Return the configuration of a run that resumes with more steps, so that its learning rate does not rise again.

    The schedule stays the one that the run began with, unless ``train.schedule.steps`` is given.
    """
    train = config.train
    before = folder.config()["train"]
    length = before["schedule"].get("steps") or before["steps"]
    if train.schedule.steps is not None or train.schedule.name == "constant" or length >= train.steps:
        return config
    return config.replace(train=train.replace(schedule=train.schedule.replace(steps=length)))


def check_output(output: Path) -> None:
    """Check before the run begins that its model can be written at the end.

    Raises
    ------
    ValueError
        If there is something else at that path, or no permission to write there.
    """
    is_file = output.suffix in SINGLE_FILE_SUFFIXES
    if is_file and output.is_dir():
        raise RunError(f"output={output} is an existing folder; give another name")
    if not is_file:
        check_replaceable(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise RunError(f"output={output} cannot be written: {error.strerror} ({output.parent})") from None


def check_room(config: RunConfig, model: ModelConfig, folder: RunFolder) -> None:
    """Check that the disk has room for the finished model, and for all checkpoints that the run will add and keep.

    Raises
    ------
    RunError
        If it has not; the message names the room that is needed and the room that is free.
    """
    n_kept = config.checkpoint.most_kept(config.train.steps)
    n_new = max(n_kept + 1 - len(checkpoint_steps(folder.path)), 1)  # one more while it is written
    needed = n_new * _BYTES_PER_PARAMETER * model.n_parameters
    free = shutil.disk_usage(folder.path).free
    if free < needed:
        raise RunError(
            f"{folder.path}: {n_new} more checkpoints need {needed / 2**30:.2f} GiB, and the disk has "
            f"{free / 2**30:.2f} GiB free; make room, or keep fewer with --checkpoint.keep_last"
        )
    needed, free = 4 * model.n_parameters, shutil.disk_usage(config.output.parent).free
    if free < needed:
        raise RunError(
            f"output={config.output}: the model needs {needed / 2**30:.2f} GiB, and the disk has "
            f"{free / 2**30:.2f} GiB free; make room, or give another output path"
        )


def is_same_path(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same place, which need not exist."""
    return os.path.realpath(one) == os.path.realpath(other)
