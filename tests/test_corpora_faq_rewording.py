from __future__ import annotations

import pytest

from minillm_lib.corpora.conversations import Conversation, Turn
from minillm_lib.corpora.faq import load_course_faq, reword


def questions(conversations):
    return [each.turns[0].content for each in conversations]


@pytest.fixture(scope="module")
def faq():
    return [each for each in load_course_faq() if len(each.turns) == 2]


def test_every_copy_has_every_question_with_its_answer_and_source(faq):
    reworded = reword(faq, 3)
    for start in range(0, len(reworded), len(faq)):
        for ours, original in zip(reworded[start:], faq, strict=False):
            assert ours.turns[1] == original.turns[1]
            assert (ours.source, ours.meta) == (original.source, original.meta)
    assert len(reworded) == 3 * len(faq)


def test_copies_differ_and_are_a_function_of_the_arguments(faq):
    first, again, other = reword(faq[:50], 4), reword(faq[:50], 4), reword(faq[:50], 4, seed=1)
    assert first == again
    assert questions(first) != questions(other)
    assert len(set(questions(first))) > 0.95 * len(first)
    assert reword(faq, 0) == []


def test_words_come_from_the_questions_of_that_answer_or_are_polite(faq):
    """Nothing leaks from one question into another, whatever the joining does."""
    ask = [Conversation.of("alpha beta gamma delta", "1"), Conversation.of("epsilon zeta eta theta", "1")]
    ask.append(Conversation.of("iota kappa lambda mu", "2"))
    own = {"1": "alpha beta gamma delta epsilon zeta eta theta", "2": "iota kappa lambda mu"}
    n_joined = 0
    for each in reword(ask, 200):
        question, answer = (turn.content for turn in each.turns)
        greek = {word for word in question.split() if word in f"{own['1']} {own['2']}".split()}
        assert greek <= set(own[answer].split())
        n_joined += bool(greek & {"alpha", "beta", "gamma", "delta"}) and bool(
            greek & {"zeta", "eta", "theta"}
        )
    assert n_joined > 50


def test_chinese_is_cut_by_characters_and_gets_chinese_phrases():
    reworded = questions(reword([Conversation.of("什么是主题模型的困惑度？", "甲")], 300))
    assert any("请问" in each for each in reworded)
    assert not any("Please" in each or "Thanks" in each for each in reworded)
    assert len({each for each in reworded if len(each) < 11}) > 20


def test_a_question_of_one_word_stays_askable():
    assert all(each.strip() for each in questions(reword([Conversation.of("?", "What?")], 100)))


def test_conversations_of_several_turns_are_left_out():
    system = Conversation((Turn("system", "Be kind."), Turn("user", "Hello there"), Turn("assistant", "Hi")))
    two = Conversation(
        (Turn("user", "a b"), Turn("assistant", "c"), Turn("user", "d e"), Turn("assistant", "f"))
    )
    assert reword([system, two], 2) == []
