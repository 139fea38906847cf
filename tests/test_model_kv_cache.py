import random

import pytest
import torch
from hugging_face_reference import SCALINGS, small_config
from hypothesis import given, settings, strategies as st

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.kv_cache import ChangingCache, KVCache

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


def read(model, tokens):
    """A cache that holds these tokens, ``(rows, seq)``; a row may begin with -1, which is padding."""
    cache = model.new_cache(*tokens.shape)
    model(tokens.clamp(min=0), attention_mask=tokens >= 0, cache=cache)
    return cache


@pytest.mark.parametrize("block", BLOCKS)
@given(seed=st.integers(0, 2**31))
@settings(max_examples=3, deadline=None)
@torch.inference_mode()
def test_rows_come_and_go_and_each_is_decoded_as_if_alone(block, seed):
    """Through many moves and growths of the memory, every row's logits are those of its text without a cache."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    model = random_model(**BLOCKS[block])
    cache = ChangingCache(model.config)
    texts = []
    for _ in range(45):
        if texts and chance.random() < 0.2:
            row = chance.randrange(len(texts))
            cache.remove_row(row)
            texts[row] = texts[-1]
            texts.pop()
        if chance.random() < 0.3 or not texts:
            new = [torch.randint(0, 97, (chance.randint(1, 9),)) for _ in range(chance.randint(1, 3))]
            longest = max(map(len, new))
            cache.add_rows(
                read(model, torch.stack([torch.cat([-torch.ones(longest - len(t)).long(), t]) for t in new]))
            )
            texts += new
        if max(map(len, texts)) > 24:
            cache.clear()
            texts = []
            continue
        tokens = torch.randint(0, 97, (len(texts), 1))
        logits = model(tokens, cache=cache)
        texts = [torch.cat([text, token]) for text, token in zip(texts, tokens, strict=True)]
        assert cache.row_lengths == [len(text) for text in texts]
        assert (cache.batch_size, cache.length) == (len(texts), max(map(len, texts)))
        for row, text in enumerate(texts):
            torch.testing.assert_close(logits[row, 0], model(text[None])[0, -1], atol=2e-4, rtol=2e-4)


@torch.inference_mode()
def test_memory_of_changing_rows_is_used_again():
    model = random_model()
    cache = ChangingCache(model.config)
    sizes = set()
    for step in range(400):
        if step % 20 == 0:
            if step:
                cache.remove_row(0)
            cache.add_rows(read(model, torch.randint(0, 97, (1, 6))))
        model(torch.zeros(1, 1, dtype=torch.long), cache=cache)
        sizes.add(cache.nbytes)
    assert len(sizes) == 1
    assert cache.max_len < 26 + 2 * 64


def test_changing_rows_cannot_be_skipped_or_miscounted():
    model = random_model()
    cache = ChangingCache(model.config)
    cache.add_rows(read(model, torch.tensor([[1, 2], [3, 4]])))
    with pytest.raises(ValueError, match="has 2 rows, but the input has 3"):
        cache.extend(3, 1)
    with pytest.raises(ValueError, match="every row is given tokens"):
        cache.extend(2, 1, torch.ones(2, 1, dtype=torch.bool))


@torch.inference_mode()
def test_a_cleared_cache_is_as_a_new_one():
    model, tokens = random_model(), torch.randint(0, 97, (2, 7))
    cache = model.new_cache(2)
    padded = torch.tensor([[1], [0]]).expand(2, 7)
    model(tokens, attention_mask=padded, cache=cache)
    assert cache.row_lengths == [7, 0]
    cache.clear()
    torch.testing.assert_close(model(tokens, cache=cache), model(tokens), atol=1e-5, rtol=1e-5)
    assert cache.row_lengths == [7, 7]


@pytest.mark.parametrize(
    "sizes", [[(1, 2000), (20, 10)], [(20, 10), (1, 2000)]], ids=["long first", "long last"]
)
@torch.inference_mode()
def test_many_short_rows_and_a_long_one_do_not_add_up_to_many_long_ones(sizes):
    config = small_config(max_seq_len=4000)
    cache = ChangingCache(config)
    for n_rows, n_tokens in sizes:
        new = KVCache(config, n_rows, n_tokens)
        new.extend(n_rows, n_tokens)
        cache.add_rows(new)
        while cache.batch_size > 1:
            cache.remove_row(0)
        cache.extend(1, 1)
        if n_rows == 1:
            cache.remove_row(0)
    _, n_rows, _, n_slots, _ = cache.keys.shape
    assert n_rows * n_slots < 2 * 2100
