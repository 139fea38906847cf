"""What the loss says: how it began, where it should be, what was learned, and whether the learning rate suits it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from scipy.ndimage import median_filter

from minillm_lib.analysis.health.finding import Finding, Severity, signed, worst
from minillm_lib.analysis.reference import ReferenceBand, corpora_of
from minillm_lib.training.run import FloatArray, RunResult, noise_of, smoothed

_INITIAL = "initial loss"
_REFERENCE = "reference"
_LEARNED = "what is learned"
_RATE = "learning rate"
_FAR_FROM_UNIFORM, _VERY_FAR_FROM_UNIFORM = 0.5, 2.0  # nats
_NEAR_UNIFORM = 1.0
_FAR_FROM_BAND = 0.5
_NEAR_UNIGRAM = 0.1
_FEWEST_STEPS = 50
_STEPS_TO_FREQUENCIES, _STEPS_BEYOND = 100, 300  # small models know only frequencies for some hundred steps
_TOO_GOOD = 0.25  # share of the loss that counting pairs achieves
_LARGE_STEP, _HUGE_STEP = 0.5, 2.0  # of the initial weights' standard deviation
_RISE, _WIDE_RISE = 0.3, 0.2
_SPIKE = 0.3
_UNCHANGED = 0.05

Sign = tuple[Severity, str]


def _is_continued(metrics: RunResult) -> bool:
    """Return whether a pretraining run starts from the weights of a checkpoint rather than from random ones."""
    return metrics.stage == "pretrain" and metrics.setting("ckpt") is not None


def check_initial_loss(metrics: RunResult) -> Finding:
    """Compare the first loss with that of a uniform guess, ``ln(vocab_size)``, since fresh weights know nothing.

    The presets begin 0.01 to 0.12 nats above it. A run that starts from a checkpoint begins far below.
    """
    vocab_size = metrics.start.get("vocab_size")
    first = metrics.steps[0] if metrics.steps else {}
    if vocab_size is None or first.get("step") != 1:
        return Finding(_INITIAL, "unsure", "the first step or the size of the vocabulary is not recorded")
    loss, uniform = float(first["loss"]), math.log(vocab_size)
    state = f"{loss:.2f}; a uniform guess among {vocab_size:,} tokens is {uniform:.2f}"
    is_continued = _is_continued(metrics)
    if metrics.stage == "sft" or is_continued:
        if loss > uniform - _NEAR_UNIFORM:
            advice = "Look at ckpt: is it the pretrained model, with its own tokenizer?"
            return Finding(
                _INITIAL,
                "look" if is_continued else "wrong",
                f"{state}: as if the model had learned nothing before",
                advice + " Text in a language that is new to the model has such a loss too." * is_continued,
            )
        return Finding(_INITIAL, "ok", f"{state}: the pretrained model's knowledge is there")
    if loss > uniform + _FAR_FROM_UNIFORM:
        return Finding(
            _INITIAL,
            "wrong" if loss > uniform + _VERY_FAR_FROM_UNIFORM else "look",
            f"{state}: the untrained model is confident about what it cannot know",
            "The initial logits are too large: look at model.initializer_range (0.02 is usual), at "
            "model.scale_residual_init, and at the last norm.",
        )
    if loss < uniform - _FAR_FROM_UNIFORM:
        return Finding(
            _INITIAL,
            "look",
            f"{state}: better than an untrained model can be",
            "Either the weights have been trained before, or the model sees the labels: look at their shift by one and "
            "at the causal mask. Text with very few distinct tokens has such a loss too.",
        )
    return Finding(_INITIAL, "ok", state)


def check_reference(metrics: RunResult, band: ReferenceBand | None) -> Finding:
    """Compare the smoothed loss with the band of recorded runs of the same size and stage."""
    if _is_continued(metrics):
        return Finding(
            _REFERENCE, "unsure", "the recorded runs start from random weights, and this one from ckpt"
        )
    if band is None:
        return Finding(_REFERENCE, "unsure", "no recorded run has this stage, size and vocabulary")
    if band.corpora != corpora_of(metrics):
        read = ", ".join(band.corpora)
        return Finding(_REFERENCE, "unsure", f"{band.name} has this size, but has read other text ({read})")
    tokens, loss = metrics.values("tokens"), smoothed(metrics.values("loss"))
    low, high = band.at(tokens)
    inside = np.flatnonzero(np.isfinite(low) & (np.arange(len(loss)) >= metrics.warmup_end))
    if len(inside) < _FEWEST_STEPS:
        return Finding(_REFERENCE, "unsure", f"too few steps to compare with {band.name}: {len(inside)}")
    last = inside[-max(len(inside) // 10, 5) :]
    above = float(np.median(loss[last] - high[last]))
    below = float(np.median(low[last] - loss[last]))
    state = (
        f"{loss[last[-1]]:.2f} at {tokens[last[-1]]:,.0f} tokens; {band.name} has "
        f"{low[last[-1]]:.2f} to {high[last[-1]]:.2f}"
    )
    if above > 0:
        return Finding(
            _REFERENCE,
            "wrong" if above > _FAR_FROM_BAND else "look",
            f"{state}: {above:.2f} nats above the band",
            "Compare this run's config.yaml with the reference's: train.lr, batch_size, the schedule, precision.",
        )
    if below > _FAR_FROM_BAND:
        return Finding(
            _REFERENCE,
            "look",
            f"{state}: {below:.2f} nats below the band",
            "This is too good: look for training text that repeats itself, and for labels that the model can see.",
        )
    return Finding(_REFERENCE, "ok", f"{state}{': below the band' if below > 0 else ''}")


def check_what_was_learned(metrics: RunResult, baselines: Mapping[str, float]) -> Finding | None:
    """Check whether the model does better than counting tokens; only a pretraining run can be compared."""
    if metrics.stage != "pretrain":
        return None
    unigram, held_out = baselines.get("unigram"), metrics.series("loss", "evaluation")[1]
    if unigram is None or not len(held_out):
        return Finding(
            _LEARNED, "unsure", "there is no evaluation, or the token files to compare with are missing"
        )
    now, n_steps = float(held_out.min()), len(metrics.steps) - metrics.warmup_end
    bigram = f", counting pairs {baselines['bigram']:.2f}" if "bigram" in baselines else ""
    state = f"the held-out loss is {now:.2f}; counting tokens achieves {unigram:.2f}{bigram}"
    if now < _TOO_GOOD * baselines.get("bigram", unigram):
        return Finding(
            _LEARNED,
            "look",
            f"{state}: too good to be true",
            "Check whether the model can see what it predicts (the shift of the labels by one, the causal mask), and "
            "whether the text repeats one sentence over and over.",
        )
    if now < unigram - _NEAR_UNIGRAM:
        return Finding(_LEARNED, "ok", state)
    knows_frequencies = now <= unigram + _NEAR_UNIGRAM
    if n_steps < (_STEPS_BEYOND if knows_frequencies else _STEPS_TO_FREQUENCIES):
        return Finding(_LEARNED, "unsure", f"{state}; too early to tell: {n_steps} steps since the warm-up")
    if not knows_frequencies:
        return Finding(
            _LEARNED,
            "wrong",
            f"{state}: it has not even learned how frequent each token is",
            "If the loss still falls, the learning rate is too low; if not, the learning rate is far too high, or the "
            "gradients do not reach the weights.",
        )
    return Finding(
        _LEARNED,
        "wrong",
        f"{state}: it has learned only how frequent each token is, not which tokens follow which",
        "Check whether the labels belong to the inputs (the shift by one, the order of rows, the mask) and whether "
        "attention sees the past; a learning rate that is far too high leads here too.",
    )


def check_learning_rate(metrics: RunResult) -> Finding:
    """Look for signs of a learning rate that is too high or too low.

    A single run cannot tell whether a slightly higher or lower one would be better.
    """
    loss, rates = metrics.values("loss"), metrics.values("lr")
    if len(loss) < _FEWEST_STEPS or not np.isfinite(loss).all() or not np.isfinite(rates).any():
        return Finding(_RATE, "unsure", f"too early to tell: {len(loss)} steps")
    too_high = [*_large_steps(metrics, rates), *_rises(loss), *_spikes(loss, metrics.warmup_end)]
    if too_high:
        return Finding(
            _RATE,
            worst([severity for severity, _ in too_high]),
            f"too high? {'; '.join(words for _, words in too_high)}",
            "Try a third of train.lr, a longer train.schedule.warmup_steps, or model.qk_norm.",
        )
    is_continued = _is_continued(metrics)  # then there may be little left to learn
    too_low = [] if is_continued else [*_small_way(metrics, rates), *_hardly_fell(loss)]
    if too_low:
        return Finding(
            _RATE,
            worst([severity for severity, _ in too_low]),
            f"too low? {'; '.join(words for _, words in too_low)}",
            "Try 3 and 10 times train.lr for some hundred steps each, and keep the one with the lowest loss.",
        )
    course = "has no jumps" if is_continued else "falls without jumps"
    return Finding(_RATE, "ok", f"{np.nanmax(rates):.2g} at its peak; the loss {course}")


def _scale_of_weights(metrics: RunResult) -> float | None:
    """Return the standard deviation of the initial weights; None for a run that does not begin with them."""
    is_fresh = metrics.stage == "pretrain" and not _is_continued(metrics)
    return metrics.setting("model", "initializer_range") if is_fresh else None


def _large_steps(metrics: RunResult, rates: FloatArray) -> Iterator[Sign]:
    """Compare the peak of the learning rate with the spread of the initial weights.

    AdamW's first updates change each weight by about the learning rate, however large the gradient is. Rates from 0.01
    to 0.2 of the initial weights' standard deviation are usual (6e-4 to 3e-3 for 0.02).
    """
    scale, highest = _scale_of_weights(metrics), float(np.nanmax(rates))
    if scale and highest > _LARGE_STEP * scale:
        share = highest / scale
        severity: Severity = "wrong" if share > _HUGE_STEP else "look"
        yield (
            severity,
            f"one step can change a weight by {highest:.2g}, {share:.1f} times the spread of the initial weights",
        )


def _rises(loss: FloatArray) -> Iterator[Sign]:
    """Look for a rise of the loss that is longer than noise explains."""
    noise, width = noise_of(loss), max(len(loss) // 20, 10)
    brief = median_filter(loss, 5, mode="mirror")[: len(loss) - 2]
    wide = smoothed(loss, width)[: len(loss) - width // 2]
    limits = max(_RISE, 6 * noise), max(_WIDE_RISE, 6 * noise / math.sqrt(width))
    for curve, limit in zip((brief, wide), limits, strict=True):
        risen = curve - np.minimum.accumulate(curve)
        top = int(risen.argmax())
        if risen[top] > limit:
            is_back = curve[-1] - curve[: top + 1].min() < limit
            back = "and came back" if is_back else f"and is at {curve[-1]:.2f} at the end"
            lowest = curve[top] - risen[top]
            yield (
                "look" if is_back else "wrong",
                f"the loss rose from {lowest:.2f} to {curve[top]:.2f} by step {top + 1}, {back}",
            )
            return


def _spikes(loss: FloatArray, first: int) -> Iterator[Sign]:
    """Look for single steps far above those around them, if there are more than a few."""
    limit = median_filter(loss, 21, mode="mirror") + max(_SPIKE, 6 * noise_of(loss))
    n_spikes = int((loss > limit)[first:].sum())
    if n_spikes >= max(3, 0.01 * len(loss)):
        yield "look", f"{n_spikes} steps have a loss far above that of the steps around them"


def _small_way(metrics: RunResult, rates: FloatArray) -> Iterator[Sign]:
    """Compare the sum of all rates, about the farthest that AdamW can have moved a weight, with the initial spread."""
    scale, way = _scale_of_weights(metrics), float(np.nansum(rates))
    if scale and way < scale:
        yield (
            "wrong" if way < scale / 4 else "look",
            f"all {len(rates)} steps together can have moved a weight by {way:.2g}, while the initial weights have "
            f"a spread of {scale:g}",
        )


def _hardly_fell(loss: FloatArray) -> Iterator[Sign]:
    tenth = len(loss) // 10
    fall = float(loss[:tenth].mean() - loss[-tenth:].mean())
    if fall < _UNCHANGED:
        yield (
            "look",
            f"from the first tenth of the run to the last, the loss changed by only {signed(-fall, 3)} nats",
        )
