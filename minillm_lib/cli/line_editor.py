"""The line that a user types in ``minillm chat``: edited, remembered, and of several lines if wanted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO, cast

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.output.defaults import create_output

from minillm_lib.cli.terminal_chat import QUOTES
from minillm_lib.io.terminal import beneath

_PROMPT, _CONTINUED = "> ", "… "


class LineEditor:
    r"""Reads messages at a terminal.

    Enter sends the message. It goes on in a new line after Alt-Enter, after a backslash at the end of a line, and
    until a message that begins with three quotation marks ends with them. A pasted text of several lines is one
    message.

    Parameters
    ----------
    history
        The file of earlier messages, which the arrow keys bring back; ``None`` remembers those of this editor only.
    input, output
        The terminal, if it is not that of the process.
    """

    def __init__(
        self, history: Path | None = None, *, input: Input | None = None, output: Output | None = None
    ) -> None:
        self._session: PromptSession[str] = PromptSession(
            _PROMPT,
            multiline=True,
            prompt_continuation=_CONTINUED,
            history=InMemoryHistory() if history is None else _private(history),
            key_bindings=_bindings(),
            input=input,
            output=output or create_output(_terminal()),
        )

    def __call__(self) -> str:
        """Return the next message as it was typed.

        Raises
        ------
        EOFError
            At Ctrl-D in an empty line.
        KeyboardInterrupt
            At Ctrl-C in an empty line. In a line with a text, it only clears the line.
        """
        return self._session.prompt()


def _terminal() -> TextIO:
    """Return the standard output, or else the standard error, that is a terminal: itself, as the editor draws on it."""
    streams = sys.stdout, sys.stderr
    return cast("TextIO", beneath(next((stream for stream in streams if stream.isatty()), sys.stdout)))


def history_file() -> Path:
    """Return where earlier messages are kept: a file in the user's folder for what programs remember."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "minillm" / "chat_history"
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME"
    return Path(os.environ.get(variable) or Path.home() / ".local" / "state") / "minillm" / "chat_history"


def _private(path: Path) -> History:
    """Return the history in a file that only its owner can read.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    return FileHistory(str(path))


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text
        if buffer.document.is_cursor_at_the_end and text.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        elif _is_open(text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return bindings


def _is_open(text: str) -> bool:
    """Whether a message begins with three quotation marks and does not end with others."""
    text = text.strip()
    return text.startswith(QUOTES) and not (len(text) >= 2 * len(QUOTES) and text.endswith(QUOTES))
