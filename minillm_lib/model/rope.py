"""Rotary positions, and four ways to stretch them over a longer context."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from einops import rearrange
from torch import Tensor, nn

from minillm_lib.model.config import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    ModelConfig,
    YarnScaling,
)


class RotaryEmbedding(nn.Module):
    """The angles by which queries and keys are rotated at each position.

    Pair ``i`` of a head is rotated by ``position * theta^(-2i / head_dim)``, so that the product of a query and a
    key depends only on the distance between them. Pair ``i`` consists of the numbers ``i`` and ``i + head_dim/2``
    (the halves convention of Hugging Face's Llama; the paper pairs neighbours, see :func:`to_interleaved`).

    Source: Su et al. 2021, "RoFormer", arXiv:2104.09864, section 3.2.2.

    Attributes
    ----------
    frequencies
        ``(head_dim / 2,)`` in float32: see :func:`inverse_frequencies`.
    attention_factor
        The factor of cosines and sines: see :func:`attention_factor`.
    """

    frequencies: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("frequencies", inverse_frequencies(config), persistent=False)
        self.attention_factor = attention_factor(config)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines and sines with which :func:`rotate` rotates queries and keys.

        Parameters
        ----------
        positions
            ``(batch, seq)``; ``batch`` may be 1 if all rows have the same positions.

        Returns
        -------
        tuple of Tensor
            Cosines and sines, ``(batch, 1, seq, head_dim)`` each; the first half of the sines is negated.
        """
        frequencies = self.frequencies  # (head_dim / 2,)
        if isinstance(self.config.rope_scaling, DynamicScaling):
            seq_len = positions.amax(dim=-1, keepdim=True) + 1
            frequencies = dynamic_frequencies(self.config, seq_len)[:, None]  # (batch, 1, head_dim / 2)
        angles = (positions[..., None].float() * frequencies)[:, None]  # (batch, 1, seq, head_dim / 2)
        cos, sin = angles.cos() * self.attention_factor, angles.sin() * self.attention_factor
        return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to its device but not to its dtype: half-precision angles misplace late positions."""
        super()._apply(fn, recurse)
        self.frequencies = inverse_frequencies(self.config).to(self.frequencies.device)
        return self


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate every pair of ``x`` by the angles of :class:`RotaryEmbedding`.

    ``(a, b)`` becomes ``(a cos - b sin, b cos + a sin)``; the minus is already in the first half of ``sin``.

    Parameters
    ----------
    x
        Queries or keys, ``(batch, heads, seq, head_dim)``.
    cos, sin
        ``(batch or 1, 1, seq, head_dim)`` each.

    Returns
    -------
    Tensor
        ``(batch, heads, seq, head_dim)``, in the dtype of ``x``.
    """
    swapped = x.roll(x.shape[-1] // 2, dims=-1)  # the halves (a, b) become (b, a)
    return x * cos.to(x.dtype) + swapped * sin.to(x.dtype)


def to_interleaved(weight: Tensor, n_heads: int) -> Tensor:
    """Reorder the rows of a query or key projection so that neighbours form a pair instead of halves.

    The reordered projection with interleaved rotation gives the same attention as the original one with :func:`rotate`.

    Parameters
    ----------
    weight
        A weight ``(n_heads * head_dim, hidden)`` or a bias ``(n_heads * head_dim,)``; the result has the same shape.
    n_heads
        Number of query heads or of key–value heads, depending on the projection.
    """
    return rearrange(weight, "(head half pair) ... -> (head pair half) ...", head=n_heads, half=2)


def to_halves(weight: Tensor, n_heads: int) -> Tensor:
    """Reorder the rows of an interleaved projection for :func:`rotate`: the inverse of :func:`to_interleaved`."""
    return rearrange(weight, "(head pair half) ... -> (head half pair) ...", head=n_heads, half=2)


def inverse_frequencies(config: ModelConfig) -> Tensor:
    """Return the radians per position of each pair, ``(head_dim / 2,)`` in float32, with the configured scaling.

    Those of ``dynamic`` depend on the length, see :func:`dynamic_frequencies`; here they are left unscaled.
    """
    frequencies = _powers(config.rope_theta, config.head_dim)
    match config.rope_scaling:
        case LinearScaling(factor=factor):
            return frequencies / factor
        case YarnScaling() as scaling:
            return _yarn_frequencies(config, scaling, frequencies)
        case Llama3Scaling() as scaling:
            return _llama3_frequencies(config, scaling, frequencies)
    return frequencies


def dynamic_frequencies(config: ModelConfig, seq_len: Tensor) -> Tensor:
    """Return the frequencies of dynamic NTK scaling for rows of given lengths.

    Up to the trained length, nothing changes. Beyond it, the base grows so that the slowest pair is stretched
    by about ``factor * seq_len / trained - (factor - 1)`` and the fastest pair not at all. All positions of a
    row share the base for the present length of the row, but keys that are already in a cache keep the base with
    which they were rotated.

    Source: see :class:`~minillm_lib.model.config.DynamicScaling`.

    Parameters
    ----------
    config
        Its ``rope_scaling`` must be a ``DynamicScaling``.
    seq_len
        Lengths of the rows in tokens, ``(batch, 1)``.

    Returns
    -------
    Tensor
        ``(batch, head_dim / 2)``, in radians per position.
    """
    assert isinstance(config.rope_scaling, DynamicScaling)
    factor, trained, dim = config.rope_scaling.factor, config.max_seq_len, config.head_dim
    stretch = factor * seq_len.clamp(min=trained) / trained - (factor - 1)
    return _powers(config.rope_theta * stretch ** (dim / (dim - 2)), dim, seq_len.device)


def attention_factor(config: ModelConfig) -> float:
    """Return the factor of cosines and sines: 1 except with YaRN, which thereby sharpens attention over long contexts.

    Source: Peng et al. 2023, arXiv:2309.00071, section 3.4.
    """
    scaling = config.rope_scaling
    if not isinstance(scaling, YarnScaling):
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor

    def temperature(weight: float) -> float:
        return 0.1 * weight * math.log(scaling.factor) + 1.0

    if scaling.mscale and scaling.mscale_all_dim:
        return temperature(scaling.mscale) / temperature(scaling.mscale_all_dim)
    return temperature(1.0)


def _powers(theta: float | Tensor, dim: int, device: torch.device | None = None) -> Tensor:
    """Return ``theta^(-2i / dim)`` for ``i < dim / 2``."""
    return 1.0 / theta ** (torch.arange(0, dim, 2, device=device).float() / dim)


def _yarn_frequencies(config: ModelConfig, scaling: YarnScaling, frequencies: Tensor) -> Tensor:
    """Stretch pairs along a ramp from the fast to the slow (Peng et al. 2023, section 3.2, "NTK-by-parts")."""
    original = scaling.original_max_position_embeddings or config.max_seq_len

    def pair_that_turns(times: float) -> float:
        return config.head_dim / 2 * math.log(original / (2 * math.pi * times), config.rope_theta)

    low, high = pair_that_turns(scaling.beta_fast), pair_that_turns(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, config.head_dim - 1)
    width = high - low or 0.001
    pairs = torch.arange(len(frequencies), dtype=torch.float32)
    stretched = ((pairs - low) / width).clamp(0, 1)
    return frequencies * (1 - stretched) + frequencies / scaling.factor * stretched


def _llama3_frequencies(config: ModelConfig, scaling: Llama3Scaling, frequencies: Tensor) -> Tensor:
    """Keep pairs that turn often within the original context, stretch those that turn seldom, blend between."""
    original = scaling.original_max_position_embeddings or config.max_seq_len
    turns = original * frequencies / (2 * math.pi)
    kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    kept = kept.clamp(0, 1)
    return frequencies * kept + frequencies / scaling.factor * (1 - kept)
