"""How far the cells of a workbook reach, found without holding them.

The library that reads workbooks holds a sheet as a full rectangle: two cells in opposite corners of a sheet, a kilobyte
as a file, would be 17 billion cells in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from minillm_lib.corpora.reading.report import Unusable

MOST_CELLS = 20_000_000
_OVERLAP = 64
_REFERENCE = re.compile(rb"""\sr\s*=\s*["']\s*(?:([A-Za-z]{0,3})([0-9]{1,9})["']|([^"']*&))""")
_TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0 "
_VALUE_TYPE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0 value-type"


def check_excel_sheet(chunks: Iterator[bytes]) -> None:
    """Check that the cells of a sheet of an ``.xlsx`` file fit into memory as a rectangle.

    Parameters
    ----------
    chunks
        Its XML, piece by piece.

    Raises
    ------
    Unusable
        If they do not.
    """
    columns, rows, before = 1, 1, b""
    for chunk in chunks:
        text = before + chunk
        for letters, number, escaped in _REFERENCE.findall(text):
            if escaped:
                raise Unusable("broken (a reference to a cell is written with character codes)")
            columns, rows = max(columns, _column(letters)), max(rows, int(number))
        before = text[-_OVERLAP:]
    _check(columns, rows)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = 26 * number + letter - 64
    return number


def check_open_document(chunks: Iterator[bytes]) -> None:
    """Check that the cells of the sheets of an ``.ods`` file fit into memory as rectangles.

    Parameters
    ----------
    chunks
        The XML of all sheets, piece by piece.

    Raises
    ------
    Unusable
        If they do not, or the XML is broken.
    """
    reach = _Reach()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = reach.start, reach.end
    parser.StartDoctypeDeclHandler = _refuse
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Unusable(f"broken ({error})") from error


def _refuse(*_: object) -> None:
    raise Unusable("it declares entities, which a workbook does not need")


class _Reach:
    """Follows the repeated rows and cells of a sheet; empty ones count only where others follow."""

    def __init__(self) -> None:
        self._row = self._rows = self._columns = self._column = self._width = 0
        self._times = 1

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if name == f"{_TABLE}table":
            self._row = self._rows = self._columns = 0
        elif name == f"{_TABLE}table-row":
            self._column, self._width = 0, 0
            self._times = _repeated(attributes, "number-rows-repeated")
        elif name in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
            self._column += _repeated(attributes, "number-columns-repeated")
            if _VALUE_TYPE in attributes or f"{_TABLE}formula" in attributes:
                self._width = self._column
        elif name.endswith("text:1.0 p"):
            self._width = max(self._width, self._column)

    def end(self, name: str) -> None:
        """End an element."""
        if name == f"{_TABLE}table-row":
            self._row += self._times
            if self._width:
                self._rows, self._columns = self._row, max(self._columns, self._width)
                _check(self._columns, self._rows)


def _repeated(attributes: dict[str, Any], name: str) -> int:
    value = attributes.get(f"{_TABLE}{name}", "1")
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise Unusable(f"broken ({name} is {value[:20]!r})")
    return int(value)


def _check(columns: int, rows: int) -> None:
    if columns * rows > MOST_CELLS:
        raise Unusable(
            f"a sheet whose cells reach to column {columns:,} and row {rows:,} is too large for memory (at most "
            f"{MOST_CELLS:,} cells); remove the cells far from its table, or save it as .csv"
        )
