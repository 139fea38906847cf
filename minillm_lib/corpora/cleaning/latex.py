r"""LaTeX in plain text: formulas, commands, accents and citations become words, or go.

A dollar sign or a backslash does not make a text LaTeX: there are prices (``US$``), shell variables (``$HOME/bin``),
Windows paths (``C:\new``), regular expressions and the fonts of man pages (``\fB``). So a formula must have TeX inside
or be short and without words, stay in one paragraph, and be limited in length; and only commands that LaTeX has are
commands, except in a text that certainly is LaTeX.
"""

from __future__ import annotations

import re
import unicodedata

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
# Commands with a text as their argument, which stays.
_TEXT_COMMANDS = (
    r"emph|text(?:bf|it|tt|sc|rm|sf|sl|up|normal|superscript|subscript|color)?|math(?:bf|bb|cal|frak|it|rm|sf|scr|tt)"
    r"|underline|overline|mbox|hbox|enquote|operatorname|boldsymbol|bm|(?:sub){0,2}section|chapter|paragraph|title|author"
    r"|caption|footnote|url|href|hyperlink|ensuremath|(?:wide)?(?:hat|tilde)|bar|vec|dot|ddot|sqrt|[td]?frac|nicefrac|smash"
)
# Commands that are marks or operators; what is left of them outside of a formula says nothing.
_MARK_COMMANDS = (
    r"cal|em|it|bf|tt|sc|rm|sl|sf|bb|(?:it|sc|sl|up)shape|(?:bf|md)series|(?:tt|rm|sf)family|tiny|small|large|Large"
    r"|footnotesize|normalsize|item|noindent|par|newline|linebreak|pagebreak|newpage|bigskip|medskip|smallskip"
    r"|centering|maketitle|q?quad|hspace|vspace|[lcv]?dots|dotsc|left|right|[bB]igg?[lr]?|times|cdot|leq?|geq?|neq?"
    r"|ll|gg|in|notin|to|sim|simeq|approx|equiv|propto|pm|mp|sum|prod|int|log|ln|exp|max|min|sup|inf|lim|arg|sin"
    r"|cos|tan|tanh|Pr|det|dim|star|ast|top|bot|perp|circ|bullet|otimes|oplus|cup|cap|subset(?:eq)?|supset(?:eq)?"
    r"|forall|exists|nabla|partial|mid|parallel|langle|rangle|lceil|rceil|lfloor|rfloor|[lr]?[vV]ert|mapsto"
    r"|(?:long)?(?:left|right|leftright)arrow|Rightarrow|Leftarrow|dagger|wedge|vee|setminus|emptyset|ldots|cdots"
    r"|backslash|textbackslash|textasciitilde|gtrsim|lesssim|preceq|succeq|triangleq|limits|nolimits|displaystyle"
    r"|LaTeX|TeX|bigcup|bigcap|colon|prime|hbar|Re|Im|mod|bmod|pmod|binom|stackrel|over|choose"
)
CITATION = re.compile(
    r"~?\\(?:[cC]ite\w*|(?:eq|page|auto|[cC])?ref|label|footnotemark)\*?(?:\[[^\[\]]{0,200}\])*\{[^{}]{0,1000}\}"
)
ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[A-Za-z]{1,20}\*?\}(?:\[[^\[\]\n]{0,40}\])?")
_CERTAINLY_LATEX = re.compile(
    rf"\\(?:{_TEXT_COMMANDS}|begin|end|[cC]ite\w*|ref|label)\*?\{{|\{{\\(?:em|it|bf|tt|sc|rm|sl|sf)\b"
    rf"|\$[^$\n]{{0,80}}\\(?:{'|'.join(_SYMBOLS)}|{_TEXT_COMMANDS}|{_MARK_COMMANDS})\b"
)

_LONGEST_FORMULA, _LONGEST_DISPLAY = 300, 1000
# The same paragraph: no empty line.
_WITHIN = r"(?:[^$\n]|\n(?![^\S\n]*\n))"
_FORMULA = re.compile(
    rf"(?<!\\)\$\$(?P<display>{_WITHIN}{{1,{_LONGEST_DISPLAY}}}?)\$\$"
    rf"|\\\[(?P<bracketed>(?:[^\n]|\n(?![^\S\n]*\n)){{1,{_LONGEST_DISPLAY}}}?)\\\]"
    rf"|\\\((?P<inline>(?:[^\n]|\n(?![^\S\n]*\n)){{1,{_LONGEST_FORMULA}}}?)\\\)"
    rf"|(?<![\\$])\$(?=[^\s$])(?P<dollars>{_WITHIN}{{1,{_LONGEST_FORMULA}}}?)(?<=[^\s\\])\$(?!\d)"
)
_SINGLE_SYMBOL = re.compile(rf"(?:[A-Za-z]|{'|'.join(_SYMBOLS.values())})(?:_\w{{1,3}})?|\d+(?:\.\d+)?")
_LIST_OF_NUMBERS = re.compile(r"(?:\d[\d.]*)?,\s+\d[\d.]*")
_FUNCTIONS = (
    r"(?:a?log|ln|exp|max|min|arg(?:max|min)?|sup|inf|lim|sin|cos|tanh?|det|dim|mod|poly(?:log)?|tr|rank|sign|Pr|KL|th"
    r"|st|nd|rd|d[a-z])"
)
# What makes a formula of a text between dollar signs: a command, or an index or exponent at a symbol.
_TEX_INSIDE = re.compile(
    rf"\\(?:{'|'.join(_SYMBOLS)}|{_TEXT_COMMANDS}|{_MARK_COMMANDS}|[a-zA-Z]{{3,}})(?![A-Za-z])|\\[,;!]"
    r"|(?<![A-Za-z])[A-Za-z0-9)\]}]\s?\^\s?[\w{(\\*+-]|^\^[{\\]|(?<![A-Za-z])[A-Za-z)\]}]_[\w{\\]"
)
_ARGUMENTS = re.compile(r"\\[A-Za-z]+\*?\s?(?:\[[^\[\]]*\])?\{[^{}]*\}|[_^]\s?\{[^{}]*\}|\\[A-Za-z]+|[_^]\w+")
_TWO_WORDS = re.compile(r"[^\W\d_]{2,}[,;:.\0]*\s+[^\W\d_]{2,}")
_START_OF_LETTERS = rf"(?<![^\W\d_])(?!{_FUNCTIONS}(?![^\W\d_]))"
_LETTERS_TOGETHER = re.compile(rf"{_START_OF_LETTERS}[^\W\d_]{{2,}}")
# A run of letters that is no part of a formula: long, or with a blank beside it.
_A_WORD = re.compile(rf"{_START_OF_LETTERS}(?:[^\W\d_]{{5,}}|(?<=\s)[^\W\d_]{{2,}}|[^\W\d_]{{2,}}(?=\s))")
_AN_INDEX = re.compile(r"[_^]\s?(?:\{[^{}]*\}|\\?\w{1,3}|[+*-])")
_GOES_ON = re.compile(r"(?!(?:s|th|st|nd|rd|D|NN)\b)[A-Za-z_({$]")

_MARK = r"\\(?:([\"'`^~=.])|([cvuHkr])(?=[{\s]))\s*"
# Not accents: "it\'s" and "it´s".
_SHORTENED = r"(?!(?:s|re|ll|m|ve|d|t)\b)"
_ACCENT = re.compile(
    rf"\{{{_MARK}\\?([A-Za-z])\}}|{_MARK}\{{\\?([A-Za-z])\}}"
    rf"|(?<=[A-Za-z}}])\\([\"'`^~]){_SHORTENED}([A-Za-z])|(?<![\\\w])\\([\"'`^])([A-Z])(?=[a-z])(?![a-z]*\\[\"'`])"
    rf"|(?<=[A-Za-z])([¨´ˆ˜ˇ]){_SHORTENED}([A-Za-z])"
)
# Some pages lose the braces: "\\emphone-sided".
_GLUED = re.compile(
    r"\\(?:emph|text(?:bf|it|tt|sc|rm|sf)|math(?:bf|bb|cal|frak|it|rm|sf)|underline|(?:wide)?tilde|sqrt)(?=[A-Za-z])"
)
_FONT_GROUP = re.compile(r"\{\\(?:em|it|bf|tt|sc|rm|sl|sf|itshape|bfseries)\b\s*([^{}]*)\}")
_OPTION = r"(?:\[[^\[\]\n]{0,200}\])?"
_ARGUMENT = re.compile(rf"\\(?:{_TEXT_COMMANDS})\*?{_OPTION}\{{([^{{}}]*)\}}")
_ANY_ARGUMENT = re.compile(rf"\\[A-Za-z]+\*?{_OPTION}\{{([^{{}}]*)\}}")
# Where words would run together: "\noindent\textbf{Methods}" must not become the command "\noindentMethods".
_NO_GAP = re.compile(
    r"\\[A-Za-z]+(?=\\[A-Za-z]+\*?[\[{])|\w(?=\\(?:footnote|caption|(?:sub){0,2}section)\*?[\[{])"
)
_INDEX = r"(?:_\{?(\w+)\}?)?"
_NAMED = rf"{'|'.join(_SYMBOLS)}|{'|'.join(_LETTERS)}|{_TEXT_COMMANDS}|{_MARK_COMMANDS}"
# "Smith\\University" are two lines, but "\\emph{…}" is a command that was escaped twice.
_LINE_BREAK = re.compile(r"(?<!\\)\\\\(?=\\[A-Za-z]|[A-Za-z]+(\*?[\[{])?)")
_COMMAND = re.compile(rf"\{{\\({_NAMED})\}}|\\({_NAMED})(?![A-Za-z]){_INDEX}")
_ANY_COMMAND = re.compile(rf"\{{\\([A-Za-z]+)\}}|\\([A-Za-z]+){_INDEX}")
# In a man page, "\fBname\fR" is a name in bold.
_MAN_PAGE_FONT = re.compile(r"\\f(?:[BIRP1-4](?![a-z]*\{)|\([A-Z]{2}|\[[A-Z]{0,3}\])")
_WINDOWS_PATH = re.compile(
    r"(?<![\w\\])[A-Za-z]:\\(?=[^\s\\{}]+(?:\\|\.\w))[^\s{}]*"
    r"|(?<![\w\\])\\\\[\w.-]+\\(?!\\)[^\s{}]*+(?!\{)"
)


def strip_latex(text: str) -> str:
    r"""Turn LaTeX into plain words.

    A formula that is a single symbol or number becomes a word (``$\ell_1$-norm`` → ``l1-norm``, ``$k$-means`` →
    ``k-means``, ``$\epsilon$`` → ``epsilon``); longer formulas, citations and references are removed. Commands are
    replaced by their argument (``\emph{only}`` → ``only``), accents by the accented letter (``Nystr\"om``,
    ``Nystr¨om`` → ``Nyström``). Text between dollar signs is a formula only if it has TeX in it, or no words: prices,
    shell variables and paths stay.
    """
    if not _HAS_SIGNS.search(text):
        return text
    paths: list[str] = []
    if ":\\" in text or "\\\\" in text:
        text = _WINDOWS_PATH.sub(lambda path: _set_aside(path[0], paths), text)
    is_latex = _CERTAINLY_LATEX.search(text) is not None
    text = _MAN_PAGE_FONT.sub("", text)
    text = _replace_formulas(text)
    text = CITATION.sub("", text)
    text = ENVIRONMENT.sub("", text)
    text = _ACCENT.sub(_accented_letter, text)
    text = _FONT_GROUP.sub(r"\1", text)
    argument, command = (_ANY_ARGUMENT, _ANY_COMMAND) if is_latex else (_ARGUMENT, _COMMAND)
    if is_latex:
        text = _LINE_BREAK.sub(lambda slashes: "\\" if slashes[1] else " ", text)
    text = _NO_GAP.sub(r"\g<0> ", text)
    while argument.search(text):
        text = argument.sub(r"\1", text)
    text = command.sub(_command_as_word, _GLUED.sub("", text))
    text = re.sub(r"\\([%&#_$])", r"\1", text)
    text = re.sub(r"\\[,;:! \\]|(?<=[\w.)])~(?=[\w$(])", " ", text)
    text = re.sub(r"``([^`\n]{0,300}?)(?:''|\")", r'"\1"', text)
    return _PLACEHOLDER.sub(lambda place: paths[ord(place[0]) - _FIRST_PLACE], text) if paths else text


_HAS_SIGNS = re.compile(r"[\\$~`¨´ˆ˜ˇ]")
# Paths wait in characters for private use, which no text of letters has.
_FIRST_PLACE, _LAST_PLACE = 0x10F000, 0x10FFFD
_PLACEHOLDER = re.compile(f"[{chr(_FIRST_PLACE)}-{chr(_LAST_PLACE)}]")


def _set_aside(path: str, paths: list[str]) -> str:
    if len(paths) > _LAST_PLACE - _FIRST_PLACE:
        return path
    paths.append(path)
    return chr(_FIRST_PLACE + len(paths) - 1)


def _command_as_word(match: re.Match[str]) -> str:
    name, subscript = match[1] or match[2], match[3]
    word = _SYMBOLS.get(name) or _LETTERS.get(name, "")
    return word + (subscript or "") if word else ""


def _replace_formulas(text: str) -> str:
    """Replace the formulas by words; a dollar sign that opens no formula may still close none and open the next."""
    pieces: list[str] = []
    position = start = 0
    while match := _FORMULA.search(text, start):
        word = _formula_as_word(match, text)
        if word is None:
            start = match.start() + 1
            continue
        pieces += [text[position : match.start()], word]
        position = start = match.end()
    return "".join([*pieces, text[position:]])


def _formula_as_word(match: re.Match[str], text: str) -> str | None:
    """Return the word for a formula, ``""`` to remove it; None if it is no formula."""
    content = match[match.lastgroup or 0]
    plain = re.sub(r"\\([A-Za-z]+)", lambda command: _SYMBOLS.get(command[1], ""), content)
    plain = re.sub(r"[\s{},]", "", plain)
    if _LIST_OF_NUMBERS.fullmatch(content):  # such as the prices 5$, 10$
        return None
    if _SINGLE_SYMBOL.fullmatch(plain):
        return plain.replace("_", "")
    if _AN_INDEX.fullmatch(content) or not any(map(str.isalnum, content)):
        return ""
    prose = _ARGUMENTS.sub("\0", content)
    if _TWO_WORDS.search(prose):
        return None
    is_in_dollars = match.lastgroup == "dollars"
    goes_on = is_in_dollars and _GOES_ON.match(text, match.end())
    if _TEX_INSIDE.search(content):
        # Past a formula a word may go on; past a variable, as in "$a_b:$c", the next one begins.
        return None if goes_on and content[-1] in ":/=+-.,;(&|" else ""
    if goes_on or (is_in_dollars and text[match.start() - 1 : match.start()].isalnum()):
        return None
    if any(content.count(opening) != content.count(closing) for opening, closing in ("()", "{}")):
        return None
    return None if (_A_WORD if is_in_dollars else _LETTERS_TOGETHER).search(prose) else ""


def _accented_letter(match: re.Match[str]) -> str:
    mark, letter = (group for group in match.groups() if group)
    composed = unicodedata.normalize("NFC", letter + _COMBINING[mark])
    return composed if len(composed) == 1 else match[0]
