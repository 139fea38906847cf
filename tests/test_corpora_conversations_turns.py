"""What becomes of turns that are empty, repeated or out of order, of tools, and of reasoning: each is counted."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from minillm_lib.corpora.conversations import (
    Conversation,
    ConversationError,
    ConversationReport,
    Message,
    read_conversations,
)
from minillm_lib.corpora.conversations.turns import Choices, EmptyConversation, turns_of
from minillm_lib.corpora.reading.report import ReadError

U, A, S, T = "user", "assistant", "system", "tool"
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": None}}}


def read(tmp_path, turns, **options):
    messages = [
        turn if isinstance(turn, dict) else dict(zip(("role", "content"), turn, strict=True))
        for turn in turns
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages}) + "\n", "utf-8")
    report = ConversationReport()
    (found,) = read_conversations(tmp_path / "a.jsonl", report=report, **options)
    assert report.n_faulty == 0
    return [tuple(turn) for turn in found.turns], str(report)


@pytest.mark.parametrize(
    ("turns", "kept", "said"),
    [
        ([(S, ""), (U, "q"), (A, "a")], [(U, "q"), (A, "a")], "1 empty system turn left out"),
        (
            [(S, "s"), (S, "t"), (U, "q"), (A, "a")],
            [(S, "s\n\nt"), (U, "q"), (A, "a")],
            "1 turn joined to what",
        ),
        (
            [(U, "q"), (U, "r"), (A, "a"), (A, "b")],
            [(U, "q\n\nr"), (A, "a\n\nb")],
            "2 turns joined to what",
        ),
        ([(U, "q"), (A, " "), (A, "b")], [(U, "q"), (A, "b")], "1 empty turn left out next to another"),
        (
            [(U, "q"), (A, "a"), (S, "s"), (U, "r"), (A, "b")],
            [(U, "q"), (A, "a"), (U, "s\n\nr"), (A, "b")],
            "1 later system turn read as part of what the user says next",
        ),
        ([(A, "hello"), (U, "q"), (A, "a")], [(U, "q"), (A, "a")], "1 conversation begun by the assistant"),
        ([(U, "q"), (A, "a"), (U, "r")], [(U, "q"), (A, "a")], "1 conversation ending without an answer"),
        ([(U, "q"), (A, "a"), (U, "r"), (A, "")], [(U, "q"), (A, "a")], "1 conversation cut before an empty"),
        ([(U, "q"), (A, "a"), (U, ""), (A, "b")], [(U, "q"), (A, "a")], "1 conversation cut before an empty"),
    ],
)
def test_what_does_not_fit_is_made_to_and_said(tmp_path, turns, kept, said):
    found, report = read(tmp_path, turns)
    assert found == kept
    assert f"{said}" in report
    assert f"(first: {tmp_path / 'a.jsonl'}:1)" in report


TOOLS = [
    {"role": S, "content": "Be brief.", "tools": json.dumps([{"name": "f"}])},
    (U, "q"),
    {"role": A, "content": None, "reasoning_content": "Think.", "tool_calls": [CALL]},
    {"role": T, "content": {"value": 1}, "tool_call_id": "c1"},
    {"role": A, "content": "a", "reasoning_content": "", "tool_calls": ""},
]


def test_tools_and_reasoning_become_text_and_are_counted(tmp_path):
    found, report = read(tmp_path, TOOLS)
    assert found == [
        (S, 'Be brief.\n\n<tools>\n{"name": "f"}\n</tools>'),
        (U, "q"),
        (
            A,
            '<think>\nThink.\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"x": null}}\n</tool_call>',
        ),
        (U, '<tool_response>\n{"value": 1}\n</tool_response>'),
        (A, "a"),
    ]
    for line in (
        "1 tool call read as the assistant's text",
        "1 tool turn read as the user's text",
        "1 tool definition read as text of the system turn",
        "1 turn with reasoning, read as text",
        "keys of turns that are not read: tool_call_id (1)",
    ):
        assert line in report


def test_tools_and_reasoning_are_left_out_if_that_is_said(tmp_path):
    found, report = read(tmp_path, TOOLS, tools="drop", reasoning="drop")
    assert found == [(S, "Be brief."), (U, "q"), (A, "a")]
    for line in (
        "1 tool call left out (tools: drop)",
        "1 tool turn left out (tools: drop)",
        "1 tool definition left out (tools: drop)",
        "1 turn with reasoning, which is left out (reasoning: drop)",
    ):
        assert line in report
    assert "joined" not in report


@pytest.mark.parametrize(
    "turns",
    [
        [(U, "q"), {"role": A, "content": "", "function_call": {"name": "f", "arguments": '{"x": 1}'}}],
        [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        ],
        [(U, "q"), {"role": A, "content": "", "tool_calls": '[{"name": "f", "parameters": {"x": 1}}]'}],
    ],
)
def test_calls_are_written_alike_however_they_are_kept(tmp_path, turns):
    found, _ = read(tmp_path, turns)
    assert found[1] == (A, '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>')


@pytest.mark.parametrize("role", ["tool", "function", "observation"])
def test_results_of_tools_have_many_names(tmp_path, role):
    turns = [(U, "q"), {"role": A, "content": None, "tool_calls": [CALL]}, (role, "r"), (A, "a")]
    assert read(tmp_path, turns)[0][2] == (U, "<tool_response>\nr\n</tool_response>")


def test_a_conversation_that_says_nothing_is_left_out_but_not_broken(tmp_path):
    good = {"instruction": "q", "output": "a"}
    empty = [{**good, "output": ""}, {**good, "instruction": " "}, {**good, "output": None}]
    lines = [json.dumps(record) for record in (good, *empty)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), "utf-8")
    report = ConversationReport()
    with pytest.warns(
        UserWarning, match=r"3 records \(75\.00%\) without a question or an answer left out: .*a.jsonl:2"
    ):
        assert len(list(read_conversations(tmp_path / "a.jsonl", max_faulty_share=0, report=report))) == 1
    assert (report.n_empty, report.n_faulty) == (3, 0)
    only_calls = {
        "messages": [{"role": U, "content": "q"}, {"role": A, "content": None, "tool_calls": [CALL]}]
    }
    (tmp_path / "a.jsonl").write_text("\n".join([lines[0], json.dumps(only_calls)]), "utf-8")
    report = ConversationReport()
    with pytest.warns(UserWarning, match="1 record .* left out"):
        list(read_conversations(tmp_path / "a.jsonl", tools="drop", report=report))
    assert (report.n_empty, report.n_faulty) == (1, 0)


def test_a_few_broken_records_are_tolerated_and_more_name_the_option(tmp_path):
    good, bad = json.dumps({"instruction": "q", "output": "a"}), json.dumps({"instruction": "q"})
    (tmp_path / "a.jsonl").write_text("\n".join([good] * 27 + [bad] * 3), "utf-8")
    with pytest.warns(UserWarning, match=r"3 records \(10\.00%\) could not be used(.|\n)*a\.jsonl:28"):
        assert len(list(read_conversations(tmp_path / "a.jsonl"))) == 27
    (tmp_path / "a.jsonl").write_text("\n".join([good] * 27 + [bad] * 4), "utf-8")
    with pytest.raises(ReadError, match=r"raise max_faulty_share, a share from 0(.|\n)*a\.jsonl:28"):
        list(read_conversations(tmp_path / "a.jsonl"))
    with pytest.warns(UserWarning, match="4 records"):
        assert len(list(read_conversations(tmp_path / "a.jsonl", max_faulty_share=0.2))) == 27


ROLES = st.sampled_from([S, U, A, T])
TEXTS = st.sampled_from(["", " ", "\ud83d", "one", "two\n"])
MESSAGES = st.builds(
    Message,
    role=ROLES,
    content=TEXTS,
    reasoning=st.sampled_from(["", "why"]),
    calls=st.sampled_from([(), ('{"name": "f"}',)]),
    tools=st.sampled_from([(), ("{}",)]),
)
CHOICES = st.builds(
    Choices,
    system=st.sampled_from(["keep", "drop"]),
    tools=st.sampled_from(["text", "drop"]),
    reasoning=st.sampled_from(["text", "drop"]),
)


@given(st.lists(MESSAGES, max_size=8), CHOICES)
def test_any_messages_give_a_conversation_or_a_reason_and_no_text_is_lost_in_silence(messages, choices):
    changes: Counter = Counter()
    try:
        turns = turns_of(messages, choices, changes)
    except ConversationError:
        return
    conversation = Conversation(turns)  # which checks their order
    assert "\ud83d" not in json.dumps(conversation.messages, ensure_ascii=False)
    said = "".join(turn.content for turn in turns)
    has_all = all(message.content.strip() in said for message in messages if "\ud83d" not in message.content)
    is_as_it_was = [turn.role for turn in turns] == [message.role for message in messages]
    assert +changes or (has_all and is_as_it_was)
    if choices.tools == "drop":
        assert "<tool" not in said
    if choices.reasoning == "drop":
        assert "<think>" not in said
    if choices.system == "drop" and choices.tools == "drop":
        assert turns[0].role == U


@given(st.lists(st.sampled_from(["one", "two\n", " three"]), min_size=2, max_size=6), st.booleans())
def test_a_conversation_in_order_stays_as_it_is(texts, has_system):
    texts = texts[: len(texts) // 2 * 2]
    turns = [(S, "Be brief.")] * has_system + [((U, A)[i % 2], text) for i, text in enumerate(texts)]
    changes: Counter = Counter()
    found = turns_of([Message(*turn) for turn in turns], Choices(), changes)
    assert [tuple(turn) for turn in found] == turns
    assert not +changes


def test_the_reason_says_what_was_left_out():
    messages = [Message("user", "q"), Message("assistant", reasoning="why")]
    with pytest.raises(EmptyConversation, match="but in what is to be dropped"):
        turns_of(messages, Choices(reasoning="drop"), Counter())
