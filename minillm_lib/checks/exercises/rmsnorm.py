"""The exercises of notebook 06: RMSNorm, its gradient, and what it shares with LayerNorm."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.model.rms_norm import RMSNorm


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _norm_inputs(rng: np.random.Generator) -> Inputs:
    """Draw rows of different sizes with a mean other than zero, and an ``eps`` that matters."""
    x = _tensor(rng, 3, 4, 8) * torch.tensor([0.2, 1.0, 5.0])[:, None, None] + 0.7
    return x, _tensor(rng, 8), float(rng.uniform(0.1, 0.5))


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    norm = RMSNorm(len(weight), eps)
    norm.weight.data = weight
    return norm(x)


def _with_the_mean_subtracted(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return _rms_norm(x - x.mean(dim=-1, keepdim=True), weight, eps)


def _by_the_standard_deviation(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.var(dim=-1, keepdim=True, correction=0) + eps).sqrt()


def _by_the_length(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.square().sum(dim=-1, keepdim=True) + eps).sqrt()


def _without_the_root(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.square().mean(dim=-1, keepdim=True) + eps)


def _eps_outside_the_root(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.square().mean(dim=-1, keepdim=True).sqrt() + eps)


def _one_scale_for_all(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.square().mean() + eps).sqrt()


def _without_the_weight(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()


def _weight_gradient(grad: Tensor, x: Tensor, eps: float) -> Tensor:
    norm = RMSNorm(x.shape[-1], eps)
    norm(x).backward(grad)
    assert norm.weight.grad is not None
    return norm.weight.grad


def _gradient_inputs(rng: np.random.Generator) -> Inputs:
    x, _, eps = _norm_inputs(rng)
    return _tensor(rng, *x.shape), x, eps


def _normalised(x: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps)


def _linear_inputs(rng: np.random.Generator) -> Inputs:
    return _tensor(rng, 6, 4), _tensor(rng, 6)


def _centre_outputs(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return weight - weight.mean(dim=0), bias - bias.mean()


EXERCISES = (
    Exercise(
        name="rms_norm",
        reference=_rms_norm,
        inputs=_norm_inputs,
        misconceptions={
            _with_the_mean_subtracted: "You subtract the mean first: that is LayerNorm. RMSNorm subtracts nothing; "
            "look again at equation (2).",
            _by_the_standard_deviation: "You divide by the standard deviation, which measures the distance from the "
            "mean. The root mean square measures the distance from zero: no mean is taken away inside it either.",
            _by_the_length: "You divide by the length of the vector, a root of a sum. The root mean *square* has the "
            "mean of the squares inside: it is smaller by a factor √d.",
            _without_the_root: "You divide by the mean square itself: the square root is missing.",
            _eps_outside_the_root: "You add `eps` to the root. It belongs under the root, to the mean square.",
            _one_scale_for_all: "You take one mean over the whole tensor. Each vector has its own: take the mean over "
            "the last dimension, with `keepdim=True`.",
            _without_the_weight: "The normalised vectors are right, but they are not multiplied by `weight`.",
        },
    ),
    Exercise(
        name="rms_norm_weight_gradient",
        points=2,
        reference=_weight_gradient,
        inputs=_gradient_inputs,
        misconceptions={
            lambda grad, x, eps: (grad * _normalised(x, eps)).mean(dim=(0, 1)): "You take the mean over the "
            "vectors. The loss depends on the weight through every one of them, so their contributions are summed.",
            lambda grad, x, eps: (grad * x).sum(
                dim=(0, 1)
            ): "You multiply by x as it came in. The weight multiplies "
            "the *normalised* vector, so that is its derivative.",
            lambda grad, x, eps: grad.sum(
                dim=(0, 1)
            ): "You sum the incoming gradient alone: that is the gradient of "
            "a bias, which is added. The weight is multiplied; what with?",
            lambda grad, x, eps: (
                grad * _normalised(x, eps)
            ): "This is each vector's own contribution. One weight "
            "serves all vectors: sum over every dimension but the last.",
            lambda grad, x, eps: (grad * _normalised(x, eps)).sum(
                dim=-1
            ): "You sum over the coordinates of a vector. "
            "Each coordinate has its own weight: sum over all the *other* dimensions.",
        },
    ),
    Exercise(
        name="centre_outputs",
        points=3,
        reference=_centre_outputs,
        inputs=_linear_inputs,
        misconceptions={
            lambda weight, bias: (
                weight - weight.mean(dim=1, keepdim=True),
                bias - bias.mean(),
            ): "You subtract the "
            "mean of each row. A row makes one output; the mean of the *outputs* runs over the rows: each column "
            "loses its own mean.",
            lambda weight, bias: (
                weight - weight.mean(),
                bias - bias.mean(),
            ): "You subtract one number from the "
            "whole matrix. Then the outputs have mean zero only if all columns have the same mean; each column needs "
            "its own.",
            lambda weight, bias: (
                weight - weight.mean(dim=0),
                bias,
            ): "The weight is right. The bias is added to the outputs as well, and has a mean of its own.",
            lambda weight, bias: (
                weight,
                bias - bias.mean(),
            ): "The bias is right. The weight gives outputs whose mean is not zero either.",
        },
    ),
)
