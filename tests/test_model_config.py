import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode

from minillm_lib.model.config import (
    PRESETS,
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    ModelConfig,
    YarnScaling,
)
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.kv_cache import KVCache


def count_parameters(config):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in MiniLLM(config).parameters())


@st.composite
def configs(draw):
    n_kv_heads = draw(st.integers(1, 3))
    n_heads = n_kv_heads * draw(st.integers(1, 3))
    return ModelConfig(
        vocab_size=draw(st.integers(1, 40)),
        hidden_size=n_heads * draw(st.integers(1, 6)) * 2,
        n_layers=draw(st.integers(1, 3)),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        intermediate_size=draw(st.integers(1, 30)),
        max_seq_len=draw(st.integers(1, 30)),
        positions=draw(st.sampled_from(["rope", "learned"])),
        norm=draw(st.sampled_from(["rms", "layer"])),
        feed_forward=draw(st.sampled_from(["swiglu", "gelu"])),
        qk_norm=draw(st.booleans()),
        attention_bias=draw(st.booleans()),
        mlp_bias=draw(st.booleans()),
        tied_embeddings=draw(st.booleans()),
        **({"head_dim": 2 * draw(st.integers(1, 5))} if draw(st.booleans()) else {}),
    )


@given(configs())
@settings(max_examples=60, deadline=None)
def test_parameter_formula_counts_what_the_model_holds(config):
    assert config.n_parameters == count_parameters(config)


@pytest.mark.parametrize(
    ("preset", "least", "most"),
    [
        ("nano", 0, 1_000_000),
        ("tiny", 2_000_000, 3_000_000),
        ("26m", 25_829_888, 25_829_888),
        ("104m", 103_500_000, 104_500_000),
        ("26m-classic", 0.99 * 25_829_888, 1.01 * 25_829_888),
    ],
)
def test_presets_have_the_size_in_their_name(preset, least, most):
    config = ModelConfig.from_preset(preset)
    assert least <= config.n_parameters <= most
    assert config.n_parameters == count_parameters(config)


def test_every_preset_is_tested():
    assert set(PRESETS) == {"nano", "tiny", "26m", "104m", "26m-classic"}


def test_cache_formula_counts_what_a_cache_allocates():
    config = ModelConfig.from_preset("nano", n_kv_heads=1)
    cache = KVCache(config, batch_size=3, max_len=50, dtype=torch.float16)
    assert cache.nbytes == config.kv_cache_bytes(3, 50) == config.kv_cache_bytes(3, 50, bytes_per_value=2)
    classic = ModelConfig.from_preset("26m-classic")
    assert classic.kv_cache_bytes(1, 512) == 4 * ModelConfig.from_preset("26m").kv_cache_bytes(1, 512)


@pytest.mark.parametrize("preset", ["26m", "26m-classic"])
def test_flops_formula_counts_what_a_step_multiplies(preset):
    config, seq = ModelConfig.from_preset(preset), 512
    with torch.device("meta"):
        model, tokens = MiniLLM(config), torch.zeros(1, seq, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(tokens).sum().backward()
    assert counter.get_total_flops() == seq * config.flops_per_token(seq)
    assert 3 * config.flops_per_token(seq, training=False) == config.flops_per_token(seq)


def test_configuration_does_not_import_torch():
    script = "import sys, minillm_lib.model.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"vocab_sise": 5}, ["vocab_sise", "5", "did you mean 'vocab_size'", "hidden_size"]),
        ({"n_heads": 0}, ["n_heads", "0", "greater than 0"]),
        ({"n_heads": 7}, ["hidden_size=512", "n_heads=7"]),
        ({"n_kv_heads": 3}, ["n_kv_heads=3", "n_heads=8", "[1, 2, 4, 8]"]),
        ({"head_dim": 63}, ["head_dim=63", "even"]),
        ({"norm": "batch"}, ["norm", "batch", "'rms' or 'layer'"]),
        ({"dropout": 1.0}, ["dropout", "1.0", "less than 1"]),
        ({"norm_eps": float("nan")}, ["norm_eps", "nan"]),
        ({"rope_scaling": {"rope_type": "longrope"}}, ["rope_scaling", "longrope", "'yarn', 'llama3'"]),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 0.5}},
            ["factor", "0.5", "greater than or equal to 1"],
        ),
        ({"rope_scaling": {"rope_type": "linear", "faktor": 2}}, ["faktor", "did you mean 'factor'"]),
        (
            {"rope_scaling": {"rope_type": "llama3", "factor": 2, "low_freq_factor": 4}},
            ["high_freq_factor=4", "low_freq_factor=4"],
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 9}},
            ["beta_fast=1", "beta_slow=9"],
        ),
        (
            {"rope_scaling": {"rope_type": "linear", "factor": 2}, "positions": "learned"},
            ["rope_scaling='linear'", "positions='learned'"],
        ),
        (
            {"rope_scaling": {"rope_type": "dynamic", "factor": 2}, "head_dim": 2},
            ["head_dim=2", "dynamic"],
        ),
    ],
)
def test_errors_name_the_key_the_value_and_what_is_allowed(values, named):
    with pytest.raises(ValidationError) as error:
        ModelConfig(**values)
    assert [part for part in named if part not in str(error.value)] == []


def test_unknown_preset_lists_the_presets():
    with pytest.raises(ValueError, match=r"'27m'.* nano, tiny, 26m, 104m, 26m-classic"):
        ModelConfig.from_preset("27m")


def test_configuration_is_frozen_and_derived_defaults_follow_a_change():
    config = ModelConfig.from_preset("26m")
    with pytest.raises(ValidationError):
        config.n_layers = 3
    assert config.replace(hidden_size=256).head_dim == 32
    assert config.replace(head_dim=48).replace(hidden_size=256).head_dim == 48
    with pytest.raises(ValidationError):
        config.replace(hidden_size=100)


def test_configuration_survives_json():
    config = ModelConfig(rope_scaling=YarnScaling(factor=4), qk_norm=True)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_scaling_remembers_the_trained_length():
    trained = ModelConfig.from_preset("26m", max_seq_len=512)
    assert trained.with_rope_scaling(LinearScaling(factor=4)).max_seq_len == 2048
    for scaling in (YarnScaling(factor=4), Llama3Scaling(factor=4), {"rope_type": "yarn", "factor": 4}):
        scaled = trained.with_rope_scaling(scaling)
        assert (scaled.max_seq_len, scaled.context_length) == (2048, 2048)
        assert scaled.rope_scaling.original_max_position_embeddings == 512
    dynamic = trained.with_rope_scaling(DynamicScaling(factor=4))
    assert (dynamic.max_seq_len, dynamic.context_length) == (512, 2048)
    again = trained.with_rope_scaling(YarnScaling(factor=4)).with_rope_scaling(DynamicScaling(factor=2))
    assert (again.max_seq_len, again.context_length) == (512, 1024)
