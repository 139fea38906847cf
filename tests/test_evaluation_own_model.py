"""What is measured of a model of one's own text, and what keeps one from passing in notebook 18."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from minillm_lib import MiniLLM, ModelConfig, Tokenizer, load_grammar, pack, pretrain
from minillm_lib.checks.exercises.your_own_model.judging import problem_of, problem_of_figures
from minillm_lib.corpora.faq import FaqQuestion
from minillm_lib.evaluation import (
    OwnModelFigures,
    bits_per_byte,
    examine_own_model,
    leaked_documents,
    own_questions,
)
from minillm_lib.generation.answers import AnswerReport, CheckedAnswer
from minillm_lib.training import PretrainConfig, TokenWindows

TINY = {"hidden_size": 16, "n_layers": 1, "n_heads": 2, "intermediate_size": 32, "max_seq_len": 64}


@pytest.fixture(scope="module")
def texts():
    return [document.text for document in load_grammar("en").generate(60, seed=0)]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return Tokenizer.train(texts, vocab_size=400)


def packed(texts, tokenizer, path):
    return pack(texts, tokenizer, path, progress=False)


def report(n=50, right=50, ended=50):
    questions = [FaqQuestion(str(i), "own", "en", f"answer {i}", (f"question {i}",), ()) for i in range(n)]
    answers = (
        CheckedAnswer(each, each.phrasings[0], each.answer, each.id if i < right else "", i < ended, 0.0)
        for i, each in enumerate(questions)
    )
    return AnswerReport(tuple(answers))


GOOD = OwnModelFigures(100_000, 500_000, 20_000, 0, 2.6, 2.1, 2.3, 2.0, report(right=0), report(), None)


def test_bits_per_byte_of_a_model_that_knows_nothing_are_those_of_a_uniform_guess(texts, tokenizer, tmp_path):
    file = packed(texts[:10], tokenizer, tmp_path / "validation.tokens")
    model = MiniLLM(ModelConfig(vocab_size=400, **TINY))
    model.tokenizer = tokenizer
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    rows = TokenWindows(file, 64)
    labels = rows[:].labels
    n_bytes = sum(tokenizer.byte_lengths[label] for label in labels.flatten().tolist())
    expected = labels.numel() * math.log2(400) / n_bytes
    assert bits_per_byte(model, rows) == pytest.approx(expected, rel=1e-5)


def test_a_model_without_a_tokenizer_is_refused(texts, tokenizer, tmp_path):
    rows = TokenWindows(packed(texts[:5], tokenizer, tmp_path / "validation.tokens"), 32)
    with pytest.raises(ValueError, match="no tokenizer"):
        bits_per_byte(MiniLLM(ModelConfig(vocab_size=400, **TINY)), rows)


def test_copies_in_the_training_text_are_found_whatever_their_case_and_what_stands_around_them(
    texts, tokenizer, tmp_path
):
    held_out = packed(texts[:4], tokenizer, tmp_path / "validation.tokens")
    others = texts[10:40]
    clean = packed(others, tokenizer, tmp_path / "clean.tokens")
    dirty = packed([*others, texts[0], f"Before. {texts[1]} After."], tokenizer, tmp_path / "dirty.tokens")
    assert leaked_documents(clean, held_out, tokenizer) == 0
    assert leaked_documents(dirty, held_out, tokenizer) == 2


def test_copies_are_found_wherever_they_stand_in_a_long_training_text(texts, tokenizer, tmp_path):
    held_out = packed(texts[:4], tokenizer, tmp_path / "validation.tokens")
    train = [str(number) for number in range(41_000)]
    train[1], train[40_997] = texts[0], texts[1]
    assert leaked_documents(packed(train, tokenizer, tmp_path / "train.tokens"), held_out, tokenizer) == 2


def test_conversations_with_one_answer_are_one_question_whose_last_wording_is_held_out(tmp_path):
    path = tmp_path / "own.jsonl"
    lines = [("A?", "one"), ("B?", "two"), ("A, please?", "one"), ("Tell me A", "one"), ("B again?", "two")]
    path.write_text("\n".join(json.dumps({"question": q, "answer": a}) for q, a in lines))
    first, second = own_questions(path)
    assert (first.phrasings, first.held_out) == (("A?", "A, please?"), ("Tell me A",))
    assert (second.phrasings, second.held_out) == (("B?", "B again?"), ())


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({}, None),
        ({"n_held_out": 500}, "too few to judge"),
        ({"n_leaked": 2}, "leaks"),
        ({"base_bits": 2.7}, "counting pairs"),
        ({"base_bits": 0.4}, "too good to be true"),
        ({"after": report(n=30, right=30, ended=30)}, "30 questions"),
        ({"after": report(ended=20)}, "end by themselves"),
        ({"after": report(right=20)}, "own questions right"),
        ({"chat_bits": 4.0}, "forgotten"),
    ],
)
def test_each_condition_has_its_message(change, part):
    message = problem_of_figures(dataclasses.replace(GOOD, **change))
    assert (message is None) if part is None else part in message


def test_what_is_no_dict_of_paths_is_told_so():
    assert "dict" in problem_of(["runs/mine"])
    assert "missing" in problem_of({"run": "runs/mine"})
    assert "nothing" in problem_of(dict.fromkeys(("run", "chat", "conversations"), "/there/is/nothing"))


@pytest.fixture(scope="module")
def untrained(texts, tokenizer, tmp_path_factory):
    """A run of two steps, its model as a chat model, and two questions."""
    folder = tmp_path_factory.mktemp("own")
    tokenizer.save(folder / "packed" / "tokenizer.model")
    packed(texts[:50], tokenizer, folder / "packed" / "train.tokens")
    packed(texts[50:], tokenizer, folder / "packed" / "validation.tokens")
    config = PretrainConfig.model_validate({
        "run": folder / "run", "output": folder / "base", "model": TINY, "data": {"packed": folder / "packed"},
        "train": {"steps": 2, "batch_size": 2, "seq_len": 32, "device": "cpu", "precision": "float32"},
    })  # fmt: skip
    run = pretrain(config, progress=False)
    questions = folder / "own.jsonl"
    questions.write_text(
        '{"question": "Who?", "answer": "Nobody here."}\n{"question": "Why?", "answer": "Because."}\n'
    )
    return {"run": str(run.folder), "chat": str(folder / "base"), "conversations": str(questions)}


def test_the_figures_come_from_the_files_and_not_from_the_records(untrained):
    figures = examine_own_model(untrained["run"], untrained["chat"], untrained["conversations"])
    assert figures.n_parameters == MiniLLM.load_from_checkpoint(untrained["chat"]).config.n_parameters
    assert figures.base_bits == pytest.approx(figures.chat_bits)
    assert figures.base_bits > figures.ngram_bits  # two steps are not enough
    assert figures.before.right_share() <= 0.5
    assert figures.reworded is None


def test_a_model_that_has_learned_nothing_does_not_pass(untrained):
    assert "too few to judge" in problem_of(untrained) or "counting pairs" in problem_of(untrained)


def test_a_chat_model_of_another_tokenizer_is_refused(untrained, texts, tmp_path):
    other = MiniLLM(ModelConfig(vocab_size=320, **TINY))
    other.save(tmp_path / "other", Tokenizer.train(texts, vocab_size=320))
    message = problem_of(untrained | {"chat": str(tmp_path / "other")})
    assert "another tokenizer" in message
