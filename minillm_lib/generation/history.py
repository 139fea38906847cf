"""Long conversations: which of the newest messages fit into the context."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TypeVar

from minillm_lib.tokenizer import Tokenizer

AnyMessage = TypeVar("AnyMessage", bound=Mapping[str, str])


def fit_history(
    tokenizer: Tokenizer, messages: Sequence[AnyMessage], most_tokens: int
) -> tuple[list[AnyMessage], list[int]]:
    """Drop as many of the oldest turns as necessary, so that a conversation has at most ``most_tokens``.

    A turn begins with a message of the user. The system message at the beginning and the last turn always stay, so that
    the conversation may still be too long.

    Returns
    -------
    tuple
        The messages that are kept, and their ids up to the beginning of the reply.
    """
    system = [message for message in messages[:1] if message["role"] == "system"]
    later = range(len(system) + 1, len(messages))
    starts = [len(system), *(i for i in later if messages[i]["role"] == "user")]

    def kept(start: int) -> list[AnyMessage]:
        return [*system, *messages[start:]]

    def ids(start: int) -> list[int]:
        return tokenizer.apply_chat_template(kept(start), add_generation_prompt=True)

    # The later the start, the shorter the conversation: a search in halves reads long ones only a few times.
    place = bisect_left(starts[:-1], True, key=lambda start: len(ids(start)) <= most_tokens)
    return kept(starts[place]), ids(starts[place])
