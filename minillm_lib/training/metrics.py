"""Where the records of a run go: its folder, the caller, TensorBoard or Weights & Biases, and the progress bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tqdm.auto import tqdm

from minillm_lib.training.config import RunConfig
from minillm_lib.training.distributed import Processes
from minillm_lib.training.loggers import Logger, open_loggers
from minillm_lib.training.run_folder import Record, RunFolder


class Metrics:
    """Takes the records of a run; in all processes but the first it does nothing.

    Parameters
    ----------
    show_bar
        Whether to show a progress bar.
    on_record
        Is called with each record.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        processes: Processes,
        *,
        show_bar: bool,
        on_record: Callable[[Record], None] | None,
    ) -> None:
        self.config, self.folder = config, folder
        self.is_on, self.show_bar, self.on_record = processes.is_first, show_bar, on_record
        self._loggers: list[Logger] = []
        self._bar: tqdm[Any] | None = None

    @contextmanager
    def opened(self, step: int) -> Iterator[None]:
        """Show the bar and reach the loggers, for a run that is at this step."""
        if not self.is_on:
            yield
            return
        with ExitStack() as closing:
            self._loggers = open_loggers(self.config, step)
            for logger in self._loggers:
                closing.callback(logger.close)
            self._bar = closing.enter_context(
                tqdm(
                    total=self.config.train.steps,
                    initial=step,
                    desc=self.config.stage,
                    unit="step",
                    disable=not self.show_bar,
                )
            )
            yield

    def record(self, record: Record) -> None:
        """Take a record."""
        if not self.is_on:
            return
        self.folder.record(record)
        for logger in self._loggers:
            logger.log(record)
        if self._bar is not None and record["kind"] == "step":
            self._bar.set_postfix_str(_in_a_line(record), refresh=False)
            self._bar.update()
        if self.on_record is not None:
            self.on_record(record)

    def go_back(self, step: int) -> None:
        """Forget what was recorded after this step, which will be recorded again."""
        if not self.is_on:
            return
        self.folder.forget_after(step)
        for logger in self._loggers:
            logger.go_back(step)
        if self._bar is not None:
            self._bar.n = step

    def warn(self, step: int, problem: str) -> None:
        """Record that something is wrong, and tell the user."""
        self.record({"kind": "warning", "step": step, "problem": problem, "reaction": "warn"})
        self.say(problem)

    def say(self, text: str) -> None:
        """Tell the user something, above the bar."""
        if self.is_on:
            tqdm.write(text)


def _in_a_line(record: Record) -> str:
    return (
        f"loss {record['loss']:.3f}, perplexity {math.exp(min(record['loss'], 20)):,.1f}, "
        f"{record['tokens_per_second']:,.0f} tokens/s, MFU {record['mfu']:.0%}"
    )
