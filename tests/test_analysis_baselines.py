"""What counting achieves on the text of a run: found by its size, equal to n-gram models, or left out."""

from __future__ import annotations

import numpy as np
import pytest
from recorded_run import recorded_run, write_run

from minillm_lib.analysis.baselines import baselines_of_run, count_baselines
from minillm_lib.model.ngram import NGramModel
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.run import RunResult
from minillm_lib.training.token_file import pack

SEQ_LEN = 16


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Training and held-out text, each word of which decides the next."""
    folder = tmp_path_factory.mktemp("data") / "cycle"
    texts = ["one two three four five six seven eight " * 4] * 20
    tokenizer = Tokenizer.train(texts, vocab_size=320)
    return tuple(
        pack(texts[:n], tokenizer, folder / f"{split}.tokens", progress=False)
        for split, n in (("train", 20), ("validation", 3))
    )


def run_on(train, tmp_path, **changes):
    """A run that names the folder of ``train`` and has read as many tokens as it holds."""
    records = recorded_run(20)
    records[0]["tokens_per_epoch"] = (len(train.tokens) - 1) // SEQ_LEN * SEQ_LEN + changes.pop("more", 0)
    records[0]["stage"] = changes.pop("stage", "pretrain")
    config = {"data": {"folder": str(train.path.parents[1])}, "train": {"seq_len": SEQ_LEN}, **changes}
    return RunResult.of(write_run(tmp_path / "run", records, config))


def test_they_are_the_losses_of_ngram_models_on_held_out_text(files):
    train, held_out = files
    losses = count_baselines(train, held_out)
    for order, name in ((1, "unigram"), (2, "bigram")):
        model = NGramModel(order, train.vocab_size).fit(np.asarray(train.tokens))
        assert losses[name] == pytest.approx(model.loss(np.asarray(held_out.tokens)))
    assert losses["bigram"] < 0.5 < losses["unigram"]  # each word decides the next


def test_a_run_finds_its_text(files, tmp_path):
    assert baselines_of_run(run_on(files[0], tmp_path)) == count_baselines(*files)


def test_other_text_another_stage_and_no_text_have_none(files, tmp_path):
    assert baselines_of_run(run_on(files[0], tmp_path, more=SEQ_LEN)) == {}
    assert baselines_of_run(run_on(files[0], tmp_path, stage="sft")) == {}
    assert baselines_of_run(run_on(files[0], tmp_path, data={"folder": str(tmp_path)})) == {}
    assert baselines_of_run(RunResult.of(recorded_run(20))) == {}


def test_a_damaged_token_file_is_passed_over(files, tmp_path):
    copy = tmp_path / "data" / "damaged"
    copy.mkdir(parents=True)
    (copy / "train.tokens").write_bytes(files[0].path.read_bytes()[:2000])
    assert baselines_of_run(run_on(files[0], tmp_path, data={"folder": str(tmp_path / "data")})) == {}
