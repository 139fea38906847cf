"""The floating-point operations of a run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.model.config import ModelConfig


def _model(rng: np.random.Generator) -> Inputs:
    """Draw a model in which attention is a large part of the work, and a number of tokens."""
    n_layers, n_heads, head_dim = (
        int(rng.integers(2, 9)),
        int(rng.integers(2, 7)),
        int(rng.choice([16, 32, 64])),
    )
    n_weights = int(rng.integers(50_000, 200_000))
    return n_weights, n_layers, n_heads, head_dim, int(rng.integers(100, 600)), int(rng.integers(1000, 9000))


_MODEL_EDGES: dict[str, Inputs] = {
    "our model": (25_821_184, 8, 8, 64, 512, 100_000_000),
    "one layer": (60_000, 1, 4, 32, 300, 2000),
    "one head": (60_000, 3, 1, 32, 300, 2000),
    "a single token in each sequence": (60_000, 3, 4, 32, 1, 2000),
    "a single token in all": (60_000, 3, 4, 32, 300, 1),
}


def _attention(n_layers: int, n_heads: int, head_dim: int, seq_len: int) -> int:
    """Return the part of the library's count that grows with the sequence length, as a number of weights."""
    model = ModelConfig(
        hidden_size=n_heads * head_dim, n_layers=n_layers, n_heads=n_heads, n_kv_heads=1, head_dim=head_dim
    )
    return (model.flops_per_token(seq_len) - model.flops_per_token(0)) // 6


def _training_flops(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> float:
    per_token = 6 * (n_weights + _attention(n_layers, n_heads, head_dim, seq_len))
    return float(per_token * n_tokens)  # a float, so that either type is accepted


def _flops_with(
    factor: float = 6,
    products: float = 2,
    layers: Callable[[int], int] = lambda n_layers: n_layers,
    width: Callable[[int, int], int] = lambda n_heads, head_dim: n_heads * head_dim,
    length: Callable[[int], float] = lambda seq_len: seq_len,
    weights: Callable[[int], int] = lambda n_weights: n_weights,
    tokens: Callable[[int, int], float] = lambda n_tokens, seq_len: n_tokens,
) -> Callable[..., float]:
    """Return a count in which some of the factors are wrong."""

    def wrong_count(
        n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
    ) -> float:
        attention = products * layers(n_layers) * width(n_heads, head_dim) * length(seq_len)
        return float(factor * (weights(n_weights) + attention) * tokens(n_tokens, seq_len))

    return wrong_count


def _bracketed(
    combine: Callable[[int, int, int], float],
) -> Callable[[int, int, int, int, int, int], float]:
    """Return a wrong count, given as a function of the weights, the products of attention, and the tokens."""

    def wrong_count(
        n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
    ) -> float:
        return float(combine(n_weights, 2 * n_layers * n_heads * head_dim * seq_len, n_tokens))

    return wrong_count


TRAINING_FLOPS = Exercise(
    name="training_flops",
    points=2,
    reference=_training_flops,
    inputs=_model,
    edge_cases=_MODEL_EDGES,
    rtol=1e-6,
    hints=(
        "Forget the 6 and the tokens at first. With how many numbers is one token multiplied: weights, and in "
        "attention?",
        "Attention, in numbers per token: two products, in every layer and head, of length `head_dim`, "
        "with `seq_len` keys.",
        "`attention = 2 * n_layers * n_heads * head_dim * seq_len`. The 6 and the tokens multiply the whole sum.",
    ),
    misconceptions={
        _bracketed(
            lambda weights, attention, tokens: 6 * weights * tokens
        ): "This is 6ND: the products of attention, which have no weights, are missing.",
        _bracketed(
            lambda weights, attention, tokens: 2 * weights * tokens
        ): "This is 2ND: the forward pass only, and without the products of attention.",
        _bracketed(
            lambda weights, attention, tokens: 6 * weights + attention * tokens
        ): "Brackets are missing: both the 6 and the tokens multiply the whole sum, 6 · (N + …) · D.",
        _bracketed(
            lambda weights, attention, tokens: 6 * weights * tokens + attention * tokens
        ): "The 6 multiplies the weights only. Attention's products, too, have a backward pass, and two operations "
        "each.",
        _bracketed(
            lambda weights, attention, tokens: 6 * weights * tokens + attention
        ): "6 and D multiply the weights only. They belong to the whole sum, 6 · (N + …) · D.",
        _bracketed(
            lambda weights, attention, tokens: 6 * weights * tokens + 6 * attention
        ): "The tokens multiply the weights only. Attention works for every token, too.",
        _bracketed(
            lambda weights, attention, tokens: 6 * (weights + attention * tokens)
        ): "The tokens multiply attention only. They belong to the whole sum, 6 · (N + …) · D.",
        _bracketed(
            lambda weights, attention, tokens: 6 * weights * attention * tokens
        ): "You multiply the weights by attention's products. They are *added*.",
        _bracketed(
            lambda weights, attention, tokens: 6 * (weights - attention) * tokens
        ): "You subtract attention's products. They are added.",
    },
    variant=variant(_flops_with),
    slips={
        (
            "factor",
            2,
        ): "You count the forward pass only. The backward pass computes two products for each one of the forward "
        "pass: the factor is 6, not 2.",
        (
            "factor",
            4,
        ): "You count two passes, or the backward pass alone. It computes *two* products for each one of the forward "
        "pass: 2 and 4 make 6.",
        (
            "factor",
            3,
        ): "The factor is 3: you count multiplications only. Each comes with an addition, which makes 6.",
        ("factor", 1): "The factor 6 is missing.",
        ("factor", 12): "The factor is 12, but 6 includes the backward pass and the additions already.",
        (
            "factor",
            8,
        ): "The factor is 8, as if the forward pass were computed again. Here nothing is: it is 6.",
        (
            "products",
            1,
        ): "You count half of attention. Its scores (queries times keys) and the sum over the values are two "
        "products "
        "of the same size; and the full square is counted, not the half that a causal mask leaves.",
        (
            "products",
            4,
        ): "Attention is counted twice: its two products make a factor 2. The additions are in the 6.",
        (
            "products",
            12,
        ): "The 6 is in attention already, and multiplies it once more. In the bracket stands 2 · n_layers · ….",
        ("layers", lambda n_layers: 1): "You count the attention of one layer only.",
        ("layers", lambda n_layers: n_layers - 1): "You count the attention of a layer too few.",
        (
            "width",
            lambda n_heads, head_dim: head_dim,
        ): "The number of heads is missing in attention: each has products of its own.",
        (
            "width",
            lambda n_heads, head_dim: n_heads,
        ): "`head_dim` is missing in attention: it is the length of each product.",
        (
            "width",
            lambda n_heads, head_dim: (n_heads * head_dim) ** 2,
        ): "You square the width of attention. There are no matrices in these products: their weights are in N.",
        (
            "width",
            lambda n_heads, head_dim: 1,
        ): "The factors n_heads and head_dim are missing in attention.",
        (
            "length",
            lambda seq_len: seq_len**2,
        ): "You count the square of the length for each *token*. A token's query meets seq_len keys; the square "
        "comes "
        "about only over all tokens of the sequence.",
        (
            "length",
            lambda seq_len: 1,
        ): "The length of the sequence is missing in attention: each query meets seq_len keys.",
        (
            "length",
            lambda seq_len: (seq_len + 1) / 2,
        ): "You count only the keys that a causal mask leaves. The full square is counted, as is usual.",
        (
            "weights",
            lambda n_weights: 0,
        ): "The weights, N, are missing in the bracket.",
        (
            "weights",
            lambda n_weights: 2 * n_weights,
        ): "The weights count twice. Multiplication and addition are in the 6.",
        (
            "tokens",
            lambda n_tokens, seq_len: 1,
        ): "This is the work for one token. Multiply it by n_tokens.",
        (
            "tokens",
            lambda n_tokens, seq_len: n_tokens * seq_len,
        ): "You multiply by seq_len once more. D is the number of *tokens*, not of sequences.",
        (
            "tokens",
            lambda n_tokens, seq_len: n_tokens / seq_len,
        ): "You multiply by the number of sequences. N + … is the work for a *token*: multiply by n_tokens.",
        (
            "tokens",
            lambda n_tokens, seq_len: seq_len,
        ): "You multiply by the length of a sequence. The run reads n_tokens.",
    },
)
