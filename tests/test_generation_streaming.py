"""Streams: complete characters, nothing of a stop string, and together the text that ``generate`` returns."""

from __future__ import annotations

import weakref

import pytest
import torch
from hypothesis import given, strategies as st
from scripted_model import ScriptedModel

from minillm_lib.generation.decoding import generate
from minillm_lib.generation.streaming import print_stream, stream, until_stop
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a rose is a rose is a rose, one in 12 ÷ 3 = 4"] * 9, vocab_size=310)


@given(
    pieces=st.lists(st.text("abc", max_size=4), max_size=12),
    stop=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_text_ends_before_the_first_stop_string_however_it_is_cut_into_pieces(pieces, stop):
    expected = "".join(pieces)
    for n_pieces in range(1, len(pieces) + 1):
        begun = "".join(pieces[:n_pieces])
        if any(each in begun for each in stop):
            expected = begun[: min(begun.index(each) for each in stop if each in begun)]
            break
    assert "".join(until_stop(pieces, stop)) == expected


@given(
    pieces=st.lists(st.text("abc", min_size=1, max_size=4), max_size=12),
    stop=st.lists(st.text("abc", min_size=2, max_size=4), min_size=1, max_size=3),
)
def test_only_what_may_be_the_beginning_of_a_stop_string_is_held_back(pieces, stop):
    given_so_far, shown = [], ""

    def source():
        for piece in pieces:
            held = "".join(given_so_far).removeprefix(shown)
            assert not held or any(each.startswith(held) for each in stop)
            given_so_far.append(piece)
            yield piece

    for shown_now in until_stop(source(), stop):
        assert shown_now
        shown += shown_now
        assert not any(each in shown for each in stop)


def test_no_piece_splits_a_character(tokenizer):
    """Emoji and Chinese, none of them in the vocabulary, come byte by byte and arrive complete."""
    text = "a rose 🌹 is 玫瑰 and 👩‍👩‍👧"
    model = ScriptedModel(tokenizer, [*tokenizer.encode(text), tokenizer.eos_id])
    pieces = stream(model, "a rose", temperature=0)
    shown = list(pieces)
    assert "".join(shown) == text == pieces.generation.text
    assert pieces.generation.finish_reason == "stop"
    assert "🌹" in shown
    assert not any("\ufffd" in piece for piece in shown)


def test_pieces_come_while_the_model_writes(tokenizer):
    model = ScriptedModel(tokenizer, tokenizer.encode("a rose is a rose"))
    next(stream(model, "?"))
    assert len(model.calls) == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_pieces_are_the_text_of_generate(tokenizer, seed):
    """Random weights write random bytes, few of which are characters; streamed or not, they are the same text."""
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "n_layers": 2, "n_heads": 4, "intermediate_size": 48, "max_seq_len": 64}
    model = MiniLLM(ModelConfig(vocab_size=310, initializer_range=0.3, **shape))
    model.tokenizer = tokenizer
    options = {"temperature": 1.5, "seed": seed, "max_new_tokens": None}
    (whole,) = generate(model, "a rose", **options)
    pieces = stream(model, "a rose", **options)
    assert "".join(pieces) == whole.text
    assert pieces.generation == whole
    stop = whole.text[9:11]
    (cut,) = generate(model, "a rose", stop=stop, **options)
    pieces = stream(model, "a rose", stop=stop, **options)
    assert "".join(pieces) == cut.text == whole.text[: whole.text.index(stop)]
    assert pieces.generation == cut
    assert cut.finish_reason == "stop_string"


def test_dropout_is_off_in_a_stream_and_on_again_between_its_pieces(tokenizer):
    model = ScriptedModel(tokenizer, [*tokenizer.encode("a rose"), RuntimeError("no power")]).train()
    pieces = stream(model, "?")
    next(pieces)
    assert model.training
    with pytest.raises(RuntimeError, match="no power"):
        list(pieces)
    assert model.training
    assert not any(model.modes)


def test_the_memory_of_a_stream_is_freed_with_it(tokenizer):
    """The cache is in no reference cycle, so it does not wait for the garbage collector."""
    model = ScriptedModel(tokenizer, tokenizer.encode("a rose"))
    pieces = stream(model, "?")
    next(pieces)
    cache = weakref.ref(model.cache)
    model.cache = None
    assert cache() is not None
    del pieces
    assert cache() is None


def test_a_wrong_prompt_is_refused_before_the_first_piece(tokenizer):
    model = ScriptedModel(tokenizer, [], max_seq_len=16)
    with pytest.raises(ValueError, match="prompt 0 has 16 tokens"):
        stream(model, [300] * 16)
    model.tokenizer = None
    with pytest.raises(ValueError, match="this model has none"):
        stream(model, [300])


def test_printing_shows_each_piece_and_ctrl_c_keeps_what_there_is(tokenizer, capsys):
    model = ScriptedModel(tokenizer, [*tokenizer.encode("a rose"), KeyboardInterrupt()]).train()
    assert print_stream(stream(model, "?")) == "a rose"
    assert capsys.readouterr().out == "a rose\n"
    assert model.training
