"""The two kinds of run: :func:`pretrain` makes a model that continues text, :func:`sft` one that answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from minillm_lib.generation.decoding import tokenizer_of
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import PretrainConfig, RunConfig, SFTConfig, check_seq_len
from minillm_lib.training.data import (
    given_tokenizer,
    open_pretraining_data,
    prepare_conversations,
    prepare_pretraining_data,
)
from minillm_lib.training.overrides import load_config
from minillm_lib.training.parallel import Processes, joined_processes
from minillm_lib.training.preflight import (
    check_folder,
    check_machine,
    check_output,
    check_room,
    is_same_path,
)
from minillm_lib.training.rows import Rows
from minillm_lib.training.run import RunResult
from minillm_lib.training.run_folder import Record, RunError, RunFolder
from minillm_lib.training.trainer import Trainer

OnRecord = Callable[[Record], None]
Config = TypeVar("Config", bound=RunConfig)

_CHANGE_NO_WEIGHT = {
    "max_seq_len",
    "rope_theta",
    "rope_scaling",
    "dropout",
    "initializer_range",
    "scale_residual_init",
    "activation_checkpointing",
}


def pretrain(
    config: PretrainConfig | str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    on_record: OnRecord | None = None,
) -> RunResult:
    """Train a model to continue text, from random weights or, with ``config.ckpt``, from a checkpoint.

    Parameters
    ----------
    config
        The configuration, or the path of its YAML file.
    resume, overwrite
        What to do if the folder already holds a run: resume it from its last checkpoint, or remove it.
        If neither is given, an existing run is an error.
    progress
        Show progress bars.
    on_record
        Called with each record of the metrics, such as ``{"kind": "step", "step": 1, "loss": 8.76, …}``.

    Returns
    -------
    RunResult
        The run so far; it is not finished if a signal has stopped it.

    Raises
    ------
    ValueError
        If the configuration, the data, the folder or the machine is unsuitable; this is checked before any compute is
        spent. :class:`~minillm_lib.training.run_folder.RunError` means that the run cannot begin, resume or be saved,
        and :class:`~minillm_lib.training.divergence.TrainingDivergedError` that the loss is no longer finite, or has
        jumped in a run that is to stop then.
    """
    config = _as_config(PretrainConfig, config)
    _check_ckpt_is_kept(config)
    with _begun(config, resume, overwrite) as run:
        check_room(config, config.model, run.folder)
        _check_vocabulary(config)
        torch.manual_seed(config.train.seed)
        model = MiniLLM(config.model) if config.ckpt is None else _continued(config.ckpt, config.model)
        if run.processes.is_first:
            data = prepare_pretraining_data(config.text, progress=progress)
        run.processes.wait()
        if not run.processes.is_first:
            data = open_pretraining_data(config.text)
        if config.ckpt is not None and data.tokenizer.sha256 != tokenizer_of(model).sha256:
            raise RunError(
                f"data.tokenizer={config.data.tokenizer} is not the tokenizer of ckpt={config.ckpt}, with which the "
                "model was trained; leave data.tokenizer out"
            )
        train, validation = (
            data.windows(split, config.seq_len, document_mask=config.data.document_mask)
            for split in ("train", "validation")
        )
        model.tokenizer = data.tokenizer
        return run.trained(model, train, {"validation": validation}, data.fingerprint, progress, on_record)


def sft(
    config: SFTConfig | str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    on_record: OnRecord | None = None,
) -> RunResult:
    """Teach a pretrained model to answer; arguments, result and errors are those of :func:`pretrain`."""
    config = _as_config(SFTConfig, config)
    _check_ckpt_is_kept(config)
    with _begun(config, resume, overwrite) as run:
        model = model_to_fine_tune(config)
        check_room(config, model.config, run.folder)
        seq_len = config.train.seq_len or model.config.max_seq_len
        data = prepare_conversations(config.data.conversations, tokenizer_of(model), seq_len)
        if progress and run.processes.is_first:
            print(data.summary, flush=True)
        return run.trained(model, data.train, data.held_out, data.fingerprint, progress, on_record)


@dataclass(frozen=True)
class _Run:
    """A run that has its folder to itself, and the processes that take part in it."""

    config: RunConfig
    folder: RunFolder
    processes: Processes
    resume: bool
    overwrite: bool
    changed_keys: Mapping[str, Any]

    def trained(
        self,
        model: MiniLLM,
        rows: Rows,
        held_out: Mapping[str, Rows],
        data_fingerprint: Mapping[str, Any],
        progress: bool,
        on_record: OnRecord | None,
    ) -> RunResult:
        if self.overwrite and self.processes.is_first:
            self.folder.clear()  # only now that everything else has been checked
        self.processes.wait()
        trainer = Trainer(
            self.config,
            self.folder,
            self.processes,
            model,
            rows,
            held_out,
            data_fingerprint,
            progress=progress,
            on_record=on_record,
        )
        if self.resume:
            trainer.resume(self.changed_keys)
        if self.processes.is_first:
            self.folder.write_config(self.config.as_json())
        return trainer.run()


@contextmanager
def _begun(config: RunConfig, resume: bool, overwrite: bool) -> Iterator[_Run]:
    """Join the processes, lock the folder, and check that the run may begin or resume there.

    The first process locks and checks the folder, and the others wait for it.
    """
    if resume and overwrite:
        raise RunError("resume and overwrite exclude each other")
    folder = RunFolder(config.run)
    with joined_processes(config.train.device) as processes:
        check_machine(config, processes)
        if not processes.is_first:
            processes.wait()
            yield _Run(config, folder, processes, resume, overwrite, {})
            return
        if resume and not folder.has_run:
            raise RunError(f"{folder.path}: there is no run to resume; leave out --resume to begin one")
        with folder.locked():
            changed_keys = check_folder(config, folder, resume=resume, overwrite=overwrite)
            check_output(config.output)
            processes.wait()
            yield _Run(config, folder, processes, resume, overwrite, changed_keys)


def _as_config(kind: type[Config], config: Config | str | os.PathLike[str]) -> Config:
    return config if isinstance(config, kind) else load_config(kind, config)  # type: ignore[arg-type]


def _check_ckpt_is_kept(config: PretrainConfig | SFTConfig) -> None:
    if config.ckpt is not None and is_same_path(config.ckpt, config.output):
        raise RunError(
            f"output={config.output} is also the ckpt that the run starts from; give a different output"
        )


def _check_vocabulary(config: PretrainConfig) -> None:
    """Check that each piece of the tokenizer has a row in the model's embedding."""
    data, room = config.text, config.model.vocab_size
    n_pieces = data.vocab_size if data.tokenizer is None else given_tokenizer(data.tokenizer).vocab_size
    if n_pieces > room:
        key = "data.vocab_size" if data.tokenizer is None else f"data.tokenizer={data.tokenizer}, vocab_size"
        raise RunError(
            f"{key}={n_pieces} does not fit model.vocab_size={room}: each piece needs a row in the model's embedding"
        )


def model_to_fine_tune(config: SFTConfig) -> MiniLLM:
    """Load the model that a fine-tuning run starts from, in float32, with its tokenizer.

    Raises
    ------
    RunError
        If the checkpoint holds no tokenizer, or weights that are not finite.
    ConfigError
        If the rows of the run are too long for the model.
    """
    model = _start(config.ckpt)
    check_seq_len(config.train.seq_len, model.config, f"ckpt={config.ckpt}")
    return model


def _continued(ckpt: Path, config: ModelConfig) -> MiniLLM:
    """Load the weights of a checkpoint into a model of this configuration, which must have the same shape."""
    start = _start(ckpt)
    free = _CHANGE_NO_WEIGHT - ({"max_seq_len"} if config.positions == "learned" else set())
    own, wanted = start.config.model_dump(), config.model_dump()
    changed = [
        f"model.{key}={wanted[key]} ({own[key]})"
        for key in own
        if key not in free and own[key] != wanted[key]
    ]
    if changed:
        raise RunError(
            f"ckpt={ckpt} is a model of a different shape (its values in brackets): {', '.join(changed)}"
        )
    model = MiniLLM(config)
    model.load_state_dict(start.state_dict())
    model.tokenizer = start.tokenizer
    return model


def _start(ckpt: Path) -> MiniLLM:
    """Load a checkpoint to train it further, in float32."""
    model = MiniLLM.load_from_checkpoint(ckpt, dtype=torch.float32)
    if model.tokenizer is None:
        raise RunError(f"ckpt={ckpt} holds no tokenizer, so it cannot be trained further")
    if not all(bool(torch.isfinite(each).all()) for each in model.parameters()):
        raise RunError(f"ckpt={ckpt} holds weights that are not finite, so it cannot be trained further")
    return model
