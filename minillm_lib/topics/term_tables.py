"""How often each term is in each topic, in the form that suits each way of sampling."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from minillm_lib.topics.kernels import dense, register, sparse, tables

FloatArray = npt.NDArray[np.floating]


class TermTable(Protocol):
    """Counts of terms in topics, and the sweep that keeps them.

    Attributes
    ----------
    dtype
        Type of the topics' totals that :meth:`sweep` takes.
    """

    dtype: Any

    def sweep(
        self,
        bounds: npt.NDArray[np.int64],
        share: int,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        topic_totals: npt.NDArray[Any],
        alpha: FloatArray,
        beta: float,
        generator: npt.NDArray[np.uint64],
    ) -> None:
        """Resample the topics of some tokens, and update ``topics`` and ``topic_totals``; see the kernels."""

    def counts(self) -> npt.NDArray[Any]:
        """Return the counts, ``(n_terms, n_topics)``."""

    def positive_counts(self) -> npt.NDArray[Any]:
        """Return the counts above 0, in any order, as a flat array."""

    def log_rising(self, beta: float, lookup: FloatArray) -> float:
        """Return the sum of ``log Γ(n_kw + beta) − log Γ(beta)``; ``lookup`` holds it for small integers."""

    @property
    def nbytes(self) -> int:
        """Memory of the table."""


class DenseTable:
    """A table of float64, which also holds sums of weights."""

    dtype: Any = np.float64

    def __init__(
        self,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        weights: FloatArray | None,
        n_terms: int,
        n_topics: int,
    ) -> None:
        self._weights = weights
        self._counts = np.zeros((n_terms, n_topics))
        tables.count(terms, topics, weights, self._counts)

    def sweep(
        self,
        bounds: npt.NDArray[np.int64],
        share: int,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        topic_totals: npt.NDArray[Any],
        alpha: FloatArray,
        beta: float,
        generator: npt.NDArray[np.uint64],
    ) -> None:
        """Sweep as in :mod:`~minillm_lib.topics.kernels.dense`."""
        dense.sweep(
            bounds, share, terms, topics, self._weights, self._counts, topic_totals, alpha, beta, generator
        )

    def counts(self) -> npt.NDArray[Any]:
        """Return the counts, ``(n_terms, n_topics)``."""
        return self._counts

    def positive_counts(self) -> npt.NDArray[Any]:
        """Return the counts above 0."""
        return self._counts[self._counts > 0]

    def log_rising(self, beta: float, lookup: FloatArray) -> float:
        """Return the sum of ``log Γ(n_kw + beta) − log Γ(beta)``."""
        return float(tables.log_rising_of_table(self._counts, beta, lookup))

    @property
    def nbytes(self) -> int:
        """Memory of the table."""
        return self._counts.nbytes


class RegisterTable:
    """A table of int32 whose rows are vectors, padded with zeros in front."""

    dtype: Any = np.int32

    def __init__(
        self, terms: npt.NDArray[np.int32], topics: npt.NDArray[np.int32], n_terms: int, n_topics: int
    ) -> None:
        self._n_topics = n_topics
        self._lanes = register.lanes_for(n_topics)
        self._padding = self._lanes - n_topics
        self._counts = np.zeros((n_terms, self._lanes), dtype=np.int32)
        tables.count(terms, topics, None, self.counts())

    def sweep(
        self,
        bounds: npt.NDArray[np.int64],
        share: int,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        topic_totals: npt.NDArray[Any],
        alpha: FloatArray,
        beta: float,
        generator: npt.NDArray[np.uint64],
    ) -> None:
        """Sweep as in :mod:`~minillm_lib.topics.kernels.register`."""
        padded_alpha = np.zeros(self._lanes, dtype=np.float32)
        padded_alpha[self._padding :] = alpha
        padded_totals = np.zeros(self._lanes, dtype=np.int32)
        padded_totals[self._padding :] = topic_totals
        register.sweep_of(self._lanes)(
            bounds,
            share,
            terms,
            topics,
            self._counts,
            padded_totals,
            padded_alpha,
            beta,
            self._n_topics,
            generator,
        )
        topic_totals[:] = padded_totals[self._padding :]

    def counts(self) -> npt.NDArray[Any]:
        """Return the counts, ``(n_terms, n_topics)``."""
        return self._counts[:, self._padding :]

    def positive_counts(self) -> npt.NDArray[Any]:
        """Return the counts above 0."""
        return self._counts[self._counts > 0]

    def log_rising(self, beta: float, lookup: FloatArray) -> float:
        """Return the sum of ``log Γ(n_kw + beta) − log Γ(beta)``."""
        return float(tables.log_rising_of_table(self.counts(), beta, lookup))

    @property
    def nbytes(self) -> int:
        """Memory of the table."""
        return self._counts.nbytes


class SparseTable:
    """For each term, a list of the topics that it has."""

    dtype: Any = np.int32

    def __init__(
        self,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        frequencies: npt.NDArray[np.int64],
        n_topics: int,
    ) -> None:
        self._n_topics = n_topics
        self._lists = sparse.lists_of(frequencies, n_topics)
        sparse.count(terms, topics, *self._lists)

    def sweep(
        self,
        bounds: npt.NDArray[np.int64],
        share: int,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        topic_totals: npt.NDArray[Any],
        alpha: FloatArray,
        beta: float,
        generator: npt.NDArray[np.uint64],
    ) -> None:
        """Sweep as in :mod:`~minillm_lib.topics.kernels.sparse`."""
        sparse.sweep(bounds, share, terms, topics, *self._lists, topic_totals, alpha, beta, generator)

    def counts(self) -> npt.NDArray[Any]:
        """Return the counts, ``(n_terms, n_topics)``."""
        counts = np.zeros((len(self._lists[1]), self._n_topics))
        sparse.write_out(*self._lists, counts)
        return counts

    def positive_counts(self) -> npt.NDArray[Any]:
        """Return the counts above 0."""
        counts = self._lists[0].reshape(-1, 2, sparse.LANES)[:, 1]
        return counts[counts > 0]

    def log_rising(self, beta: float, lookup: FloatArray) -> float:
        """Return the sum of ``log Γ(n_kw + beta) − log Γ(beta)``."""
        return float(tables.log_rising_of_lists(self._lists[0], beta, lookup))

    @property
    def nbytes(self) -> int:
        """Memory of the lists."""
        return sum(array.nbytes for array in self._lists)
