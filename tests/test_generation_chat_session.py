"""Conversations: what the model is given, what is remembered, what is said of the context, and how sure a reply is."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from scripted_model import ScriptedModel

from minillm_lib.generation.chat_session import ChatSession, chat
from minillm_lib.generation.streaming import print_stream
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.metadata import ChatDefaults
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


def test_a_fresh_session_starts_a_conversation_with_each_message_and_says_so_once(tokenizer):
    model = ScriptedModel(tokenizer, script(tokenizer, *["a rose"] * 3))
    model.chat_defaults = ChatDefaults(fresh=True)
    session = ChatSession(model, system="one")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        for text in ("what?", "who?", "and?"):
            session.send(text)
    assert [str(note.message) for note in notes] == [
        "earlier messages are left out: this conversation starts afresh with each message"
    ]
    template = tokenizer.apply_chat_template
    given = [[turn("system", "one"), turn("user", text)] for text in ("what?", "who?", "and?")]
    assert prompts_of(model) == [template(messages, add_generation_prompt=True) for messages in given]
    assert session.messages == [*given[-1], turn("assistant", "a rose")]


def test_fresh_can_be_chosen_against_the_model_and_a_history_that_is_dropped_is_warned_of(tokenizer):
    model = ScriptedModel(tokenizer, script(tokenizer, *["a rose"] * 2))
    history = [turn("user", "one"), turn("assistant", "rose")]
    with pytest.warns(UserWarning, match="afresh"):
        chat(model, "what?", history=history, fresh=True)
    model.chat_defaults = ChatDefaults(fresh=True)
    chat(model, "what?", history=history, fresh=False)
    first, second = prompts_of(model)
    assert len(first) < len(second)


def test_the_system_message_can_be_replaced_and_removed_in_the_middle(tokenizer):
    model = ScriptedModel(tokenizer, script(tokenizer, *["a rose"] * 3))
    session = ChatSession(model)
    assert session.system is None
    session.send("what?")
    session.system = "one"
    session.system = "two"
    assert session.system == "two"
    session.send("who?")
    assert session.messages[:2] == [turn("system", "two"), turn("user", "what?")]
    session.system = None
    assert session.messages[0] == turn("user", "what?")
    assert len(session.messages) == 4


def test_the_latest_message_can_be_taken_back(tokenizer):
    session = ChatSession(ScriptedModel(tokenizer, script(tokenizer, "a rose", "is")), system="one")
    assert session.take_back() is None
    session.send("what?")
    before = list(session.messages)
    session.send("who?")
    assert session.take_back() == "who?"
    assert session.messages == before
    assert session.confidence is None


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 2.0, "top_k": 5, "repetition_penalty": 1.3, "seed": 1}]
)
def test_confidence_is_the_geometric_mean_probability_of_the_first_twelve_tokens(tokenizer, fast, options):
    """However the tokens are chosen, as the model itself gives their probabilities when it reads them again."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "intermediate_size": 32}
    model = MiniLLM(ModelConfig(vocab_size=tokenizer.vocab_size, initializer_range=0.3, **shape)).eval()
    model.tokenizer = tokenizer
    session = ChatSession(model, fast=fast, max_new_tokens=20, **options)
    assert session.confidence is None
    for n_pieces, _ in enumerate(session.stream("what?")):
        assert 0 < session.confidence <= 1, n_pieces
    prompt = tokenizer.apply_chat_template([turn("user", "what?")], add_generation_prompt=True)
    (text,) = model.generate(prompt, fast=fast, max_new_tokens=20, **{"temperature": 0, **options})
    log_p = model(torch.tensor([prompt + text.ids]))[0].log_softmax(-1)
    expected = [log_p[len(prompt) - 1 + place, token].item() for place, token in enumerate(text.ids)]
    assert text.log_probs == pytest.approx(expected, abs=1e-4)
    assert session.confidence == pytest.approx(math.exp(sum(expected[:12]) / len(expected[:12])), abs=1e-4)
    assert len(text.ids) > 12


def test_a_reply_below_the_models_threshold_is_doubtful_in_its_own_language(tokenizer):
    model = ScriptedModel(tokenizer, script(tokenizer, "a rose", "is", "a rose"))
    session = ChatSession(model)
    session.send("what?")
    assert session.is_sure
    assert session.doubt is None
    session.not_sure_below = 0.5
    assert session.is_sure
    session._reply.generation.log_probs[:] = [-1.0, -3.0]
    assert session.confidence == pytest.approx(math.exp(-2))
    assert session.doubt.startswith("(not sure")
    session.messages[-1] = turn("assistant", "LDA 是一种主题模型")
    assert session.doubt.startswith("（不确定")
    session.not_sure_below = 0.1
    assert session.doubt is None


def test_the_threshold_comes_from_the_model_unless_it_is_given(tokenizer):
    model = ScriptedModel(tokenizer, [])
    model.chat_defaults = ChatDefaults(not_sure_below=0.3)
    assert ChatSession(model).not_sure_below == 0.3
    assert ChatSession(model, not_sure_below=0.2).not_sure_below == 0.2
