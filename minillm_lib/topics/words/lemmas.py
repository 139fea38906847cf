"""The form under which a word is counted: lower case, lemmas, and the spellings that are one word.

Lemmas come from simplemma, which has dictionaries of some fifty languages; English has rules of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

import regex
import simplemma
from simplemma.strategies.dictionaries.dictionary_factory import DEFAULT_DICTIONARY_FACTORY

from minillm_lib.corpora.cleaning.languages import DICTIONARIES, LATIN_SCRIPT

_PREFIXES = (
    "anti auto bi co cross de hyper inter intra meta micro mini multi non over post pre pseudo quasi re self semi sub "
    "super tri un under uni"
)
# These stay attached to the word that follows their hyphen.
PREFIXES = frozenset(_PREFIXES.split())

_SMALL_CHEROKEE = re.compile("[\uab70-\uabbf\u13f8-\u13fd]")
_GREEK = regex.compile(r"\p{Greek}")
_VOWEL_MARKS = regex.compile(r"(?<=[\p{Arabic}\p{Hebrew}]\p{M}*+)\p{M}")
_NO_LETTER = regex.compile(r"[^\p{L}\p{M}'\u200c\u200d]")

# Plurals that simplemma does not know or mistakes for another word, and singulars that it mistakes for plurals.
_LEMMAS = {
    "axes": "axis",
    "bases": "basis",
    "children": "child",
    "criteria": "criterion",
    "graphics": "graphics",
    "maxima": "maximum",
    "means": "means",
    "mice": "mouse",
    "minima": "minimum",
    "optima": "optimum",
    "phenomena": "phenomenon",
    "spectra": "spectrum",
    "statistics": "statistics",
}

_SPELLINGS = [("isation", "ization"), ("ise", "ize"), ("ising", "izing"), ("ised", "ized"), ("iser", "izer")]
_SPELLINGS += [("yse", "yze"), ("our", "or"), ("elling", "eling"), ("elled", "eled")]


# Romanian has a comma below its letters; old fonts and keyboards had the Turkish cedilla only.
ROMANIAN = str.maketrans("şţŞŢ", "șțȘȚ")


def lower(text: str, language: str) -> str:
    """Return a text in lower case, by the rules of its language (Turkish and Azerbaijani ``I`` is ``ı``)."""
    if language in ("tr", "az"):
        text = text.replace("I", "ı")
    if "İ" in text:
        text = text.replace("İ", "i")
    text = text.lower()
    # Cherokee is written in its capitals; hardly a font has the small ones.
    return _SMALL_CHEROKEE.sub(lambda letter: letter[0].upper(), text) if not text.isascii() else text


def bare(word: str) -> str:
    """Return a word without the vowel marks that Arabic and Hebrew may leave out, and without Greek accents."""
    if word.isascii():
        return word
    if _GREEK.match(word):
        word = unicodedata.normalize("NFC", unicodedata.normalize("NFD", word).replace("\u0301", ""))
    return _VOWEL_MARKS.sub("", word)


@lru_cache(maxsize=200_000)
def lemma(word: str, language: str = "en") -> str:
    """Return the form of a word under which it is counted, in lower case.

    In English it is the singular of a noun or the plain form of a verb in ``-s``. Only these endings are removed:
    ``learning``, ``clustering`` and ``regularized`` are terms in their own right, but a full lemmatizer would turn
    them into ``learn``, ``cluster`` and ``regularize`` (and ``better`` into ``good``). In the other languages that
    simplemma knows it is the form that a dictionary lists, and elsewhere the word itself. Words in Latin letters in a
    text of another script count as English.

    Parameters
    ----------
    word
        The word; in other languages than English with the capitals of the text, by which nouns and names are told from
        other words (``Netze`` belongs to ``Netz``, ``netze`` to ``netzen``).
    """
    if language != "en" and (language in LATIN_SCRIPT or not word.isascii()):
        known = DICTIONARIES.get(language)
        return _dictionary_form(word, known, language) if known else lower(word, language)
    word = lower(word, language)
    head, hyphen, tail = word.rpartition("-")
    if hyphen:
        return head + hyphen + lemma(tail) if head in PREFIXES or len(head) == 1 else word
    if word in _LEMMAS or not word.endswith("s") or len(word) < 4 or any(map(str.isdigit, word)):
        return _LEMMAS.get(word, word)
    return simplemma.lemmatize(word, lang="en").lower()


def _dictionary_form(word: str, code: str, language: str) -> str:
    """Return the form that simplemma's dictionary lists, with what stands before the last hyphen left as it is."""
    head, hyphen, tail = word.rpartition("-")
    if _NO_LETTER.search(tail) or not tail:
        return lower(word, language)
    if tail.isupper() and len(tail) > 1:
        tail = lower(tail, language)
    if code == "hi" and tail in _hindi_headwords():
        return lower(word, language)
    # The dictionaries of some languages take 350 MB as a table and a tenth of that in this form.
    found = simplemma.lemmatize(tail, lang=code, low_memory=True)
    return lower(head + hyphen + (found if found and " " not in found else tail), language)


@lru_cache(maxsize=1)
def _hindi_headwords() -> frozenset[str]:
    """Return the words that the Hindi dictionary has as forms of others and others as forms of them (``गाड़ी``, car)."""
    return frozenset(DEFAULT_DICTIONARY_FACTORY.get_dictionary("hi").values())


def unite_spellings(counts: Mapping[str, int], language: str = "en") -> dict[str, str]:
    """Map rarer spellings of a word to the most frequent one, given how often each word occurs in a language's texts.

    In English there are three kinds: with and without a hyphen (``non-convex``, ``nonconvex``), British and American
    (``optimisation``, ``optimization``), and plurals that are in no dictionary (``rnns``, ``gaussians``), which are
    mapped to their singular. In every language, words of Arabic and Hebrew letters with and without vowel marks are
    one, so are Greek words with and without accents, and the two ways to write the marks of Hebrew abbreviations
    (``צה"ל``, ``צה״ל``). A spelling is mapped only if both forms occur.
    """
    united: dict[str, str] = {}
    for word in sorted(counts):
        if language == "en" and _is_unknown_plural(word, counts):
            united[word] = word[:-1]
            continue
        spellings = {bare(word).replace("״", '"').replace("׳", "'")}
        if language == "en":
            spellings.add(word.replace("-", ""))
            if len(word) > 5:
                spellings |= {
                    re.sub(f"{british}(?=s?$|-)", american, word) for british, american in _SPELLINGS
                }
        for other in sorted(spellings - {word}):
            if other in counts:
                rare, frequent = sorted((other, word), key=lambda spelling: (counts[spelling], spelling))
                united[rare] = frequent
    return to_the_last(united)


def to_the_last(united: dict[str, str]) -> dict[str, str]:
    """Let each spelling stand for the last one that it leads to, by way of others; return the same mapping."""
    for word in united:
        while united[word] in united:
            united[word] = united[united[word]]
    return united


def _is_unknown_plural(word: str, counts: Mapping[str, int]) -> bool:
    is_plural = word.endswith("s") and len(word) > 3 and "-" not in word and word[:-1] in counts
    return is_plural and not simplemma.is_known(word, lang="en")
