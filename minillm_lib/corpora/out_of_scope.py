"""``out-of-scope``: questions about everything but this course, each answered with a short decline.

A model that has only seen questions of the course gives one of their answers to anything. These questions teach it to
say that it knows this course only. They were written for this project and are under its licence; the data are in
``out_of_scope_questions`` as JSON lines: single questions, and frames such as ``"What is the capital of {country}?"``
with what may fill them. Some of both are about the words of the course in another sense ("How do I tie a rope?").
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from minillm_lib.corpora.conversations import LANGUAGES, Conversation, Language
from minillm_lib.corpora.faq import check_split
from minillm_lib.corpora.follow_ups import FOLLOW_UPS, letters_of

SOURCE = "out-of-scope"
DECLINES: Mapping[Language, str] = {
    "en": "I only know this course: topic models, language models, and how to use its notebooks and its package. "
    "Please ask me about those.",
    "zh": "我只了解这门课程：主题模型、语言模型，以及课程的笔记本和软件包怎么用。请问我这些方面的问题。",
}
"""What the chat model says if it is asked about anything else."""

_FOLDER = Path(__file__).with_name("out_of_scope_questions")
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")


def load_out_of_scope(
    split: Literal["train", "test"] = "train",
    language: Language | None = None,
    *,
    per_frame: int = 6,
    n_nonsense: int = 300,
    seed: int = 0,
) -> list[Conversation]:
    """Return questions that are out of scope, each with the decline in its language.

    ``meta`` holds ``language``, ``category`` and ``held_out``. The test split holds single questions only, which
    resemble no frame of the training split. The result depends on the arguments only.

    Parameters
    ----------
    language
        ``"en"`` or ``"zh"``; both, and sixteen others in the training split, if None.
    per_frame
        Number of different questions made from each frame.
    n_nonsense
        Number of strings without sense, such as random letters, in each of English and Chinese.
    seed
        Seed for the choice of fillers and for the nonsense.

    Raises
    ------
    ValueError
        If the split or the language is unknown.

    Examples
    --------
    >>> load_out_of_scope("test", "en")[0].turns[1].content[:23]
    'I only know this course'
    """
    check_split(split)
    if language not in (None, *LANGUAGES):
        raise ValueError(f"language is {language!r}; allowed are {', '.join(map(repr, LANGUAGES))} and None")
    held_out = split == "test"
    found: dict[str, Conversation] = {}
    rows = [row for row in _every_row() if "decline" not in row]
    for row in rows:
        if language not in (None, row["language"]) or (held_out and row["language"] not in LANGUAGES):
            continue
        rng = random.Random(f"{seed} {row.get('frame')}")
        for question in _questions(row, held_out, per_frame, rng):
            found.setdefault(question, _declined(question, row["language"], row["category"], held_out))
    if not held_out:
        for own in LANGUAGES if language is None else (language,):
            for follow_up in FOLLOW_UPS.values():
                for question in follow_up.wordings(own, held_out):
                    found.setdefault(question, _declined(question, own, "nothing to follow", held_out))
            for question in _nonsense(own, n_nonsense, random.Random(f"{seed} {own}")):
                found.setdefault(question, _declined(question, own, "nonsense", held_out))
        kept_back = {letters_of(row["question"]) for row in rows if row.get("held_out")} - {""}
        return [each for question, each in found.items() if letters_of(question) not in kept_back]
    return list(found.values())


def decline_in(language: str) -> str:
    """Return the decline in a language, given by its two-letter code.

    Raises
    ------
    ValueError
        If there is none in this language.
    """
    declines = all_declines()
    if language not in declines:
        raise ValueError(f"there is no decline in {language!r}; there are some in {', '.join(declines)}")
    return declines[language]


@cache
def all_declines() -> Mapping[str, str]:
    """Return the decline in each language, by its two-letter code."""
    others = {row["language"]: row["decline"] for row in _every_row() if "decline" in row}
    return {**DECLINES, **others}


def _declined(question: str, language: str, category: str, held_out: bool) -> Conversation:
    meta = {"language": language, "category": category, "held_out": held_out}
    return Conversation.of(question, decline_in(language), SOURCE, meta)


def _every_row() -> Iterator[dict[str, Any]]:
    for path in sorted(_FOLDER.glob("*.jsonl")):
        yield from map(json.loads, path.read_bytes().splitlines())


def _questions(row: dict[str, Any], held_out: bool, per_frame: int, rng: random.Random) -> Iterator[str]:
    if "question" in row:
        if row.get("held_out", False) == held_out:
            yield row["question"]
    elif not held_out:
        for _ in range(per_frame):
            yield row["frame"].format(**{slot: rng.choice(words) for slot, words in row["fillers"].items()})


def _nonsense(language: Language, n: int, rng: random.Random) -> Iterator[str]:
    """Yield random letters, digits, marks, rows of keys and, in Chinese, characters."""
    for _ in range(n):
        length = rng.randint(1, 16)
        kind = rng.randrange(4)
        if kind == 0 and language == "zh":
            text = "".join(chr(rng.randrange(0x4E00, 0x9FA6)) for _ in range(length))
        elif kind == 1:
            keys = rng.choice(_KEYBOARD)
            text = "".join(rng.choice(keys) for _ in range(length))
        elif kind == 2:
            text = "".join(rng.choice(string.digits + string.punctuation + " ") for _ in range(length))
        else:
            letters = ("".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 8))) for _ in range(3))
            text = " ".join(letters)
        if text.strip():
            yield text
