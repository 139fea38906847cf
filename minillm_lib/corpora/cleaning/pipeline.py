"""Cleaning a corpus: a sequence of named steps over a stream of documents, with a count of what each step does.

>>> from minillm_lib.corpora.document import Document
>>> pipeline = CleaningPipeline(["encoding", "exact duplicates"])
>>> documents = [Document("youâ€™re here"), Document("You’re here!")]
>>> [document.text for document in pipeline.clean(documents)]
['you’re here']
>>> [(step.name, step.changed, step.removed) for step in pipeline.report.steps]
[('encoding', 1, 0), ('exact duplicates', 0, 1)]

There are three kinds of step. An :class:`Edit` changes a text and a :class:`Filter` tests it, each looking at one
document alone; a :class:`CorpusFilter` compares each document with those before it. Work on single texts, hashing
included, runs in several processes; the comparison of documents runs in one, in order, and remembers hashes, never
texts. The steps that compare documents with others are here, the rest are in
:mod:`~minillm_lib.corpora.cleaning.filters`.
"""

from __future__ import annotations

import json
import os
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import tee
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray

from minillm_lib.corpora.cleaning.boilerplate import remove_boilerplate
from minillm_lib.corpora.cleaning.duplicates import (
    SignatureIndex,
    check_options,
    minhash_signature,
    ngram_hashes,
    shingle_hashes,
    units_digest,
)
from minillm_lib.corpora.cleaning.filters import (
    CorpusFilter,
    Edit,
    Filter,
    Removal,
    Step,
    language_test,
    length_test,
    remove_control_characters,
    repetition_test,
    tidy_blank_lines,
    units_of,
)
from minillm_lib.corpora.cleaning.repair import undo_mojibake
from minillm_lib.corpora.cleaning.report import PipelineReport, around_first_difference
from minillm_lib.corpora.document import Document, name_of_source
from minillm_lib.io.atomic_write import open_atomically
from minillm_lib.io.parallel import parallel_map

DEFAULT_STEPS = (
    *("encoding", "control characters", "Unicode", "boilerplate", "blank lines"),
    *("language", "length", "repetition", "test text", "exact duplicates", "near duplicates"),
)
"""The names of all steps, in order: first those that change texts, then those that remove documents."""

_CHUNK_CHARACTERS = 1 << 20


class CleaningPipeline:
    """A sequence of cleaning steps.

    Cleaning documents that are already clean changes nothing if the edits come before the filters, as in
    :data:`DEFAULT_STEPS`.

    Parameters
    ----------
    steps
        Names from :data:`DEFAULT_STEPS`, or your own steps, such as ``Filter("length", "…",
        length_test(min_words=50))``.
    test_documents
        What the step "test text" keeps out of the training text; read once, here.
    n_jobs
        Number of processes; -1 for one per core. The result does not depend on it.
    chunk_size
        Number of documents that a process is given at once; a chunk ends earlier once it has a million characters. At
        most two chunks per process, and two more, are in memory.

    Raises
    ------
    ValueError
        For an unknown step, two steps of the same name, or a number out of range.
    """

    report: PipelineReport
    """A report on the last cleaning, or on the part of it that has been read."""

    def __init__(
        self,
        steps: Iterable[str | Step] = DEFAULT_STEPS,
        *,
        test_documents: Iterable[Document] = (),
        n_jobs: int = -1,
        chunk_size: int = 256,
    ) -> None:
        if chunk_size < 1:
            raise ValueError(f"chunk_size is {chunk_size}; allowed is 1 or more")
        self.steps = tuple(
            _step_named(step, test_documents) if isinstance(step, str) else step for step in steps
        )
        names = [step.name for step in self.steps]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two steps are called {twice[0]!r}; each step needs a different name")
        self.n_jobs = effective_n_jobs(n_jobs)
        self.chunk_size = chunk_size
        self.report = self._new_report()

    def _new_report(self) -> PipelineReport:
        return PipelineReport.of_steps((step.name, step.why) for step in self.steps)

    def clean(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yield the documents that pass, cleaned and in order; ``report`` is updated with each."""
        self.report = report = self._new_report()
        memories = [step.new_memory() if isinstance(step, CorpusFilter) else None for step in self.steps]
        for number, (before, trace) in enumerate(self._traces(documents)):
            report.read(len(before.text))
            if self._passes(number, before, trace, memories, report):
                report.keep(len(trace.text))
                yield before if trace.text == before.text else replace(before, text=trace.text)

    def _passes(
        self,
        number: int,
        before: Document,
        trace: _Trace,
        memories: Sequence[Callable[[Any, int], Removal | None] | None],
        report: PipelineReport,
    ) -> bool:
        characters = len(before.text)
        for counts, memory, outcome in zip(report.steps, memories, trace.outcomes, strict=False):
            counts.reach(characters)
            if memory is not None:
                outcome = memory(outcome, number)
            if isinstance(outcome, _Change):
                characters += outcome.growth
                counts.change(before.source, outcome.growth, outcome.before, outcome.after)
            elif outcome is not None:
                counts.remove(before.source, characters, outcome.kind, outcome.detail, trace.text)
                return False
        return True

    def _traces(self, documents: Iterable[Document]) -> Iterator[tuple[Document, _Trace]]:
        chunks, again = tee(_chunks(documents, self.chunk_size))
        texts = ([document.text for document in chunk] for chunk in again)
        traces = parallel_map(partial(_trace_all, self.steps), texts, n_jobs=self.n_jobs)
        for chunk, own in zip(chunks, traces, strict=True):
            yield from zip(chunk, own, strict=True)


def clean(
    documents: Iterable[Document],
    steps: Iterable[str | Step] = DEFAULT_STEPS,
    *,
    test_documents: Iterable[Document] = (),
    n_jobs: int = -1,
) -> Iterator[Document]:
    """Yield the documents that pass all steps, cleaned; :class:`CleaningPipeline` does the same and has a report."""
    return CleaningPipeline(steps, test_documents=test_documents, n_jobs=n_jobs).clean(documents)


def clean_corpus(
    documents: Iterable[Document],
    output: str | os.PathLike[str],
    *,
    steps: Iterable[str | Step] = DEFAULT_STEPS,
    test_documents: Iterable[Document] = (),
    n_jobs: int = -1,
) -> PipelineReport:
    """Clean documents into a JSON lines file, and return a report.

    Each line is an object with the ``text``, the ``source``, and what ``meta`` holds. Where ``meta`` has a source of
    its own, such as a newspaper, that of the document is called ``file``; a ``text`` in ``meta`` is called
    ``text (metadata)``. The file appears when it is complete; if anything fails before, an existing file stays as it
    was.

    Parameters
    ----------
    output
        The file to write.
    steps, test_documents, n_jobs
        As for :class:`CleaningPipeline`.

    Raises
    ------
    ValueError
        If a step is invalid (see :class:`CleaningPipeline`), or there are no documents.
    """
    pipeline = CleaningPipeline(steps, test_documents=test_documents, n_jobs=n_jobs)
    with open_atomically(output) as file:
        for document in pipeline.clean(documents):
            file.write(_json_line(document))
        if not pipeline.report.documents_read:
            raise ValueError("there are no documents to clean")
    return pipeline.report


def decontamination(test_documents: Iterable[Document], *, n: int = 13) -> Filter:
    """Remove the training documents that share a run of ``n`` words with a test document (Brown et al. 2020, app. C).

    Words are compared without case and punctuation; a Chinese character counts as a word. The entire training document
    is removed (Brown et al. remove only the surroundings). A test document of fewer than ``n`` words has no such run,
    so it is not searched for; the step's ``why`` says how many there are.

    Raises
    ------
    ValueError
        If ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; allowed is 1 or more")
    n_tests, n_short, found = 0, 0, [np.zeros(0, dtype=np.uint64)]
    for document in test_documents:
        units = units_of(document.text)
        n_tests += 1
        n_short += len(units) < n
        found.append(np.unique(ngram_hashes(units, n)))
    known = np.unique(np.concatenate(found))

    def test(text: str) -> Removal | None:
        units = units_of(text)
        own = ngram_hashes(units, n)
        if not len(known) or not len(own):
            return None
        shared = known[np.minimum(np.searchsorted(known, own), len(known) - 1)] == own
        if not shared.any():
            return None
        first = int(shared.argmax())
        return Removal(f"{n} words of a test document", " ".join(units[first : first + n]))

    why = f"shares {n} words with one of {n_tests:,} test documents"
    return Filter("test text", why + (f" ({n_short:,} too short to search for)" if n_short else ""), test)


def exact_duplicates() -> CorpusFilter:
    """Keep the first of the documents that are equal except for case, punctuation and spacing."""

    def digest(text: str) -> bytes:
        units = units_of(text)
        return units_digest(units) if units else b""

    def new_memory() -> Callable[[bytes, int], Removal | None]:
        first_with: dict[bytes, int] = {}

        def judge(own: bytes, number: int) -> Removal | None:
            first = first_with.setdefault(own, number) if own else number
            return None if first == number else Removal("exact duplicate", f"of document {first}")

        return judge

    return CorpusFilter("exact duplicates", "repeats an earlier document", digest, new_memory)


def near_duplicates(*, threshold: float = 0.8, shingle_size: int = 5) -> CorpusFilter:
    """Remove the documents that are near copies of an earlier document that was kept.

    The Jaccard similarity of the sets of shingles (runs of words or Chinese characters) is estimated from MinHash
    signatures, with a standard error of at most 0.045. Candidates come from bands of the signature; a pair at a
    threshold of 0.8 is missed with a probability of 5e-8. The memory is about 4 kB per kept document (twice that below
    a threshold of 0.7). If every pair must be checked exactly and the texts fit into memory, see
    :func:`~minillm_lib.corpora.cleaning.duplicates.find_duplicates`.

    Parameters
    ----------
    threshold
        Least estimated similarity of a near copy, from 0.5 to 1.
    shingle_size
        Number of words or Chinese characters in a shingle.

    Raises
    ------
    ValueError
        If ``threshold`` or ``shingle_size`` is out of range.
    """
    check_options(threshold, shingle_size, least=0.5)
    bands_and_rows = (32, 4) if threshold >= 0.7 else (64, 2)

    def signature(text: str) -> NDArray[np.uint32]:
        return minhash_signature(shingle_hashes(units_of(text), shingle_size))

    def new_memory() -> Callable[[NDArray[np.uint32], int], Removal | None]:
        index, numbers = SignatureIndex(*bands_and_rows), array("q")

        def judge(own: NDArray[np.uint32], number: int) -> Removal | None:
            if not len(own):
                return None
            if candidates := index.candidates(own):
                similarities = index.estimates(own, candidates)
                best = int(similarities.argmax())
                if similarities[best] >= threshold:
                    kept = numbers[candidates[best]]
                    return Removal("near duplicate", f"{similarities[best]:.0%} like document {kept}")
            index.add(own)
            numbers.append(number)
            return None

        return judge

    why = f"at least {threshold:.0%} of its {shingle_size}-word runs occur in an earlier document"
    return CorpusFilter("near duplicates", why, signature, new_memory)


_FIXED_STEPS: Mapping[str, Step] = {
    step.name: step
    for step in (
        Edit("encoding", "text that was once decoded wrongly", undo_mojibake),
        Edit("control characters", "characters that print nothing", remove_control_characters),
        Edit("Unicode", "letters and accents not composed (NFC)", partial(unicodedata.normalize, "NFC")),
        Edit("boilerplate", "licences, menus, cookie notices, calls to share", remove_boilerplate),
        Edit(
            "blank lines", "blanks at the ends of lines, several empty lines in succession", tidy_blank_lines
        ),
        Filter("language", "neither English nor Chinese", language_test()),
        Filter("length", "too short or too long", length_test()),
        Filter("repetition", "lines, paragraphs or runs of words repeat too often", repetition_test()),
        exact_duplicates(),
        near_duplicates(),
    )
}


def _step_named(name: str, test_documents: Iterable[Document]) -> Step:
    if name == "test text":
        return decontamination(test_documents)
    if name not in _FIXED_STEPS:
        raise ValueError(f"unknown step {name!r}; the steps are {', '.join(map(repr, DEFAULT_STEPS))}")
    return _FIXED_STEPS[name]


def _json_line(document: Document) -> bytes:
    meta = dict(document.meta)
    if "text" in meta:
        meta["text (metadata)"] = meta.pop("text")
    record = {"text": document.text, name_of_source(meta): document.source, **meta}
    # A lone surrogate has no UTF-8 form; escaped by a backslash, it is valid JSON.
    return (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode("utf-8", "backslashreplace")


class _Change(NamedTuple):
    """What an edit did: by how many characters the text grew, and excerpts from before and after."""

    growth: int
    before: str
    after: str


class _Trace(NamedTuple):
    """A text after all edits that it reached, and the outcome of each step, up to a filter that removes the text."""

    text: str
    outcomes: list[Any]


def _trace_all(steps: Sequence[Step], texts: Sequence[str]) -> list[_Trace]:
    return [_trace(text, steps) for text in texts]


def _trace(text: str, steps: Sequence[Step]) -> _Trace:
    """Run all work on one text that does not need the others."""
    outcomes: list[Any] = []
    while len(outcomes) < len(steps):
        step = steps[len(outcomes)]
        if isinstance(step, Edit):
            edits: list[Edit] = []
            for following in steps[len(outcomes) :]:
                if not isinstance(following, Edit):
                    break
                edits.append(following)
            text, changes = _edited(text, edits)
            outcomes += changes
        elif isinstance(step, Filter):
            outcomes.append(step.test(text))
            if outcomes[-1] is not None:
                break
        else:
            outcomes.append(step.sketch(text))
    return _Trace(text, outcomes)


def _edited(text: str, edits: Sequence[Edit]) -> tuple[str, list[_Change | None]]:
    """Repeat the edits until none of them changes the text; return the text, and what each edit did."""
    changes: list[_Change | None] = [None] * len(edits)
    while True:
        start = text
        for index, edit in enumerate(edits):
            edited = edit.change(text)
            if edited != text:
                growth = len(edited) - len(text)
                if (earlier := changes[index]) is None:
                    changes[index] = _Change(growth, *around_first_difference(text, edited))
                else:
                    changes[index] = earlier._replace(growth=earlier.growth + growth)
                text = edited
        if text == start:
            return text, changes


def _chunks(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    chunk: list[Document] = []
    characters = 0
    for document in documents:
        chunk.append(document)
        characters += len(document.text)
        if len(chunk) == size or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
