"""The two feed-forward layers: gated (SwiGLU) and classic (GELU)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from minillm_lib.model.config import ModelConfig


class SwiGLU(nn.Module):
    """Gated layer ``down(silu(gate(x)) * up(x))``: one projection decides how much of another one passes.

    Source: Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202, equation 6.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every vector of ``x``, ``(batch, seq, hidden)``, to one of the same shape."""
        gated = silu(self.gate_proj(x)) * self.up_proj(x)  # (batch, seq, intermediate)
        return self.down_proj(gated)  # (batch, seq, hidden)


class GELUFeedForward(nn.Module):
    """Classic layer ``down(gelu(up(x)))`` of GPT-2 and BERT, with the exact GELU.

    Source: Hendrycks & Gimpel 2016, "Gaussian Error Linear Units", arXiv:1606.08415.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every vector of ``x``, ``(batch, seq, hidden)``, to one of the same shape."""
        return self.down_proj(gelu(self.up_proj(x)))  # (batch, seq, intermediate), then (batch, seq, hidden)
