"""The exercise on eight recorded runs: which bug is in which of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs

BUGS = {
    "A": "gradients not zeroed",
    "B": "no causal mask",
    "C": "learning rate / 100",
    "D": "labels shifted twice",
    "E": "the same batch always",
    "F": "no warm-up",
    "G": "labels not shifted",
    "H": "learning rate × 100",
}
"""The bug of each run in ``results/training/broken_runs.json`` (``benchmarks/broken_runs.py``)."""

_LOOK = {
    frozenset(
        {"labels not shifted", "no causal mask"}
    ): "Both end too low on held-out text. With what loss does each "
    "begin, and how fast does it fall? One has nothing to find out, the other has to find the future first.",
    frozenset(
        {"labels not shifted", "the same batch always"}
    ): "Both fall to 0 on the training batches. What does the held-out loss say?",
    frozenset(
        {"no causal mask", "the same batch always"}
    ): "Both fall far below the healthy run on the training batches. What does the held-out loss say?",
    frozenset(
        {"labels shifted twice", "gradients not zeroed"}
    ): "Both are merely worse than the healthy run. Look at "
    "the length of the gradient: what is in it, if it is never emptied?",
    frozenset(
        {"no warm-up", "gradients not zeroed"}
    ): "Look at the first steps, and at the length of the gradient: what is in it, if it is never emptied?",
    frozenset(
        {"no warm-up", "labels shifted twice"}
    ): "Look at the very first steps: with which rate does each begin?",
    frozenset(
        {"learning rate / 100", "learning rate × 100"}
    ): "Both end high. One gets there slowly and smoothly, the other only after it has been thrown far off.",
    frozenset(
        {"learning rate / 100", "labels shifted twice"}
    ): "One of the two hardly gets away from ln V; the other learns, but a harder task.",
    frozenset(
        {"learning rate / 100", "no warm-up"}
    ): "One of the two hardly gets away from ln V; the other is quick at first.",
    frozenset({"learning rate × 100", "gradients not zeroed"}): "How far up does each go in its first steps?",
}

_ELSEWHERE = (
    "Compare its loss with the healthy one, its held-out loss with its own, and the length of its gradient with the "
    "healthy one."
)


def _inputs(rng: np.random.Generator) -> Inputs:
    return ()


def _exchanged(one: str, other: str) -> Callable[[], dict[str, str]]:
    """Return the answer in which two bugs are exchanged."""
    swapped = {one: other, other: one}
    return lambda: {letter: swapped.get(bug, bug) for letter, bug in BUGS.items()}


def _problem(found: Any) -> str | None:
    """Say which runs are wrong, and where to look; not what is right."""
    if not isinstance(found, Mapping):
        return "a dictionary is expected, with the letter of each run and the name of its bug."
    if unknown := sorted({str(bug) for bug in found.values()} - set(BUGS.values())):
        return f"there is no bug named {unknown[0]!r}; the names are those of the list above."
    if missing := sorted(set(BUGS) - set(found)):
        return f"the run {missing[0]} is missing."
    wrong = [letter for letter, bug in BUGS.items() if found[letter] != bug]
    if not wrong:
        return None
    first = wrong[0]
    look = _LOOK.get(frozenset({found[first], BUGS[first]}), _ELSEWHERE)
    are = "run is" if len(wrong) == 1 else "runs are"
    return f"{len(wrong)} {are} not right, {first} among them: it is not “{found[first]}”. {look}"


WHICH_BUG = Exercise(
    name="which_bug",
    points=3,
    must_hold=_problem,
    inputs=_inputs,
    cases=1,
    hints=(
        "First the runs that are too good: which ones end below the healthy run, on the training batches, and on "
        "held-out text? Two bugs let a model see what it is to predict, one lets it learn a batch by heart.",
        "Then the rates: one run hardly moves, one is thrown far off, and one begins faster than the healthy run, "
        "which is still warming up. Two are left, and their losses look alike.",
        "Of the last two, one adds its new gradient to all older ones, so that it is always long. The other has a "
        "gradient like the healthy run's, and a task that is harder.",
    ),
    misconceptions={
        exchanged: f"{_problem(exchanged())}" for exchanged in (_exchanged(*sorted(pair)) for pair in _LOOK)
    },
)
