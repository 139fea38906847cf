from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from minillm_lib.corpora.registry import load_corpus
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.evaluation import Score, evaluate
from minillm_lib.training.parallel import Processes
from minillm_lib.training.rows import IGNORE_INDEX, TokenWindows, evenly_spaced
from minillm_lib.training.sft_rows import EncodedConversation, pack_conversations
from minillm_lib.training.token_file import pack

ALONE = Processes(0, 1, torch.device("cpu"))


def texts(split, n):
    """Both languages, so that a byte is not a character."""
    return [
        document.text
        for language in ("en", "zh")
        for document in load_corpus("grammar", language=language, split=split, n=n)
    ]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(texts("train", 30), vocab_size=1000)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    return MiniLLM(ModelConfig.from_preset("nano", vocab_size=len(tokenizer), n_layers=1)).eval()


@pytest.fixture(scope="module")
def windows(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "held_out.tokens"
    return TokenWindows(pack(texts("test", 15), tokenizer, path, progress=False), 24)


def summed_loss(model):
    def of(batch):
        return model.loss(
            batch.input_ids,
            batch.labels,
            positions=batch.positions,
            segment_ids=batch.segment_ids,
            ignore_index=IGNORE_INDEX,
            reduction="sum",
        )

    return of


@pytest.mark.parametrize("rows_at_a_time", [1, 3, 100])
def test_the_loss_is_the_mean_over_all_tokens_however_many_rows_go_at_a_time(
    model, tokenizer, windows, rows_at_a_time
):
    score = evaluate(
        summed_loss(model), windows, tokenizer, ALONE, max_tokens=10**6, rows_at_a_time=rows_at_a_time
    )
    batch = windows[:]
    with torch.no_grad():
        expected = cross_entropy(model(batch.input_ids).flatten(0, 1), batch.labels.flatten()).item()
    assert score.loss == pytest.approx(expected, rel=1e-6)
    assert score.n_tokens == len(windows) * 24
    assert score.perplexity == pytest.approx(math.exp(expected), rel=1e-5)


def test_bits_per_byte_are_the_bits_of_all_tokens_over_the_bytes_of_their_text(model, tokenizer, windows):
    score = evaluate(summed_loss(model), windows, tokenizer, ALONE, max_tokens=10**6)
    labels = windows.file.tokens[1 : len(windows) * 24 + 1].tolist()
    text = tokenizer.decode(labels)
    n_bytes = len(text.encode())
    assert "�" not in text, (
        "a character is cut at an end: the bytes of the text would not be those of the tokens"
    )
    assert score.bits_per_byte == pytest.approx(score.loss * len(labels) / math.log(2) / n_bytes, rel=1e-9)


def test_at_most_so_many_tokens_are_read_from_all_over_the_text(model, tokenizer, windows):
    score = evaluate(summed_loss(model), windows, tokenizer, ALONE, max_tokens=5 * 24 + 7)
    batch = windows[evenly_spaced(len(windows), 5)]
    assert score.n_tokens == 5 * 24
    with torch.no_grad():
        expected = model.loss(batch.input_ids, batch.labels).item()
    assert score.loss == pytest.approx(expected, rel=1e-6)


def test_only_labels_count_in_conversations(model, tokenizer):
    random = np.random.default_rng(0)
    encoded = []
    for n in (4, 9, 6, 11, 3):
        ids = random.integers(300, 400, n)
        encoded.append(EncodedConversation(ids, np.where(np.arange(n) % 3 == 0, IGNORE_INDEX, ids)))
    rows = pack_conversations(encoded, 12)
    score = evaluate(summed_loss(model), rows, tokenizer, ALONE, max_tokens=10**6, rows_at_a_time=2)
    losses = []
    for each in encoded:
        with torch.no_grad():
            scores = model(torch.from_numpy(each.input_ids)[None])[0]
        losses += cross_entropy(
            scores, torch.from_numpy(each.labels), ignore_index=IGNORE_INDEX, reduction="none"
        )[torch.from_numpy(each.labels != IGNORE_INDEX)].tolist()
    assert score.n_tokens == len(losses)
    assert score.loss == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shares_of_processes_add_up_to_what_one_finds(model, tokenizer, windows, count):
    """Each process reads rows of its own, all call the model equally often, and together they read each row once."""
    whole = evaluate(summed_loss(model), windows, tokenizer, ALONE, max_tokens=11 * 24, rows_at_a_time=2)
    sums, calls = np.zeros(3), []

    class Share(Processes):
        def total(self, *values):
            sums[:] += values
            return list(values)

    for rank in range(count):
        n_calls = 0

        def counted(batch):
            nonlocal n_calls
            n_calls += 1
            return summed_loss(model)(batch)

        process = Share(rank, count, torch.device("cpu"))
        evaluate(counted, windows, tokenizer, process, max_tokens=11 * 24, rows_at_a_time=2)
        calls.append(n_calls)
    assert len(set(calls)) == 1
    assert sums[1:].tolist() == [whole.n_tokens, whole.n_bytes]
    assert sums[0] / sums[1] == pytest.approx(whole.loss, rel=1e-6)


def test_no_gradient_is_kept(model, tokenizer, windows):
    evaluate(summed_loss(model), windows, tokenizer, ALONE, max_tokens=48)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_uniform_model_over_bytes_needs_eight_bits_a_byte():
    assert Score(math.log(256), 100, 100).bits_per_byte == pytest.approx(8)
    assert Score(math.log(256), 100, 200).bits_per_byte == pytest.approx(4)
    assert Score(math.log(50), 1, 1).perplexity == pytest.approx(50)


def test_a_loss_beyond_all_bounds_is_still_a_number():
    assert math.isfinite(Score(1e6, 1, 1).perplexity)
    assert Score(0.0, 0, 0).bits_per_byte == 0
