"""The two runs as a notebook calls them; what they compute is in test_training_loop.py."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import yaml
from quick_runs import quick_pretraining, quick_sft, write_conversations, write_documents

import minillm_lib
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
