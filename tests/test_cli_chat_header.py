"""What is said before a conversation: of the model that came with the course, and of any other."""

from __future__ import annotations

import pytest
import torch

from minillm_lib.cli.chat_header import EXAMPLES, header, is_course_model
from minillm_lib.cli.serve import EXAMPLES as EXAMPLES_OF_THE_PAGE
from minillm_lib.corpora.faq import faq_questions
from minillm_lib.generation.answers import NearestText
from minillm_lib.generation.chat_session import ChatSession
from minillm_lib.io.repository import REPOSITORY
from minillm_lib.model.decoder import MiniLLM

SHIPPED = REPOSITORY / "results" / "26m" / "chat"


@pytest.fixture(scope="module")
def shipped():
    return MiniLLM.load_from_checkpoint(SHIPPED, dtype=torch.float32)


def examples(language, ids=EXAMPLES):
    return [question for question in faq_questions(language) if question.id in ids]


def test_the_courses_model_comes_with_three_examples_in_each_language(shipped):
    said = "\n".join(header(shipped, fresh=False))
    assert is_course_model(shipped)
    assert is_course_model(shipped.quantized())
    for language in ("en", "zh"):
        assert len(examples(language)) == 3
        assert all(question.phrasings[0] in said for question in examples(language))
    assert "512 tokens" in said
    assert "8 bits" not in said
    assert "in 8 bits" in next(header(shipped.quantized(), fresh=False))


def test_the_examples_are_answered_rightly_and_without_doubt(shipped):
    for language in ("en", "zh"):
        questions = faq_questions(language)
        nearest = NearestText([question.answer for question in questions])
        for question in examples(language, {*EXAMPLES, *EXAMPLES_OF_THE_PAGE}):
            session = ChatSession(shipped, max_new_tokens=40)
            reply = "".join(session.stream(question.phrasings[0]))
            assert questions[nearest.of(reply)[0]].id == question.id, reply
            assert session.is_sure, question


def test_another_model_gets_no_examples_and_no_claim_of_what_it_knows():
    lines = list(header(MiniLLM.from_preset("nano"), fresh=True))
    assert len(lines) == 3
    assert "afresh" in lines[1]
    assert "course" not in " ".join(lines)
