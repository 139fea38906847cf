"""The exercise of notebook 05 on continuation counts: the lower order of a Kneser–Ney model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _pair_counts(rng: np.random.Generator) -> Inputs:
    """Draw counts of pairs: one token never occurs, one is frequent after a single token, one is seen in one pair."""
    size = int(rng.integers(6, 9))
    counts = rng.integers(0, 6, size=(size, size)) * (rng.random((size, size)) < 0.6)
    never, faithful, rare = rng.choice(size, size=3, replace=False)
    counts[:, [never, faithful, rare]] = 0
    counts[rng.integers(size), faithful] = 20
    counts[rng.integers(size), rare] = 1
    return counts, float(rng.uniform(0.3, 0.8))


def _continuation_probabilities(counts: IntArray, discount: float, /, **slips: Any) -> Any:
    has = made(slips)
    if has("axis"):
        counts = counts.T
    kinds: Any = {
        "occurrences": counts.sum(axis=0),
        "once": (counts == 1).sum(axis=0),
        "repeated": (counts > 1).sum(axis=0),
        "unseen": (counts == 0).sum(axis=0),
    }.get(slips.get("kinds", ""), (counts > 0).sum(axis=0))
    total, different = kinds.sum(), (kinds > 0).sum()
    own = kinds if has("own:full") else kinds - discount
    if not has("own:negative"):
        own = np.maximum(own, 0)
    if has("own:integers"):
        own = np.where(kinds > 0, np.trunc(kinds - discount), 0)
    with np.errstate(all="ignore"):
        if has("freed:none"):
            return own / total
        if has("freed:renormalised"):
            return own / own.sum()
        freed = {
            "one": discount,
            "all": discount * len(kinds),
            "pairs": discount * total,
            "rest": (1 - discount) * different,
            "no discount": different,
        }.get(slips.get("freed", ""), discount * different)
        if has("shared:not"):
            spread: Any = freed
        elif has("shared:unseen"):
            spread = np.where(kinds > 0, 0, freed / max(len(kinds) - different, 1))
        else:
            spread = freed / len(kinds)
        result = own + spread
        if has("undivided"):
            return result
        return result / (
            counts.sum() if has("total:occurrences") else len(kinds) if has("total:V") else total
        )


CONTINUATION_PROBABILITIES = Exercise(
    name="continuation_probabilities",
    points=2,
    reference=lambda counts, discount: _continuation_probabilities(counts, discount),
    edge_cases={
        "three tokens": (np.array([[2, 1, 0], [0, 0, 0], [4, 5, 0]]), 0.5),
        "a token that is frequent after one other": (np.array([[1, 90, 1], [1, 0, 1], [2, 0, 1]]), 0.75),
        "counts in which every pair occurs": (np.array([[3, 1], [2, 6]]), 0.75),
        "`discount=1`": (np.array([[1, 0, 4, 1], [2, 2, 2, 2], [0, 0, 0, 9], [0, 0, 0, 0]]), 1.0),
    },
    inputs=_pair_counts,
    hints=(
        "Which entries of the table are above zero? In which direction do you add them up, if you want to know what "
        "stood *before* w?",
        "With N the vector of these numbers: the same steps as in (6), but there is one row only. How many numbers of "
        "N is D taken off, and what is the probability of a token under the uniform distribution?",
        "`kinds = (counts > 0).sum(axis=0)`. What was freed is D times the number of tokens with `kinds > 0`; each "
        "of the V tokens gets a V-th of it. Divide all by `kinds.sum()`.",
    ),
    variant=_continuation_probabilities,
    slips=named(
        {
            "axis": "You count what came *after* each token (a row). N of (7) is the number of different tokens before "
            "w: its column.",
            "kinds:occurrences": "You count how often each token occurs. (7) asks after how many *different* tokens.",
            "kinds:once": "You count the tokens that stood before w exactly once. However often a pair occurred, it "
            "counts once.",
            "kinds:repeated": "You count the pairs that occurred more than once. Those that occurred once count too.",
            "kinds:unseen": "You count the tokens that were *never* before w. Count the entries above zero.",
            "own:full": "D is not taken off the numbers N, but it is given away all the same: the sum is above 1.",
            "own:negative": "Where N is 0, N − D is negative: `np.maximum(…, 0)`.",
            "own:integers": "You put the discounted numbers into an array of integers, which cuts off what stands "
            "behind the point.",
            "freed:none": "What the discount takes away is lost: the probabilities do not sum to 1, and a token that "
            "was never seen has none.",
            "freed:renormalised": "You divide the discounted numbers by their own sum. Then a token that was never "
            "seen has the probability 0: what was taken away goes to the uniform distribution.",
            "freed:one": "You give away D once. It was taken off the number of *each* token that was seen.",
            "freed:all": "You give away D for all V tokens. It was only taken from those that were seen, with N above "
            "0.",
            "freed:pairs": "You give away D for each different pair. It is taken off N, once for each token with N "
            "above 0.",
            "freed:rest": "The weight of the uniform distribution has 1 − D in it. It is what was taken away, D.",
            "freed:no discount": "The factor D is missing in what is given to the uniform distribution.",
            "shared:not": "You give what was freed to every token in full. It is shared out: each of the V tokens gets "
            "a V-th.",
            "shared:unseen": "You give what was freed only to the tokens that were never seen. The uniform "
            "distribution has all V tokens.",
            "undivided": "You do not divide by the sum of all N. The result is a distribution.",
            "total:occurrences": "You divide by the number of all occurrences. Here the numbers N are what is counted: "
            "divide by their sum.",
            "total:V": "You divide by V. Divide by the sum of all N, the number of different pairs.",
        }
    ),
    misconceptions={
        lambda counts, discount: (
            (counts > 0).sum(axis=0) / (counts > 0).sum()
        ): "These are the shares of N as they "
        "are (sharing what was freed among the tokens that were seen comes to the same): a token that was never seen "
        "has the probability 0.",
        lambda counts, discount: (counts > 0).sum(
            axis=0
        ): "These are the numbers N themselves. Take D off, give it to "
        "the uniform distribution, and divide by their sum.",
        lambda counts, discount: np.full(
            len(counts), 1 / len(counts)
        ): "Every token gets the same probability. That is the uniform distribution alone.",
    },
)
