"""Reading the user's own files as a stream: text, Markdown, JSON lines and Parquet, plain or compressed.

A file of any size is read in pieces, and what is broken in it is counted and named by file and line
(:class:`ReadReport`), tolerated up to a set share, and above it an error. For small folders that should be taken apart
into paragraphs, see :func:`~minillm_lib.corpora.files.read_documents`.
"""

from __future__ import annotations

import glob
import gzip
import importlib
import json
import os
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from minillm_lib.corpora.document import Document

MARKDOWN_SUFFIXES = (".md", ".markdown")
TEXT_SUFFIXES = (".txt", ".text", *MARKDOWN_SUFFIXES)
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
PARQUET_SUFFIXES = (".parquet",)
COMPRESSED_SUFFIXES = (".gz", ".zst")
MAX_RECORD_BYTES = 1 << 24

_KNOWN = ", ".join((*TEXT_SUFFIXES, *JSON_LINES_SUFFIXES, *PARQUET_SUFFIXES))
_SHOWN_FAULTS = 20
_LEAST_RECORDS = 100
_CHUNK = 1 << 20
_ZSTD_CHUNK = 1 << 14
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
_Found = TypeVar("_Found")


class ReadError(ValueError):
    """Too much of the input is broken, or it cannot be read at all."""


@dataclass(frozen=True)
class Fault:
    """One record that could not be used: ``place`` is its file and line, ``kind`` the reason in general."""

    place: str
    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


@dataclass
class ReadReport:
    """What was read and what was not; complete once the documents have been read to the end.

    ``by_kind`` counts the faults, ``faults`` holds the first twenty. ``passed_over`` names the files of a folder that
    are of another kind, and ``empty_files`` those without content.
    """

    files: int = 0
    documents: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    empty_files: list[str] = field(default_factory=list)

    @property
    def n_faulty(self) -> int:
        """How many records could not be used."""
        return self.by_kind.total()

    @property
    def n_records(self) -> int:
        """How many records there were, with and without a fault."""
        return self.n_faulty + self.documents

    @property
    def faulty_share(self) -> float:
        """The share of records that could not be used."""
        return self.n_faulty / max(self.n_records, 1)

    def add(self, fault: Fault) -> None:
        """Count a fault, and keep it if it is one of the first."""
        self.by_kind[fault.kind] += 1
        if len(self.faults) < _SHOWN_FAULTS:
            self.faults.append(fault)

    def check(self, max_faulty_share: float) -> None:
        """Raise :class:`ReadError` if a larger share of the records is broken."""
        if self.faulty_share > max_faulty_share:
            raise ReadError(f"more than {max_faulty_share:.2%} of the records are broken\n{self}")

    def __str__(self) -> str:
        lines = [f"{_number(self.documents, 'document')} from {_number(self.files, 'file')}"]
        if self.n_faulty:
            kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.by_kind.most_common())
            records = f"{_number(self.n_faulty, 'record')} ({self.faulty_share:.2%})"
            lines.append(f"{records} could not be used: {kinds}")
            lines += [f"  {fault}" for fault in self.faults]
            more = self.n_faulty - len(self.faults)
            lines += [f"  … and {more:,} more"] * (more > 0)
        for what, paths in (("empty", self.empty_files), (f"passed over (not {_KNOWN})", self.passed_over)):
            if paths:
                names = ", ".join(paths[:5]) + " …" * (len(paths) > 5)
                lines.append(f"{_number(len(paths), 'file')} {what}: {names}")
        return "\n".join(lines)


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def read_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    text_key: str = "text",
    separator: str | None = None,
    encoding: str = "utf-8",
    max_record_bytes: int = MAX_RECORD_BYTES,
    max_faulty_share: float = 0.01,
    report: ReadReport | None = None,
) -> Iterator[Document]:
    """Read documents from files, folders and globs, one at a time.

    - A **text or Markdown file** is one document, or as many as ``separator`` (such as ``"<|endoftext|>"`` or an
      empty line, ``"\\n\\n"``) divides it into.
    - A **JSON lines file** (``.jsonl``) has one document a line: an object with its text under ``text_key``, or with
      ``"conversations": [{"role": …, "content": …}, …]``, whose text is that of its turns. The other keys are
      ``meta``; the conversation is there under ``conversations``.
    - A **Parquet file** has one document a row; it needs the package ``pyarrow``.
    - Any of these may be compressed by gzip (``.gz``) or zstd (``.zst``, which needs the package ``zstandard``).
    - A **folder** is searched at any depth, hidden files left out; its files are read in order of their paths.

    ``source`` of a document is its file, with the line (in Parquet the row) where it begins.

    Parameters
    ----------
    max_record_bytes
        Longest line, row or text that is read.
    max_faulty_share
        Share of records that may be broken before it is an error; up to it, a warning says
        which. The share is judged from one hundred records on, and at the end.
    report
        Filled in while the documents are read.

    Raises
    ------
    FileNotFoundError
        If there is nothing at one of the paths, or nothing that matches.
    ReadError
        At the call, for a file of an unknown kind that was named itself; while reading, if too many records
        are broken, if there is no document at all, and where a package is missing.
    ValueError
        For a share or an encoding that is none.
    """
    try:
        is_cut_by_bytes = "\n".encode(encoding) == b"\n"
    except LookupError:
        raise ValueError(f"encoding is {encoding!r}; allowed are the encodings that Python knows") from None
    if not is_cut_by_bytes:
        raise ValueError(
            f"encoding is {encoding!r}; a line must end in the byte 0x0A, as in 'utf-8' or 'gb18030'"
        )
    report = ReadReport() if report is None else report
    files = list(_files(paths, report))
    found = (
        item
        for path in files
        for item in _read(path, text_key, separator, encoding, max_record_bytes, report)
    )
    return without_faults(found, report, max_faulty_share)


def without_faults(
    found: Iterable[_Found | Fault], report: ReadReport, max_faulty_share: float
) -> Iterator[_Found]:
    """What is no fault, as a stream; the report counts along, and a warning tells at the end what was left out.

    Raises
    ------
    ValueError
        At the call, if the share is none.
    ReadError
        While reading: as soon as a larger share than ``max_faulty_share`` is broken, judged from one hundred records
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
        if report.n_faulty or report.empty_files or report.passed_over:
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
                raise ReadError(f"cannot read {file}: allowed are {_KNOWN}, also with .gz or .zst behind")
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
    """The suffix that tells how to read a file, without that of its compression; empty if it is none of ours."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    known = (*TEXT_SUFFIXES, *JSON_LINES_SUFFIXES, *PARQUET_SUFFIXES)
    return suffixes[-1] if suffixes and suffixes[-1] in known else ""


def _read(
    path: Path, text_key: str, separator: str | None, encoding: str, limit: int, report: ReadReport
) -> Iterator[Document | Fault]:
    """What one file holds; a file that holds nothing but white space is noted as empty."""
    report.files += 1
    is_empty = True
    for item in _items(path, text_key, separator, encoding, limit) if path.stat().st_size else ():
        is_empty = False
        yield item
    if is_empty:
        report.empty_files.append(str(path))


def _items(
    path: Path, text_key: str, separator: str | None, encoding: str, limit: int
) -> Iterator[Document | Fault]:
    if (suffix := _kind(path)) in PARQUET_SUFFIXES:
        yield from _read_parquet(path, text_key)
    elif suffix in JSON_LINES_SUFFIXES:
        for line in parse_json(read_records(path, "\n", encoding, limit)):
            yield line if isinstance(line, Fault) else _from_object(line[1], text_key, line[0])
    else:
        for part in read_records(path, separator, encoding, limit):
            yield part if isinstance(part, Fault) else _from_text(part)


@dataclass(frozen=True, slots=True)
class Record:
    """A piece of a file; ``place`` is the file and the line where it begins."""

    place: str
    text: str


def read_records(
    path: Path, separator: str | None, encoding: str = "utf-8", limit: int = MAX_RECORD_BYTES
) -> Iterator[Record | Fault]:
    """The pieces of a file, plain or compressed, between one separator and the next, but for those of white space.

    A piece of more than ``limit`` bytes, or wrong in the encoding, is a :class:`Fault`, and so is what a damaged
    archive withholds. Without a separator the whole file is one piece.
    """
    for line, content in _pieces(_chunks(path), separator.encode(encoding) if separator else None, limit):
        place = f"{path}:{line}"
        if content is None:
            yield Fault(place, "record too long", f"more than {limit:,} bytes; raise max_record_bytes")
            continue
        if isinstance(content, Exception):
            yield Fault(place, "damaged archive", str(content))
            continue
        try:
            text = content.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            bad_line = line + content[: error.start].count(b"\n")
            detail = f"byte 0x{content[error.start]:02X} is no {encoding}"
            yield Fault(f"{path}:{bad_line}", "wrong encoding", detail)
            continue
        if text.strip():
            yield Record(place, text)


def _pieces(
    chunks: Iterable[bytes], separator: bytes | None, limit: int
) -> Iterator[tuple[int, bytes | Exception | None]]:
    """Cut a stream at the separators: the line where each piece begins, and the piece, or None if it is too long.

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


def _chunks(path: Path) -> Iterator[bytes]:
    """The content of a file, plain or compressed, in chunks of about a megabyte."""
    suffix = path.suffix.lower()
    if suffix == ".zst":
        yield from _zstd_chunks(path)
        return
    with gzip.open(path, "rb") if suffix == ".gz" else path.open("rb") as stream:
        yield from iter(partial(stream.read, _CHUNK), b"")


def _zstd_chunks(path: Path) -> Iterator[bytes]:
    """As ``gzip`` reads: frame after frame, and a frame that breaks off is an error.

    The reader of ``zstandard`` takes a break for the end, and so would give half a text for the whole.
    """
    zstandard = _needed("zstandard", path)
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
            if len(content) >= _CHUNK:
                yield bytes(content)
                content.clear()
    yield bytes(content)
    if frame is not None and not frame.eof:
        raise EOFError("the file ends before its last zstd frame does")


def _needed(package: str, path: Path) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        name = package.partition(".")[0]
        raise ReadError(f"to read {path}, install the package {name}: pip install {name}") from None


def _from_text(record: Record) -> Document:
    return Document(record.text.replace("\r\n", "\n").strip(), record.place)


def parse_json(records: Iterable[Record | Fault]) -> Iterator[tuple[str, Any] | Fault]:
    """The place of each record, and its value as JSON."""
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
    parquet = _needed("pyarrow.parquet", path)
    row = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for value in batch.to_pylist():
                row += 1
                yield _from_object(value, text_key, f"{path}:{row}")
    except (OSError, ValueError) as error:
        yield Fault(f"{path}:{row + 1}", "damaged file", str(error))


_ALLOWED = ", ".join(TEXT_SUFFIXES + JSON_LINES_SUFFIXES)
_SHOWN_FAULTS = 5


def read_documents(
    path: str | os.PathLike[str],
    *,
    text_key: str = "text",
    encoding: str = "utf-8",
    on_malformed: Literal["raise", "skip"] = "raise",
) -> list[Document]:
    """Read documents from a file or a folder.

    - A **text or Markdown file** holds one document a paragraph (paragraphs are parted by empty lines); if it has no
      empty lines, one document a line.
    - A **JSON lines file** holds one document a line: an object with its text under ``text_key``. Its other keys
      become the document's ``meta``. Objects with an empty text are passed over.
    - A **folder** is searched at any depth, in order of the paths. Each text or Markdown file in it is one document,
      titled by its file name; each JSON lines file holds documents as above. Hidden and other files are passed over.

    Markdown loses its markup and code blocks. ``source`` of a document is its file and, where it is a part of it, the
    number of its first line. Bytes that are wrong in the encoding become U+FFFD, and a warning says how many.

    Parameters
    ----------
    on_malformed
        What to do with lines that are no JSON object with a text: ``"raise"`` an error that names them
        by file and line, or ``"skip"`` them with a warning that does.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``.
    ValueError
        For malformed lines, a file of another kind, and if there is no document at all.
    """
    path = Path(path)
    if on_malformed not in ("raise", "skip"):
        raise ValueError(f"on_malformed is {on_malformed!r}; allowed are 'raise' and 'skip'")
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    faults: list[str] = []
    if path.is_dir():
        documents = list(_read_folder(path, text_key, encoding, faults))
    elif path.suffix.lower() in JSON_LINES_SUFFIXES:
        documents = list(_read_json_lines(path, text_key, encoding, faults))
    elif path.suffix.lower() in ("", *TEXT_SUFFIXES):
        documents = list(_read_paragraphs(path, encoding))
    else:
        raise ValueError(f"cannot read {path}: its name ends in {path.suffix!r}; allowed are {_ALLOWED}")
    if faults:
        more = len(faults) - _SHOWN_FAULTS
        shown = faults[:_SHOWN_FAULTS] + ([f"… and {more} more"] if more > 0 else [])
        message = "\n  ".join([f"malformed lines: {len(faults)}", *shown])
        if on_malformed == "raise":
            raise ValueError(message)
        warnings.warn(message, stacklevel=2)
    if not documents:
        raise ValueError(f"no documents in {path}: no text in it" + f" ({_ALLOWED} files)" * path.is_dir())
    return documents


def strip_markdown(text: str) -> str:
    """The words of a Markdown text without its markup, front matter and code blocks; every line stays in its place."""

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


def _read_folder(folder: Path, text_key: str, encoding: str, faults: list[str]) -> Iterator[Document]:
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if suffix in JSON_LINES_SUFFIXES:
            yield from _read_json_lines(path, text_key, encoding, faults)
        elif suffix in TEXT_SUFFIXES and (text := _read_text(path, encoding).strip()):
            yield Document(text, source=str(path), meta={"title": path.stem})


def _read_paragraphs(path: Path, encoding: str) -> Iterator[Document]:
    paragraphs: list[list[tuple[int, str]]] = [[]]
    for number, line in enumerate(_read_text(path, encoding).split("\n"), start=1):
        if line.strip():
            paragraphs[-1].append((number, line.strip()))
        elif paragraphs[-1]:
            paragraphs.append([])
    if not paragraphs[-1]:
        paragraphs.pop()
    if len(paragraphs) == 1:
        paragraphs = [[line] for line in paragraphs[0]]
    for paragraph in paragraphs:
        yield Document("\n".join(line for _, line in paragraph), source=f"{path}:{paragraph[0][0]}")


def _read_json_lines(path: Path, text_key: str, encoding: str, faults: list[str]) -> Iterator[Document]:
    for number, line in enumerate(_read_text(path, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            record: Any = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(f"JSON of type {type(record).__name__}, not an object")
            if not isinstance(record.get(text_key), str):
                raise ValueError(f"no text under {text_key!r}; its keys are {sorted(record)}")
        except (ValueError, RecursionError) as error:
            faults.append(f"{place}: {error}")
            continue
        if text := record.pop(text_key).strip():
            yield Document(text, source=place, meta=record)


def _read_text(path: Path, encoding: str) -> str:
    """The text of a file, lines ended by ``\\n``, without Markdown's markup; wrong bytes are replaced and warned of."""
    if encoding.lower().replace("_", "-") == "utf-8":
        encoding = "utf-8-sig"
    try:
        text = path.read_bytes().decode(encoding, errors="surrogateescape")
    except LookupError as error:
        raise ValueError(f"encoding is {encoding!r}; allowed are the encodings that Python knows") from error
    text, undecodable = re.subn("[\ud800-\udfff]", "\ufffd", text)
    if undecodable:
        warnings.warn(
            f"{path}: {undecodable} bytes are not {encoding} and were replaced by U+FFFD", stacklevel=2
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return strip_markdown(text) if path.suffix.lower() in MARKDOWN_SUFFIXES else text
