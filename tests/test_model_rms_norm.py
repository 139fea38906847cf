import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn.functional import rms_norm

from minillm_lib.model.rms_norm import RMSNorm


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_norm(size, eps=1e-5):
    norm = RMSNorm(size, eps)
    torch.nn.init.normal_(norm.weight)
    return norm


@given(seed=st.integers(0, 2**31), size=st.integers(1, 64))
@settings(max_examples=40, deadline=None)
def test_equals_the_function_of_torch(seed, size):
    torch.manual_seed(seed)
    norm, x = random_norm(size), torch.randn(2, 3, size)
    torch.testing.assert_close(norm(x), rms_norm(x, (size,), norm.weight, norm.eps))


@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3))
@settings(max_examples=40, deadline=None)
def test_scale_of_the_input_does_not_matter_but_its_sign_does(seed, scale):
    torch.manual_seed(seed)
    norm, x = random_norm(32, eps=1e-20), torch.randn(4, 32)
    torch.testing.assert_close(norm(scale * x), norm(x))
    torch.testing.assert_close(norm(-scale * x), -norm(x))


@given(seed=st.integers(0, 2**31), scale=st.floats(-10, 10))
@settings(max_examples=20, deadline=None)
def test_is_equivariant_in_the_scale_of_its_weight(seed, scale):
    torch.manual_seed(seed)
    norm, x = random_norm(32), torch.randn(4, 32)
    before = norm(x)
    with torch.no_grad():
        norm.weight.mul_(scale)
    torch.testing.assert_close(norm(x), scale * before)


def test_a_fresh_norm_gives_a_root_mean_square_of_one():
    x = 7 * torch.randn(5, 256) + 3
    torch.testing.assert_close(RMSNorm(256)(x).square().mean(-1).sqrt(), torch.ones(5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_are_taken_in_float32(dtype):
    x = torch.full((1, 512), 300.0, dtype=dtype)  # the square, 90000, is more than float16 can hold
    output = RMSNorm(512).to(dtype)(x)
    assert output.dtype == dtype
    torch.testing.assert_close(output, torch.ones_like(output))
