"""N-gram models with interpolated Kneser–Ney smoothing: what can be predicted by counting neighbours alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class NGramModel:
    """The probability of a token after the ``order - 1`` tokens before it.

    The count of each n-gram is lowered by ``discount``. The probability that this frees goes to the model of the next
    lower order, which counts the different contexts in which a token occurs, not its occurrences. Below the
    unigrams is the uniform distribution, so no token has probability 0.

    Source: Kneser & Ney 1995; the interpolated form is that of Chen & Goodman 1999, section 2.7.

    Parameters
    ----------
    order
        1 for unigrams, 2 for bigrams, and so on.
    vocab_size
        Number of different tokens; ``vocab_size ** order`` must be below 2^63.
    discount
        Between 0 and 1, both excluded.

    Raises
    ------
    ValueError
        If one of these is outside its range.

    Examples
    --------
    >>> model = NGramModel(2, vocab_size=3).fit([0, 1, 2, 0, 1, 2, 0, 1, 2])
    >>> model.probabilities([1]).round(2)
    array([0.08, 0.08, 0.83])
    """

    def __init__(self, order: int, vocab_size: int, discount: float = 0.75) -> None:
        if order < 1:
            raise ValueError(f"order is {order}; it must be at least 1")
        if not 0 < discount < 1:
            raise ValueError(f"discount is {discount}; it must lie between 0 and 1")
        if vocab_size**order >= 2**63:
            raise ValueError(
                f"order={order} is too high for vocab_size={vocab_size}: n-grams do not fit in 63 bits"
            )
        self.order, self.vocab_size, self.discount = order, vocab_size, discount

    def fit(self, tokens: Sequence[int] | npt.NDArray[np.integer]) -> Self:
        """Count the n-grams of a text, ``(n_tokens,)``, and return the model.

        Raises
        ------
        ValueError
            If the text has fewer than ``order`` tokens, or a token outside the vocabulary.
        """
        tokens = self._checked(tokens)
        if len(tokens) < self.order:
            raise ValueError(f"a text of {len(tokens)} tokens has no {self.order}-gram")
        self._tables: list[_Table] = []
        grams, counts = np.unique(_codes(tokens, self.order, self.vocab_size), return_counts=True)
        for n in range(self.order, 0, -1):
            self._tables.insert(0, _Table(grams, counts, self.vocab_size))
            # An (n-1)-gram counts once for each different token that it follows.
            grams, counts = np.unique(grams % self.vocab_size ** (n - 1), return_counts=True)
        return self

    def loss(self, tokens: Sequence[int] | npt.NDArray[np.integer]) -> float:
        """Return the mean of ``-log p`` in nats, over the tokens that have ``order - 1`` others before them.

        Parameters
        ----------
        tokens
            ``(n_tokens,)``.

        Raises
        ------
        ValueError
            If the text has fewer than ``order`` tokens, or a token outside the vocabulary.
        """
        tokens = self._checked(tokens)
        if len(tokens) < self.order:
            raise ValueError(
                f"a text of {len(tokens)} tokens has no token to predict: {self.order - 1} must come before it"
            )
        return float(-np.log(self._of_grams(_codes(tokens, self.order, self.vocab_size))).mean())

    def probabilities(self, context: Sequence[int]) -> FloatArray:
        """Return the distribution of the next token, ``(vocab_size,)``.

        Parameters
        ----------
        context
            At least ``order - 1`` tokens, the last of which count.

        Raises
        ------
        ValueError
            If the context is shorter, or has a token outside the vocabulary.
        """
        if len(context) < self.order - 1:
            raise ValueError(
                f"the context has {len(context)} tokens; a {self.order}-gram model needs {self.order - 1}"
            )
        last = self._checked(context)[len(context) - self.order + 1 :]
        prefix = 0
        for token in last:
            prefix = (prefix + int(token)) * self.vocab_size
        return self._of_grams(prefix + np.arange(self.vocab_size))

    def _of_grams(self, grams: IntArray) -> FloatArray:
        """Return ``p(last token | the others)`` of n-grams of the full order, from the uniform distribution upwards."""
        probability = np.full(len(grams), 1 / self.vocab_size)
        for n, table in enumerate(self._tables, start=1):
            probability = table.interpolate(grams % self.vocab_size**n, probability, self.discount)
        return probability

    def _checked(self, tokens: Sequence[int] | npt.NDArray[np.integer]) -> IntArray:
        array = np.asarray(tokens, dtype=np.int64)
        if len(array) and not 0 <= array.min() <= array.max() < self.vocab_size:
            raise ValueError(
                f"tokens are from {array.min()} to {array.max()}; allowed are 0 to {self.vocab_size - 1}"
            )
        return array


class _Table:
    """The counts of the n-grams of one order, and of their contexts."""

    def __init__(self, grams: IntArray, counts: IntArray, vocab_size: int) -> None:
        self.vocab_size, self.grams, self.counts = vocab_size, grams, counts
        self.contexts, starts = np.unique(grams // vocab_size, return_index=True)
        self.totals = np.add.reduceat(counts, starts)
        self.n_followers = np.diff(np.append(starts, len(grams)))

    def interpolate(self, grams: IntArray, lower: FloatArray, discount: float) -> FloatArray:
        """Add to discounted relative counts the freed probability times the probabilities of the lower order."""
        counts = _looked_up(self.grams, self.counts, grams)
        totals = _looked_up(self.contexts, self.totals, grams // self.vocab_size)
        followers = _looked_up(self.contexts, self.n_followers, grams // self.vocab_size)
        own = (np.maximum(counts - discount, 0) + discount * followers * lower) / np.maximum(totals, 1)
        return np.where(totals > 0, own, lower)


def _codes(tokens: IntArray, n: int, vocab_size: int) -> IntArray:
    """Encode each sequence of ``n`` tokens as one number, with the tokens as its digits in base ``vocab_size``."""
    codes = np.zeros(len(tokens) - n + 1, dtype=np.int64)
    for offset in range(n):
        codes = codes * vocab_size + tokens[offset : offset + len(codes)]
    return codes


def _looked_up(keys: IntArray, values: IntArray, wanted: IntArray) -> IntArray:
    """Look up the value of each wanted key, 0 if it is absent; ``keys`` must be sorted."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)
