"""What a run will do and what it will cost, before it is started.

Steps, tokens and the learning rate follow from the configuration. Time and memory are measured: the real model takes a
few of its micro-steps on this machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import cast

import torch

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.devices import matmul_flops
from minillm_lib.training.compilation import check_compiler
from minillm_lib.training.config import (
    ConfigError,
    PretrainConfig,
    RunConfig,
    SFTConfig,
    kind_of_config,
    load_config,
)
from minillm_lib.training.data import open_pretraining_data, prepare_conversations
from minillm_lib.training.distributed import joined_processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.rehearsal import Cost, PeakMemory, Rehearsal
from minillm_lib.training.schedule import learning_rate_factor

_USEFUL_EPOCHS = 4


@dataclass(frozen=True)
class Plan:
    """A run that has not been started.

    Attributes
    ----------
    tokens_per_epoch, tokens_per_evaluation
        Of the training and the held-out rows; ``None`` while the text has not been prepared (the second is then the
        most that the configuration allows).
    device, precision
        Where and in which type it would compute.
    cost
        What was measured.
    """

    config: RunConfig
    model: ModelConfig
    seq_len: int
    tokens_per_epoch: int | None
    tokens_per_evaluation: int
    device: str
    precision: str
    cost: Cost

    @property
    def tokens_per_step(self) -> int:
        """Positions that a step reads, over all rows of its batch."""
        return self.config.train.batch_size * self.seq_len

    @property
    def tokens(self) -> int:
        """Positions that the run reads."""
        return self.config.train.steps * self.tokens_per_step

    @property
    def epochs(self) -> float | None:
        """How often each row is read; ``None`` while the text has not been prepared."""
        return None if self.tokens_per_epoch is None else self.tokens / self.tokens_per_epoch

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations of training on one token."""
        return self.model.flops_per_token(self.seq_len)

    @property
    def flops(self) -> int:
        """Floating-point operations of all steps."""
        return self.flops_per_token * self.tokens

    @property
    def mfu(self) -> float:
        """The share of the measured matrix-product peak that a step reaches."""
        return self.flops_per_token * self.tokens_per_step / self.cost.step_seconds / self.cost.matmul_flops

    @property
    def evaluation_steps(self) -> list[int]:
        """The steps after which the held-out loss is computed: none, every so many, and all."""
        steps = self.config.train.steps
        return sorted({0, *range(self.config.evaluation.every, steps, self.config.evaluation.every), steps})

    @property
    def seconds(self) -> float:
        """Training and evaluation; without samples, writing checkpoints, and preparing the text."""
        evaluation = self.tokens_per_evaluation / self.cost.evaluated_tokens_per_second
        return self.config.train.steps * self.cost.step_seconds + len(self.evaluation_steps) * evaluation

    @property
    def disk_bytes(self) -> int:
        """All checkpoints that are kept, one more while it is written, and the finished model."""
        n_checkpoints = self.config.checkpoint.most_kept(self.config.train.steps) + 1
        return n_checkpoints * self.cost.checkpoint_bytes + 4 * self.model.n_parameters

    def learning_rates(self, schedule: str | None = None) -> list[float]:
        """The learning rate of each step; ``schedule`` takes another kind than the configured one."""
        train = self.config.train
        chosen = train.schedule if schedule is None else train.schedule.replace(name=schedule)
        return [
            train.optimizer.lr * learning_rate_factor(step, train.steps, chosen)
            for step in range(train.steps)
        ]

    @property
    def warnings(self) -> list[str]:
        """What looks like an oversight."""
        train, found = self.config.train, []
        if train.schedule.warmup_steps >= train.steps:
            found.append(
                f"the warm-up of {train.schedule.warmup_steps} steps does not end within the run's {train.steps}: the "
                f"learning rate comes to {max(self.learning_rates()):.3g}, not {train.optimizer.lr:.3g}"
            )
        if (
            isinstance(self.config, PretrainConfig)
            and self.epochs is not None
            and self.epochs > _USEFUL_EPOCHS
        ):
            found.append(
                f"the text is read {self.epochs:.1f} times: beyond about {_USEFUL_EPOCHS} times it teaches less and "
                "less (Muennighoff et al. 2023, arXiv:2305.16264)"
            )
        return found


def plan(config: RunConfig | str | os.PathLike[str]) -> Plan:
    """Look ahead at a run of :func:`~minillm_lib.training.runs.pretrain` or :func:`~minillm_lib.training.runs.sft`.

    Nothing is written. The real model is built, and takes three micro-steps and three updates on random tokens.

    Parameters
    ----------
    config
        The configuration, or its YAML file.

    Raises
    ------
    ValueError
        If the configuration, the device or, for fine-tuning, the checkpoint or the conversations do not fit.
    """
    if not isinstance(config, RunConfig):
        config = load_config(cast(type[RunConfig], kind_of_config(config)), config)
    with joined_processes(config.train.device) as processes:
        precision = Precision(config.train.precision, processes.device, config.train.tf32)
        if config.train.compile:
            check_compiler(processes.device)
        with PeakMemory(processes.device) as memory:
            model, seq_len, per_epoch, per_evaluation = _what_is_trained(config)
            rehearsal = Rehearsal(model, config, seq_len, processes, precision)
            peaks = [matmul_flops(processes.device, precision.matmul_dtype)]
            step_seconds, evaluation_speed = rehearsal.step_seconds(), rehearsal.evaluated_tokens_per_second()
        peaks.append(matmul_flops(processes.device, precision.matmul_dtype))
    cost = Cost(step_seconds, evaluation_speed, memory.n_bytes, rehearsal.checkpoint_bytes(), max(peaks))
    return Plan(
        config, model.config, seq_len, per_epoch, per_evaluation, str(processes.device), precision.name, cost
    )


def _what_is_trained(config: RunConfig) -> tuple[MiniLLM, int, int | None, int]:
    """The model, the length of a row, and the tokens of an epoch and of an evaluation."""
    if isinstance(config, SFTConfig):
        return _fine_tuning(config)
    assert isinstance(config, PretrainConfig)
    model, seq_len = MiniLLM(config.model), config.seq_len
    try:
        data = open_pretraining_data(config.text)
    except (FileNotFoundError, ValueError):
        return model, seq_len, None, _evaluated(config, seq_len, None)
    train, held_out = (data.windows(split, seq_len) for split in ("train", "validation"))
    return model, seq_len, len(train) * seq_len, _evaluated(config, seq_len, len(held_out))


def _fine_tuning(config: SFTConfig) -> tuple[MiniLLM, int, int | None, int]:
    model = MiniLLM.load_from_checkpoint(config.ckpt, dtype=torch.float32)
    if model.tokenizer is None:
        raise ConfigError(f"ckpt={config.ckpt} holds no tokenizer, which fine-tuning needs")
    longest, seq_len = model.config.max_seq_len, config.train.seq_len or model.config.max_seq_len
    if seq_len > longest:
        raise ConfigError(
            f"train.seq_len={seq_len} is longer than the max_seq_len={longest} of ckpt={config.ckpt}"
        )
    data = prepare_conversations(config.data.conversations, model.tokenizer, seq_len)
    n_evaluated = sum(_evaluated(config, seq_len, len(rows)) for rows in data.held_out.values())
    return model, seq_len, len(data.train) * seq_len, n_evaluated


def _evaluated(config: RunConfig, seq_len: int, n_rows: int | None) -> int:
    """Positions of an evaluation on rows of which so many exist."""
    most = max(config.evaluation.max_tokens // seq_len, 1)
    return seq_len * (most if n_rows is None else min(most, n_rows))
