"""GELU, exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, sigmoid
from torch.nn import functional
from torch.nn.functional import silu

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Activation = Callable[[Tensor], Tensor]


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _points(rng: np.random.Generator) -> Inputs:
    """Draw values on both sides of zero, mostly where the approximations of GELU are worst."""
    return (1.5 * _tensor(rng, 4, 6),)


def _point_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(9)
    chosen = torch.tensor([-12.0, -3.0, -1.5, -0.5, 0.0, 0.5, 1.5, 3.0, 12.0])
    return {
        "one dimension, with 0 and large numbers": (chosen,),
        "a batch of one row": (1.5 * _tensor(rng, 1, 5),),
        "three dimensions": (1.5 * _tensor(rng, 2, 3, 4),),
        "four dimensions": (1.5 * _tensor(rng, 2, 1, 2, 3),),
    }


def _gelu(x: Tensor) -> Tensor:
    return functional.gelu(x)


def _gelu_with(
    outer: Activation = lambda x: x,
    inner: Activation = lambda x: x / math.sqrt(2),
    share: Activation = torch.erf,
    base: float = 1.0,
    sign: float = 1.0,
    half: float = 0.5,
) -> Activation:
    """Return a wrong GELU that differs by the given options."""

    def wrong_gelu(x: Tensor) -> Tensor:
        return outer(x) * half * (base + sign * share(inner(x)))

    return wrong_gelu


def _normal_density(x: Tensor) -> Tensor:
    return torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)


GELU = Exercise(
    name="gelu",
    reference=_gelu,
    inputs=_points,
    edge_cases=_point_edges,
    hints=(
        "GELU lets a share of x through, and the share depends on x. Which function of equation (2) is the share?",
        "The share is Φ(x), which runs from 0 to 1. Write it with `torch.erf`; mind what erf is applied to.",
        "Φ(x) is `(1 + torch.erf(x / 2**0.5)) / 2`. One factor is still missing in front of it.",
    ),
    misconceptions={
        lambda x: functional.gelu(
            x, approximate="tanh"
        ): "This is the tanh approximation of GPT-2: close, but up to 0.0005 off. The exact one uses `torch.erf`.",
        lambda x: (
            x * (1 + torch.tanh(math.sqrt(2 / math.pi) * x)) / 2
        ): "This is a tanh approximation, without its cubic term. The exact formula uses `torch.erf`.",
        lambda x: (
            x * sigmoid(1.702 * x)
        ): "This is the sigmoid approximation of GELU, off by up to 0.02. The exact one uses `torch.erf`.",
        silu: "This is SiLU: x times the logistic sigmoid. GELU has the normal distribution's Φ there; see equation "
        "(2).",
        sigmoid: "This is the sigmoid alone, a number between 0 and 1. GELU multiplies x, and by Φ(x) rather than the "
        "sigmoid.",
        lambda x: (
            x * torch.erf(x / math.sqrt(2))
        ): "You multiply by erf, which runs from −1 to 1. Φ runs from 0 to 1: it is (1 + erf) / 2.",
        lambda x: (
            x * _normal_density(x)
        ): "You multiply by the density of the normal distribution. Φ is the probability to the left of x, the area "
        "under that density.",
        lambda x: (
            (1 + torch.erf(x / math.sqrt(2))) / 2 + x * _normal_density(x)
        ): "This is the slope of GELU. The function itself is x · Φ(x).",
        lambda x: (
            x * 0.5 * 1 + torch.erf(x / math.sqrt(2))
        ): "Brackets are missing: the product takes in the 1 only, and erf is added to it. Write (1 + erf(…)).",
        lambda x: (
            x * (0.5 + torch.erf(x / math.sqrt(2)))
        ): "You halve the 1 only. The ½ belongs to the whole sum: (1 + erf) / 2.",
        torch.relu: "This is ReLU. GELU is smooth: the share that passes is Φ(x), neither 0 nor 1.",
        lambda x: functional.leaky_relu(x): "This is the leaky ReLU. GELU is x · Φ(x), see equation (2).",
        functional.elu: "This is the ELU. GELU is x · Φ(x), see equation (2).",
        functional.softplus: "This is softplus, ln(1 + e^x). GELU is x · Φ(x), see equation (2).",
    },
    variant=variant(_gelu_with),
    slips={
        (
            "inner",
            lambda x: x,
        ): "The √2 is missing: erf belongs to a normal distribution of variance ½, so its argument is x/√2.",
        ("inner", lambda x: x / 2): "You divide x by 2 inside erf. Divide it by the root of 2.",
        ("inner", lambda x: x * math.sqrt(2)): "You multiply x by √2 inside erf. Divide it by √2.",
        (
            "outer",
            torch.ones_like,
        ): "The factor x is missing: Φ(x) is the share that passes, and GELU is x *times* that share.",
        (
            "outer",
            lambda x: x / math.sqrt(2),
        ): "You divide the x in front by √2, too. The √2 belongs inside erf only.",
        ("outer", torch.square): "You multiply by x twice. GELU is x · Φ(x).",
        ("half", 1.0): "The ½ is missing: (1 + erf) runs from 0 to 2, and a share from 0 to 1.",
        ("half", 0.25): "You take the half twice: Φ is (1 + erf) / 2.",
        ("base", 0.0): "The 1 in front of erf is missing: erf runs from −1 to 1, and 1 + erf from 0 to 2.",
        (
            "sign",
            -1.0,
        ): "The sign of erf is wrong: 1 − erf belongs to the probability to the *right* of x. Φ is to its left.",
        ("share", torch.tanh): "You take tanh where erf belongs: they look alike, but `torch.erf` is exact.",
    },
)
