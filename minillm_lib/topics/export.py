"""The results of a topic model for other programs: tables, JSON, Matrix Market, LDA-C, gensim, scikit-learn."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from scipy.io import mmwrite

from minillm_lib.io.atomic_write import check_folder, write_atomically
from minillm_lib.io.optional import needed
from minillm_lib.io.tables import TableFormat, save_table, write_text
from minillm_lib.io.terminal import printable
from minillm_lib.topics.topic_model import check_outside_models
from minillm_lib.topics.topic_tables import (
    document_columns,
    document_topic_columns,
    term_topic_columns,
    topic_term_columns,
)

if TYPE_CHECKING:
    from sklearn.decomposition import LatentDirichletAllocation
    from sklearn.feature_extraction.text import CountVectorizer

    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.topic_model import TopicModel

N_TERMS = 50
"""Number of terms per topic in the table of topics and terms."""

EXPORTED = {
    "document_topics": "a row per document: what is known of it, its tokens, and the share of each topic",
    "topic_terms": f"the {N_TERMS} most relevant terms of each topic, a row per topic and term",
    "term_topics": "a row per term: its count, and its probability in each topic",
    "documents": "a row per document, in the order of the matrix",
    "topics.json": "the topics with label, share, stability, terms and typical documents",
    "document_term.mtx": "how often each document says each term, in Matrix Market, also for gensim's MmCorpus",
    "vocabulary.txt": "the terms, one per line, in the order of the matrix",
    "documents.ldac": "the same counts in the format of LDA-C, with vocabulary.txt",
    "dictionary.txt": "the terms for gensim's Dictionary.load_from_text",
}
"""What :func:`export_model` writes; a name without an ending gets that of the format of tables."""


def check_export_folder(folder: str | os.PathLike[str], table_format: TableFormat = "csv") -> Path:
    """Return ``folder`` if files can be written there, without writing anything; useful before a long fit.

    Raises
    ------
    ValueError
        If the format is unknown, or the folder is a file, cannot be written to, or is that of a saved model.
    MissingPackageError
        For Parquet, if pyarrow is not installed.
    """
    folder = Path(folder)
    if table_format not in get_args(TableFormat):
        raise ValueError(f"the format of tables is {table_format!r}; allowed are 'csv' and 'parquet'")
    if table_format == "parquet":
        needed("pyarrow", "files", "to write Parquet")
    check_folder(folder, f"cannot export to {folder}")
    check_outside_models(folder, f"cannot export to {folder}")
    return folder


def export_model(
    model: TopicModel, folder: str | os.PathLike[str], *, table_format: TableFormat = "csv"
) -> list[Path]:
    """Write the results of a model as the files of :data:`EXPORTED`, and return their paths.

    All are UTF-8. CSV has a byte order mark, for Excel, and a text that a spreadsheet would take for a formula has an
    apostrophe in front (see :func:`~minillm_lib.io.tables.safe_cell`).

    Parameters
    ----------
    folder
        Created if it is missing; files of the same names are replaced.
    table_format
        ``"csv"`` or ``"parquet"``.

    Raises
    ------
    ValueError, MissingPackageError
        As in :func:`check_export_folder`.
    """
    folder = check_export_folder(folder, table_format)
    lda, bag, labels = model.lda, model.bag, model.topic_names
    tables = {
        "document_topics": document_topic_columns(lda, bag, labels),
        "topic_terms": topic_term_columns(lda, bag, labels, N_TERMS, 0.6),
        "term_topics": term_topic_columns(lda, bag, labels),
        "documents": document_columns(bag.meta),
    }
    written = [
        save_table(columns, folder / f"{name}.{table_format}", table_format)
        for name, columns in tables.items()
    ]
    topics = json.dumps(model.topics(), ensure_ascii=False, indent=2)
    written.append(write_text(folder / "topics.json", f"{topics}\n"))
    return [*written, *export_counts(bag, folder)]


def export_counts(bag: BagOfWords, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the document–term matrix for other programs, and return the paths: Matrix Market, LDA-C, and gensim.

    LDA-C counts a document as ``M term:count …``, where M is the number of its different terms and terms are numbered
    from 0; Matrix Market numbers rows and columns from 1.
    """
    folder = Path(folder)
    matrix = io.BytesIO()
    mmwrite(matrix, bag.counts, symmetry="general")
    # gensim accepts no header that says "integer", whatever the numbers are
    write_atomically(folder / "document_term.mtx", matrix.getvalue().replace(b"integer", b"real", 1))
    terms = [printable(term) for term in bag.vocabulary]
    return [
        folder / "document_term.mtx",
        write_text(folder / "vocabulary.txt", "".join(f"{term}\n" for term in terms)),
        write_text(folder / "documents.ldac", "".join(f"{line}\n" for line in _lda_c_lines(bag))),
        write_text(folder / "dictionary.txt", _gensim_dictionary(bag, terms)),
    ]


def _lda_c_lines(bag: BagOfWords) -> Iterator[str]:
    for corpus_row in to_gensim(bag)[0]:
        yield " ".join([str(len(corpus_row)), *(f"{term}:{count}" for term, count in corpus_row)])


def _gensim_dictionary(bag: BagOfWords, terms: list[str]) -> str:
    n_documents = bag.counts.getnnz(axis=0)
    rows = (f"{index}\t{term}\t{n_documents[index]}\n" for index, term in enumerate(terms))
    return f"{bag.counts.shape[0]}\n" + "".join(rows)


def to_gensim(bag: BagOfWords) -> tuple[list[list[tuple[int, int]]], dict[int, str]]:
    """Return the counts as gensim's models take them.

    Returns
    -------
    corpus
        For each document, the pairs of a term's number and its count.
    id2word
        The term of each number.
    """
    counts = bag.counts
    edges = zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    corpus = [
        list(zip(counts.indices[start:end].tolist(), counts.data[start:end].tolist(), strict=True))
        for start, end in edges
    ]
    return corpus, dict(enumerate(bag.vocabulary.tolist()))


def to_sklearn(model: TopicModel) -> tuple[LatentDirichletAllocation, CountVectorizer]:
    """Return the topics as scikit-learn's own model and vectorizer, for tools that take these two.

    The vectorizer cleans texts as the bag of words was cleaned, and counts over its vocabulary. The model's
    ``transform`` holds the topics fixed, and infers their shares by variational Bayes, so they differ a little from
    those of :meth:`TopicModel.apply`; an alpha that differs between topics becomes its mean, as scikit-learn has only
    one.

    Examples
    --------
    ``pyLDAvis.lda_model.prepare(lda, model.bag.counts, vectorizer)``
    """
    from sklearn.decomposition import LatentDirichletAllocation
    from sklearn.feature_extraction.text import CountVectorizer

    ours, bag = model.lda, model.bag
    vectorizer = CountVectorizer(analyzer=bag.recipe.terms, vocabulary=bag.vocabulary.tolist())
    lda = LatentDirichletAllocation(
        n_components=model.n_topics,
        doc_topic_prior=float(np.mean(ours.alpha_)),
        topic_word_prior=float(ours.beta_),
        random_state=0,
    )
    lda.components_ = np.array(ours.components_)
    lda.exp_dirichlet_component_ = np.array(ours.topic_word_)
    lda.doc_topic_prior_, lda.topic_word_prior_ = lda.doc_topic_prior, lda.topic_word_prior
    lda.n_features_in_ = bag.counts.shape[1]
    lda.n_iter_ = lda.n_batch_iter_ = len(ours.log_likelihoods_)
    lda.random_state_ = np.random.RandomState(0)
    return lda, vectorizer
