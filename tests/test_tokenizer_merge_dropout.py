"""BPE-dropout: the same text in other pieces, and nothing else."""

import json
from statistics import mean

import pytest
from hypothesis import given, strategies as st

from minillm_lib.corpora.conversations import Conversation
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.tokenizer.merge_dropout import MergeDropout
from minillm_lib.tokenizer.sentence_piece import RESERVED
from minillm_lib.training.config import ConversationsConfig
from minillm_lib.training.corpus_text import DataError
from minillm_lib.training.data import prepare_conversations
from minillm_lib.training.sft_rows import encode_conversation

TEXT = ["how many topics are there in this corpus of papers", "讲讲主题模型是什么", "a  b   c\n\td▁e"] * 12


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXT, vocab_size=400)


def ask(text):
    return [{"role": "user", "content": text}]


@given(text=st.text(max_size=60))
def test_without_dropout_the_ids_are_those_of_the_tokenizer(tokenizer, text):
    noisy = MergeDropout(tokenizer, 0.5)
    noisy.share = 1e-12
    assert noisy.apply_chat_template(ask(text)) == tokenizer.apply_chat_template(ask(text))


@given(text=st.text(max_size=60), share=st.floats(0, 0.99))
def test_whatever_is_left_out_the_text_is_the_same(tokenizer, text, share):
    noisy = MergeDropout(tokenizer, share)
    assert noisy.decode(noisy.apply_chat_template(ask(text))) == text


def test_only_what_users_say_is_in_other_pieces(tokenizer):
    noisy = MergeDropout(tokenizer, 0.9)
    conversation = Conversation.of("how many topics", "many topics in this corpus")
    own, other = (encode_conversation(conversation, each, 400) for each in (tokenizer, noisy))
    assert len(other.input_ids) > len(own.input_ids)
    assert list(other.labels[other.labels >= 0]) == list(own.labels[own.labels >= 0])


def test_more_dropout_gives_more_pieces_and_a_seed_decides_which(tokenizer):
    lengths = {
        share: mean(len(noisy.apply_chat_template(ask(TEXT[0]))) for _ in range(200))
        for share in (0.0, 0.1, 0.5, 0.9)
        for noisy in [MergeDropout(tokenizer, share)]
    }
    assert list(lengths.values()) == sorted(lengths.values())
    assert len(set(lengths.values())) == 4
    same, again, other = (MergeDropout(tokenizer, 0.5, seed) for seed in (1, 1, 2))
    drawn = [[each.apply_chat_template(ask(TEXT[0])) for _ in range(5)] for each in (same, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_merge_is_left_out_as_often_as_said(tokenizer):
    """Two characters that make a piece have one step in which they can be merged."""
    pair = next(
        piece for piece in tokenizer.vocabulary[len(RESERVED) :] if len(piece) == 2 and "▁" not in piece
    )
    noisy = MergeDropout(tokenizer, 0.3)
    whole = len(tokenizer.apply_chat_template(ask(pair)))
    apart = mean(len(noisy.apply_chat_template(ask(pair))) > whole for _ in range(4000))
    assert apart == pytest.approx(0.3, abs=0.03)  # four standard deviations


def test_other_tokenizers_are_refused_in_words():
    unigram = Tokenizer.train(TEXT, vocab_size=316, model_type="unigram")
    with pytest.raises(ValueError, match="only by a SentencePiece BPE tokenizer"):
        MergeDropout(unigram, 0.1)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_shares_outside_of_the_range_are_refused(tokenizer, share):
    with pytest.raises(ValueError, match="allowed is 0 to below 1"):
        MergeDropout(tokenizer, share)


def test_each_repetition_of_a_source_is_in_other_pieces(tokenizer, tmp_path):
    file = tmp_path / "chats.jsonl"
    pairs = [{"question": f"{text} {n}", "answer": "ten"} for n, text in enumerate(TEXT)]
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))

    def rows(**keys):
        source = ConversationsConfig(path=file, repeat=2, held_out=0.1, **keys)
        return prepare_conversations([source], tokenizer, 300)

    plain, noisy, again = rows(), rows(merge_dropout=0.5), rows(merge_dropout=0.5)
    assert noisy.train.n_labels == plain.train.n_labels
    assert (noisy.train.segment_ids > 0).sum() > (plain.train.segment_ids > 0).sum()
    assert noisy.train.input_ids.equal(again.train.input_ids)
    assert noisy.fingerprint["train"] != plain.fingerprint["train"]
    unigram = Tokenizer.train(TEXT, vocab_size=316, model_type="unigram")
    with pytest.raises(DataError, match=r"chats\.jsonl: merge_dropout=0\.5: merges"):
        prepare_conversations([ConversationsConfig(path=file, held_out=0.1, merge_dropout=0.5)], unigram, 300)
