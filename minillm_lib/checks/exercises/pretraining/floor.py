"""A power law above an unknown floor, fitted to points."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

Array = np.ndarray[Any, np.dtype[np.float64]]
_NEAR = (0.03, 0.04, 0.02)  # how far E, A (as a share) and α may be off if it has two decimals


def _curve(rng: np.random.Generator, n: int = 14) -> Inputs:
    """Draw points over three decades of tokens, with noise far below the curve."""
    tokens = np.sort(np.exp(rng.uniform(0, np.log(1000), n)))
    tokens[[0, -1]] = 1.0, 1000.0
    floor, scale, exponent = rng.uniform(1.2, 2.0), rng.uniform(2.0, 4.0), rng.uniform(0.3, 0.55)
    return tokens, floor + scale * tokens**-exponent + 0.001 * rng.standard_normal(n)


def _curve_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(131)
    order = rng.permutation(12)
    tokens = np.geomspace(1, 1000, 12)[order]
    in_order = np.geomspace(1, 1000, 12)
    off = np.zeros(12)
    off[:2] = 0.2, -0.2
    return {
        "points without noise": (np.geomspace(1, 1000, 9), 1.7 + 4 * np.geomspace(1, 1000, 9) ** -0.3),
        "points in no order": (tokens, 1.4 + 2.5 * tokens**-0.45),
        "four points": (np.geomspace(1, 500, 4), 1.2 + 3 * np.geomspace(1, 500, 4) ** -0.4),
        # here alone, least squares of the losses and of their logarithms are clearly different laws
        "two points that lie far from the curve": (in_order, 1.5 + 4 * in_order**-0.45 + off),
    }


def _line(x: Array, y: Array) -> tuple[float, float]:
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())


def _at(exponent: float, tokens: Array, losses: Array) -> tuple[float, float, float]:
    """Return floor, scale and the sum of squares for a given exponent."""
    powers = tokens**-exponent
    scale, floor = _line(powers, losses)
    return floor, scale, float(((floor + scale * powers - losses) ** 2).sum())


def _above(floor: float, tokens: Array, losses: Array) -> tuple[float, float, float]:
    """Return the law that a straight line on double-logarithmic axes gives for a given floor."""
    above = losses - floor
    is_positive = above > 0
    slope, intercept = _line(np.log(tokens[is_positive]), np.log(above[is_positive]))
    return floor, float(np.exp(intercept)), -slope


def _of_logarithms(tokens: Array, losses: Array) -> tuple[float, float, float]:
    """Return the law that has the smallest squared errors of the logarithms of the losses."""

    def logarithms(x: Array, floor: float, scale: float, exponent: float) -> Any:
        return np.log(floor + scale * x**-exponent)

    start = _fit_power_law(tokens, losses)
    (floor, scale, exponent), _ = curve_fit(logarithms, tokens, np.log(losses), start)
    return float(floor), float(scale), float(exponent)


def _fit_power_law(tokens: Array, losses: Array, /, **slips: Any) -> Any:
    has = made(slips)
    if has("floor:lowest"):
        law = _above(float(losses.min()), tokens, losses)
    elif has("floor:none"):
        law = _above(0.0, tokens, losses)
    elif has("squares:logarithms"):
        law = _of_logarithms(tokens, losses)
    elif has("exponent:given"):
        floor, scale, _ = _at(0.28, tokens, losses)
        law = floor, scale, 0.28
    elif has("exponent:one"):
        floor, scale, _ = _at(1.0, tokens, losses)
        law = floor, scale, 1.0
    else:
        best = (0.01, 1.5)
        for _ in range(6):
            exponents = np.linspace(*best, 41)
            found = int(np.argmin([_at(each, tokens, losses)[2] for each in exponents]))
            best = (float(exponents[max(found - 1, 0)]), float(exponents[min(found + 1, 40)]))
        exponent = sum(best) / 2
        floor, scale, _ = _at(exponent, tokens, losses)
        law = floor, scale, exponent
    floor, scale, exponent = law
    if has("sign"):
        exponent = -exponent
    if has("scale:logarithm"):
        scale = float(np.log(scale))
    if has("scale:first"):
        scale = float(losses[0])
    orders = {"reversed": (exponent, scale, floor), "A first": (scale, floor, exponent)}
    return orders.get(str(slips.get("order")), (floor, scale, exponent))


def _difference(result: Any, expected: Any) -> str | None:
    """Say which of the three is off; a coarse grid of exponents is near enough."""
    try:
        found = [float(each) for each in result]
    except (TypeError, ValueError):
        return "The result should be three numbers: (E, A, α)."
    if len(found) != len(_NEAR):
        return f"The result has {len(found)} numbers; there should be three: (E, A, α)."
    scales = (1.0, abs(float(expected[1])), 1.0)
    for name, own, right, near, scale in zip("EAα", found, expected, _NEAR, scales, strict=True):
        if not abs(own - right) <= near * scale:
            return f"{name} is {own:.3g}; least squares gives {right:.3g}."
    return None


FIT_POWER_LAW = Exercise(
    name="fit_power_law",
    points=3,
    reference=lambda tokens, losses: _fit_power_law(tokens, losses),
    inputs=_curve,
    edge_cases=_curve_edges,
    compare=_difference,
    hints=(
        "With α known, what kind of function of E and A is the law? Then you need to search for one number only.",
        "For a given α, x = tokens^(−α) makes the law a straight line, losses = E + A·x, and `np.polyfit(x, losses, "
        "1)` gives A and E. Do this for many α, such as `np.arange(0.01, 1.5, 0.005)`, and keep the one whose line "
        "lies nearest to the points.",
        "In a loop over α: `scale, floor = np.polyfit(tokens**-alpha, losses, 1)`, then the error `((floor + scale * "
        "tokens**-alpha - losses) ** 2).sum()`. Return floor, scale and alpha of the smallest error.",
    ),
    variant=_fit_power_law,
    slips=named(
        {
            "floor:lowest": "You take the lowest loss for E. The curve still falls there: E lies below all points.",
            "floor:none": "You fit a law without a floor: E is 0. With it, the points lie on a bent line on "
            "double-logarithmic axes, and the exponent comes out too small.",
            "squares:logarithms": "Where points lie far from the curve, your law is not the one whose squared errors "
            "of the *losses* are smallest. Squared errors of logarithms give another law, even if only A and α come "
            "from them, for many values of E. Compare the errors of the losses, for E, A and α alike.",
            "exponent:given": "You take the exponent 0.28 of large models. It is to be found from the points.",
            "exponent:one": "Your exponent is always 1. It is to be found from the points.",
            "sign": "The sign of the exponent is wrong: α is positive, the minus stands in the law.",
            "scale:logarithm": "You return ln A. Raise e to it.",
            "scale:first": "You take the first loss for A. A is how far the curve lies above E at one token (or at one "
            "million, whatever the unit).",
            "order:reversed": "The order is reversed: (E, A, α).",
            "order:A first": "E and A are exchanged: (E, A, α).",
        }
    ),
)
