"""Words that a topic is to be about: prior counts of terms in topics."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from minillm_lib.topics.counts_input import intact

SEED_WEIGHT = 50
_MOST = 2**31 - 1
_NAMED = 10


def seed_matrix(
    words: Mapping[int, Sequence[str]] | Mapping[str, Sequence[str]],
    vocabulary: ArrayLike,
    n_topics: int,
    *,
    weight: int = SEED_WEIGHT,
) -> sparse.csr_matrix:
    """Turn words for topics into the ``seed_terms`` of :class:`~minillm_lib.topics.gibbs_lda.GibbsLDA`.

    Parameters
    ----------
    words
        Words for some of the topics. The keys are numbers of topics, or labels: then the first label is topic 0, the
        second is topic 1, and so on.
    vocabulary
        The term of each column of the counts, ``(n_terms,)``. A word must be written as there.
    n_topics
        Number of topics of the model; those without words are found as usual.
    weight
        Prior count of each word, in tokens. It must be large enough to draw the words' companions into the topic, and
        small beside the number of tokens in a topic.

    Returns
    -------
    seed_terms
        ``(n_topics, n_terms)``.

    Raises
    ------
    ValueError
        If a number of a topic is out of range, if there are more labels than topics, if keys are mixed, if no word of
        a topic is in the vocabulary, or if ``weight`` is not a whole number of at least 1.

    Warns
    -----
    UserWarning
        If some of the words are not in the vocabulary.
    """
    if isinstance(weight, bool) or weight != int(weight) or not 1 <= weight <= _MOST:
        raise ValueError(f"weight={weight!r} must be a whole number of tokens, at least 1")
    column = {str(term): number for number, term in enumerate(np.asarray(vocabulary))}
    rows: list[int] = []
    columns: list[int] = []
    unknown: list[str] = []
    for topic, (name, of_topic) in zip(_topics_of(words, n_topics), words.items(), strict=True):
        if isinstance(of_topic, str):
            raise ValueError(f"the words of topic {name!r} are one text; give a list of words")
        known = list(dict.fromkeys(word for word in of_topic if word in column))
        missing = [word for word in of_topic if word not in column]
        if not known:
            raise ValueError(
                f"none of the words of topic {name!r} is in the vocabulary: {', '.join(missing) or 'there are none'}"
            )
        unknown += missing
        rows += [topic] * len(known)
        columns += [column[word] for word in known]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        warnings.warn(
            f"{len(unknown)} seed words are not in the vocabulary and have no effect: "
            f"{', '.join(unknown[:_NAMED])}{more}",
            stacklevel=2,
        )
    data = np.full(len(rows), int(weight), dtype=np.int64)
    return sparse.csr_matrix((data, (rows, columns)), shape=(n_topics, len(column)))


def _topics_of(words: Mapping[Any, Sequence[str]], n_topics: int) -> list[int]:
    """Return the number of the topic of each key."""
    if all(isinstance(key, str) for key in words):
        if len(words) > n_topics:
            raise ValueError(f"there are seed words for {len(words)} topics, but n_topics={n_topics}")
        return list(range(len(words)))
    if any(isinstance(key, bool | str) or not isinstance(key, int | np.integer) for key in words):
        raise ValueError("the keys of seed words must be all numbers of topics, or all labels")
    for key in words:
        if not 0 <= key < n_topics:
            raise ValueError(f"seed words for topic {key}, but the topics are 0 to {n_topics - 1}")
    return [int(key) for key in words]


def checked_seed_terms(seed_terms: Any, n_topics: int, n_terms: int) -> sparse.csr_matrix | None:
    """Return ``seed_terms`` as a sparse matrix of counts, ``(n_topics, n_terms)``; None without any.

    Raises
    ------
    ValueError
        If the shape is another, an entry is negative, not whole, or too large, or a sparse matrix is broken.
    """
    if seed_terms is None:
        return None
    if sparse.issparse(seed_terms):
        seed_terms = intact(seed_terms, "seed_terms")
    try:
        seeds = sparse.csr_matrix(seed_terms, dtype=np.float64, copy=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"seed_terms must be a matrix of whole numbers: {error}") from None
    if seeds.shape != (n_topics, n_terms):
        raise ValueError(
            f"seed_terms has shape {seeds.shape}; it must be (n_topics, n_terms) = ({n_topics}, {n_terms})"
        )
    seeds.sum_duplicates()
    seeds.eliminate_zeros()
    values = seeds.data
    wrong = values[~(np.isfinite(values) & (values >= 0) & (values == np.floor(values)))]
    if wrong.size:
        raise ValueError(f"seed_terms must hold whole numbers of at least 0; got {wrong[0]:g}")
    if values.sum() > _MOST:
        raise ValueError(f"seed_terms adds up to {values.sum():.3g}; at most {_MOST} is possible")
    return seeds
