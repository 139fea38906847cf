"""From messages to the turns of a conversation: what is joined, cut or left out, each counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, NamedTuple

from minillm_lib.corpora.conversations.conversation import ConversationError, Turn
from minillm_lib.corpora.conversations.messages import Message
from minillm_lib.corpora.reading.rows import without_half_surrogates

System = Literal["keep", "drop"]
Parts = Literal["text", "drop"]


class EmptyConversation(ConversationError):  # noqa: N818 (it is left out, but it is not broken)
    """There is no question with an answer, since one of them has no text, or was left out on request."""


class Change(NamedTuple):
    """Something that was not taken as it stands: its name, to be counted, and what became of it."""

    what: str
    outcome: str


EMPTY_SYSTEM = Change("empty system turn", "left out")
LATE_SYSTEM = Change("later system turn", "read as part of what the user says next")
TOOL_TURNS = Change("tool turn", "read as the user's text, <tool_response>…</tool_response>")
CALLS = Change("tool call", "read as the assistant's text, <tool_call>…</tool_call>")
TOOLS = Change("tool definition", "read as text of the system turn, <tools>…</tools>")
REASONING = Change("turn", "with reasoning, read as text, <think>…</think>")
SYSTEM_DROPPED = Change("system turn", "left out (system: drop)")
TOOL_TURNS_DROPPED = Change("tool turn", "left out (tools: drop)")
CALLS_DROPPED = Change("tool call", "left out (tools: drop)")
TOOLS_DROPPED = Change("tool definition", "left out (tools: drop)")
REASONING_DROPPED = Change("turn", "with reasoning, which is left out (reasoning: drop)")
JOINED = Change("turn", "joined to what came before, of the same role")
EMPTY_TURN = Change("empty turn", "left out next to another of the same role")
ALTERNATIVES = Change("turn", "with alternative texts, of which the first is read")
LINES = Change("turn", "with a list of texts, read as lines")
NO_QUESTION = Change("conversation", "begun by the assistant: read from the first question on")
_DROPPED = (SYSTEM_DROPPED, TOOL_TURNS_DROPPED, CALLS_DROPPED, TOOLS_DROPPED, REASONING_DROPPED)
CUT = Change("conversation", "cut before an empty question or answer")
UNANSWERED = Change("conversation", "ending without an answer: the last question is left out")


@dataclass(frozen=True, slots=True)
class Choices:
    """What becomes of the parts of a conversation that not every model should learn.

    Attributes
    ----------
    system
        Keep system turns, or drop them.
    tools
        Write definitions, calls and results of tools as text, or drop them.
    reasoning
        Write what the assistant thinks as text, or drop it.
    """

    system: System = "keep"
    tools: Parts = "text"
    reasoning: Parts = "text"


def turns_of(messages: Sequence[Message], choices: Choices, changes: Counter[Change]) -> tuple[Turn, ...]:
    """Return the turns of a conversation in the order that :class:`Conversation` requires.

    Raises
    ------
    EmptyConversation
        If the first question or its answer has no text, or what is dropped leaves none.
    ConversationError
        If there is no question with an answer.
    """
    groups = [
        (role, _joined(list(group), changes))
        for role, group in groupby(_chosen(messages, choices, changes), key=_role_of)
    ]
    opening = [Turn(*groups.pop(0))] if groups and groups[0][0] == "system" else []
    if opening and not opening[0].content:
        changes[EMPTY_SYSTEM] += 1
        opening = []
    if groups and groups[0][0] == "assistant":
        changes[NO_QUESTION] += 1
        del groups[0]
    empty = next((index for index, (_, text) in enumerate(groups) if not text), None)
    if empty is not None:
        if empty < 2:
            raise EmptyConversation("the first question or its answer has no text")
        changes[CUT] += 1
        del groups[empty - empty % 2 :]
    elif len(groups) % 2:
        if len(groups) > 1:
            changes[UNANSWERED] += 1
        del groups[-1]
    if not groups:
        if any(changes[change] for change in _DROPPED):
            raise EmptyConversation("there is no question with an answer but in what is to be dropped")
        raise ConversationError("there is no question with an answer after it")
    return (*opening, *(Turn(role, text) for role, text in groups))


def _role_of(message: Message) -> str:
    return "user" if message.role == "tool" else message.role


def _chosen(messages: Sequence[Message], choices: Choices, changes: Counter[Change]) -> Iterator[Message]:
    """Yield the messages that are to be read, without the parts that are not; a later system turn is the user's."""
    has_begun = False
    for message in messages:
        kept = _without_unwanted(message, choices, changes)
        if message.role == "system":
            if choices.system == "drop" and message.content.strip():
                changes[SYSTEM_DROPPED] += 1
            if choices.system == "drop":
                kept = replace(kept, content="")
            if has_begun:
                if kept.is_blank:
                    changes[EMPTY_SYSTEM] += message.is_blank
                    continue
                changes[LATE_SYSTEM] += 1
                kept = Message("user", kept.text)
            elif kept.is_blank and not message.is_blank:
                continue
        elif message.role == "tool":
            if choices.tools == "drop":
                continue
        elif kept.is_blank and not message.is_blank:
            continue
        has_begun |= message.role != "system"
        yield kept


def _without_unwanted(message: Message, choices: Choices, changes: Counter[Change]) -> Message:
    """Return a message without the parts that are dropped; all parts that are not plain text are counted."""
    keeps_tools = choices.tools == "text"
    changes[TOOLS if keeps_tools else TOOLS_DROPPED] += len(message.tools)
    changes[CALLS if keeps_tools else CALLS_DROPPED] += len(message.calls)
    changes[TOOL_TURNS if keeps_tools else TOOL_TURNS_DROPPED] += message.role == "tool"
    changes[ALTERNATIVES] += message.listed.count("alternatives")
    changes[LINES] += message.listed.count("lines")
    has_reasoning = bool(message.reasoning.strip())
    changes[REASONING if choices.reasoning == "text" else REASONING_DROPPED] += has_reasoning
    if not keeps_tools:
        message = replace(message, calls=(), tools=())
    return message if has_reasoning and choices.reasoning == "text" else replace(message, reasoning="")


def _joined(messages: Sequence[Message], changes: Counter[Change]) -> str:
    """Return the text of adjacent messages of one role; empty if none has a text."""
    parts = [message for message in messages if not message.is_blank]
    if parts:
        changes[EMPTY_TURN] += len(messages) - len(parts)
        changes[JOINED] += len(parts) - 1
    text, previous = "", ""
    for part in parts:
        between = "\n" if part.role == previous == "tool" else "\n\n"
        text += between * bool(text) + part.text
        previous = part.role
    return without_half_surrogates(text)
