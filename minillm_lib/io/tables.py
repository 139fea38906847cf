"""Tables as plain columns, and how they are written: CSV that Excel reads and does not carry out, and Parquet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

import numpy as np

from minillm_lib.io.atomic_write import check_folder, open_atomically, write_atomically
from minillm_lib.io.optional import needed

Columns = Mapping[str, Sequence[Any] | np.ndarray]
"""A table: the columns by their names, all of one length. ``None`` and NaN are empty cells."""

TableFormat = Literal["csv", "parquet"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # Excel takes the wide ones too


def safe_cell(value: Any) -> Any:
    """Return what a spreadsheet shows as it is: a text that it would take for a formula gets an apostrophe in front.

    Titles and words come from other people's documents, and ``=HYPERLINK(…)`` in a cell would be carried out. Numbers
    are left alone. A text that has such an apostrophe already gets another one, so that different texts stay different.

    >>> safe_cell("=1+1"), safe_cell("1+1"), safe_cell(-1)
    ("'=1+1", '1+1', -1)
    >>> safe_cell("'=1+1"), safe_cell("'tis")
    ("''=1+1", "'tis")
    """
    if isinstance(value, str):
        value = value.encode("utf-8", "backslashreplace").decode()
        return f"'{value}" if value.lstrip("'").startswith(_FORMULA) else value
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return value


def write_csv(columns: Columns, file: TextIO) -> None:
    """Write a table as CSV, with a line of column names; see :func:`safe_cell` for what is done to texts.

    Columns that are arrays of fractions are results, and are written with six digits.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(safe_cell, columns))
    writer.writerows(map(safe_cell, row) for row in zip(*map(_csv_values, columns.values()), strict=True))


def _csv_values(column: Sequence[Any] | np.ndarray) -> Iterable[Any]:
    if not isinstance(column, np.ndarray):
        return column
    if column.dtype.kind != "f":
        return column.tolist()
    return (value if np.isnan(value) else float(f"{value:.6g}") for value in column.tolist())


def save_table(columns: Columns, path: str | os.PathLike[str], format: TableFormat | None = None) -> Path:
    """Write a table to a file, atomically, and return its path.

    CSV is written in UTF-8 with a byte order mark, without which Excel takes it for another encoding. pandas
    skips the mark; R needs ``fileEncoding = "UTF-8-BOM"``.

    Parameters
    ----------
    format
        ``"csv"`` or ``"parquet"``; None to go by the ending of the path.

    Raises
    ------
    ValueError
        For another format, or a path with another ending.
    MissingPackageError
        For Parquet, if pyarrow is not installed.
    """
    path = Path(path)
    format = format or table_format(path)
    with open_atomically(path) as file:
        if format == "parquet":
            pyarrow = needed("pyarrow", "files", "to write Parquet")
            parquet = needed("pyarrow.parquet", "files", "to write Parquet")
            table = pyarrow.table({name: _uniform(column) for name, column in columns.items()})
            parquet.write_table(table, file)
        else:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
            write_csv(columns, text)
            text.detach()
    return path


def table_format(path: str | os.PathLike[str]) -> TableFormat:
    """Return the format that the ending of a path stands for.

    Raises
    ------
    ValueError
        If it stands for none.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in get_args(TableFormat):
        raise ValueError(f"cannot write a table to {path}: give a name that ends in .csv or .parquet")
    return ending  # type: ignore[return-value]


def check_table_path(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` if a table can be written to it, without writing anything; useful before long work.

    Raises
    ------
    ValueError
        If its ending is of no format, or it is a folder or in one that cannot be written to.
    MissingPackageError
        For Parquet, if pyarrow is not installed.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(
            f"cannot write a table to {path}: it is a folder; name a file, such as {path / 'topics.csv'}"
        )
    if table_format(path) == "parquet":
        needed("pyarrow", "files", "to write Parquet")
    check_folder(path.absolute().parent, f"cannot write a table to {path}")
    return path


def to_frame(columns: Columns) -> Any:
    """Return a table as a data frame of pandas.

    Raises
    ------
    MissingPackageError
        If pandas is not installed.
    """
    return needed("pandas", "report", "to return tables as data frames").DataFrame(dict(columns))


def _uniform(column: Sequence[Any] | np.ndarray) -> Any:
    """Return a column of one type, as Parquet needs it: texts where there are several."""
    if isinstance(column, np.ndarray):
        return column
    kinds = {type(value) for value in column if value is not None}
    if len(kinds) <= 1 and not kinds & {str}:
        return list(column)
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in column]
    return [
        None if value is None else str(value).encode("utf-8", "backslashreplace").decode() for value in column
    ]


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text in UTF-8, atomically; half surrogates, which no encoding has, become escapes."""
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
    return Path(path)
