from __future__ import annotations

import gzip
import os
import sys

import pytest

from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading.report import ReadError, ReadReport

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names and pipes of a POSIX system")


def fill(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def reasons(report, folder):
    return {os.path.relpath(each.path, folder): each.reason for each in report.passed_over}


def test_every_text_is_read_whatever_its_ending_and_the_rest_is_named(tmp_path):
    texts = {
        "README": "read me",
        "LICENSE": "a licence",
        "a.rst": "Title\n=====",
        "b.log": "12:00 start",
        "c.tex": r"\section{x}",
        "README.Debian": "for Debian",
        "d.org": "* org",
        "e.TXT": "loud",
        "f.py": "print()",
        "g": "第一",
    }
    packed = {"README.gz": gzip.compress(b"packed"), "h.md.gz": gzip.compress(b"# packed")}
    rest = {
        "i.png": b"\x89PNG\r\n",
        "j.svg": "<svg/>",
        "k.css": "p{}",
        "l.zip": b"PK\x03\x04x",
        "m.so": b"\x7fELF" + b"\0" * 99,
        "n.doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "o.rtf": r"{\rtf1 x}",
        "p.mp3": b"ID3\0",
        ".DS_Store": b"\0",
        ".git/config": "[core]",
        "~$letter.docx": b"x",
        "q.gz": b"no gzip",
        "r.xml": "<a>x</a>",
    }
    fill(tmp_path, texts | packed | rest)
    report = ReadReport()
    with pytest.warns(UserWarning, match="13 files passed over"):
        found = {
            document.source.rpartition(":")[0]: document.text
            for document in read_files(tmp_path, report=report)
        }
    wanted = texts | {"README.gz": "packed", "h.md.gz": "# packed"}
    assert found == {str(tmp_path / name): text for name, text in wanted.items()}
    assert reasons(report, tmp_path).keys() == {".git", *(name for name in rest if name != ".git/config")}
    assert "12 documents from 12 files (" in str(report)


def test_nothing_blocks_or_goes_in_circles(tmp_path):
    fill(tmp_path, {"a.txt": "a", "deep/b.txt": "b"})
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "nowhere.txt").symlink_to("missing")
    (tmp_path / "linked.txt").symlink_to("a.txt")
    report = ReadReport()
    with pytest.warns(UserWarning, match="4 files passed over"):
        assert [document.text for document in read_files(tmp_path, report=report)] == ["a", "b", "a"]
    found = reasons(report, tmp_path)
    assert found["pipe.txt"] == found["nowhere.txt"] == "not a regular file"
    assert found["deep/up"] == "a link to a folder; name the folder itself to read it"
    assert found["itself"].startswith("the system refuses to read it (")
    with pytest.raises(ReadError, match=r"1 \.txt, not a regular file"):
        list(read_files(tmp_path / "pipe.txt"))


def test_what_may_not_be_read_is_passed_over(tmp_path, monkeypatch):
    fill(tmp_path, {"a.txt": "a", "b.txt": "b", "closed/c.txt": "c"})
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    def refuse_b(path):
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied")
        yield path.read_bytes()

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr("minillm_lib.corpora.reading.encoding.chunks_of", refuse_b)
    report = ReadReport()
    with pytest.warns(UserWarning, match="2 files passed over"):
        assert [document.text for document in read_files(tmp_path, report=report)] == ["a"]
    refused = "the system refuses to read it (Permission denied)"
    assert reasons(report, tmp_path) == {"b.txt": refused, "closed": refused}


def test_odd_names_are_escaped(tmp_path):
    fill(tmp_path, {"a\x1b[31m\n.txt": "red", "ordinary 名字.txt": "plain"})
    (tmp_path / os.fsdecode(b"b\xff.txt")).write_text("bytes")
    report = ReadReport()
    documents = list(read_files(tmp_path, report=report))
    assert [document.text for document in documents] == ["red", "bytes", "plain"]
    assert documents[2].meta["title"] == "ordinary 名字"
    for document in documents:
        assert document.source.isprintable()
        assert document.meta["title"].isprintable()
        document.source.encode()
    assert "\x1b" not in str(report)


def test_names_that_occur_twice_come_with_their_folder(tmp_path):
    fill(tmp_path, {"one/README": "1", "two/README.md": "2", "two/notes.2005.txt": "3"})
    titles = [document.meta["title"] for document in read_files(tmp_path)]
    assert titles == ["one/README", "two/README", "notes.2005"]


def test_a_pattern_names_the_folders_that_it_leaves_out(tmp_path):
    fill(tmp_path, {"a.txt": "a", "deep/b.txt": "b"})
    with pytest.warns(UserWarning, match="a folder, whose files the pattern does not match: .*deep"):
        assert [document.text for document in read_files(f"{tmp_path}/*")] == ["a"]
    assert sorted(document.text for document in read_files(f"{tmp_path}/**/*")) == ["a", "b"]


def test_a_file_of_code_is_read_if_it_is_named(tmp_path):
    fill(tmp_path, {"a.js": "var x", "b.css": "p {}"})
    assert [document.text for document in read_files(tmp_path / "a.js")] == ["var x"]
    with pytest.raises(ReadError, match="code of web pages"):
        list(read_files(tmp_path))


def test_data_in_formats_of_programs_is_named_and_what_describes_it_is_no_text(tmp_path):
    fill(
        tmp_path,
        {"a.txt": "a", "data/data-00000-of-00001.arrow": b"\xff\xff\0", "data/state.json": '{"a": "b c"}'},
    )
    fill(
        tmp_path,
        {"b.pkl": b"\x80\x04", "c.npy": b"\x93NUMPY\0", "d.feather": b"ARROW1\0", "own/state.json": '"x"'},
    )
    report = ReadReport()
    with pytest.warns(UserWarning, match="5 files passed over"):
        assert [document.text for document in read_files(tmp_path, report=report)] == ["a", "x"]
    found = reasons(report, tmp_path)
    assert found["data/state.json"] == "about the Arrow files beside it"
    assert "saves it as .parquet" in found["data/data-00000-of-00001.arrow"]
    assert "values of Python" in found["b.pkl"]
    assert found["b.pkl"] == found["c.npy"]
