"""Reading your own files as a stream: text, Markdown, JSON lines and Parquet, plain or compressed.

A file of any size is read piece by piece. What cannot be used is counted and named by file and line
(:class:`ReadReport`): up to a given share it is skipped, with a warning; beyond that share it is an error.
"""

from __future__ import annotations

import codecs
import glob
import gzip
import json
import os
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from minillm_lib.corpora.document import Document
from minillm_lib.io.optional import needed

DocumentUnit = Literal["auto", "file", "paragraph", "line"]
"""What a document is in a text file, see :func:`read_files`."""

MARKDOWN_SUFFIXES = (".md", ".markdown")
TEXT_SUFFIXES = (".txt", ".text", *MARKDOWN_SUFFIXES)
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
PARQUET_SUFFIXES = (".parquet",)
COMPRESSED_SUFFIXES = (".gz", ".zst")
MAX_RECORD_BYTES = 1 << 24

_KNOWN = ", ".join((*TEXT_SUFFIXES, *JSON_LINES_SUFFIXES, *PARQUET_SUFFIXES))
_PACKED = " or ".join(COMPRESSED_SUFFIXES)
_PASSED_OVER = f"passed over (not {_KNOWN}, alone or followed by {_PACKED})"
_SHOWN_FAULTS = 20
_LEAST_RECORDS = 100
CHUNK_BYTES = 1 << 20
_ZSTD_CHUNK = 1 << 14
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
_MAX_REPLACED_SHARE = 0.01
_MAX_ZERO_SHARE = 0.1
_BYTE_ORDER_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_Found = TypeVar("_Found")


class ReadError(ValueError):
    """Too much of the input is broken, or it cannot be read at all."""


@dataclass(frozen=True)
class Fault:
    """One record that could not be used: ``place`` is its file and line, ``kind`` the general reason."""

    place: str
    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


@dataclass
class ReadReport:
    """What was read and what was not; complete once the documents have been read to the end.

    Attributes
    ----------
    files, documents
        Number of files and of documents that were read.
    by_kind
        How many records could not be used, by the reason.
    faults
        The first twenty of them.
    passed_over
        Files of a folder that are of another kind.
    empty_files
        Files without content.
    replaced_bytes
        By file, how many bytes were wrong in the encoding and became U+FFFD.
    """

    files: int = 0
    documents: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    empty_files: list[str] = field(default_factory=list)
    replaced_bytes: Counter[str] = field(default_factory=Counter)

    @property
    def n_faulty(self) -> int:
        """How many records could not be used."""
        return self.by_kind.total()

    @property
    def n_records(self) -> int:
        """How many records there were, usable or not."""
        return self.n_faulty + self.documents

    @property
    def faulty_share(self) -> float:
        """The share of records that could not be used, from 0 to 1."""
        return self.n_faulty / max(self.n_records, 1)

    @property
    def is_worth_a_warning(self) -> bool:
        """Whether anything was left out or changed."""
        return bool(self.n_faulty or self.empty_files or self.passed_over or self.replaced_bytes)

    def add(self, fault: Fault) -> None:
        """Count a record that cannot be used, and keep it if it is one of the first."""
        self.by_kind[fault.kind] += 1
        if len(self.faults) < _SHOWN_FAULTS:
            self.faults.append(fault)

    def check(self, max_faulty_share: float) -> None:
        """Check that not more than this share of the records is broken.

        Raises
        ------
        ReadError
            If it is; the message holds the report.
        """
        if self.faulty_share > max_faulty_share:
            raise ReadError(
                f"more than {max_faulty_share:.2%} of the records are broken (max_faulty_share sets this limit)\n{self}"
            )

    def __str__(self) -> str:
        lines = [f"{_number(self.documents, 'document')} from {_number(self.files, 'file')}"]
        if self.n_faulty:
            kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.by_kind.most_common())
            records = f"{_number(self.n_faulty, 'record')} ({self.faulty_share:.2%})"
            lines.append(f"{records} could not be used: {kinds}")
            lines += [f"  {fault}" for fault in self.faults]
            more = self.n_faulty - len(self.faults)
            lines += [f"  … and {more:,} more"] * (more > 0)
        for path, n_bytes in self.replaced_bytes.items():
            lines.append(f"{path}: {_number(n_bytes, 'byte')} not valid in the encoding, replaced by U+FFFD")
        for what, paths in (
            ("empty", self.empty_files),
            (_PASSED_OVER, self.passed_over),
        ):
            if paths:
                names = ", ".join(paths[:5]) + " …" * (len(paths) > 5)
                lines.append(f"{_number(len(paths), 'file')} {what}: {names}")
        return "\n".join(lines)


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def read_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    documents: DocumentUnit = "auto",
    text_key: str = "text",
    separator: str | None = None,
    encoding: str = "utf-8",
    strip_markup: bool = False,
    max_record_bytes: int = MAX_RECORD_BYTES,
    max_faulty_share: float = 0.01,
    report: ReadReport | None = None,
) -> Iterator[Document]:
    """Read documents from files, folders and globs, one at a time.

    - A **text or Markdown file** holds what ``documents`` says: one document (``"file"``), one per paragraph, where
      empty lines separate paragraphs, or one per line. ``"auto"`` takes several files, or the files of a folder, for
      one document each; a single file, for one document per paragraph or, if it has a single paragraph, per line.
    - A **JSON lines file** (``.jsonl``) has one document per line: an object with its text under ``text_key``, or with
      ``"conversations": [{"role": …, "content": …}, …]``, whose text is that of its turns. The other keys are
      ``meta``; the conversation is there under ``conversations``.
    - A **Parquet file** has one document per row; it needs the package ``pyarrow``.
    - Any of these may be compressed by gzip (``.gz``) or zstd (``.zst``, which needs the package ``zstandard``).
    - A **folder** is searched at any depth, without hidden files; its files are read in order of their paths.

    ``source`` of a document is its file, with the line (in Parquet the row) where it begins; a text file that is one
    document has its name as ``title`` in ``meta``. All kinds of line ends are read alike, and a byte order mark wins
    over ``encoding``. Up to one byte in a hundred of a record may be wrong in the encoding: it becomes U+FFFD and is
    counted.

    Parameters
    ----------
    documents
        ``"auto"``, ``"file"``, ``"paragraph"`` or ``"line"``.
    separator
        Split text files at this string instead, such as ``"<|endoftext|>"``.
    encoding
        Any encoding that Python knows.
    strip_markup
        Remove the markup and the code blocks of Markdown files.
    max_record_bytes
        Longest line, row or text that is read.
    max_faulty_share
        Share of records that may be broken before it is an error; up to it, a warning names them. The share is judged
        from one hundred records on, and at the end.
    report
        Filled in while the documents are read.

    Raises
    ------
    FileNotFoundError
        If there is nothing at one of the paths, or nothing that matches.
    ReadError
        At the call, for a file of an unknown kind that was named explicitly; while reading, if too many records are
        broken, and if there is no document at all.
    MissingPackageError
        While reading, if the package for Parquet or Zstandard is not installed.
    ValueError
        For an invalid share, unit or encoding.
    """
    if documents not in get_args(DocumentUnit):
        allowed = ", ".join(map(repr, get_args(DocumentUnit)))
        raise ValueError(f"documents is {documents!r}; allowed are {allowed}")
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"encoding is {encoding!r}; allowed are the encodings that Python knows") from None
    report = ReadReport() if report is None else report
    files = list(_files(paths, report))
    is_single = isinstance(paths, str | os.PathLike) and len(files) == 1 and not Path(paths).is_dir()
    if documents == "auto" and not is_single:
        documents = "file"
    reader = _Reader(documents, text_key, separator, encoding, strip_markup, max_record_bytes, report)
    found = (item for path in files for item in reader.read(path))
    return without_faults(found, report, max_faulty_share)


def without_faults(
    found: Iterable[_Found | Fault], report: ReadReport, max_faulty_share: float
) -> Iterator[_Found]:
    """Yield the valid records; the report counts along, and a warning says at the end what was left out.

    Raises
    ------
    ValueError
        At the call, for an invalid share.
    ReadError
        While reading, as soon as a larger share than ``max_faulty_share`` is broken, judged from one hundred records
        on (with 0, from the first) and at the end; and at the end if there was nothing to read.
    """
    if not 0 <= max_faulty_share <= 1:
        raise ValueError(f"max_faulty_share is {max_faulty_share}; allowed is a share from 0 to 1")

    def stream() -> Iterator[_Found]:
        for item in found:
            if not isinstance(item, Fault):
                report.documents += 1
                yield item
                continue
            report.add(item)
            if max_faulty_share == 0 or report.n_records >= _LEAST_RECORDS:
                report.check(max_faulty_share)
        report.check(max_faulty_share)
        if not report.documents:
            raise ReadError(f"there is no document to read\n{report}")
        if report.is_worth_a_warning:
            warnings.warn(str(report), stacklevel=2)

    return stream()


def _files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], report: ReadReport
) -> Iterator[Path]:
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        if Path(path).is_dir():
            yield from _files_in(Path(path), report)
            continue
        found = [path] if Path(path).exists() else sorted(glob.glob(os.fspath(path), recursive=True))
        if not found:
            raise FileNotFoundError(f"there is no file or folder {path}, and nothing that matches it")
        for file in filter(Path.is_file, map(Path, found)):
            if not _kind(file):
                raise ReadError(
                    f"cannot read {file}: allowed are files that end in {_KNOWN}, alone or followed by {_PACKED}"
                )
            yield file


def _files_in(folder: Path, report: ReadReport) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if hidden or not file.is_file():
            continue
        if _kind(file):
            yield file
        else:
            report.passed_over.append(str(file))


def _kind(path: Path) -> str:
    """Return the suffix that tells how to read a file, without that of its compression; empty if it is unknown."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    known = (*TEXT_SUFFIXES, *JSON_LINES_SUFFIXES, *PARQUET_SUFFIXES)
    return suffixes[-1] if suffixes and suffixes[-1] in known else ""


@dataclass(frozen=True)
class _Reader:
    """Reads one file after the other, as :func:`read_files` was told."""

    documents: DocumentUnit
    text_key: str
    separator: str | None
    encoding: str
    strip_markup: bool
    limit: int
    report: ReadReport

    def read(self, path: Path) -> Iterator[Document | Fault]:
        """Yield what one file holds; a file that holds nothing but white space is noted as empty."""
        self.report.files += 1
        is_empty = True
        for item in self._items(path) if path.stat().st_size else ():
            is_empty = False
            yield item
        if is_empty:
            self.report.empty_files.append(str(path))

    def _items(self, path: Path) -> Iterator[Document | Fault]:
        if (suffix := _kind(path)) in PARQUET_SUFFIXES:
            yield from _read_parquet(path, self.text_key)
        elif suffix in JSON_LINES_SUFFIXES:
            for line in parse_json(self._records(path, "\n")):
                yield line if isinstance(line, Fault) else _from_object(line[1], self.text_key, line[0])
        else:
            is_file = self.documents == "file" and self.separator is None
            meta = {"title": path.name.partition(".")[0]} if is_file else {}
            for part in self._texts(path):
                yield part if isinstance(part, Fault) else Document(part.text.strip(), part.place, meta)

    def _texts(self, path: Path) -> Iterator[Record | Fault]:
        is_marked_up = self.strip_markup and _kind(path) in MARKDOWN_SUFFIXES
        if self.separator is not None or self.documents == "file":
            for item in self._records(path, self.separator):
                yield _without_markup(item) if is_marked_up else item
            return
        read_lines = partial(self._stripped_lines if is_marked_up else self._lines, path)
        by_paragraph = self.documents == "paragraph" or (
            self.documents == "auto" and _n_paragraphs(read_lines(Counter())) > 1
        )
        yield from self._grouped(read_lines(self.report.replaced_bytes), by_paragraph)

    def _lines(self, path: Path, replaced: Counter[str]) -> Iterator[Record | Fault]:
        return read_records(path, "\n", self.encoding, self.limit, keep_blank=True, replaced=replaced)

    def _stripped_lines(self, path: Path, replaced: Counter[str]) -> Iterator[Record | Fault]:
        """Yield the lines of a Markdown file; its markup is removed as a whole, as code blocks hold empty lines."""
        for item in read_records(path, None, self.encoding, self.limit, replaced=replaced):
            if isinstance(item, Fault):
                yield item
                continue
            lines = strip_markdown(item.text).split("\n")
            yield from (Record(f"{path}:{number}", line) for number, line in enumerate(lines, start=1))

    def _grouped(self, lines: Iterable[Record | Fault], by_paragraph: bool) -> Iterator[Record | Fault]:
        """Yield the lines that are not blank, each alone or joined with its neighbours to a paragraph."""
        paragraph: list[Record] = []
        for line in lines:
            if isinstance(line, Record) and line.text.strip() and by_paragraph:
                paragraph.append(line)
                continue
            if paragraph:
                yield self._joined(paragraph)
                paragraph = []
            if isinstance(line, Fault) or line.text.strip():
                yield line
        if paragraph:
            yield self._joined(paragraph)

    def _joined(self, lines: list[Record]) -> Record | Fault:
        text = "\n".join(line.text.strip() for line in lines)
        if len(text) > self.limit:
            return _too_long(lines[0].place, self.limit)
        return Record(lines[0].place, text)

    def _records(self, path: Path, separator: str | None) -> Iterator[Record | Fault]:
        replaced = self.report.replaced_bytes
        return read_records(path, separator, self.encoding, self.limit, replaced=replaced)


def _without_markup(item: Record | Fault) -> Record | Fault:
    return item if isinstance(item, Fault) else Record(item.place, strip_markdown(item.text))


def _n_paragraphs(lines: Iterable[Record | Fault]) -> int:
    """Count paragraphs, up to two."""
    n, is_inside = 0, False
    for line in lines:
        is_text = isinstance(line, Record) and bool(line.text.strip())
        n += is_text and not is_inside
        is_inside = is_text
        if n == 2:
            break
    return n


@dataclass(frozen=True, slots=True)
class Record:
    """A piece of a file; ``place`` is the file and the line where it begins."""

    place: str
    text: str


def read_records(
    path: Path,
    separator: str | None,
    encoding: str = "utf-8",
    limit: int = MAX_RECORD_BYTES,
    *,
    keep_blank: bool = False,
    replaced: Counter[str] | None = None,
) -> Iterator[Record | Fault]:
    """Yield the pieces of a file, plain or compressed, between one separator and the next.

    A piece that is too long or mostly wrong in the encoding is a :class:`Fault`, and so is what a damaged archive
    withholds. All kinds of line ends become line feeds.

    Parameters
    ----------
    separator
        None for the whole file as one piece.
    encoding
        Overruled by a byte order mark.
    limit
        Longest piece in bytes.
    keep_blank
        Yield also pieces that hold nothing but white space.
    replaced
        Counts the bytes that were wrong in the encoding and became U+FFFD, by file.
    """
    encoding, chunks = _decodable(path, encoding, replaced)
    for line, content in _pieces(chunks, separator.encode(encoding) if separator else None, limit):
        place = f"{path}:{line}"
        if content is None:
            yield _too_long(place, limit)
        elif isinstance(content, Exception):
            yield Fault(place, "damaged archive", str(content))
        else:
            item = _decoded(path, line, content, encoding, replaced)
            if isinstance(item, Fault) or keep_blank or item.text.strip():
                yield item


def _too_long(place: str, limit: int) -> Fault:
    return Fault(place, "record too long", f"more than {limit:,} bytes; raise max_record_bytes")


def _decoded(
    path: Path, line: int, content: bytes, encoding: str, replaced: Counter[str] | None
) -> Record | Fault:
    if content.count(b"\0") > _MAX_ZERO_SHARE * len(content):
        detail = "many zero bytes; is it UTF-16? Name the encoding, such as utf-16-le"
        return Fault(f"{path}:{line}", "wrong encoding", detail)
    try:
        return Record(f"{path}:{line}", content.decode(encoding).removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        text = content.decode(encoding, errors="replace")
        n_wrong = text.count("\ufffd")
        if replaced is not None and n_wrong <= _MAX_REPLACED_SHARE * len(content):
            replaced[str(path)] += n_wrong
            return Record(f"{path}:{line}", text.removeprefix("\ufeff"))
        bad_line = line + content[: error.start].count(b"\n")
        detail = f"byte 0x{content[error.start]:02X} is not valid {encoding}; name another encoding"
        return Fault(f"{path}:{bad_line}", "wrong encoding", detail)


def _pieces(
    chunks: Iterable[bytes], separator: bytes | None, limit: int
) -> Iterator[tuple[int, bytes | Exception | None]]:
    """Split a stream at the separators: yield the line where each piece begins, and the piece, or None if too long.

    Where the stream breaks off, the last piece is the error that says why.
    """
    line, rest, skipped_lines, is_too_long = 1, b"", 0, False

    def piece(content: bytes) -> tuple[int, bytes | None]:
        return line, None if is_too_long or len(content) > limit else content

    try:
        for chunk in chunks:
            *complete, rest = (rest + chunk).split(separator) if separator else [rest + chunk]
            for content in complete:
                yield piece(content)
                line += skipped_lines + content.count(b"\n") + (separator or b"").count(b"\n")
                skipped_lines, is_too_long = 0, False
            if len(rest) > limit:
                kept = rest[len(rest) - len(separator or b"") + 1 :] if separator else b""
                is_too_long = True
                skipped_lines += rest[: len(rest) - len(kept)].count(b"\n")
                rest = kept
    except _DAMAGED as error:
        yield line, error
        return
    if rest or is_too_long:
        yield piece(rest)


def _decodable(path: Path, encoding: str, replaced: Counter[str] | None) -> tuple[str, Iterator[bytes]]:
    """Return the encoding of a file, and its content in chunks whose lines all end in the byte 0x0A."""
    chunks = _chunks(path)
    beginning = b""
    try:
        while len(beginning) < 4 and (chunk := next(chunks, b"")):
            beginning += chunk
    except _DAMAGED as error:
        return encoding, _raising(error)
    found = next((name for mark, name in _BYTE_ORDER_MARKS if beginning.startswith(mark)), encoding)
    content: Iterator[bytes] = chain([beginning], chunks)
    if "\n".encode(found) != b"\n":
        content, found = _as_utf8(path, content, found, replaced), "utf-8"
    return found, _with_plain_line_ends(content)


def _as_utf8(
    path: Path, chunks: Iterable[bytes], encoding: str, replaced: Counter[str] | None
) -> Iterator[bytes]:
    """Recode a file in which a line end is more than one byte; what is not valid becomes U+FFFD and is counted."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for chunk in chain(chunks, [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            raise ReadError(f"{path} is not {encoding}: {error}; name another encoding") from error
        if replaced is not None and "\ufffd" in text:
            replaced[str(path)] += text.count("\ufffd")
        yield text.encode()


def _raising(error: Exception) -> Iterator[bytes]:
    raise error
    yield b""


def _with_plain_line_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""
        yield chunk.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    yield b"\n" * bool(held)


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, plain or compressed, in chunks of about a megabyte."""
    suffix = path.suffix.lower()
    if suffix == ".zst":
        yield from _zstd_chunks(path)
        return
    with gzip.open(path, "rb") if suffix == ".gz" else path.open("rb") as stream:
        yield from iter(partial(stream.read, CHUNK_BYTES), b"")


def _zstd_chunks(path: Path) -> Iterator[bytes]:
    """As ``gzip`` reads: frame after frame, and a frame that breaks off is an error.

    The reader of ``zstandard`` takes a break for the end, and so would give half a text for the whole.
    """
    zstandard = needed("zstandard", "files", f"to read {path}")
    frame, content = None, bytearray()
    with path.open("rb") as file:
        while packed := file.read(_ZSTD_CHUNK):
            while packed:
                if frame is None or frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                try:
                    content += frame.decompress(packed)
                except zstandard.ZstdError as error:
                    raise zlib.error(str(error)) from error
                packed = frame.unused_data
            if len(content) >= CHUNK_BYTES:
                yield bytes(content)
                content.clear()
    yield bytes(content)
    if frame is not None and not frame.eof:
        raise EOFError("the file ends before its last zstd frame does")


def parse_json(records: Iterable[Record | Fault]) -> Iterator[tuple[str, Any] | Fault]:
    """Yield the place of each record, and its value as JSON."""
    for record in records:
        if isinstance(record, Fault):
            yield record
            continue
        try:
            yield record.place, json.loads(record.text)
        except (ValueError, RecursionError) as error:
            yield Fault(record.place, "malformed JSON", str(error))


def _from_object(value: Any, text_key: str, place: str) -> Document | Fault:
    if not isinstance(value, dict):
        return Fault(place, "no object", f"it is JSON of type {type(value).__name__}")
    if text_key not in value and "conversations" in value:
        turns = value["conversations"]
        if not _is_conversation(turns):
            return Fault(place, "malformed conversation", "a list of objects with role and content is needed")
        return Document("\n\n".join(turn["content"] for turn in turns), place, value)
    if text_key not in value:
        return Fault(place, "missing key", f"no {text_key!r}; its keys are {sorted(value)}")
    text = value.pop(text_key)
    if not isinstance(text, str):
        return Fault(place, "no text", f"{text_key!r} is of type {type(text).__name__}")
    if not text.strip():
        return Fault(place, "empty text")
    return Document(text, place, value)


def _is_conversation(turns: Any) -> bool:
    return (
        isinstance(turns, list)
        and bool(turns)
        and all(
            isinstance(turn, Mapping) and isinstance(turn.get("content"), str) and "role" in turn
            for turn in turns
        )
    )


def _read_parquet(path: Path, text_key: str) -> Iterator[Document | Fault]:
    parquet = needed("pyarrow.parquet", "files", f"to read {path}")
    row = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for value in batch.to_pylist():
                row += 1
                yield _from_object(value, text_key, f"{path}:{row}")
    except (OSError, ValueError) as error:
        yield Fault(f"{path}:{row + 1}", "damaged file", str(error))


def strip_markdown(text: str) -> str:
    """Remove the markup, front matter and code blocks of a Markdown text; every line stays in its place."""

    def empty_lines(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n")

    text = re.sub(r"\A---\n.*?\n---(?=\n|\Z)", empty_lines, text, flags=re.DOTALL)
    text = re.sub(
        r"^[ ]{0,3}(```|~~~).*?(?:^[ ]{0,3}\1[^\n]*$|\Z)", empty_lines, text, flags=re.DOTALL | re.MULTILINE
    )
    text = re.sub(r"^[ ]{0,3}(?:#{1,6}[ ]|>[ ]?|[-*+][ ]|\d+[.)][ ])", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^][\n]*)\](?:\([^()\n]*\)|\[[^][\n]*\])", r"\1", text)
    text = re.sub(r"</?[A-Za-z][^>\n]*>", "", text)
    text = re.sub(r"(`+)([^`\n]+)\1", r"\2", text)
    return re.sub(r"(?<!\w)(\*\*|\*|__|_)(?=\S)([^\n]+?)(?<=\S)\1(?!\w)", r"\2", text)
