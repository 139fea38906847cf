import copy
import math
from statistics import mean

import pytest
import torch
from fake_cuda import run_on_fake_cuda
from hugging_face_reference import SCALINGS, model_pair, small_config
from hypothesis import given, settings, strategies as st
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from minillm_lib.model.config import PRESETS, ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.devices import best_device


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_tokens(*shape, vocab_size=97):
    return torch.randint(0, vocab_size, shape)


def random_model(**overrides):
    model = MiniLLM(small_config(**overrides)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.2)
    return model


@st.composite
def llama_configs(draw):
    n_kv_heads = draw(st.integers(1, 3))
    n_heads = n_kv_heads * draw(st.integers(1, 3))
    half = draw(st.integers(2, 12))
    return small_config(
        hidden_size=n_heads * 2 * half,
        n_layers=draw(st.integers(1, 3)),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=2 * draw(st.integers(2, 12)) if draw(st.booleans()) else 2 * half,
        intermediate_size=draw(st.integers(8, 64)),
        rope_theta=draw(st.sampled_from([100.0, 10_000.0, 1e6])),
        rope_scaling=SCALINGS[draw(st.sampled_from(sorted(SCALINGS)))],
        tied_embeddings=draw(st.booleans()),
        qk_norm=draw(st.booleans()),
        attention_bias=draw(st.booleans()),
        norm_eps=draw(st.sampled_from([1e-6, 1e-5])),
    )


@given(config=llama_configs(), seq=st.integers(1, 100), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_logits_are_those_of_transformers(config, seq, seed):
    ours, theirs = model_pair(config, seed)
    tokens = random_tokens(2, seq)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("tied", [True, False])
def test_gradients_are_those_of_transformers(scaling, tied):
    config = small_config(rope_scaling=SCALINGS[scaling], tied_embeddings=tied, qk_norm=tied)
    ours, theirs = model_pair(config)
    tokens, labels = random_tokens(2, 70), random_tokens(2, 70)
    labels[:, ::5] = -100
    loss = ours.loss(tokens, labels)
    expected = cross_entropy(theirs(tokens).logits.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    gradients = {name.removeprefix("model."): value.grad for name, value in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients.pop(name), atol=1e-4, rtol=1e-3)
    assert not gradients


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("tied", [True, False])
def test_greedy_generation_is_that_of_transformers_token_for_token(scaling, tied):
    ours, theirs = model_pair(small_config(rope_scaling=SCALINGS[scaling], tied_embeddings=tied), seed=3)
    prompt, n_new = random_tokens(2, 11), 60
    expected = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=n_new, do_sample=False, pad_token_id=0
    )
    tokens, cache = prompt, ours.new_cache(2, max_len=11 + n_new)
    text = [prompt]
    with torch.inference_mode():
        for _ in range(n_new):
            tokens = ours(tokens, cache=cache)[:, -1:].argmax(-1)
            text.append(tokens)
    assert torch.cat(text, dim=1).tolist() == expected.tolist()


def test_the_classic_block_is_the_one_of_gpt2():
    config = small_config(**{**PRESETS["26m-classic"], "n_kv_heads": 4, "intermediate_size": 80})
    ours = random_model(**config.model_dump())
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=97,
            n_positions=32,
            n_embd=48,
            n_layer=2,
            n_head=4,
            n_inner=80,
            activation_function="gelu",
            layer_norm_epsilon=config.norm_eps,
        )
    ).eval()
    state = ours.state_dict()
    gpt2 = {"wte.weight": state["embed_tokens.weight"], "wpe.weight": state["embed_positions.weight"]}
    for part in ("weight", "bias"):
        gpt2[f"ln_f.{part}"] = state[f"norm.{part}"]
        for layer in range(2):
            our, their = f"layers.{layer}", f"h.{layer}"
            qkv = torch.cat([state[f"{our}.self_attn.{name}_proj.{part}"] for name in "qkv"])
            gpt2[f"{their}.attn.c_attn.{part}"] = qkv.t()
            gpt2[f"{their}.attn.c_proj.{part}"] = state[f"{our}.self_attn.o_proj.{part}"].t()
            gpt2[f"{their}.mlp.c_fc.{part}"] = state[f"{our}.mlp.up_proj.{part}"].t()
            gpt2[f"{their}.mlp.c_proj.{part}"] = state[f"{our}.mlp.down_proj.{part}"].t()
            gpt2[f"{their}.ln_1.{part}"] = state[f"{our}.input_layernorm.{part}"]
            gpt2[f"{their}.ln_2.{part}"] = state[f"{our}.post_attention_layernorm.{part}"]
    theirs.transformer.load_state_dict(gpt2)
    tokens = random_tokens(3, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


@given(seed=st.integers(0, 2**31), seq=st.integers(2, 30), data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_later_token_never_changes_an_earlier_logit(seed, seq, data):
    torch.manual_seed(seed)
    model, tokens = random_model(rope_scaling=SCALINGS["yarn"]), random_tokens(1, seq)
    changed_from = data.draw(st.integers(1, seq - 1))
    other = tokens.clone()
    other[:, changed_from:] = random_tokens(1, seq - changed_from)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens)[:, :changed_from], model(other)[:, :changed_from])


@given(seed=st.integers(0, 2**31), batch=st.integers(2, 5), seq=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_a_row_does_not_depend_on_its_neighbours(seed, batch, seq):
    torch.manual_seed(seed)
    model, tokens = random_model(), random_tokens(batch, seq)
    with torch.no_grad():
        alone = torch.cat([model(row[None]) for row in tokens])
        torch.testing.assert_close(model(tokens), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scaling", ["none", "dynamic", "yarn"])
def test_padding_on_either_side_changes_nothing(scaling):
    model, tokens = random_model(rope_scaling=SCALINGS[scaling]), random_tokens(1, 40)
    filler, real = random_tokens(1, 5), torch.ones(1, 40, dtype=torch.long)
    left = torch.cat([filler, tokens], dim=1), torch.cat([0 * filler, real], dim=1)
    right = torch.cat([tokens, filler], dim=1), torch.cat([real, 0 * filler], dim=1)
    with torch.no_grad():
        expected = model(tokens)
        padded_left = model(left[0], attention_mask=left[1])[:, 5:]
        padded_right = model(right[0], attention_mask=right[1])[:, :40]
    torch.testing.assert_close(padded_left, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(padded_right, expected, atol=1e-4, rtol=1e-4)


def test_explicit_positions_are_used():
    model, tokens = random_model(), random_tokens(2, 9)
    with torch.no_grad():
        far = model(tokens, positions=torch.arange(700, 709).expand(2, 9))
        torch.testing.assert_close(far, model(tokens), atol=1e-3, rtol=1e-3)  # rotary: only distances count
        spread = model(tokens, positions=torch.arange(0, 18, 2).expand(2, 9))
    assert not torch.allclose(spread, model(tokens), atol=1e-2)


def test_learned_positions_end_where_the_table_ends():
    model = random_model(positions="learned")
    model(random_tokens(1, 32))
    with pytest.raises(ValueError, match=r"33 tokens .* max_seq_len=32"):
        model(random_tokens(1, 33))
    cache = model.new_cache(1, max_len=40)
    model(random_tokens(1, 32), cache=cache)
    with pytest.raises(ValueError, match="33 tokens"):
        model(random_tokens(1, 1), cache=cache)
    assert cache.length == 32


def test_padding_takes_no_learned_positions():
    model, tokens = random_model(positions="learned"), random_tokens(1, 32)
    padded = torch.cat([random_tokens(1, 6), tokens], dim=1)
    mask = torch.arange(38)[None] >= 6
    with torch.no_grad():
        output = model(padded, attention_mask=mask, cache=model.new_cache(1, max_len=40))[:, 6:]
        torch.testing.assert_close(output, model(tokens), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("block", [{}, PRESETS["26m-classic"] | {"n_kv_heads": 4}])
def test_recomputed_activations_give_the_same_gradients(block):
    model = random_model(**block).train()
    twin = copy.deepcopy(model)
    twin.config = model.config.replace(activation_checkpointing=True)
    tokens = random_tokens(2, 20)
    for each in (model, twin):
        each.loss(tokens, tokens).backward()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_recomputing_keeps_fewer_activations():
    def bytes_kept(activation_checkpointing):
        kept = {}

        def pack(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        model = random_model(n_layers=6, activation_checkpointing=activation_checkpointing).train()
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model.loss(random_tokens(4, 32), random_tokens(4, 32))
        assert loss.requires_grad
        return sum(size for address, size in kept.items() if address not in weights)

    assert bytes_kept(True) < bytes_kept(False) / 3


def test_dropout_acts_in_training_and_keeps_the_mean():
    model = random_model(dropout=0.2)
    tokens = random_tokens(1, 8)
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))


def test_initial_weights_have_the_configured_spread_and_initial_loss_is_that_of_chance():
    torch.manual_seed(0)
    model = MiniLLM.from_preset("nano", qk_norm=True, attention_bias=True, initializer_range=0.03)
    residual = 0.03 / math.sqrt(2 * model.config.n_layers)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert torch.equal(parameter, torch.ones_like(parameter))
        elif name.endswith("bias"):
            assert not parameter.any()
        else:
            expected = residual if "o_proj" in name or "down_proj" in name else 0.03
            assert parameter.std().item() == pytest.approx(expected, rel=0.05)
    same = MiniLLM.from_preset("nano", scale_residual_init=False)
    assert same.layers[0].self_attn.o_proj.weight.std().item() == pytest.approx(0.02, rel=0.05)
    tokens = random_tokens(4, 64, vocab_size=6400)
    fresh = MiniLLM.from_preset("nano")
    assert fresh.loss(tokens, tokens.roll(1)).item() == pytest.approx(math.log(6400), rel=0.02)


def test_it_learns_a_text_by_heart():
    torch.manual_seed(0)
    for block in ({}, PRESETS["26m-classic"] | {"n_kv_heads": 4, "intermediate_size": 80}):
        model = MiniLLM(small_config(**block))
        tokens = random_tokens(2, 32)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = model.loss(tokens[:, :-1], tokens[:, 1:])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert mean(losses[:3]) > 4
        assert losses[-1] < 0.1


def test_presets_accept_overrides():
    model = MiniLLM.from_preset("nano", vocab_size=100, n_layers=1)
    assert model.config == ModelConfig.from_preset("nano", vocab_size=100, n_layers=1)
    assert model(torch.tensor([[1, 2, 3]])).shape == (1, 3, 100)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_cuda_device_says_what_to_write():
    with pytest.raises(RuntimeError, match=r"leave \.cuda\(\) out.*model\.to\(best_device\(\)\)"):
        random_model().eval().cuda()


def test_the_model_follows_to_the_best_device():
    model = random_model().to(best_device())
    assert model.device.type == best_device().type
    assert model.new_cache().keys.device == model.device


def test_half_precision_models_run_and_cache_in_their_dtype():
    model = random_model().to(torch.bfloat16)
    cache = model.new_cache(1)
    with torch.inference_mode():
        logits = model(random_tokens(1, 5), cache=cache)
    assert cache.keys.dtype == logits.dtype == torch.bfloat16


STEP = """
from minillm_lib.model.decoder import MiniLLM

def training_step(model):
    tokens = torch.zeros(2, 16, dtype=torch.long, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        assert model.layers[0].self_attn.q_proj(torch.zeros(1, 64, device="cuda")).dtype == torch.bfloat16
        loss = model.loss(tokens, tokens)
    assert (loss.device.type, loss.dtype) == ("cuda", torch.float32)
    loss.backward()
    for parameter in model.parameters():
        assert (parameter.grad.device.type, parameter.grad.dtype) == ("cuda", torch.float32)

def decoding_step(model):
    tokens = torch.zeros(2, 16, dtype=torch.long, device="cuda")
    mask = torch.ones(2, 16, dtype=torch.long, device="cuda")
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        for attention_mask in (None, mask):
            cache = model.new_cache(2, max_len=32)
            logits = model(tokens, attention_mask=attention_mask, cache=cache)
            for n_new in (1, 3):
                logits = model(tokens[:, :n_new], cache=cache)
                assert (logits.device.type, logits.dtype) == ("cuda", torch.bfloat16)
"""


@pytest.mark.slow
def test_training_and_decoding_leave_nothing_on_the_cpu(tmp_path):
    run_on_fake_cuda(
        STEP
        + """
blocks = [
    {},
    {"qk_norm": True, "tied_embeddings": False, "activation_checkpointing": True, "dropout": 0.1},
    {"positions": "learned", "norm": "layer", "feed_forward": "gelu", "attention_bias": True, "mlp_bias": True},
    {"rope_scaling": {"rope_type": "dynamic", "factor": 2}},
    {"rope_scaling": {"rope_type": "yarn", "factor": 2}},
    {"rope_scaling": {"rope_type": "llama3", "factor": 2}},
]
for block in blocks:
    with FakeTensorMode(), torch.device("cuda"):
        model = MiniLLM.from_preset("nano", n_layers=2, **block)
        training_step(model)
        decoding_step(model.eval())

# A tensor on the wrong device must be noticed, or all of the above says nothing.
with FakeTensorMode(), torch.device("cuda"):
    model = MiniLLM.from_preset("nano", n_layers=2)
    model.rotary.frequencies = model.rotary.frequencies.cpu()
    try:
        training_step(model)
    except RuntimeError as error:
        assert "cuda:0 and cpu" in str(error), error
    else:
        raise AssertionError("a tensor on the CPU went unnoticed")
""",
        tmp_path,
    )


@pytest.mark.slow
@pytest.mark.parametrize("activation_checkpointing", [True, False])
def test_a_compiled_step_gives_the_same_loss_and_gradients(activation_checkpointing):
    model = random_model(activation_checkpointing=activation_checkpointing).train()
    tokens, labels = random_tokens(2, 20), random_tokens(2, 20)
    loss = model.loss(tokens, labels)
    expected = torch.autograd.grad(loss, list(model.parameters()))
    compiled = torch.compile(model.loss, fullgraph=True)(tokens, labels)
    torch.testing.assert_close(compiled, loss)
    gradients = torch.autograd.grad(compiled, list(model.parameters()))
    torch.testing.assert_close(gradients, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@torch.inference_mode()
def test_compiled_decoding_gives_the_same_logits():
    model, tokens = random_model(), random_tokens(1, 12)
    compiled, cache = torch.compile(model, fullgraph=True, dynamic=True), model.new_cache(1)
    parts = tokens.split([6, 1, 1, 1, 3], dim=1)
    logits = torch.cat([compiled(part, cache=cache) for part in parts], dim=1)
    torch.testing.assert_close(logits, model(tokens), atol=1e-4, rtol=1e-4)


def test_texts_packed_into_one_row_do_not_see_one_another():
    torch.manual_seed(0)
    model = MiniLLM.from_preset("nano").eval()
    first, second = torch.randint(6400, (1, 5)), torch.randint(6400, (1, 7))
    together = model.hidden_states(
        torch.cat([first, second], dim=1),
        positions=torch.cat([torch.arange(5), torch.arange(7)])[None],
        segment_ids=torch.tensor([[0] * 5 + [1] * 7]),
    )
    torch.testing.assert_close(together[:, :5], model.hidden_states(first))
    torch.testing.assert_close(together[:, 5:], model.hidden_states(second))
    with pytest.raises(ValueError, match="segment_ids and a cache exclude each other"):
        model.hidden_states(first, segment_ids=torch.zeros(1, 5), cache=model.new_cache())


@pytest.mark.parametrize("method", ["generate", "stream", "chat"])
def test_the_help_of_a_method_names_every_option_with_its_default(method):
    from minillm_lib.generation.sampling import SamplingConfig

    text = " ".join((getattr(MiniLLM, method).__doc__ or "").split())
    for name, field in SamplingConfig.model_fields.items():
        default = 0.0 if (name, method) == ("temperature", "chat") else field.default
        assert f"``{name}`` (" in text
        assert f"``{name}`` ({default}" in text or name == "stop"
