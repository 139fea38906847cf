"""The results of a topic model as tables of plain columns, for files and for data frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minillm_lib.topics.counts.document_input import as_json_value
from minillm_lib.topics.summary import document_lengths, expected_term_frequency, rank_terms

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA

Column = list[Any] | NDArray[Any]


def share_columns(doc_topic: NDArray[np.floating], labels: Sequence[str]) -> dict[str, Column]:
    """Return a column with the share of each topic, named by its number and label."""
    return {f"topic {k}: {label}": doc_topic[:, k] for k, label in enumerate(labels)}


def document_columns(meta: Sequence[Mapping[str, Any]], others: Iterable[str] = ()) -> dict[str, Column]:
    """Return what is known of each document, with its number and title first; without the beginnings of the texts.

    Lists and mappings are written as JSON.

    Parameters
    ----------
    others
        Names of further columns. What is known under one of these, or as ``document``, is called ``document (yours)``.
    """
    columns: dict[str, Column] = {
        "document": list(range(len(meta))),
        "title": [facts.get("title") for facts in meta],
    }
    taken = {*columns, *others}
    for name in dict.fromkeys(key for facts in meta for key in facts if key not in ("title", "snippet")):
        own = name
        while own in taken:
            own = f"{own} (yours)"
        taken.add(own)
        columns[own] = [_cell(facts.get(name)) for facts in meta]
    return columns


def _cell(value: Any) -> Any:
    is_nested = isinstance(value, Mapping | list | tuple | set | frozenset | np.ndarray)
    return json.dumps(as_json_value(value), ensure_ascii=False) if is_nested else value


def document_topic_columns(model: GibbsLDA, bag: BagOfWords, labels: Sequence[str]) -> dict[str, Column]:
    """Return a row per document: what is known of it, its number of tokens, and the share of each topic."""
    results = {
        "n_tokens": document_lengths(model, bag).astype(np.int64),
        **share_columns(model.doc_topic_, labels),
    }
    return {**document_columns(bag.meta, others=results), **results}


def term_topic_columns(model: GibbsLDA, bag: BagOfWords, labels: Sequence[str]) -> dict[str, Column]:
    """Return a row per term: how often it occurs, and its probability in each topic."""
    return {
        "term": bag.vocabulary.tolist(),
        "count": np.asarray(bag.counts.sum(axis=0)).ravel(),
        "n_documents": bag.counts.getnnz(axis=0),
        **share_columns(model.topic_word_.T, labels),
    }


def topic_term_columns(
    model: GibbsLDA, bag: BagOfWords, labels: Sequence[str], n_terms: int, relevance_lambda: float
) -> dict[str, Column]:
    """Return a row per topic and term, for the most relevant terms of each topic, best first."""
    frequency = expected_term_frequency(model, document_lengths(model, bag))
    ranking = rank_terms(model.topic_word_, frequency, n_terms, relevance_lambda)
    topics = [topic for topic, (best, _) in enumerate(ranking) for _ in best]
    terms = np.concatenate([best for best, _ in ranking])
    return {
        "topic": topics,
        "label": [labels[topic] for topic in topics],
        "rank": [rank for best, _ in ranking for rank in range(1, len(best) + 1)],
        "term": bag.vocabulary[terms].tolist(),
        "probability": model.topic_word_[topics, terms],
        "relevance": np.concatenate([scores for _, scores in ranking]),
        "count": np.asarray(bag.counts.sum(axis=0)).ravel()[terms],
    }
