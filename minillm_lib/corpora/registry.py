"""All corpora in one place: :func:`load_corpus` reads one by name, :data:`CORPORA` lists them; and statistics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from minillm_lib.corpora.document import SPLITS, Document, divided, split_of
from minillm_lib.io.refusals import reason, refusals

if TYPE_CHECKING:
    from minillm_lib.corpora.reading.report import ReadReport

_EVERYTHING = "all"
_QUANTILES = (0.05, 0.5, 0.95)
_GROUPS = ("package", "language", "venue")
_YEAR = 2023
# Further options of every corpus that needs a network: see Downloader, and fetch_papers or fetch_hub_corpus.
_DOWNLOADING: Mapping[str, Any] = {
    "base_url": str,
    "cache_dir": Path,
    "progress": bool,
    "user_agent": str,
    "delay": float,
    "timeout": float,
    "backoff": float,
    "max_retry_after": float,
    "max_connections": int,
    "retries": int,
    "max_bytes": int,
    "max_file_bytes": int,
    "max_ratio": float,
    "max_seconds": float,
    "max_file_seconds": float,
    "min_rate": float,
}


def _nothing_to_fetch(**_: Any) -> str:
    return "nothing to fetch: it is made or read when it is used"


@dataclass(frozen=True)
class Corpus:
    """What the registry knows about a corpus.

    Attributes
    ----------
    size
        An approximate size, in words.
    needs_network
        Whether its first use downloads it.
    options
        The names and types of the options that :func:`load_corpus` takes for it, besides the settings of a download.
    load
        Takes a split and the options, and returns the documents.
    fetch
        Takes the options, downloads what is needed, and returns a line that says where or what that is.
    """

    name: str
    description: str
    licence: str
    size: str
    language: str
    needs_network: bool
    options: Mapping[str, Any]
    load: Callable[..., Iterable[Document]] = field(repr=False)
    fetch: Callable[..., str] = field(repr=False, default=_nothing_to_fetch)


def load_corpus(name: str, *, split: str = "train", **options: Any) -> Iterator[Document]:
    """Return the documents of a corpus, as a stream.

    Parameters
    ----------
    name
        One of :data:`CORPORA`.
    split
        ``"train"``, ``"validation"``, ``"test"`` or ``"all"``. Where a corpus has no splits of its own, its
        documents are divided by a hash of their text, and a few long ones are cut
        (:func:`~minillm_lib.corpora.document.divided`).
    options
        Options of the corpus (``CORPORA[name].options``), explained at the function that reads it:
        :func:`~minillm_lib.corpora.docstrings.corpus.load_docstrings`, :meth:`Grammar.generate
        <minillm_lib.corpora.grammar.Grammar.generate>`, :func:`~minillm_lib.corpora.neurips.fetch_neurips`,
        :func:`~minillm_lib.corpora.hub.load_hub_corpus`, :func:`~minillm_lib.corpora.files.read_files`. Strings
        are converted to the type of the option, so ``n="20"`` is as good as ``n=20``.

    Raises
    ------
    ValueError
        For an unknown corpus, split or option, or a value that the option does not allow.

    >>> next(load_corpus("grammar", language="en")).source
    'grammar'
    """
    corpus = find_corpus(name)
    if split not in (*SPLITS, _EVERYTHING):
        allowed = ", ".join(map(repr, (*SPLITS, _EVERYTHING)))
        raise ValueError(f"split is {split!r}; allowed values: {allowed}")
    return iter(corpus.load(split, **_checked(corpus, options)))


def load_files(report: ReadReport, *, split: str = "train", **options: Any) -> Iterator[Document]:
    """Return the documents of the corpus ``files``, and fill in the report while they are read."""
    return iter(_load_files(split, report=report, **_checked(find_corpus("files"), options)))


def fetch_corpus(name: str, **options: Any) -> str:
    """Download a corpus to this machine, and return one line that says where or what it is.

    What has already been downloaded is not downloaded again. The errors are those of :func:`load_corpus`.
    """
    corpus = find_corpus(name)
    return corpus.fetch(**_checked(corpus, options))


def find_corpus(name: str) -> Corpus:
    """Return the registry's entry for a corpus.

    Raises
    ------
    ValueError
        If there is no such corpus; the message lists the names.
    """
    if name not in CORPORA:
        raise ValueError(f"there is no corpus {name!r}; the corpora are {', '.join(CORPORA)}")
    return CORPORA[name]


def _checked(corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
    types = {**corpus.options, **(_DOWNLOADING if corpus.needs_network else {})}
    return checked_options(corpus.name, types, options)


def checked_options(of: str, types: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the given options, except those that are None, to their types.

    Parameters
    ----------
    of
        What has the options, for the error.

    Raises
    ------
    ValueError
        For an unknown option, or a value that its type does not allow.
    """
    checked = {}
    for name, value in options.items():
        if name not in types:
            allowed = ", ".join(types) or "none"
            raise ValueError(f"{of} has no option {name!r}; allowed options: {allowed}")
        if value is None:
            continue
        try:
            checked[name] = TypeAdapter(types[name]).validate_python(value)
        except ValidationError as error:
            wanted = reason(refusals(error)[0])
            raise ValueError(f"{of}: {name} is {value!r}; {wanted[0].lower()}{wanted[1:]}") from None
    return checked


def _of_split(documents: Iterable[Document], split: str) -> Iterator[Document]:
    if split == _EVERYTHING:
        return iter(documents)
    return (document for own, document in divided(documents) if own == split)


def _load_docstrings(split: str, **options: Any) -> Iterable[Document]:
    from minillm_lib.corpora.docstrings.corpus import load_docstrings

    wanted = [own for own in SPLITS if split in (_EVERYTHING, own)]
    return chain.from_iterable(load_docstrings(own, **options) for own in wanted)


def _fetch_docstrings(**options: Any) -> str:
    from minillm_lib.corpora.docstrings.corpus import docstrings_manifest

    manifest = docstrings_manifest(**options)
    counts = f"{manifest['counts']['documents']:,} documents, {manifest['bytes'] / 1e6:.1f} MB"
    return f"built from {len(manifest['packages'])} packages: {counts}, SHA-256 {manifest['sha256'][:16]}…"


def _load_grammar(
    split: str, *, n: int = 10_000, seed: int = 0, language: str = "both"
) -> Iterable[Document]:
    from minillm_lib.corpora.grammar import load_grammar

    grammars = [load_grammar("en")] * (language != "zh") + [load_grammar("zh")] * (language != "en")
    documents = chain.from_iterable(zip(*(grammar.generate(n, seed) for grammar in grammars), strict=True))
    return _of_split(documents, split)


def _load_course_faq(
    split: str, *, language: Literal["en", "zh"] | None = None, topics: Sequence[str] | None = None
) -> Iterable[Document]:
    from minillm_lib.corpora.faq import SOURCE, faq_questions

    return (
        Document(f"{question.phrasings[0]}\n\n{question.answer}", SOURCE, {"language": question.language})
        for question in faq_questions(language, topics)
        if split in (_EVERYTHING, split_of(question.id))
    )


def _venue(venue: str) -> Callable[..., Iterable[Document]]:
    def load(split: str, *, years: int | Iterable[int] = _YEAR, **options: Any) -> Iterable[Document]:
        from minillm_lib.corpora.neurips import fetch_neurips, fetch_papers

        if venue == "nips":
            papers = fetch_neurips(years, **{"source": "lists", **options})
        else:
            papers = fetch_papers(venue, years, **options)
        return _of_split(papers, split)

    return load


def _fetch_venue(venue: str) -> Callable[..., str]:
    def fetch(**options: Any) -> str:
        return f"{sum(1 for _ in _venue(venue)(_EVERYTHING, **options)):,} abstracts in the cache"

    return fetch


def _hub(name: str) -> Callable[..., Iterable[Document]]:
    def load(split: str, **options: Any) -> Iterable[Document]:
        from minillm_lib.corpora.hub import HUB_CORPORA, load_hub_corpus

        published = HUB_CORPORA[name].files
        if "path" in options or _EVERYTHING in published:
            return _of_split(load_hub_corpus(name, split=_EVERYTHING, **options), split)
        wanted = published if split == _EVERYTHING else [split]
        return chain.from_iterable([load_hub_corpus(name, split=own, **options) for own in wanted])

    return load


def _fetch_hub(name: str) -> Callable[..., str]:
    def fetch(*, path: Any = None, max_faulty_share: float = 0, **options: Any) -> str:
        from minillm_lib.corpora.hub import HUB_CORPORA, fetch_hub_corpus

        if path is not None:
            return f"nothing to fetch: it is read from {path}"
        paths = [fetch_hub_corpus(name, split=split, **options) for split in HUB_CORPORA[name].files]
        return ", ".join(f"{path} ({path.stat().st_size / 1e6:,.1f} MB)" for path in paths)

    return fetch


def _load_files(
    split: str, *, paths: Any = None, report: ReadReport | None = None, **options: Any
) -> Iterable[Document]:
    from minillm_lib.corpora.files import ReadReport, read_files

    if paths is None:
        raise ValueError("the corpus 'files' needs the option paths: a file, a folder, a glob, or several")
    report = ReadReport() if report is None else report
    report.spelling = "the option {} of the corpus".format
    return _of_split(read_files(paths, report=report, **options), split)


def _venue_corpus(name: str, title: str, size: str, venue: str | None = None) -> Corpus:
    only_here = {"accepted_only": bool} if venue is None else {"source": Literal["proceedings", "lists"]}
    return Corpus(
        name=name,
        description=f"abstracts of {title} (those of {_YEAR} if no years are given)",
        licence="the authors'; to read and study",
        size=size,
        language="en",
        needs_network=True,
        options={
            "years": int | Sequence[int],
            "full_text": bool,
            "refresh": bool,
            "max_failed_share": float,
            **only_here,
        },
        load=_venue(venue or name),
        fetch=_fetch_venue(venue or name),
    )


def _hub_corpus(name: str, description: str, licence: str, size: str, language: str) -> Corpus:
    return Corpus(
        name=name,
        description=description,
        licence=licence,
        size=size,
        language=language,
        needs_network=True,
        options={
            "path": Path | Sequence[Path],
            "hub": Literal["huggingface", "modelscope"],
            "file": str,
            "revision": str,
            "max_faulty_share": float,
        },
        load=_hub(name),
        fetch=_fetch_hub(name),
    )


_ALL = (
    Corpus(
        name="docstrings",
        description="documentation of Python and of the course's packages, as installed",
        licence="each package's own (BSD, MIT, Apache-2.0, PSF)",
        size="39 MB",
        language="en",
        needs_network=False,
        options={
            "packages": Mapping[str, Sequence[str]],
            "cache_dir": Path,
            "n_jobs": int,
            "progress": bool,
        },
        load=_load_docstrings,
        fetch=_fetch_docstrings,
    ),
    Corpus(
        name="grammar",
        description="abstracts written by a grammar whose entropy is known",
        licence="MIT, part of this package",
        size="any; 20,000 documents",
        language="en, zh",
        needs_network=False,
        options={"n": int, "seed": int, "language": Literal["en", "zh", "both"]},
        load=_load_grammar,
    ),
    Corpus(
        name="course-faq",
        description="questions about this course's subjects with their answers, as text",
        licence="MIT, part of this package",
        size="0.3 MB",
        language="en, zh",
        needs_network=False,
        options={"language": Literal["en", "zh"], "topics": Sequence[str]},
        load=_load_course_faq,
    ),
    _venue_corpus("neurips", "NeurIPS, 1987 to today", "up to 6 MB a year", venue="nips"),
    _venue_corpus("icml", "ICML", "up to 4 MB a year"),
    _venue_corpus("iclr", "ICLR", "up to 5 MB a year"),
    _venue_corpus("aistats", "AISTATS", "under 1 MB a year"),
    _venue_corpus("colt", "COLT", "under 1 MB a year"),
    _venue_corpus("uai", "UAI", "under 1 MB a year"),
    _hub_corpus(
        "tinystories",
        "short stories in the words of small children (Eldan & Li 2023)",
        "CDLA-Sharing-1.0",
        "2.2 GB",
        "en",
    ),
    _hub_corpus(
        "minimind-pretrain",
        "MiniMind's texts for pretraining",
        "mixed, see the data set's page",
        "1.2–1.6 GB",
        "zh, en",
    ),
    _hub_corpus(
        "minimind-sft",
        "MiniMind's conversations for fine-tuning",
        "mixed, see the data set's page",
        "1.2–1.7 GB",
        "zh, en",
    ),
    Corpus(
        name="files",
        description="your own texts, web pages, PDF, Word, tables and JSON",
        licence="yours",
        size="any",
        language="any",
        needs_network=False,
        options={
            "paths": Path | Sequence[Path],
            "documents": Literal["auto", "file", "paragraph", "line", "row"],
            "text_key": str,
            "separator": str,
            "encoding": str,
            "strip_markup": bool,
            "max_record_bytes": int,
            "max_faulty_share": float,
        },
        load=_load_files,
    ),
)
CORPORA: Mapping[str, Corpus] = {corpus.name: corpus for corpus in _ALL}
"""All corpora by name."""


@dataclass(frozen=True)
class GroupStats:
    """Counts of a group of documents.

    Attributes
    ----------
    bytes, characters, words
        The size of the group; ``bytes`` in UTF-8, and in ``words`` each Chinese character counts as one.
    share
        The group's share of all bytes, from 0 to 1.
    quantiles
        Of the documents' lengths in characters: 5 %, median and 95 %.
    """

    name: str
    documents: int
    bytes: int
    characters: int
    words: int
    share: float
    quantiles: tuple[int, ...]


@dataclass(frozen=True)
class CorpusStats:
    """Counts of a corpus and of its groups, the largest group first; ``print(stats)`` shows a table."""

    total: GroupStats
    groups: tuple[GroupStats, ...]
    group_by: str

    def rows(self) -> list[list[str]]:
        """Return the cells of the table, header first; the last three columns are quantiles of lengths."""
        header = [self.group_by, "documents", "MB", "share", "words"]
        header += [f"{quantile:.0%}" if quantile != 0.5 else "median" for quantile in _QUANTILES]
        return [header, *(_cells(group) for group in (*self.groups, self.total))]

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(group: GroupStats) -> list[str]:
    numbers = [f"{number:,}" for number in (group.words, *group.quantiles)]
    return [group.name, f"{group.documents:,}", f"{group.bytes / 1e6:,.2f}", f"{group.share:.1%}", *numbers]


def corpus_stats(documents: Iterable[Document], *, group_by: str | None = None) -> CorpusStats:
    """Count documents, bytes (UTF-8), characters and words (Chinese: characters), in total and by group.

    Parameters
    ----------
    group_by
        The key of ``meta`` that names the group; documents without it are counted under ``"?"``. If None, it is the
        first of ``package``, ``language`` and ``venue`` that the first document has; if it has none, all documents are
        one group.

    Raises
    ------
    ValueError
        If there are no documents, or none has ``group_by`` in its ``meta``.
    """
    from minillm_lib.corpora.cleaning.duplicates import text_units

    lengths: dict[str, list[int]] = defaultdict(list)
    n_bytes: Counter[str] = Counter()
    n_words: Counter[str] = Counter()
    for document in documents:
        if not lengths and group_by is None:
            group_by = next((key for key in _GROUPS if key in document.meta), None)
        name = "documents" if group_by is None else str(document.meta.get(group_by, "?"))
        lengths[name].append(len(document.text))
        n_bytes[name] += len(document.text.encode(errors="surrogatepass"))
        n_words[name] += len(text_units(document.text))
    if not lengths:
        raise ValueError("there are no documents to count")
    if lengths.keys() == {"?"}:
        raise ValueError(f"group_by is {group_by!r}, which no document has in its meta")

    def stats(name: str, names: Sequence[str]) -> GroupStats:
        own = list(chain.from_iterable(lengths[each] for each in names))
        own_bytes, own_words = (sum(counts[each] for each in names) for counts in (n_bytes, n_words))
        quantiles = tuple(int(quantile) for quantile in np.quantile(own, _QUANTILES, method="lower"))
        share = own_bytes / max(n_bytes.total(), 1)
        return GroupStats(name, len(own), own_bytes, sum(own), own_words, share, quantiles)

    largest_first = sorted(lengths, key=lambda name: (-n_bytes[name], name))
    groups = tuple(stats(name, [name]) for name in largest_first)
    return CorpusStats(stats("total", largest_first), groups, group_by or "corpus")
