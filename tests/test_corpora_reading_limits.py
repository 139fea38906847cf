"""Files that stand for far more than they are: compressed, nested, or with cells in opposite corners."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from itertools import repeat
from pathlib import Path

import pytest

from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading import content, delimited, encoding, json_values, records
from minillm_lib.corpora.reading.markdown import strip_untrusted
from minillm_lib.corpora.reading.records import Record
from minillm_lib.corpora.reading.report import ReadError, ReadReport, Unusable
from minillm_lib.io import unpacking

_DENSE = b"the same words again and again\n" * 60_000  # 2 MB, a thousandth of it when packed
_TOO_DENSE = "unpacks to more than 200 times its size; .* MINILLM_MAX_RATIO"
_SHEET_XML = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    '<row r="1"><c r="A1" t="inlineStr"><is><t>text</t></is></c></row>'
    '<row r="{row}"><c r="{cell}" t="inlineStr"><is><t>far away</t></is></c></row></sheetData></worksheet>'
)
_ODS_XML = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
    '<table:table table:name="S"><table:table-row><table:table-cell office:value-type="string">'
    "<text:p>text</text:p></table:table-cell></table:table-row>"
    '<table:table-row table:number-rows-repeated="{empty}"><table:table-cell '
    'table:number-columns-repeated="16384"/></table:table-row>{more}'
    "</table:table></office:spreadsheet></office:body></office:document-content>"
)
_ODS_LAST = (
    '<table:table-row table:number-rows-repeated="{n}"><table:table-cell><text:p>x</text:p></table:table-cell>'
    "</table:table-row>"
)


@pytest.fixture
def little_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count from the first 100 KB on, so that the files of the tests may be small."""
    monkeypatch.setattr(unpacking, "FREE_BYTES", 100_000)


def read(folder: Path, name: str, content: bytes | str, **options: object) -> list[str]:
    """Write a file, and return its texts."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [document.text for document in read_files(path, **options)]


def packed(content: bytes, name: str) -> bytes:
    """Compress bytes as the ending of a name says."""
    if name.endswith(".gz"):
        return gzip.compress(content)
    compressed: bytes = pytest.importorskip("zstandard").ZstdCompressor().compress(content)
    return compressed


def archive(**members: str | bytes) -> bytes:
    """Return a ZIP archive; two underscores in a name stand for a slash, one for a dot."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members.items():
            written.writestr(name.replace("__", "/").replace("_", "."), content)
    return file.getvalue()


@pytest.mark.parametrize("name", ["t.txt.gz", "t.txt.zst", "t.jsonl.gz", "t.csv.zst", "t.md.gz"])
def test_a_file_that_unpacks_to_far_more_is_refused_with_the_limit(tmp_path, little_is_free, name):
    with pytest.raises(ReadError, match=_TOO_DENSE):
        read(tmp_path, name, packed(_DENSE, name))


def test_whoever_trusts_the_file_can_raise_the_limit(tmp_path, little_is_free, monkeypatch):
    monkeypatch.setenv("MINILLM_MAX_RATIO", "5000")
    content = packed(_DENSE, "t.txt.gz")
    assert len(read(tmp_path, "t.txt.gz", content, documents="line")) == 60_000
    monkeypatch.setenv("MINILLM_MAX_RATIO", "many")
    with pytest.raises(ValueError, match="MINILLM_MAX_RATIO is 'many'; allowed is a positive number"):
        read(tmp_path, "t.txt.gz", content)


def test_ordinary_compressed_files_are_within_the_limit(tmp_path):
    lines = "".join(
        f"Line {number} of an ordinary log, at {number * 7919 % 86400} s.\n" for number in range(20_000)
    )
    assert len(read(tmp_path, "t.txt.gz", gzip.compress(lines.encode()), documents="line")) == 20_000


def test_no_more_is_unpacked_than_the_limit_allows(tmp_path, little_is_free, monkeypatch):
    """Of 2 MB, only the first pieces are looked at."""
    seen = []
    monkeypatch.setattr(
        "minillm_lib.corpora.reading.content.is_too_dense",
        lambda n, n_packed, ratio: bool(seen.append(n)) or unpacking.is_too_dense(n, n_packed, ratio),
    )
    monkeypatch.setattr("minillm_lib.corpora.reading.content.CHUNK_BYTES", 50_000)
    with pytest.raises(ReadError):
        read(tmp_path, "t.txt.gz", packed(_DENSE, "t.txt.gz"))
    assert max(seen) <= 1_000_000 < len(_DENSE)


@pytest.mark.parametrize("name", ["t.docx", "t.xlsx", "t.ods"])
def test_an_office_file_that_unpacks_to_far_more_is_refused(tmp_path, little_is_free, name):
    member = {
        "t.docx": "word__document_xml",
        "t.xlsx": "xl__workbook_xml",
        "t.ods": "content_xml",
    }[name]
    mime = {"mimetype": "application/vnd.oasis.opendocument.spreadsheet"} if name == "t.ods" else {}
    pytest.importorskip("python_calamine" if name != "t.docx" else "mammoth")
    with pytest.raises(ReadError, match=_TOO_DENSE):
        read(tmp_path, name, archive(**mime, **{member: b" " * 5_000_000}))


def test_what_has_to_be_unpacked_in_memory_has_a_limit_of_its_own(tmp_path, monkeypatch):
    pytest.importorskip("mammoth")
    monkeypatch.setenv("MINILLM_MAX_UNPACKED_BYTES", "1000")
    with pytest.raises(ReadError, match=r"unpacks to more than 1,000 bytes.* MINILLM_MAX_UNPACKED_BYTES"):
        read(tmp_path, "t.docx", archive(word__document_xml="x" * 1001))
    with pytest.raises(ReadError, match="unpacks to more than 1,000 bytes"):
        read(tmp_path, "t.pdf.gz", gzip.compress(b"%PDF-" + bytes(1001)))


@pytest.mark.parametrize(("row", "cell"), [(1_048_576, "XFD1048576"), (2, "XFD2"), (1_048_576, "B1048576")])
def test_cells_in_opposite_corners_of_a_sheet_are_not_held_as_a_rectangle(tmp_path, row, cell):
    """The library that reads workbooks would end the process."""
    pytest.importorskip("python_calamine")
    sheet = _SHEET_XML.format(row=row, cell=cell)
    if cell != "XFD1048576":
        with pytest.raises(ReadError) as caught:  # of its size nothing is wrong, and the rest is missing
            read(tmp_path, "t.xlsx", archive(xl__workbook_xml="<workbook/>", xl__sheet_xml=sheet))
        assert "reach to" not in str(caught.value)
        return
    for name in ("xl__worksheets__sheet1_xml", "elsewhere__sheet_bin"):
        with pytest.raises(ReadError, match="reach to column 16,384 and row 1,048,576"):
            read(tmp_path, "t.xlsx", archive(xl__workbook_xml="<workbook/>", **{name: sheet}))


@pytest.mark.parametrize(
    ("empty", "more", "is_refused"),
    [
        (1_048_575, "", False),  # as LibreOffice fills a sheet
        (1_048_574, _ODS_LAST.format(n=1), False),
        (9, _ODS_LAST.format(n=999_999_999), True),
        (9, _ODS_LAST.format(n="9" * 5000), True),
    ],
)
def test_repeated_cells_of_an_open_document_are_not_unrolled_without_end(tmp_path, empty, more, is_refused):
    pytest.importorskip("python_calamine")
    mime = "application/vnd.oasis.opendocument.spreadsheet"
    content = archive(mimetype=mime, content_xml=_ODS_XML.format(empty=empty, more=more))
    try:
        read(tmp_path, "t.ods", content)
        message = ""
    except ReadError as error:
        message = str(error)
    assert ("too large for memory" in message or "number-rows-repeated" in message) == is_refused


def test_a_parquet_file_of_repetitions_is_refused(tmp_path, little_is_free):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["the same text"] * 400_000}), file)
    with pytest.raises(ReadError, match=_TOO_DENSE):
        read(tmp_path, "t.parquet", file.getvalue())


def test_texts_of_a_dictionary_count_as_often_as_they_occur(tmp_path, little_is_free):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1000), ["a word " * 5000])
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": column}), file)
    with pytest.raises(ReadError, match=_TOO_DENSE):
        read(tmp_path, "t.parquet", file.getvalue())


_DEEP = "[" * 5000 + "]" * 5000
_DIGITS = "7" * 5000


@pytest.mark.parametrize(
    ("value", "reason"),
    [(_DEEP, "nested more than 100 levels deep"), (_DIGITS, "an integer of more than 4,300")],
)
@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("t.jsonl", '{{"text": "one"}}\n{{"text": "two", "x": {}}}\n', "t.jsonl:2"),
        ("t.json", '[{{"text": "one"}},\n{{"text": "two", "x": {}}}]', r"t.json\[1\]"),
        ("t.json", '{{"text": "one",\n"x": {}}}', "t.json:1"),
    ],
)  # fmt: skip
def test_json_that_would_end_a_parser_is_a_fault_with_its_place(
    tmp_path, name, content, place, value, reason
):
    with pytest.raises(ReadError, match=f"{place}: malformed JSON .*{reason}"):
        read(tmp_path, name, content.format(value), max_faulty_share=0)


def test_what_is_nested_within_the_limit_can_be_read_and_written(tmp_path):
    deep = "[" * 90 + "]" * 90
    (document,) = read_files(_written(tmp_path, f'{{"text": "one", "x": {deep}}}\n'))
    assert json.dumps(document.meta["x"]) == deep


def _written(folder: Path, text: str) -> Path:
    path = folder / "t.jsonl"
    path.write_text(text)
    return path


def test_a_single_value_of_too_many_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_values, "_MAX_WHOLE_VALUES", 1000)
    with pytest.raises(ReadError, match="holds more than 1,000; save it as JSON lines"):
        read(tmp_path, "t.json", '{"text": "one",\n"x": [' + "[]," * 1000 + "[]]}")


def test_a_quotation_mark_too_many_does_not_gather_all_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_MOST_LINES", 100)
    report = ReadReport()
    rows = "text,n\n" + "line,2\n" * 600 + '"open,1\n' + "line,2\n" * 300
    with pytest.warns(UserWarning, match="more than 100 lines; is there a quotation mark too many"):
        assert len(read(tmp_path, "t.csv", rows, report=report)) == 900
    assert report.by_kind == {"record too long": 1}


def test_a_quotation_mark_in_each_row_does_not_have_the_rows_read_again_and_again(monkeypatch):
    """Each of these lines opens a cell that no line after it closes, though each of them has another open one."""
    n_fed = 0
    reader = delimited.csv.reader

    def counting(lines, **options):
        def counted():
            nonlocal n_fed
            for line in lines:
                n_fed += 1
                yield line

        return reader(counted(), **options)

    monkeypatch.setattr(delimited.csv, "reader", counting)
    texts = ["text,b,c", *["word,b,c"] * 600, *['x",y,"z', "word,b,c"] * 1000]
    lines = [Record(f"t.csv:{number}", text) for number, text in enumerate(texts, start=1)]
    found = list(delimited.DelimitedTable(lines, 1 << 24).rows())
    assert sum(isinstance(row, tuple) for row in found) == 1600
    assert len(found) == 2600
    assert n_fed < 4 * len(texts)


def test_what_begins_as_no_text_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(encoding, "_CERTAINLY", 1 << 20)
    found = encoding.survey(repeat(bytes(1 << 18)))
    assert found.n_bytes == found.n_zeros == 1 << 20
    with pytest.raises(Unusable, match=r"all its bytes are zero \(of the first 1,048,576\)"):
        encoding._refuse_binary(found, "utf-8")


def test_a_text_that_is_too_long_is_not_read_to_its_end():
    assert list(records._pieces(repeat(b"word " * 100), None, 5000)) == [(1, None)]


def test_the_names_of_many_columns_are_not_all_said(tmp_path):
    record = json.dumps({f"column {number}": number for number in range(20_000)})
    with pytest.raises(ReadError) as caught:
        read(tmp_path, "t.jsonl", f"{record}\n" * 2, text_key="text")
    assert len(str(caught.value)) < 5000


@pytest.fixture
def little_for_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let parsers take one second and 32 MiB."""
    monkeypatch.setattr(content, "_PARSER_BYTES", 1 << 25)
    monkeypatch.setattr(content, "_SECONDS", 0.7)
    monkeypatch.setattr(content, "_SECONDS_PER_BYTE", 0.0)
    monkeypatch.setenv("MINILLM_MAX_UNPACKED_BYTES", "1e6")


_BEYOND = "reading it .*; if you trust it, set MINILLM_MAX_SECONDS or MINILLM_MAX_UNPACKED_BYTES"


def pdf_of(stream: bytes) -> bytes:
    """Return a PDF of one page, whose content is compressed."""
    packed = zlib.compress(stream, 1)
    objects = [
        b"<</Type/Catalog /Pages 2 0 R>>",
        b"<</Type/Pages /Kids[3 0 R] /Count 1>>",
        b"<</Type/Page /Parent 2 0 R /MediaBox[0 0 9 9] /Contents 4 0 R>>",
        b"<</Length %d /Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed),
    ]
    body, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + (
        b"xref\n0 5\n0000000000 65535 f \n%strailer <</Size 5 /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
        % (table, len(body))
    )


def test_a_pdf_whose_content_unpacks_to_far_more_is_refused(tmp_path, little_for_parsers):
    pytest.importorskip("pypdfium2")
    with pytest.raises(ReadError, match=r"1 \.pdf, a PDF without text"):
        read(tmp_path, "small.pdf", pdf_of(b" " * 1000))
    with pytest.raises(ReadError, match=_BEYOND):
        read(tmp_path, "t.pdf", pdf_of(bytes(1 << 27)))


def test_marks_of_markdown_that_are_never_closed_are_refused(little_for_parsers):
    assert strip_untrusted("a **bold** word") == ("a bold word", 0)
    with pytest.raises(Unusable, match="more than 1 s"):
        strip_untrusted("*a " * 100_000)


def test_the_pages_of_a_parquet_file_are_unpacked_within_limits(tmp_path, little_for_parsers):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    dictionary = pyarrow.array(["a" * (1 << 26)])
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 0], pyarrow.int32()), dictionary)
    parquet.write_table(pyarrow.table({"text": texts}), file, compression="zstd")
    with pytest.raises(ReadError, match="takes more than 33 MiB of memory"):
        read(tmp_path, "t.parquet", file.getvalue())


def test_missing_values_are_counted_too(tmp_path, little_is_free):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": pyarrow.nulls(50_000, pyarrow.string())}), file)
    with pytest.raises(ReadError, match=_TOO_DENSE):
        read(tmp_path, "t.parquet", file.getvalue())


def test_a_process_that_waits_in_another_folder_reads_the_right_file(tmp_path, monkeypatch):
    pytest.importorskip("pypdfium2")
    for name, bytes_of in (("one", pdf_of(b"")), ("two", b"%PDF-1.4 and no more")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.pdf").write_bytes(bytes_of)
    for name, reason in (("one", "a PDF without text"), ("two", "a broken PDF"), ("one", "without text")):
        monkeypatch.chdir(tmp_path / name)
        with pytest.raises(ReadError, match=reason):
            list(read_files("t.pdf"))


def test_infinite_limits_are_none(monkeypatch):
    monkeypatch.setenv("MINILLM_MAX_SECONDS", "inf")
    monkeypatch.setenv("MINILLM_MAX_UNPACKED_BYTES", "inf")
    assert strip_untrusted("a **bold** word") == ("a bold word", 0)
