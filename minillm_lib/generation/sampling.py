"""From logits to the next token: how to reshape and truncate a model's distribution, and to draw from it.

The functions up to :func:`filter_logits` take logits ``(batch, vocab)`` and return logits of the same shape, in
which a token that is ruled out has minus infinity. :func:`sample` draws from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Annotated

import torch
from pydantic import BeforeValidator, Field, PositiveInt, field_validator
from torch import Tensor

from minillm_lib.model.config import StrictConfig

StopStrings = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(lambda stop: (stop,) if isinstance(stop, str) else stop),
]


class SamplingConfig(StrictConfig):
    """How the next token is chosen and when to stop.

    Raises
    ------
    pydantic.ValidationError
        A ``ValueError`` that names the key, the value and what is allowed.
    """

    temperature: float = Field(default=0.8, ge=0)
    """Above 1 flattens the distribution, below 1 sharpens it; 0 always takes the likeliest token (greedy)."""
    top_k: PositiveInt | None = None
    """Draw among this many likeliest tokens; null keeps all. See :func:`keep_top_k`."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw among the likeliest tokens of this total probability. See :func:`keep_top_p`."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Draw among tokens at least this share as likely as the likeliest. See :func:`keep_min_p`."""
    repetition_penalty: float = Field(default=1.0, ge=1e-6, le=1e6)
    """Above 1 makes tokens that occurred before less likely. See :func:`penalise_repetition`."""
    max_new_tokens: PositiveInt | None = 256
    """The most tokens to write; null continues to the end of the context."""
    stop: StopStrings = ()
    """Strings that end the text where one appears; the text does not contain it."""
    seed: int | None = Field(default=None, ge=0)
    """Row i of a batch draws from its own generator, seeded with seed + i; null seeds at random."""

    @field_validator("temperature")
    @classmethod
    def _zero_or_not_tiny(cls, temperature: float) -> float:
        if temperature == 0 or temperature >= 1e-6:
            return temperature
        raise ValueError(
            "a temperature below 1e-6 would overflow; write 0 to take the likeliest token every time"
        )


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divide logits, ``(batch, vocab)``, by the temperature: probabilities become ``p^(1/temperature)``, normalised.

    Source: Ackley, Hinton & Sejnowski 1985, "A Learning Algorithm for Boltzmann Machines".
    """
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the ``k`` likeliest tokens per row of logits ``(batch, vocab)``, and those tied with the last of them.

    Source: Fan, Lewis & Dauphin 2018, "Hierarchical Neural Story Generation", arXiv:1805.04833.
    """
    kth = logits.topk(min(k, logits.shape[-1])).values[:, -1:]  # (batch, 1)
    return logits.masked_fill(logits < kth, -inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the likeliest tokens per row of logits ``(batch, vocab)`` until their total probability is ``p``.

    The likeliest token is always kept.

    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", arXiv:1904.09751, equation 2.
    """
    ordered, order = logits.sort(descending=True)  # (batch, vocab) each
    probabilities = ordered.softmax(dim=-1)
    removed = probabilities.cumsum(dim=-1) - probabilities >= p  # likelier tokens have p without this one
    removed[:, 0] = False
    return logits.masked_fill(removed.scatter(1, order, removed), -inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Keep the tokens per row of logits ``(batch, vocab)`` that are at least ``p`` times as likely as the likeliest.

    Source: Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling", arXiv:2407.01082.
    """
    probabilities = logits.softmax(dim=-1)
    return logits.masked_fill(probabilities < p * probabilities.amax(dim=-1, keepdim=True), -inf)


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Lower the logits of tokens that occurred: positive logits are divided by ``penalty``, others multiplied.

    Source: Keskar et al. 2019, "CTRL", arXiv:1909.05858, section 4.1. There, all are divided, which raises negative
    ones; here, those are multiplied, as in ``transformers``.

    Parameters
    ----------
    logits
        ``(batch, vocab)``.
    seen
        ``(batch, vocab)``, true for the tokens of the prompt and of the text so far.
    """
    penalised = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, penalised, logits)


def filter_logits(logits: Tensor, config: SamplingConfig) -> Tensor:
    """Apply temperature, top-k, top-p and min-p to logits ``(batch, vocab)``, each only if ``config`` sets it.

    The order is that of ``transformers``.
    """
    logits = apply_temperature(logits, config.temperature)
    if config.top_k is not None:
        logits = keep_top_k(logits, config.top_k)
    if config.top_p < 1:
        logits = keep_top_p(logits, config.top_p)
    if config.min_p > 0:
        logits = keep_min_p(logits, config.min_p)
    return logits


def choose_tokens(
    logits: Tensor, config: SamplingConfig, seen: Tensor | None, generators: Sequence[torch.Generator]
) -> Tensor:
    """Choose the next token of each row, ``(batch,)``, as configured.

    Parameters
    ----------
    logits
        ``(batch, vocab)``.
    seen
        As in :func:`penalise_repetition`; only a ``repetition_penalty`` other than 1 needs it.
    generators
        One per row.

    Raises
    ------
    ValueError
        If ``seen`` is needed and is ``None``.
    """
    if config.repetition_penalty != 1:
        if seen is None:
            raise ValueError(
                f"repetition_penalty={config.repetition_penalty} needs to know which tokens were seen"
            )
        logits = penalise_repetition(logits, seen, config.repetition_penalty)
    if config.temperature == 0:
        return logits.argmax(dim=-1)
    return sample(filter_logits(logits, config), generators)


def sample(logits: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token per row, ``(batch,)``, with probabilities ``softmax(logits)``.

    A uniform random number from the row's own generator becomes a token by the inverse of the row's cumulative
    distribution (Devroye 1986, section III.2). This is done on the CPU in double precision, so that a draw
    depends neither on the device nor on the other rows.

    Parameters
    ----------
    logits
        ``(batch, vocab)``.
    generators
        One per row.
    """
    cumulative = logits.cpu().double().softmax(dim=-1).cumsum(dim=-1)  # (batch, vocab)
    uniform = torch.stack([torch.rand(1, generator=each, dtype=torch.float64) for each in generators])
    return torch.searchsorted(cumulative / cumulative[:, -1:], uniform, right=True).squeeze(1)
