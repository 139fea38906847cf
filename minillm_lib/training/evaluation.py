"""How well a model predicts a fixed held-out text: cross-entropy, perplexity and bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.batches import Batch, Rows, evenly_spaced
from minillm_lib.training.distributed import Processes
from minillm_lib.training.sft_dataset import IGNORE_INDEX

LossFunction = Callable[[Batch], Tensor]
"""The summed loss of a batch, in nats."""


@dataclass(frozen=True, slots=True)
class Score:
    """The mean loss of ``n_tokens`` tokens in nats, and the bytes of text that they stand for."""

    loss: float
    n_tokens: int
    n_bytes: int

    @property
    def perplexity(self) -> float:
        """Among how many equally likely pieces the model hesitates; depends on the tokenizer."""
        return math.exp(min(self.loss, 700))

    @property
    def bits_per_byte(self) -> float:
        """The loss per byte of text in bits, which models with different tokenizers can be compared by."""
        return self.loss * self.n_tokens / (math.log(2) * max(self.n_bytes, 1))


@torch.no_grad()
def evaluate(
    summed_loss: LossFunction,
    rows: Rows,
    tokenizer: Tokenizer,
    processes: Processes,
    *,
    max_tokens: int,
    rows_at_a_time: int = 8,
) -> Score:
    """The loss on rows spread evenly over all, always the same ones, shared out over the processes.

    Every process calls the model equally often, since shared-out parameters are gathered in each call; those that have
    no rows left read one that does not count.
    """
    chosen = evenly_spaced(len(rows), max(max_tokens // rows.seq_len, 1))
    mine = chosen[processes.rank :: processes.count]
    n_calls = -(-len(chosen) // (processes.count * rows_at_a_time))
    n_bytes_of = np.array(tokenizer.byte_lengths)
    loss, n_tokens, n_bytes = 0.0, 0, 0
    for call in range(n_calls):
        own = mine[call * rows_at_a_time : (call + 1) * rows_at_a_time]
        batch = rows.batch(own if len(own) else chosen[:1])
        value = float(summed_loss(batch.to(processes.device)))
        if len(own):
            labels = batch.labels[batch.labels != IGNORE_INDEX].numpy()
            loss, n_tokens, n_bytes = loss + value, n_tokens + len(labels), n_bytes + n_bytes_of[labels].sum()
    total_loss, total_tokens, total_bytes = processes.total(loss, n_tokens, n_bytes)
    return Score(total_loss / max(total_tokens, 1), int(total_tokens), int(total_bytes))
