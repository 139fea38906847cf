"""The result of a run that is finished, still running, or was killed: its records, as values and as arrays."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import numpy.typing as npt

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.records import faults_in_words
from minillm_lib.training.run_folder import Record, RunError, RunFolder

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunResult:
    """The result of a run: :func:`~minillm_lib.training.stages.pretrain` returns it, :meth:`of` reads it from a folder.

    Attributes
    ----------
    records
        The lines of ``metrics.jsonl``, in the order in which they were written.
    config
        The run's ``config.yaml``; empty where only records are known.
    folder
        The run's folder; None where only records are known.
    stopped_by
        The signal that asked this process to stop before the last step; None if none did.
    """

    records: Sequence[Record]
    config: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    stopped_by: Signals | None = None

    @classmethod
    def of(cls, run: RunSource) -> RunResult:
        """Read what is recorded of a run; lines that are no records are left out, with a ``UserWarning``.

        Raises
        ------
        RunError
            If there is no run in the folder, or it has not recorded anything yet.
        """
        if isinstance(run, RunResult):
            return run
        if isinstance(run, str | os.PathLike):
            folder = RunFolder(run)
            config = folder.config()
            if not folder.metrics_path.exists():
                raise RunError(
                    f"{folder.path}: the run has no metrics.jsonl: it has not reached its first step"
                )
            records, faulty = folder.read_records()
            if faulty:
                warnings.warn(faults_in_words(folder.metrics_path, faulty), stacklevel=2)
            return cls(records, config, folder.path)
        return cls(run)

    @property
    def is_finished(self) -> bool:
        """Whether the run has reached its last step."""
        return bool(self.of_kind("end"))

    @property
    def output(self) -> Path:
        """Where the best model is, once the run is finished.

        Raises
        ------
        RunError
            If the configuration is not known.
        """
        if "output" not in self.config:
            raise RunError(f"{self.name}: the run's configuration is not known, so neither is its output")
        return Path(self.config["output"])

    def of_kind(self, kind: str) -> list[Record]:
        """Return the records of a kind, such as ``step``, ``evaluation`` or ``sample``."""
        return [record for record in self.records if record.get("kind") == kind]

    def series(self, key: str, kind: str = "step") -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Return the steps at which a key was recorded, and its values, ``(n,)`` each.

        For example ``series("loss")``, or ``series("perplexity", "evaluation")``.
        """
        chosen = [record for record in self.of_kind(kind) if record.get(key) is not None]
        steps = np.array([record["step"] for record in chosen], dtype=np.int64)
        return steps, np.array([record[key] for record in chosen], dtype=np.float64)

    def values(self, key: str) -> FloatArray:
        """Return a key's value in each step, ``(n_steps,)``, nan where it was not recorded."""
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

    @cached_property
    def measured(self) -> list[Record]:
        """The evaluations whose loss is a finite number; one that has diverged records none."""
        keys = ("loss", "perplexity", "bits_per_byte")
        return [
            record for record in self.evaluations if all(_is_finite(record.get(key, 0.0)) for key in keys)
        ]

    @property
    def best(self) -> Record:
        """The evaluation with the lowest held-out loss, among those that read as many tokens as the last one.

        The others are from before ``evaluation.max_tokens`` was changed, and do not compare.

        Raises
        ------
        RunError
            If no evaluation with a finite loss has been recorded.
        """
        if not self.measured:
            what = "" if not self.evaluations else " with a finite loss"
            raise RunError(f"{self.name}: no evaluation on held-out text{what} has been recorded yet")
        n_tokens = self.measured[-1].get("n_tokens")
        comparable = [record for record in self.measured if record.get("n_tokens") == n_tokens]
        return min(comparable, key=lambda record: record["loss"])

    @property
    def saved(self) -> Record:
        """The evaluation of the model in :attr:`output`: the best, unless its checkpoint was damaged at the end.

        Raises
        ------
        RunError
            If the run has not reached its last step, or has recorded no evaluation of that model with a finite loss.
        """
        self._check_finished()
        step = self.of_kind("end")[-1].get("best_step", self.best["step"])
        found = [record for record in self.measured if record["step"] == step]
        if not found:
            raise RunError(
                f"{self.name}: no finite held-out loss of the saved model, of step {step}, has been recorded"
            )
        return found[-1]

    def load_model(self) -> MiniLLM:
        """Load the best model, with its tokenizer, for use.

        Raises
        ------
        RunError
            If the run has not reached its last step.
        """
        self._check_finished()
        return MiniLLM.load_from_checkpoint(self.output)

    def _check_finished(self) -> None:
        if not self.is_finished:
            raise RunError(
                f"{self.name}: the run has not reached its last step: continue it with resume=True"
            )

    @property
    def start(self) -> Record:
        """What the run recorded when it began; empty if it did not."""
        return next(iter(self.of_kind("start")), {})

    @property
    def name(self) -> str:
        """The folder's name, or the stage."""
        return self.folder.name if self.folder is not None else self.stage

    @property
    def stage(self) -> str:
        """``"pretrain"`` or ``"sft"``; ``"run"`` where that was not recorded."""
        return str(self.start.get("stage", "run"))

    @cached_property
    def warmup_end(self) -> int:
        """The index of the first step at (nearly) the highest learning rate; 0 where rates were not recorded."""
        rates = self.values("lr")
        return int(np.argmax(rates >= 0.99 * np.nanmax(rates))) if np.isfinite(rates).any() else 0

    def setting(self, *keys: str) -> Any:
        """Return a value of the configuration, ``setting("train", "clip_norm")``; None where there is none."""
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


RunSource = str | os.PathLike[str] | RunResult | Sequence[Record]
"""A run: its folder, the result of ``pretrain`` or ``sft``, or its records."""


def smoothed(values: npt.ArrayLike, window: int | None = None) -> FloatArray:
    """Compute a centred moving average that is narrower towards both ends, so that a trend is not bent there.

    Parameters
    ----------
    values
        ``(n,)``; values that are not finite are left out of the averages.
    window
        How many values are averaged; None for a thirtieth of all, but at least five.
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
    """Estimate the standard deviation of values around their trend from neighbours' differences; robust to outliers."""
    differences = np.diff(values[np.isfinite(values)])
    if not len(differences):
        return 0.0
    deviation = np.median(np.abs(differences - np.median(differences)))
    return float(1.4826 * deviation / np.sqrt(2))
