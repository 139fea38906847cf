"""Pages for after the grading: one for each student, and one for the instructor on what to teach tomorrow."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from minillm_lib.checks.grading import GradeReport, Mark
from minillm_lib.checks.submissions import Submission
from minillm_lib.io.atomic_write import write_atomically

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
code { background: #f2f2f2; padding: 0 .2em; border-radius: 3px }
section { border-left: 4px solid #888; padding: .2rem .8rem; margin: 1rem 0 }
.passed { border-color: #2e9e4f } .failed { border-color: #c43c2b }
table { border-collapse: collapse; width: 100% } td { padding: .2rem .5rem; vertical-align: top }
td.n { text-align: right; white-space: nowrap } .bar { background: #3a6ea5; height: 1em; min-width: 2px }
td.chart { width: 30% }
"""
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
        told = f"<p>This notebook could not be graded, because: {escape(report.problem)}.</p>"
        return _page(submission.student, told)
    parts = [f"<p>{report.points:g} of {report.max_points:g} points</p>"]
    if report.problem:
        parts.append(f"<p>While the notebook ran: {escape(report.problem)}.</p>")
    parts += map(_section, report.results)
    return _page(submission.student, "\n".join(parts))


def summary_page(graded: Sequence[tuple[Submission, GradeReport]], skipped: Sequence[str] = ()) -> str:
    """Return the instructor's page: how each exercise went, and how many students made which mistake."""
    marks = [mark for _, report in graded for mark in report.results]
    n_graded = sum(report.is_graded for _, report in graded)
    parts = [f"<p>{len(graded)} submissions, {n_graded} of them graded.</p>"]
    for name in dict.fromkeys(mark.exercise for mark in marks):
        parts.append(_exercise_summary(name, [mark for mark in marks if mark.exercise == name]))
    lost = [(one.student, report.problem) for one, report in graded if not report.is_graded]
    noted = [(one.student, report.problem) for one, report in graded if report.is_graded and report.problem]
    for title, rows in (("Could not be graded", lost), ("Stopped or cut short", noted)):
        if rows:
            cells = "".join(f"<tr><td>{escape(who)}</td><td>{escape(why)}</td></tr>" for who, why in rows)
            parts.append(f"<h2>{title}</h2><table>{cells}</table>")
    if skipped:
        items = "".join(f"<li>{escape(one)}</li>" for one in skipped)
        parts.append(f"<h2>Files that were skipped</h2><ul>{items}</ul>")
    return _page("Summary of the class", "\n".join(parts))


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
    found = mistakes(marks)
    most = max((count for _, count in found), default=1)
    rows = "".join(
        f'<tr><td class="chart"><div class="bar" style="width: {100 * count / most:.0f}%"></div></td>'
        f'<td class="n">{count}</td><td>{_code(message)}</td></tr>'
        for message, count in found
    )
    return f"<h2><code>{escape(name)}</code>: {told}</h2><table>{rows}</table>"


def _section(mark: Mark) -> str:
    name = f"{_MARKS[mark.status]} <code>{escape(mark.exercise)}</code>"
    return (
        f'<section class="{escape(mark.status)}"><strong>{name}</strong>'
        f" · {escape(mark.status)} · {mark.points:g} of {mark.max_points:g}<br>{_code(mark.message)}</section>"
    )


def _code(message: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(message)).replace("\n", "<br>")


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
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
