from __future__ import annotations

import pytest
import torch
from fake_cuda import run_on_fake_cuda

from minillm_lib.training.precision import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("instructions", "name"),
    [
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx512_f": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_a_cpu_takes_bf16_where_it_has_instructions_for_it(monkeypatch, instructions, name):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    assert Precision("auto", CPU).name == name


def test_a_torch_that_cannot_tell_what_the_cpu_has_stays_with_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert Precision("auto", CPU).name == "float32"


def test_float32_leaves_everything_as_it_is():
    precision = Precision("float32", CPU)
    assert (precision.dtype, precision.matmul_dtype) == (None, torch.float32)
    with precision.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_bf16_rounds_products_and_leaves_weights_alone():
    precision = Precision("bf16", CPU)
    layer = torch.nn.Linear(2, 2)
    with precision.autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32
    assert not precision.skips_infinite_gradients
    assert precision.state() == {}


def test_fp16_is_refused_on_a_cpu_with_what_is_allowed():
    with pytest.raises(
        ValueError,
        match=r"train\.precision is 'fp16', which needs a CUDA device, not cpu; allowed values: float32, bf16",
    ):
        Precision("fp16", CPU)


def test_bf16_is_refused_where_the_device_lacks_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)
    with pytest.raises(
        ValueError, match="'bf16', which the device cuda:0 does not support; allowed values: fp16, float32"
    ):
        Precision("bf16", torch.device("cuda", 0))


def scaled(scale):
    """What fp16 on CUDA does, on a CPU: its scaler works there too."""
    precision = Precision("float32", CPU)
    precision._scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return precision


def test_a_scaler_changes_nothing_where_nothing_overflows():
    """Scaling by a power of two and back is exact."""
    weights = []
    for precision in (Precision("float32", CPU), scaled(2.0**10)):
        weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        optimizers = [torch.optim.AdamW([weight], lr=0.1, fused=True)]
        for _ in range(3):
            precision.backward((weight**2).sum())
            precision.unscale(optimizers)
            precision.step(optimizers, grad_norm=float(weight.grad.norm()))
            optimizers[0].zero_grad()
        weights.append(weight.detach())
    assert torch.equal(*weights)


def test_an_overflow_leaves_out_the_step_of_every_optimizer_and_lowers_the_scale():
    """One of the two had a finite gradient; half an update would be worse than none."""
    precision = scaled(2.0**10)
    good, bad = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizers = [torch.optim.SGD([each], lr=0.1) for each in (good, bad)]
    precision.backward((good + bad * torch.tensor(float("inf"))).sum())
    precision.unscale(optimizers)
    precision.step(optimizers, grad_norm=float("inf"))
    assert torch.equal(good, torch.ones(2))
    assert torch.equal(bad, torch.ones(2))
    assert precision.state()["scale"] == 2.0**9


def test_below_a_scale_of_one_infinite_gradients_are_no_longer_usual():
    """They were not made by scaling the loss up; a run that skipped them all would continue without learning."""
    precision = scaled(2.0)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizers = [torch.optim.SGD([weight], lr=0.1)]
    usual = []
    for _ in range(3):
        usual.append(precision.skips_infinite_gradients)
        precision.backward((weight * float("inf")).sum())
        precision.unscale(optimizers)
        precision.step(optimizers, grad_norm=float("inf"))
    assert usual == [True, True, False]


def test_the_scale_is_kept_in_a_checkpoint():
    first, second = scaled(2.0**10), scaled(2.0**16)
    second.load_state(first.state())
    assert second.state() == first.state()
    Precision("float32", CPU).load_state(first.state())  # a run that goes on in another precision


SCRIPT = """
    from minillm_lib.model.config import ModelConfig
    from minillm_lib.model.decoder import MiniLLM
    from minillm_lib.training.config import OptimizerConfig
    from minillm_lib.training.optimizer import make_optimizers
    from minillm_lib.training.precision import Precision

    device = torch.device("cuda")
    for wanted in ("auto", "bf16", "fp16", "float32"):
        precision = Precision(wanted, device)
        tf32 = torch.get_float32_matmul_precision()
        print(precision.name, precision.matmul_dtype, precision.skips_infinite_gradients, tf32)
    precision = Precision("auto", device)
    with FakeTensorMode(), device:
        model = MiniLLM(ModelConfig.from_preset("nano", n_layers=1))
        ids = torch.zeros(2, 9, dtype=torch.long)
        with precision.autocast():
            loss = model.loss(ids[:, :-1], ids[:, 1:], reduction="sum")
        precision.backward(loss)
        print(loss.dtype, {(p.grad.dtype, p.grad.device.type) for p in model.parameters()})
        for optimizer in make_optimizers(model, OptimizerConfig(name="muon")):
            print(type(optimizer).__name__, {p.device.type for g in optimizer.param_groups for p in g["params"]})
"""


@pytest.mark.slow
def test_on_cuda_it_is_bf16_over_float32_weights(tmp_path):
    """On a device that is simulated: shapes, types and devices are real, numbers are not."""
    assert run_on_fake_cuda(SCRIPT, tmp_path).splitlines() == [
        "bf16 torch.bfloat16 False high",
        "bf16 torch.bfloat16 False high",
        "fp16 torch.float16 True high",
        "float32 torch.float32 False high",
        "torch.float32 {(torch.float32, 'cuda')}",
        "AdamW {'cuda'}",
        "Muon {'cuda'}",
    ]
