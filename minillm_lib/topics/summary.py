"""Describe what a fitted topic model found: top terms, shares, typical documents and similar topics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.table import Table
from scipy.special import entr

from minillm_lib.io.terminal import styled
from minillm_lib.topics.counts_input import intact
from minillm_lib.topics.periods import document_periods as document_periods, year_of
from minillm_lib.topics.stability import UNSTABLE

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA

N_LABEL_TERMS = 3


@dataclass(frozen=True, slots=True)
class TypicalDocument:
    """A document in which a topic is prominent.

    Attributes
    ----------
    index
        Row of the document in the bag of words.
    weight
        The topic's share of the document, from 0 to 1.
    """

    index: int
    weight: float
    title: str
    year: int | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class TopicSummary:
    """One topic in the form in which a reader wants to see it.

    Attributes
    ----------
    topic
        The model's own number for the topic: its row in ``topic_word_``.
    share
        Fraction of all tokens that the topic explains.
    label
        The name that a person gave the topic, or else its three most relevant terms.
    terms
        The most relevant terms, best first.
    probabilities
        The probabilities of ``terms`` in the topic.
    documents
        The most typical documents, best first.
    stability
        How well other chains find the topic, from 0 to 1; None with a single chain.
    has_own_label
        Whether a person gave the label.
    """

    topic: int
    share: float
    label: str
    terms: tuple[str, ...]
    probabilities: tuple[float, ...]
    documents: tuple[TypicalDocument, ...]
    stability: float | None = None
    has_own_label: bool = False

    @property
    def is_unstable(self) -> bool:
        """Whether other chains find less of the topic than :data:`~minillm_lib.topics.stability.UNSTABLE`."""
        return self.stability is not None and self.stability < UNSTABLE


def relevance(
    topic_word: ArrayLike, term_frequency: ArrayLike, relevance_lambda: float = 0.6
) -> NDArray[np.float64]:
    """Return the relevance of each term to each topic, ``(n_topics, n_terms)``, in nats.

    Relevance is ``lambda * log p(w|k) + (1 - lambda) * log(p(w|k) / p(w))``. A term that is never used has relevance
    ``-inf``.

    Parameters
    ----------
    topic_word
        Each topic's distribution over terms, ``(n_topics, n_terms)``; rows sum to 1.
    term_frequency
        Counts of the terms, or anything proportional to them, ``(n_terms,)``.
    relevance_lambda
        From 0 to 1. With 1, the most probable terms of a topic rank first; with 0, those that are rare elsewhere.
        Sievert and Shirley found that 0.6 serves readers best.

    Raises
    ------
    ValueError
        If the shapes disagree, if no term is used, or if ``relevance_lambda`` is not from 0 to 1.

    References
    ----------
    C. Sievert and K. Shirley (2014), LDAvis: A method for visualizing and interpreting topics, section 3.1.
    """
    topic_word = np.asarray(topic_word, dtype=np.float64)
    frequency = np.asarray(term_frequency, dtype=np.float64)
    if topic_word.ndim != 2 or frequency.shape != topic_word.shape[1:]:
        raise ValueError(
            f"term_frequency has shape {frequency.shape}, but topic_word has shape {topic_word.shape}; "
            "they must be (n_terms,) and (n_topics, n_terms)"
        )
    if not 0 <= relevance_lambda <= 1:
        raise ValueError(f"relevance_lambda is {relevance_lambda}; it must be from 0 to 1")
    if not frequency.sum() > 0:
        raise ValueError("term_frequency sums to 0: no term is used, so relevance is undefined")
    with np.errstate(divide="ignore", invalid="ignore"):
        log_probability = np.log(topic_word)
        log_lift = log_probability - np.log(frequency / frequency.sum())
        result = relevance_lambda * log_probability + (1 - relevance_lambda) * log_lift
    return np.where((topic_word > 0) & (frequency > 0), result, -np.inf)


def top_terms(
    topic_word: ArrayLike,
    term_frequency: ArrayLike,
    vocabulary: ArrayLike,
    n_terms: int = 10,
    relevance_lambda: float = 0.6,
) -> list[list[str]]:
    """Return the ``n_terms`` most relevant terms of each topic, best first.

    Terms that are never used are left out, so a list can be shorter than ``n_terms``.

    Parameters
    ----------
    topic_word, term_frequency, relevance_lambda
        As in :func:`relevance`.
    vocabulary
        One string per column of ``topic_word``, ``(n_terms,)``.

    Raises
    ------
    ValueError
        As in :func:`relevance`, or if ``vocabulary`` has the wrong shape.
    """
    terms, ranking = np.asarray(vocabulary), rank_terms(topic_word, term_frequency, n_terms, relevance_lambda)
    n_columns = np.shape(topic_word)[1]
    if terms.shape != (n_columns,):
        raise ValueError(
            f"vocabulary has shape {terms.shape}; topic_word has {n_columns} columns, one per term"
        )
    return [[str(term) for term in terms[best]] for best, _ in ranking]


def rank_terms(
    topic_word: ArrayLike, term_frequency: ArrayLike, n_terms: int, relevance_lambda: float
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return the column numbers of each topic's most relevant terms, best first, and their relevance."""
    ranking = []
    # One at a time: the scores of all would take as much memory as the model.
    for row in np.asarray(topic_word):
        [scores] = relevance(row[None], term_frequency, relevance_lambda)
        best = _largest(scores, n_terms)
        best = best[scores[best] > -np.inf]
        ranking.append((best, scores[best]))
    return ranking


def _largest(values: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return the places of the ``n`` largest values, largest first, and of equal values the first first."""
    if n <= 0:
        return np.empty(0, dtype=np.int64)
    if n >= len(values):
        return np.argsort(-values, kind="stable")
    candidates = np.flatnonzero(values >= np.partition(values, len(values) - n)[len(values) - n])
    return candidates[np.argsort(-values[candidates], kind="stable")[:n]]


def topic_shares(doc_topic: ArrayLike, doc_lengths: ArrayLike) -> NDArray[np.float64]:
    """Return the fraction of all tokens that each topic explains, ``(n_topics,)``; the fractions sum to 1.

    Parameters
    ----------
    doc_topic
        Each document's distribution over topics, ``(n_documents, n_topics)``; rows sum to 1.
    doc_lengths
        Number of tokens in each document, ``(n_documents,)``.

    Raises
    ------
    ValueError
        If the shapes disagree, or there are no tokens at all.
    """
    doc_topic = np.asarray(doc_topic, dtype=np.float64)
    lengths = np.asarray(doc_lengths, dtype=np.float64)
    if doc_topic.ndim != 2 or lengths.shape != doc_topic.shape[:1]:
        raise ValueError(
            f"doc_lengths has shape {lengths.shape}, but doc_topic has shape {doc_topic.shape}; "
            "they must be (n_documents,) and (n_documents, n_topics)"
        )
    if not lengths.sum() > 0:
        raise ValueError("doc_lengths sums to 0: documents without tokens have no topic shares")
    return lengths @ doc_topic / lengths.sum()


def topic_shares_by_year(
    doc_topic: ArrayLike, doc_lengths: ArrayLike, years: Sequence[int | None]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the years that have tokens, in ascending order, and the topic shares in each year.

    Parameters
    ----------
    doc_topic, doc_lengths
        As in :func:`topic_shares`.
    years
        One year per document; documents whose year is ``None`` are left out.

    Returns
    -------
    years
        The years, ``(n_years,)``.
    shares
        The topic shares, ``(n_years, n_topics)``.

    Raises
    ------
    ValueError
        If ``years`` and ``doc_lengths`` have different lengths.
    """
    doc_topic, lengths = np.asarray(doc_topic, dtype=np.float64), np.asarray(doc_lengths)
    if len(years) != len(lengths):
        raise ValueError(f"there are {len(years)} years for {len(lengths)} documents; give one per document")
    year_of = np.array([-1 if year is None else int(year) for year in years], dtype=np.int64)
    found = np.unique(year_of[(year_of >= 0) & (lengths > 0)])
    shares = [topic_shares(doc_topic[year_of == year], lengths[year_of == year]) for year in found]
    return found, np.array(shares).reshape(len(found), doc_topic.shape[1])


def typical_documents(
    doc_topic: ArrayLike, doc_lengths: ArrayLike, n_documents: int = 3, min_tokens: int | None = None
) -> list[NDArray[np.int64]]:
    """Return, for each topic, the indices of the documents in which it has the largest share, best first.

    Parameters
    ----------
    doc_topic, doc_lengths
        As in :func:`topic_shares`.
    n_documents
        Maximum number of documents per topic.
    min_tokens
        Leave out shorter documents, since a few words say little about a document's topics. By default, this is half
        the median length of the documents that are not empty.
    """
    doc_topic, lengths = np.asarray(doc_topic), np.asarray(doc_lengths)
    if min_tokens is None:
        min_tokens = int(np.median(lengths[lengths > 0]) / 2) if np.any(lengths > 0) else 1
    candidates = np.flatnonzero(lengths >= max(min_tokens, 1))
    return [candidates[_largest(shares[candidates], n_documents)] for shares in doc_topic.T]


def jensen_shannon_divergence(topic_word: ArrayLike) -> NDArray[np.float64]:
    """Return the Jensen–Shannon divergence between every two rows, ``(n_topics, n_topics)``, in bits (0 to 1).

    Its square root is a Euclidean distance, so a map of the topics is distorted only by leaving out dimensions.

    References
    ----------
    B. Fuglede and F. Topsøe (2004), Jensen–Shannon divergence and Hilbert space embedding.
    """
    topic_word = np.asarray(topic_word, dtype=np.float64)
    n_topics, entropy = len(topic_word), entr(topic_word).sum(axis=1)
    divergence = np.zeros((n_topics, n_topics))
    for k in range(n_topics):
        middle = entr((topic_word[k] + topic_word[k + 1 :]) / 2).sum(axis=1)
        divergence[k, k + 1 :] = (middle - (entropy[k] + entropy[k + 1 :]) / 2) / np.log(2)
    return np.clip(divergence + divergence.T, 0, 1)


def topic_similarity(topic_word: ArrayLike) -> NDArray[np.float64]:
    """Return the similarity of every two topics, ``(n_topics, n_topics)``: 1 if equal, 0 if they share no words.

    It is one minus the Jensen–Shannon distance, which is the square root of :func:`jensen_shannon_divergence`.
    """
    return 1 - np.sqrt(jensen_shannon_divergence(topic_word))


def document_lengths(model: GibbsLDA, bag: BagOfWords) -> NDArray[np.float64]:
    """Return the number of tokens in each document, ``(n_documents,)``, and check that ``bag`` fits ``model``.

    Raises
    ------
    ValueError
        If ``bag`` has other numbers of documents or terms than the model was fitted on, or its matrix is broken.
    """
    fitted = (len(model.doc_topic_), model.topic_word_.shape[1])
    if fitted != bag.counts.shape or len(bag.vocabulary) != fitted[1]:
        raise ValueError(
            f"the model was fitted on {fitted[0]} documents and {fitted[1]} terms, but the bag of words "
            f"has counts of shape {bag.counts.shape} and a vocabulary of {len(bag.vocabulary)}; "
            "give the bag that the model was fitted on"
        )
    return np.asarray(intact(bag.counts, "bag.counts").sum(axis=1), dtype=np.float64).ravel()


def expected_term_frequency(model: GibbsLDA, doc_lengths: ArrayLike) -> NDArray[np.float64]:
    """Return how often the model expects each term, ``(n_terms,)``.

    This is the number of tokens of each topic times its term probabilities, summed over the topics. pyLDAvis uses it
    as a term's overall frequency instead of the count. If a table uses it too, both rank terms in the same way.

    Parameters
    ----------
    doc_lengths
        Number of tokens in each document, ``(n_documents,)``.
    """
    return np.asarray(doc_lengths, dtype=np.float64) @ model.doc_topic_ @ model.topic_word_


def summarize_topics(
    model: GibbsLDA,
    bag: BagOfWords,
    *,
    n_terms: int = 10,
    n_documents: int = 3,
    relevance_lambda: float = 0.6,
    labels: Sequence[str] | None = None,
) -> list[TopicSummary]:
    """Describe every topic of ``model``, in the model's own order.

    A document without a title in ``bag.meta`` is named by its number. With several chains, each topic has its
    stability.

    Parameters
    ----------
    bag
        The bag of words that the model was fitted on.
    n_terms, n_documents
        Maximum numbers of terms and documents per topic.
    relevance_lambda
        As in :func:`relevance`.
    labels
        A name for each topic; an empty one, or None for all, for the three most relevant terms.

    Raises
    ------
    ValueError
        If the model was not fitted on ``bag``, if ``bag`` has no tokens, if ``relevance_lambda`` is not from 0
        to 1, or if there is not one label per topic.
    """
    names = checked_labels(labels, len(model.topic_word_))
    lengths = document_lengths(model, bag)
    frequency = expected_term_frequency(model, lengths)
    n_ranked = max(n_terms, N_LABEL_TERMS)
    ranking = [best for best, _ in rank_terms(model.topic_word_, frequency, n_ranked, relevance_lambda)]
    shares = topic_shares(model.doc_topic_, lengths)
    documents = typical_documents(model.doc_topic_, lengths, n_documents)
    stability = stability_of(model)
    return [
        TopicSummary(
            topic=k,
            share=float(shares[k]),
            label=names[k] or " · ".join(bag.vocabulary[ranking[k][:N_LABEL_TERMS]]),
            terms=tuple(bag.vocabulary[ranking[k][:n_terms]].tolist()),
            probabilities=tuple(model.topic_word_[k, ranking[k][:n_terms]].tolist()),
            documents=tuple(_typical_document(model, bag, int(d), k) for d in documents[k]),
            stability=None if stability is None else float(stability[k]),
            has_own_label=bool(names[k]),
        )
        for k in range(len(shares))
    ]


def largest_topics(summaries: Sequence[TopicSummary], n: int) -> list[TopicSummary]:
    """Return the ``n`` topics with the largest shares, in the order of their numbers."""
    largest = sorted(summaries, key=lambda summary: -summary.share)[:n]
    return sorted(largest, key=lambda summary: summary.topic)


def checked_labels(labels: Sequence[str] | None, n_topics: int) -> list[str]:
    """Return a name for each topic, empty where there is none.

    Raises
    ------
    ValueError
        If there is not one label per topic.
    """
    if labels is None:
        return [""] * n_topics
    if isinstance(labels, str) or len(labels) != n_topics:
        number = "a single text" if isinstance(labels, str) else f"{len(labels)} names"
        raise ValueError(
            f"labels is {number} for {n_topics} topics; give one name per topic, and '' for one without a name"
        )
    return [" ".join(str(label).split()) for label in labels]


def stability_of(model: GibbsLDA) -> NDArray[np.floating] | None:
    """Return how well other chains find each topic, ``(n_topics,)``; None with a single chain."""
    return model.stability_ if hasattr(model, "stability_") else None


def _typical_document(model: GibbsLDA, bag: BagOfWords, document: int, topic: int) -> TypicalDocument:
    facts = bag.meta[document]
    return TypicalDocument(
        index=document,
        weight=float(model.doc_topic_[document, topic]),
        title=str(facts.get("title") or f"document {document}"),
        year=year_of(facts),
        address=facts.get("address"),
    )


def document_years(bag: BagOfWords) -> list[int | None]:
    """Return the year of each document, or ``None`` where ``bag.meta`` does not give it."""
    return [year_of(facts) for facts in bag.meta]


def topic_table(summaries: Sequence[TopicSummary]) -> Table:
    """Format ``summaries`` as a table for the terminal; print it with ``rich.print``.

    The stability of the topics is shown if they have one.
    """
    has_stability = any(summary.stability is not None for summary in summaries)
    table = Table(title="Topics", show_lines=True, caption_justify="left")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Share", justify="right", no_wrap=True)
    if has_stability:
        table.add_column("Stability", no_wrap=True)
    table.add_column("Most relevant terms", ratio=2, overflow="fold")
    table.add_column("Most typical documents", ratio=3, overflow="fold")
    for summary in summaries:
        papers = (f"{d.year} {d.title}" if d.year is not None else d.title for d in summary.documents)
        table.add_row(
            str(summary.topic),
            f"{summary.share:.1%}",
            *([_stability_cell(summary)] if has_stability else []),
            styled(_named_terms(summary)),
            styled("\n".join(papers)),
        )
    if has_stability:
        table.caption = (
            "Stability: how much of a topic the other chains find again, from 0 to 1. "
            f"Below {UNSTABLE:g} a topic is unstable: another run may not find it, so draw no conclusions from it."
        )
    return table


def _stability_cell(summary: TopicSummary) -> str:
    return f"{summary.stability:.2f}" + ("\nunstable" if summary.is_unstable else "")


def _named_terms(summary: TopicSummary) -> str:
    terms = ", ".join(summary.terms)
    return f"{summary.label}: {terms}" if summary.has_own_label else terms
