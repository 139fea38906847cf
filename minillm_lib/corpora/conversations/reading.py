"""Reading conversations from files of any usual kind and format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from minillm_lib.corpora.conversations.conversation import Conversation, ConversationError
from minillm_lib.corpora.conversations.messages import is_blank
from minillm_lib.corpora.conversations.records import Format, Preferences, RecordReader
from minillm_lib.corpora.conversations.report import ConversationReport
from minillm_lib.corpora.conversations.turns import (
    Change,
    Choices,
    EmptyConversation,
    Parts,
    System,
    turns_of,
)
from minillm_lib.corpora.reading.content import first_bytes
from minillm_lib.corpora.reading.encoding import Encodings, check_encoding
from minillm_lib.corpora.reading.finding import Paths, find_files, read_each
from minillm_lib.corpora.reading.kinds import kind_of, looks_like_json, may_be_plain_text
from minillm_lib.corpora.reading.records import MAX_RECORD_BYTES, check_limit
from minillm_lib.corpora.reading.report import Fault, Unusable, without_faults
from minillm_lib.corpora.reading.rows import Row, plain
from minillm_lib.corpora.reading.tables import rows_of, table_kind


def read_conversations(
    paths: Paths,
    format: Format = "auto",
    *,
    system: System = "keep",
    tools: Parts = "text",
    reasoning: Parts = "text",
    preferences: Preferences = "refuse",
    question_key: str | None = None,
    answer_key: str | None = None,
    encoding: str | None = None,
    max_record_bytes: int = MAX_RECORD_BYTES,
    max_faulty_share: float = 0.01,
    report: ConversationReport | None = None,
) -> Iterator[Conversation]:
    """Read conversations from files, folders and globs, one at a time.

    The files are JSON lines, JSON (an array, or an object that holds one), CSV and the like, Excel, OpenDocument or
    Parquet; any may be compressed by gzip (``.gz``) or zstd (``.zst``). The format of each record is recognised:

    - ``messages``: ``{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}``, as in
      the interfaces of OpenAI and in TRL.
    - ``conversations``: the same under ``"conversations"``, as MiniMind has it.
    - ``sharegpt``: ``{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}``.
    - ``alpaca``: ``{"instruction": "…", "input": "…", "output": "…"}``. If there is an input, it follows the
      instruction after an empty line. ``"history"`` holds pairs that come before.
    - ``pairs``: any other question and its answer, such as ``prompt`` and ``completion``, ``question`` and ``answer``,
      ``query`` and ``response``.
    - ``preferences``: ``{"prompt": …, "chosen": …, "rejected": …}``, refused unless ``preferences`` says otherwise.

    Names of roles and keys are those of all these formats, in any case. In a table, the list of a conversation may be a
    cell with JSON, or a column of lists. Definitions, calls and results of tools and what the assistant thinks become
    text with marks around it (:mod:`~minillm_lib.corpora.conversations.messages`).

    What does not fit :class:`Conversation` is made to, and counted: adjacent turns of one role are joined, an assistant
    that speaks first is passed over until the first question, a last question without answer is left out, and a
    conversation is cut before an empty question or answer. Of several answers, ``["14 December 1972", "1972"]``, or
    questions, the first is read; several texts as the content of a message are its lines. Other keys of a record
    become ``meta``. ``source`` is the file with the line, row or index.

    Parameters
    ----------
    format
        Accept only this format; another is an invalid record.
    system, tools, reasoning
        See :class:`~minillm_lib.corpora.conversations.turns.Choices`.
    preferences
        ``"refuse"`` pairs of a chosen and a rejected answer, or take the ``"chosen"`` one.
    question_key, answer_key
        Columns or keys that hold a question and its answer, under other names than usual.
    encoding
        Any encoding that Python knows. None to recognise it, which is said.
    max_record_bytes
        Longest line or row that is read; a longer one is an invalid record, and is not held in memory.
    max_faulty_share
        Share of records, 0 to 1, that may be invalid; up to it, a warning names them. Three are allowed in any case, as
        long as most are good; with 0, none. The share is checked from one hundred records on, and at the end. Records
        whose first question or answer is empty are left out and counted, but are not invalid.
    report
        Filled in while the conversations are read.

    Raises
    ------
    ValueError
        If an option is not one of those allowed.
    FileNotFoundError
        If there is nothing at one of the paths, or nothing that matches.
    ReadError
        While reading, if too many records are invalid, and if there is no conversation at all; the message names them
        by file, line and key.
    """
    for name, value, kind in (
        ("system", system, System),
        ("tools", tools, Parts),
        ("reasoning", reasoning, Parts),
    ):
        if value not in get_args(kind):
            allowed = ", ".join(map(repr, get_args(kind)))
            raise ValueError(f"{name} is {value!r}; allowed are {allowed}")
    records = RecordReader(format, preferences, question_key, answer_key)
    check_encoding(encoding)
    check_limit(max_record_bytes)
    report = ConversationReport() if report is None else report
    files = find_files(paths, report)
    encodings = Encodings(encoding, report, list(filter(may_be_plain_text, files)))
    reader = _Reader(records, Choices(system, tools, reasoning), encodings, max_record_bytes, report)
    return without_faults(read_each(files, reader.read, report), report, max_faulty_share)


@dataclass(frozen=True)
class _Reader:
    """Reads one file, as :func:`read_conversations` was told."""

    records: RecordReader
    choices: Choices
    encodings: Encodings
    limit: int
    report: ConversationReport

    def read(self, path: Path) -> Iterator[Conversation | Fault]:
        """Yield the conversations of a file."""
        beginning = first_bytes(path)
        kind = table_kind(path, beginning, kind_of(path, beginning), self.report)
        rows = rows_of(path, kind, self.encodings, self.limit, self.records.question_key, self.report)
        if rows is None:
            if looks_like_json(beginning):
                raise Unusable(
                    "it begins as JSON does, but is not called so; if it is JSON, rename it to .json"
                )
            raise Unusable("no table and no JSON, so there are no conversations in it")
        is_typed = kind == "parquet"
        for row in rows:
            yield row if isinstance(row, Fault) else self._conversation(row, is_typed)

    def _conversation(self, row: Row, is_typed: bool) -> Conversation | Fault:
        """Return the conversation of a record; in a table with types, a key that another row has is there, and None."""
        place, record = row
        changes: Counter[Change] = Counter()
        try:
            parsed = self.records.read(plain(record) if is_typed else record)
            turns = turns_of(parsed.messages, self.choices, changes)
            conversation = Conversation(turns, place, parsed.meta)
        except EmptyConversation as reason:
            return Fault(place, "empty conversation", str(reason), is_empty=True)
        except ConversationError as error:
            return Fault(place, "malformed conversation", str(error))
        unread = Counter(key for message in parsed.messages for key in message.unread)
        beside = [key for key, value in parsed.meta.items() if not is_blank(value)]
        self.report.count(place, parsed.format, +changes, unread, beside)
        return conversation
