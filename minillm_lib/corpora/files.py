"""Reading documents as people have them: texts in any encoding, web pages, PDF, Word, tables, JSON; also compressed.

Texts and tables of any size are read piece by piece. Nothing is skipped in silence: files that cannot be read are
passed over and named with the reason; broken records are counted and named by file and line, and are an error beyond a
given share; what was guessed (encodings, columns, what a document is) is said. See
:class:`~minillm_lib.corpora.reading.report.ReadReport`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

from minillm_lib.corpora.document import Document
from minillm_lib.corpora.reading.content import first_bytes, inner_ending, is_compressed
from minillm_lib.corpora.reading.encoding import Encodings, check_encoding
from minillm_lib.corpora.reading.finding import Paths, find_files, read_each
from minillm_lib.corpora.reading.html import page_text
from minillm_lib.corpora.reading.json_values import is_json_lines
from minillm_lib.corpora.reading.kinds import is_known, kind_of, may_be_plain_text, may_be_read
from minillm_lib.corpora.reading.markdown import strip_markdown, strip_untrusted
from minillm_lib.corpora.reading.pdf import pdf_pages
from minillm_lib.corpora.reading.records import (
    MAX_RECORD_BYTES,
    Record,
    check_limit,
    read_records,
    too_long,
    with_unicode_line_ends,
)
from minillm_lib.corpora.reading.report import (
    Fault,
    ReadError,
    ReadReport,
    TextUnit,
    Unusable,
    shown,
    without_faults,
)
from minillm_lib.corpora.reading.rows import RowReader
from minillm_lib.corpora.reading.tables import rows_of, table_kind
from minillm_lib.corpora.reading.units import DocumentUnit, grouped, guess_unit
from minillm_lib.corpora.reading.word import word_text

__all__ = ["DocumentUnit", "Fault", "ReadError", "ReadReport", "read_files", "strip_markdown"]

_TABLES = ("delimited", "sheets", "parquet", "json")
_RECORD = {"column": "row", "key": "record"}
_FEW_DOCUMENTS = 10
_MANY_LINES = 20
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_WRITTEN_OUT = re.compile(r"\\([nrt])")


def read_files(
    paths: Paths,
    *,
    documents: DocumentUnit = "auto",
    text_unit: TextUnit | None = None,
    text_key: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    strip_markup: bool = False,
    max_record_bytes: int = MAX_RECORD_BYTES,
    max_faulty_share: float = 0.01,
    report: ReadReport | None = None,
) -> Iterator[Document]:
    r"""Read documents from files, folders and globs, one at a time.

    - **Texts**: whatever its bytes show to be text, with any ending or none. HTML gives its visible text without
      navigation, PDF its pages, Word (``.docx``) its paragraphs.
    - **Tables**: CSV with any usual delimiter, TSV, Excel (``.xlsx``, ``.xls``), OpenDocument (``.ods``) and Parquet. A
      document is a row: its text is in the column ``text_key``, the other columns are ``meta``.
    - **JSON**: JSON lines, an array, or an object that holds one, whatever the ending says; of objects with their text
      under ``text_key``, of plain texts, or of ``{"conversations": [{"role": …, "content": …}, …]}``, whose text is
      that of the turns, and which are in ``meta`` too.
    - Any of these may be compressed by gzip (``.gz``) or zstd (``.zst``). One that unpacks to more than 16 MiB and to
      more than 200 times its size is not read; the environment variable ``MINILLM_MAX_RATIO`` sets another ratio, and
      ``MINILLM_MAX_UNPACKED_BYTES`` how much is unpacked in memory where a format needs it (512 MiB).
    - PDF, web pages, Word, workbooks, Parquet and Markdown without markup are parsed in another process, which may take
      768 MiB and 4 s of processor time, and 1 s more per megabyte (``MINILLM_MAX_SECONDS``).
    - A **folder** is searched at any depth; its files are read in order of their paths. What is not read is passed over
      and named: hidden files, images, broken, encrypted and scanned PDFs, pipes, links to folders.

    What a document is in a text is guessed and said in ``report.notes``, unless ``documents`` says it: several files
    are one document each; a single one is divided into lines or paragraphs, by its shape. In a PDF, a page counts as a
    paragraph. ``source`` of a document is its file, with the line, row or index where it begins. A text that is one
    document has a ``title`` in ``meta``: its own, or the name of the file.

    All kinds of line ends are read alike. Up to one byte in a hundred of a record may be wrong in the encoding: it
    becomes U+FFFD and is counted. In ``meta``, keys for title, year, date, month, published and address (or url, link)
    are found in any case; values are plain, dates in ISO 8601; empty values and NaN are left out.

    Parameters
    ----------
    documents
        ``"file"``, ``"paragraph"`` or ``"line"`` for texts; a row is a document of a table, unless it is ``"file"``.
        ``"row"`` reads tables and JSON only. ``"auto"`` guesses.
    text_unit
        With ``"auto"``, what a document is in texts, instead of a guess: the ``report.unit`` of an earlier reading.
    text_key
        The column or key of the text, also ``"post.body"`` for one inside of another; in a table without column names,
        its number. None for ``"text"`` or, where there is none, the column of the longest texts, which is said.
    separator
        Split texts at this string instead, such as ``"<|endoftext|>"`` or an empty line, ``"\n\n"``. Line ends of any
        kind match one another, and may be written out, as a shell gives them: a backslash and ``n``.
    encoding
        Any encoding that Python knows. None to recognise it, for each file or, where files are short, for all together:
        by a byte order mark, as UTF-8, or by what the bytes give as text, which is said. A byte order mark wins.
    strip_markup
        Remove the markup and the code blocks of Markdown files.
    max_record_bytes
        Longest line, row or text that is read; a longer one is a broken record, and is not held in memory.
    max_faulty_share
        Share of records that may be broken before it is an error; up to it, a warning names them. Three are allowed in
        any case, as long as most are good; with 0, none. The share is judged from one hundred records on, and at the
        end.
    report
        Filled in while the documents are read.

    Raises
    ------
    FileNotFoundError
        If there is nothing at one of the paths, or nothing that matches.
    ReadError
        While reading, if too many records are broken, and if there is no document at all; the message says why.
    MissingPackageError
        While reading, if the package for a kind of file is not installed.
    ValueError
        For an invalid share, unit, size or encoding.
    """
    if documents not in get_args(DocumentUnit):
        allowed = ", ".join(map(repr, get_args(DocumentUnit)))
        raise ValueError(f"documents is {documents!r}; allowed are {allowed}")
    if text_unit is not None and text_unit not in get_args(TextUnit):
        raise ValueError(f"text_unit is {text_unit!r}; allowed are None, 'file', 'paragraph', 'line'")
    check_encoding(encoding)
    if separator == "":
        raise ValueError("separator is empty; allowed is a string of one character or more, or None")
    if separator is not None:
        separator = _WRITTEN_OUT.sub(lambda found: _ESCAPES[found[1]], separator)
        separator = separator.replace("\r\n", "\n").replace("\r", "\n")
    check_limit(max_record_bytes)
    report = ReadReport() if report is None else report
    is_named = not isinstance(paths, str | os.PathLike) or not Path(paths).is_dir()
    files = find_files(paths, report)
    encodings = Encodings(encoding, report, list(filter(may_be_plain_text, files)))
    rows = RowReader(text_key, report)
    reader = _Reader(
        documents,
        text_unit,
        separator,
        strip_markup,
        max_record_bytes,
        report,
        files,
        is_named,
        encodings,
        rows,
    )
    return without_faults(reader.read_all(), report, max_faulty_share)


@dataclass(frozen=True)
class _Reader:
    """Reads one file after the other, as :func:`read_files` was told."""

    documents: DocumentUnit
    text_unit: TextUnit | None
    separator: str | None
    strip_markup: bool
    limit: int
    report: ReadReport
    files: Sequence[Path]
    is_named: bool
    encodings: Encodings
    rows: RowReader

    def read_all(self) -> Iterator[Document | Fault]:
        """Return what the files hold; those that cannot be read are passed over."""
        return read_each(self.files, self._items, self.report)

    def _items(self, path: Path) -> Iterator[Document | Fault]:
        beginning = first_bytes(path)
        kind = kind_of(path, beginning, is_named=self.is_named)
        if self.documents == "row" and kind not in _TABLES and not is_json_lines(beginning):
            raise Unusable(
                'documents="row" is for tables and JSON, and this is text: say "file", "paragraph" or "line"'
            )
        if kind == "pdf":
            return self._from_parts(path, *pdf_pages(path), "page")
        if kind == "word":
            text, title = word_text(path)
            return self._from_parts(path, text.split("\n\n"), title, "paragraph")
        if self.documents in ("auto", "row"):
            kind = table_kind(path, beginning, kind, self.report)
        rows = rows_of(path, kind, self.encodings, self.limit, self.rows.text_key, self.report)
        if rows is not None:
            return self._from_table(path, rows, "key" if kind == "json" else "column")
        encoding = self.encodings.of(path, is_web_page=kind == "html")
        if kind == "html":
            return self._from_page(path, encoding)
        return self._from_text(path, encoding, is_marked_up=self.strip_markup and kind == "markdown")

    def _from_table(self, path: Path, rows: Iterable[Any], what: str) -> Iterator[Document | Fault]:
        found = self.rows.documents(path, rows, what)
        if self.documents == "file":
            return self._joined(path, found)
        joined = f"{self.report.spelling('documents')} (file, to join them)"
        self.report.note(f"each {_RECORD[what]} was taken for a document; {joined} says otherwise", path)
        return found

    def _joined(self, path: Path, found: Iterable[Document | Fault]) -> Iterator[Document | Fault]:
        """Yield the documents of a table as a single one."""
        texts, size = [], 0
        for item in found:
            if isinstance(item, Fault):
                yield item
                continue
            size += len(item.text) + 2
            if size > self.limit:
                yield too_long(shown(path), self.limit)
                return
            texts.append(item.text)
        if texts:
            yield Document("\n\n".join(texts), shown(path), {"title": self._title(path)})

    def _from_page(self, path: Path, encoding: str) -> Iterator[Document | Fault]:
        for page in self._records(path, None, encoding):
            if isinstance(page, Fault):
                yield page
                continue
            text, title = page_text(page.text, f"to read {path}")
            if not text:
                raise Unusable("a web page without text")
            yield from self._from_parts(path, text.split("\n\n"), title, "paragraph")

    def _from_parts(
        self, path: Path, parts: Sequence[str], title: str, what: str
    ) -> Iterator[Document | Fault]:
        """Yield documents of what is in memory, in pages or paragraphs."""
        name = shown(path)
        records = [Record(f"{name}:{number}", part.strip()) for number, part in enumerate(parts, start=1)]
        if self.separator is not None:
            texts = "\n\n".join(parts).split(self.separator)
            records = [Record(f"{name}:{number}", text) for number, text in enumerate(texts, start=1)]
        elif (unit := self._unit_of_many(path)) == "file":
            records = [Record(f"{name}:1", "\n\n".join(record.text for record in records if record.text))]
        elif unit == "line":
            records = [Record(record.place, line) for record in records for line in record.text.split("\n")]
        else:
            self.report.note(f"each {what} was taken for a document; {self._otherwise}", path)
            self.report.unit = "paragraph"
            records = [Record(record.place, re.sub(r"\n\s*\n", "\n", record.text)) for record in records]
        is_whole = len(records) == 1
        meta = {"title": title or self._title(path)} if is_whole else {}
        for record in records:
            if len(record.text) > self.limit:
                yield too_long(record.place, self.limit)
            elif record.text.strip():
                yield Document(record.text.strip(), record.place, meta)

    def _from_text(self, path: Path, encoding: str, is_marked_up: bool) -> Iterator[Document | Fault]:
        if self.separator is not None or self._unit_of_many(path) == "file":
            meta = {"title": self._title(path)} if self.separator is None else {}
            for item in self._records(path, self.separator, encoding):
                if isinstance(item, Record):
                    strip = partial(self._stripped, path) if is_marked_up else with_unicode_line_ends
                    text = strip(item.text)
                    item = Record(item.place, text)
                    self._doubt_a_whole_file(path, text)
                yield item if isinstance(item, Fault) else Document(item.text.strip(), item.place, meta)
            return
        read_lines = partial(self._stripped_lines if is_marked_up else self._lines, path, encoding)
        unit = self._unit_of_many(path)
        if unit == "auto":
            guess = guess_unit(line.text for line in read_lines(Counter()) if isinstance(line, Record))
            unit = self.report.unit = guess.unit
            sentence = f"each {unit} was taken for a document, as {guess.reason}; {self._otherwise}"
            self.report.note(sentence, path, doubtful=guess.is_doubtful)
        for item in grouped(read_lines(self.report.replaced_bytes), unit == "paragraph", self.limit):
            yield item if isinstance(item, Fault) else Document(item.text.strip(), item.place)

    def _unit_of_many(self, path: Path) -> DocumentUnit:
        """Return what a document is, as far as it does not depend on the text."""
        if self.documents != "auto":
            self.report.note(f"each {self.documents} is a document", path)
            self.report.unit = None if self.documents == "row" else self.documents
            return self.documents
        if self.text_unit is not None:
            self.report.note(f"each {self.text_unit} of a text was taken for a document, as before", path)
            self.report.unit = self.text_unit
            return self.text_unit
        if self.n_readable > 1:
            self.report.note(f"each file of text was taken for one document; {self._otherwise}", path)
            self.report.unit = "file"
            return "file"
        return "auto"

    def _doubt_a_whole_file(self, path: Path, text: str) -> None:
        """Say that a few long files may hold many documents."""
        if self.documents == "auto" and self.n_readable < _FEW_DOCUMENTS and text.count("\n") > _MANY_LINES:
            sentence = (
                f"a text of more than {_MANY_LINES} lines was taken for one document; {self._otherwise}"
            )
            self.report.note(sentence, path, doubtful=True)

    @property
    def _otherwise(self) -> str:
        return f"{self.report.spelling('documents')} (file, paragraph or line) says otherwise"

    @cached_property
    def n_readable(self) -> int:
        """How many of the files may hold text, by their names."""
        return sum(may_be_read(path) for path in self.files)

    def _title(self, path: Path) -> str:
        """Return the name of a file without its endings; where several have it, after that of the folder."""
        stem = _stem(path)
        return f"{shown(path.parent.name)}/{stem}" if self.stems[stem] > 1 and path.parent.name else stem

    @cached_property
    def stems(self) -> Counter[str]:
        """How many files have which name, without endings."""
        return Counter(_stem(path) for path in self.files if may_be_read(path))

    def _lines(self, path: Path, encoding: str, replaced: Counter[str]) -> Iterator[Record | Fault]:
        for item in read_records(path, "\n", encoding, self.limit, keep_blank=True, replaced=replaced):
            if isinstance(item, Fault) or item.text.isascii():
                yield item
                continue
            yield from (Record(item.place, line) for line in with_unicode_line_ends(item.text).split("\n"))

    def _stripped_lines(self, path: Path, encoding: str, replaced: Counter[str]) -> Iterator[Record | Fault]:
        """Yield the lines of a Markdown file; its markup is removed as a whole, as code blocks hold empty lines."""
        for item in read_records(path, None, encoding, self.limit, replaced=replaced):
            if isinstance(item, Fault):
                yield item
                continue
            lines = self._stripped(path, item.text).split("\n")
            yield from (Record(f"{shown(path)}:{number}", line) for number, line in enumerate(lines, start=1))

    def _stripped(self, path: Path, text: str) -> str:
        stripped, n_blocks = strip_untrusted(text)
        if n_blocks:
            self.report.note("code blocks and front matter of Markdown were left out", path)
        return stripped

    def _records(
        self, path: Path, separator: str | None, encoding: str, *, keep_blank: bool = False
    ) -> Iterator[Record | Fault]:
        replaced = self.report.replaced_bytes
        return read_records(path, separator, encoding, self.limit, keep_blank=keep_blank, replaced=replaced)


def _stem(path: Path) -> str:
    name = path.name
    if is_compressed(path):
        name = name[: -len(path.suffix)]
    ending = inner_ending(path)
    return shown(name[: -len(ending)] if is_known(ending) else name)
