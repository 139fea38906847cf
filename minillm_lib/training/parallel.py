"""One process or several: the same code, started by ``torchrun`` or not."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.devices import best_device
from minillm_lib.training.compilation import compile_parts, keep_freed_memory
from minillm_lib.training.config import TrainConfig
from minillm_lib.training.rows import Batch
from minillm_lib.training.sft_rows import IGNORE_INDEX


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train together, and which of them this is."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and talks to the user."""
        return self.rank == 0

    def total(self, *values: float) -> list[float]:
        """The sum of each number over all processes, in each process."""
        if self.count == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        with _words_for_a_lost_process():
            dist.all_reduce(sums)
        return [float(each) for each in sums]

    def wait(self) -> None:
        """Go on when all processes have come here.

        Raises
        ------
        LostProcessError
            If one has ended before; what went wrong is said there.
        """
        if self.count > 1:
            with _words_for_a_lost_process():
                dist.barrier()

    def agree(self, value: bool) -> bool:
        """Whether any process says yes."""
        return self.total(float(value))[0] > 0


class LostProcessError(ValueError):
    """Another of the processes that train together has ended, and this one cannot go on alone."""


@contextmanager
def _words_for_a_lost_process() -> Iterator[None]:
    """One line where gloo would end in a traceback, below which the other process's own words are lost."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError("another of the processes has ended: see what it said") from error


@contextmanager
def joined_processes(device: str | None = None) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` has started: NCCL between CUDA devices, gloo between CPUs.

    Without ``torchrun`` there is one process, and nothing is set up.

    Raises
    ------
    ValueError
        For a device that is not to be had, or more processes than CUDA devices on this machine.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    target = _device(device, int(os.environ.get("LOCAL_RANK", "0")), count)
    if count == 1:
        yield Processes(0, 1, target)
        return
    started_here = not dist.is_initialized()
    if started_here:
        dist.init_process_group("nccl" if target.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, target)
    finally:
        if started_here:
            dist.destroy_process_group()


def _device(name: str | None, local_rank: int, count: int) -> torch.device:
    try:
        device = best_device() if name is None else torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(
            f"train.device is {name!r}; allowed are cpu, mps, cuda, and one of several, such as cuda:1"
        )
    if device.type == "mps" and count > 1:
        raise ValueError(
            f"{count} processes cannot share an MPS device; start one, or train on --train.device cpu"
        )
    if device.type == "cuda" and count > 1:
        n_devices = torch.cuda.device_count()
        if local_rank >= n_devices:
            raise ValueError(
                f"process {local_rank} has no CUDA device: this machine has {n_devices}; start as many processes "
                "(--nproc_per_node), or train on --train.device cpu"
            )
        device = torch.device("cuda", local_rank)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition(". ")[0]
        raise ValueError(f"train.device is {str(device)!r}, which is not to be had here: {reason}") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def shard(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Share a model's parameters out over the processes (FSDP2), block by block; it stays usable in place.

    ``dtype`` is the type in which it computes; the shards stay in the model's own, and gradients are summed in float32.

    Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277.
    """
    device = next(model.parameters()).device
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for block in model.layers:  # type: ignore[union-attr]
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def replicate(module: nn.Module, processes: Processes) -> nn.Module:
    """A module whose gradients are averaged over the processes in the backward pass (DDP)."""
    devices = [processes.device] if processes.device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)


class _SummedLoss(nn.Module):
    """A model whose forward pass is the summed loss of a batch, as DDP and FSDP2 want it."""

    def __init__(self, model: MiniLLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return self.model.loss(
            batch.input_ids,
            batch.labels,
            positions=batch.positions,
            segment_ids=batch.segment_ids,
            ignore_index=IGNORE_INDEX,
            reduction="sum",
        )


class Replica:
    """A model on its device: compiled, whole in each process (DDP) or shared out over them (FSDP2), its activations
    kept or recomputed, as configured.

    Parameters
    ----------
    dtype
        What a model that is shared out computes in; ``None`` for its own type.
    """

    def __init__(
        self, model: MiniLLM, config: TrainConfig, processes: Processes, dtype: torch.dtype | None
    ) -> None:
        if processes.device.type == "cpu":
            keep_freed_memory()
        self.model = model.to(processes.device).train()
        if config.activation_checkpointing:
            self.model.config = model.config.replace(activation_checkpointing=True)
        self.is_sharded = processes.count > 1 and config.distributed == "fsdp"
        if config.compile:
            compile_parts(self.model)
        if self.is_sharded:
            shard(self.model, dtype)
            register_fsdp_forward_method(self.model, "loss")
        self.summed_loss = _SummedLoss(self.model)
        self._exchanging: nn.Module = self.summed_loss
        self._is_replicated = processes.count > 1 and not self.is_sharded
        if self._is_replicated:
            self._exchanging = replicate(self.summed_loss, processes)

    def __call__(self, batch: Batch) -> Tensor:
        """The summed loss of a batch in nats, whose backward pass exchanges gradients between the processes."""
        loss: Tensor = self._exchanging(batch)
        return loss

    def exchanging_gradients(self, wanted: bool) -> AbstractContextManager[Any]:
        """The context of a forward and backward pass: gradients are exchanged once a step, after its last rows."""
        if self.is_sharded:
            self.model.set_requires_gradient_sync(wanted)  # type: ignore[operator]
        if self._is_replicated and not wanted:
            return self._exchanging.no_sync()  # type: ignore[operator]
        return nullcontext()

    def grad_norms_by_layer(self) -> list[float]:
        """The norm of the gradient of each block."""
        norms = []
        for block in self.model.layers:
            parts = [_whole(each.grad.norm()) for each in block.parameters() if each.grad is not None]
            norms.append(round(float(torch.stack(parts).norm()), 6) if parts else 0.0)
        return norms

    def clip_gradients(self, limit: float | None) -> float:
        """Scale the gradient down to a norm where it is longer; its norm before that."""
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), math.inf if limit is None else limit)
        return float(_whole(norm))

    def has_finite_weights(self) -> bool:
        """Whether each weight is a number, told by the norm of all of them, which costs one look at each."""
        return math.isfinite(float(_whole(nn.utils.get_total_norm(self.model.parameters()))))


def _whole(tensor: Tensor) -> Tensor:
    """A tensor whose parts are in several processes, put together in each."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
