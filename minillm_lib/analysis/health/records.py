"""What the records themselves say: warnings, missing steps, and whether the run has reached its end."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from minillm_lib.analysis.health.finding import Finding
from minillm_lib.training.run import RunResult
from minillm_lib.training.run_folder import RunError, RunFolder

_WARNINGS = "warnings"
_STEPS = "steps"
_FINISHED = "finished"


def check_warnings(metrics: RunResult) -> Finding:
    """Look for losses that are not finite, and for warnings of the run itself."""
    kinds = ("step", "evaluation")
    bad = [
        f"{record['kind']} {record['step']}"
        for record in metrics.records
        if record.get("kind") in kinds and not np.isfinite(np.float64(record.get("loss", 0.0)))
    ]
    if bad:
        return Finding(
            _WARNINGS,
            "wrong",
            f"the loss is not finite in {_some(bad)}",
            "Everything after that is lost: go back to an earlier checkpoint, with a lower train.lr or in float32.",
        )
    warnings = metrics.of_kind("warning")
    batches = sorted((metrics.folder / "bad-batches").glob("*.json")) if metrics.folder is not None else []
    if not warnings and not batches:
        return Finding(_WARNINGS, "ok", "none, and every loss is finite")
    reactions = Counter(str(record.get("reaction", "recorded")) for record in warnings)
    counted = ", ".join(f"{reaction}: {count}" for reaction, count in reactions.items())
    last = f"; the last one, at step {warnings[-1]['step']}: {warnings[-1]['problem']}" if warnings else ""
    return Finding(
        _WARNINGS,
        "wrong" if reactions["stop"] else "look",
        f"{max(len(warnings), len(batches))} ({counted or 'batches were set aside'}){last}",
        "Read the texts in bad-batches/: damaged text needs cleaning; if the texts are as good as any, lower train.lr "
        "or raise train.schedule.warmup_steps.",
    )


def check_steps(metrics: RunResult) -> Finding:
    """Look for steps that are missing from the metrics, or recorded twice."""
    numbers = [int(record["step"]) for record in metrics.steps]
    if not numbers:
        return Finding(
            _STEPS, "wrong", "no step is recorded", "Look at what the command printed; then start again."
        )
    counts = Counter(numbers)
    missing = [str(n) for n in range(1, max(numbers) + 1) if n not in counts]
    repeated = [str(n) for n, count in sorted(counts.items()) if count > 1]
    n_resumed = len(metrics.of_kind("resume"))
    history = f"; resumed {n_resumed} time{'s' * (n_resumed > 1)}" if n_resumed else ""
    if missing or repeated:
        faults = [
            f"{what}: {_some(steps)}" for what, steps in (("missing", missing), ("twice", repeated)) if steps
        ]
        return Finding(
            _STEPS,
            "wrong",
            f"of steps 1 to {max(numbers):,}, {'; '.join(faults)}{history}",
            "Two runs may have written to the same folder, or the file was edited; do not trust the curves there.",
        )
    return Finding(_STEPS, "ok", f"1 to {max(numbers):,}, each recorded once{history}")


def check_finished(metrics: RunResult) -> Finding:
    """Check whether the run has reached its last step, and say how to resume it if not."""
    last = int(metrics.steps[-1]["step"]) if metrics.steps else 0
    wanted = metrics.setting("train", "steps")
    if metrics.of_kind("end") and (wanted is None or last >= wanted):
        return Finding(_FINISHED, "ok", f"all {last:,} steps are done")
    of_all = f" of {wanted:,}" if wanted is not None else ""
    if metrics.folder is not None and _is_going_on(metrics.folder):
        return Finding(_FINISHED, "ok", f"step {last:,}{of_all}: the run is still going")
    return Finding(_FINISHED, "look", f"the run has reached step {last:,}{of_all}", _how_to_go_on(metrics))


def _is_going_on(folder: Path) -> bool:
    """Return whether a process holds the run's lock; if there is no lock file, do not create one."""
    if not (folder / ".lock").exists() or not os.access(folder, os.W_OK):
        return False
    try:
        with RunFolder(folder).locked():
            return False
    except RunError:
        return True


def _how_to_go_on(metrics: RunResult) -> str:
    if metrics.stage not in ("pretrain", "sft") or metrics.folder is None:
        return "Resume it with the command that began it, and --resume."
    return f"Resume it: minillm {metrics.stage} --config {metrics.folder / 'config.yaml'} --resume"


def _some(items: list[str], most: int = 5) -> str:
    """List the first few items, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
