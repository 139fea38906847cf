"""All corpora under one roof: :func:`load_corpus` by name, :data:`CORPORA` for what there is, and statistics."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from minillm_lib.corpora.document import Document

SPLITS = ("train", "validation", "test")
_EVERYTHING = "all"
_VALIDATION_SHARE = _TEST_SHARE = 0.05
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Corpus:
    """What the registry knows of a corpus.

    ``size`` is approximate; ``needs_network`` says whether the first use fetches it. ``load`` takes a split and the
    options of the corpus; ``fetch`` brings what is needed onto this machine and says where or what that is.
    """

    name: str
    description: str
    licence: str
    size: str
    language: str
    needs_network: bool
    load: Callable[..., Iterable[Document]] = field(repr=False)
    fetch: Callable[..., str] = field(repr=False)


def load_corpus(name: str, *, split: str = "train", **options: Any) -> Iterator[Document]:
    """The documents of a corpus, as a stream.

    Args:
        name: one of :data:`CORPORA`.
        split: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``. Where a corpus has no splits of its own, its
            documents are divided by a hash of their text: 90 % train, 5 % validation, 5 % test.
        options: those of the corpus: ``years`` for the venues; ``paths`` and others of
            :func:`~minillm_lib.corpora.files.read_files` for ``files``; ``path``, ``hub`` and others of
            :func:`~minillm_lib.corpora.hub.load_hub_corpus`; ``n``, ``seed`` and ``language`` for ``grammar``;
            those of :func:`~minillm_lib.corpora.docstrings.load_docstrings`.

    Raises:
        ValueError: for an unknown corpus, split or option.

    >>> next(load_corpus("grammar", language="en")).source
    'grammar'
    """
    corpus = find_corpus(name)
    if split not in (*SPLITS, _EVERYTHING):
        allowed = ", ".join(map(repr, (*SPLITS, _EVERYTHING)))
        raise ValueError(f"split is {split!r}; allowed are {allowed}")
    return iter(corpus.load(split, **options))


def fetch_corpus(name: str, **options: Any) -> str:
    """Bring a corpus onto this machine, and return one line that says where or what it is.

    What is fetched already is not fetched again. Raises as :func:`load_corpus`.
    """
    return find_corpus(name).fetch(**options)


def find_corpus(name: str) -> Corpus:
    """The entry of a corpus.

    Raises:
        ValueError: if there is none; the message lists the names.
    """
    if name not in CORPORA:
        raise ValueError(f"there is no corpus {name!r}; there are {', '.join(CORPORA)}")
    return CORPORA[name]


def split_of(text: str) -> str:
    """The split of a text by its hash: stable, and the same for the same text wherever it stands."""
    place = int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], "big") / 2**64
    if place < _TEST_SHARE:
        return "test"
    return "validation" if place < _TEST_SHARE + _VALIDATION_SHARE else "train"


def _of_split(documents: Iterable[Document], split: str) -> Iterator[Document]:
    return (document for document in documents if split in (_EVERYTHING, split_of(document.text)))


def _load_docstrings(split: str, **options: Any) -> Iterable[Document]:
    from minillm_lib.corpora.docstrings import SPLITS as OWN_SPLITS
    from minillm_lib.corpora.docstrings import load_docstrings

    wanted = [own for own in OWN_SPLITS if split in (_EVERYTHING, own)]
    return chain.from_iterable(load_docstrings(own, **options) for own in wanted)


def _fetch_docstrings(**options: Any) -> str:
    from minillm_lib.corpora.docstrings import docstrings_manifest

    manifest = docstrings_manifest(**options)
    counts = f"{manifest['counts']['documents']:,} documents, {manifest['bytes'] / 1e6:.1f} MB"
    return f"built from {len(manifest['packages'])} packages: {counts}, SHA-256 {manifest['sha256'][:16]}…"


def _load_grammar(
    split: str, *, n: int = 10_000, seed: int = 0, language: str = "both", **options: Any
) -> Iterable[Document]:
    from minillm_lib.corpora.grammar import load_grammar

    if language not in ("en", "zh", "both"):
        raise ValueError(f"language is {language!r}; allowed are 'en', 'zh' and 'both'")
    if options:
        raise ValueError(f"unknown option {next(iter(options))!r}; allowed are 'n', 'seed' and 'language'")
    grammars = [load_grammar("en")] * (language != "zh") + [load_grammar("zh")] * (language != "en")
    # Documents of a grammar are independent draws, so the splits are ranges of one long sequence.
    documents = chain.from_iterable(zip(*(grammar.generate(n, seed) for grammar in grammars), strict=True))
    return _of_split(documents, split)


def _venue(venue: str) -> Callable[..., Iterable[Document]]:
    def load(split: str, *, years: int | Iterable[int] = (2023,), **options: Any) -> Iterable[Document]:
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
        if options.get("path") is not None or _EVERYTHING in published:
            return _of_split(load_hub_corpus(name, split=_EVERYTHING, **options), split)
        wanted = published if split == _EVERYTHING else [split]
        return chain.from_iterable([load_hub_corpus(name, split=own, **options) for own in wanted])

    return load


def _fetch_hub(name: str) -> Callable[..., str]:
    def fetch(**options: Any) -> str:
        from minillm_lib.corpora.hub import HUB_CORPORA, fetch_hub_corpus

        paths = [fetch_hub_corpus(name, split=split, **options) for split in HUB_CORPORA[name].files]
        return ", ".join(f"{path} ({path.stat().st_size / 1e6:,.1f} MB)" for path in paths)

    return fetch


def _load_files(split: str, *, paths: Any = None, **options: Any) -> Iterable[Document]:
    from minillm_lib.corpora.files import read_files

    if paths is None:
        raise ValueError("the corpus 'files' needs the option paths: a file, a folder, a glob, or several")
    return _of_split(read_files(paths, **options), split)


def _nothing_to_fetch(**_: Any) -> str:
    return "nothing to fetch: it is made or read where it is used"


_ABSTRACTS = "their authors'; for reading and research"
CORPORA: Mapping[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "docstrings",
            "documentation of Python and of the course's packages, as installed",
            "that of each package (BSD, MIT, Apache-2.0, PSF)",
            "39 MB",
            "en",
            False,
            _load_docstrings,
            _fetch_docstrings,
        ),
        Corpus(
            "grammar",
            "abstracts written by a grammar whose entropy is known",
            "MIT (part of this package)",
            "any; 20,000 documents",
            "en, zh",
            False,
            _load_grammar,
            _nothing_to_fetch,
        ),
        *(
            Corpus(
                name,
                f"abstracts of {title} (option: years)",
                _ABSTRACTS,
                size,
                "en",
                True,
                _venue(venue),
                _fetch_venue(venue),
            )
            for name, venue, title, size in (
                ("neurips", "nips", "NeurIPS, 1987 to today", "up to 6 MB a year"),
                ("icml", "icml", "ICML", "up to 4 MB a year"),
                ("iclr", "iclr", "ICLR", "up to 5 MB a year"),
                ("aistats", "aistats", "AISTATS", "under 1 MB a year"),
                ("colt", "colt", "COLT", "under 1 MB a year"),
                ("uai", "uai", "UAI", "under 1 MB a year"),
            )
        ),
        Corpus(
            "tinystories",
            "short stories in the words of small children (Eldan & Li 2023)",
            "CDLA-Sharing-1.0",
            "2.2 GB",
            "en",
            True,
            _hub("tinystories"),
            _fetch_hub("tinystories"),
        ),
        Corpus(
            "minimind-pretrain",
            "MiniMind's texts for pretraining",
            "mixed, see the data set's page",
            "1.2–1.6 GB",
            "zh, en",
            True,
            _hub("minimind-pretrain"),
            _fetch_hub("minimind-pretrain"),
        ),
        Corpus(
            "minimind-sft",
            "MiniMind's conversations for fine-tuning",
            "mixed, see the data set's page",
            "1.2–1.7 GB",
            "zh, en",
            True,
            _hub("minimind-sft"),
            _fetch_hub("minimind-sft"),
        ),
        Corpus(
            "files",
            "your own text, Markdown, JSON lines or Parquet (option: paths)",
            "yours",
            "any",
            "any",
            False,
            _load_files,
            _nothing_to_fetch,
        ),
    )
}


@dataclass(frozen=True)
class GroupStats:
    """Counts of a group of documents; ``quantiles`` are of the documents' lengths in characters."""

    name: str
    documents: int
    bytes: int
    characters: int
    words: int
    share: float
    quantiles: tuple[int, ...]


@dataclass(frozen=True)
class CorpusStats:
    """Counts of a corpus, and of its parts, the largest first. ``print(stats)`` shows a table."""

    total: GroupStats
    groups: tuple[GroupStats, ...]
    group_by: str

    def rows(self) -> list[list[str]]:
        """The cells of the table, its header first."""
        header = [self.group_by, "documents", "MB", "share", "characters", "words"]
        header += [f"{quantile:.0%}" if quantile != 0.5 else "median" for quantile in _QUANTILES]
        return [header, *(_cells(group) for group in (*self.groups, self.total))]

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(group: GroupStats) -> list[str]:
    numbers = [f"{number:,}" for number in (group.characters, group.words, *group.quantiles)]
    return [group.name, f"{group.documents:,}", f"{group.bytes / 1e6:,.2f}", f"{group.share:.1%}", *numbers]


def corpus_stats(documents: Iterable[Document], *, group_by: str | None = None) -> CorpusStats:
    """Count documents, bytes (UTF-8), characters and words (Chinese: characters), in all and by group.

    Args:
        group_by: the key of ``meta`` that names the group; if None, the first of ``package``, ``language``, ``venue``
            that the first document has, or else the whole corpus.

    Raises:
        ValueError: if there are no documents.
    """
    from minillm_lib.corpora.deduplication import text_units

    lengths: dict[str, list[int]] = defaultdict(list)
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2, dtype=np.int64))
    for document in documents:
        if group_by is None:
            group_by = next(
                (key for key in ("package", "language", "venue") if key in document.meta), "corpus"
            )
        name = str(document.meta.get(group_by, document.source.partition(":")[0] or "?"))
        if group_by == "corpus":
            name = "documents"
        lengths[name].append(len(document.text))
        n_bytes = len(document.text.encode(errors="surrogatepass"))
        sums[name] += (n_bytes, len(text_units(document.text)))
    if group_by is None or not lengths:
        raise ValueError("there are no documents to count")
    total_bytes = sum(int(n_bytes) for n_bytes, _ in sums.values())

    def stats(name: str, own: list[int], n_bytes: int, n_words: int) -> GroupStats:
        quantiles = tuple(int(q) for q in np.quantile(own, _QUANTILES, method="lower"))
        share = n_bytes / max(total_bytes, 1)
        return GroupStats(name, len(own), n_bytes, sum(own), n_words, share, quantiles)

    groups = [stats(name, lengths[name], *map(int, sums[name])) for name in lengths]
    groups.sort(key=lambda group: (-group.bytes, group.name))
    everything = list(chain.from_iterable(lengths.values()))
    total = stats("total", everything, total_bytes, sum(group.words for group in groups))
    return CorpusStats(total, tuple(groups), group_by)
