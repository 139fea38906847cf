"""How much a decoded text looks like writing: what tells one legacy encoding from another that decodes as well.

Most byte strings are valid in a dozen encodings. In the wrong one, Chinese becomes rare characters, Russian has
capitals inside words, and accents stand next to each other. These marks hold for a sentence as for a book, and need no
word lists.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

# The letters of each script, the most frequent first.
_LETTERS = {
    "CYRILLIC": "оаеинтсрвлкмдпуяіыьзгбчйхжшюцїщєэфъё",
    "GREEK": "αοιετσνηυρπκμλςωγίδόάθέήύχφβώξζψ",
    "HEBREW": "יוהלארמתבשנםעדקחפכגטזסןצץךף",
    "ARABIC": "اليمنورتهبعدسفكقحجةشأطصىخضذزثغئءإظؤآیکپچگژ",
    "THAI": "านรกอเง่มยลวดทตสัี้ะคิใขจแบปไหพช์ืโุถูำผณธซศญฟฐษ",
}
_ACCENTED = frozenset("éèàüöäßñóíáçêôœâîûãõåøæëïúòùìąćęłńśźżěščřžýůďťňőűđăşığșțāēīūģķļņėįų")
_ALONE = frozenset("éèàâôóíáåøöäüñìòùı")
_PUNCTUATION = frozenset(
    "“”‘’„‚–—…«»‹›·•、。，「」『』！？：；（）《》〈〉【】￥～〜ー々〇¿¡°§©®€£№×\xa0\u3000¡½²³º、″′"
)
_HALF_WIDTH_KANA = range(0xFF61, 0xFFA0)
_FULL_WIDTH = range(0xFF01, 0xFF5F)
_SAMPLE = 3000

# What a text in an encoding of East Asia consists of: kana shows Japanese, Hangul Korean, and neither Chinese.
_WRITING = {
    "gb18030": "chinese",
    "big5hkscs": "chinese",
    "cp932": "japanese",
    "euc_jp": "japanese",
    "iso2022_jp": "japanese",
    "cp949": "korean",
}


def plausibility(text: str, encoding: str) -> float:
    """Return how much the characters of a text outside of ASCII look like writing, at most about 1.

    Text in its own encoding reaches 0.6 and more; in a wrong one, or if it is not text, it usually stays below 0.4.

    Parameters
    ----------
    encoding
        That by which the text was decoded: only those of Japanese may have kana, those of Korean Hangul.
    """
    text = _rich_part(text)
    writing = _WRITING.get(encoding, "any")
    points, n, n_kana, n_han = 0.0, 0, 0, 0
    for index, character in enumerate(text):
        if "\x1f" < character < "\x7f" or character in "\t\n\r\f":
            continue
        kind = _kind(character)
        n_kana += kind == "KANA"
        n_han += kind == "HAN"
        n += 1
        before = text[index - 1] if index else " "
        after = text[index + 1] if index + 1 < len(text) else " "
        points += _points(character, kind, before, after, writing)
    if not n:
        return 0.0
    if writing == "japanese" and n_han >= 5 and n_kana < 0.15 * (n_han + n_kana):
        points -= 0.6 * n_han
    return points / n


def _rich_part(text: str) -> str:
    """Return a part that has many characters outside of ASCII, as long as is worth examining."""
    if len(text) <= _SAMPLE:
        return text
    first = next((index for index, character in enumerate(text) if character >= "\x80"), 0)
    start = max(first - 1, 0)
    return text[start : start + _SAMPLE]


def _points(character: str, kind: str, before: str, after: str, writing: str) -> float:
    if character in _PUNCTUATION:
        return 0.5
    rule = _RULES.get(kind)
    if rule is not None:
        return rule(character, writing)
    if kind in _LETTERS or kind == "LATIN":
        return _letter_points(character, kind, before, after)
    return -0.5 if kind == "SYMBOL" else -2.0 if kind == "BROKEN" else 0.3


def _han_points(character: str, writing: str) -> float:
    if writing == "korean":
        return -0.5
    return 1.0 if _is_common_han(character, writing) else -0.3


def _kana_points(character: str, writing: str) -> float:
    if ord(character) in _HALF_WIDTH_KANA:
        return -0.5
    return 1.1 if writing in ("japanese", "any") else -0.5


def _hangul_points(character: str, writing: str) -> float:
    if writing not in ("korean", "any"):
        return -0.5
    return 1.1 if 0xB0 <= _leading_byte(character, "euc_kr") < 0xC9 else -0.5


_RULES: dict[str, Callable[[str, str], float]] = {
    "HAN": _han_points,
    "KANA": _kana_points,
    "HANGUL": _hangul_points,
}


def _letter_points(character: str, script: str, before: str, after: str) -> float:
    lower = character.lower()
    points = _frequency(lower, script)
    if character != lower and (before.islower() or (before.isalpha() and after.islower())):
        return -1.0  # a capital inside a word
    for neighbour in (before, after):
        if not neighbour.isalpha():
            continue
        other = _kind(neighbour) if neighbour >= "\x80" else "LATIN"
        if other != script:
            points -= 1.0  # letters of two scripts in one word
        elif script == "LATIN" and neighbour >= "\x80":
            points -= 0.6  # accents next to each other
    if script == "LATIN" and not before.isalpha() and not after.isalpha() and lower not in _ALONE:
        points -= 0.8
    return points


def _frequency(letter: str, script: str) -> float:
    if script == "LATIN":
        return 1.0 if letter in _ACCENTED else 0.3
    rank = _LETTERS[script].find(letter)
    return 1.15 - 0.035 * rank if rank >= 0 else -0.2


@lru_cache(maxsize=1 << 14)
def _kind(character: str) -> str:
    """Return a script, or SYMBOL, BROKEN or OTHER."""
    code = ord(character)
    if 0x4E00 <= code < 0xA000 or 0x3400 <= code < 0x4DC0 or 0xF900 <= code < 0xFB00 or code >= 0x20000:
        return "HAN"
    if 0x3041 <= code < 0x3100 or code in _HALF_WIDTH_KANA:
        return "KANA"
    if 0xAC00 <= code < 0xD7A4:
        return "HANGUL"
    category = unicodedata.category(character)
    if category in ("Cc", "Cn", "Co", "Cs") or character == "\ufffd":
        return "BROKEN"
    if category[0] in "SPZN" or category in ("Cf", "Lm") or code in _FULL_WIDTH:
        return "OTHER" if code in _FULL_WIDTH or category in ("Zs", "Cf") else "SYMBOL"
    script = unicodedata.name(character, "").partition(" ")[0]
    return script if script in _LETTERS or script == "LATIN" else "OTHER"


@lru_cache(maxsize=1 << 14)
def _is_common_han(character: str, writing: str) -> bool:
    """Whether the national standards count a character among those in everyday use."""
    if writing == "japanese":
        return _leading_byte(character, "shift_jis") < 0x98
    return (
        0xB0 <= _leading_byte(character, "gb2312") < 0xD8 or 0xA4 <= _leading_byte(character, "big5") < 0xC7
    )


def _leading_byte(character: str, encoding: str) -> int:
    try:
        return character.encode(encoding)[0]
    except UnicodeEncodeError:
        return 0xFF
