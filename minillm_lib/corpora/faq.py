"""``course-faq``: questions about this course in English and Chinese, each asked in many ways, with one answer.

Written for this project, and so under its licence. It lies beside this module as JSON lines, a file a topic.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from minillm_lib.corpora.conversations import LANGUAGES, Conversation, Language, Turn

SPLITS = ("train", "test")
SOURCE = "course-faq"

_FOLDER = Path(__file__).with_name("course_faq")
_MULTI_TURN = "multi_turn_"


@dataclass(frozen=True, slots=True)
class FaqQuestion:
    """A question with its answer in one language; ``id`` is the same in both.

    ``phrasings`` are the ways to ask it that are for training, ``held_out`` those for test.
    """

    id: str
    topic: str
    language: Language
    answer: str
    phrasings: tuple[str, ...]
    held_out: tuple[str, ...]


def faq_questions(language: Language | None = None) -> list[FaqQuestion]:
    """The questions of one language, or of both, topic by topic.

    >>> next(question.answer for question in faq_questions("en") if question.id == "lm-nats-bits")[:58]
    'They are units of information that differ in the base of t'
    """
    _check("language", language, (*LANGUAGES, None))
    return [
        FaqQuestion(
            row["id"],
            row["topic"],
            row["language"],
            row["answer"],
            tuple(row["questions"]),
            tuple(row["held_out"]),
        )
        for row in _rows(multi_turn=False)
        if language in (None, row["language"])
    ]


def load_course_faq(
    split: Literal["train", "test"] = "train", language: Language | None = None
) -> list[Conversation]:
    """One conversation for each phrasing of each question; in train, conversations of several turns after these.

    ``meta`` holds ``id``, ``topic``, ``language`` and ``held_out``; the topic of several turns is ``"multi_turn"``.
    The answers of test are those of train: what is held out is the way to ask.
    """
    _check("split", split, SPLITS)
    is_test = split == "test"
    conversations = [
        Conversation.of(
            phrasing, question.answer, SOURCE, _meta(question.id, question.topic, question.language, is_test)
        )
        for question in faq_questions(language)
        for phrasing in (question.held_out if is_test else question.phrasings)
    ]
    return conversations if is_test else conversations + list(_multi_turn(language))


def _multi_turn(language: Language | None) -> Iterator[Conversation]:
    for row in _rows(multi_turn=True):
        if language in (None, row["language"]):
            turns = tuple(Turn(turn["role"], turn["content"]) for turn in row["conversations"])
            yield Conversation(turns, SOURCE, _meta(row["id"], "multi_turn", row["language"], False))


def _meta(question_id: str, topic: str, language: Language, held_out: bool) -> dict[str, Any]:
    return {"id": question_id, "topic": topic, "language": language, "held_out": held_out}


def _rows(*, multi_turn: bool) -> Iterator[dict[str, Any]]:
    for path in sorted(_FOLDER.glob("*.jsonl")):
        if path.name.startswith(_MULTI_TURN) == multi_turn:
            yield from map(json.loads, path.read_bytes().splitlines())


def _check(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(map(repr, allowed))}")
