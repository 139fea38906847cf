"""How the held-out loss falls with the tokens read, and when it would reach a perplexity: :func:`fit_scaling_law`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from minillm_lib.training.run import FloatArray, RunResult, RunSource

_MILLION = 1e6
_CONSTANT_RATE = 0.95
_FEWEST_POINTS, _ENOUGH_POINTS = 4, 8
_ENOUGH_RANGE = 8.0
_FARTHEST = 10.0
_WIDEST = 4.0
_LARGE_RESIDUAL = 0.03  # nats
_INTERVAL = (5.0, 95.0)  # percentiles
_SEED = 0
_LARGE = 20.0  # of a logarithm


class ScalingPoints(NamedTuple):
    """Evaluations to which a law can be fitted.

    Attributes
    ----------
    tokens, loss
        ``(n,)`` each.
    has_constant_rate
        Whether all of them come before the learning rate falls.
    end
        Tokens and loss of the last evaluation of the run.
    """

    tokens: FloatArray
    loss: FloatArray
    has_constant_rate: bool
    end: tuple[float, float]


@dataclass(frozen=True)
class ScalingLaw:
    """``loss = floor + scale * (tokens / 10^6) ** -exponent``, in nats, with 90 % intervals by bootstrap.

    Attributes
    ----------
    floor
        The loss that no number of tokens gets below.
    scale
        How far the loss lies above the floor at a million tokens.
    exponent
        How fast this distance falls.
    samples
        The parameters of the refitted laws, ``(n_samples, 3)``, in this order.
    points
        The evaluations to which the law was fitted.
    """

    floor: float
    scale: float
    exponent: float
    samples: FloatArray
    points: ScalingPoints

    def loss(self, tokens: FloatArray | float) -> FloatArray:
        """Return the loss after this many tokens."""
        millions = np.asarray(tokens, dtype=np.float64) / _MILLION
        return _law(millions, *np.array([self.floor, self.scale, self.exponent]))

    def loss_interval(self, tokens: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the loss after these numbers of tokens, ``(n,)`` each."""
        curves = _law(tokens[None, :] / _MILLION, *(column[:, None] for column in self.samples.T))
        low, high = np.percentile(curves, _INTERVAL, axis=0)
        return low, high

    def tokens_to_reach(self, loss: float) -> float:
        """Return after how many tokens the loss is reached; infinite at or below the floor."""
        return float(_crossing(loss, np.array([[self.floor, self.scale, self.exponent]]))[0])

    def tokens_interval(self, loss: float) -> tuple[float, float]:
        """Return the bounds of :meth:`tokens_to_reach`; the upper one is infinite if the loss may never be reached."""
        low, high = np.percentile(_crossing(loss, self.samples), _INTERVAL, method="nearest")
        return float(low), float(high)

    def parameter_interval(self, name: str) -> tuple[float, float]:
        """Return the bounds of ``"floor"``, ``"scale"`` or ``"exponent"``."""
        column = ("floor", "scale", "exponent").index(name)
        low, high = np.percentile(self.samples[:, column], _INTERVAL)
        return float(low), float(high)

    def doubts(self, loss: float) -> list[str]:
        """List reasons not to trust the number of tokens to reach a loss; empty if there are none."""
        return list(_doubts(self, loss))


def _doubts(law: ScalingLaw, loss: float) -> Iterator[str]:
    tokens, losses, has_constant_rate, _ = law.points
    if len(tokens) < _ENOUGH_POINTS:
        yield f"it is based on only {len(tokens)} evaluations"
    if tokens[-1] < _ENOUGH_RANGE * tokens[0]:
        yield f"the evaluations span only a factor of {tokens[-1] / tokens[0]:.1f} in tokens"
    if not has_constant_rate:
        yield "the learning rate falls during the evaluations, which bends the curve down"
    deviation = float(np.sqrt(np.mean((losses - law.loss(tokens)) ** 2)))
    if deviation > _LARGE_RESIDUAL:
        yield f"the evaluations deviate from the curve by {deviation:.3f} nats: they do not follow a power law"
    reached, (low, high) = law.tokens_to_reach(loss), law.tokens_interval(loss)
    if not math.isfinite(reached):
        yield f"by the fit, {loss:.2f} nats is below the floor of {law.floor:.2f} and never reached"
    elif reached > _FARTHEST * tokens[-1]:
        yield f"it is {reached / tokens[-1]:,.0f} times as far as the run has come"
    if math.isfinite(reached) and high > _WIDEST * low:
        width = f"spans a factor of {high / low:,.0f}" if math.isfinite(high) else "has no upper bound"
        yield f"its interval {width}"


def scaling_points(run: RunSource) -> ScalingPoints:
    """Select the evaluations between the warm-up and the decay of the learning rate.

    If these are too few, all evaluations after the warm-up are taken.

    Raises
    ------
    ValueError
        If fewer than four evaluations come after the warm-up.
    """
    metrics = RunResult.of(run)
    tokens = np.array([record["tokens"] for record in metrics.measured], dtype=np.float64)
    loss = np.array([record["loss"] for record in metrics.measured], dtype=np.float64)
    rates, rate_tokens = metrics.values("lr"), metrics.values("tokens")
    warm = tokens > (2 * rate_tokens[metrics.warmup_end] if len(rate_tokens) else 0)
    if warm.sum() < _FEWEST_POINTS:
        raise ValueError(
            f"{metrics.name}: a fit needs {_FEWEST_POINTS} evaluations after the warm-up; there are {warm.sum()}"
        )
    rate_then = np.interp(tokens, rate_tokens, rates)
    constant = warm & (rate_then >= _CONSTANT_RATE * np.nanmax(rates))
    has_constant_rate = int(constant.sum()) >= max(_FEWEST_POINTS, 0.4 * warm.sum())
    chosen = constant if has_constant_rate else warm
    return ScalingPoints(tokens[chosen], loss[chosen], bool(has_constant_rate), (tokens[-1], loss[-1]))


def fit_scaling_law(run: RunSource, *, n_samples: int = 300) -> ScalingLaw:
    """Fit a scaling law to the held-out losses of a run by least squares, and refit it to resampled residuals.

    The form is that of Hoffmann et al. 2022 (arXiv:2203.15556, section 3.3) for one size of model. The evaluations of
    one run are not independent, so the true uncertainty is at least as large as the interval.

    Parameters
    ----------
    n_samples
        How many times the law is refitted for the intervals.

    Raises
    ------
    ValueError
        If fewer than four evaluations come after the warm-up.
    """
    points = scaling_points(run)
    x = points.tokens / _MILLION
    best = _fit(x, points.loss)
    fitted = _law(x, *best)
    residuals = (points.loss - fitted) * math.sqrt(len(x) / max(len(x) - 3, 1))
    rng = np.random.default_rng(_SEED)
    samples = [_fit(x, fitted + rng.choice(residuals, len(x)), start=best) for _ in range(n_samples)]
    floor, scale, exponent = map(float, best)
    return ScalingLaw(floor, scale, exponent, np.array(samples), points)


def _fit(x: FloatArray, loss: FloatArray, start: FloatArray | None = None) -> FloatArray:
    """Fit floor, scale and exponent, ``(3,)``; all are positive, since their logarithms are fitted."""
    if start is None:
        lowest = float(loss.min())
        start = np.array([0.7 * lowest, loss[0] - 0.7 * lowest, 0.3])
    logarithms = least_squares(
        lambda values: _law(x, *_parameters(values)) - loss,
        np.log(np.maximum(start, math.exp(-_LARGE))),
        method="lm",
        max_nfev=1000,
    ).x
    return _parameters(logarithms)


def _parameters(logarithms: FloatArray) -> FloatArray:
    parameters: FloatArray = np.exp(np.clip(logarithms, -_LARGE, _LARGE))
    return parameters


def _law(x: FloatArray, floor: FloatArray, scale: FloatArray, exponent: FloatArray) -> FloatArray:
    return floor + scale * x**-exponent


def _crossing(loss: float, laws: FloatArray) -> FloatArray:
    """Return the tokens at which each law, a row of floor, scale and exponent, comes down to a loss."""
    floor, scale, exponent = laws.T
    above = loss - floor
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        tokens: FloatArray = _MILLION * (scale / above) ** (1 / exponent)
    return np.where(above > 0, tokens, np.inf)
