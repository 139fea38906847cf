"""An HTML report on one or several training runs: a single file that needs no network."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from minillm_lib import __version__
from minillm_lib.analysis.baselines import baselines_of_run
from minillm_lib.analysis.health.report import RunReport, examine_run
from minillm_lib.analysis.scaling_law import ScalingLaw, fit_scaling_law
from minillm_lib.evaluation.results import Evaluation
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.training.run import RunResult, RunSource
from minillm_lib.training.run_folder import Record
from minillm_lib.viz.evaluation_table import EvaluationTable
from minillm_lib.viz.lda_report import check_report_path, report_environment
from minillm_lib.viz.original_figures import OriginalFigures
from minillm_lib.viz.pictures import Picture
from minillm_lib.viz.training_plots import (
    plot_gradient_norms,
    plot_learning_rate,
    plot_losses,
    plot_scaling_law,
    plot_throughput,
)

_GPU_FLOPS = 400e12
_GPU = "a GPU that sustains 400 TFLOP/s (assumed: 40 % of an H100's 989 in bfloat16)"
_MOST_SAMPLED_STEPS = 6
_STAGES = {"pretrain": "Pretraining", "sft": "Fine-tuning"}


@dataclass(frozen=True)
class RunSummary:
    """A run and everything that the report says about it.

    Attributes
    ----------
    baselines
        Held-out losses of counting models in nats per token, by name.
    law
        The scaling law fitted to the held-out losses; None for fine-tuning, and where it could not be fitted.
    no_law
        Why no law could be fitted, or an empty string.
    """

    metrics: RunResult
    health: RunReport
    baselines: Mapping[str, float]
    law: ScalingLaw | None
    no_law: str

    @property
    def best(self) -> Record:
        """The evaluation with the lowest held-out loss."""
        return self.metrics.best

    @property
    def hours(self) -> float:
        """The time of all steps in hours, without evaluations and checkpoints."""
        return float(sum(record.get("seconds", 0.0) for record in self.metrics.steps)) / 3600

    @property
    def tokens_per_second(self) -> float:
        """All tokens divided by the time of all steps; nan if no step recorded its time."""
        return float(self.metrics.steps[-1]["tokens"]) / (3600 * self.hours) if self.hours else math.nan

    @property
    def heading(self) -> str:
        """The name of the stage and of the run's folder."""
        return f"{_STAGES.get(self.metrics.stage, self.metrics.stage)}: {self.metrics.name}"


def summarize_run(run: RunSource) -> RunSummary:
    """Examine a run, compute its counting baselines, and fit a scaling law to it.

    Raises
    ------
    ValueError
        If there is no run, or it has no step or no evaluation.
    """
    metrics = RunResult.of(run)
    if not metrics.steps or not metrics.evaluations:
        raise ValueError(f"{metrics.name}: a report needs at least one step and one evaluation")
    if not metrics.measured:
        raise ValueError(f"{metrics.name}: a report needs at least one evaluation whose loss is finite")
    baselines = baselines_of_run(metrics)
    law, no_law = None, ""
    try:
        law = fit_scaling_law(metrics) if metrics.stage == "pretrain" else None
    except ValueError as error:
        no_law = str(error)
    return RunSummary(metrics, examine_run(metrics, baselines=baselines), baselines, law, no_law)


def write_run_report(
    path: str | os.PathLike[str],
    runs: Sequence[RunSource | RunSummary],
    *,
    target_perplexity: float | None = None,
    original: str | os.PathLike[str] | OriginalFigures | None = None,
    evaluation: str | os.PathLike[str] | Evaluation | None = None,
) -> Path:
    """Write the page of :func:`run_report_html` atomically to ``path``, and return the path.

    The parameters are those of :func:`run_report_html`.

    Raises
    ------
    ReportError
        If ``path`` is a folder or cannot be written.
    ValueError
        If there is no run, a run has no step or no evaluation, or the file of ``original`` or ``evaluation`` is
        invalid.
    """
    path = check_report_path(path)
    page = run_report_html(
        runs, target_perplexity=target_perplexity, original=original, evaluation=evaluation
    )
    write_atomically(path, page.encode())
    return path


def run_report_html(
    runs: Sequence[RunSource | RunSummary],
    *,
    target_perplexity: float | None = None,
    original: str | os.PathLike[str] | OriginalFigures | None = None,
    evaluation: str | os.PathLike[str] | Evaluation | None = None,
) -> str:
    """Report on runs on one self-contained HTML page.

    The page has a table of figures, and for each run its curves, whether it is healthy, what it wrote and its
    configuration. For pretraining it also has the scaling law fitted to the held-out loss.

    Parameters
    ----------
    target_perplexity
        Report when the fitted scaling law reaches this perplexity; None for no target.
    original
        Figures to show beside those of the runs: the path of a JSON file as described in
        :class:`~minillm_lib.viz.original_figures.OriginalFigures`, or what was read from it. None for no comparison.
    evaluation
        What ``minillm eval`` found: its JSON file, or what was read from it. None for no table of it.

    Raises
    ------
    ValueError
        If there is no run, a run has no step or no evaluation, or the file of ``original`` or ``evaluation`` is
        invalid.
    """
    figures = None if original is None else OriginalFigures.of(original)
    summaries = summarize_runs(runs)
    names = " and ".join(summary.metrics.name for summary in summaries)
    return (
        report_environment()
        .get_template("run_report.html")
        .render(
            language="en",
            title=f"Training: {names}",
            words={
                "subtitle": "What the runs did, and whether they are healthy.",
                "footer": f"Made by minillm report, minillm_lib {__version__}.",
            },
            facts=list(_facts(summaries)),
            original=figures,
            evaluation=None if evaluation is None else EvaluationTable.of(evaluation),
            table=comparison_rows(summaries, figures),
            parts=[_part(summary, target_perplexity) for summary in summaries],
        )
    )


def summarize_runs(runs: Sequence[RunSource | RunSummary]) -> list[RunSummary]:
    """Summarise each run by :func:`summarize_run`, unless it is a summary already.

    Raises
    ------
    ValueError
        If there is no run, or a run has no step or no evaluation.
    """
    if not runs:
        raise ValueError("there is no run to report on")
    return [run if isinstance(run, RunSummary) else summarize_run(run) for run in runs]


def comparison_rows(
    summaries: Sequence[RunSummary], original: OriginalFigures | None = None
) -> list[tuple[str, str, str]]:
    """Return the figures of runs, beside those of an original.

    Returns
    -------
    rows
        The name of each figure, the original's value and the run's value on held-out text. The original's value is
        empty without an original.
    """
    return [row for summary in summaries for row in _comparison(summary, original)]


def _comparison(summary: RunSummary, original: OriginalFigures | None) -> Iterator[tuple[str, str, str]]:
    name = _STAGES.get(summary.metrics.stage, summary.metrics.stage)
    stated = original.of_stage(summary.metrics.stage) if original is not None else None
    for key, (what, value) in _figures(summary).items():
        yield f"{name}: {what}", "" if stated is None else getattr(stated, key) or "not given", value


def _figures(summary: RunSummary) -> dict[str, tuple[str, str]]:
    """Return the figures of a run by the keys of ``StageFigures``: the name of each, and its value as text."""
    metrics, best = summary.metrics, summary.best
    first = metrics.measured[0]
    return {
        "loss": ("cross-entropy (nats per token)", f"{first['loss']:.2f} → {best['loss']:.2f}"),
        "perplexity": ("perplexity", f"{first['perplexity']:,.4g} → {best['perplexity']:,.3g}"),
        "bits_per_byte": ("bits per byte", f"{first['bits_per_byte']:.2f} → {best['bits_per_byte']:.3f}"),
        "steps": ("optimizer steps", f"{best['step']:,} of {metrics.steps[-1]['step']:,}"),
        "tokens": ("tokens", f"{best['tokens']:,}"),
        "parameters": ("parameters", f"{metrics.start.get('parameters', 0):,}"),
        "hours": ("hours of training", f"{summary.hours:.2f}"),
    }


def _facts(summaries: Sequence[RunSummary]) -> Iterator[tuple[str, str]]:
    start = summaries[0].metrics.start
    if "parameters" in start:
        yield "parameters", f"{start['parameters']:,}"
    yield "tokens", f"{sum(summary.metrics.steps[-1]['tokens'] for summary in summaries):,}"
    for summary in summaries:
        stage = _STAGES.get(summary.metrics.stage, summary.metrics.stage).lower()
        yield (
            f"{stage}: held-out perplexity",
            f"{summary.best['perplexity']:,.2f} ({summary.best['bits_per_byte']:.3f} bits per byte)",
        )
    yield "hours", f"{sum(summary.hours for summary in summaries):.2f}"
    if "device" in start:
        count = start.get("processes", 1)
        yield (
            "device",
            f"{start['device']}, {start.get('precision', '')}"
            + (f", {count} processes" if count > 1 else ""),
        )


def _part(summary: RunSummary, target_perplexity: float | None) -> dict[str, Any]:
    metrics = summary.metrics
    return {
        "name": metrics.name,
        "heading": summary.heading,
        "note": _note(summary),
        "losses": Picture.of(lambda axes: plot_losses(metrics, baselines=summary.baselines, ax=axes)),
        "panels": [
            ("learning rate", Picture.small(lambda axes: plot_learning_rate(metrics, ax=axes))),
            ("gradient norm", Picture.small(lambda axes: plot_gradient_norms(metrics, ax=axes))),
            ("tokens per second", Picture.small(lambda axes: plot_throughput(metrics, ax=axes))),
        ],
        "verdict": summary.health.verdict,
        "findings": summary.health.findings,
        "scaling": _scaling(summary, target_perplexity),
        "samples": list(_samples(metrics)),
        "config": yaml.safe_dump(dict(metrics.config), sort_keys=False, allow_unicode=True),
    }


def _note(summary: RunSummary) -> str:
    best, first = summary.best, summary.metrics.measured[0]
    counted = ", ".join(f"{name} {math.exp(loss):,.1f}" for name, loss in summary.baselines.items())
    baselines = f" The perplexities of counting models on the same text: {counted}." if counted else ""
    return (
        f"Held-out perplexity went from {first['perplexity']:,.4g} to {best['perplexity']:,.4g} "
        f"({best['bits_per_byte']:.3f} bits per byte) in {best['step']:,} steps, at "
        f"{summary.tokens_per_second:,.0f} tokens per second.{baselines}"
    )


def _scaling(summary: RunSummary, target_perplexity: float | None) -> dict[str, Any] | None:
    """Return the figure of the fitted law, what it says in sentences, and a warning; None for no law to report on."""
    if summary.law is None:
        return {"figure": None, "sentences": [summary.no_law], "warning": None} if summary.no_law else None
    law, target = summary.law, None if target_perplexity is None else math.log(target_perplexity)
    return {
        "figure": Picture.of(lambda axes: plot_scaling_law(law, target=target, ax=axes)),
        "sentences": list(scaling_sentences(summary, target_perplexity)),
        "warning": scaling_warning(summary, target_perplexity),
    }


def scaling_warning(summary: RunSummary, target_perplexity: float | None) -> tuple[str, str] | None:
    """Return what not to trust and why not, or None if nothing speaks against the law of a run.

    Without a target, only the fit within the measured range is doubted, not the number of tokens to reach a target.
    """
    law = summary.law
    if law is None:
        return None
    if target_perplexity is None:
        what, doubts = "Do not trust this law:", law.doubts(float(law.loss(law.points.tokens[-1])))
    else:
        what, doubts = "Do not trust this number:", law.doubts(math.log(target_perplexity))
    return (what, f"{'; '.join(doubts)}.") if doubts else None


def scaling_sentences(summary: RunSummary, target_perplexity: float | None) -> Iterator[str]:
    """Yield sentences about the law of a run: its form, and the tokens and hours to reach a perplexity, if any."""
    law = summary.law
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
            f"The law holds for the highest learning rate. The decay of the learning rate brought the end of the run "
            f"{fall:.2f} nats below it."
        )
    if target_perplexity is None:
        return
    target = math.log(target_perplexity)
    reached = next((each for each in summary.metrics.measured if each["loss"] <= target), None)
    if reached is not None:
        yield f"The run itself reached perplexity {target_perplexity:g} at {reached['tokens']:,} tokens."
    tokens, (low, high) = law.tokens_to_reach(target), law.tokens_interval(target)
    if not math.isfinite(tokens):
        yield f"By this law, perplexity {target_perplexity:g} is never reached: it lies below the floor."
        return
    yield (
        f"By this law, perplexity {target_perplexity:g} is reached after {_millions(tokens)} tokens (90 % interval "
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


def _samples(metrics: RunResult) -> Iterator[dict[str, Any]]:
    """Yield what was written at a few evenly spaced steps, including the last one."""
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
