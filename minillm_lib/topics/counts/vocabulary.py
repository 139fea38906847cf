"""Which terms of a corpus make its vocabulary: those that are neither too rare nor too common."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from minillm_lib.corpora.cleaning.report import CleaningReport
from minillm_lib.topics.counts.counting import TermCounts, column_sums
from minillm_lib.topics.terms import TermRecipe

_N_EXAMPLES = 6


@dataclass(frozen=True)
class Cuts:
    """The limits for the terms of a vocabulary.

    Attributes
    ----------
    min_df, max_df
        Least and greatest number of documents (int) or share of them (float) that a term is in.
    max_terms
        The greatest number of terms, of which the most frequent are taken; None for no limit.

    Raises
    ------
    ValueError
        If a limit is out of range, or no number of documents can be within both.
    """

    min_df: int | float = 2
    max_df: int | float = 0.5
    max_terms: int | None = None

    def __post_init__(self) -> None:
        for name in ("min_df", "max_df"):
            df = getattr(self, name)
            is_share = isinstance(df, float | np.floating) and 0 <= df <= 1
            if not is_share and not (_is_count(df) and df >= 1):
                raise ValueError(
                    f"{name} is {df!r}; it must be a number of documents (int, at least 1) or a share (float, 0 to 1)"
                )
        if _is_count(self.min_df) == _is_count(self.max_df) and self.min_df > self.max_df:
            raise ValueError(
                f"min_df={self.min_df} is more than max_df={self.max_df}: no term can be within both"
            )
        if self.max_terms is not None and not (_is_count(self.max_terms) and self.max_terms >= 1):
            raise ValueError(f"max_terms is {self.max_terms!r}; it must be at least 1, or None for no limit")

    def least_and_most(self, n_documents: int) -> tuple[float, float]:
        """Return ``min_df`` and ``max_df`` as numbers of documents; 29 % of 100 are 29, and not 28.999999999999996."""
        least, most = (
            df if _is_count(df) else round(df * n_documents, 6) for df in (self.min_df, self.max_df)
        )
        return least, most


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def kept_terms(terms: TermCounts, recipe: TermRecipe, report: CleaningReport) -> frozenset[str]:
    """Return the terms of the words that the recipe keeps, and report which of these words never occur."""
    of_word = {word: recipe.terms(word) for word in sorted(recipe.keep)}
    found = set(terms.names)
    missing = [word for word, own in of_word.items() if not own or not found.issuperset(own)]
    report.count("kept words", len(missing), len(of_word), missing)
    return frozenset(term for own in of_word.values() for term in own)


def choose_vocabulary(
    terms: TermCounts, cuts: Cuts, keep: Collection[str], report: CleaningReport
) -> NDArray[np.int64]:
    """Return the columns of the terms in the vocabulary, in order.

    Parameters
    ----------
    keep
        Terms that no limit drops.

    Raises
    ------
    ValueError
        If no term remains; the message says what removed them, and what to try.
    """
    n_documents, n_terms = terms.counts.shape
    document_frequency = np.bincount(terms.counts.indices, minlength=n_terms)
    totals = column_sums(terms.counts)
    least, most = cuts.least_and_most(n_documents)
    is_kept = np.array([name in keep for name in terms.names], dtype=bool)
    rare = (document_frequency < least) & ~is_kept
    ubiquitous = (document_frequency > most) & ~is_kept & ~rare
    beyond = np.zeros(n_terms, dtype=bool)
    if cuts.max_terms is not None:
        left = np.flatnonzero(~rare & ~ubiquitous)
        order = left[np.lexsort((left, -totals[left], ~is_kept[left]))]
        beyond[order[cuts.max_terms :]] = True
        beyond &= ~is_kept
    removed = []
    for name, gone, limit in (
        ("min_df", rare, least),
        ("max_df", ubiquitous, most),
        ("max_terms", beyond, 0),
    ):
        columns = np.flatnonzero(gone)
        examples = columns[np.lexsort((columns, -totals[columns]))][:_N_EXAMPLES]
        value = getattr(cuts, name)
        values = {name: value} if name == "max_terms" else {name: value, "limit": limit}
        report.count(name, len(columns), n_terms, [terms.names[i] for i in examples], **values)
        report.count(f"{name} tokens", int(totals[columns].sum()), int(totals.sum()), **{name: value})
        if len(columns):
            removed.append(f"{name}={value} removed {len(columns)}")
    chosen = np.flatnonzero(~(rare | ubiquitous | beyond))
    if not len(chosen):
        raise ValueError(_nothing_left(n_terms, n_documents, cuts, removed, report))
    return chosen


def _nothing_left(
    n_terms: int, n_documents: int, cuts: Cuts, removed: list[str], report: CleaningReport
) -> str:
    """Say what removed all terms, and what to try."""
    what = f"no terms remain of the {n_terms} found in {n_documents} documents"
    least, most = cuts.least_and_most(n_documents)
    if not removed:
        return (
            f"{what}; earlier steps:\n{report}\n"
            "Try stop_words=None or stop words of your own, name words that matter in keep, "
            "or look at the language and the repairs"
        )
    limits = f": at least {least:g} and at most {most:g} documents cannot both be" if least > most else ""
    warnings = "".join(f"\n{sentence}" for sentence in report.warnings())
    return f"{what}: {', '.join(removed)}{limits}. Try min_df=1 and max_df=1.0, or more documents{warnings}"
