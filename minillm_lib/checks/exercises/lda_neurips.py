"""The exercises of notebook 03: which terms describe a topic, held-out perplexity, and convergence over chains."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.lda_neurips_matching import MATCHED_OVERLAP
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.topics import summary

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _topics(rng: np.random.Generator) -> Inputs:
    n_topics, n_terms = int(rng.integers(3, 6)), int(rng.integers(6, 10))
    topic_word = rng.dirichlet(np.full(n_terms, 2.0), size=n_topics)
    return topic_word, rng.integers(5, 300, size=n_terms), float(rng.uniform(0.1, 0.4))


def _relevance(topic_word: FloatArray, term_frequency: IntArray, weight: float, /, **slips: Any) -> Any:
    has = made(slips)
    rest = 1.0 if has("rest:1") else 1 - weight
    if has("weights"):
        weight, rest = rest, weight
    if has("weight:fixed"):
        weight, rest = 0.6, 0.4
    if has("topics:total"):
        topic_word = topic_word / topic_word.sum()
    frequency = {
        "counts": term_frequency,
        "terms": term_frequency / len(term_frequency),
        "max": term_frequency / term_frequency.max(),
        "mean": topic_word.mean(axis=0),
        "sum": topic_word.sum(axis=0),
        "none": np.ones(len(term_frequency)),
    }.get(slips.get("p", ""), term_frequency / term_frequency.sum())
    lift = frequency / topic_word if has("lift:inverted") else topic_word / frequency
    if has("lift:product"):
        lift = topic_word * frequency
    if has("log:none"):
        value = weight * topic_word + rest * lift
    elif has("log:outside"):
        value = np.log(weight * topic_word + rest * lift)
    elif has("log:before"):
        value = weight * np.log(topic_word) + rest * np.log(topic_word) / frequency
    elif has("log:probability only"):
        value = weight * np.log(topic_word) + rest * lift
    elif has("log:lift only"):
        value = weight * topic_word + rest * np.log(lift)
    else:
        value = (1.0 if has("first:1") else weight) * np.log(topic_word) + rest * np.log(lift)
    value = value / (np.log(2) if has("base:2") else np.log(10) if has("base:10") else 1)
    value = value.T if has("transposed") else value
    return np.exp(value) if has("exp") else -value if has("sign") else value


def _of_library(topic_word: FloatArray, term_frequency: IntArray, weight: float) -> FloatArray:
    return summary.relevance(topic_word, term_frequency, weight)


def _held_out(rng: np.random.Generator) -> Inputs:
    """Draw documents of very different lengths, in which terms repeat."""
    doc_topic, topic_word = rng.dirichlet(np.full(3, 0.5), size=4), rng.dirichlet(np.full(8, 0.5), size=3)
    lengths = np.array([3, 60, 12, 150])
    hidden = np.array([rng.multinomial(n, p) for n, p in zip(lengths, doc_topic @ topic_word, strict=True)])
    # a floor, so that no term is impossible for any topic
    return doc_topic, (topic_word + 0.02) / (1 + 8 * 0.02), hidden


def _completion_perplexity(
    doc_topic: FloatArray, topic_word: FloatArray, hidden: IntArray, /, **slips: Any
) -> Any:
    has = made(slips)
    if has("terms"):
        topic_word = topic_word / topic_word.sum(axis=0)
    weights = {"presence": (hidden > 0) * 1, "all": np.ones_like(hidden)}.get(slips.get("hidden", ""), hidden)
    log = np.log2 if has("log:2") else np.log10 if has("log:10") else np.log
    if has("mix:logs"):
        logs = doc_topic @ log(topic_word)
    elif has("mix:best"):
        logs = log(topic_word[doc_topic.argmax(axis=1)])
    elif has("mix:uniform"):
        logs = np.tile(log(topic_word.mean(axis=0)), (len(doc_topic), 1))
    elif has("mix:topics"):
        logs = np.tile(log(topic_word.sum(axis=0)), (len(doc_topic), 1))
    else:
        logs = log(doc_topic @ topic_word)
    total = np.sum(weights * logs)
    if has("mix:counts"):
        chances = weights * (doc_topic @ topic_word)
        total = np.sum(log(chances[chances > 0]))
    n = {
        "documents": len(hidden),
        "entries": np.sum(hidden > 0),
        "size": hidden.size,
        "terms": hidden.shape[1],
        "1": 1,
        "one less": weights.sum() - 1,
    }.get(slips.get("n", ""), weights.sum())
    with np.errstate(all="ignore"):
        loss: Any = -total / n
        if has("average:within"):
            loss = np.mean(-(weights * logs).sum(axis=1) / weights.sum(axis=1))
        if has("average:each") or has("average:perplexities"):
            loss = -(weights * logs).sum(axis=1) / weights.sum(axis=1)
        loss = -loss if has("sign") else loss
        value = loss if has("exp:none") else 2**loss if has("exp:2") else np.exp(loss)
    return value.mean() if has("average:perplexities") else value


def _chains(rng: np.random.Generator) -> Inputs:
    """Draw chains at different levels, each with a drift."""
    n_chains, n_draws = int(rng.choice([2, 4, 6])), 2 * int(rng.integers(4, 9))
    drift = rng.uniform(-1, 1, size=(n_chains, 1)) * np.linspace(0, 2, n_draws)
    return (rng.standard_normal((n_chains, n_draws)) + rng.standard_normal((n_chains, 1)) + drift,)


def _halves(chains: FloatArray, /, **slips: Any) -> FloatArray:
    has = made(slips)
    half = chains.shape[1] // 2
    if has("pieces:whole"):
        return chains
    if has("pieces:alternate"):
        return np.concatenate([chains[:, ::2], chains[:, 1::2]])
    if has("pieces:chains"):
        return np.concatenate(np.array_split(chains, 2, axis=0), axis=1)
    if has("pieces:first"):
        return chains[:, :half]
    if has("pieces:second"):
        return chains[:, half:]
    if has("pieces:mixed"):
        return chains.reshape(-1, 2 * len(chains)).T
    if has("pieces:draws"):
        return chains.T
    return np.concatenate([chains[:, :half], chains[:, half:]])


def _split_r_hat(chains: FloatArray, /, **slips: Any) -> Any:
    has = made(slips)
    pieces = _halves(chains, **slips)
    m, length = pieces.shape
    n = (
        chains.shape[1]
        if has("n:draws")
        else m
        if has("n:pieces")
        else pieces.size
        if has("n:all")
        else length
    )
    both = has("ddof:both")
    spread = np.std if has("std:both") else np.var
    within = spread(pieces, axis=1, ddof=0 if both or has("ddof:within") else 1)
    w = np.median(within) if has("w:median") else within.sum() if has("w:sum") else within.mean()
    if has("w:all"):
        w = spread(pieces, ddof=1)
    between = spread(pieces.mean(axis=1), ddof=0 if both or has("ddof:between") else 1)
    if has("std:between"):
        between = np.sqrt(between)
    if has("between:sum"):
        between = between * (m - 1)
    if has("between:m + 1"):
        between = between * (m + 1) / m
    if has("between:b"):
        between = between * length
    if has("between:divided"):
        between = between / length
    ratio = w / between if has("ratio:inverted") else between if has("ratio:none") else between / w
    if has("ratio:square"):
        ratio = ratio**2
    first = {"none": 0, "1": 1, "brackets": n - 1 / n, "inverted": n / (n - 1)}.get(
        slips.get("first", ""), (n - 1) / n
    )
    value = w * (n - 1) / n + between if has("ratio:variance") else first + ratio
    return float(value if has("root") else np.sqrt(value))


_TOPICS = np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8], [0.25, 0.5, 0.25]])
_SHARES = np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]])
_WORDS = np.array([[0.6, 0.1, 0.25, 0.05], [0.1, 0.4, 0.2, 0.3]])
_WAVES = np.sin(np.arange(24.0) ** 1.5).reshape(2, 12) + np.array([[0.0], [0.6]])

EXERCISES = (
    Exercise(
        name="relevance",
        reference=_of_library,
        edge_cases={
            "as many topics as terms": (_TOPICS, np.array([30, 20, 150]), 0.3),
            "`weight=0`": (_TOPICS[:2], np.array([3, 20, 7]), 0.0),
            "`weight=1`": (_TOPICS[:2], np.array([3, 20, 7]), 1.0),
            "a single topic": (_TOPICS[1:2], np.array([10, 10, 80]), 0.7),
        },
        inputs=_topics,
        hints=(
            "Two things have to be found first: the probability p(w) of each term, from the counts, and the "
            "lift.",
            "`term_frequency / term_frequency.sum()` is p(w), of shape (n_terms,). Dividing `topic_word` by "
            "it divides each row.",
            "With `lift = topic_word / p`, it is `weight * np.log(topic_word) + (1 - weight) * "
            "np.log(lift)`.",
        ),
        variant=_relevance,
        slips=named(
            {
                "weights": "You have exchanged λ and 1 − λ: λ belongs to the probability, 1 − λ to the lift.",
                "weight:fixed": "You use a λ of 0.6, whatever `weight` is.",
                "rest:1": "The factor 1 − λ of the second term is missing.",
                "first:1": "The factor λ of the first term is missing.",
                "p:counts": "The lift needs p(w), but `term_frequency` holds counts: divide them by their "
                "sum. The ranking comes out right, the numbers do not.",
                "p:terms": "You divide the counts by the number of terms. Probabilities sum to 1: divide by "
                "`term_frequency.sum()`.",
                "p:max": "You divide the counts by the largest one. Probabilities sum to 1: divide by "
                "`term_frequency.sum()`.",
                "p:mean": "You take the mean over the topics for p(w), as if all topics were equally "
                "large. p(w) comes from `term_frequency`.",
                "p:sum": "You divide by the sum over the topics, as if all were equally large. p(w) comes "
                "from `term_frequency`.",
                "p:none": "The lift is not divided by p(w), so your result is just ln p(w|k).",
                "topics:total": "You divide `topic_word` by its sum. Its rows are distributions already.",
                "lift:inverted": "The second term has the wrong sign, or the lift in it is upside down: that is "
                "p(w|k) / p(w), large where the topic uses the term more than others do, and (1) adds its logarithm.",
                "lift:product": "You multiply by p(w). The lift is p(w|k) *divided* by p(w).",
                "log:none": "The logarithms are missing: (1) weighs ln p(w|k) against ln of the lift.",
                "log:outside": "You take the logarithm of the weighted sum. In (1) each part has its own "
                "logarithm, and the weighted sum comes after it.",
                "log:before": "You divide ln p(w|k) by p(w). In the lift the division comes first, the "
                "logarithm after it.",
                "log:probability only": "The lift has no logarithm in your sum: (1) has ln (p(w|k) / p(w)).",
                "log:lift only": "The probability has no logarithm in your sum: (1) has ln p(w|k).",
                "base:2": "Your logarithm is to the base 2; equation (1) has the natural one, `np.log`.",
                "base:10": "Your logarithm is to the base 10; equation (1) has the natural one, `np.log`.",
                "transposed": "The matrix is transposed: a topic is a row, a term a column.",
                "exp": "You take the exponential at the end. The relevance is the weighted sum of "
                "logarithms itself.",
                "sign": "The sign is wrong: a logarithm of a probability is negative, and (1) has no "
                "minus in front.",
            }
        ),
    ),
    Exercise(
        name="completion_perplexity",
        points=2,
        reference=lambda doc_topic, topic_word, hidden: float(
            np.exp(-np.sum(hidden * np.log(doc_topic @ topic_word)) / hidden.sum())
        ),
        edge_cases={
            "few tokens": (_SHARES, _WORDS, np.array([[2, 0, 1, 0], [1, 5, 0, 9], [1, 0, 0, 0]])),
            "a single document": (_SHARES[1:2], _WORDS, np.array([[0, 3, 0, 1]])),
            "many tokens": (_SHARES[:2], _WORDS, np.array([[900, 40, 0, 700], [0, 0, 0, 2_000]])),
            "a single topic": (np.ones((2, 1)), np.array([[0.999, 1e-3]]), np.array([[4, 1], [0, 2]])),
        },
        inputs=_held_out,
        hints=(
            "First the probability of each term in each document, a matrix of shape (n_documents, n_terms): "
            "which product of matrices sums over the topics?",
            "`np.log(doc_topic @ topic_word)` holds ln p for each document and term. A term that stands "
            "there three times counts three times.",
            "Sum `hidden * np.log(doc_topic @ topic_word)` over everything, divide by `hidden.sum()`, and "
            "take `np.exp` of minus that.",
        ),
        variant=_completion_perplexity,
        slips=named(
            {
                "hidden:presence": "You count each term of a document once. `hidden` holds how often it "
                "stands there: every token counts.",
                "hidden:all": "You average over all entries of the table. An entry counts as often as its "
                "term stands in the hidden half: weigh it by `hidden`.",
                "mix:logs": "You take the logarithm of φ before mixing. A token's probability is the sum "
                "over topics; the logarithm comes after it.",
                "mix:best": "You use only the largest topic of each document. A token's probability is a "
                "sum over *all* topics, weighted by θ.",
                "mix:uniform": "You mix the topics evenly. Each document has its own shares: `doc_topic @ "
                "topic_word`.",
                "mix:topics": "You add up the topics without their shares: `doc_topic @ topic_word` "
                "weighs them.",
                "mix:counts": "You take the logarithm of count times probability. The count stands "
                "outside of it: so often does ln p occur in the sum.",
                "terms": "You divide `topic_word` by the sums of its columns. Its rows are distributions over "
                "the terms already.",
                "n:documents": "You divide by the number of documents. n is the number of hidden *tokens*, "
                "`hidden.sum()`.",
                "n:entries": "You divide by the number of entries that are not zero. n is the number of "
                "hidden *tokens*, `hidden.sum()`: repeated ones count again.",
                "n:size": "You divide by the number of entries of the table (a `mean` over it does). n is "
                "the number of hidden *tokens*, `hidden.sum()`.",
                "n:terms": "You divide by the number of terms. n is the number of hidden *tokens*, "
                "`hidden.sum()`.",
                "n:1": "You do not divide by n: take the mean of the logarithms, or the perplexity grows "
                "with the length of the text.",
                "n:one less": "You divide by n − 1. It is a plain mean: divide by n.",
                "log:2": "Your logarithm is to the base 2. `np.exp` undoes the natural one, `np.log`.",
                "log:10": "Your logarithm is to the base 10. `np.exp` undoes the natural one, `np.log`.",
                "exp:2": "You take a power of 2 of natural logarithms. Use the same base for both: `np.exp`.",
                "exp:none": "That is the loss in nats per token. Its exponential is the perplexity.",
                "average:within": "You average within each document first, so a token of a short document "
                "weighs more. In (2) all tokens weigh the same: one sum, divided by their total number.",
                "average:perplexities": "You average the perplexities of the documents. Equation (2) has "
                "one mean, over all tokens, and the exponential comes last.",
                "average:each": "You give a perplexity for each document. Equation (2) has one sum over "
                "all tokens.",
                "sign": "The minus sign is missing: it makes the loss positive, and a perplexity at least 1.",
            }
        ),
        misconceptions={
            lambda doc_topic, topic_word, hidden: float(
                hidden.sum() / np.sum(hidden * (doc_topic @ topic_word))
            ): (
                "You average the probabilities and take the inverse. Perplexity averages their "
                "*logarithms*: one token that was thought impossible must count."
            ),
            lambda doc_topic, topic_word, hidden: float(
                np.sum(hidden / (doc_topic @ topic_word)) / hidden.sum()
            ): "You average 1/p. Average ln p first; the exponential comes last.",
        },
    ),
    Exercise(
        name="split_r_hat",
        points=2,
        reference=lambda chains: _split_r_hat(chains),
        edge_cases={
            "two chains": (_WAVES,),
            "eight draws": (_WAVES[:, :8],),
            "halves of three draws": (_WAVES.reshape(4, 6),),
            "halves of two draws, far from 0": (_WAVES.reshape(6, 4) + 10.0,),
        },
        inputs=_chains,
        hints=(
            "Cut first: 2 × n_chains pieces, each with n = n_draws / 2 values. From then on, chains do not "
            "matter any more.",
            "W is the mean over the pieces of their variances; B / n is the variance of the pieces' means. "
            "Both with `ddof=1`.",
            "With `pieces = np.concatenate(np.split(chains, 2, axis=1))`: W is `pieces.var(axis=1, "
            "ddof=1).mean()`, B / n is `pieces.mean(axis=1).var(ddof=1)`, n is `pieces.shape[1]`. Put them "
            "into (4).",
        ),
        variant=_split_r_hat,
        slips=named(
            {
                "pieces:whole": "You do not cut the chains into halves: then a chain that drifts all the "
                "way looks settled.",
                "pieces:alternate": "You take every second value. The halves are the first and the second "
                "half of each chain: otherwise both drift alike.",
                "pieces:chains": "You join chains in place of cutting them: the halves are along the "
                "draws, axis 1.",
                "pieces:first": "You use the first half of each chain only. Both halves are pieces.",
                "pieces:second": "You use the second half of each chain only. Both halves are pieces.",
                "pieces:mixed": "Your pieces mix values from all over the chains. A piece is half a "
                "chain, in order.",
                "pieces:draws": "You take the draws for the chains: `chains` has a row for each chain.",
                "n:draws": "Your n is the length of a whole chain. After the cut, n is the length of a "
                "*piece*.",
                "n:pieces": "Your n is the number of pieces. It is the number of values in a piece.",
                "n:all": "Your n is the number of all values. It is the number of values in one piece.",
                "ddof:both": "Your variances divide by the number of values. The usual estimate divides "
                "by one less: `ddof=1`.",
                "ddof:between": "The variance of the means needs `ddof=1`: there are few pieces, so it "
                "matters there most.",
                "ddof:within": "The variances within the pieces need `ddof=1`.",
                "std:both": "You use standard deviations. W and B / n are variances.",
                "std:between": "You take the standard deviation of the means. B / n is their variance.",
                "w:median": "You take the median of the variances of the pieces. W is their mean.",
                "w:sum": "You add up the variances of the pieces. W is their mean.",
                "w:all": "You divide by the variance of all values together. W is the mean of the "
                "variances *within* the pieces, so that it does not see how far apart they lie.",
                "between:b": "You multiply the variance of the means by n. That is B; the formula has B / "
                "n, the variance of the means itself.",
                "between:sum": "You add up the squares of the means' deviations. Their variance divides this by one "
                "less than the number of means.",
                "between:m + 1": "You multiply B / n by (m + 1)/m, as older texts do. Equation (4) has B / n itself.",
                "between:divided": "You divide the variance of the means by n. It is B / n already.",
                "ratio:inverted": "The fraction is upside down: the variance of the means, B / n, is "
                "divided by W.",
                "ratio:none": "B / n is not divided by W.",
                "ratio:square": "You square the ratio. B / n and W are variances, and so squares already.",
                "ratio:variance": "You have the variance estimate (n − 1)/n · W + B / n. It still has to "
                "be divided by W.",
                "first:none": "The first term under the root, (n − 1)/n, is missing.",
                "first:1": "You have 1 for the first term under the root. It is (n − 1)/n.",
                "first:brackets": "In `n - 1 / n` Python divides first, and then subtracts. Brackets are needed: "
                "`(n - 1) / n`.",
                "first:inverted": "The first term under the root is upside down: it is (n − 1)/n.",
                "root": "The square root is missing.",
            }
        ),
    ),
    MATCHED_OVERLAP,
)
