"""``minillm chat``: a conversation at the keyboard, or one whose messages come through a pipe."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from pydantic import ValidationError
from rich.console import Console

from minillm_lib.generation.chat_session import ChatSession
from minillm_lib.io.terminal import data_output, printable
from minillm_lib.io.word_wrap import WordWrapper
from minillm_lib.training.overrides import in_one_line

QUOTES = '"""'
_NO_TEXT = re.compile("[\0\udc80-\udcff]")  # NUL, as in UTF-16, and bytes that could not be decoded


@dataclass(frozen=True, slots=True)
class _Command:
    argument: str
    what: str
    run: Callable[[TerminalChat, str], object]


class TerminalChat:
    """Answers messages on standard output, and says everything else on another console.

    A message that begins with a slash is a command; :data:`COMMANDS` are the known ones. Two slashes stand for a
    message that begins with one, and a message in triple quotation marks is taken as it is.

    Parameters
    ----------
    session
        The conversation.
    notes
        For notices: what the context lost, what the model is not sure of, and answers to commands.

    Attributes
    ----------
    n_refused
        How many messages got no answer, such as those longer than the context and unknown commands.
    """

    def __init__(self, session: ChatSession, notes: Console) -> None:
        self.session, self._notes = session, notes
        self.n_refused = 0
        self._is_over = False

    def talk(self, read: Callable[[], str]) -> None:
        """Converse with somebody at the keyboard, until Ctrl-D, ``/quit``, or Ctrl-C twice at the prompt.

        Ctrl-C during an answer ends the answer.

        Parameters
        ----------
        read
            Returns the next message; raises ``EOFError`` at Ctrl-D and ``KeyboardInterrupt`` at Ctrl-C.
        """
        has_hinted = False
        while not self._is_over:
            try:
                text = read()
            except EOFError:
                return
            except KeyboardInterrupt:
                if has_hinted:
                    return
                has_hinted = True
                self._say("Ctrl-C once more, /quit or Ctrl-D ends the conversation.")
                continue
            has_hinted = False
            try:
                self.take(text)
            except KeyboardInterrupt:
                self._say("(stopped)")

    def read_lines(self, lines: Iterable[str], encoding: str = "utf-8") -> None:
        """Answer each line of a file or pipe, until its end or ``/quit``; refuse those that are no text.

        Parameters
        ----------
        lines
            Bytes that could not be decoded are half surrogates in them, as ``errors="surrogateescape"`` makes them.
        encoding
            In which they were read.
        """
        for number, line in enumerate(lines, start=1):
            if _NO_TEXT.search(line):
                self._refuse(
                    f"line {number} is not {encoding}: convert the messages to it, for example with iconv -f gbk "
                    f"-t {encoding}"
                )
            else:
                self.take(line.removeprefix("\ufeff"))
            if self._is_over:
                return

    def take(self, text: str) -> None:
        """Answer a message, or carry out a command."""
        text = text.strip()
        if text.startswith(QUOTES):
            if text := text.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n"):
                self.answer(text)
        elif text.startswith("/") and not text.startswith("//"):
            self._carry_out(*text[1:].partition(" ")[::2])
        elif text:
            self.answer(text[1:] if text.startswith("//") else text)

    def answer(self, message: str) -> None:
        """Print the reply to a message as it is written, and then notices about it, if there are any."""
        noticed: list[str] = []
        self.session.on_notice = noticed.append
        try:
            with closing(self.session.stream(message)) as pieces:
                print_text(pieces)
        except ValueError as error:
            self._refuse(str(error))
        else:
            if not self.session.messages[-1]["content"].strip():
                self._say("(the model ended at once, without an answer)")
            elif doubt := self.session.doubt:
                self._say(doubt)
        finally:
            for notice in noticed:
                self._say(f"({notice})")

    def _carry_out(self, name: str, argument: str) -> None:
        command = COMMANDS.get({"exit": "quit", "?": "help"}.get(name, name))
        if command is None:
            known = ", ".join(f"/{each}" for each in COMMANDS)
            self._refuse(
                f"there is no command /{name}; there are {known}. Begin with // to send a text with a slash"
            )
        else:
            command.run(self, argument.strip())

    def _help(self, _: str) -> None:
        for name, command in COMMANDS.items():
            self._say(f"{f'/{name} {command.argument}':<16} {command.what}")
        self._say(
            "//text sends a text that begins with a slash. Alt-Enter, or a backslash at its end, begins another line "
            f"of a message; so does Enter after {QUOTES}, until the closing {QUOTES}. The arrow keys bring back "
            "earlier messages. Ctrl-C stops an answer, Ctrl-D ends the conversation."
        )

    def _reset(self, _: str) -> None:
        self.session.reset()
        self._say("A new conversation begins.")

    def _system(self, text: str) -> None:
        if text:
            self.session.system = None if text == "-" else text
        now = self.session.system
        self._say(
            "There is no system message."
            if now is None
            else f"The system message (/system - removes it): {now}"
        )

    def _temperature(self, value: str) -> None:
        if value:
            try:
                self.session.sampling = self.session.sampling.replace(temperature=value)
            except ValidationError as error:
                self._refuse(in_one_line(error))
                return
        self._say(f"The temperature is {self.session.sampling.temperature:g}.")

    def _retry(self, _: str) -> None:
        message = self.session.take_back()
        if message is None:
            self._refuse("there is no message to answer again")
            return
        if self.session.sampling.temperature == 0 or self.session.sampling.seed is not None:
            self._say("With temperature 0 or a seed, the answer stays the same; /temperature 0.7 varies it.")
        self.answer(message)

    def _history(self, _: str) -> None:
        for message in self.session.messages:
            self._say(f"{message['role']}: {message['content']}")
        if not self.session.messages:
            self._say("Nothing has been said yet.")

    def _quit(self, _: str) -> None:
        self._is_over = True

    def _refuse(self, why: str) -> None:
        self.n_refused += 1
        self._say(f"({why})")

    def _say(self, text: str) -> None:
        self._notes.print(text, soft_wrap=not self._notes.is_terminal)


COMMANDS = {
    "help": _Command("", "lists the commands", TerminalChat._help),
    "reset": _Command("", "begins a new conversation", TerminalChat._reset),
    "retry": _Command("", "answers the latest message again", TerminalChat._retry),
    "history": _Command("", "shows the conversation", TerminalChat._history),
    "system": _Command("TEXT", "tells the model something before the conversation", TerminalChat._system),
    "temperature": _Command(
        "X", "0 takes the likeliest token, higher values vary", TerminalChat._temperature
    ),
    "quit": _Command("", "ends the conversation, as /exit and Ctrl-D do", TerminalChat._quit),
}


def print_text(pieces: Iterable[str]) -> None:
    """Print a text as it is written: as it is into a file or pipe; wrapped, and safe to show, in a terminal."""
    output = data_output()
    try:
        for piece in _wrapped(pieces) if output.isatty() else pieces:
            print(piece, end="", flush=True, file=output)
    finally:
        print(flush=True, file=output)


def _wrapped(pieces: Iterable[str]) -> Iterator[str]:
    wrapper = WordWrapper(lambda: shutil.get_terminal_size().columns)
    for piece in pieces:
        yield wrapper.add(printable(piece))
    yield wrapper.rest()
