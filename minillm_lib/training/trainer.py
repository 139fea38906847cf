"""The training loop: one for pretraining and fine-tuning, one process and several, float32 and mixed precision.

:meth:`Trainer.run` reads from top to bottom: a step, its record, and at regular intervals an evaluation and a
checkpoint. A step depends only on the weights, the optimizers' state and its own number, so a run that was killed
resumes bit for bit as if it had never stopped.

The parts that the loop uses are in modules of their own: :mod:`.optimizer`, :mod:`.precision`, :mod:`.parallel` (the
processes, and the model in each of them), :mod:`.checkpoints`, :mod:`.evaluation` (held-out loss and samples),
:mod:`.metrics` (where records go, and speed and memory) and :mod:`.divergence` (what to do when a loss goes wrong).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from signal import Signals
from typing import Any

import torch

from minillm_lib.io.wording import number_of
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.checkpoints import Checkpoints
from minillm_lib.training.config import RunConfig
from minillm_lib.training.divergence import SPOILED, BadBatches, Problem
from minillm_lib.training.evaluation import HeldOut
from minillm_lib.training.interruption import Interruption
from minillm_lib.training.memory import most_rows_that_fit, out_of_memory_in_words
from minillm_lib.training.metrics import Metrics, Throughput
from minillm_lib.training.optimizer import learning_rate_factor, make_optimizers
from minillm_lib.training.parallel import Processes, Replica
from minillm_lib.training.precision import Precision
from minillm_lib.training.progress import Progress, batch_of_step
from minillm_lib.training.rows import Batch, IntArray, Rows, rows_of_step
from minillm_lib.training.run import RunResult
from minillm_lib.training.run_folder import Record, RunError, RunFolder, run_option

_MOST_NAMED = 8


class Trainer:
    """One run, from its first step or from its last checkpoint.

    Parameters
    ----------
    config, folder, processes
        What to do, where to keep it, and the processes that take part.
    model
        The model, with its tokenizer. Its weights are trained in place.
    rows, held_out
        The rows to train on, and the rows to evaluate on, by name.
    data_fingerprint
        What distinguishes the data from any other; a run resumes only with the data that it began with.
    progress
        Show a progress bar.
    on_record
        Called with each record of the metrics.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        processes: Processes,
        model: MiniLLM,
        rows: Rows,
        held_out: Mapping[str, Rows],
        data_fingerprint: Mapping[str, Any],
        *,
        progress: bool = True,
        on_record: Callable[[Record], None] | None = None,
    ) -> None:
        assert model.tokenizer is not None
        train = config.train
        self.config, self.folder, self.processes = config, folder, processes
        self.rows = rows
        self.tokens_per_step = train.batch_size * rows.seq_len
        self.rows_at_a_time = train.rows_at_a_time(
            rows.seq_len, processes.count, on_gpu=processes.device.type == "cuda"
        )
        self.precision = Precision(train.precision, processes.device, train.tf32)
        self.replica = Replica(model, train, processes, self.precision.dtype)
        self.optimizers = make_optimizers(model, train.optimizer, self.precision.matmul_dtype)
        self.held_out = HeldOut(
            held_out, self.replica, model.tokenizer, config, processes, self.precision, self.rows_at_a_time
        )
        self.checkpoints = Checkpoints(
            folder, processes, model, self.optimizers, self.precision, data_fingerprint, config
        )
        self.metrics = Metrics(config, folder, processes, show_bar=progress, on_record=on_record)
        self.bad_batches = BadBatches(train, folder, self.metrics, rows, model.tokenizer, self.precision)
        self.throughput = Throughput(model.config, rows.seq_len, processes, self.precision)
        self.progress = Progress()

    def run(self) -> RunResult:
        """Train to the last step, or until a signal asks to stop; after the last step, save the best model.

        Returns
        -------
        RunResult
            The run so far. Once it is finished, the best model is in ``config.output``.

        Raises
        ------
        TrainingDivergedError
            If the loss goes wrong and the run is to stop then.
        RunError
            If a file of the run cannot be written, or the device has too little memory for a step.
        """
        n_steps, evaluate_every = self.config.train.steps, self.config.evaluation.every
        says_so = self.processes.is_first
        with Interruption(says_so=says_so) as interruption, self.metrics.opened(self.progress.step):
            self._record_start()
            if self.progress.best_loss == math.inf:
                self._evaluate()
            if not self.checkpoints.exist:
                self.checkpoints.save(self.progress)
            while self.progress.step < n_steps:
                record = self._step()
                if record is None:
                    continue  # the run went back to its last checkpoint
                self.metrics.record(record)
                step = self.progress.step
                is_last = step == n_steps
                stopped_by = int(self.processes.highest(interruption.signal or 0))  # in any of the processes
                is_best = (is_last or step % evaluate_every == 0) and self._evaluate()
                if is_best or is_last or stopped_by or step % self.config.checkpoint.every == 0:
                    self.checkpoints.save(self.progress)
                if stopped_by and not is_last:
                    where = f"{Signals(stopped_by).name}: stopped after step {step} of {n_steps}"
                    self.metrics.say(
                        f"{where}; everything is saved. Resume with the same command and --resume"
                    )
                    return self._result(Signals(stopped_by))
        self._export_best()
        return self._result()

    def _step(self) -> Record | None:
        """Update the weights once; return None if the run went back to its last checkpoint instead."""
        start = time.perf_counter()
        train, step, processes = self.config.train, self.progress.step, self.processes
        _, rows = self._batch_of(step)
        batch = self.rows[rows[processes.rank :: processes.count]]
        lr = self._set_learning_rate(step)
        # Dropout, too, is a function of the step alone.
        torch.manual_seed(((train.seed << 20) + step) * 4096 + processes.rank)
        result = self._accumulated_if_there_is_memory(batch)
        if result is None:  # outside of the handler of the error, which holds on to the memory
            raise self._out_of_memory(batch)
        loss, n_labels = result
        self.precision.unscale(self.optimizers)
        is_examined = (step + 1) % self.config.evaluation.every == 0
        layer_grad_norms = self.replica.grad_norms_by_layer() if is_examined else None
        grad_norm = self.replica.clip_gradients(train.clip_norm)
        problem = self.bad_batches.find_problem(step + 1, loss, grad_norm, self.progress.recent_losses)
        if problem is not None and self._react(problem, step):
            return None
        self.precision.step(self.optimizers, grad_norm)
        if not self.replica.has_finite_weights() and self._react(SPOILED, step):
            return None
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.progress.add_step(loss, self.tokens_per_step, is_usual=problem is None)
        seconds = time.perf_counter() - start
        return {
            "kind": "step",
            "step": self.progress.step,
            "tokens": self.progress.tokens,
            "loss": loss,
            "grad_norm": grad_norm,
            "lr": lr,
            "labels": n_labels,
            **self.throughput.of_step(self.tokens_per_step, n_labels, seconds),
            **({} if layer_grad_norms is None else {"layer_grad_norms": layer_grad_norms}),
        }

    def _batch_of(self, step: int) -> tuple[int, IntArray]:
        """Return the number of the batch that a step reads, and its rows."""
        train, number = self.config.train, batch_of_step(step, self.bad_batches.skipped)
        return number, rows_of_step(number, train.batch_size, len(self.rows), train.seed)

    def _set_learning_rate(self, step: int) -> float:
        train = self.config.train
        lr = train.optimizer.lr * learning_rate_factor(step, train.steps, train.schedule)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
        return lr

    def _accumulated_if_there_is_memory(self, batch: Batch) -> tuple[float, int] | None:
        try:
            return self._accumulate_gradients(batch)
        except torch.OutOfMemoryError:
            return None

    def _out_of_memory(self, batch: Batch) -> RunError:
        """Return an error that says how many rows at a time fit, which is tried."""
        rows, fitting = min(self.rows_at_a_time, len(batch)), None
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        if self.processes.count == 1:
            fitting = most_rows_that_fit(lambda n: self._accumulate_gradients(batch[:n]), rows)
        return RunError(out_of_memory_in_words(self.processes.device, rows, self.rows.seq_len, fitting))

    def _accumulate_gradients(self, batch: Batch) -> tuple[float, int]:
        """Compute the gradient of the mean loss over all processes' labels; return that loss and their number."""
        processes = self.processes
        n_labels = int(processes.total(batch.n_labels)[0])
        total = torch.zeros((), device=processes.device)
        n_rows = len(batch)
        for start in range(0, n_rows, self.rows_at_a_time):
            end = min(start + self.rows_at_a_time, n_rows)
            part = batch[start:end].to(processes.device)
            with self.replica.exchanging_gradients(end == n_rows):
                with self.precision.autocast():
                    loss = self.replica(part)
                # Gradients are averaged over the processes, so each process multiplies its share of the sum by `count`.
                self.precision.backward(loss * (processes.count / max(n_labels, 1)))
            total += loss.detach()
        return processes.total(float(total))[0] / max(n_labels, 1), n_labels

    def _react(self, problem: Problem, step: int) -> bool:
        """Warn, stop or go back as configured; return whether the run went back."""
        if self.bad_batches.take(problem, step + 1, *self._batch_of(step)) != "rollback":
            return False
        self._load()
        self.metrics.go_back(self.progress.step)
        return True

    def _evaluate(self) -> bool:
        """Record the held-out loss and samples; return whether the loss is the lowest so far."""
        evaluation, *samples = self.held_out.records(self.progress.step, self.progress.tokens)
        for record in (evaluation, *samples):
            self.metrics.record(record)
        is_best = self.progress.is_best(evaluation["loss"])
        if is_best:
            self.progress.remember_best(evaluation["loss"])
        return is_best

    def resume(self, changed_keys: Mapping[str, Any] | None = None) -> None:
        """Resume from the last intact checkpoint, or from the start if the run was stopped before its first one.

        Parameters
        ----------
        changed_keys
            The keys of the configuration that have changed, each with its old and new value, to be recorded.

        Raises
        ------
        RunError
            If the checkpoints are gone, the run has taken more steps than ``train.steps``, or the data or ``ckpt`` is
            not what it began with.
        CheckpointError
            If no checkpoint is intact.
        """
        if self.processes.is_first and (strays := self.checkpoints.folder.strays()):
            more = f" and {len(strays) - _MOST_NAMED:,} more" * (len(strays) > _MOST_NAMED)
            self.metrics.say(
                f"{self.checkpoints.folder.path}: not taken for checkpoints, and left alone: "
                f"{', '.join(strays[:_MOST_NAMED])}{more}"
            )
        if self.checkpoints.exist:
            self._load()
            self._check_steps()
        elif self.folder.records("step"):
            raise RunError(
                f"{self.folder.path}: the checkpoints of this run are missing; start again with --overwrite"
            )
        self.metrics.go_back(self.progress.step if self.checkpoints.exist else -1)
        record = {"kind": "resume", "step": self.progress.step, "processes": self.processes.count}
        self.metrics.record({**record, "changed": dict(changed_keys or {})})

    def _check_steps(self) -> None:
        taken, wanted = self.progress.step, self.config.train.steps
        if taken > wanted:
            raise RunError(
                f"{self.folder.path}: the run has already taken {number_of(taken, 'step')}, and train.steps is "
                f"{wanted:,}; give train.steps of at least {taken}, or begin a new run with --overwrite or another "
                f"{run_option()}"
            )

    def _load(self) -> None:
        """Load the newest intact checkpoint; say what was wrong with newer ones, and whether its best loss counts."""
        before, now = self.progress, self.config.evaluation.max_tokens
        self.progress, faults, max_tokens = self.checkpoints.load_newest()
        if max_tokens != now:
            self.progress.best_loss, self.progress.best_step = before.best_loss, before.best_step
            if before.best_loss == math.inf:
                self.metrics.say(
                    f"evaluation.max_tokens was {max_tokens:,} and is {now:,}: held-out losses from before do not "
                    f"compare, so the best model is chosen among those from step {self.progress.step:,} on"
                )
        for fault in faults:
            text = (
                f"{fault}; this checkpoint was set aside, and the run resumes from step {self.progress.step}"
            )
            self.metrics.warn(self.progress.step, text)

    def _record_start(self) -> None:
        model, seq_len = self.replica.model.config, self.rows.seq_len
        self.metrics.record(
            {
                "kind": "start",
                "step": self.progress.step,
                "stage": self.config.stage,
                "parameters": model.n_parameters,
                "vocab_size": model.vocab_size,
                "tokens_per_epoch": len(self.rows) * seq_len,
                "tokens_per_step": self.tokens_per_step,
                **self.throughput.machine(),
            }
        )

    def _export_best(self) -> None:
        """Save the best model to ``config.output``; if its checkpoint is damaged, warn and save the last model."""
        if self.processes.is_first:
            step, faults = self.checkpoints.export_best(self.progress, self.config.output)
            for fault in faults:
                self.metrics.warn(
                    step, f"{fault}; the model of the last step is saved instead of the best one"
                )
            self.metrics.record({"kind": "end", "step": self.progress.step, "best_step": step})
        self.processes.wait()

    def _result(self, stopped_by: Signals | None = None) -> RunResult:
        return RunResult(self.folder.records(), self.config.as_json(), self.folder.path, stopped_by)
