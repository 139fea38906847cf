"""The exponent of a power law, from points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Axis = Callable[[FloatArray], FloatArray]


def _law(rng: np.random.Generator, tokens: FloatArray, floor: float, scale: float, exponent: float) -> Inputs:
    """Draw a noisy power law at these numbers of tokens."""
    excess = scale * (tokens / tokens.min()) ** -exponent * np.exp(0.02 * rng.standard_normal(len(tokens)))
    return tokens, floor + excess, floor


def _curve(rng: np.random.Generator) -> Inputs:
    """Draw a noisy power law over less than two decades."""
    tokens = np.sort(np.exp(rng.uniform(np.log(2.0), np.log(90.0), 12)))
    floor, scale, exponent = rng.uniform(1.0, 2.0), rng.uniform(1.0, 3.0), rng.uniform(0.2, 0.6)
    return _law(rng, tokens, float(floor), scale, exponent)


def _curve_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(12)
    return {
        "tokens by the million": _law(rng, np.geomspace(1e6, 1e9, 9), 1.7, 4.0, 0.3),
        "points in no order": _law(rng, rng.permutation(np.geomspace(3.0, 200.0, 8)), 1.2, 2.0, 0.5),
        "a floor of 0": _law(rng, np.geomspace(2.0, 90.0, 7), 0.0, 3.0, 0.4),
        "three points": _law(rng, np.array([2.0, 5.0, 40.0]), 1.0, 2.0, 0.25),
    }


def _line(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line."""
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())


def _power_law_exponent(tokens: FloatArray, losses: FloatArray, floor: float) -> float:
    return -_line(np.log(tokens), np.log(losses - floor))[0]


def _exponent_with(
    by: Axis = np.log,
    to: Axis = np.log,
    above: Callable[[FloatArray, float], FloatArray] = lambda losses, floor: losses - floor,
    fitted: Callable[[FloatArray, FloatArray], Any] = lambda x, y: _line(x, y)[0],
    sign: float = -1.0,
) -> Callable[..., Any]:
    """Return a wrong exponent: what stands on the axes, and what is read off."""

    def wrong_exponent(tokens: FloatArray, losses: FloatArray, floor: float) -> Any:
        return sign * fitted(by(tokens), to(above(losses, floor)))

    return wrong_exponent


def _itself(values: FloatArray) -> FloatArray:
    return values


def _from_the_ends(x: FloatArray, y: FloatArray) -> float:
    return float((y[-1] - y[0]) / (x[-1] - x[0]))


def _mean_of_slopes(x: FloatArray, y: FloatArray) -> float:
    return float(np.mean(np.diff(y) / np.diff(x)))


def _through_the_origin(x: FloatArray, y: FloatArray) -> float:
    return float(x @ y / (x @ x))


POWER_LAW_EXPONENT = Exercise(
    name="power_law_exponent",
    points=1,
    reference=_power_law_exponent,
    inputs=_curve,
    edge_cases=_curve_edges,
    hints=(
        "Take the logarithm of losses − floor = A · tokens^(−α). What is a straight line in what?",
        "x is the logarithm of the tokens, y that of the losses *above the floor*: subtract first, then take the "
        "logarithm. α is read off the slope; mind its sign.",
        "`np.polyfit(np.log(tokens), np.log(losses - floor), 1)` gives slope and intercept; the slope is −α.",
    ),
    misconceptions={
        _exponent_with(
            by=_itself, to=_itself
        ): "You fit a straight line on linear axes. A power law is straight on double-logarithmic ones: take the "
        "logarithm of both, that of the losses after taking the floor away.",
        _exponent_with(
            above=lambda losses, floor: losses
        ): "The floor has no effect: you do not take it away, or only after the logarithm, where it shifts the whole "
        "line. Subtract it from the losses first; without that the points lie on a bent line, and the slope is too "
        "small.",
        _exponent_with(
            by=_itself
        ): "You take the logarithm of the loss only. That is straight for an exponential decay; a power law needs the "
        "logarithm of the tokens too.",
        _exponent_with(
            to=_itself
        ): "You take the logarithm of the tokens only. Equation (5) has the logarithm of the loss above the floor as "
        "well.",
        _exponent_with(
            fitted=lambda x, y: 1 / _line(y, x)[0]
        ): "You fit the tokens by the loss and invert the slope. The noise is in the losses: fit them by the tokens.",
        _exponent_with(
            fitted=lambda x, y: _line(y, x)[0]
        ): "You exchange x and y: this is the slope of the tokens by the losses. `np.polyfit` takes the tokens first.",
        _exponent_with(
            fitted=lambda x, y: _line(x, y)[1], sign=1.0
        ): "This is the intercept, ln A. The exponent is in the slope, which `np.polyfit` returns first.",
        _exponent_with(
            fitted=lambda x, y: _line(x, y)[1]
        ): "This is minus the intercept, −ln A. The exponent is in the slope, which `np.polyfit` returns first.",
        _exponent_with(
            fitted=lambda x, y: np.exp(_line(x, y)[1]), sign=1.0
        ): "This is A, from the intercept. The exponent is in the slope, which `np.polyfit` returns first.",
        _exponent_with(
            fitted=lambda x, y: np.array(_line(x, y)), sign=1.0
        ): "You return all that `np.polyfit` gives, slope and intercept. The exponent is minus the slope alone.",
        _exponent_with(
            fitted=lambda x, y: np.array(_line(x, y))
        ): "You return both slope and intercept. The exponent is minus the slope alone, a number.",
        _exponent_with(
            fitted=lambda x, y: np.polyfit(x, y, 2)[0]
        ): "You fit a parabola, of degree 2. A straight line has degree 1.",
        _exponent_with(
            fitted=lambda x, y: np.polyfit(x, y, 2)[1]
        ): "You fit a parabola, of degree 2, and take its middle coefficient. A straight line has degree 1.",
        _exponent_with(
            fitted=lambda x, y: np.exp(_line(x, y)[0])
        ): "You raise e to the slope. The slope of the logarithms *is* the exponent, but for its sign.",
        _exponent_with(
            fitted=lambda x, y: np.exp(_line(x, y)[0]), sign=1.0
        ): "You raise e to the slope as it is. The slope of the logarithms *is* the exponent, but for its sign.",
    },
    variant=variant(_exponent_with),
    slips={
        ("sign", 1.0): "This is the slope, which is -α: the exponent itself is positive.",
        (
            "by",
            np.log10,
        ): "The tokens have the logarithm to base 10, and the losses have another: take the same for both.",
        (
            "by",
            np.log2,
        ): "The tokens have the logarithm to base 2, and the losses have another: take the same for both.",
        ("by", np.log1p): "You take ln(1 + tokens). Equation (5) has ln(tokens).",
        ("by", np.sqrt): "You take the root of the tokens. Equation (5) has their logarithm.",
        ("by", lambda tokens: 1 / tokens): "You take 1 / tokens. Equation (5) has their logarithm.",
        (
            "to",
            np.log10,
        ): "The losses have the logarithm to base 10, and the tokens have another: take the same for both.",
        (
            "to",
            np.log2,
        ): "The losses have the logarithm to base 2, and the tokens have another: take the same for both.",
        (
            "to",
            np.log1p,
        ): "You take ln(1 + …) of the losses above the floor. Equation (5) has their logarithm.",
        ("above", lambda losses, floor: losses + floor): "You add the floor. Take it away from the losses.",
        (
            "above",
            lambda losses, floor: losses - losses.min() + 1e-9,
        ): "You take away the smallest loss. The floor is given: it lies below all losses.",
        (
            "above",
            lambda losses, floor: losses.max() - losses + 1e-9,
        ): "You take the losses away from the largest. Take the floor away from the losses.",
        (
            "above",
            lambda losses, floor: np.abs(floor - losses) ** 2,
        ): "You square the losses above the floor, which doubles the slope.",
        (
            "fitted",
            _from_the_ends,
        ): "You draw the line through the first and the last point. Least squares takes all points.",
        (
            "fitted",
            _mean_of_slopes,
        ): "You average the slopes between neighbours. Least squares takes all points together.",
        (
            "fitted",
            _through_the_origin,
        ): "Your line goes through the origin. It has an intercept, ln A, as well.",
    },
)
