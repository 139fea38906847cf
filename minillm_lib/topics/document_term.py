"""The document–term matrix: counts of terms per document, with a report on everything that was left out."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from numbers import Integral
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix

from minillm_lib.corpora.cleaning.repair import REPAIRS
from minillm_lib.corpora.cleaning.report import CleaningReport
from minillm_lib.corpora.document import Document
from minillm_lib.io.optional import needed
from minillm_lib.topics.counts.bag_file import read_bag, write_bag
from minillm_lib.topics.counts.counting import (
    column_sums,
    count_over,
    count_terms,
    drop_copies,
    frequent,
    report_on_languages,
    report_on_repairs,
    report_on_stop_lists,
    titles,
)
from minillm_lib.topics.counts.document_input import check_documents
from minillm_lib.topics.counts.vocabulary import Cuts, choose_vocabulary, kept_terms
from minillm_lib.topics.counts.word_stream import Splitting, number_words
from minillm_lib.topics.terms import TermRecipe

_MANY = 0.1


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

    def encode(
        self, documents: Iterable[Document | str], *, n_jobs: int = -1, progress: bool = False
    ) -> BagOfWords:
        """Count the terms of new documents over the same vocabulary, by the same steps.

        No document is dropped: row ``i`` is the ``i``-th document, and it is empty if the document has no known
        term. The ``report`` of the result counts the tokens that are not in the vocabulary.

        Parameters
        ----------
        n_jobs, progress
            As for :func:`bag_of_words`.

        Raises
        ------
        ValueError
            If ``documents`` is a single text, a table or a mapping, or contains anything other than texts and
            Documents.
        """
        check_documents(documents)
        _check_n_jobs(n_jobs)
        _, words = number_words(documents, Splitting(self.recipe), n_jobs=n_jobs, progress=progress)
        counts, terms, columns = count_over(words, self.recipe, self.vocabulary)
        report = CleaningReport()
        report_on_repairs(words, report)
        totals = column_sums(terms.counts).tolist()
        unseen = Counter(
            {
                name: total
                for name, column, total in zip(terms.names, columns, totals, strict=True)
                if column < 0
            }
        )
        report.count("vocabulary", unseen.total(), sum(totals), frequent(unseen))
        _warn(words.tally.warnings, report)
        n_empty = int(np.count_nonzero(np.diff(counts.indptr) == 0))
        if n_empty > _MANY * len(words.facts):
            warnings.warn(
                f"{n_empty:,} of {len(words.facts):,} documents have no term of the vocabulary: their rows are empty",
                stacklevel=2,
            )
        return replace(self, counts=counts, meta=words.facts, report=report)

    def to_frame(self) -> Any:
        """Return the counts as a sparse pandas data frame: a row per document, a column per term.

        Raises
        ------
        MissingPackageError
            If pandas is not installed.
        """
        pandas = needed("pandas", "report", "to get a data frame")
        return pandas.DataFrame.sparse.from_spmatrix(self.counts, columns=self.vocabulary)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bag as JSON lines, either completely or not at all.

        The first line is a header with the SHA-256 of the rest. The vocabulary follows, and then one line per
        document. Values of ``meta`` that JSON cannot write become plain: dates their text, missing values ``null``.
        """
        shared = {
            "vocabulary": self.vocabulary.tolist(),
            "recipe": self.recipe.to_dict(),
            "report": self.report.to_list(),
        }
        write_bag(path, self.counts, self.meta, shared)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BagOfWords:
        """Load a bag that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is not a saved bag of words, or is not intact.
        """
        counts, meta, shared = read_bag(path)
        try:
            recipe = TermRecipe.from_dict(shared["recipe"])
            report = CleaningReport.from_list(shared["report"])
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{path}, line 2: its recipe or report is not one that was saved: {error!r}"
            ) from error
        return cls(
            counts=counts,
            vocabulary=np.array(shared["vocabulary"], dtype=np.str_),
            meta=meta,
            report=report,
            recipe=recipe,
        )


def bag_of_words(
    documents: Iterable[Document | str],
    *,
    language: str = "auto",
    lemmatize: bool = True,
    stop_words: Literal["default", "abstracts"] | Collection[str] | None = "default",
    more_stop_words: Collection[str] = (),
    keep: Collection[str] = (),
    phrases: bool = True,
    phrase_min_count: int = 5,
    phrase_min_npmi: float = 0.3,
    min_df: int | float = 2,
    max_df: int | float = 0.5,
    max_terms: int | None = None,
    deduplicate: bool = True,
    repairs: Sequence[str] = tuple(REPAIRS),
    user_dict: Mapping[str, int] | Sequence[str] | None = None,
    snippet_length: int = 0,
    n_jobs: int = -1,
    progress: bool = False,
) -> BagOfWords:
    """Clean documents and count their terms.

    The steps are, in this order: repair the text (:func:`~minillm_lib.corpora.cleaning.repair.repair_text`), drop
    documents that repeat an earlier one, split the text into lower-case words, reduce words to their lemmas, drop stop
    words, numbers and single characters, unite spellings, join phrases, drop rare and ubiquitous terms, and drop
    documents with no terms left. The ``report`` of the result counts what each step did, and a step that takes more
    than it takes from ordinary documents issues a warning.

    The documents may be a stream: they are read once, and their texts are not kept. The result does not depend on the
    number of processes.

    Parameters
    ----------
    documents
        Documents or plain texts: a list, a column of a table, a generator.
    language
        The language of the documents (ISO 639-1, such as ``"de"``), which chooses stop words and lemmas, and a
        segmenter where words are written without spaces. ``"auto"`` finds it out for each document.
    lemmatize
        Count ``networks`` as ``network`` (see :func:`~minillm_lib.topics.terms.lemma`).
    stop_words
        Words to drop. ``"default"`` means the list for the language; ``"abstracts"`` adds the filler of English
        abstracts ("we propose a novel approach"); ``None`` means that no words are dropped.
    more_stop_words
        Words to drop besides these.
    keep
        Words that no step drops: neither as stop words or single characters, nor by ``min_df``, ``max_df`` and
        ``max_terms``.
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
        Drop exact duplicates, and near duplicates that share four fifths of their runs of five words (see
        :mod:`minillm_lib.corpora.cleaning.set_similarity`). In a corpus of more than 40 million words, near duplicates
        are looked for only among its first documents, and the report says so.
    repairs
        Names of the repairs to apply, from :data:`~minillm_lib.corpora.cleaning.repair.REPAIRS`; ``()`` for none.
    user_dict
        Words that the segmenter of Chinese must know.
    snippet_length
        Keep the first characters of each cleaned text, at most this many, as ``meta[i]["snippet"]``.
    n_jobs
        Number of processes; -1 for one per core. A corpus of fewer than some thousand short texts needs only one.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        For an invalid argument, for an empty corpus, or if no terms remain (the message says what removed them).

    References
    ----------
    G. Bouma (2009), Normalized (pointwise) mutual information in collocation extraction.
    """
    recipe = TermRecipe.make(
        language=language,
        lemmatize=lemmatize,
        stop_words=stop_words,
        more_stop_words=more_stop_words,
        keep=keep,
        repairs=repairs,
        user_dict=user_dict,
    )
    cuts = Cuts(min_df, max_df, max_terms)
    _check_whole_number("phrase_min_count", phrase_min_count, least=1)
    _check_whole_number("snippet_length", snippet_length, least=0)
    _check_n_jobs(n_jobs)
    if not -1 <= phrase_min_npmi <= 1:
        raise ValueError(f"phrase_min_npmi is {phrase_min_npmi}; it must be from -1 to 1")
    check_documents(documents)

    splitting = Splitting(
        recipe, find_languages=language == "auto", find_copies=deduplicate, snippet_length=snippet_length
    )
    recipe, words = number_words(documents, splitting, n_jobs=n_jobs, progress=progress)
    if not words.facts:
        raise ValueError("there are no documents; a bag of words needs at least one")
    report = CleaningReport()
    report_on_repairs(words, report)
    if language == "auto":
        report_on_languages(words, report)
    if isinstance(stop_words, str):
        report_on_stop_lists(words, report)
    if deduplicate:
        words = drop_copies(words, report)
    recipe, terms = count_terms(
        words,
        recipe,
        report,
        phrases=phrases,
        phrase_min_count=phrase_min_count,
        phrase_min_npmi=phrase_min_npmi,
    )
    columns = choose_vocabulary(terms, cuts, kept_terms(terms, recipe, report), report)
    vocabulary = np.array([terms.names[column] for column in columns], dtype=np.str_)
    facts, counts, warned_of = words.facts, terms.counts[:, columns], words.tally.warnings
    del words, terms  # so that a large corpus is not in memory twice
    lengths = np.diff(counts.indptr)
    empty, kept = np.flatnonzero(lengths == 0), np.flatnonzero(lengths)
    report.count("empty documents", len(empty), len(lengths), titles(facts, empty))
    _warn(warned_of, report)
    return BagOfWords(
        counts=counts[kept] if len(empty) else counts,
        vocabulary=vocabulary,
        meta=[facts[document] for document in kept],
        report=report,
        recipe=recipe,
    )


def _check_whole_number(name: str, value: object, least: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")


def _check_n_jobs(n_jobs: object) -> None:
    if not isinstance(n_jobs, Integral) or isinstance(n_jobs, bool) or n_jobs == 0:
        raise ValueError(f"n_jobs is {n_jobs!r}; it must be a number of processes, or -1 for one per core")


def _warn(found: Collection[str], report: CleaningReport) -> None:
    for sentence in (*sorted(found), *report.warnings()):
        warnings.warn(sentence, stacklevel=3)
