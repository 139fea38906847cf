"""``course-faq``: its form, and agreement with the code where the answers describe it."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from itertools import groupby
from pathlib import Path

import pytest

from minillm_lib.corpora.conversations import LANGUAGES
from minillm_lib.corpora.faq import faq_questions, load_course_faq, written_dialogues
from minillm_lib.model.config import PRESETS, ModelConfig
from minillm_lib.tokenizer import SPECIAL_TOKENS
from minillm_lib.training.config import PretrainConfig, SFTConfig

SENTENCE_END = {"en": r"[.!?](?=[)\"]?(?:\s|$))", "zh": r"[。！？]"}
SIZE = {"en": (200, 450), "zh": (60, 160)}
FOLLOW_UP_SIZE = {"en": 170, "zh": 75}
SMALL_TALK = {"course-hello", "course-thanks", "course-bye", "course-ok", "course-compliment"}
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


def everything_said():
    replies = [text for each in faq_questions() for text in (each.answer, each.why, each.example)]
    replies += [
        turn.content for each in written_dialogues() for turn in each.turns if turn.role == "assistant"
    ]
    return "\n".join(replies)


@pytest.fixture(params=LANGUAGES)
def questions(request):
    return faq_questions(request.param)


def test_there_are_350_questions_in_thirty_phrasings_and_two_held_out(questions):
    assert len(questions) >= 350
    assert all(len(question.phrasings) >= 30 and len(question.held_out) >= 2 for question in questions)
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


def test_reasons_and_examples_follow_every_answer_except_small_talk(questions):
    for question in questions:
        for text in (question.why, question.example):
            assert bool(text) == (question.id not in SMALL_TALK), question.id
            assert len(text) <= FOLLOW_UP_SIZE[question.language], question.id
    texts = Counter(text for each in questions for text in (each.answer, each.why, each.example) if text)
    assert max(texts.values()) == 1


def test_each_text_is_in_its_language():
    for question in faq_questions():
        replies = (question.answer, question.why, question.example)
        for text in filter(None, (*replies, *question.phrasings, *question.held_out)):
            has_han = re.search(r"[\u4e00-\u9fff]", text) is not None
            assert text == text.strip()
            if text == question.answer:
                assert has_han == (question.language == "zh"), (question.id, text)
            elif question.language == "en":
                n_han, n_latin = (
                    len(re.findall(letter, text)) for letter in (r"[\u4e00-\u9fff]", "[A-Za-z]")
                )
                assert n_han <= n_latin, (question.id, text)


def test_no_phrasing_is_asked_under_two_ids_or_in_both_splits():
    asked = defaultdict(set)
    for split in ("train", "test"):
        for conversation in load_course_faq(split):
            asked[normalised(conversation.turns[0].content)].add((split, conversation.meta["id"]))
    assert {text: places for text, places in asked.items() if len(places) > 1} == {}
    said = {normalised(turn.content) for each in written_dialogues() for turn in each.turns}
    assert not said & {normalised(each.turns[0].content) for each in load_course_faq("test")}


def test_the_question_of_the_issue_is_held_out():
    question = "讲讲 LDA 与 Transformer 的差异？"
    assert any(question == each.turns[0].content for each in load_course_faq("test", "zh"))
    assert not any(question == turn.content for each in load_course_faq() for turn in each.turns)


def test_held_out_phrasings_are_no_trivial_edits(questions):
    n = {"en": 3, "zh": 2}[questions[0].language]
    for question in questions:
        phrasings = {phrasing: n_grams(phrasing, n) for phrasing in question.phrasings}
        for held_out in question.held_out:
            a = n_grams(held_out, n)
            for phrasing, b in phrasings.items():
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
    for language in LANGUAGES:
        own = written_dialogues(language)
        assert len(own) >= 12
        assert {(each.meta["topic"], each.meta["language"]) for each in own} == {("multi_turn", language)}
        assert all(4 <= len(each.turns) <= 6 for each in own)
    assert all(len(each.turns) == 2 for split in ("train", "test") for each in load_course_faq(split))


def test_splits_and_languages_divide_the_whole():
    n_phrasings = sum(len(question.phrasings) for question in faq_questions())
    train, test = load_course_faq(), load_course_faq("test")
    assert len(train) == n_phrasings
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
    assert set(re.findall(r"<\|.*?\|>", everything_said())) <= set(SPECIAL_TOKENS)


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


def options_by_command():
    """Return the options of each command, such as ``"data stats"``, as its ``--help`` lists them."""
    from typer.main import get_command

    from minillm_lib.cli.main import app

    found = {}

    def walk(command, name):
        found[name] = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        for own_name, own in getattr(command, "commands", {}).items():
            walk(own, f"{name} {own_name}".strip())

    walk(get_command(app), "")
    return found


def command_lines():
    """Yield the words of each command line that an answer gives, after ``minillm``."""
    for line in re.findall(r"\bminillm ((?:[\x21-\x7e]+ ?)+)", everything_said().replace("`", " \u00b6")):
        yield line.split()


def test_the_commands_and_options_that_answers_name_exist():
    options = options_by_command()
    for command in ("pretrain", "sft", "plan"):  # these take any key of a configuration as an option
        options[command] |= {f"--{key}" for key in (*PretrainConfig.model_fields, *SFTConfig.model_fields)}
    named = set()
    for command, *words in command_lines():
        command = command.rstrip(".,;:)'")
        assert command in options, command
        if words and f"{command} {words[0]}" in options:
            command = f"{command} {words.pop(0)}"
        named.add(command)
        for word in words:
            word = word.rstrip(".,;:)'")
            if re.fullmatch(r"--?[a-z][\w-]*", word):
                assert word in options[command] | {"--help"}, (command, word)
    assert {"lda", "doctor", "chat", "serve", "eval", "init", "topics apply"} <= named
    elsewhere = {"--nbval", "--nproc_per_node", "--help"}
    every = set().union(*options.values(), elsewhere)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z_-]*[a-z](?![\w.])", everything_said())) <= every


def test_the_files_targets_and_notebooks_that_answers_name_exist():
    root = Path(__file__).parent.parent
    said = everything_said()
    for name in re.findall(r"\b(?:configs|course|solutions|results/26m|benchmarks)/[\w./-]*\w", said):
        assert (root / name).exists(), name
    targets = set(re.findall(r"\bmake ([a-z-]+)[`，。、]", said))
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "lab"} <= targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    numbers = re.findall(r"[Nn]otebooks? (\d+)|(\d+) 号 ?notebook", said)
    assert {f"{int(a or b):02}" for a, b in numbers} == {
        path.name[:2] for path in (root / "course").glob("*.ipynb")
    }


def test_the_keys_of_configurations_that_answers_name_exist():
    from minillm_lib.training.config import SHORT_NAMES, TrainConfig

    keys = set(re.findall(r"--train\.([a-z_.]*[a-z])", everything_said()))
    sections = {"optimizer": TrainConfig().optimizer, "schedule": TrainConfig().schedule}
    for key in keys:
        section, _, name = key.rpartition(".")
        known = type(sections[section]).model_fields if section else {*TrainConfig.model_fields, *SHORT_NAMES}
        assert name in known, key
    assert "steps" in keys


def test_the_figures_that_answers_quote_are_those_recorded():
    root = Path(__file__).parent.parent
    pages = ("README.md", "book/pages/measured.md", "results/26m/README.md")
    recorded = "".join((root / page).read_text(encoding="utf-8") for page in pages)
    answers = {(each.id, each.language): each for each in faq_questions()}
    for name, figures in {
        "pretraining-run-26m": ("7,016", "11.69"),
        "pretraining-classic-run": ("59.6", "82.9"),
        "rope-measured": ("49.1", "13.6", "14.4"),
        "sft-perplexity": ("49.4", "1.95", "44.2", "1.01", "68.7", "13.5"),
    }.items():
        for language in LANGUAGES:
            each = answers[name, language]
            for figure in figures:
                assert figure in recorded
                plain = f"{each.answer} {each.why} {each.example}"
                assert figure in plain or figure.replace(",", "") in plain, (name, language, figure)


def test_some_phrasings_of_each_question_are_its_first():
    every, some = (
        load_course_faq("train", "en", topics=["rope"]),
        load_course_faq("train", "en", topics=["rope"], phrasings=3),
    )
    wordings, first = (
        {
            key: [each.turns[0].content for each in own]
            for key, own in groupby(conversations, lambda each: each.meta["id"])
        }
        for conversations in (every, some)
    )
    assert first == {name: own[:3] for name, own in wordings.items()}
    with pytest.raises(ValueError, match="phrasings is 0; it must be at least 1"):
        load_course_faq("train", phrasings=0)
