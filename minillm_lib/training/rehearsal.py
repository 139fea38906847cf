"""A few steps of a run on random tokens, to measure what the run would take on this machine."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import cast

import psutil
import torch

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.batches import Batch
from minillm_lib.training.config import PretrainConfig, RunConfig, SFTConfig, TrainConfig
from minillm_lib.training.distributed import Processes
from minillm_lib.training.optimizer import make_optimizers
from minillm_lib.training.precision import Precision
from minillm_lib.training.replica import Replica

_TIMES = 2


@dataclass(frozen=True)
class Cost:
    """What was measured on this machine.

    Attributes
    ----------
    step_seconds
        An optimizer step: forward and backward passes of the whole batch, clipping, and the update.
    evaluated_tokens_per_second
        Of the forward pass alone.
    memory_bytes
        The peak of weights, gradients, the optimizers' state and activations; on a CPU what the process held above
        what it held before, on CUDA what was allocated on the device.
    checkpoint_bytes
        Weights and the optimizers' state.
    matmul_flops
        Floating-point operations a second in plain matrix products, in the type that the run computes in.
    """

    step_seconds: float
    evaluated_tokens_per_second: float
    memory_bytes: int
    checkpoint_bytes: int
    matmul_flops: float


class Rehearsal:
    """A run's model and optimizers, put to work on random tokens."""

    def __init__(
        self, model: MiniLLM, config: RunConfig, seq_len: int, processes: Processes, precision: Precision
    ) -> None:
        self.train: TrainConfig = config.train
        self.n_rows = self.train.rows_at_a_time(seq_len)
        self.precision, self.device = precision, processes.device
        self.replica = Replica(model, self.train, processes, precision.dtype)
        self.optimizers = make_optimizers(model, self.train.optimizer, precision.matmul_dtype)
        is_masked = isinstance(config, SFTConfig) or cast(PretrainConfig, config).data.document_mask
        self.batch = _random_batch(self.n_rows, seq_len, model.config.vocab_size, is_masked).to(self.device)

    def step_seconds(self) -> float:
        """Measured on one micro-batch and one update, and put together to a whole step."""
        self._forward_and_backward()  # the first pass reserves memory, and compiles where that is wanted
        passes = self._seconds(self._forward_and_backward)
        self._update()  # the first one makes the optimizers' state
        updates = self._seconds(self._update)
        return passes * self.train.batch_size / self.n_rows + updates

    def evaluated_tokens_per_second(self) -> float:
        """Of the forward pass."""
        self.replica.model.eval()
        self._forward()
        return self.batch.input_ids.numel() / self._seconds(self._forward)

    def checkpoint_bytes(self) -> int:
        """Weights and the optimizers' state."""
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
        """Let the device finish what it was given."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


def _random_batch(n_rows: int, seq_len: int, vocab_size: int, is_masked: bool) -> Batch:
    ids = torch.randint(vocab_size, (n_rows, seq_len + 1))
    batch = Batch(ids[:, :-1], ids[:, 1:])
    if not is_masked:
        return batch
    positions = torch.arange(seq_len).expand(n_rows, -1)
    return batch._replace(positions=positions, segment_ids=torch.zeros_like(positions))


class PeakMemory:
    """The most memory that is in use while it lasts, above what was before; looked at every few milliseconds."""

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
