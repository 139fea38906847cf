"""The conversation in a notebook: what the buttons do, and what is shown."""

from __future__ import annotations

import threading

import pytest
from scripted_model import ScriptedModel

from minillm_lib.tokenizer import Tokenizer
from minillm_lib.viz import ChatWidget


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a rose is a rose is a rose, <b> one in 12 ÷ 3 = 4"] * 9, vocab_size=310)


def script(tokenizer, *replies):
    """The tokens of some replies, each with its end of turn."""
    return [token for reply in replies for token in [*tokenizer.encode(reply), tokenizer.end_of_turn_id]]


class Waiting:
    """The tokens of a reply that goes on until the test has seen enough."""

    def __init__(self, token, n_before=4):
        self.token, self.left = token, n_before
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        self.left -= 1
        if self.left == 0:
            self.has_begun.set()
            assert self.may_go_on.wait(30)
        return self.token


def shown(chat):
    return chat._log.value


def test_a_click_asks_and_the_reply_is_shown_escaped(tokenizer):
    chat = ChatWidget(ScriptedModel(tokenizer, script(tokenizer, "a <b> rose")), text=" what <i>? ")
    chat._send.click()
    chat.wait()
    assert "<b>what &lt;i&gt;?</b>" in shown(chat)
    assert "a &lt;b&gt; rose" in shown(chat)
    assert chat._line.value == ""
    assert [message["content"] for message in chat.session.messages] == ["what <i>?", "a <b> rose"]
    assert (chat._send.disabled, chat._stop.disabled) == (False, True)


def test_enter_asks_too_and_an_empty_line_asks_nothing(tokenizer):
    chat = ChatWidget(ScriptedModel(tokenizer, script(tokenizer, "a rose")))
    chat._line._handle_custom_msg({"event": "submit"}, [])
    assert chat._thread is None
    chat._line.value = "what?"
    chat._line._handle_custom_msg({"event": "submit"}, [])
    chat.wait()
    assert "a rose" in shown(chat)


def test_stop_ends_the_reply_and_keeps_what_was_written(tokenizer):
    tokens = Waiting(max(tokenizer.encode("rose"), key=lambda token: len(tokenizer.decode([token]))))
    chat = ChatWidget(ScriptedModel(tokenizer, tokens, max_seq_len=20_000), max_new_tokens=None)
    chat.send("what?")
    assert tokens.has_begun.wait(30)
    assert (chat._send.disabled, chat._stop.disabled) == (True, False)
    chat.send("another?")  # nothing happens: the model is busy
    chat._stop.click()
    tokens.may_go_on.set()
    chat.wait()
    assert len(chat.session.messages) == 2
    assert 0 < len(chat.session.messages[1]["content"]) < 1000
    assert shown(chat).endswith("<i>(stopped)</i></div></div>")
    assert chat._stop.disabled


def test_the_slider_sets_the_temperature(tokenizer):
    chat = ChatWidget(ScriptedModel(tokenizer, script(tokenizer, "a", "is")), temperature=0.3)
    assert chat._temperature.value == 0.3
    chat._temperature.value = 1.2
    chat.send("what?")
    chat.wait()
    assert chat.session.sampling.temperature == 1.2


def test_a_new_conversation_forgets_the_old_one(tokenizer):
    chat = ChatWidget(ScriptedModel(tokenizer, script(tokenizer, "a rose")), system="one")
    chat.send("what?")
    chat.wait()
    chat._reset.click()
    assert shown(chat) == ""
    assert [message["role"] for message in chat.session.messages] == ["system"]


@pytest.mark.filterwarnings("error")
def test_notices_doubts_and_errors_are_shown(tokenizer):
    model = ScriptedModel(tokenizer, [300] * 64, max_seq_len=32)
    model.embed_tokens.weight.data *= 0.05  # nearly all tokens are nearly as likely
    chat = ChatWidget(model, max_new_tokens=None, not_sure_below=1.0)
    chat.send("what?")
    chat.wait()
    assert "(the reply stops because the context of 32 tokens is full)" in shown(chat)
    assert "<i>(not sure" in shown(chat)
    for message, error in (("?" * 40, "context is 32"), ("what?", "ZeroDivisionError")):
        model.script = iter([ZeroDivisionError()])
        chat.send(message)
        chat.wait()
        assert error in shown(chat)
        assert not chat._send.disabled
