"""What time and memory say: whether the run gets slower, and whether it takes more and more memory."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from minillm_lib.analysis.health.finding import Finding
from minillm_lib.training.run import FloatArray, RunResult

_SPEED = "speed"
_MEMORY = "memory"
_FEWEST_SECONDS = 60.0
_FEWEST_STEPS = 100
_MUCH_SLOWER = 0.75
_GROWN, _GROWN_MUCH = 1.1, 1.5
_FEWEST_BYTES = 50 * 2**20


def check_speed(metrics: RunResult) -> Finding:
    """Look for a speed, in tokens per second, that falls over the run."""
    speeds = metrics.values("tokens_per_second")
    speeds = speeds[np.isfinite(speeds)]
    if not len(speeds):
        return Finding(_SPEED, "unsure", "no step has recorded its speed")
    usual = f"{np.median(speeds):,.0f} tokens/s"
    share = metrics.values("mfu")
    if np.isfinite(share).any():
        usual += f", {np.nanmedian(share):.0%} of the speed of a matrix product"
    if np.nansum(metrics.values("seconds")) < _FEWEST_SECONDS:
        return Finding(_SPEED, "unsure", f"{usual}; the run is too short to tell whether it slows down")
    quarter = max(len(speeds) // 4, 1)
    first, last = float(np.median(speeds[:quarter])), float(np.median(speeds[-quarter:]))
    if last < _MUCH_SLOWER * first and _rises(-speeds):
        return Finding(
            _SPEED,
            "look",
            f"it falls from {first:,.0f} to {last:,.0f} tokens/s",
            "Look for another program on the machine, a CPU or GPU that is hot, memory that is swapped out, or a disk "
            "that is slow or full.",
        )
    return Finding(_SPEED, "ok", f"{usual}, and steady")


def check_memory(metrics: RunResult) -> Finding:
    """Look for memory that has grown steadily since the run was last started."""
    memory = _since_last_start(metrics)
    if len(memory) < _FEWEST_STEPS:
        return Finding(
            _MEMORY, "unsure", f"too early to tell: {len(memory)} steps since the run was (re)started"
        )
    second_half = memory[len(memory) // 2 :]
    tenth = max(len(second_half) // 10, 1)
    before, now = float(np.median(second_half[:tenth])), float(np.median(second_half[-tenth:]))
    a_step = (now - before) / (len(second_half) - tenth)
    if now > _GROWN * before and now - before > _FEWEST_BYTES and _rises(second_half):
        return Finding(
            _MEMORY,
            "wrong" if now > _GROWN_MUCH * before else "look",
            f"it grows from {before / 2**20:,.0f} MiB to {now / 2**20:,.0f} MiB, by {a_step / 2**20:.2g} MiB per step",
            "Something keeps tensors alive: look for losses stored without float(), lists that grow, hooks, or an "
            "on_record that keeps more than it needs.",
        )
    return Finding(_MEMORY, "ok", f"{now / 2**20:,.0f} MiB, and not growing")


def _since_last_start(metrics: RunResult) -> FloatArray:
    kinds = [record.get("kind") for record in metrics.records]
    last = max((i for i, kind in enumerate(kinds) if kind == "start"), default=0)
    found = [record.get("memory") for record in metrics.records[last:] if record.get("kind") == "step"]
    return np.array([value for value in found if value is not None], dtype=np.float64)


def _rises(values: FloatArray) -> bool:
    """Return whether values rise steadily rather than here and there."""
    return bool(spearmanr(np.arange(len(values)), values).statistic > 0.7)
