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


TWICE = '{"text": "lost", "text": "kept"}'


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (f'{{"text": "one"}}\n{TWICE}\n{{"text": "two"}}\n', ":2"),
        (f'{TWICE}\n{{"text": "one"}}\n{{"text": "two"}}\n', ":1"),
        (f'[{{"text": "one"}}, {TWICE},\n{{"text": "two"}}]', "[1]"),
        (f'{{\n"text": "one"}}\n{TWICE}\n{{"text": "two"}}', ":3"),
    ],
)
def test_a_key_that_occurs_twice_costs_its_record_only(tmp_path, content, place):
    report = ReadReport()
    with pytest.warns(UserWarning, match="the key 'text' occurs twice in one object"):
        documents = read(tmp_path, "t.json", content, report=report)
    assert [document.text for document in documents] == ["one", "two"]
    assert [fault.place for fault in report.faults] == [f"{tmp_path / 't.json'}{place}"]


YEARS = [2001, 2002, 2003, 2004, 2005]


@pytest.mark.parametrize("columns", [
    {"text": TEXTS, "year": YEARS},
    {"year": YEARS, "text": [TEXTS[0], None, *TEXTS[2:]]},
    {"title": list("abcde"), "text": TEXTS, "year": YEARS},
    {"text": TEXTS, "year": YEARS, "more": [{"a": 1}] * 5},
    {"rows": {"text": TEXTS, "year": YEARS}},
    {"text": TEXTS[:1], "year": YEARS[:1]},
])  # fmt: skip
@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_of_columns_is_a_table(tmp_path, columns, indent):
    """What ``DataFrame.to_dict("list")`` and ``Dataset.to_dict()`` give."""
    report = ReadReport()
    found = read(tmp_path, "t.json", json.dumps(columns, indent=indent), report=report)
    own = columns.get("rows", columns)
    wanted = [(text, year) for text, year in zip(own["text"], own["year"], strict=True) if text]
    assert [(document.text, document.meta["year"]) for document in found] == wanted
    assert "lists of one length was read as a table of " + ", ".join(map(repr, own)) in str(report)


def test_columns_of_conversations_are_a_table_and_a_conversation_is_none():
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert rows_within({"messages": [turns, turns]}).rows == [{"messages": turns}] * 2
    assert rows_within({"messages": turns, "tags": ["a", "b"]}) is None
    assert rows_within({"a": ["one", "two"], "b": ["three"]}) is None
    assert rows_within({"author": "A", "tags": ["a", "b"], "lines": ["one two", "three"]}) is None


@pytest.mark.parametrize(
    ("content", "unread"),
    [
        ({"title": "Book", "chapters": RECORDS}, "under 'chapters'; not read beside it: 'title'"),
        ({"title": "Book", "chapters": TEXTS, "n": 5}, "under 'chapters'; not read beside it: 'title', 'n'"),
        (
            {"status": "ok", "response": {"docs": RECORDS, "total": 0}},
            "'docs'; not read beside it: 'total'; the records are those under 'response'; not read beside it: 'status'",
        ),
        ({"data": RECORDS, "errors": [], "next": None}, ""),
    ],
)
def test_what_stands_beside_the_records_is_named(tmp_path, content, unread):
    report = ReadReport()
    assert [each.text for each in read(tmp_path, "t.json", json.dumps(content), report=report)] == TEXTS
    assert unread in str(report)
    assert ("not read beside" in str(report)) == bool(unread)


@pytest.mark.parametrize(
    ("columns", "data", "reason"),
    [
        ([{"name": "id"}, {"name": "text"}], [[1, "one"]], "whose columns are not different names"),
        (["text", "text"], [["one", "two"]], "whose columns are not different names"),
        (["text"], [1, 2], r"data\[0\] is of type int where 1 column must be"),
        (["id", "text"], [[1, "one"], [2, "two", "more"]], r"data\[1\] is 3 cells where 2 columns must be"),
        (["id", "text"], [[1, "one"], [2]], r"data\[1\] is 1 cell where 2 columns must be"),
    ],
)
def test_columns_and_data_that_are_no_table_are_refused(tmp_path, columns, data, reason):
    with pytest.raises(ReadError, match=reason):
        read(tmp_path, "t.json", json.dumps({"columns": columns, "data": data}))
    records = [{"id": 1, "text": "one"}]
    assert read(tmp_path, "t.json", json.dumps({"columns": ["id", "text"], "data": records}))[0].text == "one"


@pytest.mark.parametrize("between", ["", "\n", "\n\n \ufeff"])
@pytest.mark.parametrize("indent", [None, 1])
def test_arrays_that_were_appended_are_read_to_the_end(tmp_path, between, indent):
    batches = [RECORDS[:2], [], RECORDS[2:]]
    content = between.join("[\n" + json.dumps(batch, indent=indent)[1:] for batch in batches)
    documents = read(tmp_path, "t.json", content)
    assert [document.text for document in documents] == TEXTS
    assert documents[4].source.endswith("t.json[4]")


@pytest.mark.parametrize("rest", ['{"text": "more"}', "]", "\x1a", ",[]"])
def test_what_follows_an_array_is_a_fault(tmp_path, rest):
    with pytest.warns(
        UserWarning, match=r"t\.json: malformed JSON \(.* follows the array; what follows is not"
    ):
        documents = read(tmp_path, "t.json", json.dumps(RECORDS, indent=1) + "\n" + rest)
    assert [document.text for document in documents] == TEXTS


def test_a_text_column_without_texts_hides_no_other(tmp_path):
    records = [{"text": None, "messages": None, "body": f"the body of number {n}"} for n in range(3)]
    documents = read(tmp_path, "t.json", json.dumps(records))
    assert [document.text for document in documents] == [record["body"] for record in records]
