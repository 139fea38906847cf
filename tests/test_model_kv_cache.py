import pytest
import torch
from hugging_face_reference import SCALINGS, small_config
from hypothesis import given, settings, strategies as st

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.kv_cache import KVCache

BLOCKS = {
    "llama": {},
    "mha, untied": {"n_kv_heads": 4, "tied_embeddings": False},
    "mqa, wide heads": {"n_kv_heads": 1, "head_dim": 20},
    "qk_norm": {"qk_norm": True},
    "yarn": {"rope_scaling": SCALINGS["yarn"]},
    "llama3": {"rope_scaling": SCALINGS["llama3"]},
    "dynamic": {"rope_scaling": SCALINGS["dynamic"]},
    "classic": {"positions": "learned", "norm": "layer", "feed_forward": "gelu", "attention_bias": True},
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_model(**overrides):
    model = MiniLLM(small_config(**overrides)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.2)
    return model


@pytest.mark.parametrize("block", BLOCKS)
@torch.inference_mode()
def test_cached_logits_equal_uncached_ones_at_every_position(block):
    model, tokens = random_model(**BLOCKS[block]), torch.randint(0, 97, (2, 30))
    expected, cache = model(tokens), model.new_cache(2)
    for t in range(30):
        logits = model(tokens[:, t : t + 1], cache=cache)
        torch.testing.assert_close(logits[:, 0], expected[:, t], atol=1e-4, rtol=1e-4)


@given(parts=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
@torch.inference_mode()
def test_a_text_may_come_in_parts_of_any_length(parts, seed):
    torch.manual_seed(seed)
    model, tokens = random_model(), torch.randint(0, 97, (2, sum(parts)))
    cache = model.new_cache(2, max_len=sum(parts))
    logits = torch.cat([model(part, cache=cache) for part in tokens.split(parts, dim=1)], dim=1)
    torch.testing.assert_close(logits, model(tokens), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("block", BLOCKS)
@torch.inference_mode()
def test_ragged_batch_decodes_exactly_as_each_row_alone(block):
    torch.manual_seed(1)
    model, lengths, steps = random_model(**BLOCKS[block]), (3, 9, 1, 6), 12
    longest = max(lengths)
    prompts = [torch.randint(0, 97, (1, length)) for length in lengths]
    later = torch.randint(0, 97, (len(lengths), steps))
    padded = torch.full((len(lengths), longest), 5)
    mask = torch.zeros(len(lengths), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        padded[row, longest - prompt.shape[1] :] = prompt
        mask[row, longest - prompt.shape[1] :] = 1
    cache = model.new_cache(len(lengths), max_len=longest + steps)
    together = [model(padded, attention_mask=mask, cache=cache)[:, -1]]
    together += [model(later[:, t : t + 1], cache=cache)[:, -1] for t in range(steps)]
    for row, prompt in enumerate(prompts):
        own = model.new_cache(1, max_len=longest + steps)
        alone = [model(prompt, cache=own)[:, -1]]
        alone += [model(later[row : row + 1, t : t + 1], cache=own)[:, -1] for t in range(steps)]
        for step in range(steps + 1):
            torch.testing.assert_close(together[step][row], alone[step][0], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_padding_may_also_come_later_for_rows_that_have_finished():
    model, tokens = random_model(), torch.randint(0, 97, (2, 6))
    cache = model.new_cache(2)
    model(tokens[:, :4], cache=cache)
    model(tokens[:, 4:5], attention_mask=torch.tensor([[1], [0]]), cache=cache)
    logits = model(tokens[:, 5:6], cache=cache)
    torch.testing.assert_close(logits[0, 0], model(tokens[:1])[0, 5], atol=1e-4, rtol=1e-4)
    skipped = torch.cat([tokens[1:, :4], tokens[1:, 5:]], dim=1)
    torch.testing.assert_close(logits[1, 0], model(skipped)[0, 4], atol=1e-4, rtol=1e-4)


def test_overflow_says_how_much_room_is_needed():
    model = random_model()
    cache = model.new_cache(1, max_len=10)
    model(torch.zeros(1, 8, dtype=torch.long), cache=cache)
    with pytest.raises(ValueError, match=r"8 of 10 slots are used and 3 more are needed.*max_len=11"):
        model(torch.zeros(1, 3, dtype=torch.long), cache=cache)
    assert cache.length == 8
    model(torch.zeros(1, 2, dtype=torch.long), cache=cache)


def test_a_batch_of_another_size_is_refused():
    model = random_model()
    with pytest.raises(ValueError, match="made for 3 rows, but the input has 2"):
        model(torch.zeros(2, 1, dtype=torch.long), cache=model.new_cache(3))


def test_memory_is_allocated_once_and_handed_out_as_views():
    cache = KVCache(small_config(), batch_size=2, max_len=16)
    cache.extend(2, 4)
    new = torch.randn(2, 2, 4, 12)
    keys, values = cache.update(1, new, 2 * new)
    assert keys.untyped_storage().data_ptr() == cache.keys.untyped_storage().data_ptr()
    torch.testing.assert_close(keys, new)
    torch.testing.assert_close(values, 2 * new)
    assert cache.nbytes == 2 * 2 * 2 * 2 * 16 * 12 * 4


def test_no_gradient_flows_into_the_past():
    model = random_model()
    cache = model.new_cache(1)
    assert model(torch.tensor([[1, 2, 3]]), cache=cache).requires_grad
    assert not cache.keys.requires_grad
    assert not cache.values.requires_grad
