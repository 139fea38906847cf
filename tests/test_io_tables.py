from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from minillm_lib.io.tables import (
    check_table_path,
    safe_cell,
    save_table,
    table_format,
    to_frame,
    write_csv,
)

TABLE = {
    "title": ['=HYPERLINK("http://x")', "-5 degrees", '"quoted", with comma\nand line', "主题", None],
    "year": [2001, None, 2003, 2004, 2005],
    "share": np.array([0.25, -0.5, 1, np.nan, 0]),
}


def test_csv_holds_the_table_and_no_formula(tmp_path: Path) -> None:
    path = save_table(TABLE, tmp_path / "deep" / "table.csv")
    assert path.read_bytes().startswith("\ufeff".encode())
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["title", "year", "share"]
    assert [row[0] for row in rows] == [
        "'=HYPERLINK(\"http://x\")", "'-5 degrees", '"quoted", with comma\nand line', "主题", "",
    ]  # fmt: skip
    assert [row[1] for row in rows] == ["2001", "", "2003", "2004", "2005"]
    assert [row[2] for row in rows] == ["0.25", "-0.5", "1.0", "", "0.0"]
    assert list(pd.read_csv(path)) == ["title", "year", "share"], "pandas skips the mark"


@given(st.text())
def test_no_text_begins_as_a_formula(text: str) -> None:
    cell = safe_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert cell in (text, f"'{text}")


@given(st.text("=-'a1", max_size=4), st.text("=-'a1", max_size=4))
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (safe_cell(one) == safe_cell(other)) == (one == other)


def test_text_that_no_encoding_has_is_written_as_an_escape(tmp_path: Path) -> None:
    columns = {"title": ["caf\udce9", "plain"]}
    assert r"caf\udce9" in save_table(columns, tmp_path / "t.csv").read_text(encoding="utf-8-sig")
    assert pd.read_parquet(save_table(columns, tmp_path / "t.parquet"))["title"][0] == r"caf\udce9"


def test_parquet_and_data_frames_hold_the_same_values(tmp_path: Path) -> None:
    read = pd.read_parquet(save_table(TABLE, tmp_path / "table.parquet"))
    frame = to_frame(TABLE)
    assert read["title"].tolist()[:4] == frame["title"].tolist()[:4] == TABLE["title"][:4]
    assert read["share"].tolist()[:3] == [0.25, -0.5, 1]
    assert math.isnan(frame["share"][3])
    assert read["year"].tolist()[0] == 2001


def test_a_column_of_several_types_becomes_text_in_parquet(tmp_path: Path) -> None:
    columns = {"mixed": [1, "two", None], "numbers": [1, 2.5, None], "plain": [True, False, True]}
    read = pd.read_parquet(save_table(columns, tmp_path / "mixed.parquet"))
    assert read["mixed"].tolist()[:2] == ["1", "two"]
    assert read["numbers"].tolist()[:2] == [1.0, 2.5]
    assert read["plain"].tolist() == [True, False, True]


def test_results_have_six_digits_and_what_people_wrote_has_all() -> None:
    file = io.StringIO()
    write_csv({"theirs": [12.3456789], "share": np.array([0.123456789]), "n": np.array([123456789])}, file)
    assert file.getvalue().splitlines()[1] == "12.3456789,0.123457,123456789"


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        write_csv({"a": [1, 2], "b": [1]}, io.StringIO())


def test_the_ending_of_a_path_says_the_format(tmp_path: Path) -> None:
    assert table_format("a/b.CSV") == "csv"
    assert table_format("b.parquet") == "parquet"
    with pytest.raises(ValueError, match=r"xlsx: give a name that ends in \.csv or \.parquet"):
        check_table_path(tmp_path / "topics.xlsx")
    with pytest.raises(ValueError, match="it is a folder"):
        check_table_path(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file, not a folder"):
        check_table_path(tmp_path / "file" / "topics.csv")
    assert check_table_path(tmp_path / "new" / "topics.csv").name == "topics.csv"
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_named_beforehand(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="is not writable"):
        check_table_path(tmp_path / "topics.csv")
