"""Keys and values of the tokens already seen, so that each is computed only once."""

from __future__ import annotations

import torch
from torch import Tensor

from minillm_lib.model.config import ModelConfig


class KVCache:
    """Memory for the keys and values of ``batch_size`` sequences of up to ``max_len`` tokens.

    It is allocated once. A model that is given a cache reads its past from it and appends its new tokens::

        cache = model.new_cache(batch_size=2, max_len=256)
        logits = model(prompts, attention_mask=mask, cache=cache)
        logits = model(next_tokens, cache=cache)

    Prompts of different lengths are padded on the left, and the mask of the first call marks the padding. The cache
    remembers it: no token attends to padding, and each row counts its positions from its own first token. No
    gradient flows through a cache.

    Source: the incremental decoding of Shazeer 2019, arXiv:1911.02150.

    Parameters
    ----------
    batch_size
        Number of sequences.
    max_len
        Number of slots per sequence, padding included; by default the model's context length.
    device, dtype
        Those of the model that fills it; by default torch's. :meth:`MiniLLM.new_cache
        <minillm_lib.model.decoder.MiniLLM.new_cache>` takes them from the model.

    Attributes
    ----------
    keys, values
        ``(n_layers, batch, n_kv_heads, max_len, head_dim)``.
    length
        Number of slots in use, padding included; the same for all rows.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int = 1,
        max_len: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.max_len = config.context_length if max_len is None else max_len
        shape = (config.n_layers, batch_size, config.n_kv_heads, self.max_len, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.length = 0
        self._is_token: Tensor | None = None  # (batch, max_len); None while there is no padding

    @property
    def nbytes(self) -> int:
        """Bytes allocated for keys and values together."""
        return self.keys.nbytes + self.values.nbytes

    def extend(self, batch_size: int, n_new: int, attention_mask: Tensor | None = None) -> Tensor | None:
        """Reserve ``n_new`` further slots and return which of all slots hold tokens.

        Parameters
        ----------
        batch_size
            Number of sequences in the input, which must be that of the cache.
        attention_mask
            ``(batch, n_new)``, true for tokens and false for padding; without it, all are tokens.

        Returns
        -------
        Tensor or None
            ``(batch, length)``, true for tokens; ``None`` if there is no padding in any slot.

        Raises
        ------
        ValueError
            If ``batch_size`` is not that of the cache, or there are too few free slots.
        """
        start, end = self.length, self.length + n_new
        if batch_size != self.batch_size:
            raise ValueError(f"the cache was made for {self.batch_size} rows, but the input has {batch_size}")
        if end > self.max_len:
            raise ValueError(
                f"the cache is full: {start} of {self.max_len} slots are used and {n_new} more are needed; "
                f"create it with max_len={end} or more, or shorten the input"
            )
        self.length = end
        if attention_mask is not None and self._is_token is None:
            self._is_token = self.keys.new_ones((batch_size, self.max_len), dtype=torch.bool)
        if self._is_token is None:
            return None
        self._is_token[:, start:end] = True if attention_mask is None else attention_mask
        return self._is_token[:, :end]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the newest keys and values of one layer, and return them together with all earlier ones.

        Parameters
        ----------
        layer
            Number of the block, counted from 0.
        keys, values
            ``(batch, n_kv_heads, n_new, head_dim)`` each, for the slots that :meth:`extend` reserved.

        Returns
        -------
        tuple of Tensor
            Keys and values, ``(batch, n_kv_heads, length, head_dim)`` each: views of the cache, not copies.
        """
        start = self.length - keys.shape[2]
        self.keys[layer, :, :, start : self.length] = keys.detach()
        self.values[layer, :, :, start : self.length] = values.detach()
        return self.keys[layer, :, :, : self.length], self.values[layer, :, :, : self.length]
