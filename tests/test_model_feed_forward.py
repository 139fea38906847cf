import pytest
import torch
from hugging_face_reference import small_config

from minillm_lib.model.feed_forward import GELUFeedForward, SwiGLU


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_swiglu_is_its_formula():
    layer, x = SwiGLU(small_config()).double(), torch.randn(2, 3, 48, dtype=torch.float64)
    gate, up = x @ layer.gate_proj.weight.T, x @ layer.up_proj.weight.T
    expected = (gate / (1 + torch.exp(-gate)) * up) @ layer.down_proj.weight.T
    torch.testing.assert_close(layer(x), expected)


def test_gelu_layer_is_its_formula():
    layer = GELUFeedForward(small_config(mlp_bias=True)).double()
    x = torch.randn(2, 3, 48, dtype=torch.float64)
    up = x @ layer.up_proj.weight.T + layer.up_proj.bias
    normal = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    expected = up * normal.cdf(up) @ layer.down_proj.weight.T + layer.down_proj.bias
    torch.testing.assert_close(layer(x), expected)


def test_a_closed_gate_lets_nothing_pass():
    layer = SwiGLU(small_config())
    torch.nn.init.zeros_(layer.gate_proj.weight)
    assert not layer(torch.randn(4, 48)).any()


def test_every_position_is_computed_by_itself():
    x = torch.randn(2, 5, 48)
    for layer in (SwiGLU(small_config()), GELUFeedForward(small_config(mlp_bias=True))):
        alone = torch.stack([layer(x[:, t]) for t in range(5)], dim=1)
        torch.testing.assert_close(layer(x), alone)
