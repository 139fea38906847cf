"""A whole step of training: the rate, the gradients of all parts, their length, and the step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Part = tuple[Tensor, Tensor]
_VOCAB, _SIZE, _STEPS = 6, 4, 3


class _Model(nn.Module):
    """A model of two matrices and a vector, with a loss like that of the library's models."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.embed = nn.Parameter(_tensor(rng, _VOCAB, _SIZE))
        self.matrix = nn.Parameter(_tensor(rng, _SIZE, _SIZE))
        self.gain = nn.Parameter(1 + 0.3 * _tensor(rng, _SIZE))

    def loss(self, ids: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
        hidden = torch.tanh(self.embed[ids] @ self.matrix) * self.gain
        logits = hidden @ self.embed.T
        return cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction=reduction)

    def __repr__(self) -> str:
        return "a model"


class _Schedule:
    """A learning rate that differs from step to step."""

    def __init__(self, peak: float) -> None:
        self._peak = peak

    def __call__(self, step: int) -> float:
        return self._peak * (1, 0.6, 0.3, 0.15, 0.1)[min(int(step), 4)]

    def __repr__(self) -> str:
        return "a schedule"


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def _parts(rng: np.random.Generator, counts: Sequence[tuple[int, int]]) -> list[Part]:
    """Draw parts of a batch: in each, this many sequences of five tokens, of which so many labels count."""
    parts = []
    for n, counted in counts:
        ids, labels = (torch.from_numpy(rng.integers(0, _VOCAB, (n, 5))) for _ in range(2))
        labels.view(-1)[torch.from_numpy(rng.permutation(5 * n)[counted:])] = -100
        parts.append((ids, labels))
    return parts


def _case(rng: np.random.Generator, counts: Sequence[tuple[int, int]], max_norm: float) -> Inputs:
    batches = [_parts(rng, counts) for _ in range(_STEPS)]
    return _Model(rng), batches, _Schedule(float(rng.uniform(0.2, 0.5))), max_norm


def _inputs(rng: np.random.Generator) -> Inputs:
    return _case(rng, ((2, 3), (3, 14), (2, 7)), float(rng.uniform(0.05, 0.2)))


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(12)
    return {
        "a batch of a single part": _case(rng, ((3, 9),), 0.1),
        "gradients shorter than the limit": _case(rng, ((2, 3), (2, 9)), 50.0),
        "parts with equally many labels": _case(rng, ((2, 6), (2, 6)), 0.1),
    }


def _used(
    answer: Callable[..., Any], model: _Model, batches: list[list[Part]], schedule: _Schedule, max_norm: float
) -> Any:
    """Take some steps with an answer, with two optimizers of which one has two groups."""
    model = copy.deepcopy(model)
    optimizers = [
        torch.optim.SGD([{"params": [model.embed]}, {"params": [model.gain]}], lr=9.0, momentum=0.5),
        torch.optim.SGD([model.matrix], lr=9.0),
    ]
    returned = []
    for step, parts in enumerate(batches):
        returned.append(answer(model, optimizers, parts, step, schedule, max_norm))
    weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    return {"returned": returned, "weights afterwards": weights}


def _count(parts: list[Part]) -> int:
    return sum(int((labels != -100).sum()) for _, labels in parts)


def _set_all(optimizers: list[Any], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate


def _set_first_group(optimizers: list[Any], rate: float) -> None:
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = rate


def _clip(model: nn.Module, max_norm: float) -> float:
    return float(nn.utils.clip_grad_norm_(model.parameters(), max_norm))


def _clip_values(model: nn.Module, max_norm: float) -> float:
    norm = _clip(model, torch.inf)
    nn.utils.clip_grad_value_(model.parameters(), max_norm)
    return norm


def _clip_each(model: nn.Module, max_norm: float) -> float:
    norm = _clip(model, torch.inf)
    for parameter in model.parameters():
        nn.utils.clip_grad_norm_([parameter], max_norm)
    return norm


def _norm_afterwards(model: nn.Module, max_norm: float) -> float:
    return min(_clip(model, max_norm), max_norm)


def _nothing(*_: Any) -> None:
    return None


def _step_with(
    reduction: str = "sum",
    divide_by: Callable[[list[Part]], float] = _count,
    chosen: Callable[[list[Part]], list[Part]] = lambda parts: parts,
    rate: Callable[[_Schedule, int], float] = lambda schedule, step: schedule(step),
    set_rate: Callable[[list[Any], float], None] = _set_all,
    clip: Callable[[nn.Module, float], float] = _clip,
    clipped_each: bool = False,
    stepped_each: bool = False,
    zeroed: str = "after the step",
    stepping: Callable[[list[Any]], list[Any]] = lambda optimizers: optimizers,
    late_rate: bool = False,
    given: Callable[[float, float, float], Any] = lambda loss, norm, last: (loss, norm),
) -> Callable[..., Any]:
    """Return a wrong step that differs by the given options."""

    def wrong_step(
        model: Any, optimizers: list[Any], parts: list[Part], step: int, schedule: Any, max_norm: float
    ) -> Any:
        if not late_rate:
            set_rate(optimizers, rate(schedule, step))
        total, norm, share = 0.0, 0.0, 0.0
        for ids, labels in chosen(parts):
            if zeroed == "between the parts":
                model.zero_grad()
            loss = model.loss(ids, labels, reduction=reduction) / divide_by(parts)
            loss.backward()
            share = loss.item()
            total += share
            if clipped_each:
                norm = clip(model, max_norm)
            if stepped_each:
                norm = clip(model, max_norm)
                for optimizer in optimizers:
                    optimizer.step()
                model.zero_grad()
        if not stepped_each:
            norm = norm if clipped_each else clip(model, max_norm)
            for optimizer in stepping(optimizers):
                optimizer.step()
        if late_rate:
            set_rate(optimizers, rate(schedule, step))
        if zeroed == "after the step":
            model.zero_grad()
        return given(total, norm, share)

    return wrong_step


TRAINING_STEP = Exercise(
    name="training_step",
    points=4,
    reference=_step_with(),
    use=_used,
    use_in_submission=True,
    inputs=_inputs,
    edge_cases=_edges,
    cases=3,
    hints=(
        "Five things, in this order: set the rate, add up the gradients of all parts, limit their length, take the "
        "step, empty the gradients. Which of them happen once per part, and which once per step?",
        'A part\'s share of the loss is `model.loss(ids, labels, reduction="sum")` divided by the number of labels of '
        "*all* parts. Its `backward()` adds to what is in `.grad`. `nn.utils.clip_grad_norm_` returns the length that "
        "it found.",
        'The rate belongs into `group["lr"]` of each `group` in `optimizer.param_groups`, of each optimizer. After the '
        "loop over the parts: `norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)`, then `step()` and "
        "`zero_grad()` of each optimizer. Return two numbers: use `.item()`.",
    ),
    misconceptions={
        _step_with(
            reduction="mean", divide_by=len
        ): "You take the mean of the parts' means. The parts have different numbers of labels: take sums, and divide "
        "them by the number of labels of all parts.",
        _step_with(
            reduction="mean", divide_by=lambda parts: 1
        ): "You add up the parts' means. Each is a mean over its own labels only: take sums, and divide them by the "
        "number of labels of all parts.",
        _step_with(
            set_rate=_nothing
        ): 'The learning rate is never set: each group of each optimizer has its own, `group["lr"]`.',
    },
    variant=variant(_step_with),
    slips={
        (
            "divide_by",
            lambda parts: 1,
        ): "The sums are not divided by the number of labels.",
        (
            "divide_by",
            lambda parts: sum(labels.numel() for _, labels in parts),
        ): "You divide by the number of all positions. Labels of −100 do not count.",
        (
            "divide_by",
            lambda parts: _count(parts[-1:]),
        ): "You divide by the number of labels of the last part. Divide by that of all parts together.",
        ("chosen", lambda parts: parts[-1:]): "Only the last part is used.",
        ("chosen", lambda parts: parts[:1]): "Only the first part is used.",
        (
            "rate",
            lambda schedule, step: schedule(step + 1),
        ): "You take the rate of the next step. Steps count from 0, and so does `schedule`.",
        (
            "rate",
            lambda schedule, step: schedule(0),
        ): "You take the rate of step 0 in all steps.",
        (
            "set_rate",
            _set_first_group,
        ): "You set the rate of the first group of each optimizer. An optimizer may have several groups.",
        (
            "set_rate",
            lambda optimizers, rate: _set_all(optimizers[:1], rate),
        ): "You set the rate of the first optimizer only.",
        (
            "late_rate",
            True,
        ): "You set the rate after the step, so that it comes one step late.",
        (
            "clip",
            lambda model, max_norm: _clip(model, torch.inf),
        ): "The gradient is not clipped.",
        (
            "clip",
            _clip_values,
        ): "You clip each number by itself. It is the length of the whole gradient that is limited, so that its "
        "direction stays.",
        (
            "clip",
            _clip_each,
        ): "You clip each parameter by itself. It is the length of *all* gradients taken together that is limited.",
        (
            "clip",
            _norm_afterwards,
        ): "You return the length after clipping. The one before it is what warns: `clip_grad_norm_` returns it.",
        (
            "clipped_each",
            True,
        ): "You clip after each part. Clip once, when the gradients of all parts have been added up.",
        (
            "stepped_each",
            True,
        ): "You take a step after each part. The gradients of all parts make one step.",
        (
            "zeroed",
            "never",
        ): "The gradients are never emptied: each step is made of those of all steps before, too.",
        (
            "zeroed",
            "between the parts",
        ): "You empty the gradients between the parts: only the last part is left of them. Empty them once per step.",
        (
            "stepping",
            lambda optimizers: optimizers[:1],
        ): "Only the first optimizer takes a step.",
        (
            "given",
            lambda loss, norm, last: (last, norm),
        ): "You return the last part's share of the loss. Add up the shares of all parts.",
        (
            "given",
            lambda loss, norm, last: (norm, loss),
        ): "Loss and length are exchanged: first the loss.",
        (
            "given",
            lambda loss, norm, last: (loss, torch.tensor(norm)),
        ): "The length is a tensor, as `clip_grad_norm_` returns it. Return numbers, not tensors: `.item()`.",
        (
            "given",
            lambda loss, norm, last: (torch.tensor(loss), torch.tensor(norm)),
        ): "Return numbers, not tensors: `.item()`. A tensor that is kept keeps its memory, too.",
        (
            "given",
            lambda loss, norm, last: loss,
        ): "You return the loss alone. Return two numbers: the loss, and the length of the gradient before clipping.",
        (
            "given",
            lambda loss, norm, last: norm,
        ): "You return the length alone. Return two numbers: the loss, and the length of the gradient before clipping.",
        (
            "given",
            lambda loss, norm, last: None,
        ): "You return nothing. Return two numbers: the loss, and the length of the gradient before clipping.",
    },
)
