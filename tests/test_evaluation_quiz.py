"""The course quiz: questions that say nothing by their form of which answer is right."""

from collections import Counter
from math import sqrt

import pytest

from minillm_lib.corpora.faq import faq_questions
from minillm_lib.evaluation.quiz import LANGUAGES, N_CHOICES, quiz_questions


def size(text: str) -> int:
    return len(text.encode())


def within_chance(share: float, chance: float, n: int) -> bool:
    """Whether a strategy that looks at no content does as chance has it, within three standard deviations."""
    return abs(share - chance) < 3 * sqrt(chance * (1 - chance) / n)


def test_there_are_at_least_eighty_questions_in_each_language_on_the_same_subjects():
    counts = {each: Counter(question.subject for question in quiz_questions(each)) for each in LANGUAGES}
    assert all(sum(count.values()) >= 80 for count in counts.values())
    assert counts["en"].keys() == counts["zh"].keys()
    assert all(n >= 4 for count in counts.values() for n in count.values())
    assert len(quiz_questions()) == sum(sum(count.values()) for count in counts.values())


def test_another_language_is_refused():
    with pytest.raises(ValueError, match=r"'fr'.*'en', 'zh'"):
        quiz_questions("fr")


def test_each_question_has_four_different_answers_and_is_asked_once():
    questions = quiz_questions()
    assert len({question.id for question in questions}) == len(questions)
    assert len({question.question for question in questions}) == len(questions)
    for question in questions:
        assert len(question.choices) == len(set(question.choices)) == N_CHOICES, question.id
        assert question.answer in range(N_CHOICES)
        assert all(text and text == text.strip() for text in (question.question, *question.choices)), (
            question.id
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_languages_are_what_they_say(language):
    for question in quiz_questions(language):
        is_chinese = any("\u4e00" <= letter <= "\u9fff" for letter in question.question)
        assert is_chinese == (language == "zh"), question.id
        assert question.question.endswith(("?", "？", "。")) or question.question.endswith("怎样")


@pytest.mark.parametrize("language", LANGUAGES)
def test_neither_the_place_nor_the_length_of_an_answer_gives_it_away(language):
    questions = quiz_questions(language)
    n, chance = len(questions), 1 / N_CHOICES
    places = Counter(question.answer for question in questions)
    assert max(places.values()) - min(places.values()) <= 1
    picked = Counter()
    for question in questions:
        sizes = [size(choice) for choice in question.choices]
        right = sizes[question.answer]
        picked["longest"] += (right == max(sizes)) / sizes.count(max(sizes))
        picked["shortest"] += (right == min(sizes)) / sizes.count(min(sizes))
    assert picked["longest"] / n < chance  # the usual fault of such questions
    assert within_chance(picked["shortest"] / n, chance, n)
    means = [sum(size(q.choices[q.answer]) for q in questions) / n]
    means.append(
        sum(sum(map(size, q.choices)) - size(q.choices[q.answer]) for q in questions) / (n * (N_CHOICES - 1))
    )
    assert means[0] == pytest.approx(means[1], rel=0.08)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answers_of_a_question_are_alike_in_length(language):
    for question in quiz_questions(language):
        sizes = [size(choice) for choice in question.choices]
        assert max(sizes) <= 2.5 * min(sizes) + 16, question.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_question_has_the_wording_of_one_that_the_chat_model_was_trained_on(language):
    def plain(text: str) -> str:
        return "".join(filter(str.isalnum, text.lower()))

    trained = {plain(phrasing) for each in faq_questions(language) for phrasing in each.phrasings}
    same = [question.id for question in quiz_questions(language) if plain(question.question) in trained]
    assert same == []
