"""Sampling against the same methods of transformers, and against exact probabilities."""

from __future__ import annotations

from math import inf

import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import chisquare
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from minillm_lib.generation.sampling import (
    SamplingConfig,
    apply_temperature,
    choose_tokens,
    filter_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
    sample,
)


@pytest.fixture(params=range(5))
def logits(request):
    """Scores ``(4, 50)``, row by row from nearly flat to peaked."""
    generator = torch.Generator().manual_seed(request.param)
    return torch.randn(4, 50, generator=generator) * torch.tensor([[0.1], [1.0], [3.0], [10.0]])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("temperature", [0.1, 0.8, 3.0])
def test_temperature_is_that_of_transformers(logits, temperature):
    expected = TemperatureLogitsWarper(temperature)(None, logits)
    torch.testing.assert_close(apply_temperature(logits, temperature), expected, rtol=0, atol=0)


@pytest.mark.parametrize("k", [1, 7, 50, 99])
def test_top_k_is_that_of_transformers(logits, k):
    assert torch.equal(keep_top_k(logits, k), TopKLogitsWarper(k)(None, logits))


def test_top_k_keeps_ties_as_transformers_does():
    tied = torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0]])
    assert torch.equal(keep_top_k(tied, 2), TopKLogitsWarper(2)(None, tied))
    assert keep_top_k(tied, 2).isfinite().sum() == 3


@pytest.mark.parametrize("p", [0.001, 0.3, 0.9, 0.999])
def test_top_p_is_that_of_transformers(logits, p):
    assert torch.equal(keep_top_p(logits, p), TopPLogitsWarper(p)(None, logits))


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 1.0])
def test_min_p_is_that_of_transformers(logits, p):
    assert torch.equal(keep_min_p(logits, p), MinPLogitsWarper(p)(None, logits))


@pytest.mark.parametrize("penalty", [0.7, 1.3, 5.0])
def test_the_repetition_penalty_is_that_of_transformers(logits, penalty):
    input_ids = torch.randint(50, (4, 20), generator=generator())
    seen = torch.zeros(4, 50, dtype=torch.bool).scatter(1, input_ids, True)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(input_ids, logits)
    assert torch.equal(penalise_repetition(logits, seen, penalty), expected)


def test_all_together_are_those_of_transformers_in_their_order(logits):
    config = SamplingConfig(temperature=1.7, top_k=30, top_p=0.95, min_p=0.05)
    theirs = LogitsProcessorList(
        [TemperatureLogitsWarper(1.7), TopKLogitsWarper(30), TopPLogitsWarper(0.95), MinPLogitsWarper(0.05)]
    )
    assert torch.equal(filter_logits(logits, config), theirs(None, logits))


@given(
    scores=arrays.arrays("float32", 12, elements=st.floats(-20, 20, width=32), unique=True),
    p=st.floats(0.01, 0.99),
)
def test_top_p_keeps_the_fewest_tokens_that_have_probability_p(scores, p):
    logits = torch.from_numpy(scores)[None]
    kept = keep_top_p(logits, p).isfinite()
    probabilities = logits.double().softmax(dim=-1)
    mass, least = probabilities[kept].sum(), probabilities[kept].min()
    assert mass >= p - 1e-5
    assert kept.sum() == 1 or mass - least < p + 1e-5
    assert (probabilities[~kept] <= least).all()


def test_a_draw_has_exactly_the_probabilities_of_the_filtered_scores():
    """Drawn frequencies of 60,000 tokens agree with the renormalised probabilities of the tokens that were kept."""
    logits = torch.tensor([[2.0, 1.5, 0.3, -0.2, -1.0, 1.5, -4.0, 0.9]])
    config = SamplingConfig(temperature=1.3, top_k=6, top_p=0.97, min_p=0.05)
    kept = [0, 1, 2, 5, 7, 3]
    expected = (logits[0, kept].double() / 1.3).softmax(dim=-1) * 60_000
    draws = sample(filter_logits(logits, config).expand(60_000, -1), [generator()] * 60_000)
    counts = draws.bincount(minlength=8)
    assert counts.sum() == counts[kept].sum()
    assert chisquare(counts[kept].numpy(), expected.numpy()).pvalue > 0.001


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_never_draw_a_token_of_probability_zero(monkeypatch, uniform):
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([uniform], dtype=torch.float64))
    logits = torch.tensor([[-inf, 0.0, 0.7, -inf, -0.3, -inf]])
    assert sample(logits, [generator()]).item() == (1 if uniform == 0 else 4)


def test_a_draw_does_not_depend_on_the_neighbours():
    logits = torch.randn(3, 40, generator=generator(7))
    together = sample(logits, [generator(seed) for seed in range(3)])
    alone = [sample(logits[seed : seed + 1], [generator(seed)]).item() for seed in range(3)]
    assert together.tolist() == alone


def test_zero_temperature_takes_the_likeliest_token_after_the_penalty():
    logits, seen = torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([[True, False, False]])
    assert choose_tokens(logits, SamplingConfig(temperature=0), seen, []).item() == 0
    penalised = SamplingConfig(temperature=0, repetition_penalty=2.0)
    assert choose_tokens(logits, penalised, seen, []).item() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": 1e-9}, "write 0 to take the likeliest"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": 1e-40}, "greater than or equal to 0.000001"),
        ({"repetition_penalty": 1e30}, "less than or equal to 1000000"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"stop": [""]}, "stop"),
        ({"temprature": 1}, r"unknown key 'temprature' .*; did you mean 'temperature'"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        SamplingConfig(**options)


def test_a_single_stop_string_need_not_be_in_a_list():
    assert SamplingConfig(stop="\n").stop == ("\n",)


@pytest.mark.parametrize("penalty", [1e-6, 1e6])
@pytest.mark.parametrize("temperature", [1e-6, 1.0, 1e300])
def test_extremes_that_are_allowed_still_leave_a_distribution(penalty, temperature):
    config = SamplingConfig(temperature=temperature, repetition_penalty=penalty, seed=0)
    logits = torch.tensor([[-1e5, -3.0, 0.0, 2.0, 1e5], [-4.0, -3.0, -2.0, -1.0, -1e5]])
    drawn = choose_tokens(logits, config, torch.ones(2, 5, dtype=torch.bool), [generator(), generator()])
    assert drawn.max() < 5
