"""Taking out of docstrings what teaches nothing: markup for Sphinx, licences, placeholders, long printed numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from minillm_lib.corpora.cleaning.repair import repair_encoding

_LONGEST_OUTPUT = 12
_LONGEST_NUMERIC_OUTPUT = 3

# Escapes that a docstring without the prefix r turned into control characters: \alpha, \beta, \frac, \vec, \rho.
_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\v": r"\v"}
_CONTROL_CHARACTER = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff]")
_LICENCE = re.compile(
    r"copyright\s*(\(c\)|©|\d{4}|:)|licen[cs]ed under|all rights reserved|permission is hereby granted"
    r"|redistribution and use|SPDX-License|without warrant(y|ies)|this software is provided|^:?licen[cs]e\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_DIRECTIVE = re.compile(r"(?P<indent>[ ]*)\.\. (?:\|\w+\| )?(?P<name>[\w:+-]*?)::[ ]*(?P<argument>.*)")
_OPTION = re.compile(r"\s*:[\w -]+:(?!`).*")
_LABEL = re.compile(r"\s*\.\. _[^:]+:\s*$")
# These say when something changed, or hold nothing to read: gone with all that is indented under them.
_GONE_WITH_CONTENT = {
    *("versionadded", "versionchanged", "versionremoved", "deprecated", "currentmodule", "module"),
    *("autosummary", "autofunction", "autoclass", "automodule", "automethod", "autodata", "autoenum"),
    *("toctree", "contents", "index", "image", "figure", "only", "raw", "include", "literalinclude"),
    *("highlight", "sectionauthor", "moduleauthor", "testsetup", "testcleanup", "tabularcolumns"),
    *("inheritance-diagram",),
}
# What stands behind these on their line names a language or a file.
_CODE = {"code", "code-block", "sourcecode", "plot", "doctest", "testcode"}
_ROLE = re.compile(r":(?:[a-z]+:)?[a-zA-Z][\w-]*:`(~)?!?([^`<]*?)(?:\s*<[^`>]*>)?`")
_DOCTEST_OPTION = re.compile(r"\s*#\s*doctest:.*$")
_PROMPT = re.compile(r"\s*(>>>|\.\.\.)( |$)")
_PLACEHOLDER = re.compile(r"\s*(?:\{[\w.]*\}|%\([\w:.]+\)s|\$\{?\w+\}?|&\w+;)\s*,?\s*")


def clean_docstring(text: str) -> str:
    """A docstring (already without common indentation) as plain text; empty if nothing is left.

    Sphinx's directives give way to their content, roles to their text (``:class:`~a.B``` becomes ```B```), and notes
    on versions go. Examples keep their prompts; their output goes where it is more than three lines of mostly digits
    or more than twelve lines of anything. Paragraphs of licence text and lines that only a program fills in
    (``%(params)s``) go. The result is a fixed point: cleaning it again gives it back.
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
    """Directives give way to their argument and content, but for those that are no text."""
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
    """Doctests without the outputs that are too long to teach anything."""
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
