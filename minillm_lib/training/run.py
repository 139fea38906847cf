"""What comes of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.run_folder import Record, RunError, RunFolder


@dataclass(frozen=True)
class RunResult:
    """What came of a run: where it is, its metrics, and whether it reached its last step.

    Attributes
    ----------
    folder, output
        The run's folder; and where the best model is once the run is finished.
    is_finished
        False where it was asked to stop before its last step.
    records
        The lines of ``metrics.jsonl``.
    """

    folder: Path
    output: Path
    is_finished: bool
    records: list[Record]

    def series(self, key: str, kind: str = "step") -> tuple[list[int], list[float]]:
        """Steps, and the values of a metric at them: ``series("loss")``, ``series("perplexity", "evaluation")``."""
        chosen = [record for record in self.of_kind(kind) if record.get(key) is not None]
        return [record["step"] for record in chosen], [record[key] for record in chosen]

    def of_kind(self, kind: str) -> list[Record]:
        """The records of a kind, such as ``step``, ``evaluation`` or ``sample``."""
        return [record for record in self.records if record["kind"] == kind]

    @property
    def best(self) -> Record:
        """The evaluation with the lowest held-out loss."""
        known = [record for record in self.of_kind("evaluation") if record["loss"] is not None]
        return min(known, key=lambda record: record["loss"])

    def load_model(self) -> MiniLLM:
        """The best model, with its tokenizer, for use.

        Raises
        ------
        RunError
            If the run has not come to its last step.
        """
        if not self.is_finished:
            raise RunError(f"{self.folder}: the run has not come to its last step: go on with resume=True")
        return MiniLLM.load_from_checkpoint(self.output)


FloatArray = npt.NDArray[np.float64]


RunSource = str | os.PathLike[str] | RunResult | Sequence[Record]
"""A run: its folder, the result of ``pretrain`` or ``sft``, or its records."""


@dataclass(frozen=True)
class RunMetrics:
    """The records of a run, by kind, and the values of a key over the steps.

    Attributes
    ----------
    records
        In the order in which they were written.
    config
        The run's ``config.yaml`` where it is known, else empty.
    folder
        Where the run is kept, if that is known.
    """

    records: Sequence[Record]
    config: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @classmethod
    def of(cls, run: RunSource | RunMetrics) -> RunMetrics:
        """Read the metrics of a run.

        Raises
        ------
        RunError
            If there is no run in the folder.
        """
        if isinstance(run, RunMetrics):
            return run
        if isinstance(run, RunResult):
            return cls(run.records, RunFolder(run.folder).config(), run.folder)
        if isinstance(run, str | os.PathLike):
            folder = RunFolder(run)
            config = folder.config()
            if not folder.metrics_path.is_file():
                raise RunError(
                    f"{folder.path}: the run has no metrics.jsonl: it has not come to its first step"
                )
            return cls(folder.records(), config, folder.path)
        return cls(run)

    def of_kind(self, kind: str) -> list[Record]:
        """The records of a kind."""
        return [record for record in self.records if record.get("kind") == kind]

    def series(self, key: str, kind: str = "step") -> tuple[FloatArray, FloatArray]:
        """The steps at which a key was recorded, and its values, ``(n,)`` each."""
        chosen = [record for record in self.of_kind(kind) if record.get(key) is not None]
        steps = np.array([record["step"] for record in chosen], dtype=np.float64)
        return steps, np.array([record[key] for record in chosen], dtype=np.float64)

    def values(self, key: str) -> FloatArray:
        """A key's value in each step, ``(n_steps,)``, nan where it was not recorded."""
        found = [record.get(key) for record in self.steps]
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)

    @cached_property
    def steps(self) -> list[Record]:
        """The records of the steps."""
        return self.of_kind("step")

    @cached_property
    def evaluations(self) -> list[Record]:
        """The records of the evaluations on held-out text."""
        return self.of_kind("evaluation")

    @property
    def start(self) -> Record:
        """What the run wrote down when it began; empty if it did not."""
        return next(iter(self.of_kind("start")), {})

    @property
    def name(self) -> str:
        """The folder's name, or the stage."""
        return self.folder.name if self.folder is not None else self.stage

    @property
    def stage(self) -> str:
        """``"pretrain"`` or ``"sft"``."""
        return str(self.start.get("stage", "run"))

    @cached_property
    def warmup_end(self) -> int:
        """The index of the first step at (nearly) the highest learning rate; 0 where rates were not recorded."""
        rates = self.values("lr")
        return int(np.argmax(rates >= 0.99 * np.nanmax(rates))) if np.isfinite(rates).any() else 0

    def setting(self, *keys: str) -> Any:
        """A value of the configuration, ``setting("train", "clip_norm")``; ``None`` where there is none."""
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def smoothed(values: npt.ArrayLike, window: int | None = None) -> FloatArray:
    """A centred moving average that is narrower towards both ends, so that a trend is not bent there.

    Parameters
    ----------
    values
        ``(n,)``; values that are not finite are left out of the averages.
    window
        How many values are averaged; by default a thirtieth of all, and five at least.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    half = (max(n // 30, 5) if window is None else window) // 2
    places = np.arange(n)
    reach = np.minimum(half, np.minimum(places, n - 1 - places))
    is_finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(is_finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(is_finite)])
    low, high = places - reach, places + reach + 1
    with np.errstate(invalid="ignore"):
        averages: FloatArray = (sums[high] - sums[low]) / (counts[high] - counts[low])
    return averages


def noise_of(values: FloatArray) -> float:
    """The standard deviation of values around their trend, from the differences of neighbours; robust to outliers."""
    differences = np.diff(values[np.isfinite(values)])
    if not len(differences):
        return 0.0
    deviation = np.median(np.abs(differences - np.median(differences)))
    return float(1.4826 * deviation / np.sqrt(2))
