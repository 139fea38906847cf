from __future__ import annotations

import datetime
import gzip
import io
import tracemalloc
import zipfile

import pytest

from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading.delimited import recognise
from minillm_lib.corpora.reading.report import ReadError, ReadReport
from minillm_lib.corpora.reading.rows import meta_of


def read(tmp_path, name, content, **options):
    """The texts and metadata of a file, and the report."""
    path, report = tmp_path / name, ReadReport()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    documents = list(read_files(path, report=report, **options))
    return [document.text for document in documents], [dict(document.meta) for document in documents], report


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk"])
def test_a_table_is_read_whatever_its_delimiter_line_ends_and_encoding(tmp_path, delimiter, end, encoding):
    rows = [
        ["Title", "text", "Year"],
        ["一", "主题模型, 很好; 是|的", "2001"],
        ["二", '他说 "好"', "2002.0"],
        ["三", "第三\n行", "NaN"],
    ]
    table = end.join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    texts, meta, report = read(tmp_path, "t.csv", table.encode(encoding))
    assert texts == ["主题模型, 很好; 是|的", '他说 "好"', "第三\n行"]
    assert meta == [{"title": "一", "year": "2001"}, {"title": "二", "year": "2002.0"}, {"title": "三"}]
    assert "the first line names them" in str(report)
    assert "each row was taken for a document; documents (file, to join them) says otherwise" in str(report)


def test_a_table_without_names_says_so(tmp_path):
    table = "1,good day to you all\n2,another text stands here\n3,third text is here\n"
    texts, meta, report = read(tmp_path, "t.csv", table)
    assert texts == ["good day to you all", "another text stands here", "third text is here"]
    assert meta[0] == {"1": "1"}
    assert "a table of 2 columns between commas; no line names them, so they are 1, 2, …" in str(report)
    assert read(tmp_path, "t.csv", table, text_key="2")[0] == texts


def test_a_single_column_may_hold_commas(tmp_path):
    texts, _, _ = read(
        tmp_path, "t.csv", "text\nhello, world and more\nanother one\nthird, with commas, many\n"
    )
    assert texts == ["hello, world and more", "another one", "third, with commas, many"]
    assert recognise(["one, two", "three", "four, five, six"]).names == ("1",)


def test_the_column_of_the_longest_texts_is_taken_and_said(tmp_path):
    row = "http://example.org/a/long/address/that/says/nothing,the text of it,short\n"
    texts, meta, report = read(tmp_path, "t.csv", "url,body,kind\n" + row * 3)
    assert texts == ["the text of it"] * 3
    assert meta[0] == {"address": "http://example.org/a/long/address/that/says/nothing", "kind": "short"}
    assert "the text is that of column 'body', which has the longest texts; text_key names another" in str(
        report
    )
    with pytest.warns(UserWarning, match="column 'question'.*but 'answer' has long ones too"):
        read(
            tmp_path,
            "t.csv",
            "question,answer\n" + "a long question is asked here,a long answer is given\n" * 3,
        )
    with pytest.raises(ReadError, match="no column 'abstract'; its columns are 'url', 'body', 'kind'"):
        read(tmp_path, "t.csv", "url,body,kind\n" + row, text_key="abstract")
    with pytest.raises(ReadError, match="no column with text; its columns are 'a', 'b'"):
        read(tmp_path, "t.csv", "a,b\n1,2\n3,4\n")


def test_tables_of_a_folder_keep_to_the_column_that_was_guessed_first(tmp_path):
    (tmp_path / "a.csv").write_text("body,note\na body of some length,short\n")
    (tmp_path / "b.csv").write_text("body,note\nbrief,this time the note is the longer one\n")
    assert [document.text for document in read_files(tmp_path)] == ["a body of some length", "brief"]


def test_a_quotation_mark_too_many_costs_one_row(tmp_path):
    rows = "".join(f"{number},row number {number}\n" for number in range(4, 60))
    with pytest.warns(UserWarning, match=r"t\.csv:3: broken row \(.*is there a quotation mark too many"):
        texts, _, _ = read(tmp_path, "t.csv", f'id,text\n1,fine\n2,"stray\n3,"a ""good"" one"\n{rows}')
    assert texts == ["fine", 'a "good" one', *(f"row number {number}" for number in range(4, 60))]


def test_rows_of_another_length_are_named(tmp_path):
    with pytest.warns(
        UserWarning, match=r"(?s)t\.csv:3: wrong number of cells \(4 where 2 columns are\).*:4: .*\(1 where"
    ):
        texts, _, report = read(
            tmp_path, "t.csv", "id,text\n1,a b\n2,c,d,e\n3\n4,f g\n5,\n6,h\n7,i\n8,j\n", max_faulty_share=0.5
        )
    assert texts == ["a b", "f g", "h", "i", "j"]
    assert (report.by_kind, report.n_empty) == ({"wrong number of cells": 2}, 1)


def test_empty_cells_are_left_out_and_counted_but_are_not_broken(tmp_path):
    cells = ["an answer in words", "", "  ", "another answer", ""] * 40
    table = "id,answer\n" + "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    with pytest.warns(UserWarning, match=r"120 records \(60\.00%\) without text left out: .*t\.csv:3, .* …"):
        texts, _, report = read(tmp_path, "t.csv", table, max_faulty_share=0)
    assert len(texts) == 80
    assert (report.n_empty, report.n_faulty) == (120, 0)


def test_a_table_may_be_one_document(tmp_path):
    texts, meta, _ = read(tmp_path, "t.csv", "id,text\n1,one\n2,two\n", documents="file")
    assert (texts, meta) == (["one\n\ntwo"], [{"title": "t"}])


def test_a_large_table_is_streamed_even_with_a_quotation_mark_too_many(tmp_path):
    with (tmp_path / "t.csv").open("w") as file:
        file.write('id,text\n0,"stray\n')
        file.writelines(f"{number},{'z' * 1000}\n" for number in range(8000))
    next(read_files(tmp_path / "t.csv", max_faulty_share=1))  # what is imported at the first use
    tracemalloc.start()
    try:
        with pytest.warns(UserWarning, match="record too long"):
            assert sum(1 for _ in read_files(tmp_path, max_record_bytes=1 << 18)) == 8000
        assert tracemalloc.get_traced_memory()[1] < 7e6
    finally:
        tracemalloc.stop()


def workbook(rows, **sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, more in sheets.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


ROWS = [["ID", "Abstract", "Year", "When"]] + [
    [number, f"abstract number {number}", 2001.0, datetime.datetime(2005, 3, number)] for number in (1, 2)
]


@pytest.mark.parametrize("name", ["t.xlsx", "t.xlsx.gz"])
def test_excel_gives_a_document_a_row(tmp_path, name):
    pytest.importorskip("python_calamine")
    content = workbook(
        [["A report of 2005"], [], *ROWS, [9, None, 2001, None]], More=ROWS, Notes=[["a note"]]
    )
    content = gzip.compress(content) if name.endswith("gz") else content
    with pytest.warns(
        UserWarning,
        match=r"(?s)without text left out: .*\[Sheet\]:6.*a sheet with other columns than the first: .*\[Notes\]",
    ):
        texts, meta, report = read(tmp_path, name, content)
    assert texts == ["abstract number 1", "abstract number 2"] * 2
    assert meta[0] == {"ID": 1, "year": 2001, "When": "2005-03-01"}
    assert "a table of 4 columns; the first line names them" in str(report)
    with pytest.raises(ReadError, match="no column 'text'; its columns are 'ID', 'Abstract'"):
        read(tmp_path, "t.xlsx", workbook(ROWS), text_key="text")


def test_a_broken_or_swollen_workbook_is_passed_over(tmp_path, monkeypatch):
    pytest.importorskip("python_calamine")
    content = workbook(ROWS)
    with pytest.raises(ReadError, match=r"1 \.xlsx, broken \(.*: .*t\.xlsx"):
        read(tmp_path, "t.xlsx", content[:-900])
    monkeypatch.setenv("MINILLM_MAX_UNPACKED_BYTES", "1000")
    with pytest.raises(ReadError, match="it unpacks to more than 1,000 bytes"):
        read(tmp_path, "t.xlsx", content)


def test_what_is_called_excel_may_be_text(tmp_path):
    assert read(tmp_path, "t.xls", "id\ttext\n1\thello there\n2\tgood bye\n")[0] == [
        "hello there",
        "good bye",
    ]


@pytest.mark.parametrize("name", ["t.parquet", "t.parquet.gz"])
def test_parquet_keeps_plain_values(tmp_path, name):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "Body": ["some text", None, "more text"],
        "when": [datetime.datetime(2005, 1, 2), None, datetime.datetime(2006, 1, 1, 10)],
        "score": [1.5, float("nan"), float("nan")],
    }
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    content = gzip.compress(file.getvalue()) if name.endswith("gz") else file.getvalue()
    with pytest.warns(UserWarning, match="1 record .* without text left out: .*:2"):
        texts, meta, _ = read(tmp_path, name, content)
    assert texts == ["some text", "more text"]
    assert meta == [{"when": "2005-01-02", "score": 1.5}, {"when": "2006-01-01T10:00:00"}]
    with pytest.raises(ReadError, match="broken"):
        read(tmp_path, "t.parquet", content[:50])


def test_keys_of_metadata_are_found_in_any_case():
    found = meta_of(
        {"TITLE": 7, "Year": 2005.0, "Link": "http://a.b", "标题": "second", "x": {"y": [None, 1]}, "z": None}
    )
    assert found == {"title": "7", "year": 2005.0, "address": "http://a.b", "标题": "second", "x": {"y": [1]}}
    assert meta_of({"URL": "u", "address": "a"}) == {"URL": "u", "address": "a"}


def test_an_archive_that_lies_about_its_size_is_refused(tmp_path):
    """The sizes of its directory are made smaller than what it unpacks to."""
    pytest.importorskip("python_calamine")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * 100_000)
    content = file.getvalue().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with pytest.raises(ReadError, match=r"1 \.xlsx, broken"):
        read(tmp_path, "t.xlsx", content)


def test_excel_may_name_the_separator_in_a_line_of_its_own(tmp_path):
    texts, meta, _ = read(
        tmp_path, "t.csv", "sep=;\r\nid;answer\r\n1;yes, it is a text\r\n2;no, not at all\r\n"
    )
    assert texts == ["yes, it is a text", "no, not at all"]
    assert meta[0] == {"id": "1"}


def test_a_title_above_the_header_is_left_out_and_said(tmp_path):
    table = "Survey of 2020,,\n,,\nid,answer,group\n" + "".join(
        f"{n},a long answer of number {n},g\n" for n in range(5)
    )
    texts, meta, report = read(tmp_path, "t.csv", table)
    assert texts == [f"a long answer of number {n}" for n in range(5)]
    assert meta[0] == {"id": "0", "group": "g"}
    assert "the first line names them; 2 rows above it left out" in str(report)


def test_a_column_that_is_named_text_may_hold_as_many_commas_in_each_row(tmp_path):
    rows = [f"good, cheap, number {n}" for n in range(5)]
    assert read(tmp_path, "t.csv", "\n".join(["text", *rows]))[0] == rows


def test_rows_of_many_lengths_under_names_are_a_doubt(tmp_path):
    table = "id,text,note\n" + "".join(f"{n},a text of the table{',good' * (n % 2)}\n" for n in range(9))
    with pytest.warns(UserWarning, match="rows would have different numbers of cells"):
        read(tmp_path, "t.csv", table)


@pytest.mark.parametrize("row", [3, 300])
def test_cells_right_of_the_columns_of_a_sheet_are_counted(tmp_path, row):
    pytest.importorskip("python_calamine")
    rows = [["ID", "text"], *([number, f"the text of number {number}"] for number in range(400))]
    rows[row - 1] += ["a remark", None, "and another"]
    if row == 300:
        with pytest.warns(
            UserWarning,
            match=r"not read: 2 cells right of the columns, the first in row 300 \(.*t\.xlsx\[Sheet\]\)",
        ):
            texts, _, _ = read(tmp_path, "t.xlsx", workbook(rows))
    else:  # the columns are as many as the first rows have cells
        texts, _, report = read(tmp_path, "t.xlsx", workbook(rows), text_key="text")
        assert "right of the columns" not in str(report)
    assert len(texts) == 400
