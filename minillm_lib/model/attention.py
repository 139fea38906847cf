"""Causal self-attention in which several query heads share one key–value head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.kv_cache import KVCache
from minillm_lib.model.rms_norm import RMSNorm
from minillm_lib.model.rope import rotate


class GroupedQueryAttention(nn.Module):
    """``n_heads`` query heads over ``n_kv_heads`` key–value heads, each shared by a group of queries.

    With as many key–value heads as query heads this is multi-head attention (Vaswani et al. 2017,
    arXiv:1706.03762); with a single one it is multi-query attention (Shazeer 2019, arXiv:1911.02150). The
    cache shrinks by the size of the groups.

    Source: Ainslie et al. 2023, "GQA", arXiv:2305.13245. Query–key norm: Henry et al. 2020, arXiv:2010.04245.
    """

    def __init__(self, config: ModelConfig, layer: int = 0) -> None:
        super().__init__()
        self.layer, self.head_dim, self.dropout = layer, config.head_dim, config.dropout
        query_width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query_width, bias=config.attention_bias)
        self.k_proj = nn.Linear(config.hidden_size, kv_width, bias=config.attention_bias)
        self.v_proj = nn.Linear(config.hidden_size, kv_width, bias=config.attention_bias)
        self.o_proj = nn.Linear(query_width, config.hidden_size, bias=config.attention_bias)
        self.q_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """``(batch, seq, hidden)`` in and out.

        ``rotation`` comes from :class:`~minillm_lib.model.rope.RotaryEmbedding`, ``mask`` from
        :func:`causal_mask`; a ``cache`` holds the past and takes in the new keys and values.
        """
        query = self.q_norm(self._split_heads(self.q_proj(x)))  # (batch, n_heads, seq, head_dim)
        key = self.k_norm(self._split_heads(self.k_proj(x)))  # (batch, n_kv_heads, seq, head_dim)
        value = self._split_heads(self.v_proj(x))  # (batch, n_kv_heads, seq, head_dim)
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        if cache is not None:
            key, value = cache.update(self.layer, key, value)  # (batch, n_kv_heads, past + seq, head_dim)
        heads = attend(query, key, value, mask, self.dropout if self.training else 0.0)
        return self.o_proj(heads.transpose(1, 2).flatten(2))  # (batch, seq, hidden)

    def _split_heads(self, x: Tensor) -> Tensor:
        """``(batch, seq, heads * head_dim)`` to ``(batch, heads, seq, head_dim)``."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """``softmax(query @ key^T / sqrt(head_dim)) @ value``; query head ``h`` uses key head ``h // group``.

    ``query`` is ``(batch, n_heads, seq, head_dim)``, ``key`` and ``value`` are
    ``(batch, n_kv_heads, past + seq, head_dim)``. ``mask`` is true where a query may look; it
    comes from :func:`causal_mask`, as does its absence.

    Raises
    ------
    ValueError
        Without a mask, for several queries and a past: PyTorch would let the first query see the first key only.
    """
    batch, n_heads, seq, head_dim = query.shape
    n_kv_heads, n_keys = key.shape[1:3]
    if mask is None and 1 < seq != n_keys:
        raise ValueError(
            f"{seq} queries over {n_keys} keys need a mask, from causal_mask(past={n_keys - seq}, seq={seq}, …)"
        )
    if seq == 1:
        # The queries of a group become the rows of one matrix, so that no key or value is copied for them.
        rows = query.reshape(batch, n_kv_heads, n_heads // n_kv_heads, head_dim)
        output = scaled_dot_product_attention(rows, key, value, attn_mask=mask, dropout_p=dropout)
        return output.reshape(batch, n_heads, 1, head_dim)
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        enable_gqa=n_kv_heads < n_heads,
    )


def causal_mask(
    past: int, seq: int, is_token: Tensor | None, device: torch.device, segment_ids: Tensor | None = None
) -> Tensor | None:
    """Which slots each of ``seq`` new tokens may look at: ``(batch or 1, 1, seq, past + seq)``, true for yes.

    A token looks at itself and at the tokens before it, never at padding (false in ``is_token``,
    ``(batch, past + seq)``), and where ``segment_ids``, ``(batch, seq)``, tell the texts of a row apart, only
    within its own text. ``None`` where :func:`attend` needs no mask to do so.
    """
    if is_token is None and segment_ids is None and (past == 0 or seq == 1):
        return None
    slots = torch.arange(past + seq, device=device)
    ages = slots[past:, None] - slots  # (seq, past + seq)
    visible = (ages >= 0)[None]
    if segment_ids is not None:
        visible = visible & (segment_ids[:, :, None] == segment_ids[:, None, :])  # (batch, seq, seq)
    if is_token is not None:
        # Padding may look at itself: a softmax over nothing would be undefined.
        visible = visible & is_token[:, None, :] | (ages == 0)
    return visible[:, None]
