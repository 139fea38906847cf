"""How many topics? Held-out perplexity, coherence and stability of each candidate, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import KFold

from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.topics.counts_input import plain_counts
from minillm_lib.topics.evaluation import coherence
from minillm_lib.topics.gibbs_lda import GibbsLDA
from minillm_lib.topics.stability import match_chains

N_FOLDS = 3
"""Number of parts of the documents, each of which is held out once, unless another is given."""


@dataclass(frozen=True)
class TopicCountScore:
    """The scores of one candidate, averaged over the folds.

    Attributes
    ----------
    n_topics
        The candidate.
    perplexity
        Held-out perplexity; lower is better.
    coherence
        Mean NPMI coherence; higher is better. NaN if no fold has two documents and two terms to measure it in.
    stability
        Mean stability of the topics, from 0 to 1; higher is better.
    perplexity_error, coherence_error, stability_error
        Standard errors of the means over the folds.
    """

    n_topics: int
    perplexity: float
    perplexity_error: float
    coherence: float
    coherence_error: float
    stability: float
    stability_error: float


def compare_topic_counts(
    X: Any,
    candidates: Sequence[int] = (5, 10, 20, 40),
    *,
    estimator: GibbsLDA | None = None,
    n_folds: int = N_FOLDS,
    random_state: int = 0,
    progress: Callable[[TopicCountScore], None] | None = None,
    verbose: bool = False,
) -> list[TopicCountScore]:
    """Cross-validate ``estimator`` with each number of topics.

    Every candidate sees the same folds. Perplexity is measured by document completion on the fold left out. Coherence
    is the NPMI of the topics' ten most probable terms in the same fold. The topics have never seen its documents, so
    neither score rewards memorising the training documents. Stability is how well the topics are found again: by the
    chains of the same fold, or, if the estimator has only one chain, by the fits to the other folds. Perplexity tends
    to favour more topics than a person finds readable; coherence and stability tend to favour fewer. Read them
    together.

    Parameters
    ----------
    X
        Counts, ``(n_documents, n_terms)``, or a bag of words.
    candidates
        Numbers of topics to compare.
    estimator
        Model with all other parameters; ``GibbsLDA()`` if ``None``.
    random_state
        Seed of the folds and of every fit.
    progress
        Called with the score of each candidate as soon as it is known.
    verbose
        Whether to show a progress bar over the fits.

    Returns
    -------
    scores
        One score per candidate, in the order given.

    Raises
    ------
    ValueError
        If there are no candidates, fewer than two folds, or more folds than documents, or for what
        :meth:`~minillm_lib.topics.gibbs_lda.GibbsLDA.fit` refuses.
    """
    counts = plain_counts(X)
    if not candidates:
        raise ValueError("candidates is empty; name at least one number of topics, such as [5, 10, 20]")
    if not 2 <= n_folds <= counts.shape[0]:
        raise ValueError(
            f"n_folds={n_folds} must be between 2 and the number of documents, {counts.shape[0]}"
        )
    folds = list(KFold(n_folds, shuffle=True, random_state=random_state).split(counts))
    scores = []
    with progress_bar(
        total=len(candidates) * n_folds, unit="fit", desc="Comparing", disable=not verbose
    ) as bar:
        for n_topics in candidates:
            perplexities, coherences, models = [], [], []
            for fitted_on, held_out in folds:
                model = clone(estimator or GibbsLDA())
                model.set_params(n_topics=n_topics, random_state=random_state, verbose=False, checkpoint=None)
                with (
                    warnings.catch_warnings()
                ):  # a stopped fit promises to keep its topics, but this one is lost
                    warnings.filterwarnings("ignore", "the fit was stopped", UserWarning)
                    model.fit(counts[fitted_on])
                perplexities.append(model.perplexity(counts[held_out]))
                coherences.append(_coherence_where_seen(model, counts[held_out]))
                models.append(model)
                bar.update()
            means = map(_mean_and_error, (perplexities, coherences, _stabilities(models)))
            score = TopicCountScore(n_topics, *chain.from_iterable(means))
            scores.append(score)
            if progress is not None:
                progress(score)
    return scores


def _stabilities(models: Sequence[GibbsLDA]) -> list[float]:
    """Return the mean stability of the topics of each fold's model."""
    if len(models[0].chains_) > 1:
        return [float(model.stability_.mean()) for model in models]
    agreement = match_chains([model.topic_word_ for model in models]).agreement
    return [float(np.delete(row, own).mean()) for own, row in enumerate(agreement)]


def _coherence_where_seen(model: GibbsLDA, counts: sparse.csr_matrix, n_terms: int = 10) -> float:
    """Return the mean coherence in ``counts`` of each topic's most probable terms among those that occur there.

    A single document or a single term has none: NaN.
    """
    seen = np.flatnonzero((counts > 0).getnnz(axis=0))
    if counts.shape[0] < 2 or len(seen) < 2:
        return float("nan")
    best = np.argsort(-model.topic_word_[:, seen], axis=1, kind="stable")[:, :n_terms]
    return float(coherence(seen[best].tolist(), counts, vocabulary=range(counts.shape[1])).mean())


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of the values that are numbers, and its standard error; NaN where there are too few."""
    known = [value for value in values if not np.isnan(value)]
    error = np.std(known, ddof=1) / np.sqrt(len(known)) if len(known) > 1 else np.nan
    return float(np.mean(known)) if known else np.nan, float(error)
