"""How a budget of operations is best divided between parameters and tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named


def _law(rng: np.random.Generator) -> Inputs:
    """Draw a budget and a law whose exponents are clearly different."""
    alpha, beta = (
        float(each) for each in rng.permutation([rng.uniform(0.25, 0.32), rng.uniform(0.36, 0.45)])
    )
    scale = [float(rng.uniform(200, 500)), float(rng.uniform(900, 2500))]
    return float(10 ** rng.uniform(18, 24)), *scale, alpha, beta


_LAW_EDGES: dict[str, Inputs] = {
    "the law of Hoffmann et al.": (5.76e23, 406.4, 410.7, 0.34, 0.28),
    "a small budget": (1e12, 300.0, 900.0, 0.3, 0.4),
    "two equal terms": (6e20, 400.0, 400.0, 0.3, 0.3),
}


def _compute_optimal(
    flops: float, A: float, B: float, alpha: float, beta: float, /, **slips: Any
) -> tuple[float, float]:
    has = made(slips)
    budget = flops if has("six:missing") else flops * 6 if has("six:times") else flops / 6
    if has("rule:20"):
        n = math.sqrt(budget / 20)
        return n, 20 * n
    if has("rule:equal"):
        return math.sqrt(budget), math.sqrt(budget)
    if has("terms:equal"):  # A / N^alpha = B / D^beta
        ratio = A / B
    elif has("terms:swapped"):
        ratio = beta * B / (alpha * A)
    elif has("terms:A and B"):
        ratio = alpha * B / (beta * A)
    elif has("terms:exponents"):
        ratio = beta * A / (alpha * B)
    else:
        ratio = alpha * A / (beta * B)
    if has("power:alpha"):
        n = ratio ** (1 / (alpha + beta)) * budget ** (alpha / (alpha + beta))
    elif has("power:half"):
        n = ratio ** (1 / (alpha + beta)) * math.sqrt(budget)
    else:
        n = ratio ** (1 / (alpha + beta)) * budget ** (beta / (alpha + beta))
    tokens = budget / n
    return (tokens, n) if has("order") else (n, tokens)


COMPUTE_OPTIMAL = Exercise(
    name="compute_optimal",
    points=3,
    reference=lambda flops, A, B, alpha, beta: _compute_optimal(flops, A, B, alpha, beta),
    inputs=_law,
    edge_cases=_LAW_EDGES,
    rtol=0.01,
    hints=(
        "The budget ties the two: with N chosen, D is known. So there is one unknown, and at the best N the loss has "
        "slope 0.",
        "Put D = C / (6N) into the law and differentiate by N: −αA·N^(−α−1) + βB·(6/C)^β·N^(β−1) = 0. Multiply by N "
        "and solve for N. A fine search over N also passes, if it is right to one percent.",
        "N^(α+β) = αA / (βB) · (C/6)^β, and D = C / (6N).",
    ),
    variant=_compute_optimal,
    slips=named(
        {
            "six:missing": "The 6 is missing: a run costs 6ND operations, so D is C / (6N).",
            "six:times": "You multiply by 6. A run costs 6ND operations, so D is C / (6N).",
            "rule:20": "You take 20 tokens per parameter. That is what came out for one law and one range of budgets: "
            "minimise the law that is given.",
            "rule:equal": "You take as many parameters as tokens. The best ratio follows from A, B, α and β.",
            "terms:equal": "You make the two terms of the loss equal. At the best point it is their *slopes* that "
            "balance, which brings α and β in as factors.",
            "terms:swapped": "The ratio is upside down: N grows with A, which is what a small model costs.",
            "terms:A and B": "A and B are exchanged: A belongs to N, and B to D.",
            "terms:exponents": "The factors α and β are exchanged: the slope of A / N^α has the factor α.",
            "power:alpha": "The powers of the budget are exchanged: N grows as C to the power β / (α + β). If β is "
            "large, tokens help quickly, and more of the budget is left for the model.",
            "power:half": "You let N grow with the square root of the budget. That is right only where α and β are "
            "equal.",
            "order": "Parameters and tokens are exchanged: (N, D).",
        }
    ),
)
