"""Conversations for fine-tuning, and reading the three formats in which they are published."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from minillm_lib.corpora.reading.encoding import Encodings
from minillm_lib.corpora.reading.json_values import read_json
from minillm_lib.corpora.reading.report import Fault, ReadError, ReadReport, Unusable, without_faults

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
Format = Literal["auto", "conversations", "alpaca", "sharegpt"]
FORMATS: tuple[Format, ...] = ("auto", "conversations", "alpaca", "sharegpt")

_MAY_FOLLOW = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
}
_SHAREGPT_ROLES = {"system": "system", "human": "user", "gpt": "assistant"}


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


def read_conversations(
    path: str | os.PathLike[str],
    format: Format = "auto",
    *,
    max_faulty_share: float = 0.0,
    report: ReadReport | None = None,
) -> Iterator[Conversation]:
    """Read conversations from a file, one at a time.

    - ``conversations``, the format of MiniMind:
      ``{"conversations": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}``.
    - ``alpaca``: ``{"instruction": "…", "input": "…", "output": "…"}``. If there is an input, it follows the
      instruction after an empty line.
    - ``sharegpt``: ``{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}``.
    - ``auto`` recognises the format of each record by its keys.

    The file holds JSON lines or a JSON array, which are read as a stream, or an object with such an array inside. It
    may be compressed by gzip (``.gz``) or zstd (``.zst``, which needs the package ``zstandard``). The encoding is
    recognised, and named in the report if it is not UTF-8. Other keys of a record become ``meta``; other keys of a turn
    are dropped. ``source`` is the file and line, or the file and the index in the array.

    Parameters
    ----------
    max_faulty_share
        Share of records, 0 to 1, that may be invalid. Up to this share, a warning names the invalid records. The share
        is checked from the hundredth record on and at the end; if it is 0, the first invalid record is an error.
    report
        Filled in while the conversations are read.

    Raises
    ------
    ValueError
        If the format is unknown or the share is not from 0 to 1.
    FileNotFoundError
        If the file does not exist.
    ReadError
        If too many records are invalid, or there is nothing to read; the message names them by file, line and key.
    """
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; allowed are {', '.join(map(repr, FORMATS))}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    report = ReadReport() if report is None else report
    report.files += 1
    return without_faults(_conversations(path, format, report), report, max_faulty_share)


def _conversations(path: Path, format: Format, report: ReadReport) -> Iterator[Conversation | Fault]:
    try:
        encoding = Encodings(None, report).of(path)
        for item in read_json(path, encoding, replaced=report.replaced_bytes):
            if isinstance(item, Fault):
                yield item
                continue
            place, record = item
            try:
                conversation = _conversation(record, format)
            except ConversationError as error:
                yield Fault(place, "malformed conversation", str(error))
            else:
                yield Conversation(conversation.turns, place, conversation.meta)
    except Unusable as reason:
        raise ReadError(f"cannot read {path}: {reason}") from reason


def _conversation(record: Any, format: Format) -> Conversation:
    if not isinstance(record, dict):
        raise ConversationError(f"the record is of type {type(record).__name__}; it must be an object")
    return _READERS[_format_of(record) if format == "auto" else format](dict(record))


def _format_of(record: Mapping[str, Any]) -> str:
    if "conversations" in record:
        turns = record["conversations"]
        is_sharegpt = isinstance(turns, list) and turns and isinstance(turns[0], dict) and "from" in turns[0]
        return "sharegpt" if is_sharegpt else "conversations"
    if "instruction" in record:
        return "alpaca"
    raise ConversationError(
        f"the record has the keys {sorted(record)}; it needs 'conversations' or 'instruction'"
    )


def _from_conversations(record: dict[str, Any]) -> Conversation:
    turns = tuple(
        _turn(*item, "role", "content") for item in enumerate(_taken(record, "conversations", list))
    )
    return Conversation(turns, meta=record)


def _from_sharegpt(record: dict[str, Any]) -> Conversation:
    turns = []
    for item in enumerate(_taken(record, "conversations", list)):
        role, content = _turn(*item, "from", "value")
        if role not in _SHAREGPT_ROLES:
            allowed = ", ".join(map(repr, _SHAREGPT_ROLES))
            raise ConversationError(f"turn {item[0]} is from {role!r}; allowed are {allowed}")
        turns.append(Turn(_SHAREGPT_ROLES[role], content))
    return Conversation(tuple(turns), meta=record)


def _from_alpaca(record: dict[str, Any]) -> Conversation:
    question, answer = _taken(record, "instruction", str), _taken(record, "output", str)
    context = _taken(record, "input", str) if record.get("input") is not None else ""
    record.pop("input", None)
    return Conversation.of(f"{question}\n\n{context}" if context.strip() else question, answer, meta=record)


_READERS: dict[str, Callable[[dict[str, Any]], Conversation]] = {
    "conversations": _from_conversations,
    "alpaca": _from_alpaca,
    "sharegpt": _from_sharegpt,
}


def _taken(record: dict[str, Any], key: str, kind: type) -> Any:
    """Remove a key from the record and return its value."""
    name = "a string" if kind is str else "a list"
    if key not in record:
        raise ConversationError(
            f"the record has no {key!r}, which must be {name}; its keys are {sorted(record)}"
        )
    if not isinstance(value := record.pop(key), kind):
        raise ConversationError(f"{key!r} is of type {type(value).__name__}; it must be {name}")
    return value


def _turn(index: int, turn: Any, role_key: str, content_key: str) -> Turn:
    if not isinstance(turn, dict) or not {role_key, content_key} <= turn.keys():
        found = (
            f"has the keys {sorted(turn)}" if isinstance(turn, dict) else f"is of type {type(turn).__name__}"
        )
        raise ConversationError(f"turn {index} {found}; it needs {role_key!r} and {content_key!r}")
    return Turn(str(turn[role_key]), turn[content_key])
