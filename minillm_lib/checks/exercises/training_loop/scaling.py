"""Loss scaling: what becomes of scaled gradients in half precision, and of the scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant


def _gradients(rng: np.random.Generator, spoilt: float | None = None) -> list[Tensor]:
    """Draw gradients in float16 that are small once they are no longer scaled; one number may be spoilt."""
    made = [
        torch.from_numpy(10.0 ** rng.uniform(-5, 1, shape) * rng.choice([-1, 1], shape)).half()
        for shape in ((2, 3), (4,), (3, 2))
    ]
    if spoilt is not None:
        made[int(rng.integers(3))].view(-1)[1] = spoilt
    return made


def _spoilt_first(rng: np.random.Generator) -> list[Tensor]:
    made = _gradients(rng)
    made[0][0, 0] = torch.inf
    return made


def _inputs(rng: np.random.Generator) -> Inputs:
    spoilt = None if rng.random() < 0.6 else float(rng.choice([np.inf, -np.inf, np.nan]))
    good, patience = int(rng.integers(0, 6)), int(rng.integers(6, 9))
    return _gradients(rng, spoilt), float(2.0 ** rng.integers(9, 16)), good, patience


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(14)
    return {
        "an infinite gradient": (_gradients(rng, np.inf), 2.0**15, 3, 8),
        "an infinite number in the first gradient": (_spoilt_first(rng), 2.0**11, 2, 8),
        "an infinite gradient with a minus": (_gradients(rng, -np.inf), 2.0**14, 0, 8),
        "a gradient that is not a number": (_gradients(rng, np.nan), 2.0**12, 7, 8),
        "the step that makes the scale grow": (_gradients(rng), 2.0**10, 4, 5),
        "the step before the one that makes the scale grow": (_gradients(rng), 2.0**10, 3, 5),
        "a scale that grows after every step": (_gradients(rng), 2.0**10, 0, 1),
        "an infinite gradient where the scale was about to grow": (_gradients(rng, np.inf), 2.0**13, 4, 5),
        "a gradient that would be 0 in float16": ([torch.tensor([6e-8, 3e-7]).half()], 2.0**14, 1, 9),
        "finite numbers whose sum is infinite in float16": ([torch.tensor([6e4, 6e4]).half()], 2.0**9, 2, 9),
    }


def _all_finite(gradients: Sequence[Tensor]) -> bool:
    return all(bool(torch.isfinite(each).all()) for each in gradients)


def _usual(scale: float, good: int, patience: int) -> tuple[float, int]:
    return (2 * scale, 0) if good + 1 >= patience else (scale, good + 1)


def _unscale_with(
    unscaled: Callable[[Tensor, float], Tensor] = lambda gradient, scale: gradient.float() / scale,
    is_good: Callable[[Sequence[Tensor]], bool] = _all_finite,
    skipped: Callable[[list[Tensor]], Any] = lambda gradients: None,
    after_bad: Callable[[float, int], tuple[float, int]] = lambda scale, good: (scale / 2, 0),
    after_good: Callable[[float, int, int], tuple[float, int]] = _usual,
) -> Callable[..., Any]:
    """Return a wrong handling of scaled gradients that differs by the given options."""

    def wrong_handling(gradients: list[Tensor], scale: float, good_steps: int, patience: int) -> Any:
        found = [unscaled(each, scale) for each in gradients]
        if not is_good(gradients):
            return (skipped(found), *after_bad(scale, good_steps))
        return (found, *after_good(scale, good_steps, patience))

    return wrong_handling


UNSCALED_GRADIENTS = Exercise(
    name="unscaled_gradients",
    points=2,
    reference=_unscale_with(),
    inputs=_inputs,
    edge_cases=_edges,
    cases=8,
    rtol=1e-5,
    atol=0.0,
    hints=(
        "Two cases: all numbers of all gradients are finite, or one of them is not. What becomes of the gradients, the "
        "scale and the count in each?",
        "`torch.isfinite` is false for infinities and for NaN. Divide in float32, as the result may be too small for "
        "float16. A bad step halves the scale and begins the count again; so does a doubling.",
        "In a good step: `[each.float() / scale for each in gradients]`; the count is `good_steps + 1`, and if that "
        "reaches `patience`, the scale is doubled and the count is 0.",
    ),
    misconceptions={
        lambda gradients, scale, good_steps, patience: (
            [each.float() / scale for each in gradients]
        ): "You return the gradients alone. Return three things: gradients, scale, count.",
        lambda *inputs: _unscale_with()(*inputs)[
            0
        ]: "You return the gradients alone, or None. Return three things: gradients, scale, count.",
    },
    variant=variant(_unscale_with),
    slips={
        (
            "unscaled",
            lambda gradient, scale: (gradient / scale).float(),
        ): "You divide in float16, and small gradients become 0 after all. First `.float()`, then divide.",
        (
            "unscaled",
            lambda gradient, scale: gradient.float() * scale,
        ): "You multiply by the scale. The loss was multiplied by it, so the gradients are divided.",
        (
            "unscaled",
            lambda gradient, scale: gradient.float(),
        ): "The gradients are still scaled: divide by the scale.",
        (
            "is_good",
            lambda gradients: not any(bool(torch.isinf(each).any()) for each in gradients),
        ): "You look for infinities only. NaN, which comes of infinity minus infinity, spoils a step as well: "
        "`torch.isfinite`.",
        (
            "is_good",
            lambda gradients: not any(bool(torch.isnan(each).any()) for each in gradients),
        ): "You look for NaN only. What does not fit into float16 becomes infinite: `torch.isfinite`.",
        (
            "is_good",
            lambda gradients: _all_finite(gradients[:1]),
        ): "You look at the first gradient only. Each of them may have an infinite number.",
        (
            "is_good",
            lambda gradients: all(bool(torch.isfinite(each.sum())) for each in gradients),
        ): "You look at a sum, or at a length. In float16 it can be infinite although all numbers are finite, and a "
        "good step is skipped: look at each number.",
        (
            "is_good",
            lambda gradients: True,
        ): "You never look whether all gradients are finite: a single infinite one would spoil all weights.",
        (
            "skipped",
            lambda gradients: [torch.nan_to_num(each, 0.0, 0.0, 0.0) for each in gradients],
        ): "You put 0 in the place of what is not finite. The whole step is skipped: return None for the gradients.",
        (
            "skipped",
            lambda gradients: gradients,
        ): "You return the spoilt gradients. The step is skipped: return None in their place.",
        (
            "after_bad",
            lambda scale, good: (scale, 0),
        ): "After a bad step the scale stays as it was, and the next step is spoilt, too. Halve it.",
        (
            "after_bad",
            lambda scale, good: (2 * scale, 0),
        ): "After a bad step you double the scale. The gradients were too large: halve it.",
        (
            "after_bad",
            lambda scale, good: (scale / 2, good),
        ): "After a bad step the count goes on. It counts good steps in a row: begin again at 0.",
        (
            "after_bad",
            lambda scale, good: (scale / 2, good + 1),
        ): "You count a bad step as a good one. Begin again at 0.",
        (
            "after_good",
            lambda scale, good, patience: (
                (2 * scale, good + 1) if good + 1 >= patience else (scale, good + 1)
            ),
        ): "After a doubling the count goes on, so that the scale doubles in every step from now on. Begin again at 0.",
        (  # the states in which the two differ do not come up
            "after_good",
            lambda scale, good, patience: (scale, good + 1),
        ): "The scale does not grow, or grows one step late: this step is a good one, too, and counts, and after "
        "`patience` good steps in a row the scale is doubled.",
        (
            "after_good",
            lambda scale, good, patience: (2 * scale, 0),
        ): "The scale is doubled after every good step. It is doubled after `patience` of them in a row.",
    },
)
