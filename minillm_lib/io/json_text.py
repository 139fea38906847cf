"""JSON of unknown origin: what would end a parser, or whatever walks through its values later, is an error in words."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minillm_lib.io.wording import shown

DEEPEST = 100
"""How deep arrays and objects may be nested; data that people use have fewer than ten levels."""

MOST_VALUES = 10_000_000
"""How many values a text may have that is parsed as a whole: an empty list of two bytes takes 60 in memory."""


class RepeatedKeyError(ValueError):
    """A key occurs twice in one object, so that one of its values would be lost; ``end`` is the place behind the text.

    What stands there is JSON otherwise, so what follows can be read.
    """

    def __init__(self, key: str, end: int) -> None:
        super().__init__(f"the key {shown(key)} occurs twice in one object")
        self.end = end


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        If it is no JSON (``json.JSONDecodeError``), nested too deeply, has too many values, an integer with more digits
        than Python reads, or a key twice in one object (:class:`RepeatedKeyError`).
    """
    marks = (",", "[", "{") if isinstance(text, str) else (b",", b"[", b"{")
    n_commas, *n_open = (text.count(mark) for mark in marks)  # type: ignore[arg-type]
    if n_commas + sum(n_open) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values in one JSON text")
    repeated: list[str] = []
    with _in_words():
        value = json.loads(text, object_pairs_hook=_noting(repeated))
    if repeated:
        raise RepeatedKeyError(repeated[0], len(text))
    if sum(n_open) > DEEPEST:
        check_depth(value)
    return value


def decode_json(text: str, start: int) -> tuple[Any, int]:
    """Return the JSON value that begins at a place in a text, and the place behind it.

    Raises
    ------
    ValueError
        As for :func:`parse_json`.
    """
    repeated: list[str] = []
    with _in_words():
        value, end = json.JSONDecoder(object_pairs_hook=_noting(repeated)).raw_decode(text, start)
    if repeated:
        raise RepeatedKeyError(repeated[0], end)
    if text.count("[", start, end) + text.count("{", start, end) > DEEPEST:
        check_depth(value)
    return value, end


def _noting(repeated: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Return what makes an object of its pairs, and notes a key that occurs twice; to raise would lose the end."""

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
            repeated.append(key)
        return values

    return object_of


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn the errors of a parser that do not say what is wrong with the text into ones that do."""
    try:
        yield
    except RecursionError:
        raise _too_deep() from None
    except (json.JSONDecodeError, UnicodeError):
        raise
    except ValueError:
        raise ValueError(f"an integer of more than {sys.get_int_max_str_digits():,} digits") from None


def check_depth(value: Any) -> None:
    """Check that arrays and objects are not nested more than a hundred levels deep.

    Raises
    ------
    ValueError
        If they are.
    """
    level = [value]
    for _ in range(DEEPEST):
        level = [
            own
            for each in level
            if isinstance(each, dict | list)
            for own in (each.values() if isinstance(each, dict) else each)
            if isinstance(own, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"nested more than {DEEPEST} levels deep")
