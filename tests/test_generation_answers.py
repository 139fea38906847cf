from __future__ import annotations

import pytest
from scripted_model import ScriptedModel

from minillm_lib.corpora.faq import FaqQuestion, faq_questions
from minillm_lib.generation.answers import check_answers, held_out_phrasings
from minillm_lib.tokenizer import Tokenizer

QUESTIONS = [
    FaqQuestion(
        "apples", "fruit", "en", "Apples are red and grow on trees.", (), ("What are apples?", "Apples?")
    ),
    FaqQuestion("pears", "fruit", "en", "Pears are green, soft and sweet.", (), ("What are pears?",)),
    FaqQuestion("apples", "fruit", "zh", "苹果是红色的，长在树上。", (), ("苹果是什么？",)),
]


@pytest.fixture(scope="module")
def tokenizer():
    texts = [text for each in QUESTIONS for text in (each.answer, *each.held_out)]
    return Tokenizer.train(texts * 5, vocab_size=330, character_coverage=1.0)


def says(tokenizer, text, *, ends=True):
    ids = tokenizer.encode(text)
    return ScriptedModel(tokenizer, [*ids, tokenizer.end_of_turn_id] if ends else ids, max_seq_len=512)


@pytest.mark.parametrize(
    ("answer", "nearest"),
    [
        ("Apples are red and grow on trees.", "apples"),
        ("Apples grow on red trees", "apples"),
        ("They are soft and green.", "pears"),
        ("苹果 QQQ", ""),
    ],
)
def test_an_answer_belongs_to_the_reference_that_it_resembles_most(tokenizer, answer, nearest):
    report = check_answers(says(tokenizer, answer), [(QUESTIONS[0], "Apples?")], QUESTIONS, progress=False)
    assert report.answers[0].nearest_id == nearest
    assert report.answers[0].is_right == (nearest == "apples")
    assert report.answers[0].answer == answer


def test_only_answers_in_the_language_of_the_question_are_candidates(tokenizer):
    model = says(tokenizer, "苹果是红色的，长在树上。")
    report = check_answers(model, [(QUESTIONS[2], "苹果是什么？")], QUESTIONS, progress=False)
    assert report.right_share("zh") == 1
    assert report.right_share("en") == 0


def test_shares_count_right_answers_ends_and_repetitions(tokenizer):
    model = says(tokenizer, "Pears are green, soft and sweet.")
    asked = [(QUESTIONS[0], "Apples?"), (QUESTIONS[1], "What are pears?")]
    seen = []
    report = check_answers(model, asked, QUESTIONS, batch_size=2, progress=False, on_answer=seen.append)
    assert tuple(seen) == report.answers
    assert report.right_share() == 0.5
    assert report.ended_share == 1
    assert report.repetition == 0
    assert "50% right in en; 100.0% end by themselves" in str(report)


def test_an_answer_that_goes_round_and_never_ends_is_told(tokenizer):
    end = tokenizer.encode("red ")
    model = ScriptedModel(tokenizer, end * 100, max_seq_len=512)
    from minillm_lib.generation.sampling import SamplingConfig

    report = check_answers(
        model,
        [(QUESTIONS[0], "Apples?")],
        QUESTIONS,
        sampling=SamplingConfig(temperature=0.0, max_new_tokens=50),
        progress=False,
    )
    assert report.ended_share == 0
    assert report.repetition > 0.9


def test_held_out_phrasings_are_spread_over_all_questions():
    everything = held_out_phrasings(faq_questions())
    assert len(everything) == 2 * len(faq_questions())
    assert ("讲讲 LDA 与 Transformer 的差异？") in {phrasing for _, phrasing in everything}
    some = held_out_phrasings(faq_questions(), 60)
    assert len(set(some)) == 60
    assert len({question.topic for question, _ in some}) >= 10
    assert {question.language for question, _ in some} == {"en", "zh"}
