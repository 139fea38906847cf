r"""Repairs of damaged text: wrong encodings, ligatures, hyphens at line ends, LaTeX.

Text that was extracted from PDFs or pasted from LaTeX carries debris: mojibake, ``ﬁ`` as one character,
``prob(cid:173) lems`` where a line of an old paper ended, ``\emph{…}`` and ``$\ell_1$``. Each kind has its own named
step in :data:`REPAIRS`; :func:`repair_text` applies them in order. They repair damage and leave style alone: curly
quotes, dashes and full-width Chinese punctuation stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import ftfy
import regex
import simplemma

from minillm_lib.corpora.cleaning.languages import DICTIONARIES, identify
from minillm_lib.corpora.cleaning.latex import CITATION, ENVIRONMENT, strip_latex
from minillm_lib.corpora.cleaning.scripts import UNSPACED

# Only damage is repaired; style (quotes, ligatures, character width) stays as it is.
_MOJIBAKE = ftfy.TextFixerConfig(
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    remove_control_chars=False,
    remove_terminal_escapes=False,
    fix_line_breaks=False,
    normalization=None,
    explain=False,
)
_ENCODING = _MOJIBAKE._replace(
    remove_control_chars=True, remove_terminal_escapes=True, fix_line_breaks=True, normalization="NFC"
)


def undo_mojibake(text: str) -> str:
    """Repair text that was once decoded wrongly (``youâ€™re`` → ``you’re``), and HTML entities outside of HTML."""
    return ftfy.fix_text(text, _MOJIBAKE)


def repair_encoding(text: str) -> str:
    """Undo mojibake as :func:`undo_mojibake` does, remove control characters, and compose accents (NFC)."""
    return ftfy.fix_text(text, _ENCODING)


_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})


def split_ligatures(text: str) -> str:
    """Spell out the typographic ligatures: ``classiﬁer`` → ``classifier``."""
    return text.translate(_LIGATURES)


_GLYPH = re.compile(r"\(cid:(\d{1,7})\)(?=([a-z])?)")
# Where TeX's fonts (OT1: 11–15; re-encoded subsets: 2, 3 and 222) keep the ligatures.
_LIGATURE_GLYPHS = {2: "fi", 3: "fl", 11: "ff", 12: "fi", 13: "fl", 14: "ffi", 15: "ffl", 222: "fi"}


def replace_glyph_numbers(text: str) -> str:
    """Replace ``(cid:N)``, which stands for a glyph that a PDF's font does not map to a character.

    173 is the soft hyphen at the end of a line. Before a lower-case letter, the numbers under which TeX's fonts keep
    ``fi``, ``ff`` and similar ligatures become that ligature (``speci(cid:12)c`` → ``specific``). Other numbers from
    160 to 255 are Latin-1 characters; the rest, mostly mathematics, cannot be identified and become a space.
    """

    def character(match: re.Match[str]) -> str:
        number = int(match[1])
        if match[2] and number in _LIGATURE_GLYPHS:
            return _LIGATURE_GLYPHS[number]
        return chr(number) if 160 <= number <= 255 else " "

    return _GLYPH.sub(character, text)


# A broken line, not a paragraph's end.
_LINE_END_HYPHEN = re.compile(
    r"(?<![\w-])([^\W_]+(?:-[^\W_]+)*)([-‐\u00ad])((?:[^\S\n]+\n?|\n)[^\S\n]*)([^\W\d_]+)(-?)"
)
# "And", "or" and "to", as in "pre- and postsynaptic".
_CONJUNCTIONS = {
    "en": "and or to nor vs versus",
    "other": "und oder bzw sowie bis als en of tot et ou och og eller ja tai sekä és vagy și sau lub oraz albo nebo "
    "alebo ali ili или либо або ve veya dan atau hoặc và",
}
_SUSPENDED_IN = {word: language for language, words in _CONJUNCTIONS.items() for word in words.split()}


@lru_cache(maxsize=100_000)
def _is_known(word: str, language: str) -> bool:
    return simplemma.is_known(word.lower(), lang=language, low_memory=language != "en")


def _in_dictionary(before: str, after: str, language: str) -> tuple[bool, bool]:
    """Return whether two parts make a word of a language, and whether they do not but are words themselves."""
    dictionary = DICTIONARIES.get(language)
    if dictionary is None:
        return False, False
    is_word = _is_known(before + after, dictionary)
    return is_word, not is_word and _is_known(before, dictionary) and _is_known(after, dictionary)


def join_line_end_hyphens(text: str) -> str:
    r"""Rejoin words that were broken at the end of a line, and drop the remaining soft hyphens.

    ``prob- lems`` becomes ``problems``. The hyphen stays in a compound: where a part has another hyphen on its other
    side (``state-\nof-the-art``), where the second part begins with a capital (``Gauss-\nNewton``), and where both
    parts are words but the closed-up form is not (``high-\ndimensional``). ``pre- and postsynaptic`` is left as it is.
    In a text of another language than English, the words are those of its dictionary; a form that is in none is
    closed up only where a line ends and goes on with a small letter, since a dash may stand there.
    """
    language = ""

    def language_of_text() -> str:
        nonlocal language
        language = language or identify(text)
        return language

    def join(match: re.Match[str]) -> str:
        before, hyphen, blank, after, another_hyphen = match.groups()
        closed = before + after
        is_soft = hyphen == "\u00ad"
        suspended_in = None if is_soft else _SUSPENDED_IN.get(after)
        if suspended_in == "en" or (suspended_in and language_of_text() != "en"):
            return match[0]
        is_compound = "-" in before or another_hyphen or after[0].isupper()
        if not is_compound and not _is_known(closed, "en"):
            if is_soft or language_of_text() == "en":
                is_compound = _is_known(before, "en") and _is_known(after, "en")
            else:
                is_word, is_compound = _in_dictionary(before, after, language)
                may_be_broken = "\n" in blank and after.islower() and len(after) > 1
                if not (is_word or is_compound or may_be_broken):
                    return match[0]
        return before + ("-" if is_compound else "") + after + another_hyphen

    if "-" in text or "\u00ad" in text or "‐" in text:
        return _LINE_END_HYPHEN.sub(join, text).replace("\u00ad", "")
    return text


# Thai, Lao, Khmer and Burmese may mark the ends of words by a space without width.
_ZERO_WIDTH = re.compile("\u2060|\u200b(?![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])")


def squeeze_whitespace(text: str) -> str:
    """Leave one space between words, no blanks at line ends, at most one empty line, and no zero-width characters."""
    text = _ZERO_WIDTH.sub("", text)
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" ?\n ?", "\n", text)).strip()


REPAIRS: Mapping[str, Callable[[str], str]] = {
    "encoding": repair_encoding,
    "ligatures": split_ligatures,
    "glyph numbers": replace_glyph_numbers,
    "line-end hyphens": join_line_end_hyphens,
    "LaTeX": strip_latex,
    "whitespace": squeeze_whitespace,
}
"""The repairs in the order in which :func:`repair_text` applies them."""


# Markup that a repair may remove without taking a word of the text.
_MARKUP = re.compile(
    rf"{CITATION.pattern}|{ENVIRONMENT.pattern}|\\f[BIRP1-4]|\\[A-Za-z]+|\(cid:\d{{1,7}}\)|&#?\w{{1,8}};"
)
_WORDS = regex.compile(
    rf"[[\p{{L}}]--[{UNSPACED}]][[\p{{L}}\p{{M}}]--[{UNSPACED}]]+|[[\p{{L}}]&&[{UNSPACED}]]", regex.VERSION1
)


def count_words(text: str) -> int:
    """Count the words of at least two letters, without the names of commands.

    In scripts without spaces, each letter counts.
    """
    text = _MARKUP.sub(" ", text)
    return len(re.findall("[A-Za-z]{2,}", text) if text.isascii() else _WORDS.findall(text))


def words_taken(before: str, after: str) -> int:
    """Return how many words of ``before`` a repair took away; those that it joined, mended or added do not count."""
    lost = count_words(before) - count_words(after)
    if lost <= 0:
        return 0
    # A join takes a word and no letter.
    return lost if _letters(after) < _letters(before) else 0


def _letters(text: str) -> int:
    return sum(map(str.isalpha, _MARKUP.sub(" ", text)))


def check_steps(steps: Iterable[str]) -> None:
    """Check the names of repairs.

    Raises
    ------
    ValueError
        If a step is not in :data:`REPAIRS`.
    """
    if isinstance(steps, str):
        raise ValueError(f"repairs is the text {steps!r}; pass a sequence of names")
    if unknown := [step for step in steps if step not in REPAIRS]:
        raise ValueError(f"unknown repair {unknown[0]!r}; the repairs are {', '.join(map(repr, REPAIRS))}")


def repair_text(
    text: str,
    *,
    steps: Sequence[str] = tuple(REPAIRS),
    changed: set[str] | None = None,
    removed: Counter[str] | None = None,
) -> str:
    r"""Apply the named repairs, in the order given, until none of them changes the text any more.

    The result is a fixed point: repairing it again does not change it. (It is reached because each step only shortens
    what it touches, except for a few that spell something out once.)

    Parameters
    ----------
    changed
        The names of the steps that change something are added to this set.
    removed
        The numbers of words that each step takes out of the text (see :func:`words_taken`) are added to this counter.

    Raises
    ------
    ValueError
        If a step is not in :data:`REPAIRS`.

    >>> repair_text("the classi(cid:12)cation prob(cid:173) lem of \\emph{$k$-means}")
    'the classification problem of k-means'
    """
    check_steps(steps)
    while True:
        start = text
        for step in steps:
            repaired = REPAIRS[step](text)
            if repaired != text:
                if changed is not None:
                    changed.add(step)
                if removed is not None and step != "whitespace" and (taken := words_taken(text, repaired)):
                    removed[step] += taken
            text = repaired
        if text == start:
            return text
