"""Perplexity and bits per byte of texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minillm_lib.evaluation.harness_model import rolling_windows
from minillm_lib.evaluation.results import Score
from minillm_lib.evaluation.statistics import ratio_interval


def score_texts(lm: Any, texts: Mapping[str, Sequence[str]], *, stride: int | None = None) -> list[Score]:
    """Compute how well a model predicts texts, each from its beginning to its end.

    Every token is predicted once, in windows that overlap: see
    :func:`~minillm_lib.evaluation.harness_model.rolling_windows`. The loss is divided by the UTF-8 bytes of the text
    for bits per byte, which do not depend on the tokenizer, and by tokens for the perplexity, which does. The interval
    is over the windows, as if each were a draw of its own.

    Parameters
    ----------
    lm
        A model of :func:`~minillm_lib.evaluation.models.open_model`.
    texts
        The documents of each file, by the file's name.
    stride
        Tokens predicted per window, from 1 to the context; by default half of the context. The smaller, the more
        context each token has, and the longer it takes.

    Returns
    -------
    list of Score
        ``bits_per_byte`` and ``perplexity`` of each file and, if there are several, of all; ``n`` is the number of
        bytes or tokens.

    Raises
    ------
    ValueError
        For a stride out of range, or if there is no text.
    """
    stride = checked_stride(lm, texts, stride)
    windows = [
        (name, window)
        for name, documents in texts.items()
        for text in documents
        for window in rolling_windows(lm, text, stride)
    ]
    found = lm.log_likelihoods([window for _, window in windows], "reading texts")
    losses: dict[str, list[tuple[float, int]]] = {
        name: [] for name in texts
    }  # nats and tokens of each window
    for (name, (_, tokens)), (log_likelihood, _) in zip(windows, found, strict=True):
        losses[name].append((-log_likelihood, len(tokens)))
    n_bytes = {name: sum(len(text.encode()) for text in documents) for name, documents in texts.items()}
    scores = [score for name in texts for score in _of_part(name, losses[name], n_bytes[name])]
    if len(texts) > 1:
        everything = [loss for own in losses.values() for loss in own]
        scores = _of_part("all", everything, sum(n_bytes.values())) + scores
    return scores


def checked_stride(lm: Any, texts: Mapping[str, Sequence[str]], stride: int | None) -> int:
    """Return the stride with which a model reads texts, before it reads any.

    The parameters and errors are those of :func:`score_texts`.
    """
    stride = max(1, lm.max_length // 2) if stride is None else stride
    if not 1 <= stride <= lm.max_length:
        raise ValueError(
            f"stride is {stride}; allowed is a number from 1 to the model's context, {lm.max_length}"
        )
    if not any(text for documents in texts.values() for text in documents):
        raise ValueError("there is no text to evaluate a model on")
    return stride


def _of_part(part: str, losses: Sequence[tuple[float, int]], n_bytes: int) -> list[Score]:
    if not n_bytes:
        return []
    nats, n_tokens = [nats for nats, _ in losses], [n for _, n in losses]
    total, mean = sum(nats), sum(nats) / sum(n_tokens)
    per_byte = sum(n_tokens) / n_bytes / math.log(2)  # from nats per token to bits per byte
    low, high = ratio_interval(nats, n_tokens) or (None, None)
    low = None if low is None else max(0.0, low)  # no loss is below 0
    return [
        Score(
            "text",
            part,
            "bits_per_byte",
            total / n_bytes / math.log(2),
            n_bytes,
            None if low is None else low * per_byte,
            None if high is None else high * per_byte,
            higher_is_better=False,
        ),
        Score(
            "text",
            part,
            "perplexity",
            math.exp(mean),
            sum(n_tokens),
            None if low is None else math.exp(low),
            None if high is None else math.exp(high),
            higher_is_better=False,
        ),
    ]
