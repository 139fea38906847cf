"""What an intervention does to two kinds of words, and how certain the difference is."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

Array = np.ndarray[Any, np.dtype[Any]]


def _losses(rng: np.random.Generator, n: int = 40) -> Inputs:
    """Draw losses before and after: both differ much from word to word, but little from before to after."""
    intact = rng.exponential(1.5, n)
    is_topic = np.zeros(n, dtype=bool)
    is_topic[rng.choice(n, n // 3, replace=False)] = True
    rise = np.where(is_topic, rng.normal(0.6, 0.3, n), rng.normal(0.1, 0.15, n))
    return intact, intact + rise, is_topic


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(17)
    intact, _, is_topic = _losses(rng, 12)
    return {
        "an intervention that changes nothing": (intact, intact.copy(), is_topic),
        "two topic words": (np.array([1.0, 2.0, 0.5, 0.7]), np.array([1.5, 3.5, 0.5, 0.8]), np.arange(4) < 2),
    }


def _effect(intact: Array, cut: Array, is_topic: Array, /, **slips: Any) -> Any:
    has = made(slips)
    rise = intact - cut if has("sign") else cut / intact - 1 if has("rise:share") else cut - intact
    kinds = (rise[is_topic], rise[~is_topic])
    means = [float(np.median(kind) if has("rise:median") else kind.mean()) for kind in kinds]
    variances = []
    for chosen in (is_topic, ~is_topic):
        of = rise[chosen]
        variance = float(of.var(ddof=0 if has("error:ddof") else 1))
        if has("error:unpaired"):
            variance = float(intact[chosen].var(ddof=1) + cut[chosen].var(ddof=1))
        variances.append(variance if has("error:deviation") else variance / len(of))
    error = float(np.sqrt(variances[0] + variances[1]))
    if has("error:sum"):
        error = float(np.sqrt(variances[0]) + np.sqrt(variances[1]))
    if has("error:variance"):
        error = error**2
    if has("error:all"):
        error = float(rise.std(ddof=1) / np.sqrt(len(rise)))
    if has("error:topic"):
        error = float(np.sqrt(variances[0]))
    result = (means[1], means[0], error) if has("order") else (means[0], means[1], error)
    return (means[0] - means[1], error) if has("given:difference") else result


PAIRED_EFFECT = Exercise(
    name="paired_effect",
    points=2,
    reference=lambda intact, cut, is_topic: _effect(intact, cut, is_topic),
    inputs=_losses,
    edge_cases=_edges,
    hints=(
        "The same words are measured twice. What is the one number per word that the question is about?",
        "`rise = cut - intact`, word by word, then split by kind. The squared standard error of a mean is the variance "
        "(`ddof=1`) over the number of words; those of two independent means add up.",
        "With `a = rise[is_topic]` and `b = rise[~is_topic]`: the means of both, and the root of "
        "`a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)`.",
    ),
    variant=_effect,
    slips=named(
        {
            "sign": "Your rises have the wrong sign: after the cut minus before.",
            "rise:share": "You take the rise as a share of the loss. Losses are logarithms already: take the "
            "difference.",
            "rise:median": "You take medians. The means are wanted.",
            "error:ddof": "Your variances divide by the number of words. To estimate a variance divide by one less: "
            "`ddof=1`.",
            "error:unpaired": "You take the variances of the losses. They differ much from word to word; what counts "
            "is how much the *rise* differs. Subtract first.",
            "error:deviation": "These are standard deviations of single words. The error of a mean shrinks with the "
            "number of words: divide the variance by it.",
            "error:sum": "You add the two errors. It is their squares that add up.",
            "error:variance": "The root is missing in the error.",
            "error:all": "You take the error of the mean of all words. Wanted is that of the difference between the "
            "two kinds.",
            "error:topic": "You take the error of the topic words alone. The other mean is uncertain, too.",
            "order": "The two means are exchanged: first that of the topic words.",
            "given:difference": "Return three numbers: both means, and the error of their difference.",
        }
    ),
)
