import pytest
import torch
from hugging_face_reference import SCALINGS, small_config
from hypothesis import given, settings, strategies as st
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from minillm_lib.model.hugging_face import to_hugging_face
from minillm_lib.model.rope import (
    RotaryEmbedding,
    attention_factor,
    dynamic_frequencies,
    inverse_frequencies,
    rotate,
    to_halves,
    to_interleaved,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def turned(x, positions, config):
    return rotate(x, *RotaryEmbedding(config)(positions))


@given(seed=st.integers(0, 2**31), half=st.integers(1, 24), seq=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_rotation_is_multiplication_of_complex_numbers(seed, half, seq):
    torch.manual_seed(seed)
    config = small_config(head_dim=2 * half)
    x, positions = torch.randn(2, 3, seq, 2 * half), torch.randint(0, 500, (2, seq))
    as_complex = torch.complex(x[..., :half].double(), x[..., half:].double())
    powers = torch.arange(half, dtype=torch.float64) * 2 / (2 * half)
    angles = positions[:, None, :, None] * config.rope_theta**-powers
    expected = as_complex * torch.polar(torch.ones_like(angles), angles)
    output = turned(x, positions, config)
    torch.testing.assert_close(
        output, torch.cat([expected.real, expected.imag], dim=-1).float(), atol=1e-3, rtol=0
    )


@given(seed=st.integers(0, 2**31), i=st.integers(0, 200), j=st.integers(0, 200), shift=st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_scores_depend_on_the_distance_only(seed, i, j, shift):
    torch.manual_seed(seed)
    config = small_config(head_dim=32)
    query, key = torch.randn(1, 1, 1, 32), torch.randn(1, 1, 1, 32)

    def score(query_position, key_position):
        at_query = turned(query, torch.tensor([[query_position]]), config)
        return (at_query * turned(key, torch.tensor([[key_position]]), config)).sum()

    torch.testing.assert_close(score(i, j), score(i + shift, j + shift), atol=2e-3, rtol=0)


def test_position_zero_turns_nothing_and_no_position_changes_a_length():
    config = small_config(head_dim=16)
    x = torch.randn(1, 2, 40, 16)
    positions = torch.arange(40)[None]
    output = turned(x, positions, config)
    torch.testing.assert_close(output[:, :, 0], x[:, :, 0])
    torch.testing.assert_close(output.norm(dim=-1), x.norm(dim=-1))


def test_interleaved_weights_with_interleaved_rotation_give_the_same_scores():
    n_heads, dim, hidden, seq = 3, 8, 20, 11
    config = small_config(head_dim=dim)
    weight, bias, x = torch.randn(n_heads * dim, hidden), torch.randn(n_heads * dim), torch.randn(seq, hidden)
    halves = (x @ weight.T + bias).view(seq, n_heads, dim).transpose(0, 1)[None]
    pairs = x @ to_interleaved(weight, n_heads).T + to_interleaved(bias, n_heads)
    pairs = torch.view_as_complex(pairs.view(seq, n_heads, dim // 2, 2).transpose(0, 1).contiguous())
    angles = torch.arange(seq)[:, None] * RotaryEmbedding(config).frequencies
    pairs = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)
    output = turned(halves, torch.arange(seq)[None], config)[0]
    torch.testing.assert_close(output @ output.mT, pairs @ pairs.mT, atol=1e-3, rtol=1e-4)


@given(n_heads=st.integers(1, 4), half=st.integers(1, 6), hidden=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_the_two_conventions_convert_into_each_other(n_heads, half, hidden):
    weight = torch.randn(n_heads * 2 * half, hidden)
    torch.testing.assert_close(to_halves(to_interleaved(weight, n_heads), n_heads), weight)
    torch.testing.assert_close(to_interleaved(to_halves(weight[:, 0], n_heads), n_heads), weight[:, 0])


theirs_by_kind = st.one_of(
    st.fixed_dictionaries({"rope_type": st.just("linear"), "factor": st.floats(1, 40)}),
    st.fixed_dictionaries({"rope_type": st.just("dynamic"), "factor": st.floats(1, 40)}),
    st.fixed_dictionaries(
        {
            "rope_type": st.just("yarn"),
            "factor": st.floats(1, 40),
            "original_max_position_embeddings": st.integers(8, 8192),
        },
        optional={
            "beta_fast": st.floats(20, 50),
            "beta_slow": st.floats(0.5, 4),
            "truncate": st.booleans(),
            "attention_factor": st.floats(0.5, 2),
            "mscale": st.floats(0.1, 2),
            "mscale_all_dim": st.floats(0.1, 2),
        },
    ),
    st.fixed_dictionaries(
        {
            "rope_type": st.just("llama3"),
            "factor": st.floats(1, 40),
            "low_freq_factor": st.floats(0.5, 2),
            "high_freq_factor": st.floats(3, 8),
            "original_max_position_embeddings": st.integers(8, 8192),
        }
    ),
)


@given(
    scaling=theirs_by_kind,
    theta=st.floats(100, 1e6),
    half=st.integers(2, 64),
    seq_len=st.integers(1, 4000),
)
@settings(max_examples=200, deadline=None)
def test_frequencies_are_those_of_transformers(scaling, theta, half, seq_len):
    config = small_config(
        hidden_size=8 * half, head_dim=2 * half, rope_theta=theta, rope_scaling=scaling, max_seq_len=256
    )
    theirs = LlamaConfig(**to_hugging_face(config))
    expected, factor = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](theirs, "cpu", seq_len=seq_len)
    ours = inverse_frequencies(config)
    if scaling["rope_type"] == "dynamic":
        ours = dynamic_frequencies(config, torch.tensor([[seq_len]]))[0]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-9)
    assert attention_factor(config) == pytest.approx(factor)


def test_dynamic_base_follows_each_row_by_itself():
    config = small_config(rope_scaling=SCALINGS["dynamic"], max_seq_len=32)
    rotary = RotaryEmbedding(config)
    positions = torch.stack([torch.arange(40, 80), torch.arange(40)])
    together = torch.stack(rotary(positions))
    for row in range(2):
        torch.testing.assert_close(together[:, row], torch.stack(rotary(positions[row : row + 1]))[:, 0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_angles_stay_exact_in_a_half_precision_model(dtype):
    config = small_config()
    rotary = RotaryEmbedding(config).to(dtype)
    assert rotary.frequencies.dtype == torch.float32
    torch.testing.assert_close(rotary.frequencies, inverse_frequencies(config), rtol=0, atol=0)
    x = torch.randn(1, 1, 1, config.head_dim, dtype=dtype)
    assert rotate(x, *rotary(torch.tensor([[4001]]))).dtype == dtype
