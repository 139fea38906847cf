"""The exercises of notebook 08: the frequencies of rotary positions, the rotation, and how to stretch them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.rope_numbering import INTERLEAVED_ROWS
from minillm_lib.checks.exercises.rope_yarn import YARN_FREQUENCIES
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.rope import inverse_frequencies, rotate


def _frequency_inputs(rng: np.random.Generator) -> Inputs:
    return 2 * int(rng.integers(3, 20)), float(rng.uniform(50, 20_000))


def _reference_frequencies(head_dim: int, theta: float) -> Tensor:
    config = ModelConfig(hidden_size=head_dim, n_heads=1, n_kv_heads=1, rope_theta=theta)
    return inverse_frequencies(config)


def _pair_frequencies(head_dim: int, theta: float, /, **slips: Any) -> Any:
    has = made(slips)
    i = torch.arange(head_dim if has("length") else head_dim // 2).double()
    if has("index:from 1"):
        i = i + 1
    if has("index:reversed"):
        i = i.flip(0)
    times = 1 if has("twice:never") else 4 if has("twice:doubled") else 2
    below = head_dim - 2 if has("below:d - 2") else head_dim - 1 if has("below:d - 1") else head_dim
    exponents = times * i / below
    if has("exponent:linspace"):
        exponents = torch.linspace(0, 1, len(i)).double()
    if has("exponent:floor"):
        exponents = times * i // below
    if has("exponent:floor of minus"):
        exponents = -((-times * i) // below)
    base = {"e": math.e, "10,000": 10_000.0}.get(slips.get("base", ""), theta)
    w = base**exponents if has("sign") else base**-exponents
    if has("precedence"):
        w = theta**-2 * i / head_dim
    if has("logs"):
        w = exponents * math.log(theta) * (1 if has("sign") else -1)
    if has("turn:wavelengths"):
        w = 2 * math.pi / w
    if has("turn:2 pi"):
        w = 2 * math.pi * w
    if has("turn:degrees"):
        w = w * 180 / math.pi
    w = w.float()
    if has("shape:cat"):
        return w.repeat(2)
    if has("shape:interleaved"):
        return w.repeat_interleave(2)
    if has("shape:column"):
        return w[:, None]
    if has("shape:row"):
        return w[None]
    return w.tolist() if has("kind:list") else w.numpy() if has("kind:array") else w


def _rotation_case(rng: np.random.Generator, *shape: int) -> Inputs:
    """Draw very different frequencies, and positions that do not start at 0."""
    x = torch.from_numpy(rng.standard_normal(shape)).float()
    positions = torch.from_numpy(rng.permutation(np.arange(1, 30))[: shape[-2]])
    frequencies = torch.tensor([1.0, 0.4, 0.15, 0.05])[: shape[-1] // 2]
    return x, positions, frequencies * float(rng.uniform(0.8, 1.2))


def _rotation_inputs(rng: np.random.Generator) -> Inputs:
    # as many positions as pairs, so that a table of angles with the wrong shape gives wrong numbers and no error
    return _rotation_case(rng, 2, 4, 8)


def _rotate_pairs(x: Tensor, positions: Tensor, frequencies: Tensor, /, **slips: Any) -> Any:
    has = made(slips)
    if has("at:rows"):
        positions = torch.arange(len(positions))
    if has("at:from 1"):
        positions = positions + 1
    if has("at:less the first"):
        positions = positions - positions[0]
    if has("at:reversed"):
        positions = positions.flip(0)
    angles = positions[:, None] * frequencies
    if has("angles:added"):
        angles = positions[:, None] + frequencies
    if has("angles:divided"):
        angles = positions[:, None] / frequencies
    if has("angles:2 pi"):
        angles = 2 * math.pi * angles
    if has("angles:transposed"):
        angles = frequencies[:, None] * positions
    if has("angles:one dimension"):
        angles = positions * frequencies
    if has("angles:one"):
        angles = angles[:, :1].expand_as(angles)
    cos, sin = (angles.sin(), angles.cos()) if has("cos") else (angles.cos(), angles.sin())
    a, b = (x[..., 0::2], x[..., 1::2]) if has("pairs:neighbours") else x.chunk(2, dim=-1)
    if has("pairs:angles"):
        a, b = x.chunk(2, dim=-1)
        both = torch.stack([cos, cos], dim=-1).flatten(-2), torch.stack([sin, sin], dim=-1).flatten(-2)
        (cos, cos_b), (sin, sin_b) = (table.chunk(2, dim=-1) for table in both)
    else:
        cos_b, sin_b = cos, sin
    first = -1 if not has("sign:plus") and not has("sign:back") else 1
    second = -1 if has("sign:minus") or has("sign:back") else 1
    one = a * cos + first * b * sin
    two = b * cos_b + second * (one if has("overwritten") else a) * sin_b
    if has("second:kept"):
        two = b
    if has("second:exchanged"):
        two = a * cos_b + second * b * sin_b
    if has("own"):
        one, two = a * cos - a * sin, b * cos + b * sin
    if has("cosines only"):
        one, two = a * cos, b * cos
    if has("first:exchanged"):
        one = b * cos + first * a * sin
    if has("back:order"):
        one, two = two, one
    if has("back:exchanged") or has("pairs:neighbours") != has("back:other"):
        return torch.stack([one, two], dim=-1).flatten(-2)
    return torch.cat([one, two], dim=-2 if has("back:positions") else -1)


def _of_library(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    angles = positions[:, None].float() * frequencies  # (seq, head_dim / 2)
    cos, sin = angles.cos(), angles.sin()
    return rotate(x, torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))


def _base_inputs(rng: np.random.Generator) -> Inputs:
    return float(rng.uniform(1_000, 20_000)), 2 * int(rng.integers(3, 12)), float(rng.uniform(2, 9))


def _ntk_base(theta: float, head_dim: int, factor: float) -> float:
    return theta * factor ** (head_dim / (head_dim - 2))


def _rotation_cases() -> dict[str, Inputs]:
    rng = np.random.default_rng(7)
    return {
        "more positions than pairs": _rotation_case(rng, 3, 7, 8),
        "a batch of one": _rotation_case(rng, 1, 5, 8),
        "`x` of four dimensions": _rotation_case(rng, 2, 3, 2, 4),
        "`x` of two dimensions": _rotation_case(rng, 6, 8),
        "a single pair": _rotation_case(rng, 3, 2),
        "a single position": _rotation_case(rng, 2, 1, 6),
    }


_HALVES = "pair i is made of the coordinates i and i + d/2: split x into two *halves*"
_SLOWEST = "the slowest pair is i = d/2 − 1, whose exponent is −(d − 2)/d"

EXERCISES = (
    Exercise(
        name="pair_frequencies",
        reference=_reference_frequencies,
        edge_cases={
            "two pairs": (4, 100.0),
            "a single pair": (2, 500.0),
            "a large base": (64, 1_000_000.0),
        },
        inputs=_frequency_inputs,
        atol=1e-8,
        hints=(
            "How many pairs are there, and what is the exponent of the first, the second, the last one?",
            "`torch.arange(head_dim // 2)` gives the i. The exponent is −2 i / d, with the full d.",
            "`theta ** (-2 * torch.arange(head_dim // 2) / head_dim)`. Mind the brackets around the "
            "exponent.",
        ),
        variant=_pair_frequencies,
        slips=named(
            {
                "twice:never": "Your exponent is −i/d: the index of the pair must be doubled, −2i/d. As "
                "it is, the slowest pair has only the root of the wavelength that it should have.",
                "twice:doubled": "The index is doubled twice: −2i/d has 2i above *and* the full d below, "
                "not d/2.",
                "below:d - 2": "You divide by d − 2. Equation (5) divides by d, so that the slowest pair "
                "stays just above 1/θ.",
                "below:d - 1": "You divide by d − 1. Equation (5) divides by d.",
                "sign": "These grow with i: the minus in the exponent of equation (5) is missing.",
                "length": "You give a frequency to every coordinate. Two coordinates make a pair, and a "
                "pair turns as one: there are d/2 frequencies, i = 0, …, d/2 − 1.",
                "index:from 1": "Your i begins at 1. It begins at 0, so that pair 0 turns by 1 radian.",
                "index:reversed": "The order is reversed: pair 0 is the fastest and comes first.",
                "exponent:linspace": "Your slowest pair has the frequency 1/θ. In equation (5) the last i "
                "is d/2 − 1, so that pair stays just above 1/θ.",
                "exponent:floor": "You divide with `//` in the exponent, which rounds it down to a whole "
                "number: `/`.",
                "exponent:floor of minus": "You divide with `//` in the exponent, which rounds it to a "
                "whole number: `/`.",
                "base:e": "Your base is e. It is the argument `theta` that is taken to the power −2i/d.",
                "base:10,000": "Your base is always 10,000, as in the paper. Here it is the argument "
                "`theta`.",
                "precedence": "A power binds more tightly than a product, so θ^−2 comes first. Brackets "
                "are needed around the whole exponent.",
                "logs": "You give the logarithms of the frequencies. `theta ** …` or `torch.exp` makes "
                "frequencies of them.",
                "turn:wavelengths": "You give the wavelengths, 2π / ω: how many positions a full turn "
                "takes. Equation (5) has the frequencies.",
                "turn:2 pi": "You multiply by 2π. The frequencies are in radians per position as they "
                "stand in (5).",
                "turn:degrees": "You turn them into degrees. Equation (5) is in radians.",
                "shape:cat": "All d/2 frequencies come twice. Each pair has one, so there are d/2.",
                "shape:interleaved": "Each frequency comes twice. Each pair has one, so there are d/2.",
                "shape:column": "You give a column, (d/2, 1). The result has one dimension, (d/2,).",
                "shape:row": "You give a row, (1, d/2). The result has one dimension, (d/2,).",
                "kind:list": "You return a list of numbers. A tensor is wanted: `torch.tensor(…)`.",
                "kind:array": "You return a NumPy array. A tensor is wanted: use `torch.arange`.",
            }
        ),
        misconceptions={
            lambda head_dim, theta: torch.exp(
                -2 * torch.arange(head_dim // 2) / head_dim * math.log10(theta)
            ): "You take `exp` of a logarithm to the base 10. `exp` undoes the natural logarithm only; "
            "`theta ** …` needs none.",
            lambda head_dim, theta: (
                torch.arange(head_dim // 2) == 0
            ).float(): "All frequencies but the first are "
            "(nearly) 0. Does your tensor hold integers? They cannot hold what is below 1. Otherwise the "
            "exponent is wrong: −2i/d lies between −1 and 0.",
            lambda head_dim, theta: (
                1 / (theta * 2 * torch.arange(head_dim // 2) / head_dim)
            ): "You multiply by θ. It is the base of a power: `theta ** …`.",
        },
    ),
    Exercise(
        name="rotate_pairs",
        points=2,
        reference=_of_library,
        edge_cases=_rotation_cases,
        inputs=_rotation_inputs,
        atol=1e-5,
        hints=(
            "Make the table of angles first: the row is a position, the column a pair, the entry their "
            "product.",
            "`angles = positions[:, None] * frequencies`, and `a, b = x.chunk(2, dim=-1)`. The table fits "
            "the last two dimensions of a and b.",
            "With the cosines and sines of the angles: `torch.cat([a * cos - b * sin, b * cos + a * sin], "
            "dim=-1)`.",
        ),
        variant=_rotate_pairs,
        slips=named(
            {
                "pairs:neighbours": f"You pair neighbours, (0, 1), (2, 3), …, as the paper does. Here "
                f"{_HALVES}.",
                "pairs:angles": "The coordinates are paired as halves, but the angles as neighbours. "
                "Coordinates i and i + d/2 share angle i: repeat the angles with `torch.cat([angles, "
                "angles], dim=-1)`.",
                "sign:back": "You turn the other way round: the minus belongs to the first of the pair, a "
                "cos − b sin and b cos + a sin.",
                "sign:plus": "There is no minus anywhere: that stretches the pair instead of turning it. "
                "The first of the pair becomes a cos − b sin.",
                "sign:minus": "There is a minus in both lines; that is no rotation. The second of the "
                "pair becomes b cos + a sin.",
                "back:order": "The pairs are turned, but the halves come back in the wrong order.",
                "back:exchanged": "The turned halves are put back as neighbours. They come back as halves "
                "too: `torch.cat([…, …], dim=-1)`.",
                "back:positions": "You join the turned halves along the positions. They belong side by "
                "side in the last dimension: `dim=-1`.",
                "cos": "Sine and cosine are exchanged: at angle 0 nothing may change.",
                "overwritten": "The second half is computed from the first after that was overwritten. "
                "Keep the old first half until both are done.",
                "second:kept": "The second half of x stays as it was. Both coordinates of a pair change.",
                "second:exchanged": "In the second line a and b are exchanged: it is b cos + a sin.",
                "first:exchanged": "In the first line a and b are exchanged: it is a cos − b sin.",
                "own": "You multiply each half by the sine itself: the other half belongs there, −b and a.",
                "cosines only": "The terms with the sine are missing: turning mixes the two of a pair.",
                "at:rows": "You count the rows from 0. Where a row stands is in `positions`, which need "
                "not start at 0.",
                "at:from 1": "You add 1 to the positions. Take them as they are.",
                "at:less the first": "You subtract the first position. Take them as they are.",
                "at:reversed": "The positions are in reverse order.",
                "angles:added": "You add positions and frequencies. An angle is their product.",
                "angles:divided": "You divide by the frequencies. An angle is position times frequency.",
                "angles:2 pi": "You multiply the angles by 2π. The frequencies are in radians already.",
                "angles:transposed": "The table of angles is transposed: a row is a position, a column a "
                "pair, so the positions become a column, `positions[:, None]`.",
                "angles:one dimension": "You multiply position i by frequency i. Each position goes with "
                "every frequency: a table, by `positions[:, None] * frequencies`.",
                "angles:one": "All pairs turn by the angle of the first. Each has its own frequency.",
            }
        ),
        misconceptions={
            lambda x, positions, frequencies: x: "You return x as it was.",
            lambda x, positions, frequencies: _rotate_pairs(x[0], positions, frequencies)[None]: "You "
            "take the first of the leading dimension, `x[0]`, and lose the others. `x` has any number of "
            "leading dimensions.",
            lambda x, positions, frequencies: torch.cat(
                [-x.chunk(2, dim=-1)[1], x.chunk(2, dim=-1)[0]], dim=-1
            ): "You turn every pair by a quarter. The angle is position times frequency.",
        },
    ),
    INTERLEAVED_ROWS,
    Exercise(
        name="ntk_base",
        points=2,
        reference=_ntk_base,
        edge_cases={
            "two pairs": (10_000.0, 4, 4.0),
            "many pairs": (10_000.0, 128, 8.0),
        },
        inputs=_base_inputs,
        rtol=1e-6,
        hints=(
            "Which i has the slowest pair, and so which exponent? Write its frequency with θ, and with θ′.",
            "The exponent is −(d − 2)/d. You demand θ′^(−(d − 2)/d) = θ^(−(d − 2)/d) / s.",
            "Raise both sides to the power −d/(d − 2): θ′ = θ · s^(d/(d − 2)).",
        ),
        misconceptions={
            lambda theta, head_dim, factor: (
                theta * factor
            ): "With this base a pair i = d/2 would be slowed by the "
            f"factor. But the pairs are counted from 0: {_SLOWEST}.",
            lambda theta, head_dim, factor: (
                theta * factor ** ((head_dim - 2) / head_dim)
            ): "You are nearly there: the "
            "exponent is upside down. Raise both sides of your equation to the power that leaves the base "
            "alone.",
            lambda theta, head_dim, factor: (
                theta * factor ** (-head_dim / (head_dim - 2))
            ): "With this base the "
            "slowest pair turns *faster* by the factor. A longer text needs it slower: the base must grow.",
            lambda theta, head_dim, factor: (
                theta / factor
            ): "The base gets smaller, and so all pairs turn faster. A longer text needs them slower.",
            lambda theta, head_dim, factor: (
                theta * factor ** (head_dim / 2)
            ): "You have taken pair 1 for the slowest. Pair 0 is the fastest, and i = d/2 − 1 the slowest.",
            lambda theta, head_dim, factor: (
                (theta * factor) ** (head_dim / (head_dim - 2))
            ): "You take θ to the power "
            "as well. Once both sides are taken to −d/(d − 2), the old base is just θ again: only s keeps "
            "an exponent.",
            lambda theta, head_dim, factor: (
                theta * factor ** (head_dim / (head_dim - 1))
            ): f"You have d − 1 where d − 2 belongs: {_SLOWEST}.",
            lambda theta, head_dim, factor: (
                theta * factor ** (head_dim // (head_dim - 2))
            ): "You divide with `//` in the exponent, which rounds it down to a whole number: `/`.",
            lambda theta, head_dim, factor: torch.tensor(
                _ntk_base(theta, head_dim, factor)
            ): "You return a tensor. A plain number is wanted: leave torch out, or use `.item()`.",
            lambda theta, head_dim, factor: (
                _ntk_base(theta, head_dim, factor) ** (-(head_dim - 2) / head_dim)
            ): "That is the new frequency of the slowest pair. Solve for the base that gives it.",
            lambda theta, head_dim, factor: (
                theta**factor
            ): "You raise θ to the factor. The factor is multiplied to θ, with an exponent of its own.",
            lambda theta, head_dim, factor: (
                theta * factor ** (head_dim / (head_dim / 2 - 1))
            ): f"Your exponent is twice what it should be: {_SLOWEST}, with 2i above the line.",
            lambda theta, head_dim, factor: (
                theta * factor ** (head_dim / 2 / (head_dim - 2))
            ): f"Your exponent is half of what it should be: {_SLOWEST}.",
            lambda theta, head_dim, factor: (
                theta * factor ** ((head_dim - 2) / 2)
            ): "Your exponent is the index of the "
            f"slowest pair. Its frequency has the exponent −2i/d: {_SLOWEST}.",
            lambda theta, head_dim, factor: (
                theta * factor ** (2 / (head_dim - 2))
            ): f"Your exponent is 2/(d − 2): the d above the line is missing; {_SLOWEST}.",
            lambda theta, head_dim, factor: (
                theta * factor ** ((head_dim + 2) / head_dim)
            ): f"Your exponent is (d + 2)/d. Look at the exponent of the last pair: {_SLOWEST}.",
            lambda theta, head_dim, factor: (
                theta * factor ** (head_dim / (head_dim + 2))
            ): f"You have d + 2 where d − 2 belongs: {_SLOWEST}.",
            lambda theta, head_dim, factor: (
                theta * factor**2
            ): f"You multiply by s². Which exponent s needs follows from the last pair: {_SLOWEST}.",
            lambda theta, head_dim, factor: (
                factor ** (head_dim / (head_dim - 2))
            ): "The factor is right; the old base θ still has to be multiplied by it.",
            lambda theta, head_dim, factor: (
                theta + factor ** (head_dim / (head_dim - 2))
            ): "You add to θ. The power of s is *multiplied* to it.",
            lambda theta, head_dim, factor: (
                theta * factor * head_dim / (head_dim - 2)
            ): "You multiply by d/(d − 2). It is the *exponent* of s.",
            lambda theta, head_dim, factor: (
                theta
            ): "The base is unchanged. It must grow for the slowest pair to be slower.",
        },
    ),
    YARN_FREQUENCIES,
)
