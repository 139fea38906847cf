"""Conversations: what the model is given, what is remembered and what is printed when the context is full."""

from __future__ import annotations

import warnings

import pytest
from scripted_model import ScriptedModel

from minillm_lib.generation.chat_session import ChatSession, chat, chat_in_terminal
from minillm_lib.generation.streaming import print_stream
from minillm_lib.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a rose is a rose is a rose, one in 12 ÷ 3 = 4"] * 9, vocab_size=310)


def script(tokenizer, *replies):
    """The tokens of some replies, each with its end of turn."""
    return [token for reply in replies for token in [*tokenizer.encode(reply), tokenizer.end_of_turn_id]]


def prompts_of(model):
    """The prompts that a model was given, in order: of all its calls, those of more than one token."""
    return [rows[0] for rows in model.calls if len(rows[0]) > 1]


def turn(role, content):
    return {"role": role, "content": content}


def test_the_model_reads_the_whole_conversation_in_the_chat_template(tokenizer):
    model = ScriptedModel(tokenizer, script(tokenizer, "a rose", "is a rose"))
    session = ChatSession(model, system="one", temperature=0)
    assert session.send("<|end|> what?") == "a rose"
    assert "".join(session.stream("and?")) == "is a rose"
    messages = [
        turn("system", "one"),
        turn("user", "<|end|> what?"),
        turn("assistant", "a rose"),
        turn("user", "and?"),
        turn("assistant", "is a rose"),
    ]
    assert session.messages == messages
    given = [tokenizer.apply_chat_template(messages[:n], add_generation_prompt=True) for n in (2, 4)]
    assert prompts_of(model) == given


def test_chat_answers_one_message_after_a_history_that_it_leaves_alone(tokenizer):
    model = ScriptedModel(tokenizer, script(tokenizer, "a rose"))
    history = [turn("user", "one"), turn("assistant", "rose")]
    assert chat(model, "what?", history=history, temperature=0) == "a rose"
    assert history == [turn("user", "one"), turn("assistant", "rose")]
    expected = tokenizer.apply_chat_template([*history, turn("user", "what?")], add_generation_prompt=True)
    assert prompts_of(model) == [expected]


def test_the_oldest_turns_are_forgotten_when_the_context_is_full_and_a_warning_says_so(tokenizer):
    model = ScriptedModel(tokenizer, script(tokenizer, *["a rose"] * 20), max_seq_len=64)
    session = ChatSession(model, system="one", temperature=0, max_new_tokens=8)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        for number in range(20):
            assert session.send(f"what is {number}?") == "a rose"
    assert session.messages[0] == turn("system", "one")
    assert session.messages[1]["role"] == "user"
    assert session.messages[-2:] == [turn("user", "what is 19?"), turn("assistant", "a rose")]
    assert all(len(prompt) <= 64 - 8 for prompt in prompts_of(model))
    said = "the context of 64 tokens is full: the oldest 2 messages are forgotten"
    assert said in {str(note.message) for note in notes}
    assert 3 <= len(session.messages) < 2 * 20


def test_a_reply_that_ends_with_the_context_says_so(tokenizer):
    model = ScriptedModel(tokenizer, [300] * 64, max_seq_len=32)
    session = ChatSession(model, max_new_tokens=None)
    with pytest.warns(UserWarning, match="the reply stops because the context of 32 tokens is full"):
        reply = session.send("what?")
    (prompt,) = prompts_of(model)
    assert reply == tokenizer.decode([300] * (32 - len(prompt)))
    assert session.messages == [turn("user", "what?"), turn("assistant", reply)]


def test_a_message_longer_than_the_context_is_refused_and_not_remembered(tokenizer):
    session = ChatSession(ScriptedModel(tokenizer, [], max_seq_len=32))
    with pytest.raises(ValueError, match=r"but the model's context is 32"):
        session.stream("?" * 40)
    assert session.messages == []


@pytest.mark.parametrize("interrupted_by", ["the reader", "Ctrl-C"])
def test_an_interrupted_reply_is_remembered_as_far_as_it_came(tokenizer, interrupted_by):
    model = ScriptedModel(tokenizer, [*tokenizer.encode("a rose"), KeyboardInterrupt()]).train()
    session = ChatSession(model)
    pieces = session.stream("what?")
    shown = next(pieces)
    if interrupted_by == "the reader":
        pieces.close()
    else:
        shown += print_stream(pieces)
    assert session.messages == [turn("user", "what?"), turn("assistant", shown)]
    assert model.training


def test_a_terminal_session(tokenizer, capsys):
    """Two turns, one of them stopped by Ctrl-C, an empty line, a new beginning and Ctrl-D."""
    replies = [*script(tokenizer, "a rose"), 300, KeyboardInterrupt(), *script(tokenizer, "is a rose")]
    model = ScriptedModel(tokenizer, replies)
    typed = iter(["what?", "  ", "and?", "/reset", "who?"])

    def read(prompt):
        if (line := next(typed, None)) is None:
            raise EOFError
        return line

    session = chat_in_terminal(model, system="one", read=read, temperature=0)
    assert session.messages == [turn("system", "one"), turn("user", "who?"), turn("assistant", "is a rose")]
    interrupted = [
        turn("system", "one"),
        turn("user", "what?"),
        turn("assistant", "a rose"),
        turn("user", "and?"),
    ]
    prompts = [interrupted[:2], interrupted, session.messages[:2]]
    template = tokenizer.apply_chat_template
    assert prompts_of(model) == [template(messages, add_generation_prompt=True) for messages in prompts]
    assert "a rose\n" in capsys.readouterr().out


def test_a_terminal_session_says_what_happened_to_the_context(tokenizer, capsys):
    model = ScriptedModel(tokenizer, [300] * 64, max_seq_len=32)
    typed = iter(["what?", "?" * 40])

    def read(prompt):
        if (line := next(typed, None)) is None:
            raise KeyboardInterrupt
        return line

    chat_in_terminal(model, read=read, max_new_tokens=None)
    shown = capsys.readouterr().out
    assert "[the reply stops because the context of 32 tokens is full]" in shown
    assert "but the model's context is 32" in shown
