"""From corpora to what a run reads: the tokenizer and token files of pretraining, the packed rows of fine-tuning.

Token files are kept in a folder named after their recipe, so that runs with the same recipe share them. Everything is
made again if the text has changed or a file is damaged; the same recipe and text give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from minillm_lib.corpora.conversations import Conversation, read_conversations
from minillm_lib.corpora.docstrings.questions import load_docstring_qa
from minillm_lib.corpora.document import Document, place_of
from minillm_lib.corpora.faq import load_course_faq, reword
from minillm_lib.corpora.registry import find_corpus, load_corpus
from minillm_lib.model.checkpoint import SINGLE_FILE_SUFFIXES, load_checkpoint
from minillm_lib.tokenizer import MODEL_FILE, Tokenizer
from minillm_lib.training.config import ConversationsConfig, CorpusConfig, DataConfig
from minillm_lib.training.rows import Batch, TokenWindows
from minillm_lib.training.sft_rows import (
    EncodedConversation,
    EncodingReport,
    encode_conversations,
    pack_conversations,
)
from minillm_lib.training.token_file import TokenFile, pack

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")
_MOST_HELD_OUT = 1000


class DataError(ValueError):
    """Text that a run cannot be trained on; the message names the corpus and the split."""


@dataclass(frozen=True)
class PretrainingData:
    """A tokenizer, and the training and held-out text that it has encoded."""

    tokenizer: Tokenizer
    train: TokenFile
    validation: TokenFile

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What distinguishes this data from any other; a run records it."""
        return {
            "tokenizer": self.tokenizer.sha256,
            "train": self.train.metadata["sha256"],
            "validation": self.validation.metadata["sha256"],
        }

    def windows(self, split: Split, seq_len: int, *, document_mask: bool = False) -> TokenWindows:
        """Return a split as rows of ``seq_len`` tokens."""
        file = self.train if split == "train" else self.validation
        return TokenWindows(file, seq_len, document_mask=document_mask)


def prepare_pretraining_data(config: DataConfig, *, progress: bool = True) -> PretrainingData:
    """Train the tokenizer and pack the corpora, unless this has been done already.

    All text is read to check that it is still what was packed; for the docstrings this takes about a second.

    Parameters
    ----------
    progress
        Show progress bars, and print what is done.

    Raises
    ------
    ValueError
        For an unknown corpus or option, a corpus without text in one of the splits, a missing tokenizer, or a
        vocabulary that is too large for the text.
    """
    for corpus in config.corpora:
        find_corpus(corpus.name)
    folder = _folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, progress):
        hashes = {split: _corpus_sha256(_documents(config, split)) for split in SPLITS}
        try:
            data = open_pretraining_data(config)
            if all(getattr(data, split).metadata["corpus_sha256"] == hashes[split] for split in SPLITS):
                data.train.verify()
                data.validation.verify()
                return data
        except (FileNotFoundError, ValueError):
            pass  # missing or damaged, so it is made again
        tokenizer = _train_tokenizer(config, folder, progress)
        for split in SPLITS:
            _pack(config, split, tokenizer, folder, progress)
    return open_pretraining_data(config)


def open_pretraining_data(config: DataConfig) -> PretrainingData:
    """Open what :func:`prepare_pretraining_data` has made.

    Raises
    ------
    FileNotFoundError
        If it has not been made yet.
    ValueError
        If a file is damaged, or belongs to another tokenizer.
    """
    folder = _folder(config)
    tokenizer = Tokenizer.load(folder) if config.tokenizer is None else given_tokenizer(config.tokenizer)
    train, validation = (TokenFile(_token_path(folder, split), tokenizer) for split in SPLITS)
    return PretrainingData(tokenizer, train, validation)


def given_tokenizer(path: Path) -> Tokenizer:
    """Load the tokenizer of a ``tokenizer.model``, a folder that holds one, or a checkpoint.

    Raises
    ------
    ValueError
        If there is no tokenizer.
    """
    if path.suffix in SINGLE_FILE_SUFFIXES:
        tokenizer = load_checkpoint(path).tokenizer
        if tokenizer is None:
            raise DataError(f"data.tokenizer={path}: this checkpoint holds no tokenizer")
        return tokenizer
    try:
        return Tokenizer.load(path)
    except FileNotFoundError as error:
        raise DataError(f"data.tokenizer={path}: {error}") from None


def _folder(config: DataConfig) -> Path:
    """Return the folder for a recipe: its name depends on everything that determines its content except the text."""
    unused = {"folder", "document_mask"}
    if config.tokenizer is not None:
        unused |= {"vocab_size", "tokenizer_megabytes"}
    recipe = config.model_dump(mode="json", exclude=unused)
    for corpus in recipe["corpora"]:
        corpus["options"].pop("progress", None)  # whether bars are shown
    if config.tokenizer is not None:
        recipe["tokenizer"] = given_tokenizer(config.tokenizer).sha256
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    names = "-".join(corpus.name for corpus in config.corpora)
    return config.folder / f"{names[:80]}-{digest[:10]}"


def _token_path(folder: Path, split: Split) -> Path:
    return folder / f"{split}.tokens"


@contextmanager
def _alone(folder: Path, progress: bool) -> Iterator[None]:
    """Keep other processes out of a folder; if one is at work there, wait for it."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress:
            print(f"{folder}: another process is preparing this text; waiting for it to finish …", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _train_tokenizer(config: DataConfig, folder: Path, progress: bool) -> Tokenizer:
    """Return the tokenizer that the configuration names, or train one on a sample of each corpus."""
    if config.tokenizer is not None:
        return given_tokenizer(config.tokenizer)
    if progress:
        print(f"training a tokenizer of {config.vocab_size:,} pieces …", flush=True)
    n_bytes = int(config.tokenizer_megabytes * 1e6)
    texts = chain.from_iterable(_sample(corpus, n_bytes) for corpus in config.corpora)
    try:
        tokenizer = Tokenizer.train(texts, vocab_size=config.vocab_size)
    except ValueError as error:
        raise DataError(f"training a tokenizer on the train split of {_names(config)}: {error}") from error
    tokenizer.save(folder / MODEL_FILE)
    return tokenizer


def _sample(corpus: CorpusConfig, n_bytes: int) -> Iterator[str]:
    """Yield about ``n_bytes`` of a corpus, chosen by the hash of each text, and repeated as often as configured."""
    total = sum(len(_bytes(document)) for document in _of_split(corpus, "train"))
    share = n_bytes / max(total, 1)
    for _ in range(corpus.repeat):
        texts = (document.text for document in _of_split(corpus, "train"))
        yield from (text for text in texts if share >= 1 or place_of(text) < share)


def _pack(config: DataConfig, split: Split, tokenizer: Tokenizer, folder: Path, progress: bool) -> None:
    try:
        pack(_documents(config, split), tokenizer, _token_path(folder, split), progress=progress)
    except ValueError as error:
        hint = (
            "; about 5 % of the documents are held out, chosen by a hash of their text: give more documents"
        )
        raise DataError(
            f"the {split} split of {_names(config)}: {error}{hint if split == 'validation' else ''}"
        ) from error


def _names(config: DataConfig) -> str:
    return ", ".join(corpus.name for corpus in config.corpora)


def _of_split(corpus: CorpusConfig, split: Split) -> Iterator[Document]:
    return load_corpus(corpus.name, split=split, **corpus.options)


def _documents(config: DataConfig, split: Split) -> Iterator[Document]:
    """Yield the documents of a split, corpus by corpus, each as often as configured (once if held out)."""
    for corpus in config.corpora:
        for _ in range(corpus.repeat if split == "train" else 1):
            yield from _of_split(corpus, split)


def _bytes(document: Document) -> bytes:
    return document.text.encode(errors="surrogatepass")


def _corpus_sha256(documents: Iterable[Document]) -> str:
    """Compute the hash of a corpus that :func:`~minillm_lib.training.token_file.pack` writes into the header."""
    digest = hashlib.sha256()
    for document in documents:
        if content := _bytes(document):
            digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


@dataclass(frozen=True)
class ConversationData:
    """Conversations as rows for fine-tuning.

    Attributes
    ----------
    train, held_out
        The rows to train on, and those that are held out, by source.
    summary
        What was encoded and dropped, in words for the user.
    fingerprint
        What distinguishes this data from any other; a run records it.
    """

    train: Batch
    held_out: dict[str, Batch]
    summary: str
    fingerprint: dict[str, Any]


def prepare_conversations(
    sources: Iterable[ConversationsConfig], tokenizer: Tokenizer, seq_len: int
) -> ConversationData:
    """Encode conversations and pack them into rows of ``seq_len`` tokens.

    Raises
    ------
    ValueError
        If an option is unknown to its source, no conversation is held out, or none fits into a row.
    """
    train: list[EncodedConversation] = []
    held_out: dict[str, list[Conversation]] = {}
    report = EncodingReport()
    digest = hashlib.sha256()
    for source in sources:
        own, tested = _conversations(source)
        own = _reworded(own, source) if source.rewordings else own
        encoded, its_report = encode_conversations(own, tokenizer, seq_len, source.answer_tokens)
        for _ in range(source.repeat):
            train += encoded
            report += its_report
        digest.update(f"{source.repeat} {source.answer_tokens} {_conversations_sha256(own)}\n".encode())
        if tested:
            held_out[_source_name(source)] = tested
    if not held_out:
        raise DataError("no conversation is held out to evaluate on; set held_out of a source above 0")
    rows = _rows((train, report), tokenizer, seq_len, "the training conversations")
    tested_rows = {
        name: _rows(
            encode_conversations(tested, tokenizer, seq_len),
            tokenizer,
            seq_len,
            f"the held-out part of {name}",
        )
        for name, tested in held_out.items()
    }
    fingerprint = {
        "tokenizer": tokenizer.sha256,
        "train": digest.hexdigest(),
        "held_out": _conversations_sha256(chain.from_iterable(held_out.values())),
    }
    return ConversationData(rows, tested_rows, str(report), fingerprint)


def _reworded(conversations: list[Conversation], source: ConversationsConfig) -> list[Conversation]:
    reworded = reword(conversations, source.rewordings)
    if not reworded:
        raise DataError(
            f"{_source_name(source)}: rewordings={source.rewordings} needs conversations of one question and "
            "one answer, and there are none; leave rewordings out"
        )
    return reworded


def _source_name(source: ConversationsConfig) -> str:
    return source.name or str(source.path)


def _rows(
    encoding: tuple[list[EncodedConversation], EncodingReport], tokenizer: Tokenizer, seq_len: int, what: str
) -> Batch:
    encoded, report = encoding
    if not encoded:
        raise DataError(f"{what}: none of the {report.n_dropped} conversations fits into {seq_len} tokens")
    return pack_conversations(encoded, seq_len, tokenizer.pad_id)


def _conversations(source: ConversationsConfig) -> tuple[list[Conversation], list[Conversation]]:
    """Return the conversations of a source for training, and those that are held out."""
    try:
        if source.path is not None:
            every = list(read_conversations(source.path, **source.options))
            is_tested = [place_of(_as_text(each)) < source.held_out for each in every]
            train = [each for each, tested in zip(every, is_tested, strict=True) if not tested]
            return train[: source.most], [
                each for each, tested in zip(every, is_tested, strict=True) if tested
            ]
        if source.name == "course-faq":
            return load_course_faq("train", **source.options)[: source.most], load_course_faq(
                "test", **source.options
            )
        return (
            list(load_docstring_qa("train", source.most, **source.options)),
            list(load_docstring_qa("test", _MOST_HELD_OUT, **source.options)),
        )
    except TypeError as error:
        raise DataError(f"{_source_name(source)}, options {source.options}: {error}") from error


def _as_text(conversation: Conversation) -> str:
    return json.dumps(conversation.messages, ensure_ascii=False)


def _conversations_sha256(conversations: Iterable[Conversation]) -> str:
    digest = hashlib.sha256()
    for conversation in conversations:
        digest.update(_as_text(conversation).encode(errors="surrogatepass") + b"\n")
    return digest.hexdigest()
