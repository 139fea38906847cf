"""A matrix in 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.model.quantization import quantize_rows


def _weights(rng: np.random.Generator, n_rows: int, n_columns: int) -> Inputs:
    """Draw rows of very different size, the largest number of each negative or positive."""
    sizes = np.exp(rng.uniform(-3, 2, (n_rows, 1)))
    return (torch.from_numpy(sizes * rng.standard_normal((n_rows, n_columns))).float(),)


def _drawn_weights(rng: np.random.Generator) -> Inputs:
    return _weights(rng, int(rng.integers(3, 6)), int(rng.integers(7, 12)))


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(16)
    return {
        "a single row": _weights(rng, 1, 6),
        "as many rows as columns": _weights(rng, 5, 5),
        "a row of zeros": (torch.tensor([[1.0, -3.0, 0.7], [0.0, 0.0, 0.0]]),),
        "a row whose largest number in size is negative": (
            torch.tensor([[0.3, -2.0, 1.1], [0.2, 0.5, -4.0]]),
        ),
        "a row of very small numbers": (torch.tensor([[1.0, -3.0, 0.7], [6e-8, -2e-7, 1.5e-7]]),),
        "negative numbers only": (torch.tensor([[-0.3, -2.0, -1.1], [-0.2, -0.5, -0.1]]),),
    }


def _used(answer: Callable[..., Any], weight: Tensor) -> Any:
    """Return what an answer gives, and how many bytes each multiple takes."""
    returned = answer(weight)
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        return returned
    multiples, steps = returned
    size = multiples.element_size() if isinstance(multiples, Tensor) else None
    return {"multiples": multiples, "steps": steps, "bytes per multiple": size}


Largest = Callable[[Tensor], Tensor]


def _quantised_with(
    largest: Largest = lambda weight: weight.abs().amax(dim=1),
    levels: float = 127,
    rounded: Callable[[Tensor], Tensor] = torch.round,
    typed: Callable[[Tensor], Tensor] = lambda multiples: multiples.to(torch.int8),
    given: Callable[..., Any] = lambda multiples, steps, weight: (multiples, steps),
) -> Callable[[Tensor], Any]:
    """Return wrong rounding: which number has the largest multiple, how many there are, how it is rounded and kept."""

    def wrong_rounding(weight: Tensor) -> Any:
        steps = largest(weight) / levels
        multiples = rounded(weight / steps.clamp(min=1e-30)[:, None])
        return given(typed(multiples.clamp(-(2**31), 2**31 - 1)), steps, weight)

    return wrong_rounding


def _quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    return quantize_rows(weight)


QUANTISED = Exercise(
    name="quantised",
    points=2,
    reference=_quantised,
    use=_used,
    inputs=_drawn_weights,
    edge_cases=_edges,
    atol=0.0,
    hints=(
        "The largest number of a row in size must become 127 steps, or −127. How long is a step then?",
        "Divide each row by its own step, and round to the nearest whole number. What happens in a row of zeros, and "
        "what does `.to(torch.int8)` do with a fraction?",
        "`steps = weight.abs().amax(dim=1) / 127`; `(weight / steps.clamp(min=1e-30)[:, "
        "None]).round().to(torch.int8)`.",
    ),
    misconceptions={
        lambda weight: (
            weight.to(torch.int8),
            torch.ones(len(weight)),
        ): "You turn the weights themselves into whole numbers, and nearly all become 0. Divide by the step first.",
    },
    variant=variant(_quantised_with),
    slips={
        (
            "largest",
            lambda weight: weight.abs().max().expand(len(weight)),
        ): "You use one step for the whole matrix: the row with the largest number decides it, and small rows are left "
        "with a few levels. Each row has a step of its own.",
        (
            "largest",
            lambda weight: weight.amax(dim=1).abs(),
        ): "You take the largest number with its sign: where the largest in size is negative, the multiples go beyond "
        "−127. Take absolute values first.",
        (
            "largest",
            lambda weight: weight.amax(dim=1) - weight.amin(dim=1),
        ): "You divide the whole range, from the smallest to the largest number, by 127. The multiples lie on both "
        "sides of 0: it is the largest number *in size* that has 127 steps.",
        (
            "largest",
            lambda weight: weight.abs().mean(dim=1),
        ): "You take the mean size of a row. The largest is to be 127 steps, or larger numbers do not fit.",
        (
            "levels",
            128,
        ): "You divide by 128. An int8 goes from −128 to 127: the largest number would be 128, which does "
        "not fit.",
        ("levels", 255): "You divide by 255, the number of steps on both sides together. One side has 127.",
        ("levels", 256): "You divide by 256, the number of values of a byte. One side has 127 steps.",
        (
            "rounded",
            torch.trunc,
        ): "You cut the fraction off (`.to(torch.int8)` does so), and errors reach a whole step. Round to the nearest "
        "whole number first.",
        (
            "rounded",
            torch.floor,
        ): "You round down, and errors reach a whole step. Round to the nearest whole number.",
        (
            "typed",
            lambda multiples: multiples,
        ): "Your multiples are whole numbers, but take 4 bytes each, as many as the weights did. `.to(torch.int8)` "
        "makes one byte of each, which is the purpose.",
        (
            "typed",
            lambda multiples: multiples.long(),
        ): "Your multiples take 8 bytes each, more than the weights did. `torch.int8` takes one.",
        (
            "given",
            lambda multiples, steps, weight: (multiples * steps[:, None], steps),
        ): "You multiply by the step again, and return the rounded matrix in floats. Return the multiples.",
        (
            "given",
            lambda multiples, steps, weight: (multiples, steps[:, None]),
        ): "Your steps have a dimension too many: one number per row, `(rows,)`.",
        (
            "given",
            lambda multiples, steps, weight: (multiples, 1 / steps.clamp(min=1e-30)),
        ): "You return 1 / step. What multiplies the whole numbers is the step.",
        (
            "given",
            lambda multiples, steps, weight: (steps, multiples),
        ): "Multiples and steps are exchanged: first the multiples.",
        (
            "given",
            lambda multiples, steps, weight: multiples,
        ): "You return the multiples alone. Without the steps nobody knows what they stand for: return both.",
    },
)
