"""The kinds of cleaning steps, the edits that mend one text, and the tests that one text must pass.

:mod:`~minillm_lib.corpora.cleaning.pipeline` has the steps that compare documents, and
:mod:`~minillm_lib.corpora.cleaning.pipeline` puts all steps in a row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from minillm_lib.corpora.cleaning.duplicates import text_units
from minillm_lib.corpora.cleaning.repair import HAN


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


_HAN = re.compile(f"[{HAN}]")
_NO_CHARACTERS = r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_WITHOUT_WIDTH = "\u00ad\u200b\u2060\ufeff"
_DIRECTION_OVERRIDES = "\u202a-\u202e\u2066-\u2069"
_CONTROL_CHARACTER = re.compile(
    rf"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f{_NO_CHARACTERS}{_WITHOUT_WIDTH}{_DIRECTION_OVERRIDES}]"
)
_LINE_BREAK = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_TERMINAL_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


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
    units_per_word = 2 if sum(_HAN.match(unit) is not None for unit in units) > 0.5 * len(units) else 1
    for n in range(2, 5):
        shares[f"most frequent {n}-gram"] = min(_most_frequent(units, n * units_per_word) / total, 1.0)
    repeated = total
    for n in range(5, 11):
        # Where no run of n words comes twice, no longer one does.
        repeated = _repeated_characters(units, n * units_per_word) if repeated else 0
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


Language = Literal["en", "zh", "other"]

# The words that hold sentences together, by which languages in Latin letters are told apart. One-letter words are
# left out: too many languages share them.
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
_LATIN_WORD = re.compile(r"[a-zà-öø-ÿāăąćčďđēęěğīıłńňőœřśşšťũūůűźżžơưșțạ-ỹ]+")
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\u1100-\u11ff\uac00-\ud7af]")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
_SAMPLE = 20_000
_LONG_ENOUGH = 30
_LEAST_ENGLISH = 0.04


def identify_language(text: str) -> Language:
    """Tell English and Chinese from everything else, by script and by function words.

    A text is Chinese (``"zh"``, simplified or traditional) if at least three in ten of its units, words and Chinese
    characters, are Chinese characters and next to no kana or hangul stand among them. It is English if it is written
    in Latin letters and none of sixteen other languages finds more of its function words ("the", "der", "les") in it.

    The limits: a text of a few words without function words counts as English if it is plain ASCII. A text of thirty
    words or more of which under 4% are English function words is ``"other"``; so are lists of names or numbers. A text
    in two languages counts as the one that dominates. Only the first 20,000 characters are looked at.
    """
    units = text_units(_ADDRESS.sub(" ", text[:_SAMPLE]))
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
