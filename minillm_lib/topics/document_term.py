"""The document–term matrix: counts of terms per document, with a report on everything that was left out."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix

from minillm_lib.corpora.cleaning.duplicates import deduplicate as drop_duplicates
from minillm_lib.corpora.cleaning.repair import REPAIRS, repair_text
from minillm_lib.corpora.cleaning.report import CleaningReport
from minillm_lib.corpora.document import Document
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.topics.terms import Language, TermRecipe, default_stop_words, find_phrases, unite_spellings

_FORMAT = "minillm bag of words, version 1"


@dataclass(frozen=True, eq=False, repr=False)
class BagOfWords:
    """Documents as counts of terms.

    Attributes
    ----------
    counts
        ``csr_matrix`` of int32 with shape ``(n_documents, n_terms)``. Rows are in the order of the documents, and
        column indices are sorted within each row.
    vocabulary
        Array of str with shape ``(n_terms,)``, in alphabetical order. A phrase is written with spaces.
    meta
        For each row, what is known about its document, such as ``title``, ``year`` and ``address``. If a document
        has no title, its first words are used.
    report
        What was changed or dropped, and why; shown by ``print(bag.report)``.
    recipe
        The steps from a text to its terms, which :meth:`encode` applies to new documents.
    """

    counts: csr_matrix
    vocabulary: np.ndarray
    meta: list[dict[str, Any]]
    report: CleaningReport
    recipe: TermRecipe

    def __repr__(self) -> str:
        n_documents, n_terms = self.counts.shape
        return f"BagOfWords({n_documents:,} documents, {n_terms:,} terms, {self.counts.sum():,} tokens)"

    def _repr_html_(self) -> str:
        totals = np.asarray(self.counts.sum(axis=0)).ravel()
        frequent = ", ".join(
            escape(self.vocabulary[term]) for term in np.argsort(-totals, kind="stable")[:20]
        )
        return f"<p><b>{self!r}</b><br>most frequent: {frequent}</p>{self.report._repr_html_()}"

    def encode(self, documents: Iterable[Document | str]) -> BagOfWords:
        """Count the terms of new documents over the same vocabulary, by the same steps.

        No document is dropped: row ``i`` is the ``i``-th document, and it is empty if the document has no known
        term. The ``report`` of the result counts the tokens that are not in the vocabulary.

        Raises
        ------
        ValueError
            If ``documents`` is a single text, or contains anything other than texts and Documents.
        """
        documents = _as_documents(documents)
        terms = [self.recipe.terms(document.text) for document in documents]
        report = CleaningReport()
        known = set(self.vocabulary.tolist())
        unseen = Counter(term for document in terms for term in document if term not in known)
        total = sum(map(len, terms))
        report.record(
            "vocabulary", "not in the vocabulary", "tokens", unseen.total(), total, _frequent(unseen)
        )
        counts = _count_terms(terms, self.vocabulary)
        return replace(self, counts=counts, meta=[_facts(document) for document in documents], report=report)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bag as JSON lines, either completely or not at all.

        The first line is a header with the SHA-256 of the rest. The vocabulary follows, and then one line per
        document. The format is plain text for two reasons: anyone can see what is in it, and its bytes depend only
        on the content, not on the version of a compressor.

        Raises
        ------
        TypeError
            If a value in ``meta`` is not a JSON value.
        """
        counts = self.counts
        lines = [
            {
                "vocabulary": self.vocabulary.tolist(),
                "recipe": self.recipe.to_dict(),
                "report": self.report.to_list(),
            }
        ]
        for row, (start, end) in enumerate(zip(counts.indptr[:-1], counts.indptr[1:], strict=True)):
            terms, numbers = counts.indices[start:end].tolist(), counts.data[start:end].tolist()
            lines.append({"meta": self.meta[row], "terms": terms, "counts": numbers})
        body = "".join(_json_line(line) for line in lines).encode()
        header = {"format": _FORMAT, "documents": len(self.meta), "sha256": hashlib.sha256(body).hexdigest()}
        write_atomically(path, _json_line(header).encode() + body)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BagOfWords:
        """Load a bag that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is not a saved bag of words, or is not intact.
        """
        header_line, _, body = Path(path).read_bytes().partition(b"\n")
        try:
            header = json.loads(header_line)
            found, expected = header["format"], header["sha256"]
        except (ValueError, KeyError, TypeError):
            found = None
        if found != _FORMAT:
            raise ValueError(
                f"{path} is not a bag of words: its first line does not name the format {_FORMAT!r}"
            )
        if hashlib.sha256(body).hexdigest() != expected:
            raise ValueError(
                f"{path} is damaged: its content does not match the SHA-256 in its header, {expected}"
            )
        shared, *rows = map(json.loads, body.splitlines())
        lengths = [len(row["terms"]) for row in rows]
        counts = csr_matrix(
            (
                np.array([count for row in rows for count in row["counts"]], dtype=np.int32),
                np.array([term for row in rows for term in row["terms"]], dtype=np.int32),
                np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
            ),
            shape=(len(rows), len(shared["vocabulary"])),
        )
        return cls(
            counts=counts,
            vocabulary=np.array(shared["vocabulary"], dtype=np.str_),
            meta=[row["meta"] for row in rows],
            report=CleaningReport.from_list(shared["report"]),
            recipe=TermRecipe.from_dict(shared["recipe"]),
        )


def bag_of_words(
    documents: Iterable[Document | str],
    *,
    language: Language = "en",
    lemmatize: bool = True,
    stop_words: Literal["default"] | Collection[str] | None = "default",
    phrases: bool = True,
    phrase_min_count: int = 5,
    phrase_min_npmi: float = 0.3,
    min_df: int | float = 2,
    max_df: int | float = 0.5,
    max_terms: int | None = None,
    deduplicate: bool = True,
    repairs: Sequence[str] = tuple(REPAIRS),
) -> BagOfWords:
    """Clean documents and count their terms.

    The steps are, in this order: repair the text (:func:`~minillm_lib.corpora.cleaning.repair.repair_text`), drop
    documents that repeat an earlier one, split the text into lower-case words, reduce plurals to singulars, drop stop
    words, numbers and single characters, unite spellings, join phrases, drop rare and ubiquitous terms, and drop
    documents with no terms left. The ``report`` of the result counts what each step did.

    Parameters
    ----------
    documents
        Documents, or plain texts.
    language
        ``"en"`` for English and other languages written with spaces, or ``"zh"`` for Chinese, which jieba segments.
        ``"auto"`` chooses between them for each document by its share of Chinese characters.
    lemmatize
        Count ``networks`` as ``network`` (see :func:`~minillm_lib.topics.terms.lemma`).
    stop_words
        Words to drop. ``"default"`` means the lists for the language and academic filler ("we propose a novel
        approach"); ``None`` means that no words are dropped.
    phrases
        Count ``neural network`` as one term where its words belong together.
    phrase_min_count, phrase_min_npmi
        Two words belong together if they stand side by side at least ``phrase_min_count`` times with a normalised
        pointwise mutual information (Bouma 2009) of at least ``phrase_min_npmi``.
    min_df, max_df
        Drop terms found in fewer than ``min_df`` documents or in more than ``max_df``. An int is a number of
        documents, a float is a share of them.
    max_terms
        Keep at most this many terms, the most frequent ones; ``None`` keeps all of them.
    deduplicate
        Drop exact and near duplicates (see :mod:`minillm_lib.corpora.cleaning.duplicates`).
    repairs
        Names of the repairs to apply, from :data:`~minillm_lib.corpora.cleaning.repair.REPAIRS`.

    Raises
    ------
    ValueError
        For an invalid argument, for an empty corpus, or if no terms remain (the message says what removed them).

    References
    ----------
    G. Bouma (2009), Normalized (pointwise) mutual information in collocation extraction.
    """
    if language not in ("en", "zh", "auto"):
        raise ValueError(f"language is {language!r}; allowed values: 'en', 'zh', 'auto'")
    if isinstance(stop_words, str) and stop_words != "default":
        raise ValueError(
            f"stop_words is {stop_words!r}; allowed values: 'default', None, a collection of words"
        )
    if max_terms is not None and max_terms < 1:
        raise ValueError(f"max_terms is {max_terms}; it must be at least 1, or None for no limit")
    documents = _as_documents(documents)
    if not documents:
        raise ValueError("there are no documents; a bag of words needs at least one")
    report = CleaningReport()
    dropped = default_stop_words(language) if stop_words == "default" else map(str.lower, stop_words or ())
    recipe = TermRecipe(language, lemmatize, frozenset(dropped), repairs=tuple(repairs))

    documents = _repair(documents, recipe.repairs, report)
    if deduplicate:
        documents = _drop_duplicates(documents, report)
    recipe, terms = _find_terms(documents, recipe, phrases, phrase_min_count, phrase_min_npmi, report)
    vocabulary = _choose_vocabulary(terms, min_df, max_df, max_terms, report)

    counts = _count_terms(terms, vocabulary)
    kept = np.flatnonzero(np.diff(counts.indptr))
    empty = np.flatnonzero(np.diff(counts.indptr) == 0)
    titles = [_title(documents[row]) for row in empty[:3]]
    report.record("empty documents", "no term is left", "documents", len(empty), len(documents), titles)
    return BagOfWords(counts[kept], vocabulary, [_facts(documents[row]) for row in kept], report, recipe)


def _as_documents(documents: Iterable[Document | str]) -> list[Document]:
    if isinstance(documents, str | Document):
        raise ValueError("documents is a single text; pass a list of texts or Documents")
    as_documents = [Document(item) if isinstance(item, str) else item for item in documents]
    for number, document in enumerate(as_documents):
        if not isinstance(document, Document):
            raise ValueError(
                f"document {number} has type {type(document).__name__}; allowed types: str, Document"
            )
    return as_documents


def _title(document: Document) -> str:
    title = str(document.meta.get("title") or " ".join(document.text.split()))
    return title if len(title) <= 40 else title[:39] + "…"


def _facts(document: Document) -> dict[str, Any]:
    return {"title": _title(document), **document.meta}


def _frequent(counter: Counter[str]) -> list[str]:
    return sorted(counter, key=lambda item: (-counter[item], item))[:6]


def _repair(documents: list[Document], repairs: tuple[str, ...], report: CleaningReport) -> list[Document]:
    changed_by: Counter[str] = Counter()
    repaired = []
    for document in documents:
        changed: set[str] = set()
        repaired.append(replace(document, text=repair_text(document.text, steps=repairs, changed=changed)))
        changed_by.update(changed)
    for step in repairs:
        report.record(step, "text repaired", "documents", changed_by[step], len(documents))
    return repaired


def _drop_duplicates(documents: list[Document], report: CleaningReport) -> list[Document]:
    kept, duplicates = drop_duplicates(documents)
    for name, is_exact, why in (
        ("exact duplicates", True, "same words as an earlier document"),
        ("near duplicates", False, "nearly the words of an earlier document"),
    ):
        found = [duplicate for duplicate in duplicates if duplicate.exact == is_exact]
        pairs = [f"{_title(documents[d.index])} (of {_title(documents[d.kept])})" for d in found[:3]]
        report.record(name, why, "documents", len(found), len(documents), pairs)
    return kept


def _find_terms(
    documents: Sequence[Document],
    recipe: TermRecipe,
    with_phrases: bool,
    phrase_min_count: int,
    phrase_min_npmi: float,
    report: CleaningReport,
) -> tuple[TermRecipe, list[list[str]]]:
    """Learn the corpus's spellings and phrases; return the complete recipe and the terms of each document."""
    dropped: Counter[str] = Counter()
    words = [recipe.words(document.text, dropped) for document in documents]
    counts = Counter(word for document in words for word in document if word is not None)
    total = counts.total() + dropped.total()
    numbers = dropped.pop("", 0)
    report.record("numbers, single characters", "no word", "tokens", numbers, total)
    report.record(
        "stop words", "says nothing of the subject", "tokens", dropped.total(), total, _frequent(dropped)
    )
    if recipe.lemmatize:
        recipe = replace(recipe, spellings=unite_spellings(counts))
    united = Counter({f"{word} → {other}": counts[word] for word, other in recipe.spellings.items()})
    report.record(
        "spellings", "counted as another form", "tokens", united.total(), counts.total(), _frequent(united)
    )
    if with_phrases:
        respelled = [[word and recipe.spellings.get(word, word) for word in document] for document in words]
        found = find_phrases(respelled, min_count=phrase_min_count, min_npmi=phrase_min_npmi)
        recipe = replace(recipe, phrases=found)
    terms = [recipe.terms_of_words(document) for document in words]
    phrase_terms = recipe.phrase_terms
    joined = Counter(term for document in terms for term in document if term in phrase_terms)
    in_phrases = counts.total() - sum(map(len, terms)) + joined.total()
    report.record(
        "phrases", "counted as part of a phrase", "tokens", in_phrases, counts.total(), _frequent(joined)
    )
    return recipe, terms


def _choose_vocabulary(
    terms: Sequence[Sequence[str]],
    min_df: int | float,
    max_df: int | float,
    max_terms: int | None,
    report: CleaningReport,
) -> np.ndarray:
    document_frequency = Counter(term for document in terms for term in set(document))
    totals = Counter(term for document in terms for term in document)
    least, most = (
        _as_number_of_documents(name, df, len(terms)) for name, df in (("min_df", min_df), ("max_df", max_df))
    )
    rare = {term for term, df in document_frequency.items() if df < least}
    ubiquitous = {term for term, df in document_frequency.items() if df > most} - rare
    kept = sorted(document_frequency.keys() - rare - ubiquitous, key=lambda term: (-totals[term], term))
    beyond = set(kept[max_terms:]) if max_terms is not None else set()
    removed = {
        f"min_df={min_df}": (rare, f"in fewer than {least:g} documents"),
        f"max_df={max_df}": (ubiquitous, f"in more than {most:g} documents"),
        f"max_terms={max_terms}": (beyond, "not among the most frequent"),
    }
    for cut, (gone, why) in removed.items():
        examples = _frequent(Counter({term: totals[term] for term in gone}))
        report.record(cut, why, "terms", len(gone), len(document_frequency), examples)
    vocabulary = sorted(set(kept) - beyond)
    if not vocabulary:
        cuts = ", ".join(f"{cut} removed {len(gone)}" for cut, (gone, _) in removed.items() if gone)
        raise ValueError(
            f"no terms remain of the {len(document_frequency)} found in {len(terms)} documents"
            + (f": {cuts}" if cuts else f"; earlier steps:\n{report}")
        )
    return np.array(vocabulary, dtype=np.str_)


def _as_number_of_documents(name: str, df: int | float, n_documents: int) -> float:
    is_count = isinstance(df, int) and not isinstance(df, bool)
    if (is_count and df < 1) or not (is_count or 0 <= df <= 1):
        raise ValueError(
            f"{name} is {df}; it must be a number of documents (int, at least 1) or a share (float, 0 to 1)"
        )
    return df if is_count else df * n_documents


def _count_terms(terms: Sequence[Iterable[str]], vocabulary: np.ndarray) -> csr_matrix:
    column = {term: index for index, term in enumerate(vocabulary.tolist())}
    rows = [
        sorted(Counter(column[term] for term in document if term in column).items()) for document in terms
    ]
    indices = np.array([index for row in rows for index, _ in row], dtype=np.int32)
    counts = np.array([count for row in rows for _, count in row], dtype=np.int32)
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    return csr_matrix((counts, indices, indptr), shape=(len(rows), len(vocabulary)))


def _json_line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
