from __future__ import annotations

import pytest
import torch

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import OptimizerConfig
from minillm_lib.training.optimizer import Muon, make_optimizers, orthogonalise


def model(**overrides):
    torch.manual_seed(0)
    return MiniLLM(ModelConfig.from_preset("nano", vocab_size=300, n_layers=2, **overrides))


def groups(model, **options):
    """The names of each optimizer's parameters, by weight decay."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        (type(optimizer).__name__, group["weight_decay"], [names[id(each)] for each in group["params"]])
        for optimizer in make_optimizers(model, OptimizerConfig(**options))
        for group in optimizer.param_groups
    ]


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"tied_embeddings": False},
        {"attention_bias": True, "mlp_bias": True, "positions": "learned", "norm": "layer"},
    ],
    ids=["tied", "untied", "biases"],
)
def test_every_parameter_has_one_optimizer_and_only_matrices_decay(name, overrides):
    made = model(**overrides)
    found = groups(made, name=name, weight_decay=0.3)
    assert sorted(each for *_, names in found for each in names) == sorted(dict(made.named_parameters()))
    shapes = {name: parameter.ndim for name, parameter in made.named_parameters()}
    for _, decay, names in found:
        assert {shapes[each] >= 2 for each in names} == {decay == 0.3}


def test_a_tied_embedding_stands_once():
    names = [each for *_, names in groups(model()) for each in names]
    assert names.count("embed_tokens.weight") == 1
    assert "lm_head.weight" not in names


def test_muon_gets_the_matrices_of_the_blocks_and_nothing_else():
    (_, _, rest), (_, _, vectors), (kind, _, matrices) = groups(model(tied_embeddings=False), name="muon")
    assert kind == "Muon"
    assert len(matrices) == 2 * 7
    assert all(name.startswith("layers.") and name.endswith("proj.weight") for name in matrices)
    assert sorted(rest) == ["embed_tokens.weight", "lm_head.weight"]
    assert all("norm" in name for name in vectors)


def test_adamw_takes_its_constants_from_the_configuration():
    """One step of a single weight, by the paper's algorithm 2."""
    weight = torch.nn.Parameter(torch.tensor([[2.0]]))
    module = torch.nn.Module()
    module.weight = weight
    config = OptimizerConfig(lr=0.1, weight_decay=0.5, beta1=0.8, beta2=0.9, eps=1e-3)
    (optimizer,) = make_optimizers(module, config)
    for grad in (3.0, -1.0):
        weight.grad = torch.tensor([[grad]])
        optimizer.step()
    m = v = 0.0
    expected = 2.0
    for t, grad in enumerate((3.0, -1.0), 1):
        m, v = 0.8 * m + 0.2 * grad, 0.9 * v + 0.1 * grad**2
        direction = m / (1 - 0.8**t) / ((v / (1 - 0.9**t)) ** 0.5 + 1e-3)
        expected = expected - 0.1 * 0.5 * expected - 0.1 * direction
    assert weight.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(48, 48), (32, 96), (96, 32), (64, 1), (1, 64)])
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [(None, 1e-4, 1e-5), (torch.bfloat16, 0, 1e-2)])
def test_muon_is_that_of_torch(shape, dtype, rtol, atol, monkeypatch):
    """``torch.optim.Muon`` iterates in bfloat16 always; kept from that, the two agree closely."""
    if dtype is None:
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self)
    torch.manual_seed(0)
    start = torch.randn(shape)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    config = OptimizerConfig(name="muon", lr=0.05, weight_decay=0.2, momentum=0.9)
    optimizers = [
        Muon([ours], config, dtype),
        torch.optim.Muon([theirs], lr=0.05, weight_decay=0.2, momentum=0.9, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(5):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)
    assert (ours - start).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(40, 40), (30, 90), (90, 30)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_orthogonalising_keeps_the_directions_and_evens_out_their_lengths(shape, scale):
    torch.manual_seed(0)
    n = min(shape)
    u = torch.linalg.qr(torch.randn(shape[0], n, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(shape[1], n, dtype=torch.float64))[0]
    lengths = torch.logspace(-1, 1, n, dtype=torch.float64)
    found = u.T @ orthogonalise(scale * u @ torch.diag(lengths) @ v.T) @ v  # diagonal, if directions are kept
    values = found.diagonal()
    torch.testing.assert_close(found, torch.diag(values), rtol=0, atol=1e-9)
    assert values.min() > 0.65
    assert values.max() < 1.25


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_orthogonalise_as_well_to_a_few_hundredths(dtype):
    torch.manual_seed(0)
    for shape, scale in (((40, 40), 1e-7), ((30, 90), 1.0), ((90, 30), 1e6)):
        matrix = scale * torch.randn(shape)
        found = orthogonalise(matrix, dtype)
        expected = orthogonalise(matrix)
        assert found.dtype == torch.float32
        assert not torch.equal(found, expected), "it was computed in sixteen bits"
        torch.testing.assert_close(found, expected, rtol=0, atol=0.03)
        values = torch.linalg.svdvals(found)
        assert 0.6 < values.min() < values.max() < 1.3


def test_the_entries_of_an_update_are_as_large_as_adamw_s():
    """A root mean square of about 0.2 learning rates, whatever the shape (arXiv:2502.16982, section 2.2)."""
    for shape in ((64, 64), (32, 256), (256, 32)):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.zeros(shape))
        weight.grad = torch.randn(shape)
        Muon([weight], OptimizerConfig(name="muon", lr=1.0, weight_decay=0.0)).step()
        assert 0.15 < weight.square().mean().sqrt().item() < 0.25, shape


def test_matrices_of_one_shape_are_updated_together_as_if_each_were_alone():
    torch.manual_seed(0)
    shapes = [(6, 4), (4, 4), (6, 4), (4, 6), (6, 4)]
    together, alone = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    config = OptimizerConfig(name="muon", lr=0.1)
    optimizers = [Muon(together, config), *(Muon([each], config) for each in alone)]
    for _ in range(2):
        for first, second in zip(together[:-1], alone[:-1], strict=True):  # the last one has no gradient
            first.grad = torch.randn_like(first)
            second.grad = first.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(together, alone)
    assert torch.equal(together[-1], torch.ones(6, 4))


def test_a_gradient_of_zeros_moves_nothing():
    weight = torch.nn.Parameter(torch.ones(4, 6))
    weight.grad = torch.zeros(4, 6)
    Muon([weight], OptimizerConfig(name="muon", weight_decay=0.0)).step()
    assert torch.equal(weight, torch.ones(4, 6))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_some_named_parameters_are_divided_as_in_the_whole_model(name):
    model = MiniLLM.from_preset("nano")
    chosen = [each for each in model.named_parameters() if "layers.1" in each[0]]
    of_model = make_optimizers(model, OptimizerConfig(name=name))
    kinds = {
        id(parameter): (type(optimizer), group["weight_decay"])
        for optimizer in of_model
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    found = {
        id(parameter): (type(optimizer), group["weight_decay"])
        for optimizer in make_optimizers(iter(chosen), OptimizerConfig(name=name))
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found == {id(parameter): kinds[id(parameter)] for _, parameter in chosen}


def test_an_optimizer_without_parameters_is_left_out_and_none_is_an_error():
    model = MiniLLM.from_preset("nano")
    matrices = [each for each in model.named_parameters() if each[0].endswith("q_proj.weight")]
    assert [type(each) for each in make_optimizers(matrices, OptimizerConfig(name="muon"))] == [Muon]
    with pytest.raises(ValueError, match="nothing to optimize"):
        make_optimizers(model.requires_grad_(False), OptimizerConfig())
