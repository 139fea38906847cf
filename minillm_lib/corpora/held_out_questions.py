"""Questions and dialogues in free words on which no model is trained, to find out what a chat model can do.

They were written apart from the training data (``course-faq``, ``out-of-scope``, ``course-dialogues``) by authors who
had not seen it, after reading the notebooks. The data are beside this module as JSON lines. What a right reply is, is
given twice: in words, for people who read the replies, and as the references of ``course-faq`` that answer the
question, for :func:`~minillm_lib.generation.honesty.check_honesty`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm_lib.corpora.conversations import Language

_FOLDER = Path(__file__).with_name("held_out_questions_data")


@dataclass(frozen=True, slots=True)
class FreeTurn:
    """What somebody says to the model.

    Attributes
    ----------
    kind
        ``"new"`` for a question of the course, ``"out_of_scope"``, or a follow-up: ``"why"``, ``"example"``,
        ``"translation"``, ``"again"``, ``"thanks"``.
    right
        What a right reply must say, in words.
    accepted
        The references that are right replies, as :attr:`~minillm_lib.generation.honesty.Reference.name` names them.
    """

    question: str
    kind: str
    right: str
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FreeDialogue:
    """One or several turns of one person, in ``language`` (two letters)."""

    language: str
    turns: tuple[FreeTurn, ...]
    category: str = ""


def free_questions(language: Language | None = None) -> list[FreeDialogue]:
    """Return the questions that are in scope, each a dialogue of one turn; of both languages if None."""
    return _dialogues("in_scope", "new", language)


def free_out_of_scope(language: str | None = None) -> list[FreeDialogue]:
    """Return the messages that are out of scope, each a dialogue of one turn; of all languages if None."""
    return _dialogues("out_of_scope", "out_of_scope", language)


def free_dialogues(language: Language | None = None) -> list[FreeDialogue]:
    """Return the dialogues of three turns; of both languages if None."""
    return _dialogues("dialogues", "new", language)


def _dialogues(name: str, kind: str, language: str | None) -> list[FreeDialogue]:
    rows = map(json.loads, (_FOLDER / f"{name}.jsonl").read_bytes().splitlines())
    return [
        FreeDialogue(
            row["language"],
            tuple(_turn(turn, kind, row["language"]) for turn in row.get("turns", [row])),
            row.get("category", ""),
        )
        for row in rows
        if language in (None, row["language"])
    ]


def _turn(row: dict[str, Any], kind: str, language: str) -> FreeTurn:
    kind = row.get("kind", kind)
    declined = (f"decline@{language}",) if kind == "out_of_scope" else ()
    return FreeTurn(row["question"], kind, row.get("right", ""), tuple(row.get("accepted", declined)))
