"""The fast path of decoding: one text on a CPU, with one call of a compiled kernel per token."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from minillm_lib.generation.team import work_together
from minillm_lib.generation.weight_table import FastPathError, WeightTable
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.kv_cache import KVCache

if TYPE_CHECKING:
    from minillm_lib.generation.token_kernel import Workspace

_log = logging.getLogger(__name__)
_MOST_THREADS = 16
_BYTES_PER_THREAD = 4 * 2**20
_ROTATIONS_AT_A_TIME = 256


class FastDecoder:
    """Decodes one token after the other, as the layers do, but with one call of a compiled function per token.

    It continues the cache that the layers have filled with a prompt, and appends to it, so that the layers can go on
    at any time. It reads the weights of the model where they lie, and so it sees what training changes. Only where all
    of them fit into bfloat16, as in a model that was saved in it, does it read a copy in half the memory: the same
    numbers in half the time. A change that PyTorch does not count, through ``.data`` or NumPy, is then seen when the
    next text begins.

    The first call of a process loads the compiled function; the first on a machine compiles it, which takes some
    seconds.

    Several threads share the work; :mod:`~minillm_lib.generation.token_kernel` describes how. They need no processor
    of their own: on a busy machine, the calling thread does what the others have no time for.

    Parameters
    ----------
    model
        A model of this package's layers on the CPU, in float32 or with weights in 8 bits.
    cache
        A cache for one row without padding, in float32 on the CPU.
    n_threads
        By default ``torch.get_num_threads()``, but at most 16, and one per 4 MiB of weights.
    table
        That of an earlier decoder of the model, which takes time to make; used if it is still true.

    Attributes
    ----------
    n_threads
        The number of threads.
    table
        Where the weights are, for further decoders.

    Raises
    ------
    FastPathError
        If only the layers can compute with them; see :func:`why_not_fast`.

    Examples
    --------
    >>> model = MiniLLM.from_preset("nano").eval()
    >>> cache = model.new_cache(max_len=8)
    >>> logits = model(torch.tensor([[5, 6, 7]]), cache=cache)[:, -1]
    >>> FastDecoder(model, cache)(int(logits.argmax())).shape
    torch.Size([1, 6400])
    """

    def __init__(
        self,
        model: MiniLLM,
        cache: KVCache,
        n_threads: int | None = None,
        table: WeightTable | None = None,
    ) -> None:
        self.table = table if table is not None and table.is_current() else WeightTable(model, halve=True)
        from minillm_lib.generation import token_kernel  # here, because it loads numba

        self._kernel = token_kernel
        if cache.keys.dtype != torch.float32 or cache.keys.device.type != "cpu" or cache.batch_size != 1:
            has = f"{cache.batch_size} row{'s' * (cache.batch_size > 1)} in {cache.keys.dtype} on {cache.keys.device}"
            raise FastPathError(f"the cache is for {has}, but the fast path for 1 row in float32 on the CPU")
        self._model, self._cache = model, cache
        most = min(_MOST_THREADS, 1 + self.table.n_bytes // _BYTES_PER_THREAD)
        self.n_threads = n_threads or min(torch.get_num_threads(), most)
        self._keys, self._values = cache.keys[:, 0].numpy(), cache.values[:, 0].numpy()
        self._rotations, self._first_rotation = np.empty((0, 2, 0), np.float32), 0
        self._free: list[Workspace] = []

    @classmethod
    def if_possible(cls, model: MiniLLM, cache: KVCache, table: WeightTable | None = None) -> Self | None:
        """Return a decoder, or ``None`` if only the layers can compute; then, a message at level DEBUG says why."""
        try:
            return cls(model, cache, table=table)
        except FastPathError as error:
            _log.debug("the layers decode: %s", error)
            return None

    @torch.inference_mode()
    def __call__(self, token: int) -> Tensor:
        """Append a token to the cache, and return the logits of the one after it, ``(1, n_ids)`` in float32.

        Raises
        ------
        ValueError
            If the cache or the table of learned positions is full, or the token is not in the vocabulary.
        """
        past, config, table = self._cache.length, self._model.config, self.table
        if not 0 <= token < config.vocab_size:
            raise ValueError(
                f"token {token} is not in the vocabulary: ids are from 0 to {config.vocab_size - 1}"
            )
        if config.positions == "learned" and past >= config.max_seq_len:
            raise ValueError(f"{past + 1} tokens exceed the model's learned positions, {config.max_seq_len}")
        self._cache.extend(1, 1)
        rotation = self._rotation(past)
        work = self._free.pop() if self._free else self._workspace()
        work.claims[:] = 0

        def compute(thread: int) -> None:
            self._kernel.token_step(
                thread, self.n_threads, token, past, table.shape, table.like, table.addresses,
                rotation, self._keys, self._values, work,
            )  # fmt: skip

        # A late thread may still write to this workspace, and no harm is done: the next token has another one.
        work_together(self.n_threads, compute, at_the_end=lambda: self._free.append(work))
        self._keys[:, :, past] = work.keys
        self._values[:, :, past] = work.qkv[:, -work.keys[0].size :].reshape(work.keys.shape)
        return torch.from_numpy(work.logits[: self._model.n_ids].copy())[None]

    def is_current(self) -> bool:
        """Return whether the model still has the tensors and modules that it had, so that :meth:`__call__` is right."""
        return self.table.is_current()

    def _workspace(self) -> Workspace:
        return self._kernel.new_workspace(self.table.shape, self.n_threads, self._cache.max_len)

    def _rotation(self, position: int) -> np.ndarray:
        """Return cosines and sines of a position, ``(2, head_dim)``; those of the next ones are computed with it."""
        rotary = self._model.rotary
        if rotary is None:
            return np.empty((2, 0), np.float32)
        at = position - self._first_rotation
        if not 0 <= at < len(self._rotations):
            # One row per position, because dynamic scaling depends on the length of the row.
            positions = torch.arange(position, position + _ROTATIONS_AT_A_TIME, device="cpu")[:, None]
            tables = rotary(positions)  # two of (positions, 1, 1, head_dim)
            self._rotations = torch.cat(tables, dim=1)[:, :, 0].numpy()
            self._first_rotation, at = position, 0
        return self._rotations[at]


def why_not_fast(model: MiniLLM) -> str | None:
    """Return why ``model`` decodes with its layers and not on the fast path, or ``None`` if it is on the fast path.

    The fast path is for one text at a time on a CPU. It knows every configuration of
    :class:`~minillm_lib.model.config.ModelConfig`, in float32 or with weights in 8 bits. A model decodes with its
    layers if it is in another dtype, has other layers or hooks, overrides ``hidden_states``, or runs under
    ``torch.autocast``.
    """
    try:
        WeightTable(model)
    except FastPathError as error:
        return str(error)
    return None
