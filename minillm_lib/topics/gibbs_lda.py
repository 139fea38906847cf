"""Latent Dirichlet allocation, fitted by collapsed Gibbs sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import joblib
import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from minillm_lib.topics import evaluation, kernels
from minillm_lib.topics.gibbs_sampler import FloatArray, GibbsSampler, Tokens, documents_share

_MAX_TOKENS = 2**31 - 1


@dataclass(frozen=True)
class Chain:
    """What remains of one Markov chain: averages over its samples, and its log-likelihood sweep by sweep."""

    topic_word: FloatArray
    doc_topic: FloatArray
    topic_word_counts: FloatArray
    log_likelihoods: FloatArray
    assignments: npt.NDArray[np.int32]
    alpha: FloatArray
    beta: float


class GibbsLDA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Latent Dirichlet allocation by collapsed Gibbs sampling (Griffiths & Steyvers 2004).

    Parameters
    ----------
    n_topics : number of topics, at least 1. It may exceed the number of terms; the surplus topics then stay small.
    n_sweeps : how often the topic of every token is drawn anew.
    alpha : prior weight of each topic in a document: a number, or one a topic.
    beta : prior weight of each term in a topic.
    learn_alpha : fit an asymmetric alpha by Minka's fixed point (Minka 2000; Wallach, Mimno & McCallum 2009),
        starting from ``alpha``, one step every tenth sweep.
    learn_beta : fit beta in the same way.
    burn_in : sweeps before the first sample; half of ``n_sweeps`` if ``None``.
    thin : every how many sweeps after ``burn_in`` a sample is taken. Estimates are averages over the samples; if there
        is none, the last state stands in.
    n_chains : independent chains. Estimates are those of the chain with the highest mean log-likelihood over the
        second half of its sweeps, since the topics of different chains have no common order.
    n_transform_sweeps : sweeps over a new document in :meth:`transform`; the first half is burn-in.
    n_threads : threads; all cores if ``None``. A single chain on more than one thread is sampled in blocks (see
        :class:`~minillm_lib.topics.gibbs_sampler.GibbsSampler`); several chains run side by side, each exactly as on
        one thread.
    callback : called with each chain's :class:`~minillm_lib.topics.gibbs_sampler.GibbsSampler` after each sweep.
    random_state : seed. On one kind of processor the same seed gives the same topics bit for bit at the same
        ``n_threads``; several chains do so at any ``n_threads``.

    Attributes
    ----------
    topic_word_ : (n_topics, n_terms) each topic's distribution over terms, phi.
    doc_topic_ : (n_documents, n_topics) each training document's distribution over topics, theta.
    components_ : (n_topics, n_terms) mean count of each term in each topic, plus beta: ``topic_word_`` before it is
        normalised, as in scikit-learn.
    log_likelihoods_ : (n_sweeps,) joint log-likelihood ``log p(w, z)`` in nats per token after each sweep.
    chains_ : list of :class:`Chain`; ``best_chain_`` is the index of the one that the estimates come from.
    z_ : (n_tokens,) topic of each token in the last state, documents in order, terms by index within a document.
    alpha_, beta_ : (n_topics,) and float: the prior weights, as given or as learned.
    n_tokens_ : total weight of the tokens.
    r_hat_ : convergence over chains, see :func:`~minillm_lib.topics.evaluation.r_hat`.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    Notes
    -----
    Entries of ``X`` are counts. An entry that is not whole is a term weight (Wilson & Chew 2010): 2.3 is two tokens of
    weight 1 and one of weight 0.3.

    References
    ----------
    Blei, Ng & Jordan (2003), Latent Dirichlet allocation, JMLR 3. Griffiths & Steyvers (2004), Finding scientific
    topics, PNAS 101. Yan, Xu & Qi (2009), Parallel inference for latent Dirichlet allocation, NIPS 22.

    Examples
    --------
    >>> import numpy as np
    >>> from minillm_lib import GibbsLDA
    >>> X = np.array([[4, 3, 0, 0], [5, 2, 0, 0], [0, 0, 3, 4], [0, 0, 2, 6]])
    >>> lda = GibbsLDA(n_topics=2, random_state=0).fit(X)
    >>> bool(lda.doc_topic_[0].argmax() == lda.doc_topic_[1].argmax() != lda.doc_topic_[2].argmax())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_topics": [Interval(Integral, 1, None, closed="left")],
        "n_sweeps": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "beta": [Interval(Real, 0, None, closed="neither")],
        "learn_alpha": ["boolean"],
        "learn_beta": ["boolean"],
        "burn_in": [Interval(Integral, 0, None, closed="left"), None],
        "thin": [Interval(Integral, 1, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "n_transform_sweeps": [Interval(Integral, 1, None, closed="left")],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "callback": [callable, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_topics: int = 10,
        *,
        n_sweeps: int = 200,
        alpha: float | Sequence[float] = 0.1,
        beta: float = 0.01,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        burn_in: int | None = None,
        thin: int = 10,
        n_chains: int = 1,
        n_transform_sweeps: int = 100,
        n_threads: int | None = None,
        callback: Callable[[GibbsSampler], None] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_topics = n_topics
        self.n_sweeps = n_sweeps
        self.alpha = alpha
        self.beta = beta
        self.learn_alpha = learn_alpha
        self.learn_beta = learn_beta
        self.burn_in = burn_in
        self.thin = thin
        self.n_chains = n_chains
        self.n_transform_sweeps = n_transform_sweeps
        self.n_threads = n_threads
        self.callback = callback
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Sample topics for ``X`` (n_documents, n_terms), a dense array or any sparse matrix of counts.

        Raises
        ------
        ValueError
            for a parameter out of range; for negative, NaN or infinite counts; where ``X`` has no token at all.
            Single documents may be empty: their theta is the prior.
        """
        for _ in self.iter_sweeps(X):
            pass
        return self

    def iter_sweeps(self, X: Any) -> Iterator[list[GibbsSampler]]:
        """Fit to ``X`` and hand over the chains' samplers after each sweep, so that one can watch them.

        The estimator is fitted when the iterator is exhausted, or closed after at least one sweep.
        """
        self._validate_params()
        tokens = self._tokens(X, reset=True)
        alpha = self._prior()
        burn_in = self.n_sweeps // 2 if self.burn_in is None else self.burn_in
        if burn_in >= self.n_sweeps:
            raise ValueError(
                f"burn_in={burn_in} leaves no sweep to sample from; it must be below n_sweeps={self.n_sweeps}"
            )
        self._seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        seeds = np.random.SeedSequence(self._seed).spawn(self.n_chains)
        n_threads = self._thread_count()
        n_blocks = 1 if self.n_chains > 1 else min(n_threads, tokens.n_documents, tokens.n_terms)
        samplers = [
            GibbsSampler(tokens, self.n_topics, alpha=alpha, beta=self.beta, seed=seed, n_blocks=n_blocks)
            for seed in seeds
        ]
        averages = [_Average() for _ in samplers]
        try:
            with ThreadPoolExecutor(n_threads) if n_threads > 1 else nullcontext() as executor:
                for sweep in range(1, self.n_sweeps + 1):
                    if executor is not None and self.n_chains > 1:
                        list(executor.map(GibbsSampler.sweep, samplers))
                    else:
                        for sampler in samplers:
                            sampler.sweep(executor)
                    for sampler, average in zip(samplers, averages, strict=True):
                        if sweep % 10 == 0 and self.learn_alpha:
                            sampler.update_alpha()
                        if sweep % 10 == 0 and self.learn_beta:
                            sampler.update_beta()
                        if sweep > burn_in and (sweep - burn_in) % self.thin == 0:
                            average.add(sampler)
                        if self.callback is not None:
                            self.callback(sampler)
                    yield samplers
        finally:
            if samplers[0].log_likelihoods:
                self._keep(
                    [average.chain(sampler) for sampler, average in zip(samplers, averages, strict=True)],
                    tokens,
                )

    def transform(self, X: Any) -> FloatArray:
        """Topic shares of new documents, (n_documents, n_topics), by Gibbs sampling with the topics held fixed.

        Each document has a random stream of its own, made from the seed and its contents: its result does not depend
        on the documents beside it, nor on their order.
        """
        check_is_fitted(self)
        return self._fold_in(self._tokens(X, reset=False))

    def fit_transform(self, X: Any, y: None = None, **fit_params: Any) -> FloatArray:
        """``fit(X).transform(X)``; the training documents' own estimate, from the chain, is ``doc_topic_``."""
        return self.fit(X, y).transform(X)

    def perplexity(
        self,
        X: Any,
        *,
        method: Literal["document_completion", "left_to_right"] = "document_completion",
        n_particles: int = 20,
    ) -> float:
        """Perplexity of held-out documents, ``exp(− log p(w) / n_tokens)``; lower is better.

        ``document_completion`` draws half of each document's tokens, folds them in, and predicts the other half
        (Rosen-Zvi et al. 2004). ``left_to_right`` estimates the probability of whole documents
        (Wallach et al. 2009, algorithm 3) with ``n_particles`` particles; it takes whole counts only, and time
        quadratic in a document's length.
        """
        check_is_fitted(self)
        tokens = self._tokens(X, reset=False)
        if tokens.weights is not None and method == "left_to_right":
            raise ValueError(
                "left_to_right takes whole counts; X has fractional weights. Use document_completion"
            )
        if method == "document_completion":
            observed, hidden = evaluation.split_tokens(tokens, self._seed)
            return evaluation.completion_perplexity(self._fold_in(observed), self.topic_word_, hidden)
        if method == "left_to_right":
            return evaluation.left_to_right_perplexity(
                tokens, self.topic_word_, self.alpha_, n_particles=n_particles, seed=self._seed
            )
        raise ValueError(f"method={method!r} is not one of 'document_completion', 'left_to_right'")

    def score(self, X: Any, y: None = None) -> float:
        """Held-out log-likelihood per token in nats by document completion; higher is better."""
        return -float(np.log(self.perplexity(X)))

    def coherence(
        self,
        documents: Any,
        *,
        vocabulary: Sequence[str] | None = None,
        measure: evaluation.CoherenceMeasure = "c_npmi",
        n_terms: int = 10,
        window_size: int | None = None,
    ) -> FloatArray:
        """Coherence of each topic's ``n_terms`` most probable terms, (n_topics,); the mean is the usual figure.

        ``documents`` is a document–term matrix over the model's terms, or, with ``vocabulary``, a list of lists of
        terms in reading order. See :func:`~minillm_lib.topics.evaluation.coherence`.
        """
        check_is_fitted(self)
        n_features = self.topic_word_.shape[1]
        if vocabulary is not None and len(vocabulary) != n_features:
            raise ValueError(f"vocabulary has {len(vocabulary)} terms, the model {n_features}")
        best = np.argsort(-self.topic_word_, axis=1, kind="stable")[:, :n_terms]
        topics: list[list[Any]] = [
            [t if vocabulary is None else vocabulary[t] for t in topic] for topic in best
        ]
        terms = range(n_features) if vocabulary is None else vocabulary
        return evaluation.coherence(
            topics, documents, vocabulary=terms, measure=measure, window_size=window_size
        )

    @property
    def r_hat_(self) -> float:
        """R-hat of the log-likelihood over the chains' second halves; near 1 when they agree, needs two chains."""
        check_is_fitted(self)
        return evaluation.r_hat([chain.log_likelihoods[self.n_sweeps // 2 :] for chain in self.chains_])

    @property
    def _n_features_out(self) -> int:
        return int(self.topic_word_.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64"]
        return tags

    def _thread_count(self) -> int:
        return self.n_threads or joblib.cpu_count()

    def _prior(self) -> FloatArray:
        alpha = np.asarray(self.alpha, dtype=np.float64)
        if alpha.ndim == 0:
            return np.full(self.n_topics, alpha)
        if alpha.shape != (self.n_topics,) or not (np.isfinite(alpha).all() and (alpha > 0).all()):
            raise ValueError(
                f"alpha must be one positive number, or n_topics={self.n_topics} of them; got shape {alpha.shape}, "
                f"smallest {alpha.min(initial=np.inf)}"
            )
        return alpha

    def _tokens(self, X: Any, *, reset: bool) -> Tokens:
        X = validate_data(
            self, X, accept_sparse="csr", dtype=np.float64, reset=reset, ensure_non_negative=True
        )
        counts = sparse.csr_matrix(X, copy=sparse.issparse(X))
        counts.sum_duplicates()
        counts.eliminate_zeros()
        total = counts.sum()
        if total > _MAX_TOKENS:
            raise ValueError(f"X has {total:.3g} tokens; at most {_MAX_TOKENS} are sampled one by one")
        tokens = Tokens.from_matrix(counts)
        if reset and not len(tokens):
            raise ValueError(f"X has {X.shape[0]} documents and no token in any: all its entries are zero")
        return tokens

    def _fold_in(self, tokens: Tokens) -> FloatArray:
        mean_counts = np.zeros((tokens.n_documents, self.n_topics))
        term_topic = np.ascontiguousarray(self.topic_word_.T)
        n_threads = self._thread_count()
        edges = np.searchsorted(documents_share(tokens, n_threads), np.arange(n_threads + 1))

        def run(first: int, last: int) -> None:
            kernels.fold_in(
                tokens.starts[first : last + 1],
                tokens.terms,
                tokens.weights,
                term_topic,
                self.alpha_,
                self.n_transform_sweeps,
                self.n_transform_sweeps // 2,
                np.uint64(self._seed),
                mean_counts[first:last],
            )

        with ThreadPoolExecutor(n_threads) as executor:
            list(executor.map(run, edges[:-1], edges[1:]))
        doc_topic = mean_counts + self.alpha_
        return doc_topic / doc_topic.sum(axis=1, keepdims=True)

    def _keep(self, chains: list[Chain], tokens: Tokens) -> None:
        self.chains_ = chains
        second_half = [chain.log_likelihoods[len(chain.log_likelihoods) // 2 :].mean() for chain in chains]
        self.best_chain_ = int(np.argmax(second_half))
        best = chains[self.best_chain_]
        self.topic_word_ = best.topic_word
        self.doc_topic_ = best.doc_topic
        self.components_ = best.topic_word_counts + best.beta
        self.log_likelihoods_ = best.log_likelihoods
        self.z_ = best.assignments
        self.alpha_ = best.alpha
        self.beta_ = best.beta
        self.n_tokens_ = tokens.total_weight


class _Average:
    """Running sums over the samples of one chain."""

    def __init__(self) -> None:
        self.n_samples = 0
        self.sums: tuple[FloatArray, ...] = ()

    def add(self, sampler: GibbsSampler) -> None:
        sample = (sampler.topic_word(), sampler.doc_topic(), sampler.topic_word_counts.astype(np.float64))
        self.sums = tuple(a + b for a, b in zip(self.sums, sample, strict=True)) if self.n_samples else sample
        self.n_samples += 1

    def chain(self, sampler: GibbsSampler) -> Chain:
        if not self.n_samples:
            self.add(sampler)
        topic_word, doc_topic, counts = (s / self.n_samples for s in self.sums)
        return Chain(
            topic_word,
            doc_topic,
            counts,
            np.array(sampler.log_likelihoods),
            sampler.assignments,
            sampler.alpha,
            sampler.beta,
        )
