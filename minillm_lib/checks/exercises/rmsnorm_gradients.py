"""The exercises of notebook 07 on the gradient of the input: finite differences, and the derivation they test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named


class _Function:
    """A function of a tensor whose third derivatives are not zero, so that the kinds of differences differ."""

    def __init__(self, factors: Tensor) -> None:
        self._factors = factors

    def __call__(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.shape != self._factors.shape:
            what = f"a tensor {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise ValueError(
                f"f is a function of a tensor {tuple(self._factors.shape)}, and was given {what}"
            )
        return (self._factors * (x**3 + 2 * x.square())).sum() + x.sum().square()

    def __repr__(self) -> str:
        return "f"


def _function_case(rng: np.random.Generator, *shape: int, epsilon: float | None = None) -> Inputs:
    factors, x = (torch.from_numpy(rng.standard_normal(shape)) for _ in range(2))
    return _Function(1 + factors.abs()), x, float(rng.uniform(0.05, 0.15)) if epsilon is None else epsilon


def _function_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(71)
    return {
        "a vector": _function_case(rng, 4),
        "a single number, of shape (1,)": _function_case(rng, 1),
        "`x` of three dimensions": _function_case(rng, 2, 3, 2),
        "a small epsilon": _function_case(rng, 2, 2, epsilon=1e-5),
    }


def _numerical_gradient(f: Callable[[Tensor], Tensor], x: Tensor, epsilon: float) -> Tensor:
    return torch.as_tensor(_differences(f, x, epsilon))


def _differences(f: Callable[[Tensor], Tensor], x: Tensor, epsilon: float, /, **slips: Any) -> Any:
    has = made(slips)
    gradient, kept = torch.zeros_like(x), x.clone()
    for i in range(x.numel()):
        step = torch.zeros_like(x)
        if has("step:all"):
            step[...] = epsilon
        else:
            step.view(-1)[i] = epsilon
        start = kept if has("moved on") or has("moved back") else x
        up, down, here = f(start + step), f(start - step), f(start)
        kept = kept + step if has("moved on") else kept - step
        change = {"forward": up - here, "backward": here - down, "half": up - here}.get(
            slips.get("points", ""), up - down
        )
        divisor = {"one": 1.0, "once": epsilon, "squared": 2 * epsilon**2, "four": 4 * epsilon}.get(
            slips.get("divide", ""),
            epsilon if slips.get("points") in ("forward", "backward") else 2 * epsilon,
        )
        gradient.view(-1)[i] = (-change if has("sign") else change) / divisor
    return gradient.flatten() if has("flat") else gradient.sum() if has("sum") else gradient


def _exact(f: Callable[[Tensor], Tensor], x: Tensor, epsilon: float) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(f(x), x)[0]


NUMERICAL_GRADIENT = Exercise(
    name="numerical_gradient",
    points=2,
    reference=_numerical_gradient,
    inputs=lambda rng: _function_case(rng, int(rng.integers(2, 4)), int(rng.integers(2, 5))),
    edge_cases=_function_edges,
    hints=(
        "One coordinate at a time: how does `f` change when only this one is a little larger, and when it is a little "
        "smaller? Nothing else may move, and `x` itself has to stay as it is.",
        "Make a tensor of zeros of the shape of `x`, with ε at one place. `x + step` and `x − step` are 2ε apart. "
        "`x.numel()` says how many places there are, and `step.view(-1)[i]` is the i-th of them, whatever the shape.",
        "In a loop over i: `step = torch.zeros_like(x)`, `step.view(-1)[i] = epsilon`, and "
        "`gradient.view(-1)[i] = (f(x + step) - f(x - step)) / (2 * epsilon)`.",
    ),
    variant=_differences,
    slips=named(
        {
            "points:forward": "You compare f(x + ε) with f(x). Central differences, f(x + ε) and f(x − ε), are asked "
            "for: their error falls with ε², this one's with ε.",
            "points:backward": "You compare f(x) with f(x − ε). Central differences compare f(x + ε) with f(x − ε).",
            "points:half": "You go up by ε, but not down, and divide by 2ε: that is half of the derivative. The other "
            "point is f(x − ε).",
            "divide:once": "You divide by ε. The two points of a central difference are 2ε apart.",
            "divide:one": "You do not divide by the distance of the two points, which is 2ε.",
            "divide:squared": "You divide by ε once too often: the two points are 2ε apart.",
            "divide:four": "You divide by 4ε. The two points are 2ε apart.",
            "step:all": "You move all coordinates at once. Each number of the gradient asks how `f` changes with *one* "
            "coordinate: move only that one.",
            "moved on": "A coordinate that was moved stays moved when the next one's turn comes. Begin from `x` each "
            "time.",
            "moved back": "A coordinate that was moved down by ε stays there when the next one's turn comes. Begin "
            "from `x` each time.",
            "sign": "The sign is wrong: f(x + ε) comes first.",
            "flat": "The result is flat. It has the shape of `x`: one derivative for each of its numbers.",
            "sum": "You add the derivatives up. Each stands at the place of its coordinate.",
        }
    ),
    misconceptions={
        _exact: "The result does not depend on `epsilon`: these are exact derivatives, or differences with an epsilon "
        "of your own. Take values of `f` alone, and the `epsilon` that is given.",
    },
)


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _gradient_case(rng: np.random.Generator, *shape: int) -> Inputs:
    """Draw vectors of different sizes with a mean other than zero, and an ``eps`` that matters."""
    sizes = torch.tensor([0.4, 1.0, 3.0]).repeat(1 + shape[0])[: shape[0]]
    x = _normal(rng, *shape) * sizes.reshape(-1, *[1] * (len(shape) - 1)) + 0.7
    return _normal(rng, *shape), x, 1 + 0.5 * _normal(rng, shape[-1]), float(rng.uniform(0.2, 0.6))


def _gradient_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(72)
    return {
        "a batch of one": _gradient_case(rng, 1, 3, 6),
        "`x` of four dimensions": _gradient_case(rng, 2, 3, 1, 4),
        "`x` of two dimensions": _gradient_case(rng, 5, 3),
        "as many vectors as entries": _gradient_case(rng, 4, 4),
        "a single vector, of shape (d,)": _gradient_case(rng, 6),
    }


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.as_tensor(_by_input(grad, x, weight, eps))


def _by_input(grad: Tensor, x: Tensor, weight: Tensor, eps: float, /, **slips: Any) -> Any:
    has = made(slips)
    added = 0.0 if has("eps:none") else eps
    power = x.square().mean(dim=-1, keepdim=True)
    if has("root:sum"):
        power = x.square().sum(dim=-1, keepdim=True)
    if has("root:var"):
        power = x.var(dim=-1, keepdim=True, correction=0)
    r = power.sqrt() + eps if has("eps:outside") else (power + added).sqrt()
    normalised = x / r
    h = {"none": grad, "divided": grad / weight, "twice": grad * weight.square()}.get(
        slips.get("weight", ""), grad if has("weight:last") else grad * weight
    )
    direction = x if has("along:x") else normalised
    other = x if has("along:x in the mean") else direction
    each = h * other
    share = {
        "sum": each.sum(dim=-1, keepdim=True),
        "all": each.mean(),
        "first": each.mean(dim=0, keepdim=True),
        "each": each,
        "of h": h.mean(dim=-1, keepdim=True),
    }.get(slips.get("mean", ""), each.mean(dim=-1, keepdim=True))
    removed = {"none": torch.zeros_like(h), "share": share.expand_as(h)}.get(
        slips.get("removed", ""), direction * share
    )
    bracket = h + removed if has("sign") else h - removed
    if has("weight:last"):
        bracket = bracket * weight
    divisor = {"none": torch.ones_like(r), "squared": r.square(), "times": 1 / r}.get(slips.get("by", ""), r)
    return bracket / divisor


RMS_NORM_INPUT_GRADIENT = Exercise(
    name="rms_norm_input_gradient",
    points=3,
    reference=_input_gradient,
    inputs=lambda rng: _gradient_case(rng, 3, int(rng.integers(2, 6)), 2 * int(rng.integers(3, 7))),
    edge_cases=_gradient_edges,
    atol=1e-5,
    hints=(
        "Begin with r. Differentiate both sides of r² = (1/d) Σ x_j² + ε by x_k: what is ∂r/∂x_k? Then x̂_i = x_i / r "
        "is a quotient in which x_k may occur twice, above and below.",
        "∂r/∂x_k = x̂_k / d, and so ∂x̂_i/∂x_k = (δ_ik − x̂_i x̂_k / d) / r, with δ_ik = 1 for i = k and else 0. By "
        "the chain rule multiply with the derivative by x̂_i, which is h_i = grad_i w_i, and sum over i.",
        "∂L/∂x = (h − x̂ · mean(h x̂)) / r with h = `grad * weight`; the mean runs over the last dimension, with "
        "`keepdim=True`.",
    ),
    variant=_by_input,
    slips=named(
        {
            "removed:none": "You take r for a constant: that gives h / r. But r depends on every x_k too, and the "
            "quotient rule has a second term.",
            "removed:share": "In the second term a factor x̂_k is missing: by the chain rule it comes from ∂r/∂x_k.",
            "sign": "The sign of the second term is wrong: a larger r makes x̂ *smaller*.",
            "weight:none": "The weight is missing. The loss depends on x̂_i through y_i = w_i x̂_i: its derivative by "
            "x̂_i is grad_i w_i.",
            "weight:last": "You multiply by the weight at the end. It belongs to h = grad ⊙ w, which stands in *both* "
            "terms: the mean is of h x̂.",
            "weight:divided": "You divide by the weight. The derivative of y_i = w_i x̂_i by x̂_i is w_i.",
            "weight:twice": "The weight is in it twice. h_i = grad_i w_i has it once.",
            "mean:sum": "A factor 1/d is missing in the second term: r² is a *mean* of squares, so ∂r/∂x_k = x̂_k / d.",
            "mean:all": "Your mean runs over all vectors. Each is normalised on its own: `dim=-1`.",
            "mean:first": "Your mean runs over dimension 0. Each vector lies along the last: `dim=-1`.",
            "mean:each": "The sum over i is missing: x_k changes r, and through it *every* x̂_i.",
            "mean:of h": "You average h alone. The second term has Σ_i h_i x̂_i / d.",
            "along:x": "You use x where the normalised x̂ = x / r belongs, twice.",
            "along:x in the mean": "In the mean x stands where x̂ = x / r belongs.",
            "by:none": "The factor 1/r is missing: x̂ = x / r changes the less, the larger r is.",
            "by:squared": "You divide by r twice. With x̂ in the second term, both terms have one factor 1/r.",
            "by:times": "You multiply by r. x̂ is x *divided* by r, and so is the gradient.",
            "root:sum": "Your r is the root of a sum. It has the mean of the squares inside.",
            "root:var": "Your r is the standard deviation. Nothing is subtracted in RMSNorm.",
            "eps:none": "The argument `eps` is missing under the root of r.",
            "eps:outside": "You add `eps` to the root. It belongs under the root, to the mean square.",
        }
    ),
)
