"""What a record says: which of the usual formats of conversations it is in, and the messages in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from minillm_lib.corpora.conversations.conversation import ConversationError
from minillm_lib.corpora.conversations.messages import (
    Message,
    is_message,
    is_nothing,
    message_of,
    text_of,
    tools_of,
)
from minillm_lib.corpora.reading.rows import is_absent
from minillm_lib.io.json_text import parse_json

Format = Literal["auto", "messages", "conversations", "sharegpt", "alpaca", "pairs", "preferences"]
FORMATS: tuple[Format, ...] = get_args(Format)
Preferences = Literal["refuse", "chosen"]

_LISTS = ("messages", "conversations", "conversation", "dialogue", "dialog")
_QUESTIONS = ("instruction", "prompt", "question", "query", "user", "human", "指令", "问题", "提问", "问")
_ANSWERS = ("output", "response", "completion", "answer", "target", "assistant", "输出", "回答", "答案", "答")
_CONTEXTS = ("input", "context", "输入")
_SYSTEMS = ("system", "system_prompt")
_TOOLS = ("tools", "functions")
_HISTORY = "history"
_CHOSEN, _REJECTED = "chosen", "rejected"
_LONGEST_OF_PYTHON = 1 << 20  # characters; its parser takes hundreds of bytes for each


@dataclass(frozen=True, slots=True)
class Parsed:
    """The messages of a record, its format, and its other keys."""

    messages: list[Message]
    format: str
    meta: dict[str, Any]


@dataclass(frozen=True)
class RecordReader:
    """Reads records as :func:`~minillm_lib.corpora.conversations.reading.read_conversations` was told.

    Raises
    ------
    ValueError
        If an option has a value that is not allowed.
    """

    format: Format = "auto"
    preferences: Preferences = "refuse"
    question_key: str | None = None
    answer_key: str | None = None

    def __post_init__(self) -> None:
        for name, kind in (("format", Format), ("preferences", Preferences)):
            if (value := getattr(self, name)) not in get_args(kind):
                allowed = ", ".join(map(repr, get_args(kind)))
                raise ValueError(f"{name} is {value!r}; allowed are {allowed}")
        if (self.question_key is None) != (self.answer_key is None):
            given = "question_key" if self.answer_key is None else "answer_key"
            raise ValueError(f"{given} is given alone; give question_key and answer_key")

    def read(self, record: Any) -> Parsed:
        """Find the messages of a record.

        Raises
        ------
        ConversationError
            If it is of no format that is known, or not of the one that is asked for.
        """
        if isinstance(record, list | tuple) and record and all(map(is_message, record)):
            record = {"messages": record}
        if not isinstance(record, Mapping):
            raise ConversationError(f"the record is of type {type(record).__name__}; it must be an object")
        fields = _Fields(record)
        format, messages = self._messages(fields)
        if self.format not in ("auto", format):
            raise ConversationError(f'the record is of format "{format}"; asked for was "{self.format}"')
        return Parsed([*fields.system(), *messages], format, fields.rest())

    def _messages(self, fields: _Fields) -> tuple[Format, list[Message]]:
        if self.question_key is not None and self.answer_key is not None:
            missing = [key for key in (self.question_key, self.answer_key) if not fields.has(key)]
            if missing:
                raise ConversationError(f"the record has no {missing[0]!r}; its keys are {fields.names}")
            return "pairs", [
                *_said(fields.take(self.question_key), "user", self.question_key),
                *_said(fields.take(self.answer_key), "assistant", self.answer_key),
            ]
        if fields.has(_CHOSEN) and fields.has(_REJECTED):
            return "preferences", self._chosen(fields)
        if key := fields.first(_LISTS):
            turns = _list_of_turns(fields.take(key), key)
            is_sharegpt = bool(turns) and isinstance(turns[0], Mapping) and "from" in turns[0]
            format: Format = (
                "sharegpt" if is_sharegpt else "conversations" if key == "conversations" else "messages"
            )
            return format, _read_turns(turns)
        question = fields.first(_QUESTIONS) or fields.first(_CONTEXTS)
        answer = fields.first(_ANSWERS)
        if question is None or answer is None:
            found = f"{question or answer!r} but no {'answer' if question else 'question'}; "
            raise ConversationError(
                f"the record has {found if question or answer else ''}the keys {fields.names}; it needs "
                f"{', '.join(map(repr, _LISTS[:2]))} or a pair such as 'instruction' and 'output', 'prompt' and "
                "'completion', 'question' and 'answer' (question_key and answer_key name others)"
            )
        kind: Format = "alpaca" if question == "instruction" else "pairs"
        return kind, [*_question(fields, question), *_said(fields.take(answer), "assistant", answer)]

    def _chosen(self, fields: _Fields) -> list[Message]:
        if self.preferences == "refuse":
            raise ConversationError(
                "the record compares two answers, 'chosen' and 'rejected', which fine-tuning cannot; "
                "preferences: chosen takes the one that was chosen"
            )
        chosen = fields.take(_CHOSEN)
        fields.take(_REJECTED)
        answer = _said([chosen] if is_message(chosen) else chosen, "assistant", _CHOSEN)
        asked: list[Message] = []
        if key := fields.first(_LISTS):
            asked = _read_turns(_list_of_turns(fields.take(key), key))
        elif key := fields.first(_QUESTIONS):
            asked = _question(fields, key)
        if answer and answer[0].role != "assistant":  # it is the whole conversation
            return answer
        return [*asked, *answer]


class _Fields:
    """The keys of a record, found in any case; what is taken from it is not part of the rest."""

    def __init__(self, record: Mapping[Any, Any]) -> None:
        self._record = {str(key): value for key, value in record.items()}
        self._keys = {key.strip().casefold(): key for key in self._record}
        self._taken: set[str] = set()

    @property
    def names(self) -> list[str]:
        return sorted(self._record)

    def get(self, name: str) -> Any:
        return self._value(name) if self.has(name) else None

    def has(self, name: str) -> bool:
        return name.strip().casefold() in self._keys

    def first(self, names: Sequence[str]) -> str | None:
        """Return the first of some names that has a value, or else the first that there is."""
        present = [name for name in names if self.has(name)]
        return next((name for name in present if not is_absent(self._value(name))), next(iter(present), None))

    def _value(self, name: str) -> Any:
        return self._record[self._keys[name.strip().casefold()]]

    def take(self, name: str) -> Any:
        self._taken.add(self._keys[name.strip().casefold()])
        return self._value(name)

    def system(self) -> Iterator[Message]:
        """Take what the record itself says of the system turn: its text, and definitions of tools."""
        text, tools = (self.get(self.first(names) or "") for names in (_SYSTEMS, _TOOLS))
        has_text = isinstance(text, str)
        has_tools = isinstance(tools, list | tuple) or str(tools).lstrip().startswith(("[", "{"))
        for names, are_read in ((_SYSTEMS, has_text), (_TOOLS, has_tools)):
            self._taken |= {self._keys[name] for name in names if are_read and self.has(name)}
        message = Message(
            "system",
            text_of(text, "the system turn") if has_text else "",
            tools=tools_of(tools, "the record") if has_tools else (),
        )
        if message.text:
            yield message

    def rest(self) -> dict[str, Any]:
        return {key: value for key, value in self._record.items() if key not in self._taken}


def _question(fields: _Fields, key: str) -> list[Message]:
    """Return what comes before the answer: earlier turns, and the question with its input after an empty line."""
    earlier = []
    if not is_nothing(fields.get(_HISTORY)):
        for index, pair in enumerate(_list_of_turns(fields.take(_HISTORY), _HISTORY)):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ConversationError(f"{_HISTORY}[{index}] is no pair of a question and an answer")
            question, answer = (text_of(text, f"{_HISTORY}[{index}]") for text in pair)
            earlier += [Message("user", question), Message("assistant", answer)]
    asked = fields.take(key)
    context = next((name for name in _CONTEXTS if name != key and fields.has(name)), None)
    if context is None or not isinstance(asked, str | None):
        return [*earlier, *_said(asked, "user", key)]
    parts = (text_of(asked, repr(key)), text_of(fields.take(context), repr(context)))
    return [*earlier, Message("user", "\n\n".join(part for part in parts if part.strip()))]


def _said(value: Any, role: Literal["user", "assistant"], key: str) -> list[Message]:
    """Return the messages under a key: a text of one role, or a list of messages."""
    if isinstance(value, list | tuple) and value and all(map(is_message, value)):
        return _read_turns(value)
    return [Message(role, text_of(value, repr(key)))]


def _read_turns(turns: Sequence[Any]) -> list[Message]:
    return [message_of(turn, f"turn {index}") for index, turn in enumerate(turns)]


def _list_of_turns(value: Any, key: str) -> Sequence[Any]:
    """Return a list that may be written as text, as in the cells of a table, or be a column per key."""
    if isinstance(value, str):
        value = _parsed(value, key)
    if isinstance(value, Mapping) and value and all(isinstance(own, list | tuple) for own in value.values()):
        sizes = set(map(len, value.values()))
        if len(sizes) == 1:
            return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    if not isinstance(value, list | tuple):
        raise ConversationError(f"{key!r} is of type {type(value).__name__}; it must be a list")
    return value


def _parsed(text: str, key: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        if len(text) > _LONGEST_OF_PYTHON:
            raise ConversationError(
                f"{key!r} is a text, and no list as JSON ({error}); a list as Python writes it may have "
                f"{_LONGEST_OF_PYTHON:,} characters, and this has {len(text):,}"
            ) from None
        try:
            return ast.literal_eval(text.strip())  # as pandas writes a list to CSV
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise ConversationError(f"{key!r} is a text, and no list as JSON ({error})") from None
