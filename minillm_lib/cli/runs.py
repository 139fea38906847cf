"""``minillm report`` and ``doctor``: what came of runs, and what this machine offers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minillm_lib.cli.options import OpenReport, announce_report, console

runs_app = typer.Typer()


@runs_app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Folders of training runs, such as runs/pretrain runs/sft."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write everything worth keeping to this folder. By default, only a page is written to the folder "
            "of the first run.",
        ),
    ] = None,
    perplexity: Annotated[
        float | None,
        typer.Option(min=1, help="Report when the fitted scaling law reaches this perplexity."),
    ] = None,
    original: Annotated[
        Path | None,
        typer.Option(
            help="Compare with the figures in this JSON file, such as results/26m/original.json.",
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            "--eval",
            help="Show what minillm eval wrote to this JSON file; by default eval.json in a run's folder, if there is "
            "one.",
            show_default=False,
        ),
    ] = None,
    open_report: OpenReport = False,
) -> None:
    """Report on one or more training runs: figures, curves, health and samples.

    With --output, write a folder that is small enough for a repository: the configuration, the metrics of every step,
    the environment, samples, figures, tables and the page.
    """
    from minillm_lib.evaluation.results import Evaluation
    from minillm_lib.viz.evaluation_table import evaluation_beside
    from minillm_lib.viz.original_figures import OriginalFigures
    from minillm_lib.viz.run_report import summarize_runs, write_run_report
    from minillm_lib.viz.run_results import keep_results

    figures = None if original is None else OriginalFigures.of(original)
    file = evaluation or next(filter(None, map(evaluation_beside, runs)), None)
    found = None if file is None else Evaluation.load(file)
    if file is not None and evaluation is None:
        console.print(f"with the evaluation in {file}", highlight=False, soft_wrap=True)
    with console.status("Reading metrics, computing baselines, fitting the scaling law …"):
        summaries = summarize_runs(runs)
        if output is None:
            page = write_run_report(
                runs[0] / "report.html",
                summaries,
                target_perplexity=perplexity,
                original=figures,
                evaluation=found,
            )
        else:
            page = (
                keep_results(
                    output, summaries, target_perplexity=perplexity, original=figures, evaluation=found
                )
                / "report.html"
            )
    for summary in summaries:
        best = summary.best
        console.print(
            f"{summary.heading}: held-out perplexity {best['perplexity']:,.2f} ({best['bits_per_byte']:.3f} bits per "
            f"byte) at step {best['step']:,}. {summary.health.verdict}",
            highlight=False,
        )
    announce_report(page, open_report)


@runs_app.command()
def doctor(
    run: Annotated[
        Path | None,
        typer.Argument(help="A run's folder, to see whether it is healthy; this machine by default."),
    ] = None,
    references: Annotated[Path, typer.Option(help="Folder with recorded runs to compare with.")] = Path(
        "results"
    ),
) -> None:
    """Show what this machine offers and what each model preset needs; or whether a run is healthy.

    The exit status is 1 if something is wrong with a run.
    """
    if run is not None:
        from minillm_lib.analysis.health.report import examine_run

        with console.status(f"Reading {run} …"):
            report = examine_run(run, references=references)
        console.print(report)
        raise typer.Exit(0 if report.is_healthy else 1)
    from minillm_lib.doctor import examine_machine

    with console.status("Measuring a matrix product …"):
        machine = examine_machine()
    console.print(machine)
