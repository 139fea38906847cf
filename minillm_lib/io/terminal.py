"""Text of other people on a terminal: shown, never obeyed, and in whatever encoding the terminal has.

Two places see to it for all commands: the streams that :func:`make_output_safe` puts in the place of standard output
and standard error, and :class:`PrintableConsole` for tables and colours.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from collections.abc import Iterable
from itertools import chain
from typing import IO, Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

# Control characters but tab and line feed, line separators, marks that turn the direction of what follows (with them a
# name can look like another), half surrogates, which stand for bytes of a file name that are no text, and invisible
# characters that annotate or tag. Others that take no room join letters and emoji, so one or two of them stay; three in
# a row say nothing, or something that nobody sees.
_NOT_PRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
    "|[\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]{3,}"
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

    Tabs and line feeds stay. Invisible characters become escapes too where they could hide something: marks that turn
    the direction of a text, tags, and more than two others in a row.

    >>> print(printable("a title\x1b[2J that clears the screen"))
    a title\x1b[2J that clears the screen
    """
    return _NOT_PRINTABLE.sub(lambda match: "".join(map(_escape, match[0])), str(text))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def styled(*parts: str | tuple[object, str]) -> Text:
    """Return a printable text of several parts, each a text or a pair of anything and a style of rich.

    Square brackets in it are brackets, whatever console prints it.
    """
    return Text.assemble(
        *(printable(part) if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts)
    )


class PrintableStream:
    """A stream that writes every text as :func:`printable` has it.

    It has no ``buffer``, past which bytes could be written. :func:`beneath` returns the stream itself, for those that
    draw: consoles, progress bars and editors.

    Parameters
    ----------
    stream
        Where the text goes.
    has_bars
        Whether a bar of another library may draw its line again after a carriage return. It may do so only while
        nothing but drawings stands on that line.
    """

    def __init__(self, stream: IO[str], *, has_bars: bool = False) -> None:
        self._wrapped = stream  # by this name, tqdm knows that a bar on the stream beneath is on this one
        self._has_bars, self._is_free = has_bars, True

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        if not isinstance(text, str):
            raise TypeError(f"a text is needed, not {type(text).__name__}")
        is_drawing = self._has_bars and self._is_free and text.startswith("\r")
        self._wrapped.write("\r" * is_drawing + printable(text[is_drawing:]))
        if text:
            self._is_free = text.endswith("\n") or (is_drawing and "\n" not in text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "_wrapped"):
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return getattr(self._wrapped, name)


def beneath(stream: IO[str]) -> IO[str]:
    """Return the stream on which a :class:`PrintableStream` writes; any other is returned as it is."""
    return stream._wrapped if isinstance(stream, PrintableStream) else stream


def data_output() -> IO[str]:
    """Return standard output for what a command produces: unchanged in a file or pipe, printable in a terminal."""
    stream = beneath(sys.stdout)
    return cast("IO[str]", PrintableStream(stream)) if stream.isatty() else stream


class PrintableConsole(Console):
    """A console of rich on which every text is :func:`printable`.

    Square brackets and words between colons are shown as they are, and are no markup or emoji, unless ``markup`` or
    ``emoji`` is true: most of what is printed comes from files. :func:`styled` makes text with styles.
    """

    def __init__(self, *, markup: bool = False, emoji: bool = False, **options: Any) -> None:
        super().__init__(markup=markup, emoji=emoji, **options)

    @property
    def file(self) -> IO[str]:
        """The stream to which the console writes: what it has made printable itself, and its own colours."""
        return beneath(super().file)

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text; rich calls this for whatever is printed, also inside tables."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything, down to its segments, none of which is left with control characters of a text."""
        if isinstance(renderable, Text):
            renderable = _printable_text(renderable)
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Show what is going on; rich would read markup in a text here, whatever the console says."""
        return super().status(styled(status) if isinstance(status, str) else status, **options)

    def on_broken_pipe(self) -> None:
        """Print no more where the reader of a pipe is gone (``| head``); what goes to files is wanted all the same."""
        self.quiet = True
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())


def _printable_text(text: Text) -> Text:
    """Return a text with the same styles, except for escapes, before rich measures it."""
    found = list(_NOT_PRINTABLE.finditer(text.plain))
    if not found:
        return text
    shown = text.blank_copy()
    for number, part in enumerate(text.divide(chain.from_iterable(match.span() for match in found))):
        if number % 2:
            shown.append(printable(part.plain))
        else:
            shown.append_text(part)
    return shown


def make_output_safe() -> None:
    r"""Let standard output and standard error write any text, whatever their encoding, and only what is printable.

    What the encoding lacks is written by its nearest ASCII form (``...``, ``+/-``) or, without one, as an escape such
    as ``\u4e2d``. What is written to a stream that was closed before the start goes nowhere.
    """
    codecs.register_error(_ERRORS, _nearest)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for the whole process
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
        if not isinstance(stream, PrintableStream):
            stream = PrintableStream(stream, has_bars=name == "stderr")
        setattr(sys, name, stream)


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(_APPROXIMATIONS.get(character) or _escape(character) for character in bad), error.end
