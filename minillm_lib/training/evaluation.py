"""Evaluation on held-out text: cross-entropy, perplexity and bits per byte, and samples from fixed prompts.

:func:`evaluate` scores a model on rows, and :class:`HeldOut` makes the records of an evaluation during a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minillm_lib.generation.chat_session import ChatSession
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.compilation import uncompiled
from minillm_lib.training.config import RunConfig
from minillm_lib.training.parallel import Processes, Replica
from minillm_lib.training.precision import Precision
from minillm_lib.training.rows import IGNORE_INDEX, Batch, Rows, evenly_spaced
from minillm_lib.training.run_folder import Record

LossFunction = Callable[[Batch], Tensor]
"""A function that returns the summed loss of a batch, in nats."""


@dataclass(frozen=True, slots=True)
class Score:
    """The mean loss of ``n_tokens`` tokens, in nats, and the number of bytes of text that they stand for."""

    loss: float
    n_tokens: int
    n_bytes: int

    @property
    def perplexity(self) -> float:
        """Among how many equally likely pieces the model hesitates: exp(loss), which depends on the tokenizer."""
        return math.exp(min(self.loss, 700))

    @property
    def bits_per_byte(self) -> float:
        """The loss per byte of text, in bits, by which models with different tokenizers can be compared."""
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
    """Compute the loss on a fixed selection of rows, spread evenly over all and divided among the processes.

    Every process calls the model equally often, since sharded parameters are gathered in each call; a process that has
    no rows left reads one that does not count.

    Parameters
    ----------
    max_tokens
        How many tokens to read at most, over all processes; at least one row is read.
    rows_at_a_time
        Rows per call of the model, in each process.

    Returns
    -------
    Score
        The score over all processes; every process gets it.
    """
    chosen = evenly_spaced(len(rows), max(max_tokens // rows.seq_len, 1))
    mine = chosen[processes.rank :: processes.count]
    n_calls = -(-len(chosen) // (processes.count * rows_at_a_time))
    n_bytes_of = np.array(tokenizer.byte_lengths)
    loss, n_tokens, n_bytes = 0.0, 0, 0
    for call in range(n_calls):
        own = mine[call * rows_at_a_time : (call + 1) * rows_at_a_time]
        batch = rows[own if len(own) else chosen[:1]]
        value = float(summed_loss(batch.to(processes.device)))
        if len(own):
            labels = batch.labels[batch.labels != IGNORE_INDEX].numpy()
            loss, n_tokens, n_bytes = loss + value, n_tokens + len(labels), n_bytes + n_bytes_of[labels].sum()
    total_loss, total_tokens, total_bytes = processes.total(loss, n_tokens, n_bytes)
    return Score(total_loss / max(total_tokens, 1), int(total_tokens), int(total_bytes))


class HeldOut:
    """Evaluates a model on each source of held-out text, and lets it continue or answer the configured prompts."""

    def __init__(
        self,
        sources: Mapping[str, Rows],
        replica: Replica,
        tokenizer: Tokenizer,
        config: RunConfig,
        processes: Processes,
        precision: Precision,
        rows_at_a_time: int,
    ) -> None:
        self.sources, self.replica, self.tokenizer = sources, replica, tokenizer
        self.config, self.processes, self.precision = config, processes, precision
        self.rows_at_a_time = rows_at_a_time

    def records(self, step: int, tokens: int) -> Iterator[Record]:
        """Yield a record of kind ``evaluation``, then those of kind ``sample``; return to training mode at the end."""
        self.replica.model.eval()
        scores = {name: self._score(rows) for name, rows in self.sources.items()}
        record = {"kind": "evaluation", "step": step, "tokens": tokens, **_as_record(_overall(scores))}
        if len(scores) > 1:
            record["by_source"] = {name: _as_record(score) for name, score in scores.items()}
        yield record
        # A sharded model would need all processes for each token, so it writes no samples.
        if self.processes.is_first and not self.replica.is_sharded:
            for prompt in self.config.evaluation.prompts:
                with uncompiled():
                    text = self._sample(prompt)
                yield {"kind": "sample", "step": step, "prompt": prompt, "text": text}
        self.replica.model.train()

    def _score(self, rows: Rows) -> Score:
        return evaluate(
            self._summed_loss,
            rows,
            self.tokenizer,
            self.processes,
            max_tokens=self.config.evaluation.max_tokens,
            rows_at_a_time=self.rows_at_a_time,
        )

    def _summed_loss(self, batch: Batch) -> Tensor:
        # On a GPU, a further compilation for another shape and without gradients would take longer than it saves.
        as_it_is = self.processes.device.type == "cuda"
        with self.precision.autocast(), uncompiled() if as_it_is else nullcontext():
            loss: Tensor = self.replica.summed_loss(batch)
            return loss

    def _sample(self, prompt: str) -> str:
        """Let the model continue a prompt, or answer it; the same weights always give the same text."""
        model, n = self.replica.model, self.config.evaluation.sample_tokens
        if self.config.stage == "sft":
            return ChatSession(model, temperature=0.0, max_new_tokens=n).send(prompt)
        text: str = model.generate(prompt, temperature=0.8, top_k=50, max_new_tokens=n, seed=0)[0].text
        return text


def _overall(scores: Mapping[str, Score]) -> Score:
    """Return the score of all sources together, in which each token counts once."""
    n_tokens = sum(score.n_tokens for score in scores.values())
    n_bytes = sum(score.n_bytes for score in scores.values())
    total = sum(score.loss * score.n_tokens for score in scores.values())
    return Score(total / max(n_tokens, 1), n_tokens, n_bytes)


def _as_record(score: Score) -> Record:
    return {
        "loss": score.loss,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
        "n_tokens": score.n_tokens,
    }
