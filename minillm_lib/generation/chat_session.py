"""Conversations: the chat template around generation, and a memory that is as long as the context."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

from minillm_lib.generation.decoding import configured, tokenizer_of
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.generation.streaming import TextStream, print_stream
from minillm_lib.model.decoder import MiniLLM

Message = Mapping[str, str]

_GREEDY = SamplingConfig(temperature=0.0)


class ChatSession:
    """A conversation with a model, turn by turn.

    When the conversation no longer leaves room for a reply, the oldest turns are forgotten, with a ``UserWarning``. The
    system message is always kept. Another warning appears when a reply stops because the context is full.

    Parameters
    ----------
    model
        A model with a tokenizer.
    system
        System message: what the model is told before the conversation.
    history
        Earlier messages, as ``{"role": "user", "content": "…"}``; the first may be a system message.
    sampling, options
        As in :func:`~minillm_lib.generation.decoding.generate`, except that by default the likeliest token is always
        chosen: a small model has few answers that are right.
    fast
        Whether the fast path may be used, as in :func:`~minillm_lib.generation.decoding.generate`.

    Attributes
    ----------
    messages
        The conversation, with the system message first if there is one, and without forgotten turns.

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
    """

    def __init__(
        self,
        model: MiniLLM,
        *,
        system: str | None = None,
        history: Sequence[Message] = (),
        sampling: SamplingConfig | None = None,
        fast: bool = True,
        **options: Any,
    ) -> None:
        self.fast = fast
        self.model, self.tokenizer = model, tokenizer_of(model)
        self.sampling = configured(sampling or _GREEDY, options)
        first = [] if system is None else [{"role": "system", "content": system}]
        self.messages: list[Message] = [*first, *history]

    def stream(self, text: str) -> Generator[str, None, None]:
        """Return an iterator over the reply to ``text``, piece by piece.

        Both turns become part of the conversation when the pieces are exhausted or the iterator is closed. An
        interrupted reply is kept up to the interruption.

        Raises
        ------
        ValueError
            If ``text`` and the system message alone leave no room for a reply in the context.
        """
        messages = self._fitting([*self.messages, {"role": "user", "content": text}])
        prompt = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        return self._reply(messages, TextStream(self.model, prompt, self.sampling, fast=self.fast))

    def _reply(self, messages: list[Message], pieces: TextStream) -> Generator[str, None, None]:
        reply = ""
        try:
            for piece in pieces:
                reply += piece
                yield piece
        finally:
            self.messages = [*messages, {"role": "assistant", "content": reply}]
        if pieces.generation.finish_reason == "context":
            context = self.model.config.context_length
            warnings.warn(f"the reply stops because the context of {context} tokens is full", stacklevel=2)

    def send(self, text: str) -> str:
        """Return the complete reply to ``text``; :meth:`stream` describes what happens."""
        return "".join(self.stream(text))

    def reset(self) -> None:
        """Forget everything except the system message."""
        self.messages = _system_message(self.messages)

    def _fitting(self, messages: list[Message]) -> list[Message]:
        """Drop as many of the oldest turns as necessary to leave room for a reply, with a warning.

        The room is ``max_new_tokens``, but at most a quarter of the context. The last message always stays.
        """
        context, system = self.model.config.context_length, _system_message(messages)
        room = min(self.sampling.max_new_tokens or context, context // 4)
        later_turns = range(len(system) + 1, len(messages))
        starts = [len(system), *(i for i in later_turns if messages[i]["role"] == "user")]
        for start in starts:
            kept = [*system, *messages[start:]]
            if len(self.tokenizer.apply_chat_template(kept, add_generation_prompt=True)) + room <= context:
                break
        if start > len(system):
            n_forgotten = start - len(system)
            warnings.warn(
                f"the context of {context} tokens is full: the oldest {n_forgotten} messages are forgotten",
                stacklevel=3,
            )
        return kept


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


def chat_in_terminal(
    model: MiniLLM,
    *,
    system: str | None = None,
    sampling: SamplingConfig | None = None,
    read: Callable[[str], str] = input,
    fast: bool = True,
    **options: Any,
) -> ChatSession:
    """Talk with a model at the keyboard until Ctrl-D, and return the conversation.

    Ctrl-C stops a reply, or, at the prompt, ends the conversation. ``/reset`` starts a new conversation.

    Parameters
    ----------
    system, sampling, fast, options
        As in :class:`ChatSession`.
    read
        Shows its argument as a prompt and returns the line that was typed.
    """
    session = ChatSession(model, system=system, sampling=sampling, fast=fast, **options)
    print("Ctrl-C stops a reply, /reset starts a new conversation, Ctrl-D ends the conversation.")
    while True:
        try:
            text = read("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return session
        if text == "/reset":
            session.reset()
        elif text:
            _print_reply(session, text)


def _print_reply(session: ChatSession, text: str) -> None:
    """Print the reply as it is written, and then, in brackets, any warning or error about the context."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        try:
            with closing(session.stream(text)) as pieces:
                print_stream(pieces)
        except ValueError as error:
            print(f"[{error}]")
    for note in notes:
        print(f"[{note.message}]")
