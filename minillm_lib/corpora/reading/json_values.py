"""The values of a JSON file: a line each, the items of an array, or what an object holds; streamed where it can be."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Literal

from minillm_lib.corpora.reading.content import inner_ending
from minillm_lib.corpora.reading.records import (
    MAX_RECORD_BYTES,
    Record,
    decoded_chunks,
    read_records,
    too_long,
)
from minillm_lib.corpora.reading.report import Fault, Unusable, shown
from minillm_lib.io.json_text import decode_json, parse_json as as_json

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
    replaced: Counter[str] | None = None,
) -> Iterator[tuple[str, Any] | Fault]:
    """Yield the place and the value of each record of a JSON file, whatever its ending says of its layout.

    - **JSON lines**: the value on each line, with file and line for its place.
    - **An array**: its items, with file and index for their place. It is never held in memory; a broken item ends it.
    - **Anything else** (an object over several lines, or several of them): the records that an object holds, such as
      ``{"data": [{…}, {…}]}`` and what pandas writes, or the object itself. It is read as a whole.

    Raises
    ------
    Unusable
        If a value that has to be read as a whole takes more than 128 MB or holds more than two million others, or there
        are several lists in it.
    """
    peeked = read_records(path, "\n", encoding, limit, replaced=Counter())
    layout = _layout(path, encoding, next(peeked, None), next(peeked, None))
    del peeked  # and the megabytes that it holds
    if layout == "lines":
        yield from parse_json(read_records(path, "\n", encoding, limit, replaced=replaced))
    elif layout == "array":
        yield from _array_items(path, encoding, limit, replaced)
    else:
        yield from _whole(path, encoding, limit, replaced)


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
        """Take a value."""
        self.next_character()
        while True:
            try:
                value, end = decode_json(self.text, self.at)
            except JSONDecodeError as error:
                is_cut = error.pos >= len(self.text) - 10 or error.msg.startswith("Unterminated")
                if not is_cut or not self.more():
                    raise
                continue
            if end < len(self.text) or not self.more():  # a number at the end may go on
                self.at = end
                return value


def _array_items(
    path: Path, encoding: str, limit: int, replaced: Counter[str] | None
) -> Iterator[tuple[str, Any] | Fault]:
    name = shown(path)
    buffer = _Buffer(decoded_chunks(path, encoding, replaced), limit)
    buffer.next_character()
    buffer.at += 1
    index = 0
    if buffer.next_character() == "]":
        return
    while True:
        place = f"{name}[{index}]"
        try:
            value = buffer.value()
            following = buffer.next_character()
        except OverflowError:
            yield too_long(place, limit)
            return
        except Unusable as reason:
            yield Fault(place, "damaged file", str(reason))
            return
        except ValueError as error:
            yield Fault(place, "malformed JSON", f"{error}; what follows is not read")
            return
        yield place, value
        if following == "]":
            return
        if following != ",":
            seen = f"{following!r} follows" if following else "the file ends"
            yield Fault(place, "malformed JSON", f"{seen} where , or ] must be")
            return
        buffer.at += 1
        index += 1


def _whole(
    path: Path, encoding: str, limit: int, replaced: Counter[str] | None
) -> Iterator[tuple[str, Any] | Fault]:
    name, pieces, n = shown(path), [], 0
    for piece in decoded_chunks(path, encoding, replaced):
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
    rows = rows_within(value)
    if rows is not None:
        yield from ((f"{name}[{index}]", row) for index, row in enumerate(rows))
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
            yield f"{name}:{line}", buffer.value()
        except ValueError as error:
            yield Fault(f"{name}:{line}", "malformed JSON", str(error))
            return


def rows_within(value: Any, depth: int = 0) -> Sequence[Any] | None:
    """Return the records that an object holds; None if the object is a record itself.

    These are the one list of objects or texts in it, at most three levels deep, the columns or rows of a data frame
    as pandas writes it, or objects with names of their own, ``{"a": {"text": …}, "b": {"text": …}}``.

    Raises
    ------
    Unusable
        If it has several lists of objects.

    >>> rows_within({"version": 1, "data": [{"text": "a"}, {"text": "b"}]})
    [{'text': 'a'}, {'text': 'b'}]
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or not value or _has_long_text(value):
        return None
    if isinstance(value.get("text"), str):
        return None
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return [dict(zip(map(str, value["columns"]), row, strict=False)) for row in value["data"]]
    if (rows := _of_frame(value)) is not None:
        return rows
    lists = {key: own for key, own in value.items() if isinstance(own, list) and own}
    for kind in (dict, str):
        fitting = [key for key, own in lists.items() if all(isinstance(item, kind) for item in own)]
        if any(
            isinstance(item, dict) and item.keys() & _OF_A_TURN for key in fitting for item in lists[key][:1]
        ):
            return None  # a conversation
        if len(fitting) > 1 and kind is dict:
            raise Unusable(
                f"an object with several lists, {', '.join(map(repr, fitting))}; save one of them alone"
            )
        if len(fitting) == 1 and not (kind is str and _is_record(value)):
            return lists[fitting[0]]
    inside = [own for own in value.values() if isinstance(own, dict)]
    return rows_within(inside[0], depth + 1) if len(inside) == 1 and not lists and depth < _DEPTH else None


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
