"""``minillm report``: what came of training runs, on one page or as a folder to keep."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

runs_app = typer.Typer()
console = Console()


@runs_app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of runs, such as runs/pretrain runs/sft.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A folder for all that is worth keeping; by default only a page in the run's.",
        ),
    ] = None,
    perplexity: Annotated[
        float, typer.Option(min=1, help="Tell when the law of the losses reaches this.")
    ] = 12.2,
    open_report: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """What came of one or several runs: curves, health, samples, and the original's figures beside them.

    With --output, a folder that is small enough for a repository: configuration, metrics of every step, environment,
    samples, figures, tables and the page.
    """
    from minillm_lib.viz.run_report import summarize_runs, write_run_report
    from minillm_lib.viz.run_results import keep_results

    with console.status("Reading the metrics, counting baselines, fitting …"):
        summaries = summarize_runs(runs)
        if output is None:
            page = write_run_report(runs[0] / "report.html", summaries, target_perplexity=perplexity)
        else:
            page = keep_results(output, summaries, target_perplexity=perplexity) / "report.html"
    for summary in summaries:
        best = summary.best
        console.print(
            f"{summary.heading}: held-out perplexity {best['perplexity']:,.2f} ({best['bits_per_byte']:.3f} bits a "
            f"byte) at step {best['step']:,}. {summary.health.verdict}",
            highlight=False,
        )
    console.print(f"The report: [bold]{page}[/bold] ({page.stat().st_size / 2**20:.1f} MiB)", highlight=False)
    if open_report:
        webbrowser.open(page.resolve().as_uri())
