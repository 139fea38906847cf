"""Losses that go wrong: finding them, recording what was read, and deciding whether to warn, stop or go back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.config import TrainConfig
from minillm_lib.training.metrics import Metrics
from minillm_lib.training.precision import Precision
from minillm_lib.training.progress import RECENT
from minillm_lib.training.rows import IntArray, Rows
from minillm_lib.training.run_folder import RunError, RunFolder, checkpoint_steps

_LEAST_DEVIATION = 0.02  # so that a small jump is no spike where the losses happen to lie close together
_MOST_SKIPPED = 5  # batches near one another; with more, the cause is not in the data
_MOST_SPIKES = 20  # within as many steps as losses are remembered; with more, the loss has risen to stay

Reaction = Literal["warn", "stop", "rollback"]


class TrainingDivergedError(RunError):
    """A run has stopped because of a spike, or because a loss, gradient or weight was not finite."""


class Problem(NamedTuple):
    """What is wrong with a step: its kind, and a description for the user."""

    kind: Literal["nan", "spike"]
    description: str


SPOILED = Problem("nan", "a weight is not finite after the update")


def find_problem(
    loss: float,
    grad_norm: float,
    recent_losses: Sequence[float],
    *,
    spike_deviations: float,
    skips_infinite_gradients: bool,
) -> Problem | None:
    """Find what is wrong with the loss and the gradient of a step; return None if nothing is.

    Parameters
    ----------
    recent_losses
        The losses of the steps before, at most a hundred; with fewer than fifty, nothing counts as a spike.
    spike_deviations
        How many standard deviations above the mean of the recent losses a spike begins.
    skips_infinite_gradients
        Whether a loss scaler is in use, which itself skips steps with an infinite gradient.
    """
    if not math.isfinite(loss):
        return Problem("nan", f"the loss is {loss}")
    if not math.isfinite(grad_norm) and not skips_infinite_gradients:
        return Problem("nan", f"the gradient's norm is {grad_norm}, with a loss of {loss:.3f}")
    if len(recent_losses) < RECENT // 2:
        return None
    mean, deviation = fmean(recent_losses), stdev(recent_losses)
    if loss <= mean + spike_deviations * max(deviation, _LEAST_DEVIATION):
        return None
    return Problem(
        "spike",
        f"the loss jumped to {loss:.3f}; the last {len(recent_losses)} were {mean:.3f} ± {deviation:.3f}",
    )


class BadBatches:
    """Records the batches at which the loss went wrong, and decides what the run does next.

    Attributes
    ----------
    skipped
        The numbers of the batches that the run leaves out, since it was rolled back because of them.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        metrics: Metrics,
        rows: Rows,
        tokenizer: Tokenizer,
        precision: Precision,
    ) -> None:
        self.config, self.folder, self.metrics = config, folder, metrics
        self.rows, self.tokenizer, self.precision = rows, tokenizer, precision
        self.skipped = folder.skipped_batches()
        self._spikes: set[int] = set()

    def find_problem(
        self, step: int, loss: float, grad_norm: float, recent_losses: Sequence[float]
    ) -> Problem | None:
        """Find what is wrong with a step; return None if nothing is, or there is a spike after many others."""
        found = find_problem(
            loss,
            grad_norm,
            recent_losses,
            spike_deviations=self.config.spike_deviations,
            skips_infinite_gradients=self.precision.skips_infinite_gradients,
        )
        is_one_of_many = found is not None and found.kind == "spike" and self._stays_high(step)
        return None if is_one_of_many else found

    def _stays_high(self, step: int) -> bool:
        return sum(each > step - RECENT for each in self._spikes) >= _MOST_SPIKES

    def take(self, problem: Problem, step: int, number: int, rows: IntArray) -> Reaction:
        """Record a batch and what was wrong with it, in the folder and in the metrics; return how the run reacts.

        Parameters
        ----------
        step, number, rows
            The step that went wrong, the number of the batch that it read, and the numbers of that batch's rows.

        Raises
        ------
        TrainingDivergedError
            If the run is to stop, or has already left out as many batches as it may.
        """
        reaction = self._reaction(problem, number)
        facts = {"problem": problem.description, "reaction": reaction, "step": step, "batch": number}
        if self.metrics.is_on:
            ids = self.rows[rows].input_ids.tolist()
            texts = [self.tokenizer.decode(row, skip_special_tokens=False) for row in ids]
            path = self.folder.keep_bad_batch(number, {**facts, "rows": rows.tolist(), "texts": texts})
            self.metrics.record({"kind": "warning", **facts, "batch": str(path)})
        what = f"step {step}, batch {number}: {problem.description}"
        if reaction == "stop":
            raise TrainingDivergedError(f"{what}. {self._how_to_go_on(problem, number)}")
        if reaction == "rollback":
            self.skipped.append(number)
        self.metrics.say(
            f"{what} ({'rolling back, and leaving that batch out' if reaction == 'rollback' else 'continuing'})"
        )
        if reaction == "warn":
            self._spikes.add(step)
            if self._stays_high(step):
                self.metrics.warn(
                    step,
                    f"step {step}: the loss stays high, with {_MOST_SPIKES} spikes in the last {RECENT} steps: from "
                    "here on, such losses count as usual, and their batches are not kept",
                )
        return reaction

    def _reaction(self, problem: Problem, number: int) -> Reaction:
        wanted: Reaction = self.config.on_spike if problem.kind == "spike" else self.config.on_nan
        return "stop" if wanted == "rollback" and self._n_skipped_near(number) >= _MOST_SKIPPED else wanted

    def _n_skipped_near(self, number: int) -> int:
        return sum(abs(each - number) <= RECENT for each in self.skipped)

    def _how_to_go_on(self, problem: Problem, number: int) -> str:
        saved, n_skipped = checkpoint_steps(self.folder.path)[-1], self._n_skipped_near(number)
        advice = f"resume without it (--resume --train.on_{problem.kind} rollback), "
        if n_skipped >= _MOST_SKIPPED:
            advice = f"{n_skipped} batches near it have been left out already, so the cause lies elsewhere: "
        if problem.kind == "spike":
            advice += "resume with it (--resume --train.on_spike warn), "
        advice += "or " * advice.endswith(", ")
        return (
            f"Nothing of that step was saved: the checkpoint of step {saved} is intact, and the batch is in "
            f"{self.folder.bad_batches_path}; {advice}start again with a lower train.lr or a longer warm-up"
        )
