"""Latent Dirichlet allocation, fitted by collapsed Gibbs sampling."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from minillm_lib.io.interrupts import interrupts_held
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.io.wording import number_of, shown
from minillm_lib.topics import evaluation
from minillm_lib.topics.chains import Chain, Chains, ChainTrace, consensus
from minillm_lib.topics.counts_input import checked_counts, is_bag, number_of_tokens
from minillm_lib.topics.fit_checkpoint import FitCheckpoint, fingerprint
from minillm_lib.topics.gibbs_sampler import (
    FloatArray,
    GibbsSampler,
    Kernel,
    Tokens,
    check_prior,
    documents_share,
    theta,
)
from minillm_lib.topics.kernels import folding
from minillm_lib.topics.model_size import check_room, check_size
from minillm_lib.topics.seeding import checked_seed_terms
from minillm_lib.topics.stability import ChainMatches, match_chains

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Shown = Literal["central", "consensus"]
_BYTES_PER_TOKEN = 24  # of a new document: its term, its row in the table, and how they are found


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
        Number of independent chains. With two or more, their topics are matched one to one, which shows how far each
        topic can be trusted: see ``stability_``.
    shown
        Which topics are the result: those of the ``"central"`` chain, whose topics the others find best, or their
        ``"consensus"``: each topic of the central chain is averaged with its matches in the chains that find it.
    n_transform_sweeps
        Number of sweeps over a new document in :meth:`transform`; the first tenth is burn-in. Since each token adds
        the probabilities of all topics and not only the one drawn, few are enough: on the benchmark's abstracts, 20
        sweeps are within 0.5 % of the perplexity of 100.
    seed_terms
        Prior counts of terms in topics, which draw themes into topics of your choice: whole numbers, an array or sparse
        matrix ``(n_topics, n_terms)``, such as :func:`~minillm_lib.topics.seeding.seed_matrix` makes. They are added to
        ``beta``.
    n_threads
        Number of threads. Several chains run in parallel, each exactly as on one thread; ``None`` stands for all cores.
        A single chain runs on one thread if ``None``; on more, it is sampled in as many blocks (see
        :class:`~minillm_lib.topics.gibbs_sampler.GibbsSampler`), which changes the draws.
    kernel
        How a topic is drawn, ``"auto"``, ``"dense"`` or ``"sparse"``; see
        :class:`~minillm_lib.topics.gibbs_sampler.GibbsSampler`. It changes the speed and the random draws, not the
        distribution that they follow.
    callback
        Called with each chain's :class:`~minillm_lib.topics.gibbs_sampler.GibbsSampler` after each sweep.
    verbose
        Whether :meth:`fit` shows a progress bar.
    checkpoint
        File in which the state of the fit is kept from time to time, and when it is interrupted. A fit with the same
        data and parameters goes on from there, and gives bit for bit what it would have given without interruption. The
        file is removed when the fit is complete.
    checkpoint_seconds
        Time between two writings of ``checkpoint``.
    random_state
        Seed. On one kind of processor, the same seed gives the same topics bit for bit, whatever the number of cores;
        only for a single chain they depend on ``n_threads``, if that is given.

    Attributes
    ----------
    topic_word_
        Each topic's distribution over terms, phi, ``(n_topics, n_terms)``.
    doc_topic_
        Each training document's distribution over topics, theta, ``(n_documents, n_topics)``.
    components_
        Mean count of each term in each topic, plus its prior, ``(n_topics, n_terms)``. This is ``topic_word_`` before
        normalisation, as in scikit-learn.
    log_likelihoods_
        Joint log-likelihood ``log p(w, z)`` of the central chain, in nats per token after each sweep, ``(n_sweeps,)``.
    chains_
        List with the :class:`~minillm_lib.topics.chains.Chain` of every chain; of a loaded model, with what it keeps of
        them.
    best_chain_
        Index in ``chains_`` of the central chain: the one whose topics are shown, or averaged with those of others.
    stability_
        How well the other chains find each topic of the central chain, from 0 to 1, ``(n_topics,)``: the mean over
        these chains of the overlap of the topic with its match, which is the sum over the terms of the smaller of the
        two probabilities. Below :data:`~minillm_lib.topics.stability.UNSTABLE`, distrust the topic.
    matches_
        The topic of each chain that is matched with each topic shown, ``(n_chains, n_topics)``.
    match_overlap_
        The overlap of these with the topic of the central chain, ``(n_chains, n_topics)``.
    z_
        Topic of each token in the last state of the central chain, ``(n_tokens,)``. Tokens are ordered by document,
        then by term index.
    alpha_, beta_
        Prior weights, as given or as learned: an array ``(n_topics,)`` and a float.
    n_tokens_
        Total weight of the tokens.
    r_hat_
        Convergence of the chains; see :func:`~minillm_lib.topics.evaluation.r_hat`.
    n_features_in_, feature_names_in_
        As in scikit-learn. The names are the vocabulary, if the model was fitted to a bag of words.

    Notes
    -----
    The defaults are a compromise between topics that a fit with another seed finds again, their coherence, and the
    prediction of held-out documents; ``benchmarks/stability.py`` compares settings on several corpora. More sweeps and
    more chains help further, slowly.

    ``stability_``, ``matches_``, ``match_overlap_`` and ``r_hat_`` need two chains: with one, the model does not have
    them.

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
        "shown": [StrOptions(set(get_args(Shown)))],
        "seed_terms": ["array-like", "sparse matrix", None],
        "kernel": [StrOptions(set(get_args(Kernel)))],
        "callback": [callable, None],
        "verbose": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
        "checkpoint_seconds": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    _matched: ChainMatches | None  # of several chains
    _doc_topic: FloatArray | None  # computed when it is first needed

    def __init__(
        self,
        n_topics: int = 10,
        *,
        n_sweeps: int = 1000,
        alpha: float | Sequence[float] = 0.1,
        beta: float = 0.1,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        burn_in: int | None = None,
        thin: int = 10,
        n_chains: int = 4,
        shown: Shown = "consensus",
        n_transform_sweeps: int = 20,
        seed_terms: Any = None,
        n_threads: int | None = None,
        kernel: Kernel = "auto",
        callback: Callable[[GibbsSampler], None] | None = None,
        verbose: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 60.0,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
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
        self.shown = shown
        self.n_transform_sweeps = n_transform_sweeps
        self.seed_terms = seed_terms
        self.n_threads = n_threads
        self.kernel = kernel
        self.callback = callback
        self.verbose = verbose
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Sample topics for ``X``.

        If it is interrupted (Ctrl-C, or a notebook's stop button), the sweep is finished, the model keeps what it has
        found so far, and the KeyboardInterrupt goes on; the model can be used as if it had been fitted with that many
        sweeps.

        Parameters
        ----------
        X
            Counts, ``(n_documents, n_terms)``: a dense array, a sparse matrix, a data frame, or a
            :class:`~minillm_lib.topics.document_term.BagOfWords`. Individual documents may be empty; their theta is the
            prior.

        Raises
        ------
        ValueError
            If a parameter is out of range; if a count is negative, NaN or infinite, or a sparse matrix is broken; if
            ``X`` has no tokens at all or more than 2**31 - 1; if the tables would not fit into memory; or if
            ``checkpoint`` is of other data or parameters.
        """
        self._run(X, progress=self.verbose)
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
        self._run(X, progress=progress, on_sweep=on_sweep)
        return time.perf_counter() - start

    def _run(self, X: Any, *, progress: bool, on_sweep: Callable[[], object] | None = None) -> None:
        n_done = 0
        try:
            with progress_bar(
                total=self.n_sweeps, unit="sweep", desc="Gibbs sampling", disable=not progress
            ) as bar:
                for samplers in self.iter_sweeps(X):
                    if not n_done:  # after a checkpoint, this is not the first sweep
                        bar.initial = bar.n = len(samplers[0].log_likelihoods) - 1
                    n_done = len(samplers[0].log_likelihoods)
                    best = max(sampler.log_likelihoods[-1] for sampler in samplers)
                    bar.set_postfix_str(f"log-likelihood {best:.4f} per token", refresh=False)
                    bar.update()
                    if on_sweep is not None:
                        on_sweep()
        except KeyboardInterrupt:
            if n_done:
                n_done = len(self.log_likelihoods_)
                resume = "" if self.checkpoint is None else f"; fit again to go on from {self.checkpoint}"
                warnings.warn(
                    f"the fit was stopped after {n_done:,} of {self.n_sweeps:,} sweeps; "
                    f"the model holds the topics found so far{resume}",
                    stacklevel=3,
                )
            raise

    def iter_sweeps(self, X: Any) -> Iterator[list[GibbsSampler]]:
        """Fit to ``X`` and yield the chains' samplers after each sweep, so that they can be watched.

        The estimator is fitted when the iterator is exhausted, or closed after at least one sweep.

        Raises
        ------
        ValueError
            As for :meth:`fit`, when the iteration starts.
        """
        tokens, chains, checkpoint = self._start(X)
        n_threads = self._thread_count()
        is_whole = True  # false while a sweep is under way
        try:
            with ThreadPoolExecutor(n_threads) if n_threads > 1 else nullcontext() as executor:
                while chains.n_done < self.n_sweeps:
                    with interrupts_held():
                        is_whole = False
                        chains.sweep(executor)
                        is_whole = True
                    if self.callback is not None:
                        for sampler in chains.samplers:
                            self.callback(sampler)
                    if checkpoint is not None:
                        checkpoint.write_if_due(chains)
                    yield chains.samplers
        finally:
            if is_whole and chains.n_done:
                try:
                    if checkpoint is not None:
                        checkpoint.close(chains, is_complete=chains.n_done == self.n_sweeps)
                finally:  # the topics are there, even where the disk is full
                    self._keep(chains.finish(), tokens)

    def _start(self, X: Any) -> tuple[Tokens, Chains, FitCheckpoint | None]:
        """Check everything, and return the chains before their first sweep, or as a checkpoint has them."""
        self._validate_params()
        counts = checked_counts(self, X, reset=True)
        burn_in = self.n_sweeps // 2 if self.burn_in is None else self.burn_in
        if burn_in >= self.n_sweeps:
            raise ValueError(
                f"burn_in={burn_in} leaves no sweep to sample from; it must be below n_sweeps={self.n_sweeps}"
            )
        n_tokens = number_of_tokens(counts)
        check_size(
            self.n_topics, *counts.shape, n_chains=self.n_chains, n_tokens=n_tokens, n_sweeps=self.n_sweeps
        )
        alpha, seed_terms = self._prior(), checked_seed_terms(self.seed_terms, self.n_topics, counts.shape[1])
        tokens = Tokens.from_matrix(counts)
        if not len(tokens):
            raise ValueError(f"X has {counts.shape[0]} documents but no tokens: all its entries are zero")
        n_blocks = 1 if self.n_chains > 1 else min(self.n_threads or 1, tokens.n_documents, tokens.n_terms)
        self._seed = self._new_seed()
        checkpoint, state = None, None
        if self.checkpoint is not None:
            settings = {
                "n_topics": self.n_topics,
                "n_sweeps": self.n_sweeps,
                "thin": self.thin,
                "n_chains": self.n_chains,
                "kernel": self.kernel,
                "burn_in": burn_in,
                "alpha": alpha.tolist(),
                "beta": float(self.beta),
                "learn_alpha": bool(self.learn_alpha),
                "learn_beta": bool(self.learn_beta),
                "n_blocks": n_blocks,
                "data": fingerprint(tokens),
                "seed_terms": fingerprint(seed_terms),
                "random_state": self._seed,
            }
            checkpoint = FitCheckpoint(self.checkpoint, settings, every=self.checkpoint_seconds)
            state = checkpoint.read(any_seed=self.random_state is None)
            self._seed = checkpoint.settings["random_state"]
        samplers = [
            GibbsSampler(
                tokens,
                self.n_topics,
                alpha=alpha,
                beta=self.beta,
                seed=seed,
                n_blocks=n_blocks,
                seed_terms=seed_terms,
                kernel=self.kernel,
            )
            for seed in np.random.SeedSequence(self._seed).spawn(self.n_chains)
        ]
        chains = Chains(
            samplers,
            burn_in=burn_in,
            thin=self.thin,
            learn_alpha=self.learn_alpha,
            learn_beta=self.learn_beta,
        )
        if checkpoint is not None and state is not None:
            checkpoint.restore(chains, state)
        self._seed_terms = seed_terms
        return tokens, chains, checkpoint

    def _new_seed(self) -> int:
        most = np.iinfo(np.int32).max
        if isinstance(self.random_state, np.random.Generator):
            return int(self.random_state.integers(most))
        return int(check_random_state(self.random_state).randint(most))

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
        return self._fold_in(self._tokens(X))

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
        tokens = self._tokens(X)
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
            Counts over the model's terms, as for :meth:`transform`, or, with ``vocabulary``, lists of terms in reading
            order.
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
        if is_bag(documents) or hasattr(documents, "columns"):
            documents = checked_counts(self, documents, reset=False)
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

    def top_terms(
        self, n_terms: int = 10, vocabulary: ArrayLike | None = None, *, relevance_lambda: float = 0.6
    ) -> list[list[str]]:
        """Return the most relevant terms of each topic, best first.

        Parameters
        ----------
        n_terms
            Number of terms per topic.
        vocabulary
            The term of each column, ``(n_terms,)``. By default, ``feature_names_in_``, or the numbers of the columns.
        relevance_lambda
            From 0 to 1. With 1, the most probable terms come first; with 0, those that are rare in other topics. See
            :func:`~minillm_lib.topics.summary.relevance`.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If ``vocabulary`` has the wrong length, or ``relevance_lambda`` is not from 0 to 1.
        """
        from minillm_lib.topics import top_terms  # built on this module

        check_is_fitted(self)
        numbers = np.arange(self.topic_word_.shape[1])
        names = getattr(self, "feature_names_in_", numbers) if vocabulary is None else vocabulary
        return top_terms(self.topic_word_, self._term_frequency, names, n_terms, relevance_lambda)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; it is there as a whole or not at all.

        The file has the topics shown, the parameters, the priors, the vocabulary if the model was fitted to a bag of
        words, and of each chain its log-likelihoods and its matches. It does not have the other chains' topics, the
        ``callback`` and the ``checkpoint``. If ``random_state`` is not a number, the seed that was drawn takes its
        place.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        """
        from minillm_lib.topics.saved_model import save_model

        check_is_fitted(self)
        save_model(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that :meth:`save` wrote; its :meth:`transform` gives bit for bit the same results.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ArrayFileError
            If it is no such file, damaged, cut short, or from a newer version. It is a ValueError.
        """
        from minillm_lib.topics.saved_model import load_model

        return load_model(cls, path)

    @property
    def doc_topic_(self) -> FloatArray:
        """Each training document's distribution over topics, theta, ``(n_documents, n_topics)``."""
        check_is_fitted(self)
        if self._doc_topic is None:
            self._doc_topic = theta(self._doc_topic_matrix, self.alpha_)
        return self._doc_topic

    @property
    def r_hat_(self) -> float:
        """R-hat of the log-likelihood over the chains' second halves; near 1 when they agree.

        Raises
        ------
        AttributeError
            If there is only one chain, or if there are fewer than eight sweeps; NotFittedError, which is one too, if
            the model is not fitted.
        """
        self._need_chains("r_hat_")
        n_sweeps = len(self.log_likelihoods_)
        if n_sweeps < 8:
            raise AttributeError(f"r_hat_ needs at least eight sweeps; this model was fitted with {n_sweeps}")
        return evaluation.r_hat([chain.log_likelihoods[n_sweeps // 2 :] for chain in self.chains_])

    @property
    def stability_(self) -> FloatArray:
        """How well the other chains find each topic, ``(n_topics,)``, between 0 and 1.

        Raises
        ------
        AttributeError
            If there is only one chain; NotFittedError, which is one too, if the model is not fitted.
        """
        return self._need_chains("stability_").stability

    @property
    def matches_(self) -> npt.NDArray[np.int64]:
        """The topic of each chain that belongs to each topic shown, ``(n_chains, n_topics)``.

        Raises
        ------
        AttributeError
            As for :attr:`stability_`.
        """
        return self._need_chains("matches_").matches

    @property
    def match_overlap_(self) -> FloatArray:
        """What each of ``matches_`` shares with the topic shown, between 0 and 1, ``(n_chains, n_topics)``.

        Raises
        ------
        AttributeError
            As for :attr:`stability_`.
        """
        return self._need_chains("match_overlap_").overlap

    def _need_chains(self, name: str) -> ChainMatches:
        check_is_fitted(self)
        if self._matched is None:
            raise AttributeError(
                f"{name} compares several chains, and this model has one; fit it with n_chains=2 or more"
            )
        return self._matched

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

    def _tokens(self, X: Any) -> Tokens:
        """Return new documents token by token, if these and the documents' topics fit into memory."""
        counts = checked_counts(self, X, reset=False)
        (n_documents, _), n_tokens = counts.shape, number_of_tokens(counts)
        check_room(
            n_tokens * _BYTES_PER_TOKEN + 3 * 8 * n_documents * self._n_features_out,
            f"{number_of(n_documents, 'document')} of {number_of(n_tokens, 'token')} need",
        )
        return Tokens.from_matrix(counts)

    def _prior(self) -> FloatArray:
        try:
            given = np.asarray(self.alpha)
        except ValueError:  # lists of different lengths
            given = np.asarray(None)
        if given.dtype.kind not in "biuf":
            raise ValueError(f"alpha must be one positive number, or one per topic; got {shown(self.alpha)}")
        alpha = given.astype(np.float64)
        check_prior("alpha", alpha)
        if alpha.ndim == 0:
            return np.full(self.n_topics, alpha)
        if alpha.shape != (self.n_topics,):
            raise ValueError(
                f"alpha must be one positive number, or n_topics={self.n_topics} of them; got shape {alpha.shape}"
            )
        return alpha

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
        self.chains_: list[Chain] | list[ChainTrace] = chains
        self._matched = None
        if len(chains) > 1:
            heights = [chain.log_likelihoods[len(chain.log_likelihoods) // 2 :].mean() for chain in chains]
            self._matched = match_chains([chain.topic_word for chain in chains], heights)
        self.best_chain_ = 0 if self._matched is None else self._matched.central
        central = chains[self.best_chain_]
        self.log_likelihoods_ = central.log_likelihoods
        self.z_ = central.assignments
        self.n_tokens_ = tokens.total_weight
        self._term_frequency = np.bincount(tokens.terms, tokens.weights, minlength=tokens.n_terms)
        result = central
        if self.shown == "consensus" and self._matched is not None:
            result = consensus(chains, self._matched)
        self.topic_word_ = result.topic_word
        self.components_ = result.topic_word_counts + result.beta
        if self._seed_terms is not None:
            self.components_ += self._seed_terms.toarray()
        self.alpha_ = result.alpha
        self.beta_ = result.beta
        self._doc_topic_matrix = result.doc_topic_matrix
        self._doc_topic = None
