"""The number of parameters of a decoder of any shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.model.config import ModelConfig


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


_SHAPE_EDGES: dict[str, Inputs] = {
    "our model's shape": (6400, 512, 8, 8, 2, 64, 1408, True),
    "our model's shape with a head of its own": (6400, 512, 8, 8, 2, 64, 1408, False),
    "one layer": (50, 96, 1, 6, 2, 20, 256, False),
    "as many key–value heads as query heads": (70, 120, 3, 4, 4, 18, 200, True),
    "a single head": (70, 120, 3, 1, 1, 18, 200, False),
}


def _count_with(
    tables: Callable[[int, int, bool], int] = lambda vocab, hidden, tied: (1 if tied else 2) * vocab * hidden,
    query_width: Callable[[int, int, int], int] = lambda hidden, n_heads, head_dim: n_heads * head_dim,
    query_matrices: int = 2,
    key_value_heads: Callable[[int, int], int] = lambda n_heads, n_kv_heads: n_kv_heads,
    key_value_matrices: int = 2,
    feed_forward: Callable[[int, int], int] = lambda hidden, width: 3 * hidden * width,
    block_norms: Callable[[int, int], int] = lambda hidden, head_dim: 2 * hidden,
    biases: Callable[[int, int], int] = lambda hidden, width: 0,
    layers: Callable[[int, int], int] = lambda block, n_layers: block * n_layers,
    final_norm: Callable[[int, int], int] = lambda hidden, n_layers: hidden,
    of_type: Callable[[int], float] = int,
) -> Callable[..., float]:
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
    ) -> float:
        queries = query_matrices * hidden_size * query_width(hidden_size, n_heads, head_dim)
        keys = key_value_matrices * hidden_size * key_value_heads(n_heads, n_kv_heads) * head_dim
        block = queries + keys + feed_forward(hidden_size, intermediate_size)
        block += block_norms(hidden_size, head_dim) + biases(hidden_size, intermediate_size)
        total = tables(vocab_size, hidden_size, tied) + layers(block, n_layers)
        return of_type(total + final_norm(hidden_size, n_layers))

    return count


def _norms_once(
    vocab_size: int,
    hidden_size: int,
    n_layers: int,
    n_heads: int,
    n_kv_heads: int,
    head_dim: int,
    intermediate_size: int,
    tied: bool,
) -> int:
    shape = (vocab_size, hidden_size, n_layers, n_heads, n_kv_heads, head_dim, intermediate_size, tied)
    return _count_parameters(*shape) - 2 * hidden_size * (n_layers - 1)


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


COUNT_PARAMETERS = Exercise(
    name="count_parameters",
    points=3,
    reference=_count_parameters,
    inputs=_shape_inputs,
    edge_cases=_SHAPE_EDGES,
    cases=6,
    hints=(
        "List the matrices with their shapes: the tables once, the rest for each layer. Then the norms, which are "
        "vectors.",
        "In a block: two matrices between `hidden_size` and all query heads, two between it and all key–value heads, "
        "three of the feed-forward layer, two norms. After the last block one norm more.",
        "A block has 2·d·H·h + 2·d·G·h + 3·d·m + 2·d, with d = hidden_size, H = n_heads, G = n_kv_heads, h = head_dim "
        "and m = intermediate_size. To n_layers of these come d, and V·d once or twice.",
    ),
    misconceptions={
        _norms_once: "You count the norms of one block only. Every block has two of its own.",
        _count_with(
            block_norms=lambda hidden, head_dim: 0, final_norm=lambda hidden, n_layers: 0
        ): "The norms are missing: each has a weight per coordinate.",
        _count_with(
            query_matrices=0, query_width=lambda hidden, n_heads, head_dim: 0, key_value_matrices=0
        ): "Attention is missing: four matrices in each block.",
    },
    variant=variant(_count_with),
    slips={
        (
            "tables",
            lambda vocab, hidden, tied: 2 * vocab * hidden,
        ): "You count the output head although it is tied: then it *is* the embedding, and the same numbers are not "
        "counted twice.",
        (
            "tables",
            lambda vocab, hidden, tied: vocab * hidden,
        ): "You never count the output head. Where the embeddings are not tied, it is a matrix of its own.",
        (
            "tables",
            lambda vocab, hidden, tied: (2 if tied else 1) * vocab * hidden,
        ): "`tied` is read the wrong way round: if it is true, the output head *is* the embedding, and counts once.",
        (
            "tables",
            lambda vocab, hidden, tied: 0,
        ): "The embedding and the output head are missing: vocab_size · hidden_size each.",
        (
            "tables",
            lambda vocab, hidden, tied: 0 if tied else vocab * hidden,
        ): "The embedding is missing: vocab_size · hidden_size, also where the output head is tied to it.",
        (
            "query_width",
            lambda hidden, n_heads, head_dim: hidden,
        ): "You take hidden_size for the width of all query heads together. Here it is n_heads · head_dim, and need "
        "not be the same.",
        (
            "query_width",
            lambda hidden, n_heads, head_dim: head_dim,
        ): "You count one query head only: together they are n_heads · head_dim wide.",
        (
            "query_matrices",
            1,
        ): "One matrix as wide as the query heads is missing: there is `q_proj`, and `o_proj`, which leads back.",
        (
            "key_value_heads",
            lambda n_heads, n_kv_heads: n_heads,
        ): "You count keys and values as if each query head had its own. `k_proj` and `v_proj` are only n_kv_heads · "
        "head_dim wide.",
        (
            "key_value_heads",
            lambda n_heads, n_kv_heads: 1,
        ): "You count one key–value head only: `k_proj` and `v_proj` are n_kv_heads · head_dim wide.",
        ("key_value_matrices", 1): "You count `k_proj` or `v_proj`, but not both.",
        (
            "key_value_matrices",
            0,
        ): "`k_proj` and `v_proj` are missing: hidden_size · n_kv_heads · head_dim each.",
        (
            "feed_forward",
            lambda hidden, width: 2 * hidden * width,
        ): "The feed-forward layer has three matrices: gate, up and down.",
        (
            "feed_forward",
            lambda hidden, width: hidden * width,
        ): "You count one matrix of the feed-forward layer. There are three: gate, up and down.",
        (
            "feed_forward",
            lambda hidden, width: 0,
        ): "The feed-forward layer is missing: three matrices of hidden_size · intermediate_size.",
        ("block_norms", lambda hidden, head_dim: hidden): "A block has two norms, one before each part.",
        (
            "block_norms",
            lambda hidden, head_dim: 0,
        ): "The norms of the blocks are missing: two in each, with a weight per coordinate.",
        (
            "block_norms",
            lambda hidden, head_dim: 2,
        ): "You count a norm of a block as one number. It has a weight for each of the hidden_size coordinates.",
        (
            "block_norms",
            lambda hidden, head_dim: 4 * hidden,
        ): "You count twice as many numbers for a block's norms as there are: RMSNorm has a weight, but no bias.",
        (
            "block_norms",
            lambda hidden, head_dim: 2 * hidden + 2 * head_dim,
        ): "You count norms of queries and keys as well. This decoder has none.",
        (
            "biases",
            lambda hidden, width: 2 * width + hidden,
        ): "You count biases of the feed-forward layer. Its matrices have none.",
        ("layers", lambda block, n_layers: block): "You count one block only. There are n_layers of them.",
        (
            "layers",
            lambda block, n_layers: block * (n_layers - 1),
        ): "You count one block too few: there are n_layers of them.",
        ("final_norm", lambda hidden, n_layers: 0): "One norm is missing: the one after the last block.",
        (
            "final_norm",
            lambda hidden, n_layers: n_layers * hidden,
        ): "You count the last norm in every block. It stands once, after the last block.",
        ("of_type", float): "Your result is a float. Parameters are counted: return a whole number.",
    },
)
