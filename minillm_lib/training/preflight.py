"""Checks of a run before anything is computed: its processes, its folder, its output, and the room on the disk."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TypeVar

from minillm_lib.io.wording import number_of, size
from minillm_lib.io.write_errors import free_room
from minillm_lib.model.checkpoint import SINGLE_FILE_SUFFIXES, check_replaceable
from minillm_lib.model.config import ModelConfig
from minillm_lib.training.checkpoints import beside_tensors
from minillm_lib.training.compilation import check_compiler
from minillm_lib.training.config import ConfigError, PretrainConfig, RunConfig
from minillm_lib.training.metrics import check_loggers
from minillm_lib.training.overrides import differences
from minillm_lib.training.parallel import Processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.run_folder import RunError, RunFolder, checkpoint_steps, run_option

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
_WEIGHT_BYTES, _STATE_BYTES = 4, 12  # per parameter: weights, and weights with two moments, in float32
_RECORD_BYTES = 500  # a line of the metrics


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
        If the folder holds a run, or checkpoints of one, and neither ``resume`` nor ``overwrite`` is given; or if
        ``resume`` is given and the folder holds no run, or one whose configuration differs in a key that affects the
        weights.
    """
    if resume:
        return _changed_keys(config, folder)
    steps = checkpoint_steps(folder.path)
    if (folder.has_run or steps) and not overwrite:
        last = f" (it has reached step {steps[-1]})" if steps else ""
        resume_it = "resume it with --resume, " if folder.has_run else "its config.yaml is missing: "
        raise RunError(
            f"{folder.path}: a run has already begun here{last}: {resume_it}start again with "
            f"--overwrite, or give another folder with {run_option()}"
        )
    return {}


def _changed_keys(config: RunConfig, folder: RunFolder) -> dict[str, list[object]]:
    before = folder.config()
    was_sft, is_sft = ("conversations" in each.get("data", {}) for each in (before, config.as_json()))
    if was_sft != is_sft:
        other = "an SFT run" if was_sft else "a pretraining run"
        raise RunError(f"{folder.path}: this folder holds {other}, which cannot be resumed as the other kind")
    now = config.as_json()
    if isinstance(config, PretrainConfig) and config.model_vocab_size is None:
        now["model"]["vocab_size"] = before.get("model", {}).get("vocab_size")  # it is the tokenizer's
    changes = {key: [old, new] for key, old, new in differences(before, now)}
    refused = [
        f"{key} was {old!r}, is {new!r}"
        for key, (old, new) in changes.items()
        if key not in _FREE and not key.startswith(_FREE_SECTIONS)
    ]
    if refused:
        raise RunError(
            f"{folder.path}: the configuration differs from that of the run: {'; '.join(refused)}. "
            f"Give the values that it began with, or begin a new run with --overwrite or another {run_option()}"
        )
    return changes


def with_its_schedule(config: Config, folder: RunFolder) -> Config:
    """Return the configuration of a run that resumes with more steps, so that its learning rate does not rise again.

    The schedule stays the one that the run began with, unless ``train.schedule.steps`` is given.

    Raises
    ------
    ConfigError
        If that schedule has ended at a learning rate of 0: more steps would change nothing.
    """
    train = config.train
    before = folder.config().get("train", {})
    steps_before = before.get("steps", train.steps)
    length = train.schedule.steps or before.get("schedule", {}).get("steps") or steps_before
    if train.schedule.name == "constant" or length >= train.steps:
        return config
    if not train.schedule.final_share and steps_before < train.steps:
        raise ConfigError(
            f"the run's learning rate falls to 0 by step {length:,}, and train.steps is {train.steps:,}: the steps "
            f"after {length:,} would change nothing; set train.schedule.steps to {train.steps}, and the rate falls "
            "over all of them"
        )
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
    """Check that there is room for all that the run will add: checkpoints, metrics, and the finished model.

    While a checkpoint or the model is written, the one that it replaces is still there, which is counted. What goes to
    the same disk is added up.

    Raises
    ------
    RunError
        If there is not; the message names what is needed, what is free, and what is missing.
    """
    kept = config.checkpoint.most_kept(config.train.steps)
    n_new = max(kept + 1 - len(checkpoint_steps(folder.path)), 1)  # one more while it is written
    one = _STATE_BYTES * model.n_parameters + beside_tensors(model)
    finished = _WEIGHT_BYTES * model.n_parameters + beside_tensors(model)
    needs = [
        (folder.path, number_of(n_new, "more checkpoint"), n_new * one),
        (folder.path, "its metrics", _RECORD_BYTES * config.train.steps),
        (config.output.parent, "the finished model", finished),
    ]
    by_disk = defaultdict(list)
    for place, what, n_bytes in needs:
        by_disk[_disk_of(place)].append((place, what, n_bytes))
    for own in by_disk.values():
        check_free(
            own[0][0],
            sum(n_bytes for _, _, n_bytes in own),
            ", ".join(f"{what} ({size(n_bytes)})" for _, what, n_bytes in own),
            f"keep fewer checkpoints with --checkpoint.keep_last, or give another {run_option()} or --output",
        )


def _disk_of(place: Path) -> int:
    return os.stat(place).st_dev


def check_free(place: Path, needed: int, what: str, advice: str) -> None:
    """Check that so many bytes are free on the disk of a folder, which need not exist.

    Raises
    ------
    RunError
        If not; the message says for ``what`` they are needed, how many are missing, and has the ``advice``.
    """
    free = free_room(place)
    if free < needed:
        raise RunError(
            f"{place}: {size(needed)} are needed for {what}, and the disk has {size(free)} free, "
            f"{size(needed - free)} too little; make room, {advice}"
        )


def is_same_path(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same place, which need not exist."""
    return os.path.realpath(one) == os.path.realpath(other)
