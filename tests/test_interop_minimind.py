"""MiniMind's two layouts against a reference that shares no code with the package."""

from __future__ import annotations

import json
import math
import pickle

import pytest
import torch
from safetensors.torch import save_file

from minillm_lib.interop.minimind import load_minimind, save_minimind
from minillm_lib.model.checkpoint import CheckpointError
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM

VOCAB, HIDDEN, LAYERS, INTERMEDIATE = 50, 64, 2, 96


def random_tensors(layout, *, n_heads=8, n_kv_heads=2, qk_norm=False):
    """A model's tensors by the names and in the shapes of a published layout, with the weights of the norms too."""
    generator = torch.Generator().manual_seed(n_kv_heads)
    head_dim = HIDDEN // n_heads
    width, kv_width = n_heads * head_dim, n_kv_heads * head_dim
    early = layout == "interleaved"
    shapes = {"tok_embeddings" if early else "model.embed_tokens": (VOCAB, HIDDEN)}
    shapes["norm" if early else "model.norm"] = (HIDDEN,)
    for i in range(LAYERS):
        inner = {
            ("attention_norm", "input_layernorm"): (HIDDEN,),
            ("attention.wq", "self_attn.q_proj"): (width, HIDDEN),
            ("attention.wk", "self_attn.k_proj"): (kv_width, HIDDEN),
            ("attention.wv", "self_attn.v_proj"): (kv_width, HIDDEN),
            ("attention.wo", "self_attn.o_proj"): (HIDDEN, width),
            ("ffn_norm", "post_attention_layernorm"): (HIDDEN,),
            ("feed_forward.w1", "mlp.gate_proj"): (INTERMEDIATE, HIDDEN),
            ("feed_forward.w2", "mlp.down_proj"): (HIDDEN, INTERMEDIATE),
            ("feed_forward.w3", "mlp.up_proj"): (INTERMEDIATE, HIDDEN),
        }
        if qk_norm:
            inner |= {("", "self_attn.q_norm"): (head_dim,), ("", "self_attn.k_norm"): (head_dim,)}
        for (early_name, later_name), shape in inner.items():
            shapes[f"layers.{i}.{early_name}" if early else f"model.layers.{i}.{later_name}"] = shape
    tensors = {f"{name}.weight": torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    head = "output.weight" if early else "lm_head.weight"
    return tensors | {head: next(iter(tensors.values()))}


def reference_logits(tensors, ids, *, n_heads, n_kv_heads, theta, eps):
    """The decoder of either layout, token by token and head by head, with rotations as complex numbers."""
    early = "tok_embeddings.weight" in tensors

    def weight(early_name, later_name, layer=None):
        prefix = "" if layer is None else f"layers.{layer}."
        name = (
            prefix + early_name
            if early
            else ("" if later_name == "lm_head" else "model.") + prefix + later_name
        )
        return tensors[f"{name}.weight"].double()

    def norm(x, gain):
        return gain * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()

    def rotate(vector, position):
        half = len(vector) // 2
        pairs = vector.view(half, 2) if early else vector.view(2, half).T
        angles = position * theta ** (-torch.arange(half).double() / half)
        turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * torch.exp(1j * angles))
        return turned.flatten() if early else turned.T.flatten()

    x = weight("tok_embeddings", "embed_tokens")[ids]
    head_dim = HIDDEN // n_heads
    for layer in range(LAYERS):
        seen = norm(x, weight("attention_norm", "input_layernorm", layer))
        query, key, value = (
            (seen @ weight(f"attention.w{kind}", f"self_attn.{kind}_proj", layer).T).unflatten(
                -1, (-1, head_dim)
            )
            for kind in "qkv"
        )
        if f"model.layers.{layer}.self_attn.q_norm.weight" in tensors:
            query = norm(query, weight("", "self_attn.q_norm", layer))
            key = norm(key, weight("", "self_attn.k_norm", layer))
        heads = torch.zeros(len(ids), n_heads, head_dim, dtype=torch.double)
        for head in range(n_heads):
            shared = head // (n_heads // n_kv_heads)
            for now in range(len(ids)):
                turned = rotate(query[now, head], now)
                past = torch.stack([turned @ rotate(key[then, shared], then) for then in range(now + 1)])
                heads[now, head] = (past / math.sqrt(head_dim)).softmax(0) @ value[: now + 1, shared]
        x = x + heads.flatten(1) @ weight("attention.wo", "self_attn.o_proj", layer).T
        seen = norm(x, weight("ffn_norm", "post_attention_layernorm", layer))
        gate = seen @ weight("feed_forward.w1", "mlp.gate_proj", layer).T
        up = seen @ weight("feed_forward.w3", "mlp.up_proj", layer).T
        x = x + (gate * gate.sigmoid() * up) @ weight("feed_forward.w2", "mlp.down_proj", layer).T
    return norm(x, weight("norm", "norm")) @ weight("output", "lm_head").T


PUBLISHED = {
    "2024": ("interleaved", {"n_heads": 16, "n_kv_heads": 8}, {"theta": 1e4, "eps": 1e-5}),
    "early 2025": ("interleaved", {"n_heads": 8, "n_kv_heads": 2}, {"theta": 1e6, "eps": 1e-5}),
    "later 2025": ("halves", {"n_heads": 8, "n_kv_heads": 2}, {"theta": 1e6, "eps": 1e-5}),
    "2026": ("halves", {"n_heads": 8, "n_kv_heads": 4}, {"theta": 1e6, "eps": 1e-6}),
}


@pytest.mark.parametrize(("layout", "heads", "rest"), PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_model_gives_the_logits_of_the_reference(tmp_path, layout, heads, rest):
    tensors = random_tensors(layout, **heads, qk_norm=rest["eps"] == 1e-6)
    torch.save(tensors, tmp_path / "pretrain_64.pth")
    model = load_minimind(tmp_path / "pretrain_64.pth", dtype=torch.float64)
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    with torch.no_grad():
        logits = model(torch.tensor([ids]))[0]
    torch.testing.assert_close(logits, reference_logits(tensors, ids, **heads, **rest), rtol=1e-5, atol=1e-5)
    assert not model.training


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
def test_other_heads_are_asked_for(tmp_path, layout):
    """As many key–value heads as query heads was never published; the shapes alone could be of any number."""
    tensors = random_tensors(layout, n_heads=4, n_kv_heads=4)
    torch.save(tensors, tmp_path / "own.pth")
    with pytest.raises(
        CheckpointError, match=r"own.pth: .* from 64 rows of queries .* pass n_heads, a divisor of 64"
    ):
        load_minimind(tmp_path / "own.pth")
    model = load_minimind(
        tmp_path / "own.pth", dtype=torch.float64, n_heads=4, rope_theta=500.0, norm_eps=1e-3
    )
    expected = reference_logits(tensors, [7, 8, 9], n_heads=4, n_kv_heads=4, theta=500.0, eps=1e-3)
    torch.testing.assert_close(model(torch.tensor([[7, 8, 9]]))[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
def test_the_configuration_of_a_directory_comes_first(tmp_path, layout):
    """Theirs has other keys in each layout, and a null where the width of the feed-forward layer is computed."""
    tensors = random_tensors(layout, n_heads=4, n_kv_heads=2)
    early = {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": None, "norm_eps": 1e-4}
    later = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": None, "rms_norm_eps": 1e-4}
    config = (early if layout == "interleaved" else later) | {"model_type": "minimind", "rope_theta": 123.0}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    model = load_minimind(tmp_path, dtype=torch.float64)
    expected = reference_logits(tensors, [7, 8, 9], n_heads=4, n_kv_heads=2, theta=123.0, eps=1e-4)
    torch.testing.assert_close(model(torch.tensor([[7, 8, 9]]))[0], expected, rtol=1e-5, atol=1e-5)


def test_the_yarn_of_a_directory_is_taken_over(tmp_path):
    yarn = {"type": "yarn", "factor": 16, "original_max_position_embeddings": 2048, "attention_factor": 1.0}
    yarn |= {"beta_fast": 32, "beta_slow": 1}
    config = {"inference_rope_scaling": True, "rope_scaling": yarn, "max_position_embeddings": 32768}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(random_tensors("halves"), tmp_path / "pytorch_model.bin")
    scaling = load_minimind(tmp_path).config.rope_scaling
    assert (scaling.rope_type, scaling.factor, scaling.attention_factor) == ("yarn", 16, 1.0)


def test_buffers_and_what_is_saved_for_resuming_do_no_harm(tmp_path):
    tensors = random_tensors("interleaved")
    mask = torch.full((1, 1, 4, 4), float("-inf"))
    buffers = {"pos_cis": torch.ones(9, 4, dtype=torch.complex64), "layers.0.attention.mask": mask}
    torch.save({"model": tensors | buffers, "epoch": 1, "optimizer": {"lr": 0.1}}, tmp_path / "resume.pth")
    torch.save(tensors, tmp_path / "plain.pth")
    ids = torch.tensor([[7, 8, 9]])
    resumed, plain = (load_minimind(tmp_path / f"{name}.pth") for name in ("resume", "plain"))
    assert torch.equal(resumed(ids), plain(ids))


def test_half_precision_stays_unless_another_type_is_asked_for(tmp_path):
    torch.save(
        {name: tensor.half() for name, tensor in random_tensors("halves").items()}, tmp_path / "half.pth"
    )
    assert load_minimind(tmp_path / "half.pth").embed_tokens.weight.dtype == torch.float16
    assert load_minimind(tmp_path / "half.pth", dtype=torch.float32).norm.weight.dtype == torch.float32


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
def test_a_model_of_ours_survives_the_way_there_and_back(tmp_path, layout):
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=VOCAB, hidden_size=HIDDEN, n_layers=LAYERS, rope_theta=1e6)
    model = MiniLLM(config).eval()
    path = save_minimind(model, tmp_path / "ours.pth", layout=layout)
    tensors = torch.load(path, weights_only=True)
    assert {name: tensor.shape for name, tensor in tensors.items()}.keys() == random_tensors(layout).keys()
    ids = [3, 1, 4, 1, 5]
    expected = model(torch.tensor([ids]))[0]
    reference = reference_logits(tensors, ids, n_heads=8, n_kv_heads=2, theta=1e6, eps=1e-5)
    torch.testing.assert_close(expected, reference.float(), rtol=1e-4, atol=1e-5)
    assert torch.equal(load_minimind(path)(torch.tensor([ids]))[0], expected)
    assert load_minimind(path, **model.config.model_dump()).config == model.config


@pytest.mark.parametrize(
    ("overrides", "layout", "reason"),
    [
        ({"feed_forward": "gelu"}, "halves", "do not use RMSNorm, SwiGLU and rotary"),
        ({"attention_bias": True}, "halves", "has biases"),
        ({"tied_embeddings": False}, "interleaved", "not tied"),
        ({"head_dim": 32}, "interleaved", "do not add up to hidden_size"),
        ({"qk_norm": True}, "interleaved", "only in the layout 'halves'"),
    ],
)
def test_what_minimind_cannot_compute_is_not_written(tmp_path, overrides, layout, reason):
    config = ModelConfig(vocab_size=VOCAB, hidden_size=HIDDEN, n_layers=LAYERS, **overrides)
    with pytest.raises(ValueError, match=reason):
        save_minimind(MiniLLM(config), tmp_path / "ours.pth", layout=layout)
    assert list(tmp_path.iterdir()) == []


def changed(**changes):
    """The tensors of early 2025 with some replaced, or removed where the new one is ``None``."""
    tensors = random_tensors("interleaved")
    for name, tensor in changes.items():
        name = name.replace("__", ".") + ".weight"
        tensors[name] = tensor
        if tensor is None:
            del tensors[name]
    return tensors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            changed(layers__1__attention__wo=None),
            r"tensor layers\.1\.attention\.wo\.weight is missing.*\(64, 64\)",
        ),
        (changed(layers__0__attention__wk=None), r"tensor layers\.0\.attention\.wk\.weight is missing"),
        (
            changed(layers__1__attention__wk=torch.zeros(13, 64)),
            r"tensor layers\.1\.attention\.wk\.weight has the shape \(13, 64\), .*\(16, 64\)",
        ),
        (
            changed(layers__1__feed_forward__w2=torch.zeros(64, 95)),
            r"tensor layers\.1\.feed_forward\.w2\.weight has the shape \(64, 95\), .*\(64, 96\)",
        ),
        (
            changed(layers__0__attention__wq=torch.zeros(64)),
            r"layers\.0\.attention\.wq\.weight has the shape \(64,\)",
        ),
        (changed(layers__0__attention__wq=torch.zeros(0, 64)), r"wq\.weight has the shape \(0, 64\)"),
        (
            changed(layers__999999999999__ffn_norm=torch.zeros(64)),
            r"tensor layers\.2\.attention_norm\.weight is missing",
        ),
        (
            changed(layers__1__lora=torch.zeros(2)),
            r"tensor layers\.1\.lora\.weight of shape \(2,\) is unexpected",
        ),
        (
            changed(layers__0__feed_forward__experts__0__w1=torch.zeros(2)),
            r"tensor layers\.0\.feed_forward\.experts\.0\.w1\.weight belongs to a mixture of experts",
        ),
        (
            {"transformer.wte.weight": torch.zeros(2, 2)},
            r"not a MiniMind checkpoint: .* but transformer\.wte\.weight",
        ),
        ({"a": 1}, "expected tensors by name and nothing else, but a is of the type int"),
        (torch.zeros(3), "expected tensors by name and nothing else, not Tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_checkpoint_names_the_file_the_tensor_and_the_shapes(tmp_path, content, message):
    torch.save(content, tmp_path / "pretrain_64.pth")
    with pytest.raises(CheckpointError, match=rf"pretrain_64\.pth: .*{message}"):
        load_minimind(tmp_path / "pretrain_64.pth")


def test_a_truncated_file_and_a_missing_one_are_named(tmp_path):
    torch.save(random_tensors("halves"), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cut\.pth: truncated"):
        load_minimind(tmp_path / "cut.pth")
    with pytest.raises(CheckpointError, match=r"none\.pth: there is nothing here"):
        load_minimind(tmp_path / "none.pth")


def test_a_directory_whose_configuration_contradicts_its_tensors_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 3}', encoding="utf-8")
    torch.save(random_tensors("halves"), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: tensor model\.layers\.2\.\S+ is missing"):
        load_minimind(tmp_path)
    (tmp_path / "config.json").write_text('{"num_hidden', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json: not JSON"):
        load_minimind(tmp_path)


class Bomb:
    """Unpickled without care, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path):
    torch.save({"tok_embeddings.weight": Bomb(tmp_path / "pwned")}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth: refused, because it holds .*open"):
        load_minimind(tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "pwned")))
    with pytest.raises(CheckpointError, match=r"plain\.pth"):
        load_minimind(tmp_path / "plain.pth")
    assert not (tmp_path / "pwned").exists()


def test_an_unknown_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="layout is 'half'; allowed are 'interleaved', 'halves'"):
        save_minimind(MiniLLM.from_preset("nano"), tmp_path / "model.pth", layout="half")
    assert not (tmp_path / "model.pth").exists()


def test_a_head_of_its_own_and_wide_heads_survive(tmp_path):
    """MiniMind's code has had both since 2026, when query–key norm came."""
    shape = {"hidden_size": HIDDEN, "n_layers": LAYERS, "n_heads": 4, "n_kv_heads": 2, "head_dim": 24}
    config = ModelConfig(
        vocab_size=VOCAB, intermediate_size=INTERMEDIATE, qk_norm=True, tied_embeddings=False, **shape
    )
    model = MiniLLM(config).eval()
    save_minimind(model, tmp_path / "own.pth", layout="halves")
    assert "lm_head.weight" in torch.load(tmp_path / "own.pth")
    given = {"n_heads": 4, "rope_theta": config.rope_theta, "norm_eps": config.norm_eps}
    loaded = load_minimind(tmp_path / "own.pth", **given)
    ids = torch.randint(0, VOCAB, (2, 9))
    torch.testing.assert_close(loaded(ids), model(ids))
    for lost in ({"qk_norm": False, "head_dim": 16}, {"qk_norm": False, "tied_embeddings": True}):
        with pytest.raises(ValueError, match="and it has no query–key norm"):
            save_minimind(MiniLLM(config.replace(**lost)), tmp_path / "own.pth", layout="halves")
