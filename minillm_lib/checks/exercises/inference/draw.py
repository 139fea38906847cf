"""One token drawn by one uniform number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant


def _distributions_and_numbers(rng: np.random.Generator) -> Inputs:
    probabilities = rng.dirichlet(np.full(9, 0.7), size=6)
    probabilities[:3, rng.integers(9)] = 0  # as after a cut
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return torch.from_numpy(probabilities).float(), torch.from_numpy(rng.random(6))


def _edges() -> dict[str, Inputs]:
    quarters = torch.tensor([[0.25, 0.5, 0.25]])  # sums of these are exact in floating point
    cut = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]])
    return {
        "a batch of one text": (torch.tensor([[0.2, 0.1, 0.7]]), torch.tensor([0.6], dtype=torch.float64)),
        "u = 0": (quarters, torch.tensor([0.0], dtype=torch.float64)),
        "u = 0, where the first token was cut off": (cut, torch.tensor([0.0], dtype=torch.float64)),
        "u on the border of two tokens": (quarters, torch.tensor([0.75], dtype=torch.float64)),
        "u on a border, where the token between two others was cut off": (
            cut,
            torch.tensor([0.5], dtype=torch.float64),
        ),
        "u close to 1, where the last token was cut off": (
            cut,
            torch.tensor([1 - 1e-9], dtype=torch.float64),
        ),
        "probabilities that rounding leaves a little below 1 together": (
            torch.tensor([[0.3, 0.2999999, 0.4]]),
            torch.tensor([1 - 1e-9], dtype=torch.float64),
        ),
        "u close to a border, in a large vocabulary": _between_sums(),
        "as many texts as tokens": (
            torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25], [0.3, 0.3, 0.4]]),
            torch.tensor([0.5, 0.9, 0.2], dtype=torch.float64),
        ),
    }


def _between_sums() -> Inputs:
    """Return a vocabulary whose sums are exact in float64 only, and numbers between these and the rounded ones."""
    units = np.full(1000, 2**33 // 1000)
    units[-1] += 2**33 - units.sum()  # together exactly 1
    probabilities = units / 2**33
    ends = np.cumsum(probabilities)
    wrong = ends.astype(np.float32) - ends
    chosen = np.argsort(wrong)[[0, 1, -2, -1]]
    u = ends[chosen] + wrong[chosen] / 2
    return torch.from_numpy(probabilities).float().repeat(4, 1), torch.from_numpy(u)


def _by_search(ends: Tensor, u: Tensor) -> Tensor:
    return torch.searchsorted(ends.contiguous(), u[:, None].to(ends.dtype).contiguous(), right=True)[:, 0]


def _ends(probabilities: Tensor) -> Tensor:
    sums = probabilities.double().cumsum(dim=-1)
    return sums / sums[:, -1:]


def _drawn_with(
    ends: Callable[[Tensor], Tensor] = _ends,
    found: Callable[[Tensor, Tensor], Tensor] = _by_search,
    given: Callable[[Tensor, Tensor], Any] = lambda tokens, probabilities: tokens,
) -> Callable[[Tensor, Tensor], Any]:
    """Return a wrong draw: where the pieces of the tokens end, on which of them u falls, and what is returned."""

    def wrong_draw(probabilities: Tensor, u: Tensor) -> Any:
        return given(found(ends(probabilities), u), probabilities)

    return wrong_draw


def _drawn(probabilities: Tensor, u: Tensor) -> Tensor:
    tokens: Tensor = _drawn_with()(probabilities, u)
    return tokens


def _first_that_reaches(ends: Tensor, u: Tensor) -> Tensor:
    return torch.searchsorted(ends.contiguous(), u[:, None].to(ends.dtype).contiguous())[:, 0]


DRAWN = Exercise(
    name="drawn",
    points=2,
    reference=_drawn,
    inputs=_distributions_and_numbers,
    edge_cases=_edges,
    hints=(
        "Where on the line does the piece of token i end? Which sum is that?",
        "The token is the first one whose piece ends *beyond* u. How many pieces end at u or before it?",
        "`ends = probabilities.double().cumsum(dim=-1)`, divided by `ends[:, -1:]`; the number of ends that are `<= u` "
        "is the token: `(ends <= u[:, None]).sum(dim=-1)`.",
    ),
    misconceptions={
        lambda probabilities, u: probabilities.argmax(
            dim=-1
        ): "You take the likeliest token: the result does not depend on u. Find the token on whose piece u falls.",
        lambda probabilities, u: (
            (probabilities - u[:, None]).abs().argmin(dim=-1)
        ): "You look for the probability that is nearest to u. Lay the probabilities end to end: it is the *sum* up to "
        "a token that is compared with u.",
        lambda probabilities, u: (
            (probabilities > u[:, None]).int().argmax(dim=-1)
        ): "You look for the first token whose probability is above u. Lay the probabilities end to end: it is the "
        "*sum* up to a token that is compared with u.",
        lambda probabilities, u: (
            u * probabilities.shape[-1]
        ).long(): "All tokens are equally likely in your draw. A token's piece of the line is as long as its "
        "probability.",
    },
    variant=variant(_drawn_with),
    slips={
        (
            "found",
            _first_that_reaches,
        ): "Where u is exactly on a border, you take the token before it, even if its piece has no length: with u = 0 "
        "a token that was cut off can be drawn. Take the first token whose piece ends *beyond* u.",
        (
            "found",
            lambda ends, u: _by_search(ends, u) - 1,
        ): "Your token is one too low: the number of pieces that end at u or before it *is* the token, as the first "
        "token has number 0.",
        (
            "found",
            lambda ends, u: _by_search(ends, u) + 1,
        ): "Your token is one too high: the first token has number 0.",
        (
            "found",
            lambda ends, u: _by_search(ends, 1 - u),
        ): "You draw with 1 − u. That is as good a draw, but another one: the pieces begin at 0.",
        (
            "found",
            lambda ends, u: _by_search(ends, u[:1].expand_as(u)),
        ): "You use the first number for all texts. Each text has a number of its own.",
        (
            "ends",
            lambda probabilities: probabilities.double().cumsum(dim=-1),
        ): "Right, but where rounding leaves the sum a little below 1, a large u falls beyond the last token, and the "
        "result is no token at all. Divide by the last sum, so that the line ends at 1.",
        (
            "ends",
            lambda probabilities: probabilities.cumsum(dim=-1) / probabilities.cumsum(dim=-1)[:, -1:],
        ): "You add up in single precision: in a large vocabulary the borders come to lie elsewhere. Add up "
        "`probabilities.double()`.",
        (
            "ends",
            lambda probabilities: probabilities.double().cumsum(dim=0),
        ): "You add up over the texts of the batch. Add up the tokens of each text, the last dimension.",
        (
            "ends",
            lambda probabilities: probabilities.double().softmax(dim=-1).cumsum(dim=-1),
        ): "You take a softmax of what are probabilities already.",
        (
            "ends",
            lambda probabilities: probabilities.double().sort(descending=True).values.cumsum(dim=-1),
        ): "You sort the probabilities first, so that your result is a place in the sorted list, not a token.",
        (
            "given",
            lambda tokens, probabilities: tokens[:, None],
        ): "The result has a dimension too many: one number per text, `(batch,)`.",
        (
            "given",
            lambda tokens, probabilities: probabilities.gather(-1, tokens[:, None])[:, 0],
        ): "You return the probabilities of the tokens. Return their numbers.",
    },
)
