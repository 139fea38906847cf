"""Rows of token ids for the model, and which of them a step reads: a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.token_file import TokenFile

IGNORE_INDEX = -100
"""The label of a position that the loss does not count."""

IntArray = npt.NDArray[np.int64]
RowNumbers = slice | Sequence[int] | IntArray | Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows for the model, each field an int64 tensor of shape ``(rows, seq)``.

    Attributes
    ----------
    input_ids, labels
        As :meth:`MiniLLM.loss <minillm_lib.model.decoder.MiniLLM.loss>` takes them: ``labels`` holds the token that
        follows, or ``IGNORE_INDEX`` where nothing is trained on.
    positions
        Counted from 0 in each text of a row; None where a row is one text.
    segment_ids
        Which text of its row a token belongs to. In packed conversations, 1 is the first, 2 the next, and 0 padding.
    """

    input_ids: Tensor
    labels: Tensor
    positions: Tensor | None = None
    segment_ids: Tensor | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, rows: RowNumbers) -> Batch:
        if not isinstance(rows, slice | Tensor):
            rows = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return Batch(*(None if each is None else each[rows] for each in self._tensors()))  # type: ignore[arg-type]

    @property
    def seq_len(self) -> int:
        """Tokens per row."""
        return self.input_ids.shape[1]

    @property
    def n_labels(self) -> int:
        """Number of positions that the loss counts."""
        return int((self.labels != IGNORE_INDEX).sum())

    @property
    def padding_share(self) -> float:
        """Share of positions that hold no token, from 0 to 1."""
        return 0.0 if self.segment_ids is None else float((self.segment_ids == 0).float().mean())

    def to(self, device: torch.device | str) -> Batch:
        """Copy the rows to a device; the copy to a CUDA device overlaps with its work."""
        device = torch.device(device)
        if device.type == "cpu" and self.input_ids.device.type == "cpu":
            return self
        pin = device.type == "cuda" and self.input_ids.device.type == "cpu"
        moved = (
            None if each is None else (each.pin_memory() if pin else each).to(device, non_blocking=pin)
            for each in self._tensors()
        )
        return Batch(*moved)  # type: ignore[arg-type]

    def _tensors(self) -> list[Tensor | None]:
        return [getattr(self, each.name) for each in fields(self)]


class Rows(Protocol):
    """Rows of one length to choose from: :class:`TokenWindows` on disk, or a :class:`Batch` in memory."""

    @property
    def seq_len(self) -> int:
        """Tokens per row."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: RowNumbers, /) -> Batch: ...


class TokenWindows:
    """A token file as successive rows of ``seq_len`` tokens; ``windows[[0, 7]]`` is a :class:`Batch` of two of them.

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
                f"{file.path} holds {len(file.tokens):,} tokens, fewer than one row of seq_len={seq_len} and its last "
                f"label: give more text, or train.seq_len of at most {max(len(file.tokens) - 1, 1)}"
            )
        self.file, self.seq_len, self.document_mask = file, seq_len, document_mask

    def __len__(self) -> int:
        return (len(self.file.tokens) - 1) // self.seq_len

    def __getitem__(self, rows: RowNumbers) -> Batch:
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        starts = numbers * self.seq_len
        tokens = np.stack([self.file.tokens[start : start + self.seq_len + 1] for start in starts])
        ids = torch.from_numpy(tokens.astype(np.int64))
        if not self.document_mask:
            return Batch(ids[:, :-1], ids[:, 1:])
        places = starts[:, None] + np.arange(self.seq_len)
        documents = np.searchsorted(self.file.document_starts, places, side="right") - 1
        begins = np.asarray(self.file.document_starts)[documents].astype(np.int64)
        positions = places - np.maximum(begins, starts[:, None])
        return Batch(ids[:, :-1], ids[:, 1:], torch.from_numpy(positions), torch.from_numpy(documents))


def batch_loss(model: MiniLLM, batch: Batch, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """Compute the model's loss on a batch, in nats; texts that share a row do not see one another.

    Parameters
    ----------
    reduction
        The mean over the batch's labels, or their sum.
    """
    return model.loss(
        batch.input_ids,
        batch.labels,
        positions=batch.positions,
        segment_ids=batch.segment_ids,
        ignore_index=IGNORE_INDEX,
        reduction=reduction,
    )


def rows_of_step(step: int, batch_size: int, n_rows: int, seed: int) -> IntArray:
    """Return the numbers of the rows that a step reads, ``(batch_size,)``.

    In every epoch all ``n_rows`` rows are read, in a new order; a batch may reach from one epoch into the next. The
    arguments alone decide, so a run can resume at any step without any saved state of its data.
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
    """Return at most ``most`` row numbers, spread evenly over all ``n_rows``."""
    n = min(n_rows, most)
    return np.arange(n, dtype=np.int64) * n_rows // max(n, 1)
