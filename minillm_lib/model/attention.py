"""Causal self-attention in which several query heads share one key–value head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop_out, scaled_dot_product_attention

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.devices import has_amx
from minillm_lib.model.kv_cache import KVCache
from minillm_lib.model.rms_norm import RMSNorm
from minillm_lib.model.rope import rotate

QUERIES_IN_A_BLOCK = 128
_MOST_KEYS_IN_BLOCKS = 1024  # attend_in_blocks keeps all weights for the backward pass
_MANY_KEYS = 512  # of a single query on a GPU
_HAS_AMX = has_amx()


class GroupedQueryAttention(nn.Module):
    """Self-attention of ``n_heads`` query heads over ``n_kv_heads`` key–value heads, each shared by a group of queries.

    With as many key–value heads as query heads, this is multi-head attention (Vaswani et al. 2017,
    arXiv:1706.03762). With a single one, it is multi-query attention (Shazeer 2019, arXiv:1911.02150).
    Grouping makes the cache smaller by the size of a group, ``n_heads / n_kv_heads``.

    Source: Ainslie et al. 2023, "GQA", arXiv:2305.13245. Query–key norm: Henry et al. 2020, arXiv:2010.04245.

    Parameters
    ----------
    layer
        Number of the block, counted from 0: where a cache keeps the keys and values of this layer.
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
        """Apply causal self-attention.

        Parameters
        ----------
        x
            ``(batch, seq, hidden)``.
        rotation
            Cosines and sines from :class:`~minillm_lib.model.rope.RotaryEmbedding`,
            ``(batch or 1, 1, seq, head_dim)`` each; without them nothing is rotated.
        mask
            What :func:`causal_mask` returns: ``(batch or 1, 1, seq, past + seq)``, or ``None``.
        cache
            The keys and values of the past, to which the new ones are added.

        Returns
        -------
        Tensor
            ``(batch, seq, hidden)``.
        """
        query, key = self._queries_and_keys(x, rotation)
        value = self._split_heads(self.v_proj(x))  # (batch, n_kv_heads, seq, head_dim)
        if cache is not None:
            key, value = cache.update(self.layer, key, value)  # (batch, n_kv_heads, past + seq, head_dim)
        heads = attend(query, key, value, mask, self.dropout if self.training else 0.0)
        return self.o_proj(heads.transpose(1, 2).flatten(2))  # (batch, seq, hidden)

    def last_weights(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return how the last token attends to each token of its text, to look at: ``(batch, n_heads, seq)``.

        :meth:`forward` never has these numbers, as the fused kernel keeps them to itself; here they are computed once
        more. The arguments are those of :meth:`forward`, without padding.
        """
        query, key = self._queries_and_keys(x, rotation)
        groups = query[:, :, -1:].unflatten(1, (key.shape[1], -1))  # (batch, n_kv_heads, group, 1, head_dim)
        scores = groups @ key[:, :, None].mT * self.head_dim**-0.5
        return scores.softmax(dim=-1).flatten(1, 2)[:, :, 0]

    def _queries_and_keys(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Return them ``(batch, heads, seq, head_dim)`` each, normed and rotated as configured."""
        query = self.q_norm(self._split_heads(self.q_proj(x)))  # (batch, n_heads, seq, head_dim)
        key = self.k_norm(self._split_heads(self.k_proj(x)))  # (batch, n_kv_heads, seq, head_dim)
        return (query, key) if rotation is None else (rotate(query, *rotation), rotate(key, *rotation))

    def _split_heads(self, x: Tensor) -> Tensor:
        """Turn ``(batch, seq, heads * head_dim)`` into ``(batch, heads, seq, head_dim)``."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Return ``softmax(query @ key^T / sqrt(head_dim)) @ value``.

    Query head ``h`` uses key–value head ``h // group``, where ``group`` is ``n_heads / n_kv_heads``.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.

    Parameters
    ----------
    query
        ``(batch, n_heads, seq, head_dim)``.
    key, value
        ``(batch, n_kv_heads, past + seq, head_dim)``.
    mask
        What :func:`causal_mask` returns: ``(batch or 1, 1, seq, past + seq)``, true where a query may attend to
        a key, or ``None`` where no mask is needed.
    dropout
        Share of the attention weights that are set to 0 at random; 0 outside training.

    Returns
    -------
    Tensor
        ``(batch, n_heads, seq, head_dim)``.

    Raises
    ------
    ValueError
        If several queries come with a past but without a mask: PyTorch would show the first query only the first key.
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
        if query.is_cuda and n_keys > _MANY_KEYS and not dropout:
            output = attend_in_parts(rows, key, value, mask)
        else:
            output = scaled_dot_product_attention(rows, key, value, attn_mask=mask, dropout_p=dropout)
        return output.reshape(batch, n_heads, 1, head_dim)
    if _is_faster_in_blocks(query) and seq == n_keys <= _MOST_KEYS_IN_BLOCKS:
        return attend_in_blocks(query, key, value, mask, dropout)
    if mask is not None and query.is_cuda and n_kv_heads < n_heads:
        # PyTorch's fused kernels for CUDA take a mask or shared heads; with both, it computes without them.
        key, value = (each.repeat_interleave(n_heads // n_kv_heads, dim=1) for each in (key, value))
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        enable_gqa=key.shape[1] < n_heads,
    )


def attend_in_parts(
    rows: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, keys_in_a_part: int = 128
) -> Tensor:
    """Attend with a single query of each head, with the keys divided into parts that a GPU reads at the same time.

    PyTorch's fused kernels give all keys of a head to one multiprocessor: with few texts and few key–value heads, most
    of the GPU is idle, and the more heads share keys and values, the more of it.

    Parameters
    ----------
    rows
        ``(batch, n_kv_heads, group, head_dim)``: the queries that share a key–value head.
    key, value
        ``(batch, n_kv_heads, n_keys, head_dim)``.
    mask
        ``(batch or 1, 1, 1, n_keys)``, true where a key may be attended to; ``None`` for all.
    keys_in_a_part
        Number of keys in a part; with another number of keys than a multiple of it, there is one part.

    Returns
    -------
    Tensor
        ``(batch, n_kv_heads, group, head_dim)``.
    """
    n_parts = key.shape[2] // keys_in_a_part if key.shape[2] % keys_in_a_part == 0 else 1
    scores = (rows @ key.mT).float() * rows.shape[-1] ** -0.5  # (batch, n_kv_heads, group, n_keys)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1).to(value.dtype).unflatten(-1, (n_parts, -1))
    parts = weights.transpose(2, 3) @ value.unflatten(2, (n_parts, -1))  # (…, n_parts, group, head_dim)
    return parts.sum(dim=2, dtype=torch.float32).to(value.dtype)


def attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Do the same as :func:`attend`, for queries without a past, by products of matrices and a softmax.

    The queries are divided into blocks, and each block is multiplied only with the keys up to its end. In bfloat16
    on a CPU without AMX, forward and backward pass together take less than half the time of PyTorch's fused attention.
    The weights are rounded to bfloat16, and kept for the backward pass, so memory grows with the square of the length.

    The arguments and the result are those of :func:`attend`.
    """
    seq, head_dim = query.shape[-2:]
    if mask is None:
        mask = torch.ones(seq, seq, dtype=torch.bool, device=query.device).tril()[None, None]
    bias = torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill(~mask, -torch.inf)
    scaled = query * head_dim**-0.5
    groups = scaled.unflatten(1, (key.shape[1], -1))  # (batch, n_kv_heads, group, seq, head_dim)
    outputs = []
    for start in range(0, seq, QUERIES_IN_A_BLOCK):
        end = min(start + QUERIES_IN_A_BLOCK, seq)
        rows = groups[..., start:end, :].flatten(2, 3)  # (batch, n_kv_heads, group * block, head_dim)
        scores = (rows @ key[:, :, :end].mT).unflatten(2, (-1, end - start))
        scores += bias[:, :, None, start:end, :end]  # (batch, n_kv_heads, group, block, end)
        weights = drop_out(scores.softmax(dim=-1), dropout).flatten(2, 3)
        outputs.append((weights @ value[:, :, :end]).unflatten(2, (-1, end - start)))
    return torch.cat(outputs, dim=3).flatten(1, 2)  # (batch, n_heads, seq, head_dim)


def _is_faster_in_blocks(query: Tensor) -> bool:
    return query.dtype == torch.bfloat16 and query.device.type == "cpu" and not _HAS_AMX


def causal_mask(
    past: int, seq: int, is_token: Tensor | None, device: torch.device, segment_ids: Tensor | None = None
) -> Tensor | None:
    """Return a mask of the slots to which each of ``seq`` new tokens may attend.

    A token attends to itself and to the tokens before it in its own text, never to padding.

    Parameters
    ----------
    past
        Number of slots before the new tokens, in a cache.
    seq
        Number of new tokens.
    is_token
        ``(batch, past + seq)``, true for tokens and false for padding; ``None`` if there is no padding.
    segment_ids
        ``(batch, seq)`` numbers that separate the texts packed into a row; ``None`` if each row is one text. They
        require ``past`` to be 0.

    Returns
    -------
    Tensor or None
        ``(batch or 1, 1, seq, past + seq)``, true where a token may attend to a slot; ``None`` where :func:`attend`
        does the same without a mask.
    """
    if is_token is None and segment_ids is None and (past == 0 or seq == 1):
        return None
    slots = torch.arange(past + seq, device=device)
    ages = slots[past:, None] - slots  # (seq, past + seq)
    visible = (ages >= 0)[None]
    if segment_ids is not None:
        visible = visible & (segment_ids[:, :, None] == segment_ids[:, None, :])  # (batch, seq, seq)
    if is_token is not None:
        # Padding may attend to itself: a softmax over nothing would be undefined.
        visible = visible & is_token[:, None, :] | (ages == 0)
    return visible[:, None]
