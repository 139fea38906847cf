"""A model in one of the processes that train it."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import register_fsdp_forward_method

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.allocation import keep_freed_memory
from minillm_lib.training.batches import Batch
from minillm_lib.training.compilation import compile_parts
from minillm_lib.training.config import TrainConfig
from minillm_lib.training.distributed import Processes, replicate, shard
from minillm_lib.training.sft_dataset import IGNORE_INDEX


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
