"""CSV and its relatives, streamed: the delimiter and the header are recognised, and a broken row costs only itself."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import mean
from typing import Any

from minillm_lib.corpora.reading.records import Record, too_long
from minillm_lib.corpora.reading.report import Fault
from minillm_lib.io.wording import number_of

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE_LINES = 500
_SAMPLE_CHARACTERS = 1 << 18
_LONGEST_NAME = 80
_MOST_LINES = 100_000  # of one row
_MANY_LINES, _MANY_CHARACTERS = 100, 1 << 18  # of a broken one
_MISSING = {"", "NaN", "nan", "NULL", "null", "None", "NA", "N/A", "<NA>"}  # what programs write for no value
# Names by which a first line is known for the names of columns, whatever stands below.
_NAMES = frozenset(
    (
        *("text", "title", "id", "content", "abstract", "body", "正文", "标题", "内容"),
        *("messages", "conversations", "instruction", "output", "prompt", "completion"),
        *("question", "answer", "query", "response", "问题", "回答", "答案"),
    )
)
_EXCEL_SEPARATOR = re.compile(r"sep=([,;|\t])\s*", re.IGNORECASE)
_NUMBER = frozenset("0123456789.,+-eE%/: ")


@dataclass(frozen=True)
class Dialect:
    """How a table is written; ``names`` is its first line, or the numbers of its columns if it has no such line.

    Attributes
    ----------
    n_above
        How many rows stand above the header, such as a title.
    is_doubtful
        Whether a table of one column may be one of several, whose rows have many lengths.
    """

    delimiter: str
    names: tuple[str, ...]
    has_header: bool
    escape: str | None = None
    n_above: int = 0
    is_doubtful: bool = False

    def __str__(self) -> str:
        columns = f"{len(self.names)} column{'s' * (len(self.names) != 1)}"
        between = f" between {DELIMITERS[self.delimiter]}" if self.delimiter and len(self.names) > 1 else ""
        header = "the first line names them" if self.has_header else "no line names them, so they are 1, 2, …"
        if self.n_above:
            header += f"; {number_of(self.n_above, 'row')} above it left out"
        if self.is_doubtful:
            header += "; its rows would have different numbers of cells, so each line was taken for one cell"
        return f"a table of {columns}{between}; {header}"


@dataclass
class DelimitedTable:
    """A table in a stream of lines.

    Parameters
    ----------
    text_key
        A column that the header must have, if there is one; it helps to recognise it.
    """

    lines: Iterable[Record | Fault]
    limit: int
    text_key: str | None = None
    ending: str = ""
    dialect: Dialect = field(init=False)

    def __post_init__(self) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), self.limit))
        lines = iter(self.lines)
        self._read: deque[Record | Fault] = deque()
        n = 0
        for line in islice(lines, _SAMPLE_LINES):
            self._read.append(line)
            n += 0 if isinstance(line, Fault) else len(line.text)
            if n > _SAMPLE_CHARACTERS:
                break
        self._rest = lines
        sample = [line.text for line in self._read if isinstance(line, Record)]
        delimiters = tuple(DELIMITERS)
        if sample and (said := _EXCEL_SEPARATOR.fullmatch(sample[0])):
            self._read.remove(next(line for line in self._read if isinstance(line, Record)))
            del sample[0]
            delimiters = (said[1],)
        self.dialect = recognise(sample, self.text_key, self.ending, delimiters)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]] | Fault]:
        """Yield the place and the cells of each row, or what is wrong with it."""
        names = self.dialect.names
        n_before = self.dialect.n_above + self.dialect.has_header
        for item in self._cells():
            if isinstance(item, Fault):
                yield item
                continue
            place, cells = item
            if n_before:
                n_before -= 1
            elif len(cells) != len(names):
                detail = f"{len(cells)} where {len(names)} columns are"
                yield Fault(place, "wrong number of cells", detail)
            else:
                values = [None if cell.strip() in _MISSING else cell for cell in cells]
                yield place, dict(zip(names, values, strict=True))

    def _cells(self) -> Iterator[tuple[str, list[str]] | Fault]:
        used: list[Record] = []
        size = n_alone = 0
        faults: list[Fault] = []

        def feed() -> Iterator[str]:
            nonlocal size, n_alone
            while True:
                if n_alone and used:
                    raise _Cut("a quotation mark that is not closed on its line")
                n_alone -= bool(n_alone)
                line = self._read.popleft() if self._read else next(self._rest, None)
                if line is None:
                    return
                if isinstance(line, Fault):
                    faults.append(line)
                    if used:
                        raise _Cut("a line inside of it cannot be read")
                    continue
                used.append(line)
                size += len(line.text) + 1
                if size > self.limit or len(used) > _MOST_LINES:
                    raise OverflowError
                yield line.text + "\n"

        options: dict[str, Any] = {"delimiter": self.dialect.delimiter, "escapechar": self.dialect.escape}
        reader = csv.reader(feed(), strict=True, **options)
        while True:
            fault: Fault | None = None
            try:
                cells = next(reader)
            except StopIteration:
                yield from faults
                return
            except OverflowError:
                fault = too_long(used[0].place, self.limit)
                if len(used) > _MOST_LINES:
                    detail = f"more than {_MOST_LINES:,} lines; is there a quotation mark too many?"
                    fault = replace(fault, detail=detail)
            except _Cut as reason:
                fault = Fault(used[0].place, "broken row", str(reason))
            except csv.Error as error:
                cells = _lenient(used[0].text, options) if used else []
                if len(used) > 1 or len(cells) != len(self.dialect.names):
                    fault = Fault(
                        used[0].place, "broken row", f"{error}; is there a quotation mark too many?"
                    )
            yield from faults
            faults.clear()
            if fault is not None:  # the lines after the first may be rows of their own
                self._read.extendleft(reversed(used[1:]))
                if len(used) > _MANY_LINES or size > _MANY_CHARACTERS:
                    # each on one line, as otherwise they could be read again and again
                    n_alone = len(used) - 1
                yield fault
                reader = csv.reader(feed(), strict=True, **options)
            elif cells:
                yield used[0].place, cells
            used.clear()
            size = 0


class _Cut(Exception):  # noqa: N818
    """A row ends in the middle."""


def _lenient(line: str, options: dict[str, Any]) -> list[str]:
    try:
        return next(csv.reader([line], **options), [])
    except csv.Error:
        return []


def recognise(
    lines: Sequence[str],
    text_key: str | None = None,
    ending: str = "",
    delimiters: Iterable[str] = tuple(DELIMITERS),
) -> Dialect:
    """Recognise the delimiter of a table by the number of cells that it gives, and whether the first line is a header.

    Lines whose texts hold the delimiter give rows of many lengths; then it is none, and the table has one column.

    Parameters
    ----------
    ending
        That of the file: in ``.tsv`` tabs come first.
    delimiters
        Those that it may be.
    """
    text = [line + "\n" for line in lines]
    escape = (
        "\\" if any('\\"' in line for line in lines) and not any('""' in line for line in lines) else None
    )
    order = sorted(delimiters, key=lambda each: not (each == "\t" and ending in (".tsv", ".tab")))
    first = next((line.strip().strip('"').removeprefix("\ufeff") for line in lines if line.strip()), "")
    if first == text_key or first.casefold() in _NAMES:
        order = []  # a single column, whose texts may hold any delimiter
    best, best_rows, best_score = ",", [[line] for line in lines if line.strip()], 0.0
    for delimiter in order:
        rows = _parsed(text, delimiter, escape)
        sizes = Counter(map(len, rows))
        if not sizes:
            continue
        size, n = sizes.most_common(1)[0]
        score = n / len(rows)
        if size > 1 and score >= 0.7 and (score, size) > (best_score + 0.02, 0):
            best, best_rows, best_score = delimiter, rows, score
    is_doubtful = False
    if not best_score:
        is_doubtful = any(
            each in first and 2 * sum(each in line for line in lines) > len(lines) for each in order
        )
        rows = _parsed(text, best, escape)
        quoted = [row for row in rows if len(row) == 1]
        if len(quoted) > 0.7 * len(rows):
            best_rows = quoted
        else:
            best = next((each for each in DELIMITERS if not any(each in line for line in lines)), "|")
    if not best_rows:
        return Dialect(best, ("1",), False, escape)
    size = Counter(map(len, best_rows)).most_common(1)[0][0]
    n_above = _rows_above(best_rows, size, text_key)
    dialect = recognise_header(best_rows[n_above:], size, text_key)
    return replace(dialect, delimiter=best, escape=escape, n_above=n_above, is_doubtful=is_doubtful)


def _rows_above(rows: Sequence[Sequence[str]], size: int, text_key: str | None) -> int:
    """Return how many rows of at most one cell with content, such as a title, stand above a header."""
    n = next((n for n, row in enumerate(rows) if sum(map(bool, map(str.strip, row))) > 1), 0)
    return n if n and recognise_header(rows[n:], size, text_key).has_header else 0


def recognise_header(rows: Sequence[Sequence[str]], size: int, text_key: str | None = None) -> Dialect:
    """Recognise whether the first of some rows names the columns, of which there are ``size``."""
    has_header = bool(rows) and _is_header(rows[0], rows[1:], size, text_key)
    names = tuple(_unique(rows[0])) if has_header else tuple(str(n + 1) for n in range(size))
    return Dialect("", names, has_header)


def _parsed(lines: Sequence[str], delimiter: str, escape: str | None) -> list[list[str]]:
    rows = []
    try:
        for row in csv.reader(lines, delimiter=delimiter, escapechar=escape):
            if row:
                rows.append(row)
    except csv.Error:
        pass
    return rows


def _is_header(first: Sequence[str], rows: Sequence[Sequence[str]], size: int, text_key: str | None) -> bool:
    """Whether the first row names the columns: short, different, no numbers, and unlike what stands below."""
    names = [name.strip().removeprefix("\ufeff") for name in first]
    if text_key is not None and text_key in names:
        return True
    if len(names) != size or len(set(names)) < len(names) or any(len(name) > _LONGEST_NAME for name in names):
        return False
    if any(name and set(name) <= _NUMBER for name in names) or not any(names):
        return False
    if not _NAMES.isdisjoint(map(str.casefold, names)):
        return True
    below = [row for row in rows if len(row) == size]
    if not below:
        return size > 1
    for column, name in enumerate(names):
        cells = [row[column] for row in below if row[column]]
        if not cells or name in cells:
            continue
        if all(set(cell) <= _NUMBER for cell in cells):
            return True  # a name above numbers
        if mean(map(len, cells)) > 2 * max(len(name), 8):
            return True  # a name above longer texts
    return False


def _unique(names: Sequence[str]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for number, name in enumerate(names, start=1):
        name = name.strip().removeprefix("\ufeff") or str(number)
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}.{seen[name]}"
