"""The two kinds of run: :func:`pretrain` makes a model that continues text, :func:`sft` one that answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from minillm_lib.generation.decoding import tokenizer_of
from minillm_lib.io.leftovers import remove_leftovers
from minillm_lib.io.wording import number_of
from minillm_lib.model.attention import GroupedQueryAttention
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.weights import WEIGHTS
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.config import VOCAB_SIZE, PretrainConfig, RunConfig, SFTConfig, check_seq_len
from minillm_lib.training.corpus_text import planned_tokenizer
from minillm_lib.training.data import (
    open_pretraining_data,
    prepare_conversations,
    prepare_pretraining_data,
)
from minillm_lib.training.overrides import load_config, with_overrides
from minillm_lib.training.parallel import Processes, joined_processes
from minillm_lib.training.preflight import (
    check_folder,
    check_machine,
    check_output,
    check_room,
    is_same_path,
    with_its_schedule,
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
    verify: bool = True,
    **overrides: Any,
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
    verify
        Whether damage to the checkpoint that is trained further is looked for: see
        :func:`~minillm_lib.model.checkpoint.load_checkpoint`. The run's own checkpoints always are verified.
    overrides
        Keys of the configuration to change: ``train={"steps": 5}``, ``run="runs/mine"``, or with dots, as on the
        command line: ``**{"train.steps": 5}``.

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
    config = _as_config(PretrainConfig, config, overrides)
    _check_ckpt_is_kept(config)
    with _begun(config, resume, overwrite) as run:
        config = run.config_said(progress, config)
        start = None if config.ckpt is None else _start(config.ckpt, verify)
        if start is not None:
            config = _with_shape_of(start, config)
        _check_vocabulary(config)
        check_room(config, sized_model(config), run.folder)
        if run.processes.is_first:
            data = prepare_pretraining_data(config.text, progress=progress)
        run.processes.wait()
        if not run.processes.is_first:
            data = open_pretraining_data(config.text)
        if start is not None and data.tokenizer.sha256 != tokenizer_of(start).sha256:
            named = config.data.packed or config.data.tokenizer
            key = f"data.{'packed' if config.data.packed else 'tokenizer'}={named}"
            raise RunError(
                f"{key} is not the tokenizer of ckpt={config.ckpt}, with which the model was trained; leave "
                f"{key.partition('=')[0]} out"
            )
        train, validation = (
            data.windows(split, config.seq_len, document_mask=config.data.document_mask)
            for split in ("train", "validation")
        )
        config = config.replace(model=sized_model(config, data.tokenizer))
        torch.manual_seed(config.train.seed)
        model = MiniLLM(config.model)
        if start is not None:
            model.load_state_dict(start.state_dict())
        model.tokenizer = data.tokenizer
        run = replace(run, config=config)
        return run.trained(model, train, {"validation": validation}, data.fingerprint, progress, on_record)


def sft(
    config: SFTConfig | str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    on_record: OnRecord | None = None,
    verify: bool = True,
    **overrides: Any,
) -> RunResult:
    """Teach a pretrained model to answer; arguments, result and errors are those of :func:`pretrain`."""
    config = _as_config(SFTConfig, config, overrides)
    _check_ckpt_is_kept(config)
    with _begun(config, resume, overwrite) as run:
        config = run.config_said(progress, config)
        model = model_to_fine_tune(config, verify=verify)
        check_room(config, model.config, run.folder)
        seq_len = config.train.fine_tuning_seq_len(model.config)
        data = prepare_conversations(config.data.conversations, tokenizer_of(model), seq_len)
        if progress and run.processes.is_first:
            print(data.summary, flush=True)
            if not data.has_second_questions:
                print(
                    "no conversation has a second question: chat will start afresh with each message",
                    flush=True,
                )
        model.chat_defaults = model.chat_defaults.replace(fresh=not data.has_second_questions)
        return run.trained(model, data.train, data.held_out, data.fingerprint, progress, on_record)


@dataclass(frozen=True)
class _Run(Generic[Config]):
    """A run that has its folder to itself, and the processes that take part in it."""

    config: Config
    folder: RunFolder
    processes: Processes
    resume: bool
    overwrite: bool
    changed_keys: Mapping[str, Any]
    leftovers: Sequence[Path] = ()

    def config_said(self, progress: bool, given: Config) -> Config:
        """Return the configuration, and say what the run has kept of the one that it began with, and cleaned away."""
        if progress and self.leftovers:
            names = ", ".join(path.name for path in self.leftovers[:3]) + ", …" * (len(self.leftovers) > 3)
            print(
                f"{self.folder.path}: removed {number_of(len(self.leftovers), 'half-written item')} that an "
                f"interrupted run had left ({names})",
                flush=True,
            )
        kept = self.config.train.schedule.steps
        if progress and self.processes.is_first and kept != given.train.schedule.steps:
            print(
                f"the learning rate keeps the schedule that the run began with, of {kept} steps, and stays where it "
                "ended; train.schedule.steps changes that",
                flush=True,
            )
        return self.config

    def trained(
        self,
        model: MiniLLM,
        rows: Rows,
        held_out: Mapping[str, Rows],
        data_fingerprint: Mapping[str, Any],
        progress: bool,
        on_record: OnRecord | None,
    ) -> RunResult:
        check_room(self.config, model.config, self.folder)  # again, as the text has taken some of it
        if self.overwrite and self.processes.is_first:
            self.folder.clear()  # only now that everything else has been checked
        self.processes.wait()
        if progress and self.processes.is_first:
            train = self.config.train
            epochs = train.steps * train.batch_size / len(rows)
            print(
                f"{number_of(len(rows), 'row')} of {rows.seq_len} tokens; in {number_of(train.steps, 'step')} of "
                f"{number_of(train.batch_size, 'row')}, each is read {epochs:,.1f} times",
                flush=True,
            )
        model.stage = self.config.stage
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
def _begun(config: Config, resume: bool, overwrite: bool) -> Iterator[_Run[Config]]:
    """Join the processes, lock the folder, and check that the run may begin or resume there.

    The first process locks and checks the folder, and the others wait for it.
    """
    if resume and overwrite:
        raise RunError("resume and overwrite exclude each other")
    folder = RunFolder(config.run)
    with joined_processes(config.train.device) as processes:
        check_machine(config, processes)
        if resume and folder.has_run:
            config = with_its_schedule(config, folder)
        if not processes.is_first:
            processes.wait()
            yield _Run(config, folder, processes, resume, overwrite, {})
            return
        if resume and not folder.has_run:
            raise RunError(f"{folder.path}: there is no run to resume; leave out --resume to begin one")
        with folder.locked():
            changed_keys = check_folder(config, folder, resume=resume, overwrite=overwrite)
            check_output(config.output)
            leftovers = folder.remove_leftovers()
            for output in {config.output, Path(os.path.realpath(config.output))}:
                leftovers += remove_leftovers(output.parent, output.name)
            processes.wait()
            yield _Run(config, folder, processes, resume, overwrite, changed_keys, leftovers)


def _as_config(
    kind: type[Config], config: Config | str | os.PathLike[str], overrides: Mapping[str, Any]
) -> Config:
    loaded = config if isinstance(config, kind) else load_config(kind, config)  # type: ignore[arg-type]
    return with_overrides(loaded, overrides) if overrides else loaded


def _check_ckpt_is_kept(config: PretrainConfig | SFTConfig) -> None:
    if config.ckpt is None:
        return
    place = config.ckpt.parent if config.ckpt.name in WEIGHTS else config.ckpt
    if is_same_path(place, config.output):
        raise RunError(
            f"output={config.output} is also the ckpt that the run starts from; give a different output"
        )


def _check_vocabulary(config: PretrainConfig) -> None:
    """Check that each piece of the tokenizer has a row in the model's embedding."""
    data, room = config.text, config.model_vocab_size
    tokenizer = planned_tokenizer(data)
    n_pieces = data.vocab_size if tokenizer is None else tokenizer.vocab_size
    if room is not None and n_pieces is not None and n_pieces > room:
        named = (
            f"data.packed={data.packed}" if data.packed is not None else f"data.tokenizer={data.tokenizer}"
        )
        key = "data.vocab_size" if tokenizer is None else f"{named}, vocab_size"
        raise RunError(
            f"{key}={n_pieces} does not fit model.vocab_size={room}: each piece needs a row in the model's embedding; "
            "leave model.vocab_size out, and the model takes the tokenizer's size"
        )


def sized_model(config: PretrainConfig, tokenizer: Tokenizer | None = None) -> ModelConfig:
    """Return the shape of a run's model, with as many ids as the tokenizer unless ``model.vocab_size`` is given.

    Parameters
    ----------
    tokenizer
        None before it is trained: then the size that it is meant to have.
    """
    if config.model_vocab_size is not None:
        return config.model
    tokenizer = tokenizer or planned_tokenizer(config.text)
    planned = config.text.vocab_size or VOCAB_SIZE
    return config.model.replace(vocab_size=planned if tokenizer is None else tokenizer.vocab_size)


def model_to_fine_tune(config: SFTConfig, *, verify: bool = True) -> MiniLLM:
    """Load the model that a fine-tuning run starts from, in float32, with its tokenizer.

    Parameters
    ----------
    verify
        Whether damage to it is looked for.

    Raises
    ------
    RunError
        If the checkpoint holds no tokenizer.
    CheckpointError
        If it is damaged, or holds weights that are not finite.
    ConfigError
        If the rows of the run are too long for the model.
    """
    model = _start(config.ckpt, verify)
    if config.dropout is not None:
        _set_dropout(model, config.dropout)
    check_seq_len(config.train.seq_len, model.config, f"ckpt={config.ckpt}")
    return model


def _with_shape_of(start: MiniLLM, config: PretrainConfig) -> PretrainConfig:
    """Check that a checkpoint has the shape of the configured model; return the configuration with its vocabulary."""
    if config.model_vocab_size is None:
        config = config.replace(model=config.model.replace(vocab_size=start.config.vocab_size))
    free = _CHANGE_NO_WEIGHT - ({"max_seq_len"} if config.model.positions == "learned" else set())
    own, wanted = start.config.model_dump(), config.model.model_dump()
    changed = [
        f"model.{key}={wanted[key]} ({own[key]})"
        for key in own
        if key not in free and own[key] != wanted[key]
    ]
    if changed:
        raise RunError(
            f"ckpt={config.ckpt} is a model of a different shape (its values in brackets): {', '.join(changed)}"
        )
    return config


def _set_dropout(model: MiniLLM, share: float) -> None:
    model.config = model.config.replace(dropout=share)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        elif isinstance(module, GroupedQueryAttention):
            module.dropout = share


def _start(ckpt: Path, verify: bool) -> MiniLLM:
    """Load a checkpoint to train it further, in float32."""
    model = MiniLLM.load_from_checkpoint(ckpt, dtype=torch.float32, verify=verify)
    if model.tokenizer is None:
        raise RunError(f"ckpt={ckpt} holds no tokenizer, so it cannot be trained further")
    return model
