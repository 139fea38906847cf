"""Weights in 8 bits: how far they are from the originals, and what a model with them can and cannot do."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies
from safetensors.torch import load_file, save_file

from minillm_lib.interop.gguf import gguf_tensors
from minillm_lib.io.checksums import write_checksums
from minillm_lib.model.checkpoint import CheckpointError, load_checkpoint
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.quantization import QuantizedLinear, dequantize, is_quantized, quantize, quantize_rows
from minillm_lib.tokenizer import Tokenizer

ROOT = Path(__file__).parent.parent
IDS = torch.tensor([[5, 6, 7, 8, 9], [1, 2, 3, 4, 5]])
SHAPES = {
    "llama": {},
    "untied, with biases": {"tied_embeddings": False, "attention_bias": True, "mlp_bias": True},
    "qwen3": {"qk_norm": True},
    "classic": {"positions": "learned", "norm": "layer", "feed_forward": "gelu", "attention_bias": True},
}


def small_model(**overrides):
    torch.manual_seed(0)
    return MiniLLM(
        ModelConfig.from_preset("nano", vocab_size=310, max_seq_len=32, initializer_range=0.2, **overrides)
    ).eval()


def perplexity(model, ids):
    with torch.inference_mode():
        return math.exp(model.loss(ids[:, :-1], ids[:, 1:]))


@given(
    rows=strategies.integers(1, 5),
    columns=strategies.integers(1, 9),
    size=strategies.sampled_from([1e-6, 1.0, 1e6]),
    seed=strategies.integers(0, 99),
)
@settings(deadline=None, max_examples=50)
def test_no_weight_is_off_by_more_than_half_a_step_of_its_row(rows, columns, size, seed):
    weight = size * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    multiples, step = quantize_rows(weight)
    assert (multiples.dtype, step.dtype) == (torch.int8, torch.float32)
    assert (multiples.abs().amax(dim=1) == 127).all()
    assert ((multiples * step[:, None] - weight).abs() <= 0.5001 * step[:, None]).all()
    again, same_step = quantize_rows(multiples * step[:, None])
    assert torch.equal(again, multiples)
    torch.testing.assert_close(same_step, step)


def test_a_row_of_zeros_stays_zero_and_what_is_not_a_number_is_refused():
    multiples, step = quantize_rows(torch.zeros(2, 3))
    assert not multiples.any()
    assert not step.any()
    for value in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="row 1 of the matrix holds infinities or NaN"):
            quantize_rows(torch.tensor([[1.0, 2.0], [value, 0.0]]))


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
def test_a_quantized_model_is_its_dequantized_one(overrides):
    model = small_model(**overrides)
    quantized = model.quantized()
    plain = quantized.dequantized()
    assert (is_quantized(model), is_quantized(quantized), is_quantized(plain)) == (False, True, False)
    assert plain.config == quantized.config == model.config
    with torch.inference_mode():
        assert torch.equal(quantized(IDS), plain(IDS))
        assert not torch.equal(quantized(IDS), model(IDS))
    for name, tensor in plain.state_dict().items():
        if tensor.dim() == 2 and "positions" not in name:
            torch.testing.assert_close(tensor, model.state_dict()[name], atol=0.02, rtol=0)
        else:
            assert torch.equal(tensor, model.state_dict()[name])
    assert dequantize(model) is model


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", ["folder", "file.pt"])
def test_it_is_saved_and_loaded_in_a_quarter_of_the_space(overrides, name, tmp_path):
    model = small_model(**overrides)
    model.tokenizer = Tokenizer.train(["a rose is a rose is a rose, one in 12 ÷ 3 = 4"] * 9, vocab_size=310)
    quantized = model.quantized()
    assert quantized.tokenizer is model.tokenizer
    quantized.save(tmp_path / name)
    loaded = load_checkpoint(tmp_path / name)
    assert is_quantized(loaded)
    assert loaded.tokenizer.encode("a rose") == model.tokenizer.encode("a rose")
    state = quantized.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.state_dict().items())
    with torch.inference_mode():
        assert torch.equal(loaded(IDS), quantized(IDS))
    matrices = [n for n, t in model.state_dict().items() if t.dim() == 2 and "positions" not in n]
    assert 4 * sum(state[f"{n}_int8"].nbytes for n in matrices) == sum(
        model.state_dict()[n].nbytes for n in matrices
    )


def test_transformers_refuse_it_and_other_quantizations_are_refused_here(tmp_path):
    from transformers import AutoModelForCausalLM

    small_model().quantized().save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "minillm_int8"}
    with pytest.raises(ValueError, match="model type `minillm`"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    small_model().save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    write_checksums(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"quantization_config is .*gptq.*not supported"):
        load_checkpoint(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), r"tensor model\.norm\.weight is missing"),
        (
            lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.weight_scale"),
            r"up_proj\.weight_scale is missing",
        ),
        (
            lambda tensors: tensors.update({"model.embed_tokens.weight_int8": torch.zeros(310, 64)}),
            r"embed_tokens\.weight_int8 has the type torch\.float32, but torch\.int8 is expected",
        ),
        (
            lambda tensors: tensors.update({"model.embed_tokens.weight": torch.zeros(310, 64)}),
            r"embed_tokens\.weight of shape \(310, 64\) is unexpected",
        ),
    ],
)  # fmt: skip
def test_a_damaged_quantized_checkpoint_is_refused_by_name(change, message, tmp_path):
    small_model().quantized().save(tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    write_checksums(file.parent)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "model")


def test_it_cannot_be_trained_but_it_generates_in_any_mode():
    quantized = small_model().quantized()
    assert not quantized.training
    with pytest.raises(ValueError, match=r"quantized model cannot be trained.*model\.dequantized\(\)"):
        quantized.train()
    assert len(quantized.eval().generate([5, 6], max_new_tokens=4)[0].ids) == 4
    quantized.dequantized().train().loss(IDS, IDS).backward()
    with pytest.raises(ValueError, match="quantized already"):
        quantize(quantized)


def test_a_loss_is_computed_as_with_any_model_and_gradients_reach_the_input():
    quantized = small_model().quantized()
    quantized.generate(
        [5, 6], max_new_tokens=2, fast=False
    )  # in inference mode, which must leave nothing behind
    assert torch.equal(quantized.loss(IDS, IDS), quantized.dequantized().loss(IDS, IDS))
    layer = quantized.layers[0].mlp.up_proj
    x = torch.randn(2, 64, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(dim=0).expand(2, -1))


def test_what_is_kept_of_a_matrix_follows_a_new_dtype_and_a_new_state():
    layer = QuantizedLinear(3, 2, bias=False)
    layer.weight_int8, layer.weight_scale = quantize_rows(torch.randn(2, 3))
    before = layer.weight
    assert layer.weight is before
    state = {"weight_int8": 2 * torch.ones(2, 3, dtype=torch.int8), "weight_scale": torch.tensor([1.0, 3.0])}
    layer.load_state_dict(state)
    assert layer.weight.tolist() == [[2.0] * 3, [6.0] * 3]
    assert layer.double().weight.dtype == torch.float64
    assert layer.to("meta").weight.device.type == "meta"


def test_a_model_in_half_precision_becomes_one_that_computes_in_float32_on_a_cpu(tmp_path):
    quantized = small_model().bfloat16().quantized()
    assert {tensor.dtype for tensor in quantized.state_dict().values()} == {torch.int8, torch.float32}
    quantized.save(tmp_path / "model")
    half = load_checkpoint(tmp_path / "model", dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in half.state_dict().values()} == {torch.int8, torch.bfloat16}
    assert half(IDS).dtype == torch.bfloat16


def test_rope_scaling_applies_to_it_as_to_any_checkpoint(tmp_path):
    scaling = {"rope_type": "yarn", "factor": 4}
    quantized = small_model().quantized()
    quantized.save(tmp_path / "model")
    longer = load_checkpoint(tmp_path / "model", rope_scaling=scaling)
    quantized.dequantized().save(tmp_path / "plain")
    with torch.inference_mode():
        assert torch.equal(longer(IDS), load_checkpoint(tmp_path / "plain", rope_scaling=scaling)(IDS))


def test_other_programs_get_the_weights_that_the_integers_stand_for():
    quantized = small_model().quantized()
    written, expected = dict(gguf_tensors(quantized)), dict(gguf_tensors(quantized.dequantized()))
    assert written.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in written.items())


def test_the_shipped_model_predicts_text_as_well_in_8_bits():
    """The text is this package's own documentation, which it was not trained on."""
    model = load_checkpoint(ROOT / "results" / "26m" / "base", dtype=torch.float32)
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "minillm_lib" / "model").glob("*.py"))
    )
    ids = torch.tensor(model.tokenizer.encode(text)[: 8 * 257]).view(8, 257)
    assert perplexity(model.quantized(), ids) == pytest.approx(perplexity(model, ids), rel=0.01)


def test_the_shipped_model_takes_half_of_its_space_in_8_bits(tmp_path):
    """It is stored in bfloat16."""
    shipped = ROOT / "results" / "26m" / "chat"
    load_checkpoint(shipped).quantized().save(tmp_path / "model")
    sizes = [os.path.getsize(folder / "model.safetensors") for folder in (shipped, tmp_path / "model")]
    assert sizes[1] < 0.52 * sizes[0]
