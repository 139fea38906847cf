"""What a document is in a text: the whole, a paragraph, or a line; and guessing it from the shape of the lines."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from statistics import median, quantiles
from typing import Literal

from minillm_lib.corpora.reading.records import Record, too_long
from minillm_lib.corpora.reading.report import Fault
from minillm_lib.io.wording import number_of

DocumentUnit = Literal["auto", "file", "paragraph", "line", "row"]
"""What a document is, see :func:`~minillm_lib.corpora.files.read_files`."""

_LOOKED_AT = 20_000
_LONGEST_PARAGRAPH = 30
_LONG_LINE = 200
_NARROWEST = 24  # columns; in shorter lines no word fits behind another


@dataclass(frozen=True)
class UnitGuess:
    """What the documents of a text seem to be, and why."""

    unit: Literal["paragraph", "line"]
    reason: str
    is_doubtful: bool = False


@dataclass(frozen=True)
class _Line:
    width: int
    first_word: int
    is_lower: bool

    @classmethod
    def of(cls, text: str) -> _Line:
        first = text.split(None, 1)[0]
        if not first.isascii() and _width(first[0]) == 2:  # such writing is wrapped at any character
            first = first[0]
        return cls(_width(text), _width(first), text[0].islower())


def _width(text: str) -> int:
    """Return how many columns a text takes; a Chinese character takes two."""
    if text.isascii():
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def guess_unit(lines: Iterable[str]) -> UnitGuess:
    """Say whether a text consists of documents of one line each, or of paragraphs between empty lines.

    One empty line among three hundred does not make two documents. Paragraphs are told by lines that were wrapped (the
    next word would not have fitted, the last line is shorter, or the lines inside begin with small letters), by groups
    of equal length, and by empty lines that are as frequent as the groups are short.

    >>> guess_unit(["one", "two", "", "three", "four", "five", "six"]).unit
    'line'
    """
    paragraphs = list(_paragraphs(islice(lines, _LOOKED_AT)))
    n_lines = sum(map(len, paragraphs))
    if len(paragraphs) <= 1:
        doubtful = n_lines > 1 and _begin_differently(paragraphs, least=0)
        return UnitGuess("line", "there are no empty lines between them", doubtful)
    per_paragraph = n_lines / len(paragraphs)
    if n_lines == len(paragraphs):
        return UnitGuess("paragraph", "there is an empty line after each")
    if per_paragraph <= _LONGEST_PARAGRAPH and (_is_wrapped(paragraphs) or _begin_differently(paragraphs)):
        return UnitGuess("paragraph", "the lines between two empty ones are one wrapped text")
    sizes = Counter(map(len, paragraphs))
    if per_paragraph <= 8 and sizes.most_common(1)[0][1] >= 0.8 * len(paragraphs) >= 2.4:
        return UnitGuess(
            "paragraph", f"empty lines separate groups of {number_of(sizes.most_common(1)[0][0], 'line')}"
        )
    is_long = median(line.width for paragraph in paragraphs for line in paragraph) >= _LONG_LINE
    if per_paragraph >= 4 or (per_paragraph > 2 and (is_long or len(paragraphs) == 2)):
        few = f"empty lines leave only {number_of(len(paragraphs) - 1, 'gap')} among {n_lines:,} lines"
        return UnitGuess("line", few, is_doubtful=per_paragraph < 10)
    return UnitGuess("paragraph", "empty lines are frequent", is_doubtful=per_paragraph > 2)


def _paragraphs(lines: Iterable[str]) -> Iterator[list[_Line]]:
    paragraph: list[_Line] = []
    for line in lines:
        if stripped := line.strip():
            paragraph.append(_Line.of(stripped))
        elif paragraph:
            yield paragraph
            paragraph = []
    if paragraph:
        yield paragraph


def _is_wrapped(paragraphs: Sequence[Sequence[_Line]]) -> bool:
    """Whether the next word would not have fitted on most lines, while last lines of paragraphs are shorter."""
    several = [paragraph for paragraph in paragraphs if len(paragraph) > 1]
    inner = [pair for paragraph in several for pair in pairwise(paragraph)]
    if len(inner) < 2:
        return False
    width = quantiles([line.width for line, _ in inner], n=20, method="inclusive")[-1]
    if width < _NARROWEST:
        return False
    is_full = [line.width + 1 + after.first_word > width for line, after in inner]
    is_shorter = [paragraph[-1].width < 0.9 * width for paragraph in several]
    return sum(is_full) >= 0.75 * len(is_full) and sum(is_shorter) >= 0.5 * len(is_shorter)


def _begin_differently(paragraphs: Sequence[Sequence[_Line]], least: int = 5) -> bool:
    """Whether lines inside of paragraphs begin with small letters, but the first ones do not: then they go on."""
    first = [paragraph[0].is_lower for paragraph in paragraphs]
    inner = [line.is_lower for paragraph in paragraphs for line in paragraph[1:]]
    if len(inner) < max(least, 1) or len(first) < min(least, 3):
        return False
    return sum(inner) / len(inner) - sum(first) / len(first) > 0.3


def grouped(lines: Iterable[Record | Fault], by_paragraph: bool, limit: int) -> Iterator[Record | Fault]:
    """Yield the lines that are not blank, each alone or joined with its neighbours to a paragraph.

    A paragraph of more than ``limit`` bytes is a fault, and is not kept in memory.
    """
    place, paragraph, size = "", list[str](), 0
    for line in lines:
        if isinstance(line, Record) and by_paragraph and (text := line.text.strip()):
            size += len(text) + 1
            place = place if paragraph else line.place
            if size <= limit or not paragraph:
                paragraph.append(text)
            continue
        if paragraph:
            yield _joined(place, paragraph, size, limit)
            paragraph, size = [], 0
        if isinstance(line, Fault) or line.text.strip():
            yield line
    if paragraph:
        yield _joined(place, paragraph, size, limit)


def _joined(place: str, lines: Sequence[str], size: int, limit: int) -> Record | Fault:
    return too_long(place, limit) if size > limit + 1 else Record(place, "\n".join(lines))
