"""The two runs as a notebook calls them; what they compute is in test_training_loop.py."""

from __future__ import annotations

import json
import re
import threading

import numpy as np
import pytest
import yaml
from quick_runs import quick_pretraining, quick_sft, write_conversations, write_documents

import minillm_lib
from minillm_lib.training.config import ConfigError, PretrainConfig
from minillm_lib.training.overrides import load_config, with_overrides
from minillm_lib.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("known_speed")


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("text") / "documents.jsonl")


def test_from_a_file_and_from_python(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=2)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.as_json()))
    first = minillm_lib.pretrain(path, progress=False)
    second = minillm_lib.pretrain(str(path), overwrite=True, progress=False)
    third = minillm_lib.pretrain(config, overwrite=True, progress=False)
    for other in (second, third):
        np.testing.assert_array_equal(other.series("loss"), first.series("loss"))
    assert first.folder == config.run
    assert RunFolder(config.run).config() == config.as_json()


def test_the_result_is_a_model_for_use(tmp_path, documents):
    result = minillm_lib.pretrain(quick_pretraining(tmp_path, documents, steps=2), progress=False)
    tuned = minillm_lib.sft(
        quick_sft(tmp_path, result.output, write_conversations(tmp_path / "a.jsonl"), "chat", steps=2),
        progress=False,
    )
    for each in (result, tuned):
        assert isinstance(each, minillm_lib.RunResult)
        assert each.is_finished
        assert isinstance(each.load_model().chat("the word", max_new_tokens=3, seed=0), str)
        steps, losses = each.series("loss", "evaluation")
        assert each.best["loss"] == min(losses)
        assert each.best["step"] == steps[losses.argmin()]


def test_a_run_may_be_in_a_thread(tmp_path, documents):
    """As in a notebook that stays usable meanwhile; signals are then left alone."""
    results = []
    config = quick_pretraining(tmp_path, documents, steps=2)
    thread = threading.Thread(target=lambda: results.append(minillm_lib.pretrain(config, progress=False)))
    thread.start()
    thread.join()
    assert results[0].is_finished


def test_an_output_may_be_a_folder_that_transformers_opens(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=2).replace(output=tmp_path / "model")
    minillm_lib.pretrain(config, progress=False)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in config.output.iterdir()
    }
    again = minillm_lib.pretrain(config, overwrite=True, progress=False)
    assert again.load_model().tokenizer is not None, "a model may be replaced by a model"


def test_attention_can_be_kept_within_each_document(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=6)
    masked = config.replace(data={**config.as_json()["data"], "document_mask": True}, run=tmp_path / "masked")
    losses = [minillm_lib.pretrain(each, progress=False).series("loss")[1] for each in (config, masked)]
    assert (losses[0] != losses[1]).any()
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_pretraining_goes_on_from_a_checkpoint_with_its_tokenizer(tmp_path, documents):
    first = minillm_lib.pretrain(quick_pretraining(tmp_path, documents, steps=8), progress=False)
    more = quick_pretraining(tmp_path, documents, "more", steps=2).replace(ckpt=first.output)
    second = minillm_lib.pretrain(more, progress=False)
    assert second.series("loss", "evaluation")[1][0] == pytest.approx(first.best["loss"], abs=1e-3)
    assert second.load_model().tokenizer.sha256 == first.load_model().tokenizer.sha256


def test_a_longer_context_changes_no_weight(tmp_path, documents):
    first = minillm_lib.pretrain(quick_pretraining(tmp_path, documents, steps=2), progress=False)
    values = quick_pretraining(tmp_path, documents, "long", steps=2).as_json()
    values["model"] |= {
        "max_seq_len": 64,
        "rope_scaling": {"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 32},
    }
    values["ckpt"] = str(first.output)
    longer = minillm_lib.pretrain(minillm_lib.PretrainConfig.model_validate(values), progress=False)
    assert longer.load_model().config.context_length == 64


def test_keys_are_changed_from_python_by_section_or_with_dots(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=9)
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config.as_json()))
    for number, given in enumerate((config, path, str(path))):
        options = {"run": tmp_path / str(number), "train": {"steps": 1}, "evaluation.every": 1}
        result = minillm_lib.pretrain(given, progress=False, **options)
        assert result.config["train"]["steps"] == 1
        assert result.config["train"]["batch_size"] == config.train.batch_size
        assert result.config["evaluation"] == {**config.as_json()["evaluation"], "every": 1}
    short = minillm_lib.pretrain(
        path, progress=False, **{"run": tmp_path / "s", "train.steps": 1, "train.lr": 1e-9}
    )
    assert short.config["train"]["optimizer"]["lr"] == 1e-9
    for wrong, message in (
        ({"train": {"step": 1}}, "Did you mean --train.steps"),
        ({"train.steps": 0}, "greater"),
    ):
        with pytest.raises(ValueError, match=message):
            minillm_lib.pretrain(path, progress=False, **wrong)


def without_vocab_size(tmp_path, documents, run="run", **data):
    values = quick_pretraining(tmp_path, documents, run, steps=2).as_json()
    del values["model"]["vocab_size"]
    values["data"] = {**values["data"], "vocab_size": None, **data}
    return minillm_lib.PretrainConfig.model_validate(values)


@pytest.mark.parametrize("size", [None, 310])
def test_a_model_takes_the_size_of_its_tokenizer_and_resumes_with_it(tmp_path, documents, size):
    config = without_vocab_size(tmp_path, documents, vocab_size=size)
    result = minillm_lib.pretrain(config, progress=False)
    model = result.load_model()
    assert model.config.vocab_size == model.tokenizer.vocab_size
    assert model.tokenizer.vocab_size == size or 264 < model.tokenizer.vocab_size < 6400
    assert result.config["model"]["vocab_size"] == model.config.vocab_size
    assert model.stage == "pretrain"
    longer = config.replace(train={**config.train.model_dump(exclude_unset=True), "steps": 4})
    assert minillm_lib.pretrain(longer, resume=True, progress=False).is_finished
    more = without_vocab_size(tmp_path, documents, "more").replace(ckpt=result.output)
    assert (
        minillm_lib.pretrain(more, progress=False).load_model().config.vocab_size == model.config.vocab_size
    )


def test_a_larger_model_is_made_only_if_that_is_asked_for(tmp_path, documents):
    config = without_vocab_size(tmp_path, documents, vocab_size=310)
    padded = config.replace(model={**config.model.model_dump(exclude_unset=True), "vocab_size": 384})
    model = minillm_lib.pretrain(padded, progress=False).load_model()
    assert (model.config.vocab_size, model.n_ids) == (384, 310)
    assert all(
        id < 310 for each in model.generate([""] * 4, max_new_tokens=20, temperature=3) for id in each.ids
    )
    small = config.replace(model={**config.model.model_dump(exclude_unset=True), "vocab_size": 306})
    with pytest.raises(
        ValueError, match=r"data.vocab_size=310 does not fit model.vocab_size=306.*leave model.vocab_"
    ):
        minillm_lib.pretrain(small, progress=False, overwrite=True)


def test_a_run_that_resumes_with_more_steps_keeps_its_schedule(tmp_path, documents, capsys):
    config = quick_pretraining(tmp_path, documents, steps=6)
    minillm_lib.pretrain(config, progress=False)
    longer = quick_pretraining(tmp_path, documents, steps=10)
    minillm_lib.pretrain(longer, resume=True)
    assert "keeps the schedule that the run began with, of 6 steps" in capsys.readouterr().out
    rates = RunFolder(config.run).records("step")
    rates = [record["lr"] for record in rates]
    assert rates[6:] == [rates[5]] * 4
    further = quick_pretraining(tmp_path, documents, steps=12)
    result = minillm_lib.pretrain(further, resume=True, progress=False)
    assert result.series("lr")[1].tolist()[6:] == pytest.approx([rates[5]] * 6), "also the second time"
    stretched = quick_pretraining(tmp_path, documents, steps=14)
    values = stretched.as_json()
    values["train"]["schedule"]["steps"] = 14
    result = minillm_lib.pretrain(type(config).model_validate(values), resume=True, progress=False)
    assert result.series("lr")[1][12] > rates[5], "unless another one is asked for"


def test_more_steps_at_a_rate_of_zero_are_refused_and_what_is_advised_is_possible(tmp_path, documents):
    config = quick_pretraining(tmp_path, documents, steps=3)
    begun = with_overrides(config, {"train.schedule.final_share": 0.0})
    minillm_lib.pretrain(begun, progress=False)
    own_config = config.run / "config.yaml"
    for before, steps in ((3, 5), (5, 7)):  # the second time, its own configuration has train.schedule.steps
        longer = load_config(PretrainConfig, own_config, {"train.steps": steps})
        with pytest.raises(
            ValueError, match=f"falls to 0 by step {before}, and train.steps is {steps}"
        ) as raised:
            minillm_lib.pretrain(longer, resume=True, progress=False)
        advised = dict(re.findall(r"(train\.[\w.]+) to ([\d.]+)", str(raised.value)))
        named = set(re.findall(r"train\.[\w.]*\w", str(raised.value)))
        assert named == {"train.steps", *advised} == {"train.steps", "train.schedule.steps"}
        for key, value in advised.items():
            followed = with_overrides(longer, {key: value})
            result = minillm_lib.pretrain(followed, resume=True, progress=False)
            assert result.is_finished
            assert result.series("lr")[1][before] > 0


def test_a_run_that_was_to_end_at_a_rate_of_zero_resumes(tmp_path, documents):
    schedule = {"steps": 2, "final_share": 0.0, "warmup_steps": 1}
    values = quick_pretraining(tmp_path, documents, steps=4).as_json()
    values["train"]["schedule"] = schedule
    config = PretrainConfig.model_validate(values)
    minillm_lib.pretrain(config, progress=False)
    assert minillm_lib.pretrain(config, resume=True, progress=False).is_finished


@pytest.mark.parametrize("n_questions", [1, 2])
def test_a_model_that_has_seen_no_second_question_starts_afresh_in_chat(tmp_path, documents, n_questions):
    first = minillm_lib.pretrain(quick_pretraining(tmp_path, documents, steps=1), progress=False)
    talk = write_conversations(tmp_path / "talk.jsonl")
    lines = [json.loads(line) for line in talk.read_text().splitlines()]
    lines = [{"conversations": each["conversations"] * n_questions} for each in lines]
    talk.write_text("\n".join(map(json.dumps, lines)))
    result = minillm_lib.sft(quick_sft(tmp_path, first.output, talk, "chat", steps=1), progress=False)
    assert result.load_model().stage == "sft"
    assert result.load_model().chat_defaults.fresh == (n_questions == 1)


def test_dropout_can_be_set_for_fine_tuning(tmp_path, documents):
    minillm_lib.pretrain(quick_pretraining(tmp_path, documents, steps=1), progress=False)
    conversations = write_conversations(tmp_path / "talk.jsonl")
    losses = {}
    for dropout in (None, 0.0, 0.5):
        config = quick_sft(tmp_path, tmp_path / "run.pt", conversations, f"sft-{dropout}", steps=1)
        result = minillm_lib.sft(config, progress=False, dropout=dropout)
        losses[dropout] = result.series("loss")[1][0]
        assert result.load_model().config.dropout == (0.1 if dropout is None else dropout)
    assert len(set(losses.values())) == 3
    with pytest.raises(ConfigError, match="dropout"):
        minillm_lib.sft(quick_sft(tmp_path, tmp_path / "run.pt", conversations, "sft"), dropout=1.0)
