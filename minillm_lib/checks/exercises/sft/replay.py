"""The loss of a step that reads answers and old text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

_VOCABULARY = 9
_IGNORED = -100


def _rows(rng: np.random.Generator, n: int, length: int, share: float) -> tuple[Tensor, Tensor]:
    """Draw logits, and labels of which this share counts, at least one."""
    logits = torch.tensor(rng.standard_normal((n, length, _VOCABULARY)), dtype=torch.float32)
    counts = rng.random((n, length)) < share
    counts[0, -1] = True
    labels = torch.tensor(rng.integers(0, _VOCABULARY, (n, length)))
    return logits, labels.masked_fill(torch.tensor(~counts), _IGNORED)


def _step(rng: np.random.Generator) -> Inputs:
    return *_rows(rng, 3, int(rng.integers(5, 9)), 0.35), *_rows(rng, 2, int(rng.integers(6, 12)), 1.0)


def _step_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(14)
    nothing, of_text = _rows(rng, 2, 6, 0.5), _rows(rng, 3, 8, 0.6)
    of_answers, no_text = _rows(rng, 2, 6, 0.5), _rows(rng, 2, 9, 1.0)
    for _, labels in (nothing, no_text):
        labels.fill_(_IGNORED)
    return {
        "a single label among the answers": (*_rows(rng, 2, 6, 0.0), *_rows(rng, 2, 9, 1.0)),
        "old text with labels that do not count": (*_rows(rng, 2, 6, 0.5), *_rows(rng, 3, 8, 0.6)),
        "answers without a label that counts": (*nothing, *of_text),
        "old text without a label that counts": (*of_answers, *no_text),
    }


def _replay_loss(
    answer_logits: Tensor, answer_labels: Tensor, text_logits: Tensor, text_labels: Tensor, /, **slips: Any
) -> Any:
    has, sums, counts = made(slips), [], []
    for logits, labels in ((answer_logits, answer_labels), (text_logits, text_labels)):
        if has("labels:shifted"):
            logits, labels = logits[:, :-1].contiguous(), labels[:, 1:].contiguous()
        flat = labels.flatten()
        sums.append(
            functional.cross_entropy(logits.flatten(0, 1), flat, ignore_index=_IGNORED, reduction="sum")
        )
        counts.append(torch.tensor(flat.numel()) if has("labels:all") else (flat != _IGNORED).sum())
    if has("of:answers"):
        return sums[0] / counts[0]
    if has("of:text"):
        return sums[1] / counts[1]
    means = [each / count for each, count in zip(sums, counts, strict=True)]
    if has("mean:of means"):
        return (means[0] + means[1]) / 2
    if has("mean:weighted"):
        return (counts[0] * means[0] + counts[1] * means[1]) / (counts[0] + counts[1])
    if has("mean:added"):
        return means[0] + means[1]
    if has("mean:rows"):
        n, m = len(answer_labels), len(text_labels)
        return (n * means[0] + m * means[1]) / (n + m)
    total = sums[0] + sums[1]
    if has("mean:sum"):
        return total
    return total / (counts[0] if has("mean:answers") else counts[0] + counts[1])


REPLAY_LOSS = Exercise(
    name="replay_loss",
    points=2,
    reference=lambda answer_logits, answer_labels, text_logits, text_labels: _replay_loss(
        answer_logits, answer_labels, text_logits, text_labels
    ),
    inputs=_step,
    edge_cases=_step_edges,
    hints=(
        "Every label that counts should weigh the same, whichever batch it is in. What are you then dividing by "
        "what?",
        "Compute the *sum* of the losses of each batch, for instance by `cross_entropy(…, ignore_index=-100, "
        'reduction="sum")`, and count the labels that are not -100. Divide once, at the end.',
        "For both batches: `cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, "
        'reduction="sum")` and `(labels != -100).sum()`. Return the sum of the first over the sum of the second.',
    ),
    variant=_replay_loss,
    slips=named(
        {
            "labels:shifted": "You shift the labels again. They are shifted already: `labels[:, t]` is the token "
            "after "
            "`input_ids[:, t]`.",
            "labels:all": "You divide by the number of all labels. Those that are -100 do not count.",
            "of:answers": "The old text is missing: this is the loss of the answers alone.",
            "of:text": "The answers are missing: this is the loss of the old text alone.",
            "mean:of means": "You average the two means. A label in the batch with few labels then weighs more than "
            "one in the other. Add up all losses, and divide by the number of all labels.",
            "mean:weighted": "You weigh the mean of each batch by its number of labels. Where no label of a batch "
            "counts, its mean is 0 divided by 0, which is not a number, and times 0 it is still not one. Add up the "
            "*sums*, and divide once, at the end.",
            "mean:added": "You add the two means. Add up all losses, and divide by the number of all labels.",
            "mean:rows": "You weigh the two means by their rows. Rows have different numbers of labels: weigh by "
            "those.",
            "mean:sum": "You return the sum. Divide it by the number of labels that count.",
            "mean:answers": "You divide by the labels of the answers only. Those of the old text count as well.",
        }
    ),
)
