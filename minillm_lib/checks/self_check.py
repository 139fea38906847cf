"""Exercises are tried before a class is graded by them: right answers pass, stubs fail, mistakes are told apart."""

from __future__ import annotations

import copy
import importlib.util
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minillm_lib.checks.declaration import declaration_problems
from minillm_lib.checks.exercise import Exercise
from minillm_lib.checks.judging import what_must_hold
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.notebook_run import judged
from minillm_lib.checks.own_folder import own_folder
from minillm_lib.checks.remote_answer import SessionEndedError, answer_of
from minillm_lib.checks.seeding import hidden_inputs_from
from minillm_lib.checks.submission_process import NotStartedError, Starter
from minillm_lib.checks.work_clock import WorkClock

SEEDS = (0, 1, 2)
_SECONDS_TO_LOAD = 60.0
_NOT_THERE = (
    "the reference passes here, but not as an answer that is graded, in a process of its own. If `use` and the answer "
    "share tensors with gradients, optimizers, or an object that both change, say `use_in_submission=True`. It got:"
)
_NOT_TRIED = (
    "whether the references pass where submissions are graded, in a process of their own, was not tried"
)


@dataclass
class Findings:
    """What was found of one exercise.

    Attributes
    ----------
    errors
        What would give wrong marks: nobody should be graded by this exercise.
    warnings
        What would only give a less helpful message.
    """

    exercise: str
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    n_misconceptions: int = 0
    points: float = 0
    has_reference: bool = True


def examine_exercises(exercises: Sequence[Exercise], path: str | os.PathLike[str]) -> list[Findings]:
    """Examine the exercises of a file: see :func:`examine_exercise`.

    The references also have to pass where submissions are graded: in a process of their own.
    """
    findings = [examine_exercise(exercise) for exercise in exercises]
    sound = {
        exercise: found
        for exercise, found in zip(exercises, findings, strict=True)
        if not found.errors and exercise.reference is not None
    }
    if sound:
        _examine_in_a_process(sound, Path(path).resolve())
    return findings


def _examine_in_a_process(findings: Mapping[Exercise, Findings], path: Path) -> None:
    """Judge references as answers are judged that are graded, and note what keeps them from passing."""
    lines = [
        "import runpy, sys",
        "from minillm_lib.checks import check",
        f"sys.path.append({str(path.parent)!r})",
        f"runpy.run_path({str(path)!r})",
        *(f"answer_{number} = check.{one.name}.reference" for number, one in enumerate(findings)),
    ]
    starter, found = Starter(), next(iter(findings.values()))
    if importlib.util.find_spec("IPython") is None:
        found.warnings.append(f"{_NOT_TRIED}, since Jupyter is not installed")
        return
    try:
        with own_folder() as folder, starter.session(folder, Limits(), WorkClock()) as session:
            talk = session.conversation
            reply = talk.request("run", _SECONDS_TO_LOAD, source="\n".join(lines), limit=_SECONDS_TO_LOAD)
            if problem := reply.get("problem"):
                found.warnings.append(f"{_NOT_TRIED}, since {path.name} {problem} there")
                return
            for number, (exercise, found) in enumerate(findings.items()):
                answer = answer_of(talk.request("look", _SECONDS_TO_LOAD, name=f"answer_{number}"))
                result = judged(session, exercise, answer)
                if not result.passed:
                    found.errors.append(f"{_NOT_THERE} {result.message}")
    except (SessionEndedError, NotStartedError) as error:
        found.errors.append(f"{_NOT_THERE} its process ended: {error}")
    finally:
        starter.close()


def examine_exercise(exercise: Exercise) -> Findings:
    """Check an exercise as an instructor would by hand, on the inputs of several seeds.

    The declaration is sound, the reference passes, a stub is "not attempted" with 0 points, and each misconception
    fails with its own message. An error that the instructor's functions raise is reported with its traceback.
    """
    found = Findings(
        exercise.name,
        n_misconceptions=len(exercise.misconceptions),
        points=float(exercise.points),
        has_reference=exercise.reference is not None,
    )
    found.errors += declaration_problems(exercise)
    if found.errors:
        return found
    try:
        for seed in SEEDS:
            with hidden_inputs_from(seed):
                _examine_on_these_inputs(exercise, found)
            if found.errors:
                break
    except Exception as error:
        found.errors.append(f"raises an error:\n{_traceback(error)}")
    found.warnings = list(dict.fromkeys(found.warnings))
    return found


def _examine_on_these_inputs(exercise: Exercise, found: Findings) -> None:
    for inputs in exercise.draw_cases():
        if not isinstance(inputs, tuple):
            found.errors.append(
                f"inputs gives {type(inputs).__name__} {inputs!r:.60}; it must give a tuple, also for one input: (x,)"
            )
            return
        given, value = copy.deepcopy(inputs), None
        if exercise.reference is not None:
            value = exercise.use(exercise.reference, *given)  # an error comes with its traceback
        if exercise.must_hold is not None:
            what_must_hold(exercise.must_hold, value, inputs)  # raises what is wrong with the check itself
    if exercise.reference is not None:
        result = exercise(exercise.reference)
        if not result.passed:
            found.errors.append(f"the reference does not pass: {result.message}")
            return
    stub = exercise(_stub())
    if stub.status != "not attempted":
        found.errors.append(f'a stub is "{stub.status}", not "not attempted": {stub.message}')
    for wrong, message in exercise.misconceptions.items():
        result = exercise(wrong)
        if result.passed:
            found.errors.append(
                f"a misconception passes, since no input tells it from the reference: “{message}”"
            )
        elif result.message.split("\n")[0] != message.split("\n")[0] and message not in result.message:
            found.warnings.append(
                f"a misconception does not get its own message “{message}”, but “{result.message.splitlines()[0]}”"
            )


def _stub() -> Callable[..., Any]:
    """Return what a learner has who has not begun."""
    namespace: dict[str, Any] = {}
    code = "def stub(*args, **kwargs):\n    raise NotImplementedError()\n"
    exec(compile(code, "<the stub>", "exec"), namespace)
    return namespace["stub"]


def _traceback(error: Exception) -> str:
    """Return the traceback from the instructor's code on."""
    told = traceback.TracebackException.from_exception(error)
    here = [index for index, frame in enumerate(told.stack) if frame.filename == __file__]
    own = list(told.stack)[here[-1] + 1 :] if here else list(told.stack)
    told.stack = traceback.StackSummary.from_list(own or list(told.stack))
    return "".join(told.format()).strip()
