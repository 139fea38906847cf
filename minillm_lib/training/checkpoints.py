"""The state of a run, gathered into a checkpoint and given back from one.

A checkpoint is the same whatever number of processes wrote it, and any other number goes on from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from minillm_lib.model.checkpoint import CheckpointError, save_checkpoint
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import CheckpointConfig
from minillm_lib.training.parallel import Processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.progress import Progress
from minillm_lib.training.run_folder import RunError, RunFolder

_ON_CPU = StateDictOptions(full_state_dict=True, cpu_offload=True)
_FULL = StateDictOptions(full_state_dict=True)


class Checkpoints:
    """Saves a model, its optimizers, its scaler and its progress, and loads them in place.

    Parameters
    ----------
    data_facts
        What tells the data from any other; a run goes on only with the data that it began with.
    """

    def __init__(
        self,
        folder: RunFolder,
        processes: Processes,
        model: MiniLLM,
        optimizers: Sequence[Optimizer],
        precision: Precision,
        data_facts: Mapping[str, Any],
        settings: CheckpointConfig,
    ) -> None:
        self.folder, self.processes, self.settings = folder, processes, settings
        self.model, self.optimizers, self.precision = model, optimizers, precision
        self.data_facts = dict(data_facts)
        with torch.device("meta"):
            self._whole = MiniLLM(model.config)  # what the gathered weights are put into, to be written
        self._whole.tokenizer = model.tokenizer

    @property
    def exist(self) -> bool:
        """Whether there is one."""
        return bool(self.folder.checkpoint_steps())

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, and remove those that are not to be kept.

        Raises
        ------
        RunError
            If it cannot be written; the checkpoints that were there stay.
        """
        weights = get_model_state_dict(self.model, options=_ON_CPU)
        optimizer_state = self._optimizer_state(progress.step)
        if self.processes.is_first:
            self._whole.load_state_dict(weights, assign=True)
            facts = {
                "progress": asdict(progress),
                "data": self.data_facts,
                "precision": self.precision.state(),
                "processes": self.processes.count,
            }
            self.folder.save(progress.step, self._whole, optimizer_state, facts)
            self.folder.remove_checkpoints(keep=self._to_keep(progress.best_step))
        self.processes.wait()

    def _to_keep(self, best_step: int) -> list[int]:
        """The last few, the best by held-out loss, and every so many steps."""
        saved, every = self.folder.checkpoint_steps(), self.settings.keep_every
        kept = {best_step, *saved[-self.settings.keep_last :]}
        if every is not None:
            kept |= {step for step in saved if step > 0 and step % every == 0}
        return sorted(kept)

    def load_newest(self) -> tuple[Progress, list[str]]:
        """Take up the newest checkpoint that is whole; also says what is wrong with newer ones.

        Raises
        ------
        CheckpointError
            If none is whole.
        RunError
            If the data is not what the run began with.
        """
        step, faults = self.folder.newest_whole_checkpoint() if self.processes.is_first else (0, [])
        step = int(self.processes.total(step)[0])
        facts = self.folder.verified_facts(step)
        self._check_data(facts["data"])
        self._set_optimizer_state(self.folder.load_optimizer_state(step))
        weights = MiniLLM.load_from_checkpoint(self.folder.checkpoint_path(step)).state_dict()
        set_model_state_dict(self.model, weights, options=_FULL)
        self.precision.load_state(facts["precision"])
        return Progress(**facts["progress"]), faults

    def export_best(self, progress: Progress, output: Path) -> tuple[int, list[str]]:
        """Put the model with the lowest held-out loss in its place; its step.

        Where that checkpoint is not whole, it is the model of the last step, and the list says what was wrong.

        Raises
        ------
        RunError
            If it cannot be written; the run is complete then, and ``--resume`` only puts the model in its place.
        """
        step, faults = progress.best_step, list[str]()
        try:
            self.folder.verified_facts(step)
        except CheckpointError as error:
            step, faults = progress.step, [str(error)]
        model = MiniLLM.load_from_checkpoint(self.folder.checkpoint_path(step))
        with self.folder.saying_what_is_left(output):
            save_checkpoint(model, output)
        return step, faults

    def _optimizer_state(self, step: int) -> Any:
        """Whole and on the CPU; ``None`` before the first step, when there is none (torch would make one up)."""
        if step == 0:
            return None
        return get_optimizer_state_dict(self.model, self.optimizers, options=_ON_CPU)

    def _set_optimizer_state(self, state: Any) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            optimizer.state.clear()
        if state is not None:
            set_optimizer_state_dict(self.model, self.optimizers, state, options=_FULL)

    def _check_data(self, began_with: Mapping[str, Any]) -> None:
        changed = [
            key
            for key in {**began_with, **self.data_facts}
            if began_with.get(key) != self.data_facts.get(key)
        ]
        if changed:
            raise RunError(
                f"{self.folder.path}: the run began with other data than there is now (different: "
                f"{', '.join(changed)}); bring back the text that it began with, "
                "or begin a new run with --overwrite or another --run"
            )
