"""The exercises of notebook 05: loss, bits per byte, bigrams; see also ``language_models_continuation``."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.language_models_continuation import CONTINUATION_PROBABILITIES
from minillm_lib.checks.exercises.slip_names import made, named

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_TEXTS = (
    "π ≈ 3.14, naïvely",
    "语言模型预测 下一个词",
    "Zürich – a café",
    "“quoted”, he said…",
    "Ωmega ≠ αlpha",
)


def _probabilities(rng: np.random.Generator) -> Inputs:
    return (rng.uniform(0.02, 0.9, size=int(rng.integers(6, 15))),)


def _perplexity(probabilities: FloatArray, /, **slips: Any) -> Any:
    has = made(slips)
    p = probabilities
    if has("p:eps"):
        p = p + 1e-3
    if has("p:small eps"):
        p = p + 1e-9
    if has("p:clipped"):
        p = np.clip(p, 1e-6, 1)
    n = {"1": 1, "one less": len(p) - 1}.get(slips.get("n", ""), len(p))
    with np.errstate(all="ignore"):
        logs = np.log2(p) if has("log:2") else np.log10(p) if has("log:10") else np.log(p)
        loss = -logs if has("each") else -np.sum(logs) / n
        if has("logs:of the mean"):
            loss = -np.log(np.mean(p))
        if has("logs:weighted"):
            loss = -np.sum(p * logs)
        if has("logs:median"):
            loss = -np.median(logs)
        if has("logs:of the product"):
            loss = -np.log(np.prod(p)) / n
        loss = -loss if has("sign") else loss
        return (
            loss
            if has("exp:none")
            else 2**loss
            if has("exp:2")
            else 10**loss
            if has("exp:10")
            else np.exp(loss)
        )


def _losses_and_text(rng: np.random.Generator) -> Inputs:
    """Draw losses, and a text with characters of more than one byte."""
    text = str(rng.choice(_TEXTS))
    return rng.uniform(0.5, 6.0, size=int(rng.integers(4, 9))), text


def _bits_per_byte(losses: FloatArray, text: str, /, **slips: Any) -> Any:
    has = made(slips)
    size = {
        "characters": len(text),
        "words": len(text.split()),
        "ascii": len(text.encode("ascii", "ignore")),
        "utf-16": len(text.encode("utf-16")),
        "utf-16 without mark": len(text.encode("utf-16-le")),
        "utf-32": len(text.encode("utf-32")),
        "tokens": len(losses),
        "bits": 8 * len(text.encode()),
        "different": len(set(text)),
        "none": 1,
    }.get(slips.get("by", ""), len(text.encode()))
    unit = {"nats": 1.0, "times": 1 / log(2), "log10": np.log10(2), "2": 2.0}.get(
        slips.get("unit", ""), log(2)
    )
    if has("total:mean"):
        total = losses.mean() / unit
    elif has("total:log2"):
        total = np.log2(losses).sum()
    elif has("total:minus log2"):
        total = -np.log2(losses).sum()
    elif has("total:first"):
        total = losses[0] / unit
    else:
        total = (losses if has("each") else losses.sum()) / unit
    value = size / total if has("inverted") else total / size
    return (
        -value if has("sign") else np.exp(value) if has("exp") else 2**value if has("power of 2") else value
    )


def _pair_counts(rng: np.random.Generator) -> Inputs:
    """Draw sparse counts of pairs; one token is never followed by another, and rows have different sums."""
    counts = rng.integers(0, 6, size=(6, 6)) * (rng.random((6, 6)) < 0.6)
    counts[np.arange(6), (np.arange(6) + 1) % 6] += 2
    counts[int(rng.integers(6))] = 0
    return counts, rng.dirichlet(np.full(6, 2.0)), float(rng.uniform(0.3, 0.8))


def _discounted_bigram(counts: IntArray, lower: FloatArray, discount: float, /, **slips: Any) -> Any:
    has = made(slips)
    if has("columns"):
        return _discounted_bigram(
            counts.T, lower, discount, **{name: value for name, value in slips.items() if name != "columns"}
        ).T
    if has("smoothed"):
        counts = counts + 1
    totals = counts.sum(axis=1, keepdims=True)
    safe: Any = totals if has("unseen:nan") else np.maximum(totals, 1)
    followers: Any = {
        "1": np.ones_like(totals),
        "all": np.full_like(totals, len(lower)),
        "total": totals,
        "before": (counts > 0).sum(axis=0)[:, None],
        "once": (counts == 1).sum(axis=1, keepdims=True),
        "above": (counts > 1).sum(axis=1, keepdims=True),
        "unseen": (counts == 0).sum(axis=1, keepdims=True),
    }.get(slips.get("kinds", ""), (counts > 0).sum(axis=1, keepdims=True))
    if has("keepdims"):
        safe, followers = safe[:, 0], followers[:, 0]
    own: Any = counts - discount if has("own:negative") else np.maximum(counts - discount, 0)
    if has("own:full"):
        own = counts
    if has("own:integers"):
        own = np.where(counts > 0, np.trunc(counts - discount), 0)
    with np.errstate(all="ignore"):
        divisor = np.maximum(own.sum(axis=1, keepdims=True), 1e-9) if has("own:renormalised") else safe
        if has("own:all renormalised"):
            safe = divisor = np.maximum(own.sum(axis=1, keepdims=True), 1e-9)
        own = np.maximum(counts / safe - discount, 0) if has("own:share") else own / divisor
        share = followers / safe if has("freed:no discount") else discount * followers / safe
        if has("freed:rest"):
            share = (1 - discount) * followers / safe
        if has("freed:not divided"):
            share = discount * followers
        below = lower[:, None] if has("lower:row") else 1 / len(lower) if has("lower:uniform") else lower
        freed = 0.0 if has("freed:none") else share if has("lower:none") else share * below
        result = np.where(counts > 0, own, freed) if has("backoff") else own + freed
    if has("normalised"):
        result = result / np.maximum(result.sum(axis=1, keepdims=True), 1e-12)
    instead = 0.0 if has("unseen:zero") else 1 / len(lower) if has("unseen:uniform") else lower
    return result if has("unseen:nan") else np.where(totals > 0, result, instead)


def _linear_interpolation(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    totals = counts.sum(axis=1, keepdims=True)
    mixed = (1 - discount) * counts / np.maximum(totals, 1) + discount * lower
    return np.where(totals > 0, mixed, lower)


EXERCISES = (
    Exercise(
        name="perplexity",
        reference=lambda probabilities: float(np.exp(-np.mean(np.log(probabilities)))),
        edge_cases={
            "powers of 1/2": (np.array([0.5, 0.25, 0.125]),),
            "a text of which the model was sure": (np.array([1.0, 1.0, 1.0]),),
            "tokens thought nearly impossible": (np.array([1e-7, 0.5, 1e-12, 0.9]),),
            "a long text": (np.tile([0.01, 0.004, 0.03], 500),),
        },
        inputs=_probabilities,
        hints=(
            "The perplexity is the exponential of the loss. So what is the loss of these probabilities?",
            "The loss is minus the mean of the natural logarithms.",
            "`np.log` of the array, `np.mean` of that, a minus sign, and `np.exp` last.",
        ),
        variant=_perplexity,
        slips=named(
            {
                "n:1": "You add the logarithms up. Take their mean, or the perplexity grows with the "
                "length of the text.",
                "n:one less": "You divide by n − 1. The loss is a plain mean: divide by n.",
                "log:2": "You mix bases: your logarithm is to the base 2, and `np.exp` undoes the natural "
                "one, `np.log`.",
                "log:10": "You mix bases: your logarithm is to the base 10, and `np.exp` undoes the "
                "natural one, `np.log`.",
                "exp:2": "You mix bases: a natural logarithm needs `np.exp`, a power of 2 needs `np.log2`.",
                "exp:10": "You mix bases: a natural logarithm needs `np.exp`, a power of 10 needs "
                "`np.log10`.",
                "exp:none": "That is the loss, in nats per token. Its exponential is the perplexity.",
                "sign": "The minus sign is missing: with it the loss is positive, and the perplexity at "
                "least 1.",
                "each": "You give a number for each token. The loss is the mean over all of them.",
                "logs:of the mean": "You average the probabilities. Probabilities of successive tokens are "
                "*multiplied*, so it is their logarithms that are averaged.",
                "logs:weighted": "You weight each logarithm by its probability, as in an entropy. The "
                "tokens are those that came: each counts once, 1/n.",
                "logs:median": "You take the median of the logarithms. The loss is their mean.",
                "logs:of the product": "You multiply the probabilities. For a long text the product is "
                "too small for a float and becomes 0: add up the logarithms.",
                "p:eps": "You add a thousandth to the probabilities, which spoils small ones. They are "
                "above 0: take the logarithm as they are.",
                "p:small eps": "You add a small number to the probabilities, which spoils those that are "
                "smaller still. They are above 0: take the logarithm as they are.",
                "p:clipped": "You clip the probabilities from below, so that a token thought nearly "
                "impossible costs too little. They are above 0: take the logarithm as they are.",
            }
        ),
        misconceptions={
            lambda probabilities: float(
                np.mean(1 / probabilities)
            ): "You average 1/p. Average ln p first; the exponential comes last.",
            lambda probabilities: float(
                np.exp(-np.log(np.mean(probabilities)) / len(probabilities))
            ): "You take "
            "the logarithm of the mean, and divide by n once more. Take the logarithm of each probability, "
            "and then the mean.",
            lambda probabilities: float(
                1 - np.mean(probabilities)
            ): "That is 1 minus the mean probability. Follow "
            "equation (2): logarithms, their mean, the exponential.",
            lambda probabilities: -np.mean(np.log2(probabilities)): "That is the loss in bits per token. The "
            "perplexity is 2 to that power.",
            lambda probabilities: float(np.exp(np.mean(-np.log(probabilities)) ** 2)): "You square the loss.",
        },
    ),
    Exercise(
        name="bits_per_byte",
        points=2,
        reference=lambda losses, text: float(losses.sum() / log(2) / len(text.encode())),
        edge_cases={
            "three tokens": (np.array([2.0, 1.0, 4.0]), "naïve 主题"),
            "a single token": (np.array([0.7]), "🌹é"),
            "a text in ASCII": (np.array([1.5, 2.5]), "plain text, no more"),
            "a Chinese text": (np.array([3.0, 0.25, 1.0, 2.0]), "注意 力"),
        },
        inputs=_losses_and_text,
        hints=(
            "The losses are in nats, and (3) wants bits. How many nats are a bit? And how many bytes has "
            "the text?",
            "log₂ p = ln p / ln 2, so dividing by ln 2 turns nats into bits. `text.encode()` gives the "
            "bytes in UTF-8.",
            "Divide the *sum* of the losses by `log(2)` and by `len(text.encode())`.",
        ),
        variant=_bits_per_byte,
        slips=named(
            {
                "by:characters": "You divide by the number of characters. In UTF-8 a character takes one "
                "to four bytes: `len(text.encode())`.",
                "by:words": "You divide by the number of words. Divide by the bytes: `len(text.encode())`.",
                "by:ascii": "You leave out all characters beyond ASCII. In UTF-8 they take two to four "
                "bytes each.",
                "by:utf-16": "You count the bytes in UTF-16. Equation (3) has those in UTF-8, as "
                "`text.encode()` gives them.",
                "by:utf-16 without mark": "You count two bytes for most characters, as in UTF-16. "
                "Equation (3) has the bytes in UTF-8, as `text.encode()` gives them.",
                "by:utf-32": "You count the bytes in UTF-32. Equation (3) has those in UTF-8, as "
                "`text.encode()` gives them.",
                "by:tokens": "Those are bits per *token*. Divide the sum by the number of bytes.",
                "by:bits": "You divide by the bits of the text, 8 for each byte. Divide by its bytes.",
                "by:different": "You divide by the number of different characters. Divide by the bytes: "
                "`len(text.encode())`.",
                "by:none": "Those are the bits for the whole text. Divide by its bytes.",
                "unit:nats": "Those are nats, not bits. One bit is ln 2 nats, so divide by ln 2.",
                "unit:times": "You multiply by ln 2. A bit is smaller than a nat, so the same loss is "
                "*more* bits: divide.",
                "unit:log10": "You divide by the logarithm of 2 to the base 10. The losses are natural "
                "logarithms: divide by `log(2)`.",
                "unit:2": "You divide by 2. One bit is ln 2 nats: divide by `log(2)`.",
                "total:mean": "You take the mean over the tokens, and then divide by the size of the text "
                "as well. It is the *sum* that is divided by the bytes.",
                "total:log2": "You take a logarithm of the losses. They are logarithms already, in nats: "
                "divide by ln 2.",
                "total:minus log2": "You take minus the logarithm of the losses. They are −ln p already: "
                "divide by ln 2.",
                "total:first": "You take the first loss only. Sum over all tokens.",
                "each": "You give a number for each token. Sum the losses first.",
                "inverted": "The fraction is upside down: bits above, bytes below the line.",
                "sign": "The sign is wrong: `losses` holds −ln p, so the minus of (3) is in it already.",
                "exp": "You take the exponential at the end, as for a perplexity. Bits per byte is the "
                "quotient itself.",
                "power of 2": "You take a power of 2 at the end, as for a perplexity. Bits per byte is "
                "the quotient itself.",
            }
        ),
    ),
    Exercise(
        name="discounted_bigram",
        points=3,
        reference=lambda counts, lower, discount: _discounted_bigram(counts, lower, discount),
        edge_cases={
            "three tokens": (np.array([[2, 1, 0], [0, 0, 0], [4, 0, 1]]), np.array([0.5, 0.3, 0.2]), 0.5),
            "counts in which every token has followers": (
                np.array([[0, 3], [1, 6]]),
                np.array([0.9, 0.1]),
                0.75,
            ),
            "`discount=1`": (
                np.array([[1, 0, 4, 1], [2, 2, 2, 2], [0, 0, 0, 9], [0, 0, 0, 0]]),
                np.full(4, 0.25),
                1.0,
            ),
        },
        inputs=_pair_counts,
        hints=(
            "For each row: its total c_v, and N_v, how many of its entries are above zero. What remains of "
            "the counts? What was freed?",
            "`counts.sum(axis=1, keepdims=True)` and `(counts > 0).sum(axis=1, keepdims=True)` are columns, "
            "so they divide and multiply row by row. Take care of rows whose total is 0.",
            "Add `np.maximum(counts - discount, 0)` and `discount * followers * lower`, divide by the "
            "totals, and put `lower` where the total is 0, with `np.where(totals > 0, …, lower)`.",
        ),
        variant=_discounted_bigram,
        slips=named(
            {
                "unseen:nan": "The row of a token that was never followed by any is 0 / 0, which gives "
                "NaN. There the row is `lower`.",
                "unseen:zero": "The row of a token that was never followed by any is empty. There the "
                "lower order has to stand in: every row is a distribution.",
                "unseen:uniform": "After a token without followers you predict uniformly. The lower order "
                "knows better.",
                "own:negative": "Where a pair was never seen, its count becomes negative: `np.maximum(…, "
                "0)`.",
                "own:full": "The discount is not taken off the counts, but it is given to the lower "
                "order: the rows sum to more than 1.",
                "own:renormalised": "You divide the discounted counts by their own sum. (6) divides them "
                "by c_v, the sum before the discount: what is missing goes to the lower order.",
                "own:all renormalised": "You divide by the sum of the *discounted* counts. c_v is the sum "
                "of the counts before D was taken off.",
                "own:integers": "You put the discounted counts into an array of integers, which cuts off "
                "what stands behind the point. Make a new array of floats: `np.maximum(counts - discount, "
                "0)`.",
                "own:share": "You take the discount off the shares. It is taken off the *counts*, before "
                "they are divided.",
                "kinds:1": "You give the lower order `discount / total`. It was taken once from *each* "
                "pair that was seen: multiply by the number of different tokens that followed.",
                "kinds:all": "You give away the discount of all V tokens. It was only taken from pairs "
                "that were seen: count the entries of the row that are not zero.",
                "kinds:total": "You give the lower order the weight `discount`. What is free is "
                "`discount` times the number of different followers, divided by the row's total.",
                "kinds:before": "N_v counts the different tokens *before* v in your code (a column). It "
                "is the number of different tokens that followed v: its row.",
                "kinds:once": "You count the followers that were seen exactly once. N_v is the number of "
                "different followers, however often each was seen.",
                "kinds:above": "You count the followers that were seen more than once. N_v is the number "
                "of all different followers.",
                "kinds:unseen": "You count the tokens that did *not* follow. N_v is the number of entries "
                "of the row that are not zero.",
                "keepdims": "The sums of the rows are divided along the columns: a shape (V,) is spread "
                "over rows. Keep them a column, with `keepdims=True`.",
                "columns": "You normalise the columns. The row is the token before, so each row sums to 1.",
                "lower:row": "You multiply by the lower order's probability of the token *before*. It is "
                "that of the token w that follows, the column.",
                "lower:uniform": "You spread what was freed evenly. It goes to the lower order: multiply "
                "by `lower`.",
                "lower:none": "You give what was freed to every token in full. It is shared out: multiply "
                "by `lower`.",
                "freed:none": "What the discount takes away is lost: the rows do not sum to 1. Give it to "
                "the lower order.",
                "freed:rest": "The weight of the lower order has 1 − D. It is what was taken away: D N_v / c_v.",
                "freed:no discount": "The factor D is missing in the weight of the lower order: D N_v / c_v.",
                "freed:not divided": "The weight of the lower order is not divided by the row's total: D "
                "N_v / c_v.",
                "backoff": "You use the lower order only for pairs that were never seen. In (6) it is "
                "added for all tokens.",
                "smoothed": "You add 1 to the counts: that is another kind of smoothing. Here D is taken "
                "off instead.",
            }
        ),
        misconceptions={
            _linear_interpolation: "You mix the two with fixed weights: that is linear interpolation. Here "
            "`discount` is taken off each *count*.",
            lambda counts, lower, discount: _discounted_bigram(
                counts, lower, discount
            ).T.copy(): "The matrix is transposed: the row is the token before, and each row sums to 1.",
            lambda counts, lower, discount: np.where(
                counts.sum(axis=1, keepdims=True) > 0,
                counts / np.maximum(counts.sum(axis=1, keepdims=True), 1),
                lower,
            ): "Those are the shares of the counts, without a discount: pairs that were never seen get 0.",
            lambda counts, lower, discount: np.tile(
                lower, (len(lower), 1)
            ): "Every row is `lower`. The counts of the pairs have their say too.",
        },
    ),
    CONTINUATION_PROBABILITIES,
)
