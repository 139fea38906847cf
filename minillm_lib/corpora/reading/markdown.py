"""The text of Markdown without its markup."""

from __future__ import annotations

import re
from collections.abc import Iterator

from minillm_lib.corpora.reading.content import parsed


def strip_untrusted(text: str) -> str:
    """Do as :func:`strip_markdown`, within limits: marks that are opened and never closed take long to look for.

    Raises
    ------
    Unusable
        If it takes too much time or memory.
    """
    (stripped,) = parsed(_stripped, text)
    return str(stripped)


def _stripped(text: str) -> Iterator[str]:
    yield strip_markdown(text)


def strip_markdown(text: str) -> str:
    """Remove the markup, front matter and code blocks of a Markdown text; every line stays in its place."""

    def empty_lines(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n")

    text = re.sub(r"\A---\n.*?\n---(?=\n|\Z)", empty_lines, text, flags=re.DOTALL)
    text = re.sub(
        r"^[ ]{0,3}(```|~~~).*?(?:^[ ]{0,3}\1[^\n]*$|\Z)", empty_lines, text, flags=re.DOTALL | re.MULTILINE
    )
    text = re.sub(r"^[ ]{0,3}(?:#{1,6}[ ]|>[ ]?|[-*+][ ]|\d+[.)][ ])", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^][\n]*)\](?:\([^()\n]*\)|\[[^][\n]*\])", r"\1", text)
    text = re.sub(r"</?[A-Za-z][^>\n]{0,5000}>", "", text)
    text = re.sub(r"(`+)([^`\n]+)\1", r"\2", text)
    return re.sub(r"(?<!\w)(\*\*|\*|__|_)(?=\S)([^\n]{1,5000}?)(?<=\S)\1(?!\w)", r"\2", text)
