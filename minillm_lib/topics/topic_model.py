"""A topic model with all that belongs to it: saved, loaded, applied to new documents, and read as tables."""

from __future__ import annotations

import glob
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from minillm_lib import __version__
from minillm_lib.corpora.document import Document
from minillm_lib.corpora.reading.report import TextUnit
from minillm_lib.io.atomic_folder import present_or_previous, replaced_folder
from minillm_lib.io.atomic_write import check_folder, write_atomically
from minillm_lib.io.checksums import sha256_of
from minillm_lib.io.optional import installed_version
from minillm_lib.io.regular_file import check_regular
from minillm_lib.io.sealed_values import SealError, sealed, unsealed
from minillm_lib.io.tables import to_frame
from minillm_lib.topics.counts.counting import count_over
from minillm_lib.topics.counts.document_input import check_documents
from minillm_lib.topics.counts.word_stream import Splitting, number_words
from minillm_lib.topics.document_term import BagOfWords
from minillm_lib.topics.gibbs_lda import GibbsLDA
from minillm_lib.topics.summary import TopicSummary, document_lengths, summarize_topics
from minillm_lib.topics.topic_tables import (
    document_topic_columns,
    share_columns,
    term_topic_columns,
    topic_term_columns,
)

_FORMAT, _VERSION = "minillm topic model", 1
_ABOUT, _LDA, _BAG = "model.json", "topics.lda", "documents.jsonl"
_PARTS = (_LDA, _BAG)
# With other versions of these, a text may be split into other words.
_CLEANERS = ("ftfy", "icu4py", "jieba", "py3langid", "regex", "simplemma")
# What file managers leave in every folder that they show.
_OF_FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini", ".directory")
_N_NAMED = 5
_MOST_ABOUT = 1 << 26  # bytes


@dataclass(frozen=True, eq=False, repr=False)
class TopicModel:
    """A fitted :class:`GibbsLDA`, the bag of words that it was fitted on, and names for its topics.

    The bag brings the vocabulary and the cleaning, so that new documents are treated as the old ones were.

    Attributes
    ----------
    lda
        The fitted model.
    bag
        The bag of words that it was fitted on.
    labels
        A name for each topic; ``""`` for a topic, or ``None`` for all, to name it by its three most relevant terms.
    unit
        What a document was in the texts, ``"file"``, ``"paragraph"`` or ``"line"``, so that new ones are divided in the
        same way; ``None`` if it is not known, or they came from a table.

    Raises
    ------
    ValueError
        If the model was not fitted on the bag, or the number of labels is not that of the topics.
    """

    lda: GibbsLDA
    bag: BagOfWords
    labels: tuple[str, ...] | None = None
    unit: TextUnit | None = None

    def __post_init__(self) -> None:
        document_lengths(self.lda, self.bag)
        names = getattr(self.lda, "feature_names_in_", None)
        if names is not None and not np.array_equal(names, self.bag.vocabulary):
            raise ValueError("the model was fitted on other terms than those of the bag of words")
        if self.labels is not None and len(self.labels) != len(self.lda.topic_word_):
            raise ValueError(
                f"there are {len(self.labels)} labels for {len(self.lda.topic_word_)} topics; give one per topic"
            )

    def __repr__(self) -> str:
        n_documents, n_terms = self.bag.counts.shape
        return f"TopicModel({self.n_topics} topics, {n_documents:,} documents, {n_terms:,} terms)"

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.lda.topic_word_)

    @cached_property
    def topic_names(self) -> list[str]:
        """The name of each topic: its label or, without one, its three most relevant terms."""
        return [summary.label for summary in self.summaries(n_terms=3, n_documents=0)]

    def with_labels(self, labels: Sequence[str] | None) -> TopicModel:
        """Return the same model with other names for its topics.

        Raises
        ------
        ValueError
            If their number is not that of the topics.
        """
        return replace(self, labels=None if labels is None else tuple(labels))

    def summaries(
        self, *, n_terms: int = 10, n_documents: int = 3, relevance_lambda: float = 0.6
    ) -> list[TopicSummary]:
        """Describe every topic; see :func:`~minillm_lib.topics.summary.summarize_topics`."""
        return summarize_topics(
            self.lda,
            self.bag,
            n_terms=n_terms,
            n_documents=n_documents,
            relevance_lambda=relevance_lambda,
            labels=self.labels,
        )

    def topics(
        self, *, n_terms: int = 10, n_documents: int = 3, relevance_lambda: float = 0.6
    ) -> list[dict[str, Any]]:
        """Return the topics as plain values for JSON.

        Each has its ``topic`` number, ``label``, ``share`` of all tokens, ``stability`` (0 to 1; None with a single
        chain) and ``is_unstable``, the most relevant ``terms`` with ``probability`` and ``relevance``, and the most
        typical ``documents`` with the topic's ``share`` in each.
        """
        found = topic_term_columns(self.lda, self.bag, self.topic_names, n_terms, relevance_lambda)
        terms: list[list[dict[str, Any]]] = [[] for _ in range(self.n_topics)]
        rows = zip(
            *(found[name] for name in ("topic", "term", "probability", "relevance", "count")), strict=True
        )
        for topic, term, probability, score, count in rows:
            terms[topic].append(
                {
                    "term": term,
                    "probability": float(probability),
                    "relevance": float(score),
                    "count": int(count),
                }
            )
        summaries = self.summaries(n_terms=1, n_documents=n_documents, relevance_lambda=relevance_lambda)
        return [
            {
                "topic": summary.topic,
                "label": summary.label,
                "share": summary.share,
                "stability": summary.stability,
                "is_unstable": summary.is_unstable,
                "terms": terms[summary.topic],
                "documents": [
                    {
                        "document": document.index,
                        "title": document.title,
                        "source": self.bag.meta[document.index].get("source"),
                        "share": document.weight,
                    }
                    for document in summary.documents
                ],
            }
            for summary in summaries
        ]

    def document_topics(self) -> Any:
        """Return a data frame with a row per document that the model was fitted on.

        Its columns are what is known of the document, its number of tokens, and the share of each topic.

        Raises
        ------
        MissingPackageError
            If pandas is not installed.
        """
        return to_frame(document_topic_columns(self.lda, self.bag, self.topic_names))

    def term_topics(self) -> Any:
        """Return a data frame with a row per term: its count, its documents, and its probability in each topic.

        Raises
        ------
        MissingPackageError
            If pandas is not installed.
        """
        return to_frame(term_topic_columns(self.lda, self.bag, self.topic_names))

    def topic_terms(self, n_terms: int = 10, *, relevance_lambda: float = 0.6) -> Any:
        """Return a data frame with the most relevant terms of each topic, a row per topic and term.

        Parameters
        ----------
        n_terms
            Most terms per topic.
        relevance_lambda
            See :func:`~minillm_lib.topics.summary.relevance`.

        Raises
        ------
        MissingPackageError
            If pandas is not installed.
        """
        return to_frame(topic_term_columns(self.lda, self.bag, self.topic_names, n_terms, relevance_lambda))

    def apply(self, documents: Iterable[Document | str], *, progress: bool = False) -> Any:
        """Return a data frame with the topic shares of new documents; see :meth:`apply_to_columns`.

        Raises
        ------
        ValueError
            As in :meth:`apply_to_columns`.
        MissingPackageError
            If pandas is not installed.
        """
        return to_frame(self.apply_to_columns(documents, progress=progress))

    def apply_to_columns(
        self, documents: Iterable[Document | str], *, progress: bool = False
    ) -> dict[str, Any]:
        """Find the topics of new documents, which are cleaned as those were that the model was fitted on.

        A document without a single known term says nothing of its topics: its shares are NaN, and a warning names it.

        Parameters
        ----------
        documents
            Documents or texts; a stream is read once.
        progress
            Show a progress bar on standard error.

        Returns
        -------
        columns
            A row per document, none is dropped: ``title``, ``source``, the numbers of tokens with a known term
            (``n_known``) and with an unknown one (``n_unknown``), and the share of each topic. The shares of a
            document sum to 1.

        Raises
        ------
        ValueError
            If ``documents`` is a single text, or holds anything other than texts and Documents, or nothing at all.
        """
        sources: list[str] = []
        check_documents(documents)
        splitting = Splitting(self.bag.recipe)
        _, words = number_words(_noting_sources(documents, sources), splitting, progress=progress)
        if not words.facts:
            raise ValueError("there are no documents to apply the model to")
        for sentence in sorted(words.tally.warnings):
            warnings.warn(sentence, stacklevel=2)
        counts, terms, _ = count_over(words, self.bag.recipe, self.bag.vocabulary)
        n_terms, n_known = (np.asarray(each.sum(axis=1)).ravel() for each in (terms.counts, counts))
        shares = self.lda.transform(counts)
        shares[n_known == 0] = np.nan
        titles = [str(facts["title"]) for facts in words.facts]
        nothing = np.flatnonzero(n_known == 0)
        if len(nothing):
            names = ", ".join(titles[row] or sources[row] for row in nothing[:_N_NAMED])
            warnings.warn(
                f"{len(nothing):,} of {len(titles):,} documents have no term that the model knows, so nothing can be "
                f"said of their topics: {names}" + " …" * (len(nothing) > _N_NAMED),
                stacklevel=2,
            )
        return {
            "title": titles,
            "source": sources,
            "n_known": n_known,
            "n_unknown": n_terms - n_known,
            **share_columns(shares, self.topic_names),
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the model to a folder, either completely or not at all, and return the folder.

        An earlier model there is replaced, and what a killed saving left is removed. Vocabulary, cleaning, priors,
        labels and the titles and counts of the documents travel along; their texts do not, except for the snippets,
        if there are any.

        Raises
        ------
        ValueError
            If there is something at ``folder`` that is not a saved model.
        """
        with replaced_folder(check_model_folder(folder)) as new:
            self.lda.save(new / _LDA)
            self.bag.save(new / _BAG)
            about = {
                "format": _FORMAT,
                "version": _VERSION,
                "saved": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": _versions(),
                "topics": self.n_topics,
                "documents": self.bag.counts.shape[0],
                "terms": self.bag.counts.shape[1],
                "unit": self.unit,
                "labels": None if self.labels is None else list(self.labels),
                "parts": {name: sha256_of(new / name) for name in _PARTS},
            }
            write_atomically(new / _ABOUT, json.dumps(sealed(about), ensure_ascii=False, indent=2).encode())
        return Path(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TopicModel:
        """Load a model that :meth:`save` wrote.

        A warning says which of the packages that split texts into words have another version here.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If the folder is not a saved model, is damaged or incomplete, was put together from several models, or was
            written by a newer version.
        """
        folder = present_or_previous(folder)
        about = _read_about(folder)
        for name in _PARTS:
            part = folder / name
            if not part.is_file():
                raise ValueError(f"{folder} is not complete: {name} is missing")
            if sha256_of(part) != about["parts"].get(name):
                raise ValueError(f"{folder} is damaged: {name} is not the file that was saved with {_ABOUT}")
        labels, unit = about["labels"], about.get("unit")
        lda, bag = GibbsLDA.load(folder / _LDA), BagOfWords.load(folder / _BAG)
        found, here = about["versions"], _versions()
        other = [
            f"{name} {found[name]} (here {here.get(name, 'none')})"
            for name in _CLEANERS
            if name in found and found[name] != here.get(name)
        ]
        if other:
            warnings.warn(
                f"{folder} was made with {', '.join(other)}; texts may be split into words a little differently",
                stacklevel=2,
            )
        return cls(
            lda, bag, None if labels is None else tuple(labels), unit if unit in get_args(TextUnit) else None
        )


def check_model_folder(folder: str | os.PathLike[str]) -> Path:
    """Return ``folder`` if a model can be saved there, without writing anything; useful before a long fit.

    Raises
    ------
    ValueError
        If there is something that is not a saved model, or a folder above cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"cannot save the model to {folder}: it is a file; name a folder")
    if folder.is_dir():
        own = (_ABOUT, *_PARTS, *_OF_FILE_MANAGERS)
        held = [path.name for path in folder.iterdir()]
        if foreign := sorted(name for name in held if name not in own and not name.startswith("._")):
            more = f" and {len(foreign) - 1} more" * (len(foreign) > 1)
            advice = "move that elsewhere" if _ABOUT in held else "name a new folder"
            raise ValueError(
                f"cannot save the model to {folder}: it holds {foreign[0]}{more}, no part of a model; {advice}"
            )
        if not {_ABOUT, *_PARTS}.isdisjoint(held):
            _read_about(folder, purpose="cannot save the model there: ")
    check_folder(folder.resolve().parent, f"cannot save the model to {folder}")
    return folder


def check_outside_models(path: Path, purpose: str) -> None:
    """Refuse a path inside the folder of a saved model, which could not be saved again with anything else in it.

    Parameters
    ----------
    purpose
        How the message begins, such as ``"cannot export to results"``.

    Raises
    ------
    ValueError
        If the path is such a folder, or in one.
    """
    for folder in (path, *path.absolute().parents):
        if (folder / _LDA).is_file() and (folder / _ABOUT).is_file():
            raise ValueError(f"{purpose}: {folder} is a saved topic model; name a place outside of it")


def _read_about(folder: Path, purpose: str = "") -> Mapping[str, Any]:
    """Return what ``model.json`` says, checked as far as a later step relies on it."""
    if not folder.exists():
        # What a saving was killed over before it could give a complete model its name, or an earlier version did.
        pattern = f".{glob.escape(folder.name)}.*"
        kept = [str(path) for path in folder.parent.glob(pattern) if (path / _ABOUT).is_file()]
        hint = (
            f"; a saving that was killed left {', '.join(kept)}: give one of them that name" if kept else ""
        )
        raise FileNotFoundError(f"there is no folder {folder}{hint}")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; a saved topic model is a folder that holds {_ABOUT}")
    try:
        check_regular(folder / _ABOUT, at_most=_MOST_ABOUT)
        about = json.loads((folder / _ABOUT).read_bytes())
        version = about["version"] if about["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        version = None
    if not isinstance(version, int):
        raise ValueError(f"{purpose}{folder} is not a saved topic model: it has no {_ABOUT} that says so")
    if version > _VERSION:
        raise ValueError(
            f"{purpose}{folder} was written by a newer version of minillm-lib "
            f"({about.get('versions', {}).get('minillm-lib', 'unknown')}); this is {__version__}"
        )
    try:
        about = unsealed(about)
    except SealError as error:
        raise ValueError(f"{purpose}{folder / _ABOUT} is {error}") from None
    try:
        parts, labels, versions = about["parts"], about["labels"], about["versions"]
        are_labels = labels is None or (
            isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        )
        is_whole = isinstance(parts, dict) and isinstance(versions, dict) and are_labels
    except (KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise ValueError(f"{purpose}{folder} is damaged: {_ABOUT} is not as it was saved")
    checked: Mapping[str, Any] = about
    return checked


def _versions() -> dict[str, str]:
    versions = {name: installed_version(name) for name in (*_CLEANERS, "numpy")}
    return {"minillm-lib": __version__, **{name: own for name, own in versions.items() if own is not None}}


def _noting_sources(documents: Iterable[Document | str], sources: list[str]) -> Iterator[Document | str]:
    for document in documents:
        sources.append(document.source if isinstance(document, Document) else "")
        yield document
