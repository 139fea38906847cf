"""One Markov chain of collapsed Gibbs sampling, with all of its state open to inspection."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import gammaln, psi

from minillm_lib.topics import kernels

FloatArray = npt.NDArray[np.floating]
# float32 represents every integer exactly up to this bound; larger corpora are counted in float64.
_EXACT_IN_FLOAT32 = 2**24
_LOOKED_UP = 256


@dataclass(frozen=True)
class Tokens:
    """A document–term matrix written out token by token, in the order of its rows.

    Attributes
    ----------
    terms
        Column of each token in the matrix, ``(n_tokens,)``.
    starts
        Bounds of the documents, ``(n_documents + 1,)``: document *d* holds the tokens ``starts[d]:starts[d + 1]``.
    weights
        Weight of each token, ``(n_tokens,)``, or ``None`` if every token weighs 1.
    n_terms
        Number of columns of the matrix.
    """

    terms: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64] | None
    n_terms: int

    @classmethod
    def from_matrix(cls, counts: sparse.csr_matrix) -> Tokens:
        """Write out a CSR matrix with sorted, unique indices and finite entries of at least 0.

        An entry of 3 becomes three tokens. An entry of 2.3 becomes two tokens of weight 1 and one of weight 0.3
        (term weighting as in Wilson & Chew 2010).
        """
        whole = np.floor(counts.data).astype(np.int64)
        rest = counts.data - whole
        repeats = whole + (rest > 0)
        terms = np.repeat(counts.indices.astype(np.int32), repeats)
        ends = np.concatenate([[0], np.cumsum(repeats)])
        weights = None
        if rest.any():
            weights = np.ones(len(terms))
            weights[ends[1:][rest > 0] - 1] = rest[rest > 0]
        return cls(terms, ends[counts.indptr].astype(np.int64), weights, counts.shape[1])

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def n_documents(self) -> int:
        """The number of documents, including empty ones."""
        return len(self.starts) - 1

    @property
    def documents(self) -> npt.NDArray[np.int64]:
        """The document of each token, ``(n_tokens,)``."""
        return np.repeat(np.arange(self.n_documents), np.diff(self.starts))

    @property
    def total_weight(self) -> float:
        """The sum of the tokens' weights."""
        return float(len(self) if self.weights is None else self.weights.sum())


@dataclass(frozen=True)
class _Block:
    """The tokens of one share of the documents and one share of the terms, in the sampler's order."""

    tokens: slice
    segment_documents: npt.NDArray[np.int64]
    segment_starts: npt.NDArray[np.int64]
    generator: npt.NDArray[np.uint64]


class GibbsSampler:
    """The state of one chain: the assignment of every token, and the three tables that count the assignments.

    With ``n_blocks=1``, a sweep visits the tokens one after another: this is the exact sampler of Griffiths & Steyvers
    (2004). With more blocks, documents and terms are both divided into that many shares. The blocks of a diagonal have
    no row of either table in common and are sampled in parallel (Yan, Xu & Qi 2009). Only the topic totals that a
    block sees may then be out of date: they were read at the start of its diagonal. Each block has its own random
    stream, so the result depends on ``seed`` and ``n_blocks``, but never on the order in which threads run.

    Parameters
    ----------
    alpha
        Prior weight of each topic in a document, ``(n_topics,)``.
    beta
        Prior weight of each term in a topic.
    seed
        Source of the first assignments and of the blocks' random streams.
    n_blocks
        Number of shares of the documents, and of the terms.

    Attributes
    ----------
    alpha, beta
        Prior weights, as given or as last updated.
    log_likelihoods
        Joint log-likelihood in nats per token after each sweep; see :meth:`log_likelihood`.
    """

    def __init__(
        self,
        tokens: Tokens,
        n_topics: int,
        *,
        alpha: FloatArray,
        beta: float,
        seed: np.random.SeedSequence,
        n_blocks: int = 1,
    ) -> None:
        self.n_topics = n_topics
        self.alpha = np.asarray(alpha, dtype=np.float64)
        self.beta = float(beta)
        self.log_likelihoods: list[float] = []
        self.n_terms = tokens.n_terms
        self._order, self._diagonals = _lay_out(tokens, n_blocks, seed)
        self._terms = tokens.terms[self._order]
        self._weights = None if tokens.weights is None else tokens.weights[self._order]
        self._total_weight = tokens.total_weight

        first_topics = np.random.default_rng(seed).integers(n_topics, size=len(tokens), dtype=np.int32)
        self._topics = first_topics[self._order]

        whole = tokens.weights is None and len(tokens) < _EXACT_IN_FLOAT32
        self._dtype = np.dtype(np.float32 if whole else np.float64)
        width = kernels.padded_width(n_topics)
        self._doc_topic = np.zeros((tokens.n_documents, width), dtype=self._dtype)
        self._term_topic = np.zeros((tokens.n_terms, width), dtype=self._dtype)
        self._topic_totals = np.zeros(width)
        for block in self._blocks():
            kernels.count(
                *self._of_block(block),
                self._topics[block.tokens],
                self._doc_topic,
                self._term_topic,
                self._topic_totals,
            )

    @property
    def doc_topic_counts(self) -> FloatArray:
        """Number of tokens of each document in each topic, ``(n_documents, n_topics)``."""
        return self._doc_topic[:, : self.n_topics]

    @property
    def topic_word_counts(self) -> FloatArray:
        """Number of tokens of each term in each topic, ``(n_topics, n_terms)``."""
        return self._term_topic[:, : self.n_topics].T

    @property
    def topic_totals(self) -> FloatArray:
        """Number of tokens in each topic, ``(n_topics,)``."""
        return self._topic_totals[: self.n_topics]

    @property
    def assignments(self) -> npt.NDArray[np.int32]:
        """The topic of each token, ``(n_tokens,)``, in the order of :class:`Tokens`: ``z`` in the papers."""
        topics = np.empty_like(self._topics)
        topics[self._order] = self._topics
        return topics

    def topic_word(self) -> FloatArray:
        """Return phi, the posterior mean of each topic's distribution over terms given ``z``.

        Its shape is ``(n_topics, n_terms)``.
        """
        counts = self.topic_word_counts.astype(np.float64) + self.beta
        return counts / counts.sum(axis=1, keepdims=True)

    def doc_topic(self) -> FloatArray:
        """Return theta, the posterior mean of each document's distribution over topics given ``z``.

        Its shape is ``(n_documents, n_topics)``.
        """
        counts = self.doc_topic_counts + self.alpha
        return counts / counts.sum(axis=1, keepdims=True)

    def sweep(self, executor: Executor | None = None) -> None:
        """Resample the topic of every token once, and record the log-likelihood.

        Parameters
        ----------
        executor
            Threads on which the blocks of a diagonal run in parallel; ``None`` runs them one after another.
        """
        width = kernels.padded_width(self.n_topics)
        alpha = np.zeros(width, dtype=self._dtype)
        alpha[: self.n_topics] = self.alpha
        run: Any = map if executor is None else executor.map
        for diagonal in self._diagonals:
            before = self._topic_totals.copy()
            for after in run(
                self._sample, diagonal, [before.copy() for _ in diagonal], [alpha] * len(diagonal)
            ):
                self._topic_totals += after - before
        self.log_likelihoods.append(self.log_likelihood())

    def log_likelihood(self) -> float:
        """Return the joint log-likelihood of terms and assignments in nats per token.

        This is ``log p(w, z | alpha, beta)`` by equations 2 and 3 of Griffiths & Steyvers (2004), with theta and phi
        integrated out.
        """
        lengths = self.doc_topic_counts.sum(axis=1, dtype=np.float64)
        value = self._log_rising(self._doc_topic, self.alpha)
        value -= (gammaln(lengths + self.alpha.sum()) - gammaln(self.alpha.sum())).sum()
        value += self._log_rising(self._term_topic, np.full(self.n_topics, self.beta))
        value -= (
            gammaln(self.topic_totals + self.n_terms * self.beta) - gammaln(self.n_terms * self.beta)
        ).sum()
        return float(value / self._total_weight)

    def _log_rising(self, table: FloatArray, prior: FloatArray) -> float:
        # Most counts are small integers, so their values are looked up and not computed each time.
        small = np.arange(_LOOKED_UP if self._weights is None else 0)
        lookup = gammaln(prior[:, None] + small) - gammaln(prior)[:, None]
        return float(kernels.log_rising(table, prior, lookup, self.n_topics))

    def update_alpha(self) -> None:
        """Take one step of Minka's (2000) fixed-point iteration towards the most likely asymmetric alpha."""
        lengths = self.doc_topic_counts.sum(axis=1, dtype=np.float64)
        numerator = (psi(self.doc_topic_counts + self.alpha) - psi(self.alpha)).sum(axis=0)
        denominator = (psi(lengths + self.alpha.sum()) - psi(self.alpha.sum())).sum()
        # A topic without tokens would get alpha = 0, from which it could never recover.
        self.alpha = np.maximum(self.alpha * numerator / denominator, 1e-6)

    def update_beta(self) -> None:
        """Take one step of Minka's (2000) fixed-point iteration towards the most likely symmetric beta."""
        used = self._term_topic[:, : self.n_topics]
        numerator = (psi(used[used > 0] + self.beta) - psi(self.beta)).sum()
        prior_total = self.n_terms * self.beta
        denominator = self.n_terms * (psi(self.topic_totals + prior_total) - psi(prior_total)).sum()
        self.beta = max(float(self.beta * numerator / denominator), 1e-6)

    def _blocks(self) -> Iterator[_Block]:
        for diagonal in self._diagonals:
            yield from diagonal

    def _sample(self, block: _Block, topic_totals: FloatArray, alpha: FloatArray) -> FloatArray:
        kernels.sweep(
            *self._of_block(block),
            self._topics[block.tokens],
            self._doc_topic,
            self._term_topic,
            topic_totals,
            alpha,
            self.beta,
            self.n_topics,
            block.generator,
        )
        return topic_totals

    def _of_block(self, block: _Block) -> tuple[Any, ...]:
        weights = None if self._weights is None else self._weights[block.tokens]
        return block.segment_documents, block.segment_starts, self._terms[block.tokens], weights


def _lay_out(
    tokens: Tokens, n_blocks: int, seed: np.random.SeedSequence
) -> tuple[npt.NDArray[np.int64], list[list[_Block]]]:
    """Divide documents and terms into ``n_blocks`` shares of similar size.

    Return the order of the tokens, and the blocks of each diagonal.
    """
    documents = tokens.documents
    doc_share = documents_share(tokens, n_blocks)[documents]
    term_share = _deal_terms(tokens, n_blocks)[tokens.terms]
    diagonal = (term_share - doc_share) % n_blocks
    key = diagonal * n_blocks + doc_share
    # The sort is stable: within a block, documents stay in order, and so do the tokens of a document.
    order = np.argsort(key, kind="stable")
    edges = np.searchsorted(key[order], np.arange(n_blocks**2 + 1))
    blocks = []
    for first, last, block_seed in zip(edges[:-1], edges[1:], seed.spawn(n_blocks**2), strict=True):
        in_block = documents[order[first:last]]
        changes = np.flatnonzero(np.diff(in_block, prepend=-1))
        blocks.append(
            _Block(
                slice(first, last),
                in_block[changes],
                np.append(changes, last - first),
                block_seed.generate_state(1, np.uint64).astype(np.uint64),
            )
        )
    return order, [blocks[i : i + n_blocks] for i in range(0, len(blocks), n_blocks)]


def documents_share(tokens: Tokens, n_shares: int) -> npt.NDArray[np.int64]:
    """Assign each document to a share; shares are contiguous and hold about the same number of tokens each.

    Returns
    -------
    shares
        The share of each document, ``(n_documents,)``, numbered from 0.
    """
    middle = (tokens.starts[:-1] + tokens.starts[1:]) // 2
    return np.minimum(middle * n_shares // max(len(tokens), 1), n_shares - 1)


def _deal_terms(tokens: Tokens, n_shares: int) -> npt.NDArray[np.int64]:
    """Deal the terms, most frequent first, back and forth over the shares.

    Return the share of each term, ``(n_terms,)``, numbered from 0.
    """
    by_frequency = np.argsort(-np.bincount(tokens.terms, minlength=tokens.n_terms), kind="stable")
    there_and_back = np.concatenate([np.arange(n_shares), np.arange(n_shares)[::-1]])
    share = np.empty(tokens.n_terms, dtype=np.int64)
    share[by_frequency] = np.resize(there_and_back, tokens.n_terms)
    return share
