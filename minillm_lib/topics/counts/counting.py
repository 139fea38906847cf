"""From the numbered words of a corpus to the counts of its terms, with a report on every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from minillm_lib.corpora.cleaning.languages import STOP_LISTS
from minillm_lib.corpora.cleaning.repair import REPAIRS
from minillm_lib.corpora.cleaning.report import CleaningReport
from minillm_lib.corpora.cleaning.set_similarity import find_similar_sets
from minillm_lib.topics.counts.document_input import shortened
from minillm_lib.topics.counts.word_stream import DROPPED_KINDS, LARGE_SHARE, MOST_SHINGLES, NumberedWords
from minillm_lib.topics.terms import TermRecipe, unite_spellings
from minillm_lib.topics.words.lemmas import to_the_last
from minillm_lib.topics.words.phrases import Numbers, find_phrases, join_phrases

LONGEST_WORD = 200
"""Characters of the longest word, unless a longer one is to be kept."""

_MOST_CANDIDATES = 200
_N_TITLES = 3


def report_on_repairs(words: NumberedWords, report: CleaningReport) -> None:
    """Report how many texts each repair changed, how many words it took, and of which texts it took many."""
    tally, n_documents = words.tally, len(words.facts)
    for repair in REPAIRS:
        report.count("repair", tally.changed[repair], n_documents, repair=repair)
        report.count("repair tokens", tally.removed[repair], tally.n_words, repair=repair)
        heavily = tally.heavily_repaired.get(repair, [])
        examples = titles(words.facts, heavily)
        report.count("repair share", len(heavily), n_documents, examples, repair=repair, share=LARGE_SHARE)


def report_on_languages(words: NumberedWords, report: CleaningReport) -> None:
    """Report how many documents are in each language that was found."""
    counts = np.bincount(words.languages, minlength=len(words.language_codes)).tolist()
    found = sorted(zip(words.language_codes, counts, strict=True), key=lambda item: (-item[1], item[0]))
    for language, count in found:
        report.count("language", count, len(words.facts), language=language)


def report_on_stop_lists(words: NumberedWords, report: CleaningReport) -> None:
    """Report how many documents are in a language without a list of stop words."""
    for number, language in sorted(enumerate(words.language_codes), key=lambda item: item[1]):
        if language not in STOP_LISTS:
            documents = np.flatnonzero(words.languages == number)
            report.count(
                "no stop list",
                len(documents),
                len(words.facts),
                titles(words.facts, documents),
                language=language,
            )


def drop_copies(words: NumberedWords, report: CleaningReport) -> NumberedWords:
    """Drop documents that repeat an earlier one, exactly or nearly; the first of them stays."""
    n_documents = len(words.facts)
    exact = _exact_copies(words.digests)
    report.count(
        "exact duplicates", len(exact), n_documents, [_pair(words, *each, "=") for each in exact[:_N_TITLES]]
    )
    is_copy = np.zeros(n_documents, dtype=bool)
    is_copy[[copy for copy, _ in exact]] = True
    n_searched = len(words.shingle_starts) - 1
    similar = find_similar_sets(
        words.shingles,
        words.shingle_starts,
        left_out=is_copy[:n_searched],
        most_candidates=_MOST_CANDIDATES,
    )
    near = [(copy, original) for copy, original, _ in similar.copies]
    report.count(
        "near duplicates", len(near), n_documents, [_pair(words, *each, "≈") for each in near[:_N_TITLES]]
    )
    report.count("near duplicates not sought", n_documents - n_searched, n_documents, limit=MOST_SHINGLES)
    report.count(
        "near duplicates of some",
        len(similar.incomplete),
        n_documents,
        titles(words.facts, similar.incomplete),
        limit=_MOST_CANDIDATES,
    )
    is_copy[[copy for copy, _ in near]] = True
    return words.select(np.flatnonzero(~is_copy))


def _exact_copies(digests: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return each document that has the words of an earlier one, and that one."""
    with_words = np.flatnonzero(digests.any(axis=1))
    keys = np.ascontiguousarray(digests[with_words]).view(f"V{digests.shape[1]}").ravel()
    _, firsts, groups = np.unique(keys, return_index=True, return_inverse=True)
    originals = with_words[firsts[groups]]
    is_copy = originals != with_words
    return list(zip(with_words[is_copy].tolist(), originals[is_copy].tolist(), strict=True))


def _pair(words: NumberedWords, copy: int, original: int, sign: str) -> str:
    return f" {sign} ".join(titles(words.facts, [copy, original]))


def titles(facts: Sequence[Mapping[str, Any]], documents: Sequence[int] | NDArray[np.int64]) -> list[str]:
    """Return the titles of the first of these documents, given what is known of all, for a report."""
    return [shortened(str(facts[document]["title"])) for document in documents[:_N_TITLES]]


def _n_words(words: NumberedWords) -> int:
    return int(np.count_nonzero(words.numbers >= 0))


@dataclass(frozen=True)
class TermCounts:
    """How often each document says each term.

    Attributes
    ----------
    names
        The terms in alphabetical order.
    counts
        ``(n_documents, n_terms)``, with sorted indices.
    """

    names: list[str]
    counts: csr_matrix


def count_terms(
    words: NumberedWords,
    recipe: TermRecipe,
    report: CleaningReport,
    *,
    phrases: bool,
    phrase_min_count: int,
    phrase_min_npmi: float,
) -> tuple[TermRecipe, TermCounts]:
    """Learn the corpus's spellings and phrases; return the complete recipe and the counts of all terms."""
    _report_on_dropped(words, report)
    words = _without_long_words(words, recipe, report)
    n_words = _n_words(words)
    if recipe.lemmatize:
        recipe = replace(recipe, spellings=_unite_spellings(words))
        totals = np.bincount(words.numbers[words.numbers >= 0], minlength=len(words.words)).tolist()
        of_word = dict(zip(words.words, totals, strict=True))
        united = Counter({f"{word} → {other}": of_word[word] for word, other in recipe.spellings.items()})
        report.count("spellings", united.total(), n_words, frequent(united))
    if phrases:
        found = find_phrases(
            _respelled(words, recipe.spellings),
            words.words,
            min_count=phrase_min_count,
            min_npmi=phrase_min_npmi,
        )
        recipe = replace(recipe, phrases=found)
    terms, n_joined, n_singles = count_by_recipe(words, recipe)
    _report_on_phrases(terms, recipe, n_joined, n_words, report)
    report.count("single Chinese characters", n_singles, n_words)
    return recipe, terms


def count_by_recipe(words: NumberedWords, recipe: TermRecipe) -> tuple[TermCounts, int, int]:
    """Unite spellings, join phrases, and count terms, by a recipe that knows them.

    Returns
    -------
    terms
        How often each document says each term.
    n_joined
        How many words became part of a phrase, not counting the first word of each.
    n_left_out
        How many words are no terms, such as a single Chinese character.
    """
    missing = sorted(set(recipe.spellings.values()).difference(words.words))
    words = replace(words, words=[*words.words, *missing])
    numbers, joined = join_phrases(_respelled(words, recipe.spellings), words.words, recipe.phrases)
    starts = words.starts - np.searchsorted(joined, words.starts)
    terms, n_left_out = _count(numbers, starts, _terms_of_numbers(words.words, recipe))
    return terms, len(joined), n_left_out


def count_over(
    words: NumberedWords, recipe: TermRecipe, vocabulary: NDArray[np.str_]
) -> tuple[csr_matrix, TermCounts, NDArray[np.int32]]:
    """Count new documents by a recipe over a given vocabulary.

    Returns
    -------
    counts
        How often each document says each term of the vocabulary, ``(n_documents, n_terms)``.
    terms
        The same for all terms that the documents have, known or not.
    columns
        The place of each of these in the vocabulary, -1 where it is unknown.
    """
    terms, _, _ = count_by_recipe(words, recipe)
    column_of = {term: column for column, term in enumerate(vocabulary.tolist())}
    columns = np.array([column_of.get(name, -1) for name in terms.names], dtype=np.int32)
    return take_columns(terms.counts, columns, len(column_of)), terms, columns


def _report_on_dropped(words: NumberedWords, report: CleaningReport) -> None:
    dropped = dict(zip(DROPPED_KINDS, words.dropped.sum(axis=0).tolist(), strict=True))
    total = _n_words(words) + sum(dropped.values())
    for kind, count in dropped.items():
        examples = frequent(words.tally.stop_words) if kind == "stop words" else []
        report.count(kind, count, total, examples)


def _without_long_words(words: NumberedWords, recipe: TermRecipe, report: CleaningReport) -> NumberedWords:
    """Leave a gap where a word is too long to be one, such as a hex dump; in a vocabulary, all are as wide as it."""
    is_long = [len(word) > LONGEST_WORD and word not in recipe.keep for word in words.words]
    is_gone = np.array([*is_long, False])[words.numbers]
    gone = Counter(words.words[number] for number in words.numbers[is_gone].tolist())
    examples = [shortened(word) for word in frequent(gone)]
    report.count("long words", gone.total(), _n_words(words), examples, limit=LONGEST_WORD)
    return replace(words, numbers=np.where(is_gone, np.int32(-1), words.numbers))


def _unite_spellings(words: NumberedWords) -> dict[str, str]:
    """Unite the spellings of each language, the most frequent one first, by the counts in its documents."""
    lengths = np.diff(words.starts)
    united: dict[str, str] = {}
    n_documents = np.bincount(words.languages, minlength=len(words.language_codes))
    for language in sorted(
        np.flatnonzero(n_documents), key=lambda i: (-n_documents[i], words.language_codes[i])
    ):
        own = words.numbers[np.repeat(words.languages == language, lengths)]
        totals = np.bincount(own[own >= 0], minlength=len(words.words))
        counts = {words.words[number]: int(totals[number]) for number in np.flatnonzero(totals)}
        for word, other in unite_spellings(counts, words.language_codes[language]).items():
            other = united.get(other, other)
            if word not in united and other != word:
                united[word] = other
    return to_the_last(united)


def _respelled(words: NumberedWords, spellings: Mapping[str, str]) -> Numbers:
    number_of = {word: number for number, word in enumerate(words.words)}
    respelled = np.append(
        np.arange(len(words.words), dtype=np.int32), np.int32(-1)
    )  # the last is that of a gap
    for word, other in spellings.items():
        if word in number_of:
            respelled[number_of[word]] = number_of[other]
    return respelled[words.numbers]


def _terms_of_numbers(words: Sequence[str], recipe: TermRecipe) -> list[str]:
    """Return the term for each number: of the words, then of the sorted phrases; "" where a word is no term."""
    alone = replace(recipe, spellings={}, phrases=frozenset())
    terms = ["".join(alone.terms_of_words([word])) for word in words]
    for phrase in sorted(recipe.phrases):
        (term,) = replace(alone, phrases=frozenset([phrase])).terms_of_words(phrase.split(" "))
        terms.append(term)
    return terms


def _count(numbers: Numbers, starts: NDArray[np.int64], terms: Sequence[str]) -> tuple[TermCounts, int]:
    """Count the terms of each document.

    Parameters
    ----------
    numbers, starts
        As in :class:`~minillm_lib.topics.counts.word_stream.NumberedWords`.
    terms
        The term that each number stands for; ``""`` leaves it out.

    Returns
    -------
    counts
        How often each document says each term.
    n_left_out
        How many words were left out.
    """
    is_term = numbers >= 0
    totals = np.bincount(numbers[is_term], minlength=len(terms))
    names = sorted({terms[number] for number in np.flatnonzero(totals).tolist()} - {""})
    # Two numbers may stand for one term: a phrase of Chinese words can be written like a word that occurs too.
    column_of = {name: column for column, name in enumerate(names)}
    columns = np.array([column_of.get(term, -1) for term in terms] + [-1], dtype=np.int32)
    is_term &= columns[numbers] >= 0
    lengths = np.add.reduceat(is_term, starts[:-1], dtype=np.int64)  # no document is empty: each ends with -1
    indices = columns[numbers[is_term]]
    counts = csr_matrix(
        (np.ones(len(indices), dtype=np.int32), indices, np.r_[0, np.cumsum(lengths)]),
        shape=(len(lengths), len(names)),
    )
    counts.sum_duplicates()
    return TermCounts(names, counts), int(totals.sum()) - len(indices)


def take_columns(counts: csr_matrix, columns: NDArray[np.int32], n_columns: int) -> csr_matrix:
    """Return counts with the old column ``i`` as column ``columns[i]``, or without it where that is -1."""
    indices = columns[counts.indices]
    is_kept = indices >= 0
    ends = np.r_[0, np.cumsum(is_kept)][counts.indptr]
    taken = csr_matrix((counts.data[is_kept], indices[is_kept], ends), shape=(counts.shape[0], n_columns))
    taken.sort_indices()
    return taken


def _report_on_phrases(
    terms: TermCounts, recipe: TermRecipe, n_removed: int, n_words: int, report: CleaningReport
) -> None:
    """Report how many words count as part of a phrase, where each phrase of n words took away n - 1 places."""
    totals = column_sums(terms.counts)
    phrases = recipe.phrase_terms
    joined = Counter({name: int(totals[i]) for i, name in enumerate(terms.names) if name in phrases})
    report.count("phrases", n_removed + joined.total(), n_words, frequent(joined))


def column_sums(counts: csr_matrix) -> NDArray[np.int64]:
    """Return the sum of each column, ``(n_terms,)``."""
    return np.bincount(counts.indices, weights=counts.data, minlength=counts.shape[1]).astype(np.int64)


def frequent(counter: Counter[str]) -> list[str]:
    """Return the six most frequent items, for a report."""
    return sorted(counter, key=lambda item: (-counter[item], item))[:6]
