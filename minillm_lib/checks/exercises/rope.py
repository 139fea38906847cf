"""The exercises of notebook 07: the frequencies of rotary positions, the rotation, and a base for longer texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.rope import inverse_frequencies, rotate


def _frequency_inputs(rng: np.random.Generator) -> Inputs:
    return 2 * int(rng.integers(3, 20)), float(rng.uniform(50, 20_000))


def _pair_frequencies(head_dim: int, theta: float) -> Tensor:
    config = ModelConfig(hidden_size=head_dim, n_heads=1, n_kv_heads=1, rope_theta=theta)
    return inverse_frequencies(config)


def _powers(theta: float, exponents: Tensor) -> Tensor:
    return theta**-exponents


def _rotation_inputs(rng: np.random.Generator) -> Inputs:
    """Draw very different frequencies, and positions that do not start at 0."""
    x = torch.from_numpy(rng.standard_normal((2, 5, 8))).float()
    positions = torch.from_numpy(rng.permutation(np.arange(1, 30))[:5])
    return x, positions, torch.tensor([1.0, 0.4, 0.15, 0.05]) * float(rng.uniform(0.8, 1.2))


def _angles(positions: Tensor, frequencies: Tensor) -> Tensor:
    return positions[:, None].float() * frequencies  # (seq, head_dim / 2)


def _rotate_pairs(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    angles = _angles(positions, frequencies)
    cos, sin = angles.cos(), angles.sin()
    return rotate(x, torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))


def _turned_back(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return _rotate_pairs(x, -positions, frequencies)


def _neighbours(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    a, b, angles = x[..., 0::2], x[..., 1::2], _angles(positions, frequencies)
    turned = a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()
    return torch.stack(turned, dim=-1).flatten(-2)


def _from_halves(turn: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Callable[..., Tensor]:
    """Return a wrong rotation in the halves convention, given as a function of the halves and the angles."""

    def answer(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        return torch.cat(turn(a, b, _angles(positions, frequencies)), dim=-1)

    return answer


def _angles_of_neighbours(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    angles = _angles(positions, frequencies).repeat_interleave(2, dim=-1)
    a, b = x.chunk(2, dim=-1)
    return x * angles.cos() + torch.cat([-b, a], dim=-1) * angles.sin()


def _base_inputs(rng: np.random.Generator) -> Inputs:
    return float(rng.uniform(1_000, 20_000)), 2 * int(rng.integers(3, 12)), float(rng.uniform(2, 9))


EXERCISES = (
    Exercise(
        name="pair_frequencies",
        reference=_pair_frequencies,
        inputs=_frequency_inputs,
        misconceptions={
            lambda head_dim, theta: _powers(
                theta, torch.arange(head_dim // 2) / head_dim
            ): "Your exponent is −i/d: the index of the pair must be doubled, −2i/d. As it is, the slowest pair has "
            "only the root of the wavelength that it should have.",
            lambda head_dim, theta: _powers(
                theta, 4 * torch.arange(head_dim // 2) / head_dim
            ): "The index is doubled twice: −2i/d has 2i above *and* the full d below, not d/2.",
            lambda head_dim, theta: _powers(
                theta, -2 * torch.arange(head_dim // 2) / head_dim
            ): "These grow with i: the minus in the exponent of equation (5) is missing.",
            lambda head_dim, theta: _powers(
                theta, torch.arange(head_dim) / head_dim
            ): "You give a frequency to every coordinate. Two coordinates make a pair, and a pair turns as one: "
            "there are d/2 frequencies.",
            lambda head_dim, theta: _powers(
                theta, torch.linspace(0, 1, head_dim // 2)
            ): "Your slowest pair has the frequency 1/θ. In equation (5) the last i is d/2 − 1, so that pair stays "
            "just above 1/θ.",
            lambda head_dim, theta: torch.exp(
                -2 * torch.arange(head_dim // 2) / head_dim
            ): "Your base is e. It is the argument `theta` that is raised to the power −2i/d.",
        },
    ),
    Exercise(
        name="rotate_pairs",
        points=2,
        reference=_rotate_pairs,
        inputs=_rotation_inputs,
        atol=1e-5,
        misconceptions={
            _neighbours: "You pair neighbours, (0, 1), (2, 3), …, as the paper does. Here pair i is made of the "
            "coordinates i and i + d/2: split x into two *halves*.",
            _turned_back: "You turn the other way round: the minus belongs to the first of the pair, "
            "a cos − b sin and b cos + a sin.",
            lambda x, positions, frequencies: _neighbours(
                x, -positions, frequencies
            ): "Two things at once: you pair neighbours instead of halves, and you turn the other way round.",
            _angles_of_neighbours: "The coordinates are paired as halves, but the angles as neighbours. Coordinates i "
            "and i + d/2 share angle i: repeat the angles with `torch.cat([angles, angles], dim=-1)`.",
            _from_halves(
                lambda a, b, angles: (
                    a * angles.cos() + b * angles.sin(),
                    b * angles.cos() + a * angles.sin(),
                )
            ): "There is no minus anywhere: that stretches the pair instead of turning it. The first of the pair "
            "becomes a cos − b sin.",
            _from_halves(
                lambda a, b, angles: (
                    a * angles.cos() - b * angles.sin(),
                    b * angles.cos() - a * angles.sin(),
                )
            ): "There is a minus in both lines; that is no rotation. The second of the pair becomes b cos + a sin.",
            _from_halves(
                lambda a, b, angles: (
                    b * angles.cos() + a * angles.sin(),
                    a * angles.cos() - b * angles.sin(),
                )
            ): "The pairs are turned rightly, but the halves come back in the wrong order.",
            lambda x, positions, frequencies: _rotate_pairs(
                x, torch.arange(len(positions)), frequencies
            ): "You count the rows from 0. Where a row stands is in `positions`, which need not start at 0.",
        },
    ),
    Exercise(
        name="ntk_base",
        points=3,
        reference=lambda theta, head_dim, factor: theta * factor ** (head_dim / (head_dim - 2)),
        inputs=_base_inputs,
        misconceptions={
            lambda theta, head_dim, factor: (
                theta * factor
            ): "With this base a pair i = d/2 would be slowed by the factor. But the pairs are counted from 0, "
            "and the slowest is i = d/2 − 1.",
            lambda theta, head_dim, factor: (
                theta * factor ** ((head_dim - 2) / head_dim)
            ): "You are nearly there: the exponent is upside down. Raise both sides of "
            "your equation to the power that leaves the base alone.",
            lambda theta, head_dim, factor: (
                theta * factor ** (-head_dim / (head_dim - 2))
            ): "With this base the slowest pair turns *faster* by the factor. A longer "
            "text needs it slower: the base must grow.",
            lambda theta, head_dim, factor: (
                theta / factor
            ): "The base gets smaller, and so all pairs turn faster. A longer text needs them slower.",
            lambda theta, head_dim, factor: (
                theta * factor ** (head_dim / 2)
            ): "You have taken pair 1 for the slowest. Pair 0 is the fastest, and i = d/2 − 1 the slowest.",
        },
    ),
)
