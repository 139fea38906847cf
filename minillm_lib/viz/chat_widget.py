"""A conversation with a model in a notebook, written while it is read."""

from __future__ import annotations

import html
import threading
import time
from contextlib import closing
from typing import Any

from minillm_lib.generation.chat_session import ChatSession
from minillm_lib.io.optional import optional_imports
from minillm_lib.model.decoder import MiniLLM

with optional_imports("course", "to talk with a model in a notebook"):
    from ipywidgets import (  # type: ignore[import-untyped]
        HTML,
        Button,
        FloatSlider,
        HBox,
        Layout,
        Text,
        VBox,
    )

_SECONDS_PER_DRAWING = 1 / 15


class ChatWidget(VBox):
    """A line to type in, the conversation above it, and how warm it is.

    The reply comes in a thread of its own, so that it can be stopped, and other cells can run meanwhile. Without a
    kernel, as in a notebook on a page, the widget shows what was said last and does nothing.

    Parameters
    ----------
    model
        A model with a tokenizer.
    text
        What stands in the line at first.
    pace
        Seconds to wait after each piece, where a model is too quick to watch.
    options
        As for :class:`~minillm_lib.generation.chat_session.ChatSession`.

    Attributes
    ----------
    session
        The conversation, as the model knows it.

    Examples
    --------
    In a notebook, as the last line of a cell::

        chat = ChatWidget(model, text="What is LDA?", max_new_tokens=120)
        chat
    """

    def __init__(self, model: MiniLLM, *, text: str = "", pace: float = 0.0, **options: Any) -> None:
        self.session = ChatSession(model, on_notice=self._notice, **options)
        self._pace = pace
        self._said: list[str] = []
        self._is_stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = HTML(layout=Layout(width="95%"))
        self._line = Text(text, placeholder="Ask something", layout=Layout(width="95%"))
        self._temperature = FloatSlider(
            self.session.sampling.temperature, min=0, max=2, step=0.1, description="temperature"
        )
        self._temperature.style.description_width = "initial"
        self._send = Button(description="Send", button_style="primary")
        self._stop = Button(description="Stop", disabled=True)
        self._reset = Button(description="New conversation", layout=Layout(width="auto"))
        self._line.on_msg(lambda _, content, __: self._on_message_of_line(content))
        self._send.on_click(lambda _: self.send())
        self._stop.on_click(lambda _: self.stop())
        self._reset.on_click(lambda _: self.reset())
        buttons = HBox([self._send, self._stop, self._reset, self._temperature])
        super().__init__([self._log, self._line, buttons])

    def send(self, message: str | None = None) -> None:
        """Ask the model; by default what stands in the line. While it still answers, nothing happens."""
        if self._thread is not None and self._thread.is_alive():
            return
        message = (self._line.value if message is None else message).strip()
        if not message:
            return
        self._line.value = ""
        self.session.sampling = self.session.sampling.replace(temperature=self._temperature.value)
        self._is_stopped.clear()
        self._show_busy(True)
        self._thread = threading.Thread(target=self._answer, args=(message,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the reply; what is written of it stays part of the conversation."""
        self._is_stopped.set()

    def wait(self) -> None:
        """Return when the reply is complete, so that a notebook that runs by itself shows it."""
        if self._thread is not None:
            self._thread.join()

    def reset(self) -> None:
        """End the reply if there is one, and begin a new conversation."""
        self.stop()
        self.wait()
        self.session.reset()
        self._said.clear()
        self._log.value = ""

    def _on_message_of_line(self, content: dict[str, Any]) -> None:
        if content.get("event") == "submit":  # Enter
            self.send()

    def _answer(self, message: str) -> None:
        self._said += [f"<b>{html.escape(message)}</b>", ""]
        place, reply, drawn = len(self._said) - 1, "", 0.0
        try:
            with closing(self.session.stream(message)) as pieces:
                for piece in pieces:
                    reply += piece
                    self._said[place] = html.escape(reply)
                    if time.monotonic() - drawn > _SECONDS_PER_DRAWING:
                        self._draw()
                        drawn = time.monotonic()
                    if self._is_stopped.wait(self._pace):
                        self._notice("stopped")
                        break
                else:
                    if self.session.doubt is not None:
                        self._notice(self.session.doubt)
        except Exception as error:  # nobody else would see an error of this thread
            self._notice(str(error) or type(error).__name__)
        finally:
            self._draw()
            self._show_busy(False)

    def _notice(self, text: str) -> None:
        self._said.append(f"<i>{html.escape(text if text.startswith(('(', '（')) else f'({text})')}</i>")

    def _draw(self) -> None:
        turns = "".join(f'<div style="white-space: pre-wrap">{each}</div>' for each in self._said)
        self._log.value = f'<div style="line-height: 1.5">{turns}</div>'

    def _show_busy(self, is_busy: bool) -> None:
        self._send.disabled, self._stop.disabled = is_busy, not is_busy
