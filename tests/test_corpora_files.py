from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading.markdown import strip_markdown
from minillm_lib.corpora.reading.report import Fault, ReadError, ReadReport
from minillm_lib.io.optional import MissingPackageError


def texts(paths, **options):
    return [document.text for document in read_files(paths, **options)]


def json_lines(*values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def good_lines(n):
    return json_lines(*({"text": f"good {i}"} for i in range(n)))


def test_each_kind_of_file_gives_its_documents(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    (tmp_path / "b.md").write_text("# Title\n\nText *kept* as it is.\n")
    (tmp_path / "c.jsonl").write_text(json_lines({"text": "主题", "year": 2017}, {"text": "模型"}))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(b'{"text": "packed"}\n'))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "e.text").write_text("deep")
    (tmp_path / "deep" / "e.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.txt").write_text("hidden")
    report = ReadReport()
    with pytest.warns(
        UserWarning, match=r"(?s)2 files passed over:.*1 \.txt, hidden: .*1 \.png, an image: .*e\.png"
    ):
        documents = list(read_files(tmp_path, report=report))
    assert [document.text for document in documents] == [
        "one\ntwo",
        "# Title\n\nText *kept* as it is.",
        "主题",
        "模型",
        "packed",
        "deep",
    ]
    assert documents[3].source == f"{tmp_path / 'c.jsonl'}:2"
    assert documents[2].meta == {"year": 2017}
    assert (report.files, report.documents, report.n_faulty) == (5, 6, 0)
    assert {(Path(each.path).name, each.reason) for each in report.passed_over} == {
        (".hidden.txt", "hidden"),
        ("e.png", "an image"),
    }


def test_files_globs_and_folders_may_be_mixed(tmp_path):
    for name in ("x1.txt", "x2.txt", "y.txt"):
        (tmp_path / name).write_text(name)
    assert texts(f"{tmp_path}/x*.txt") == ["x1.txt", "x2.txt"]
    assert texts([tmp_path / "y.txt", f"{tmp_path}/x[1].txt"]) == ["y.txt", "x1.txt"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", ["\n\n", "\r\n\r\n", "\\n\\n", "\\r\\n\\r\\n"])
def test_line_ends_of_a_separator_match_those_of_any_file(tmp_path, line_end, separator):
    text = line_end.join(["one", "still one", "", "two", "", "three"])
    (tmp_path / "t.txt").write_bytes(text.encode())
    found = [document.text for document in read_files(tmp_path / "t.txt", separator=separator)]
    assert found == ["one\nstill one", "two", "three"]


@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 20])
def test_a_separator_divides_wherever_the_pieces_of_the_file_end(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("minillm_lib.corpora.reading.content.CHUNK_BYTES", chunk)
    (tmp_path / "t.txt").write_text("one\nmore<|endoftext|>\n\n<|endoftext|>three\n<|endoftext|>", newline="")
    documents = list(read_files(tmp_path / "t.txt", separator="<|endoftext|>"))
    assert [(d.text, int(d.source.rpartition(":")[2])) for d in documents] == [("one\nmore", 1), ("three", 4)]


def test_conversations_keep_their_turns(tmp_path):
    turns = [{"role": "user", "content": "什么是 LDA？"}, {"role": "assistant", "content": "A topic model."}]
    (tmp_path / "t.jsonl").write_text(json_lines({"conversations": turns}))
    (document,) = read_files(tmp_path)
    assert document.text == "什么是 LDA？\n\nA topic model."
    assert document.meta["conversations"] == turns


def test_every_kind_of_fault_is_counted_and_named_by_file_and_line(tmp_path):
    path = tmp_path / "t.jsonl"
    broken = [
        (b'{"text": "cut', "malformed JSON"),
        (b"[1, 2]", "no object"),
        (b'{"body": "x"}', "missing key"),
        (b'{"text": 7}', "no text"),
        (b'{"text": "caf\xe9"}', "wrong encoding"),
        (b'{"text": "' + b"x" * 3000 + b'"}', "record too long"),
        (b'{"conversations": [{"role": "user"}]}', "malformed conversation"),
        (b"[" * 1500, "malformed JSON"),
    ]
    path.write_bytes(
        good_lines(3).encode() + b"".join(line + b"\n" for line, _ in broken) + good_lines(1).encode()
    )
    report = ReadReport()
    with pytest.warns(UserWarning, match="8 records .* could not be used"):
        found = texts(path, max_record_bytes=2000, max_faulty_share=1.0, report=report, encoding="utf-8")
    assert found == ["good 0", "good 1", "good 2", "good 0"]
    assert [(fault.place, fault.kind) for fault in report.faults] == [
        (f"{path}:{number}", kind) for number, (_, kind) in enumerate(broken, start=4)
    ]
    assert report.by_kind["malformed JSON"] == 2
    assert "no 'text'; its keys are ['body']" in str(report)
    assert report.faulty_share == pytest.approx(8 / 12)


def test_faults_are_tolerated_up_to_the_set_share(tmp_path):
    (tmp_path / "t.jsonl").write_text(good_lines(950) + "broken\n" * 10)
    with pytest.raises(
        ReadError, match=r"(?s)more than 1\.00% .*raise max_faulty_share, a share .*t\.jsonl:951: "
    ):
        texts(tmp_path)
    with pytest.warns(UserWarning, match=r"10 records \(1\.04%\)"):
        assert len(texts(tmp_path, max_faulty_share=0.02)) == 950


@pytest.mark.parametrize(
    ("n_good", "n_broken", "is_read"),
    [(7, 1, True), (4, 3, True), (2, 1, True), (1, 1, False), (3, 3, False), (30, 4, False)],
)
def test_three_broken_records_do_not_make_a_small_file_useless(tmp_path, n_good, n_broken, is_read):
    (tmp_path / "t.jsonl").write_text(good_lines(n_good) + "broken\n" * n_broken)
    if is_read:
        with pytest.warns(UserWarning, match=rf"malformed JSON \({n_broken}\)"):
            assert len(texts(tmp_path)) == n_good
    else:
        with pytest.raises(ReadError, match=rf"malformed JSON \({n_broken}\)"):
            texts(tmp_path)
    with pytest.raises(ReadError, match=r"malformed JSON \(1\)"):
        texts(tmp_path, max_faulty_share=0)


def test_a_hopeless_file_is_given_up_early(tmp_path):
    (tmp_path / "t.jsonl").write_text("broken\n" * 100_000)
    report = ReadReport()
    with pytest.raises(ReadError):
        texts(tmp_path, report=report)
    assert report.n_faulty == 100
    assert len(report.faults) == 20


def test_empty_files_are_reported_and_no_error_unless_there_is_nothing_else(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "t.txt").write_text("text")
    report = ReadReport()
    with pytest.warns(UserWarning, match=r"1 file empty: .*empty\.jsonl"):
        assert texts(tmp_path, report=report) == ["text"]
    assert report.empty_files == [str(tmp_path / "empty.jsonl")]
    (tmp_path / "blank.txt").write_bytes(b"\xef\xbb\xbf\n \n")
    (tmp_path / "empty.txt.gz").write_bytes(gzip.compress(b""))
    with pytest.warns(UserWarning, match=r"3 files empty: .*blank\.txt, .*empty\.jsonl, .*empty\.txt\.gz"):
        assert texts(tmp_path) == ["text"]
    with pytest.raises(ReadError, match=r"(?s)there is no document to read.*1 file empty"):
        texts(tmp_path / "empty.jsonl")


def test_wrong_encoding_names_the_line_of_the_byte(tmp_path):
    (tmp_path / "t.txt").write_bytes("第一行\n第二行\n".encode() + "第三行".encode("gbk"))
    with pytest.raises(ReadError, match=r"t\.txt:3: wrong encoding \(byte 0xB5 is not valid utf-8"):
        texts(tmp_path, documents="file", encoding="utf-8")
    (tmp_path / "t.txt").write_bytes("第三行".encode("gbk"))
    assert texts(tmp_path, encoding="gbk") == ["第三行"]


def test_a_cut_archive_gives_what_it_holds_and_a_fault(tmp_path):
    content = gzip.compress("".join(json_lines({"text": f"{i} {i**9}"}) for i in range(50_000)).encode())
    (tmp_path / "t.jsonl.gz").write_bytes(content[: len(content) // 2])
    report = ReadReport()
    with pytest.warns(UserWarning, match="damaged archive"):
        found = texts(tmp_path, report=report)
    assert found[100] == f"100 {100**9}"
    assert report.by_kind == {"damaged archive": 1}
    assert report.faults[0].place == f"{tmp_path / 't.jsonl.gz'}:{len(found) + 1}"


def test_a_large_file_is_streamed(tmp_path):
    """Reading 40 MB takes a tenth of that in memory."""
    with (tmp_path / "t.jsonl").open("w") as file:
        for _ in range(200):
            file.write(json_lines(*({"text": "x" * 1000} for _ in range(200))))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_files(tmp_path)) == 40_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6e6


@pytest.mark.parametrize(("name", "package"), [("t.parquet", "pyarrow"), ("t.jsonl.zst", "zstandard")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, name, package):
    (tmp_path / name).write_bytes(b"content")
    for module in (package, f"{package}.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError) as caught:
        texts(tmp_path)
    assert str(caught.value) == (
        f"to read {tmp_path / name}, install the package {package}: pip install 'minillm-lib[files]'"
    )


@pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="needs the optional package pyarrow")
def test_parquet_gives_a_document_a_row(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"text": ["one", "", "three"], "year": [1, 2, 3]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match=r"1 record \(33\.33%\) without text left out: .*t\.parquet:2"):
        documents = list(read_files(tmp_path, max_faulty_share=0))
    assert [(d.text, d.meta["year"]) for d in documents] == [("one", 1), ("three", 3)]


@pytest.mark.skipif(not importlib.util.find_spec("zstandard"), reason="needs the optional package zstandard")
def test_zstd_is_read(tmp_path):
    import zstandard

    frames = zstandard.compress(good_lines(2).encode()) + zstandard.compress(good_lines(1).encode())
    (tmp_path / "t.jsonl.zst").write_bytes(frames)
    assert texts(tmp_path) == ["good 0", "good 1", "good 0"]


@pytest.mark.skipif(not importlib.util.find_spec("zstandard"), reason="needs the optional package zstandard")
@pytest.mark.parametrize("kept", [0.3, 0.999, 1])
def test_no_part_of_a_zstd_text_passes_for_the_whole(tmp_path, kept):
    import zstandard

    text = "".join(f"{i} {i**9}\n" for i in range(100_000))
    packed = zstandard.compress(text.encode())
    (tmp_path / "t.txt.zst").write_bytes(packed[: int(kept * len(packed))])
    if kept == 1:
        assert texts(tmp_path, documents="file") == [text.strip()]
        return
    with pytest.raises(ReadError, match=r"t\.txt\.zst:1: damaged archive \(the file ends before"):
        texts(tmp_path, documents="file")


def test_what_is_wrong_is_named(tmp_path):
    (tmp_path / "t.docx").touch()
    with pytest.raises(FileNotFoundError, match="nothing that matches it"):
        texts(tmp_path / "nowhere*.txt")
    (tmp_path / "t.docx").write_bytes(b"PKstub")
    with pytest.raises(
        ReadError, match=r"(?s)no document to read.*\.docx, not a Word file, or a broken one: .*t\.docx"
    ):
        texts(tmp_path / "t.docx")
    with pytest.raises(ValueError, match="encoding is 'utf-9'"):
        texts(tmp_path, encoding="utf-9")
    with pytest.raises(
        ValueError, match="documents is 'page'; allowed are 'auto', 'file', 'paragraph', 'line', 'row'"
    ):
        texts(tmp_path, documents="page")
    with pytest.raises(ValueError, match=r"max_faulty_share is 2; allowed is a share from 0 to 1"):
        texts(tmp_path, max_faulty_share=2)
    with pytest.raises(ValueError, match="separator is empty"):
        texts(tmp_path, separator="")
    with pytest.raises(ValueError, match="max_record_bytes is 0"):
        texts(tmp_path, max_record_bytes=0)
    assert str(Fault("f:1", "empty text")) == "f:1: empty text"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def documents_of(path, **options):
    return list(read_files(path, **options))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"])
@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_units_encodings_and_line_ends_go_together(tmp_path, monkeypatch, end, encoding, chunk):
    monkeypatch.setattr("minillm_lib.corpora.reading.content.CHUNK_BYTES", chunk)
    path = write(tmp_path, "t.txt", end.join(["一 one", "二 two", "", "三 three", ""]).encode(encoding))
    known = {} if "utf" in encoding else {"encoding": encoding}  # the others begin with a byte order mark
    assert texts(path, **known) == ["一 one\n二 two", "三 three"], "auto"
    assert texts(path, documents="paragraph", **known) == ["一 one\n二 two", "三 three"]
    assert texts(path, documents="line", **known) == ["一 one", "二 two", "三 three"]
    assert texts(path, documents="file", **known) == ["一 one\n二 two\n\n三 three"]
    assert texts([path, path], **known) == ["一 one\n二 two\n\n三 three"] * 2, "one of several files"
    assert [document.source for document in documents_of(path, **known)] == [f"{path}:1", f"{path}:4"]


def test_a_code_block_of_markdown_reaches_over_paragraphs(tmp_path):
    path = write(tmp_path, "t.md", "# Title\n\n```\na = 1\n\nb = 2\n```\n\n*Text*.")
    assert texts(path, strip_markup=True) == ["Title", "Text."]
    assert texts(path, documents="file") == ["# Title\n\n```\na = 1\n\nb = 2\n```\n\n*Text*."]


def test_few_wrong_bytes_are_replaced_and_counted_and_many_are_not(tmp_path):
    path = write(tmp_path, "t.txt", "é".encode() * 9 + b"x" * 500 + b"caf\xe9 na\xefve")
    report = ReadReport()
    with pytest.warns(UserWarning, match=r"t\.txt: 2 bytes not valid in the encoding, replaced by U\+FFFD"):
        (text,) = texts(path, report=report)
    assert text.endswith("caf\ufffd na\ufffdve")
    assert report.replaced_bytes == {str(path): 2}
    with pytest.raises(ReadError, match="wrong encoding"):
        texts(write(tmp_path, "gbk.txt", ("主题模型" * 50).encode("gbk")), encoding="utf-8")
    odd = write(tmp_path, "odd.txt", "long enough a text".encode("utf-16") + b"\x00")
    with pytest.warns(UserWarning, match=r"odd\.txt: 1 byte not valid"):
        texts(odd)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["empty.txt", "empty.jsonl", "folder/empty.md"])
def test_no_documents_is_an_error_that_names_the_file(tmp_path, name, content):
    path = write(tmp_path, name, content)
    path = path if path.parent == tmp_path else path.parent
    with pytest.raises(ReadError, match=r"(?s)no document to read.*1 file empty: .*empty\."):
        texts(path)


def test_a_text_file_is_one_document_a_paragraph(tmp_path: Path) -> None:
    path = write(tmp_path, "book.txt", "\n\nFirst\r\nparagraph.\r\n \t\nSecond.\n\n\n\nThird.")
    documents = documents_of(path)
    assert [document.text for document in documents] == ["First\nparagraph.", "Second.", "Third."]
    assert [document.source for document in documents] == [f"{path}:3", f"{path}:6", f"{path}:10"]


def test_a_text_file_without_empty_lines_is_one_document_a_line(tmp_path: Path) -> None:
    documents = documents_of(write(tmp_path, "lines.txt", "one\ntwo\nthree\n\n"))
    assert [(document.text, document.source[-2:]) for document in documents] == [
        ("one", ":1"),
        ("two", ":2"),
        ("three", ":3"),
    ]


def test_a_folder_is_one_document_a_file_in_order_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "b.txt", "text b\n\nstill b")
    write(tmp_path, "a/z.md", "# Title\n\ntext z")
    write(tmp_path, "c.jsonl", '{"text": "c1"}\n{"text": "c2"}')
    for name in (".hidden.txt", ".git/x.txt", "picture.png", "empty.txt"):
        write(tmp_path, name, "\x00" if name.endswith("png") else " " if name == "empty.txt" else "hidden")
    with pytest.warns(UserWarning, match="passed over"):
        documents = documents_of(tmp_path, strip_markup=True)
    assert [document.text for document in documents] == ["Title\n\ntext z", "text b\n\nstill b", "c1", "c2"]
    assert [document.meta for document in documents] == [{"title": "z"}, {"title": "b"}, {}, {}]


def test_json_lines_keep_their_other_keys(tmp_path: Path) -> None:
    lines = [{"text": "主题模型", "title": "T", "year": 2014}, {"text": "b\n\nb", "id": 7}]
    path = write(
        tmp_path,
        "papers.jsonl",
        "\ufeff" + "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines),
    )
    documents = documents_of(path)
    assert [document.text for document in documents] == ["主题模型", "b\n\nb"]
    assert [dict(document.meta) for document in documents] == [{"title": "T", "year": 2014}, {"id": 7}]
    assert [document.source for document in documents] == [f"{path}:1", f"{path}:3"]


def test_the_text_may_have_another_key(tmp_path: Path) -> None:
    path = write(tmp_path, "papers.jsonl", '{"abstract": "a", "text": 5}')
    (document,) = documents_of(path, text_key="abstract")
    assert (document.text, document.meta) == ("a", {"text": 5})


def test_markdown_loses_its_markup() -> None:
    marked = (
        "---\ntitle: x\n---\n# A *bold* **title**\n\n> quoted [link](http://a.b/c) and ![image](d.png)\n"
        "- item with `code` and snake_case and 2 * 3 * 4\n1. first\n\n"
        "```python\nimport x\n# no\n```\n<div>kept</div> _so_\n"
    )
    plain = (
        "\n\n\nA bold title\n\nquoted link and image\n"
        "item with code and snake_case and 2 * 3 * 4\nfirst\n\n\n\n\n\nkept so\n"
    )
    assert strip_markdown(marked) == plain


@given(st.text(alphabet="ab #*_`[]()!<>-~\n", max_size=60))
def test_stripping_markdown_keeps_every_line_in_its_place(text: str) -> None:
    assert strip_markdown(text).count("\n") == text.count("\n")


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_any_lines_are_read_back(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    written = write(folder, "lines.txt", "\n".join(lines))
    assert [document.text for document in documents_of(written)] == lines
    records = "\n".join(json.dumps({"text": line}, ensure_ascii=False) for line in lines)
    assert [document.text for document in documents_of(write(folder, "lines.jsonl", records))] == lines


def test_a_stated_encoding_in_which_a_file_is_not_is_refused(tmp_path):
    with pytest.raises(
        ReadError, match=r"(?s)no document.*not utf-16 \(.*state another encoding: .*plain\.txt"
    ):
        texts(write(tmp_path, "plain.txt", "A topic model.\n"), encoding="utf-16")


@pytest.mark.parametrize(
    ("marked", "kept"),
    [
        ("```pip install x``` installs it\n\nprose\n\n```\ncode\n```\nend", "prose end"),
        ("one\n   ```\ncode\n    ```\nprose\n```\ncode\n```\nend", "one prose end"),
        ("- item\n\n      ```sh\n      code\n      ```\n\nprose", "item prose"),
        ("````md\n```\ncode\n```\n````\nprose", "prose"),
        ("~~~\ncode\n```\ncode\n~~~\nprose", "prose"),
        ("```\ncode\n```\nprose\n```\nnever closed", "prose ``` never closed"),
        ("```\n``` no end of it\ncode\n```\nprose", "prose"),
        ("---\n\nprose below a line\n\n---\nmore", "--- prose below a line --- more"),
        ("---\ntitle: code\n---\nprose", "prose"),
    ],
)
def test_only_what_is_code_is_left_out_of_markdown(marked: str, kept: str) -> None:
    words = strip_markdown(marked).split()
    assert [word for word in words if word not in ("pip", "install", "x", "installs", "it")] == kept.split()
    assert ("installs" in words) == ("installs" in marked)


@given(
    st.lists(st.sampled_from(["```", "   ```", "    ```", "~~~~", "```x", "`` ` ``", "word", ""]), max_size=9)
)
def test_no_text_outside_of_two_fences_is_lost(lines: list[str]) -> None:
    """Between the first fence and the last anything may be code, but nothing is before or behind them."""
    fences = [number for number, line in enumerate(lines) if line.strip().startswith(("```", "~~~"))]
    first, last = (fences[0], fences[-1]) if fences else (len(lines), -1)
    found = strip_markdown("\n".join(lines)).split("\n") if lines else []
    for number, line in enumerate(lines):
        if line == "word" and (number < first or number > last):
            assert found[number] == "word"


def test_code_blocks_that_are_left_out_of_markdown_are_said_once(tmp_path):
    for name, content in (("a", "```\nx\n```\nprose"), ("b", "---\nt: x\n---\nprose"), ("c", "prose ``` x")):
        write(tmp_path, f"{name}.md", content)
    for path, n in ((tmp_path, 2), (tmp_path / "a.md", 1), (tmp_path / "c.md", 0)):
        report = ReadReport()
        texts(path, strip_markup=True, report=report)
        said = [
            note for note in report.notes if "code blocks and front matter of Markdown were left out" in note
        ]
        assert len(said) == bool(n)
        assert not n or said[0].count(".md") == n
