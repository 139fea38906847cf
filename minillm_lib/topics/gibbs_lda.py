"""Latent Dirichlet allocation, fitted by collapsed Gibbs sampling."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self, get_args

import joblib
import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.topics import evaluation
from minillm_lib.topics.gibbs_sampler import FloatArray, GibbsSampler, Kernel, Tokens, documents_share, theta
from minillm_lib.topics.kernels import folding

_MAX_TOKENS = 2**31 - 1


@dataclass(frozen=True)
class Chain:
    """The result of one Markov chain: averages over its samples, and its log-likelihood after each sweep.

    Attributes
    ----------
    topic_word
        Mean of phi, ``(n_topics, n_terms)``.
    doc_topic_matrix
        Mean count of each topic in each document: a sparse matrix, ``(n_documents, n_topics)``.
    topic_word_counts
        Mean count of each term in each topic, ``(n_topics, n_terms)``.
    log_likelihoods
        Joint log-likelihood in nats per token after each sweep, ``(n_sweeps,)``.
    assignments
        Topic of each token in the last state, ``(n_tokens,)``.
    alpha, beta
        Prior weights in the last state; ``alpha`` is ``(n_topics,)``.
    """

    topic_word: FloatArray
    doc_topic_matrix: sparse.csr_matrix
    topic_word_counts: FloatArray
    log_likelihoods: FloatArray
    assignments: npt.NDArray[np.int32]
    alpha: FloatArray
    beta: float

    @cached_property
    def doc_topic(self) -> FloatArray:
        """Theta, ``(n_documents, n_topics)``, from the mean counts; computed when it is first needed."""
        return theta(self.doc_topic_matrix, self.alpha)


class GibbsLDA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Latent Dirichlet allocation by collapsed Gibbs sampling (Griffiths & Steyvers 2004).

    Parameters
    ----------
    n_topics
        Number of topics, at least 1. It may exceed the number of terms; the surplus topics then stay small.
    n_sweeps
        Number of times that the topic of every token is resampled.
    alpha
        Prior weight of each topic in a document: one number, or one per topic.
    beta
        Prior weight of each term in a topic.
    learn_alpha
        Fit an asymmetric alpha by Minka's fixed-point iteration (Minka 2000; Wallach, Mimno & McCallum 2009), starting
        from ``alpha``, with one step every tenth sweep.
    learn_beta
        Fit beta in the same way.
    burn_in
        Number of sweeps before the first sample; half of ``n_sweeps`` if ``None``.
    thin
        Number of sweeps from one sample to the next after ``burn_in``. Estimates are averages over the samples; if
        there are none, the last state is used.
    n_chains
        Number of independent chains. Estimates come from the chain with the highest mean log-likelihood over the
        second half of its sweeps, since the topics of different chains have no common order.
    n_transform_sweeps
        Number of sweeps over a new document in :meth:`transform`; the first tenth is burn-in. Since each token adds
        the probabilities of all topics and not only the one drawn, few are enough: on the benchmark's abstracts, 20
        sweeps are within 0.5 % of the perplexity of 100.
    n_threads
        Number of threads; all cores if ``None``. A single chain on more than one thread is sampled in blocks (see
        :class:`~minillm_lib.topics.gibbs_sampler.GibbsSampler`). Several chains run in parallel, each exactly as on
        one thread.
    kernel
        How a topic is drawn, ``"auto"``, ``"dense"`` or ``"sparse"``; see
        :class:`~minillm_lib.topics.gibbs_sampler.GibbsSampler`. It changes the speed and the random draws, not the
        distribution that they follow.
    callback
        Called with each chain's :class:`~minillm_lib.topics.gibbs_sampler.GibbsSampler` after each sweep.
    random_state
        Seed. On one kind of processor, the same seed gives the same topics bit for bit at the same ``n_threads``;
        several chains do so at any ``n_threads``.

    Attributes
    ----------
    topic_word_
        Each topic's distribution over terms, phi, ``(n_topics, n_terms)``.
    doc_topic_
        Each training document's distribution over topics, theta, ``(n_documents, n_topics)``.
    components_
        Mean count of each term in each topic, plus beta, ``(n_topics, n_terms)``. This is ``topic_word_`` before
        normalisation, as in scikit-learn.
    log_likelihoods_
        Joint log-likelihood ``log p(w, z)`` in nats per token after each sweep, ``(n_sweeps,)``.
    chains_
        List with the :class:`Chain` of every chain.
    best_chain_
        Index in ``chains_`` of the chain that the estimates come from.
    z_
        Topic of each token in the last state, ``(n_tokens,)``. Tokens are ordered by document, then by term index.
    alpha_, beta_
        Prior weights, as given or as learned: an array ``(n_topics,)`` and a float.
    n_tokens_
        Total weight of the tokens.
    r_hat_
        Convergence of the chains; see :func:`~minillm_lib.topics.evaluation.r_hat`.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Entries of ``X`` are counts. A fractional entry is a term weight (Wilson & Chew 2010): 2.3 stands for two tokens of
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
        "kernel": [StrOptions(set(get_args(Kernel)))],
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
        n_transform_sweeps: int = 20,
        n_threads: int | None = None,
        kernel: Kernel = "auto",
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
        self.kernel = kernel
        self.callback = callback
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Sample topics for ``X``, a dense array or any sparse matrix of counts, ``(n_documents, n_terms)``.

        Individual documents may be empty; their theta is the prior.

        Raises
        ------
        ValueError
            If a parameter is out of range, if a count is negative, NaN or infinite, or if ``X`` has no tokens at all
            or more than 2**31 - 1.
        """
        for _ in self.iter_sweeps(X):
            pass
        return self

    def fit_with_bar(
        self, X: Any, *, progress: bool = True, on_sweep: Callable[[], object] | None = None
    ) -> float:
        """Fit to ``X`` with a progress bar that shows the log-likelihood; return the seconds that it took.

        Parameters
        ----------
        progress
            Whether to show the bar, on standard error.
        on_sweep
            Called after each sweep of all chains.

        Raises
        ------
        ValueError
            As for :meth:`fit`.
        """
        start = time.perf_counter()
        with progress_bar(
            total=self.n_sweeps, unit="sweep", desc="Gibbs sampling", disable=not progress
        ) as bar:
            for samplers in self.iter_sweeps(X):
                best = max(sampler.log_likelihoods[-1] for sampler in samplers)
                bar.set_postfix_str(f"log-likelihood {best:.4f} per token", refresh=False)
                bar.update()
                if on_sweep is not None:
                    on_sweep()
        return time.perf_counter() - start

    def iter_sweeps(self, X: Any) -> Iterator[list[GibbsSampler]]:
        """Fit to ``X`` and yield the chains' samplers after each sweep, so that they can be watched.

        The estimator is fitted when the iterator is exhausted, or closed after at least one sweep.

        Raises
        ------
        ValueError
            As for :meth:`fit`, when the iteration starts.
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
            GibbsSampler(
                tokens,
                self.n_topics,
                alpha=alpha,
                beta=self.beta,
                seed=seed,
                n_blocks=n_blocks,
                kernel=self.kernel,
            )
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
        """Return the topic shares of new documents, ``(n_documents, n_topics)``.

        They are found by Gibbs sampling with the topics held fixed. Each document has its own random stream, made from
        the seed and its contents, so its result depends neither on the other documents nor on their order.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If ``X`` has the wrong number of terms, or a count that is negative, NaN or infinite.
        """
        check_is_fitted(self)
        return self._fold_in(self._tokens(X, reset=False))

    def fit_transform(self, X: Any, y: None = None, **fit_params: Any) -> FloatArray:
        """Fit to ``X`` and return the result of ``transform(X)``.

        The estimate for the training documents that comes from the chain itself is ``doc_topic_``.
        """
        return self.fit(X, y).transform(X)

    def perplexity(
        self,
        X: Any,
        *,
        method: Literal["document_completion", "left_to_right"] = "document_completion",
        n_particles: int = 20,
    ) -> float:
        """Return the perplexity of held-out documents, ``exp(− log p(w) / n_tokens)``; lower is better.

        Parameters
        ----------
        X
            Counts, ``(n_documents, n_terms)``.
        method
            ``"document_completion"`` draws half of each document's tokens, folds them in, and predicts the other half
            (Rosen-Zvi et al. 2004). ``"left_to_right"`` estimates the probability of whole documents (Wallach et al.
            2009, algorithm 3). It accepts only integer counts, and its time is quadratic in a document's length.
        n_particles
            Number of particles of ``"left_to_right"``.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            For an unknown method, for invalid counts, or if there are no tokens to predict.
        """
        check_is_fitted(self)
        tokens = self._tokens(X, reset=False)
        if tokens.weights is not None and method == "left_to_right":
            raise ValueError(
                "method='left_to_right' needs integer counts, but X has fractional weights; "
                "use method='document_completion'"
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
        """Return the held-out log-likelihood per token in nats by document completion; higher is better."""
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
        """Return the coherence of each topic's ``n_terms`` most probable terms, ``(n_topics,)``.

        The mean over the topics is the usual figure. See :func:`~minillm_lib.topics.evaluation.coherence`.

        Parameters
        ----------
        documents
            A document–term matrix over the model's terms or, with ``vocabulary``, lists of terms in reading order.
        vocabulary
            The model's terms, in the order of its columns.
        measure, window_size
            As in :func:`~minillm_lib.topics.evaluation.coherence`.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If ``vocabulary`` has the wrong length, if the measure is unknown, or if no document contains one of the
            terms.
        """
        check_is_fitted(self)
        n_features = self.topic_word_.shape[1]
        if vocabulary is not None and len(vocabulary) != n_features:
            raise ValueError(f"vocabulary has {len(vocabulary)} terms, but the model has {n_features}")
        best = np.argsort(-self.topic_word_, axis=1, kind="stable")[:, :n_terms]
        topics: list[list[Any]] = [
            [t if vocabulary is None else vocabulary[t] for t in topic] for topic in best
        ]
        terms = range(n_features) if vocabulary is None else vocabulary
        return evaluation.coherence(
            topics, documents, vocabulary=terms, measure=measure, window_size=window_size
        )

    @property
    def doc_topic_(self) -> FloatArray:
        """Each training document's distribution over topics, theta, ``(n_documents, n_topics)``."""
        check_is_fitted(self)
        return self.chains_[self.best_chain_].doc_topic

    @property
    def r_hat_(self) -> float:
        """R-hat of the log-likelihood over the chains' second halves; near 1 when they agree.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If there is only one chain, or if there are too few sweeps.
        """
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
            raise ValueError(f"X has {total:.3g} tokens; at most {_MAX_TOKENS} can be sampled one by one")
        tokens = Tokens.from_matrix(counts)
        if reset and not len(tokens):
            raise ValueError(f"X has {X.shape[0]} documents but no tokens: all its entries are zero")
        return tokens

    def _fold_in(self, tokens: Tokens) -> FloatArray:
        mean_counts = np.zeros((tokens.n_documents, self.n_topics))
        present, rows = np.unique(tokens.terms, return_inverse=True)
        rows = rows.astype(np.int32)
        width = -(-self.n_topics // folding.LANES) * folding.LANES
        term_topic = np.zeros((len(present), width), dtype=np.float32)
        of_present = self.topic_word_[:, present]
        # Only the ratios between topics matter; with the largest at 1, none is too small for float32.
        term_topic[:, width - self.n_topics :] = (of_present / of_present.max(axis=0)).T
        alpha = np.zeros(width, dtype=np.float32)
        alpha[width - self.n_topics :] = np.maximum(self.alpha_, np.finfo(np.float32).tiny)
        n_threads = self._thread_count()
        edges = np.searchsorted(documents_share(tokens.starts, n_threads), np.arange(n_threads + 1))

        def run(first: int, last: int) -> None:
            folding.fold_in(
                tokens.starts[first : last + 1],
                tokens.terms,
                rows,
                tokens.weights,
                term_topic,
                alpha,
                self.n_transform_sweeps,
                self.n_transform_sweeps // 10,
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

    def add(self, sampler: GibbsSampler) -> None:
        if not self.n_samples:
            shape = (sampler.n_terms, sampler.n_topics)
            self._counts, self._topic_word = np.zeros(shape), np.zeros(shape)
            self._prior, self._doc_topic = np.zeros(sampler.n_topics), sampler.doc_topic_matrix
        else:
            self._doc_topic = self._doc_topic + sampler.doc_topic_matrix
        sampler.add_to(self._counts, self._topic_word)
        self._prior += sampler.beta / (sampler.topic_totals + sampler.n_terms * sampler.beta)
        self.n_samples += 1

    def chain(self, sampler: GibbsSampler) -> Chain:
        if not self.n_samples:
            self.add(sampler)
        return Chain(
            np.ascontiguousarray((self._topic_word + self._prior).T) / self.n_samples,
            self._doc_topic / self.n_samples,
            np.ascontiguousarray(self._counts.T) / self.n_samples,
            np.array(sampler.log_likelihoods),
            sampler.assignments,
            sampler.alpha,
            sampler.beta,
        )
