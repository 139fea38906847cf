"""The text of the configured corpora: its documents by split, counted and hashed, and the tokenizer trained on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from minillm_lib.corpora.document import PART, Document, place_of
from minillm_lib.corpora.reading.report import ReadReport
from minillm_lib.corpora.registry import load_corpus, load_files
from minillm_lib.io.atomic_folder import present_or_previous
from minillm_lib.io.wording import number_of
from minillm_lib.model.checkpoint import load_checkpoint
from minillm_lib.model.stored import place_of as place_of_checkpoint
from minillm_lib.model.weights import FILE_SUFFIXES, WEIGHTS
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.config import VOCAB_SIZE, CorpusConfig, DataConfig

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")


class DataError(ValueError):
    """Text that a run cannot be trained on; the message names the corpus and the split."""


def names_of(config: DataConfig) -> str:
    """Return the names of the corpora, for a message."""
    return ", ".join(corpus.name for corpus in config.corpora)


def documents_of(config: DataConfig, split: Split) -> Iterator[Document]:
    """Yield the documents of a split, corpus by corpus, each as often as configured (once if held out)."""
    for corpus in config.corpora:
        for _ in range(corpus.repeat if split == "train" else 1):
            yield from _of_split(corpus, split)


def _of_split(corpus: CorpusConfig, split: Split, report: ReadReport | None = None) -> Iterator[Document]:
    if report is not None and corpus.name == "files":
        return load_files(report, split=split, **corpus.options)
    return load_corpus(corpus.name, split=split, **corpus.options)


@dataclass
class SplitCounts:
    """What a split of a corpus holds: documents, parts of documents that were cut, and characters."""

    documents: int = 0
    parts: int = 0
    characters: int = 0

    def __str__(self) -> str:
        what = number_of(self.documents, "part" if self.parts == self.documents > 0 else "document")
        return f"{what} ({number_of(self.characters, 'character')})"


@dataclass
class Survey:
    """One reading of all text: what each corpus holds, and by what the text is recognised again.

    Attributes
    ----------
    sha256
        By split, the hash that :func:`~minillm_lib.training.token_file.pack` writes into the header.
    n_bytes
        How long all text is that will be packed, in UTF-8, with its repetitions.
    lines
        What was found, in words for the user.
    """

    counts: dict[Split, SplitCounts] = field(
        default_factory=lambda: {split: SplitCounts() for split in SPLITS}
    )
    sha256: dict[Split, str] = field(default_factory=dict)
    n_bytes: int = 0
    lines: list[str] = field(default_factory=list)


def survey(config: DataConfig) -> Survey:
    """Read the training and the held-out text of all corpora once, to count and to hash it.

    Raises
    ------
    ValueError
        For an unknown corpus or option, files that cannot be read, and a split without text.
    """
    found = Survey()
    digests = {split: hashlib.sha256() for split in SPLITS}
    for corpus in config.corpora:
        report = ReadReport()
        own: dict[Split, SplitCounts] = {split: SplitCounts() for split in SPLITS}
        for split in SPLITS:
            for repetition in range(corpus.repeat if split == "train" else 1):
                is_first = repetition == 0
                reported = report if is_first and split == "train" else None
                for document in _of_split(corpus, split, reported):
                    if content := _bytes(document):
                        digests[split].update(len(content).to_bytes(8, "little") + content)
                        found.n_bytes += len(content)
                    if is_first:
                        own[split].documents += 1
                        own[split].parts += PART in document.meta
                        own[split].characters += len(document.text)
            _add(found.counts[split], own[split])
        found.lines += _in_words(corpus, own, report)
    for split, counts in found.counts.items():
        if not counts.characters:
            raise DataError(
                f"the {split} split of {names_of(config)} holds no text: {found.counts['train']} to train on, "
                f"{found.counts['validation']} held out; give more text"
            )
    found.sha256 = {split: digest.hexdigest() for split, digest in digests.items()}
    return found


def _add(total: SplitCounts, own: SplitCounts) -> None:
    total.documents += own.documents
    total.parts += own.parts
    total.characters += own.characters


def _in_words(corpus: CorpusConfig, own: dict[Split, SplitCounts], report: ReadReport) -> Iterator[str]:
    if not report.is_worth_a_warning:  # otherwise a warning says it all
        yield from report.notes
    line = f"{corpus.name}: {own['train']} to train on, {own['validation']} held out"
    if own["train"].parts:
        line += (
            "; with so few documents, each was cut: its last parts are held out, one of them as split test"
        )
    elif corpus.name == "files":
        line += "; about as much is kept as split test"
    yield line + (f"; repeated {corpus.repeat} times" if corpus.repeat > 1 else "")


def given_tokenizer(path: Path) -> Tokenizer:
    """Load the tokenizer of a file, of a folder that holds one, or of a checkpoint as ``load_checkpoint`` takes it.

    Raises
    ------
    ValueError
        If there is no tokenizer.
    """
    place = present_or_previous(path)
    if place.name in WEIGHTS and place.is_file():
        place = place_of_checkpoint(place)
    if place.suffix in FILE_SUFFIXES and not place.is_dir():
        tokenizer = load_checkpoint(place).tokenizer
        if tokenizer is None:
            raise DataError(f"data.tokenizer={path}: this checkpoint holds no tokenizer")
        return tokenizer
    try:
        return Tokenizer.load(place)
    except FileNotFoundError as error:
        raise DataError(f"data.tokenizer={path}: {error}") from None


def tokenizer_of_packed(folder: Path) -> Tokenizer:
    """Load the tokenizer of a folder that ``minillm data pack`` has written.

    Raises
    ------
    ValueError
        If there is no such folder, or it was packed without a tokenizer.
    """
    if not (folder / "train.tokens").is_file():
        raise DataError(
            f"data.packed={folder} is no folder that minillm data pack has written: it has no train.tokens"
        )
    try:
        return Tokenizer.load(folder)
    except FileNotFoundError:
        raise DataError(
            f"data.packed={folder} holds no tokenizer, without which no run can judge or show its model; pack the ids "
            "again with --tokenizer"
        ) from None


def planned_tokenizer(config: DataConfig) -> Tokenizer | None:
    """Return the tokenizer that a configuration names, by ``tokenizer`` or ``packed``; None if it is to be trained."""
    if config.packed is not None:
        return tokenizer_of_packed(config.packed)
    return None if config.tokenizer is None else given_tokenizer(config.tokenizer)


def train_tokenizer(config: DataConfig, counts: SplitCounts, progress: bool) -> Tokenizer:
    """Train a tokenizer on a sample of each corpus; say so if the text yields fewer pieces than is usual.

    Parameters
    ----------
    counts
        What the training text holds, for the message of an error.

    Raises
    ------
    DataError
        If the text cannot fill the vocabulary that is asked for, or its characters alone do not fit into it.
    """
    wanted = config.vocab_size or VOCAB_SIZE
    if progress:
        up_to = "up to " * (config.vocab_size is None)
        print(f"training a tokenizer of {up_to}{wanted:,} pieces …", flush=True)
    n_bytes = int(config.tokenizer_megabytes * 1e6)
    texts = chain.from_iterable(_sample(corpus, n_bytes) for corpus in config.corpora)
    try:
        tokenizer = Tokenizer.train(texts, vocab_size=wanted, or_fewer=config.vocab_size is None)
    except ValueError as error:
        where = f"training a tokenizer on the train split of {names_of(config)}, {counts}"
        hint = "; the key is data.vocab_size" * str(error).startswith("vocab_size")
        if "yields at most" in str(error):
            hint += (
                ": without it, the largest possible vocabulary is taken, and without model.vocab_size, the model takes "
                "the tokenizer's size"
            )
        raise DataError(f"{where}: {error}{hint}") from error
    if progress and tokenizer.vocab_size < wanted:
        print(
            f"this text yields only {tokenizer.vocab_size:,} pieces, all of which are taken; "
            "data.vocab_size sets fewer",
            flush=True,
        )
    return tokenizer


def _sample(corpus: CorpusConfig, n_bytes: int) -> Iterator[str]:
    """Yield about ``n_bytes`` of a corpus, chosen by the hash of each text, and repeated as often as configured."""
    total = sum(len(_bytes(document)) for document in _of_split(corpus, "train"))
    share = n_bytes / max(total, 1)
    for _ in range(corpus.repeat):
        texts = (document.text for document in _of_split(corpus, "train"))
        yield from (text for text in texts if share >= 1 or place_of(text) < share)


def _bytes(document: Document) -> bytes:
    return document.text.encode(errors="surrogatepass")
