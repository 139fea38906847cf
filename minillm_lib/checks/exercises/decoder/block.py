"""The forward pass of a block: pre-norm, with two ways around."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Part = Callable[[Tensor], Tensor]


def _tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


class _Scaled(nn.Module):
    """The norm that the check passes: it divides by the root mean square and multiplies by its own weight."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 0.1)

    def __repr__(self) -> str:
        return "a norm"


class _Mixed(nn.Module):
    """The attention or feed-forward layer that the check passes: a matrix and a nonlinearity."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight)

    def __repr__(self) -> str:
        return "a layer"


def _block(rng: np.random.Generator, batch: int, seq: int, size: int) -> Inputs:
    return (
        3 * _tensor(rng, batch, seq, size) + 0.5,
        _Scaled(_tensor(rng, size)),
        _Mixed(_tensor(rng, size, size)),
        _Scaled(_tensor(rng, size)),
        _Mixed(_tensor(rng, size, size)),
    )


def _block_inputs(rng: np.random.Generator) -> Inputs:
    return _block(rng, 2, 4, 6)


def _block_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(10)
    return {
        "a batch of one text": _block(rng, 1, 3, 4),
        "texts of one token": _block(rng, 2, 1, 6),
        "another size": _block(rng, 3, 5, 8),
    }


def _block_forward(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    x = x + attention(first_norm(x))
    return x + feed_forward(second_norm(x))


Reading = Callable[[Tensor, Tensor, Part, Part], Tensor]


def _block_with(
    first_reads: Callable[[Tensor, Part, Part], Tensor] = lambda x, first, second: first(x),
    first_kept: Callable[[Tensor, Part], Tensor] = lambda x, first: x,
    second_reads: Reading = lambda x, stream, first, second: second(stream),
    second_kept: Callable[[Tensor, Tensor, Part], Tensor] = lambda x, stream, second: stream,
    sign: float = 1.0,
    scale: float = 1.0,
    exchanged: bool = False,
    finished: Callable[[Tensor, Part, Part], Tensor] = lambda stream, first, second: stream,
) -> Callable[..., Tensor]:
    """Return a wrong block: what each part reads, what it is added to, and what is done besides."""

    def wrong_block(
        x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
    ) -> Tensor:
        one, other = (feed_forward, attention) if exchanged else (attention, feed_forward)
        stream = first_kept(x, first_norm) + sign * one(first_reads(x, first_norm, second_norm))
        read = second_reads(x, stream, first_norm, second_norm)
        stream = second_kept(x, stream, second_norm) + sign * other(read)
        return finished(scale * stream, first_norm, second_norm)

    return wrong_block


def _post_norm(x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part) -> Tensor:
    x = first_norm(x + attention(x))
    return second_norm(x + feed_forward(x))


def _norm_of_the_output(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    x = x + first_norm(attention(x))
    return x + second_norm(feed_forward(x))


def _reads_what_attention_gives(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    given = attention(first_norm(x))
    return x + feed_forward(second_norm(given))


def _both_read_what_attention_gives(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    given = attention(first_norm(x))
    return x + given + feed_forward(second_norm(given))


BLOCK_FORWARD = Exercise(
    name="block_forward",
    reference=_block_forward,
    inputs=_block_inputs,
    edge_cases=_block_edges,
    hints=(
        "There are two steps of one form. In each, a part reads a normalised copy of the stream, and its output is "
        "added to the stream itself.",
        "The first step is `x = x + attention(…)`. What does attention read, and which norm belongs to it?",
        "`x = x + attention(first_norm(x))`; then the same with `feed_forward` and `second_norm`, on the new x.",
    ),
    misconceptions={
        _post_norm: "This is post-norm: you normalise the stream after each addition. In pre-norm only what a part "
        "*reads* is normalised; the stream itself is never touched.",
        _norm_of_the_output: "You normalise what a part gives. The norm stands in front of it: part(norm(x)).",
        _block_with(
            first_kept=lambda x, first: torch.zeros_like(x),
            second_kept=lambda x, stream, second: torch.zeros_like(x),
        ): "There is no way around the parts: each output is to be *added* to the stream.",
        _reads_what_attention_gives: "The feed-forward layer reads what attention gives, which is never added to the "
        "stream. Add it to x first.",
        _both_read_what_attention_gives: "The feed-forward layer reads what attention gives. It should read the "
        "stream, x plus that.",
        lambda x, first_norm, attention, second_norm, feed_forward: (
            x + attention(first_norm(x))
        ): "The feed-forward layer is missing: this is the first half of the block.",
        lambda x, first_norm, attention, second_norm, feed_forward: (
            x + feed_forward(second_norm(x))
        ): "Attention is missing: this is the second half of the block.",
    },
    variant=variant(_block_with),
    slips={
        (
            "first_reads",
            lambda x, first, second: x,
        ): "The norm in front of attention is missing: it reads first_norm(x), not x.",
        (
            "second_reads",
            lambda x, stream, first, second: stream,
        ): "The norm in front of the feed-forward layer is missing: it reads second_norm(x).",
        (
            "first_reads",
            lambda x, first, second: second(x),
        ): "Attention reads `second_norm`. Its own is `first_norm`.",
        (
            "second_reads",
            lambda x, stream, first, second: first(stream),
        ): "The feed-forward layer reads `first_norm`. Each part has a norm of its own: here it is `second_norm`.",
        (
            "second_reads",
            lambda x, stream, first, second: second(x),
        ): "The feed-forward layer reads the x from before attention: a parallel block, as in GPT-J. It reads the "
        "stream to which attention has been added.",
        (
            "second_reads",
            lambda x, stream, first, second: first(x),
        ): "The feed-forward layer reads the same as attention, `first_norm` of the x from before. It reads "
        "`second_norm` of the stream to which attention has been added.",
        (
            "second_reads",
            lambda x, stream, first, second: second(first(stream)),
        ): "The feed-forward layer reads a copy that was normalised twice. `second_norm` alone belongs there.",
        (
            "first_kept",
            lambda x, first: torch.zeros_like(x),
        ): "The first way around is missing: attention's output is *added* to x, and does not replace it.",
        (
            "second_kept",
            lambda x, stream, second: torch.zeros_like(x),
        ): "The second way around is missing: the feed-forward layer's output is *added* to the stream, and does not "
        "replace it.",
        (
            "first_kept",
            lambda x, first: first(x),
        ): "You overwrite x with its normalised copy, to which attention is then added. Add it to x as it was.",
        (
            "second_kept",
            lambda x, stream, second: second(stream),
        ): "The feed-forward layer's output is added to the normalised stream. Add it to the stream itself.",
        (
            "second_kept",
            lambda x, stream, second: x,
        ): "The feed-forward layer's output is added to the x from the beginning, and attention's output is lost.",
        (
            "first_kept",
            lambda x, first: 2 * x,
        ): "The x is added twice to attention's output. The stream goes around each part once.",
        (
            "second_kept",
            lambda x, stream, second: stream + x,
        ): "The x is added once more in the end. It is in the stream already.",
        (
            "second_kept",
            lambda x, stream, second: 2 * stream,
        ): "The stream is added twice to the feed-forward layer's output. It goes around each part once.",
        ("sign", -1.0): "You subtract what the parts give. It is *added* to the stream.",
        ("scale", 0.5): "You halve the result. The outputs are added, not averaged.",
        (
            "exchanged",
            True,
        ): "Attention and the feed-forward layer have changed places: attention comes first.",
        (
            "finished",
            lambda stream, first, second: second(stream),
        ): "The result is normalised by `second_norm`. Only what a part *reads* is normalised, never the stream.",
        (
            "finished",
            lambda stream, first, second: first(stream),
        ): "The result is normalised by `first_norm`. Only what a part *reads* is normalised, never the stream.",
    },
)
