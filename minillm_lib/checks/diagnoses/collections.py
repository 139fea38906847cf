"""How lists, sets, dicts and strings went wrong: an item too many, another order, exchanged keys, other letters."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from minillm_lib.checks.comparing import difference
from minillm_lib.checks.kinds import is_number, is_sequence, kind

Values = list[tuple[Any, Any]]
Check = Callable[[Any, Any], bool]


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal as a check understands it."""
    return difference(one, other) is None


def _all(values: Values, check: Check) -> bool:
    try:
        return all(check(got, right) for got, right in values)
    except Exception:  # items that cannot be sorted, or that are not what they seem
        return False


def _lists(value: Any) -> list[list[Any]]:
    """Return lists or tuples in a list as lists.

    Raises
    ------
    TypeError
        If anything else is in it, such as strings.
    """
    if not all(map(is_sequence, value)):
        raise TypeError
    return [list(item) for item in value]


def _flat(value: Any) -> list[Any]:
    return list(itertools.chain.from_iterable(_lists(value)))


_OF_LISTS: list[tuple[str, Check]] = [
    ("{what} has the right items, but in reverse order.", lambda got, right: same(got[::-1], right)),
    ("{what} has the right items, but sorted.", lambda got, right: same(got, sorted(right))),
    (
        "{what} has the right items, but sorted the largest first.",
        lambda got, right: same(got, sorted(right, reverse=True)),
    ),
    ("{what} lacks its first item; the others are right.", lambda got, right: same(got, right[1:])),
    ("{what} lacks its last item; the others are right.", lambda got, right: same(got, right[:-1])),
    (
        "{what} lacks its last two items; the others are right.",
        lambda got, right: len(right) > 2 and same(got, right[:-2]),
    ),
    (
        "{what} has one item too many at the end; the others are right.",
        lambda got, right: same(got[:-1], right),
    ),
    (
        "{what} has one item too many at the start; the others are right.",
        lambda got, right: same(got[1:], right),
    ),
    ("{what} has only its first item.", lambda got, right: len(right) > 1 and same(got, right[:1])),
    ("{what} is empty.", lambda got, right: len(got) == 0 < len(right)),
    ("{what} has each item twice.", lambda got, right: same(got[::2], right) and same(got[1::2], right)),
    (
        "{what} has every item, but only once each: repeated ones are lost.",
        lambda got, right: same(got, list(dict.fromkeys(right))),
    ),
    (
        "{what} is one place late: each item is where the next one should be.",
        lambda got, right: len(got) == len(right) > 2 and same(got[1:], right[:-1]),
    ),
    (
        "{what} is one place early: each item is where the one before it should be.",
        lambda got, right: len(got) == len(right) > 2 and same(got[:-1], right[1:]),
    ),
    (
        "{what} is right, but wrapped in a list of length 1.",
        lambda got, right: len(got) == 1 and same(got[0], right),
    ),
    ("{what} has each item in a list of its own.", lambda got, right: same(_flat(got), right)),
    (
        "{what} is all in one list, where lists within the list are wanted.",
        lambda got, right: same(got, _flat(right)),
    ),
    (
        "{what} has strings, where other items are wanted that look like them.",
        lambda got, right: same(got, [str(item) for item in right]),
    ),
    (
        "{what} has the right items, but with rows and columns exchanged.",
        lambda got, right: same([list(row) for row in zip(*_lists(got), strict=True)], _lists(right)),
    ),
]


_OF_PIECES: list[tuple[str, Callable[[int, int], bool]]] = [
    ("{what} holds the right text, but in too many pieces.", lambda got, right: got > right),
    ("{what} holds the right text, but in too few pieces.", lambda got, right: got < right),
    ("{what} holds the right text, but cut at other places.", lambda got, right: True),
]


def _of_pieces(values: Values, what: str) -> str | None:
    """Say that lists of strings make the right texts, but are cut in another way; or the same letters in disorder."""
    if not _all(
        values, lambda got, right: len(got) > 0 and all(isinstance(item, str) for item in [*got, *right])
    ):
        return None
    if _all(values, lambda got, right: "".join(got) == "".join(right)):
        return next(
            sentence.format(what=what)
            for sentence, check in _OF_PIECES
            if all(check(len(got), len(right)) for got, right in values)
        )
    if _all(values, lambda got, right: sorted("".join(got)) == sorted("".join(right))):
        return f"{what} has the right letters, but not in the right order."
    return None


def _kinds_of_items(items: Any) -> set[str]:
    return {kind(item) if not is_number(item) or isinstance(item, bool) else "a number" for item in items}


def _other_items(values: Values, what: str) -> str | None:
    """Say that all items are of another kind than the right ones."""
    got, right = ({item for pair in values for item in _kinds_of_items(pair[index])} for index in (0, 1))
    if len(got) == len(right) == 1 and got != right:
        return f"{what} has {got.pop()} as each item, where {right.pop()} should be."
    return None


def of_lists(values: Values, what: str) -> str | None:
    """Say what happened to lists, if the same happened in all cases."""
    for sentence, check in _OF_LISTS:
        if _all(values, check):
            return sentence.format(what=what)
    if other := _other_items(values, what):
        return other
    if _all(values, lambda got, right: _counts(got) == _counts(right)):
        return f"{what} has the right items, but in another order."
    if pieces := _of_pieces(values, what):
        return pieces
    if _all(values, lambda got, right: len(got) == len(right)):
        places = [[not same(one, other) for one, other in zip(*pair, strict=True)] for pair in values]
        for where, index in (("first", 0), ("last", -1)):
            if all(len(wrong) > 1 and wrong[index] and sum(wrong) == 1 for wrong in places):
                return f"{what.removesuffix(', where it is wrong,')} is right, except for its {where} item."
        return None
    return _missing_or_extra(values, what)


def _counts(items: Any) -> Counter[str]:
    return Counter(repr(item) for item in items)


def _missing_or_extra(values: Values, what: str) -> str | None:
    """Say that there are only right items, but not all, or all and some more."""
    for sentence, check in (
        (
            "{what} lacks items; those that it has are right and in order.",
            lambda got, right: _is_part(got, right),
        ),
        (
            "{what} has items too many; the right ones are among them, in order.",
            lambda got, right: _is_part(right, got),
        ),
    ):
        if _all(values, check):
            return sentence.format(what=what)
    return None


def _is_part(short: Any, whole: Any) -> bool:
    """Return whether the items of one are among those of the other, in order."""
    remaining = iter(whole)
    return 0 < len(short) < len(whole) and all(
        any(same(item, other) for other in remaining) for item in short
    )


def of_sets(values: Values, what: str) -> str | None:
    """Say whether sets have too much or too little."""
    if _all(values, lambda got, right: got < right):
        return f"{what} lacks items; those that it has are right."
    if _all(values, lambda got, right: got > right):
        return f"{what} has all the right items, and some too many."
    return (
        f"{what} has no item that is right."
        if _all(values, lambda got, right: got and not got & right)
        else None
    )


def of_dicts(values: Values, what: str) -> str | None:
    """Say what happened to the keys and values of dicts, if the same happened in all cases."""
    if not _all(values, lambda got, right: isinstance(got, Mapping) and isinstance(right, Mapping)):
        return None
    for sentence, check in _OF_DICTS:
        if _all(values, check):
            return sentence.format(what=what)
    return None


def _keys(function: Callable[[Hashable], Hashable]) -> Check:
    return lambda got, right: same(dict(got), {function(key): value for key, value in right.items()})


def _common(got: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    return bool(got) and all(same(got[key], right[key]) for key in got if key in right)


_OF_DICTS: list[tuple[str, Check]] = [
    (
        "{what} has keys and values exchanged.",
        lambda got, right: same(dict(got), {value: key for key, value in right.items()}),
    ),
    ("{what} has the right keys, but each is a string.", _keys(str)),
    ("{what} has each pair that is a key in the wrong order.", _keys(lambda key: key[::-1])),  # type: ignore[index]
    (
        "{what} has the right keys and values, and keys too many whose value is 0.",
        lambda got, right: (
            got.keys() > right.keys()
            and _common(got, right)
            and not any(got[key] for key in got.keys() - right.keys())
        ),
    ),
    (
        "{what} lacks the keys whose value is 0; the others are right.",
        lambda got, right: (
            got.keys() < right.keys()
            and _common(got, right)
            and not any(right[key] for key in right.keys() - got.keys())
        ),
    ),
    (
        "{what} lacks keys; what it has is right.",
        lambda got, right: got.keys() < right.keys() and _common(got, right),
    ),
    (
        "{what} has keys too many; the others are right.",
        lambda got, right: got.keys() > right.keys() and _common(got, right),
    ),
    ("{what} is empty.", lambda got, right: not got and bool(right)),
    (
        "{what} has shares, which add up to 1, where the numbers themselves are wanted.",
        lambda got, right: (
            got.keys() == right.keys()
            and same(dict(got), {key: value / sum(right.values()) for key, value in right.items()})
        ),
    ),
    (
        "{what} has the value 1 under every key.",
        lambda got, right: got.keys() == right.keys() and set(got.values()) == {1},
    ),
    (
        "{what} has the right keys, but values that are too small.",
        lambda got, right: (
            got.keys() == right.keys() != set()
            and all(got[key] <= right[key] for key in got)
            and got != right
        ),
    ),
    (
        "{what} has the right keys, but values that are too large.",
        lambda got, right: (
            got.keys() == right.keys() != set()
            and all(got[key] >= right[key] for key in got)
            and got != right
        ),
    ),
    ("{what} has none of the right keys.", lambda got, right: bool(got) and not got.keys() & right.keys()),
]

_OF_STRINGS: list[tuple[str, Check]] = [
    ("{what} is empty.", lambda got, right: not got and bool(right)),
    ("{what} differs only in upper and lower case.", lambda got, right: got.lower() == right.lower()),
    ("{what} lacks the blank at its start.", lambda got, right: got == right.removeprefix(" ")),
    ("{what} has a blank too many at its start.", lambda got, right: got == f" {right}"),
    (
        "{what} differs only in blanks and line ends at its start or end.",
        lambda got, right: got.strip() == right.strip(),
    ),
    ("{what} differs only in its blanks.", lambda got, right: "".join(got.split()) == "".join(right.split())),
    ("{what} is reversed.", lambda got, right: got == right[::-1]),
    (
        "{what} breaks off: its end is missing.",
        lambda got, right: len(got) < len(right) and right.startswith(got),
    ),
    ("{what} lacks its beginning.", lambda got, right: len(got) < len(right) and right.endswith(got)),
    (
        "{what} goes on after its right end.",
        lambda got, right: len(got) > len(right) and got.startswith(right),
    ),
    (
        "{what} has something before its right beginning.",
        lambda got, right: len(got) > len(right) and got.endswith(right),
    ),
    (
        "{what} is wrong where it is not ASCII: are bytes taken for characters?",
        lambda got, right: _ascii(got) == _ascii(right),
    ),
    (
        "{what} is right, but in quotation marks or written as Python writes it.",
        lambda got, right: got == repr(right),
    ),
]


def _ascii(value: str) -> str:
    return "".join(letter for letter in value if letter.isascii())


def of_strings(values: Values, what: str) -> str | None:
    """Say what happened to strings, if the same happened in all cases."""
    for sentence, check in _OF_STRINGS:
        if _all(values, check):
            return sentence.format(what=what)
    return None
