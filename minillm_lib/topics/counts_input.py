"""What users give as counts, checked: arrays, sparse matrices, data frames and bags of words."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

_MAX_TOKENS = 2**31 - 1


def checked_counts(model: BaseEstimator, X: Any, *, reset: bool) -> sparse.csr_matrix:
    """Return counts as a canonical CSR matrix of float64 that shares nothing with ``X``.

    Parameters
    ----------
    model
        The estimator, whose ``n_features_in_`` and ``feature_names_in_`` are set or compared.
    X
        Counts, ``(n_documents, n_terms)``, or a bag of words.
    reset
        Whether the model is being fitted.

    Raises
    ------
    ValueError
        If a count is negative, NaN or infinite, if there are too many tokens, if a sparse matrix is broken, or if the
        terms are not those of the model.
    """
    vocabulary = None
    if is_bag(X):
        X, vocabulary = X.counts, np.asarray(X.vocabulary, dtype=object)
    if sparse.issparse(X):
        X = intact(X)
    options: dict[str, Any] = {"accept_sparse": "csr", "dtype": np.float64, "ensure_non_negative": True}
    if reset:
        X = validate_data(model, X, reset=True, **options)
        model._names_terms = vocabulary is not None
        if vocabulary is not None:
            _check_length(vocabulary, X.shape[1])
            model.feature_names_in_ = vocabulary
    elif vocabulary is None and not model._names_terms:
        X = validate_data(model, X, reset=False, **options)
    else:  # scikit-learn would warn that a plain matrix has no names
        X = check_array(X, estimator=model, **options)
        if X.shape[1] != model.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(model).__name__} is expecting {model.n_features_in_} features"
            )
        if vocabulary is not None:
            _check_vocabulary(model, vocabulary)
    counts = sparse.csr_matrix(X, copy=sparse.issparse(X))
    counts.sum_duplicates()
    counts.eliminate_zeros()
    if (total := number_of_tokens(counts)) > _MAX_TOKENS:
        raise ValueError(f"X has {total:.3g} tokens; at most {_MAX_TOKENS} can be sampled one by one")
    return counts


def number_of_tokens(counts: sparse.csr_matrix) -> int:
    """Return how many tokens counts stand for; a fraction takes one of its own."""
    return int(np.ceil(counts.data).sum())


def plain_counts(X: Any) -> sparse.csr_matrix:
    """Return counts, or those of a bag of words, as a CSR matrix.

    Raises
    ------
    ValueError
        If a sparse matrix is broken.
    """
    if is_bag(X):
        X = X.counts
    return sparse.csr_matrix(intact(X) if sparse.issparse(X) else X)


def is_bag(X: Any) -> bool:
    """Return whether this is a bag of words rather than a matrix."""
    return hasattr(X, "counts") and hasattr(X, "vocabulary") and not hasattr(X, "shape")


def intact(X: Any, name: str = "X") -> Any:
    """Return a sparse matrix whose structure is sound, so that compiled code may trust it.

    Raises
    ------
    ValueError
        If its structure is broken; ``name`` is what the message calls it.
    """
    try:
        if X.format == "lil" and list(map(len, X.rows)) != list(map(len, X.data)):
            raise ValueError("a row has not as many columns as values")
        if X.format not in ("csr", "csc", "bsr", "coo"):
            X = X.tocsr()
        if X.format in ("csr", "csc", "bsr"):
            _check_whole(indices=X.indices, indptr=X.indptr)
            X = type(X)(
                (X.data, X.indices, X.indptr), shape=X.shape
            )  # the check may change the object, not its arrays
            X.check_format(full_check=True)
        else:
            _check_whole(row=X.coords[0], col=X.coords[1])
            X = type(X)((X.data, X.coords), shape=X.shape)
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(f"{name} is a broken sparse matrix: {error}") from None
    return X


def _check_whole(**arrays: Any) -> None:
    """Check that these are whole numbers; SciPy would round others down."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.kind not in "iu":
            raise ValueError(f"{name} is of {np.asarray(array).dtype}, not of whole numbers")


def _check_length(vocabulary: Any, n_terms: int) -> None:
    if len(vocabulary) != n_terms:
        raise ValueError(f"the bag has {n_terms} columns, but its vocabulary has {len(vocabulary)} terms")


def _check_vocabulary(model: BaseEstimator, vocabulary: Any) -> None:
    _check_length(vocabulary, model.n_features_in_)
    mine = getattr(model, "feature_names_in_", None)
    if mine is not None and (different := np.flatnonzero(mine != vocabulary)).size:
        place = different[0]
        raise ValueError(
            f"the bag has another vocabulary than the model: column {place} is {vocabulary[place]!r}, not "
            f"{mine[place]!r}; count the documents with the bag that the model was fitted to: bag.encode(documents)"
        )
