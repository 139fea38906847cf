"""Languages: which ones are known, and which one a text is in.

The script of a text decides first (Hangul is Korean); where several languages share a script, py3langid decides among
those that the corpus has.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import stopwordsiso
from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

from minillm_lib.corpora.cleaning.scripts import count_scripts, replace_addresses

# Languages that share a script with others. Those of Latin script are all the rest.
_SHARED_SCRIPTS = {
    "Cyrillic": ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "mn", "tg", "tt", "ba"),
    "Arabic": ("ar", "fa", "ur", "ps", "ug"),
    "Devanagari": ("hi", "mr", "ne", "sa"),
    "Bengali": ("bn", "as"),
}
_OWN_SCRIPTS = (
    "Han:zh Hiragana:ja Katakana:ja Hangul:ko Greek:el Hebrew:he Thai:th Lao:lo Khmer:km Myanmar:my Gurmukhi:pa "
    "Gujarati:gu Oriya:or Tamil:ta Telugu:te Kannada:kn Malayalam:ml Sinhala:si Armenian:hy Georgian:ka "
    "Ethiopic:am Tibetan:bo Mongolian:mn Cherokee:chr Thaana:dv"
)
_LANGUAGE_OF_SCRIPT = dict(pair.split(":") for pair in _OWN_SCRIPTS.split())
_LATIN_CODES = (
    "en de fr es pt it nl sv da no fi is pl cs sk sl hr hu ro sq et lv lt tr az id ms tl vi ca gl eu ga gd cy br la "
    "eo af lb se sw so ha yo zu st ku mt uz oc nn bs"
)
_LATIN = tuple(_LATIN_CODES.split())
_SCRIPT_OF_LANGUAGE = {
    **dict.fromkeys(_LATIN, "Latin"),
    **{language: script for script, language in _LANGUAGE_OF_SCRIPT.items()},
    **{language: script for script, own in _SHARED_SCRIPTS.items() for language in own},
    "ja": "Japanese",
}
# Where a library knows a language by another code: Serbo-Croatian has one dictionary, Norwegian one list.
DICTIONARIES = {
    "hr": "hbs",
    "bs": "hbs",
    "sr": "hbs",
    "no": "nb",
    **{code: code for code in SUPPORTED_LANGUAGES},
}
STOP_LISTS = {
    "nb": "no",
    "nn": "no",
    "bs": "hr",
    "hbs": "hr",
    **{code: code for code in stopwordsiso.langs()},
}

LANGUAGES = frozenset(_SCRIPT_OF_LANGUAGE) | frozenset(DICTIONARIES) | frozenset(STOP_LISTS)
"""The codes (ISO 639) of the languages that are known: for stop words, for lemmas, or by their script."""

LATIN_SCRIPT = frozenset(_LATIN) | {"nb", "hbs", "ast", "enm", "gv"}
"""The languages that are written in Latin letters, where English words cannot be told by their script."""

ELIDING = frozenset(["fr", "it", "ca", "oc", "eo"])
"""Languages in which an apostrophe parts two words (``l'homme``)."""

APOSTROPHE_INSIDE = frozenset(["br", "ha", "so", "sw", "uz"])
"""Languages in which an apostrophe is a letter of the word (``ng'ombe``), as it is in all Cyrillic words."""

# A corpus has a language if that many of its letters in the language's script are in it; below, it is a wrong guess.
_LEAST_SHARE = 0.05
# From this probability on, a text is in the language that it seems to be in: one of the corpus's, or one of all.
_SURE, _LIKELY = 0.8, 0.5
_SAMPLE_CHARACTERS = 2_000
# In a text with that share of Chinese and Japanese characters, the Latin letters are quotations (a character is a
# word, or half of one).
_EAST_ASIAN_SHARE = 0.2
_KANA_SHARE = 0.1


def check_language(language: str) -> None:
    """Check that a language is known, or ``"auto"``.

    Raises
    ------
    ValueError
        If it is neither; the message lists the languages.
    """
    if language != "auto" and language not in LANGUAGES:
        raise ValueError(
            f"language is {language!r}; allowed values: 'auto' (chosen for each document) or one of "
            + ", ".join(sorted(LANGUAGES))
        )


def script_of_text(text: str) -> str:
    """Return the script that most letters of a text have; ``""`` for a text without letters or in a rare script.

    A fifth of Chinese and Japanese characters are enough for ``"Han"``, or for ``"Japanese"`` where more than a tenth
    of them are kana.
    """
    counts = count_scripts(text)
    kana = counts.pop("Hiragana", 0) + counts.pop("Katakana", 0)
    east_asian = kana + counts["Han"]
    if east_asian > _EAST_ASIAN_SHARE * (counts.total() + kana) and not counts["Hangul"] > east_asian:
        return "Japanese" if kana > _KANA_SHARE * east_asian else "Han"
    return max(sorted(counts), key=lambda script: counts[script]) if counts.total() else ""


@lru_cache(maxsize=1)
def _full_model() -> Any:
    from py3langid import langid

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=64)
def _identifier(languages: tuple[str, ...]) -> Any:
    """Return an identifier that knows only these languages, most of whose memory is shared."""
    from py3langid import langid

    full = _full_model()
    identifier = langid.LanguageIdentifier(
        *full._full_model, full.tk_nextmove, full.tk_output, norm_probs=True, tk_row=full.tk_row
    )
    identifier.set_languages(set(languages) & set(full.labels))
    return identifier


def _candidates(script: str, languages: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of a script: those of the corpus, or all that are known where it has none."""
    of_corpus = tuple(language for language in languages if _SCRIPT_OF_LANGUAGE.get(language) == script)
    if of_corpus:
        return of_corpus
    if script == "Latin":
        return _LATIN
    if script == "Japanese":
        return ("ja",)
    return _SHARED_SCRIPTS.get(script) or (_LANGUAGE_OF_SCRIPT[script],)


def identify(text: str, languages: Sequence[str] = ()) -> str:
    """Return the code of the language of a text, one of :data:`LANGUAGES`.

    A text that could be in several languages is in the most frequent one of the corpus (English, Russian, Arabic or
    Hindi if the corpus is not known), and so is a text without letters or in a rare script.

    Parameters
    ----------
    languages
        The languages of the corpus (see :func:`languages_of`), the most frequent first. The text is in one of them if
        its script is theirs.
    """
    sample = replace_addresses(text[:_SAMPLE_CHARACTERS], " ")
    script = script_of_text(sample)
    if not script:
        return languages[0] if languages else "en"
    candidates = _candidates(script, languages)
    if len(candidates) == 1:
        return candidates[0]
    language, confidence = _identifier(candidates).classify(sample)
    return str(language) if confidence >= (_SURE if languages else _LIKELY) else candidates[0]


def languages_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the languages of a corpus, the most frequent first.

    A language counts if at least a twentieth of the letters of its script are in it, first by how probable it is in
    each text, and then by the texts that are in it rather than in another of those found. So short texts that are
    mistaken for another language do not count.
    """
    samples = []
    for text in texts:
        sample = replace_addresses(text[:_SAMPLE_CHARACTERS], " ")
        if script := script_of_text(sample):
            samples.append((sample, script, sum(map(str.isalpha, sample))))
    weights: dict[str, Counter[str]] = defaultdict(Counter)
    for sample, script, letters in samples:
        candidates = _candidates(script, ())
        if len(candidates) == 1:
            weights[script][candidates[0]] += letters
        else:
            for language, probability in _identifier(candidates).rank(sample):
                weights[script][language] += letters * probability
    probable = _frequent(weights)
    weights.clear()
    for sample, script, letters in samples:
        weights[script][identify(sample, probable)] += letters
    return _frequent(weights)


def _frequent(weights: Mapping[str, Counter[str]]) -> tuple[str, ...]:
    """Return the languages with at least a twentieth of the weight of their script, those of most weight first."""
    found: Counter[str] = Counter()
    for counts in weights.values():
        least = _LEAST_SHARE * counts.total()
        found.update({code: count for code, count in counts.items() if count >= least})
    return tuple(sorted(found, key=lambda code: (-found[code], code)))
