"""What an evaluation found, as values that can be written to JSON and read again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minillm_lib.io.atomic_write import write_atomically

FORMAT = 1
_SHARES = ("acc", "exact_match")
_MORE = ("acc_bytes", "acc_mutual_info")


@dataclass(frozen=True, slots=True)
class Score:
    """One figure of one model.

    Attributes
    ----------
    task
        Such as ``"course-quiz"``, or ``"text"``.
    part
        What of the task: ``"all"``, a language, a subject, a file.
    metric
        Such as ``"acc"`` or ``"bits_per_byte"``.
    value
        The figure; shares are from 0 to 1.
    n
        Of how many questions, documents or, for a text, bytes.
    low, high
        The 95 % interval; None where there is none.
    chance
        What guessing gives; None where that has no meaning.
    higher_is_better
        Whether a larger value is a better one.
    """

    task: str
    part: str
    metric: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    higher_is_better: bool = True

    @property
    def is_share(self) -> bool:
        """Whether the value is a share, to be shown in percent."""
        return self.metric.startswith(_SHARES)

    def shown(self, value: float | None = None) -> str:
        """Return a value of this metric as text; by default its own."""
        value = self.value if value is None else value
        if not math.isfinite(value):
            return str(value)
        return f"{100 * value:.1f} %" if self.is_share else f"{value:.4g}"

    def with_interval(self) -> str:
        """Return the value and its interval as text, such as ``"50.0 % (40.4–59.6)"``."""
        if self.low is None or self.high is None:
            return self.shown()
        ends = (self.shown(end).removesuffix(" %") for end in (self.low, self.high))
        return f"{self.shown()} ({'–'.join(ends)})"


@dataclass(frozen=True)
class ModelScores:
    """All figures of one model, and what is needed to compute them again.

    Attributes
    ----------
    name
        The name in tables.
    source
        The checkpoint's path, as it was given.
    files
        The SHA-256 of each file of the checkpoint that decides the result, by name.
    facts
        The number of parameters, the context, which program read it, the device.
    scores
        The figures, in the order in which they are shown.
    notes
        What was cut, merged or left out, in words.
    seconds
        How long it took, without loading.
    right
        For each question of the course quiz, by its id, whether the likeliest answer is right.
    """

    name: str
    source: str
    files: Mapping[str, str]
    facts: Mapping[str, Any]
    scores: Sequence[Score]
    notes: Sequence[str] = ()
    seconds: float = 0.0
    right: Mapping[str, bool] = field(default_factory=dict)

    def score(self, key: tuple[str, str, str]) -> Score | None:
        """Return the figure of a task, part and metric; None if this model has none."""
        found = (each for each in self.scores if (each.task, each.part, each.metric) == key)
        return next(found, None)


@dataclass(frozen=True)
class Evaluation:
    """Several models on the same tasks.

    Attributes
    ----------
    models
        In the order in which they were given.
    settings
        The options of the call: tasks, texts, limit, shots, template, stride; and how many shots each task had.
    made_with
        Versions of Python and of the packages, and the date.
    notes
        What holds for all models, in words: options that some tasks do not follow, and models that are missing.
    """

    models: Sequence[ModelScores]
    settings: Mapping[str, Any] = field(default_factory=dict)
    made_with: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def rows(self) -> list[tuple[Score, list[Score | None]]]:
        """Return each figure that some model has: one of its scores, and that of each model or None."""
        keys = {(score.task, score.part, score.metric): score for m in self.models for score in m.scores}
        return [(score, [model.score(key) for model in self.models]) for key, score in keys.items()]

    def main_rows(self) -> list[tuple[Score, list[Score | None]]]:
        """Return the rows worth showing: every metric of whole tasks and of languages, and ``acc`` of subjects."""
        wide = ("all", "en", "zh")
        return [row for row in self.rows() if row[0].part in wide or row[0].metric not in _MORE]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything as JSON, atomically, and return the path.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        content = {"format": FORMAT, "made_with": dict(self.made_with), "settings": dict(self.settings)}
        content["notes"] = list(self.notes)
        models = [asdict(model) for model in self.models]
        text = json.dumps(content | {"models": models}, indent=2, ensure_ascii=False)
        write_atomically(Path(path), f"{text}\n".encode())
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Read what :meth:`save` has written.

        Raises
        ------
        ValueError
            If the file is not JSON of this kind; the message names it.
        FileNotFoundError
            If there is no such file.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']!r}, and {FORMAT} is read")
            models = [
                ModelScores(**{**model, "scores": [Score(**score) for score in model["scores"]]})
                for model in content["models"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}: not the results of minillm eval: {error}") from error
        return cls(
            models, content.get("settings", {}), content.get("made_with", {}), content.get("notes", ())
        )
