"""Rows for the model, and which of them a step reads: a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minillm_lib.training.sft_rows import IGNORE_INDEX, SFTRows
from minillm_lib.training.token_file import TokenFile

IntArray = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """What :meth:`MiniLLM.loss <minillm_lib.model.decoder.MiniLLM.loss>` takes, each ``(rows, seq)`` of int64."""

    input_ids: Tensor
    labels: Tensor
    positions: Tensor | None = None
    segment_ids: Tensor | None = None

    @property
    def n_labels(self) -> int:
        """Positions that the loss counts."""
        return int((self.labels != IGNORE_INDEX).sum())

    def rows(self, start: int, end: int) -> Batch:
        """Some of its rows."""
        return Batch(*(None if each is None else each[start:end] for each in self))  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; to a CUDA device it goes while the device works on."""
        if device.type == "cpu":
            return self
        pin = device.type == "cuda"
        moved = (
            None if each is None else (each.pin_memory() if pin else each).to(device, non_blocking=pin)
            for each in self
        )
        return Batch(*moved)  # type: ignore[arg-type]


class Rows(Protocol):
    """A corpus cut into rows of one length."""

    seq_len: int

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int] | IntArray) -> Batch:
        """The rows of these numbers."""


class TokenWindows:
    """A token file as rows of ``seq_len`` tokens, one after the other, each with the tokens that follow as labels.

    Parameters
    ----------
    document_mask
        Keep attention within each document, and count its positions from 0.

    Raises
    ------
    ValueError
        If the file is shorter than one row.
    """

    def __init__(self, file: TokenFile, seq_len: int, *, document_mask: bool = False) -> None:
        if len(file.tokens) <= seq_len:
            raise ValueError(
                f"{file.path} holds {len(file.tokens):,} tokens, less than one row of seq_len={seq_len} and its label: "
                "give more text, or a smaller train.seq_len"
            )
        self.file, self.seq_len, self.document_mask = file, seq_len, document_mask

    def __len__(self) -> int:
        return (len(self.file.tokens) - 1) // self.seq_len

    def batch(self, rows: Sequence[int] | IntArray) -> Batch:
        """The rows of these numbers, read from the disk where they are not in memory already."""
        starts = np.asarray(rows, dtype=np.int64) * self.seq_len
        tokens = np.stack([self.file.tokens[start : start + self.seq_len + 1] for start in starts])
        ids = torch.from_numpy(tokens.astype(np.int64))
        if not self.document_mask:
            return Batch(ids[:, :-1], ids[:, 1:])
        places = starts[:, None] + np.arange(self.seq_len)
        documents = np.searchsorted(self.file.document_starts, places, side="right") - 1
        begins = np.asarray(self.file.document_starts)[documents].astype(np.int64)
        positions = places - np.maximum(begins, starts[:, None])
        return Batch(ids[:, :-1], ids[:, 1:], torch.from_numpy(positions), torch.from_numpy(documents))


class ConversationRows:
    """Packed conversations as rows."""

    def __init__(self, rows: SFTRows) -> None:
        self._rows = rows
        self.seq_len = rows.input_ids.shape[1]

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, rows: Sequence[int] | IntArray) -> Batch:
        """The rows of these numbers."""
        chosen = self._rows[torch.as_tensor(np.asarray(rows))]
        return Batch(chosen.input_ids, chosen.labels, chosen.positions, chosen.segment_ids)


def rows_of_step(step: int, batch_size: int, n_rows: int, seed: int) -> IntArray:
    """The numbers of the rows that a step reads, ``(batch_size,)``.

    Epoch after epoch, all ``n_rows`` rows are read in an order of its own; a batch may reach from one epoch into the
    next. Nothing but the arguments decides, so a run goes on anywhere without a state of its data.
    """
    places = step * batch_size + np.arange(batch_size, dtype=np.int64)
    epochs, within = np.divmod(places, n_rows)
    rows = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = _order(n_rows, seed, int(epoch))
        rows[epochs == epoch] = order[within[epochs == epoch]]
    return rows


@lru_cache(maxsize=4)  # every step of an epoch asks for the same one
def _order(n_rows: int, seed: int, epoch: int) -> IntArray:
    return np.random.default_rng([seed, epoch]).permutation(n_rows)


def evenly_spaced(n_rows: int, most: int) -> IntArray:
    """At most ``most`` row numbers, spread evenly over all."""
    n = min(n_rows, most)
    return np.arange(n, dtype=np.int64) * n_rows // max(n, 1)
