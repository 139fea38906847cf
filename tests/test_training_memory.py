"""A device without memory for a step gives a sentence with the number of rows that fit."""

from __future__ import annotations

import pytest
import torch

from minillm_lib.training.config import PretrainConfig
from minillm_lib.training.memory import most_rows_that_fit, out_of_memory_in_words
from minillm_lib.training.parallel import Replica
from minillm_lib.training.run_folder import RunError
from minillm_lib.training.stages import pretrain


@pytest.mark.parametrize(("room", "expected"), [(16, 8), (8, 8), (7, 4), (1, 1), (0, 0)])
def test_halves_are_tried_from_the_largest(room, expected):
    tried = []

    def take(n):
        tried.append(n)
        if n > room:
            raise torch.OutOfMemoryError("no memory")

    assert most_rows_that_fit(take, 16) == expected
    assert tried == [n for n in (8, 4, 2, 1) if n >= max(expected, 1)]


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def take(n):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        most_rows_that_fit(take, 4)


def test_each_case_has_its_words():
    device = torch.device("cuda:0")
    assert "set train.micro_batch_size to 4" in out_of_memory_in_words(device, 16, 512, 4)
    assert "set train.micro_batch_size to 8" in out_of_memory_in_words(device, 16, 512, None)
    assert "not even for one; set train.activation_checkpointing" in out_of_memory_in_words(
        device, 16, 512, 0
    )
    assert "for 1 row of 512 tokens at a time, and not even for one" in out_of_memory_in_words(
        device, 1, 512, None
    )


def test_a_run_without_memory_says_what_fits_and_can_be_resumed_with_it(tmp_path, monkeypatch):
    values = {
        "run": f"{tmp_path}/run",
        "output": f"{tmp_path}/model.pt",
        "model": {"preset": "nano", "vocab_size": 400, "n_layers": 1, "max_seq_len": 32},
        "data": {
            "corpora": [{"name": "grammar", "options": {"language": "en", "n": 60}}],
            "vocab_size": 400,
            "folder": f"{tmp_path}/data",
        },
        "train": {"steps": 2, "batch_size": 8, "micro_batch_size": 8, "warmup_steps": 1, "device": "cpu"},
        "evaluation": {"max_tokens": 500},
    }
    plain = Replica.__call__

    def small(self, batch):
        if len(batch) > 3 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("no memory")
        return plain(self, batch)

    monkeypatch.setattr(Replica, "__call__", small)
    with pytest.raises(
        RunError, match=r"cpu has no memory for 8 rows of 32 tokens at a time, but for 2: set train"
    ):
        pretrain(PretrainConfig.model_validate(values), progress=False)
    values["train"]["micro_batch_size"] = 2
    result = pretrain(PretrainConfig.model_validate(values), resume=True, progress=False)
    assert [record["step"] for record in result.records if record["kind"] == "step"] == [1, 2]
