"""What issue 4 asks of ``course-faq``, and agreement with the code where the answers describe it."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from minillm_lib.corpora.conversations import LANGUAGES
from minillm_lib.corpora.faq import faq_questions, load_course_faq
from minillm_lib.model.config import PRESETS, ModelConfig
from minillm_lib.tokenizer import SPECIAL_TOKENS

SENTENCE_END = {"en": r"[.!?](?=[)\"]?(?:\s|$))", "zh": r"[。！？]"}
SIZE = {"en": (200, 450), "zh": (60, 160)}
SUBJECTS = {
    *(
        "lda",
        "gibbs_sampling",
        "topic_evaluation",
        "tokenizers",
        "rope",
        "rmsnorm",
        "swiglu",
        "gqa",
        "kv_cache",
    ),
    *("pretraining", "sft", "course"),
}


def normalised(text):
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower())


def n_grams(text, n):
    text = normalised(text)
    return {text[i : i + n] for i in range(len(text) - n + 1)}


@pytest.fixture(params=LANGUAGES)
def questions(request):
    return faq_questions(request.param)


def test_there_are_150_questions_and_six_phrasings_and_two_held_out(questions):
    assert len(questions) >= 150
    assert all(len(question.phrasings) >= 6 and len(question.held_out) >= 2 for question in questions)
    assert len({question.id for question in questions}) == len(questions)


def test_both_languages_ask_the_same_questions_about_every_subject():
    english, chinese = ([(q.id, q.topic) for q in faq_questions(language)] for language in LANGUAGES)
    assert english == chinese
    assert {topic for _, topic in english} >= SUBJECTS


def test_answers_are_one_to_five_sentences_of_the_agreed_length(questions):
    for question in questions:
        low, high = SIZE[question.language]
        assert low <= len(question.answer) <= high, question.id
        assert 1 <= len(re.findall(SENTENCE_END[question.language], question.answer)) <= 5, question.id
        assert re.search(r"[.!?。！？]$", question.answer), question.id


def test_each_text_is_in_its_language():
    for question in faq_questions():
        for text in (question.answer, *question.phrasings, *question.held_out):
            has_han = re.search(r"[\u4e00-\u9fff]", text) is not None
            assert text == text.strip()
            if text == question.answer or question.language == "en":
                assert has_han == (question.language == "zh"), (question.id, text)


def test_no_phrasing_is_asked_under_two_ids_or_in_both_splits():
    asked = defaultdict(set)
    for split in ("train", "test"):
        for conversation in load_course_faq(split):
            for turn in conversation.turns:
                if turn.role == "user":
                    asked[normalised(turn.content)].add((split, conversation.meta["id"]))
    assert {text: places for text, places in asked.items() if len(places) > 1} == {}


def test_the_question_of_the_issue_is_held_out():
    question = "讲讲 LDA 与 Transformer 的差异？"
    assert any(question == each.turns[0].content for each in load_course_faq("test", "zh"))
    assert not any(question == turn.content for each in load_course_faq() for turn in each.turns)


def test_held_out_phrasings_are_no_trivial_edits(questions):
    n = {"en": 3, "zh": 2}[questions[0].language]
    for question in questions:
        for held_out, phrasing in itertools.product(question.held_out, question.phrasings):
            a, b = n_grams(held_out, n), n_grams(phrasing, n)
            assert len(a & b) / len(a | b) < 0.75, (held_out, phrasing)


def test_no_answer_can_be_taken_for_another(questions):
    """Answers are told apart by the overlap of their n-grams, so less than half of any may stand in another."""
    n = {"en": 4, "zh": 2}[questions[0].language]
    grams = {question.id: n_grams(question.answer, n) for question in questions}
    for (a, of_a), (b, of_b) in itertools.combinations(grams.items(), 2):
        assert len(of_a & of_b) < 0.5 * min(len(of_a), len(of_b)), (a, b)
    assert max(Counter(question.answer[:12] for question in questions).values()) == 1


def test_chinese_phrasings_that_end_like_questions_have_the_chinese_mark():
    phrasings = [text for q in faq_questions("zh") for text in (*q.phrasings, *q.held_out)]
    assert not [text for text in phrasings if text.endswith("?")]


def test_several_turns_are_for_training_and_in_both_languages():
    several = [each for each in load_course_faq() if each.meta["topic"] == "multi_turn"]
    for language in LANGUAGES:
        own = [each for each in several if each.meta["language"] == language]
        assert len(own) >= 12
        assert all(4 <= len(each.turns) <= 6 for each in own)
    assert all(len(each.turns) == 2 for each in load_course_faq("test"))


def test_splits_and_languages_divide_the_whole():
    n_phrasings = sum(len(question.phrasings) for question in faq_questions())
    train, test = load_course_faq(), load_course_faq("test")
    assert len([each for each in train if each.meta["topic"] != "multi_turn"]) == n_phrasings
    assert len(test) == sum(len(question.held_out) for question in faq_questions())
    assert all(each.meta["held_out"] for each in test)
    for split, whole in (("train", train), ("test", test)):
        parts = [load_course_faq(split, language) for language in LANGUAGES]
        assert sum(map(len, parts)) == len(whole)
    with pytest.raises(ValueError, match="language is 'de'; allowed are 'en', 'zh', None"):
        load_course_faq(language="de")
    with pytest.raises(ValueError, match="split is 'validation'; allowed are 'train', 'test'"):
        load_course_faq("validation")


def test_answers_name_no_special_token_that_does_not_exist():
    everything = " ".join(turn.content for each in load_course_faq() for turn in each.turns)
    assert set(re.findall(r"<\|.*?\|>", everything)) <= set(SPECIAL_TOKENS)


def test_the_numbers_of_the_presets_are_those_of_the_configuration():
    answers = {(q.id, q.language): q.answer for q in faq_questions()}
    config = ModelConfig.from_preset("26m")
    for language in LANGUAGES:
        assert f"{config.n_parameters:,}" in answers["decoder-parameters", language]
        classic = ModelConfig.from_preset("26m-classic")
        assert f"{classic.n_parameters:,}" in answers["decoder-classic", language]
        cache = answers["kv-cache-bytes", language]
        per_token = config.kv_cache_bytes(1, 1, bytes_per_value=1)
        assert f"= {per_token} " in cache
        for name in ("nano", "tiny", "104m"):
            width = PRESETS[name]["intermediate_size"]
            assert re.search(rf"\b{width} for {name}|{name} 的 {width}", answers["swiglu-1408", language])
        assert "1e-5" in answers["rmsnorm-eps", language]
    assert config.norm_eps == 1e-5


def test_the_defaults_that_answers_name_are_those_of_the_code():
    from inspect import signature

    from minillm_lib.corpora.cleaning.duplicates import find_duplicates, shingles
    from minillm_lib.topics.document_term import bag_of_words
    from minillm_lib.topics.gibbs_lda import GibbsLDA

    def defaults(function):
        return {name: each.default for name, each in signature(function).parameters.items()}

    lda = defaults(GibbsLDA.__init__)
    assert (lda["alpha"], lda["beta"], lda["n_topics"], lda["thin"]) == (0.1, 0.1, 10, 10)
    assert (lda["burn_in"], lda["n_transform_sweeps"]) == (None, 20)
    bag = defaults(bag_of_words)
    assert (bag["phrase_min_count"], bag["phrase_min_npmi"]) == (5, 0.3)
    assert defaults(find_duplicates)["threshold"] == 0.8
    assert defaults(shingles)["size"] == 5
    assert defaults(GibbsLDA.perplexity)["method"] == "document_completion"


def test_the_commands_and_targets_that_answers_name_exist():
    from typer.main import get_command

    from minillm_lib.cli.main import app

    answers = " ".join(
        turn.content for each in load_course_faq() for turn in each.turns if turn.role == "assistant"
    )
    commands = set(re.findall(r"\bminillm ([a-z]+)", answers))
    assert {"lda", "doctor"} <= commands <= set(get_command(app).commands)
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z]+)`", answers))
    assert {"demo", "lab"} <= targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
