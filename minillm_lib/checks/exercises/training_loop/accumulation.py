"""The gradient of a batch that is read in parts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.model.loss import linear_cross_entropy

Part = tuple[Tensor, Tensor]


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _parts(rng: np.random.Generator, sizes: Sequence[tuple[int, int]], vocab: int = 7, d: int = 4) -> Inputs:
    """Draw parts with these numbers of places, and of labels among them that do not count."""
    parts = []
    for n, n_ignored in sizes:
        labels = torch.from_numpy(rng.integers(0, vocab, n))
        labels[torch.from_numpy(rng.permutation(n)[:n_ignored])] = -100
        parts.append((2 * _tensor(rng, n, d), labels))
    return _tensor(rng, vocab, d).requires_grad_(), parts


def _unequal_parts(rng: np.random.Generator) -> Inputs:
    return _parts(rng, ((6, 4), (9, 1), (5, 2)))


def _part_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(11)
    return {
        "a single part": _parts(rng, ((5, 2),)),
        "two parts of unequal length, all of whose labels count": _parts(rng, ((2, 0), (7, 0)), vocab=3, d=5),
        "four parts, one of them with a single place": _parts(
            rng, ((1, 0), (4, 3), (6, 0), (3, 1)), vocab=5, d=2
        ),
    }


def _accumulated(weight: Tensor, parts: list[Part]) -> Tensor:
    """Return the gradient of the whole batch at once."""
    hidden, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    return torch.autograd.grad(linear_cross_entropy(hidden, weight, labels), weight)[0]


def _losses(weight: Tensor, parts: list[Part], reduction: str) -> list[Tensor]:
    return [
        cross_entropy(hidden @ weight.T, labels, ignore_index=-100, reduction=reduction)
        for hidden, labels in parts
    ]


def _gradient(weight: Tensor, loss: Tensor) -> Tensor:
    return torch.autograd.grad(loss, weight)[0]


def _counts(parts: list[Part]) -> list[int]:
    return [int((labels != -100).sum()) for _, labels in parts]


def _accumulated_with(
    reduction: str = "sum",
    weigh: Callable[[Part], float] = lambda part: 1.0,
    chosen: Callable[[list[Part]], list[Part]] = lambda parts: parts,
    divide_by: Callable[[list[Part], Tensor], float] = lambda parts, weight: sum(_counts(parts)),
    sign: float = 1.0,
    finished: Callable[[Tensor, Tensor, Tensor], Any] = lambda gradient, loss, weight: gradient,
) -> Callable[..., Any]:
    """Return a wrong gradient: what the parts are reduced to, which are added up, and what the sum is divided by."""

    def wrong_gradient(weight: Tensor, parts: list[Part]) -> Any:
        used = chosen(parts)
        losses = _losses(weight, used, reduction)
        total = sum(
            (weigh(part) * loss for part, loss in zip(used, losses, strict=True)), start=torch.zeros(())
        )
        loss = sign * total / divide_by(parts, weight)
        return finished(_gradient(weight, loss), loss.detach(), weight)

    return wrong_gradient


def _one(parts: list[Part], weight: Tensor) -> float:
    return 1


def _zero_counts(weight: Tensor, parts: list[Part]) -> Tensor:
    """Leave out the label 0 in place of -100, as ``ignore_index=0`` would."""
    kept = [(hidden[labels > 0], labels[labels > 0]) for hidden, labels in parts]
    return _accumulated_with()(weight, kept)


def _divided_on_the_way(weight: Tensor, parts: list[Part]) -> Tensor:
    """Divide each part by the number of labels counted up to it."""
    counted = itertools.accumulate(_counts(parts))
    losses = zip(_losses(weight, parts, "sum"), counted, strict=True)
    return _gradient(weight, torch.stack([loss / max(n, 1) for loss, n in losses]).sum())


ACCUMULATED_GRADIENT = Exercise(
    name="accumulated_gradient",
    points=2,
    reference=_accumulated,
    inputs=_unequal_parts,
    edge_cases=_part_edges,
    hints=(
        "What is the mean loss over all labels, written as a sum over the parts? By what is each part divided?",
        "Count the labels of all parts that are not −100 first. Then the *sum* of the losses of each part, divided by "
        'that number, gives gradients that simply add up: `reduction="sum"`.',
        "For each part add `torch.autograd.grad(loss / n_labels, weight)[0]` to a tensor of zeros. `[0]`, since "
        "`grad` returns a tuple.",
    ),
    misconceptions={
        _accumulated_with(
            reduction="mean", divide_by=lambda parts, weight: len(parts)
        ): "You take the mean of the parts' means. The parts have different numbers of labels, and those of a short "
        "part would count more: take sums, and divide by the number of all labels.",
        _accumulated_with(
            reduction="mean", divide_by=_one
        ): "You add up the parts' means. Each is a mean over its own labels only: take sums, and divide by the number "
        "of all labels.",
        _accumulated_with(
            reduction="mean",
            weigh=lambda part: len(part[1]),
            divide_by=lambda parts, weight: sum(len(labels) for _, labels in parts),
        ): "You weigh the parts' means by their lengths. A part's mean stands for its labels that *count*, those that "
        "are not −100: weigh it by their number.",
        _accumulated_with(
            reduction="mean", chosen=lambda parts: parts[-1:], divide_by=_one
        ): "You return the gradient of the last part's mean. The gradients of all parts are added up, each of a sum "
        "divided by the number of all labels; do not reset them in between.",
        _accumulated_with(
            reduction="mean", chosen=lambda parts: parts[:1], divide_by=_one
        ): "You return the gradient of the first part's mean: is the `return` inside the loop? All parts are added "
        "up.",
        _accumulated_with(
            reduction="sum", chosen=lambda parts: parts[-1:], divide_by=_one
        ): "You return the gradient of the last part's sum. The gradients of all parts are added up, and divided by "
        "the number of all labels.",
        _accumulated_with(
            weigh=lambda part: int((part[1] != -100).sum())
        ): "You multiply each part's loss by its number of labels. The sum over its labels is enough.",
        _accumulated_with(
            chosen=lambda parts: parts[:-1], divide_by=lambda parts, weight: max(1, sum(_counts(parts[:-1])))
        ): "The last part is left out, in the sum and in the number of labels.",
        _accumulated_with(
            chosen=lambda parts: parts[1:], divide_by=lambda parts, weight: max(1, sum(_counts(parts[1:])))
        ): "The first part is left out, in the sum and in the number of labels.",
        _divided_on_the_way: "You divide by a number of labels that is still being counted, so earlier parts weigh too "
        "much. Count the labels of all parts first.",
        _zero_counts: "You leave out the label 0 as well. Only −100 does not count: `ignore_index=-100`.",
    },
    variant=variant(_accumulated_with),
    slips={
        (
            "reduction",
            "mean",
        ): "You divide twice: a part's mean is divided by its own number of labels already. Take "
        'sums, `reduction="sum"`.',
        (
            "divide_by",
            _one,
        ): "You do not divide by the number of labels that count, those of all parts together.",
        (
            "divide_by",
            lambda parts, weight: sum(len(labels) for _, labels in parts),
        ): "You divide by the number of all positions. Those with the label -100 do not count.",
        (
            "divide_by",
            lambda parts, weight: len(parts),
        ): "You divide by the number of parts. Divide by the number of all labels that count.",
        (
            "divide_by",
            lambda parts, weight: _counts(parts)[-1],
        ): "You divide by the number of labels of the last part. Divide by that of all parts together.",
        (
            "divide_by",
            lambda parts, weight: _counts(parts)[0],
        ): "You divide by the number of labels of the first part. Divide by that of all parts together.",
        (
            "divide_by",
            lambda parts, weight: len(weight),
        ): "You divide by the size of the vocabulary. Divide by the number of all labels that count.",
        (
            "divide_by",
            lambda parts, weight: sum(_counts(parts)) * len(parts),
        ): "You divide by the number of parts as well. The number of all labels that count is enough.",
        (
            "chosen",
            lambda parts: parts[-1:],
        ): "You return what the last part gives. The gradients of all parts are added up; do not reset them in "
        "between.",
        (
            "chosen",
            lambda parts: parts[:1],
        ): "You return what the first part gives: is the `return` inside the loop? The gradients of all parts are "
        "added up.",
        ("chosen", lambda parts: parts[:-1]): "The last part's gradient is left out.",
        ("chosen", lambda parts: parts[1:]): "The first part's gradient is left out.",
        ("sign", -1.0): "The sign is wrong. The minus belongs to the optimiser's step, not to the gradient.",
        (
            "finished",
            lambda gradient, loss, weight: (gradient,),
        ): "You return a tuple with the gradient in it: `torch.autograd.grad` gives one for each input. Take `[0]`.",
        (
            "finished",
            lambda gradient, loss, weight: loss,
        ): "You return the loss. Return the gradient of `weight`: `torch.autograd.grad(loss, weight)[0]`.",
        (
            "finished",
            lambda gradient, loss, weight: gradient.T,
        ): "The gradient is transposed: it has the shape of `weight`, (vocab, d).",
        (
            "finished",
            lambda gradient, loss, weight: weight.detach() - gradient,
        ): "You return the weight after a step. Return the gradient alone.",
        (
            "finished",
            lambda gradient, loss, weight: gradient * 2,
        ): "The gradient is twice what it should be: is it computed twice, as by `backward()` in a second loop?",
    },
)
