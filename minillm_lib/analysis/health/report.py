"""All checks of a run, and their findings as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from rich import box
from rich.table import Table
from rich.text import Text

from minillm_lib.analysis.baselines import baselines_of_run
from minillm_lib.analysis.health.data import check_memorising, check_overfitting, check_repetition
from minillm_lib.analysis.health.finding import Finding, Severity, worst
from minillm_lib.analysis.health.gradients import check_blocks, check_gradient_norms
from minillm_lib.analysis.health.loss import (
    check_initial_loss,
    check_learning_rate,
    check_reference,
    check_what_was_learned,
)
from minillm_lib.analysis.health.machine import check_memory, check_speed
from minillm_lib.analysis.health.records import check_finished, check_steps, check_warnings
from minillm_lib.analysis.reference import find_reference_band
from minillm_lib.training.run import RunResult, RunSource

_MARKS: Mapping[Severity, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "unsure": ("cannot tell", "dim"),
    "look": ("look", "bold yellow"),
    "wrong": ("wrong", "bold red"),
}


@dataclass(frozen=True)
class RunReport:
    """What :func:`examine_run` found, in the order of the checks; ``rich.print`` and notebooks show it as a table."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        """The severity of the most serious finding."""
        return worst([finding.severity for finding in self.findings])

    @property
    def is_healthy(self) -> bool:
        """Whether no finding is ``"wrong"``."""
        return self.severity != "wrong"

    def about(self, subject: str) -> Finding:
        """Return the finding about a subject, such as ``"learning rate"``.

        Raises
        ------
        ValueError
            If there is no such finding; the message lists the subjects.
        """
        for finding in self.findings:
            if finding.about == subject:
                return finding
        subjects = ", ".join(finding.about for finding in self.findings)
        raise ValueError(f"there is no finding about {subject!r}; the subjects are {subjects}")

    @property
    def verdict(self) -> str:
        """The report in one sentence."""
        count = {mark: sum(finding.severity == mark for finding in self.findings) for mark in _MARKS}
        if not count["wrong"] and not count["look"]:
            return "Nothing is wrong."
        parts = [f"{count['wrong']} wrong"] * bool(count["wrong"])
        parts += [f"{count['look']} to look at"] * bool(count["look"])
        return f"{', '.join(parts)}, {count['ok']} as they should be."

    def __rich__(self) -> Table:
        table = Table(
            title=f"Is {self.name} healthy?", box=box.SIMPLE_HEAD, title_justify="left", caption=self.verdict
        )
        table.caption_justify = "left"
        for heading in ("", "what", "what was found", "what to look at, what to try"):
            table.add_column(heading, no_wrap=heading in ("", "what"))
        for finding in self.findings:
            mark, style = _MARKS[finding.severity]
            table.add_row(Text(mark, style), finding.about, Text(finding.found), Text(finding.advice))
        return table

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td><b>{_MARKS[each.severity][0]}</b></td><td>{escape(each.about)}</td>"
            f"<td style='text-align:left'>{escape(each.found)}</td>"
            f"<td style='text-align:left'>{escape(each.advice)}</td></tr>"
            for each in self.findings
        )
        return f"<table>{rows}</table><p>{escape(self.verdict)}</p>"


def examine_run(
    run: RunSource,
    *,
    references: str | os.PathLike[str] = "results",
    baselines: Mapping[str, float] | None = None,
) -> RunReport:
    """Examine whether a run is healthy; it may be running, finished or interrupted.

    Parameters
    ----------
    run
        The run's folder, or what ``pretrain`` or ``sft`` returned. Bare records tell less.
    references
        The folder in which to look for bands of recorded runs (see
        :func:`~minillm_lib.analysis.reference.reference_band`).
    baselines
        The losses that counting achieves, as :func:`~minillm_lib.analysis.baselines.count_baselines` returns them;
        None computes them from the token files that the run has read, if they are still there.

    Raises
    ------
    RunError
        If there is no run in the folder.
    """
    metrics = RunResult.of(run)
    steps = check_steps(metrics)
    always = [check_warnings(metrics), steps, check_finished(metrics)]
    if not metrics.steps:
        return RunReport(metrics.name, tuple(always))
    if baselines is None:
        baselines = baselines_of_run(metrics)
    findings = [
        check_initial_loss(metrics),
        check_reference(metrics, find_reference_band(metrics, references)),
        check_what_was_learned(metrics, baselines),
        check_learning_rate(metrics),
        check_gradient_norms(metrics),
        check_blocks(metrics),
        check_repetition(metrics),
        check_memorising(metrics),
        check_overfitting(metrics),
        check_speed(metrics),
        check_memory(metrics),
        *always,
    ]
    return RunReport(metrics.name, tuple(each for each in findings if each is not None))
