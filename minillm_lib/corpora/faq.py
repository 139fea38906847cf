"""``course-faq``: questions about this course in English and Chinese, each asked in many ways, with one answer.

Written for this project, and so under its licence. It lies beside this module as JSON lines, a file a topic.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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


MOST_LEFT_OUT = 0.6
P_JOINED, P_MOVED, P_SURROUNDED, P_SLOPPY = 0.5, 0.3, 0.45, 0.25

_HAN = r"[\u4e00-\u9fff]"
_WORD = re.compile(rf"\s*(?:{_HAN}|[^\s\u4e00-\u9fff]+)")
_SURROUNDINGS = {
    "en": (
        "Please: {}",
        "Hi! {}",
        "{} Thanks.",
        "Could you tell me: {}",
        "A question: {}",
        "I wonder: {}",
        "{} Please explain.",
        "Quick question. {}",
        "{} I am new to this.",
    ),
    "zh": (
        "请问，{}",
        "你好，{}",
        "{}谢谢。",
        "想请教一下：{}",
        "我想知道，{}",
        "{}请解释一下。",
        "{}我是初学者。",
    ),
}


def reword(conversations: Iterable[Conversation], copies: int, seed: int = 0) -> list[Conversation]:
    """``copies`` of each conversation of one turn, each with another noisy wording of its question.

    In each copy, up to 60 % of the question's words (Chinese characters count as words) are left out; now and then
    the words behind a random place come first, another question with the same answer is joined to it, a polite
    phrase goes before or after it, or it loses its capitals and its question mark. The answer stays as it is.
    Conversations of several turns, or with a system turn, are left out. The arguments alone decide on the result.

    Source: random deletion and swapping are those of Wei & Zou 2019, "EDA", arXiv:1901.11196.

    >>> from minillm_lib.corpora.conversations import Conversation
    >>> ask = Conversation.of("What does RoPE rotate?", "Pairs of numbers.")
    >>> [each.turns[0].content for each in reword([ask], 3)]
    ['A question: what rotate? does', 'does RoPE What', 'does rotate']
    """
    rng = random.Random(seed)
    own = [each for each in conversations if [turn.role for turn in each.turns] == ["user", "assistant"]]
    by_answer: dict[str, list[str]] = defaultdict(list)
    pairs = [(each.turns[0].content, each.turns[1].content) for each in own]
    for question, answer in pairs:
        by_answer[answer].append(question)
    reworded = []
    for _ in range(copies):
        for each, (question, answer) in zip(own, pairs, strict=True):
            asked = _noisy(question, by_answer[answer], rng)
            reworded.append(Conversation.of(asked, answer, each.source, each.meta))
    return reworded


def _noisy(question: str, same_answer: Sequence[str], rng: random.Random) -> str:
    text = _shuffled(question, rng)
    if rng.random() < P_JOINED:
        text = f"{text} {_shuffled(rng.choice(same_answer), rng)}"
    if rng.random() < P_SLOPPY:
        text = text.lower().rstrip("?？.。") or text
    if rng.random() < P_SURROUNDED:
        language = "zh" if re.search(_HAN, question) else "en"
        text = rng.choice(_SURROUNDINGS[language]).format(text)
    return text


def _shuffled(question: str, rng: random.Random) -> str:
    """Some words less, and perhaps begun in the middle; the question as it is if hardly a word would be left."""
    words = _WORD.findall(question)
    share = rng.uniform(0, MOST_LEFT_OUT)
    kept = [word for word in words if rng.random() >= share]
    start = rng.randrange(1, len(kept)) if len(kept) > 3 and rng.random() < P_MOVED else 0
    text = f"{''.join(kept[start:]).strip()} {''.join(kept[:start]).strip()}".strip()
    return text if len(text) > 2 else question
