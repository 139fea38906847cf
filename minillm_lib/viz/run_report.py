"""One or several training runs as one HTML file that needs no network, with what the original promised beside them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from minillm_lib import __version__
from minillm_lib.analysis.baselines import baselines_of_run
from minillm_lib.analysis.health import RunReport, examine_run
from minillm_lib.analysis.scaling_law import ScalingLaw, fit_scaling_law
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.training.run import RunMetrics, RunSource
from minillm_lib.training.run_folder import Record
from minillm_lib.viz.lda_report import check_report_path, report_environment, svg_data_address
from minillm_lib.viz.training_plots import (
    plot_gradient_norms,
    plot_learning_rate,
    plot_losses,
    plot_scaling_law,
    plot_throughput,
)

TARGET_PERPLEXITY = 12.2
_GPU_FLOPS = 400e12
_GPU = "a GPU that sustains 400 TFLOP/s (assumed: 40 % of an H100's 989 in bfloat16)"
_MOST_SAMPLED_STEPS = 6
_STAGES = {"pretrain": "Pretraining", "sft": "Fine-tuning"}


class Promise(NamedTuple):
    """What the original report says of a stage: cross-entropy and perplexity from and to, and optimizer steps."""

    loss: tuple[str, str]
    perplexity: tuple[str, str]
    steps: str


ORIGINAL = {
    "pretrain": Promise(("7.4", "2.5"), ("1600", "12.2"), "1,300"),
    "sft": Promise(("2.3", "1.70"), ("10.0", "5.5"), "4,500"),
}


@dataclass(frozen=True)
class RunSummary:
    """A run with all that the report says of it."""

    metrics: RunMetrics
    health: RunReport
    baselines: Mapping[str, float]
    law: ScalingLaw | None
    no_law: str

    @property
    def best(self) -> Record:
        """The evaluation with the lowest held-out loss."""
        return min(self.metrics.evaluations, key=lambda record: record["loss"])

    @property
    def hours(self) -> float:
        """The time of all steps; evaluations and checkpoints not counted."""
        return float(sum(record.get("seconds", 0.0) for record in self.metrics.steps)) / 3600

    @property
    def tokens_per_second(self) -> float:
        """All tokens over the time of all steps."""
        return float(self.metrics.steps[-1]["tokens"]) / (3600 * self.hours) if self.hours else math.nan

    @property
    def heading(self) -> str:
        """The stage and the folder's name."""
        return f"{_STAGES.get(self.metrics.stage, self.metrics.stage)}: {self.metrics.name}"


def summarize_run(run: RunSource | RunMetrics) -> RunSummary:
    """Examine a run, count its baselines, and fit a scaling law to it.

    Raises
    ------
    ValueError
        If there is no run, or it has no step or no evaluation.
    """
    metrics = RunMetrics.of(run)
    if not metrics.steps or not metrics.evaluations:
        raise ValueError(f"{metrics.name}: a report needs a step and an evaluation at least")
    baselines = baselines_of_run(metrics)
    law, no_law = None, ""
    try:
        law = fit_scaling_law(metrics) if metrics.stage == "pretrain" else None
    except ValueError as error:
        no_law = str(error)
    return RunSummary(metrics, examine_run(metrics, baselines=baselines), baselines, law, no_law)


def write_run_report(
    path: str | os.PathLike[str],
    runs: Sequence[RunSource | RunMetrics | RunSummary],
    *,
    target_perplexity: float = TARGET_PERPLEXITY,
) -> Path:
    """Write the page of :func:`run_report_html` to ``path``, whole or not at all.

    Raises :class:`~minillm_lib.viz.lda_report.ReportError` when ``path`` is a folder or cannot be written, and what
    :func:`summarize_run` raises.
    """
    path = check_report_path(path)
    write_atomically(path, run_report_html(runs, target_perplexity=target_perplexity).encode())
    return path


def run_report_html(
    runs: Sequence[RunSource | RunMetrics | RunSummary], *, target_perplexity: float = TARGET_PERPLEXITY
) -> str:
    """Tell of runs on one self-contained HTML page.

    The page has the original's figures beside these, and for each run its curves, whether it is healthy, what it
    wrote, its configuration, and, for pretraining, the law that its held-out loss follows and when that reaches
    ``target_perplexity``.

    Raises
    ------
    ValueError
        Without a run, and what :func:`summarize_run` raises.
    """
    summaries = summarize_runs(runs)
    names = " and ".join(summary.metrics.name for summary in summaries)
    return (
        report_environment()
        .get_template("run_report.html")
        .render(
            language="en",
            title=f"Training: {names}",
            words={
                "subtitle": "What the runs did, whether they are healthy, and what was promised.",
                "footer": f"Made by minillm report, minillm_lib {__version__}.",
            },
            facts=list(_facts(summaries)),
            table=comparison_rows(summaries),
            parts=[_part(summary, target_perplexity) for summary in summaries],
        )
    )


def summarize_runs(runs: Sequence[RunSource | RunMetrics | RunSummary]) -> list[RunSummary]:
    """:func:`summarize_run` of each run that is no summary yet. Raises ``ValueError`` where there is no run."""
    if not runs:
        raise ValueError("there is no run to report on")
    return [run if isinstance(run, RunSummary) else summarize_run(run) for run in runs]


def comparison_rows(summaries: Sequence[RunSummary]) -> list[tuple[str, str, str]]:
    """The original's figures beside these: what, the original, ours. Ours are on held-out text."""
    return [row for summary in summaries for row in _comparison(summary)]


def _comparison(summary: RunSummary) -> Iterator[tuple[str, str, str]]:
    metrics, best = summary.metrics, summary.best
    first = metrics.evaluations[0]
    promise = ORIGINAL.get(metrics.stage)
    loss, perplexity, steps = promise or Promise(("–", "–"), ("–", "–"), "–")
    name = _STAGES.get(metrics.stage, metrics.stage)
    yield (
        f"{name}: cross-entropy (nats a token)",
        f"{loss[0]} → {loss[1]}",
        f"{first['loss']:.2f} → {best['loss']:.2f}",
    )
    yield (
        f"{name}: perplexity",
        f"{perplexity[0]} → {perplexity[1]}",
        f"{first['perplexity']:,.4g} → {best['perplexity']:,.3g}",
    )
    yield (
        f"{name}: bits per byte",
        "not given",
        f"{first['bits_per_byte']:.2f} → {best['bits_per_byte']:.3f}",
    )
    yield f"{name}: optimizer steps", steps, f"{best['step']:,} of {metrics.steps[-1]['step']:,}"
    yield f"{name}: tokens", "not given", f"{best['tokens']:,}"
    yield f"{name}: parameters", "26 M", f"{metrics.start.get('parameters', 0):,}"
    yield f"{name}: hours of training", "not given", f"{summary.hours:.2f}"


def _facts(summaries: Sequence[RunSummary]) -> Iterator[tuple[str, str]]:
    start = summaries[0].metrics.start
    if "parameters" in start:
        yield "parameters", f"{start['parameters']:,}"
    yield "tokens", f"{sum(summary.metrics.steps[-1]['tokens'] for summary in summaries):,}"
    for summary in summaries:
        stage = _STAGES.get(summary.metrics.stage, summary.metrics.stage).lower()
        yield (
            f"{stage}: held-out perplexity",
            f"{summary.best['perplexity']:,.2f} ({summary.best['bits_per_byte']:.3f} bits a byte)",
        )
    yield "hours", f"{sum(summary.hours for summary in summaries):.2f}"
    if "device" in start:
        count = start.get("processes", 1)
        yield (
            "device",
            f"{start['device']}, {start.get('precision', '')}"
            + (f", {count} processes" if count > 1 else ""),
        )


def _part(summary: RunSummary, target_perplexity: float) -> dict[str, Any]:
    metrics = summary.metrics
    return {
        "name": metrics.name,
        "heading": summary.heading,
        "note": _note(summary),
        "losses": svg_data_address(plot_losses(metrics, baselines=summary.baselines)),
        "panels": [
            ("learning rate", svg_data_address(plot_learning_rate(metrics))),
            (
                "gradient norm",
                svg_data_address(plot_gradient_norms(metrics)),
            ),
            ("tokens a second", svg_data_address(plot_throughput(metrics))),
        ],
        "verdict": summary.health.verdict,
        "findings": summary.health.findings,
        "scaling": _scaling(summary, target_perplexity),
        "samples": list(_samples(metrics)),
        "config": yaml.safe_dump(dict(metrics.config), sort_keys=False, allow_unicode=True),
    }


def _note(summary: RunSummary) -> str:
    best, first = summary.best, summary.metrics.evaluations[0]
    counted = ", ".join(f"{name} {math.exp(loss):,.1f}" for name, loss in summary.baselines.items())
    baselines = f" Counting has these perplexities on the same text: {counted}." if counted else ""
    return (
        f"Held-out perplexity went from {first['perplexity']:,.4g} to {best['perplexity']:,.4g} "
        f"({best['bits_per_byte']:.3f} bits a byte) in {best['step']:,} steps, at "
        f"{summary.tokens_per_second:,.0f} tokens a second.{baselines}"
    )


def _scaling(summary: RunSummary, target_perplexity: float) -> dict[str, Any] | None:
    """What the fitted law says of a perplexity, in sentences, and its figure."""
    if summary.law is None:
        return {"figure": None, "sentences": [summary.no_law], "doubts": []} if summary.no_law else None
    target = math.log(target_perplexity)
    return {
        "figure": svg_data_address(plot_scaling_law(summary.law, target=target)),
        "sentences": list(scaling_sentences(summary, target_perplexity)),
        "doubts": summary.law.doubts(target),
    }


def scaling_sentences(summary: RunSummary, target_perplexity: float) -> Iterator[str]:
    """What the law of a run says: its form, and the tokens and hours at which it reaches a perplexity."""
    law, target = summary.law, math.log(target_perplexity)
    if law is None:
        return
    floor, scale, exponent = (law.parameter_interval(name) for name in ("floor", "scale", "exponent"))
    yield (
        f"loss = {law.floor:.2f} + {law.scale:.2f} · (tokens / 10⁶)^−{law.exponent:.3f}, fitted to "
        f"{len(law.points.tokens)} evaluations; 90 % intervals {floor[0]:.2f} to {floor[1]:.2f}, {scale[0]:.2f} to "
        f"{scale[1]:.2f}, {exponent[0]:.3f} to {exponent[1]:.3f}."
    )
    end_tokens, end_loss = law.points.end
    if end_tokens > law.points.tokens[-1]:
        fall = float(law.loss(end_tokens)) - end_loss
        yield (
            f"It stands for the highest learning rate; the decay brought the end of the run {fall:.2f} nats below it."
        )
    reached = next((each for each in summary.metrics.evaluations if each["loss"] <= target), None)
    if reached is not None:
        yield f"The run itself reached perplexity {target_perplexity:g} at {reached['tokens']:,} tokens."
    tokens, (low, high) = law.tokens_to_reach(target), law.tokens_interval(target)
    if not math.isfinite(tokens):
        yield f"By this law perplexity {target_perplexity:g} is never reached: it lies below the floor."
        return
    yield (
        f"By this law perplexity {target_perplexity:g} is reached after {_millions(tokens)} tokens (90 % interval "
        f"{_millions(low)} to {_millions(high)}): {_hours(tokens / summary.tokens_per_second)} at the speed of this "
        f"run{_on_a_gpu(summary, tokens)}."
    )


def _on_a_gpu(summary: RunSummary, tokens: float) -> str:
    flops = summary.metrics.start.get("flops_per_token")
    return f", {_hours(tokens * flops / _GPU_FLOPS)} on {_GPU}" if flops else ""


def _millions(tokens: float) -> str:
    return f"{tokens / 1e6:,.3g} M" if math.isfinite(tokens) else "no bound"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"


def _samples(metrics: RunMetrics) -> Iterator[dict[str, Any]]:
    """What was written at a few steps, spread evenly, the last one among them."""
    samples = metrics.of_kind("sample")
    steps = sorted({sample["step"] for sample in samples})
    n = min(len(steps), _MOST_SAMPLED_STEPS)
    chosen = {steps[round(i * (len(steps) - 1) / max(n - 1, 1))] for i in range(n)}
    perplexity_at = {record["step"]: record["perplexity"] for record in metrics.evaluations}
    for sample in samples:
        if sample["step"] in chosen:
            perplexity = perplexity_at.get(sample["step"])
            yield {
                **sample,
                "perplexity": "" if perplexity is None else f"{perplexity:,.1f}",
                "text": "\n" * (metrics.stage == "sft") + sample["text"],
            }
