"""The exercises of notebook 01: comparing texts, counting terms, and how a vocabulary grows."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.corpus_minhash import MINHASH_SIGNATURE
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.corpora.cleaning import duplicates

Documents = list[list[str]]
_WORDS = ("model", "topic", "word", "neural", "network", "data", "prior", "kernel")


def _two_sets(rng: np.random.Generator) -> Inputs:
    """Draw two sets that share words, each with one of its own, either of them the larger."""
    words = [str(word) for word in rng.permutation(_WORDS)]
    own, common = int(rng.integers(2, 4)), int(rng.integers(2, 5))
    a, b = set(words[: own + common]), {*words[own : own + common], "loss"}
    return (a, b) if rng.random() < 0.5 else (b, a)


def _jaccard(a: set[str], b: set[str], /, **slips: Any) -> Any:
    has = made(slips)
    common, union = len(a & b), len(a | b)
    below = {
        "sum": len(a) + len(b),
        "smaller": min(len(a), len(b)),
        "larger": max(len(a), len(b)),
        "a": len(a),
        "b": len(b),
        "product": len(a) * len(b),
        "root": (len(a) * len(b)) ** 0.5,
        "apart": max(len(a ^ b), 1),
        "1": 1,
    }
    value: Any = common * (2 if has("twice") else 1)
    divisor = below.get(slips.get("below", ""), union)
    value = value // divisor if has("whole") else value / divisor
    if has("distance"):
        value = 1 - value
    return value * (100 if has("percent") else 1)


def _documents(rng: np.random.Generator) -> Inputs:
    """Draw documents of different lengths with repeated and unknown words; the vocabulary is not sorted."""
    vocabulary = [str(word) for word in rng.permutation(_WORDS)[:5]]
    lengths = rng.integers(3, 15, size=int(rng.integers(3, 7)))
    return [[str(word) for word in rng.choice(_WORDS, size=length)] for length in lengths], vocabulary


def _document_term_counts(documents: Documents, vocabulary: list[str], /, **slips: Any) -> Any:
    has = made(slips)
    if has("sorted"):
        vocabulary = sorted(vocabulary)
    index = {term: j for j, term in enumerate(vocabulary)}
    counts = np.zeros((len(documents), len(vocabulary)), dtype=int)
    for i, document in enumerate(documents):
        for word in document[: -1 if has("last word") else None]:
            if word in index or has("unknown last"):
                counts[i, index.get(word, -1)] += 1
    if has("beginnings"):
        counts = np.array(
            [[sum(word.startswith(term) for word in one) for term in vocabulary] for one in documents]
        )
    if has("substrings"):
        counts = np.array([[" ".join(document).count(term) for term in vocabulary] for document in documents])
    if has("value:presence"):
        counts = (counts > 0).astype(int)
    if has("first document"):
        counts[1:] = 0
    if has("all documents"):
        counts[:] = counts.sum(axis=0)
    if has("value:shares"):
        counts = counts / np.maximum([[len(document)] for document in documents], 1)
    if has("value:float"):
        counts = counts.astype(float)
    if has("transposed"):
        counts = counts.T
    return counts.tolist() if has("list") else counts


_SHORT = ["network", "net", "net", "work", "networks", "network"]
_UNEVEN = [_SHORT, ["work"], [], ["data", "net"]]


def _rank_frequencies(rng: np.random.Generator) -> Inputs:
    counts = rng.zipf(1.6, size=int(rng.integers(20, 60))).clip(max=500)
    return counts, int(rng.integers(5, counts.sum() // 2))


def _expected_vocabulary(counts: np.ndarray, n: int, /, **slips: Any) -> Any:
    has = made(slips)
    total = len(counts) if has("total:terms") else counts.max() if has("total:max") else counts.sum()
    p = counts // total if has("p:whole") else counts / total
    if has("p:equal"):
        p = np.full(len(counts), 1 / len(counts))
    if has("draws:one less"):
        n = n - 1
    if has("draws:one"):
        n = 1
    missed = np.exp(-n * p) if has("poisson") else (1 - p) ** n
    if has("event:unseen"):
        seen = missed
    elif has("event:every draw"):
        seen = 1 - p**n
    elif has("event:all hit"):
        seen = p**n
    elif has("event:expected"):
        seen = n * p
    elif has("event:capped"):
        seen = np.minimum(n * p, 1)
    elif has("event:exactly once"):
        seen = n * p * (1 - p) ** (n - 1)
    else:
        seen = 1 - missed
    if has("out:each"):
        return seen
    if has("out:one minus sum"):
        return 1 - missed.sum()
    if has("out:weighted"):
        return float((p * seen).sum())
    value = seen.mean() if has("out:mean") else seen.prod() if has("out:product") else seen.sum()
    return int(value) if has("whole") else float(value)


EXERCISES = (
    Exercise(
        name="jaccard",
        reference=duplicates.jaccard,
        edge_cases={
            "sets of which the first is larger": ({"a", "b", "c", "d"}, {"c", "d", "e"}),
            "sets of which the second is larger": ({"c", "d", "e"}, {"a", "b", "c", "d"}),
            "a second set that is part of the first": ({"a", "b", "c"}, {"b", "c"}),
            "a first set that is part of the second": ({"b"}, {"a", "b", "c", "d"}),
            "equal sets": ({"a", "b"}, {"b", "a"}),
            "sets with nothing in common": ({"a"}, {"b", "c"}),
        },
        inputs=_two_sets,
        hints=(
            "How many elements are in both sets? How many are in at least one of them? Each is one "
            "operation on sets.",
            "`a & b` is the intersection, `a | b` the union; `len` counts the elements of either.",
            "Divide `len(a & b)` by `len(a | b)`, with `/`.",
        ),
        variant=_jaccard,
        slips=named(
            {
                "below:sum": "You divide by |a| + |b|, which counts what they share twice. The union "
                "counts it once.",
                "below:smaller": "You divide by the size of the smaller set: that is the overlap "
                "coefficient, which calls an excerpt identical with the whole. Divide by the union.",
                "below:larger": "You divide by the size of the larger set. Divide by the union, which "
                "also has what is only in the smaller one.",
                "below:a": "You divide by the size of `a` alone: that is the share of `a` that is also in "
                "`b`, and it changes if the two are exchanged. Divide by the union.",
                "below:b": "You divide by the size of `b`, so the result changes if the two are "
                "exchanged. Divide by the union.",
                "below:product": "You divide by |a| times |b|. The union is much smaller: `len(a | b)`.",
                "below:root": "You divide by the root of |a| |b|: that is the cosine similarity of the "
                "sets. Divide by the size of the union.",
                "below:1": "You do not divide: that is how many elements they share. Divide by the size "
                "of the union.",
                "twice": "You count the common elements twice above the line; each counts once.",
                "whole": "Your result is always 0 or 1. If you divide with `//`, it rounds down to a whole "
                "number: `/` keeps the fraction.",
                "distance": "That is the Jaccard *distance*, 1 minus the similarity: the share of what is in "
                "only one of the sets. The similarity is the share of what is in both.",
                "below:apart": "You divide by the number of elements that are in only one of the sets. The union "
                "also has those that are in both.",
                "percent": "You multiply by 100. The result is a share, a number from 0 to 1.",
            }
        ),
        misconceptions={
            lambda a, b: (
                2 * len(a & b) / (len(a) + len(b))
            ): "That is Dice's coefficient. Divide what they share by the size of the union, without the 2.",
            lambda a, b: (
                len(a | b) / len(a & b)
            ): "The fraction is upside down: the common elements are above, the union is below.",
            lambda a, b: len(a | b): "That is the size of the union. It goes below the line; above it go the "
            "elements that are in both sets.",
            lambda a, b: (
                len(b) / len(a)
            ): "You divide the size of `b` by that of `a`. If you wrote `and` and `or`: "
            "between sets they only pick one of the two. Use `&` and `|`.",
            lambda a, b: (
                len(a) / len(b)
            ): "You divide the size of `a` by that of `b`, whatever is in them. What "
            "counts is what they share, `a & b`.",
            lambda a, b: (
                min(len(a), len(b)) / max(len(a), len(b))
            ): "You compare the sizes of the sets only. What counts is what they share, `a & b`.",
            lambda a, b: (
                a & b
            ): "You return the common elements themselves. `len` counts them; then divide by the "
            "size of the union.",
            lambda a, b: (
                len(a - b) / len(a | b)
            ): "Above the line you have the elements of `a` that are *not* in "
            "`b`. Take those that are in both: `a & b`.",
            lambda a, b: (
                len(b - a) / len(a | b)
            ): "Above the line you have the elements of `b` that are *not* in "
            "`a`. Take those that are in both: `a & b`.",
            lambda a, b: round(
                len(a & b) / len(a | b), 2
            ): "You round to two digits; return the quotient as it is.",
            lambda a, b: round(len(a & b) / len(a | b)): "You round to 0 or 1; return the quotient as it is.",
        },
    ),
    MINHASH_SIGNATURE,
    Exercise(
        name="document_term_counts",
        reference=lambda documents, vocabulary: np.array(
            [[document.count(term) for term in vocabulary] for document in documents]
        ),
        edge_cases={
            "a single document": (_UNEVEN[:1], ["network", "net", "work"]),
            "terms that are part of others, and an empty document": (
                _UNEVEN,
                ["work", "net", "data", "model", "network"],
            ),
            "a vocabulary of one term": ([["topic", "model", "topic"], ["word"]], ["topic"]),
            "words of one letter": ([["c", "a", "c", "c"], ["b", "c", "x"]], ["c", "a", "b"]),
        },
        inputs=_documents,
        hints=(
            "One number for each document and each term: two loops, one inside the other. How often does a "
            "term occur in a list?",
            "`document.count(term)` counts the words of a list that equal the term. The rows are the "
            "documents, and the columns the terms in the order of `vocabulary`.",
            "Make a list of rows, `[document.count(term) for term in vocabulary]` for each document, and "
            "turn it into an array by `np.array(…)`.",
        ),
        variant=_document_term_counts,
        slips=named(
            {
                "value:presence": "You note whether a term occurs. The matrix holds how often: if you "
                "loop over the words, add with `+= 1`, one word at a time.",
                "transposed": "The matrix is transposed: a document is a row, a term a column.",
                "sorted": "You sorted the vocabulary. Column j belongs to `vocabulary[j]`, in the order "
                "given.",
                "substrings": "You find a term inside other words as well, as `net` inside `network`, whether word by "
                "word or in a joined text. Compare whole words.",
                "beginnings": "You count words that only begin with the term, as `networks` does with `network`. "
                "Compare whole words.",
                "unknown last": "Words that are not in the vocabulary end up in the last column (its "
                "index is −1). They are to be ignored.",
                "value:shares": "You divide by the length of the document. Keep the counts: LDA models "
                "tokens, not shares.",
                "value:float": "The counts are right, but they are floats. Counts are whole numbers: "
                "`np.zeros(shape, dtype=int)` makes an array of integers.",
                "list": "You return a list of lists. Turn it into a NumPy array: `np.array(rows)`.",
                "all documents": "All rows are equal, with the counts of all documents together. If you "
                "wrote `[[0] * n] * m`, its rows are one and the same list.",
                "first document": "Only the first document is counted, and all other rows are 0: did the "
                "loop end after one?",
                "last word": "The last word of each document is not counted.",
            }
        ),
        misconceptions={
            lambda documents, vocabulary: _document_term_counts(documents, vocabulary).sum(
                axis=0
            ): "You add up all documents. Each document has a row of its own.",
            lambda documents, vocabulary: _document_term_counts(documents, vocabulary).sum(
                axis=1
            ): "You add up all terms. Each term has a column of its own.",
            lambda documents, vocabulary: _document_term_counts(
                documents, sorted({word for document in documents for word in document})
            ): "Your "
            "columns are the words of the documents. A column belongs to each term of `vocabulary`, also to "
            "one that never occurs, and to no other word.",
        },
    ),
    Exercise(
        name="expected_vocabulary",
        points=3,
        reference=lambda counts, n: float(np.sum(1 - (1 - counts / counts.sum()) ** n)),
        edge_cases={
            "few terms": (np.array([3, 1, 4, 2]), 3),
            "a single draw": (np.array([3, 1, 4, 2]), 1),
            "two terms": (np.array([5, 1]), 2),
            "a single term": (np.array([7]), 4),
            "terms whose count is 0": (np.array([0, 3, 1, 0, 2]), 4),
            "large counts": (np.array([900_000, 3, 1]), 50_000),
        },
        inputs=_rank_frequencies,
        rtol=1e-5,
        hints=(
            "Take a single term of probability p. With what probability is one draw *not* this term? And n "
            "draws?",
            "All n draws miss the term with probability (1 − p)ⁿ, since they are independent. So the term "
            "has been seen with probability 1 − (1 − p)ⁿ.",
            "With `p = counts / counts.sum()`, sum `1 - (1 - p) ** n` over all terms.",
        ),
        variant=_expected_vocabulary,
        slips=named(
            {
                "event:unseen": "That is the expected number of terms that have *not* been seen. A term "
                "has been seen unless all n draws missed it.",
                "event:capped": "You add up the chances of the n draws. They may hit the same term twice, "
                "so these chances do not add; multiply the chances to miss.",
                "event:every draw": "Your `p ** n` is the probability that *every* draw is this term. "
                "What you need is that none is: (1 − p)ⁿ.",
                "event:all hit": "You give the probability that *all* n draws are the same term. A term "
                "has been seen if at least one draw is: 1 minus the probability that all miss it.",
                "event:expected": "You add up how often each term will occur on average, which gives n. A "
                "term counts once, however often it is drawn.",
                "event:exactly once": "You count terms that are drawn exactly once. A term has been seen "
                "if it is drawn at least once.",
                "poisson": "You use exp(−n p) for (1 − p)ⁿ. That is an approximation for small p, and "
                "frequent terms have no small p.",
                "p:equal": "You give all terms the same probability. Term w has the probability "
                "`counts[w] / counts.sum()`.",
                "p:whole": "Your result is 0, or the only term is certain. If you divide by the sum with `//`, it "
                "rounds the probabilities down to whole numbers: `/`.",
                "total:terms": "You divide the counts by the number of terms. Probabilities sum to 1: "
                "divide by `counts.sum()`.",
                "total:max": "You divide the counts by the largest one. Probabilities sum to 1: divide by "
                "`counts.sum()`.",
                "draws:one less": "Your exponent is n − 1. All n draws have to miss a term that stays "
                "unseen.",
                "draws:one": "Your result is 1 whatever the counts: that is the sum of the probabilities of a single "
                "draw. Each term has been seen with the probability 1 − (1 − p)ⁿ, in which n is the number of draws; "
                "sum over the terms after that.",
                "out:each": "You give the probability that each term has been seen. Sum them over the terms.",
                "out:mean": "You take the mean over the terms. The expected number is the *sum* of the "
                "probabilities.",
                "out:product": "You multiply over the terms: that is the chance (if they were "
                "independent) that all have been seen. The expected number is the sum.",
                "out:one minus sum": "You subtract the sum from 1. Subtract within the sum, for each "
                "term: 1 − (1 − p)ⁿ.",
                "out:weighted": "You weight each term by its probability. The expected number is the "
                "plain sum of the probabilities that each has been seen.",
                "whole": "You round down to a whole number. An expectation may be a fraction.",
            }
        ),
        misconceptions={
            lambda counts, n: (
                n * len(counts) / counts.sum()
            ): "You let the vocabulary grow in proportion to the "
            "text. Frequent terms come first and repeat, so growth slows down.",
            lambda counts, n: (1 - (1 - counts) ** n).sum(): "You use the counts as if they were "
            "probabilities. Divide them by their sum first.",
            lambda counts, n: float(
                (1 - n * (1 - counts / counts.sum())).sum()
            ): "You multiply the probability to miss by n. Independent draws multiply: to the power n.",
            lambda counts, n: float(
                len(counts) * (1 - (1 - 1 / counts.sum()) ** n)
            ): "You treat each term as if "
            "it had occurred once. Term w has the probability `counts[w] / counts.sum()`.",
            lambda counts, n: min(
                len(counts), n
            ): "That is the most that could be seen. Draws repeat: ask for "
            "each term with what probability n draws all miss it.",
            lambda counts, n: len(
                counts
            ): "That is the size of the whole vocabulary. Some terms will not be drawn.",
        },
    ),
)
