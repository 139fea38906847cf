"""``course-dialogues``: conversations of several turns about this course, composed of ``course-faq`` and follow-ups.

Each begins with a question of ``course-faq`` and goes on with what people say next: "Why?", "Give an example.", "And in
Chinese?", "Say that again.", "Thanks!", a new question of the course, or one that is out of scope. A model trained on
them learns when the answer depends on what was said before, and when it does not.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from minillm_lib.corpora.conversations import LANGUAGES, Conversation, Language, Turn
from minillm_lib.corpora.faq import FaqQuestion, check_split, faq_questions, written_dialogues
from minillm_lib.corpora.follow_ups import FOLLOW_UPS, OPENERS, SaidAfter, said_after
from minillm_lib.corpora.out_of_scope import load_out_of_scope

SOURCE = "course-dialogues"

# The probability that a conversation asks why and for an example, and what its third follow-up is; the rest are new
# questions of the course.
_P_WHY = _P_EXAMPLE = 0.7
_SHARES: Mapping[str, float] = {"translation": 0.2, "again": 0.06, "thanks": 0.12, "out_of_scope": 0.14}
_P_HELLO = 0.08
_P_NEAR = 0.5  # that a new question is of the same subject
_P_OPENED = 0.3  # that a new question begins with words such as "Something else:"
_P_SUITED = 0.5  # that a follow-up or a new question is in words that suit the answer before


def load_course_dialogues(
    split: Literal["train", "test"] = "train",
    language: Language | None = None,
    *,
    topics: Collection[str] | None = None,
    copies: int = 4,
    seed: int = 0,
) -> list[Conversation]:
    """Return conversations of two to four questions, ``copies`` for each question of ``course-faq``.

    For training, there are further conversations, ``copies`` of each: a question alone with its whole answer; a
    question that asks for the reason, or an example, at once ("What is LDA? Give an example."); and those that were
    written by hand.

    ``meta`` holds ``id`` (of the first question), ``language``, ``held_out`` and ``kinds``, the kind of each turn after
    the first. In the test split, all questions and follow-ups are in wordings that the training split does not have.
    The result depends on the arguments only.

    Parameters
    ----------
    language
        ``"en"`` or ``"zh"``: the language of the first question; both if None.
    topics
        Only questions of these topics, besides greetings and thanks; all if None. With topics, what was written by
        hand is left out.
    copies
        Number of conversations that begin with each question.
    seed
        Seed for all choices.

    Raises
    ------
    ValueError
        If the split, the language or a topic is unknown, or ``copies`` is below 1.

    Examples
    --------
    >>> len(load_course_dialogues("test", "en", copies=1)[0].turns) in (4, 6, 8)
    True
    """
    check_split(split)
    if copies < 1:
        raise ValueError(f"copies is {copies}; it must be at least 1")
    composer = _Composer(topics, held_out=split == "test", rng=random.Random(f"{seed} {split}"))
    questions = faq_questions(language, topics)
    composed: list[Conversation] = []
    for _ in range(copies):
        for question in questions:
            composed.append(composer.dialogue(question))
            if split == "train":
                composed += composer.at_once(question)
    if split == "test" or topics is not None:
        return composed
    return composed + written_dialogues(language) * copies


class _Said(NamedTuple):
    """What the last reply about the course was: a question's answer, why or example."""

    question: FaqQuestion
    part: str


class _Composer:
    """Makes conversations of the questions of one split."""

    def __init__(self, topics: Collection[str] | None, held_out: bool, rng: random.Random) -> None:
        self._held_out, self._rng = held_out, rng
        every = faq_questions()
        self._by_id = {own: {each.id: each for each in every if each.language == own} for own in LANGUAGES}
        self._faq = {
            own: [each for each in self._by_id[own].values() if topics is None or each.topic in topics]
            for own in LANGUAGES
        }
        split: Literal["train", "test"] = "test" if held_out else "train"
        self._declined = {own: load_out_of_scope(split, own) for own in LANGUAGES}

    def dialogue(self, first: FaqQuestion) -> Conversation:
        """Begin with a question and go on with one to three turns."""
        turns: list[Turn] = []
        if self._rng.random() < _P_HELLO:
            turns += self._asked(self._by_id[first.language]["course-hello"])
        turns += self._asked(first)
        said: _Said | None = _Said(first, "answer")
        kinds = []
        for wanted in self._drawn_kinds():
            kind, more, said = self._next(wanted, first.language, said)
            kinds.append(kind)
            turns += more
        return self._conversation(first, turns, kinds)

    def at_once(self, question: FaqQuestion) -> list[Conversation]:
        """Ask a question alone, with the question why, and with the wish for an example."""
        asked = self._asked(question)
        conversations = [self._conversation(question, asked, ())]
        for kind, reply in (("why", question.why), ("example", question.example)):
            if reply:
                wording = self._follow_up(kind, question, reply)
                first, _ = self._asked(question)
                both = Turn("user", f"{first.content} {wording}")
                conversations.append(self._conversation(question, [both, Turn("assistant", reply)], ()))
        return conversations

    def _conversation(self, first: FaqQuestion, turns: list[Turn], kinds: Sequence[str]) -> Conversation:
        meta = {"id": first.id, "language": first.language, "held_out": self._held_out, "kinds": tuple(kinds)}
        return Conversation(tuple(turns), SOURCE, meta)

    def _next(
        self, kind: str, language: Language, said: _Said | None
    ) -> tuple[str, list[Turn], _Said | None]:
        """Return the kind of the next turn, the question with its reply, and what has been said then.

        It is of the wanted kind if that is possible after what was said, otherwise a new question.
        """
        if kind == "thanks":
            return kind, self._asked(self._by_id[language]["course-thanks"]), said
        if kind == "out_of_scope":
            return kind, list(self._rng.choice(self._declined[language]).turns), None
        if kind in FOLLOW_UPS and said is not None and (kind not in ("why", "example") or said.question.why):
            return kind, *self._followed(kind, said)
        if said is not None and (suited := self._going_on(said)) and self._rng.random() < _P_SUITED:
            text, new = self._rng.choice(suited)
            return "new", [Turn("user", text), Turn("assistant", new.answer)], _Said(new, "answer")
        new = self._another(language, said)
        asked, reply = self._asked(new)
        if not self._held_out and self._rng.random() < _P_OPENED:
            asked = Turn("user", self._rng.choice(OPENERS[language]).replace("{}", asked.content))
        return "new", [asked, reply], _Said(new, "answer")

    def _followed(self, kind: str, said: _Said) -> tuple[list[Turn], _Said]:
        question, part = said
        if kind == "translation":
            question = self._by_id["zh" if question.language == "en" else "en"][question.id]
        elif kind != "again":
            part = kind
        reply: str = getattr(question, part)
        suited = self._suited(question)
        if suited is not None and suited.by_kind.get(kind) and self._rng.random() < _P_SUITED:
            wording = self._rng.choice(suited.by_kind[kind])
        else:
            wording = self._follow_up(kind, question, reply)
        return [Turn("user", wording), Turn("assistant", reply)], _Said(question, part)

    def _suited(self, question: FaqQuestion) -> SaidAfter | None:
        """Return what people say after the answer to this question in particular; None for test."""
        return None if self._held_out else said_after().get((question.id, question.language))

    def _going_on(self, said: _Said) -> list[tuple[str, FaqQuestion]]:
        """Return words that suit a reply and go on to another question, each with that question."""
        suited, allowed = self._suited(said.question), self._faq[said.question.language]
        by_id = self._by_id[said.question.language]
        return [
            (text, by_id[other]) for text, other in (suited.new if suited else ()) if by_id[other] in allowed
        ]

    def _follow_up(self, kind: str, question: FaqQuestion, reply: str) -> str:
        if self._held_out:
            return self._rng.choice(FOLLOW_UPS[kind].wordings(question.language, held_out=True))
        about = self._rng.choice((question.answer, reply))
        return FOLLOW_UPS[kind].said_by_someone(question.language, about, self._rng)

    def _drawn_kinds(self) -> list[str]:
        rng = self._rng
        kinds = ["why"] * (rng.random() < _P_WHY) + ["example"] * (rng.random() < _P_EXAMPLE)
        other = rng.choices([*_SHARES, "new"], [*_SHARES.values(), 1 - sum(_SHARES.values())])
        kinds += other
        rng.shuffle(kinds)
        return kinds

    def _another(self, language: Language, said: _Said | None) -> FaqQuestion:
        questions: Sequence[FaqQuestion] = self._faq[language]
        if said is not None and self._rng.random() < _P_NEAR:
            before = said.question
            questions = [each for each in questions if each.topic == before.topic and each.id != before.id]
        return self._rng.choice(questions)

    def _asked(self, question: FaqQuestion) -> list[Turn]:
        wordings = question.held_out if self._held_out else question.phrasings
        return [Turn("user", self._rng.choice(wordings)), Turn("assistant", question.answer)]
