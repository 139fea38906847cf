"""What learners get of an instructor's exercises: a Python file that checks answers without holding the right ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minillm_lib.checks.assignment import load_exercises, module_for_learners
from minillm_lib.checks.exercise import Exercise, call
from minillm_lib.checks.judging import Task
from minillm_lib.checks.own_code import NotWritableError, OwnCode
from minillm_lib.checks.plain_values import Encoder, PlainValueError
from minillm_lib.checks.running import Outcome
from minillm_lib.checks.seeding import hidden_inputs_from
from minillm_lib.checks.stored import (
    Code,
    StorableObjects,
    StoredExercise,
    outcome_fields,
    pack,
    stored_exercises,
)

FIRST_LINE = (
    '"""Checks for learners, without the answers. Written by `minillm exercises student`; do not edit it.'
)
_MOST_CHARACTERS = 300_000
_OTHER_SEEDS, _LARGE_SHARE = 20, 0.25
_ROLES = ("must_hold", "use", "compare")
_HEAD = f"""{FIRST_LINE}

Put this file beside the notebook, and begin the notebook with

    import {{module}}
    from minillm_lib import check

The marks come from other inputs than those that are stored here.
\"\"\"

from __future__ import annotations

from minillm_lib.checks import register_stored
"""


@dataclass
class StudentFile:
    """A file for learners.

    Attributes
    ----------
    text
        What is in it.
    checked
        The exercises that it checks, each with a note on what is missing; empty if nothing is.
    unchecked
        The exercises that cannot be written without the answer, each with the reason.
    given_away
        The exercises that a learner can pass by copying the right results of the file, each with the reason.
    """

    text: str
    checked: dict[str, str] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    given_away: dict[str, str] = field(default_factory=dict)


def student_file(path: str | os.PathLike[str], module: str = "") -> StudentFile:
    """Make the file for learners of a file that registers exercises.

    Each exercise is stored as its hidden inputs of seed 0, the right results and the results of its misconceptions.
    What is stored is read again, and tried: the reference has to pass, and each misconception has to get its message.

    Parameters
    ----------
    module
        The name of the module; by default that of :func:`~minillm_lib.checks.assignment.module_for_learners`.

    Raises
    ------
    ExercisesFileError
        If the file cannot be used.
    OSError
        If it cannot be read.
    """
    made = StudentFile("")
    code, names, entries = OwnCode(path), {}, []
    for exercise in load_exercises(path):
        try:
            with hidden_inputs_from(0):
                entry, roles, note = _store(exercise, code)
        except NotWritableError as error:
            made.unchecked[exercise.name] = str(error)
            entries.append(_fields(exercise))
            continue
        made.checked[exercise.name] = note
        if reason := _reason_to_copy(exercise):
            made.given_away[exercise.name] = reason
        entries.append(entry)
        names.update(roles)
    functions = "".join(f"\n        {role!r}: {name}," for role, name in names.items())
    packed = pack(entries)
    stored = "\n".join(packed[start : start + 100] for start in range(0, len(packed), 100))
    parts = [_HEAD.format(module=module or module_for_learners(path)), code.text and f"{code.text}\n"]
    parts.append(f'register_stored(\n    """\n{stored}\n""",\n    {{{functions}\n    }},\n)\n')
    made.text = "\n".join(part for part in parts if part)
    return made


def _reason_to_copy(exercise: Exercise) -> str:
    """Return why a learner could pass with a copy of the stored results; empty if other inputs find that out."""
    if exercise.reference is None:  # then no right results are stored
        return ""
    if not exercise.task().names:
        return "it has no inputs, so that the stored result is the answer"
    if not exercise.cases:
        return "it draws no inputs, so that all its inputs and right results are stored"
    with hidden_inputs_from(0):
        stored = {_bytes_of(case.inputs) for case in exercise.task().cases}
    drawn = []
    for seed in range(1, _OTHER_SEEDS + 1):
        with hidden_inputs_from(seed):
            drawn += [_bytes_of(case.inputs) for case in exercise.task().cases if not case.edge]
    share = sum(inputs in stored for inputs in drawn) / len(drawn)
    if share < _LARGE_SHARE:
        return ""
    known = "all" if share == 1 else f"{share:.0%} of them"
    return f"it draws few different inputs, and {known} are stored with their right results"


def _bytes_of(inputs: Any) -> bytes:
    encoder = Encoder(StorableObjects())
    return b"".join([repr(encoder.encode(inputs)).encode(), *encoder.buffers])


def _store(exercise: Exercise, code: OwnCode) -> tuple[dict[str, Any], dict[str, str], str]:
    """Return what is stored of an exercise, the functions that it needs as code, and a note on what is missing."""
    task = exercise.task()
    functions = {
        role: value for role in _ROLES if (value := getattr(exercise, role)) is not None and value is not call
    }
    right = None if task.reference is None else task.run(task.reference, task.cases)
    entry = _fields(exercise, task, right)
    mistakes, lost = _mistakes(exercise, task)
    notes = [f"{lost} misconceptions have results that cannot be stored"] if lost else []
    entry["mistakes"] = mistakes if right is not None else []
    if len(pack([entry])) > _MOST_CHARACTERS and exercise.slips:
        entry["mistakes"] = mistakes[: len(exercise.misconceptions) + len(exercise.slips)]
        notes.append("two slips at once are not recognised, since their results are too large")
    answers = code.used_by(exercise.reference) | code.used_by(exercise.variant)
    names = {
        f"{exercise.name}.{role}": code.add(value, f"_{role}_of_{exercise.name}", answers)
        for role, value in functions.items()
    }
    stored = _read_again(entry, names, code.text)
    return entry, names, "; ".join([*notes, *_differences(exercise, stored)])


def _fields(
    exercise: Exercise, task: Task | None = None, right: Sequence[Outcome] | None = None
) -> dict[str, Any]:
    """Return what is stored of an exercise, without its mistakes; without a task, only what is said of it."""
    outcomes: list[Any] | None = []
    if task is not None:
        for case in task.cases:
            for name, value in zip(task.names, case.inputs, strict=False):
                _check_storable(value, f"its input `{name}`")
        for outcome in right or ():
            if outcome.error is not None:
                raise NotWritableError(f"the right answer raises {type(outcome.error).__name__}")
            _check_storable(outcome.value, "its right result")
        outcomes = None if right is None else [outcome_fields(outcome) for outcome in right]
    return {
        "name": exercise.name,
        "answer": exercise.answer,
        "points": exercise.points,
        "cases": max(1, exercise.cases),
        "rtol": exercise.rtol,
        "atol": exercise.atol,
        "time_limit": exercise.time_limit,
        "may_change": list(exercise.may_change),
        "hints": list(exercise.hints),
        "names": task.names if task is not None else [],
        "cases_stored": [(case.inputs, case.edge) for case in task.cases] if task is not None else [],
        "right": outcomes,
        "mistakes": [],
    }


def _mistakes(exercise: Exercise, task: Task) -> tuple[list[tuple[str, list[Any]]], int]:
    """Return the message and the outcomes of each mistake, and the number of those that cannot be stored."""
    found, lost = [], 0
    for wrong, message in task.mistakes.items():
        outcomes = [task.outcome_of(wrong)(index) for index in range(len(task.cases))]
        try:
            for outcome in outcomes:
                _check_storable(outcome.value, "a result")
        except NotWritableError:
            lost += 1
        else:
            found.append((message, [outcome_fields(outcome) for outcome in outcomes]))
    return found, lost


def _check_storable(value: Any, what: str) -> None:
    try:
        Encoder(StorableObjects()).encode(value)
    except PlainValueError as error:
        raise NotWritableError(f"{what} is or holds {error}") from None


def _read_again(entry: dict[str, Any], names: Mapping[str, str], text: str) -> StoredExercise:
    """Return the exercise as learners have it, with the functions as they are written."""
    namespace: dict[str, Any] = {}
    if names:
        exec(compile(f"from __future__ import annotations\n{text}", "<written>", "exec"), namespace)
    code: Code = {role: namespace[name] for role, name in names.items()}
    (stored,) = stored_exercises(pack([entry]), code)
    return stored


def _differences(exercise: Exercise, stored: StoredExercise) -> list[str]:
    """Try what is stored, and say which misconceptions get another message than they did.

    Raises
    ------
    NotWritableError
        If the right answer does not pass.
    """
    stored.mark(where=f"check.{exercise.name}")
    exercise.mark(where=f"check.{exercise.name}")
    if exercise.reference is not None and not (result := stored(exercise.reference)).passed:
        reason = result.message.partition("\n")[0]
        raise NotWritableError(f"what is stored is not what it was; the right answer would be told: {reason}")
    n_single = len(exercise.misconceptions) + len(exercise.slips)
    changed = [
        message
        for wrong, message in list(exercise.task().mistakes.items())[:n_single]
        if stored(wrong).message != exercise(wrong).message
    ]
    return [f"with what is stored, another message would come for: “{one}”" for one in changed]
