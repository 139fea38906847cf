"""Conversations: the chat template around generation, a memory that is as long as the context, and doubts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from minillm_lib.generation.decoding import configured, tokenizer_of
from minillm_lib.generation.history import fit_history
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.generation.streaming import TextStream
from minillm_lib.model.decoder import MiniLLM

Message = Mapping[str, str]

_GREEDY = SamplingConfig(temperature=0.0)
_DOUBTS = {
    "en": "(not sure: the model was undecided when it began this answer; check it before you rely on it)",
    "zh": "（不确定：模型在开始回答时把握不大，请核实后再采信）",
}


class ChatSession:
    """A conversation with a model, turn by turn.

    When the conversation no longer leaves room for a reply, the oldest turns are forgotten, with a ``UserWarning``. The
    system message is always kept. Another warning appears when a reply stops because the context is full.

    A small model gives wrong answers in the same fluent words as right ones, but its first words are then often less
    probable. ``confidence`` measures that, and ``is_sure`` compares it with what was found out for the model.

    Parameters
    ----------
    model
        A model with a tokenizer.
    system
        System message: what the model is told before the conversation.
    history
        Earlier messages, as ``{"role": "user", "content": "…"}``; the first may be a system message.
    fresh
        Whether each message starts a conversation of its own, after the system message; a ``UserWarning`` says so when
        earlier messages are left out for the first time. By default what ``model.chat_defaults`` says of the model.
    not_sure_below
        The confidence below which a reply is doubtful. By default what ``model.chat_defaults`` says of the model; if
        that is ``None``, no reply is.
    on_notice
        Called with the text of each warning, in place of the warning.
    sampling, options
        As in :func:`~minillm_lib.generation.decoding.generate`, except that by default the likeliest token is always
        chosen: a small model has few answers that are right.
    fast
        Whether the fast path may be used, as in :func:`~minillm_lib.generation.decoding.generate`.

    Attributes
    ----------
    messages
        The conversation, with the system message first if there is one, and without forgotten turns.
    sampling
        How tokens are chosen from the next message on.

    Raises
    ------
    ValueError
        If the model has no tokenizer, or an option is invalid.

    Examples
    --------
    ::

        session = ChatSession(model, system="Be brief.", temperature=0.7)
        for piece in session.stream("What is a topic model?"):
            print(piece, end="", flush=True)
        session.send("And what is a language model?")
        if session.doubt:
            print(session.doubt)  # (not sure: …)
    """

    def __init__(
        self,
        model: MiniLLM,
        *,
        system: str | None = None,
        history: Sequence[Message] = (),
        fresh: bool | None = None,
        not_sure_below: float | None = None,
        on_notice: Callable[[str], object] | None = None,
        sampling: SamplingConfig | None = None,
        fast: bool = True,
        **options: Any,
    ) -> None:
        self.fast, self.on_notice = fast, on_notice
        self.model, self.tokenizer = model, tokenizer_of(model)
        self.sampling = configured(sampling or _GREEDY, options)
        defaults = model.chat_defaults
        self.fresh = defaults.fresh if fresh is None else fresh
        self.not_sure_below = defaults.not_sure_below if not_sure_below is None else not_sure_below
        self.messages: list[Message] = list(history)
        if system is not None:
            self.messages.insert(0, {"role": "system", "content": system})
        self._reply: TextStream | None = None
        self._has_said_fresh = False

    @property
    def system(self) -> str | None:
        """The system message; a new one holds from the next message on, ``None`` removes it."""
        first = _system_message(self.messages)
        return first[0]["content"] if first else None

    @system.setter
    def system(self, text: str | None) -> None:
        turns = self.messages[len(_system_message(self.messages)) :]
        self.messages = turns if text is None else [{"role": "system", "content": text}, *turns]

    @property
    def confidence(self) -> float | None:
        """How probable the beginning of the latest reply was; ``None`` if it has no token yet.

        See :attr:`Generation.confidence <minillm_lib.generation.decoding.Generation.confidence>`.
        """
        return None if self._reply is None else self._reply.generation.confidence

    @property
    def is_sure(self) -> bool:
        """Whether the latest reply's confidence is at least ``not_sure_below``; true if that was never measured."""
        confidence = self.confidence
        return confidence is None or self.not_sure_below is None or confidence >= self.not_sure_below

    @property
    def doubt(self) -> str | None:
        """A line for below the latest reply, in its language, if the model is not sure; otherwise ``None``."""
        if self.is_sure:
            return None
        reply = self.messages[-1]["content"]
        n_han = sum("\u4e00" <= character <= "\u9fff" for character in reply)
        return _DOUBTS["zh" if 4 * n_han > len(reply) else "en"]

    def stream(self, text: str) -> Generator[str, None, None]:
        """Return an iterator over the reply to ``text``, piece by piece.

        Both turns become part of the conversation when the pieces are exhausted or the iterator is closed. An
        interrupted reply is kept up to the interruption.

        Raises
        ------
        ValueError
            If ``text`` and the system message alone leave no room for a reply in the context.
        """
        messages, prompt = self._fitting([*self._carried(), {"role": "user", "content": text}])
        self._reply = TextStream(self.model, prompt, self.sampling, fast=self.fast)
        return self._pieces(messages, self._reply)

    def _pieces(self, messages: list[Message], pieces: TextStream) -> Generator[str, None, None]:
        reply = ""
        try:
            for piece in pieces:
                reply += piece
                yield piece
        finally:
            self.messages = [*messages, {"role": "assistant", "content": reply}]
        if pieces.generation.finish_reason == "context":
            context = self.model.config.context_length
            self._notify(f"the reply stops because the context of {context} tokens is full", 2)

    def send(self, text: str) -> str:
        """Return the complete reply to ``text``; :meth:`stream` describes what happens."""
        return "".join(self.stream(text))

    def reset(self) -> None:
        """Forget everything except the system message."""
        self.messages, self._reply = _system_message(self.messages), None

    def take_back(self) -> str | None:
        """Forget the latest message and its reply, and return the message; ``None`` if there is none."""
        places = [place for place, message in enumerate(self.messages) if message["role"] == "user"]
        if not places:
            return None
        text = self.messages[places[-1]]["content"]
        self.messages, self._reply = self.messages[: places[-1]], None
        return text

    def _carried(self) -> list[Message]:
        """Return the messages that the next one comes after; if a model cannot carry them, only the system message."""
        carried = _system_message(self.messages) if self.fresh else self.messages
        if len(carried) < len(self.messages) and not self._has_said_fresh:
            self._has_said_fresh = True
            self._notify(
                "earlier messages are left out: this conversation starts afresh with each message", 3
            )
        return carried

    def _fitting(self, messages: list[Message]) -> tuple[list[Message], list[int]]:
        """Drop as many of the oldest turns as necessary to leave room for a reply, with a warning.

        The room is ``max_new_tokens``, but at most a quarter of the context. The last message always stays.
        """
        context = self.model.config.context_length
        room = min(self.sampling.max_new_tokens or context, context // 4)
        kept, ids = fit_history(self.tokenizer, messages, context - room)
        if n_forgotten := len(messages) - len(kept):
            self._notify(
                f"the context of {context} tokens is full: the oldest {n_forgotten} messages are forgotten", 3
            )
        return kept, ids

    def _notify(self, text: str, stacklevel: int) -> None:
        if self.on_notice is None:
            warnings.warn(text, stacklevel=stacklevel + 1)
        else:
            self.on_notice(text)


def _system_message(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages[:1] if message["role"] == "system"]


def chat(
    model: MiniLLM,
    text: str,
    *,
    history: Sequence[Message] = (),
    sampling: SamplingConfig | None = None,
    fast: bool = True,
    **options: Any,
) -> str:
    """Return the model's reply to one message, after the messages of ``history`` if there are any.

    The arguments and errors are those of :class:`ChatSession`, which, unlike this function, keeps the conversation.
    """
    return ChatSession(model, history=history, sampling=sampling, fast=fast, **options).send(text)
