"""A stream of documents as numbered words: read once, cleaned and split in several processes, without keeping texts."""

from __future__ import annotations

import heapq
import pickle
import warnings
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minillm_lib.corpora.cleaning.duplicates import DIGEST_BYTES, shingle_hashes, text_units, units_digest
from minillm_lib.corpora.cleaning.repair import count_words, repair_text
from minillm_lib.corpora.document import Document, place_of
from minillm_lib.io.parallel import parallel_map
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.topics.counts.document_input import (
    as_documents,
    beginning_of,
    snippet_of,
    with_title,
    without_surrogates,
)
from minillm_lib.topics.terms import TermRecipe
from minillm_lib.topics.words.phrases import Numbers

CHUNK_DOCUMENTS, CHUNK_CHARACTERS = 2_000, 2_000_000
"""A chunk for one process ends at whichever comes first; a corpus of one chunk is not worth a second process."""

MOST_SHINGLES = 40_000_000
"""Near duplicates are looked for among the first documents that have this many words together (160 MB)."""

DROPPED_KINDS = ("numbers", "stop words")
"""Kinds of dropped words, as in :data:`~minillm_lib.corpora.cleaning.step_kinds.STEP_KINDS`."""

LARGE_SHARE = 0.2
"""A repair that takes away more than this share of the words of a document is reported with the document."""

_N_SAMPLED, _SAMPLE_CHARACTERS = 1_000, 2_000
_SPOOL_IN_MEMORY = 1 << 23


@dataclass(frozen=True)
class Splitting:
    """How to make words of a text.

    Attributes
    ----------
    recipe
        Its repairs are applied first.
    find_languages
        Whether to find out first which languages the corpus has.
    find_copies
        Whether to compute what a search for duplicates needs.
    snippet_length
        Number of characters to keep of each cleaned text.
    """

    recipe: TermRecipe
    find_languages: bool = False
    find_copies: bool = False
    snippet_length: int = 0


@dataclass
class Tally:
    """What happened to the texts, counted.

    Attributes
    ----------
    n_words
        The words of the texts before any repair, as
        :func:`~minillm_lib.corpora.cleaning.repair.count_words` counts them.
    changed, removed
        For each repair, the documents that it changed, and the words that it took away.
    heavily_repaired
        For each repair, the numbers of the documents of which it took a large share.
    stop_words
        How often each stop word was dropped.
    warnings
        What was warned of.
    """

    n_words: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    heavily_repaired: dict[str, list[int]] = field(default_factory=dict)
    stop_words: Counter[str] = field(default_factory=Counter)
    warnings: set[str] = field(default_factory=set)

    def add(self, other: Tally, first: int) -> None:
        """Add what happened to later texts, of which the first has the number ``first``."""
        self.n_words += other.n_words
        self.changed += other.changed
        self.removed += other.removed
        self.stop_words += other.stop_words
        self.warnings |= other.warnings
        for repair, numbers in other.heavily_repaired.items():
            self.heavily_repaired.setdefault(repair, []).extend(first + number for number in numbers)


@dataclass
class _Chunk:
    """The words of some documents, numbered by themselves, and what else a process finds out about the texts."""

    words: list[str]
    numbers: Numbers
    lengths: list[int]
    dropped: NDArray[np.int32]
    languages: list[str]
    beginnings: list[str]
    snippets: list[str]
    digests: bytes
    shingles: NDArray[np.uint32]
    shingle_sizes: list[int]
    tally: Tally


@dataclass
class NumberedWords:
    """The words of documents as numbers.

    Attributes
    ----------
    words
        The distinct words, in the order in which they appear.
    numbers
        The place in ``words`` of each word of the documents; -1 for a gap, and at the end of each document.
    starts
        Where each document starts in ``numbers``, and the end; ``(n_documents + 1,)``.
    dropped
        How many words of each document were dropped for each of :data:`DROPPED_KINDS`; ``(n_documents, 2)``.
    languages
        The language of each document, as a place in ``language_codes``; ``(n_documents,)``.
    language_codes
        The languages, in the order in which they appear.
    facts
        What is known of each document: its metadata, with a title.
    digests
        A hash of the words of each text before any was dropped; ``(n_documents, 16)``, zeros for a text without words.
    shingles, shingle_starts
        The hashed shingles of the first documents, one after another, and where each document starts, and the end.
    tally
        What happened to the texts.
    """

    words: list[str]
    numbers: Numbers
    starts: NDArray[np.int64]
    dropped: NDArray[np.int32]
    languages: NDArray[np.int32]
    language_codes: list[str]
    facts: list[dict[str, Any]]
    digests: NDArray[np.uint8]
    shingles: NDArray[np.uint32]
    shingle_starts: NDArray[np.int64]
    tally: Tally

    def select(self, kept: NDArray[np.int64]) -> NumberedWords:
        """Return the words of some documents, without their shingles; the tally stays that of all documents."""
        lengths = np.diff(self.starts)
        is_kept = np.zeros(len(lengths), dtype=bool)
        is_kept[kept] = True
        return replace(
            self,
            numbers=self.numbers[np.repeat(is_kept, lengths)],
            starts=np.r_[0, np.cumsum(lengths[kept])],
            dropped=self.dropped[kept],
            languages=self.languages[kept],
            facts=[self.facts[document] for document in kept],
            digests=self.digests[kept],
            shingles=np.zeros(0, dtype=np.uint32),  # not a part of the array, which would keep all of it
            shingle_starts=np.zeros(1, dtype=np.int64),
        )


def number_words(
    documents: Iterable[Document | str],
    splitting: Splitting,
    *,
    n_jobs: int = -1,
    progress: bool = False,
    chunk_documents: int = CHUNK_DOCUMENTS,
    chunk_characters: int = CHUNK_CHARACTERS,
) -> tuple[TermRecipe, NumberedWords]:
    """Read documents once and number their words; the result does not depend on processes and chunks.

    To find the languages of the corpus, the documents are first read to their end and written to a temporary file,
    because a sample of all of them decides.

    Returns
    -------
    recipe
        The recipe of ``splitting``, with the languages of the corpus.
    words
        The words.

    Raises
    ------
    ValueError
        If ``documents`` contains anything but texts and Documents.
    """
    facts: list[dict[str, Any]] = []
    recipe = splitting.recipe
    size = len(documents) if isinstance(documents, Sized) else None
    with ExitStack() as stack:
        chunks = _chunks(as_documents(documents), facts, chunk_documents, chunk_characters)
        if splitting.find_languages:
            spool = stack.enter_context(SpooledTemporaryFile(_SPOOL_IN_MEMORY))
            bar = progress_bar(total=size, desc="reading", unit=" documents", disable=not progress)
            with closing(bar):
                sample = _spool(chunks, spool, bar)
            recipe = recipe.with_languages_of(sample)
            chunks, size = _unspool(spool), len(facts)
        work = partial(_split_chunk, pickle.dumps(replace(splitting, recipe=recipe)))
        bar = progress_bar(total=size, desc="cleaning", unit=" documents", disable=not progress)
        with closing(bar):
            return recipe, _join(parallel_map(work, chunks, n_jobs=n_jobs), facts, splitting, bar)


def _chunks(
    documents: Iterable[Document], facts: list[dict[str, Any]], most_documents: int, most_characters: int
) -> Iterator[list[str]]:
    """Yield the texts in chunks, and append what is known of each document to ``facts``."""
    texts: list[str] = []
    characters = 0
    for document in documents:
        texts.append(document.text)
        facts.append(dict(document.meta))
        characters += len(document.text)
        if len(texts) >= most_documents or characters >= most_characters:
            yield texts
            texts, characters = [], 0
    if texts:
        yield texts


def _spool(chunks: Iterable[list[str]], spool: Any, bar: Any) -> list[str]:
    """Write the texts to a temporary file; return the beginnings of a random sample of them."""
    sampled: list[tuple[float, str]] = []  # a heap whose first item has the largest place
    for texts in chunks:
        pickle.dump(texts, spool, protocol=5)
        for text in texts:
            item = (-place_of(text), without_surrogates(text[:_SAMPLE_CHARACTERS]))
            if len(sampled) < _N_SAMPLED:
                heapq.heappush(sampled, item)
            else:
                heapq.heappushpop(sampled, item)
        bar.update(len(texts))
    return [text for _, text in sorted(sampled, reverse=True)]


def _unspool(spool: Any) -> Iterator[list[str]]:
    spool.seek(0)
    while True:
        try:
            yield pickle.load(spool)
        except EOFError:
            return


def _join(
    chunks: Iterable[_Chunk], facts: list[dict[str, Any]], splitting: Splitting, bar: Any
) -> NumberedWords:
    """Put the documents of all chunks one after another, with one numbering of their words."""
    number_of: dict[str, int] = {}
    language_of: dict[str, int] = {}
    numbers, dropped, languages, shingles = array("i"), array("i"), array("i"), array("I")
    lengths, shingle_sizes = array("q"), array("q")
    digests = bytearray()
    tally = Tally()
    for chunk in chunks:
        first = len(lengths)
        own = [number_of.setdefault(word, len(number_of)) for word in chunk.words]
        numbers.frombytes(np.array([*own, -1], dtype=np.int32)[chunk.numbers].tobytes())
        dropped.frombytes(chunk.dropped.tobytes())
        languages.extend(language_of.setdefault(code, len(language_of)) for code in chunk.languages)
        digests += chunk.digests
        if len(shingle_sizes) == first:
            ends = np.cumsum(chunk.shingle_sizes, dtype=np.int64)
            n_fitting = int(np.searchsorted(ends, MOST_SHINGLES - len(shingles), side="right"))
            shingle_sizes.extend(chunk.shingle_sizes[:n_fitting])
            shingles.frombytes(chunk.shingles[: ends[n_fitting - 1] if n_fitting else 0].tobytes())
        lengths.extend(chunk.lengths)
        tally.add(chunk.tally, first)
        for document, beginning in enumerate(chunk.beginnings, first):
            facts[document] = with_title(facts[document], beginning)
            if splitting.snippet_length:
                if "snippet" in facts[document]:  # a column of that name
                    facts[document]["snippet (yours)"] = facts[document]["snippet"]
                facts[document]["snippet"] = chunk.snippets[document - first]
        bar.update(len(chunk.lengths))
    return NumberedWords(
        words=list(number_of),
        numbers=np.frombuffer(numbers, dtype=np.int32),
        starts=_starts(lengths),
        dropped=np.frombuffer(dropped, dtype=np.int32).reshape(-1, len(DROPPED_KINDS)),
        languages=np.frombuffer(languages, dtype=np.int32),
        language_codes=list(language_of),
        facts=facts,
        digests=np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES),
        shingles=np.frombuffer(shingles, dtype=np.uint32),
        shingle_starts=_starts(shingle_sizes),
        tally=tally,
    )


def _starts(lengths: array[int]) -> NDArray[np.int64]:
    starts = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(np.frombuffer(lengths, dtype=np.int64), out=starts[1:])
    return starts


@lru_cache(maxsize=2)
def _unpickled(splitting: bytes) -> Splitting:
    # The same object for every chunk: caches that have its stop words as a key then find them at once.
    unpickled: Splitting = pickle.loads(splitting)
    return unpickled


def _split_chunk(pickled: bytes, texts: Sequence[str]) -> _Chunk:
    # Warnings of another process would be lost, or repeated for every chunk.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chunk = _split(_unpickled(pickled), texts)
    chunk.tally.warnings = {str(each.message) for each in caught if issubclass(each.category, UserWarning)}
    return chunk


def _split(splitting: Splitting, texts: Sequence[str]) -> _Chunk:
    recipe = splitting.recipe
    number_of: dict[str, int] = {}
    numbers, digests, shingles = array("i"), bytearray(), array("I")
    lengths, dropped, languages, beginnings, snippets, shingle_sizes = [], [], [], [], [], []
    tally = Tally()
    for document, raw in enumerate(texts):
        text = _repair(without_surrogates(raw), recipe.repairs, document, tally)
        language = recipe.language_of(text)
        stop_words: Counter[str] = Counter()
        words = recipe.words(text, stop_words, language=language)
        dropped.append((stop_words.pop("", 0), stop_words.total()))
        tally.stop_words += stop_words
        before = len(numbers)
        _append_numbers(numbers, words, number_of)
        lengths.append(len(numbers) - before)
        languages.append(language)
        beginnings.append(beginning_of(text))
        if splitting.snippet_length:
            snippets.append(snippet_of(text, splitting.snippet_length))
        if splitting.find_copies:
            units = text_units(text)
            hashes = np.unique((shingle_hashes(units) >> np.uint64(32)).astype(np.uint32))
            digests += units_digest(units) if units else bytes(DIGEST_BYTES)
            shingles.frombytes(hashes.tobytes())
            shingle_sizes.append(len(hashes))
    return _Chunk(
        words=list(number_of),
        numbers=np.frombuffer(numbers, dtype=np.int32),
        lengths=lengths,
        dropped=np.array(dropped, dtype=np.int32),
        languages=languages,
        beginnings=beginnings,
        snippets=snippets,
        digests=bytes(digests),
        shingles=np.frombuffer(shingles, dtype=np.uint32),
        shingle_sizes=shingle_sizes,
        tally=tally,
    )


def _repair(text: str, repairs: tuple[str, ...], document: int, tally: Tally) -> str:
    changed: set[str] = set()
    removed: Counter[str] = Counter()
    repaired = repair_text(text, steps=repairs, changed=changed, removed=removed)
    n_words = count_words(text)
    tally.n_words += n_words
    tally.changed.update(changed)
    tally.removed += removed
    for repair, count in removed.items():
        if count > LARGE_SHARE * n_words:
            tally.heavily_repaired.setdefault(repair, []).append(document)
    return repaired


def _append_numbers(numbers: array[int], words: Sequence[str | None], number_of: dict[str, int]) -> None:
    """Append the numbers of the words of a document, a single -1 for each run of gaps, and one at the end."""
    before, was_gap = len(numbers), True
    for word in words:
        if word is not None:
            numbers.append(number_of.setdefault(word, len(number_of)))
        elif not was_gap:
            numbers.append(-1)
        was_gap = word is None
    if not was_gap or len(numbers) == before:
        numbers.append(-1)
