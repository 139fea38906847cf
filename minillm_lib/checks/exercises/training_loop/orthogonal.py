"""A matrix made orthogonal by products alone: the Newton–Schulz iteration of Muon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant


def _matrix(rng: np.random.Generator, rows: int, columns: int, size: float = 1.0) -> Tensor:
    return size * torch.from_numpy(rng.standard_normal((rows, columns))).float()


def _inputs(rng: np.random.Generator) -> Inputs:
    rows, columns = (int(each) for each in rng.permutation([3, 5]))
    a, b, c = rng.uniform(1.5, 2.5), rng.uniform(-2.0, -1.0), rng.uniform(0.3, 0.8)
    size = float(10 ** rng.uniform(-2, 2))
    return _matrix(rng, rows, columns, size), int(rng.integers(2, 5)), float(a), float(b), float(c)


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(13)
    muon = (3.4445, -4.7750, 2.0315)
    return {
        "the coefficients of Muon": (_matrix(rng, 4, 6, 30.0), 5, *muon),
        "a square matrix": (_matrix(rng, 4, 4), 3, 1.5, -0.5, 0.0),
        "a tall matrix": (_matrix(rng, 6, 2), 3, *muon),
        "a matrix of small numbers": (_matrix(rng, 3, 4, 3e-3), 4, *muon),
        "a single iteration": (_matrix(rng, 3, 4), 1, 2.0, -1.5, 0.5),
        "a matrix of one row": (_matrix(rng, 1, 5, 7.0), 4, 1.5, -0.5, 0.0),
    }


def _longest(matrix: Tensor) -> Tensor:
    return matrix.norm()


def _times_gram(x: Tensor, b: float, c: float) -> Tensor:
    gram = x @ x.mT
    return (b * gram + c * gram @ gram) @ x


def _newton_schulz_with(
    size: Callable[[Tensor], Any] = _longest,
    more: int = 0,
    step: Callable[[Tensor, float, float], Tensor] = _times_gram,
    order: Callable[[float, float, float], tuple[float, float, float]] = lambda a, b, c: (a, b, c),
    each_time: Callable[[Tensor], Tensor] = lambda x: x,
    finished: Callable[[Tensor, Tensor], Tensor] = lambda x, matrix: x,
) -> Callable[..., Tensor]:
    """Return a wrong iteration that differs by the given options."""

    def wrong_iteration(matrix: Tensor, n_iterations: int, a: float, b: float, c: float) -> Tensor:
        first, second, third = order(a, b, c)
        x = matrix / size(matrix)
        for _ in range(n_iterations + more):
            x = each_time(first * x + step(x, second, third))
        return finished(x, matrix)

    return wrong_iteration


def _by_number(x: Tensor, b: float, c: float) -> Tensor:
    return b * x**3 + c * x**5


def _squared_by_number(x: Tensor, b: float, c: float) -> Tensor:
    gram = x @ x.mT
    return (b * gram + c * gram**2) @ x


def _unused(x: Tensor, b: float, c: float) -> Tensor:
    return b * x + c * x


def _always_from_the_start(matrix: Tensor, n_iterations: int, a: float, b: float, c: float) -> Tensor:
    return _newton_schulz_with()(matrix, 1, a, b, c)


def _exact(matrix: Tensor, n_iterations: int, a: float, b: float, c: float) -> Tensor:
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    return u @ v


def _first_gram_kept(matrix: Tensor, n_iterations: int, a: float, b: float, c: float) -> Tensor:
    x = matrix / matrix.norm()
    gram = x @ x.mT
    for _ in range(n_iterations):
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


NEWTON_SCHULZ = Exercise(
    name="newton_schulz",
    points=3,
    reference=_newton_schulz_with(),
    inputs=_inputs,
    edge_cases=_edges,
    rtol=1e-3,
    atol=1e-4,
    hints=(
        "First bring all singular values below 1: their squares sum to the sum of the squares of all numbers. Which "
        "power of a singular value does the product X Xᵀ X have?",
        "The length is `matrix.norm()`. In each turn compute `gram = x @ x.mT` anew; its square is `gram @ gram`, a "
        "product of matrices. Each term of (8) ends with X.",
        "`x = matrix / matrix.norm()`, and then n_iterations times `x = a * x + (b * gram + c * gram @ gram) @ x`.",
    ),
    misconceptions={
        _exact: "This is the exact answer, U Vᵀ, by a singular value decomposition. It is far slower on a GPU: here "
        "products alone are wanted, and the result is only near it.",
        _always_from_the_start: "Only the first turn counts: each turn must go on from the x of the one before.",
        _first_gram_kept: "You compute X Xᵀ once. X changes, so compute it anew in each turn.",
    },
    variant=variant(_newton_schulz_with),
    slips={
        (
            "size",
            lambda matrix: 1.0,
        ): "The matrix is not divided by its length first. With singular values far above 1 the powers explode, and "
        "with tiny ones nothing happens.",
        (
            "size",
            lambda matrix: matrix.abs().max(),
        ): "You divide by the largest number of the matrix. A singular value can still be far above 1: divide by the "
        "length of the whole matrix, `matrix.norm()`.",
        (
            "size",
            lambda matrix: matrix.norm(dim=1, keepdim=True),
        ): "You divide each row by its own length. That changes the directions: divide the whole matrix by one number.",
        (
            "size",
            lambda matrix: matrix.norm() ** 2,
        ): "You divide by the square of the length: the root is missing.",
        (
            "size",
            lambda matrix: torch.linalg.matrix_norm(matrix, 2),
        ): "You divide by the largest singular value. That would be better still, but needs a decomposition: take the "
        "length of the whole matrix, `matrix.norm()`.",
        ("more", 1): "You take a turn too many.",
        ("more", -1): "You take a turn too few.",
        (
            "step",
            _by_number,
        ): "You raise each *number* to the third and fifth power. It is singular values that are meant: the third "
        "power is the product X Xᵀ X.",
        (
            "step",
            _squared_by_number,
        ): "You square X Xᵀ number by number. The fifth power needs the product of matrices, `gram @ gram`.",
        (
            "step",
            _unused,
        ): "All three terms are multiples of X: X Xᵀ is missing in two of them.",
        (
            "order",
            lambda a, b, c: (a, c, b),
        ): "The coefficients b and c are exchanged: b belongs to the third power, c to the fifth.",
        (
            "order",
            lambda a, b, c: (1.0, b, c),
        ): "The first term is X itself. It is multiplied by a.",
        (
            "order",
            lambda a, b, c: (a, b, 0.0),
        ): "The fifth power is missing.",
        (
            "order",
            lambda a, b, c: (a, 0.0, c),
        ): "The third power is missing.",
        (
            "each_time",
            lambda x: x / x.norm(),
        ): "You divide by the length in each turn. That undoes what the turn has done: divide once, at the beginning.",
        (
            "finished",
            lambda x, matrix: x * matrix.norm(),
        ): "You multiply by the length again. The result is to forget how long the matrix was.",
        (
            "finished",
            lambda x, matrix: x @ x.mT,
        ): "You return X Xᵀ. Return X, in the shape of the matrix.",
    },
)
