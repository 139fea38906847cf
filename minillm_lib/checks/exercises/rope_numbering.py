"""The exercise of notebook 08 on which coordinates make a pair: halves against neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.model.rope import to_interleaved


def _matrix(rng: np.random.Generator, n_heads: int, head_dim: int, hidden: int | None = None) -> Inputs:
    shape = n_heads * head_dim, hidden or n_heads * head_dim
    return torch.from_numpy(rng.standard_normal(shape)).float(), n_heads


def _matrices(rng: np.random.Generator) -> Inputs:
    return _matrix(rng, int(rng.integers(2, 4)), 2 * int(rng.integers(3, 6)))


def _matrix_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(82)
    return {
        "a single head": _matrix(rng, 1, 8, 5),
        "heads of a single pair": _matrix(rng, 3, 2, 4),
        "fewer columns than rows": _matrix(rng, 2, 6, 4),
    }


def _neighbours(weight: Tensor, n_heads: int, /, **slips: Any) -> Any:
    has = made(slips)
    if has("columns"):
        weight = weight.mT
    n_heads = 1 if has("heads:one") else n_heads
    parts = torch.arange(len(weight))
    if len(weight) % (2 * n_heads):
        return weight
    table = parts.view(n_heads, 2, -1)  # (head, half, pair)
    order = {
        "inverse": parts.view(n_heads, -1, 2).transpose(1, 2),
        "second first": table.flip(1).transpose(1, 2),
        "kept": table,
        "over heads": table.permute(2, 1, 0),
        "heads inside": table.permute(2, 0, 1),
        "reversed": table.flip(2).transpose(1, 2),
        "mirrored": torch.stack([table[:, 0], table[:, 1].flip(-1)], dim=-1),
    }.get(slips.get("order", ""), table.transpose(1, 2))
    result = weight[order.flatten()]
    return result.mT if has("columns") or has("turned") else result


INTERLEAVED_ROWS = Exercise(
    name="interleaved_rows",
    points=2,
    reference=lambda weight, n_heads: to_interleaved(weight, n_heads),
    inputs=_matrices,
    edge_cases=_matrix_edges,
    hints=(
        "Row r of a projection makes coordinate r of the query. Take one head of 8 coordinates: which row has to stand "
        "first, which second, which third, so that neighbours are what used to be i and i + 4?",
        "In each head the order of the rows becomes 0, d/2, 1, d/2 + 1, 2, …: seen as a table (half, pair) it is read "
        "by columns instead of by rows.",
        "`weight.unflatten(0, (n_heads, 2, -1))` has the dimensions (head, half, pair, hidden). Exchange half and pair "
        "by `.transpose(1, 2)`, and join the first three by `.flatten(0, 2)`.",
    ),
    variant=_neighbours,
    slips=named(
        {
            "order:inverse": "That is the way back, from neighbours to halves. Here row 1 of the result is row d/2 of "
            "each head.",
            "order:second first": "In each pair the two rows are exchanged. That turns every pair the other way round.",
            "order:kept": "The rows stay as they are. Reordered, row 1 of each head is its former row d/2.",
            "order:over heads": "You mix the heads: a row of one head stands among those of another. Each head keeps "
            "its d rows together.",
            "order:heads inside": "You mix the heads: a row of one head stands among those of another. Keep the heads "
            "as the outermost dimension.",
            "order:reversed": "The pairs come in reverse order. Pair 0 is the fastest and stays first.",
            "order:mirrored": "You pair i with d − 1 − i. Coordinate i goes with i + d/2.",
            "heads:one": "You take the whole matrix for a single head. The pairs are made within each head: its rows "
            "are d of the `n_heads` · d.",
            "columns": "You reorder the columns. A column belongs to a coordinate of the *input*; the coordinates of "
            "the query are the rows.",
            "turned": "The result is transposed. Only the order of the rows changes.",
        }
    ),
)
