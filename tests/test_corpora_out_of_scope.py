"""``out-of-scope`` and ``course-dialogues``: what they are made of, and that the splits stay apart."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from minillm_lib.corpora.conversations import LANGUAGES
from minillm_lib.corpora.dialogues import load_course_dialogues
from minillm_lib.corpora.faq import faq_questions, load_course_faq, written_dialogues
from minillm_lib.corpora.follow_ups import FOLLOW_UPS, said_after
from minillm_lib.corpora.held_out_questions import free_dialogues, free_questions
from minillm_lib.corpora.out_of_scope import all_declines, decline_in, load_out_of_scope


def normalised(text):
    return re.sub(r"[\W_]+", "", text.lower())


def asked(conversations):
    return {
        normalised(turn.content) for each in conversations for turn in each.turns if turn.role == "user"
    } - {""}


@pytest.fixture(scope="module")
def train():
    return load_out_of_scope()


def test_every_question_gets_the_decline_in_its_language(train):
    for each in (*train, *load_out_of_scope("test")):
        assert each.turns[1].content == decline_in(each.meta["language"])
    assert len(set(all_declines().values())) == len(all_declines()) >= 15
    assert all(len(text) <= 160 for text in all_declines().values())
    with pytest.raises(ValueError, match="no decline in 'la'; there are some in en, zh"):
        decline_in("la")


def test_there_are_thousands_of_them_of_many_kinds(train):
    for language in LANGUAGES:
        kinds = Counter(each.meta["category"] for each in train if each.meta["language"] == language)
        assert kinds.total() > 4000
        assert {"near-miss", "arithmetic", "code", "geography", "small-talk", "nonsense", "other-ml"} <= set(
            kinds
        )
        assert kinds["near-miss"] > 800
        assert len(load_out_of_scope("test", language)) > 300


def test_no_frame_keeps_an_empty_slot(train):
    assert not [each for each in train if re.search(r"\{\w+\}", each.turns[0].content)]


def test_no_question_of_the_course_is_declined(train):
    declined = asked(train) | asked(load_out_of_scope("test"))
    answered = asked(load_course_faq()) | asked(load_course_faq("test"))
    assert declined & answered == set()


def test_held_out_questions_are_not_trained_on(train):
    assert asked(train) & asked(load_out_of_scope("test")) == set()


def test_the_arguments_decide_the_questions(train):
    assert load_out_of_scope() == train
    assert load_out_of_scope(seed=1) != train
    fewer = load_out_of_scope("train", "en", per_frame=1, n_nonsense=0)
    assert {each.meta["language"] for each in fewer} == {"en"}
    assert len(fewer) < len(load_out_of_scope("train", "en"))
    for call, message in (
        (lambda: load_out_of_scope("dev"), "split is 'dev'; allowed are 'train', 'test'"),
        (lambda: load_out_of_scope("train", "fr"), "language is 'fr'; allowed are 'en', 'zh' and None"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_follow_ups_are_many_and_held_out_ones_are_different():
    for kind, follow_up in FOLLOW_UPS.items():
        for language in LANGUAGES:
            own = set(map(normalised, follow_up.wordings(language, held_out=False)))
            held_out = set(map(normalised, follow_up.wordings(language, held_out=True)))
            assert len(own) > (10 if kind == "again" else 25), kind
            assert held_out, kind
            assert not own & held_out


def replies():
    by_language = {}
    for language in LANGUAGES:
        for each in faq_questions(language):
            by_language[each.id, language] = each
    return by_language


@pytest.mark.parametrize("split", ["train", "test"])
def test_each_reply_is_what_its_question_asks_for(split):
    """Follow the conversations turn by turn: a follow-up must be about what was said last."""
    by_language = replies()
    found = {}
    for (name, language), each in by_language.items():
        found[each.answer] = (name, language, "answer")
        found[each.why] = (name, language, "why")
        found[each.example] = (name, language, "example")
    kinds = Counter()
    for dialogue in load_course_dialogues(split, copies=1):
        if "kinds" not in dialogue.meta:
            continue
        said = dialogue.turns[1::2]
        n_first = len(said) - len(dialogue.meta["kinds"])
        if n_first == 1 and not dialogue.meta["kinds"]:
            continue
        last = found[said[n_first - 1].content]
        for kind, turn in zip(dialogue.meta["kinds"], said[n_first:], strict=True):
            kinds[kind] += 1
            if kind == "out_of_scope":
                assert turn.content in all_declines().values()
                last = None
                continue
            name, language, part = found[turn.content]
            if kind == "thanks":
                assert name == "course-thanks"
                continue
            if kind in ("why", "example"):
                assert (name, language, part) == (last[0], last[1], kind)
            elif kind == "translation":
                assert (name, part) == (last[0], last[2])
                assert language != last[1]
            elif kind == "again":
                assert (name, language, part) == last
            last = name, language, part
    assert set(kinds) == {"why", "example", "translation", "again", "thanks", "out_of_scope", "new"}


def test_dialogues_for_test_are_in_words_that_training_does_not_have():
    known = asked(load_course_dialogues("train")) | asked(written_dialogues())
    assert asked(load_course_dialogues("test")) & known == set()


def test_training_has_whole_answers_and_what_was_written_by_hand():
    train = load_course_dialogues("train", "en", copies=2)
    counts = Counter(len(each.turns) for each in train)
    assert counts[2] >= 2 * len(faq_questions("en"))
    assert len([each for each in train if each.meta.get("topic") == "multi_turn"]) == 2 * len(
        written_dialogues("en")
    )
    with pytest.raises(ValueError, match="copies is 0; it must be at least 1"):
        load_course_dialogues(copies=0)


def test_what_suits_one_answer_leads_somewhere_and_is_not_held_out():
    ids = {each.id for each in faq_questions("en")}
    held_out = {
        normalised(turn.question) for each in (*free_dialogues(), *free_questions()) for turn in each.turns
    }
    held_out |= asked(load_course_faq("test"))
    for kind in FOLLOW_UPS.values():
        held_out |= {
            normalised(text) for language in LANGUAGES for text in kind.wordings(language, held_out=True)
        }
    for (own, language), said in said_after().items():
        assert own in ids
        assert language in LANGUAGES
        assert {"why", "example", "again"} == set(said.by_kind)
        assert all(said.by_kind.values())
        assert all(other in ids - {own} for _, other in said.new)
        texts = [*(text for kind in said.by_kind.values() for text in kind), *(text for text, _ in said.new)]
        assert not {normalised(text) for text in texts} & held_out
    assert len(said_after()) > 700


def test_dialogues_for_training_say_what_suits_an_answer_and_those_for_test_do_not():
    said = said_after()["attention-what", "en"]
    suited = {text for kind in said.by_kind.values() for text in kind} | {text for text, _ in said.new}
    train = load_course_dialogues("train", "en", topics=["attention"], copies=30)
    follow = {
        turn.content: after.content
        for each in train
        for turn, after in zip(each.turns, each.turns[1:], strict=False)
    }
    heard = suited & follow.keys()
    assert len(heard) > len(suited) / 2
    by_id = {each.id: each for each in faq_questions("en")}
    allowed = {each.answer for each in by_id.values() if each.topic in ("attention", "course")}
    for text, other in said.new:
        if text in heard:
            assert follow[text] == by_id[other].answer in allowed
    test = load_course_dialogues("test", "en", topics=["attention"], copies=30)
    assert not suited & {turn.content for each in test for turn in each.turns}
