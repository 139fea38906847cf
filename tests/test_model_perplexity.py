import math
from statistics import mean

import pytest
import torch
from hugging_face_reference import small_config
from torch.nn.functional import cross_entropy

from minillm_lib.model.config import Llama3Scaling, YarnScaling
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.perplexity import perplexity_by_position


def random_model(**overrides):
    model = MiniLLM(small_config(**overrides))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.2)
    return model


@pytest.mark.parametrize("batch_size", [1, 3])
def test_buckets_are_the_mean_cross_entropy_of_their_positions(batch_size):
    model, text = random_model(), torch.randint(0, 97, (4 * 20 + 7,))
    buckets = perplexity_by_position(model, text, window=20, bucket=8, batch_size=batch_size)
    windows = text[:80].view(4, 20)
    with torch.no_grad():
        losses = cross_entropy(model(windows[:, :-1]).mT, windows[:, 1:], reduction="none")
    assert [(each.start, each.end, each.n_tokens) for each in buckets] == [
        (0, 8, 32),
        (8, 16, 32),
        (16, 19, 12),
    ]
    for each in buckets:
        expected = losses[:, each.start : each.end].mean().item()
        assert each.loss == pytest.approx(expected, rel=1e-5)
        assert each.perplexity == pytest.approx(math.exp(expected), rel=1e-4)


def test_plain_rotation_fails_beyond_the_trained_length_and_scaling_helps():
    """A model that has learned to repeat what stood 4 tokens earlier, within 32 positions."""
    torch.manual_seed(0)
    model = MiniLLM(small_config(vocab_size=24, hidden_size=64, max_seq_len=32))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(250):
        tokens = torch.randint(0, 24, (16, 4)).repeat(1, 9)[:, :33]
        optimizer.zero_grad()
        model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
        optimizer.step()
    text = torch.cat([torch.randint(0, 24, (4,)).repeat(32) for _ in range(16)])

    def loss_within_and_beyond(scaling):
        config = model.config if scaling is None else model.config.with_rope_scaling(scaling)
        scaled = MiniLLM(config)
        scaled.load_state_dict(model.state_dict())
        buckets = perplexity_by_position(scaled, text, window=128, bucket=16, batch_size=4)
        return buckets[1].loss, mean(bucket.loss for bucket in buckets[4:])

    within, beyond = loss_within_and_beyond(None)
    assert beyond > 10 * within
    assert loss_within_and_beyond(Llama3Scaling(factor=4))[1] < 0.75 * beyond
    assert loss_within_and_beyond(YarnScaling(factor=4))[1] < 0.9 * beyond


def test_the_models_mode_is_left_as_it_was():
    model = random_model(dropout=0.5).train()
    first, second = (perplexity_by_position(model, torch.arange(64), window=32) for _ in range(2))
    assert first == second
    assert model.training
    perplexity_by_position(model.eval(), torch.arange(64), window=32)
    assert not model.training


def test_a_text_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match=r"\(31,\).*window=32"):
        perplexity_by_position(random_model(), torch.arange(31))
    with pytest.raises(ValueError, match="one dimension"):
        perplexity_by_position(random_model(), torch.zeros(40, 2, dtype=torch.long))
