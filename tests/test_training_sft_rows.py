from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from rich.console import Console

from minillm_lib.corpora.conversations import Conversation, Turn
from minillm_lib.corpora.faq import load_course_faq
from minillm_lib.model.attention import causal_mask
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.rows import IGNORE_INDEX, batch_loss
from minillm_lib.training.sft_rows import (
    EncodedConversation,
    encode_conversation,
    encode_conversations,
    explain_mask,
    first_fit_decreasing,
    pack_conversations,
    pad_conversations,
)

MULTI_TURN = Conversation(
    (
        Turn("system", "Be brief. 请简短。"),
        Turn("user", "What is LDA?"),
        Turn("assistant", "A topic model 🌹."),
        Turn("user", "And <|end|>?"),
        Turn("assistant", "没有这个 token。"),
    )
)


@lru_cache
def tokenizer():
    texts = [turn.content for each in load_course_faq()[::7] for turn in each.turns]
    return Tokenizer.train(texts, vocab_size=2400, character_coverage=0.99)


@lru_cache
def encoded(n=40, max_len=256):
    every = load_course_faq()
    return encode_conversations(every[:: len(every) // n][:n], tokenizer(), max_len)[0]


def model(**overrides):
    torch.manual_seed(0)
    config = ModelConfig.from_preset("nano", vocab_size=2400, n_layers=2, **overrides)
    made = MiniLLM(config)
    for parameter in made.parameters():  # far from symmetric, so that a wrong mask would show
        torch.nn.init.normal_(parameter, std=0.2)
    return made.double().eval()


def test_what_is_trained_on_is_the_assistants_text_and_its_end_token_and_nothing_else():
    for conversation in (*load_course_faq()[::37], MULTI_TURN):
        row = encode_conversation(conversation, tokenizer(), 4096)
        trained = row.labels[row.labels != IGNORE_INDEX]
        said = [turn.content for turn in conversation.turns if turn.role == "assistant"]
        assert tokenizer().decode(trained, skip_special_tokens=False) == "".join(
            f"{text}<|end|>" for text in said
        )
        assert (trained == tokenizer().end_of_turn_id).sum() == len(said)


def test_each_label_is_the_token_that_follows():
    row = encode_conversation(MULTI_TURN, tokenizer(), 4096)
    ids = tokenizer().apply_chat_template(MULTI_TURN.messages)
    assert row.input_ids.tolist() == ids[:-1]
    is_trained = row.labels != IGNORE_INDEX
    assert row.labels[is_trained].tolist() == np.array(ids[1:])[is_trained].tolist()
    starts = np.flatnonzero(is_trained & ~np.roll(is_trained, 1))
    assert {ids[start] for start in starts} == {tokenizer().role_ids["assistant"]}, (
        "its turn is opened for it"
    )


def test_too_long_conversations_lose_whole_exchanges_from_the_end():
    whole = encode_conversation(MULTI_TURN, tokenizer(), 4096)
    short = encode_conversation(MULTI_TURN, tokenizer(), len(whole) - 1)
    first = Conversation(MULTI_TURN.turns[:3])
    alone = encode_conversation(first, tokenizer(), 4096)
    assert (whole.n_turns_cut, short.n_turns_cut) == (0, 2)
    assert short.input_ids.tolist() == alone.input_ids.tolist()
    assert encode_conversation(MULTI_TURN, tokenizer(), len(alone)).n_turns_cut == 2
    assert encode_conversation(MULTI_TURN, tokenizer(), len(alone) - 1) is None
    conversations = [MULTI_TURN, first, Conversation.of("a" * 500, "b")]
    kept, report = encode_conversations(conversations, tokenizer(), len(alone))
    assert (report.n_conversations, report.n_truncated, report.n_dropped) == (2, 1, 1)
    assert report.n_tokens == sum(map(len, kept)) == 2 * len(alone)
    assert "1 truncated, 1 more dropped" in str(report)
    with pytest.raises(ValueError, match="max_len is 0"):
        encode_conversation(MULTI_TURN, tokenizer(), 0)


def first_fit_one_by_one(lengths, capacity):
    """The textbook's loop."""
    room, row_of = [], {}
    for item in sorted(range(len(lengths)), key=lambda item: -lengths[item]):
        row = next((row for row, free in enumerate(room) if free >= lengths[item]), len(room))
        room += [capacity] * (row == len(room))
        room[row] -= lengths[item]
        row_of[item] = row
    return [row_of[item] for item in range(len(lengths))]


@given(st.lists(st.integers(1, 30), max_size=80), st.integers(30, 60))
def test_rows_are_those_of_the_textbook(lengths, capacity):
    assert first_fit_decreasing(lengths, capacity).tolist() == first_fit_one_by_one(lengths, capacity)


@settings(deadline=None)
@given(st.lists(st.integers(1, 24), max_size=30), st.integers(24, 50))
def test_packing_loses_nothing_repeats_nothing_and_divides_nothing(lengths, max_len):
    counter = iter(range(1, 10_000))
    conversations = [
        EncodedConversation(ids := np.array([next(counter) for _ in range(length)]), ids + 1)
        for length in lengths
    ]
    rows = pack_conversations(conversations, max_len)
    assert rows.input_ids.shape[1:] == (max_len,)
    found = []
    for ids, labels, positions, segments in zip(
        rows.input_ids, rows.labels, rows.positions, rows.segment_ids, strict=True
    ):
        for segment in range(1, int(segments.max()) + 1):
            own = segments == segment
            assert labels[own].tolist() == (ids[own] + 1).tolist()
            assert positions[own].tolist() == list(range(int(own.sum())))
            found.append(ids[own].tolist())
        assert (labels[segments == 0] == IGNORE_INDEX).all()
        assert (segments[1:] >= segments[:-1])[segments[1:] > 0].all(), "padding comes last"
    assert sorted(found) == sorted(each.input_ids.tolist() for each in conversations)


def test_items_that_cannot_be_packed_are_refused():
    for lengths in ([3, 9], [3, 0]):
        with pytest.raises(ValueError, match=r"lengths are from . to .; allowed are 1 to 8"):
            first_fit_decreasing(lengths, 8)
    with pytest.raises(ValueError, match="the longest conversation has"):
        pad_conversations(encoded(), 5)


def test_an_answer_that_is_broken_off_keeps_the_question_and_its_first_tokens():
    for conversation in load_course_faq()[::137]:
        whole = encode_conversation(conversation, tokenizer(), 4096)
        cut = encode_conversation(conversation, tokenizer(), 4096, answer_tokens=5)
        np.testing.assert_array_equal(cut.input_ids, whole.input_ids[: len(cut)])
        np.testing.assert_array_equal(cut.labels, whole.labels[: len(cut)])
        assert (cut.labels != IGNORE_INDEX).sum() == 5
        assert cut.labels[-1] != IGNORE_INDEX
        assert len(encode_conversation(conversation, tokenizer(), 4096, answer_tokens=9999)) == len(whole)


def test_each_answer_of_a_conversation_is_broken_off_and_an_earlier_one_ends_untrained():
    row = encode_conversation(MULTI_TURN, tokenizer(), 4096, answer_tokens=3)
    answers = [tokenizer().encode(turn.content)[:3] for turn in MULTI_TURN.turns if turn.role == "assistant"]
    assert row.labels[row.labels != IGNORE_INDEX].tolist() == [
        token for answer in answers for token in answer
    ]
    text = tokenizer().decode(row.input_ids, skip_special_tokens=False)
    for turn in MULTI_TURN.turns:
        assert turn.content in text or turn.role == "assistant"
    whole = encode_conversation(MULTI_TURN, tokenizer(), 4096)
    whole_text = tokenizer().decode(whole.input_ids, skip_special_tokens=False)
    assert len(row) < len(whole)
    assert text.count("<|end|>") == whole_text.count("<|end|>"), "every turn but the last ends"
    uncut = encode_conversation(MULTI_TURN, tokenizer(), 4096, answer_tokens=9999)
    np.testing.assert_array_equal(uncut.input_ids, whole.input_ids)
    np.testing.assert_array_equal(uncut.labels, whole.labels)


def test_the_same_conversations_give_the_same_bytes():
    def content():
        kept, _ = encode_conversations(load_course_faq("test"), tokenizer(), 256)
        rows = pack_conversations(kept, 256)
        return b"".join(
            each.numpy().tobytes() for each in (rows.input_ids, rows.labels, rows.positions, rows.segment_ids)
        )

    assert content() == content()


def test_the_mask_lets_no_token_look_ahead_or_into_another_conversation():
    segments = torch.tensor([[1, 1, 1, 2, 2, 0, 0]])
    mask = causal_mask(0, segments.shape[1], None, segments.device, segments)
    assert mask.shape == (1, 1, 7, 7)
    for query in range(7):
        for key in range(7):
            expected = key <= query and segments[0, query] == segments[0, key]
            assert mask[0, 0, query, key] == expected


@pytest.mark.parametrize("overrides", [{}, {"positions": "learned", "norm": "layer", "feed_forward": "gelu"}])
def test_a_packed_conversation_has_the_loss_that_it_has_alone(overrides):
    nano, conversations = model(**overrides), encoded()
    rows = pack_conversations(conversations, 512)
    assert len(rows) < len(conversations)
    alone = [
        nano.loss(
            torch.from_numpy(each.input_ids)[None], torch.from_numpy(each.labels)[None], reduction="sum"
        )
        for each in conversations
    ]
    torch.testing.assert_close(batch_loss(nano, rows, reduction="sum"), sum(alone), rtol=1e-6, atol=0)
    row_of = first_fit_decreasing([len(each) for each in conversations], 512)
    for row in range(len(rows)):
        own = sum(loss for loss, place in zip(alone, row_of, strict=True) if place == row)
        torch.testing.assert_close(batch_loss(nano, rows[[row]], "sum"), own, rtol=1e-6, atol=0)


def test_without_the_mask_conversations_would_meet():
    nano, rows = model(), pack_conversations(encoded(), 512)

    def difference(row):
        together = nano.loss(row.input_ids, row.labels, positions=row.positions, reduction="sum")
        return abs(together - batch_loss(nano, row, "sum"))

    assert max(difference(rows[[index]]) for index in range(len(rows))) > 0.1


def test_padded_rows_have_the_same_loss_as_packed_ones():
    nano, conversations = model(), encoded()
    padded, packed = pad_conversations(conversations), pack_conversations(conversations, 512)
    n_tokens = sum(map(len, conversations))
    for rows in (padded, packed):
        assert rows.padding_share == pytest.approx(1 - n_tokens / rows.input_ids.numel())
    usual = nano.loss(padded.input_ids, padded.labels)  # causal attention: padding on the right is not seen
    torch.testing.assert_close(usual, batch_loss(nano, packed), rtol=1e-6, atol=0)
    torch.testing.assert_close(usual, batch_loss(nano, padded.to("cpu")), rtol=1e-6, atol=0)


def test_gradients_are_those_of_the_conversations_alone():
    nano, conversations = model(), encoded(8)
    batch_loss(nano, pack_conversations(conversations, 512), "sum").backward()
    packed = [parameter.grad.clone() for parameter in nano.parameters()]
    nano.zero_grad()
    for each in conversations:
        nano.loss(
            torch.from_numpy(each.input_ids)[None], torch.from_numpy(each.labels)[None], reduction="sum"
        ).backward()
    for ours, parameter in zip(packed, nano.parameters(), strict=True):
        assert (ours - parameter.grad).norm() < 1e-5 * ours.norm()


def test_the_picture_colours_what_is_trained_on():
    explanation = explain_mask(MULTI_TURN, tokenizer())
    assert "[[A topic model <0xF0>" in str(explanation)
    trained = [
        piece for piece, it_is in zip(explanation.pieces, explanation.is_trained, strict=True) if it_is
    ]
    row = encode_conversation(MULTI_TURN, tokenizer(), 4096)
    assert len(trained) == (row.labels != IGNORE_INDEX).sum()
    html = explanation._repr_html_()
    assert html.count("#b7e4c0") == len(trained)
    assert html.count("<span") == html.count("</span>") == len(explanation.pieces)
    assert html.count("<br>") == len(MULTI_TURN.turns), "only the template's own <|end|> ends a line"
    assert "<|user|>" not in html
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    console.print(explanation)
    assert "<|assistant|>" in console.file.getvalue()


def test_a_conversation_that_a_template_refuses_is_named_by_its_place():
    class Refusing:
        def chat_ids_and_mask(self, messages):
            raise ValueError("the template does not take this")

    conversation = Conversation.of("hello", "hi", source="chats.jsonl:7")
    with pytest.raises(ValueError, match=r"chats\.jsonl:7: the template does not take this"):
        encode_conversations([conversation], Refusing(), 32)
