from __future__ import annotations

import pytest
import torch
from quick_runs import MODEL, WORDS, quick_pretraining

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.config import TrainConfig
from minillm_lib.training.evaluation import HeldOut
from minillm_lib.training.parallel import Processes, Replica
from minillm_lib.training.precision import Precision
from minillm_lib.training.rows import TokenWindows
from minillm_lib.training.token_file import pack

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def held_out(tmp_path):
    tokenizer = Tokenizer.train([WORDS] * 20, vocab_size=320)
    model = MiniLLM(ModelConfig.model_validate(MODEL))
    model.tokenizer = tokenizer
    files = {
        name: pack([WORDS] * n, tokenizer, tmp_path / name, progress=False)
        for name, n in (("a", 3), ("b", 40))
    }
    sources = {name: TokenWindows(file, 32) for name, file in files.items()}
    config = quick_pretraining(tmp_path, tmp_path / "unused")
    precision = Precision("float32", torch.device("cpu"))
    return HeldOut(
        sources, Replica(model, TrainConfig(), ALONE, None), tokenizer, config, ALONE, precision, 4
    )


def test_looking_changes_nothing(held_out):
    """Dropout is off while the loss is taken and on again after it, and the draws that training makes stay its own."""
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first = list(held_out.records(5, 640))
    assert torch.equal(torch.rand(4), expected)
    assert held_out.replica.model.training
    assert list(held_out.records(5, 640)) == first, "the same weights, the same loss and the same samples"
    assert [record["kind"] for record in first] == ["evaluation", "sample"]
    assert (first[0]["step"], first[0]["tokens"]) == (5, 640)


def test_each_token_counts_once_in_the_whole(held_out):
    record = next(held_out.records(0, 0))
    parts = record["by_source"]
    assert record["n_tokens"] == parts["a"]["n_tokens"] + parts["b"]["n_tokens"]
    weighted = sum(part["loss"] * part["n_tokens"] for part in parts.values()) / record["n_tokens"]
    assert record["loss"] == pytest.approx(weighted, rel=1e-9)


def test_no_more_tokens_are_looked_at_than_configured(held_out):
    assert held_out.config.evaluation.max_tokens == 256
    parts = next(held_out.records(0, 0))["by_source"]
    assert parts["b"]["n_tokens"] == 256
    assert parts["a"]["n_tokens"] == 32 * len(held_out.sources["a"]) < 256
