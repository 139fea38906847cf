"""The decoder of notebook 11, made of the pieces that learners wrote in notebooks 07 to 11."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from minillm_lib.checks.registry import check
from minillm_lib.model.config import ModelConfig

PIECES = ("rms_norm", "pair_frequencies", "attention_layer", "swiglu", "block_forward", "decoder_forward")
"""The exercises whose answers the decoder is made of."""


class Norm(nn.Module):
    """Holds the weight of ``rms_norm``."""

    def __init__(self, config: ModelConfig, pieces: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        self.eps, self.rms_norm = config.norm_eps, pieces.rms_norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the vectors of ``x``, ``(batch, seq, hidden)``."""
        return self.rms_norm(x, self.weight, self.eps)


class FeedForward(nn.Module):
    """Holds the matrices of ``swiglu``."""

    def __init__(self, config: ModelConfig, pieces: Any) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.swiglu = pieces.swiglu

    def forward(self, x: Tensor) -> Tensor:
        """Transform each vector of ``x``, ``(batch, seq, hidden)``."""
        return self.swiglu(x, self.gate_proj.weight, self.up_proj.weight, self.down_proj.weight)


class Attention(nn.Module):
    """Holds the matrices of ``attention_layer``, and the frequencies of its rotary positions."""

    def __init__(self, config: ModelConfig, pieces: Any) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        wide, narrow = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, wide, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, narrow, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, narrow, bias=False)
        self.o_proj = nn.Linear(wide, config.hidden_size, bias=False)
        self.attention_layer = pieces.attention_layer
        self.frequencies = pieces.pair_frequencies(config.head_dim, config.rope_theta)

    def forward(self, x: Tensor) -> Tensor:
        """Let each position of ``x``, ``(batch, seq, hidden)``, attend to itself and to those before it."""
        angles = torch.arange(x.shape[1])[:, None] * self.frequencies.to(x.dtype)  # (seq, head_dim / 2)
        cos, sin = angles.cos(), angles.sin()
        rotation = torch.cat([cos, cos], dim=-1)[None, None], torch.cat([-sin, sin], dim=-1)[None, None]
        weights = (each.weight for each in (self.q_proj, self.k_proj, self.v_proj, self.o_proj))
        return self.attention_layer(x, *weights, self.head_dim, rotation)


class Block(nn.Module):
    """Holds the parts of ``block_forward``."""

    def __init__(self, config: ModelConfig, pieces: Any) -> None:
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(config, pieces), Attention(config, pieces)
        self.post_attention_layernorm, self.mlp = Norm(config, pieces), FeedForward(config, pieces)
        self.block_forward = pieces.block_forward

    def forward(self, x: Tensor) -> Tensor:
        """Let both parts add to the residual stream ``x``, ``(batch, seq, hidden)``."""
        return self.block_forward(
            x, self.input_layernorm, self.self_attn, self.post_attention_layernorm, self.mlp
        )


class Decoder(nn.Module):
    """A decoder made of the learner's pieces, whose parameters have the names of :class:`~minillm_lib.MiniLLM`'s.

    Source: the decoder of Llama (Touvron et al. 2023, arXiv:2302.13971), as notebook 11 puts it together.

    Parameters
    ----------
    pieces
        What ``course.setup(*PIECES)`` returns: functions by the names of :data:`PIECES`.
    """

    def __init__(self, config: ModelConfig, pieces: Any) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, pieces) for _ in range(config.n_layers))
        self.norm = Norm(config, pieces)
        self.decoder_forward = pieces.decoder_forward

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits after each position: ``(batch, seq)`` to ``(batch, seq, vocab)``."""
        return self.decoder_forward(self, ids)

    def loss(self, ids: Tensor, labels: Tensor, *, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
        """Return the cross-entropy in nats; labels of −100 do not count. Both arguments are ``(batch, seq)``."""
        return cross_entropy(self(ids).flatten(0, 1), labels.flatten(), reduction=reduction)


def assembled(config: ModelConfig, pieces: Any) -> Decoder:
    """Make a decoder that can be trained.

    Parameters
    ----------
    pieces
        As in :class:`Decoder`.

    Returns
    -------
    Decoder
        Made of ``pieces``; but of the library's, with a warning, if no gradient comes through them, as through NumPy.
    """
    try:
        decoder = Decoder(config, pieces)
        ids = torch.zeros(1, 2, dtype=torch.long)
        torch.autograd.grad(decoder.loss(ids, ids), list(decoder.parameters()))
        return decoder
    except Exception as error:  # whatever a learner's code may raise when a gradient is asked for
        warnings.warn(
            f"a decoder made of your pieces cannot be trained, so the library's are used: {error}",
            stacklevel=2,
        )
        return Decoder(config, _Library())


class _Library:
    def __getattr__(self, name: str) -> Any:
        return getattr(check, name).reference
