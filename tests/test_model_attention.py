import math

import pytest
import torch
from hugging_face_reference import small_config
from hypothesis import given, settings, strategies as st

from minillm_lib.model.attention import (
    GroupedQueryAttention,
    attend,
    attend_in_blocks,
    attend_in_parts,
    causal_mask,
)
from minillm_lib.model.rope import RotaryEmbedding


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def naive_attention(query, key, value, visible):
    """Softmax over the visible keys, one query head at a time, each with its own copy of the shared keys."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = scores.masked_fill(~visible, -math.inf).exp()
    return weights / weights.sum(-1, keepdim=True) @ value


def lower_triangle(past, seq):
    return torch.ones(past + seq, past + seq, dtype=torch.bool).tril()[past:]


@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    n_kv_heads=st.integers(1, 3),
    group=st.integers(1, 4),
    head_dim=st.integers(1, 20),
    past=st.integers(0, 9),
    seq=st.integers(1, 9),
)
@settings(max_examples=80, deadline=None)
def test_attention_is_the_naive_softmax(seed, batch, n_kv_heads, group, head_dim, past, seq):
    torch.manual_seed(seed)
    query = torch.randn(batch, n_kv_heads * group, seq, head_dim)
    key, value = torch.randn(2, batch, n_kv_heads, past + seq, head_dim)
    mask = causal_mask(past, seq, None, query.device)
    expected = naive_attention(query, key, value, lower_triangle(past, seq))
    torch.testing.assert_close(attend(query, key, value, mask), expected, atol=1e-5, rtol=1e-4)


@given(seed=st.integers(0, 2**31), past=st.integers(0, 6), seq=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_padding_is_never_attended_to(seed, past, seq):
    torch.manual_seed(seed)
    is_token = torch.rand(3, past + seq) < 0.6
    query, (key, value) = torch.randn(3, 4, seq, 8), torch.randn(2, 3, 2, past + seq, 8)
    output = attend(query, key, value, causal_mask(past, seq, is_token, query.device))
    visible = lower_triangle(past, seq) & is_token[:, None, None, :]
    expected = naive_attention(query, key, value, visible)
    real = is_token[:, None, past:, None].expand_as(output)
    assert torch.isfinite(output).all()
    torch.testing.assert_close(output[real], expected[real], atol=1e-5, rtol=1e-4)


@given(
    seed=st.integers(0, 2**31),
    n_kv_heads=st.integers(1, 3),
    group=st.integers(1, 3),
    seq=st.sampled_from([1, 2, 127, 128, 129, 300]),
    is_packed=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_in_blocks_attention_and_its_gradients_are_the_same(seed, n_kv_heads, group, seq, is_packed):
    torch.manual_seed(seed)
    query = torch.randn(2, n_kv_heads * group, seq, 5, dtype=torch.float64, requires_grad=True)
    key, value = torch.randn(2, 2, n_kv_heads, seq, 5, dtype=torch.float64).requires_grad_().unbind()
    segments = torch.randint(3, (2, seq)).sort().values if is_packed else None
    mask = causal_mask(0, seq, None, query.device, segments)
    output = attend_in_blocks(query, key, value, mask)
    expected = attend(query, key, value, mask)
    torch.testing.assert_close(output, expected)
    weights = torch.randn_like(output)
    ours, theirs = (
        torch.autograd.grad((each * weights).sum(), (query, key, value)) for each in (output, expected)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("n_keys", [1, 100, 256, 384])
@pytest.mark.parametrize("is_padded", [False, True])
def test_a_query_attends_in_parts_as_at_once(n_keys, is_padded):
    torch.manual_seed(n_keys)
    rows = torch.randn(3, 2, 4, 16)
    key, value = torch.randn(2, 3, 2, n_keys, 16).unbind()
    mask = None
    if is_padded:
        mask = torch.arange(n_keys) >= torch.tensor([0, n_keys // 2, n_keys - 1])[:, None, None, None]
    expected = attend(rows.reshape(3, 8, 1, 16), key, value, mask).reshape(rows.shape)
    torch.testing.assert_close(attend_in_parts(rows, key, value, mask), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_bfloat16_in_blocks_is_near_float32_and_drops_weights(monkeypatch, dropout):
    monkeypatch.setattr("minillm_lib.model.attention._HAS_AMX", False)
    query, (key, value) = torch.randn(2, 4, 200, 8), torch.randn(2, 2, 2, 200, 8)
    expected = attend(query, key, value)
    output = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), dropout=dropout)
    assert output.dtype == torch.bfloat16
    difference = (output.float() - expected).abs().mean()
    assert (difference < 0.01) == (dropout == 0)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_grouped_queries_are_multi_head_attention_with_repeated_weights(n_kv_heads):
    torch.manual_seed(0)
    grouped = GroupedQueryAttention(small_config(n_heads=4, n_kv_heads=n_kv_heads))
    config = small_config(n_heads=4, n_kv_heads=4)
    full = GroupedQueryAttention(config)
    state = grouped.state_dict()
    for name in ("k_proj.weight", "v_proj.weight"):
        heads = state[name].unflatten(0, (n_kv_heads, config.head_dim))
        state[name] = heads.repeat_interleave(4 // n_kv_heads, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    x, rotation = torch.randn(2, 9, config.hidden_size), RotaryEmbedding(config)(torch.arange(9)[None])
    torch.testing.assert_close(grouped(x, rotation), full(x, rotation))


def test_query_key_norm_makes_scores_blind_to_the_size_of_the_projections():
    torch.manual_seed(0)
    config = small_config(qk_norm=True, norm_eps=1e-20)
    attention = GroupedQueryAttention(config)
    x, rotation = torch.randn(1, 7, config.hidden_size), RotaryEmbedding(config)(torch.arange(7)[None])
    before = attention(x, rotation)
    with torch.no_grad():
        attention.q_proj.weight.mul_(5)
        attention.k_proj.weight.mul_(0.01)
    torch.testing.assert_close(attention(x, rotation), before)


def test_dropout_of_attention_weights_happens_in_training_only():
    attention = GroupedQueryAttention(small_config(dropout=0.5))
    x = torch.randn(1, 8, 48)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))


def test_no_mask_is_built_where_none_is_needed():
    cpu = torch.device("cpu")
    assert causal_mask(0, 5, None, cpu) is None
    assert causal_mask(7, 1, None, cpu) is None
    assert causal_mask(7, 2, None, cpu).shape == (1, 1, 2, 9)


def test_several_queries_after_a_past_need_a_mask():
    """Without one, PyTorch's is_causal would align the first query with the first key."""
    query, key = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 5, 4)
    with pytest.raises(
        ValueError, match=r"3 queries over 5 keys need a mask, from causal_mask\(past=2, seq=3"
    ):
        attend(query, key, key)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_weights_to_look_at_are_those_of_the_output(qk_norm):
    """The last output is the mean of the values with these weights."""
    torch.manual_seed(0)
    config = small_config(qk_norm=qk_norm)
    layer, x = GroupedQueryAttention(config), torch.randn(2, 7, config.hidden_size)
    rotation = RotaryEmbedding(config)(torch.arange(7)[None])
    weights = layer.last_weights(x, rotation)  # (batch, n_heads, seq)
    values = layer.v_proj(x).unflatten(-1, (config.n_kv_heads, -1)).transpose(1, 2)
    values = values.repeat_interleave(config.n_heads // config.n_kv_heads, dim=1)
    heads = (weights[:, :, None] @ values)[:, :, 0]  # (batch, n_heads, head_dim)
    torch.testing.assert_close(
        layer.o_proj(heads.flatten(1)), layer(x, rotation)[:, -1], atol=1e-5, rtol=1e-4
    )
