"""A finished run as a folder to keep in a repository: small, without weights, and enough to make every figure again."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import yaml

from minillm_lib import __version__
from minillm_lib.analysis.reference import FILE_NAME, reference_band
from minillm_lib.io.atomic_write import open_atomically, write_atomically
from minillm_lib.training.run import RunMetrics, RunSource
from minillm_lib.viz.lda_report import ReportError
from minillm_lib.viz.run_report import (
    TARGET_PERPLEXITY,
    RunSummary,
    comparison_rows,
    scaling_sentences,
    summarize_runs,
    write_run_report,
)
from minillm_lib.viz.training_plots import training_overview

_DIGITS = 5
_FEWEST_STEPS_OF_BAND = 100
_PACKAGES = ("torch", "numpy", "sentencepiece")


def keep_results(
    folder: str | os.PathLike[str],
    runs: Sequence[RunSource | RunMetrics | RunSummary],
    *,
    target_perplexity: float = TARGET_PERPLEXITY,
) -> Path:
    """Write what is worth keeping of runs into a folder.

    ::

        results/26m/
            report.html           as write_run_report
            table.md              the original's figures beside these
            environment.json      Python, torch, processor, cores
            samples.md            what the models wrote
            config.yaml           of the run, every key
            metrics.jsonl         of every step, numbers rounded to five digits
            curves.png
            reference-band.json   what later runs of this kind are compared with

    Of several runs each has a folder of its own, named as the run, for the last four. ``minillm doctor`` and
    ``minillm report`` read such a folder as they read the run's own. Each file appears whole or not at all; others
    there stay.

    Raises
    ------
    ValueError
        If two runs have the same name, and what
        :func:`~minillm_lib.viz.run_report.summarize_run` raises.
    ReportError
        If the folder cannot be written.
    """
    folder = Path(folder)
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
        _write(folder / "table.md", _table(summaries, places, target_perplexity))
        write_run_report(folder / "report.html", summaries, target_perplexity=target_perplexity)
    except OSError as error:
        if isinstance(error, ReportError):
            raise
        raise ReportError(f"cannot write the results to {folder}: {error.strerror or error}") from error
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
    """A value of JSON with every float rounded to so many significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else value
    if isinstance(value, dict):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    return [rounded(inner, digits) for inner in value] if isinstance(value, list) else value


def environment(summaries: Sequence[RunSummary]) -> dict[str, Any]:
    """This machine and the versions of what counts, and what each run wrote down of the machine that it began on."""
    keys = ("device", "processes", "precision", "matmul_flops", "torch")
    return {
        "made_on": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "python": platform.python_version(),
            "minillm_lib": __version__,
            **{package: _version(package) for package in _PACKAGES},
        },
        "runs": {
            summary.metrics.name: {key: summary.metrics.start.get(key) for key in keys}
            for summary in summaries
        },
    }


def _processor() -> str:
    """The processor's name, which Linux tells only here."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _samples(summaries: Sequence[RunSummary]) -> str:
    """Every sample, by run and step, as Markdown; what a model wrote stands in fences that it cannot close."""
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


def _table(summaries: Sequence[RunSummary], places: Sequence[Path], target_perplexity: float) -> str:
    """The original's figures beside these, how to get them, and the scaling law, as Markdown."""
    lines = [
        "| | the original | this repository |",
        "| --- | --- | --- |",
        *(f"| {what} | {original} | {ours} |" for what, original, ours in comparison_rows(summaries)),
        "",
        "Figures of this repository are on held-out text: before the first step, and at the best one.",
        "",
    ]
    for summary, place in zip(summaries, places, strict=True):
        command = f"minillm {summary.metrics.stage} --config {(place / 'config.yaml').as_posix()}"
        lines += [f"{summary.heading}: `{command}`", ""]
        sentences = list(scaling_sentences(summary, target_perplexity))
        if summary.law is not None:
            doubts = summary.law.doubts(math.log(target_perplexity))
            sentences += [f"Do not trust this number: {'; '.join(doubts)}."] * bool(doubts)
        lines += [f"- {sentence}" for sentence in sentences]
        lines += [""] * bool(sentences)
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())


def _write_json(path: Path, content: Any) -> None:
    _write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
