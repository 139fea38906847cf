"""From scores to the next token: how to temper, cut and draw from a model's distribution.

Every function takes logits ``(batch, vocab)`` and returns logits of that shape, in which a token that is ruled
out has the score minus infinity; :func:`sample` draws from what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Annotated

import torch
from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt
from torch import Tensor

from minillm_lib.model.config import StrictConfig


def _zero_or_not_tiny(temperature: float) -> float:
    if temperature == 0 or temperature >= 1e-6:
        return temperature
    raise ValueError("a temperature below 1e-6 would overflow; write 0 to take the likeliest token always")


StopStrings = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(lambda stop: (stop,) if isinstance(stop, str) else stop),
]


class SamplingConfig(StrictConfig):
    """How the next token is chosen and when to stop.

    Parameters
    ----------
    temperature
        Above 1 flattens the distribution, below 1 sharpens it; 0 always takes the likeliest token (greedy).
    top_k, top_p, min_p
        Which tokens stay in the draw, see :func:`keep_top_k`, :func:`keep_top_p`, :func:`keep_min_p`; the
        defaults keep all.
    repetition_penalty
        Above 1 makes tokens that occurred before less likely, see :func:`penalise_repetition`.
    max_new_tokens
        The most tokens to write; ``None`` goes on to the end of the context.
    stop
        Strings that end the text where one appears; the text does not contain it.
    seed
        Row ``i`` of a batch draws from its own generator, seeded with ``seed + i``; ``None`` seeds by chance.
    """

    temperature: Annotated[float, Field(ge=0), AfterValidator(_zero_or_not_tiny)] = 0.8
    top_k: PositiveInt | None = None
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    max_new_tokens: PositiveInt | None = 256
    stop: StopStrings = ()
    seed: int | None = Field(default=None, ge=0)


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divide the scores by the temperature: probabilities become ``p^(1/temperature)``, normalised.

    Source: Ackley, Hinton & Sejnowski 1985, "A Learning Algorithm for Boltzmann Machines".
    """
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the ``k`` likeliest tokens, and those tied with the last of them.

    Source: Fan, Lewis & Dauphin 2018, "Hierarchical Neural Story Generation", arXiv:1805.04833.
    """
    kth = logits.topk(min(k, logits.shape[-1])).values[:, -1:]  # (batch, 1)
    return logits.masked_fill(logits < kth, -inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the likeliest tokens until together they have probability ``p``, and always the first.

    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", arXiv:1904.09751, equation 2.
    """
    ordered, order = logits.sort(descending=True)  # (batch, vocab) each
    probabilities = ordered.softmax(dim=-1)
    removed = probabilities.cumsum(dim=-1) - probabilities >= p  # likelier tokens have p without this one
    removed[:, 0] = False
    return logits.masked_fill(removed.scatter(1, order, removed), -inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Keep tokens at least ``p`` times as likely as the likeliest.

    Source: Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling", arXiv:2407.01082.
    """
    probabilities = logits.softmax(dim=-1)
    return logits.masked_fill(probabilities < p * probabilities.amax(dim=-1, keepdim=True), -inf)


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Lower the scores of tokens that occurred: positive ones are divided by ``penalty``, others multiplied.

    ``seen`` is ``(batch, vocab)``, true for the tokens of the prompt and of the text so far.

    Source: Keskar et al. 2019, "CTRL", arXiv:1909.05858, section 4.1; that dividing a negative score would
    raise it is mended as in ``transformers``.
    """
    penalised = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, penalised, logits)


def filter_logits(logits: Tensor, config: SamplingConfig) -> Tensor:
    """Temperature, then top-k, top-p and min-p, as far as ``config`` asks for them, in the order of
    ``transformers``: ``(batch, vocab)`` in and out.
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
    logits: Tensor, config: SamplingConfig, seen: Tensor, generators: Sequence[torch.Generator]
) -> Tensor:
    """The next token of each row, ``(batch,)``, from logits and ``seen``, ``(batch, vocab)`` each."""
    if config.repetition_penalty != 1:
        logits = penalise_repetition(logits, seen, config.repetition_penalty)
    if config.temperature == 0:
        return logits.argmax(dim=-1)
    return sample(filter_logits(logits, config), generators)


def sample(logits: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token a row, ``(batch,)``, with probabilities ``softmax(logits)``.

    Each row turns one uniform number of its own generator into a token by the inverse of its cumulative
    distribution (Devroye 1986, section III.2). That is done on the CPU in double precision, so that a draw
    depends neither on the device nor on the other rows.
    """
    cumulative = logits.cpu().double().softmax(dim=-1).cumsum(dim=-1)  # (batch, vocab)
    uniform = torch.stack([torch.rand(1, generator=each, dtype=torch.float64) for each in generators])
    return torch.searchsorted(cumulative / cumulative[:, -1:], uniform, right=True).squeeze(1)
