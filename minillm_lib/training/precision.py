"""The number types in which a run computes: float32, bf16 or fp16, with a loss scaler for fp16."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from minillm_lib.model.devices import has_bf16_instructions


class Precision:
    """Mixed precision as configured: autocast to bf16 or fp16 over float32 weights, with a loss scaler for fp16.

    Source: Micikevicius et al. 2018, arXiv:1710.03740.

    Parameters
    ----------
    wanted
        The precision; ``"auto"`` takes the best one that the device supports.
    tf32
        Let float32 products on CUDA round their factors to 10 bits of mantissa, which is several times faster.

    Attributes
    ----------
    name
        ``"float32"``, ``"bf16"`` or ``"fp16"``.
    dtype
        The type in which autocast computes; None for float32.

    Raises
    ------
    ValueError
        For fp16 on a device other than CUDA, and for bf16 on a device that does not support it.
    """

    def __init__(
        self, wanted: Literal["auto", "float32", "bf16", "fp16"], device: torch.device, tf32: bool = True
    ) -> None:
        self.device = device
        self.name = _best(device) if wanted == "auto" else wanted
        if self.name == "fp16" and device.type != "cuda":
            raise ValueError(
                f"train.precision is 'fp16', which needs a CUDA device, not {device.type}; "
                "allowed values: float32, bf16"
            )
        if self.name == "bf16" and not _has_bf16(device):
            other = "fp16, float32" if device.type == "cuda" else "float32"
            raise ValueError(
                f"train.precision is 'bf16', which the device {device} does not support; allowed values: {other}"
            )
        self.dtype = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.name]
        self._scaler = torch.amp.GradScaler(device.type) if self.name == "fp16" else None
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high" if tf32 else "highest")

    @property
    def matmul_dtype(self) -> torch.dtype:
        """The type of most matrix products."""
        return self.dtype or torch.float32

    @property
    def skips_infinite_gradients(self) -> bool:
        """Whether a step with an infinite gradient is skipped and the loss scaled down, which is normal now and then.

        Once the scale is below 1, the scaling of the loss is not what makes gradients infinite.
        """
        return self._scaler is not None and self._scaler.get_scale() >= 1

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass, with the loss scaled if there is a scaler."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self, optimizers: Sequence[Optimizer]) -> None:
        """Undo the scaling of the gradients."""
        if self._scaler is not None:
            for optimizer in optimizers:
                self._scaler.unscale_(optimizer)

    def step(self, optimizers: Sequence[Optimizer], grad_norm: float) -> None:
        """Update all weights; with a scaler, update none if the norm of the gradient is infinite or not a number."""
        if self._scaler is None or math.isfinite(grad_norm):
            for optimizer in optimizers:
                optimizer.step()
        if self._scaler is not None:
            self._scaler.update()

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {} if self._scaler is None else self._scaler.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the scale of a checkpoint."""
        if self._scaler is not None:
            self._scaler = torch.amp.GradScaler(
                self.device.type
            )  # without what a skipped step has left in it
            if state:
                self._scaler.load_state_dict(state)


def _best(device: torch.device) -> Literal["float32", "bf16", "fp16"]:
    if device.type == "cuda":
        return "bf16" if _has_bf16(device) else "fp16"
    if device.type == "cpu":
        return "bf16" if has_bf16_instructions() else "float32"
    return "bf16" if _has_bf16(device) else "float32"


def _has_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies in bfloat16: CUDA since Ampere; on MPS it depends on the version of macOS."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        with torch.autocast(device.type, torch.bfloat16):
            x = torch.ones(2, 2, device=device)
            return bool(torch.isfinite(x @ x).all())
    except (RuntimeError, TypeError):
        return False
