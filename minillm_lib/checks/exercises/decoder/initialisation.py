"""The standard deviation that each matrix of a decoder is drawn with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

_IN_A_BLOCK = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


def _inputs(rng: np.random.Generator) -> Inputs:
    n_layers, deviation = int(rng.integers(3, 40)), float(rng.uniform(0.01, 0.2))
    part = _IN_A_BLOCK[int(rng.integers(len(_IN_A_BLOCK)))]
    return f"layers.{rng.integers(n_layers)}.{part}.weight", n_layers, deviation


def _edges() -> dict[str, Inputs]:
    return {
        "the projection that attention ends with": ("layers.3.self_attn.o_proj.weight", 8, 0.02),
        "the projection that the feed-forward layer ends with": ("layers.3.mlp.down_proj.weight", 8, 0.02),
        "the projection into the gate": ("layers.0.mlp.gate_proj.weight", 8, 0.02),
        "the other projection up": ("layers.1.mlp.up_proj.weight", 8, 0.02),
        "the queries' projection": ("layers.5.self_attn.q_proj.weight", 8, 0.02),
        "the values' projection": ("layers.5.self_attn.v_proj.weight", 8, 0.02),
        "the embedding": ("embed_tokens.weight", 8, 0.02),
        "the last block of a deep model": ("layers.47.mlp.down_proj.weight", 48, 0.125),
        "a model of one block": ("layers.0.self_attn.o_proj.weight", 1, 0.05),
    }


def _writes(name: str) -> bool:
    return "o_proj" in name or "down_proj" in name


def _deviation_with(
    smaller: Callable[[str], bool] = _writes,
    factor: Callable[[int, str], float] = lambda n_layers, name: 1 / math.sqrt(2 * n_layers),
    given: Callable[[float], float] = lambda deviation: deviation,
) -> Callable[..., float]:
    """Return a wrong rule: which matrices are drawn smaller, by which factor, and what is returned."""

    def wrong_deviation(name: str, n_layers: int, deviation: float) -> float:
        return given(deviation * factor(n_layers, name) if smaller(name) else deviation)

    return wrong_deviation


def _block_of(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("layers.") else 0


INITIAL_DEVIATION = Exercise(
    name="initial_deviation",
    points=2,
    reference=_deviation_with(),
    inputs=_inputs,
    edge_cases=_edges,
    cases=10,
    hints=(
        "Which matrices of a block come last before something is added to the stream? There are two. All others are "
        "drawn as ever.",
        "How many such additions does a model of n_layers blocks have? Their variances add up. By which factor must "
        "each *variance* be smaller, so that all together are as large as one was? And each standard deviation?",
        'The names contain `"o_proj"` or `"down_proj"`. There are 2 · n_layers additions, so each variance is divided '
        "by that number, and each standard deviation by its root.",
    ),
    misconceptions={
        _deviation_with(
            factor=lambda n_layers, name: 1 / math.sqrt(2 * (_block_of(name) + 1))
        ): "You count the additions up to this block. The factor is the same for all blocks: it depends on how many "
        "additions there are in the whole model.",
    },
    variant=variant(_deviation_with),
    slips={
        (
            "factor",
            lambda n_layers, name: 1 / math.sqrt(n_layers),
        ): "You count one addition per block. Each block adds twice: attention, and the feed-forward layer.",
        (
            "factor",
            lambda n_layers, name: 1 / (2 * n_layers),
        ): "You divide the standard deviation by the number of additions. It is the *variances* that add up: they are "
        "divided by it, and a standard deviation by its root.",
        (
            "factor",
            lambda n_layers, name: 1 / n_layers,
        ): "You divide the standard deviation by the number of blocks. It is the *variances* that add up, and each "
        "block adds twice.",
        (
            "factor",
            lambda n_layers, name: 1 / math.sqrt(2 * n_layers + 1),
        ): "You count the embedding as an addition. It is where the stream begins: only what the blocks add is made "
        "smaller.",
        (
            "factor",
            lambda n_layers, name: 1 / math.sqrt(2),
        ): "You count the additions of one block. All blocks add to the same stream.",
        (
            "factor",
            lambda n_layers, name: math.sqrt(2 * n_layers),
        ): "You multiply by the root. The more additions there are, the *smaller* each must be.",
        (
            "smaller",
            lambda name: "o_proj" in name,
        ): "The feed-forward layer adds to the stream, too: which of its matrices comes last?",
        (
            "smaller",
            lambda name: "down_proj" in name,
        ): "Attention adds to the stream, too: which of its matrices comes last?",
        ("smaller", lambda name: False): "No matrix is made smaller. Which ones write to the stream?",
        (
            "smaller",
            lambda name: name.startswith("layers."),
        ): "You make all matrices of the blocks smaller. Only those that come last before an addition decide how "
        "large what is added is; the sizes inside a part are to stay as they are.",
        (
            "smaller",
            lambda name: True,
        ): "You make all matrices smaller, the embedding too. Only those that come last before an addition decide how "
        "large what is added is.",
        (
            "smaller",
            lambda name: name.startswith("layers.") and not _writes(name),
        ): "You make those matrices smaller that *read* from the stream. It is those that write to it.",
        (
            "smaller",
            lambda name: "o_proj" in name or "up_proj" in name,
        ): "`up_proj` reads from the stream. Which matrix does the feed-forward layer end with?",
        (
            "given",
            lambda deviation: deviation**2,
        ): "This is the variance. Return its root, the standard deviation.",
    },
)
