"""The exercise of notebook 03 on the topics of two chains: which belong together, and how much they share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.topics.stability import match_topics

FloatArray = npt.NDArray[np.float64]


def _two_models(rng: np.random.Generator) -> Inputs:
    """Draw topics, and the same in another order, blurred; two of the reference resemble one of the other most."""
    reference = rng.dirichlet(np.full(9, 0.4), size=5)
    reference[1] = 0.7 * reference[0] + 0.3 * reference[1]
    other = 0.6 * reference + 0.4 * rng.dirichlet(np.full(9, 0.4), size=5)
    return reference, other[rng.permutation(5)]


def _matched_overlap(reference: FloatArray, other: FloatArray, /, **slips: Any) -> Any:
    has = made(slips)
    if has("arguments"):
        reference, other = other, reference
    a, b = reference[:, None], other[None]
    shared = {
        "larger": np.maximum(a, b),
        "product": a * b,
        "difference": np.abs(a - b) / 2,
        "whole difference": np.abs(a - b),
    }.get(slips.get("overlap", ""), np.minimum(a, b))
    table = shared.mean(axis=2) if has("mean of terms") else shared.sum(axis=2)
    if has("match:best"):
        found = table.max(axis=1)
    elif has("match:best of the other"):
        found = table.max(axis=0)
    elif has("match:number"):
        found = np.diagonal(table)
    else:
        rows, columns = linear_sum_assignment(table, maximize=not has("match:least"))
        found = columns if has("out:order") else table[rows, columns]
    if has("out:table"):
        return table
    if has("out:sorted"):
        return np.sort(found)[::-1]
    return found.mean() if has("out:mean") else found


_THREE = np.array([[0.7, 0.2, 0.1, 0.0], [0.6, 0.1, 0.1, 0.2], [0.0, 0.1, 0.2, 0.7]])
_CONTESTED = np.array([[0.1, 0.1, 0.7, 0.1], [0.7, 0.15, 0.1, 0.05], [0.1, 0.5, 0.3, 0.1]])

MATCHED_OVERLAP = Exercise(
    name="matched_overlap",
    points=3,
    reference=lambda reference, other: match_topics(reference, other)[1],
    edge_cases={
        "two topics that are nearest to the same one": (_THREE, _CONTESTED),
        "equal topics in another order": (_THREE, _THREE[[2, 0, 1]]),
        "a single topic": (_THREE[:1], _CONTESTED[1:2]),
        "as many terms as topics": (
            np.array([[0.7, 0.2, 0.1], [0.6, 0.1, 0.3], [0.1, 0.2, 0.7]]),
            np.array([[0.1, 0.25, 0.65], [0.8, 0.1, 0.1], [0.2, 0.6, 0.2]]),
        ),
    },
    inputs=_two_models,
    hints=(
        "First a table: what does each topic of the one share with each topic of the other? Only then ask which "
        "belong together.",
        "`np.minimum(reference[:, None], other[None])` has the shape (n_topics, n_topics, n_terms): sum over the last "
        "axis. `linear_sum_assignment(table, maximize=True)` returns rows and columns of the best matching.",
        "With `rows, columns = linear_sum_assignment(table, maximize=True)`, the answer is `table[rows, columns]`.",
    ),
    variant=_matched_overlap,
    slips=named(
        {
            "arguments": "Your overlaps are in the order of the *other* model's topics. Entry k belongs to topic k of "
            "`reference`.",
            "overlap:larger": "You add up the larger probabilities. What two topics share is the smaller one of each "
            "term.",
            "overlap:product": "You add up products. The overlap takes the smaller probability of each term, and is 1 "
            "for equal topics.",
            "overlap:difference": "That is what the topics do *not* share. The overlap is 1 minus it: the sum of the "
            "smaller probabilities.",
            "overlap:whole difference": "You add up differences. The overlap is the sum of the *smaller* "
            "probabilities.",
            "mean of terms": "You take the mean over the terms. The shared probability is a sum.",
            "match:best": "Each topic takes the one that overlaps with it most, so two may take the same one. The "
            "matching is one to one.",
            "match:best of the other": "You give for each topic of `other` its best overlap. It is about the topics of "
            "`reference`, and matched one to one.",
            "match:number": "You compare topic k with topic k. The topics of two chains have no common order.",
            "match:least": "Your matching makes the total overlap as *small* as possible: `maximize=True`.",
            "out:order": "You return which topics belong together. Give how much each pair shares.",
            "out:table": "That is the table of all pairs. Give one number for each topic of `reference`: its overlap "
            "with its match.",
            "out:sorted": "You sort the overlaps. Entry k belongs to topic k of `reference`.",
            "out:mean": "You return the mean. Give one number for each topic.",
        }
    ),
)
