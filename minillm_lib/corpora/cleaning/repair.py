r"""Repairs of damaged text: wrong encodings, ligatures, hyphens at line ends, LaTeX.

Text that was extracted from PDFs or pasted from LaTeX carries debris: mojibake, ``ﬁ`` as one character,
``prob(cid:173) lems`` where a line of an old paper ended, ``\emph{…}`` and ``$\ell_1$``. Each kind has its own named
step in :data:`REPAIRS`; :func:`repair_text` applies them in order. They repair damage and leave style alone: curly
quotes, dashes and full-width Chinese punctuation stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import ftfy
import simplemma

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""The Chinese characters, as ranges for a regular expression's character class."""

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


_LINE_END_HYPHEN = re.compile(r"(?<![\w-])([^\W_]+(?:-[^\W_]+)*)([-‐\u00ad])\s+([^\W\d_]+)(-?)")
_AFTER_A_SUSPENDED_HYPHEN = frozenset(["and", "or", "to", "nor", "vs", "versus", "und", "oder"])


@lru_cache(maxsize=100_000)
def _is_english(word: str) -> bool:
    return simplemma.is_known(word.lower(), lang="en")


def join_line_end_hyphens(text: str) -> str:
    r"""Rejoin words that were broken at the end of a line, and drop the remaining soft hyphens.

    ``prob- lems`` becomes ``problems``. The hyphen stays in a compound: where a part has another hyphen on its other
    side (``state-\nof-the-art``), where the second part begins with a capital (``Gauss-\nNewton``), and where both
    parts are English words but the closed-up form is not (``high-\ndimensional``). ``pre- and postsynaptic`` is left
    as it is.
    """

    def join(match: re.Match[str]) -> str:
        before, hyphen, after, another_hyphen = match.groups()
        if after in _AFTER_A_SUSPENDED_HYPHEN and hyphen != "\u00ad":
            return match[0]
        is_compound = "-" in before or another_hyphen or after[0].isupper()
        if not is_compound and not _is_english(before + after):
            is_compound = _is_english(before) and _is_english(after)
        return before + ("-" if is_compound else "") + after + another_hyphen

    return _LINE_END_HYPHEN.sub(join, text).replace("\u00ad", "")


_GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_SYMBOLS = {name: name.removeprefix("var") for name in _GREEK.split()}
_SYMBOLS |= {"ell": "l", "eps": "epsilon", "infty": "inf"}
_LETTERS = {
    "ss": "ß",
    "o": "ø",
    "O": "Ø",
    "l": "ł",
    "L": "Ł",
    "ae": "æ",
    "AE": "Æ",
    "oe": "œ",
    "aa": "å",
    "i": "i",
}
# The combining character of each accent command, and of accents that a PDF left in front of their letter.
_COMBINING = dict(
    zip(
        "\"'`^~=.cvuHkr¨´ˆ˜ˇ",
        "\u0308\u0301\u0300\u0302\u0303\u0304\u0307\u0327\u030c\u0306\u030b\u0328\u030a\u0308\u0301\u0302\u0303\u030c",
        strict=True,
    )
)

_MATHS = re.compile(
    r"\$\$(?P<display>[^$]+)\$\$|\\\[(?P<bracketed>.{1,1000}?)\\\]|\\\((?P<inline>.{1,300}?)\\\)"
    r"|(?<!\\)\$(?=\S)(?P<dollars>[^$]+?)(?<=[^\s\\])\$(?!\d)",
    re.DOTALL,
)
_SINGLE_SYMBOL = re.compile(rf"(?:[A-Za-z]|{'|'.join(_SYMBOLS.values())})(?:_\w{{1,3}})?|\d+(?:\.\d+)?")
_CITATION = re.compile(
    r"~?\\(?:[cC]ite\w*|(?:eq|page|auto|[cC])?ref|label|footnote(?:mark)?)\*?(?:\[[^\]]*\])*\{[^{}]*\}"
)
_MARK = r"\\(?:([\"'`^~=.])|([cvuHkr])(?=[{\s]))\s*"
_ACCENT = re.compile(
    rf"\{{{_MARK}\\?([A-Za-z])\}}|{_MARK}\{{\\?([A-Za-z])\}}|\\([\"'`^~=.])([A-Za-z])|(?<=[A-Za-z])([¨´ˆ˜ˇ])([A-Za-z])"
)
_FONT_GROUP = re.compile(r"\{\\(?:em|it|bf|tt|sc|rm|sl|sf|itshape|bfseries)\b\s*([^{}]*)\}")
_ARGUMENT = re.compile(r"\\[A-Za-z]+\*?(?:\[[^\]]*\])?\{([^{}]*)\}")
_COMMAND = re.compile(r"\{\\([A-Za-z]+)\}|\\([A-Za-z]+)(?:_\{?(\w+)\}?)?")


def _command_as_word(match: re.Match[str]) -> str:
    name, subscript = match[1] or match[2], match[3]
    word = _SYMBOLS.get(name) or _LETTERS.get(name, "")
    return word + (subscript or "") if word else ""


def _maths_as_word(match: re.Match[str]) -> str:
    formula = re.sub(
        r"\\([A-Za-z]+)", lambda command: _SYMBOLS.get(command[1], ""), match[match.lastgroup or 0]
    )
    formula = re.sub(r"[\s{},]", "", formula)
    return formula.replace("_", "") if _SINGLE_SYMBOL.fullmatch(formula) else ""


def _accented_letter(match: re.Match[str]) -> str:
    mark, letter = (group for group in match.groups() if group)
    composed = unicodedata.normalize("NFC", letter + _COMBINING[mark])
    return composed if len(composed) == 1 else match[0]


def strip_latex(text: str) -> str:
    r"""Turn LaTeX into plain words.

    A formula that is a single symbol or number becomes a word (``$\ell_1$-norm`` → ``l1-norm``, ``$k$-means`` →
    ``k-means``, ``$\epsilon$`` → ``epsilon``); longer formulas, citations and references are removed. Commands are
    replaced by their argument (``\emph{only}`` → ``only``), accents by the accented letter (``Nystr\"om``,
    ``Nystr¨om`` → ``Nyström``). Leave this step out for source code, where a backslash does not begin a command.
    """
    text = _MATHS.sub(_maths_as_word, text)
    text = _CITATION.sub("", text)
    text = _ACCENT.sub(_accented_letter, text)
    text = _FONT_GROUP.sub(r"\1", text)
    while _ARGUMENT.search(text):
        text = _ARGUMENT.sub(r"\1", text)
    text = _COMMAND.sub(_command_as_word, text)
    text = re.sub(r"\\([%&#_$])", r"\1", text)
    text = re.sub(r"\\[,;:! \\]|(?<=[\w.)])~(?=[\w$(])", " ", text)
    return re.sub(r"``([^`\n]{0,300}?)(?:''|\")", r'"\1"', text)


def squeeze_whitespace(text: str) -> str:
    """Leave one space between words, no blanks at line ends, at most one empty line, and no zero-width characters."""
    text = re.sub("[\u200b\u2060]", "", text)
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


def repair_text(text: str, *, steps: Sequence[str] = tuple(REPAIRS), changed: set[str] | None = None) -> str:
    r"""Apply the named repairs, in the order given, until none of them changes the text any more.

    The result is a fixed point: repairing it again does not change it. (It is reached because each step only shortens
    what it touches, except for a few that spell something out once.)

    Parameters
    ----------
    changed
        The names of the steps that change something are added to this set.

    Raises
    ------
    ValueError
        If a step is not in :data:`REPAIRS`.

    >>> repair_text("the classi(cid:12)cation prob(cid:173) lem of \\emph{$k$-means}")
    'the classification problem of k-means'
    """
    if unknown := [step for step in steps if step not in REPAIRS]:
        raise ValueError(f"unknown repair {unknown[0]!r}; the repairs are {', '.join(map(repr, REPAIRS))}")
    while True:
        before = text
        for step in steps:
            repaired = REPAIRS[step](text)
            if changed is not None and repaired != text:
                changed.add(step)
            text = repaired
        if text == before:
            return text
