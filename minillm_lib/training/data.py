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
from typing import Any

from filelock import FileLock, Timeout

from minillm_lib.corpora.conversations import Conversation
from minillm_lib.corpora.registry import find_corpus
from minillm_lib.io.leftovers import remove_leftovers
from minillm_lib.io.wording import number_of
from minillm_lib.tokenizer import MODEL_FILE, Tokenizer
from minillm_lib.tokenizer.merge_dropout import MergeDropout
from minillm_lib.training.config import ConversationsConfig, DataConfig
from minillm_lib.training.conversation_sources import as_text, divided_source, name_of, none_held_out
from minillm_lib.training.corpus_text import (
    SPLITS,
    DataError,
    Split,
    documents_of,
    given_tokenizer,
    names_of,
    survey,
    tokenizer_of_packed,
    train_tokenizer,
)
from minillm_lib.training.preflight import check_free
from minillm_lib.training.rows import Batch, TokenWindows
from minillm_lib.training.sft_rows import (
    EncodedConversation,
    EncodingReport,
    encode_conversation,
    encode_conversations,
    pack_conversations,
)
from minillm_lib.training.token_file import TokenFile, pack

_TEXT_BYTES_PER_BYTE = 2  # of a token file: a token has two bytes, and stands for four or more of text


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
        try:
            return TokenWindows(file, seq_len, document_mask=document_mask)
        except ValueError as error:
            what = "training" if split == "train" else "held-out"
            raise DataError(f"the {what} text is too short: {error}") from None


def prepare_pretraining_data(config: DataConfig, *, progress: bool = True) -> PretrainingData:
    """Train the tokenizer and pack the corpora, unless this has been done already.

    All text is read to check that it is still what was packed; for the docstrings this takes about a second. Each
    document ends with ``eos_id``, and begins with ``bos_id`` if the tokenizer's model expects that.

    Parameters
    ----------
    progress
        Show progress bars, and print what is done.

    Raises
    ------
    ValueError
        For an unknown corpus or option, a corpus without text in one of the splits, a missing tokenizer, a vocabulary
        that is too large for the text, or a disk without room for the token files.
    WriteError
        If a file cannot be written all the same; the message names it.
    """
    if config.packed is not None:
        return _verified(open_pretraining_data(config), progress)
    for corpus in config.corpora:
        find_corpus(corpus.name)
    if not progress:
        config = _without_bars(config)
    folder = folder_of(config)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, progress):
        if (left := remove_leftovers(folder)) and progress:
            print(
                f"{folder}: removed {number_of(len(left), 'file')} that an interrupted run had left",
                flush=True,
            )
        found = survey(config)
        if progress:
            print("\n".join(found.lines), flush=True)
        try:
            data = open_pretraining_data(config)
            if all(getattr(data, split).metadata["corpus_sha256"] == found.sha256[split] for split in SPLITS):
                return _verified(data)
        except FileNotFoundError:
            pass  # not made yet
        except ValueError as error:
            if progress:
                print(f"{error}; it is made again", flush=True)
        check_free(
            folder, found.n_bytes // _TEXT_BYTES_PER_BYTE, "the token files", "or give another data.folder"
        )
        if config.tokenizer is None:
            tokenizer = train_tokenizer(config, found.counts["train"], progress)
            tokenizer.save(folder / MODEL_FILE)
        else:
            tokenizer = given_tokenizer(config.tokenizer)
        for split in SPLITS:
            _pack(config, split, tokenizer, folder, progress)
    return open_pretraining_data(config)


def _without_bars(config: DataConfig) -> DataConfig:
    """Turn off the progress bars of the corpora that have some, such as that of docstrings when they are collected."""
    corpora = []
    for corpus in config.corpora:
        entry = find_corpus(corpus.name)
        if entry.needs_network or "progress" in entry.options:
            corpus = corpus.model_copy(update={"options": {"progress": False, **corpus.options}})
        corpora.append(corpus)
    return config.model_copy(update={"corpora": tuple(corpora)})


def _verified(data: PretrainingData, progress: bool = False) -> PretrainingData:
    """Check that no byte of the token files was altered."""
    for what, file in (("to train on", data.train), ("held out", data.validation)):
        file.verify()
        if progress:
            print(f"{file.path}: {len(file.tokens):,} tokens, {len(file):,} documents {what}", flush=True)
    return data


def open_pretraining_data(config: DataConfig) -> PretrainingData:
    """Open what :func:`prepare_pretraining_data` has made.

    Raises
    ------
    FileNotFoundError
        If it has not been made yet.
    ValueError
        If a file is damaged, or belongs to another tokenizer.
    """
    folder = config.packed or folder_of(config)
    if config.packed is not None:
        tokenizer = tokenizer_of_packed(folder)
    else:
        tokenizer = Tokenizer.load(folder) if config.tokenizer is None else given_tokenizer(config.tokenizer)
    train, validation = (TokenFile(_token_path(folder, split), tokenizer) for split in SPLITS)
    return PretrainingData(tokenizer, train, validation)


def folder_of(config: DataConfig) -> Path:
    """Return the folder for a recipe: its name depends on everything that determines its content except the text."""
    unused = {"folder", "document_mask", "packed"}
    if config.tokenizer is not None:
        unused |= {"vocab_size", "tokenizer_megabytes"}
    recipe = config.model_dump(mode="json", exclude=unused)
    for corpus in recipe["corpora"]:
        corpus["options"].pop("progress", None)  # whether bars are shown
    if config.tokenizer is not None:
        tokenizer = given_tokenizer(config.tokenizer)
        recipe["tokenizer"] = tokenizer.sha256
        recipe["around"] = [tokenizer.bos_id if tokenizer.begins_with_bos else None, tokenizer.eos_id]
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


def _pack(config: DataConfig, split: Split, tokenizer: Tokenizer, folder: Path, progress: bool) -> None:
    path, bos = _token_path(folder, split), tokenizer.begins_with_bos
    try:
        pack(documents_of(config, split), tokenizer, path, add_bos=bos, progress=progress)
    except ValueError as error:
        raise DataError(f"the {split} split of {names_of(config)}: {error}") from error


@dataclass(frozen=True)
class ConversationData:
    """Conversations as rows for fine-tuning.

    Attributes
    ----------
    train, held_out
        The rows to train on, and those that are held out, by source.
    summary
        What was read, changed, encoded and dropped, in words for the user.
    fingerprint
        What distinguishes this data from any other; a run records it.
    has_second_questions
        Whether any conversation to train on has more than one question, from which a model learns to carry one.
    """

    train: Batch
    held_out: dict[str, Batch]
    summary: str
    fingerprint: dict[str, Any]
    has_second_questions: bool


def prepare_conversations(
    sources: Iterable[ConversationsConfig], tokenizer: Tokenizer, seq_len: int
) -> ConversationData:
    """Encode conversations and pack them into rows of ``seq_len`` tokens.

    Raises
    ------
    ValueError
        If an option is unknown to its source, no conversation is held out, or none fits into a row.
    """
    divisions = [
        (source, divided_source(source, lambda own: encode_conversation(own, tokenizer, seq_len) is not None))
        for source in sources
    ]
    train: list[EncodedConversation] = []
    report = EncodingReport()
    digest = hashlib.sha256()
    for source, found in divisions:
        reader = _with_merge_dropout(source, tokenizer)
        for repetition in range(source.repeat):
            if source.merge_dropout or not repetition:
                encoded, its_report = encode_conversations(found.train, reader, seq_len, source.answer_tokens)
            train += encoded
            report += its_report
        kept = f"{source.repeat} {source.answer_tokens}" + f" {source.merge_dropout}" * bool(
            source.merge_dropout
        )
        digest.update(f"{kept} {_conversations_sha256(found.train)}\n".encode())
    held_out = {name_of(source): found.held_out for source, found in divisions if found.held_out}
    if not held_out:
        raise DataError(none_held_out(divisions))
    rows = _rows((train, report), tokenizer, seq_len, "the training conversations")
    encoded_held_out = {name: encode_conversations(own, tokenizer, seq_len) for name, own in held_out.items()}
    tested_rows = {
        name: _rows(encoding, tokenizer, seq_len, f"the held-out part of {name}")
        for name, encoding in encoded_held_out.items()
    }
    lines = [line for _, found in divisions for line in found.lines]
    lines += [
        f"{report}",
        f"held out: {sum((each for _, each in encoded_held_out.values()), EncodingReport())}",
    ]
    fingerprint = {
        "tokenizer": tokenizer.sha256,
        "train": digest.hexdigest(),
        "held_out": _conversations_sha256(chain.from_iterable(held_out.values())),
    }
    has_second_questions = any(_n_questions(each) > 1 for _, found in divisions for each in found.train)
    return ConversationData(rows, tested_rows, "\n".join(lines), fingerprint, has_second_questions)


def _with_merge_dropout(source: ConversationsConfig, tokenizer: Tokenizer) -> Tokenizer:
    if not source.merge_dropout:
        return tokenizer
    try:
        return MergeDropout(tokenizer, source.merge_dropout)
    except ValueError as error:
        raise DataError(f"{name_of(source)}: merge_dropout={source.merge_dropout}: {error}") from error


def _n_questions(conversation: Conversation) -> int:
    return sum(message["role"] == "user" for message in conversation.messages)


def _rows(
    encoding: tuple[list[EncodedConversation], EncodingReport], tokenizer: Tokenizer, seq_len: int, what: str
) -> Batch:
    encoded, report = encoding
    if not encoded:
        raise DataError(f"{what}: none of the {report.n_dropped} conversations fits into {seq_len} tokens")
    return pack_conversations(encoded, seq_len, tokenizer.pad_id)


def _conversations_sha256(conversations: Iterable[Conversation]) -> str:
    digest = hashlib.sha256()
    for conversation in conversations:
        digest.update(as_text(conversation).encode(errors="surrogatepass") + b"\n")
    return digest.hexdigest()
