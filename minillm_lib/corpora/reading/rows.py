"""Documents from records: which key holds the text, and what becomes of the other keys."""

from __future__ import annotations

import datetime
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from minillm_lib.corpora.document import Document
from minillm_lib.corpora.reading.report import Fault, ReadReport, Unusable

Row = tuple[str, Any]
"""A record and its place before it."""

_TEXT = "text"
_CONVERSATIONS = ("conversations", "messages")
_META_NAMES = {
    **{name: name for name in ("title", "year", "date", "month", "published")},
    **dict.fromkeys(("address", "url", "link"), "address"),
    **dict.fromkeys(("标题", "標題", "题目"), "title"),
    **dict.fromkeys(("年份", "年"), "year"),
    **dict.fromkeys(("日期", "时间"), "date"),
    **dict.fromkeys(("链接", "网址"), "address"),
}
_SAMPLE_ROWS = 200
_SAMPLE_CHARACTERS = 1 << 20
_SHORT = 20
_CLOSE = 0.5
_DEPTH = 3
_SHOWN_KEYS = 20
_NO_PROSE = re.compile(r"\w+://\S*|[\W\d_]*|\S+@\S+|\d{1,4}[-/.年]\d{1,2}.*", re.DOTALL)
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class RowReader:
    """Turns the records of tables and JSON files into documents.

    Parameters
    ----------
    text_key
        Key of the text, also of one inside of another (``"post.body"``); None to guess it for each file.
    """

    text_key: str | None
    report: ReadReport
    _guessed: list[str] = field(default_factory=list, repr=False)

    def documents(
        self, path: Path, rows: Iterable[Row | Fault], what: str = "key"
    ) -> Iterator[Document | Fault]:
        """Yield a document for each record, or a fault.

        Parameters
        ----------
        what
            What the parts of a record are called, ``"key"`` or ``"column"``.

        Raises
        ------
        Unusable
            If none of the first records has the key, or no text; the message names the keys.
        """
        rows = iter(rows)
        sample, n = [], 0
        for row in islice(rows, _SAMPLE_ROWS):
            sample.append(row)
            n += 0 if isinstance(row, Fault) else len(str(row[1]))
            if n > _SAMPLE_CHARACTERS:
                break
        key = self._key_for(path, [row[1] for row in sample if not isinstance(row, Fault)], what)
        for row in chain(sample, rows):
            yield row if isinstance(row, Fault) else _document(row[1], key, row[0])

    def _key_for(self, path: Path, values: Sequence[Any], what: str) -> str:
        records = [value for value in values if isinstance(value, dict)]
        texts = _texts_by_key(records)
        if self.text_key is not None:
            if records and not any(_has(record, self.text_key) for record in records):
                raise Unusable(f"no {what} {self.text_key!r}; its {what}s are {_listed(texts)}")
            return self.text_key
        named = [key for key in texts if key.casefold() == _TEXT]
        filled = next((key for key in named if any(map(str.strip, texts[key]))), None)
        if filled is not None or not records or any(map(_conversation_key, records)):
            return filled or next(iter(named), _TEXT)
        if known := next((key for key in self._guessed if key in texts), None):
            self._note(known, path, what)
            return known
        lengths = {key: _mean_length(found, len(records)) for key, found in texts.items()}
        best, *others = sorted(lengths, key=lambda key: -lengths[key]) or [""]
        if not lengths.get(best):
            if named:
                return named[0]
            raise Unusable(f"no {what} with text; its {what}s are {_listed(texts)}")
        is_close = bool(others) and lengths[others[0]] > _CLOSE * lengths[best]
        self._guessed.append(best)
        self._note(
            best, path, what, others[0] if is_close else None, doubtful=is_close or lengths[best] < _SHORT
        )
        return best

    def _note(
        self, key: str, path: Path, what: str, other: str | None = None, doubtful: bool = False
    ) -> None:
        sentence = f"the text is that of {what} {key!r}, which has the longest texts"
        if other is not None:
            sentence += f", but {other!r} has long ones too"
        named = self.report.spelling("text_key")
        self.report.note(f"{sentence}; {named} names another", path, doubtful=doubtful)


def _listed(texts: Mapping[str, Any]) -> str:
    names = list(texts)
    return ", ".join(map(repr, names[:_SHOWN_KEYS])) + " …" * (len(names) > _SHOWN_KEYS) if names else "none"


def _texts_by_key(records: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the texts under each key, also of objects inside of objects, whose keys are joined by dots."""
    found: dict[str, list[str]] = defaultdict(list)

    def add(record: Mapping[str, Any], prefix: str, depth: int) -> None:
        for key, value in record.items():
            if isinstance(value, dict) and value and depth < _DEPTH:
                add(value, f"{prefix}{key}.", depth + 1)
            else:
                text = _text_of(value)
                found[f"{prefix}{key}"] += [] if text is None else [text]

    for record in records:
        add(record, "", 1)
    return dict(found)


def _text_of(value: Any) -> str | None:
    """Return the text that a value is; a list of lines or paragraphs, as poems are often kept, is joined."""
    if isinstance(value, list | tuple) and value and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return value if isinstance(value, str) else None


def _mean_length(texts: Iterable[str], n_records: int) -> float:
    """Return the mean length of what may be prose; addresses, numbers and dates count nothing."""
    return sum(len(text) for text in texts if not _NO_PROSE.fullmatch(text.strip())) / max(n_records, 1)


def _has(record: Any, key: str) -> bool:
    if not isinstance(record, dict) or key in record:
        return isinstance(record, dict)
    first, dot, rest = key.partition(".")
    return bool(dot) and first in record and _has(record[first], rest)


def _taken(record: dict[str, Any], key: str) -> tuple[Any, dict[str, Any]]:
    """Return the value of a key, and the record without it."""
    if key in record:
        return record[key], {name: value for name, value in record.items() if name != key}
    first, _, rest = key.partition(".")
    value, left = _taken(record[first], rest)
    return value, {**record, first: left} if left else {k: v for k, v in record.items() if k != first}


def _document(value: Any, key: str, place: str) -> Document | Fault:
    if isinstance(value, str):
        value = {key: value}
    if not isinstance(value, dict):
        return Fault(place, "no object", f"it is JSON of type {type(value).__name__}")
    if not _has(value, key):
        name = _conversation_key(value)
        if name is None:
            return Fault(place, "missing key", f"no {key!r}; its keys are {sorted(map(str, value))}")
        if not _is_conversation(value[name]):
            return Fault(place, "malformed conversation", "a list of objects with role and content is needed")
        text = "\n\n".join(turn["content"] for turn in value[name])
        return Document(without_half_surrogates(text), place, meta_of(value))
    found, rest = _taken(value, key)
    own = _text_of(found)
    if is_absent(found) or (own is not None and not own.strip()):
        return Fault(place, "empty text", is_empty=True)
    if own is None:
        return Fault(place, "no text", f"{key!r} is of type {type(found).__name__}")
    return Document(without_half_surrogates(own), place, meta_of(rest))


def _conversation_key(record: Mapping[str, Any]) -> str | None:
    return next((name for name in _CONVERSATIONS if record.get(name)), None)


def _is_conversation(turns: Any) -> bool:
    return (
        isinstance(turns, list)
        and bool(turns)
        and all(
            isinstance(turn, Mapping) and isinstance(turn.get("content"), str) and "role" in turn
            for turn in turns
        )
    )


def meta_of(record: Mapping[Any, Any]) -> dict[str, Any]:
    """Return metadata of plain values; title, year, date, month, published and address are found in any case.

    Empty values and NaN are left out.

    >>> meta_of({"Title": "T", "URL": "http://a.b", "Year": 2005, "score": float("nan")})
    {'title': 'T', 'address': 'http://a.b', 'year': 2005}
    """
    meta: dict[str, Any] = {}
    for key, value in record.items():
        if is_absent(value):
            continue
        name = _name_of(str(key))
        if name != key and (name in record or name in meta):
            name = str(key)
        meta[name] = plain(value)
    if "title" in meta and not isinstance(meta["title"], str):
        meta["title"] = str(meta["title"])
    return meta


@lru_cache(maxsize=1 << 10)
def _name_of(key: str) -> str:
    return _META_NAMES.get(key.strip().casefold(), key)


def is_absent(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, NaT."""
    if value is None:
        return True
    if isinstance(value, str | int | list | tuple | dict):
        return False
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return False


def plain(value: Any) -> Any:
    """Return a value as JSON has it; dates and times become ISO 8601, without the time if it is midnight."""
    if isinstance(value, str):
        return without_half_surrogates(value)
    if isinstance(value, bool | int | float) and type(value).__module__ == "builtins":
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(own) for key, own in value.items() if not is_absent(own)}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value if not is_absent(own)]
    if isinstance(value, datetime.datetime):
        is_date = value.tzinfo is None and value.time() == datetime.time()
        return value.date().isoformat() if is_date else value.isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return plain(value.item()) if hasattr(value, "item") else str(value)


def without_half_surrogates(text: str) -> str:
    """Put together the halves of surrogate pairs, and turn single ones, which no encoding has, into U+FFFD."""
    if text.isascii() or not _HALF_SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def whole_number(value: Any) -> Any:
    """Return a number of a spreadsheet, where all are floating-point, as an integer if it is one."""
    is_whole = (
        isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 2**53
    )
    return int(value) if is_whole else value
