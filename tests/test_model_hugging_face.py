import pytest
import torch
from hugging_face_reference import SCALINGS, small_config
from transformers import AutoConfig, LlamaConfig

from minillm_lib.model.config import PRESETS, ModelConfig
from minillm_lib.model.hugging_face import from_hugging_face, model_type, to_hugging_face


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("qk_norm", [True, False])
def test_a_configuration_survives_the_round_trip_through_transformers(scaling, qk_norm):
    config = small_config(
        rope_scaling=SCALINGS[scaling], qk_norm=qk_norm, head_dim=20, rope_theta=5e5, attention_bias=True
    )
    ours = to_hugging_face(config)
    theirs = AutoConfig.for_model(**ours).to_dict()
    assert theirs["rope_parameters"]["rope_theta"] == 5e5
    for values in (ours, theirs):
        back = from_hugging_face(values)
        assert back.replace(rope_scaling=None) == config.replace(rope_scaling=None)
        assert back.rope_scaling == config.rope_scaling


def test_architectures_are_named_only_where_they_compute_the_same():
    assert model_type(ModelConfig()) == "llama"
    assert model_type(ModelConfig(mlp_bias=True, attention_bias=True)) == "llama"
    assert model_type(ModelConfig(qk_norm=True)) == "qwen3"
    assert model_type(ModelConfig(qk_norm=True, mlp_bias=True)) == "minillm"
    for key, value in (("norm", "layer"), ("feed_forward", "gelu"), ("positions", "learned")):
        assert model_type(ModelConfig(**{key: value})) == "minillm"


def test_the_own_type_is_refused_by_transformers_and_read_here():
    values = to_hugging_face(ModelConfig.model_validate(PRESETS["26m-classic"]))
    with pytest.raises(ValueError, match="minillm"):
        AutoConfig.for_model(**values)
    assert from_hugging_face(values) == ModelConfig.from_preset("26m-classic")


LLAMA = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}


def test_what_is_not_said_is_as_in_transformers():
    config, theirs = from_hugging_face(LLAMA), LlamaConfig(**LLAMA)
    assert config.n_kv_heads == theirs.num_key_value_heads == 4
    assert config.head_dim == theirs.head_dim
    assert config.max_seq_len == theirs.max_position_embeddings
    assert config.norm_eps == theirs.rms_norm_eps
    assert config.tied_embeddings == theirs.tie_word_embeddings is False
    assert config.rope_theta == theirs.rope_parameters["rope_theta"]


@pytest.mark.parametrize(
    "layout",
    [
        {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0}},
        {"rope_theta": 1.0, "rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0}},
    ],
)
def test_both_layouts_of_rotary_parameters_are_read(layout):
    config = from_hugging_face({**LLAMA, **layout})
    assert (config.rope_theta, config.rope_scaling.rope_type, config.rope_scaling.factor) == (
        5e5,
        "linear",
        2.0,
    )
    assert LlamaConfig(**{**LLAMA, **layout}).rope_parameters["factor"] == 2.0


def test_the_original_length_may_stand_outside_as_transformers_allows():
    scaling = {"rope_type": "yarn", "factor": 2.0}
    config = from_hugging_face({**LLAMA, "rope_scaling": scaling, "original_max_position_embeddings": 77})
    assert config.rope_scaling.original_max_position_embeddings == 77


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2'.*'llama', 'qwen2', 'qwen3', 'minimind', 'minillm'"),
        ({"hidden_size": None, "vocab_size": None}, "missing vocab_size, hidden_size"),
        ({"model_type": "qwen3"}, "missing num_key_value_heads, head_dim"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2}}, "longrope"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_key_value_heads": 3}, "n_kv_heads=3"),
    ],
)
def test_what_would_be_computed_differently_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        from_hugging_face({**LLAMA, **change})


def test_values_are_plain_json():
    values = to_hugging_face(small_config(rope_scaling=SCALINGS["yarn"]))
    assert not any(isinstance(value, torch.Tensor | ModelConfig) for value in values.values())
    assert isinstance(values["rope_scaling"], dict)
