r"""The scripts of the world, as far as splitting a text into words depends on them.

Most scripts put spaces between words; there, a word is a run of letters and digits with the marks that belong to them
(vowel signs, accents) and the joiners inside it. Some write without spaces; there, a run of letters has to be cut by
somebody who knows the words. The names here are parts of character classes for the package ``regex`` (version 1).
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

import regex

HAN = r"\p{Han}"
"""The Chinese characters of all blocks, with 々 and 〇."""

KANA = r"\p{Hiragana}\p{Katakana}ー"
"""The two Japanese syllabaries, with the sign for a long vowel."""

SEGMENTED_SCRIPTS = {"Thai": "th", "Lao": "lo", "Khmer": "km", "Myanmar": "my"}
"""Scripts without spaces whose words ICU knows, with the language whose dictionary it takes."""

UNSEGMENTED_SCRIPTS = ("Balinese", "Javanese", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Ahom")
"""Scripts without spaces for which no library knows the words."""

UNSPACED = HAN + KANA + "".join(rf"\p{{{script}}}" for script in (*SEGMENTED_SCRIPTS, *UNSEGMENTED_SCRIPTS))
"""All scripts that are written without spaces between words."""

JOINERS = "\u200c\u200d\u180e"
"""Zero-width characters that belong to the word in which they stand (Persian, Indic scripts, Mongolian)."""

SPACED_WORD = (
    rf"[[\p{{L}}\p{{N}}]--[{UNSPACED}]][[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED}--\p{{M}}]]*+"
    rf"(?:[{JOINERS}]++[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED}--\p{{M}}]]++)*+"
)
"""Pattern of a word in a script with spaces: begins with a letter or digit, which its marks follow."""

PLAIN_TEXT = re.compile("[\x00-\u02ff\u0370-\u0482\u048a-\u0590\u1e00-\u200a\u2010-\u20cf\u2100-\u2bff]*")
"""Pattern of a text without marks, joiners and scripts without spaces (Latin, Greek, Cyrillic, Armenian); there, the
words are runs of what ``re`` calls alphanumeric, which is several times as fast."""

# An address ends where a script without spaces begins: nothing else parts it from the sentence that goes on there.
_UNSPACED_RANGES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
)
_ADDRESS = re.compile(rf"(?i:https?://|www\.)[^\s{_UNSPACED_RANGES}\U00020000-\U0003ffff]+")

_UNIT = regex.compile(
    rf"[[{UNSPACED}]&&[\p{{L}}\p{{N}}]][\p{{M}}{JOINERS}]*+|{SPACED_WORD}",
    regex.VERSION1,
)
_PLAIN_UNIT = re.compile(r"[^\W_]+")
_UNSPACED_START = regex.compile(rf"[{UNSPACED}]", regex.VERSION1)

_SCRIPT_NAMES = (
    "Latin Han Hiragana Katakana Hangul Cyrillic Arabic Devanagari Greek Hebrew Thai Lao Khmer Myanmar "
    "Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada Malayalam Sinhala Armenian Georgian Ethiopic "
    "Tibetan Mongolian Cherokee Thaana"
)
_SCRIPTS = tuple(_SCRIPT_NAMES.split())
_SCRIPT = regex.compile("|".join(rf"(\p{{{script}}})" for script in _SCRIPTS))


def replace_addresses(text: str, replacement: str) -> str:
    """Replace the addresses of the web in a text."""
    if "://" in text or "www." in text or "WWW." in text:
        return _ADDRESS.sub(replacement, text)
    return text


def find_units(text: str) -> list[str]:
    """Return the words of a normalised text; in scripts without spaces, each letter with its marks is a unit."""
    if PLAIN_TEXT.fullmatch(text):
        return _PLAIN_UNIT.findall(text)
    return _UNIT.findall(text)


def is_unspaced(unit: str) -> bool:
    """Return whether a word begins in a script that is written without spaces."""
    return not unit.isascii() and _UNSPACED_START.match(unit) is not None


@lru_cache(maxsize=1 << 14)
def script_of(character: str) -> str:
    """Return the name of a letter's script, such as ``"Latin"``; ``""`` for anything else or a rare script."""
    match = _SCRIPT.match(character) if character.isalpha() else None
    return _SCRIPTS[(match.lastindex or 1) - 1] if match else ""


def count_scripts(text: str) -> Counter[str]:
    """Count the letters of a text by script; rare scripts are counted together under ``""``."""
    if text.isascii():
        return Counter({"Latin": sum(map(str.isalpha, text))})
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            counts[script_of(character)] += count
    return counts
