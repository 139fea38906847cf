"""A corpus as one file of token ids, which training reads without loading it: :func:`pack` and :class:`TokenFile`.

The file consists of a header of 1,024 bytes, the ids of all documents one after the other (uint16, or uint32 for
vocabularies above 65,536), zeros up to a multiple of eight bytes, and the position of each document's first id
(uint64), all little-endian. The header is the mark ``MINILLM-TOKENS`` and a JSON object with a checksum of its values;
files of before it was added, without one, are still read.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from minillm_lib.corpora.document import Document
from minillm_lib.io.atomic_write import open_atomically
from minillm_lib.io.parallel import parallel_map
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.io.regular_file import check_regular
from minillm_lib.io.sealed_values import CHECKSUM_KEY, SealError, sealed, unsealed
from minillm_lib.io.wording import shown
from minillm_lib.tokenizer import Tokenizer

_MARK = b"MINILLM-TOKENS\n"
_VERSION = 1
_HEADER_BYTES = 1024
_BATCH_BYTES = 1 << 20
_LONGEST_REMEMBERED = 40
_MOST_REMEMBERED = 1 << 18
_Encoded = tuple[bytes, np.ndarray]
_COUNTS = ("n_tokens", "n_documents", "vocab_size")
_FIELDS = (
    *("version", "dtype", *_COUNTS, "sha256", "tokenizer_sha256", "corpus_sha256"),
    *("corpus_bytes", "add_bos", "add_eos"),
)


class TokenFileError(ValueError):
    """A file is no token file, is damaged, or belongs to another tokenizer."""


def pack(
    documents: Iterable[Document | str],
    tokenizer: Tokenizer,
    path: str | os.PathLike[str],
    *,
    add_bos: bool = False,
    add_eos: bool = True,
    n_jobs: int = -1,
    progress: bool = True,
) -> TokenFile:
    """Encode documents into a token file, as a stream: memory holds some megabytes, however large the corpus is.

    The same documents and tokenizer give the same bytes, with any number of processes. The file appears complete or
    not at all. Documents without text are left out.

    Parameters
    ----------
    documents
        Documents or plain texts.
    path
        Where to write the file; an existing one is replaced.
    add_bos
        Begin each document with ``tokenizer.bos_id``.
    add_eos
        End each document with ``tokenizer.eos_id``.
    n_jobs
        Number of processes; -1 for one per core. A corpus below a megabyte is encoded in this process.
    progress
        Show a progress bar.

    Returns
    -------
    TokenFile
        The new file, opened.

    Raises
    ------
    ValueError
        If there is no text at all, or a text cannot be encoded (lone surrogates).
    """
    if isinstance(documents, str | Document):
        raise ValueError("documents is a single text; give an iterable of texts or of Documents")
    corpus = _Corpus(documents)
    encoded = _encoded(corpus, tokenizer, add_bos, add_eos, n_jobs)
    specials = {"add_bos": add_bos, "add_eos": add_eos}
    return _packed(Path(path), encoded, tokenizer.vocab_size, tokenizer, corpus, specials, progress)


def pack_ids(
    documents: Iterable[np.ndarray],
    vocab_size: int,
    path: str | os.PathLike[str],
    tokenizer: Tokenizer | None = None,
    *,
    progress: bool = True,
) -> TokenFile:
    """Write documents that have been encoded already as a token file, as they are.

    Parameters
    ----------
    documents
        The ids of each document, ``(n_tokens,)``; those without ids are left out.
    vocab_size
        Number of ids of the vocabulary.
    path
        Where to write the file; an existing one is replaced.
    tokenizer
        The tokenizer that has encoded the documents, if it is known; without it, no run can read the file.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        If there are no ids at all, or one is not of the vocabulary.
    """
    corpus = _EncodedCorpus(documents, vocab_size)
    return _packed(Path(path), corpus, vocab_size, tokenizer, corpus, {}, progress)


def _packed(
    path: Path,
    encoded: Iterable[_Encoded],
    vocab_size: int,
    tokenizer: Tokenizer | None,
    corpus: _Corpus | _EncodedCorpus,
    specials: dict[str, bool],
    progress: bool,
) -> TokenFile:
    with (
        open_atomically(path) as file,
        progress_bar(desc=f"packing {path.name}", unit="B", unit_scale=True, disable=not progress) as bar,
    ):
        metadata = _write(file, encoded, vocab_size, corpus, bar)
        metadata |= {"tokenizer_sha256": None if tokenizer is None else tokenizer.sha256}
        metadata |= {"add_bos": False, "add_eos": False} | specials
        file.seek(0)
        file.write((_MARK + json.dumps(sealed(metadata)).encode()).ljust(_HEADER_BYTES))
    return TokenFile(path, tokenizer)


class _EncodedCorpus:
    """Documents as their ids and lengths; counts and hashes what has been read."""

    def __init__(self, documents: Iterable[np.ndarray], vocab_size: int) -> None:
        self._documents, self._vocab_size = documents, vocab_size
        self._digest = hashlib.sha256()
        self.n_bytes = 0

    def __iter__(self) -> Iterator[_Encoded]:
        dtype = _dtype(self._vocab_size)
        for ids in self._documents:
            if not len(ids):
                continue
            if not 0 <= ids.min() <= ids.max() < self._vocab_size:
                wrong = next(int(each) for each in ids if not 0 <= each < self._vocab_size)
                raise ValueError(f"there is the id {wrong}; ids are from 0 to {self._vocab_size - 1}")
            content = ids.astype(dtype).tobytes()
            self._digest.update(len(content).to_bytes(8, "little") + content)
            self.n_bytes += len(content)
            yield content, np.array([len(ids)])

    def sha256(self) -> str:
        """Return the hash of the ids of all documents, each preceded by its length in bytes."""
        return self._digest.hexdigest()


class _Corpus:
    """Documents as batches of about a megabyte of text; counts and hashes what has been read."""

    def __init__(self, documents: Iterable[Document | str]) -> None:
        self._documents = documents
        self._digest = hashlib.sha256()
        self.n_bytes = 0

    def __iter__(self) -> Iterator[list[str]]:
        batch, size = list[str](), 0
        for document in self._documents:
            text = document if isinstance(document, str) else document.text
            if not text:
                continue
            content = text.encode(errors="surrogatepass")
            self._digest.update(len(content).to_bytes(8, "little") + content)
            self.n_bytes += len(content)
            batch.append(text)
            size += len(content)
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def sha256(self) -> str:
        """Return the hash of all texts, each preceded by its length in bytes."""
        return self._digest.hexdigest()


def _encoded(
    batches: Iterable[list[str]], tokenizer: Tokenizer, add_bos: bool, add_eos: bool, n_jobs: int
) -> Iterator[_Encoded]:
    """Yield the ids of each batch and the lengths of its documents, in order."""
    dtype = _dtype(tokenizer.vocab_size)
    before, after = (
        np.array([special] * wanted, dtype=dtype).tobytes()
        for special, wanted in ((tokenizer.bos_id, add_bos), (tokenizer.eos_id, add_eos))
    )
    encode = partial(_encode, pickle.dumps(tokenizer), before, after, dtype.str)
    return parallel_map(encode, batches, n_jobs=n_jobs)


class WordIds(dict[str, bytes]):
    """The ids of each word as bytes, computed once and remembered.

    A word is a run of spaces together with what follows, up to the next space. If no piece of the vocabulary extends
    beyond the end of a word, the words of a text can be encoded one by one: neither merges nor the likeliest
    segmentation cross from one word into the next. For any other tokenizer, a text is one word.

    Parameters
    ----------
    dtype
        Type of the ids, such as ``"<u2"``.
    most
        How many words are remembered; then all are forgotten and remembering starts again.
    """

    def __init__(self, tokenizer: Tokenizer, dtype: str, most: int = _MOST_REMEMBERED) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._dtype = dtype
        self._most = most
        self.pattern = re.compile(" *[^ ]+| +" if tokenizer.encodes_words_apart else "(?s).+")

    def __missing__(self, word: str) -> bytes:
        ids = np.array(self._tokenizer.encode(word), dtype=self._dtype).tobytes()
        if len(word) <= _LONGEST_REMEMBERED:
            if len(self) >= self._most:
                self.clear()
            self[word] = ids
        return ids

    def of_text(self, text: str) -> bytes:
        """Return the ids of a text."""
        return b"".join(map(self.__getitem__, self.pattern.findall(text)))


@lru_cache(maxsize=1)
def _word_ids(pickled: bytes, dtype: str) -> WordIds:
    return WordIds(pickle.loads(pickled), dtype)


def _encode(pickled: bytes, before: bytes, after: bytes, dtype: str, texts: list[str]) -> _Encoded:
    """Encode texts; the tokenizer comes pickled, so that a process unpacks it for its first batch only."""
    word_ids = _word_ids(pickled, dtype)
    documents = [before + word_ids.of_text(text) + after for text in texts]
    size = np.dtype(dtype).itemsize
    return b"".join(documents), np.array([len(ids) // size for ids in documents])


def _dtype(vocab_size: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def _write(
    file: BinaryIO,
    encoded: Iterable[_Encoded],
    vocab_size: int,
    corpus: _Corpus | _EncodedCorpus,
    bar: tqdm[Any],
) -> dict[str, Any]:
    """Write ids and starts behind the space for the header; return the content of the header."""
    digest, starts, n_tokens = hashlib.sha256(), array("Q"), 0
    dtype = _dtype(vocab_size)
    file.write(bytes(_HEADER_BYTES))
    for ids, lengths in encoded:
        file.write(ids)
        digest.update(ids)
        starts.extend((n_tokens + np.cumsum(lengths) - lengths).tolist())
        n_tokens += int(lengths.sum())
        bar.update(corpus.n_bytes - bar.n)
    if not n_tokens:
        raise ValueError("there is nothing to pack: no document has text")
    tail = bytes(-n_tokens * dtype.itemsize % 8) + np.array(starts, dtype="<u8").tobytes()
    file.write(tail)
    digest.update(tail)
    return {
        "version": _VERSION,
        "dtype": dtype.name,
        "n_tokens": n_tokens,
        "n_documents": len(starts),
        "vocab_size": vocab_size,
        "sha256": digest.hexdigest(),
        "corpus_sha256": corpus.sha256(),
        "corpus_bytes": corpus.n_bytes,
    }


class TokenFile:
    """A token file, memory-mapped: opening one takes no time and no memory, however large it is.

    Parameters
    ----------
    path
        A file that :func:`pack` wrote.
    tokenizer
        The tokenizer for which the ids are meant; a file of another one is an error. None skips this check.

    Attributes
    ----------
    tokens
        The ids of all documents, ``(n_tokens,)``, uint16 or uint32, read-only.
    document_starts
        The position of each document's first id, ``(n_documents,)``, uint64, read-only.
    vocab_size
        Size of the tokenizer's vocabulary.
    metadata
        The content of the header.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TokenFileError
        If it is no token file, has a damaged header, another version, is too short or too long, or belongs to another
        tokenizer. Altered bytes are found by :meth:`verify`, which reads the file to its end.
    """

    def __init__(self, path: str | os.PathLike[str], tokenizer: Tokenizer | None = None) -> None:
        self.path = Path(path)
        self.metadata = self._read_header()
        self.vocab_size: int = self.metadata["vocab_size"]
        n_tokens, n_documents = self.metadata["n_tokens"], self.metadata["n_documents"]
        dtype = np.dtype(self.metadata["dtype"]).newbyteorder("<")
        starts_at = -(-(_HEADER_BYTES + n_tokens * dtype.itemsize) // 8) * 8
        size, expected = self.path.stat().st_size, starts_at + 8 * n_documents
        if size != expected:
            raise TokenFileError(
                f"{self.path} is damaged: it has {size:,} bytes, and by its header it should have {expected:,}"
            )
        if tokenizer is not None and tokenizer.sha256 != self.metadata["tokenizer_sha256"]:
            raise TokenFileError(
                f"{self.path} was packed with another tokenizer (of {self.vocab_size} ids); pack the corpus again"
            )
        self.tokens: np.ndarray = np.memmap(self.path, dtype, "r", _HEADER_BYTES, (n_tokens,))
        self.document_starts: np.ndarray = np.memmap(self.path, "<u8", "r", starts_at, (n_documents,))

    def _read_header(self) -> dict[str, Any]:
        check_regular(self.path)
        with self.path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        if not header.startswith(_MARK):
            raise TokenFileError(f"{self.path} is no token file: it does not begin with {_MARK.decode()!r}")
        try:
            metadata = json.loads(header[len(_MARK) :])
        except (ValueError, RecursionError) as error:
            raise TokenFileError(f"{self.path} is damaged: its header is cut off or not JSON") from error
        if not isinstance(metadata, dict):
            raise TokenFileError(f"{self.path} is damaged: its header holds {shown(metadata)}")
        if metadata.get("version") != _VERSION:
            raise TokenFileError(
                f"{self.path} is a token file of version {shown(metadata.get('version'))}; only version {_VERSION} can "
                "be read"
            )
        if missing := [name for name in _FIELDS if name not in metadata]:
            raise TokenFileError(f"{self.path} is damaged: its header has no {', '.join(missing)}")
        if unknown := [name for name in metadata if name not in (*_FIELDS, CHECKSUM_KEY)]:
            raise TokenFileError(
                f"{self.path} is damaged: its header has the unknown {', '.join(map(shown, unknown))}"
            )
        self._check_fields(metadata)
        try:
            return unsealed(metadata)
        except SealError as error:
            raise TokenFileError(
                f"{self.path} is damaged: the values in its header are not those of its checksum"
            ) from error

    def _check_fields(self, metadata: Mapping[str, Any]) -> None:
        wrong = [
            name for name in _COUNTS if type(metadata[name]) is not int or not 0 < metadata[name] < 1 << 48
        ]
        wrong += ["dtype"] * (metadata["dtype"] not in ("uint16", "uint32"))
        if wrong:
            found = ", ".join(f"{name} is {shown(metadata[name])}" for name in wrong)
            raise TokenFileError(
                f"{self.path} is damaged: by its header, {found}; allowed are whole numbers from 1, uint16 and uint32"
            )

    def verify(self) -> None:
        """Read the file to its end and compare it with the hash in its header.

        Raises
        ------
        TokenFileError
            If a byte was altered.
        """
        with self.path.open("rb") as file:
            file.seek(_HEADER_BYTES)
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.metadata["sha256"]:
            raise TokenFileError(f"{self.path} is damaged: its content does not match the hash in its header")

    def document(self, index: int) -> np.ndarray:
        """Return the ids of one document, with its special tokens.

        Raises
        ------
        IndexError
            If there is no document of this number, counted from 0.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"there is no document {index}; allowed are 0 to {len(self) - 1}")
        start = int(self.document_starts[index])
        end = int(self.document_starts[index + 1]) if index + 1 < len(self) else len(self.tokens)
        return self.tokens[start:end]

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.document_starts)

    def __repr__(self) -> str:
        return f"TokenFile({str(self.path)!r}: {len(self.tokens):,} tokens in {len(self):,} documents)"
