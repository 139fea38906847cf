"""Bits per byte and perplexity: of texts shorter and longer than the context, and of a model that knows nothing."""

import math

import pytest
import torch
from served_model import CONTEXT, tiny_model

from minillm_lib.evaluation import texts
from minillm_lib.evaluation.harness_model import HarnessModel
from minillm_lib.evaluation.texts import score_texts
from minillm_lib.model.decoder import MiniLLM

SHORT, LONG = "a rose is 玫瑰", "what is a topic model? " * 30


def scores(texts, model=None, **options):
    found = score_texts(HarnessModel(model or tiny_model(), progress=False), texts, **options)
    return {(score.part, score.metric): score for score in found}


def losses(text: str) -> list[float]:
    """The loss of each token after all tokens before it, of a text that fits into the context."""
    tokenizer = tiny_model().tokenizer
    ids = torch.tensor([[tokenizer.eos_id, *tokenizer.encode(text)]])
    with torch.no_grad():
        likelihoods = tiny_model()(ids[:, :-1])[0].double().log_softmax(-1)
    return (-likelihoods.gather(1, ids[0, 1:, None])[:, 0]).tolist()


def test_a_short_text_is_the_sum_of_its_losses_over_bytes_and_tokens():
    expected, found = losses(SHORT), scores({"t.txt": [SHORT]})
    bits = found["t.txt", "bits_per_byte"]
    assert bits.value == pytest.approx(sum(expected) / math.log(2) / len(SHORT.encode()), rel=1e-5)
    assert bits.n == len(SHORT.encode()) == 16
    perplexity = found["t.txt", "perplexity"]
    assert perplexity.value == pytest.approx(math.exp(sum(expected) / len(expected)), rel=1e-5)
    assert perplexity.n == len(expected)
    assert bits.low is None, "there is no interval from a single window"
    assert not bits.higher_is_better


def test_documents_are_read_apart_and_added_up():
    found = scores({"a": [SHORT, "a rose"], "b": ["玫瑰", ""]})
    expected = sum(map(sum, map(losses, (SHORT, "a rose", "玫瑰"))))
    n_bytes = sum(len(text.encode()) for text in (SHORT, "a rose", "玫瑰"))
    assert found["all", "bits_per_byte"].value == pytest.approx(expected / math.log(2) / n_bytes, rel=1e-5)
    assert found["all", "bits_per_byte"].n == n_bytes
    total = sum(found[part, "bits_per_byte"].value * found[part, "bits_per_byte"].n for part in "ab")
    assert total / n_bytes == pytest.approx(found["all", "bits_per_byte"].value)
    low, high = found["all", "bits_per_byte"].low, found["all", "bits_per_byte"].high
    assert low < found["all", "bits_per_byte"].value < high


def test_the_stride_of_a_long_text_decides_how_much_context_a_token_has():
    """With a stride of 1, each token is predicted by a pass of its own, with as much context as there is room for."""
    tokenizer = tiny_model().tokenizer
    ids = [tokenizer.eos_id, *tokenizer.encode(LONG)]
    assert len(ids) > 2 * CONTEXT
    total = 0.0
    for end in range(1, len(ids)):
        with torch.no_grad():
            logits = tiny_model()(torch.tensor([ids[max(0, end - CONTEXT) : end]]))[0, -1]
        total -= float(logits.double().log_softmax(0)[ids[end]])
    found = scores({"t": [LONG]}, stride=1)
    assert found["t", "perplexity"].value == pytest.approx(math.exp(total / (len(ids) - 1)), rel=1e-5)
    assert scores({"t": [LONG]}, stride=CONTEXT) != found


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary():
    model = MiniLLM(tiny_model().config).eval()
    model.tokenizer = tiny_model().tokenizer
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    found = scores({"t": [LONG]}, model)
    n_tokens, vocab_size = len(model.tokenizer.encode(LONG)), model.n_ids
    assert found["t", "perplexity"].value == pytest.approx(vocab_size)
    assert found["t", "perplexity"].low == pytest.approx(found["t", "perplexity"].high)
    expected = n_tokens * math.log2(vocab_size) / len(LONG.encode())
    assert found["t", "bits_per_byte"].value == pytest.approx(expected)


def test_an_interval_holds_no_loss_below_0():
    bits, perplexity = texts._of_part("t", [(0.1, 50), (300.0, 50)], 200)
    assert (bits.low, perplexity.low) == (0, 1)
    assert bits.high > bits.value > 0
