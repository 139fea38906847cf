"""What pydantic refuses is said in words for people, whatever the key and the value."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError
from quick_runs import MODEL

from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.io.refusals import refusal_in_words
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.minimind import load_minimind
from minillm_lib.model.stored_values import CheckpointError
from minillm_lib.training.config import PretrainConfig, SFTConfig
from minillm_lib.training.overrides import describe_keys, in_one_line

INTERNALS = re.compile(
    r"[Pp]ydantic|<class|instance of|tuple|dictionary|discriminator|\btags?\b|factory|Field required|\[type="
)
BAD = (None, 5, "", [1], {}, {"rope_type": "x"})


@pytest.mark.parametrize("kind", [PretrainConfig, SFTConfig])
def test_no_key_of_a_configuration_answers_in_terms_of_the_library(kind):
    keys = {each.key for each in describe_keys(kind) if "[]" not in each.key}
    sections = {key.rpartition(".")[0] for key in keys} - {""}
    n_refused = 0
    for key in sorted(keys | sections):
        for bad in BAD:
            values = bad
            for part in reversed(key.split(".")):
                values = {part: values}
            try:
                kind.model_validate(values)
            except ValidationError as error:
                n_refused += 1
                said = in_one_line(error)
                assert not INTERNALS.search(said), said
                assert key.rpartition(".")[0] in said
    assert n_refused > len(keys)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": "x"}, "hidden_size is 'x': Input should be a valid integer"),
        ({"n_heads": 0}, "n_heads is 0: Input should be greater than 0"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_scaling.yarn.factor is missing"),
        (
            {"rope_scaling": {}},
            "rope_scaling is {}: Input should have the key 'rope_type', which says of which kind",
        ),
        (
            {"rope_scaling": {"rope_type": "x"}},
            "rope_scaling is {'rope_type': 'x'}: 'rope_type' should be one of 'linear', 'dynamic', 'yarn', 'llama3'",
        ),
        ({"rope_scaling": 5}, "rope_scaling is 5: Input should be keys with values"),
    ],
)
def test_what_is_wrong_and_what_is_allowed_is_all_that_is_said(values, message):
    with pytest.raises(ValidationError) as caught:
        ModelConfig.model_validate(values)
    said = refusal_in_words(caught.value)
    assert said.startswith(message)
    assert "head_dim" not in said


def test_a_value_in_a_list_and_its_meaning():
    with pytest.raises(ValidationError) as caught:
        PretrainConfig.model_validate({"data": {"corpora": [{}]}})
    assert re.fullmatch(
        r"data\.corpora\.0\.name is missing \(data\.corpora\[\]\.name: Its name, .*\)",
        in_one_line(caught.value, PretrainConfig),
    )
    with pytest.raises(ValidationError) as caught:
        SamplingConfig.model_validate({"stop": 3})
    assert refusal_in_words(caught.value) == "stop is 3: Input should be a list"


def test_overrides_of_a_checkpoint_are_refused_in_one_line(tmp_path):
    MiniLLM(ModelConfig.model_validate(MODEL)).save(tmp_path / "model")
    with pytest.raises(
        CheckpointError, match=r"safetensors: rope_theta is 0: Input should be greater than 1$"
    ):
        load_minimind(tmp_path / "model", rope_theta=0)
