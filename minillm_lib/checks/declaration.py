"""What can be said of an exercise's declaration without running it."""

from __future__ import annotations

import keyword
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any


def check_declaration(exercise: Any) -> None:
    """Refuse an exercise that cannot be right.

    Raises
    ------
    ValueError
        If something is wrong with its fields; the message names all of it.
    """
    if problems := declaration_problems(exercise):
        raise ValueError(f"exercise {exercise.name!r}: {'; '.join(problems)}")


def declaration_problems(exercise: Any) -> list[str]:
    """Return what is wrong with the fields of an exercise: which one, its value, and what is allowed."""
    fewest = 0 if getattr(exercise, "edge_cases", None) else 1  # edge cases may be enough
    counted = f"it must be a whole number, {fewest} or more"
    problems = [
        f"{name} is {value!r}; {allowed}"
        for name, value, allowed, is_right in (
            ("points", exercise.points, "it must be a number, 0 or more", _is_number(exercise.points)),
            (
                "cases",
                exercise.cases,
                counted,
                _is_count(exercise.cases, fewest),
            ),
            ("rtol", exercise.rtol, "it must be a number, 0 or more", _is_number(exercise.rtol)),
            ("atol", exercise.atol, "it must be a number, 0 or more", _is_number(exercise.atol)),
            (
                "time_limit",
                exercise.time_limit,
                "it must be a number of seconds greater than 0",
                _is_number(exercise.time_limit) and exercise.time_limit > 0,
            ),
        )
        if not is_right
    ]
    for name in ("reference", "inputs", "use"):
        value = getattr(exercise, name)
        is_spared = name == "reference" and value is None and getattr(exercise, "must_hold", None) is not None
        if not (callable(value) or is_spared):
            problems.append(f"{name} is {value!r}; it must be a function")
    answer = getattr(exercise, "answer", None)
    if answer and not (isinstance(answer, str) and answer.isidentifier()):
        problems.append(f"answer is {answer!r}; it must be a Python name")
    for name, value in (("name", exercise.name), ("answer", answer)):
        if isinstance(value, str) and keyword.iskeyword(value):
            problems.append(f"{name} is {value!r}, a keyword of Python, which cannot be the name of anything")
    problems += _problems_of_changes(exercise, getattr(exercise, "may_change", ()))
    return problems + _misconception_problems(exercise.misconceptions)


def _problems_of_changes(exercise: Any, may_change: Any) -> list[str]:
    """Return what is wrong with the names of the inputs that may be changed."""
    is_sequence = isinstance(may_change, Sequence) and not isinstance(may_change, str)
    if not (is_sequence and all(isinstance(name, str) for name in may_change)):
        hint = f": ({may_change!r},)" if isinstance(may_change, str) else ""
        return [f"may_change is {may_change!r}; it must be a sequence of names of inputs{hint}"]
    try:
        names = exercise._parameters if may_change else []
    except (
        TypeError,
        ValueError,
    ):  # some built-ins have no signature, and what is no function has none either
        return []
    return [
        f"may_change names {name!r}, which is no input; "
        + (f"the inputs are {', '.join(names)}" if names else "there are no inputs")
        for name in may_change
        if name not in names
    ]


def _misconception_problems(misconceptions: Any) -> list[str]:
    if not isinstance(misconceptions, Mapping):
        return [
            f"misconceptions is {misconceptions!r}; it must be a dict of wrong answers and their messages"
        ]
    return [
        f"the misconception {wrong!r} with the message {message!r} must be a function with a text"
        for wrong, message in misconceptions.items()
        if not (callable(wrong) and isinstance(message, str) and message.strip())
    ]


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and float(value) >= 0
    )


def _is_count(value: Any, fewest: int) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= fewest
