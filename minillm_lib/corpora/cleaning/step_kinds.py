"""The kinds of steps that a :class:`~minillm_lib.corpora.cleaning.report.CleaningReport` of a bag of words can have.

The set is closed, so that a report can be shown in another language: a step has the ``key`` of its kind and the
``values`` that belong in its sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StepKind:
    """What a kind of step is called, why it does what it does, and when that is worth a warning.

    Attributes
    ----------
    name, why, remedy
        English wording, with the step's values in braces, as for :meth:`str.format`.
    unit
        What is counted: ``"documents"``, ``"tokens"`` or ``"terms"``.
    alarming
        A larger share than this deserves a warning.
    remedy
        How to prevent it.
    """

    name: str
    why: str
    unit: str
    alarming: float = 1.0
    remedy: str = ""


_KEEP_DUPLICATES = "deduplicate=False keeps them"

STEP_KINDS: Mapping[str, StepKind] = {
    "repair": StepKind("{repair}", "text repaired", "documents"),
    "repair tokens": StepKind(
        "{repair}, words",
        "taken away as markup or damage",
        "tokens",
        0.2,
        "a list of repairs without {repair!r} leaves it out",
    ),
    "repair share": StepKind(
        "{repair}, large part",
        "it took more than {share:.0%} of the words",
        "documents",
        0.1,
        "a list of repairs without {repair!r} leaves it out",
    ),
    "language": StepKind("language {language}", "found in the text", "documents"),
    "no stop list": StepKind(
        "language {language}, stop words",
        "there is no list for this language",
        "documents",
        0.1,
        "pass your own stop_words, or a lower max_df",
    ),
    "exact duplicates": StepKind(
        "exact duplicates", "same words as an earlier document", "documents", 0.1, _KEEP_DUPLICATES
    ),
    "near duplicates": StepKind(
        "near duplicates", "nearly the words of an earlier document", "documents", 0.1, _KEEP_DUPLICATES
    ),
    "near duplicates not sought": StepKind(
        "near duplicates, not sought",
        "only exact ones are, beyond the first {limit:,} words",
        "documents",
        0.0,
        "drop them before",
    ),
    "near duplicates of some": StepKind(
        "near duplicates, compared in part",
        "share rare words with more than {limit:,} documents",
        "documents",
    ),
    "numbers": StepKind(
        "numbers, single characters", "no word", "tokens", 0.3, "name those that matter in keep"
    ),
    "long words": StepKind(
        "long words",
        "longer than {limit} characters",
        "tokens",
        0.05,
        "look whether these documents are text, in a script with spaces between words",
    ),
    "stop words": StepKind(
        "stop words",
        "says nothing of the subject",
        "tokens",
        0.75,
        "stop_words=None keeps them all, and keep some of them",
    ),
    "spellings": StepKind("spellings", "counted as another form", "tokens"),
    "phrases": StepKind("phrases", "counted as part of a phrase", "tokens"),
    "single Chinese characters": StepKind(
        "single Chinese characters",
        "too ambiguous to be terms, except in a phrase",
        "tokens",
        0.5,
        "name those that matter in keep, or whole words in user_dict",
    ),
    "min_df": StepKind("min_df={min_df}", "in fewer than {limit:g} documents", "terms"),
    "max_df": StepKind("max_df={max_df}", "in more than {limit:g} documents", "terms"),
    "max_terms": StepKind("max_terms={max_terms}", "not among the most frequent", "terms"),
    "min_df tokens": StepKind(
        "rare terms",
        "occurrences of terms below min_df={min_df}",
        "tokens",
        0.6,
        "a lower min_df, such as 1, keeps them",
    ),
    "max_df tokens": StepKind(
        "ubiquitous terms",
        "occurrences of terms above max_df={max_df}",
        "tokens",
        0.4,
        "a higher max_df, such as 1.0, keeps them",
    ),
    "max_terms tokens": StepKind(
        "further terms",
        "occurrences of terms beyond max_terms={max_terms}",
        "tokens",
        0.5,
        "a larger max_terms, or None, keeps them",
    ),
    "empty documents": StepKind(
        "empty documents",
        "no term is left",
        "documents",
        0.1,
        "a lower min_df, a higher max_df or stop_words=None leaves more of each",
    ),
    "kept words": StepKind("keep", "not found in any document", "terms", 0.0, "look at their spelling"),
    "vocabulary": StepKind(
        "vocabulary",
        "not in the vocabulary",
        "tokens",
        0.6,
        "these documents may speak of other things, or in another language, than those of the vocabulary",
    ),
}
"""The kinds by their keys. The values of a step are the names in braces; ``repair`` is a name in
:data:`~minillm_lib.corpora.cleaning.repair.REPAIRS`, ``language`` an ISO 639-1 code."""
