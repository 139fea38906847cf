"""Spreadsheets (Excel and OpenDocument) and Parquet, row by row."""

from __future__ import annotations

import io
import zipfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

from minillm_lib.corpora.reading.content import check_ratio, check_unpacked, parsed, seekable
from minillm_lib.corpora.reading.delimited import Dialect, recognise_header
from minillm_lib.corpora.reading.report import Fault, ReadReport, Unusable, shown
from minillm_lib.corpora.reading.rows import is_absent, whole_number
from minillm_lib.corpora.reading.sheet_size import check_excel_sheet, check_open_document
from minillm_lib.io.optional import needed
from minillm_lib.io.wording import number_of

_BLOCK = 1 << 20
_LOOKED_AT = 50
_ROWS = 128  # each of which may be a long text, and is not stored as often as it occurs
_LARGE = 1 << 24  # bytes of a batch
_VALUE = 16  # bytes that a value counts, even where thousands are stored in one
_OF_PARQUET = (
    OSError,
    ArithmeticError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)
_EXCEL_WORKBOOK = "xl/workbook.xml"


def read_sheets(
    path: Path, text_key: str | None, report: ReadReport
) -> Iterator[tuple[str, dict[str, Any]] | Fault]:
    """Yield the rows of a workbook with their places; sheets without the columns of the first one are passed over.

    The first sheet with cells says what the columns are, unless another has ``text_key``. Whole numbers, which
    spreadsheets keep as floating-point numbers, become integers.

    Raises
    ------
    Unusable
        If it is broken, encrypted, would unpack to too much, or takes too much time or memory.
    MissingPackageError
        If the package python-calamine is not installed.
    """
    needed("python_calamine", "files", f"to read {path}")
    with seekable(path) as stream:
        check_archive(stream)
    for kind, what, place in parsed(partial(_workbook, shown(path), text_key), path, "python_calamine"):
        if kind == "rows":
            yield from what
        elif kind in ("note", "doubt"):
            report.note(what, place, doubtful=kind == "doubt")
        else:
            report.pass_over(place, what)


def _workbook(
    file: str, text_key: str | None, source: Path | bytes
) -> Iterator[tuple[Literal["rows", "note", "doubt", "passed over"], Any, str]]:
    """Yield the rows of a workbook, and what is to be said of its sheets."""
    calamine = needed("python_calamine", "files", "to read workbooks")
    columns: tuple[str, ...] | None = None
    try:
        with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as stream:
            workbook = calamine.CalamineWorkbook.from_filelike(stream)
            for name in workbook.sheet_names:
                cells = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
                table = _table(cells, text_key)
                if table is None:
                    continue
                start, dialect = table
                place = f"{file}[{shown(name)}]"
                if (
                    columns is None
                    and text_key is not None
                    and text_key not in dialect.names
                    and _has_key(workbook, text_key)
                ):
                    yield "passed over", f"a sheet without the column {text_key!r}", place
                    continue
                if columns is not None and not set(columns) <= set(dialect.names):
                    yield "passed over", "a sheet with other columns than the first", place
                    continue
                columns = columns or dialect.names
                yield "note", f"{dialect}", place
                unnamed: list[int] = []
                rows = _rows(cells, start, dialect, place, unnamed)
                while some := list(islice(rows, _ROWS)):
                    yield "rows", some, place
                if unnamed:
                    beyond = f"{number_of(len(unnamed), 'cell')} right of the columns"
                    yield "doubt", f"not read: {beyond}, the first in row {unnamed[0]}", place
    except calamine.PasswordError as error:
        raise Unusable("encrypted with a password") from error
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise Unusable(f"broken ({error})") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust, and no Exception
            raise
        raise Unusable(f"broken ({error})") from error


def check_archive(stream: BinaryIO) -> None:
    """Check that an archive does not unpack to more than is sensible; anything but a ZIP archive passes.

    Every member is unpacked piece by piece, as what the archive says of its sizes may be wrong.

    Raises
    ------
    Unusable
        If it does, or is broken or encrypted.
    """
    if not zipfile.is_zipfile(stream):
        stream.seek(0)
        return
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            n = sum(member.file_size for member in archive.infolist())
            check_unpacked(n)
            check_ratio(n, stream.seek(0, io.SEEK_END))
            is_excel = any(name.lower() == _EXCEL_WORKBOOK for name in archive.namelist())
            for member in archive.infolist():
                with archive.open(member) as file:
                    chunks = iter(partial(file.read, _BLOCK), b"")
                    if is_excel:  # in which any member may be a sheet
                        check_excel_sheet(chunks)
                    elif member.filename == "content.xml":
                        check_open_document(chunks)
                    deque(chunks, maxlen=0)  # to the end, where the checksum is
    except RuntimeError as error:
        raise Unusable("encrypted with a password") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise Unusable(f"broken ({error})") from error
    stream.seek(0)


def _has_key(workbook: Any, text_key: str) -> bool:
    for name in workbook.sheet_names:
        table = _table(
            workbook.get_sheet_by_name(name).to_python(skip_empty_area=False, nrows=_LOOKED_AT), text_key
        )
        if table is not None and text_key in table[1].names:
            return True
    return False


def _table(cells: Sequence[Sequence[Any]], text_key: str | None) -> tuple[int, Dialect] | None:
    """Return the row where the table begins, and its header; None for an empty sheet.

    Titles above the table have fewer cells than its rows.
    """
    filled = [
        (number, sum(not _is_blank(cell) for cell in row)) for number, row in enumerate(cells[:_LOOKED_AT])
    ]
    sizes = Counter(n for _, n in filled if n)
    if not sizes:
        return None
    usual = sizes.most_common(1)[0][0]
    start = next(number for number, n in filled if n >= max(0.6 * usual, 1))
    width = max(
        (
            index + 1
            for row in cells[start : start + _LOOKED_AT]
            for index, cell in enumerate(row)
            if not _is_blank(cell)
        ),
        default=1,
    )
    rows = [[_as_text(cell) for cell in row[:width]] for row in cells[start : start + _LOOKED_AT]]
    n_above = sum(n > 0 for _, n in filled[:start])
    return start, replace(recognise_header(rows, width, text_key), n_above=n_above)


def _rows(
    cells: Sequence[Sequence[Any]], start: int, dialect: Dialect, place: str, unnamed: list[int]
) -> Iterator[tuple[str, dict[str, Any]] | Fault]:
    """Yield the rows of a table with their places; add to ``unnamed`` the row of each cell right of its columns."""
    width = len(dialect.names)
    for number, row in enumerate(cells[start:], start=start + 1):
        if (number == start + 1 and dialect.has_header) or all(map(_is_blank, row)):
            continue
        values = [None if _is_blank(cell) else whole_number(cell) for cell in row]
        unnamed += [number for cell in values[width:] if cell is not None]
        yield f"{place}:{number}", dict(zip(dialect.names, values[:width], strict=False))


def _is_blank(cell: Any) -> bool:
    return is_absent(cell) or (isinstance(cell, str) and not cell.strip())


def _as_text(cell: Any) -> str:
    return "" if _is_blank(cell) else str(whole_number(cell))


def read_parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]] | Fault]:
    """Yield the rows of a Parquet file with their places, a hundred in memory at a time.

    Raises
    ------
    Unusable
        If it is broken from the beginning, its values take much more room than the file, or reading it takes too much
        time or memory.
    MissingPackageError
        If the package pyarrow is not installed.
    """
    needed("pyarrow.parquet", "files", f"to read {path}")
    name, row, n = shown(path), 0, 0
    with seekable(path) as stream:
        n_packed = stream.seek(0, io.SEEK_END)
    try:
        found = parsed(_batches, path, "pyarrow.parquet")
        check_ratio(_VALUE * next(found), n_packed)
        for n_more, values in found:
            n += n_more
            check_ratio(n, n_packed)
            for value in values:
                row += 1
                yield f"{name}:{row}", value
    except _BrokenError as error:
        if not row:
            raise Unusable(f"broken ({error})") from error
        yield Fault(f"{name}:{row + 1}", "damaged file", str(error))


class _BrokenError(ValueError):
    """A Parquet file is broken."""


def _batches(source: Path | bytes) -> Iterator[Any]:
    """Yield the number of values; then, for some rows at a time, how many bytes they take, and the rows."""
    parquet = needed("pyarrow.parquet", "files", "to read Parquet files")
    try:
        table = parquet.ParquetFile(source if isinstance(source, Path) else io.BytesIO(source))
        groups = [table.metadata.row_group(index) for index in range(table.num_row_groups)]
        yield sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
        for batch in table.iter_batches(batch_size=_ROWS, use_threads=False):
            if batch.nbytes < _LARGE:
                rows = batch.to_pylist()
                yield max(batch.nbytes, _n_bytes(rows)), rows
            else:
                yield batch.nbytes, []
                yield from ((0, batch.slice(index, 1).to_pylist()) for index in range(len(batch)))
    except _OF_PARQUET as error:
        raise _BrokenError(str(error)) from error


def _n_bytes(value: Any) -> int:
    """Return how much text there is in a value; Arrow counts a text of a dictionary once, however often it occurs."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(map(_n_bytes, value))
    return sum(map(_n_bytes, value.values())) if isinstance(value, dict) else 0
