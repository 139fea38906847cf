"""What a report on a topic model knows of every document and topic, small enough to stand in its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minillm_lib.topics.periods import DocumentPeriods
from minillm_lib.topics.summary import TopicSummary

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA

LEAST_SHARE, MOST_TOPICS = 0.01, 10
"""Of a document, the topics with at least this share are kept, but no more than so many."""

MOST_BYTES = 5_000_000
"""How large the documents may be in the page. If they are larger, excerpts get shorter, and then documents fewer."""

MOST_DOCUMENTS = 50_000
"""More documents would not fit in any case."""

MOST_TERMS = 20_000
"""How many terms of topics may stand in the page, of all topics together."""

_LEAST_EXCERPT, _MOST_EXCERPT = 40, 400
_MOST_TITLE = 300


def topic_data(
    model: GibbsLDA, bag: BagOfWords, topics: Sequence[TopicSummary], dates: DocumentPeriods
) -> dict[str, Any]:
    """Return the topics, their terms and the documents as plain values, for :func:`script_json`.

    The documents are in columns. ``shares`` has, for each document, numbers of topics and their shares in thousandths,
    the largest first. ``n_documents`` counts all documents of the bag, ``columns["number"]`` names those that are here.
    """
    numbers, columns = _documents(model, bag, dates)
    return {
        "topics": [
            {
                "topic": topic.topic,
                "label": topic.label,
                "share": round(topic.share, 5),
                "stability": None if topic.stability is None else round(topic.stability, 3),
                "unstable": topic.is_unstable,
            }
            for topic in topics
        ],
        "terms": _terms(model, bag),
        "n_documents": len(bag.meta),
        "columns": {"number": numbers.tolist(), **columns},
    }


def _terms(model: GibbsLDA, bag: BagOfWords) -> list[list[Any]]:
    """List the most probable terms of each topic: a term, its probability, the next term, and so on."""
    n_topics, n_terms = model.topic_word_.shape
    n = min(n_terms, max(10, MOST_TERMS // n_topics), 200)
    listed = []
    for row in model.topic_word_:
        best = np.argsort(-row, kind="stable")[:n]
        pairs = zip(bag.vocabulary[best], row[best], strict=True)
        listed.append([value for term, weight in pairs for value in (str(term), float(f"{weight:.4g}"))])
    return listed


def _documents(
    model: GibbsLDA, bag: BagOfWords, dates: DocumentPeriods
) -> tuple[NDArray[np.int64], dict[str, list[Any]]]:
    """Return the documents that fit in the page, and what is known of them in columns."""
    numbers = _most_typical(model.doc_topic_, np.arange(len(bag.meta)), MOST_DOCUMENTS)
    columns = _columns(model, bag, dates, numbers)
    sizes = np.array([_n_bytes(row) for row in zip(*columns.values(), strict=True)])
    if sizes.sum() > MOST_BYTES:
        fewer = _most_typical(model.doc_topic_, numbers, int(MOST_BYTES / sizes.mean()))
        is_kept = np.isin(numbers, fewer)
        is_kept &= np.cumsum(sizes * is_kept) <= MOST_BYTES
        columns = {
            name: [value for value, keep in zip(values, is_kept, strict=True) if keep]
            for name, values in columns.items()
        }
        numbers, sizes = numbers[is_kept], sizes[is_kept]
    left = (MOST_BYTES - int(sizes.sum())) // max(len(numbers), 1)
    excerpts = [_text(bag.meta[i].get("snippet")) for i in numbers]
    if any(excerpts) and left >= _LEAST_EXCERPT:
        columns["excerpt"] = [_cut(excerpt, min(left, _MOST_EXCERPT)) for excerpt in excerpts]
    return numbers, columns


def _columns(
    model: GibbsLDA, bag: BagOfWords, dates: DocumentPeriods, numbers: NDArray[np.int64]
) -> dict[str, list[Any]]:
    lengths = np.asarray(bag.counts.sum(axis=1)).ravel().astype(int)
    return {
        "title": [_text(bag.meta[i].get("title"))[:_MOST_TITLE] for i in numbers],
        "date": ["" if np.isnat(dates.periods[i]) else str(dates.periods[i]) for i in numbers],
        "address": [_text(bag.meta[i].get("address")) for i in numbers],
        "tokens": lengths[numbers].tolist(),
        "shares": [_largest_shares(model.doc_topic_[i]) for i in numbers],
    }


def _largest_shares(shares: NDArray[np.floating]) -> list[int]:
    n = min(MOST_TOPICS, len(shares))
    best = np.argpartition(-shares, n - 1)[:n]
    best = best[np.lexsort((best, -shares[best]))]
    pairs = [(int(k), round(1000 * float(shares[k]))) for k in best if shares[k] >= LEAST_SHARE]
    return [value for pair in pairs for value in pair]


def _most_typical(
    doc_topic: NDArray[np.floating], numbers: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    """Return at most about so many of these rows: all, or for each topic those with its largest shares."""
    if len(numbers) <= most:
        return numbers
    n = max(1, most // doc_topic.shape[1])
    best = [numbers[np.argpartition(-column[numbers], n - 1)[:n]] for column in doc_topic.T]
    return np.unique(np.concatenate(best))


def _text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def _n_bytes(row: Sequence[Any]) -> int:
    return len(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))


def _cut(text: str, n_bytes: int) -> str:
    """Cut a text to so many bytes of UTF-8, at a character."""
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= n_bytes else encoded[: n_bytes - 3].decode("utf-8", "ignore") + "…"


def script_json(values: Mapping[str, Any]) -> str:
    """Write values as JSON that can stand in a script element: nothing in it can end the element."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
