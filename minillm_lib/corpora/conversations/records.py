"""What a record says: which of the usual formats of conversations it is in, and the messages in it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from minillm_lib.corpora.conversations.conversation import ConversationError
from minillm_lib.corpora.conversations.messages import (
    Message,
    first_said,
    is_blank,
    is_message,
    listed_in,
    message_of,
    text_of,
    tools_of,
)
from minillm_lib.io.json_text import RepeatedKeyError, parse_json

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
        if _are_messages(record):
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
                *_said(fields.take(self.question_key), "user", repr(self.question_key)),
                *_said(fields.take(self.answer_key), "assistant", repr(self.answer_key)),
            ]
        key = fields.first(_LISTS)
        question = fields.first(_QUESTIONS) or fields.first(_CONTEXTS)
        answer = fields.first(_ANSWERS)
        # A key without a value, as where tables of several formats were joined, decides only if nothing else does.
        is_pair = question is not None and answer is not None
        is_other = is_pair or (key is not None and fields.says(key))
        if fields.says(_CHOSEN, _REJECTED) or (
            fields.has(_CHOSEN) and fields.has(_REJECTED) and not is_other
        ):
            return "preferences", self._chosen(fields)
        if key is not None and (fields.says(key) or not is_pair):
            turns = _list_of_turns(fields.take(key), key)
            is_sharegpt = bool(turns) and isinstance(turns[0], Mapping) and "from" in turns[0]
            format: Format = (
                "sharegpt" if is_sharegpt else "conversations" if key == "conversations" else "messages"
            )
            return format, _read_turns(turns)
        if question is None or answer is None:
            found = f"{question or answer!r} but no {'answer' if question else 'question'}; "
            raise ConversationError(
                f"the record has {found if question or answer else ''}the keys {fields.names}; it needs "
                f"{', '.join(map(repr, _LISTS[:2]))} or a pair such as 'instruction' and 'output', 'prompt' and "
                "'completion', 'question' and 'answer' (question_key and answer_key name others)"
            )
        kind: Format = "alpaca" if question == "instruction" else "pairs"
        return kind, [*_question(fields, question), *_said(fields.take(answer), "assistant", repr(answer))]

    def _chosen(self, fields: _Fields) -> list[Message]:
        if self.preferences == "refuse":
            raise ConversationError(
                "the record compares two answers, 'chosen' and 'rejected', which fine-tuning cannot; "
                "preferences: chosen takes the one that was chosen"
            )
        chosen = fields.take(_CHOSEN)
        fields.take(_REJECTED)
        answer = _said([chosen] if is_message(chosen) else chosen, "assistant", repr(_CHOSEN))
        asked: list[Message] = []
        if (key := fields.first(_LISTS)) and fields.says(key):
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
        in_order = sorted(self._record, key=lambda key: not is_blank(self._record[key]))
        self._keys = {
            key.strip().casefold(): key for key in in_order
        }  # of two alike, one that says something
        self._taken: set[str] = set()

    @property
    def names(self) -> list[str]:
        return sorted(self._record)

    def get(self, name: str) -> Any:
        return self._value(name) if self.has(name) else None

    def has(self, name: str) -> bool:
        return name.strip().casefold() in self._keys

    def says(self, *names: str) -> bool:
        """Whether each of some names has a value that says something."""
        return not any(is_blank(self.get(name)) for name in names)

    def first(self, names: Iterable[str]) -> str | None:
        """Return the first of some names whose value says something, or else the first that there is."""
        found = {name: self._value(name) for name in names if self.has(name)}
        return first_said(found, list(found))

    def _value(self, name: str) -> Any:
        return self._record[self._keys[name.strip().casefold()]]

    def take(self, name: str) -> Any:
        self._taken.add(self._keys[name.strip().casefold()])
        return self._value(name)

    def system(self) -> Iterator[Message]:
        """Take what the record itself says of the system turn: its text, and definitions of tools."""
        text_key, tools_key = self.first(_SYSTEMS), self.first(_TOOLS)
        text, tools = (self.get(key or "") for key in (text_key, tools_key))
        has_text = isinstance(text, str)
        has_tools = isinstance(tools, list | tuple) or str(tools).lstrip().startswith(("[", "{"))
        for key, is_read in ((text_key, has_text), (tools_key, has_tools)):
            if key is not None and is_read:
                self.take(key)
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
    earlier: list[Message] = []
    if fields.says(_HISTORY):
        for index, pair in enumerate(_list_of_turns(fields.take(_HISTORY), _HISTORY)):
            place = f"{_HISTORY}[{index}]"
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ConversationError(f"{place} is no pair of a question and an answer")
            earlier += [*_said(pair[0], "user", place), *_said(pair[1], "assistant", place)]
    asked = fields.take(key)
    messages = _said(asked, "user", repr(key))
    context = fields.first(name for name in _CONTEXTS if name != key)
    if context is None or _are_messages(asked):
        return [*earlier, *messages]
    (question,), passage = messages, fields.take(context)
    parts = (question.content, text_of(passage, repr(context)))
    text = "\n\n".join(part for part in parts if part.strip())
    return [*earlier, replace(question, content=text, listed=(*question.listed, *listed_in(passage)))]


def _said(value: Any, role: Literal["user", "assistant"], where: str) -> list[Message]:
    """Return the messages that a value is: a list of them, or a text of one role; of several texts, the first."""
    if _are_messages(value):
        return _read_turns(value)
    if isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(text, str) for text in value):
        return [Message(role, next(filter(str.strip, value), ""), listed=("alternatives",))]
    return [Message(role, text_of(value, where), listed=listed_in(value))]


def _are_messages(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(is_message, value))


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
    except RepeatedKeyError as error:  # which Python would read, and lose a value
        raise ConversationError(f"{key!r} is a list as JSON, but {error}") from None
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
