"""The optimizers (AdamW, and Muon for the blocks' matrices) and the schedule of the learning rate."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from torch.optim import Optimizer

from minillm_lib.training.config import OptimizerConfig, ScheduleConfig


def make_optimizers(
    model: nn.Module | Iterable[tuple[str, nn.Parameter]],
    config: OptimizerConfig,
    dtype: torch.dtype | None = None,
) -> list[Optimizer]:
    """Make the configured optimizers, and divide parameters among them.

    Weight decay applies to matrices, not to vectors (the gains of norms, biases). A tied embedding counts once.
    Parameters that need no gradient are left out.

    Parameters
    ----------
    model
        A model, or some of its parameters with their names, as ``model.named_parameters()`` yields them. Muon takes the
        matrices whose names begin with ``layers.``.
    dtype
        The type of Muon's products (see :func:`orthogonalise`).

    Returns
    -------
    list[Optimizer]
        AdamW, and Muon after it if it is configured and there are matrices for it; one of them alone if there are no
        parameters for the other.

    Raises
    ------
    ValueError
        If no parameter needs a gradient.
    """
    given = model.named_parameters() if isinstance(model, nn.Module) else model
    named = [(name, parameter) for name, parameter in given if parameter.requires_grad]
    if not named:
        raise ValueError("there is nothing to optimize: no parameter was given that needs a gradient")
    matrices = [
        parameter
        for name, parameter in named
        if config.name == "muon" and parameter.ndim == 2 and name.startswith("layers.")
    ]
    inside = {id(parameter) for parameter in matrices}
    others = [parameter for _, parameter in named if id(parameter) not in inside]
    groups = [
        {"params": [each for each in others if each.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [each for each in others if each.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = []
    if others:
        adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=True,
        )
        optimizers.append(adamw)
    if matrices:
        optimizers.append(Muon(matrices, config, dtype))
    return optimizers


def learning_rate_factor(step: int, n_steps: int, schedule: ScheduleConfig) -> float:
    """Return the factor by which the peak learning rate is multiplied in a step, counted from 0 to ``n_steps - 1``.

    The factor is ``1 / warmup_steps`` in the first step of a warm-up, since a step at rate 0 would be lost, and
    ``final_share`` in the last step of a decay and after it. If ``schedule.steps`` is given, it takes the place of
    ``n_steps``.

    >>> schedule = ScheduleConfig(name="wsd", warmup_steps=2, decay_share=0.4, final_share=0.0)
    >>> [round(learning_rate_factor(step, 10, schedule), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    if schedule.name == "constant":
        return 1.0
    n_steps = schedule.steps or n_steps
    n_decay = max(n_steps - schedule.warmup_steps, 1)
    if schedule.name == "wsd":
        n_decay = min(max(round(schedule.decay_share * n_steps), 1), n_decay)
    left = max(n_steps - 1 - step, 0) / n_decay  # 1 where the decay begins, 0 in the last step
    if left >= 1:
        return 1.0
    if schedule.name == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return schedule.final_share + (1 - schedule.final_share) * left


class Muon(Optimizer):
    """Momentum that takes a step of the same length in every direction; for matrices only.

    The momentum of a matrix's gradient, ``U S V^T``, is replaced by about ``U V^T``. Scaled by
    ``0.2 sqrt(max(rows, columns))``, its entries are about as large as those of AdamW's updates.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the scale is that of
    Liu et al. 2025, arXiv:2502.16982, section 2.2.

    Parameters
    ----------
    dtype
        The type of the products (see :func:`orthogonalise`).
    """

    def __init__(
        self, matrices: Iterable[Tensor], config: OptimizerConfig, dtype: torch.dtype | None = None
    ) -> None:
        defaults = {"lr": config.lr, "weight_decay": config.weight_decay, "momentum": config.momentum}
        super().__init__(matrices, defaults)
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient; matrices of one shape together, which is faster."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.shape].append(matrix)
            for matrices in by_shape.values():
                self._update(matrices, group)

    def _update(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        """Update matrices of the same shape."""
        updates = orthogonalise(torch.stack(self._directions(matrices, group)), self._dtype)
        scale = 0.2 * max(matrices[0].shape) ** 0.5
        shares = [_share_of(update, matrix) for matrix, update in zip(matrices, updates, strict=True)]
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, shares, alpha=-group["lr"] * scale)

    def _directions(self, matrices: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """Add the gradients to the momenta of some matrices, and return the full Nesterov momenta."""
        for matrix in matrices:
            if not self.state[matrix]:
                self.state[matrix]["momentum"] = torch.zeros_like(matrix)
        grads = [matrix.grad for matrix in matrices if matrix.grad is not None]
        momenta = [self.state[matrix]["momentum"] for matrix in matrices]
        torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
        directions = torch._foreach_lerp(grads, momenta, group["momentum"])
        return [each.full_tensor() if isinstance(each, DTensor) else each for each in directions]


def _share_of(update: Tensor, matrix: Tensor) -> Tensor:
    """Return the part of a full update that belongs to this process, if each holds only a shard of the matrix."""
    if not isinstance(matrix, DTensor):
        return update
    mesh = matrix.device_mesh
    whole = DTensor.from_local(update, mesh, [Replicate()] * mesh.ndim)
    return whole.redistribute(mesh, matrix.placements)  # each process keeps its own rows; nothing is sent


def orthogonalise(matrix: Tensor, dtype: torch.dtype | None = None, n_iterations: int = 5) -> Tensor:
    """Return about ``U V^T`` for each matrix ``U S V^T``, by matrix products alone.

    The singular values of the result lie between about 0.7 and 1.2. This is a quintic Newton–Schulz iteration with the
    coefficients of Jordan et al. 2024, which rise from 0 as steeply as possible.

    Parameters
    ----------
    matrix
        ``(..., rows, columns)``: one matrix or several.
    dtype
        The type of the products, by default the matrix's own; bfloat16 is precise enough, and faster on devices that
        support it.
    """
    rows, columns = matrix.shape[-2:]
    x = matrix.reshape(-1, rows, columns)
    x = x / (
        x.norm(dim=(1, 2), keepdim=True) + 1e-7
    )  # before the conversion: in float16, small ones underflow
    x = x.to(dtype or matrix.dtype)
    is_tall = rows > columns
    x = x.mT if is_tall else x  # (n, short, long)
    for _ in range(n_iterations):
        gram = x @ x.mT  # (n, short, short)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.mT if is_tall else x).reshape(matrix.shape).to(matrix.dtype)
