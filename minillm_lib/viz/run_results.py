"""A finished run as a folder to keep in a repository: small, without weights, but enough to draw every figure again."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from minillm_lib import __version__
from minillm_lib.analysis.reference import FILE_NAME, reference_band
from minillm_lib.evaluation.results import Evaluation
from minillm_lib.io.atomic_write import open_atomically, write_atomically
from minillm_lib.io.optional import installed_version
from minillm_lib.io.write_errors import WriteError
from minillm_lib.training.run import RunSource
from minillm_lib.viz.evaluation_table import FILE_NAME as EVALUATION_FILE, EvaluationTable
from minillm_lib.viz.lda_report import ReportError
from minillm_lib.viz.original_figures import OriginalFigures
from minillm_lib.viz.run_report import (
    RunSummary,
    comparison_rows,
    scaling_sentences,
    scaling_warning,
    summarize_runs,
    write_run_report,
)
from minillm_lib.viz.training_plots import training_overview

_DIGITS = 5
_FEWEST_STEPS_OF_BAND = 100
_PACKAGES = ("torch", "numpy", "sentencepiece")


def keep_results(
    folder: str | os.PathLike[str],
    runs: Sequence[RunSource | RunSummary],
    *,
    target_perplexity: float | None = None,
    original: str | os.PathLike[str] | OriginalFigures | None = None,
    evaluation: str | os.PathLike[str] | Evaluation | None = None,
) -> Path:
    """Write what is worth keeping of runs into a folder, and return the folder.

    ::

        results/26m/
            report.html           the page of write_run_report
            table.md              the figures of the runs, beside the original's if given
            environment.json      Python, torch, processor, cores
            samples.md            what the models wrote
            config.yaml           every key of the run's configuration
            metrics.jsonl         the metrics of every step, rounded to five digits
            curves.png
            reference-band.json   what later runs of this kind are compared with
            eval.json             what minillm eval found, if given

    With several runs, the four files before eval.json are in a subfolder with the name of the run, one for each.
    ``minillm doctor`` and ``minillm report`` can read such a folder like that of a run. Each file is written
    atomically. Other files in the folder are kept.

    Parameters
    ----------
    target_perplexity
        Report when the fitted scaling law reaches this perplexity; None for no target.
    original
        Figures to compare with, as in :func:`~minillm_lib.viz.run_report.run_report_html`; None for no comparison.
    evaluation
        What ``minillm eval`` found, as in ``run_report_html``; None for none.

    Raises
    ------
    ValueError
        If there is no run, a run has no step or no evaluation, two runs have the same name, or the file of
        ``original`` or ``evaluation`` is invalid.
    ReportError
        If the folder cannot be written.
    """
    folder = Path(folder)
    figures = None if original is None else OriginalFigures.of(original)
    if evaluation is not None and not isinstance(evaluation, Evaluation):
        evaluation = Evaluation.load(evaluation)
    summaries = summarize_runs(runs)
    names = [summary.metrics.name for summary in summaries]
    if len(set(names)) < len(names):
        raise ValueError(f"two runs have the same name: {', '.join(names)}; rename a folder")
    try:
        places = [folder if len(names) == 1 else folder / name for name in names]
        for place, summary in zip(places, summaries, strict=True):
            _keep_run(place, summary, folder.name)
        _write_json(folder / "environment.json", rounded(environment(summaries)))
        _write(folder / "samples.md", _samples(summaries))
        _write(folder / "table.md", _table(summaries, places, target_perplexity, figures, evaluation))
        if evaluation is not None:
            evaluation.save(folder / EVALUATION_FILE)
        write_run_report(
            folder / "report.html",
            summaries,
            target_perplexity=target_perplexity,
            original=figures,
            evaluation=evaluation,
        )
    except OSError as error:
        if isinstance(error, ReportError):
            raise
        reason = str(error) if isinstance(error, WriteError) else error.strerror or error
        raise ReportError(f"cannot write the results to {folder}: {reason}") from error
    return folder


def _keep_run(folder: Path, summary: RunSummary, name: str) -> None:
    metrics = summary.metrics
    _write(folder / "config.yaml", yaml.safe_dump(dict(metrics.config), sort_keys=False, allow_unicode=True))
    lines = (json.dumps(rounded(record), ensure_ascii=False) for record in metrics.records)
    _write(folder / "metrics.jsonl", "".join(f"{line}\n" for line in lines))
    with open_atomically(folder / "curves.png") as file:
        training_overview(metrics, baselines=summary.baselines).savefig(file, format="png", dpi=110)
    if len(metrics.steps) >= _FEWEST_STEPS_OF_BAND and metrics.start:
        reference_band(metrics, name=f"{name} ({metrics.stage})").save(folder / FILE_NAME)


def rounded(value: Any, digits: int = _DIGITS) -> Any:
    """Return a JSON value with every float rounded to this many significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else value
    if isinstance(value, dict):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    return [rounded(inner, digits) for inner in value] if isinstance(value, list) else value


def environment(summaries: Sequence[RunSummary]) -> dict[str, Any]:
    """Return the hardware and package versions of this machine, and what each run recorded about its own machine."""
    keys = ("device", "processes", "precision", "matmul_flops", "torch")
    return {
        "made_on": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "python": platform.python_version(),
            "minillm_lib": __version__,
            **{package: installed_version(package) for package in _PACKAGES},
        },
        "runs": {
            summary.metrics.name: {key: summary.metrics.start.get(key) for key in keys}
            for summary in summaries
        },
    }


def _processor() -> str:
    """Return the processor's name; on Linux only ``/proc/cpuinfo`` has it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _samples(summaries: Sequence[RunSummary]) -> str:
    """Return every sample as Markdown, by run and step, in code fences that a model's text cannot close."""
    lines = ["# What the models wrote", ""]
    for summary in summaries:
        lines += [f"## {summary.heading}", ""]
        for sample in summary.metrics.of_kind("sample"):
            text = f"{sample['prompt']} ⟶ {sample['text']}"
            longest = max((len(run) for run in _backticks(text)), default=0)
            fence = "`" * max(3, longest + 1)
            lines += [f"After step {sample['step']:,}:", "", f"{fence}text", text, fence, ""]
    return "\n".join(lines)


def _backticks(text: str) -> Iterator[str]:
    return (run for run in "".join(c if c == "`" else " " for c in text).split())


def _table(
    summaries: Sequence[RunSummary],
    places: Sequence[Path],
    target_perplexity: float | None,
    figures: OriginalFigures | None,
    evaluation: Evaluation | None,
) -> str:
    """Return the figures of runs, the commands that reproduce them, the scaling law and an evaluation, as Markdown."""
    rows = comparison_rows(summaries, figures)
    if figures is None:
        lines = ["| | these runs |", "| --- | --- |", *(f"| {what} | {ours} |" for what, _, ours in rows), ""]
    else:
        lines = [
            "| | the original | these runs |",
            "| --- | --- | --- |",
            *(f"| {what} | {stated} | {ours} |" for what, stated, ours in rows),
            "",
            f"The original is the report “{figures.title}”.",
            "",
        ]
    lines += [
        "The figures of these runs are on held-out text: before the first step, and at the best one.",
        "",
    ]
    for summary, place in zip(summaries, places, strict=True):
        command = f"minillm {summary.metrics.stage} --config {(place / 'config.yaml').as_posix()}"
        lines += [f"{summary.heading}: `{command}`", ""]
        sentences = list(scaling_sentences(summary, target_perplexity))
        if warning := scaling_warning(summary, target_perplexity):
            sentences.append(" ".join(warning))
        lines += [f"- {sentence}" for sentence in sentences]
        lines += [""] * bool(sentences)
    if evaluation is not None:
        lines += ["What the models know, by `minillm eval`:", "", EvaluationTable.of(evaluation).markdown()]
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())


def _write_json(path: Path, content: Any) -> None:
    _write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
