from __future__ import annotations

import json
import tracemalloc

import pytest

from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading.json_values import rows_within
from minillm_lib.corpora.reading.report import ReadError, ReadReport

RECORDS = [
    {
        "id": number,
        "post": {"body": f"this is the text of number {number}", "lang": "en"},
        "URL": "http://a.b",
    }
    for number in range(5)
]
TEXTS = [record["post"]["body"] for record in RECORDS]
LINES = "\n".join(map(json.dumps, RECORDS))


def read(tmp_path, name, content, **options):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_files(path, **options))


@pytest.mark.parametrize("content", [
    LINES,
    json.dumps(RECORDS),
    json.dumps(RECORDS, indent=1),
    "[\n" + ",\n".join(map(json.dumps, RECORDS)) + "\n]\n",
    "\n".join(json.dumps(record, indent=2) for record in RECORDS),
])  # fmt: skip
@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_layout_of_the_file_counts_not_its_ending(tmp_path, name, content, encoding):
    documents = read(tmp_path, name, content.encode(encoding))
    assert [document.text for document in documents] == TEXTS
    assert documents[3].meta == {"id": 3, "post": {"lang": "en"}, "address": "http://a.b"}


@pytest.mark.parametrize("content", [
    {"data": RECORDS},
    {"version": 1, "tags": [], "data": RECORDS},
    {"response": {"docs": RECORDS}},
    {"columns": ["id", "post"], "data": [[record["id"], record["post"]] for record in RECORDS]},
    {key: {str(number): record[key] for number, record in enumerate(RECORDS)} for key in ("id", "post")},
    {str(number): record for number, record in enumerate(RECORDS)},
])  # fmt: skip
def test_an_object_may_hold_the_records(tmp_path, content):
    assert [document.text for document in read(tmp_path, "t.json", json.dumps(content))] == TEXTS


def test_an_object_may_be_a_record(tmp_path):
    record = {"title": "T", "text": "a text", "tags": ["a", "b"], "replies": [{"text": "x"}]}
    for indent in (None, 1):
        (document,) = read(tmp_path, "t.json", json.dumps(record, indent=indent))
        assert (document.text, document.meta["title"]) == ("a text", "T")
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert rows_within({"conversations": turns}) is None
    with pytest.raises(ReadError, match="an object with several lists, 'a', 'b'"):
        read(tmp_path, "t.json", json.dumps({"a": RECORDS, "b": RECORDS}))
    for number, each in enumerate(RECORDS):
        (tmp_path / f"record{number}.json").write_text(json.dumps(each, indent=1))
    assert [document.text for document in read_files(f"{tmp_path}/record*.json")] == TEXTS


def test_plain_texts_are_documents(tmp_path):
    for content in ('"one"\n"two"\n', '["one", "two"]', '{"data": ["one", "two"]}'):
        assert [document.text for document in read(tmp_path, "t.json", content)] == ["one", "two"]


def test_keys_inside_of_others_may_be_named(tmp_path):
    assert [document.text for document in read(tmp_path, "t.jsonl", LINES, text_key="post.lang")] == [
        "en"
    ] * 5
    with pytest.raises(
        ReadError, match=r"no key 'post\.text'; its keys are 'id', 'post\.body', 'post\.lang', 'URL'"
    ):
        read(tmp_path, "t.jsonl", LINES, text_key="post.text")


def test_lines_of_records_are_recognised_in_a_text(tmp_path):
    report = ReadReport()
    assert [document.text for document in read(tmp_path, "t.txt", LINES, report=report)] == TEXTS
    assert any("JSON lines were recognised" in note for note in report.notes)
    assert read(tmp_path, "t.txt", LINES, documents="line")[0].text.startswith("{")


def test_a_cut_file_gives_what_comes_before(tmp_path):
    for content in (
        LINES[:-30],
        json.dumps(RECORDS)[:-30],
        "".join(json.dumps(r, indent=1) for r in RECORDS)[:-30],
    ):
        with pytest.warns(UserWarning, match=r"malformed JSON \(1\)"):
            assert [document.text for document in read(tmp_path, "t.json", content)] == TEXTS[:4]
    with pytest.warns(UserWarning, match=r"t\.jsonl:1: malformed JSON"):
        documents = read(tmp_path, "t.jsonl", LINES[10:])
    assert [document.text for document in documents] == TEXTS[1:]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *(
            (value, r"1 record \(11\.11%\) without text left out: .*t\.jsonl:9")
            for value in ("null", "NaN", '"  "')
        ),
        *((value, r"t\.jsonl:9: no text") for value in ("5", "[]", "{}")),
    ],
)
def test_what_is_no_text_is_left_out_and_said(tmp_path, value, said):
    good = '{"text": "good"}\n' * 8
    with pytest.warns(UserWarning, match=said):
        assert len(read(tmp_path, "t.jsonl", f'{good}{{"text": {value}}}\n')) == 8


def test_half_surrogates_become_a_replacement(tmp_path):
    (document,) = read(tmp_path, "t.jsonl", '{"text": "a \\ud800 b \\ud83d\\ude00", "title": "\\udfff"}\n')
    assert (document.text, document.meta) == ("a \ufffd b \U0001f600", {"title": "\ufffd"})


def test_line_separators_of_unicode_are_part_of_a_text(tmp_path):
    (document,) = read(tmp_path, "t.jsonl", json.dumps({"text": "a\u2028b\x85c"}, ensure_ascii=False))
    assert document.text == "a\u2028b\x85c"


def peak(path, **options):
    list(read_files(path, max_faulty_share=1, **options))  # what is imported at the first use
    tracemalloc.start()
    try:
        n = sum(1 for _ in read_files(path, **options))
        return n, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_huge_line_is_skipped_in_little_memory(tmp_path):
    with (tmp_path / "t.jsonl").open("w") as file:
        file.write('{"text": "before"}\n{"text": "')
        for _ in range(40):
            file.write("x" * 1_000_000)
        file.write('"}\n{"text": "after"}\n')
    with pytest.warns(UserWarning, match=r"t\.jsonl:2: record too long"):
        n, most = peak(tmp_path / "t.jsonl", max_record_bytes=1 << 20)
    assert n == 2
    assert most < 8e6


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_large_array_is_streamed(tmp_path, end):
    with (tmp_path / "t.json").open("w") as file:
        file.write("[")
        file.write(f",{end}".join(json.dumps({"text": "y" * 1000}) for _ in range(20_000)))
        file.write("]")
    n, most = peak(tmp_path / "t.json", max_record_bytes=1 << 20)
    assert n == 20_000
    assert most < 12e6


@pytest.mark.parametrize("options", [{}, {"text_key": "paragraphs"}])
def test_a_text_may_be_a_list_of_lines(tmp_path, options):
    poem = {
        "author": "someone",
        "tags": ["short"],
        "paragraphs": ["the first of its lines", "and the second"],
    }
    (document,) = read(tmp_path, "t.json", json.dumps([poem]), **options)
    assert document.text == "the first of its lines\nand the second"
    assert document.meta == {"author": "someone", "tags": ["short"]}


@pytest.mark.parametrize("value", [[], [1, 2], [{"a": "b"}], ["a", None]])
def test_a_list_of_other_things_is_no_text(tmp_path, value):
    records = [{"text": "a fine one"}, {"text": "another"}, {"text": value}]
    report = ReadReport()
    assert len(read(tmp_path, "t.json", json.dumps(records), report=report)) == 2
    assert "'text' is of type list" in str(report)


def test_objects_under_names_of_their_own_are_records_if_they_share_a_text(tmp_path):
    named = {f"doc{n}": {"text": f"this is text {n}"} | ({"year": 2000} if n else {}) for n in range(3)}
    documents = read(tmp_path, "t.json", json.dumps(named))
    assert [document.text for document in documents] == ["this is text 0", "this is text 1", "this is text 2"]
    assert documents[1].meta == {"year": 2000}
    assert rows_within({"user": {"name": "Bob B"}, "post": {"body": "a text"}}) is None
