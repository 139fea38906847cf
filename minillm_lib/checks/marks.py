"""The marks of a class: a table that is whole at every moment, and a journal from which grading can be resumed."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minillm_lib.checks.grade_report import GradeReport
from minillm_lib.checks.grade_worker import report_from_json, report_to_json
from minillm_lib.checks.submissions import Submission
from minillm_lib.io.atomic_write import append_whole, write_atomically
from minillm_lib.io.json_text import parse_json
from minillm_lib.io.regular_file import check_regular, is_there
from minillm_lib.io.tables import safe_cell
from minillm_lib.io.terminal import printable

_VERSION = 1


class Journal:
    """A file beside the marks with every report so far, from which an interrupted grading is resumed.

    Parameters
    ----------
    path
        Where it is.
    settings
        What the marks depend on, such as the exercises; marks of other settings are not mixed with these.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._settings = json.loads(json.dumps(settings))
        self.seed = 0
        self._known: dict[tuple[str, str], GradeReport] = {}
        self._cut_off: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def begin(self, seed: int, *, resume: bool) -> None:
        """Start the journal anew, or read the one that is there.

        Raises
        ------
        ValueError
            If there is one of an interrupted grading and it is not to be resumed, or if the one to be resumed is of
            other exercises or settings.
        OSError
            If it cannot be read or written.
        """
        lines = self._lines()
        if not resume:
            if lines and not lines[-1].get("complete"):
                n_done = len(_latest(lines))
                raise ValueError(
                    f"{self.path} holds the marks of {n_done} {'submission' if n_done == 1 else 'submissions'} from a "
                    "grading that was cut off: add --resume to go on, or delete that file to start again"
                )
            lines = []
        if not lines:
            self.seed = seed
            head = {"version": _VERSION, "seed": seed, "settings": self._settings}
            write_atomically(self.path, _line(head))
            return
        head = lines[0]
        if head.get("version") != _VERSION or head.get("settings") != self._settings:
            differing = [
                name for name, value in self._settings.items() if head.get("settings", {}).get(name) != value
            ]
            raise ValueError(
                f"{self.path} is of a grading with other {' and '.join(differing) or 'settings'}, so it cannot be "
                "resumed: delete that file to start again"
            )
        self.seed = int(head["seed"])
        for key, line in _latest(lines).items():
            with contextlib.suppress(KeyError, TypeError, AttributeError):  # then it is graded again
                self._known[key] = report_from_json(None, line["report"])
        self._cut_off = _cut_off(lines)
        write_atomically(self.path, b"".join(map(_line, lines)))  # without a last line that was cut off

    def known(self, submission: Submission) -> GradeReport | None:
        """Return the report of a submission that was graded before and has not changed since."""
        report = self._known.get((submission.student, submission.fingerprint))
        if report is None or not report.is_graded:
            return None
        return replace(report, path=submission.path)

    def times_cut_off(self, submission: Submission) -> int:
        """Return how many times the whole grading ended at once while this submission was graded."""
        return self._cut_off[submission.student, submission.fingerprint]

    def note_begin(self, submission: Submission) -> None:
        """Note that a submission is about to run; may be called by any thread."""
        self._append({**_key_fields(submission), "begun": True})

    def add(self, submission: Submission, report: GradeReport) -> None:
        """Add a report."""
        self._append({**_key_fields(submission), "report": report_to_json(report)})

    def interrupt(self) -> None:
        """Note that the grading is stopped from outside, which is not the fault of what runs at the time."""
        self._append({"interrupted": True})

    def complete(self) -> None:
        """Note that all submissions have been graded."""
        self._append({"complete": True})

    def _append(self, fields: Mapping[str, Any]) -> None:
        with self._lock:
            append_whole(self.path, _line(fields))

    def _lines(self) -> list[dict[str, Any]]:
        if not is_there(self.path):
            return []
        check_regular(self.path)
        lines = []
        for text in self.path.read_bytes().splitlines():
            try:
                lines.append(parse_json(text))
            except ValueError:  # the process was killed while it wrote the last line
                break
        return [line for line in lines if isinstance(line, dict)]


def _key_fields(submission: Submission) -> dict[str, Any]:
    return {"student": submission.student, "fingerprint": submission.fingerprint}


def _key(line: Mapping[str, Any]) -> tuple[str, str]:
    return str(line.get("student")), str(line.get("fingerprint"))


def _latest(lines: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the last report of each submission."""
    return {_key(line): line for line in lines if "report" in line}


def _cut_off(lines: Sequence[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Count how many times each submission was begun, and neither graded nor interrupted."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if "begun" in line:
            counts[_key(line)] += 1
        elif "report" in line:
            del counts[_key(line)]
        elif "interrupted" in line:
            counts.clear()
    return counts


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode("ascii") + b"\n"


def file_digest(path: str | os.PathLike[str] | None) -> str | None:
    """Return the SHA-256 of a file that marks depend on."""
    if path is None:
        return None
    check_regular(path)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def marks_csv(graded: Sequence[tuple[Submission, GradeReport]]) -> bytes:
    """Return the marks as a table that Excel and pandas open: one row per student, one column per exercise.

    Cells of a submission that could not be graded are empty, which is not 0. A name that begins like a formula gets an
    apostrophe in front: see :func:`notes_on_names`.
    """
    exercises = list(dict.fromkeys(mark.exercise for _, report in graded for mark in report.results))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["student", *exercises, "total", "seconds", "problem"])
    for submission, report in sorted(graded, key=lambda pair: pair[0].student):
        points = {
            mark.exercise: f"{mark.points:g}" for mark in report.results if mark.status != "not checked"
        }
        problem = report.problem if report.is_graded else f"could not be graded: {report.problem}"
        rows.writerow(
            [
                safe_cell(printable(submission.student)),
                *(points.get(name, "") for name in exercises),
                f"{report.points:g}" if report.is_graded else "",
                f"{report.seconds:.1f}",
                safe_cell(printable(problem)),
            ]
        )
    return text.getvalue().encode("utf-8-sig", "backslashreplace")


def notes_on_names(submissions: Iterable[Submission]) -> list[str]:
    """Return which names the table of the marks has in another form, and why, in sentences."""
    pairs = [(one.student, safe_cell(printable(one.student))) for one in submissions]
    return [
        f"In the table of the marks {printable(name)} is written {written}, lest a spreadsheet take it for a formula."
        for name, written in sorted(pairs)
        if written != printable(name)
    ]


def gradescope_json(report: GradeReport) -> bytes:
    """Return the report as Gradescope's autograders give it; without a score if it could not be graded."""
    fields: dict[str, Any] = {"execution_time": round(report.seconds, 1), "output": report.problem}
    if report.is_graded:
        fields["score"] = report.points
        fields["tests"] = [
            {
                "name": mark.exercise,
                "score": mark.points,
                "max_score": mark.max_points,
                "status": "passed" if mark.passed else "failed",
                "output": mark.message,
                "visibility": "visible",
            }
            for mark in report.results
        ]
    else:
        fields["output"] = f"could not be graded: {report.problem}"
    return json.dumps(fields, indent=2).encode("ascii")
