"""Pages for after the grading: one for each student, and one for the instructor on what to teach tomorrow."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from minillm_lib.checks.grade_report import GradeReport, Mark
from minillm_lib.checks.submissions import Submission
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.terminal import printable

_STYLE = """
:root { color-scheme: light dark; --text: #222; --page: #fff; --code: #f0f0f0; --track: #e4e8ec; --bar: #3a6ea5;
        --other: #777; --good: #2e8b4a; --bad: #c0392b }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e4e4; --page: #181a1c; --code: #2b2e31; --track: #2b3036; --bar: #6ba3dc;
          --other: #999; --good: #57bd76; --bad: #ef7a6b } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
       color: var(--text); background: var(--page); overflow-wrap: anywhere }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
code { background: var(--code); padding: 0 .2em; border-radius: 3px; white-space: pre-wrap }
section { border-left: 4px solid var(--other); padding: .2rem .8rem; margin: 1rem 0 }
.passed { border-color: var(--good) } .failed { border-color: var(--bad) }
table { border-collapse: collapse; width: 100% } td { padding: .3rem .5rem; vertical-align: top }
td.n { width: 4.5rem; text-align: right; white-space: nowrap }
.track { background: var(--track); margin-top: .2rem } .bar { background: var(--bar); height: .6rem; min-width: 2px }
@media print { .track, .bar { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MARKS = {"passed": "✓", "failed": "✗", "not attempted": "○", "not checked": "?"}


def write_feedback(folder: Path, graded: Sequence[tuple[Submission, GradeReport]]) -> list[Path]:
    """Write one page for each student into a folder, and return the paths."""
    written: list[Path] = []
    taken: set[str] = set()
    for submission, report in graded:
        path = folder / f"{_file_name(submission.student, taken)}.html"
        write_atomically(path, student_page(submission, report).encode("utf-8", "backslashreplace"))
        written.append(path)
    return written


def student_page(submission: Submission, report: GradeReport) -> str:
    """Return the page of one student."""
    if not report.is_graded:
        told = f"<p>This notebook could not be graded, because: {_text(report.problem)}.</p>"
        return _page(submission.student, told)
    parts = [f"<p>{report.points:g} of {report.max_points:g} points</p>"]
    if report.problem:
        parts.append(f"<p>While the notebook ran: {_text(report.problem)}.</p>")
    parts += map(_section, report.results)
    return _page(submission.student, "\n".join(parts))


def summary_page(graded: Sequence[tuple[Submission, GradeReport]], skipped: Sequence[str] = ()) -> str:
    """Return the instructor's page: how each exercise went, and how many students made which mistake."""
    reports = [report for _, report in graded if report.is_graded]
    marks = [mark for report in reports for mark in report.results]
    n_graded, n = len(reports), len(graded)
    parts = [f"<p>{n} submission{'s' if n != 1 else ''}, {n_graded} of them graded.</p>"]
    parts += [f"<p>{_text(one)}</p>" for one in notes_on_class(graded)]
    if marks:
        parts.append(
            "<p>The bars show how many of those who were graded for an exercise made a mistake in it.</p>"
        )
    for name in dict.fromkeys(mark.exercise for mark in marks):
        parts.append(_exercise_summary(name, [mark for mark in marks if mark.exercise == name]))
    lost = [(one.student, report.problem) for one, report in graded if not report.is_graded]
    noted = [(one.student, report.problem) for one, report in graded if report.is_graded and report.problem]
    for title, rows in (("Could not be graded", lost), ("Stopped or cut short", noted)):
        if rows:
            cells = "".join(f"<tr><td>{_text(who)}</td><td>{_text(why)}</td></tr>" for who, why in rows)
            parts.append(f"<h2>{title}</h2><table>{cells}</table>")
    if skipped:
        items = "".join(f"<li>{_text(one)}</li>" for one in skipped)
        parts.append(f"<h2>Files that were skipped</h2><ul>{items}</ul>")
    return _page("Summary of the class", "\n".join(parts))


def notes_on_class(graded: Sequence[tuple[Submission, GradeReport]]) -> list[str]:
    """Return what the instructor should know of the submissions together, in sentences."""
    said = []
    ways: dict[str, list[str]] = {}
    kinds: dict[tuple[str, ...], list[str]] = {}
    files: dict[str, list[str]] = {}
    for submission, report in graded:
        if report.is_graded:
            kinds.setdefault(tuple(mark.exercise for mark in report.results), []).append(submission.student)
        if report.graded_as:
            ways.setdefault(report.graded_as, []).append(submission.student)
        if report.points:
            files.setdefault(submission.fingerprint, []).append(submission.student)
    for way, students in ways.items():
        who = f": {_listed(students)}" if len(ways) > 1 else ""
        said.append(f"Graded as {way}{who}.")
    if len(kinds) > 1:
        usual = max(kinds, key=lambda kind: len(kinds[kind]))
        others = [student for kind, students in kinds.items() if kind != usual for student in students]
        said.append(
            f"Not all were graded for the same exercises: for {_listed(usual)}, except {_listed(others)}. With "
            "--assignment, all are graded for those of one notebook."
        )
    said += [
        f"The same file, byte by byte: {_listed(students)}."
        for fingerprint, students in files.items()
        if fingerprint and len(students) > 1
    ]
    return said


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:10], *([f"and {len(names) - 10} more"] if len(names) > 10 else [])])


def mistakes(marks: Sequence[Mark]) -> list[tuple[str, int]]:
    """Count the mistakes in failed answers to one exercise, the most frequent first.

    Messages that differ only in numbers and pieces of code are one mistake; the message of the first one is shown.
    """
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for mark in marks:
        if mark.status == "failed":
            first = mark.message.split("\n")[0]
            kind = re.sub(r"`[^`]*`|[-+]?\d[\d.,e+-]*", "…", first)
            counts[kind] += 1
            shown.setdefault(kind, first)
    return [(shown[kind], count) for kind, count in counts.most_common()]


def _exercise_summary(name: str, marks: Sequence[Mark]) -> str:
    statuses = Counter[str](mark.status for mark in marks)
    told = ", ".join(f"{statuses[status]} {status}" for status in _MARKS if statuses[status])
    rows = "".join(
        f'<tr><td class="n">{count} of {len(marks)}</td><td>{_code(message)}<div class="track">'
        f'<div class="bar" style="width: {100 * count / len(marks):.0f}%"></div></div></td></tr>'
        for message, count in mistakes(marks)
    )
    return f"<h2><code>{_text(name)}</code>: {told}</h2><table>{rows}</table>"


def _section(mark: Mark) -> str:
    name = f"{_MARKS[mark.status]} <code>{_text(mark.exercise)}</code>"
    return (
        f'<section class="{escape(mark.status)}"><strong>{name}</strong>'
        f" · {escape(mark.status)} · {mark.points:g} of {mark.max_points:g}<br>{_code(mark.message)}</section>"
    )


def _code(message: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(message)).replace("\n", "<br>")


def _text(text: str) -> str:
    """Return a text in which a browser finds no elements, and nobody control characters or turned directions."""
    return escape(printable(text))


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{_text(title)}</h1>\n{body}\n</body></html>\n"
    )


def _file_name(student: str, taken: set[str]) -> str:
    """Return a name that every file system takes, another one for each student."""
    student = student.encode("utf-8", "backslashreplace").decode()
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "_", student).strip(". ") or "submission"
    if len(name.encode()) > 150 or name.lower() in taken:
        digest = hashlib.sha256(student.encode()).hexdigest()[:8]
        name = f"{name.encode()[:120].decode(errors='ignore')}-{digest}"
    taken.add(name.lower())
    return name
