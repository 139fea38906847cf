"""The exercises of notebook 07: RMSNorm, its gradient, and what it shares with LayerNorm."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.rmsnorm_gradients import NUMERICAL_GRADIENT, RMS_NORM_INPUT_GRADIENT
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.model.rms_norm import RMSNorm


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _norm_case(rng: np.random.Generator, *shape: int) -> Inputs:
    """Draw rows of different sizes with a mean other than zero, and an ``eps`` that matters."""
    sizes = torch.tensor([0.2, 1.0, 5.0]).repeat(1 + shape[0])[: shape[0]]
    x = _tensor(rng, *shape) * sizes.reshape(-1, *[1] * (len(shape) - 1)) + 0.7
    return x, _tensor(rng, shape[-1]), float(rng.uniform(0.1, 0.5))


def _norm_inputs(rng: np.random.Generator) -> Inputs:
    return _norm_case(rng, 3, int(rng.integers(2, 6)), 2 * int(rng.integers(3, 7)))


def _rms_norm(x: Tensor, weight: Tensor, eps: float, /, **slips: Any) -> Any:
    has = made(slips)
    if has("centred"):
        x = x - x.mean(dim=-1, keepdim=True)
    power = x.abs() if has("square:abs") else x if has("square:none") else x.square()
    if has("eps:inside"):
        power = (x + eps).square()
    if has("dim:all"):
        mean = power.mean()
    elif has("dim:0"):
        mean = power.mean(dim=0, keepdim=True)
    elif slips.get("dim") in ("1", "2", "-2"):
        mean = power.mean(dim=int(slips["dim"]), keepdim=True)
    elif has("dim:both"):
        mean = power.mean(dim=tuple(range(max(x.ndim - 2, 0), x.ndim)), keepdim=True)
    elif has("mean:max"):
        mean = power.amax(dim=-1, keepdim=True)
    elif has("mean:sum"):
        mean = power.sum(dim=-1, keepdim=True)
    elif has("mean:8"):
        mean = power.sum(dim=-1, keepdim=True) / 8
    elif has("mean:one less"):
        mean = power.sum(dim=-1, keepdim=True) / (x.shape[-1] - 1)
    elif has("mean:var"):
        mean = x.var(dim=-1, keepdim=True, correction=0)
    elif has("mean:unbiased var"):
        mean = x.var(dim=-1, keepdim=True)
    elif has("mean:std"):
        mean = x.std(dim=-1, keepdim=True).square()
    else:
        mean = power.mean(dim=-1, keepdim=True)
    if has("eps:outside"):
        divisor = mean.sqrt() + eps
    else:
        below = {"none": 0.0, "squared": eps**2, "minus": -eps, "inside": 0.0}
        mean = mean + below.get(slips.get("eps", ""), eps)
        divisor = mean if has("root") else mean.sqrt()
    normalised = x * divisor if has("multiplied") else x / divisor
    if has("weight:added"):
        return normalised + weight
    if has("weight:divided"):
        return normalised / weight
    return normalised * (1 + weight if has("weight:plus 1") else weight)


def _without_the_weight(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()


def _reference(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    norm = RMSNorm(len(weight), eps).to(weight.dtype)
    return functional_call(
        norm, {"weight": weight}, (x,)
    )  # lets gradients through, for the decoder of notebook 11


def _gradient_case(rng: np.random.Generator, *shape: int) -> Inputs:
    x, _, eps = _norm_case(rng, *shape)
    return _tensor(rng, *shape), x, eps


def _gradient_inputs(rng: np.random.Generator) -> Inputs:
    return _gradient_case(rng, 3, int(rng.integers(2, 6)), 2 * int(rng.integers(3, 7)))


def _weight_gradient(grad: Tensor, x: Tensor, eps: float, /, **slips: Any) -> Any:
    has = made(slips)
    inside = {name: value for name, value in slips.items() if name in ("eps", "mean", "root")}
    normalised = _rms_norm(x, torch.ones(x.shape[-1]), eps, **inside)
    factor = {"x": x, "one": torch.ones_like(x), "square": normalised.square(), "root": normalised / x}.get(
        slips.get("by", ""), normalised
    )
    each = factor if has("grad") else grad * factor
    each = -each if has("sign") else each
    if has("sum:none"):
        return each
    if has("sum:mean"):
        return each.mean(dim=(0, 1))
    if has("sum:batch mean"):
        return each.sum(dim=1).mean(dim=0)
    if has("sum:positions mean"):
        return each.sum(dim=0).mean(dim=0)
    if has("sum:all"):
        return each.sum()
    if has("sum:coordinates"):
        return each.sum(dim=-1)
    if has("sum:batch"):
        return each.sum(dim=0)
    if has("sum:positions"):
        return each.sum(dim=1)
    if has("sum:apart"):
        return grad.sum(dim=(0, 1)) * factor.sum(dim=(0, 1))
    return each.sum(dim=(0, 1), keepdim=has("keepdim"))


def _gradient(grad: Tensor, x: Tensor, eps: float) -> Tensor:
    normalised = x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps)
    return (grad * normalised).sum(dim=(0, 1))


def _linear_case(rng: np.random.Generator, d_out: int, d_in: int) -> Inputs:
    return _tensor(rng, d_out, d_in) + 0.5, _tensor(rng, d_out) - 0.3


def _linear_inputs(rng: np.random.Generator) -> Inputs:
    return _linear_case(rng, int(rng.integers(3, 8)), int(rng.integers(3, 8)))


def _centre_outputs(weight: Tensor, bias: Tensor, /, **slips: Any) -> Any:
    has = made(slips)
    of_weight = weight.mean() if has("weight:one") else weight.mean(dim=0)
    if has("weight:rows"):
        of_weight = weight.mean(dim=1, keepdim=True)
    if has("weight:sum"):
        of_weight = weight.sum(dim=0)
    if has("weight:median"):
        of_weight = weight.quantile(0.5, dim=0)
    if has("weight:first"):
        of_weight = weight[0]
    of_bias = bias.sum() if has("bias:sum") else bias.quantile(0.5) if has("bias:median") else bias.mean()
    of_bias = (
        weight.mean()
        if has("bias:of weight")
        else bias.mean() + weight.mean()
        if has("bias:both")
        else of_bias
    )
    sign = 1 if has("added") else -1
    new_weight = weight if has("weight:kept") else weight + sign * of_weight
    new_bias = (
        bias if has("bias:kept") else torch.zeros_like(bias) if has("bias:0") else bias + sign * of_bias
    )
    if has("scaled"):
        new_weight, new_bias = new_weight / weight.std(dim=0), new_bias / bias.std()
    return (
        (new_bias, new_weight)
        if has("order")
        else (new_weight.mT, new_bias)
        if has("turned")
        else (new_weight, new_bias)
    )


def _norm_cases() -> dict[str, Inputs]:
    rng = np.random.default_rng(6)
    return {
        "a batch of one": _norm_case(rng, 1, 2, 6),
        "`x` of four dimensions": _norm_case(rng, 2, 3, 1, 4),
        "`x` of two dimensions": _norm_case(rng, 5, 3),
        "as many vectors as entries": _norm_case(rng, 4, 4),
        "a single vector, of shape (d,)": _norm_case(rng, 6),
    }


def _gradient_cases() -> dict[str, Inputs]:
    rng = np.random.default_rng(6)
    return {
        "a batch of one": _gradient_case(rng, 1, 5, 6),
        "sequences of one position": _gradient_case(rng, 4, 1, 3),
        "equal dimensions": _gradient_case(rng, 4, 4, 4),
    }


def _linear_cases() -> dict[str, Inputs]:
    rng = np.random.default_rng(6)
    return {
        "a square weight": _linear_case(rng, 4, 4),
        "more inputs than outputs": _linear_case(rng, 2, 5),
        "more outputs than inputs": _linear_case(rng, 6, 4),
    }


_SUM = "One weight serves all vectors: sum over every dimension but the last."

EXERCISES = (
    Exercise(
        name="rms_norm",
        reference=_reference,
        edge_cases=_norm_cases,
        inputs=_norm_inputs,
        hints=(
            "Three steps: square each entry, take the mean along the last dimension, and divide by the root.",
            "`x.square().mean(dim=-1, keepdim=True)` has the shape (…, 1), so that it can be divided by. "
            "Where in (2) does ε stand?",
            "`weight * x / (mean_square + eps).sqrt()`.",
        ),
        misconceptions={
            _without_the_weight: "The normalised vectors are not multiplied by `weight`.",
        },
        variant=_rms_norm,
        slips=named(
            {
                "centred": "You subtract the mean first: that is LayerNorm. RMSNorm subtracts nothing; "
                "look again at equation (2).",
                "mean:var": "You divide by the standard deviation, which measures the distance from the "
                "mean. The root mean square measures the distance from zero: no mean is taken away inside "
                "it either.",
                "mean:unbiased var": "You divide by PyTorch's `var` or `std`, which takes the mean away "
                "and divides by d − 1. The mean of the squares does neither.",
                "mean:sum": "You divide by the length of the vector, a root of a sum. The root mean "
                "*square* has the mean of the squares inside: it is smaller by a factor √d.",
                "mean:8": "You divide the sum of the squares by 8, whatever the length of the vectors is. "
                "d is `x.shape[-1]`.",
                "mean:one less": "You divide the sum of the squares by d − 1. It is a plain mean: divide "
                "by d.",
                "mean:max": "You divide by the largest entry. The root mean square has the *mean* of the "
                "squares inside.",
                "square:abs": "You take the mean of the absolute values. The root mean square has the "
                "squares inside.",
                "square:none": "The square is missing: the root is of the mean of the *squares*.",
                "root": "You divide by the mean square itself: the square root is missing.",
                "multiplied": "You multiply by the root mean square. The vectors are divided by it.",
                "eps:outside": "You add `eps` to the root. It belongs under the root, to the mean square.",
                "eps:none": "The argument `eps` is missing: add it to the mean square, under the root.",
                "eps:squared": "You add the square of `eps`. Equation (2) adds `eps` itself to the mean "
                "square.",
                "eps:minus": "You subtract `eps`. It is added to the mean square, so that the root is "
                "never 0.",
                "eps:inside": "You add `eps` to x before squaring. It is added to the mean of the squares.",
                "dim:all": "You take one mean over the whole tensor. Each vector has its own: take the "
                "mean over the last dimension, with `keepdim=True`.",
                "dim:0": "You take the mean over dimension 0. Each vector lies along the *last* "
                "dimension: `dim=-1`.",
                "dim:1": "You take the mean over dimension 1, which is the last only if x has two "
                "dimensions. `dim=-1` is the last one of any x.",
                "dim:2": "You take the mean over dimension 2, which is the last only if x has three "
                "dimensions. `dim=-1` is the last one of any x.",
                "dim:-2": "You take the mean over the dimension before the last. Each vector lies along "
                "the *last* one: `dim=-1`.",
                "dim:both": "You take the mean over the last two dimensions. Each vector has its own: "
                "`dim=-1` only.",
                "weight:added": "You add `weight`. It multiplies the normalised vector.",
                "weight:divided": "You divide by `weight`. It multiplies the normalised vector.",
                "weight:plus 1": "You multiply by 1 + weight, as some models do. Equation (2) multiplies "
                "by `weight`.",
            }
        ),
    ),
    NUMERICAL_GRADIENT,
    RMS_NORM_INPUT_GRADIENT,
    Exercise(
        name="rms_norm_weight_gradient",
        reference=_gradient,
        edge_cases=_gradient_cases,
        inputs=_gradient_inputs,
        atol=1e-5,
        hints=(
            "For one vector, y_i = w_i x̂_i. What is the derivative of y_i by w_i? And then the chain rule.",
            "Each vector contributes `grad * normalised`. The same weight is used by all of them, so their "
            "contributions add up.",
            "With `normalised = x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()`, sum `grad * "
            "normalised` over dimensions 0 and 1.",
        ),
        variant=_weight_gradient,
        slips=named(
            {
                "sum:mean": "You take the mean over the vectors. The loss depends on the weight through "
                "every one of them, so their contributions are summed.",
                "sum:batch mean": "You take the mean over the batch. All contributions are summed, those "
                "of different sequences too.",
                "sum:positions mean": "You take the mean over the positions. All contributions are summed.",
                "sum:none": f"This is each vector's own contribution. {_SUM}",
                "sum:all": "You sum over the coordinates as well. Each coordinate has a weight of its "
                "own: keep the last dimension.",
                "sum:coordinates": "You sum over the coordinates of a vector. Each coordinate has its own "
                "weight: sum over all the *other* dimensions.",
                "sum:batch": f"You sum over the batch only. {_SUM}",
                "sum:positions": f"You sum over the positions only. {_SUM}",
                "sum:apart": "You sum the gradient and the normalised vectors apart, and multiply the "
                "sums. Multiply first, vector by vector, and sum the products.",
                "keepdim": "You keep the summed dimensions. The weight has the shape (d,): leave "
                "`keepdim` out.",
                "by:x": "You multiply by x as it came in. The weight multiplies the *normalised* vector, "
                "so that is its derivative.",
                "by:one": "You sum the incoming gradient alone: that is the gradient of a bias, which is "
                "added. The weight is multiplied; what with?",
                "by:square": "You multiply by the normalised vector twice. y = w x̂, so the derivative by "
                "w is x̂, once.",
                "by:root": "You multiply by 1 / rms. The derivative of w x̂ by w is x̂ itself, x / rms.",
                "grad": "The incoming gradient is missing: multiply x̂ by `grad`, by the chain rule.",
                "root": "You divide x by the mean square: the square root is missing.",
                "mean:sum": "You normalise by the root of the *sum* of squares. It is the mean of the "
                "squares.",
                "mean:var": "You normalise by the standard deviation. Nothing is subtracted in RMSNorm, "
                "not in its root either.",
                "mean:unbiased var": "You normalise by PyTorch's `var` or `std`, which takes the mean "
                "away and divides by d − 1. The mean of the squares does neither.",
                "eps:none": "The argument `eps` is missing under the root.",
                "eps:outside": "You add `eps` to the root. It belongs under the root, to the mean square.",
                "sign": "The sign is wrong: y = w x̂ grows with w where x̂ is positive.",
            }
        ),
    ),
    Exercise(
        name="centre_outputs",
        points=2,
        reference=lambda weight, bias: (weight - weight.mean(dim=0), bias - bias.mean()),
        edge_cases=_linear_cases,
        inputs=_linear_inputs,
        hints=(
            "Write the mean of y out: (1/d_out) Σ_i (Σ_j A_ij x_j + c_i). What multiplies x_1? What "
            "multiplies nothing?",
            "x_j is multiplied by the mean of *column* j of A. So each entry of column j must lose that "
            "mean, and each entry of c the mean of c.",
            "`weight - weight.mean(dim=0)` and `bias - bias.mean()`.",
        ),
        variant=_centre_outputs,
        slips=named(
            {
                "weight:rows": "You subtract the mean of each row of the weight. A row makes one output; "
                "the mean of the *outputs* runs over the rows: each column loses its own mean.",
                "weight:one": "You subtract one number from the whole matrix. Then the outputs have mean "
                "zero only if all columns have the same mean; each column needs its own.",
                "weight:kept": "The weight is returned as it was. It gives outputs whose mean is not zero "
                "either.",
                "weight:sum": "You subtract the sum of each column of the weight. Subtract its mean.",
                "weight:median": "You subtract the median of each column of the weight. Subtract its mean.",
                "weight:first": "You subtract the first row of the weight. Subtract the mean of the rows.",
                "bias:kept": "The bias is returned as it was. It is added to the outputs, and has a mean "
                "of its own.",
                "bias:sum": "You subtract the sum of the bias. Subtract its mean.",
                "bias:median": "You subtract the median of the bias. Subtract its mean.",
                "bias:0": "You set the bias to 0. Only its mean has to go: the outputs still differ by it.",
                "bias:of weight": "You subtract the mean of the weight from the bias. The bias has a mean "
                "of its own.",
                "bias:both": "You subtract the mean of the weight from the bias as well. What the weight "
                "brings depends on x; in the bias only the mean of the bias has to go.",
                "added": "You add the means. They have to be subtracted.",
                "scaled": "You also divide by a standard deviation. Only the mean is to be taken away; "
                "the norm rescales.",
                "turned": "The new weight is transposed: its shape is (d_out, d_in), as before.",
                "order": "The right two, in the wrong order: return the weight first, and then the bias.",
            }
        ),
        misconceptions={
            lambda weight, bias: (
                weight.mean(dim=0),
                bias.mean(),
            ): "You return the means. Return the weight and the bias less their means.",
            lambda weight, bias: (
                weight - weight.mean(dim=0)
            ): "You return the weight alone. Return the new weight *and* the new bias.",
        },
    ),
)
