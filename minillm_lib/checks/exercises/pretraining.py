"""The exercises of notebook 12: how much a run reads, what it costs, and the exponent of its curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.model.config import ModelConfig

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def _text_and_run(rng: np.random.Generator) -> Inputs:
    """Draw a text; half of the texts fill their rows exactly, so that the last row lacks a label."""
    seq_len = int(rng.integers(20, 60))
    rest = 0 if rng.random() < 0.5 else int(rng.integers(1, seq_len))
    n_tokens = int(rng.integers(50, 200)) * seq_len + rest
    return n_tokens, seq_len, int(rng.integers(3, 9)), int(rng.integers(10, 80))


def _run_length(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> tuple[int, int, float]:
    n_rows = (n_tokens - 1) // seq_len
    n_read = n_steps * batch_size * seq_len
    return n_rows, n_read, n_read / (n_rows * seq_len)


def _without_the_last_label(
    n_tokens: int, seq_len: int, batch_size: int, n_steps: int
) -> tuple[int, int, float]:
    return _run_length(n_tokens + 1, seq_len, batch_size, n_steps)


def _rows_of_one_more(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> tuple[int, int, float]:
    n_rows, n_read = n_tokens // (seq_len + 1), n_steps * batch_size * seq_len
    return n_rows, n_read, n_read / (n_rows * seq_len)


def _rows_as_tokens(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> tuple[int, int, float]:
    n_rows, n_read = (n_tokens - 1) // seq_len, n_steps * batch_size
    return n_rows, n_read, n_read / n_rows


def _one_row_a_step(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> tuple[int, int, float]:
    return _run_length(n_tokens, seq_len, 1, n_steps)


def _whole_epochs(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> tuple[int, int, float]:
    n_rows, n_read, epochs = _run_length(n_tokens, seq_len, batch_size, n_steps)
    return n_rows, n_read, epochs // 1


def _model(rng: np.random.Generator) -> Inputs:
    """Draw a model in which attention is a large part of the work, and a number of tokens."""
    n_layers, n_heads, head_dim = (
        int(rng.integers(2, 9)),
        int(rng.integers(2, 7)),
        int(rng.choice([16, 32, 64])),
    )
    n_weights = int(rng.integers(50_000, 200_000))
    return n_weights, n_layers, n_heads, head_dim, int(rng.integers(100, 600)), int(rng.integers(1000, 9000))


def _attention(n_layers: int, n_heads: int, head_dim: int, seq_len: int) -> int:
    """Return the part of the library's count that grows with the row length, as a number of weights."""
    model = ModelConfig(
        hidden_size=n_heads * head_dim, n_layers=n_layers, n_heads=n_heads, n_kv_heads=1, head_dim=head_dim
    )
    return (model.flops_per_token(seq_len) - model.flops_per_token(0)) // 6


def _training_flops(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> int:
    return 6 * (n_weights + _attention(n_layers, n_heads, head_dim, seq_len)) * n_tokens


def _without_attention(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> int:
    return 6 * n_weights * n_tokens


def _forward_only(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> int:
    return _training_flops(n_weights, n_layers, n_heads, head_dim, seq_len, n_tokens) // 3


def _backward_as_forward(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> int:
    return 2 * _forward_only(n_weights, n_layers, n_heads, head_dim, seq_len, n_tokens)


def _multiplications_only(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> int:
    return _training_flops(n_weights, n_layers, n_heads, head_dim, seq_len, n_tokens) // 2


def _scores_only(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> int:
    return 6 * (n_weights + _attention(n_layers, n_heads, head_dim, seq_len) // 2) * n_tokens


def _square_for_each_token(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> int:
    return 6 * (n_weights + _attention(n_layers, n_heads, head_dim, seq_len) * seq_len) * n_tokens


def _one_layer(
    n_weights: int, n_layers: int, n_heads: int, head_dim: int, seq_len: int, n_tokens: int
) -> int:
    return _training_flops(n_weights, 1, n_heads, head_dim, seq_len, n_tokens)


def _curve(rng: np.random.Generator) -> Inputs:
    """Draw a noisy power law over less than two decades."""
    tokens = np.sort(np.exp(rng.uniform(np.log(2.0), np.log(90.0), 12)))
    floor, scale, exponent = rng.uniform(1.0, 2.0), rng.uniform(2.0, 4.0), rng.uniform(0.2, 0.6)
    excess = scale * tokens**-exponent * np.exp(0.02 * rng.standard_normal(12))
    return tokens, floor + excess, float(floor)


def _slope(x: FloatArray, y: FloatArray) -> float:
    """Return the slope of the least-squares line."""
    centred = x - x.mean()
    return float(centred @ (y - y.mean()) / (centred @ centred))


def _power_law_exponent(tokens: FloatArray, losses: FloatArray, floor: float) -> float:
    return -_slope(np.log(tokens), np.log(losses - floor))


EXERCISES = (
    Exercise(
        name="run_length",
        reference=_run_length,
        inputs=_text_and_run,
        misconceptions={
            _without_the_last_label: "You forget the label of the last token. Each row needs the token after it, so "
            "a text of exactly n · seq_len tokens has only n - 1 rows: one token is a label only.",
            _rows_of_one_more: "You give each row seq_len + 1 tokens of its own. The extra one is only a label; it is "
            "also the first token of the next row, so rows begin every seq_len tokens.",
            _rows_as_tokens: "You count rows, not tokens: a step reads batch_size rows of seq_len tokens each.",
            _one_row_a_step: "You let a step read one row. It reads batch_size rows.",
            _whole_epochs: "You round the epochs down. A run may end in the middle of an epoch: return the fraction.",
        },
    ),
    Exercise(
        name="training_flops",
        points=2,
        reference=_training_flops,
        inputs=_model,
        misconceptions={
            _without_attention: "This is 6ND: the products of attention, which have no weights, are missing.",
            _forward_only: "You count the forward pass only. The backward pass computes two products for each one of "
            "the forward pass: the factor is 6, not 2.",
            _backward_as_forward: "You count the backward pass like the forward pass. It computes *two* products for "
            "each: one for the gradient of the input, one for that of the weights. The factor is 6, not 4.",
            _multiplications_only: "You count multiplications only. Each comes with an addition, which makes two "
            "operations: the factor is 6, not 3.",
            _scores_only: "You count the scores of attention (queries times keys), but not the sum over the values, "
            "which is a product of the same size.",
            _square_for_each_token: "You count the square of the length for each *token*. A token's query meets "
            "seq_len keys; the square comes about only over all tokens of the row.",
            _one_layer: "You count the attention of one layer only.",
        },
    ),
    Exercise(
        name="power_law_exponent",
        points=3,
        reference=_power_law_exponent,
        inputs=_curve,
        misconceptions={
            lambda tokens, losses, floor: (
                -_slope(tokens, losses)
            ): "You fit a straight line on linear axes. A power "
            "law is straight on double-logarithmic ones: take the logarithm of both, after taking the floor away.",
            lambda tokens, losses, floor: (
                -_slope(np.log(tokens), np.log(losses))
            ): "You take both logarithms, but "
            "not the floor away: then the points lie on a bent line, and the slope is too small.",
            lambda tokens, losses, floor: (
                -_slope(tokens, np.log(losses - floor))
            ): "You take the logarithm of the "
            "loss only. That is straight for an exponential decay; a power law needs the logarithm of the tokens too.",
            lambda tokens, losses, floor: (
                -_slope(np.log(tokens), losses - floor)
            ): "You take the logarithm of the "
            "tokens only. Equation (4) has the logarithm of the loss above the floor as well.",
            lambda tokens, losses, floor: _slope(
                np.log(tokens), np.log(losses - floor)
            ): "This is the slope, which is -α: the exponent itself is positive.",
            lambda tokens, losses, floor: (
                -1 / _slope(np.log(losses - floor), np.log(tokens))
            ): "You fit the tokens by "
            "the loss and invert the slope. The noise is in the losses: fit them by the tokens.",
        },
    ),
)
