"""What people say after an answer, in many wordings: why, an example, the other language, once more, something else.

The wordings that suit any answer are beside this module in ``follow_up_wordings.jsonl``, and those that suit a single
answer ("Why three?", "And Zipf's?") in ``said_after.jsonl``.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minillm_lib.corpora.conversations import LANGUAGES, Language

_FILE = Path(__file__).with_name("follow_up_wordings.jsonl")
_AFTER_FILE = Path(__file__).with_name("said_after.jsonl")
_KINDS = ("why", "example", "translation", "again")


@dataclass(frozen=True)
class FollowUp:
    """A kind of follow-up in its wordings.

    Attributes
    ----------
    english, chinese
        Wordings for training, by the language of the reply. (Who wants Chinese may ask for it in either language.)
    held_out_english, held_out_chinese
        Wordings for test.
    about_english, about_chinese
        Wordings for training with a place, ``{}``, for some words of what was or will be said.
    """

    english: tuple[str, ...]
    chinese: tuple[str, ...]
    held_out_english: tuple[str, ...]
    held_out_chinese: tuple[str, ...]
    about_english: tuple[str, ...] = ()
    about_chinese: tuple[str, ...] = ()

    def wordings(self, language: Language, held_out: bool) -> tuple[str, ...]:
        """Return the wordings of a split whose reply is in ``language``."""
        if language == "en":
            return self.held_out_english if held_out else self.english
        return self.held_out_chinese if held_out else self.chinese

    def said_by_someone(self, language: Language, about: str, rng: random.Random) -> str:
        """Return a wording for training, as one of many people would put it.

        Some name what they mean ("Why does it cut tokens off?"), some begin or end with a word or two ("OK, and why?"),
        and some are careless with capitals and marks.

        Parameters
        ----------
        language
            The language of the reply.
        about
            What was or will be said, some words of which may be in the wording.
        """
        wordings = self.wordings(language, held_out=False)
        named = self.about_english if language == "en" else self.about_chinese
        text = rng.choice(wordings)
        if named and rng.random() < _P_NAMED:
            text = rng.choice(named).format(_some_words(about, language, rng))
        openers, closers = _AROUND["zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"]
        if rng.random() < _P_OPENER:
            text = rng.choice(openers) + text[:1].lower() + text[1:]
        if rng.random() < _P_CLOSER:
            text = text.rstrip(".?。？") + rng.choice(closers)
        if rng.random() < _P_CARELESS:
            text = text.lower().rstrip(".?!。？！")
        held_out = map(letters_of, self.wordings(language, held_out=True))
        return rng.choice(wordings) if letters_of(text) in held_out else text


@dataclass(frozen=True)
class SaidAfter:
    """What people say after the answer to one question of ``course-faq``, all of it for training.

    Attributes
    ----------
    by_kind
        Wordings by the kind of follow-up: ``"why"``, ``"example"``, ``"again"``.
    new
        Wordings that go on to another question, each with the identifier of that question.
    """

    by_kind: Mapping[str, tuple[str, ...]]
    new: tuple[tuple[str, str], ...]


@cache
def said_after() -> Mapping[tuple[str, Language], SaidAfter]:
    """Return what people say after each answer, by the question's identifier and the language."""
    rows = map(json.loads, _AFTER_FILE.read_bytes().splitlines())
    return {
        (row["id"], row["language"]): SaidAfter(
            {kind: tuple(row[kind]) for kind in _KINDS if kind in row},
            tuple((text, other) for text, other in row["new"]),
        )
        for row in rows
    }


def letters_of(text: str) -> str:
    """Return the letters and digits of a text in lower case, by which wordings that differ in marks are the same."""
    return "".join(filter(str.isalnum, text.lower()))


_P_NAMED, _P_OPENER, _P_CLOSER, _P_CARELESS = 0.5, 0.25, 0.15, 0.3
_AROUND: Mapping[Language, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "en": (
        (
            "OK, ",
            "ok ",
            "Hmm, ",
            "hm ",
            "Sorry, ",
            "Wait, ",
            "and ",
            "So ",
            "Right, ",
            "I see. ",
            "Yes, but ",
            "well, ",
        ),
        (
            ", please",
            " please?",
            " then?",
            ", if you can",
            " I mean",
            ", exactly?",
            " for me",
            "...",
            " though?",
            "??",
        ),
    ),
    "zh": (
        (
            "好的，",
            "嗯，",
            "那",
            "哦，",
            "等等，",
            "不好意思，",
            "明白了，",
            "请问",
            "可是",
            "行，",
            "那个，",
            "麻烦",
        ),
        ("呢？", "呀", "吗？", "，谢谢", "行吗", "吧", "，可以吗？", "啊？", "哈", "……"),
    ),
}
_HAN_RUN = re.compile(r"[\u4e00-\u9fff]{2,}")
_ENGLISH_WORD = re.compile(r"[A-Za-z][\w'-]*")


def _some_words(text: str, language: Language, rng: random.Random) -> str:
    """Return one to four neighbouring words of a text, or two to eight neighbouring characters in Chinese."""
    if language == "zh" and (runs := _HAN_RUN.findall(text)):
        run = rng.choice(runs)
        n = min(len(run), rng.randint(2, 8))
        at = rng.randrange(len(run) - n + 1)
        return str(run[at : at + n])
    words = _ENGLISH_WORD.findall(text)
    n = min(len(words), rng.randint(1, 4))
    at = rng.randrange(len(words) - n + 1)
    return " ".join(words[at : at + n])


def _read() -> tuple[dict[str, FollowUp], dict[Language, tuple[str, ...]]]:
    """Return the follow-ups by kind, and with what people begin a new question, by language."""
    rows = [json.loads(line) for line in _FILE.read_bytes().splitlines()]

    def texts(
        kind: str, language: Language, *, held_out: bool = False, about: bool = False
    ) -> tuple[str, ...]:
        wanted = (kind, language, held_out, about)
        return tuple(
            row["text"]
            for row in rows
            if (row["kind"], row["language"], row.get("held_out", False), row.get("about", False)) == wanted
        )

    follow_ups = {
        kind: FollowUp(
            english=texts(kind, "en"),
            chinese=texts(kind, "zh"),
            held_out_english=texts(kind, "en", held_out=True),
            held_out_chinese=texts(kind, "zh", held_out=True),
            about_english=texts(kind, "en", about=True),
            about_chinese=texts(kind, "zh", about=True),
        )
        for kind in _KINDS
    }
    return follow_ups, {language: texts("new", language, about=True) for language in LANGUAGES}


FOLLOW_UPS: Mapping[str, FollowUp]
OPENERS: Mapping[Language, tuple[str, ...]]
FOLLOW_UPS, OPENERS = _read()
