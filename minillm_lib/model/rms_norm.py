"""Root-mean-square normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm


class RMSNorm(nn.Module):
    """Divide each vector by its root mean square and scale every coordinate by a learned weight.

    ``y = weight * x / sqrt(mean(x^2) + eps)``. Unlike in LayerNorm, nothing is subtracted and nothing added, so
    the direction of ``x`` is kept. The mean is computed in float32, whatever the dtype of ``x``.

    Source: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4.

    Parameters
    ----------
    size
        Number of coordinates of a vector.
    eps
        Constant under the root, so that a zero vector is not divided by zero.
    """

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the vectors of ``x``, ``(..., size)``; the result has the same shape and dtype."""
        if x.is_cuda and x.dtype == self.weight.dtype and not torch.compiler.is_compiling():
            return rms_norm(x, self.weight.shape, self.weight, self.eps)  # one kernel instead of eight
        wide = x.float()
        mean_square = wide.square().mean(dim=-1, keepdim=True)  # (..., 1)
        return self.weight * (wide * torch.rsqrt(mean_square + self.eps)).to(x.dtype)
