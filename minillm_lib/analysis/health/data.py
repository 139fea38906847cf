"""What the losses say about the data: whether batches repeat, are memorised, or lead to overfitting."""

from __future__ import annotations

import numpy as np
from scipy.signal import correlate

from minillm_lib.analysis.health.finding import Finding, signed
from minillm_lib.training.run import FloatArray, RunResult, noise_of, smoothed

_REPETITION = "data order"
_MEMORISING = "memorising"
_OVERFITTING = "overfitting"
_FEWEST_STEPS = 60
_SHORTEST_PERIOD = 3
_ALIKE = 0.5  # correlation
_TREND_WINDOW = 15
_GAP_IN_FIRST_EPOCH, _GAP_LATER = 0.3, 0.5  # nats
_DROP = 0.05
_RISE, _LARGE_RISE = 0.03, 0.3


def check_repetition(metrics: RunResult) -> Finding:
    """Look for batches that are repeated in the same order, since their ups and downs in the loss are repeated too."""
    loss = metrics.values("loss")[metrics.warmup_end :]  # before, the fall of the loss hides all else
    if len(loss) < _FEWEST_STEPS or not np.isfinite(loss).all():
        return Finding(_REPETITION, "unsure", f"too early to tell: {len(loss)} steps since the warm-up")
    period, likeness = _period(loss - smoothed(loss, _TREND_WINDOW))
    epochs = _epochs(metrics)
    count = f"{epochs:.2f} epochs" if epochs is not None else "an unknown number of epochs"
    if period is None:
        return Finding(_REPETITION, "ok", f"{count}; no order of batches is repeated")
    comes_again = (
        f"the ups and downs of the loss are repeated every {period} steps (correlation {likeness:.2f})"
    )
    if epochs is not None and period >= 0.95 * len(metrics.steps) / epochs:
        return Finding(
            _REPETITION,
            "look",
            f"{comes_again}: every epoch has the same order",
            "Shuffle again in each epoch; in a fixed order the model also learns which text comes next.",
        )
    return Finding(
        _REPETITION,
        "wrong",
        f"{comes_again}, before an epoch is over ({count} in {len(metrics.steps)} steps)",
        "The sampler starts over: look at the seed that it is given in each step, at its state after "
        "--resume, and at each process's share.",
    )


def _period(residuals: FloatArray) -> tuple[int | None, float]:
    """Return the shortest distance at which residuals resemble themselves, and the correlation there."""
    centred = residuals - residuals.mean()
    n = len(centred)
    limit = 3 * noise_of(centred)
    centred = np.clip(centred, -limit, limit)  # one spike must not decide
    energy = np.concatenate([[0.0], np.cumsum(centred**2)])
    lags = np.arange(_SHORTEST_PERIOD, n // 2)
    products = correlate(centred, centred, method="fft")[n - 1 + lags]
    norms = np.sqrt(energy[n - lags] * (energy[n] - energy[lags]))
    likeness = products / np.maximum(norms, 1e-12)
    # An average over 15 steps lets slow waves through: only what stands out from its neighbours is a period.
    stands_out = likeness > np.maximum(np.roll(likeness, 1), np.roll(likeness, -1)) + _ALIKE / 2
    found = np.flatnonzero(stands_out & (likeness > np.maximum(_ALIKE, 5 / np.sqrt(n - lags))))
    return (int(lags[found[0]]), float(likeness[found[0]])) if len(found) else (None, 0.0)


def _epochs(metrics: RunResult) -> float | None:
    """Return how many times the run has gone through its text; None if that is not recorded."""
    length = metrics.start.get("tokens_per_epoch")
    return float(metrics.steps[-1]["tokens"]) / length if length and metrics.steps else None


def check_memorising(metrics: RunResult) -> Finding:
    """Look for a training loss that falls far below the held-out loss, or drops where an epoch begins."""
    epochs, gaps = _epochs(metrics), _gaps(metrics)
    if epochs is None or len(gaps) < 2:
        return Finding(
            _MEMORISING,
            "unsure",
            "this check needs two evaluations after the warm-up, and the length of an epoch",
        )
    # While the loss falls steeply, the mean of the steps around an evaluation lies above it, so the gap begins below 0.
    widened = gaps[-1] - max(gaps[0], 0.0)
    state = f"held-out loss − training loss: {signed(gaps[0])} nats at first, {signed(gaps[-1])} at {epochs:.2f} epochs"
    if epochs <= 1 and widened > _GAP_IN_FIRST_EPOCH:
        return Finding(
            _MEMORISING,
            "wrong",
            f"{state}: texts are memorised before an epoch is over",
            "In its first epoch a model sees every text once. Look for a sampler that starts over, for "
            "duplicate documents (minillm data clean), and for a high `repeat` of a small corpus.",
        )
    drops = _drops_at_epochs(metrics)
    if widened > _GAP_LATER or drops:
        where = f"; the loss drops by {max(drops):.2f} nats where an epoch begins" if drops else ""
        return Finding(
            _MEMORISING,
            "look",
            f"{state}{where}",
            "The model memorises texts: use more text or fewer epochs (up to about four cost little), dropout, or "
            "more weight decay.",
        )
    return Finding(_MEMORISING, "ok", state)


def _gaps(metrics: RunResult) -> FloatArray:
    """Return the held-out loss minus the mean training loss around it, for each evaluation after the warm-up."""
    steps, loss = metrics.series("loss")
    if len(steps) < _FEWEST_STEPS:
        return np.array([])
    half = max(len(loss) // 40, 5)
    evaluated, held_out = metrics.series("loss", "evaluation")
    first = steps[metrics.warmup_end] + half
    return np.array(
        [
            value - np.mean(loss[np.abs(steps - step) <= half])
            for step, value in zip(evaluated, held_out, strict=True)
            if first <= step <= steps[-1]
        ]
    )


def _drops_at_epochs(metrics: RunResult) -> list[float]:
    """Return how far the loss drops at the beginning of each epoch, where that is more than noise and trend explain."""
    loss, length = metrics.values("loss"), metrics.start.get("tokens_per_epoch")
    tokens = metrics.values("tokens")
    if not length:
        return []
    drops = []
    for epoch in range(1, int(tokens[-1] // length) + 1):
        place = int(np.searchsorted(tokens, epoch * length, side="right"))
        width = min(max(int(place / epoch) // 5, 5), 50)
        before, after = loss[place - width : place], loss[place + 1 : place + 1 + width]
        if place - width <= metrics.warmup_end or len(after) < width:
            continue
        slope = np.polyfit(np.arange(width), before, 1)[0]
        drop = float(before.mean() - after.mean() + min(slope, 0.0) * (width + 1))
        if drop > max(_DROP, 4 * noise_of(loss[metrics.warmup_end :]) * np.sqrt(4 / width)):
            drops.append(drop)
    return drops


def check_overfitting(metrics: RunResult) -> Finding:
    """Look for a held-out loss that rises while the training loss continues to fall."""
    steps, held_out = metrics.series("loss", "evaluation")
    if len(held_out) < 3 or not np.isfinite(held_out).all():
        return Finding(
            _OVERFITTING, "unsure", f"too early to tell: {len(held_out)} evaluations on held-out text"
        )
    best = int(np.argmin(held_out))
    rise = float(held_out[-1] - held_out[best])
    train_steps, loss = metrics.series("loss")
    window = max(len(loss) // 40, 5)
    then = loss[np.abs(train_steps - steps[best]) <= window].mean() if len(loss) else np.nan
    fall = float(then - loss[-window:].mean()) if len(loss) else 0.0
    state = f"held-out loss {held_out[best]:.3f} at step {steps[best]:.0f}, {held_out[-1]:.3f} at the end"
    if rise > _RISE and fall > 0:
        return Finding(
            _OVERFITTING,
            "wrong" if rise > _LARGE_RISE else "look",
            f"{state}, while the training loss fell by another {fall:.2f} nats",
            f"Everything after step {steps[best]:.0f} was in vain; the best checkpoint is kept and is the run's "
            "output. Use more data, fewer steps, a lower train.lr or dropout.",
        )
    if rise > _RISE:
        return Finding(
            _OVERFITTING,
            "look",
            f"{state}; the training loss rose too",
            "This is not overfitting but instability: see the learning rate.",
        )
    return Finding(_OVERFITTING, "ok", f"{state}: at its lowest, or within {_RISE} nats of it")
