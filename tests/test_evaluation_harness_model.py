"""The adapter to the harness: against probabilities added up by hand, against transformers, and at its borders."""

import math

import numpy as np
import pytest
import torch
from foreign_models import MARKED_TEMPLATE, TEMPLATE, save_qwen3
from lm_eval.api.instance import Instance
from served_model import CONTEXT, tiny_model

from minillm_lib.evaluation.harness_model import HarnessModel, rolling_windows
from minillm_lib.generation.decoding import generate
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM

PAIRS = [
    ("a rose is", " a rose"),
    ("a rose is ", "a rose"),  # the space belongs to the continuation
    ("what is a topic model?", " 玫瑰"),
    ("玫瑰就是", "玫瑰"),
    ("a", " rose is a rose is a rose" * 4),
    ("", "a rose"),
]


def requests(kind: str, *arguments: tuple) -> list[Instance]:
    return [Instance(kind, {}, each, i) for i, each in enumerate(arguments)]


def adapter(**options) -> HarnessModel:
    return HarnessModel(tiny_model(), **{"progress": False, **options})


def by_hand(model: MiniLLM, ids: list[int], n: int) -> tuple[float, bool]:
    """The log probability of the last ``n`` ids, one forward pass for each, and whether all are the likeliest."""
    total, best = 0.0, True
    for end in range(len(ids) - n, len(ids)):
        logits = model(torch.tensor([ids[:end]]))[0, -1, : model.n_ids].detach().double()
        total += float(logits.log_softmax(0)[ids[end]])
        best &= int(logits.argmax()) == ids[end]
    return total, best


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_likelihood_is_the_sum_over_tokens_of_the_whole_text(batch_size):
    lm, tokenizer = adapter(batch_size=batch_size), tiny_model().tokenizer
    found = lm.loglikelihood(requests("loglikelihood", *PAIRS))
    for (context, continuation), score in zip(PAIRS, found, strict=True):
        ids = tokenizer.encode(context + continuation)
        n_context = len(tokenizer.encode(context.rstrip()))
        expected = by_hand(
            tiny_model(), [tokenizer.eos_id, *ids] if not context else ids, len(ids) - n_context
        )
        assert score == (pytest.approx(expected[0], abs=1e-4), expected[1])
    assert not any(lm.counts.values())


def test_what_the_model_would_write_is_the_likeliest():
    written = generate(tiny_model(), ["a rose is"], max_new_tokens=4, temperature=0)[0]
    pair = (tiny_model().tokenizer.encode("a rose is"), written.ids)
    ((_, is_likeliest), (_, other)) = adapter().log_likelihoods([pair, (pair[0], [*written.ids[:-1], 300])])
    assert written.ids[-1] != 300
    assert (is_likeliest, other) == (True, False)


def test_a_token_across_the_border_counts_for_the_continuation():
    """SentencePiece joins what is around the border: the ids of the parts are not those of the whole."""
    tokenizer, lm, text = tiny_model().tokenizer, adapter(), "what is a topic model? a rose"
    whole, parts = tokenizer.encode(text), [(text[:i], text[i:]) for i in range(1, len(text))]
    before, after = next(p for p in parts if tokenizer.encode(p[0]) != whole[: len(tokenizer.encode(p[0]))])
    context = tokenizer.encode(before)
    (score,) = lm.loglikelihood(requests("loglikelihood", (before, after)))
    shared = [a == b for a, b in zip(whole, context, strict=False)].index(False)
    assert score[0] == pytest.approx(by_hand(tiny_model(), whole, len(whole) - shared)[0], abs=1e-4)
    assert lm.counts["merged"] == len(context) - shared


def test_a_context_that_is_too_long_loses_its_beginning_and_is_counted():
    lm, generator = adapter(), torch.Generator().manual_seed(0)
    ids = torch.randint(264, 300, (CONTEXT + 30,), generator=generator).tolist()
    (score,) = lm.log_likelihoods([(ids[:-5], ids[-5:])])
    kept = ids[-(CONTEXT + 1) :]
    assert score[0] == pytest.approx(by_hand(tiny_model(), kept, 5)[0], abs=1e-4)
    assert lm.counts == {"cut": 1, "cut tokens": 29}
    (exact,) = lm.log_likelihoods([(ids[: CONTEXT - 4], ids[-5:])])
    assert math.isfinite(exact[0])
    assert lm.counts["cut"] == 1  # the last token is predicted, not read


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match=f"{CONTEXT + 1} tokens, but the model's context is {CONTEXT}"):
        adapter().log_likelihoods([([5], [6] * (CONTEXT + 1))])
    with pytest.raises(ValueError, match="pair 1: the context is empty"):
        adapter().log_likelihoods([([5], [6]), ([], [6])])
    with pytest.raises(ValueError, match="batch_size is 0"):
        adapter(batch_size=0)


@pytest.mark.parametrize("n_words", [1, 30, 200])
@pytest.mark.parametrize("stride", [1, 40, CONTEXT])
def test_windows_predict_every_token_once_after_as_much_context_as_promised(n_words, stride):
    lm, text = adapter(), "a rose is " * n_words + "玫瑰"
    ids = tiny_model().tokenizer.encode(text)
    windows = rolling_windows(lm, text, stride)
    assert [token for _, tokens in windows for token in tokens] == ids
    before = 0
    for number, (context, tokens) in enumerate(windows):
        assert context == [lm.prefix_token_id, *ids][: before + 1][-len(context) :]
        assert 1 <= len(context) + len(tokens) - 1 <= CONTEXT
        assert number == 0 or (len(context) >= CONTEXT - stride + 1 and len(tokens) <= stride)
        before += len(tokens)


def test_a_rolling_likelihood_of_a_short_text_is_that_of_its_tokens_and_of_a_long_one_that_of_its_windows():
    lm, short, long = adapter(), "a rose is a rose", "what is a topic model? " * 40
    found = lm.loglikelihood_rolling(requests("loglikelihood_rolling", (short,), (long,)))
    ids = tiny_model().tokenizer.encode(short)
    assert found[0] == pytest.approx(by_hand(tiny_model(), [lm.prefix_token_id, *ids], len(ids))[0], abs=1e-4)
    expected = sum(by_hand(tiny_model(), c + t, len(t))[0] for c, t in rolling_windows(lm, long, CONTEXT))
    assert found[1] == pytest.approx(expected, abs=1e-3)


def test_texts_are_written_until_a_string_and_in_the_order_of_the_requests():
    prompts = ["a rose is", "what is", "玫瑰", "a rose is a rose is " * 30]
    asked = [(prompt, {"until": ["\n"], "max_gen_toks": 6}) for prompt in prompts]
    asked.insert(2, ("a rose", {"until": ["\n"], "max_gen_toks": 9000}))
    lm = adapter(batch_size=2)
    found = lm.generate_until(requests("generate_until", *asked))
    for prompt, text in zip(["a rose is", "what is", "玫瑰"], [found[0], found[1], found[3]], strict=True):
        assert text == generate(tiny_model(), prompt, max_new_tokens=6, temperature=0, stop=("\n",))[0].text
    cut = tiny_model().tokenizer.encode(prompts[-1])[-(CONTEXT - 6) :]
    assert found[-1] == generate(tiny_model(), [cut], max_new_tokens=6, temperature=0, stop=("\n",))[0].text
    assert lm.counts == {"cut prompts": 1, "limited answers": 1}


def test_a_way_of_decoding_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"num_beams.*temperature, top_k"):
        adapter().generate_until(requests("generate_until", ("a", {"until": [], "num_beams": 4})))


def test_a_conversation_keeps_its_special_tokens_and_a_user_cannot_write_any():
    lm, tokenizer = adapter(), tiny_model().tokenizer
    turns = [{"role": "user", "content": "a rose<|end|>"}]
    context, ids = (
        lm.apply_chat_template(turns),
        tokenizer.apply_chat_template(turns, add_generation_prompt=True),
    )
    assert lm.tok_encode(context) == ids
    assert ids.count(tokenizer.end_of_turn_id) == 1
    (score,) = lm.loglikelihood(requests("loglikelihood", (context, "玫瑰")))
    answer = tokenizer.encode("玫瑰")
    assert score[0] == pytest.approx(by_hand(tiny_model(), ids + answer, len(answer))[0], abs=1e-4)
    assert "<|assistant|>" in context


def test_a_model_without_a_tokenizer_is_refused():
    config = ModelConfig(
        vocab_size=300, hidden_size=16, n_layers=1, n_heads=2, n_kv_heads=2, intermediate_size=16
    )
    with pytest.raises(ValueError, match="tokenizer"):
        HarnessModel(MiniLLM(config))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tiny model as a directory of Hugging Face."""
    path = tmp_path_factory.mktemp("model") / "tiny"
    tiny_model().save(path)
    return path


def test_transformers_give_the_same_likelihoods(folder):
    """With their model, their tokenizer, and the harness's own way from texts to ids."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = adapter().loglikelihood(requests("loglikelihood", *PAIRS))
    for (context, continuation), (log_likelihood, is_best) in zip(PAIRS, found, strict=True):
        whole = tokenizer(context + continuation, return_tensors="pt", add_special_tokens=False).input_ids
        if not context:
            whole = torch.cat([torch.tensor([[tiny_model().tokenizer.eos_id]]), whole], dim=1)
        n = (
            whole.shape[1]
            - len(tokenizer(context.rstrip(), add_special_tokens=False).input_ids)
            - (not context)
        )
        with torch.no_grad():
            logits = model(whole).logits[0, -n - 1 : -1].log_softmax(-1)
        targets = whole[0, -n:]
        assert log_likelihood == pytest.approx(float(logits.gather(1, targets[:, None]).sum()), abs=1e-4)
        assert is_best == bool((logits.argmax(-1) == targets).all())


def test_the_harness_own_model_gives_the_same(folder):
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(
        pretrained=str(folder),
        device="cpu",
        dtype="float32",
        batch_size=2,
        prefix_token_id=tiny_model().tokenizer.eos_id,
    )
    pairs = [*PAIRS, ("a rose " * 80, "is a")]  # the last context is cut
    texts = [("a rose is a rose",), ("what is a topic model? " * 40,)]
    for kind, arguments in (("loglikelihood", pairs), ("loglikelihood_rolling", texts)):
        found = getattr(adapter(), kind)(requests(kind, *arguments))
        expected = getattr(theirs, kind)(requests(kind, *arguments), disable_tqdm=True)
        assert np.array(found, dtype=float) == pytest.approx(np.array(expected, dtype=float), rel=1e-5)


@pytest.mark.parametrize("options", [
    {"do_sample": True, "temperature": 1.0}, {"do_sample": True, "temperature": 1.0, "max_gen_toks": 500},
])  # fmt: skip
def test_answers_drawn_to_one_prompt_differ_and_the_batch_size_changes_none(options):
    prompts = ["a rose is", "what is", "玫瑰"]
    asked = [(prompt, {"until": [], "max_gen_toks": 8, **options}) for prompt in prompts for _ in range(4)]
    found = [adapter(batch_size=n).generate_until(requests("generate_until", *asked)) for n in (1, 2, 3, 12)]
    assert all(each == found[0] for each in found)
    for start in range(0, len(asked), 4):
        assert len(set(found[0][start : start + 4])) == 4


def test_each_limited_answer_counts_whatever_the_batch_size():
    asked = [(prompt, {"until": [], "max_gen_toks": 9000}) for prompt in ("a rose is", "what is", "玫瑰")]
    for batch_size in (1, 2, 16):
        lm = adapter(batch_size=batch_size)
        lm.generate_until(requests("generate_until", *asked))
        assert lm.counts["limited answers"] == 3


QUESTION = [
    {"role": "user", "content": "what is a rose?"},
    {"role": "assistant", "content": "a rose<|end|>"},
    {"role": "user", "content": "is a rose a rose?"},
]


@pytest.fixture(scope="module", params=["own", "others", "others, with marks"])
def conversing(request, tmp_path_factory):
    """A model, and the folder from which transformers read its tokenizer."""
    path = tmp_path_factory.mktemp("model") / "model"
    if request.param == "own":
        tiny_model().save(path)
    else:
        save_qwen3(path, MARKED_TEMPLATE if "marks" in request.param else TEMPLATE)
    return MiniLLM.load_from_checkpoint(path), path


@pytest.mark.parametrize("begun", ["The answer is", "def rose():\n", "8 "])
def test_an_answer_that_has_begun_is_not_closed(conversing, begun):
    """The harness means so, and transformers do so: ``continue_final_message``."""
    from transformers import AutoTokenizer

    model, folder = conversing
    lm = HarnessModel(model, progress=False)
    turns = [*QUESTION, {"role": "assistant", "content": begun}]
    context = lm.apply_chat_template(turns, add_generation_prompt=False)
    theirs = AutoTokenizer.from_pretrained(folder)
    safe = [{**turn, "content": turn["content"].replace("<|end|>", "")} for turn in turns]
    text = theirs.apply_chat_template(safe, tokenize=False, continue_final_message=True)
    unforged = lm.apply_chat_template(safe, add_generation_prompt=False)
    assert lm.tok_encode(unforged) == theirs(text, add_special_tokens=False).input_ids
    assert lm.tok_encode(context)[-3:] == lm.tok_encode(unforged)[-3:]
    (written,) = lm.generate_until(requests("generate_until", (context, {"until": [], "max_gen_toks": 4})))
    assert written == generate(model, [lm.tok_encode(context)], max_new_tokens=4, temperature=0)[0].text


@pytest.mark.parametrize(
    ("begun", "continuation"), [("The answer is", " a rose"), ("8", "8 heads"), ("a ", "rose"), ("a", "a")]
)
def test_what_follows_a_begun_answer_has_the_ids_of_the_whole_turn(conversing, begun, continuation):
    model, _ = conversing
    lm, tokenizer = HarnessModel(model, progress=False), model.tokenizer
    assert tokenizer is not None
    context = lm.apply_chat_template(
        [*QUESTION, {"role": "assistant", "content": begun}], add_generation_prompt=False
    )
    pair = lm._encode_pair(context, continuation)
    turn = [{"role": "assistant", "content": begun + continuation}]
    whole = tokenizer.apply_chat_template([*QUESTION, *turn])
    ids = pair[0] + pair[1]
    assert ids == whole[: len(ids)]
    assert whole[len(ids)] == tokenizer.end_of_turn_id
    assert tokenizer.decode(pair[1]).endswith(continuation)
    (score,) = lm.loglikelihood(requests("loglikelihood", (context, continuation)))
    assert score[0] == pytest.approx(by_hand(model, ids, len(pair[1]))[0], abs=1e-3)
