"""Text that can be read while it is being written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from minillm_lib.generation.decoding import (
    Generation,
    as_prompts,
    configured,
    find_stop,
    generation_steps,
    tokenizer_of,
)
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.io.terminal import printable
from minillm_lib.model.decoder import MiniLLM


class TextStream(Iterator[str]):
    """The pieces of one text as the model writes it; joined, they are the text.

    No piece ends within a character, and none contains part of a stop string. The arguments and errors are those of
    :func:`stream`.

    Attributes
    ----------
    generation
        The text so far; complete, with its ``finish_reason``, once the pieces are exhausted.
    """

    def __init__(
        self,
        model: MiniLLM,
        prompt: str | Sequence[int],
        sampling: SamplingConfig | None = None,
        *,
        end_ids: Collection[int] | None = None,
        fast: bool = True,
        **options: Any,
    ) -> None:
        tokenizer, sampling = tokenizer_of(model), configured(sampling, options)
        self._latest = [Generation()]
        steps = generation_steps(model, as_prompts(model, prompt), sampling, end_ids, fast)
        self._pieces = until_stop(tokenizer.decode_stream(_new_ids(steps, self._latest)), sampling.stop)

    def __next__(self) -> str:
        return next(self._pieces)

    @property
    def generation(self) -> Generation:
        """What is written so far; complete, with its ``finish_reason``, once the pieces are exhausted."""
        return self._latest[0]


def _new_ids(steps: Iterator[list[Generation]], latest: list[Generation]) -> Iterator[int]:
    """Yield each new token; what is written goes into ``latest``, as a stream must not refer to itself."""
    n_ids = 0
    for latest[:] in steps:
        yield from latest[0].ids[n_ids:]
        n_ids = len(latest[0].ids)


def stream(
    model: MiniLLM,
    prompt: str | Sequence[int],
    sampling: SamplingConfig | None = None,
    *,
    end_ids: Collection[int] | None = None,
    fast: bool = True,
    **options: Any,
) -> TextStream:
    """Continue one prompt, piece by piece: ``for piece in stream(model, "Once upon a time"): …``.

    The arguments are those of :func:`~minillm_lib.generation.decoding.generate`, and the joined pieces are the text
    that it returns.

    Raises
    ------
    ValueError
        As in :func:`~minillm_lib.generation.decoding.generate`, and if the model has no tokenizer.
    """
    return TextStream(model, prompt, sampling, end_ids=end_ids, fast=fast, **options)


def until_stop(pieces: Iterable[str], stop: Sequence[str]) -> Iterator[str]:
    """Yield text up to a stop string, which may span pieces; what may be the beginning of one is held back."""
    held = ""
    for piece in pieces:
        held += piece
        if (end := find_stop(held, stop)) is not None:
            held = held[:end]
            break
        n_safe = len(held) - longest_beginning(held, stop)
        if n_safe:
            yield held[:n_safe]
        held = held[n_safe:]
    if held:
        yield held


def longest_beginning(text: str, stop: Sequence[str]) -> int:
    """Count the characters at the end of ``text`` that may be the beginning of a stop string."""
    beginnings = (each[:length] for each in stop for length in range(1, len(each)))
    return max((len(beginning) for beginning in beginnings if text.endswith(beginning)), default=0)


def print_stream(pieces: Iterable[str]) -> str:
    """Print pieces as they arrive, in a terminal or a notebook, and return the text.

    Control characters are shown as escapes, and returned as they are. Ctrl-C, or the stop button of a notebook, ends
    the text at that point.
    """
    text = ""
    try:
        for piece in pieces:
            print(printable(piece), end="", flush=True)
            text += piece
    except KeyboardInterrupt:
        pass
    print()
    return text
