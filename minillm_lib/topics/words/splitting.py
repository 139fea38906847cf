"""From a text to its words, in every script: letters with their marks, apostrophes, hyphens, runs without spaces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import regex

from minillm_lib.corpora.cleaning.languages import APOSTROPHE_INSIDE, ELIDING
from minillm_lib.corpora.cleaning.scripts import (
    HAN,
    KANA,
    PLAIN_TEXT,
    SEGMENTED_SCRIPTS,
    SPACED_WORD,
    UNSEGMENTED_SCRIPTS,
    UNSPACED,
    replace_addresses,
)
from minillm_lib.topics.words.lemmas import PREFIXES, ROMANIAN, lower
from minillm_lib.topics.words.segmentation import UserWords, segment

Words = list[str | None]
"""The words of a text in order, with ``None`` for punctuation or a dropped word; no phrase extends across ``None``."""

# A compound with one of these in the middle is a single term ("end-to-end").
_SMALL_WORDS = frozenset(
    ["a", "and", "by", "for", "from", "in", "of", "on", "one", "or", "per", "the", "to", "vs", "within"]
)

# Characters inside a word that are not of the word: hyphenation points, the Arabic stroke that lengthens a letter, the
# Armenian signs of tone (a question is marked inside its word), and the selectors of one glyph or another.
_NOT_OF_THE_WORD = re.compile(
    "[\u00ad\u0640\u055b\u055c\u055e\u2060\ufeff\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
# Hyphens and short dashes, of Armenian, Hebrew and Mongolian too.
_DASHES = str.maketrans("‐‑–֊־᠆", "------")
# One of the three ways to write the apostrophe in Ukrainian.
_CYRILLIC_APOSTROPHE = re.compile("(?<=[\u0400-\u052f])[’ʼ](?=[\u0400-\u052f])")
_APOSTROPHE = {**dict.fromkeys(APOSTROPHE_INSIDE, "keep"), "tr": "suffix", "az": "suffix"}
# What parts words without ending a phrase: blanks, and the signs between words of Ethiopic, syllables of Tibetan.
_BLANKS = " \t\n_\u200b፡་༌"
_APOSTROPHES = "'’ʼ"


def _word_pattern(word: str, letter: str, apostrophe: str) -> str:
    """Return the pattern of a word, as a group, with its hyphens and apostrophes.

    Parameters
    ----------
    word
        Pattern of a run of letters.
    letter
        Pattern of a character that goes on with the run.
    apostrophe
        ``"cut"`` passes over what follows it (``Stein's``, ``don't``), but not after a single letter (``O'Brien``);
        ``"suffix"`` passes over it in any case, ``"split"`` begins a new word, and ``"keep"`` keeps it in the word.
    """
    inside = [r"(?<=[\u0400-\u052f])['’ʼ](?=[\u0400-\u052f])", r"(?<=[Ll])·(?=[Ll])"]
    inside += [r"(?<=[\u05d0-\u05ea])[\"״'׳](?=[\u05d0-\u05ea])"]
    inside += [rf"(?<={letter})['’](?={letter})"] if apostrophe == "keep" else []
    inside += [rf"(?<=\b[^\W\d_])['’](?={letter}{{3}})"] if apostrophe == "cut" else []
    whole = rf"{word}(?:(?:{'|'.join(inside)}){word})*"
    compound = rf"{whole}(?:-{whole})*"
    if apostrophe == "split":
        return rf"((?i:aujourd['’]hui|prud['’]h|presqu['’][iî]l|quelqu['’]une?\b){letter}*|{compound})['’]*"
    return rf"({compound})" + (rf"(?:['’](?:{word})?)*" if apostrophe in ("cut", "suffix") else "")


_HAN = regex.compile(rf"{HAN}+")
_IS_MIXED = regex.compile(rf"[^{UNSPACED}\p{{M}}\u200c\u200d]", regex.VERSION1)
_RUNS = [("cjk", HAN + KANA)] + [
    (script, rf"\p{{{script}}}") for script in (*SEGMENTED_SCRIPTS, *UNSEGMENTED_SCRIPTS)
]
_UNSPACED_RUN = "|".join(
    rf"[[{letters}]&&[\p{{L}}\p{{N}}]][[{letters}\u200c\u200d]&&[\p{{L}}\p{{N}}\p{{M}}\u200c\u200d]]*+"
    for _, letters in _RUNS
)


@lru_cache(maxsize=8)
def _patterns(apostrophe: str, user_words: UserWords, whole: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the pattern of a word, and of what is no such word but one run; for plain texts, and for all others."""
    letters = r"[^\W_]"
    plain = re.compile("()" + _word_pattern(f"{letters}+", letters, apostrophe))
    full = _word_pattern(SPACED_WORD, r"[\p{L}\p{M}]", apostrophe)
    # jieba gets runs of Chinese characters only; a user's word with other letters (C语言) is found here.
    mixed = [word for word, _ in user_words if _HAN.search(word) and not _HAN.fullmatch(word)]
    runs = [_mixed_pattern(word) for word in sorted([*mixed, *whole], key=len, reverse=True)]
    runs.append(_UNSPACED_RUN)
    return plain, regex.compile(f"({'|'.join(runs)})|{full}", regex.VERSION1)


def _mixed_pattern(word: str) -> str:
    letter = rf"[[\p{{L}}\p{{N}}]--[{UNSPACED}]]"
    before, after = f"(?<!{letter})", f"(?!{letter})"
    starts, ends = not _HAN.match(word[0]), word[-1].isalnum() and not _HAN.match(word[-1])
    return f"{before * starts}(?i:{regex.escape(word, special_only=True)}){after * ends}"


def _pieces_of_compound(word: str, language: str) -> Iterator[str]:
    """Split a hyphenated word, except at hyphens that belong to the term.

    English words joined by a small word (``end-to-end``, ``bag-of-words``) are not split at all. A single letter
    (``k-means``), a prefix (``semi-supervised``) or a number (``cifar-10``) stays with its word.
    """
    if "-" not in word:
        yield word
        return
    pieces = word.split("-")
    if language == "en" and not _SMALL_WORDS.isdisjoint(pieces[1:-1]):
        yield word
        return
    held = ""
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        held += piece
        binds_forward = piece.lower() in PREFIXES or (len(piece) == 1 and piece.isalpha())
        if following and (binds_forward or following.isdigit()):
            held += "-"
        else:
            yield held
            held = ""


def split_words(text: str, language: str = "en", *, user_words: UserWords = ()) -> Words:
    """Return the lower-case words of a text, separated by ``None`` at punctuation.

    A word is a run of letters and digits with their marks and joiners. In scripts without spaces, words are found by
    :func:`~minillm_lib.topics.words.segmentation.segment`, whatever the language of the text; in Tibetan, each
    syllable is a word (they are joined where they make a phrase).

    Parameters
    ----------
    language
        The language of the text. On it depends what an apostrophe does: in English, what follows it is cut off
        (``Stein's``); in French, it begins a new word (``l'homme``); in Ukrainian, it is part of the word.
    user_words
        Words that jieba must know, from :func:`~minillm_lib.topics.words.segmentation.read_user_words`.

    Raises
    ------
    MissingPackageError
        If a script needs a segmenter that is not installed.
    """
    return [word and lower(word, language) for word in surface_words(text, language, user_words)]


def surface_words(text: str, language: str, user_words: UserWords, whole: tuple[str, ...] = ()) -> Words:
    """Split into words, which keep their capitals except in English, where lemmas do not depend on them.

    Parameters
    ----------
    whole
        Words with other characters than letters, such as ``c++``, that are not to be split.
    """
    words: Words = []
    end = 0
    text = _NOT_OF_THE_WORD.sub("", unicodedata.normalize("NFKC", text))
    if language == "en":
        text = lower(text, language)
    if language == "ro":
        text = text.translate(ROMANIAN)
    text = replace_addresses(text.translate(_DASHES), ";")
    if language == "en":
        text = re.sub(r"\bstate of the art\b", "state-of-the-art", text)
    text = _CYRILLIC_APOSTROPHE.sub("'", text)
    splits = language in ELIDING
    apostrophe = "split" if splits else _APOSTROPHE.get(language, "cut")
    blanks = _BLANKS + _APOSTROPHES if splits else _BLANKS
    pattern = _patterns(apostrophe, user_words, whole)[bool(whole) or not PLAIN_TEXT.fullmatch(text)]
    for match in pattern.finditer(text):
        if text[end : match.start()].strip(blanks):
            words.append(None)
        end = match.end()
        run, word = match.groups()
        if run and _IS_MIXED.search(run):
            words.append(run)
        elif run:
            words.extend(segment(run, language, user_words))
        else:
            words.extend(_pieces_of_compound(word.replace("’", "'"), language))
    return words
