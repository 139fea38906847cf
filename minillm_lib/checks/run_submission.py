"""The process that runs one submission: ``python -m minillm_lib.checks.run_submission JOB.json``.

The job lists the steps (see :mod:`minillm_lib.checks.submission`). The outcome of each check is written immediately, as
a line of JSON, so that it counts even if a later cell ends the process.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

from minillm_lib.checks.exercise import Exercise
from minillm_lib.checks.guarded import TimeLimitError, call_with_time_limit
from minillm_lib.checks.registry import check
from minillm_lib.checks.result import CheckResult


def main() -> None:
    """Run the steps in order; an error in a cell does not stop the next one."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    from IPython.core.interactiveshell import InteractiveShell

    if job["exercises_file"]:
        runpy.run_path(job["exercises_file"])
    # before any cell runs: a cell might register another exercise under the same name
    exercises = {content: getattr(check, content) for kind, content in job["steps"] if kind == "check"}
    # as in a kernel: nothing of this module in the namespace, and the notebook's folder first on the path
    sys.argv = [""]
    sys.path.insert(0, "")
    shell: Any = InteractiveShell.instance(colors="nocolor")
    shell.history_manager.enabled = False
    with Path(job["results"]).open("a", encoding="utf-8") as results:
        for kind, content in job["steps"]:
            if kind == "check":
                result = _check(exercises[content], shell.user_ns)
                fields = {"exercise": result.exercise, "status": result.status, "message": result.message}
                print(json.dumps(fields | {"max_points": result.max_points}), file=results, flush=True)
            else:
                _run_cell(shell, content, job["cell_time_limit"])


def _run_cell(shell: Any, source: str, time_limit: float) -> None:
    try:
        call_with_time_limit(lambda: shell.run_cell(source, store_history=True), time_limit)
    except TimeLimitError:
        print(f"a cell was stopped after {time_limit:g} seconds", file=sys.stderr)


def _check(exercise: Exercise, namespace: dict[str, Any]) -> CheckResult:
    if exercise.name not in namespace:
        return CheckResult(exercise.name, "failed", f"`{exercise.name}` was not defined.", exercise.points)
    return exercise(namespace[exercise.name])


if __name__ == "__main__":
    main()
