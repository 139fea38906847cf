"""Training in one process or several, with the same code: the processes, and the model in each of them.

:func:`joined_processes` joins the processes that ``torchrun`` has started, and :class:`Replica` is the model in each of
them: a full copy (DDP), or a shard of its parameters (FSDP2).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
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
from minillm_lib.training.rows import IGNORE_INDEX, Batch, batch_loss

_PATIENCE = timedelta(days=7)
"""How long processes wait for one another: preparing a large text, which the first does alone, may take days."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train together, and which of them this one is.

    Attributes
    ----------
    rank, count
        The number of this process, from 0, and how many processes there are.
    device
        The device of this process.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and talks to the user."""
        return self.rank == 0

    def total(self, *values: float) -> list[float]:
        """Return the sum of each number over all processes; every process gets it."""
        if self.count == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        with _words_for_a_lost_process():
            dist.all_reduce(sums)
        return [float(each) for each in sums]

    def wait(self) -> None:
        """Wait until all processes have called this.

        Raises
        ------
        LostProcessError
            If another process has ended; its own message says what went wrong.
        """
        if self.count > 1:
            with _words_for_a_lost_process():
                dist.barrier()

    def highest(self, value: float) -> float:
        """Return the highest value of all processes; every process gets it."""
        if self.count == 1:
            return value
        found = torch.tensor(value, dtype=torch.float64, device=self.device)
        with _words_for_a_lost_process():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return float(found)


@contextmanager
def joined_processes(device: str | None = None) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` has started: NCCL between CUDA devices, gloo between CPUs.

    Without ``torchrun`` there is one process, and nothing is set up.

    Parameters
    ----------
    device
        The device, such as ``"cpu"`` or ``"cuda"``; None for the best available one. Each of several processes gets a
        CUDA device of its own.

    Raises
    ------
    ValueError
        If the device is not available, or there are more processes than CUDA devices on this machine.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    target = _device(device, int(os.environ.get("LOCAL_RANK", "0")), count)
    if count == 1:
        yield Processes(0, 1, target)
        return
    started_here = not dist.is_initialized()
    if started_here:
        dist.init_process_group("nccl" if target.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), count, target)
    finally:
        if started_here:
            dist.destroy_process_group()


class Replica:
    """The model of a run in one of its processes, on that process's device.

    As configured, it is compiled, a full copy (DDP) or sharded (FSDP2), and its activations are kept or recomputed.

    Parameters
    ----------
    dtype
        The type in which a sharded model computes; None for its own type.

    Attributes
    ----------
    is_sharded
        Whether each process holds only a shard of the parameters.
    summed_loss
        The module that returns the summed loss of a batch, in nats, without an exchange of gradients by DDP.
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
        # One graph is fastest on a GPU; DDP and FSDP2 exchange block by block what a backward pass leaves.
        is_one_graph = config.compile and processes.device.type == "cuda" and processes.count == 1
        if is_one_graph:
            self.model.chunk_step = torch.compile(self.model.chunk_step)
        elif config.compile:
            compile_parts(self.model)
        if self.is_sharded:
            shard(self.model, dtype)
            register_fsdp_forward_method(self.model, "loss")
        self.summed_loss = SummedLoss(self.model, as_one_graph=is_one_graph)
        self._exchanging: nn.Module = self.summed_loss
        self._is_replicated = processes.count > 1 and not self.is_sharded
        if self._is_replicated:
            self._exchanging = replicate(self.summed_loss, processes)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the summed loss of a batch, in nats; its backward pass exchanges gradients between the processes."""
        loss: Tensor = self._exchanging(batch)
        return loss

    def exchanging_gradients(self, wanted: bool) -> AbstractContextManager[Any]:
        """Return the context of a forward and backward pass, which exchanges gradients only if ``wanted``.

        They are exchanged once per step, with its last rows.
        """
        if self.is_sharded:
            self.model.set_requires_gradient_sync(wanted)  # type: ignore[operator]
        if self._is_replicated and not wanted:
            return self._exchanging.no_sync()  # type: ignore[operator]
        return nullcontext()

    def grad_norms_by_layer(self) -> list[float]:
        """Return the norm of each block's gradient."""
        norms = []
        for block in self.model.layers:
            parts = [_whole(each.grad.norm()) for each in block.parameters() if each.grad is not None]
            norms.append(round(float(torch.stack(parts).norm()), 6) if parts else 0.0)
        return norms

    def clip_gradients(self, limit: float | None) -> float:
        """Scale the gradient down to the norm ``limit`` if it is longer (None: never); return its norm before that."""
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), math.inf if limit is None else limit)
        return float(_whole(norm))

    def has_finite_weights(self) -> bool:
        """Return whether all weights are finite, judged by their norm, which reads each weight only once."""
        return math.isfinite(float(_whole(nn.utils.get_total_norm(self.model.parameters()))))


class LostProcessError(ValueError):
    """Another of the processes that train together has ended or does not answer; this one cannot continue alone."""


@contextmanager
def _words_for_a_lost_process() -> Iterator[None]:
    """Turn gloo's error into one line; its traceback would bury the message of the process that ended."""
    try:
        yield
    except RuntimeError as error:
        if re.search("timeout|timed out", str(error), re.IGNORECASE):
            raise LostProcessError(
                f"another process of this run has not answered for {_PATIENCE}: it may have been stopped or hang; end "
                "all processes, and start them again with --resume"
            ) from error
        raise LostProcessError("another process of this run has ended; see its own message") from error


def _device(name: str | None, local_rank: int, count: int) -> torch.device:
    try:
        device = best_device() if name is None else torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(
            f"train.device is {name!r}; allowed values: cpu, mps, cuda, or a numbered device such as cuda:1"
        )
    if device.type == "mps" and count > 1:
        raise ValueError(
            f"{count} processes cannot share an MPS device; start one process, or train on the CPU (--train.device cpu)"
        )
    if device.type == "cuda" and count > 1:
        n_devices = torch.cuda.device_count()
        if local_rank >= n_devices:
            raise ValueError(
                f"process {local_rank} has no CUDA device: this machine has {n_devices}; start no more processes "
                "than that (--nproc_per_node), or train on the CPU (--train.device cpu)"
            )
        device = torch.device("cuda", local_rank)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition(". ")[0]
        raise ValueError(f"train.device is {str(device)!r}, which is not available here: {reason}") from error
    if device.type == "cuda":
        if device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        torch.cuda.set_device(device)
    return device


def shard(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Shard a model's parameters over the processes in place (FSDP2), block by block.

    Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277.

    Parameters
    ----------
    dtype
        The type in which the model computes; None for its own. The shards keep the model's own type, and gradients are
        summed in float32.
    """
    device = next(model.parameters()).device
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for block in model.layers:  # type: ignore[union-attr]
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def replicate(module: nn.Module, processes: Processes) -> nn.Module:
    """Wrap a module so that the backward pass averages its gradients over the processes (DDP)."""
    devices = [processes.device] if processes.device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)


class SummedLoss(nn.Module):
    """A model whose forward pass returns the summed loss of a batch, as DDP and FSDP2 need it.

    Parameters
    ----------
    as_one_graph
        Whether everything up to the output head is compiled together. Between compiled blocks, the sum that ends one
        and the norm that begins the next each read the whole residual stream; within a graph, once is enough.
    """

    def __init__(self, model: MiniLLM, *, as_one_graph: bool = False) -> None:
        super().__init__()
        self.model = model
        self._hidden_states = torch.compile(model.hidden_states) if as_one_graph else None

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of all labels, a float32 scalar in nats."""
        if self._hidden_states is None:
            return batch_loss(self.model, batch, reduction="sum")
        hidden = self._hidden_states(
            batch.input_ids, positions=batch.positions, segment_ids=batch.segment_ids
        )
        return self.model.loss_of(hidden, batch.labels, ignore_index=IGNORE_INDEX, reduction="sum")


def _whole(tensor: Tensor) -> Tensor:
    """Gather a tensor whose parts are in several processes."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
