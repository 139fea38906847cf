"""Which size of model a text and a budget allow, and which learning rate a short sweep suggests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

Sizes = Sequence[tuple[int, int]]


def _budgets(rng: np.random.Generator) -> Inputs:
    """Draw a text, sizes of models, and a budget, so that now the text and now the budget is the limit."""
    n_tokens, most_epochs = int(rng.integers(50_000, 500_000)), int(rng.integers(3, 20))
    parameters = np.sort(rng.integers(100_000, 9_000_000, size=5)).tolist()
    sizes = [(n, 6 * n + int(rng.integers(10_000, 900_000))) for n in parameters]
    least = float(rng.choice([0.5, 2.0, 3.0]))
    middle = int(rng.integers(1, 4))
    flops = float(least * sizes[middle][0] * sizes[middle][1] * rng.uniform(1.05, 1.5))
    if rng.random() < 0.5:
        n_tokens = round(least * sizes[middle - 1][0] * rng.uniform(1.02, 1.2) / most_epochs)
    return n_tokens, sizes, flops, most_epochs, least


def _choose_size(
    n_tokens: int, sizes: Sizes, flops: float, most_epochs: int, least: float, /, **slips: Any
) -> Any:
    has = made(slips)
    text = {"one": n_tokens, "none": math.inf}.get(str(slips.get("epochs")), most_epochs * n_tokens)
    read = []
    for n_parameters, per_token in sizes:
        cost = n_parameters if has("cost:parameters") else 6 * n_parameters if has("cost:6N") else per_token
        by_budget = math.inf if has("budget:none") else flops / cost
        least_of_both = max(text, by_budget) if has("limit:max") else min(text, by_budget)
        read.append(least_of_both if math.isinf(least_of_both) else int(least_of_both))
    wanted = 1.0 if has("ratio:one") else least
    fitting = [
        number
        for number, (n_parameters, _) in enumerate(sizes)
        if (
            n_parameters >= wanted * read[number]
            if has("ratio:inverse")
            else read[number] > wanted * n_parameters
            if has("ratio:strict")
            else read[number] >= wanted * n_parameters
        )
    ]
    chosen = (
        (fitting[0] if has("which:smallest") else fitting[-1])
        if fitting
        else -1
        if has("else:largest")
        else 0
    )
    if has("else:none") and not fitting:
        return None
    chosen %= len(sizes)
    return (chosen, n_tokens) if has("read:text") else (chosen, read[chosen])


CHOOSE_SIZE = Exercise(
    name="choose_size",
    points=2,
    reference=lambda n_tokens, sizes, flops, most_epochs, least: _choose_size(
        n_tokens, sizes, flops, most_epochs, least
    ),
    edge_cases={
        "a text that is too short for any size": (
            1000,
            [(100_000, 700_000), (200_000, 1_300_000)],
            1e15,
            4,
            1.0,
        ),
        "a budget that is too small for any size": (
            10**7,
            [(100_000, 700_000), (200_000, 1_300_000)],
            1e9,
            4,
            2.0,
        ),
        "a size that reads exactly enough": (
            50_000,
            [(100_000, 700_000), (200_000, 1_300_000)],
            1e15,
            4,
            1.0,
        ),
    },
    inputs=_budgets,
    cases=8,
    hints=(
        "For each size: how many tokens can it read at most? There are two limits, and the tighter one counts.",
        "The text allows `most_epochs * n_tokens` tokens, the budget `flops / flops_per_token`. A size fits if it "
        "reads "
        "at least `least` tokens for each of its parameters.",
        "Keep `(0, tokens of the smallest size)` as the answer, then go through the sizes with `enumerate`: compute "
        "`read = int(min(most_epochs * n_tokens, flops / per_token))`, and take the size if `read >= least * "
        "n_parameters`.",
    ),
    variant=_choose_size,
    slips=named(
        {
            "epochs:one": "You let each size read the text once. It may be read `most_epochs` times.",
            "epochs:none": "You look at the budget only. The text is a limit too: no more than `most_epochs` times all "
            "its tokens.",
            "budget:none": "You look at the text only. The budget is a limit too: `flops` divided by the operations "
            "per "
            "token.",
            "limit:max": "Of the two limits you take the looser one. Both hold, so the tighter one counts.",
            "cost:parameters": "You divide the budget by the parameters. A token costs the second number of a size, "
            "the "
            "operations per token.",
            "cost:6N": "You take 6 operations per parameter for the cost of a token. The second number of a size has "
            "those of attention, too.",
            "ratio:one": "You ask for one token per parameter. `least` says how many there must be.",
            "ratio:inverse": "The comparison is upside down: it is tokens per parameter that must be at least `least`.",
            "ratio:strict": "A size that reads exactly `least` tokens per parameter fits.",
            "which:smallest": "You take the smallest size that fits. Of those that fit, the largest predicts best.",
            "else:largest": "Where no size fits you take the largest, which would read least of all per parameter. "
            "Take "
            "the smallest.",
            "else:none": "Where no size fits, the smallest is still the best choice.",
            "read:text": "The second number is how many tokens the chosen size will read in the run, not those of the "
            "text.",
        }
    ),
)


def _sweep(rng: np.random.Generator) -> Inputs:
    """Draw a sweep whose curve has a flat valley; the highest rate diverges with some seed."""
    n = int(rng.integers(4, 7))
    rates = [float(f"{rate:.2g}") for rate in 1e-3 * 2.0 ** np.arange(n)]
    valley = int(rng.integers(1, n - 1))
    curve = 2 + 0.1 * (np.arange(n) - valley) ** 2
    curve[valley - 1] = curve[valley] + float(rng.choice([0.01, 0.04]))
    losses = curve[:, None] + rng.normal(0, 0.004, size=(n, 3))
    losses[valley + 1, int(rng.integers(1, 3))] -= 0.25  # a lucky seed
    farthest = 0 if valley > n - 1 - valley else n - 1
    losses[farthest, 0] = 1.95  # and a luckier one, as far as the first seed goes
    if rng.random() < 0.6:
        losses[n - 1, int(rng.integers(3))] = float(rng.choice([np.nan, np.inf]))
    return rates, losses.round(3).tolist(), 0.025


def _best_rate(
    rates: Sequence[float], losses: Sequence[Sequence[float]], tolerance: float, /, **slips: Any
) -> Any:
    has, table = made(slips), np.asarray(losses, dtype=float)
    with np.errstate(all="ignore"):
        if has("seeds:best"):
            means = np.nanmin(table, axis=1)
        elif has("seeds:first"):
            means = table[:, 0]
        elif has("seeds:median"):
            means = np.median(table, axis=1)
        elif has("diverged:left out"):
            means = np.nanmean(np.where(np.isfinite(table), table, np.nan), axis=1)
        else:
            means = table.mean(axis=1)
    if has("diverged:argmin"):
        lowest = float(means[int(np.argmin(means))])
        return (
            rates[int(np.argmin(means))]
            if math.isnan(lowest)
            else _smallest(rates, means, lowest + tolerance)
        )
    means = np.where(np.isfinite(means), means, np.inf)
    lowest = float(means.min())
    limit = (
        lowest
        if has("tolerance:none")
        else lowest * (1 + tolerance)
        if has("tolerance:relative")
        else lowest + tolerance
    )
    if has("which:index"):
        return list(rates).index(_smallest(rates, means, limit))
    if has("which:loss"):
        return lowest
    if has("which:largest"):
        return max(rate for rate, mean in zip(rates, means, strict=True) if mean <= limit)
    if has("which:smallest of all"):
        return min(rates)
    if has("tolerance:strict"):
        return min(rate for rate, mean in zip(rates, means, strict=True) if mean < limit)
    return _smallest(rates, means, limit)


def _smallest(rates: Sequence[float], means: Any, limit: float) -> float:
    return min(rate for rate, mean in zip(rates, means, strict=True) if mean <= limit)


BEST_RATE = Exercise(
    name="best_rate",
    points=2,
    reference=lambda rates, losses, tolerance: _best_rate(rates, losses, tolerance),
    edge_cases={
        "a rate at which one seed diverged to nan": (
            [0.01, 0.03, 0.1],
            [[2.5, 2.6], [2.2, 2.3], [1.9, float("nan")]],
            0.02,
        ),
        "a rate at which one seed of three is far worse": (
            [0.01, 0.03, 0.1],
            [[2.0, 2.0, 5.0], [2.1, 2.1, 2.1], [2.5, 2.5, 2.5]],
            0.05,
        ),
        "a rate at which one seed of three is infinite": (
            [0.01, 0.03, 0.1],
            [[2.0, 2.0, float("inf")], [2.1, 2.1, 2.1], [2.5, 2.5, 2.5]],
            0.05,
        ),
        "a rate that is exactly `tolerance` above the lowest": (
            [0.5, 0.25, 0.125],
            [[2.0], [2.5], [3.0]],
            0.5,
        ),
        "rates that are as good as one another": ([0.004, 0.002, 0.008], [[2.0], [2.01], [2.005]], 0.02),
    },
    inputs=_sweep,
    cases=8,
    hints=(
        "First one number per rate: its mean over the seeds. What is that of a rate at which a run diverged?",
        "The mean of a row with nan or infinity is not finite: such a rate is out. Then find the lowest mean, and all "
        "rates within `tolerance` of it.",
        "`means = np.mean(losses, axis=1)`; `means[~np.isfinite(means)] = np.inf`; then the `min` of the rates "
        "whose mean "
        "is at most `means.min() + tolerance`.",
    ),
    variant=_best_rate,
    slips=named(
        {
            "seeds:best": "You take the best seed of each rate. One lucky run says little: take the mean.",
            "seeds:first": "You look at the first seed only. Take the mean over the seeds.",
            "seeds:median": "You take the median, which does not see the one seed that went wrong. Take the mean.",
            "diverged:left out": "You leave the run that diverged out of the mean. A rate at which one of three runs "
            "diverges is too high: it is out.",
            "diverged:argmin": "`argmin` takes nan for the smallest number, so you choose a rate that diverged.",
            "tolerance:none": "You take the lowest mean itself. Of the rates within `tolerance` of it, take the "
            "smallest.",
            "tolerance:relative": "You take the tolerance for a share of the loss. It is a difference, in nats.",
            "tolerance:strict": "A rate that is exactly `tolerance` above the lowest mean is good enough, too: `<=`.",
            "which:largest": "Of the rates that are about as good, take the smallest: in a longer run the high ones "
            "diverge first.",
            "which:smallest of all": "You take the smallest rate of all. Its mean must be within `tolerance` of the "
            "lowest one.",
            "which:index": "You return the number of the rate. Return the rate itself.",
            "which:loss": "You return the lowest loss. Return the rate.",
        }
    ),
)
