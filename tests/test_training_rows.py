from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from minillm_lib.corpora.registry import load_corpus
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.rows import IGNORE_INDEX, Batch, TokenWindows, evenly_spaced, rows_of_step
from minillm_lib.training.sft_rows import EncodedConversation, pack_conversations
from minillm_lib.training.token_file import pack


@pytest.fixture(scope="module")
def texts():
    """Sentences, so that several documents lie in a row."""
    documents = load_corpus("grammar", language="en", split="train", n=20)
    return [sentence for document in documents for sentence in document.text.split(". ")]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return Tokenizer.train(texts, vocab_size=330)


@pytest.fixture(scope="module")
def file(texts, tokenizer, tmp_path_factory):
    return pack(texts, tokenizer, tmp_path_factory.mktemp("packed") / "train.tokens", progress=False)


@given(
    n_rows=st.integers(1, 50),
    batch_size=st.integers(1, 60),
    n_steps=st.integers(1, 40),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None)
def test_every_row_is_read_once_an_epoch(n_rows, batch_size, n_steps, seed):
    """Whatever the batch size: also where a batch reaches over the end of an epoch, or over several."""
    read = np.concatenate([rows_of_step(step, batch_size, n_rows, seed) for step in range(n_steps)])
    for start in range(0, len(read), n_rows):
        epoch = read[start : start + n_rows]
        assert len(set(epoch)) == len(epoch)
        assert len(epoch) < n_rows or set(epoch) == set(range(n_rows))


def test_the_rows_of_a_step_depend_on_its_number_and_the_seed_alone():
    forwards = {step: rows_of_step(step, 6, 100, 1).tolist() for step in range(40)}
    backwards = {step: rows_of_step(step, 6, 100, 1).tolist() for step in reversed(range(40))}
    assert forwards == backwards
    assert rows_of_step(3, 6, 100, 2).tolist() != forwards[3]


def test_each_epoch_has_an_order_of_its_own():
    first, second = (rows_of_step(step, 50, 50, 0).tolist() for step in (0, 1))
    assert first != second
    assert first != sorted(first)


def test_a_step_reads_the_same_rows_in_batches_of_another_size():
    """Two steps of four rows are one step of eight: what resuming with other processes relies on."""
    halves = [*rows_of_step(4, 4, 30, 5), *rows_of_step(5, 4, 30, 5)]
    assert halves == rows_of_step(2, 8, 30, 5).tolist()


@given(n_rows=st.integers(0, 300), most=st.integers(1, 100))
def test_evenly_spaced_rows_are_at_most_so_many_and_equally_far_apart(n_rows, most):
    chosen = evenly_spaced(n_rows, most)
    assert len(chosen) == min(n_rows, most)
    gaps = np.diff(chosen)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
    assert not len(chosen) or (chosen[0] == 0 and chosen[-1] < n_rows)
    assert not len(chosen) or n_rows - chosen[-1] <= -(-n_rows // len(chosen))


@pytest.mark.parametrize("document_mask", [False, True])
def test_windows_are_the_text_in_order_each_token_followed_by_its_label(file, document_mask):
    windows = TokenWindows(file, 32, document_mask=document_mask)
    batch = windows[:]
    n = len(windows) * 32
    assert batch.input_ids.flatten().tolist() == file.tokens[:n].tolist()
    assert batch.labels.flatten().tolist() == file.tokens[1 : n + 1].tolist()
    assert len(file.tokens) - 1 - n < 32, "a whole row more would have fitted"
    tensors = (batch.input_ids, batch.labels, batch.positions, batch.segment_ids)
    assert all(each.dtype == torch.int64 for each in tensors if each is not None)


def test_rows_come_in_the_order_asked_for(file):
    windows = TokenWindows(file, 16)
    batch = windows[[5, 2, 5]]
    alone = [windows[[row]].input_ids[0].tolist() for row in (5, 2, 5)]
    assert batch.input_ids.tolist() == alone


def test_with_a_document_mask_each_document_is_read_as_if_it_were_alone(file):
    """The model's scores in a row are those of each document, or of its part that lies in the row, on its own."""
    torch.manual_seed(0)
    model = MiniLLM(ModelConfig.from_preset("nano", vocab_size=file.vocab_size, n_layers=2)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    windows = TokenWindows(file, 96, document_mask=True)
    starts = set(file.document_starts.tolist())
    n_documents = 0
    for row in (0, 1, len(windows) - 1):
        batch = windows[[row]]
        found = model.hidden_states(batch.input_ids, positions=batch.positions, segment_ids=batch.segment_ids)
        cuts = [place for place in range(96) if not place or row * 96 + place in starts]
        for start, end in zip(cuts, [*cuts[1:], 96], strict=True):
            alone = model.hidden_states(batch.input_ids[:, start:end])
            torch.testing.assert_close(found[:, start:end], alone)
            assert batch.positions[0, start:end].tolist() == list(range(end - start))
        n_documents += len(cuts)
    assert n_documents > 6, "too few documents for the test to say anything"


def test_a_text_shorter_than_a_row_is_refused_with_the_ways_out(tokenizer, tmp_path):
    file = pack(["short"], tokenizer, tmp_path / "short.tokens", progress=False)
    with pytest.raises(
        ValueError, match=r"short\.tokens holds \d tokens, fewer than one row of seq_len=64 .*train\.seq_len"
    ):
        TokenWindows(file, 64)
    assert len(TokenWindows(file, len(file.tokens) - 1)) == 1


def test_conversations_are_the_rows_they_were_packed_into():
    lengths = [5, 3, 8]
    encoded = [
        EncodedConversation(np.arange(n), np.where(np.arange(n) < 2, IGNORE_INDEX, 7)) for n in lengths
    ]
    packed = pack_conversations(encoded, 8)
    assert (len(packed), packed.seq_len) == (2, 8)
    batch = packed[np.array([1, 0])]
    for name in ("input_ids", "labels", "positions", "segment_ids"):
        assert torch.equal(getattr(batch, name), getattr(packed, name)[[1, 0]])
    assert batch.n_labels == sum(n - 2 for n in lengths)


def test_parts_of_a_batch_put_together_are_the_batch():
    ids = torch.arange(12).reshape(4, 3)
    batch = Batch(ids, ids + 1, None, ids + 2)
    parts = [batch[0:1], batch[1:4]]
    assert torch.equal(torch.cat([part.input_ids for part in parts]), ids)
    assert torch.equal(torch.cat([part.segment_ids for part in parts]), ids + 2)
    assert parts[0].positions is None
    moved = batch.to(torch.device("meta"))
    assert moved.labels.device.type == "meta"
    assert moved.positions is None
    assert batch.to(torch.device("cpu")) is batch
