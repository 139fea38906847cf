"""Random tensors for the hidden inputs, and answers whose results need a gradient."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class NoGradientError(RuntimeError):
    """A result through which PyTorch cannot compute gradients."""


def recorded(x: Tensor) -> Tensor:
    """Return a copy of a tensor whose use PyTorch records; it may be changed in place."""
    return x.clone().requires_grad_() * 1


def with_gradient(result: object) -> object:
    """Return a result that was computed from recorded tensors.

    Raises
    ------
    NoGradientError
        If it is a tensor of floats that has no record.
    """
    if isinstance(result, Tensor) and result.is_floating_point() and not result.requires_grad:
        raise NoGradientError("the result is cut off from what it was computed from")
    return result


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    """Draw a tensor of standard normal numbers."""
    return torch.from_numpy(rng.standard_normal(shape)).float()


def tokens(rng: np.random.Generator, n_kinds: int, *shape: int) -> Tensor:
    """Draw a tensor of tokens from 0 to ``n_kinds - 1``."""
    return torch.from_numpy(rng.integers(0, n_kinds, shape))
