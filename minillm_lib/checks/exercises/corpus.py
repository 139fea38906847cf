"""The exercises of notebook 01: counting terms, comparing texts, and how a vocabulary grows."""

from __future__ import annotations

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.corpora.cleaning import duplicates

Documents = list[list[str]]
_WORDS = ("model", "topic", "word", "neural", "network", "data", "prior", "kernel")


def _documents(rng: np.random.Generator) -> Inputs:
    """Draw documents with repeated and unknown words, and a vocabulary that is not in alphabetical order."""
    vocabulary = [str(word) for word in rng.permutation(_WORDS)[:5]]
    return [[str(word) for word in rng.choice(_WORDS, size=12)] for _ in range(4)], vocabulary


def _document_term_counts(documents: Documents, vocabulary: list[str]) -> np.ndarray:
    return np.array([[document.count(term) for term in vocabulary] for document in documents])


def _alphabetical(documents: Documents, vocabulary: list[str]) -> np.ndarray:
    return _document_term_counts(documents, sorted(vocabulary))


def _two_sets(rng: np.random.Generator) -> Inputs:
    a, b = ({str(word) for word in rng.choice(_WORDS, size=size)} for size in (4, 9))
    return a, b | {"loss"}


def _rank_frequencies(rng: np.random.Generator) -> Inputs:
    counts = rng.zipf(1.6, size=60).clip(max=500)
    return counts, int(rng.integers(5, counts.sum() // 2))


def _expected_vocabulary(counts: np.ndarray, n: int) -> float:
    return float(np.sum(1 - (1 - counts / counts.sum()) ** n))


EXERCISES = (
    Exercise(
        name="jaccard",
        reference=duplicates.jaccard,
        inputs=_two_sets,
        misconceptions={
            lambda a, b: (
                len(a & b) / (len(a) + len(b))
            ): "You divide by |a| + |b|, which counts what they share twice. The union counts it once.",
            lambda a, b: (
                len(a & b) / min(len(a), len(b))
            ): "You divide by the smaller set: that is the overlap "
            "coefficient, which calls an excerpt identical with the whole. Divide by the union.",
            lambda a, b: (
                2 * len(a & b) / (len(a) + len(b))
            ): "That is Dice's coefficient. Divide what they share by the size of the union, without the 2.",
            lambda a, b: (
                1 - len(a & b) / len(a | b)
            ): "That is the Jaccard *distance*, 1 minus the similarity.",
            lambda a, b: len(a & b): "That is how many they share. Divide by the size of the union.",
        },
    ),
    Exercise(
        name="document_term_counts",
        reference=_document_term_counts,
        inputs=_documents,
        misconceptions={
            lambda documents, vocabulary: (_document_term_counts(documents, vocabulary) > 0).astype(
                int
            ): "You note whether a term occurs. The matrix holds how often.",
            lambda documents, vocabulary: _document_term_counts(documents, vocabulary).T: "The matrix is "
            "transposed: a document is a row, a term a column.",
            _alphabetical: "You sorted the vocabulary. Column j belongs to `vocabulary[j]`, in the order given.",
            lambda documents, vocabulary: (
                _document_term_counts(documents, vocabulary) / 12
            ): "You divide by the length of the document. Keep the counts: LDA models tokens, not shares.",
        },
    ),
    Exercise(
        name="expected_vocabulary",
        points=3,
        reference=_expected_vocabulary,
        inputs=_rank_frequencies,
        misconceptions={
            lambda counts, n: float(
                np.sum((1 - counts / counts.sum()) ** n)
            ): "That is the expected number of "
            "terms that have *not* been seen. A term has been seen unless all n draws missed it.",
            lambda counts, n: float(
                np.sum(np.minimum(n * counts / counts.sum(), 1))
            ): "You add up the chances of "
            "the n draws. They may hit the same term twice, so these chances do not add; multiply the chances to miss.",
            lambda counts, n: (
                n * len(counts) / counts.sum()
            ): "You let the vocabulary grow in proportion to the text. "
            "Frequent terms come first and repeat, so growth slows down.",
            lambda counts, n: float(np.sum(1 - (1 - 1 / len(counts)) ** n)): "You give all terms the same "
            "probability. Term w has the probability `counts[w] / counts.sum()`.",
        },
    ),
)
