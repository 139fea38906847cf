"""The least time of a pass: reading the weights, or computing with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant


def _machine_and_model(rng: np.random.Generator) -> Inputs:
    """Draw a machine and a model for which now reading takes longer, now computing."""
    bandwidth, balance = float(rng.uniform(5e9, 4e10)), float(rng.uniform(4, 20))  # operations per byte
    bytes_per_weight = int(rng.choice([1, 2, 4]))
    n_tokens = int(rng.integers(1, 6)) if rng.random() < 0.5 else int(rng.integers(60, 200))
    return (
        int(rng.integers(20_000_000, 90_000_000)),
        bytes_per_weight,
        n_tokens,
        bandwidth,
        balance * bandwidth,
    )


_EDGES: dict[str, Inputs] = {
    "one token at a time": (26_000_000, 4, 1, 2e10, 1e11),
    "a prompt": (26_000_000, 4, 512, 2e10, 1e11),
    "weights of one byte": (26_000_000, 1, 1, 2e10, 1e11),
    "weights of half a byte": (26_000_000, 0.5, 1, 2e10, 1e11),
    "as long for reading as for computing": (10_000_000, 4, 10, 2e10, 1e11),
}

Seconds = Callable[[float, float], float]


def _time_with(
    bytes_read: Callable[[float, float, float], float] = lambda weights, each, tokens: weights * each,
    operations: Callable[[float, float, float], float] = lambda weights, each, tokens: 2 * weights * tokens,
    together: Seconds = max,
    scaled: float = 1.0,
    upside_down: bool = False,
) -> Callable[..., float]:
    """Return a wrong bound: what is read, what is computed, and how the two times are taken together."""

    def wrong_time(
        n_weights: float, bytes_per_weight: float, n_tokens: float, bandwidth: float, peak: float
    ) -> float:
        reading = bytes_read(n_weights, bytes_per_weight, n_tokens) / bandwidth
        computing = operations(n_weights, bytes_per_weight, n_tokens) / peak
        seconds = together(reading, computing) * scaled
        return 1 / seconds if upside_down else seconds

    return wrong_time


def _least_pass_time(
    n_weights: int, bytes_per_weight: float, n_tokens: int, bandwidth: float, peak: float
) -> float:
    return _time_with()(n_weights, bytes_per_weight, n_tokens, bandwidth, peak)


LEAST_PASS_TIME = Exercise(
    name="least_pass_time",
    points=1,
    reference=_least_pass_time,
    inputs=_machine_and_model,
    edge_cases=_EDGES,
    rtol=1e-6,
    atol=0,
    hints=(
        "How many bytes have to be read for the pass, and how many operations done? Which of the two grows with the "
        "number of tokens?",
        "Each weight is read once, whatever the number of tokens; and each weight is multiplied and added once *per "
        "token*. Both go on at the same time: when is the pass over?",
        "Reading takes `n_weights * bytes_per_weight / bandwidth` seconds, computing `2 * n_weights * n_tokens / "
        "peak`; the pass is over when both are.",
    ),
    misconceptions={
        lambda n_weights, bytes_per_weight, n_tokens, bandwidth, peak: (
            n_weights * bytes_per_weight / bandwidth
        ): "You count the reading only. With many tokens, computing takes longer.",
        lambda n_weights, bytes_per_weight, n_tokens, bandwidth, peak: (
            2 * n_weights * n_tokens / peak
        ): "You count the operations only. With few tokens, reading takes longer.",
    },
    variant=variant(_time_with),
    slips={
        (
            "together",
            lambda reading, computing: reading + computing,
        ): "You add the two times. While one weight is computed with, the next can be read: the pass is over when the "
        "slower of the two is.",
        (
            "together",
            min,
        ): "You take the smaller of the two times. Both must be done: the slower one decides.",
        (
            "bytes_read",
            lambda weights, each, tokens: weights * each * tokens,
        ): "You let every token read all weights again. In one pass a weight is read once, and used for all tokens.",
        (
            "bytes_read",
            lambda weights, each, tokens: weights,
        ): "You count weights, where the bandwidth counts bytes: multiply by `bytes_per_weight`.",
        (
            "bytes_read",
            lambda weights, each, tokens: 8 * weights * each,
        ): "You count bits. The bandwidth is in bytes per second.",
        (
            "operations",
            lambda weights, each, tokens: weights * tokens,
        ): "You count one operation per weight and token. They are two: a multiplication and an addition.",
        (
            "operations",
            lambda weights, each, tokens: 2 * weights * tokens * each,
        ): "You multiply the operations by the bytes of a weight. How many operations there are does not depend on how "
        "a weight is stored.",
        ("scaled", 1000.0): "Your time is in milliseconds. It is to be in seconds.",
        ("upside_down", True): "You return passes per second. Return the seconds of one pass.",
    },
)
