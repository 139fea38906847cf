"""A live plot of a training run in a notebook: :class:`LivePlot`."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping
from html import escape
from typing import Any

from minillm_lib.io.optional import optional_imports
from minillm_lib.io.wording import duration
from minillm_lib.training.run_folder import Record
from minillm_lib.viz.training_plots import plot_losses

with optional_imports("report", "to draw figures"):
    from matplotlib.figure import Figure

with optional_imports("course", "to plot a run while it trains"):
    from ipywidgets import HTML, Image, VBox  # type: ignore[import-untyped]

_MOST_OF_THE_TIME = 0.05
_WAITING = "<i>waiting for the first step …</i>"
_TAKEN_AGAIN = ("step", "evaluation", "sample")
_SHOWN = ("step", "evaluation", "warning")


class LivePlot:
    """A plot that follows a run: its losses, its latest samples, its speed and the remaining time.

    Call it with each record of the run, as in ``pretrain(config, on_record=LivePlot())``. It appears below the cell
    with the first record. It redraws by setting the values of its widgets, so that it keeps its place. Drawing takes at
    most a twentieth of the time. For readers without a kernel, use :meth:`figure`.

    Parameters
    ----------
    steps
        The last step of the run, to estimate the remaining time; None to show no estimate.
    interval
        Minimum number of seconds between redraws.
    baselines
        Losses to draw as broken lines, by name.

    Attributes
    ----------
    records
        The records so far. If the run returns to a checkpoint, the records of the steps that it repeats are dropped.
    widget
        The widget that is shown.
    """

    def __init__(
        self,
        *,
        steps: int | None = None,
        interval: float = 2.0,
        baselines: Mapping[str, float] | None = None,
    ) -> None:
        self.steps, self.interval, self.baselines = steps, interval, dict(baselines or {})
        self.records: list[Record] = []
        self._image = Image(format="png", layout={"display": "none", "max_width": "640px"})
        self._status, self._samples = HTML(_WAITING), HTML()
        self.widget = VBox([self._status, self._image, self._samples])
        self._is_shown = False
        self._last_step = 0
        self._began: tuple[int, float] | None = None
        self._next_drawing = 0.0

    def __call__(self, record: Record) -> None:
        """Take a record, and redraw if it is time."""
        if not self._is_shown and _is_notebook():
            self._ipython_display_()
        if record["kind"] == "step":
            self._count(record["step"])
        self.records.append(record)
        if self._last_step and self._is_due(record):
            start = time.monotonic()
            self._draw()
            taken = time.monotonic() - start
            self._next_drawing = time.monotonic() + max(self.interval, taken / _MOST_OF_THE_TIME)

    def figure(self) -> Figure:
        """Draw the losses so far.

        Raises
        ------
        ValueError
            If no step has been recorded yet.
        """
        return plot_losses(self.records, baselines=self.baselines, x="steps")

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self._is_shown = True
        display(self.widget)

    def _count(self, step: int) -> None:
        """Note the number of a step; if the run has returned to an earlier step, drop the records to be repeated."""
        if step <= self._last_step:
            self.records = [
                each for each in self.records if each["kind"] not in _TAKEN_AGAIN or each["step"] < step
            ]
        if self._began is None or step <= self._began[0]:
            self._began = (step, time.monotonic())
        self._last_step = step

    def _is_due(self, record: Record) -> bool:
        kind = record["kind"]
        return bool(kind == "end" or (kind == "step" and time.monotonic() >= self._next_drawing))

    def _draw(self) -> None:
        buffer = io.BytesIO()
        self.figure().savefig(buffer, format="png", dpi=90)
        self._image.value = buffer.getvalue()
        self._image.layout.display = ""
        self._status.value = self._status_line()
        self._samples.value = self._last_samples()

    def _status_line(self) -> str:
        of_kind = {kind: [each for each in self.records if each["kind"] == kind] for kind in _SHOWN}
        last = of_kind["step"][-1]
        of_all = f" of {self.steps:,}" if self.steps else ""
        parts = [f"<b>step {last['step']:,}{of_all}</b>", f"training {_loss(last['loss'])}"]
        if of_kind["evaluation"]:
            parts.append(f"held-out {_loss(of_kind['evaluation'][-1]['loss'])}")
        if "tokens_per_second" in last:
            parts.append(f"{last['tokens_per_second']:,.0f} tokens/s")
        parts += self._time_left()
        if of_kind["warning"]:
            parts.append(f"<b>warnings: {len(of_kind['warning'])}</b>")
        return " · ".join(parts)

    def _time_left(self) -> list[str]:
        if self.steps is None or self._began is None or self._last_step <= self._began[0]:
            return []
        first, since = self._began
        a_step = (time.monotonic() - since) / (self._last_step - first)
        left = self.steps - self._last_step
        return [f"{duration(a_step * left)} left" if left > 0 else "done"]

    def _last_samples(self) -> str:
        """Return the newest sample of each prompt: the continuation, or the answer on its own line."""
        newest = {each["prompt"]: each["text"] for each in self.records if each["kind"] == "sample"}
        answers = any(each.get("stage") == "sft" for each in self.records if each["kind"] == "start")
        between = "\n" if answers else ""
        style = "white-space:pre-wrap;margin:.2em 0;line-height:1.4"
        return "".join(
            f'<p style="{style}"><b>{escape(prompt)}</b>{between}{escape(text)}</p>'
            for prompt, text in newest.items()
        )


def _loss(loss: float) -> str:
    return f"{loss:.3f} (perplexity {math.exp(min(loss, 700)):,.4g})"


def _is_notebook() -> bool:
    """Return whether this runs in a Jupyter kernel."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell: Any = get_ipython()
    return getattr(shell, "kernel", None) is not None
