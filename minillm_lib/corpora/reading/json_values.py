"""The values of a JSON file: a line each, the items of an array, or what an object holds; streamed where it can be."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Literal, NamedTuple

from minillm_lib.corpora.reading.content import inner_ending
from minillm_lib.corpora.reading.records import (
    MAX_RECORD_BYTES,
    Record,
    decoded_chunks,
    read_records,
    too_long,
)
from minillm_lib.corpora.reading.report import Fault, ReadReport, Unusable, shown
from minillm_lib.io.json_text import RepeatedKeyError, decode_json, parse_json as as_json
from minillm_lib.io.wording import number_of

Layout = Literal["lines", "array", "whole"]
_LINES_ENDINGS = (".jsonl", ".ndjson", ".jsonlines", ".ldjson")
_MAX_WHOLE_BYTES = 1 << 27
_MAX_WHOLE_VALUES = 2_000_000
_LONG_TEXT = 200
_DEPTH = 3
_OF_A_TURN = {"role", "from"}


def read_json(
    path: Path,
    encoding: str,
    limit: int = MAX_RECORD_BYTES,
    *,
    report: ReadReport,
) -> Iterator[tuple[str, Any] | Fault]:
    """Yield the place and the value of each record of a JSON file, whatever its ending says of its layout.

    - **JSON lines**: the value on each line, with file and line for its place.
    - **An array**, or several one after the other: their items, with file and index for their place. They are never
      held in memory; a broken item ends them.
    - **Anything else** (an object over several lines, or several of them): the records that an object holds, such as
      ``{"data": [{…}, {…}]}`` and what pandas writes, or the object itself. It is read as a whole.

    Raises
    ------
    Unusable
        If a value that has to be read as a whole takes more than 128 MB or holds more than two million others, or if
        there are several lists in it, or a table whose rows do not fit its columns.
    """
    peeked = read_records(path, "\n", encoding, limit, replaced=Counter())
    layout = _layout(path, encoding, next(peeked, None), next(peeked, None))
    del peeked  # and the megabytes that it holds
    if layout == "lines":
        yield from parse_json(read_records(path, "\n", encoding, limit, replaced=report.replaced_bytes))
    elif layout == "array":
        yield from _array_items(path, encoding, limit, report)
    else:
        yield from _whole(path, encoding, limit, report)


def is_json_lines(beginning: bytes) -> bool:
    """Whether a file of unknown kind begins with a line that is a JSON object; its other lines may be broken."""
    line, end, _ = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    return bool(end) and line.startswith(b'{"') and _is_json(line.decode(errors="replace"))


def _layout(path: Path, encoding: str, first: Record | Fault | None, second: Record | Fault | None) -> Layout:
    is_lines = inner_ending(path) in _LINES_ENDINGS
    if not isinstance(first, Record):  # nothing, or a line that is too long
        is_too_long = isinstance(first, Fault) and first.kind == "record too long"
        if not is_too_long:
            return "lines"
        beginning = next(decoded_chunks(path, encoding)).lstrip("\ufeff \t\r\n")
        return "array" if beginning.startswith("[") else "lines" if is_lines else "whole"
    start = first.text.lstrip()
    is_complete = _is_json(start)
    if start.startswith("["):
        return "lines" if is_complete and second is not None else "array"
    if not start.startswith("{"):
        return "lines"
    if is_complete:
        return "lines" if second is not None or is_lines else "whole"
    goes_on = isinstance(second, Record) and not second.text.lstrip().startswith("{")
    return "whole" if goes_on and (not is_lines or start.rstrip() == "{") else "lines"


def _is_json(text: str) -> bool:
    try:
        as_json(text)
    except RepeatedKeyError:
        return True
    except ValueError:
        return False
    return True


def parse_json(records: Iterable[Record | Fault]) -> Iterator[tuple[str, Any] | Fault]:
    """Yield the place of each record, and its value as JSON."""
    for record in records:
        if isinstance(record, Fault):
            yield record
            continue
        try:
            yield record.place, as_json(record.text)
        except ValueError as error:
            yield Fault(record.place, "malformed JSON", str(error))


@dataclass
class _Buffer:
    """The part of a text that is being parsed; what has been parsed is forgotten."""

    texts: Iterator[str]
    limit: int
    text: str = ""
    at: int = 0

    def more(self) -> bool:
        """Read on, twice as much as is held, so that a long value is parsed a few times only."""
        held = self.text[self.at :]
        if len(held) > self.limit:
            raise OverflowError
        parts, n = [held], 0
        for text in self.texts:
            parts.append(text)
            n += len(text)
            if n > len(held):
                break
        self.text, self.at = "".join(parts), 0
        return n > 0

    def next_character(self) -> str:
        """Skip white space; the character is not taken, and empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\n\r\ufeff":
                self.at += 1
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]

    def value(self) -> Any:
        """Take a value; one that is refused for a repeated key is taken too."""
        self.next_character()
        while True:
            try:
                value, end = decode_json(self.text, self.at)
            except RepeatedKeyError as error:
                self.at = error.end
                raise
            except JSONDecodeError as error:
                is_cut = error.pos >= len(self.text) - 10 or error.msg.startswith("Unterminated")
                if not is_cut or not self.more():
                    raise
                continue
            if end < len(self.text) or not self.more():  # a number at the end may go on
                self.at = end
                return value


def _array_items(
    path: Path, encoding: str, limit: int, report: ReadReport
) -> Iterator[tuple[str, Any] | Fault]:
    """Yield the items of an array, and of those that follow it, as where batches were appended to a file."""
    name, index = shown(path), 0
    buffer = _Buffer(decoded_chunks(path, encoding, report.replaced_bytes), limit)
    following = buffer.next_character()
    try:
        while following == "[":
            buffer.at += 1
            is_open = buffer.next_character() != "]"
            buffer.at += not is_open
            while is_open:
                place = f"{name}[{index}]"
                try:
                    item: tuple[str, Any] | Fault = place, buffer.value()
                except RepeatedKeyError as error:
                    item = Fault(place, "malformed JSON", str(error))
                yield item
                following = buffer.next_character()
                if following not in (",", "]"):
                    seen = f"{following!r} follows" if following else "the file ends"
                    yield Fault(place, "malformed JSON", f"{seen} where , or ] must be")
                    return
                buffer.at += 1
                index += 1
                is_open = following == ","
            following = buffer.next_character()
    except OverflowError:
        yield too_long(f"{name}[{index}]", limit)
    except Unusable as reason:
        yield Fault(f"{name}[{index}]", "damaged file", str(reason))
    except ValueError as error:
        yield Fault(f"{name}[{index}]", "malformed JSON", f"{error}; what follows is not read")
    else:
        if following:
            yield Fault(name, "malformed JSON", f"{following!r} follows the array; what follows is not read")


def _whole(path: Path, encoding: str, limit: int, report: ReadReport) -> Iterator[tuple[str, Any] | Fault]:
    name, pieces, n = shown(path), [], 0
    for piece in decoded_chunks(path, encoding, report.replaced_bytes):
        pieces.append(piece)
        n += sys.getsizeof(piece)  # of which a character may take four bytes
        if n > _MAX_WHOLE_BYTES:
            raise Unusable(
                f"a single JSON value of more than {_MAX_WHOLE_BYTES >> 20} MB; save it as JSON lines"
            )
    text = "".join(pieces).removeprefix("\ufeff")
    pieces.clear()
    if sum(map(text.count, ",[{")) > _MAX_WHOLE_VALUES:
        raise Unusable(
            f"a single JSON value that holds more than {_MAX_WHOLE_VALUES:,}; save it as JSON lines"
        )
    try:
        value = as_json(text)
    except ValueError:
        yield from _following(name, text)
        return
    within = rows_within(value)
    if within is not None:
        if within.note:
            report.note(within.note, path)
        yield from ((f"{name}[{index}]", row) for index, row in enumerate(within.rows))
    elif len(text) > limit:
        yield too_long(name, limit)
    else:
        yield name, value


def _following(name: str, text: str) -> Iterator[tuple[str, Any] | Fault]:
    """Yield objects that follow each other without commas."""
    buffer = _Buffer(iter(()), len(text), text)
    while buffer.next_character():
        line = 1 + text.count("\n", 0, buffer.at)
        try:
            value = buffer.value()
        except ValueError as error:
            yield Fault(f"{name}:{line}", "malformed JSON", str(error))
            if not isinstance(error, RepeatedKeyError):
                return
        else:
            yield f"{name}:{line}", value


class Within(NamedTuple):
    """The records that an object holds, and what is to be said of how they were found."""

    rows: Sequence[Any]
    note: str = ""


def rows_within(value: Any, depth: int = 0) -> Within | None:
    """Return the records that an object holds; None if the object is a record itself.

    These are the one list of objects or texts in it, at most three levels deep, the columns or rows of a data frame
    as pandas and Hugging Face's ``datasets`` write it, or objects with names of their own,
    ``{"a": {"text": …}, "b": {"text": …}}``.

    Raises
    ------
    Unusable
        If it has several lists of objects, or ``columns`` and ``data`` that are no table.

    >>> rows_within({"version": 1, "data": [{"text": "a"}, {"text": "b"}]}).rows
    [{'text': 'a'}, {'text': 'b'}]
    """
    if isinstance(value, list):
        return Within(value)
    if not isinstance(value, dict) or not value or _has_long_text(value):
        return None
    if isinstance(value.get("text"), str):
        return None
    if (rows := _of_split(value)) is not None or (rows := _of_frame(value)) is not None:
        return Within(rows)
    lists = {key: own for key, own in value.items() if isinstance(own, list) and own}
    if any(isinstance(own[0], dict) and own[0].keys() & _OF_A_TURN for own in lists.values()):
        return None  # a conversation
    if (rows := _of_columns(value)) is not None:
        return Within(rows, f"an object of lists of one length was read as a table of {_listed(value)}")
    for kind in (dict, str):
        fitting = [key for key, own in lists.items() if all(isinstance(item, kind) for item in own)]
        if len(fitting) > 1 and kind is dict:
            raise Unusable(f"an object with several lists, {_listed(fitting)}; save one of them alone")
        if len(fitting) == 1 and not (kind is str and _is_record(value)):
            return Within(lists[fitting[0]], _beside(value, fitting[0]))
    inside = [key for key, own in value.items() if isinstance(own, dict)]
    if len(inside) != 1 or lists or depth >= _DEPTH:
        return None
    found = rows_within(value[inside[0]], depth + 1)
    return found and found._replace(note="; ".join(filter(None, (found.note, _beside(value, inside[0])))))


def _beside(value: Mapping[str, Any], key: str) -> str:
    """Say which keys beside the one that holds the records are not read; empty if none of them has a value."""
    others = [name for name, own in value.items() if name != key and own not in (None, "", [], {})]
    return f"the records are those under {key!r}; not read beside it: {_listed(others)}" if others else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _of_split(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of a table of names and rows, as pandas writes it with ``orient="split"``; None if it is none."""
    columns, rows = value.get("columns"), value.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return None
    if rows and all(isinstance(row, dict) for row in rows):  # records, beside which there are columns
        return None
    names = [str(name) for name in columns if isinstance(name, str | int)]
    if len(set(names)) < len(columns):
        raise Unusable(
            "an object with 'columns' and 'data', whose columns are not different names; save it as records"
        )
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            found = number_of(len(row), "cell") if isinstance(row, list) else f"of type {type(row).__name__}"
            raise Unusable(
                f"an object with 'columns' and 'data', of which data[{number}] is {found} where "
                f"{number_of(len(columns), 'column')} must be; save it as records"
            )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _of_columns(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of an object of columns: lists of one length, one of them of texts or of lists.

    A single list of texts is no table, but a single list of lists is: conversations.
    """
    columns = list(value.values())
    if not all(isinstance(own, list) for own in columns) or len(set(map(len, columns))) > 1:
        return None
    kinds = (str, list) if len(columns) > 1 else (list,)
    if not any(_holds(column, kinds) for column in columns):
        return None
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


def _holds(column: Sequence[Any], kinds: tuple[type, ...]) -> bool:
    filled = [item for item in column if item is not None]
    return bool(filled) and all(isinstance(item, kinds) for item in filled)


def _has_long_text(value: Mapping[str, Any]) -> bool:
    return any(isinstance(own, str) and len(own) > _LONG_TEXT for own in value.values())


def _is_record(value: Mapping[str, Any]) -> bool:
    """Whether an object with a list of texts, such as key words, is rather a record."""
    return any(isinstance(own, str) and " " in own.strip() for own in value.values())


def _of_frame(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of a data frame, by columns or by rows with their numbers; None if it is none."""
    inner = list(value.values())
    if not all(isinstance(own, dict) and own for own in inner):
        return None
    if all(own.keys() == inner[0].keys() for own in inner):
        if all(key.isdigit() for key in inner[0]):
            return [{name: column[row] for name, column in value.items()} for row in inner[0]]
        if all(key.isdigit() for key in value):
            return inner
    return inner if len(inner) > 1 and _share_a_text(inner) else None


def _share_a_text(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one key has a text of several words in every object: then they are records, each under its own name."""
    shared = set(records[0]).intersection(*records[1:])
    return any(
        all(isinstance(record[key], str) and " " in record[key].strip() for record in records)
        for key in shared
    )
