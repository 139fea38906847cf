"""The text of Markdown without its markup."""

from __future__ import annotations

import re
from collections.abc import Iterator

from minillm_lib.corpora.reading.content import parsed

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?=[\w-]+[ \t]*:).*?\n---[ \t]*(?=\n|\Z)", re.DOTALL)
# It ends with as many marks, no deeper than three spaces, or than three spaces deeper than it began in a list.
_CODE_BLOCK = re.compile(
    r"^([ \t]*)(`{3,}(?=[^`\n]*$)|~{3,}(?!~))[^\n]*\n(?:[^\n]*\n)*?(?:\1)?[ ]{0,3}\2(?:`*|~*)[ \t]*$",
    re.MULTILINE,
)


def strip_untrusted(text: str) -> tuple[str, int]:
    """Do as :func:`strip_markdown`, within limits: marks that are opened and never closed take long to look for.

    Returns
    -------
    str
        The text without the markup.
    int
        How many code blocks and front matters were removed with what they hold.

    Raises
    ------
    Unusable
        If it takes too much time or memory.
    """
    ((stripped, n),) = parsed(_stripped, text)
    return str(stripped), int(n)


def _stripped(text: str) -> Iterator[tuple[str, int]]:
    text, n = _without_blocks(text)
    yield _without_marks(text), n


def _without_blocks(text: str) -> tuple[str, int]:
    """Empty the lines of front matter and of code blocks; a block that is never closed is text."""
    n = 0
    for block in (_FRONT_MATTER, _CODE_BLOCK):
        text, found = block.subn(lambda match: "\n" * match[0].count("\n"), text)
        n += found
    return text, n


def strip_markdown(text: str) -> str:
    """Remove the markup, front matter and code blocks of a Markdown text; every line stays in its place."""
    text, _ = _without_blocks(text)
    return _without_marks(text)


def _without_marks(text: str) -> str:
    text = re.sub(r"^[ ]{0,3}(?:#{1,6}[ ]|>[ ]?|[-*+][ ]|\d+[.)][ ])", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^][\n]*)\](?:\([^()\n]*\)|\[[^][\n]*\])", r"\1", text)
    text = re.sub(r"</?[A-Za-z][^>\n]{0,5000}>", "", text)
    text = re.sub(r"(`+)([^`\n]+)\1", r"\2", text)
    return re.sub(r"(?<!\w)(\*\*|\*|__|_)(?=\S)([^\n]{1,5000}?)(?<=\S)\1(?!\w)", r"\2", text)
