"""Texts as UTF-8, and errors for what is not text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def utf8(text: str, name: str = "text") -> bytes:
    """Return the bytes of a text.

    Raises
    ------
    ValueError
        For a lone surrogate.
    TypeError
        If ``text`` is not a string.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, not {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        found = f"the lone surrogate {text[error.start]!a} at index {error.start}"
        raise ValueError(
            f"{name} has {found}, which is not a character; repair or replace it first"
        ) from None


def utf8_of_each(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield the bytes of each text; the errors are those of :func:`utf8`, and a single string is a ``TypeError``."""
    if isinstance(texts, str):
        raise TypeError("texts must be an iterable of strings, not one string")
    for i, text in enumerate(texts):
        yield utf8(text, f"texts[{i}]")
