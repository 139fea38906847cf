"""The exercises of notebook 10: the block's forward pass, the loss of next tokens, and the number of parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.loss import linear_cross_entropy

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


class _Mixed(nn.Module):
    """The attention or feed-forward layer that the check passes: a matrix and a nonlinearity."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight)


def _block_inputs(rng: np.random.Generator) -> Inputs:
    size = 6
    return (
        3 * _tensor(rng, 2, 4, size) + 0.5,
        _Scaled(_tensor(rng, size)),
        _Mixed(_tensor(rng, size, size)),
        _Scaled(_tensor(rng, size)),
        _Mixed(_tensor(rng, size, size)),
    )


def _block_forward(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    x = x + attention(first_norm(x))
    return x + feed_forward(second_norm(x))


def _post_norm(x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part) -> Tensor:
    x = first_norm(x + attention(x))
    return second_norm(x + feed_forward(x))


def _norm_on_the_stream(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    x = first_norm(x)
    x = second_norm(x + attention(x))
    return x + feed_forward(x)


def _norm_of_the_output(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    x = x + first_norm(attention(x))
    return x + second_norm(feed_forward(x))


def _first_norm_twice(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    x = x + attention(first_norm(x))
    return x + feed_forward(first_norm(x))


def _without_the_second_way_around(
    x: Tensor, first_norm: Part, attention: Part, second_norm: Part, feed_forward: Part
) -> Tensor:
    return feed_forward(second_norm(x + attention(first_norm(x))))


def _loss_inputs(rng: np.random.Generator) -> Inputs:
    """Draw rows of different lengths, padded on the right with a token that also occurs in the texts."""
    batch, seq, vocab = 3, 7, 5
    lengths = torch.tensor([[7], [int(rng.integers(4, 6))], [int(rng.integers(2, 4))]])
    is_token = torch.arange(seq) < lengths
    tokens = torch.from_numpy(rng.integers(0, vocab, (batch, seq)))
    return 2 * _tensor(rng, batch, seq, vocab), tokens * is_token, is_token


def _next_token_loss(logits: Tensor, tokens: Tensor, is_token: Tensor) -> Tensor:
    labels = tokens[:, 1:].masked_fill(~is_token[:, 1:], -100)
    vocab = logits.shape[-1]
    return linear_cross_entropy(logits[:, :-1].reshape(-1, vocab), torch.eye(vocab), labels.flatten())


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    return -log_softmax(logits, dim=-1).gather(-1, targets[..., None]).squeeze(-1)


def _mean_over(losses: Tensor, counts: Tensor) -> Tensor:
    return (losses * counts).sum() / counts.sum()


def _with_the_mask_of_inputs(logits: Tensor, tokens: Tensor, is_token: Tensor) -> Tensor:
    return _mean_over(_losses(logits[:, :-1], tokens[:, 1:]), is_token[:, :-1])


def _mean_of_means(logits: Tensor, tokens: Tensor, is_token: Tensor) -> Tensor:
    losses, counts = _losses(logits[:, :-1], tokens[:, 1:]), is_token[:, 1:]
    return ((losses * counts).sum(dim=1) / counts.sum(dim=1)).mean()


def _shape_inputs(rng: np.random.Generator) -> Inputs:
    """Draw different numbers, a head width other than hidden / heads, and either kind of output head."""
    n_kv_heads = int(rng.integers(1, 4))
    return (
        int(rng.integers(50, 90)),
        int(rng.integers(100, 140)),
        int(rng.integers(5, 12)),
        n_kv_heads * int(rng.integers(2, 5)),
        n_kv_heads,
        2 * int(rng.integers(6, 20)),
        int(rng.integers(200, 300)),
        bool(rng.integers(2)),
    )


def _count(
    *,
    table_copies: Callable[[bool], int] = lambda tied: 1 if tied else 2,
    key_value_heads: Callable[[int, int], int] = lambda n_heads, n_kv_heads: n_kv_heads,
    matrices: int = 3,
    block_norms: int = 2,
    final_norm: int = 1,
    from_hidden: bool = False,
) -> Callable[..., int]:
    """Return a parameter count in which some of the parts are wrong."""

    def count(
        vocab_size: int,
        hidden_size: int,
        n_layers: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        intermediate_size: int,
        tied: bool,
    ) -> int:
        query_width = hidden_size if from_hidden else n_heads * head_dim
        attention = 2 * hidden_size * (query_width + key_value_heads(n_heads, n_kv_heads) * head_dim)
        feed_forward = matrices * hidden_size * intermediate_size
        block = attention + feed_forward + block_norms * hidden_size
        return table_copies(tied) * vocab_size * hidden_size + n_layers * block + final_norm * hidden_size

    return count


def _count_parameters(
    vocab_size: int,
    hidden_size: int,
    n_layers: int,
    n_heads: int,
    n_kv_heads: int,
    head_dim: int,
    intermediate_size: int,
    tied: bool,
) -> int:
    config = ModelConfig(
        vocab_size=vocab_size,
        hidden_size=n_heads * hidden_size,  # a multiple of n_heads, as a configuration must have
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        intermediate_size=intermediate_size,
        tied_embeddings=tied,
    )
    return config.n_parameters // n_heads  # every term has the factor hidden_size once


EXERCISES = (
    Exercise(
        name="block_forward",
        reference=_block_forward,
        inputs=_block_inputs,
        misconceptions={
            _post_norm: "This is post-norm: you normalise the stream after each addition. In pre-norm only what a part "
            "*reads* is normalised; the stream itself is never touched.",
            _norm_on_the_stream: "You overwrite x with its normalised copy, and the part is then added to that copy. "
            "Add it to x as it was.",
            _norm_of_the_output: "You normalise what a part gives. The norm stands in front of it: part(norm(x)).",
            lambda x, first_norm, attention, second_norm, feed_forward: (
                (x + attention(x)) + feed_forward(x + attention(x))
            ): "The norms are missing in the residual branches: each part reads norm(x), not x.",
            lambda x, first_norm, attention, second_norm, feed_forward: (
                x + attention(first_norm(x)) + feed_forward(second_norm(x))
            ): "Both parts read the same x: a parallel block, as in GPT-J. Here the feed-forward layer reads the "
            "stream to which attention has been added.",
            _without_the_second_way_around: "The second way around is missing: the feed-forward layer's output is "
            "*added* to the stream, and does not replace it.",
            lambda x, first_norm, attention, second_norm, feed_forward: feed_forward(
                second_norm(attention(first_norm(x)))
            ): "There is no way around the parts: each output is to be *added* to the stream.",
            _first_norm_twice: "You use `first_norm` twice. Each part has a norm of its own.",
        },
    ),
    Exercise(
        name="next_token_loss",
        points=2,
        reference=_next_token_loss,
        inputs=_loss_inputs,
        misconceptions={
            lambda logits, tokens, is_token: _mean_over(
                _losses(logits, tokens), is_token
            ): "Nothing is shifted: you ask position t to predict the token at t, which it has read. Its target is "
            "the token at t + 1.",
            lambda logits, tokens, is_token: _mean_over(
                _losses(logits[:, 1:], tokens[:, :-1]), is_token[:, :-1]
            ): "Shifted the wrong way: position t is asked for the token *before* it. Drop the last logits and the "
            "first token.",
            lambda logits, tokens, is_token: cross_entropy(
                logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
            ): "The shift is right, but padding counts. Leave out the targets where `is_token` is false.",
            _with_the_mask_of_inputs: "The mask is not shifted: it must say whether the *target* is a token, and the "
            "targets start with the second column.",
            _mean_of_means: "You take the mean of each row, and then the mean of these. Every token is to weigh the "
            "same, in a long row and in a short one.",
            lambda logits, tokens, is_token: (
                _losses(logits[:, :-1], tokens[:, 1:]) * is_token[:, 1:]
            ).sum(): "This is the sum. Divide it by the number of targets that are tokens.",
            lambda logits, tokens, is_token: (
                _losses(logits[:, :-1], tokens[:, 1:]) * is_token[:, 1:]
            ).mean(): "You divide by all positions, padding included. Divide by the number of targets that are tokens.",
        },
    ),
    Exercise(
        name="count_parameters",
        points=3,
        reference=_count_parameters,
        inputs=_shape_inputs,
        cases=8,
        misconceptions={
            _count(
                table_copies=lambda tied: 2
            ): "You count the output head although it is tied: then it *is* the "
            "embedding, and the same numbers are not counted twice.",
            _count(
                table_copies=lambda tied: 1
            ): "You never count the output head. Where the embeddings are not tied, "
            "it is a matrix of its own.",
            _count(
                key_value_heads=lambda n_heads, n_kv_heads: n_heads
            ): "You count keys and values as if each query "
            "head had its own. `k_proj` and `v_proj` are only n_kv_heads · head_dim wide.",
            _count(matrices=2): "The feed-forward layer has three matrices: gate, up and down.",
            _count(block_norms=1): "A block has two norms, one before each part.",
            _count(final_norm=0): "One norm is missing: the one after the last block.",
            _count(block_norms=0, final_norm=0): "The norms are missing: each has a weight per coordinate.",
            _count(
                from_hidden=True
            ): "You take hidden_size for the width of all query heads together. Here it is "
            "n_heads · head_dim, and need not be the same.",
        },
    ),
)
