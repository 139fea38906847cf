"""Keys and values of the tokens already seen, so that each is computed only once."""

from __future__ import annotations

from collections.abc import Sequence

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

    @property
    def row_lengths(self) -> list[int]:
        """Number of tokens in each row, padding not included."""
        if self._is_token is None:
            return [self.length] * self.batch_size
        return self._is_token[:, : self.length].sum(dim=1).tolist()

    def newest(self, row: int, n_slots: int) -> tuple[Tensor, Tensor]:
        """Return the newest keys and values of a row, ``(n_layers, n_kv_heads, n_slots, head_dim)`` each."""
        start = self.length - n_slots
        return self.keys[:, row, :, start : self.length], self.values[:, row, :, start : self.length]

    def clear(self) -> None:
        """Forget all tokens, and keep the memory for others."""
        self.length, self._is_token = 0, None

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


class ChangingCache(KVCache):
    """A cache whose rows come and go: texts that are decoded together, but begin and end at different times.

    It starts without rows, and grows when it must. A prompt is read into a cache of its own, which is then added::

        cache, prompts = ChangingCache(model.config), model.new_cache(batch_size=2, max_len=9)
        logits = model(two_prompts, attention_mask=mask, cache=prompts)
        cache.add_rows(prompts)
        logits = model(next_tokens, cache=cache)
        cache.remove_row(0)

    All rows end in the same slot, as in a batch that is padded on the left: a row of 5 tokens is in the newest 5 slots.
    Those slots are the end of a window that moves through the memory, as long as the longest row; when it arrives at
    the last slot, its content is moved back to the first.

    Parameters
    ----------
    config, device, dtype
        As in :class:`KVCache`.

    Attributes
    ----------
    keys, values
        ``(n_layers, rows allocated, n_kv_heads, slots allocated, head_dim)``.
    batch_size
        Number of rows in use, which are the first ones.
    length
        Number of tokens in the longest row.
    """

    _SPARE_SLOTS = 64  # how many steps there are from one move of the window to the next

    def __init__(
        self,
        config: ModelConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(config, 0, 0, device=device, dtype=dtype)
        self._end, self._row_lengths = 0, torch.zeros(0, dtype=torch.long)

    @property
    def row_lengths(self) -> list[int]:
        """Number of tokens in each row."""
        return self._row_lengths.tolist()

    def newest(self, row: int, n_slots: int) -> tuple[Tensor, Tensor]:
        """Return the newest keys and values of a row, ``(n_layers, n_kv_heads, n_slots, head_dim)`` each."""
        start = self._end - n_slots
        return self.keys[:, row, :, start : self._end], self.values[:, row, :, start : self._end]

    def clear(self) -> None:
        """Remove all rows, and keep the memory for others."""
        self._set_lengths([])
        self._end = 0

    def add_rows(self, other: KVCache) -> None:
        """Copy all rows of another cache to the end of this one.

        Parameters
        ----------
        other
            A cache of the same model, in which nothing is padded but the beginnings of rows.
        """
        added, before = other.row_lengths, self.batch_size
        lengths = [*self.row_lengths, *added]
        self._make_room(len(lengths), max(lengths), 0)
        self._set_lengths(lengths)
        for row, n_tokens in enumerate(added):
            start = self._end - n_tokens
            keys, values = other.newest(row, n_tokens)
            self.keys[:, before + row, :, start : self._end] = keys
            self.values[:, before + row, :, start : self._end] = values

    def remove_row(self, row: int) -> None:
        """Forget a row; the last one takes its place, so that the rows in use remain the first ones."""
        lengths = self.row_lengths
        n_tokens = lengths.pop()
        last = len(lengths)
        if row < last:
            keys, values = self.newest(last, n_tokens)
            start, lengths[row] = self._end - n_tokens, n_tokens
            self.keys[:, row, :, start : self._end] = keys
            self.values[:, row, :, start : self._end] = values
        self._set_lengths(lengths)

    def extend(self, batch_size: int, n_new: int, attention_mask: Tensor | None = None) -> Tensor | None:
        """Reserve ``n_new`` further slots in every row and return which of all slots in the window hold tokens.

        Parameters
        ----------
        batch_size
            Number of sequences in the input, which must be that of the cache.
        attention_mask
            Must be ``None``: every row is given tokens.

        Returns
        -------
        Tensor or None
            ``(batch, length)``, true for tokens; ``None`` if all rows are equally long.

        Raises
        ------
        ValueError
            If ``batch_size`` is not that of the cache, or there is an ``attention_mask``.
        """
        if batch_size != self.batch_size:
            raise ValueError(f"the cache has {self.batch_size} rows, but the input has {batch_size}")
        if attention_mask is not None:
            raise ValueError(
                "every row is given tokens: read padded prompts into a KVCache, then add its rows"
            )
        self._make_room(batch_size, self.length, n_new)
        lengths = [length + n_new for length in self.row_lengths]
        self._set_lengths(lengths)
        self._end += n_new
        if min(lengths) == self.length:
            return None
        first = (self.length - self._row_lengths).to(self.keys.device)  # (batch,)
        return torch.arange(self.length, device=self.keys.device) >= first[:, None]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the newest keys and values of one layer, and return them together with all earlier ones.

        The arguments and the result are those of :meth:`KVCache.update`.
        """
        n_rows, start, new = self.batch_size, self._end - self.length, self._end - keys.shape[2]
        self.keys[layer, :n_rows, :, new : self._end] = keys.detach()
        self.values[layer, :n_rows, :, new : self._end] = values.detach()
        window = slice(start, self._end)
        return self.keys[layer, :n_rows, :, window], self.values[layer, :n_rows, :, window]

    def _set_lengths(self, lengths: Sequence[int]) -> None:
        self._row_lengths = torch.tensor(lengths, dtype=torch.long)
        self.batch_size, self.length = len(lengths), max(lengths, default=0)

    def _make_room(self, n_rows: int, n_tokens: int, n_new: int) -> None:
        """Make sure of ``n_tokens`` slots before the end of the window and ``n_new`` after it, for so many rows."""
        _, rows, heads, slots, head_dim = self.keys.shape
        if n_rows <= rows and n_tokens <= self._end <= slots - n_new:
            return
        if n_rows > rows or n_tokens + n_new + self._SPARE_SLOTS // 2 > slots:
            # For the present rows and tokens: of all that ever were, the most and the longest were not together.
            rows = n_rows if n_rows <= rows else max(n_rows, 2 * rows)
            slots = n_tokens + n_new + self._SPARE_SLOTS
        shape = (self.keys.shape[0], rows, heads, slots, head_dim)
        self.keys, self.values = (self._moved(each, shape, n_tokens) for each in (self.keys, self.values))
        self._end, self.max_len = n_tokens, slots

    def _moved(self, memory: Tensor, shape: tuple[int, ...], end: int) -> Tensor:
        """Return memory of a shape, which may be the same memory, in which the window is where it is to end."""
        n_rows, old, new = (
            self.batch_size,
            slice(self._end - self.length, self._end),
            slice(end - self.length, end),
        )
        # Zeros, because a slot that a token may not see must hold a number: 0 times NaN is NaN.
        target = memory if memory.shape == torch.Size(shape) else memory.new_zeros(shape)
        for layer, own in zip(memory, target, strict=True):
            own[:n_rows, :, new] = layer[:n_rows, :, old].clone()  # a copy, because the two may overlap
        return target
