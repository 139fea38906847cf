"""What comes of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.run_folder import Record, RunError


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
