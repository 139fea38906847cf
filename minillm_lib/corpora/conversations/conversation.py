"""A conversation: a question, its answer, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

_MAY_FOLLOW = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
}


class ConversationError(ValueError):
    """Something is not a valid conversation; the message says where and why."""


class Turn(NamedTuple):
    """One message of a conversation; ``role`` is ``"system"``, ``"user"`` or ``"assistant"``."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A question, its answer, and possibly further questions and answers.

    There may be one system turn at the beginning. After it, user and assistant alternate, and the last turn is the
    assistant's. No turn is empty. ``source`` and ``meta`` are as in :class:`~minillm_lib.corpora.document.Document`.

    Raises
    ------
    ConversationError
        If the turns are not in this order, or a turn has no text.

    Examples
    --------
    >>> Conversation.of("What is LDA?", "A topic model.").messages
    [{'role': 'user', 'content': 'What is LDA?'}, {'role': 'assistant', 'content': 'A topic model.'}]
    """

    turns: tuple[Turn, ...]
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        previous = None
        for index, (role, content) in enumerate(self.turns):
            if role not in _MAY_FOLLOW[previous]:
                allowed = " or ".join(map(repr, _MAY_FOLLOW[previous]))
                place = f"after {previous!r}" if previous else "at the beginning"
                raise ConversationError(f"turn {index} has role {role!r}; {place} only {allowed} is allowed")
            if not isinstance(content, str) or not content.strip():
                raise ConversationError(f"turn {index} has content {content!r}; it must be non-empty text")
            previous = role
        if previous != "assistant":
            raise ConversationError(f"the last turn has role {previous!r}; it must be 'assistant'")

    @classmethod
    def of(
        cls, question: str, answer: str, source: str = "", meta: Mapping[str, Any] | None = None
    ) -> Conversation:
        """Make a conversation of a single question and its answer."""
        return cls((Turn("user", question), Turn("assistant", answer)), source, meta or {})

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns in the form that :meth:`~minillm_lib.tokenizer.Tokenizer.apply_chat_template` accepts."""
        return [turn._asdict() for turn in self.turns]
