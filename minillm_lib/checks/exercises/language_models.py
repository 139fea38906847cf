"""The exercises of notebook 05: perplexity, bits per byte, and a bigram model with absolute discounting."""

from __future__ import annotations

from math import log

import numpy as np
import numpy.typing as npt

from minillm_lib.checks.exercise import Exercise, Inputs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_TEXTS = (
    "π ≈ 3.14, naïvely",
    "语言模型预测下一个词",
    "Zürich – a café",
    "“quoted”, he said…",
    "Ωmega ≠ αlpha",
)


def _probabilities(rng: np.random.Generator) -> Inputs:
    return (rng.uniform(0.02, 0.9, size=int(rng.integers(6, 15))),)


def _perplexity(probabilities: FloatArray) -> float:
    return float(np.exp(-np.mean(np.log(probabilities))))


def _losses_and_text(rng: np.random.Generator) -> Inputs:
    """Draw losses, and a text with characters of more than one byte."""
    text = str(rng.choice(_TEXTS))
    return rng.uniform(0.5, 6.0, size=int(rng.integers(4, 9))), text


def _bits_per_byte(losses: FloatArray, text: str) -> float:
    return float(losses.sum() / log(2) / len(text.encode()))


def _pair_counts(rng: np.random.Generator) -> Inputs:
    """Draw sparse counts of pairs; one token is never followed by another, and rows have different sums."""
    counts = rng.integers(0, 6, size=(6, 6)) * (rng.random((6, 6)) < 0.6)
    counts[np.arange(6), (np.arange(6) + 1) % 6] += 2
    counts[int(rng.integers(6))] = 0
    return counts, rng.dirichlet(np.full(6, 2.0)), float(rng.uniform(0.3, 0.8))


def _discounted(
    counts: IntArray, lower: FloatArray, discount: float, freed: FloatArray | None = None
) -> FloatArray:
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    kinds = (counts > 0).sum(axis=1, keepdims=True)
    share = discount * kinds / totals if freed is None else freed
    own = np.maximum(counts - discount, 0) / totals + share * lower
    return np.where(counts.sum(axis=1, keepdims=True) > 0, own, lower)


def _discounted_bigram(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    return _discounted(counts, lower, discount)


def _freed_once_a_row(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return _discounted(counts, lower, discount, discount / totals)


def _freed_from_all_terms(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return _discounted(counts, lower, discount, discount * len(lower) / totals)


def _freed_is_the_discount(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    return _discounted(counts, lower, discount, np.full((len(counts), 1), discount))


def _negative_counts(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    kinds = (counts > 0).sum(axis=1, keepdims=True)
    own = (counts - discount + discount * kinds * lower) / totals
    return np.where(counts.sum(axis=1, keepdims=True) > 0, own, lower)


def _nothing_after_an_unseen_token(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    return np.where(counts.sum(axis=1, keepdims=True) > 0, _discounted(counts, lower, discount), 0.0)


def _uniform_after_an_unseen_token(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    seen = counts.sum(axis=1, keepdims=True) > 0
    return np.where(seen, _discounted(counts, lower, discount), 1 / len(lower))


def _by_columns(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    return _discounted(counts.T, lower, discount).T


def _linear_interpolation(counts: IntArray, lower: FloatArray, discount: float) -> FloatArray:
    totals = counts.sum(axis=1, keepdims=True)
    mixed = (1 - discount) * counts / np.maximum(totals, 1) + discount * lower
    return np.where(totals > 0, mixed, lower)


EXERCISES = (
    Exercise(
        name="perplexity",
        reference=_perplexity,
        inputs=_probabilities,
        misconceptions={
            lambda probabilities: float(
                1 / np.mean(probabilities)
            ): "You average the probabilities. Probabilities of "
            "successive tokens are *multiplied*, so it is their logarithms that are averaged.",
            lambda probabilities: float(
                np.mean(1 / probabilities)
            ): "You average 1/p. Average ln p first; the exponential comes last.",
            lambda probabilities: float(
                2 ** -np.mean(np.log(probabilities))
            ): "You mix bases: a natural logarithm needs `np.exp`, a power of 2 needs `np.log2`.",
            lambda probabilities: float(
                np.exp(-np.mean(np.log2(probabilities)))
            ): "You mix bases: `np.exp` undoes the natural logarithm, `np.log`, not `np.log2`.",
            lambda probabilities: float(
                np.exp(-np.sum(np.log(probabilities)))
            ): "You add the logarithms up. Take "
            "their mean, or the perplexity grows with the length of the text.",
            lambda probabilities: float(
                -np.mean(np.log(probabilities))
            ): "That is the loss, in nats a token. Its exponential is the perplexity.",
            lambda probabilities: float(
                np.exp(np.mean(np.log(probabilities)))
            ): "The minus sign is missing: a perplexity is at least 1.",
        },
    ),
    Exercise(
        name="bits_per_byte",
        points=2,
        reference=_bits_per_byte,
        inputs=_losses_and_text,
        misconceptions={
            lambda losses, text: float(
                losses.sum() / log(2) / len(text)
            ): "You divide by the number of characters. "
            "In UTF-8 a character takes one to four bytes: `len(text.encode())`.",
            lambda losses, text: float(
                losses.sum() / len(text.encode())
            ): "Those are nats a byte. One bit is ln 2 nats, so divide by ln 2.",
            lambda losses, text: float(
                losses.sum() * log(2) / len(text.encode())
            ): "You multiply by ln 2. A bit is smaller than a nat, so the same loss is *more* bits: divide.",
            lambda losses, text: float(
                losses.mean() / log(2)
            ): "Those are bits a *token*. Divide the sum by the number of bytes.",
            lambda losses, text: float(
                losses.mean() / log(2) / len(text.encode())
            ): "You take the mean over the tokens, and then divide by the bytes as well. It is the *sum* that is "
            "divided by the bytes.",
        },
    ),
    Exercise(
        name="discounted_bigram",
        points=3,
        reference=_discounted_bigram,
        inputs=_pair_counts,
        misconceptions={
            _freed_once_a_row: "You give the lower order `discount / total`. It was taken once from *each* pair that "
            "was seen: multiply by the number of different tokens that followed.",
            _freed_from_all_terms: "You give away the discount of all V tokens. It was only taken from pairs that "
            "were seen: count the entries of the row that are not zero.",
            _freed_is_the_discount: "You give the lower order the weight `discount`. What is free is `discount` times "
            "the number of different followers, divided by the row's total.",
            _negative_counts: "Where a pair was never seen, its count becomes negative: `np.maximum(…, 0)`.",
            _nothing_after_an_unseen_token: "The row of a token that was never followed by any is empty. There the "
            "lower order has to stand in: every row is a distribution.",
            _uniform_after_an_unseen_token: "After a token without followers you predict uniformly. The lower order "
            "knows better.",
            _by_columns: "You normalise the columns. The row is the token before, so each row sums to 1.",
            _linear_interpolation: "You mix the two with fixed weights: that is linear interpolation. Here `discount` "
            "is taken off each *count*.",
            lambda counts, lower, discount: _discounted(
                counts, lower, discount, np.zeros((len(counts), 1))
            ): "What the discount takes away is lost: the rows do not sum to 1. Give it to the lower order.",
        },
    ),
)
