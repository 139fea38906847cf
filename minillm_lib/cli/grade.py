"""``minillm grade``: submitted notebooks in, points out."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from minillm_lib.cli.options import console
from minillm_lib.io.terminal import styled

if TYPE_CHECKING:
    from minillm_lib.checks.grading import GradeReport

grade_app = typer.Typer()


@grade_app.command()
def grade(
    path: Annotated[Path, typer.Argument(help="A submitted notebook, or a folder of them.")],
    assignment: Annotated[
        Path | None,
        typer.Option(
            help="The notebook that you handed out, if it is not one of the course's; its checks are graded."
        ),
    ] = None,
    exercises: Annotated[
        Path | None, typer.Option(help="A Python file that registers your own exercises.")
    ] = None,
    to_csv: Annotated[Path | None, typer.Option("--csv", help="Write all results to this file.")] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds per submission.")] = 600.0,
    cell_time_limit: Annotated[float, typer.Option(help="Seconds per cell.")] = 120.0,
    memory_limit: Annotated[float, typer.Option(help="Memory per submission, in MiB.")] = 4096.0,
    seed: Annotated[int | None, typer.Option(help="Seed for the hidden inputs; random by default.")] = None,
) -> None:
    """Grade submitted notebooks, each in its own process; a broken one never stops the rest."""
    from minillm_lib.checks.grading import grade_folder_paths, grade_notebook
    from minillm_lib.io.progress_bar import progress_bar

    if not path.exists():
        raise ValueError(f"{path} does not exist: name a notebook or a folder of notebooks")
    paths = grade_folder_paths(path) if path.is_dir() else [path]
    reports = [
        grade_notebook(
            one,
            assignment=assignment,
            exercises_file=exercises,
            time_limit=time_limit,
            cell_time_limit=cell_time_limit,
            memory_limit=memory_limit,
            seed=seed,
        )
        for one in progress_bar(paths, unit="notebook", desc="Grading", disable=len(paths) == 1)
    ]
    if path.is_dir():
        console.print(_submissions_table(reports, path))
    else:
        console.print(_exercises_table(reports[0]))
    if to_csv is not None:
        _write_csv(to_csv, reports)
        console.print(styled("written: ", (to_csv, "bold")))


def _exercises_table(report: GradeReport) -> Table:
    title = f"{report.path.name}: {report.points} of {report.max_points} points"
    table = Table("exercise", "points", "result", title=title, title_justify="left", show_lines=True)
    for result in report.results:
        table.add_row(
            result.exercise,
            f"{result.points} of {result.max_points}",
            f"{result.status}: {result.message}",
        )
    table.caption = report.problem or None
    return table


def _submissions_table(reports: list[GradeReport], folder: Path) -> Table:
    table = Table("submission", "points", "passed", "failed", "not attempted", "problem")
    for report in reports:
        statuses = [result.status for result in report.results]
        table.add_row(
            str(report.path.relative_to(folder)),
            f"{report.points} of {report.max_points}",
            *(str(statuses.count(status)) for status in ("passed", "failed", "not attempted")),
            report.problem,
        )
    return table


def _write_csv(path: Path, reports: list[GradeReport]) -> None:
    """Write one row per exercise, and then the submission's total; every cell is a value, so that it can be pivoted."""
    from minillm_lib.io.atomic_write import write_atomically

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["submission", "exercise", "points", "max_points", "status", "message"])
    for report in reports:
        for result in report.results:
            rows.writerow(
                [
                    report.path,
                    result.exercise,
                    result.points,
                    result.max_points,
                    result.status,
                    result.message,
                ]
            )
        rows.writerow([report.path, "total", report.points, report.max_points, "", report.problem])
    write_atomically(path, text.getvalue().encode("utf-8-sig"))
