from __future__ import annotations

import gzip
import json

import pytest

from minillm_lib.corpora.conversations import (
    Conversation,
    ConversationError,
    ConversationReport,
    Turn,
    read_conversations,
)
from minillm_lib.corpora.reading.report import ReadError

CONVERSATIONS = {
    "conversations": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "什么是 LDA？"},
        {"role": "assistant", "content": "一种主题模型。"},
    ]
}
ALPACA = {"instruction": "Translate.", "input": "topic", "output": "主题", "year": 2024}
SHAREGPT = {
    "id": "x1",
    "conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}],
}


def write(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def test_the_three_published_formats_say_the_same_in_our_words(tmp_path):
    file = write(tmp_path / "mixed.jsonl", [CONVERSATIONS, ALPACA, SHAREGPT])
    first, second, third = read_conversations(file)
    assert first.turns == (
        Turn("system", "Be brief."),
        Turn("user", "什么是 LDA？"),
        Turn("assistant", "一种主题模型。"),
    )
    assert second.turns == (Turn("user", "Translate.\n\ntopic"), Turn("assistant", "主题"))
    assert second.meta == {"year": 2024}
    assert third == Conversation.of("Hello", "Hi", f"{file}:3", {"id": "x1"})


def test_an_empty_alpaca_input_adds_nothing(tmp_path):
    records = [
        {"instruction": "Hi", "output": "Hello"},
        {"instruction": "Hi", "input": "", "output": "Hello"},
    ]
    for conversation in read_conversations(write(tmp_path / "a.jsonl", records), "alpaca"):
        assert conversation.turns[0].content == "Hi"


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_like_lines(tmp_path, indent):
    (tmp_path / "array.json").write_text(json.dumps([ALPACA, SHAREGPT], indent=indent), "utf-8")
    lines = write(tmp_path / "lines.jsonl", [ALPACA, SHAREGPT])
    array = list(read_conversations(tmp_path / "array.json"))
    assert [each.turns for each in array] == [each.turns for each in read_conversations(lines)]
    assert array[1].source.endswith("array.json[1]")


def test_compression_a_byte_order_mark_and_empty_lines_make_no_difference(tmp_path):
    file = tmp_path / "c.jsonl.gz"
    content = b"\xef\xbb\xbf" + json.dumps(ALPACA).encode() + b"\r\n\r\n" + json.dumps(SHAREGPT).encode()
    file.write_bytes(gzip.compress(content))
    assert [each.source for each in read_conversations(file)] == [f"{file}:1", f"{file}:3"]


def test_lines_are_read_only_as_they_are_asked_for(tmp_path):
    file = tmp_path / "broken_later.jsonl"
    file.write_text(json.dumps(ALPACA) + "\n{broken\n", "utf-8")
    conversations = read_conversations(file, max_faulty_share=0)
    assert next(conversations).turns[1].content == "主题"
    with pytest.raises(ReadError, match=r"broken_later\.jsonl:2: malformed JSON"):
        next(conversations)


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({"text": "no turns"}, r"has the keys \['text'\]; it needs 'messages', 'conversations' or a pair"),
        ([1], "the record is of type int"),
        ({"conversations": 1}, "'conversations' is of type int; it must be a list"),
        ({"instruction": "Hi"}, r"has 'instruction' but no answer; the keys \['instruction'\]"),
        ({"Answer": "Hi"}, r"has 'answer' but no question; the keys \['Answer'\]"),
        ({"instruction": "Hi", "output": {"a": 3}}, "'output' is an object with the keys .* not a text"),
        (
            {"conversations": [{"role": "user"}]},
            r"turn 0 has the keys \['role'\]; it needs 'role' or 'from' and 'content' or 'value' or 'text'",
        ),
        ({"conversations": ["Hi"]}, "turn 0 is of type str"),
        (
            {"conversations": [{"from": "narrator", "value": "Hi"}]},
            "turn 0 is from 'narrator'; allowed are 'system', 'developer', 'user', 'human', 'assistant', 'gpt'",
        ),
        ({"conversations": []}, "there is no question with an answer after it"),
        ({"conversations": [{"role": "user", "content": "Hi"}]}, "there is no question with an answer"),
        ({"messages": "[{]"}, "'messages' is a text, and no list as JSON"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "turn 0 has a part of type 'image_url'; only text can be read",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": "{"}]}, "the calls of turn 0 are no valid JSON"),
        ({"prompt": "Q", "chosen": "A", "rejected": "B"}, "compares two answers.*preferences: chosen takes"),
        ({"instruction": "Q", "output": "A", "history": ["x"]}, r"history\[0\] is no pair"),
    ],
)
def test_an_error_names_file_line_key_and_what_is_allowed(tmp_path, record, complaint):
    text = json.dumps(record) if isinstance(record, dict) else json.dumps([record[0]])
    (tmp_path / "bad.jsonl").write_text(text, "utf-8")
    with pytest.raises(ReadError, match=complaint) as caught:
        list(read_conversations(tmp_path / "bad.jsonl", max_faulty_share=0))
    assert "bad.jsonl:1:" in str(caught.value) or "bad.jsonl[0]:" in str(caught.value)


@pytest.mark.parametrize(
    ("turns", "complaint"),
    [
        ([("assistant", "Hi")], "turn 0 has role 'assistant'; at the beginning only 'system' or 'user'"),
        ([("user", "Hi")], "the last turn has role 'user'; it must be 'assistant'"),
        ([("system", "S"), ("assistant", "A")], "after 'system' only 'user' is allowed"),
        ([("user", "Q"), ("user", "Q"), ("assistant", "A")], "after 'user' only 'assistant' is allowed"),
        ([("user", "Q"), ("assistant", "A"), ("system", "S")], "after 'assistant' only 'user'"),
        ([("tool", "Q"), ("assistant", "A")], "turn 0 has role 'tool'"),
        ([("user", " \n"), ("assistant", "A")], "turn 0 has content ' .n'; it must be non-empty text"),
        ([("user", "Q"), ("assistant", None)], "turn 1 has content None"),
    ],
)
def test_turns_out_of_order_or_empty_are_no_conversation(turns, complaint):
    with pytest.raises(ConversationError, match=complaint):
        Conversation(tuple(Turn(*turn) for turn in turns))


def test_a_small_share_of_broken_records_is_counted_and_warned_of(tmp_path):
    file = write(tmp_path / "almost.jsonl", [ALPACA] * 150 + [{"instruction": "Hi"}] + [ALPACA] * 49)
    report = ConversationReport()
    with pytest.warns(UserWarning, match=r"almost\.jsonl:151: malformed conversation .*no answer"):
        assert len(list(read_conversations(file, max_faulty_share=0.01, report=report))) == 199
    assert (report.documents, report.n_faulty) == (199, 1)
    with pytest.raises(ReadError, match=r"more than 0\.00% of the records are broken"):
        list(read_conversations(file, max_faulty_share=0))


def test_broken_lines_of_every_kind_are_counted_and_the_rest_is_read(tmp_path):
    """A list among the lines is a broken line, not the beginning of an array."""
    good = json.dumps(ALPACA, ensure_ascii=False).encode()
    broken = [
        (b'["a", "list"]', "malformed conversation"),
        (b"{cut", "malformed JSON"),
        ("问".encode() + b"\xff\xff", "wrong encoding"),
    ]
    (tmp_path / "c.jsonl").write_bytes(b"\n".join([good, *(line for line, _ in broken), good]))
    report = ConversationReport()
    with pytest.warns(UserWarning, match="3 records"):
        assert len(list(read_conversations(tmp_path / "c.jsonl", max_faulty_share=1, report=report))) == 2
    assert [(fault.place, fault.kind) for fault in report.faults] == [
        (f"{tmp_path / 'c.jsonl'}:{number}", kind) for number, (_, kind) in enumerate(broken, start=2)
    ]


def test_a_damaged_archive_and_an_empty_file_are_errors_with_a_name(tmp_path):
    content = gzip.compress("\n".join(json.dumps({**ALPACA, "id": i**5}) for i in range(9_000)).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(content[:-2000])
    with pytest.raises(ReadError, match=r"a damaged archive .*cut\.jsonl\.gz"):
        list(read_conversations(tmp_path / "cut.jsonl.gz"))
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(ReadError, match="there is no conversation to read"):
        list(read_conversations(tmp_path / "empty.jsonl"))


def test_bad_arguments_are_refused_at_the_call(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        read_conversations(tmp_path / "none.jsonl")
    file = write(tmp_path / "a.jsonl", [ALPACA])
    with pytest.raises(ValueError, match="format is 'chatml'; allowed are 'auto', 'messages'"):
        read_conversations(file, "chatml")
    with pytest.raises(ValueError, match="max_faulty_share is 2"):
        read_conversations(file, max_faulty_share=2)
    with pytest.raises(ValueError, match="tools is 'json'; allowed are 'text', 'drop'"):
        read_conversations(file, tools="json")
    with pytest.raises(ValueError, match="answer_key is given alone; give question_key and answer_key"):
        read_conversations(file, answer_key="a")


def test_a_truncated_array_is_an_error(tmp_path):
    (tmp_path / "cut.json").write_text(json.dumps([ALPACA, SHAREGPT])[:-9], "utf-8")
    with pytest.raises(ReadError, match=r"cut\.json\[1\]: malformed JSON"):
        list(read_conversations(tmp_path / "cut.json"))


def test_columns_that_are_no_part_of_a_conversation_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,answer,note\nWhat?,This.,x\nWhy?,So.,y\n", encoding="utf-8")
    report = ConversationReport()
    assert len(list(read_conversations(path, report=report))) == 2
    assert "keys or columns that are no part of a conversation: note (2)" in report.notes
