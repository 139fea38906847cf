"""The exercise of notebook 08 on YaRN: which pairs are slowed down, and how much."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.model.config import ModelConfig, YarnScaling
from minillm_lib.model.rope import inverse_frequencies


def _length_case(rng: np.random.Generator) -> Inputs:
    """Draw a trained length in which the fastest pairs turn more often than ``fast`` times."""
    fast = float(rng.integers(12, 33))
    trained = int(2 * math.pi * fast * rng.uniform(3, 12))
    return (
        4 * int(rng.integers(8, 17)),
        float(rng.uniform(2_000, 20_000)),
        trained,
        float(rng.uniform(2, 9)),
        fast,
        float(rng.uniform(0.8, 2.5)),
    )


def _reference(head_dim: int, theta: float, trained: int, factor: float, fast: float, slow: float) -> Tensor:
    scaling = YarnScaling(
        factor=factor, original_max_position_embeddings=trained, beta_fast=fast, beta_slow=slow
    )
    config = ModelConfig(
        hidden_size=head_dim, n_heads=1, n_kv_heads=1, rope_theta=theta, rope_scaling=scaling
    )
    return inverse_frequencies(config)


def _yarn(
    head_dim: int, theta: float, trained: int, factor: float, fast: float, slow: float, /, **slips: Any
) -> Any:
    has = made(slips)
    half = head_dim // 2
    frequencies = theta ** (-2 * torch.arange(half).double() / head_dim)
    turn = 1.0 if has("radians") else 2 * math.pi

    def pair_that_turns(times: float) -> float:
        log = math.log(trained / (turn * times))
        width = head_dim if has("index:d") else half
        if has("index:d - 2"):
            width = half - 1
        return width * log / (1.0 if has("index:natural") else math.log(theta))

    low, high = pair_that_turns(fast), pair_that_turns(slow)
    rounding: Any = {
        "none": (lambda x: x, lambda x: x),
        "in": (math.ceil, math.floor),
        "near": (round, round),
        "down": (math.floor, math.floor),
        "up": (math.ceil, math.ceil),
    }.get(slips.get("rounded", ""), (math.floor, math.ceil))
    low, high = rounding[0](low), rounding[1](high)
    if not has("clamp:none"):
        low = max(low, 0)
    if has("clamp:last"):
        high = min(high, half - 1)
    pairs = torch.arange(half).double()
    ramp = ((pairs - low) / ((high - low) or 0.001)).clamp(0, 1)
    if has("ramp:turns"):
        ramp = 1 - ((trained * frequencies / (2 * math.pi) - slow) / (fast - slow)).clamp(0, 1)
    if has("ramp:step"):
        ramp = (pairs > (low + high) / 2).double()
    if has("ramp:open"):
        ramp = (pairs - low) / (high - low)
    if has("ramp:backwards"):
        ramp = 1 - ramp
    slowed = {"times": frequencies * factor, "base": frequencies / factor ** (head_dim / (head_dim - 2))}.get(
        slips.get("slowed", ""), frequencies / factor
    )
    result = (1 - ramp) * frequencies + ramp * slowed
    if has("blend:wavelengths"):
        result = 1 / ((1 - ramp) / frequencies + ramp / slowed)
    if has("blend:powers"):
        result = frequencies / factor**ramp
    if has("out:ramp"):
        return ramp.float()
    return result.float()


YARN_FREQUENCIES = Exercise(
    name="yarn_frequencies",
    points=3,
    reference=_reference,
    inputs=_length_case,
    edge_cases={
        "a length in which no pair turns `fast` times": (16, 10_000.0, 32, 4.0, 32.0, 1.0),
        "`fast` and `slow` close together": (64, 10_000.0, 2048, 8.0, 5.0, 4.0),
        "a large base": (128, 1_000_000.0, 8192, 4.0, 32.0, 1.0),
        "a length in which all pairs turn more often than `slow`": (8, 100.0, 2048, 4.0, 32.0, 1.0),
    },
    atol=1e-9,
    hints=(
        "Pair i turns by ω_i radians per position. How often does it turn over the whole trained length? Set that "
        "equal to a number of turns, and solve for i, which need not be a whole number.",
        "trained · θ^(−2i/d) / 2π = turns gives i = (d/2) · ln(trained / (2π · turns)) / ln θ. Do it for `fast` and "
        "for `slow`, round the first down and the second up, and let the first be at least 0.",
        "`ramp = ((torch.arange(head_dim // 2) - low) / (high - low)).clamp(0, 1)`, and then "
        "`omega * (1 - ramp) + omega / factor * ramp`.",
    ),
    variant=_yarn,
    slips=named(
        {
            "ramp:turns": "Your ramp is linear in the number of *turns*, as the formula of the paper is. The code that "
            "models run with, and this exercise, have a ramp over the *index* of the pair.",
            "ramp:step": "You jump from one to the other. Between the two bounds the share rises linearly with the "
            "index.",
            "ramp:open": "Your ramp goes on below 0 and above 1. Outside the bounds it stays at 0 and at 1.",
            "ramp:backwards": "The ramp is the wrong way round: you slow the fast pairs and spare the slow ones.",
            "index:natural": "In the index of the pair a division by ln θ is missing: θ^(−2i/d) is solved for i by the "
            "logarithm to the base θ.",
            "index:d": "Your index runs to d. There are d/2 pairs: in θ^(−2i/d) the index is doubled.",
            "index:d - 2": "Your index has (d − 2)/2 where d/2 belongs: the exponent is −2i/d.",
            "radians": "You take radians for turns: a full turn is 2π of them.",
            "rounded:none": "The two bounds are not rounded. The lower one is rounded down, the upper one up.",
            "rounded:in": "You round the bounds inwards. They are rounded outwards: the lower one down, the upper one "
            "up.",
            "rounded:near": "You round the bounds to the nearest number. The lower one is rounded down, the upper one "
            "up.",
            "rounded:down": "You round both bounds down. The upper one is rounded up.",
            "rounded:up": "You round both bounds up. The lower one is rounded down.",
            "clamp:none": "Where no pair turns so often, your lower bound is negative. It is at least 0.",
            "clamp:last": "Your upper bound is at most the last pair. It may lie beyond: then no pair is slowed down "
            "fully.",
            "slowed:times": "You multiply by the factor: that makes pairs faster. A longer text needs them slower.",
            "slowed:base": "You slow the pairs by s^(d/(d − 2)). That exponent is for the base, in NTK; here a "
            "frequency is divided by the factor itself.",
            "blend:wavelengths": "You blend wavelengths. Blend the frequencies: (1 − ramp) · ω + ramp · ω / s.",
            "blend:powers": "You divide by a power of the factor. Blend the two frequencies linearly: "
            "(1 − ramp) · ω + ramp · ω / s.",
            "out:ramp": "That is the ramp. The frequencies are (1 − ramp) · ω + ramp · ω / s.",
        }
    ),
)
