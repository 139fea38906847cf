import gc
import random
import weakref

import pytest
import torch
from hypothesis import given, settings, strategies as st
from served_model import CONTEXT, tiny_model

from minillm_lib.generation import decoding
from minillm_lib.generation.decoding import generate
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.serving import batch as batches
from minillm_lib.serving.batch import Batch, EngineError
from minillm_lib.serving.served_text import ServedText

SAMPLINGS = [
    {"temperature": 0},
    {"temperature": 1.0, "seed": 3},
    {"temperature": 0.7, "top_k": 20, "seed": 4},
    {"temperature": 1.3, "top_p": 0.8, "min_p": 0.01, "seed": 5},
    {"temperature": 0, "repetition_penalty": 1.5},
    {"temperature": 0.9, "repetition_penalty": 1.2, "seed": 7},
]


def write_all(batch, arrivals, chance):
    """Add each text at some step, and write until all are finished; return the pieces of each."""
    waiting, pieces = list(arrivals), {id(text): "" for text in arrivals}
    while waiting or batch.texts:
        n_new = min(len(waiting), chance.choice([0, 0, 1, 2, 3]) if batch.texts else 1)
        new, waiting = waiting[:n_new], waiting[n_new:]
        for text, update in batch.add(new) if new else batch.step():
            pieces[id(text)] += update.piece
    return [pieces[id(text)] for text in arrivals]


@pytest.mark.parametrize(("fast", "slots_at_first"), [(False, 256), (True, 256), (True, 2)])
@given(seed=st.integers(0, 2**31))
@settings(max_examples=8)
def test_texts_that_come_and_go_are_what_generate_writes_for_each(fast, slots_at_first, seed):
    model, chance = tiny_model(), random.Random(seed)
    asked = [
        (
            [chance.randrange(8, 310) for _ in range(chance.randint(1, 40))],
            {**chance.choice(SAMPLINGS), "max_new_tokens": chance.choice([1, 2, 9, 30, None])},
        )
        for _ in range(9)
    ]
    texts = [ServedText(model, prompt, SamplingConfig(**how), streams=True) for prompt, how in asked]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(batches, "_SLOTS_AT_FIRST", slots_at_first)
        pieces = write_all(Batch(model, fast=fast), texts, chance)
    for text, piece, (prompt, how) in zip(texts, pieces, asked, strict=True):
        (expected,) = generate(model, [prompt], SamplingConfig(**how), fast=False)
        assert text.generation == expected
        assert piece == expected.text


@pytest.mark.parametrize("length", [1, 3, 8])
def test_pieces_contain_no_part_of_a_stop_string(length):
    model = tiny_model()
    how = {"temperature": 1.0, "max_new_tokens": 60}
    (first,) = generate(model, [[9]], SamplingConfig(**how, seed=0), fast=False)
    stop = first.text[12 : 12 + length]
    how["stop"] = (stop,)
    prompts = [[9 + row] for row in range(12)]
    texts = [
        ServedText(model, prompt, SamplingConfig(**how, seed=row), streams=True, n_alternatives=0)
        for row, prompt in enumerate(prompts)
    ]
    batch, scores = Batch(model, fast=False), {id(text): [] for text in texts}
    pieces = {id(text): "" for text in texts}
    updates = batch.add(texts)
    while updates:
        for text, update in updates:
            pieces[id(text)] += update.piece
            scores[id(text)] += update.scores
            assert stop not in pieces[id(text)]
        updates = batch.step() if batch.texts else []
    reasons = set()
    for row, (text, prompt) in enumerate(zip(texts, prompts, strict=True)):
        (expected,) = generate(model, [prompt], SamplingConfig(**how, seed=row), fast=False)
        assert pieces[id(text)] == text.generation.text == expected.text
        kept = [each.token for each in scores[id(text)]]
        assert kept == expected.ids[: len(kept)]
        assert model.tokenizer.decode(kept).startswith(expected.text)
        if expected.finish_reason != "stop_string":
            assert kept == expected.ids
        reasons.add(expected.finish_reason)
    assert "stop_string" in reasons


def test_scores_are_the_log_probabilities_of_the_model():
    model, prompt = tiny_model(), [20, 21, 22, 300]
    sampling = SamplingConfig(temperature=2.0, top_k=50, seed=1, max_new_tokens=8)
    text = ServedText(model, prompt, sampling, n_alternatives=3, with_prompt=True)
    batch = Batch(model, fast=False)
    updates = batch.add([text])
    while batch.texts:
        updates = batch.step()
    ((_, update),) = updates
    ids = prompt + text.generation.ids
    with torch.inference_mode():
        log_p = model(torch.tensor([ids]))[0].log_softmax(-1)
    assert [each.token for each in update.scores] == ids
    assert update.scores[0].log_probability is None
    for place, each in enumerate(update.scores[1:]):
        assert each.log_probability == pytest.approx(float(log_p[place, each.token]), abs=1e-3)
        best = log_p[place].topk(3)
        assert [token for token, _ in each.alternatives] == best.indices.tolist()
        assert each.start == len(
            model.tokenizer.decode(ids[: place + 1])
        ) or "\ufffd" in model.tokenizer.decode(ids[: place + 1])


def test_in_bfloat16_scores_are_those_of_float32_to_its_digits():
    model, prompts = tiny_model(), [[30, 31], [40], [50, 51, 52]]
    tokenizer = model.tokenizer
    batch = Batch(model, bf16=True)
    texts = [  # the last one ends alone, on the fast path
        ServedText(model, prompt, SamplingConfig(temperature=0, max_new_tokens=length), n_alternatives=2)
        for prompt, length in zip(prompts, (3, 6, 20), strict=True)
    ]
    scores = {id(text): [] for text in texts}
    updates = batch.add(texts)
    while updates:
        for text, update in updates:
            scores[id(text)] += update.scores
        updates = batch.step() if batch.texts else []
    assert model.tokenizer is tokenizer
    assert model.embed_tokens.weight.dtype == torch.float32
    for text, prompt in zip(texts, prompts, strict=True):
        with torch.inference_mode():
            log_p = model(torch.tensor([prompt + text.generation.ids]))[0].log_softmax(-1)
        differences = [
            each.log_probability - float(log_p[place, each.token])
            for place, each in enumerate(scores[id(text)], start=len(prompt) - 1)
        ]
        assert 1e-5 < max(map(abs, differences)) < 0.05


def test_a_text_that_is_given_up_leaves_the_others_as_they_are():
    model, sampling = tiny_model(), SamplingConfig(temperature=0, max_new_tokens=40)
    prompts = [[30, 31], [40], [50, 51, 52]]
    texts = [ServedText(model, prompt, sampling) for prompt in prompts]
    batch = Batch(model, fast=True)
    batch.add(texts)
    for _ in range(3):
        batch.step()
    batch.remove(texts[0])
    while batch.texts:
        batch.step()
    for text, prompt in zip(texts[1:], prompts[1:], strict=True):
        assert text.generation == generate(model, [prompt], sampling, fast=False)[0]
    assert texts[0].generation.finish_reason is None


def test_a_full_context_ends_a_text():
    model = tiny_model()
    text = ServedText(model, [9] * (CONTEXT - 1), SamplingConfig(temperature=0, max_new_tokens=None))
    ((_, update),) = Batch(model, fast=False).add([text])
    assert update.finish_reason in ("context", "stop")


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_ids_without_a_piece_are_neither_drawn_nor_named(fast_steps, penalty):
    model = tiny_model.__wrapped__(vocab_size=400, tied_embeddings=False)
    with torch.no_grad():
        model.lm_head.weight[310:] *= 1000
    how = SamplingConfig(temperature=1.5, seed=0, repetition_penalty=penalty, max_new_tokens=25)
    text, batch = ServedText(model, [30, 31], how, n_alternatives=5), Batch(model)
    updates = batch.add([text])
    while batch.texts:
        updates = batch.step()
    ((_, update),) = updates
    assert text.generation == generate(model, [[30, 31]], how, fast=False)[0]
    assert fast_steps == text.generation.ids[: len(fast_steps)]
    assert len(fast_steps) > 2
    assert all(token < 310 for score in update.scores for token, _ in score.alternatives)


def test_a_text_that_is_alone_takes_memory_as_it_grows_and_gives_it_back(fast_steps, monkeypatch):
    """However long the context is: most answers are short."""
    model, made, new_cache = tiny_model(max_seq_len=50_000), [], MiniLLM.new_cache

    def noted(self, *sizes, **more):
        cache = new_cache(self, *sizes, **more)
        made.append((cache.max_len, weakref.ref(cache)))
        return cache

    monkeypatch.setattr(decoding, "_default_end_ids", lambda model: ())
    sampling = SamplingConfig(temperature=0, max_new_tokens=None)
    (expected,) = generate(model, [[30, 31]], sampling, max_new_tokens=601, fast=False)
    monkeypatch.setattr(MiniLLM, "new_cache", noted)
    text, batch = ServedText(model, [30, 31], sampling), Batch(model)
    batch.add([text])
    for n_tokens in range(2, 602):
        batch.step()
        assert sum(size for size, cache in made if cache()) <= max(2 * n_tokens, 300)
    assert text.generation.ids == expected.ids
    assert len(fast_steps) == 600
    batch.remove(text)
    gc.collect()
    assert not any(cache() for _, cache in made)


@pytest.mark.parametrize("joins", [False, True], ids=["in the batch", "as it joins"])
def test_an_error_about_one_text_ends_only_that(joins, monkeypatch, caplog):
    model, sampling = tiny_model(), SamplingConfig(temperature=0, max_new_tokens=9)
    texts = [ServedText(model, prompt, sampling) for prompt in ([30, 31], [40], [50, 51, 52])]
    append, n_before = ServedText.append, 0 if joins else 4

    def wrong(self, *news):
        if self is texts[1] and len(self.generation.ids) == n_before:
            raise IndexError("no such token")
        return append(self, *news)

    monkeypatch.setattr(ServedText, "append", wrong)
    batch, ends = Batch(model, fast=False), {}
    updates = batch.add(texts)
    while updates:
        ends |= {id(text): update for text, update in updates if update.is_last}
        updates = batch.step() if batch.texts else []
    for text in (texts[0], texts[2]):
        assert ends[id(text)].error is None
        assert text.generation == generate(model, [text.prompt], sampling, fast=False)[0]
    assert isinstance(ends[id(texts[1])].error, EngineError)
    assert len(texts[1].generation.ids) == n_before
    assert "an error ended 1 text\n" in caplog.text
    assert "no such token" in caplog.text


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("where", ["minillm_lib.serving.batch.pad_left", "minillm_lib.serving.batch.choose"])
def test_texts_that_cannot_join_leave_the_batch_as_it_was(where, fast, monkeypatch):
    model, sampling = tiny_model(), SamplingConfig(temperature=0, max_new_tokens=20)
    batch, text = Batch(model, fast=fast), ServedText(model, [30, 31], sampling)
    batch.add([text])
    for _ in range(5):
        batch.step()
    with monkeypatch.context() as patched:
        patched.setattr(where, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            batch.add([ServedText(model, [40], sampling), ServedText(model, [41, 42], sampling)])
    assert batch.texts == [text]
    while batch.texts:
        batch.step()
    assert text.generation == generate(model, [text.prompt], sampling, fast=False)[0]
