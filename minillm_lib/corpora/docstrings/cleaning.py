"""Removing from docstrings what teaches nothing: Sphinx markup, licences, placeholders and long printed output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from minillm_lib.corpora.cleaning.boilerplate import COPYRIGHT_NOTICE, LICENCE_PHRASES
from minillm_lib.corpora.cleaning.repair import repair_encoding

_LONGEST_OUTPUT = 12
_LONGEST_NUMERIC_OUTPUT = 3

# In a docstring without the prefix r, these LaTeX commands begin with a control character: \alpha, \beta, \frac, \vec.
_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\v": r"\v"}
_CONTROL_CHARACTER = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff]")
# These forms are common in docstrings only; in other texts they may belong to the prose.
_SHORT_LICENCE_PHRASES = (
    r"copyright\s*:",
    r"^:?licen[cs]e\s*:",
    r"licen[cs]ed under",
    r"this software is provided",
    r"without warrant(?:y|ies)",
)
# A phrase may stand anywhere in a paragraph, and the paragraph's lines may break within it.
_LICENCE = re.compile(
    "|".join((COPYRIGHT_NOTICE, *LICENCE_PHRASES, *_SHORT_LICENCE_PHRASES)).replace(" ", r"\s+"),
    re.IGNORECASE | re.MULTILINE,
)
_DIRECTIVE = re.compile(r"(?P<indent>[ ]*)\.\. (?:\|\w+\| )?(?P<name>[\w:+-]*?)::[ ]*(?P<argument>.*)")
_OPTION = re.compile(r"\s*:[\w -]+:(?!`).*")
_LABEL = re.compile(r"\s*\.\. _[^:]+:\s*$")
# These note a change of version or hold nothing to read; they are removed with everything indented under them.
_GONE_WITH_CONTENT = {
    *("versionadded", "versionchanged", "versionremoved", "deprecated", "currentmodule", "module"),
    *("autosummary", "autofunction", "autoclass", "automodule", "automethod", "autodata", "autoenum"),
    *("toctree", "contents", "index", "image", "figure", "only", "raw", "include", "literalinclude"),
    *("highlight", "sectionauthor", "moduleauthor", "testsetup", "testcleanup", "tabularcolumns"),
    *("inheritance-diagram",),
}
# The argument of these is the name of a language or a file, not text.
_CODE = {"code", "code-block", "sourcecode", "plot", "doctest", "testcode"}
_ROLE = re.compile(r":(?:[a-z]+:)?[a-zA-Z][\w-]*:`(~)?!?([^`<]*?)(?:\s*<[^`>]*>)?`")
_DOCTEST_OPTION = re.compile(r"\s*#\s*doctest:.*$")
_PROMPT = re.compile(r"\s*(>>>|\.\.\.)( |$)")
_PLACEHOLDER = re.compile(r"\s*(?:\{[\w.]*\}|%\([\w:.]+\)s|\$\{?\w+\}?|&\w+;)\s*,?\s*")


def clean_docstring(text: str) -> str:
    """Return a docstring as plain text; empty if nothing is left.

    Sphinx directives are replaced by their content and roles by their text (``:class:`~a.B``` becomes ```B```). Notes
    on versions, paragraphs of licence text and placeholders on lines of their own (``%(params)s``) are removed.
    Examples keep their prompts, but lose output of more than twelve lines, or of more than three lines in which fewer
    than half of the characters are letters. Cleaning the result again does not change it.

    Parameters
    ----------
    text
        The docstring without its common indentation, as from :func:`inspect.cleandoc`.
    """
    while True:
        before = text
        text = _without_control_characters(text)
        lines = list(_without_directives(text.split("\n")))
        lines = [_DOCTEST_OPTION.sub("", _ROLE.sub(_role_as_text, line)).rstrip() for line in lines]
        lines = [line for line in lines if not _PLACEHOLDER.fullmatch(line) and line.strip() != "<BLANKLINE>"]
        text = "\n".join(_without_long_output(lines))
        paragraphs = re.split(r"\n{2,}", text)
        text = "\n\n".join(part for part in paragraphs if part.strip() and not _LICENCE.search(part)).strip()
        if text == before:
            return text


def _without_control_characters(text: str) -> str:
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    text = re.sub(r"\r(?=[a-z])", r"\\r", text)
    if not text.isascii():
        text = repair_encoding(text)
    return _CONTROL_CHARACTER.sub("", text)


def _role_as_text(match: re.Match[str]) -> str:
    shortened, target = match.groups()
    return f"`{target.rpartition('.')[2] if shortened else target}`"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _without_directives(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines, with each directive replaced by its argument and content, or removed if these are not text."""
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if _LABEL.match(line):
            continue
        directive = _DIRECTIVE.fullmatch(line)
        if directive is None:
            yield line
            continue
        depth = len(directive["indent"])
        gone = directive["name"].rpartition(":")[2] in _GONE_WITH_CONTENT
        if not gone and directive["argument"] and directive["name"] not in _CODE:
            yield directive["indent"] + directive["argument"]
        while position < len(lines) and _OPTION.match(lines[position]) and _indent(lines[position]) > depth:
            position += 1
        while (
            gone
            and position < len(lines)
            and (not lines[position].strip() or _indent(lines[position]) > depth)
        ):
            position += 1
        if gone:
            yield ""


def _without_long_output(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines without the doctest outputs that are too long to teach anything."""
    position = 0
    while position < len(lines):
        yield lines[position]
        position += 1
        if not _PROMPT.match(lines[position - 1]):
            continue
        end = position
        while end < len(lines) and lines[end].strip() and not _PROMPT.match(lines[end]):
            end += 1
        if not _teaches_nothing(lines[position:end]):
            yield from lines[position:end]
        position = end


def _teaches_nothing(output: Sequence[str]) -> bool:
    characters = "".join("".join(output).split())
    letters = sum(map(str.isalpha, characters))
    is_numeric = len(output) > _LONGEST_NUMERIC_OUTPUT and letters < 0.5 * len(characters)
    return is_numeric or len(output) > _LONGEST_OUTPUT
