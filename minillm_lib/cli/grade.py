"""``minillm grade``: submitted notebooks in, points out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from minillm_lib.cli.options import console, notes, say
from minillm_lib.io.terminal import printable, styled

if TYPE_CHECKING:
    from minillm_lib.checks.class_grading import Graded
    from minillm_lib.checks.grade_report import GradeReport

grade_app = typer.Typer()

_LIMITS, _RESULTS = "Limits of each submission", "The results"
_MOST_SKIPPED = 20
_HELP = """Grade submitted notebooks, each in its own process; a broken one never stops the rest.

The marks are in the CSV file as soon as they are known: after Ctrl-C or a
power cut, --resume goes on. A submission that could not be graded has empty
cells and a reason, not 0 points.

What a function of a submission returns is judged outside the submission's
process, which never holds the right answers of --exercises. NOT guarded
against: a submission runs as you, so it can read and change your files, use
the network, find the exercises file on your disk, end your other programs,
leave work to services that run already (cron), and fill the disk; and the
pieces of minillm_lib itself can be imported, as in the course.

For people you do not trust, use a machine of its own or a container, where a
submission can still read the exercises and write to the folder of the marks.
IMAGE is Python with pip install '.\\[course]'. Tried with Docker
20.10, also on submissions that fork for ever, fill the memory, or look for
the network.

docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL
--pids-limit 512 --memory 8g --user 1000:1000 -v CLASS:/class:ro
-v ASSIGNMENT:/assignment:ro -v MARKS:/marks IMAGE minillm grade /class
--assignment /assignment/mine.ipynb --exercises /assignment/mine.py
--csv /marks/marks.csv
"""


@grade_app.command(help=_HELP)
def grade(
    path: Annotated[Path, typer.Argument(help="A submitted notebook, or a folder of them.")],
    assignment: Annotated[
        Path | None,
        typer.Option(
            help="The notebook that you handed out; its checks are graded. Without it, each submission is graded as "
            "the notebook of the course that its metadata name, or else its file name."
        ),
    ] = None,
    exercises: Annotated[
        Path | None,
        typer.Option(
            help="A Python file that registers your own exercises; it is first examined as by minillm exercises check."
        ),
    ] = None,
    extra_file: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file or folder that each submission finds beside it; may be given several times."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Submissions to grade at a time.")] = 1,
    seed: Annotated[
        int | None, typer.Option(help="Seed for the hidden inputs, the same for all; random by default.")
    ] = None,
    to_csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="Write the marks to this file, a row per student and a column per exercise; a name that begins like a "
            "formula gets an apostrophe in front.",
            rich_help_panel=_RESULTS,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep the marks of an earlier grading into the same file, if the notebook has not changed.",
            rich_help_panel=_RESULTS,
        ),
    ] = False,
    feedback: Annotated[
        Path | None,
        typer.Option(help="Write an HTML page for each student to this folder.", rich_help_panel=_RESULTS),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            help="Write an HTML page for the instructor: how many students made which mistake.",
            rich_help_panel=_RESULTS,
        ),
    ] = None,
    gradescope: Annotated[
        Path | None,
        typer.Option(
            help="Write Gradescope's results.json; for one submission, as Gradescope runs autograders.",
            rich_help_panel=_RESULTS,
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            help="Seconds in all; waiting for a processor that is busy with other programs does not count.",
            rich_help_panel=_LIMITS,
        ),
    ] = 600.0,
    cell_time_limit: Annotated[
        float, typer.Option(help="Seconds per cell, counted likewise.", rich_help_panel=_LIMITS)
    ] = 120.0,
    memory_limit: Annotated[
        float, typer.Option(help="Memory of all its processes, in MiB.", rich_help_panel=_LIMITS)
    ] = 4096.0,
    file_limit: Annotated[
        float, typer.Option(help="Size of a file that it writes, in MiB.", rich_help_panel=_LIMITS)
    ] = 1024.0,
    process_limit: Annotated[int, typer.Option(help="Processes at a time.", rich_help_panel=_LIMITS)] = 64,
) -> None:
    """Grade submitted notebooks."""
    from minillm_lib.checks.class_grading import check_place, grade_class
    from minillm_lib.checks.feedback import notes_on_class
    from minillm_lib.checks.limits import Limits
    from minillm_lib.checks.marks import notes_on_names
    from minillm_lib.checks.submissions import find_submissions
    from minillm_lib.io.progress_bar import progress_bar

    if not path.exists():
        raise ValueError(f"{path} does not exist: name a notebook or a folder of notebooks")
    limits = Limits(
        time=time_limit,
        cell_time=cell_time_limit,
        memory=memory_limit,
        file_size=file_limit,
        processes=process_limit,
    )
    for place, what in ((to_csv, "the marks"), (summary, "the summary"), (gradescope, "the results")):
        if place is not None:
            check_place(place, f"{what} cannot be written")
    if feedback is not None:
        check_place(feedback, "the feedback cannot be written", is_folder=True)
    submissions, skipped = find_submissions(path)
    if gradescope is not None and len(submissions) > 1:
        raise ValueError(f"--gradescope is for one submission, and {path} has {len(submissions)}")
    _examine(exercises, assignment)
    graded: list[Graded] = []
    with progress_bar(
        total=len(submissions), unit="notebook", desc="Grading", disable=len(submissions) == 1
    ) as bar:

        def note(pair: Graded) -> None:
            graded.append(pair)
            bar.update()

        try:
            result = grade_class(
                submissions,
                assignment=assignment,
                exercises_file=exercises,
                limits=limits,
                seed=seed,
                extra_files=extra_file or [],
                jobs=jobs,
                to_csv=to_csv,
                resume=resume,
                on_report=note,
            )
        except KeyboardInterrupt:
            if to_csv is not None:
                notes.print(f"\n{len(graded)} graded before the interrupt are in {to_csv}; --resume goes on")
            raise
    written = _write_pages(result, skipped, feedback, summary, gradescope)
    _print(result, path)
    _say_what_was_skipped(skipped)
    for one in notes_on_class(result) + (notes_on_names(submissions) if to_csv is not None else []):
        say(printable(one))
    for place in [*written, *([to_csv] if to_csv is not None else [])]:
        console.print(styled("written: ", (place, "bold")), soft_wrap=True)


def _examine(exercises: Path | None, assignment: Path | None) -> None:
    """Examine the instructor's own exercises, so that an error in them does not become the students' zeros."""
    if exercises is None:
        return
    from minillm_lib.checks.assignment import load_exercises, read_assignment
    from minillm_lib.checks.self_check import examine_exercises

    own = load_exercises(exercises)
    if assignment is not None:
        used = {one.name for one in read_assignment(assignment).exercises}
        own = [one for one in own if one.name in used]
    findings = examine_exercises(own, exercises)
    for found in findings:
        for warning in found.warnings:
            notes.print(printable(f"{found.exercise}: {warning}"), markup=False)
    wrong = [f"{found.exercise}: {error}" for found in findings for error in found.errors]
    if wrong:
        told = "\n".join(wrong)
        raise ValueError(f"{exercises} would give wrong marks, so nothing was graded.\n{told}")


def _print(result: list[Graded], path: Path) -> None:
    if path.is_dir():
        console.print(_submissions_table(result))
    else:
        console.print(_exercises_table(result[0][1]))


def _say_what_was_skipped(skipped: list[str]) -> None:
    if skipped:
        say(f"Skipped, since they are not notebooks ({len(skipped)}):")
        for one in skipped[:_MOST_SKIPPED]:
            say(f"  {printable(one)}")
        if len(skipped) > _MOST_SKIPPED:
            say(f"  … and {len(skipped) - _MOST_SKIPPED} more")


def _write_pages(
    result: list[Graded],
    skipped: list[str],
    feedback: Path | None,
    summary: Path | None,
    gradescope: Path | None,
) -> list[Path]:
    """Write what is wanted, and return where."""
    from minillm_lib.checks.feedback import summary_page, write_feedback
    from minillm_lib.checks.marks import gradescope_json
    from minillm_lib.io.atomic_write import write_atomically

    if feedback is not None:
        write_feedback(feedback, result)
    if summary is not None:
        write_atomically(summary, summary_page(result, skipped).encode("utf-8", "backslashreplace"))
    if gradescope is not None:
        write_atomically(gradescope, gradescope_json(result[0][1]))
    return [place for place in (feedback, summary, gradescope) if place is not None]


def _exercises_table(report: GradeReport) -> Table:
    title = f"{report.path.name}: {report.points:g} of {report.max_points:g} points"
    if not report.is_graded:
        title = f"{report.path.name} could not be graded"
    table = Table("exercise", "points", "result", title=title, title_justify="left", show_lines=True)
    for mark in report.results:
        table.add_row(
            mark.exercise, f"{mark.points:g} of {mark.max_points:g}", f"{mark.status}: {mark.message}"
        )
    table.caption = report.problem or None
    return table


def _submissions_table(result: list[Graded]) -> Table:
    table = Table("student", "points", "passed", "failed", "not attempted", "problem")
    for submission, report in result:
        if not report.is_graded:
            table.add_row(submission.student, "–", "–", "–", "–", f"could not be graded: {report.problem}")
            continue
        statuses = [mark.status for mark in report.results]
        table.add_row(
            submission.student,
            f"{report.points:g} of {report.max_points:g}",
            *(str(statuses.count(status)) for status in ("passed", "failed", "not attempted")),
            report.problem,
        )
    return table
