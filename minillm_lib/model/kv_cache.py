"""Keys and values of the tokens already seen, so that each is computed once."""

from __future__ import annotations

import torch
from torch import Tensor

from minillm_lib.model.config import ModelConfig


class KVCache:
    """Memory for the keys and values of ``batch_size`` sequences of up to ``max_len`` tokens.

    It is allocated once. A model that is given a cache reads its past from there and appends its new tokens::

        cache = model.new_cache(batch_size=2, max_len=256)
        logits = model(prompts, attention_mask=mask, cache=cache)
        logits = model(next_tokens, cache=cache)

    Prompts of different length are padded on the left, and the mask of the first call says where. The cache
    remembers the padding: it is never attended to, and each row counts its positions from its own first
    token. No gradient flows through a cache.

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
        """Take ``n_new`` further slots and return which slots hold tokens, ``(batch, length)``.

        ``attention_mask`` is ``(batch, n_new)``, true for tokens and false for padding. The answer is
        ``None`` where no slot is padding.

        Raises
        ------
        ValueError
            If the batch is not the cache's, or the slots would not suffice.
        """
        start, end = self.length, self.length + n_new
        if batch_size != self.batch_size:
            raise ValueError(f"the cache was made for {self.batch_size} rows, but the input has {batch_size}")
        if end > self.max_len:
            raise ValueError(
                f"the cache is full: {start} of {self.max_len} slots are used and {n_new} more are needed; "
                f"make it with max_len={end} or more, or shorten the input"
            )
        self.length = end
        if attention_mask is not None and self._is_token is None:
            self._is_token = self.keys.new_ones((batch_size, self.max_len), dtype=torch.bool)
        if self._is_token is None:
            return None
        self._is_token[:, start:end] = True if attention_mask is None else attention_mask
        return self._is_token[:, :end]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the newest keys and values of one layer and return all of its past with them.

        Takes ``(batch, n_kv_heads, n_new, head_dim)`` each, returns ``(batch, n_kv_heads, length, head_dim)``
        each: views of the cache, not copies.
        """
        start = self.length - keys.shape[2]
        self.keys[layer, :, :, start : self.length] = keys.detach()
        self.values[layer, :, :, start : self.length] = values.detach()
        return self.keys[layer, :, :, : self.length], self.values[layer, :, :, : self.length]
