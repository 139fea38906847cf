"""Planning: what a run will do and what it will cost, before it is started.

Steps, tokens and the learning rate follow from the configuration. Time and memory are measured: a :class:`Rehearsal`
runs a few micro-steps of the real model on this machine. :func:`plan` returns both as a :class:`Plan`.
"""

from __future__ import annotations

import gc
import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import cast

import psutil
import torch

from minillm_lib.generation.decoding import tokenizer_of
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.devices import matmul_flops
from minillm_lib.training.compilation import check_compiler
from minillm_lib.training.config import PretrainConfig, RunConfig, SFTConfig, TrainConfig
from minillm_lib.training.data import open_pretraining_data, prepare_conversations
from minillm_lib.training.optimizer import learning_rate_factor, make_optimizers
from minillm_lib.training.overrides import kind_of_config, load_config
from minillm_lib.training.parallel import Processes, Replica, joined_processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.rows import Batch
from minillm_lib.training.stages import model_to_fine_tune, sized_model

_USEFUL_EPOCHS = 4
_TIMES = 2


@dataclass(frozen=True)
class Plan:
    """What a run will do and cost, before it is started.

    Attributes
    ----------
    tokens_per_epoch
        Tokens of all training rows; None while the text has not been prepared.
    tokens_per_evaluation
        Tokens that an evaluation reads; while the text has not been prepared, the most that the configuration allows.
    device, precision
        Where the run would compute, and in which type.
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
        """Tokens that a step reads, over all rows of its batch, padding included."""
        return self.config.train.batch_size * self.seq_len

    @property
    def tokens(self) -> int:
        """Tokens that the run reads, padding included."""
        return self.config.train.steps * self.tokens_per_step

    @property
    def epochs(self) -> float | None:
        """How many times each row is read; None while the text has not been prepared."""
        return None if self.tokens_per_epoch is None else self.tokens / self.tokens_per_epoch

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations for training on one token."""
        return self.model.flops_per_token(self.seq_len)

    @property
    def flops(self) -> int:
        """Floating-point operations for all steps."""
        return self.flops_per_token * self.tokens

    @property
    def mfu(self) -> float:
        """The share of the measured peak speed of matrix products that a step reaches."""
        return self.flops_per_token * self.tokens_per_step / self.cost.step_seconds / self.cost.matmul_flops

    @property
    def evaluation_steps(self) -> list[int]:
        """The steps after which the held-out loss is computed: 0, multiples of ``evaluation.every``, and the last."""
        steps = self.config.train.steps
        return sorted({0, *range(self.config.evaluation.every, steps, self.config.evaluation.every), steps})

    @property
    def seconds(self) -> float:
        """Seconds for training and evaluation, without samples, writing checkpoints, and preparing the text."""
        evaluation = self.tokens_per_evaluation / self.cost.evaluated_tokens_per_second
        return self.config.train.steps * self.cost.step_seconds + len(self.evaluation_steps) * evaluation

    @property
    def disk_bytes(self) -> int:
        """Bytes for all checkpoints that are kept, one more while it is written, and the finished model."""
        n_checkpoints = self.config.checkpoint.most_kept(self.config.train.steps) + 1
        return n_checkpoints * self.cost.checkpoint_bytes + 4 * self.model.n_parameters

    def learning_rates(self, schedule: str | None = None) -> list[float]:
        """Return the learning rate of each step.

        Parameters
        ----------
        schedule
            The name of another schedule; None for the configured one.
        """
        train = self.config.train
        chosen = train.schedule if schedule is None else train.schedule.replace(name=schedule)
        return [
            train.optimizer.lr * learning_rate_factor(step, train.steps, chosen)
            for step in range(train.steps)
        ]

    @property
    def warnings(self) -> list[str]:
        """What looks like an oversight in the configuration."""
        train, found = self.config.train, []
        if train.schedule.warmup_steps > train.steps:
            found.append(
                f"the warm-up of {train.schedule.warmup_steps} steps does not end within the run's {train.steps} "
                f"steps: the learning rate reaches {max(self.learning_rates()):.3g}, not {train.optimizer.lr:.3g}"
            )
        if (
            isinstance(self.config, PretrainConfig)
            and self.epochs is not None
            and self.epochs > _USEFUL_EPOCHS
        ):
            found.append(
                f"the text is read {self.epochs:.1f} times; beyond about {_USEFUL_EPOCHS} times, repeated text teaches "
                "less and less (Muennighoff et al. 2023, arXiv:2305.16264)"
            )
        return found


@dataclass(frozen=True)
class Cost:
    """What was measured on this machine.

    Attributes
    ----------
    step_seconds
        Seconds for an optimizer step: forward and backward passes of the whole batch, clipping, and the update.
    evaluated_tokens_per_second
        The speed of the forward pass alone.
    memory_bytes
        The peak of weights, gradients, the optimizers' state and activations; on a CPU, how far the process's memory
        rose above what it was before, on CUDA, what was allocated on the device.
    checkpoint_bytes
        The size of the weights and the optimizers' state.
    matmul_flops
        Floating-point operations per second in plain matrix products, in the type in which the run computes.
    """

    step_seconds: float
    evaluated_tokens_per_second: float
    memory_bytes: int
    checkpoint_bytes: int
    matmul_flops: float


def plan(config: RunConfig | str | os.PathLike[str], *, verify: bool = True) -> Plan:
    """Plan a run of :func:`~minillm_lib.training.stages.pretrain` or :func:`~minillm_lib.training.stages.sft`.

    Nothing is written. The real model is built, and runs three micro-steps and three updates on random tokens.

    Parameters
    ----------
    config
        The configuration, or the path of its YAML file.
    verify
        Whether damage to the checkpoint that is fine-tuned is looked for.

    Raises
    ------
    ValueError
        If the configuration, the device or, for fine-tuning, the checkpoint or the conversations are unsuitable.
    """
    if not isinstance(config, RunConfig):
        config = load_config(cast(type[RunConfig], kind_of_config(config)), config)
    with joined_processes(config.train.device) as processes:
        precision = Precision(config.train.precision, processes.device, config.train.tf32)
        if config.train.compile:
            check_compiler(processes.device)
        with PeakMemory(processes.device) as memory:
            model, seq_len, per_epoch, per_evaluation = _what_is_trained(config, verify)
            rehearsal = Rehearsal(model, config, seq_len, processes, precision)
            peaks = [matmul_flops(processes.device, precision.matmul_dtype)]
            step_seconds, evaluation_speed = rehearsal.step_seconds(), rehearsal.evaluated_tokens_per_second()
        peaks.append(matmul_flops(processes.device, precision.matmul_dtype))
    cost = Cost(step_seconds, evaluation_speed, memory.n_bytes, rehearsal.checkpoint_bytes(), max(peaks))
    return Plan(
        config, model.config, seq_len, per_epoch, per_evaluation, str(processes.device), precision.name, cost
    )


def _what_is_trained(config: RunConfig, verify: bool) -> tuple[MiniLLM, int, int | None, int]:
    """Return the model, the length of a row, and the tokens per epoch and per evaluation."""
    if isinstance(config, SFTConfig):
        return _fine_tuning(config, verify)
    assert isinstance(config, PretrainConfig)
    shape, seq_len, per_epoch, per_evaluation = text_sizes(config)
    return MiniLLM(shape), seq_len, per_epoch, per_evaluation


def text_sizes(config: PretrainConfig) -> tuple[ModelConfig, int, int | None, int]:
    """Return the model's shape, the length of a row, and the tokens per epoch (None if unknown) and evaluation."""
    seq_len = config.seq_len
    try:
        data = open_pretraining_data(config.text)
    except (FileNotFoundError, ValueError):  # not prepared yet
        return sized_model(config), seq_len, None, evaluated_tokens(config, seq_len, None)
    train, held_out = (data.windows(split, seq_len) for split in ("train", "validation"))
    n_evaluated = evaluated_tokens(config, seq_len, len(held_out))
    return sized_model(config, data.tokenizer), seq_len, len(train) * seq_len, n_evaluated


def _fine_tuning(config: SFTConfig, verify: bool) -> tuple[MiniLLM, int, int | None, int]:
    model = model_to_fine_tune(config, verify=verify)
    seq_len = config.train.fine_tuning_seq_len(model.config)
    data = prepare_conversations(config.data.conversations, tokenizer_of(model), seq_len)
    n_evaluated = sum(evaluated_tokens(config, seq_len, len(rows)) for rows in data.held_out.values())
    return model, seq_len, len(data.train) * seq_len, n_evaluated


def evaluated_tokens(config: RunConfig, seq_len: int, n_rows: int | None) -> int:
    """Return how many tokens an evaluation reads of ``n_rows`` rows; None where their number is not known."""
    most = max(config.evaluation.max_tokens // seq_len, 1)
    return seq_len * (most if n_rows is None else min(most, n_rows))


class Rehearsal:
    """A run's model and optimizers, at work on random tokens to measure their speed and size."""

    def __init__(
        self, model: MiniLLM, config: RunConfig, seq_len: int, processes: Processes, precision: Precision
    ) -> None:
        self.train: TrainConfig = config.train
        self.n_rows = self.train.rows_at_a_time(seq_len, on_gpu=processes.device.type == "cuda")
        self.precision, self.device = precision, processes.device
        self.replica = Replica(model, self.train, processes, precision.dtype)
        self.optimizers = make_optimizers(model, self.train.optimizer, precision.matmul_dtype)
        is_masked = isinstance(config, SFTConfig) or cast(PretrainConfig, config).data.document_mask
        self.batch = _random_batch(self.n_rows, seq_len, model.config.vocab_size, is_masked).to(self.device)

    def step_seconds(self) -> float:
        """Measure one micro-batch and one update, and compute from them the seconds of a full step."""
        self._forward_and_backward()  # the first pass reserves memory, and compiles if configured
        passes = self._seconds(self._forward_and_backward)
        self._update()  # the first one creates the optimizers' state
        updates = self._seconds(self._update)
        return passes * self.train.batch_size / self.n_rows + updates

    def evaluated_tokens_per_second(self) -> float:
        """Measure the speed of the forward pass."""
        self.replica.model.eval()
        self._forward()
        return self.batch.input_ids.numel() / self._seconds(self._forward)

    def checkpoint_bytes(self) -> int:
        """Return the size of the weights and the optimizers' state."""
        states = (state for optimizer in self.optimizers for state in optimizer.state.values())
        tensors = [each for state in states for each in state.values() if isinstance(each, torch.Tensor)]
        return sum(
            each.numel() * each.element_size() for each in (*tensors, *self.replica.model.parameters())
        )

    def _forward_and_backward(self) -> None:
        with self.precision.autocast():
            loss = self.replica(self.batch)
        self.precision.backward(loss / self.batch.n_labels)

    def _forward(self) -> None:
        with torch.no_grad(), self.precision.autocast():
            self.replica.summed_loss(self.batch)

    def _update(self) -> None:
        self.precision.unscale(self.optimizers)
        self.precision.step(self.optimizers, self.replica.clip_gradients(self.train.clip_norm))

    def _seconds(self, work: Callable[[], None]) -> float:
        seconds = []
        for _ in range(_TIMES):
            self._wait()
            start = time.perf_counter()
            work()
            self._wait()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    def _wait(self) -> None:
        """Wait until the device has finished its work."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


def _random_batch(n_rows: int, seq_len: int, vocab_size: int, is_masked: bool) -> Batch:
    ids = torch.randint(vocab_size, (n_rows, seq_len + 1))
    if not is_masked:
        return Batch(ids[:, :-1], ids[:, 1:])
    positions = torch.arange(seq_len).expand(n_rows, -1)
    return Batch(ids[:, :-1], ids[:, 1:], positions, torch.zeros_like(positions))


class PeakMemory:
    """A context that measures the peak of memory in use.

    Parameters
    ----------
    interval
        Seconds between two looks at the memory of the process; CUDA records the peak itself.

    Attributes
    ----------
    n_bytes
        The peak, once the context has ended: on a CPU, above what the process held before; on CUDA, of what was
        allocated on the device.
    """

    def __init__(self, device: torch.device, interval: float = 0.003) -> None:
        self.device, self.interval, self.n_bytes = device, interval, 0
        self._ended = threading.Event()

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return self
        gc.collect()
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device.type == "cuda":
            self.n_bytes = torch.cuda.max_memory_allocated(self.device)
            return
        self._ended.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._ended.wait(self.interval):
            self.n_bytes = max(self.n_bytes, self._process.memory_info().rss - self._before)
