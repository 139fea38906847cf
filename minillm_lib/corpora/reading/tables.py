"""The rows of tables and the records of JSON, alike for all kinds of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from minillm_lib.corpora.reading.content import inner_ending
from minillm_lib.corpora.reading.delimited import DelimitedTable
from minillm_lib.corpora.reading.encoding import Encodings
from minillm_lib.corpora.reading.json_values import is_json_lines, read_json
from minillm_lib.corpora.reading.kinds import Kind
from minillm_lib.corpora.reading.records import read_records
from minillm_lib.corpora.reading.report import Fault, ReadReport
from minillm_lib.corpora.reading.rows import Row
from minillm_lib.corpora.reading.sheets import read_parquet, read_sheets


def table_kind(path: Path, beginning: bytes, kind: Kind, report: ReadReport) -> Kind:
    """Return the kind of a file, or ``"json"`` if it is text that turns out to be JSON lines, which is noted."""
    if kind == "text" and is_json_lines(beginning):
        report.note("JSON lines were recognised in a file of another ending", path)
        return "json"
    return kind


def rows_of(
    path: Path, kind: Kind, encodings: Encodings, limit: int, text_key: str | None, report: ReadReport
) -> Iterable[Row | Fault] | None:
    """Return the rows of a table, or the records of a JSON file, with their places; None if it is neither.

    Parameters
    ----------
    limit
        The most bytes of a row.
    text_key
        A column that is to be read; it helps to recognise the header.

    Raises
    ------
    Unusable
        If the file is broken.
    MissingPackageError
        If the package for its kind is not installed.
    """
    if kind == "parquet":
        return read_parquet(path)
    if kind == "sheets":
        return read_sheets(path, text_key, report)
    if kind == "json":
        return read_json(path, encodings.of(path), limit, report=report)
    if kind == "delimited":
        return _delimited(path, encodings.of(path), limit, text_key, report)
    return None


def _delimited(
    path: Path, encoding: str, limit: int, text_key: str | None, report: ReadReport
) -> Iterator[Row | Fault]:
    lines = read_records(path, "\n", encoding, limit, keep_blank=True, replaced=report.replaced_bytes)
    table = DelimitedTable(lines, limit, text_key, inner_ending(path))
    report.note(str(table.dialect), path, doubtful=table.dialect.is_doubtful)
    return table.rows()
