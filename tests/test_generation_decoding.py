"""Batched, cached generation against one prompt at a time without a cache."""

from __future__ import annotations

import pytest
import torch
from hugging_face_reference import SCALINGS, model_pair
from scripted_model import ScriptedModel

from minillm_lib.generation.decoding import generate
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [3], [12, 13, 12], [4, 4, 4, 4, 4, 4, 4]]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a rose is a rose is a rose, one in 12 ÷ 3 = 4"] * 9, vocab_size=310)


def tiny_model(**overrides):
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 48}
    config = {"vocab_size": 97, "max_seq_len": 32, "initializer_range": 0.3, **shape, **overrides}
    return MiniLLM(ModelConfig(**config)).eval()


def greedy_without_cache(model, prompt, n_tokens):
    ids = list(prompt)
    for _ in range(n_tokens):
        with torch.no_grad():
            ids.append(model(torch.tensor([ids]))[0, -1].argmax().item())
    return ids[len(prompt) :]


SHAPES = {
    "gqa": {},
    "mqa with qk norm, untied": {"n_kv_heads": 1, "qk_norm": True, "tied_embeddings": False},
    "classic": {"positions": "learned", "norm": "layer", "feed_forward": "gelu", "n_kv_heads": 4},
    "yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 8}},
    "dynamic, within the trained length": {"rope_scaling": {"rope_type": "dynamic", "factor": 2}},
}


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
def test_a_batch_of_prompts_of_different_length_gives_what_each_prompt_gives_alone(overrides):
    model = tiny_model(**overrides)
    together = generate(model, PROMPTS, temperature=0, max_new_tokens=20)
    for prompt, generation in zip(PROMPTS, together, strict=True):
        assert generation.ids == greedy_without_cache(model, prompt, 20)
        assert generate(model, prompt, temperature=0, max_new_tokens=20) == [generation]
        assert generation.finish_reason == "length"


@pytest.mark.parametrize("scaling", ["none", "yarn", "llama3"])
def test_greedy_batches_are_those_of_transformers(scaling):
    shape = {"hidden_size": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 48}
    config = ModelConfig(vocab_size=97, max_seq_len=64, rope_scaling=SCALINGS[scaling], **shape)
    ours, theirs = model_pair(config)
    padding = [7 - len(prompt) for prompt in PROMPTS]
    padded = torch.tensor([[0] * n + prompt for n, prompt in zip(padding, PROMPTS, strict=True)])
    mask = torch.tensor([[0] * n + [1] * (7 - n) for n in padding])
    expected = theirs.generate(
        padded,
        attention_mask=mask,
        max_new_tokens=30,
        do_sample=False,
        repetition_penalty=1.3,
        pad_token_id=0,
    )
    rows = generate(ours, PROMPTS, temperature=0, max_new_tokens=30, repetition_penalty=1.3)
    assert [row.ids for row in rows] == expected[:, 7:].tolist()


def test_dynamic_scaling_beyond_the_trained_length_is_the_rows_own():
    """Each row is stretched by its own length, not by that of the longest."""
    model = tiny_model(max_seq_len=16, rope_scaling={"rope_type": "dynamic", "factor": 2})
    together = generate(model, PROMPTS, temperature=0, max_new_tokens=None)
    assert {len(row.ids) for row in together} == {32 - len(prompt) for prompt in PROMPTS}
    assert together == [generate(model, prompt, temperature=0, max_new_tokens=None)[0] for prompt in PROMPTS]


def test_a_rows_sample_does_not_depend_on_its_neighbours():
    """Row ``i`` of a batch with seed ``s`` is the prompt alone with seed ``s + i``."""
    model, sampling = tiny_model(), SamplingConfig(temperature=1.5, top_p=0.9, max_new_tokens=20)
    together = generate(model, PROMPTS, sampling, seed=11)
    for row, prompt in enumerate(PROMPTS):
        assert generate(model, prompt, sampling, seed=11 + row) == [together[row]]


def test_rows_with_the_same_prompt_and_other_seeds_are_different_samples():
    model = tiny_model()
    rows = generate(model, [PROMPTS[0]] * 8, temperature=2.0, max_new_tokens=10, seed=0)
    assert len({tuple(row.ids) for row in rows}) == 8
    again = generate(model, [PROMPTS[0]] * 8, temperature=2.0, max_new_tokens=10, seed=0)
    other = generate(model, [PROMPTS[0]] * 8, temperature=2.0, max_new_tokens=10, seed=100)
    assert rows == again
    assert rows != other


def test_an_end_token_ends_its_own_row_only():
    model = tiny_model()
    expected = [greedy_without_cache(model, prompt, 20) for prompt in PROMPTS]
    end = expected[0][4]
    rows = generate(model, PROMPTS, temperature=0, max_new_tokens=20, end_ids=[end])
    for row, ids in zip(rows, expected, strict=True):
        if end in ids:
            assert (row.ids, row.finish_reason) == (ids[: ids.index(end)], "stop")
        else:
            assert (row.ids, row.finish_reason) == (ids, "length")
    assert {row.finish_reason for row in rows} == {"stop", "length"}


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_each_row_runs_to_the_end_of_its_own_context_and_says_so(positions):
    """A short prompt beside a long one is given the whole context, as it would be alone."""
    model = tiny_model(positions=positions)
    rows = generate(model, PROMPTS, temperature=0, max_new_tokens=None)
    for prompt, row in zip(PROMPTS, rows, strict=True):
        assert row.ids == greedy_without_cache(model, prompt, 32 - len(prompt))
        assert row.finish_reason == "context"


def test_the_context_end_comes_before_a_longer_max_new_tokens():
    model = tiny_model()
    reasons = {n: generate(model, [1] * 30, max_new_tokens=n)[0].finish_reason for n in (1, 2, 3)}
    assert reasons == {1: "length", 2: "length", 3: "context"}


def test_a_stop_string_that_spans_tokens_ends_the_text_before_it(tokenizer):
    script = [*tokenizer.encode("a rose is a "), *tokenizer.encode("rose is one")]
    model = ScriptedModel(tokenizer, script)
    (row,) = generate(model, "?", stop=["se is o", "never"], max_new_tokens=None)
    assert row.text == "a rose is a ro"
    assert row.finish_reason == "stop_string"
    assert "se is o" in tokenizer.decode(row.ids)
    assert "se is o" not in tokenizer.decode(row.ids[:-1])


@pytest.mark.parametrize("name", ["eos_id", "end_of_turn_id"])
def test_the_tokenizers_end_tokens_end_a_text(tokenizer, name):
    model = ScriptedModel(tokenizer, [*tokenizer.encode("a rose"), getattr(tokenizer, name), 300])
    (row,) = generate(model, "is", temperature=0)
    assert (row.text, row.finish_reason) == ("a rose", "stop")


def test_strings_ids_and_tensors_are_the_same_prompt(tokenizer):
    model = tiny_model(vocab_size=310)
    model.tokenizer = tokenizer
    ids = tokenizer.encode("a rose is")
    forms = ["a rose is", ["a rose is"], ids, [ids], torch.tensor(ids), torch.tensor([ids])]
    results = [generate(model, form, temperature=0, max_new_tokens=5) for form in forms]
    assert all(result == results[0] for result in results)
    assert results[0][0].text == tokenizer.decode(results[0][0].ids)
    start = generate(model, "", temperature=0, max_new_tokens=5)
    assert start == generate(model, [tokenizer.bos_id], temperature=0, max_new_tokens=5)


def test_a_huge_repetition_penalty_repeats_neither_text_nor_prompt_nor_counts_padding():
    model = tiny_model(tied_embeddings=False)
    options = {"temperature": 0, "repetition_penalty": 1e6, "max_new_tokens": 20}
    rows = generate(model, PROMPTS, **options)
    for prompt, row in zip(PROMPTS, rows, strict=True):
        assert len(set(row.ids) | set(prompt)) == 20 + len(set(prompt))
        assert generate(model, prompt, **options) == [row]


def test_dropout_is_off_and_every_module_returns_to_its_mode():
    model = tiny_model(dropout=0.9)
    expected = generate(model, PROMPTS, temperature=0, max_new_tokens=8)
    model.train()
    model.layers[1].eval()
    modes = [module.training for module in model.modules()]
    assert generate(model, PROMPTS, temperature=0, max_new_tokens=8) == expected
    assert [module.training for module in model.modules()] == modes


def test_an_interruption_leaves_the_model_in_its_mode(tokenizer):
    model = ScriptedModel(tokenizer, [300, KeyboardInterrupt()]).train()
    with pytest.raises(KeyboardInterrupt):
        generate(model, "a rose")
    assert model.training


def test_training_goes_on_after_generating():
    """Nothing of inference mode stays behind in the model's buffers."""
    model = tiny_model().train()
    generate(model, PROMPTS, max_new_tokens=3)
    model(torch.tensor(PROMPTS[:1])).sum().backward()
    assert model.embed_tokens.weight.grad is not None
    assert not model.embed_tokens.weight.is_inference()


def test_half_precision_generates():
    model = tiny_model().bfloat16()
    assert len(generate(model, PROMPTS, max_new_tokens=5, seed=0)[1].ids) == 5


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "there is no prompt"),
        ([[1], []], "prompt 1 is empty"),
        ([[1], [2] * 32], r"prompt 1 has 32 tokens, but the model's context is 32; at most 31"),
        ([[1, 97]], r"prompt 0 has the token 97; ids are from 0 to 96"),
        ([[-1]], "prompt 0 has the token -1"),
        ("text", r"this model has none: set model.tokenizer, load"),
    ],
)
def test_a_prompt_that_cannot_be_continued_is_named(prompts, message):
    with pytest.raises(ValueError, match=message):
        generate(tiny_model(), prompts)


def test_stop_strings_need_a_tokenizer():
    with pytest.raises(ValueError, match="this model has none"):
        generate(tiny_model(), [1], stop="x")


def test_a_model_generates_streams_and_chats_by_itself(tokenizer):
    reply = [*tokenizer.encode("a rose"), tokenizer.end_of_turn_id]
    model = ScriptedModel(tokenizer, reply * 3)
    assert model.generate("one", temperature=0)[0].text == "a rose"
    assert "".join(model.stream("one", sampling=SamplingConfig(temperature=0))) == "a rose"
    assert model.chat("one?", history=[], temperature=0) == "a rose"


@pytest.mark.parametrize("penalty", [1.0, 1.3])
@pytest.mark.parametrize("fast", [True, False])
def test_ids_without_a_piece_are_never_drawn_though_the_head_favours_them(tokenizer, fast, penalty):
    model = tiny_model(vocab_size=400, tied_embeddings=False)
    model.tokenizer = tokenizer
    with torch.no_grad():
        model.lm_head.weight[310:] *= 1000
        assert model(torch.tensor([[300]]))[0, -1].argmax() >= 310
    options = {"max_new_tokens": 25, "temperature": 1.5, "seed": 0, "repetition_penalty": penalty}
    drawn = generate(model, [[300], [301]] if not fast else [[300]], end_ids=(), fast=fast, **options)
    assert all(len(each.ids) == 25 and max(each.ids) < 310 for each in drawn)
    with pytest.raises(ValueError, match="prompt 0 has the token 310; ids are from 0 to 309"):
        generate(model, [[310]])


def test_the_loss_spreads_its_probability_over_ids_with_a_piece_only(tokenizer):
    padded, exact = tiny_model(vocab_size=400), tiny_model(vocab_size=310)
    state = padded.state_dict()
    exact.load_state_dict(state | {"embed_tokens.weight": state["embed_tokens.weight"][:310]})
    padded.tokenizer = tokenizer
    ids = torch.randint(310, (2, 20), generator=torch.Generator().manual_seed(0))
    losses = [model.loss(ids[:, :-1], ids[:, 1:]) for model in (padded, exact)]
    torch.testing.assert_close(*losses)
    losses[0].backward()
    assert not padded.embed_tokens.weight.grad[310:].any()


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.7, "top_k": 3, "seed": 4}])
def test_each_id_comes_with_its_log_probability_before_truncation(options):
    model = tiny_model()
    for prompt, row in zip(PROMPTS, generate(model, PROMPTS, max_new_tokens=6, **options), strict=True):
        log_p = model(torch.tensor([prompt + row.ids]))[0].log_softmax(-1)
        expected = [log_p[len(prompt) - 1 + place, token].item() for place, token in enumerate(row.ids)]
        assert row.log_probs == pytest.approx(expected, abs=1e-4)
