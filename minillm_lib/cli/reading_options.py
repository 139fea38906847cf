"""The options that say how documents are read; ``minillm lda``, ``topics apply`` and ``eval`` share them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from minillm_lib.corpora.document import Document
    from minillm_lib.corpora.files import ReadReport
    from minillm_lib.corpora.reading.report import TextUnit

DOCUMENTS_PANEL = "Your own documents"

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        help="Files, folders and globs, the same as --text.",
        metavar="PATHS",
        show_default=False,
    ),
]


def _documents(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=DOCUMENTS_PANEL, **more)


Text = Annotated[
    list[str] | None,
    _documents(
        "A file, a folder or a glob such as 'notes/*.txt'; may be given several times. Text, Markdown, HTML, PDF, "
        "Word, CSV, Excel, JSON, JSON lines and Parquet, also compressed.",
        "--text",
        "--jsonl",
        metavar="PATH",
        show_default=False,
    ),
]
Unit = Annotated[
    Literal["auto", "file", "paragraph", "line", "row"],
    _documents(
        "What a document is. auto: each file of a folder; of a single text file, a paragraph or a line; of a table, a "
        "row.",
        "--documents",
    ),
]
TextKey = Annotated[
    str | None,
    _documents(
        "The column or key that holds the text. By default 'text' or, without it, the one with the longest texts.",
        metavar="NAME",
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None,
    _documents(
        "The encoding of the files, such as gb18030 or cp1252; detected by default.",
        metavar="NAME",
        show_default=False,
    ),
]
MaxFaulty = Annotated[
    float,
    _documents(
        "Share of the records that may be broken. Broken ones are skipped and named; more of them are an error.",
        min=0,
        max=1,
        metavar="SHARE",
    ),
]


MaxRecordBytes = Annotated[
    int | None,
    _documents(
        "The longest record that is read, in bytes; a longer one is broken. By default 16 MiB.",
        min=1,
        metavar="BYTES",
        show_default=False,
    ),
]
_FLAGS = {
    "documents": "--documents",
    "text_key": "--text-key",
    "encoding": "--encoding",
    "max_faulty_share": "--max-faulty",
}


@dataclass
class Reading:
    """A user's documents as a stream, and the report that is complete once they have been read.

    Attributes
    ----------
    documents
        The documents; reading begins with the first of them.
    report
        What was read and what was not.
    """

    documents: Iterator[Document]
    report: ReadReport = field(repr=False)

    @contextmanager
    def said_at_the_end(self, console: Console, wording: Callable[[str], str] = str) -> Iterator[None]:
        """Say what was read when the block ends, once: the reader's own warning says the same and is not repeated.

        What was left out or changed, and guesses that are uncertain, stand out. Other warnings follow.

        Parameters
        ----------
        wording
            Changes the wording of the other warnings.
        """
        from minillm_lib.corpora.files import ReadError

        try:
            with warnings.catch_warnings(record=True) as caught:
                yield
        except ReadError:  # its message says it all
            raise
        except Exception:
            self._say(console)
            raise
        self._say(console)
        for warning in caught:
            if str(warning.message) != str(self.report):
                message = wording(str(warning.message))
                warnings.warn_explicit(message, warning.category, warning.filename, warning.lineno)

    def _say(self, console: Console) -> None:
        first, *others = str(self.report).splitlines()
        expected = {first, *self.report.notes} - set(self.report.doubts)
        for line in (first, *others):
            style = None if line in expected else "yellow"
            console.print(line, style=style, highlight=False, soft_wrap=True)


def open_documents(
    paths: Sequence[str],
    *,
    unit: Literal["auto", "file", "paragraph", "line", "row"],
    text_key: str | None,
    encoding: str | None,
    max_faulty: float,
    max_record_bytes: int | None,
    text_unit: TextUnit | None = None,
    strip_markup: bool = True,
) -> Reading:
    """Check the options, and return the documents of some paths as a stream.

    Raises
    ------
    ValueError, OSError
        As :func:`~minillm_lib.corpora.files.read_files` does at its call.
    """
    from minillm_lib.corpora.files import ReadReport, read_files
    from minillm_lib.corpora.reading.records import MAX_RECORD_BYTES

    report = ReadReport(spelling=_FLAGS.__getitem__)
    documents = read_files(
        paths[0] if len(paths) == 1 else list(paths),
        documents=unit,
        text_unit=text_unit,
        text_key=text_key,
        encoding=encoding,
        strip_markup=strip_markup,
        max_record_bytes=max_record_bytes or MAX_RECORD_BYTES,
        max_faulty_share=max_faulty,
        report=report,
    )
    return Reading(_with_sources(documents), report)


def _with_sources(documents: Iterator[Document]) -> Iterator[Document]:
    """Yield the documents with their source among what is known of them, so that results can name it."""
    from minillm_lib.corpora.document import name_of_source

    for document in documents:
        meta = {**document.meta, name_of_source(document.meta): document.source}
        yield replace(document, meta=meta)
