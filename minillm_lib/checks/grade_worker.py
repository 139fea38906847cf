"""A process that grades some of a class: ``python -m minillm_lib.checks.grade_worker``.

Settings and paths come as lines of JSON on standard input, and reports go back on standard output. Should a submission
bring this process down, the others are graded by another one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
from typing import Any

from minillm_lib.checks.grade_report import GradeReport, Mark
from minillm_lib.checks.grading import Grader
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.run_submission import be_subreaper, die_with_parent, kill_below


def main() -> None:
    """Grade until standard input ends."""
    die_with_parent()
    be_subreaper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # the instructor's own prints do not belong into the reports
    settings = json.loads(sys.stdin.readline())
    with Grader(**{**settings, "limits": Limits(**settings["limits"])}) as grader:
        for line in sys.stdin:
            report = grader.grade(json.loads(line))
            print(json.dumps(report_to_json(report)), file=output, flush=True)
    kill_below(os.getpid())
    if threading.active_count() > 1:  # checks that were given up
        output.flush()
        os._exit(0)


def report_to_json(report: GradeReport) -> dict[str, Any]:
    """Return a report without its path, as JSON can hold it."""
    fields = dataclasses.asdict(report)
    del fields["path"]
    return fields


def report_from_json(path: Any, fields: dict[str, Any]) -> GradeReport:
    """Return the report of a path again."""
    marks = tuple(Mark(**mark) for mark in fields["results"])
    return GradeReport(
        path,
        marks,
        fields["problem"],
        fields["seconds"],
        fields["is_graded"],
        str(fields.get("graded_as", "")),
    )


if __name__ == "__main__":
    main()
