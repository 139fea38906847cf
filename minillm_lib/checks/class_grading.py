"""Grading of a class: every mark is on disk as soon as it is known, and an interrupted grading can be resumed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from minillm_lib.checks.grade_report import GradeReport
from minillm_lib.checks.grading import Grader
from minillm_lib.checks.grading_pool import Settings, grade_all
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.marks import Journal, file_digest, marks_csv
from minillm_lib.checks.submissions import Submission
from minillm_lib.io.atomic_write import check_folder, write_atomically
from minillm_lib.io.interrupts import interrupts_held

Graded = tuple[Submission, GradeReport]
_MOST_CUTS = 2


def grade_class(
    submissions: Sequence[Submission],
    *,
    assignment: Path | None = None,
    exercises_file: Path | None = None,
    limits: Limits | None = None,
    seed: int | None = None,
    extra_files: Sequence[Path] = (),
    jobs: int = 1,
    to_csv: Path | None = None,
    resume: bool = False,
    on_report: Callable[[Graded], None] = lambda graded: None,
) -> list[Graded]:
    """Grade submissions, and write the marks to a CSV file after each one.

    All submissions get the same hidden inputs. Beside the file, ``NAME.journal`` keeps the reports.

    Parameters
    ----------
    assignment, exercises_file, seed
        As for :func:`~minillm_lib.checks.grading.grade_notebook`.
    limits
        What each submission may take.
    extra_files
        Files and folders that each submission finds beside its notebook.
    jobs
        How many are graded at a time.
    to_csv
        Where the marks go.
    resume
        Keep the marks of an earlier grading for submissions that have not changed since.
    on_report
        Called with each submission and its report, as soon as there is one.

    Returns
    -------
    graded
        The submissions with their reports, in the order of the submissions.

    Raises
    ------
    ValueError
        If ``resume`` is not possible, or a setting is wrong.
    OSError
        If a file cannot be read, or the marks cannot be written.
    """
    settings = Settings(
        assignment,
        exercises_file,
        limits or Limits(),
        secrets.randbelow(2**32) if seed is None else seed,
        extra_files,
    )
    Grader(
        assignment=assignment, exercises_file=exercises_file, extra_files=extra_files
    )  # what is wrong is told now
    if to_csv is None:
        if resume:
            raise ValueError("--resume needs --csv: the journal is beside the file with the marks")
        with closing(_noted(grade_all(submissions, settings, jobs), on_report)) as reports:
            graded = dict(reports)
        return [(one, graded[one]) for one in submissions]
    check_place(to_csv, "the marks cannot be written")
    facts = {"assignment": file_digest(assignment), "exercises": file_digest(exercises_file)}
    journal = Journal(
        to_csv.with_name(f"{to_csv.name}.journal"), facts if seed is None else {**facts, "seed": seed}
    )
    journal.begin(settings.seed, resume=resume)
    known = {one: report for one in submissions if (report := journal.known(one)) is not None}
    write_atomically(to_csv, marks_csv(list(known.items())))
    todo = [one for one in submissions if one not in known]
    turns = _in_turn(todo, replace(settings, seed=journal.seed), jobs, journal)
    try:
        with closing(_noted(turns, on_report)) as reports:
            for submission, report in reports:
                with interrupts_held():
                    known[submission] = report
                    if journal.times_cut_off(submission) < _MOST_CUTS:
                        journal.add(submission, report)
                    write_atomically(to_csv, marks_csv(list(known.items())))
    except BaseException:  # Ctrl-C, or a full disk
        with suppress(OSError):
            journal.interrupt()
        raise
    journal.complete()
    return [(one, known[one]) for one in submissions]


def _in_turn(
    submissions: Sequence[Submission], settings: Settings, jobs: int, journal: Journal
) -> Generator[Graded, None, None]:
    """Grade submissions; those that ran when the grading was cut off come last, one at a time.

    One of them may be the reason: it would do the same again, and the others would never be graded.
    """
    cuts = {one: journal.times_cut_off(one) for one in submissions}
    first = [one for one in submissions if not cuts[one]]
    yield from grade_all(first, settings, jobs, journal.note_begin)
    alone = [one for one in submissions if 0 < cuts[one] < _MOST_CUTS]
    yield from grade_all(alone, settings, 1, journal.note_begin)
    for one in submissions:
        if cuts[one] >= _MOST_CUTS:
            problem = (
                f"the whole grading was cut off {cuts[one]} times while it ran, as if it ended the programs around "
                "it; grade this notebook by itself, best in a container"
            )
            yield one, GradeReport(one.path, (), problem, is_graded=False)


def check_place(path: Path, failure: str, *, is_folder: bool = False) -> None:
    """Check that a file, or files in a folder, can be written at a place, before anything is graded.

    Raises
    ------
    ValueError
        If it cannot.
    """
    if not is_folder and path.is_dir():
        raise ValueError(f"{failure}: {path} is a folder; give the name of a file")
    check_folder(path if is_folder else path.absolute().parent, failure)


def _noted(
    graded: Generator[Graded, None, None], on_report: Callable[[Graded], None]
) -> Generator[Graded, None, None]:
    """Yield what is graded, after it was reported; the grading ends with this iterator."""
    with closing(graded):
        for pair in graded:
            on_report(pair)
            yield pair
