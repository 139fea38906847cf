"""What is wrong with results, for mistakes that an exercise does not declare: true of every case that failed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.comparing import difference, way_to
from minillm_lib.checks.diagnoses import collections, order, places, shapes, values as numbers
from minillm_lib.checks.diagnoses.values import Pair
from minillm_lib.checks.guarded import quiet


@dataclass(frozen=True)
class Failure:
    """A case that failed: the result, the right one, and the inputs by name."""

    got: Any
    expected: Any
    inputs: Mapping[str, Any]


def diagnose(failures: Sequence[Failure], *, some_right: bool = False, certain: bool = False) -> str | None:
    """Say in a sentence what all the wrong results have in common, compared with the right ones.

    Parameters
    ----------
    failures
        All cases with wrong results.
    some_right
        Whether there are right results, too; then the sentence speaks of the wrong ones only.
    certain
        Look only for what turns the right results into the wrong ones, all of them, and thus is what went wrong.

    Returns
    -------
    sentence
        What is wrong, or None if nothing is found that is true of all of them.
    """
    what = "the result, where it is wrong," if some_right else "the result"
    try:
        with quiet():
            sentence = _diagnose(list(failures), what, certain)
    except (
        Exception,
        SystemExit,
    ):  # results of the learner's own types may do anything when they are looked at
        return None
    return f"{sentence[0].upper()}{sentence[1:]}" if sentence else None


def _diagnose(failures: list[Failure], what: str, certain: bool) -> str | None:
    if not failures:
        return None
    return (
        _an_input(failures, what)
        or (None if certain else _one_for_all(failures, what))
        or _beyond_floats(failures, what)
        or _another_kind(failures, what, certain)
        or _of_tuples(failures, what, certain)
        or _of_collections(failures, what, certain)
        or _of_numbers(failures, what, certain)
    )


def _an_input(failures: list[Failure], what: str) -> str | None:
    """Say that the result is one of the inputs."""
    for name in failures[0].inputs:
        if all(
            name in one.inputs
            and kinds.kind(one.got) == kinds.kind(one.inputs[name])
            and _same(one.got, one.inputs[name])
            for one in failures
        ):
            if kinds.is_number(failures[0].got) and len(failures) < 2:
                return None
            return f"{what} is `{name}`, as it came in: nothing is done to it, or something else is returned."
    return None


def _same(one: Any, other: Any) -> bool:
    return difference(one, other) is None


def _one_for_all(failures: list[Failure], what: str) -> str | None:
    """Say that the result is the same for all inputs."""
    first = failures[0]
    if len(failures) < 3 or not all(_same(one.got, first.got) for one in failures):
        return None
    if sum(not _same(one.expected, first.expected) for one in failures) < 2:
        return None
    if first.got is None or kinds.kind(first.got) != kinds.kind(first.expected):
        return None
    values = kinds.values(first.got)
    if values is not None and values.size > 1 and len(np.unique(values)) == 1:
        return None  # one and the same value everywhere: that says more
    return f"{what} is the same for different inputs, {kinds.text(first.got)}: it does not depend on them."


def _beyond_floats(failures: list[Failure], what: str) -> str | None:
    """Say that whole numbers, which may have any size in Python, are too large for all that they stand for."""
    if not all(kinds.beyond_floats(one.got) and not kinds.beyond_floats(one.expected) for one in failures):
        return None
    smallest = min((one.got for one in failures), key=abs)
    return (
        f"{what} is far too large, {kinds.number_text(smallest)}: is something multiplied, or raised to a power, too "
        "often?"
    )


def _another_kind(failures: list[Failure], what: str, certain: bool) -> str | None:
    """Say that the result is of another kind, and whether it is right apart from that."""
    if not all(_kinds_differ(one) for one in failures):
        return None
    first = failures[0]
    if len({(kinds.kind(one.got), kinds.kind(one.expected)) for one in failures}) > 1:
        return None
    wanted = f"{kinds.kind(first.expected)} should be.{way_to(first.got, first.expected)}"
    sentence = f"{what} is {kinds.kind(first.got)} where {wanted}"
    inner = [replace(one, got=kinds.values(one.got), expected=kinds.values(one.expected)) for one in failures]
    if any(one.got is None or one.expected is None for one in inner):
        return None if certain else sentence
    if all(numbers.near(one.got, one.expected) for one in inner):
        return f"{sentence} Its values are right."
    besides = _of_numbers(inner, "it", certain)
    return f"{sentence} Besides, {besides}" if besides else None if certain else sentence


def _kinds_differ(one: Failure) -> bool:
    if kinds.is_number(one.expected) and (kinds.is_number(one.got) or kinds.is_array(one.got)):
        return False
    if kinds.is_number(one.got) and kinds.is_array(one.expected):
        return False
    if kinds.is_sequence(one.got) and kinds.is_sequence(one.expected):
        return False
    return kinds.kind(one.got) != kinds.kind(one.expected)


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def _of_tuples(failures: list[Failure], what: str, certain: bool) -> str | None:
    """Look at the items of results that have a fixed number of them, each by itself."""
    sizes = {len(one.expected) if isinstance(one.expected, tuple) else 0 for one in failures}
    if len(sizes) != 1 or not 1 < max(sizes) <= len(_ORDINALS):
        return None
    size = sizes.pop()
    if not all(kinds.is_sequence(one.got) for one in failures):
        return None
    if not all(len(one.got) == size for one in failures):
        n_got = {len(one.got) for one in failures}
        count = f"has {n_got.pop()} items" if len(n_got) == 1 else "has different numbers of items"
        return f"{what} {count}, but it should have {size}."
    for arranged in itertools.permutations(range(size)) if size < 5 else ():
        if arranged != tuple(range(size)) and all(
            _same([one.got[i] for i in arranged], list(one.expected)) for one in failures
        ):
            return f"{what} has the right {size} items, but in another order."
    found, n_wrong, plain = [], 0, what.removesuffix(places.WHERE_WRONG)
    for index in range(size):
        wrong = [
            Failure(one.got[index], one.expected[index], one.inputs)
            for one in failures
            if not _same(one.got[index], one.expected[index])
        ]
        if wrong:
            n_wrong += 1
            where = ", where it is wrong," if len(wrong) < len(failures) or what.endswith(",") else ""
            if sentence := _diagnose(wrong, f"item {index} of {plain}{where}", certain):
                found.append(sentence)
    if len(found) < n_wrong and certain:
        return None
    if not found:
        return _wrong_items(failures, size, plain) if n_wrong < size else None
    alone = {1: " The other item is right." if size == 2 else " The other items are right."}.get(n_wrong, "")
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}" for sentence in found[:2]) + alone


def _wrong_items(failures: list[Failure], size: int, what: str) -> str:
    """Say which items are right, and give an example of one that is not."""
    right = [i for i in range(size) if all(_same(one.got[i], one.expected[i]) for one in failures)]
    index = next(i for i in range(size) if i not in right)
    one = next(one for one in failures if not _same(one.got[index], one.expected[index]))
    example = difference(one.got[index], one.expected[index], what=f"item {index} of {what}") or ""
    example = re.sub(
        r" has the right shape, but (\d+ of \d+) values are wrong:", r" differs in \1 values:", example
    )
    example = re.sub(r", but ([^,]*) is expected\.$", r" where \1 should be.", example)
    items = " and ".join(map(str, right))
    verb = f"item {items} of {what} is" if len(right) == 1 else f"items {items} of {what} are"
    other = "other" if size - len(right) == 1 else "others"
    return f"{verb} right, so look at how you make the {other}. For example, {example}"


def _of_collections(failures: list[Failure], what: str, certain: bool) -> str | None:
    """Look at lists, dicts, sets and strings."""
    values = [(one.got, one.expected) for one in failures]
    if all(
        isinstance(right, tuple) and not kinds.is_number(right[:1]) and len(right) < len(_ORDINALS)
        for _, right in values
    ):
        return None
    for is_kind, explain in _COLLECTIONS:
        of_kind = all(is_kind(got) and is_kind(right) for got, right in values)
        if of_kind and (sentence := explain(values, what)):
            return sentence
    if all(_same_keys(got, right) for got, right in values):
        inner = [
            Failure(list(one.got.values()), [one.expected[key] for key in one.got], one.inputs)
            for one in failures
        ]
        return _of_numbers(inner, "what stands under the keys", certain)
    return None


def _same_keys(got: Any, right: Any) -> bool:
    return (
        isinstance(got, Mapping)
        and isinstance(right, Mapping)
        and len(got) > 0
        and got.keys() == right.keys()
    )


_COLLECTIONS: list[tuple[Callable[[Any], bool], Callable[[collections.Values, str], str | None]]] = [
    (kinds.is_sequence, collections.of_lists),
    (lambda value: isinstance(value, Mapping), collections.of_dicts),
    (lambda value: isinstance(value, set | frozenset), collections.of_sets),
    (lambda value: isinstance(value, str), collections.of_strings),
]


def _of_numbers(failures: list[Failure], what: str, certain: bool) -> str | None:
    pairs = []
    for one in failures:
        got, expected = kinds.values(one.got), kinds.values(one.expected)
        if got is None or expected is None:
            return None
        pairs.append(Pair(got, expected, one.inputs))
    if any(pair.got.shape != pair.expected.shape for pair in pairs):
        return shapes.wrong_shape(pairs, what, certain=certain)
    if all(numbers.near(pair.got, pair.expected) for pair in pairs):
        got, right = failures[0].got, failures[0].expected
        if kinds.kind(got) != kinds.kind(right):
            wanted = f"{kinds.kind(right)} should be.{way_to(got, right)}"
            return f"{what} is {kinds.kind(got)} where {wanted} Its values are right."
        return numbers.nearly_right(pairs, what) or difference(got, right, what=what)
    a_tuple = isinstance(failures[0].expected, tuple)
    for check in _CERTAIN if certain else (*_CERTAIN, *_OF_NUMBERS):
        if a_tuple and check in (order.rearranged, order.accumulated):
            continue  # its items are different things
        if sentence := check(pairs, what):
            return sentence
    return None


def _where_wrong(pairs: list[Pair], what: str) -> str | None:
    """Look at the wrong values alone, if some are right."""
    wrong = [places.wrong_places(pair) for pair in pairs]
    if all(mask.all() for mask in wrong) or any(pair.expected.dtype.kind == "b" for pair in pairs):
        return None
    parts = [
        Pair(
            pair.got[mask],
            pair.expected[mask],
            {name: v for name, v in pair.inputs.items() if kinds.is_number(v)},
        )
        for pair, mask in zip(pairs, wrong, strict=True)
    ]
    where = what if what.endswith(",") else f"{what}, where it is wrong,"
    return numbers.function_of_the_right(parts, where) or numbers.off_by_a_quantity(parts, where)


def _zeros(pairs: list[Pair], what: str) -> str | None:
    """Say that all values are one and the same."""
    if not all(pair.got.size > 1 and np.ptp(pair.expected.astype(float)) > 0 for pair in pairs):
        return None
    if any("c" in (pair.got.dtype.kind, pair.expected.dtype.kind) for pair in pairs):
        return None
    if all(len(np.unique(pair.got)) == 1 for pair in pairs):
        values = {kinds.number_text(kinds.number(pair.got.ravel()[0])) for pair in pairs}
        value = f"`{values.pop()}`" if len(values) == 1 else "one and the same number"
        return f"{what} is {value} everywhere."
    return None


Check = Callable[[list[Pair], str], str | None]
_CERTAIN: Sequence[Check] = (
    places.not_finite,
    numbers.function_of_the_right,
    _zeros,
    numbers.off_by_a_named_quantity,
    order.rearranged,
    order.accumulated,
)
_OF_NUMBERS: Sequence[Check] = (
    places.equal_rows,
    numbers.off_by_a_quantity,
    places.only_there,
    places.one_sided,
    numbers.off_in_each_row,
    _where_wrong,
    places.broken_property,
    places.right_only_there,
    numbers.precision,
)


def general_changes(failures: Sequence[Failure]) -> Iterator[str]:
    """Yield what turns the expected values into the results: only what is certain, for use beside another mistake."""
    pairs = []
    for one in failures:
        got, expected = kinds.values(one.got), kinds.values(one.expected)
        if got is None or expected is None:
            return
        pairs.append(Pair(got, expected, one.inputs))
    with quiet():
        if all(pair.got.shape == pair.expected.shape for pair in pairs):
            checks = (numbers.function_of_the_right, numbers.off_by_a_constant, order.moved)
            for check in checks[:2] if isinstance(failures[0].expected, tuple) else checks:
                if sentence := check(pairs, "the result"):
                    yield sentence
        elif (
            sentence := shapes.wrong_shape(pairs, "the result", certain=True)
        ) and "values are right" in sentence:
            yield sentence
