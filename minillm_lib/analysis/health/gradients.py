"""What the gradients say: whether they vanish or grow, and whether every block gets its share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

from minillm_lib.analysis.health.finding import Finding, signed
from minillm_lib.training.run import FloatArray, RunResult, smoothed

_GRADIENTS = "gradient norm"
_BLOCKS = "blocks"
_FEWEST_STEPS = 50
_VANISHED = 1e-5
_FAR_ABOVE_CLIP = 10.0
_GROWN, _GROWN_MUCH = 3.0, 30.0
_STILL_FALLING = 0.1  # nats; gradients may grow while the model learns
_UNLIKE_OTHERS, _DEAD = 30.0, 1000.0
# Of steps with fp16: torch doubles the scale of the loss every 2,000 good steps, and finds it by overflows at first.
_SKIPPED, _SKIPPED_SHARE = 5, 0.01


def check_gradient_norms(metrics: RunResult) -> Finding:
    """Look for gradients that have vanished or grow, and count how many were clipped."""
    norms = metrics.values("grad_norm")[metrics.warmup_end :]
    is_finite = np.isfinite(norms)
    n_infinite, n_steps = int((~is_finite).sum()), len(norms)
    have = "has" if n_infinite == 1 else "have"
    found = f"{n_infinite} of {n_steps} steps after the warm-up {have} a gradient that is not finite"
    is_scaled = metrics.start.get("precision") == "fp16"
    if n_infinite > (max(_SKIPPED, _SKIPPED_SHARE * n_steps) if is_scaled else 0):
        normal = "A few such steps are normal with fp16, since the scaler skips them, but not so many. "
        advice = f"{normal * is_scaled}Lower train.lr."
        return Finding(_GRADIENTS, "wrong", found, advice)
    finding = _norms(metrics, norms[is_finite])
    if n_infinite:
        finding = replace(finding, found=f"{finding.found}; {found}, which the scaler of fp16 skipped")
    return finding


def _norms(metrics: RunResult, norms: FloatArray) -> Finding:
    """Judge norms that are all finite."""
    if len(norms) < _FEWEST_STEPS:
        return Finding(_GRADIENTS, "unsure", f"too early to tell: {len(norms)} steps since the warm-up")
    last = float(np.median(norms[-len(norms) // 5 :]))
    if last < _VANISHED:
        return Finding(
            _GRADIENTS,
            "wrong",
            f"the gradient has all but vanished: its norm is {last:.1e}",
            "Look for a broken graph (detach, no_grad), frozen parameters, labels that are all ignored, or a loss "
            "of 0.",
        )
    return _growth(metrics, norms) or _clipping(metrics, norms, last)


def _growth(metrics: RunResult, norms: FloatArray) -> Finding | None:
    """Look for a norm that rises while the loss does not fall."""
    fifth = len(norms) // 5
    early, late = float(np.median(norms[fifth : 2 * fifth])), float(np.median(norms[-fifth:]))
    loss = smoothed(metrics.values("loss")[metrics.warmup_end :])
    fall = loss[len(loss) // 4] - loss[-1 - len(loss) // 20]
    limit = _GROWN_MUCH if fall > _STILL_FALLING else _GROWN
    if late < limit * early or spearmanr(np.arange(len(norms) - fifth), norms[fifth:]).statistic < 0.5:
        return None
    return Finding(
        _GRADIENTS,
        "wrong" if late >= _GROWN_MUCH * early else "look",
        f"it rises from {early:.3g} to {late:.3g}, while the loss changes by {signed(-fall)} nats",
        "A run often diverges soon after. Try half of train.lr, weight decay, or model.qk_norm; look at the norms of "
        "the blocks for one that grows.",
    )


def _clipping(metrics: RunResult, norms: FloatArray, last: float) -> Finding:
    limit = metrics.setting("train", "clip_norm")
    if limit is None:
        return Finding(
            _GRADIENTS, "ok", f"{last:.3g} in the last steps, and steady; gradients are not clipped"
        )
    clipped = f"{np.mean(norms > limit):.0%} of the steps after the warm-up were clipped to {limit:g}"
    if float(np.median(norms)) > _FAR_ABOVE_CLIP * limit:
        return Finding(
            _GRADIENTS,
            "look",
            f"{np.median(norms):.3g} in the median; {clipped}",
            "Clipping is meant to catch outliers, but here it decides every step. Look at the initial loss and the "
            "scale of the initial weights, or raise train.clip_norm.",
        )
    return Finding(_GRADIENTS, "ok", f"{last:.3g} in the last steps, and steady; {clipped}")


def check_blocks(metrics: RunResult) -> Finding:
    """Look for a block whose gradient is orders of magnitude below or above that of the others."""
    recorded = [record["layer_grad_norms"] for record in metrics.steps if "layer_grad_norms" in record]
    if not recorded or len(recorded[-1]) < 3:
        return Finding(_BLOCKS, "unsure", "this check needs the gradients of at least three blocks")
    every = np.array(recorded, dtype=np.float64)
    finite = every[np.isfinite(every).all(axis=1)]  # a step that fp16 skipped says nothing of its blocks
    if not len(finite):
        return Finding(
            _BLOCKS, "unsure", "the gradients are not finite in any of the steps that recorded them"
        )
    norms = np.median(finite[len(finite) // 2 :], axis=0)
    n_skipped = len(every) - len(finite)
    skipped = f"; left out: {n_skipped} of {len(every)}, whose gradients are not finite" * bool(n_skipped)
    typical = float(np.median(norms))
    ratios = norms / typical if typical > 0 else np.zeros_like(norms)
    weak = [f"{i} ({norm:.1e})" for i, norm in enumerate(norms) if not ratios[i] > 1 / _UNLIKE_OTHERS]
    strong = [f"{i} ({norm:.1e})" for i, norm in enumerate(norms) if ratios[i] > _UNLIKE_OTHERS]
    if weak:
        return Finding(
            _BLOCKS,
            "wrong" if not ratios.min() > 1 / _DEAD else "look",
            f"almost no gradient in block {', '.join(weak)}; {typical:.1e} is usual in this run",
            "A dead block learns nothing: look at its initial weights and the gains of its norms, and whether its "
            "parameters are frozen or its output is multiplied by 0.",
        )
    if strong:
        return Finding(
            _BLOCKS,
            "wrong" if ratios.max() > _DEAD else "look",
            f"a far larger gradient in block {', '.join(strong)}; {typical:.1e} is usual in this run",
            "Look at the scale of its initial weights (model.scale_residual_init) and at its norms; a lower train.lr "
            "or model.qk_norm helps where attention explodes.",
        )
    return Finding(
        _BLOCKS,
        "ok",
        f"the gradients of all {len(norms)} blocks are between {norms.min():.2g} and {norms.max():.2g}{skipped}",
    )
