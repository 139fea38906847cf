"""What can be known to go wrong with a run before anything is computed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from minillm_lib.model.checkpoint import SINGLE_FILE_SUFFIXES, check_replaceable
from minillm_lib.model.config import ModelConfig
from minillm_lib.training.compilation import check_compiler
from minillm_lib.training.config import RunConfig, differences
from minillm_lib.training.metrics import check_loggers
from minillm_lib.training.parallel import Processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.run_folder import RunError, RunFolder

# What may change when a run goes on; everything else decides on its weights.
_FREE = (
    *(
        "run",
        "output",
        "data.folder",
        "train.steps",
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
    """See that the processes can share the work, the device has the precision, and the loggers are installed.

    Raises
    ------
    ValueError
        If not; the message names the key.
    """
    batch_size, count = config.train.batch_size, processes.count
    if batch_size % count:
        raise RunError(
            f"train.batch_size={batch_size} cannot be shared out evenly over {count} processes; "
            f"take a multiple of {count}"
        )
    Precision(config.train.precision, processes.device, config.train.tf32)
    if config.train.compile:
        check_compiler(processes.device)
    check_loggers(config.log)


def check_folder(
    config: RunConfig, folder: RunFolder, *, resume: bool, overwrite: bool
) -> dict[str, list[object]]:
    """See that a run may begin or go on in a folder; returns the keys that changed, with both values.

    Raises
    ------
    RunError
        If there is a run and neither ``resume`` nor ``overwrite``, none and ``resume``, or one whose configuration is
        another in a key that decides on the weights.
    """
    if resume:
        return _changed_keys(config, folder)
    if folder.has_run and not overwrite:
        steps = folder.checkpoint_steps()
        last = f" (it has come to step {steps[-1]})" if steps else ""
        raise RunError(
            f"{folder.path}: a run has begun here already{last}: go on with --resume, begin anew with --overwrite, "
            "or give another folder with --run"
        )
    return {}


def _changed_keys(config: RunConfig, folder: RunFolder) -> dict[str, list[object]]:
    before = folder.config()
    was_sft, is_sft = ("conversations" in each["data"] for each in (before, config.as_json()))
    if was_sft != is_sft:
        other = "an SFT run" if was_sft else "a pretraining run"
        raise RunError(f"{folder.path}: {other} is here, which cannot go on as the other kind")
    changes = {key: [old, new] for key, old, new in differences(before, config.as_json())}
    refused = [
        f"{key} was {old!r}, is {new!r}"
        for key, (old, new) in changes.items()
        if key not in _FREE and not key.startswith(_FREE_SECTIONS)
    ]
    if refused:
        raise RunError(
            f"{folder.path}: the configuration is not that of the run: {'; '.join(refused)}. "
            "Give the values that it began with, or begin anew with --overwrite or another --run"
        )
    return changes


def check_output(output: Path) -> None:
    """See that the model can be written at the end, before the work and not after it.

    Raises
    ------
    ValueError
        If there is something else at that path, or no permission to write there.
    """
    is_file = output.suffix in SINGLE_FILE_SUFFIXES
    if is_file and output.is_dir():
        raise RunError(f"output={output} is a folder already; give another name")
    if not is_file:
        check_replaceable(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise RunError(f"output={output} cannot be written: {error.strerror} ({output.parent})") from None


def check_room(config: RunConfig, model: ModelConfig, folder: RunFolder) -> None:
    """See that there is room for all checkpoints that the run will keep, beside those that are there, and its model.

    Raises
    ------
    RunError
        If not; the message has both numbers.
    """
    n_kept = config.checkpoint.most_kept(config.train.steps)
    n_new = max(n_kept + 1 - len(folder.checkpoint_steps()), 1)  # one more while it is written
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
            f"{free / 2**30:.2f} GiB free; make room, or give another output"
        )


def is_same_path(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same place, existing or not."""
    return os.path.realpath(one) == os.path.realpath(other)
