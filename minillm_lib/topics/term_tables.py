"""How often each term is in each topic, in the form that suits each way of sampling.

Prior counts of seed terms are in the tables from the start, as tokens that belong to no document: no sweep moves them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse as matrices

from minillm_lib.topics.kernels import dense, register, sparse, tables

FloatArray = npt.NDArray[np.floating]
_OTHER_COUNTS = "its table has other counts than its topics"


def taken_over(
    name: str, array: npt.NDArray[Any], shape: tuple[int, ...], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Return a saved array, if it has the shape and type of what it is to replace.

    Raises
    ------
    ValueError
        If it has not; ``name`` is what the message calls it.
    """
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} is {array.shape} of {array.dtype}, not {shape} of {np.dtype(dtype)}")
    return array


class TermTable(ABC):
    """Counts of terms in topics, and the sweep that keeps them.

    Parameters
    ----------
    terms, topics
        Term and topic of each token, ``(n_tokens,)``; :meth:`sweep` writes to ``topics``.
    seeds
        Prior counts of terms in topics, ``(n_terms, n_topics)``; they give the table its shape, and may be all 0.

    Attributes
    ----------
    dtype
        Type of the topics' totals that :meth:`sweep` takes.
    """

    dtype: ClassVar[Any] = np.int32

    def __init__(self, terms: npt.NDArray[np.int32], topics: npt.NDArray[np.int32]) -> None:
        self._terms, self._topics = terms, topics

    @abstractmethod
    def sweep(
        self,
        bounds: npt.NDArray[np.int64],
        share: int,
        topic_totals: npt.NDArray[Any],
        alpha: FloatArray,
        beta: float,
        generator: npt.NDArray[np.uint64],
    ) -> None:
        """Resample the topics of some tokens, and update ``topic_totals``; see :mod:`minillm_lib.topics.kernels`."""

    @abstractmethod
    def counts(self) -> npt.NDArray[Any]:
        """Return the counts, ``(n_terms, n_topics)``."""

    @abstractmethod
    def positive_counts(self) -> npt.NDArray[Any]:
        """Return the counts above 0, in any order, as a flat array."""

    @abstractmethod
    def add_to(self, sums: FloatArray, rows: npt.NDArray[np.int64], factors: FloatArray) -> None:
        """Add the counts times the topics' ``factors`` to ``sums[rows]``, where ``sums`` is (n_terms, n_topics)."""

    @abstractmethod
    def log_rising(self, terms: slice, beta: float, lookup: FloatArray) -> float:
        """Return the sum of ``log Γ(n_kw + beta) − log Γ(beta)`` over a range of terms.

        ``lookup`` holds the summand for small integers.
        """

    @property
    @abstractmethod
    def arrays(self) -> list[npt.NDArray[Any]]:
        """What sweeps change, except for ``topics``: to be saved, and overwritten to go on from a saved state."""

    @abstractmethod
    def take_over(self, saved: Sequence[npt.NDArray[Any]]) -> None:
        """Overwrite :attr:`arrays` with those of a table that has the same counts.

        Raises
        ------
        ValueError
            If it has others.
        """

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Memory of the table."""


class _RowTable(TermTable):
    """A table with a row for each term; behind some padding, a row is the term's counts."""

    def __init__(
        self,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        weights: FloatArray | None,
        rows: npt.NDArray[Any],
        padding: int,
        seeds: matrices.coo_matrix,
    ) -> None:
        super().__init__(terms, topics)
        self._rows, self._padding = rows, padding
        tables.count(terms, topics, weights, self.counts())
        self.counts()[seeds.row, seeds.col] += seeds.data.astype(rows.dtype)

    def counts(self) -> npt.NDArray[Any]:
        return self._rows[:, self._padding :]

    def positive_counts(self) -> npt.NDArray[Any]:
        return self._rows[self._rows > 0]

    def add_to(self, sums: FloatArray, rows: npt.NDArray[np.int64], factors: FloatArray) -> None:
        tables.add_table(self.counts(), rows, factors, sums)

    def log_rising(self, terms: slice, beta: float, lookup: FloatArray) -> float:
        return float(tables.log_rising_of_table(self.counts()[terms], beta, lookup))

    @property
    def arrays(self) -> list[npt.NDArray[Any]]:
        return [self._rows]

    def take_over(self, saved: Sequence[npt.NDArray[Any]]) -> None:
        """Overwrite the counts: sums of weights may differ in rounding."""
        rows = taken_over("the table", saved[0], self._rows.shape, self._rows.dtype)
        if not np.allclose(rows, self._rows, rtol=1e-6, atol=1e-6):
            raise ValueError(_OTHER_COUNTS)
        self._rows[:] = rows

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes


class DenseTable(_RowTable):
    """A table of float64, which also holds sums of weights."""

    dtype = np.float64

    def __init__(
        self,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        weights: FloatArray | None,
        seeds: matrices.coo_matrix,
    ) -> None:
        self._weights = weights
        super().__init__(terms, topics, weights, np.zeros(seeds.shape), 0, seeds)

    def sweep(
        self,
        bounds: npt.NDArray[np.int64],
        share: int,
        topic_totals: npt.NDArray[Any],
        alpha: FloatArray,
        beta: float,
        generator: npt.NDArray[np.uint64],
    ) -> None:
        """Sweep as in :mod:`~minillm_lib.topics.kernels.dense`."""
        dense.sweep(
            bounds, share, self._terms, self._topics, self._weights, self._rows, topic_totals, alpha, beta, generator
        )  # fmt: skip


class RegisterTable(_RowTable):
    """A table of int32 whose rows are vectors, padded with zeros in front."""

    def __init__(
        self, terms: npt.NDArray[np.int32], topics: npt.NDArray[np.int32], seeds: matrices.coo_matrix
    ) -> None:
        n_terms, self._n_topics = seeds.shape
        self._lanes = register.lanes_for(self._n_topics)
        rows = np.zeros((n_terms, self._lanes), dtype=np.int32)
        super().__init__(terms, topics, None, rows, self._lanes - self._n_topics, seeds)

    def sweep(
        self,
        bounds: npt.NDArray[np.int64],
        share: int,
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
            bounds, share, self._terms, self._topics, self._rows, padded_totals, padded_alpha, beta,
            self._n_topics, generator,
        )  # fmt: skip
        topic_totals[:] = padded_totals[self._padding :]


class SparseTable(TermTable):
    """For each term, a list of the topics that it has."""

    def __init__(
        self,
        terms: npt.NDArray[np.int32],
        topics: npt.NDArray[np.int32],
        frequencies: npt.NDArray[np.int64],
        seeds: matrices.coo_matrix,
    ) -> None:
        super().__init__(terms, topics)
        n_terms, self._n_topics = seeds.shape
        longest = frequencies + np.bincount(seeds.row, minlength=n_terms)
        self._lists = sparse.lists_of(longest, self._n_topics)
        sparse.count(terms, topics, *self._lists)
        seeded = (values.astype(np.int32) for values in (seeds.row, seeds.col, seeds.data))
        sparse.count_more(*seeded, *self._lists)

    def sweep(
        self,
        bounds: npt.NDArray[np.int64],
        share: int,
        topic_totals: npt.NDArray[Any],
        alpha: FloatArray,
        beta: float,
        generator: npt.NDArray[np.uint64],
    ) -> None:
        """Sweep as in :mod:`~minillm_lib.topics.kernels.sparse`."""
        sparse.sweep(
            bounds, share, self._terms, self._topics, *self._lists, topic_totals, alpha, beta, generator
        )

    def counts(self) -> npt.NDArray[Any]:
        """Return the counts, ``(n_terms, n_topics)``."""
        n_terms = len(self._lists[1])
        counts = np.zeros((n_terms, self._n_topics))
        self.add_to(counts, np.arange(n_terms), np.ones(self._n_topics))
        return counts

    def positive_counts(self) -> npt.NDArray[Any]:
        """Return the counts above 0."""
        counts = self._lists[0].reshape(-1, 2, sparse.LANES)[:, 1]
        return counts[counts > 0]

    def add_to(self, sums: FloatArray, rows: npt.NDArray[np.int64], factors: FloatArray) -> None:
        """Add the counts times the topics' ``factors`` to ``sums[rows]``."""
        sparse.add_lists(*self._lists, rows, factors, sums)

    def log_rising(self, terms: slice, beta: float, lookup: FloatArray) -> float:
        """Return the sum of ``log Γ(n_kw + beta) − log Γ(beta)`` over a range of terms."""
        entries, firsts, _ = self._lists
        first, last = (firsts[at] if at < len(firsts) else len(entries) for at in (terms.start, terms.stop))
        return float(tables.log_rising_of_lists(entries[first:last], beta, lookup))

    @property
    def arrays(self) -> list[npt.NDArray[Any]]:
        """The entries, whose order within a list the draws depend on, and the lengths of the lists."""
        entries, _, lengths = self._lists
        return [entries, lengths]

    def take_over(self, saved: Sequence[npt.NDArray[Any]]) -> None:
        """Overwrite the lists; their topics may be in another order."""
        entries, lengths = (
            taken_over("the table", array, own.shape, np.int32)
            for array, own in zip(saved, self.arrays, strict=True)
        )
        is_same = np.array_equal(lengths, self._lists[2]) and all(
            map(np.array_equal, self._in_order(entries), self._in_order(self._lists[0]))
        )
        if not is_same:
            raise ValueError(_OTHER_COUNTS)
        self._lists[0][:] = entries

    def _in_order(
        self, entries: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return all topics and counts of lists as long as these, by term and topic, and then those not in use."""
        _, firsts, lengths = self._lists
        topics, counts = (entries.reshape(-1, 2, sparse.LANES)[:, part].ravel() for part in (0, 1))
        terms = np.repeat(np.arange(len(firsts)), lengths)
        places = np.arange(len(terms)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + firsts[terms] // 2
        in_order = places[np.lexsort((topics[places], terms))]
        order = np.append(in_order, np.setdiff1d(np.arange(len(topics)), places))
        return topics[order], counts[order]

    @property
    def nbytes(self) -> int:
        """Memory of the lists."""
        return sum(array.nbytes for array in self._lists)
