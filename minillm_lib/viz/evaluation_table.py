"""The table of an evaluation, for reports in HTML and in Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from minillm_lib.evaluation.quiz import QUIZ
from minillm_lib.evaluation.results import Evaluation, ModelScores, Score
from minillm_lib.evaluation.statistics import sign_test

FILE_NAME = "eval.json"
"""The file in a run's folder that a report takes without being told."""

_PARTS = {"all": "all", "en": "English", "zh": "Chinese"}


@dataclass(frozen=True)
class EvaluationTable:
    """What a report shows of an evaluation, as text.

    Attributes
    ----------
    models
        The names of the models, which head the columns.
    rows
        For each figure: task, part, metric, what chance gives, the value of each model with its interval, and n.
    reading
        Sentences that say what the table shows.
    """

    models: Sequence[str]
    rows: Sequence[tuple[str, str, str, str, Sequence[str], str]]
    reading: Sequence[str]

    @classmethod
    def of(cls, evaluation: str | os.PathLike[str] | Evaluation) -> EvaluationTable:
        """Read the results of ``minillm eval``.

        Raises
        ------
        ValueError
            If the file does not hold such results.
        FileNotFoundError
            If there is no such file.
        """
        if not isinstance(evaluation, Evaluation):
            evaluation = Evaluation.load(evaluation)
        rows = [
            (
                score.task,
                _PARTS.get(score.part, score.part),
                score.metric,
                "" if score.chance is None else score.shown(score.chance),
                ["–" if value is None else value.with_interval() for value in values],
                f"{score.n:,}",
            )
            for score, values in evaluation.main_rows()
        ]
        return cls([model.name for model in evaluation.models], rows, list(_reading(evaluation)))

    def markdown(self) -> str:
        """Return the table and the sentences as Markdown."""
        head = ["task", "part", "metric", "chance", *self.models, "n"]
        lines = [
            [task, part, metric, chance, *values, n] for task, part, metric, chance, values, n in self.rows
        ]
        table = [head, ["---"] * len(head), *lines]
        return "\n".join([*(f"| {' | '.join(line)} |" for line in table), "", *self.reading, ""])


def evaluation_beside(folder: str | os.PathLike[str]) -> Path | None:
    """Return the results that lie in a run's folder; None if there are none."""
    path = Path(folder) / FILE_NAME
    return path if path.is_file() else None


def _reading(evaluation: Evaluation) -> Iterator[str]:
    """Yield, for whole tasks, which models are above chance, and of which two one is better; then what to know."""
    seen = set()
    for score, values in evaluation.rows():
        if score.metric not in ("acc", "bits_per_byte") or score.task in seen:
            continue
        seen.add(score.task)  # its first part is the whole
        known = [(model, value) for model, value in zip(evaluation.models, values, strict=True) if value]
        if score.chance is not None:
            for model, value in known:
                yield f"{score.task}: by {score.metric}, {model.name} is {_against_chance(value, score.chance)}."
        for (first, one), (second, two) in combinations(known, 2):
            if score.task == QUIZ:
                yield f"{score.task}: {_paired(first, second)}."
            else:
                yield f"{score.task}: {_compared(first.name, one, second.name, two)}, by {score.metric}."
    for note in evaluation.notes:
        yield f"{note[:1].upper()}{note[1:]}."


def _against_chance(value: Score, chance: float) -> str:
    if value.low is None or value.high is None:
        return "not compared with chance"
    if value.low > chance:
        return "above chance"
    return "below chance" if value.high < chance else "not told apart from chance"


def _paired(one: ModelScores, two: ModelScores) -> str:
    """Compare two models by the questions that only one of them has right."""
    both = [key for key in one.right if key in two.right]
    only_one = sum(one.right[key] and not two.right[key] for key in both)
    only_two = sum(two.right[key] and not one.right[key] for key in both)
    return (
        f"of {len(both)} questions, {one.name} alone has {only_one} right and {two.name} alone {only_two} (a split as "
        f"uneven has the probability {sign_test(only_one, only_two):.2g} if both are as good)"
    )


def _compared(name: str, one: Score, other: str, two: Score) -> str:
    ends = (one.low, one.high, two.low, two.high)
    if any(end is None for end in ends):
        return f"{name} and {other} have no intervals to compare"
    low, high, other_low, other_high = (float(end) for end in ends if end is not None)
    if high >= other_low and other_high >= low:
        return f"the intervals of {name} and {other} overlap"
    better, worse = (name, other) if (one.value > two.value) == one.higher_is_better else (other, name)
    return f"{better} is better than {worse}, and their intervals do not overlap"
