"""One step of stochastic gradient descent, on tensors of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.counts_to_gradients.drawing import normal
from minillm_lib.checks.exercises.slip_names import made, named

Step = Callable[[list[Tensor], Tensor, float], Any]


def _problem(rng: np.random.Generator) -> Inputs:
    """Draw a linear regression: the parameters to start from, its data, and a learning rate."""
    n = int(rng.integers(5, 8))
    return (
        normal(rng, 3, 2),
        normal(rng, 2),
        normal(rng, n, 3),
        normal(rng, n, 2),
        float(rng.uniform(0.1, 0.3)),
    )


def _problem_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(65)
    return {
        "a learning rate of 0": (
            normal(rng, 3, 2),
            normal(rng, 2),
            normal(rng, 4, 3),
            normal(rng, 4, 2),
            0.0,
        ),
        "a learning rate of 1": (
            normal(rng, 1, 1),
            normal(rng, 1),
            normal(rng, 2, 1),
            normal(rng, 2, 1),
            1.0,
        ),
    }


def _two_steps(
    sgd_step: Step, weight: Tensor, bias: Tensor, x: Tensor, y: Tensor, learning_rate: float
) -> Any:
    """Fit a line in two steps, and return the parameters after each."""
    parameters = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    after = []
    for _ in range(2):
        loss = (x @ parameters[0] + parameters[1] - y).square().mean()
        sgd_step(list(parameters), loss, learning_rate)
        after.append([parameter.detach().clone() for parameter in parameters])
    return after


def _sgd_step(parameters: list[Tensor], loss: Tensor, learning_rate: float) -> None:
    loss.backward()
    with torch.no_grad():
        for parameter in parameters:
            assert parameter.grad is not None
            parameter -= learning_rate * parameter.grad
            parameter.grad = None


def _step(parameters: list[Tensor], loss: Tensor, learning_rate: float, /, **slips: Any) -> None:
    has = made(slips)
    loss.backward()
    with torch.no_grad():
        for parameter in (
            parameters[:1] if has("only:first") else parameters[-1:] if has("only:last") else parameters
        ):
            gradient = parameter.grad
            assert gradient is not None
            if has("direction:sign"):
                gradient = gradient.sign()
            if has("direction:unit"):
                gradient = gradient / gradient.norm()
            if has("direction:mean"):
                gradient = gradient / len(gradient)
            if has("direction:loss"):
                gradient = gradient * loss.detach()
            rate = 1.0 if has("rate:none") else 1 - learning_rate if has("rate:less") else learning_rate
            if has("rate:divided"):
                rate = 1 / learning_rate if learning_rate else 0.0
            if has("decayed"):
                parameter.mul_(1 - learning_rate)
            if has("moved:up"):
                parameter.add_(gradient, alpha=rate)
            elif has("moved:set"):
                parameter.copy_(-rate * gradient)
            elif has("moved:twice"):
                parameter.sub_(gradient, alpha=2 * rate)
            elif not has("moved:not"):
                parameter.sub_(gradient, alpha=rate)
            if not has("kept"):
                parameter.grad = None


def _recorded(parameters: list[Tensor], loss: Tensor, learning_rate: float) -> None:
    loss.backward()
    for parameter in parameters:
        assert parameter.grad is not None
        parameter -= learning_rate * parameter.grad


def _cleared_too_early(parameters: list[Tensor], loss: Tensor, learning_rate: float) -> None:
    loss.backward()
    with torch.no_grad():
        for parameter in parameters:
            parameter.grad = None
            parameter -= learning_rate * parameter.grad  # type: ignore[operator]


SGD_STEP = Exercise(
    name="sgd_step",
    points=2,
    reference=_sgd_step,
    use=_two_steps,
    use_in_submission=True,
    inputs=_problem,
    edge_cases=_problem_edges,
    hints=(
        "Four things: let PyTorch compute the gradients; stop its recording; change each parameter; leave no gradient "
        "behind for the next step.",
        "`loss.backward()` fills `parameter.grad`. Inside `with torch.no_grad():` subtract the learning rate times "
        "that from each parameter, with `-=`, so that the tensor itself changes.",
        "After `loss.backward()`: `with torch.no_grad():`, a loop over the parameters, in it "
        "`parameter -= learning_rate * parameter.grad` and then `parameter.grad = None`.",
    ),
    variant=_step,
    slips=named(
        {
            "kept": "The first step is right, but not the second: its gradient is added to that of the first. Empty "
            "each `grad` in every step.",
            "moved:up": "You go up: the gradient points to where the loss *rises*. Subtract it.",
            "moved:set": "You put the step in place of the parameter. The step is *added* to where the parameter is.",
            "moved:twice": "Each step is twice as long as it should be: is the subtraction there twice?",
            "moved:not": "The parameters do not change. `parameter = parameter - …` makes a new tensor with that name "
            "and leaves the old one as it is: change it in place, with `-=`.",
            "rate:none": "The learning rate is missing: multiply the gradient by it.",
            "rate:less": "You multiply by 1 minus the learning rate. Multiply the gradient by the learning rate.",
            "rate:divided": "You divide by the learning rate. Multiply the gradient by it.",
            "direction:sign": "You take only the signs of the gradient. Equation (4) takes the gradient itself.",
            "direction:unit": "You divide the gradient by its length. Equation (4) takes it as it is: near the minimum "
            "the steps become shorter by themselves.",
            "direction:mean": "You divide the gradient by the number of its rows. The loss is a mean already: nothing "
            "is to be divided.",
            "direction:loss": "You multiply the gradient by the loss. Multiply it by the learning rate alone.",
            "only:first": "Only the first parameter changes: is there a `return` or `break` in the loop?",
            "only:last": "Only the last parameter changes. Each of the parameters takes a step.",
            "decayed": "You shrink the parameters as well. Equation (4) only subtracts the step.",
        }
    ),
    misconceptions={
        _recorded: "PyTorch refuses to change a parameter while it records. Do it inside `with torch.no_grad():`.",
        _cleared_too_early: "The gradient is gone before it is used: empty `grad` after the step, not before it; and "
        "`backward()` has to come before both.",
    },
)
