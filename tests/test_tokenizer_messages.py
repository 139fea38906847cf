"""Tools and reasoning in conversations: our text of them, and that of the template that other programs run."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from minillm_lib.corpora.conversations import read_conversations
from minillm_lib.tokenizer import CHAT_TEMPLATE
from minillm_lib.tokenizer.chat_template import ChatTemplate
from minillm_lib.tokenizer.messages import turns_of_messages

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ue000\ue001"), max_size=8)
VALUES = st.dictionaries(TEXT, TEXT | st.integers() | st.none() | st.lists(TEXT, max_size=2), max_size=2)
FUNCTION = st.fixed_dictionaries({"name": TEXT, "arguments": VALUES | VALUES.map(json.dumps) | st.just("")})
CALL = FUNCTION | FUNCTION.map(lambda function: {"id": "1", "type": "function", "function": function})
CALLS = st.lists(CALL, max_size=2)
MESSAGE = st.one_of(
    st.fixed_dictionaries({"role": st.just("user"), "content": TEXT}),
    st.fixed_dictionaries({"role": st.just("tool"), "content": TEXT}, optional={"tool_call_id": TEXT}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": TEXT},
        optional={"reasoning_content": TEXT | st.none(), "tool_calls": CALLS | st.none()},
    ),
    st.fixed_dictionaries(
        {
            "role": st.just("assistant"),
            "content": st.none(),
            "tool_calls": st.lists(CALL, min_size=1, max_size=1),
        }
    ),
)
SYSTEM = st.fixed_dictionaries(
    {"role": st.just("system"), "content": TEXT}, optional={"tools": st.lists(VALUES, max_size=2) | st.none()}
)
WEATHER = {"name": "weather", "arguments": {"city": "上海"}}


@given(st.lists(MESSAGE, min_size=1, max_size=5), st.none() | SYSTEM)
def test_the_template_writes_the_same_text(messages, system):
    messages = messages if system is None else [system, *messages]
    turns = turns_of_messages(messages)
    ours = "".join(f"<|{role}|>{text}<|end|>" for role, text in turns)
    rendering = ChatTemplate(CHAT_TEMPLATE, {}).render(messages, ("\ue000", "\ue001"))
    assert rendering.text == ours
    own = [f"{text}<|end|>" for role, text in turns if role == "assistant"]
    assert [rendering.text[begin:end] for begin, end in rendering.own] == own


def test_what_is_trained_on_is_what_a_model_is_given_later(tmp_path):
    """A file of conversations gives the turns that the same messages give in a chat."""
    messages = [
        {"role": "system", "content": "Be brief.", "tools": [{"name": "weather", "parameters": {}}]},
        {"role": "user", "content": "Shanghai?"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Look.",
            "tool_calls": [WEATHER, WEATHER],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "1"},
        {"role": "tool", "content": "{}", "tool_call_id": "2"},
        {"role": "assistant", "content": "Sunny."},
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages}), encoding="utf-8")
    (read,) = read_conversations(tmp_path / "a.jsonl")
    assert list(read.turns) == turns_of_messages(messages)
    assert read.turns[2].content == (
        "<think>\nLook.\n</think>\n\n"
        + "\n".join(['<tool_call>\n{"name": "weather", "arguments": {"city": "上海"}}\n</tool_call>'] * 2)
    )
    assert read.turns[3].content == (
        "<tool_response>\nsunny\n</tool_response>\n<tool_response>\n{}\n</tool_response>"
    )


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ({"role": "assistant", "content": None}, "has NoneType content; it must be a string"),
        ({"role": "tool", "content": None}, "has NoneType content"),
        (
            {"role": "user", "content": "x", "tool_calls": []},
            "role user, must have the keys .* it has 'tool_calls'",
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": "[]"},
            "tool_calls of type str; it must be a list",
        ),
        ({"role": "system", "content": "", "tools": {}}, "tools of type dict; it must be a list"),
        (
            {"role": "function", "content": ""},
            "role 'function'; it must be one of system, user, assistant, tool",
        ),
    ],
)
def test_other_messages_are_refused_in_words(message, complaint):
    with pytest.raises(ValueError, match=complaint):
        turns_of_messages([message])


def test_tools_beside_the_messages_are_refused_by_the_template():
    with pytest.raises(ValueError, match="give tools as a key of the system message"):
        ChatTemplate(CHAT_TEMPLATE, {"tools": [WEATHER]}).render(
            [{"role": "user", "content": "x"}], ("\ue000", "\ue001")
        )
