"""The kinds of cleaning steps, the edits that mend one text, and the tests that one text must pass.

:mod:`~minillm_lib.corpora.corpus_filters` has the steps that compare documents, and
:mod:`~minillm_lib.corpora.pipeline` puts all steps in a row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import ftfy

from minillm_lib.corpora.cleaning import HAN
from minillm_lib.corpora.deduplication import text_units
from minillm_lib.corpora.language import identify_language


class Removal(NamedTuple):
    """Why a document must go: a ``kind`` that is counted, and the ``detail`` of this one."""

    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Edit:
    """A step that changes texts. Edits in a row are repeated until none of them changes the text any more."""

    name: str
    why: str
    change: Callable[[str], str]


@dataclass(frozen=True)
class Filter:
    """A step that removes documents by their text alone: ``test`` says why, or None to keep the document."""

    name: str
    why: str
    test: Callable[[str], Removal | None]


@dataclass(frozen=True)
class CorpusFilter:
    """A step that removes documents because of earlier ones.

    ``sketch`` reduces a text to what is compared and remembered; ``new_memory`` makes an empty memory: a function of
    the sketch and the number of a document, called in their order, that says why the document must go.
    """

    name: str
    why: str
    sketch: Callable[[str], Any]
    new_memory: Callable[[], Callable[[Any, int], Removal | None]]


Step = Edit | Filter | CorpusFilter


@lru_cache(maxsize=2)
def units_of(text: str) -> list[str]:
    """The words and Chinese characters of a text, kept for the next step that asks for them."""
    return text_units(text)


# Only what undoes damage: composing accents and removing control characters are steps of their own.
_FTFY = ftfy.TextFixerConfig(
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    remove_control_chars=False,
    remove_terminal_escapes=False,
    fix_line_breaks=False,
    normalization=None,
    explain=False,
)
_HAN = re.compile(f"[{HAN}]")
_NO_CHARACTERS = r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_WITHOUT_WIDTH = "\u00ad\u200b\u2060\ufeff"
_DIRECTION_OVERRIDES = "\u202a-\u202e\u2066-\u2069"
_CONTROL_CHARACTER = re.compile(
    rf"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f{_NO_CHARACTERS}{_WITHOUT_WIDTH}{_DIRECTION_OVERRIDES}]"
)
_LINE_BREAK = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_TERMINAL_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def undo_mojibake(text: str) -> str:
    """Decode text that was once decoded wrongly (``youâ€™re`` → ``you’re``), and HTML entities outside of HTML."""
    return ftfy.fix_text(text, _FTFY)


def remove_control_characters(text: str) -> str:
    """Remove what prints nothing: control characters, terminal colours, lone surrogates, characters without width.

    Every kind of line break becomes ``\\n``; tabs stay, and so do the joiners that emoji and some scripts need.
    Invisible changes of writing direction go, as they can make a text read otherwise than it is stored.
    """
    return _CONTROL_CHARACTER.sub("", _LINE_BREAK.sub("\n", _TERMINAL_ESCAPE.sub("", text)))


def tidy_blank_lines(text: str) -> str:
    """No blanks at the end of a line, at most one empty line in a row, none at either end; indentation stays."""
    text = re.sub(r"[^\S\n]+(?=\n|\Z)", "", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


GOPHER_LIMITS: Mapping[str, float] = {
    "duplicate lines": 0.30,
    "duplicate paragraphs": 0.30,
    "characters in duplicate lines": 0.20,
    "characters in duplicate paragraphs": 0.20,
    **{f"most frequent {n}-gram": limit for n, limit in zip(range(2, 5), (0.20, 0.18, 0.16), strict=True)},
    **{f"duplicate {n}-grams": (20 - n) / 100 for n in range(5, 11)},
}
"""The largest share of each kind of repetition, from Rae et al. (2021), "Scaling Language Models: Methods, Analysis &
Insights from Training Gopher", table A1. See :func:`repetition_shares`."""


def repetition_shares(text: str) -> dict[str, float]:
    """How much of a text is repetition, under the names of :data:`GOPHER_LIMITS`; each is a share from 0 to 1.

    - of the lines (paragraphs), those that repeat an earlier one, by number and by characters;
    - of the characters of the words, those in the occurrences of the most frequent run of n words, if it occurs more
      than once (n = 2 to 4);
    - of the characters of the words, those in runs of n words that occurred before, each character counted once
      (n = 5 to 10).

    A Chinese character is a unit, and about half a word: in a text that is mostly Chinese a run of "n words" is one of
    2n units.
    """
    shares = {}
    for name, parts in (("lines", text.split("\n")), ("paragraphs", re.split(r"\n\s*\n", text))):
        parts = [part.strip() for part in parts if part.strip()]
        distinct = list(dict.fromkeys(parts))
        shares[f"duplicate {name}"] = 1 - len(distinct) / len(parts) if parts else 0.0
        shares[f"characters in duplicate {name}"] = 1 - _length(distinct) / _length(parts) if parts else 0.0
    units = units_of(text)
    total = max(_length(units), 1)
    units_a_word = 2 if sum(_HAN.match(unit) is not None for unit in units) > 0.5 * len(units) else 1
    for n in range(2, 5):
        shares[f"most frequent {n}-gram"] = min(_most_frequent(units, n * units_a_word) / total, 1.0)
    repeated = total
    for n in range(5, 11):
        # Where no run of n words comes twice, no longer one does.
        repeated = _repeated_characters(units, n * units_a_word) if repeated else 0
        shares[f"duplicate {n}-grams"] = repeated / total
    return shares


def _length(parts: Sequence[str]) -> int:
    return sum(map(len, parts))


def _most_frequent(units: Sequence[str], n: int) -> int:
    """The characters in all occurrences of the most frequent n-gram (the longest of them); 0 if none occurs twice."""
    counts = Counter(zip(*(units[start:] for start in range(n)), strict=False))
    most = max(counts.values(), default=0)
    return most * max(_length(gram) for gram, count in counts.items() if count == most) if most > 1 else 0


def _repeated_characters(units: Sequence[str], n: int) -> int:
    """The characters in n-grams that have occurred before."""
    seen: set[tuple[str, ...]] = set()
    covered, counted_to = 0, 0
    for start, gram in enumerate(zip(*(units[offset:] for offset in range(n)), strict=False)):
        if gram in seen:
            covered += _length(units[max(start, counted_to) : start + n])
            counted_to = start + n
        seen.add(gram)
    return covered


def language_test(languages: Sequence[str] = ("en", "zh")) -> Callable[[str], Removal | None]:
    """The test that a text is in one of the ``languages``, of ``"en"``, ``"zh"`` and ``"other"``."""
    if unknown := sorted(set(languages) - {"en", "zh", "other"}):
        raise ValueError(f"language {unknown[0]!r} cannot be identified; allowed are 'en', 'zh' and 'other'")

    def test(text: str) -> Removal | None:
        language = identify_language(text)
        return None if language in languages else Removal(f"language: {language}")

    return test


def length_test(
    *,
    min_characters: int = 20,
    max_characters: int = 1_000_000,
    min_words: int = 3,
    max_words: int = 100_000,
) -> Callable[[str], Removal | None]:
    """The test that a text has so many characters and words; each Chinese character counts as a word."""
    for name, least, most in (
        ("characters", min_characters, max_characters),
        ("words", min_words, max_words),
    ):
        if not 0 <= least <= most:
            raise ValueError(
                f"min_{name} is {least} and max_{name} is {most}; 0 ≤ min_{name} ≤ max_{name} is needed"
            )

    def test(text: str) -> Removal | None:
        if not min_characters <= len(text) <= max_characters:
            kind = "too few characters" if len(text) < min_characters else "too many characters"
            return Removal(kind, f"{len(text):,}; allowed are {min_characters:,} to {max_characters:,}")
        words = len(units_of(text))
        if not min_words <= words <= max_words:
            kind = "too few words" if words < min_words else "too many words"
            return Removal(kind, f"{words:,}; allowed are {min_words:,} to {max_words:,}")
        return None

    return test


def repetition_test(
    limits: Mapping[str, float] = GOPHER_LIMITS, *, min_words: int = 50
) -> Callable[[str], Removal | None]:
    """The test that no share of :func:`repetition_shares` is above its limit; a share without one may be anything.

    Texts under ``min_words`` pass: the limits were set for documents of at least 50 words, and in a short text an
    honest phrase that comes twice is already a large share. Made for pages of the web, they take some honest technical
    texts too: eight of the 2,420 abstracts of NeurIPS 2013 to 2017, and more where a form is filled in again and again.
    """
    if unknown := sorted(set(limits) - set(GOPHER_LIMITS)):
        raise ValueError(
            f"no repetition is called {unknown[0]!r}; allowed are {', '.join(map(repr, GOPHER_LIMITS))}"
        )

    def test(text: str) -> Removal | None:
        if len(units_of(text)) < min_words:
            return None
        shares = repetition_shares(text)
        for name, limit in limits.items():
            if shares[name] > limit:
                return Removal(name, f"{shares[name]:.1%}; allowed are {limit:.0%}")
        return None

    return test
