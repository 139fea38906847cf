"""The kinds of cleaning step, and those that look at one text alone: edits, and tests of length, language, repetition.

:mod:`~minillm_lib.corpora.cleaning.pipeline` has the steps that compare documents, and puts all steps in order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import regex

from minillm_lib.corpora.cleaning.duplicates import text_units
from minillm_lib.corpora.cleaning.scripts import HAN, is_unspaced, replace_addresses

Language = Literal["en", "zh", "other"]

GOPHER_LIMITS: Mapping[str, float] = {
    "duplicate lines": 0.30,
    "duplicate paragraphs": 0.30,
    "characters in duplicate lines": 0.20,
    "characters in duplicate paragraphs": 0.20,
    **{f"most frequent {n}-gram": limit for n, limit in zip(range(2, 5), (0.20, 0.18, 0.16), strict=True)},
    **{f"duplicate {n}-grams": (20 - n) / 100 for n in range(5, 11)},
}
"""The largest allowed share of each kind of repetition, from Rae et al. (2021), "Scaling Language Models: Methods,
Analysis & Insights from Training Gopher", table A1. See :func:`repetition_shares`."""

_HAN = regex.compile(HAN)
_NO_CHARACTERS = r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_WITHOUT_WIDTH = "\u00ad\u200b\u2060\ufeff"
_DIRECTION_OVERRIDES = "\u202a-\u202e\u2066-\u2069"
_CONTROL_CHARACTER = re.compile(
    rf"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f{_NO_CHARACTERS}{_WITHOUT_WIDTH}{_DIRECTION_OVERRIDES}]"
)
_LINE_BREAK = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_TERMINAL_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# Function words, by which languages in Latin letters are distinguished. One-letter words are left out, since too many
# languages share them.
_FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to in is that for it with as are this by be or from on not at an if we you can which has was",
        "cs": "je se na že to jsou jako pro ale nebo by být který",
        "da": "og at det er en til af på for ikke som med den de har jeg",
        "de": "der die das und ist nicht ein eine mit für auf den von zu im dem sich des auch wird es als werden",
        "es": "el la los las es una del que en por para con no se su como más lo un al son",
        "fi": "ja on ei että se oli hän kun mutta niin ovat myös tai",
        "fr": "le la les et est une des du dans pour que qui pas sur avec ce au plus sont nous un il par",
        "hu": "az és hogy nem is egy ez meg csak van vagy mint",
        "id": "yang dan di dengan untuk ini itu dari adalah tidak pada dalam ke",
        "it": "il la di che un una per non con sono del della le si gli nel come anche alla dei",
        "nl": "de het een en van is dat niet op te zijn met voor er aan die ook wordt worden",
        "pl": "na się nie do jest to że jak ale są oraz dla przez od po",
        "pt": "os as de que um uma para com não do da em se na no por dos das são ao mais",
        "ro": "și în de la cu nu este pe un din care pentru sunt mai",
        "sv": "och att det som en är på för inte med av den till har de ett",
        "tr": "ve bir bu için ile da çok olarak daha olan gibi ne",
        "vi": "và của là có không các trong một được cho người với này",
    }.items()
}
_LATIN_WORD = regex.compile(r"\p{Latin}")
_KANA_OR_HANGUL = regex.compile(r"[\p{Hiragana}\p{Katakana}ー\p{Hangul}]")
_SAMPLE = 20_000
_LONG_ENOUGH = 30
_LEAST_ENGLISH = 0.04


class Removal(NamedTuple):
    """Why a document is removed: a ``kind`` that is counted, and the ``detail`` of this document."""

    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Edit:
    """A step that changes texts; successive edits are repeated until none of them changes the text any more."""

    name: str
    why: str
    change: Callable[[str], str]


@dataclass(frozen=True)
class Filter:
    """A step that removes documents by their text alone: ``test`` returns why, or None to keep the document."""

    name: str
    why: str
    test: Callable[[str], Removal | None]


@dataclass(frozen=True)
class CorpusFilter:
    """A step that removes documents because of earlier ones.

    Attributes
    ----------
    name, why
        The name of the step, and why it removes documents.
    sketch
        Reduces a text to what is compared and remembered.
    new_memory
        Makes an empty memory: a function that is called with the sketch and the number of each document, in order, and
        returns why the document is removed, or None to keep it.
    """

    name: str
    why: str
    sketch: Callable[[str], Any]
    new_memory: Callable[[], Callable[[Any, int], Removal | None]]


Step = Edit | Filter | CorpusFilter


def remove_control_characters(text: str) -> str:
    r"""Remove what prints nothing: control characters, terminal colours, lone surrogates, zero-width characters.

    Every kind of line break becomes ``\n``; tabs stay, and so do the joiners that emoji and some scripts need.
    Invisible changes of writing direction are removed, since they can make a text look different from what is stored.
    """
    return _CONTROL_CHARACTER.sub("", _LINE_BREAK.sub("\n", _TERMINAL_ESCAPE.sub("", text)))


def tidy_blank_lines(text: str) -> str:
    """Leave no blanks at line ends, at most one empty line in succession, and none at either end; keep indentation."""
    text = re.sub(r"[^\S\n]+(?=\n|\Z)", "", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def length_test(
    *,
    min_characters: int = 20,
    max_characters: int = 1_000_000,
    min_words: int = 3,
    max_words: int = 100_000,
) -> Callable[[str], Removal | None]:
    """Make the test that a text has a number of characters and words within these bounds, bounds included.

    Each Chinese character counts as a word, and so does each letter of other scripts without spaces.

    Raises
    ------
    ValueError
        If a bound is negative, or the lower bound is above the upper one.
    """
    for name, least, most in (
        ("characters", min_characters, max_characters),
        ("words", min_words, max_words),
    ):
        if not 0 <= least <= most:
            raise ValueError(
                f"min_{name} is {least} and max_{name} is {most}; 0 ≤ min_{name} ≤ max_{name} must hold"
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


def language_test(languages: Sequence[str] = ("en", "zh")) -> Callable[[str], Removal | None]:
    """Make the test that a text is in one of the languages.

    Parameters
    ----------
    languages
        Any of ``"en"``, ``"zh"`` and ``"other"``, as :func:`identify_language` returns them.

    Raises
    ------
    ValueError
        If a language is none of these.
    """
    if unknown := sorted(set(languages) - {"en", "zh", "other"}):
        raise ValueError(f"language {unknown[0]!r} cannot be identified; allowed values: 'en', 'zh', 'other'")

    def test(text: str) -> Removal | None:
        language = identify_language(text)
        return None if language in languages else Removal(f"language: {language}")

    return test


def repetition_test(
    limits: Mapping[str, float] = GOPHER_LIMITS, *, min_words: int = 50
) -> Callable[[str], Removal | None]:
    """Make the test that no share of :func:`repetition_shares` exceeds its limit.

    The limits were made for web pages and also remove some good technical texts: eight of the 2,420 abstracts of
    NeurIPS 2013 to 2017, and more where a form is filled in again and again.

    Parameters
    ----------
    limits
        The largest allowed shares, by names of :data:`GOPHER_LIMITS`; a share without a limit is not tested.
    min_words
        Shorter texts pass: the limits were set for documents of at least 50 words, and in a short text even a phrase
        that occurs twice for good reason is a large share.

    Raises
    ------
    ValueError
        If a name is not in :data:`GOPHER_LIMITS`.
    """
    if unknown := sorted(set(limits) - set(GOPHER_LIMITS)):
        raise ValueError(
            f"there is no limit called {unknown[0]!r}; allowed values: {', '.join(map(repr, GOPHER_LIMITS))}"
        )

    def test(text: str) -> Removal | None:
        if len(units_of(text)) < min_words:
            return None
        shares = repetition_shares(text)
        for name, limit in limits.items():
            if shares[name] > limit:
                return Removal(name, f"{shares[name]:.1%}; at most {limit:.0%} is allowed")
        return None

    return test


def repetition_shares(text: str) -> dict[str, float]:
    """Measure how much of a text is repetition, as shares from 0 to 1 under the names of :data:`GOPHER_LIMITS`.

    - The share of lines (paragraphs) that repeat an earlier one, by number and by characters.
    - The share of the words' characters that are in occurrences of the most frequent run of n words, if it occurs more
      than once (n = 2 to 4).
    - The share of the words' characters that are in runs of n words which occurred before, each character counted once
      (n = 5 to 10).

    A Chinese character is a unit, and about half a word, so in a text that is mostly Chinese (or in another script
    without spaces), a run of "n words" is a run of 2n units.
    """
    shares = {}
    for name, parts in (("lines", text.split("\n")), ("paragraphs", re.split(r"\n\s*\n", text))):
        parts = [part.strip() for part in parts if part.strip()]
        distinct = list(dict.fromkeys(parts))
        shares[f"duplicate {name}"] = 1 - len(distinct) / len(parts) if parts else 0.0
        shares[f"characters in duplicate {name}"] = 1 - _length(distinct) / _length(parts) if parts else 0.0
    units = units_of(text)
    total = max(_length(units), 1)
    units_per_word = 2 if sum(map(is_unspaced, units)) > 0.5 * len(units) else 1
    for n in range(2, 5):
        shares[f"most frequent {n}-gram"] = min(_most_frequent(units, n * units_per_word) / total, 1.0)
    repeated = total
    for n in range(5, 11):
        # If no run of n words occurs twice, no longer run does.
        repeated = _repeated_characters(units, n * units_per_word) if repeated else 0
        shares[f"duplicate {n}-grams"] = repeated / total
    return shares


def _most_frequent(units: Sequence[str], n: int) -> int:
    """Count the characters in all occurrences of the most frequent (then longest) n-gram; 0 if none occurs twice."""
    counts = Counter(zip(*(units[start:] for start in range(n)), strict=False))
    most = max(counts.values(), default=0)
    return most * max(_length(gram) for gram, count in counts.items() if count == most) if most > 1 else 0


def _repeated_characters(units: Sequence[str], n: int) -> int:
    """Count the characters in n-grams that have occurred before."""
    seen: set[tuple[str, ...]] = set()
    covered, counted_to = 0, 0
    for start, gram in enumerate(zip(*(units[offset:] for offset in range(n)), strict=False)):
        if gram in seen:
            covered += _length(units[max(start, counted_to) : start + n])
            counted_to = start + n
        seen.add(gram)
    return covered


def _length(parts: Sequence[str]) -> int:
    return sum(map(len, parts))


def identify_language(text: str) -> Language:
    """Distinguish English and Chinese from everything else, by script and by function words.

    A text is Chinese (``"zh"``, simplified or traditional) if at least 30% of its units (words and Chinese characters)
    are Chinese characters, with almost no kana or hangul among them. It is English if it is written in Latin letters
    and contains no more function words ("the", "der", "les") of any of sixteen other languages than of English.

    This has its limits: a text of a few words without function words counts as English if it is plain ASCII. A text of
    thirty words or more is ``"other"`` if under 4% of them are English function words; so are lists of names or
    numbers. A text in two languages counts as the one that dominates. Only the first 20,000 characters are examined.
    """
    units = text_units(replace_addresses(text[:_SAMPLE], " "))
    words = [unit for unit in units if any(map(str.isalpha, unit))]
    han = sum(_HAN.match(word) is not None for word in words)
    foreign = sum(len(_KANA_OR_HANGUL.findall(word)) for word in words)
    if not words or foreign > 0.05 * (han + foreign):
        return "other"
    if han >= 0.3 * len(words):
        return "zh"
    latin = [word for word in words if _LATIN_WORD.match(word)]
    if len(latin) < 0.5 * len(words):
        return "other"
    occurrences = Counter(latin)
    counts = {language: sum(occurrences[word] for word in own) for language, own in _FUNCTION_WORDS.items()}
    english = counts.pop("en")
    if english < max(counts.values()) or (english == 0 and not text.isascii()):
        return "other"
    return "en" if english >= _LEAST_ENGLISH * len(latin) or len(latin) < _LONG_ENOUGH else "other"


@lru_cache(maxsize=2)
def units_of(text: str) -> list[str]:
    """Return the words and Chinese characters of a text, cached for the next step that asks for them."""
    return text_units(text)
