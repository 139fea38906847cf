from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import tracemalloc

import pytest

from minillm_lib.corpora.files import Fault, ReadError, ReadReport, read_files


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
    with pytest.warns(UserWarning, match=r"1 file passed over \(not \.txt, .*: .*e\.png"):
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
    assert report.passed_over == [str(tmp_path / "deep" / "e.png")]


def test_files_globs_and_folders_may_be_mixed(tmp_path):
    for name in ("x1.txt", "x2.txt", "y.txt"):
        (tmp_path / name).write_text(name)
    assert texts(f"{tmp_path}/x*.txt") == ["x1.txt", "x2.txt"]
    assert texts([tmp_path / "y.txt", f"{tmp_path}/x[1].txt"]) == ["y.txt", "x1.txt"]


@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 20])
def test_a_separator_divides_wherever_the_pieces_of_the_file_end(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("minillm_lib.corpora.files._CHUNK", chunk)
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
        (b'{"text": "  "}', "empty text"),
        (b'{"text": "caf\xe9"}', "wrong encoding"),
        (b'{"text": "' + b"x" * 3000 + b'"}', "record too long"),
        (b'{"conversations": [{"role": "user"}]}', "malformed conversation"),
        (b"[" * 1500, "malformed JSON"),
    ]
    path.write_bytes(
        good_lines(3).encode() + b"".join(line + b"\n" for line, _ in broken) + good_lines(1).encode()
    )
    report = ReadReport()
    with pytest.warns(UserWarning, match="9 records .* could not be used"):
        found = texts(path, max_record_bytes=2000, max_faulty_share=1.0, report=report)
    assert found == ["good 0", "good 1", "good 2", "good 0"]
    assert [(fault.place, fault.kind) for fault in report.faults] == [
        (f"{path}:{number}", kind) for number, (_, kind) in enumerate(broken, start=4)
    ]
    assert report.by_kind["malformed JSON"] == 2
    assert "no 'text'; its keys are ['body']" in str(report)
    assert report.faulty_share == pytest.approx(9 / 13)


def test_faults_are_tolerated_up_to_the_set_share(tmp_path):
    (tmp_path / "t.jsonl").write_text(good_lines(99) + "broken\n")
    with pytest.warns(UserWarning, match=r"1 record \(1\.00%\)"):
        assert len(texts(tmp_path)) == 99
    with pytest.raises(ReadError, match=r"(?s)more than 0\.50% .*t\.jsonl:100: malformed JSON"):
        texts(tmp_path, max_faulty_share=0.005)
    (tmp_path / "t.jsonl").write_text("broken\n" + good_lines(1))
    with pytest.raises(ReadError, match="1 malformed JSON"):
        texts(tmp_path)


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
    with pytest.raises(ReadError, match=r"t\.txt:3: wrong encoding \(byte 0xB5 is no utf-8\)"):
        texts(tmp_path)
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
    with pytest.raises(ReadError, match=f"install the package {package}: pip install {package}"):
        texts(tmp_path)


@pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="needs the optional package pyarrow")
def test_parquet_gives_a_document_a_row(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"text": ["one", "", "three"], "year": [1, 2, 3]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match=r"t\.parquet:2: empty text"):
        documents = list(read_files(tmp_path, max_faulty_share=0.5))
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
        assert texts(tmp_path) == [text.strip()]
        return
    with pytest.raises(ReadError, match=r"t\.txt\.zst:1: damaged archive \(the file ends before"):
        texts(tmp_path)


def test_what_is_wrong_is_named(tmp_path):
    (tmp_path / "t.docx").touch()
    with pytest.raises(FileNotFoundError, match="nothing that matches it"):
        texts(tmp_path / "nowhere*.txt")
    with pytest.raises(ReadError, match=r"cannot read .*t\.docx: allowed are \.txt"):
        texts(tmp_path / "t.docx")
    for encoding in ("utf-9", "utf-16"):
        with pytest.raises(ValueError, match=f"encoding is '{encoding}'"):
            texts(tmp_path, encoding=encoding)
    with pytest.raises(ValueError, match=r"max_faulty_share is 2; allowed is a share from 0 to 1"):
        texts(tmp_path, max_faulty_share=2)
    with pytest.raises(ReadError, match=r"(?s)there is no document to read.*passed over .*t\.docx"):
        texts(tmp_path)
    assert str(Fault("f:1", "empty text")) == "f:1: empty text"
