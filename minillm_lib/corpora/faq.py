"""``course-faq``: questions about this course in English and Chinese, each in many phrasings with one answer.

It was written for this project and is therefore under its licence. The data are beside this module as JSON lines, one
file per topic. :func:`load_course_faq` makes conversations of them, and :func:`reword` adds noisy copies of the
questions.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from minillm_lib.corpora.conversations import LANGUAGES, Conversation, Language, Turn

SPLITS = ("train", "test")
SOURCE = "course-faq"

# The noise of reword: the largest share of words left out, and the probability of each further change.
MOST_LEFT_OUT = 0.3
P_JOINED, P_MOVED, P_SURROUNDED, P_SLOPPY = 0.5, 0.3, 0.45, 0.25

_FOLDER = Path(__file__).with_name("course_faq")
_MULTI_TURN = "multi_turn_"

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


@dataclass(frozen=True, slots=True)
class FaqQuestion:
    """A question with its answer in one language.

    Attributes
    ----------
    id
        Identifier, the same in both languages.
    phrasings
        Phrasings of the question for training.
    held_out
        Phrasings of the question for test.
    why, example
        What follows the answer if a learner asks why, or for an example; empty for small talk.
    """

    id: str
    topic: str
    language: Language
    answer: str
    phrasings: tuple[str, ...]
    held_out: tuple[str, ...]
    why: str = ""
    example: str = ""


def faq_questions(
    language: Language | None = None, topics: Collection[str] | None = None
) -> list[FaqQuestion]:
    """Return the questions, topic by topic.

    Parameters
    ----------
    language
        ``"en"`` or ``"zh"``; both if None.
    topics
        Only the questions of these topics, such as ``["lda", "rope"]``; all if None.

    Raises
    ------
    ValueError
        If the language or a topic is unknown.

    Examples
    --------
    >>> next(question.answer for question in faq_questions("en") if question.id == "lm-nats-bits")[:58]
    'They are units of information that differ in the base of t'
    """
    _check("language", language, (*LANGUAGES, None))
    rows = list(_rows(multi_turn=False))
    known = tuple(dict.fromkeys(row["topic"] for row in rows))
    for topic in topics or ():
        _check("topic", topic, known)
    return [
        FaqQuestion(
            row["id"],
            row["topic"],
            row["language"],
            row["answer"],
            tuple(row["questions"]),
            tuple(row["held_out"]),
            row.get("why", ""),
            row.get("example", ""),
        )
        for row in rows
        if language in (None, row["language"]) and (topics is None or row["topic"] in topics)
    ]


def load_course_faq(
    split: Literal["train", "test"] = "train",
    language: Language | None = None,
    *,
    topics: Collection[str] | None = None,
    phrasings: int | None = None,
) -> list[Conversation]:
    """Return one conversation for each phrasing of each question.

    ``meta`` holds ``id``, ``topic``, ``language`` and ``held_out``. Train and test have the same answers: only
    phrasings are held out.

    Parameters
    ----------
    language
        ``"en"`` or ``"zh"``; both if None.
    topics
        Only the questions of these topics; all if None.
    phrasings
        At most this many phrasings of each question, the first ones; all if None. A run of few steps learns more from
        some of them, read several times, than from all of them, read once.

    Raises
    ------
    ValueError
        If the split, the language or a topic is unknown, or ``phrasings`` is below 1.
    """
    check_split(split)
    if phrasings is not None and phrasings < 1:
        raise ValueError(f"phrasings is {phrasings}; it must be at least 1")
    is_test = split == "test"
    return [
        Conversation.of(
            phrasing, question.answer, SOURCE, _meta(question.id, question.topic, question.language, is_test)
        )
        for question in faq_questions(language, topics)
        for phrasing in (question.held_out if is_test else question.phrasings)[:phrasings]
    ]


def written_dialogues(language: Language | None = None) -> list[Conversation]:
    """Return the conversations of several turns that were written by hand, all of them for training.

    ``meta`` is as in :func:`load_course_faq`, with ``"multi_turn"`` as the topic.
    """
    return [
        Conversation(
            tuple(Turn(turn["role"], turn["content"]) for turn in row["conversations"]),
            SOURCE,
            _meta(row["id"], "multi_turn", row["language"], False),
        )
        for row in _rows(multi_turn=True)
        if language in (None, row["language"])
    ]


def reword(conversations: Iterable[Conversation], copies: int, seed: int = 0) -> list[Conversation]:
    """Return noisy copies of the conversations with a single question, each with a different wording of it.

    In each copy, up to 30 % of the question's words (Chinese characters count as words) are left out. In some copies,
    the words after a random place are moved to the front, another question with the same answer is appended, a polite
    phrase is added before or after the question, or the question loses its capitals and its question mark. The answer
    is unchanged. Conversations with several questions or a system turn are left out. The result depends on the
    arguments only.

    Random deletion and swapping are those of Wei and Zou (2019), "EDA", arXiv:1901.11196.

    Parameters
    ----------
    copies
        Number of copies of each conversation.
    seed
        Seed for all random changes.

    Examples
    --------
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


def _meta(question_id: str, topic: str, language: Language, held_out: bool) -> dict[str, Any]:
    return {"id": question_id, "topic": topic, "language": language, "held_out": held_out}


def _rows(*, multi_turn: bool) -> Iterator[dict[str, Any]]:
    for path in sorted(_FOLDER.glob("*.jsonl")):
        if path.name.startswith(_MULTI_TURN) == multi_turn:
            yield from map(json.loads, path.read_bytes().splitlines())


def check_split(split: str) -> None:
    """Raise a ValueError unless the split is one of :data:`SPLITS`."""
    _check("split", split, SPLITS)


def _check(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(map(repr, allowed))}")


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
    """Leave out some words and perhaps begin in the middle.

    The question is returned unchanged if hardly anything would be left of it.
    """
    words = _WORD.findall(question)
    share = rng.uniform(0, MOST_LEFT_OUT)
    kept = [word for word in words if rng.random() >= share]
    start = rng.randrange(1, len(kept)) if len(kept) > 3 and rng.random() < P_MOVED else 0
    text = f"{''.join(kept[start:]).strip()} {''.join(kept[:start]).strip()}".strip()
    return text if len(text) > 2 else question
