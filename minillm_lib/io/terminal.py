"""Text of other people on a terminal: shown, never obeyed, and in whatever encoding the terminal has."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

# Control characters but tab and line feed, line separators, marks that turn the direction of what follows (with them a
# name can look like another), and half surrogates, which stand for bytes of a file name that are no text.
_NOT_PRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_APPROXIMATIONS = {
    "…": "...",
    "–": "-",
    "—": "-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "·": "*",
    "±": "+/-",
    "×": "x",
    "→": "->",
    "←": "<-",
    "≥": ">=",
    "≤": "<=",
}
_ERRORS = "minillm.readable"


def printable(text: object) -> str:
    r"""Return a text in which a terminal finds nothing to carry out: control characters are written as escapes.

    Tabs and line feeds stay.

    >>> print(printable("a title\x1b[2J that clears the screen"))
    a title\x1b[2J that clears the screen
    """
    return _NOT_PRINTABLE.sub(lambda match: _escape(match[0]), str(text))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


class PrintableConsole(Console):
    """A console of rich on which every text is :func:`printable`."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text; rich calls this for whatever is printed, also inside tables."""
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        """Print no more where the reader of a pipe is gone (``| head``); what goes to files is wanted all the same."""
        self.quiet = True
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())


def make_output_safe() -> None:
    r"""Let standard output and standard error write any text, whatever their encoding.

    What the encoding lacks is written by its nearest ASCII form (``...``, ``+/-``) or, without one, as an escape such
    as ``\u4e2d``. What is written to a stream that was closed before the start goes nowhere.
    """
    codecs.register_error(_ERRORS, _nearest)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # for the whole process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(_APPROXIMATIONS.get(character) or _escape(character) for character in bad), error.end
