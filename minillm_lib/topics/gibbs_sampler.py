"""One Markov chain of collapsed Gibbs sampling, with all of its state open to inspection."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import gammaln, psi

from minillm_lib.topics.kernels import register, tables
from minillm_lib.topics.term_tables import (
    DenseTable,
    FloatArray,
    RegisterTable,
    SparseTable,
    TermTable,
    taken_over,
)

Kernel = Literal["auto", "dense", "sparse"]
_LOOKED_UP = 256
# The fast dense kernel multiplies in float32, where a smaller product of the priors could become 0.
_SMALLEST_PRIORS = 1e-20
# Beyond these, float64 loses the priors or the counts that they are added to.
_SMALLEST_PRIOR, _LARGEST_PRIOR = 1e-100, 1e9


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

    def layout(self, n_blocks: int) -> Layout:
        """Return the :class:`Layout` for so many blocks; it is made once."""
        if n_blocks not in self._layouts:
            self._layouts[n_blocks] = Layout.of(self, n_blocks)
        return self._layouts[n_blocks]

    @cached_property
    def _layouts(self) -> dict[int, Layout]:
        return {}


@dataclass(frozen=True)
class Layout:
    """The tokens in the order in which they are sampled, which all chains share.

    Empty documents take no part. Terms are numbered by share and then by frequency, so that those of a share lie
    together, the common ones first.

    Attributes
    ----------
    documents
        Numbers of the documents that have tokens.
    starts
        Bounds of these documents, as in :class:`Tokens`.
    number, term_order
        The number of each term, and the term of each number, ``(n_terms,)``.
    frequencies
        How often the term of each number occurs, ``(n_terms,)``.
    term_ends
        The end of each share of the terms, ``(n_blocks,)``.
    terms, weights
        Number of the term, and weight, of each token, ``(n_tokens,)``.
    order
        Place of each token in :class:`Tokens`; ``None`` if they are in that order.
    bounds
        Place of each share of each document, ``(n_documents, n_blocks + 1)``.
    """

    documents: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    number: npt.NDArray[np.int32]
    term_order: npt.NDArray[np.int64]
    frequencies: npt.NDArray[np.int64]
    term_ends: npt.NDArray[np.int64]
    terms: npt.NDArray[np.int32]
    weights: FloatArray | None
    order: npt.NDArray[np.int32] | None
    bounds: npt.NDArray[np.int64]

    @classmethod
    def of(cls, tokens: Tokens, n_blocks: int) -> Layout:
        """Lay out tokens for so many shares of the documents and of the terms."""
        documents = np.flatnonzero(np.diff(tokens.starts))
        starts = np.append(tokens.starts[documents], len(tokens))
        frequencies = np.bincount(tokens.terms, minlength=tokens.n_terms)
        shares = _deal(tokens.n_terms, n_blocks)
        term_order = np.argsort(-frequencies, kind="stable")[np.argsort(shares, kind="stable")]
        number = np.empty(tokens.n_terms, dtype=np.int32)
        number[term_order] = np.arange(tokens.n_terms, dtype=np.int32)
        terms, weights, order = number[tokens.terms], tokens.weights, None
        bounds = np.stack([starts[:-1], starts[1:]], axis=1)
        if n_blocks > 1:
            order = np.empty(len(tokens), dtype=np.int32)
            bounds = np.empty((len(starts) - 1, n_blocks + 1), dtype=np.int64)
            tables.arrange(starts, terms, np.sort(shares), n_blocks, order, bounds)
            terms = terms[order]
            weights = None if weights is None else weights[order]
        term_ends = np.cumsum(np.bincount(shares, minlength=n_blocks))
        return cls(
            documents, starts, number, term_order, frequencies[term_order], term_ends, terms, weights, order, bounds
        )  # fmt: skip


@dataclass(frozen=True)
class _Block:
    """One share of the documents and one share of the terms, with a random stream."""

    documents: slice
    share: int
    terms: slice
    generator: npt.NDArray[np.uint64]


class GibbsSampler:
    """The state of one chain: the assignment of every token, and the tables that count the assignments.

    With ``n_blocks=1``, a sweep visits the tokens one after another: this is the exact sampler of Griffiths & Steyvers
    (2004). With more blocks, documents and terms are both divided into that many shares. The blocks of a diagonal have
    no document and no term in common and are sampled in parallel (Yan, Xu & Qi 2009). Only the topic totals that a
    block sees may then be out of date: they were read at the start of its diagonal. Each block has its own random
    stream, so the result depends on ``seed``, ``n_blocks`` and ``kernel``, but never on the order in which threads run.

    There is no table of documents: the tokens of a document are counted when the sweep reaches it. The memory needed is
    therefore proportional to the number of tokens, plus the table of terms.

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
    seed_terms
        Whole prior counts of terms in topics, added to ``beta``: a sparse matrix, ``(n_topics, n_terms)``, or ``None``.
    kernel
        How a topic is drawn; each way follows the same distribution. ``"dense"`` weighs all topics of each token.
        ``"sparse"`` visits only the topics of the document and of the term, so that its time hardly depends on
        ``n_topics`` (Yao, Mimno & McCallum 2009); it needs whole counts. ``"auto"`` is dense for up to 32 topics and
        for weighted tokens, and sparse otherwise: the faster one in ``benchmarks/lda.py``.

    Attributes
    ----------
    alpha, beta
        Prior weights, as given or as last updated.
    seed_terms
        Prior counts of terms in topics: a sparse matrix, ``(n_topics, n_terms)``.
    kernel
        ``"dense"`` or ``"sparse"``.
    log_likelihoods
        Joint log-likelihood in nats per token after each sweep; see :meth:`log_likelihood`.

    Raises
    ------
    ValueError
        If ``kernel`` is unknown, or is ``"sparse"`` for weighted tokens, or a prior weight is out of range.
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
        seed_terms: sparse.csr_matrix | None = None,
        kernel: Kernel = "auto",
    ) -> None:
        check_prior("alpha", alpha)
        check_prior("beta", beta)
        self.n_topics = n_topics
        self.alpha = np.asarray(alpha, dtype=np.float64)
        self.beta = float(beta)
        self.kernel = _choose(kernel, n_topics, tokens.weights is not None)
        self.log_likelihoods: list[float] = []
        self.n_terms = tokens.n_terms
        self.n_documents = tokens.n_documents
        self._total_weight = tokens.total_weight

        layout = tokens.layout(n_blocks)
        self._layout, self._documents, self._order = layout, layout.documents, layout.order
        self._terms, self._weights, self._bounds = layout.terms, layout.weights, layout.bounds
        self._diagonals = _diagonals(layout.starts, layout.term_ends, seed)
        self._lookups: dict[str, tuple[FloatArray, FloatArray]] = {}
        shape = (n_topics, tokens.n_terms)
        self.seed_terms = sparse.coo_matrix(shape if seed_terms is None else seed_terms, dtype=np.float64)
        self._topics = _first_topics(tokens, self.seed_terms, self.beta, seed)
        if self._order is not None:
            self._topics = self._topics[self._order]
        self._seed_totals = np.asarray(self.seed_terms.sum(axis=1)).ravel()
        self._table, self._topic_totals = self._counted()

    def _counted(self) -> tuple[TermTable, npt.NDArray[Any]]:
        """Count the topics of the tokens, by term and in total.

        The masses of the topics, like the table, count the seed terms; what is given to the outside does not.
        """
        table = self._new_table()
        of_tokens = np.bincount(self._topics, weights=self._weights, minlength=self.n_topics)
        return table, (of_tokens + self._seed_totals).astype(table.dtype)

    def _new_table(self) -> TermTable:
        counted, layout = (self._terms, self._topics), self._layout
        by_number = (self.seed_terms.data, (layout.number[self.seed_terms.col], self.seed_terms.row))
        seeds = sparse.coo_matrix(by_number, shape=(self.n_terms, self.n_topics))
        if self.kernel == "sparse":
            return SparseTable(*counted, layout.frequencies, seeds)
        in_float32 = self.alpha.min() * self.beta >= _SMALLEST_PRIORS
        if self.n_topics <= register.MOST_TOPICS and self._weights is None and in_float32:
            return RegisterTable(*counted, seeds)
        return DenseTable(*counted, self._weights, seeds)

    @property
    def assignments(self) -> npt.NDArray[np.int32]:
        """The topic of each token, ``(n_tokens,)``, in the order of :class:`Tokens`: ``z`` in the papers."""
        if self._order is None:
            return self._topics.copy()
        topics = np.empty_like(self._topics)
        topics[self._order] = self._topics
        return topics

    @property
    def doc_topic_matrix(self) -> sparse.csr_matrix:
        """Number of tokens of each document in each topic: a sparse matrix, ``(n_documents, n_topics)``."""
        lengths = np.zeros(self.n_documents, dtype=np.int64)
        lengths[self._documents] = self._bounds[:, -1] - self._bounds[:, 0]
        weights = np.ones(len(self._topics)) if self._weights is None else self._weights
        matrix = sparse.csr_matrix(
            (weights.copy(), self._topics.copy(), np.concatenate([[0], np.cumsum(lengths)])),
            shape=(self.n_documents, self.n_topics),
        )
        matrix.sum_duplicates()
        return matrix

    @property
    def doc_topic_counts(self) -> FloatArray:
        """Number of tokens of each document in each topic, ``(n_documents, n_topics)``."""
        return self.doc_topic_matrix.toarray()

    @property
    def topic_word_counts(self) -> FloatArray:
        """Number of tokens of each term in each topic, ``(n_topics, n_terms)``, without the prior counts."""
        counts = np.empty((self.n_terms, self.n_topics))
        counts[self._layout.term_order] = self._table.counts()
        counts[self.seed_terms.col, self.seed_terms.row] -= self.seed_terms.data
        return counts.T

    @property
    def topic_totals(self) -> FloatArray:
        """Number of tokens in each topic, ``(n_topics,)``."""
        return self._topic_totals - self._seed_totals

    @property
    def topic_masses(self) -> FloatArray:
        """Number of tokens in each topic plus the prior counts and weights of all terms, ``(n_topics,)``."""
        return self._topic_totals + self.n_terms * self.beta

    @property
    def state_bytes(self) -> int:
        """Memory of the state: assignments, terms and their order, bounds of documents, and the table of terms."""
        arrays = (self._terms, self._topics, self._order, self._weights, self._bounds, self._documents)
        return sum(array.nbytes for array in arrays if array is not None) + self._table.nbytes

    def topic_word(self) -> FloatArray:
        """Return phi, the posterior mean of each topic's distribution over terms given ``z``.

        Its shape is ``(n_topics, n_terms)``.
        """
        counts = self.topic_word_counts + self.beta
        counts[self.seed_terms.row, self.seed_terms.col] += self.seed_terms.data
        return counts / counts.sum(axis=1, keepdims=True)

    def doc_topic(self) -> FloatArray:
        """Return theta, the posterior mean of each document's distribution over topics given ``z``.

        Its shape is ``(n_documents, n_topics)``.
        """
        return theta(self.doc_topic_matrix, self.alpha)

    def sweep(self, executor: Executor | None = None) -> None:
        """Resample the topic of every token once, and record the log-likelihood.

        Parameters
        ----------
        executor
            Threads on which the blocks of a diagonal run in parallel; ``None`` runs them one after another.
        """
        run: Any = map if executor is None else executor.map
        for diagonal in self._diagonals:
            before, is_last = self._topic_totals.copy(), diagonal is self._diagonals[-1]
            value = 0.0
            totals = [before.copy() for _ in diagonal]
            for after, own in run(self._sample, diagonal, totals, [is_last] * len(diagonal)):
                self._topic_totals += after - before
                value += own
        self.log_likelihoods.append(self._complete(value))

    def _sample(
        self, block: _Block, topic_totals: npt.NDArray[Any], is_last: bool
    ) -> tuple[npt.NDArray[Any], float]:
        self._table.sweep(
            self._bounds[block.documents],
            block.share,
            topic_totals,
            self.alpha,
            self.beta,
            block.generator,
        )
        return topic_totals, self._log_rising(block) if is_last else 0.0

    def log_likelihood(self) -> float:
        """Return the joint log-likelihood of terms and assignments in nats per token.

        This is ``log p(w, z | alpha, beta)`` by equations 2 and 3 of Griffiths & Steyvers (2004), with theta and phi
        integrated out.
        """
        return self._complete(sum(map(self._log_rising, self._diagonals[-1])))

    def _log_rising(self, block: _Block) -> float:
        """Return the numerators of both equations for the documents and terms of a block of the last diagonal.

        The blocks of a diagonal have all documents and terms between them, and after the last one they are final.
        """
        counts = np.zeros((2, self.n_topics), dtype=np.int32 if self._weights is None else np.float64)
        of_documents = tables.log_rising_of_documents(
            self._bounds[block.documents],
            self._topics,
            self._weights,
            self.alpha,
            self._looked_up("alpha", self.alpha),
            counts,
        )
        lookup = self._looked_up("beta", np.array([self.beta]))[0]
        return float(of_documents) + self._table.log_rising(block.terms, self.beta, lookup)

    def _complete(self, value: float) -> float:
        """Return the log-likelihood per token, from the numerators of both equations."""
        alpha_total, beta_total = self.alpha.sum(), self.n_terms * self.beta
        lengths, n_documents = self._lengths
        value -= (n_documents * (gammaln(lengths + alpha_total) - gammaln(alpha_total))).sum()
        value -= (gammaln(self.topic_masses) - gammaln(self._seed_totals + beta_total)).sum()
        value -= (
            gammaln(self.seed_terms.data + self.beta) - gammaln(self.beta)
        ).sum()  # the table counts them as well
        return float(value / self._total_weight)

    def add_to(self, counts: FloatArray, topic_word: FloatArray) -> None:
        """Add this state to sums over states, in time proportional to the entries of the table that are not 0.

        Parameters
        ----------
        counts
            Sum of the counts of each term in each topic, with the prior counts, ``(n_terms, n_topics)``.
        topic_word
            Sum of the same counts divided by :attr:`topic_masses`, ``(n_terms, n_topics)``: of phi, except for what
            beta adds to all terms of a topic alike.
        """
        self._table.add_to(counts, self._layout.term_order, np.ones(self.n_topics))
        self._table.add_to(topic_word, self._layout.term_order, 1 / self.topic_masses)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that sweeps change, for :meth:`restore`."""
        generators = [block.generator for diagonal in self._diagonals for block in diagonal]
        return {
            "topics": self._topics,
            "topic_totals": self._topic_totals,
            "generators": np.concatenate(generators),
            "alpha": self.alpha,
            "beta": np.array(self.beta),
            "log_likelihoods": np.array(self.log_likelihoods),
            **{f"table_{number}": array for number, array in enumerate(self._table.arrays)},
        }

    def restore(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from the :meth:`state` of a sampler that was made with the same arguments.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no such state: the compiled code would trust its numbers.
        """
        topics = taken_over("topics", state["topics"], self._topics.shape, np.int32)
        if topics.min() < 0 or topics.max() >= self.n_topics:
            raise ValueError(f"a token has a topic that is not from 0 to {self.n_topics - 1}")
        self.alpha = taken_over("alpha", state["alpha"], self.alpha.shape, np.float64)
        self.beta = float(state["beta"])
        check_prior("alpha", self.alpha)
        check_prior("beta", self.beta)
        blocks = [block for diagonal in self._diagonals for block in diagonal]
        generators = taken_over("generators", state["generators"], (len(blocks),), np.uint64)
        for block, generator in zip(blocks, generators, strict=True):
            block.generator[:] = generator
        self.log_likelihoods = state["log_likelihoods"].astype(np.float64).ravel().tolist()
        self._topics[:] = topics
        self._table, totals = self._counted()
        saved = taken_over("topic_totals", state["topic_totals"], totals.shape, totals.dtype)
        if not np.allclose(saved, totals):
            raise ValueError("its totals are not those of its topics")
        self._topic_totals[:] = saved
        self._table.take_over([state[f"table_{number}"] for number in range(len(self._table.arrays))])

    def _looked_up(self, name: str, prior: FloatArray) -> FloatArray:
        """Return ``log Γ(n + prior) − log Γ(prior)`` for small integers: most counts are, so it is computed once."""
        if name not in self._lookups or not np.array_equal(self._lookups[name][0], prior):
            small = np.arange(_LOOKED_UP if self._weights is None else 0)
            values = gammaln(prior[:, None] + small) - gammaln(prior)[:, None]
            self._lookups[name] = prior.copy(), values
        return self._lookups[name][1]

    @cached_property
    def _lengths(self) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """The different lengths of documents, in tokens or their weights, and the number of documents of each."""
        lengths = self._bounds[:, -1] - self._bounds[:, 0]
        if self._weights is not None:
            lengths = np.add.reduceat(self._weights, self._bounds[:, 0])
        return np.unique(lengths.astype(np.float64), return_counts=True)

    def update_alpha(self) -> None:
        """Take one step of Minka's (2000) fixed-point iteration towards the most likely asymmetric alpha."""
        counts, total = self.doc_topic_matrix, self.alpha.sum()
        alpha = self.alpha[counts.indices]
        numerator = np.bincount(
            counts.indices, weights=psi(counts.data + alpha) - psi(alpha), minlength=self.n_topics
        )
        lengths, n_documents = self._lengths
        denominator = (n_documents * (psi(lengths + total) - psi(total))).sum()
        # A topic without tokens would get alpha = 0, from which it could never recover.
        self.alpha = np.clip(self.alpha * numerator / denominator, 1e-6, _LARGEST_PRIOR)

    def update_beta(self) -> None:
        """Take one step of Minka's (2000) fixed-point iteration towards the most likely symmetric beta."""
        used, seeded = self._table.positive_counts(), self.seed_terms.data
        numerator = (psi(used + self.beta) - psi(self.beta)).sum()
        numerator -= (psi(seeded + self.beta) - psi(self.beta)).sum()
        prior_totals = self._seed_totals + self.n_terms * self.beta
        denominator = self.n_terms * (psi(self.topic_masses) - psi(prior_totals)).sum()
        self.beta = float(np.clip(self.beta * numerator / denominator, 1e-6, _LARGEST_PRIOR))


def _first_topics(
    tokens: Tokens, seed_terms: sparse.coo_matrix, beta: float, seed: np.random.SeedSequence
) -> npt.NDArray[np.int32]:
    """Draw a topic for each token: any, or for a seeded term one in proportion to the term's prior weights.

    From anywhere else, a chain would hardly ever move a whole theme into the topic that its words are seeds of.
    """
    n_topics = seed_terms.shape[0]
    generator = np.random.default_rng(seed)
    topics = generator.integers(n_topics, size=len(tokens), dtype=np.int32)
    if seed_terms.nnz:
        by_term = np.argsort(tokens.terms, kind="stable")
        ends = np.cumsum(np.bincount(tokens.terms, minlength=tokens.n_terms))
        columns = sparse.csc_matrix(seed_terms)
        for term in np.flatnonzero(columns.getnnz(axis=0)):
            own = by_term[ends[term - 1] if term else 0 : ends[term]]
            weights = columns[:, [term]].toarray().ravel() + beta
            topics[own] = generator.choice(n_topics, size=len(own), p=weights / weights.sum())
    return topics


def _choose(kernel: str, n_topics: int, weighted: bool) -> str:
    """Return the kernel that ``"auto"`` stands for, and check the choice of a kernel."""
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel={kernel!r} is not one of {', '.join(map(repr, get_args(Kernel)))}")
    if kernel == "sparse" and weighted:
        raise ValueError("kernel='sparse' needs whole counts, but some are fractional; use 'auto' or 'dense'")
    if kernel == "auto":
        return "dense" if weighted or n_topics <= register.MOST_TOPICS else "sparse"
    return kernel


def check_prior(name: str, weights: npt.ArrayLike) -> None:
    """Refuse prior weights with which the sampler cannot compute.

    Raises
    ------
    ValueError
        If one is out of range, or not a number; ``name`` is what the message calls it.
    """
    given = np.ravel(weights)
    wrong = given[~((given >= _SMALLEST_PRIOR) & (given <= _LARGEST_PRIOR))]
    if wrong.size:
        raise ValueError(f"{name} is {wrong[0]:g}; it must be from {_SMALLEST_PRIOR:g} to {_LARGEST_PRIOR:g}")


def theta(doc_topic_matrix: sparse.csr_matrix, alpha: FloatArray) -> FloatArray:
    """Return each document's posterior mean distribution over topics, ``(n_documents, n_topics)``, from its counts."""
    counts = doc_topic_matrix.toarray() + alpha
    return counts / counts.sum(axis=1, keepdims=True)


def _diagonals(
    starts: npt.NDArray[np.int64], term_ends: npt.NDArray[np.int64], seed: np.random.SeedSequence
) -> list[list[_Block]]:
    """Return the blocks of each diagonal: no two of them share documents or terms.

    ``term_ends`` holds the end of each share of the terms, ``(n_blocks,)``.
    """
    n_blocks = len(term_ends)
    edges = np.searchsorted(documents_share(starts, n_blocks), np.arange(n_blocks + 1))
    terms = [slice(*ends) for ends in pairwise([0, *term_ends])]
    seeds = iter(seed.spawn(n_blocks**2))
    return [
        [
            _Block(
                slice(edges[share], edges[share + 1]),
                (share + shift) % n_blocks,
                terms[(share + shift) % n_blocks],
                next(seeds).generate_state(1, np.uint64).astype(np.uint64),
            )
            for share in range(n_blocks)
        ]
        for shift in range(n_blocks)
    ]


def documents_share(starts: npt.NDArray[np.int64], n_shares: int) -> npt.NDArray[np.int64]:
    """Assign each document to a share; shares are contiguous and hold about the same number of tokens each.

    Parameters
    ----------
    starts
        Bounds of the documents, ``(n_documents + 1,)``, as in :class:`Tokens`.

    Returns
    -------
    shares
        The share of each document, ``(n_documents,)``, numbered from 0.
    """
    middle = (starts[:-1] + starts[1:]) // 2
    return np.minimum(middle * n_shares // max(int(starts[-1]), 1), n_shares - 1)


def _deal(n_terms: int, n_shares: int) -> npt.NDArray[np.int64]:
    """Deal the terms, most frequent first, back and forth over the shares: ``(n_terms,)``, numbered from 0."""
    return np.resize(np.concatenate([np.arange(n_shares), np.arange(n_shares)[::-1]]), n_terms)
