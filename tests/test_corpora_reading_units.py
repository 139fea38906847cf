from __future__ import annotations

import random
import textwrap

import pytest

from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading.report import ReadError, ReadReport
from minillm_lib.corpora.reading.units import guess_unit

WORDS = [
    "the",
    "river",
    "runs",
    "past",
    "an",
    "old",
    "mill",
    "and",
    "garden",
    "where",
    "people",
    "walk",
    "slowly",
]
WORDS += ["under", "green", "trees", "while", "birds", "sing"]
HAN = "今天天气很好我们一起去公园散步主题模型是一种统计方法用来发现文档集合中的抽象主题湖泊和森林里有很多小鸟"
DRAW = random.Random(1)


def line(shortest=6, longest=12):
    return " ".join(DRAW.choice(WORDS) for _ in range(DRAW.randint(shortest, longest)))


def sentence():
    return line(5, 20).capitalize() + "."


def lines_with_gaps(n, share, make=line):
    """Documents of a line each, with an empty line after some of them."""
    found = []
    for _ in range(n):
        found += [make(), ""] if DRAW.random() < share else [make()]
    return "\n".join(found)


def prose(n, width):
    paragraphs = (" ".join(sentence() for _ in range(DRAW.randint(3, 9))) for _ in range(n))
    return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)


def chinese_prose(n, width):
    paragraphs = ("".join(DRAW.choice(HAN) for _ in range(DRAW.randint(60, 300))) for _ in range(n))
    return "\n\n".join(
        "\n".join(text[i : i + width] for i in range(0, len(text), width)) for text in paragraphs
    )


LINES = {
    "none empty": "\n".join(line() for _ in range(300)),
    "one empty in the middle": "\n".join([*(line() for _ in range(150)), "", *(line() for _ in range(150))]),
    "one empty, few lines": "\n".join([line(), line(), line(), line(), "", line(), line(), line()]),
    "equal lengths": "\n".join(["一二三四五六七八"] * 100 + [""] + ["甲乙丙丁戊己庚辛"] * 150),
    "words": "\n".join(["lake", "wolf", "stone", "", "milk", "bread", "salt", "spoon", "plate"]),
    "sections of twenty": "\n\n".join("\n".join(line() for _ in range(20)) for _ in range(15)),
    "long lines in sections": lines_with_gaps(200, 0.3, lambda: line(50, 120)),
    "empty at both ends": "\n\n\n" + "\n".join(line() for _ in range(30)) + "\n\n\n\n",
    **{f"{share:.0%} empty": lines_with_gaps(300, share) for share in (0.01, 0.05, 0.1, 0.2)},
    **{
        f"{share:.0%} empty, sentences": lines_with_gaps(300, share, sentence)
        for share in (0.01, 0.05, 0.1, 0.2)
    },
}
PARAGRAPHS = {
    **{f"wrapped at {width}": prose(30, width) for width in (40, 72, 100)},
    "two wrapped": prose(2, 72),
    "Chinese, wrapped": chinese_prose(30, 30),
    "not wrapped": "\n\n".join(" ".join(sentence() for _ in range(5)) for _ in range(40)),
    "a line each": "\n\n".join(line() for _ in range(300)),
    "stanzas": "\n\n".join("\n".join(line(4, 7) for _ in range(4)) for _ in range(30)),
    "title, author, abstract": "\n\n".join(f"{line(3, 5)}\n{line(2, 3)}\n{line(30, 60)}" for _ in range(50)),
    "chapters": "\n\n\n".join(f"CHAPTER {number}\n\n{prose(10, 70)}" for number in range(6)),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_with_few_empty_ones_are_documents_each(name):
    assert guess_unit(LINES[name].split("\n")).unit == "line"


@pytest.mark.parametrize("name", PARAGRAPHS)
def test_wrapped_prose_and_groups_of_lines_are_paragraphs(name):
    assert guess_unit(PARAGRAPHS[name].split("\n")).unit == "paragraph"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x85"])
def test_one_empty_line_does_not_make_two_documents_of_three_hundred(tmp_path, end):
    text = LINES["one empty in the middle"] + "\n\n\n"
    (tmp_path / "lines.txt").write_bytes(text.replace("\n", end).encode())
    report = ReadReport()
    documents = list(read_files(tmp_path / "lines.txt", report=report))
    assert [document.text for document in documents] == [each for each in text.split("\n") if each]
    (note,) = report.notes
    assert note.startswith(
        "each line was taken for a document, as empty lines leave only 1 gap among 300 lines; documents (file,"
    )
    assert note in str(report)


def test_what_is_doubtful_is_a_warning(tmp_path):
    (tmp_path / "t.txt").write_text(LINES["20% empty"])
    with pytest.warns(
        UserWarning,
        match=r"each line was taken for a document.*documents \(file, paragraph or line\) says otherwise",
    ):
        assert len(list(read_files(tmp_path / "t.txt"))) == 300
    for name in ("a", "b"):
        (tmp_path / f"{name}.md").write_text("a line\n" * 30)
    with pytest.warns(UserWarning, match="a text of more than 20 lines was taken for one document"):
        assert len(list(read_files(tmp_path.glob("?.md")))) == 2


def test_what_is_said_is_done_and_noted(tmp_path):
    (tmp_path / "t.txt").write_text("one\ntwo\n\nthree\n")
    found = {}
    for unit in ("file", "paragraph", "line"):
        report = ReadReport()
        found[unit] = [
            document.text for document in read_files(tmp_path / "t.txt", documents=unit, report=report)
        ]
        assert report.notes == [f"each {unit} is a document ({tmp_path / 't.txt'})"]
    assert found == {
        "file": ["one\ntwo\n\nthree"],
        "paragraph": ["one\ntwo", "three"],
        "line": ["one", "two", "three"],
    }


def test_rows_are_refused_in_words_where_there_is_a_text(tmp_path):
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    with pytest.raises(
        ReadError, match=r'documents="row" is for tables and JSON, and this is text: say "file"'
    ):
        list(read_files(tmp_path / "t.txt", documents="row"))


def test_several_files_are_one_document_each_and_a_single_one_is_divided(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo")
    assert [document.text for document in read_files(tmp_path)] == ["one", "two"]
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0")
    with pytest.warns(UserWarning, match="an image"):
        assert [document.text for document in read_files(tmp_path)] == ["one", "two"]
    (tmp_path / "b.txt").write_text("three")
    report = ReadReport()
    with pytest.warns(UserWarning, match="an image"):
        assert [document.text for document in read_files(tmp_path, report=report)] == ["one\ntwo", "three"]
    assert report.notes[0].startswith("each file of text was taken for one document; documents (file,")
    assert report.notes[0].endswith(f"(2 files: {tmp_path / 'a.txt'}, {tmp_path / 'b.txt'})")


def test_a_paragraph_that_is_too_long_is_a_fault(tmp_path):
    (tmp_path / "t.txt").write_text("short\n\n" + "a line\n" * 100 + "\nshort again")
    with pytest.warns(UserWarning, match=r"t\.txt:3: record too long"):
        documents = list(read_files(tmp_path / "t.txt", documents="paragraph", max_record_bytes=500))
    assert [document.text for document in documents] == ["short", "short again"]
