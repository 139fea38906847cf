"""The course quiz: multiple-choice questions on the subjects of the course, in English and in Chinese.

They were written for this, from the notebooks and the glossary, and share no sentence with ``course-faq``, on which the
course's chat model is trained: they ask what it knows, not whether it recognises a wording.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, get_args

QuizLanguage = Literal["en", "zh"]
LANGUAGES: tuple[QuizLanguage, ...] = get_args(QuizLanguage)
QUIZ = "course-quiz"
N_CHOICES = 4
_PROMPTS = {"en": "Question: {}\nAnswer:", "zh": "问题：{}\n答案："}
DELIMITERS = {"en": " ", "zh": ""}
"""What stands between the prompt and an answer."""


@dataclass(frozen=True, slots=True)
class QuizQuestion:
    """A question with four possible answers, of which one is right.

    Attributes
    ----------
    id
        Such as ``"en-topics-3"``.
    language
        ``"en"`` or ``"zh"``.
    subject
        Such as ``"topics"``; both languages have the same subjects.
    question
        One sentence, or two.
    choices
        Four answers of similar length.
    answer
        The index of the right one.
    """

    id: str
    language: QuizLanguage
    subject: str
    question: str
    choices: tuple[str, ...]
    answer: int

    @property
    def prompt(self) -> str:
        """The question as a text that an answer continues."""
        return _PROMPTS[self.language].format(self.question)


def quiz_questions(language: QuizLanguage | None = None) -> list[QuizQuestion]:
    """Return the questions of the course quiz.

    Parameters
    ----------
    language
        ``"en"`` or ``"zh"``; both by default.

    Raises
    ------
    ValueError
        For another language.
    """
    if language is not None and language not in LANGUAGES:
        raise ValueError(f"language is {language!r}; allowed are {', '.join(map(repr, LANGUAGES))} and None")
    wanted = LANGUAGES if language is None else (language,)
    return [question for each in wanted for question in _read(each)]


@cache
def _read(language: QuizLanguage) -> tuple[QuizQuestion, ...]:
    file = resources.files("minillm_lib.evaluation") / "course_quiz" / f"{language}.jsonl"
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return tuple(
        QuizQuestion(**{**row, "language": language, "choices": tuple(row["choices"])}) for row in rows
    )
