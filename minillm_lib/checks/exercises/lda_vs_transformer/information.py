"""How much two groupings of the same documents say of each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

Array = np.ndarray[Any, np.dtype[Any]]


def _table(rng: np.random.Generator) -> Inputs:
    """Draw a table of counts in which most rows have one large entry, and some entries are 0."""
    n_rows, n_columns = int(rng.integers(3, 6)), int(rng.integers(3, 6))
    table = rng.integers(0, 4, (n_rows, n_columns))
    table[np.arange(n_rows), rng.integers(0, n_columns, n_rows)] += rng.integers(5, 40, n_rows)
    table[:, 0] += 1
    table[0] += 1
    table[1, 1] = 0
    return (table,)


def _table_edges() -> dict[str, Inputs]:
    return {
        "groupings that agree": (np.diag([5, 9, 7]),),
        "groupings that agree, in another order": (np.array([[0, 6, 0], [8, 0, 0], [0, 0, 4]]),),
        "independent groupings": (np.outer([1, 2, 3], [2, 5]),),
        "a topic without documents": (np.array([[7, 1], [0, 0], [2, 6]]),),
    }


def _entropy(p: Array) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())


def _nmi(counts: Array, /, **slips: Any) -> Any:
    has = made(slips)
    joint = counts / counts.sum()
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    h_rows, h_columns, h_joint = _entropy(rows), _entropy(columns), _entropy(joint)
    information = h_rows + h_columns - h_joint
    if has("rows:each"):
        with np.errstate(all="ignore"):
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            information = h_columns - float(np.mean([_entropy(row) for row in shares]))
    by = {
        "nothing": 1.0,
        "rows": h_rows,
        "columns": h_columns,
        "largest": max(h_rows, h_columns),
        "smallest": min(h_rows, h_columns),
        "root": float(np.sqrt(h_rows * h_columns)),
        "sum": h_rows + h_columns,
        "joint": h_joint,
    }.get(str(slips.get("by")), (h_rows + h_columns) / 2)
    if has("value:conditional"):
        information = h_rows - information
    return (1 - information / by) if has("value:distance") else information / by


NORMALISED_INFORMATION = Exercise(
    name="normalised_information",
    points=2,
    reference=lambda counts: _nmi(counts),
    inputs=_table,
    edge_cases=_table_edges,
    atol=1e-8,
    hints=(
        "First make probabilities of the counts: of the pairs, of the rows alone, of the columns alone. Each has an "
        "entropy.",
        "I = H(rows) + H(columns) − H(pairs), and H = −Σ p ln p. What is p ln p where p is 0? Leave these entries out.",
        "With `p = counts / counts.sum()` and a function `h(q)` that computes `-(q * np.log(q)).sum()` over "
        "`q[q > 0]`: I is `h(p.sum(1)) + h(p.sum(0)) - h(p)`. Divide by the mean of the first two.",
    ),
    variant=_nmi,
    slips=named(
        {
            "rows:each": "You average over the topics as if all had as many documents. Weigh them by their shares.",
            "by:nothing": "You return the information itself, in nats. Divide it by the mean of the two entropies.",
            "by:rows": "You divide by the entropy of the rows only. Divide by the mean of both.",
            "by:columns": "You divide by the entropy of the columns only. Divide by the mean of both.",
            "by:largest": "You divide by the larger entropy. Equation (2) has the mean of both.",
            "by:smallest": "You divide by the smaller entropy. Equation (2) has the mean of both.",
            "by:root": "You divide by the geometric mean of the entropies. Equation (2) has the arithmetic one.",
            "by:sum": "You divide by the sum of the entropies. Equation (2) has their mean, so that agreement gives 1.",
            "by:joint": "You divide by the entropy of the pairs. Equation (2) has the mean of the other two.",
            "value:conditional": "This is what remains unknown of the true topic. The information is H(rows) less "
            "that.",
            "value:distance": "You return 1 minus the value: groupings that agree are to get 1.",
        }
    ),
)
