"""Exercises without their answers: inputs and results that an instructor's file had, for learners to check against.

``minillm exercises student mine.py`` writes them (see :mod:`~minillm_lib.checks.storing`). What is stored is read as
plain values, and never run.
"""

from __future__ import annotations

import base64
import inspect
import io
import json
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm_lib.checks import kinds
from minillm_lib.checks.channel import Channel, ChannelError
from minillm_lib.checks.exercise import Exercise
from minillm_lib.checks.judging import Verdict
from minillm_lib.checks.plain_values import PlainValueError
from minillm_lib.checks.registry import check
from minillm_lib.checks.remote_answer import torch_generator
from minillm_lib.checks.running import Case, Inputs, Outcome, Recorded
from minillm_lib.checks.student_process import builtin_kind

FORMAT = 1
_GENERATORS = ("PCG64", "PCG64DXSM")
_ELSEWHERE = (
    "This is checked when your notebook is graded: here it cannot be checked without showing the answer."
)
Code = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredExercise(Exercise):
    """An exercise whose inputs and results are stored.

    Attributes
    ----------
    stored
        The cases, in place of drawn ones; none if it cannot be checked.
    """

    stored: Sequence[Case] = ()

    @property
    def whose(self) -> str:
        """Whose code :attr:`function` is: ``"yours"``, or ``"nobody's"`` until it has passed."""
        return "yours" if self.function is not self.reference else "nobody's"

    def _cases(self) -> list[Case]:
        return list(self.stored)

    def _judge(self, answer: Any) -> Verdict:
        return super()._judge(answer) if self.stored else Verdict("not checked", _ELSEWHERE)


def register_stored(text: str, code: Code | None = None) -> None:
    """Register the exercises of a file that ``minillm exercises student`` has written.

    Parameters
    ----------
    text
        What is stored.
    code
        The functions that are needed as code, by ``"NAME.must_hold"``, ``"NAME.use"`` and ``"NAME.compare"``.

    Raises
    ------
    ValueError
        If the text is damaged, or written by a newer version.
    """
    check.register(*stored_exercises(text, code or {}))


def pack(exercises: Sequence[Mapping[str, Any]]) -> str:
    """Return the fields of exercises as a text.

    Raises
    ------
    PlainValueError
        If a value among them cannot be stored.
    """
    buffer = io.BytesIO()
    Channel(io.BytesIO(), buffer, StorableObjects()).send(format=FORMAT, exercises=list(exercises))
    return base64.b85encode(zlib.compress(buffer.getvalue(), 9)).decode("ascii")


def stored_exercises(text: str, code: Code) -> list[StoredExercise]:
    """Return the exercises of a text that :func:`pack` has made.

    Raises
    ------
    ValueError
        If the text is damaged, or written by a newer version.
    """
    try:
        content = zlib.decompress(base64.b85decode("".join(text.split())))
        message = Channel(io.BytesIO(content), io.BytesIO(), StorableObjects()).receive()
    except (ValueError, zlib.error, ChannelError):
        raise ValueError("the stored checks are damaged: get the file from your instructor again") from None
    if message["format"] != FORMAT:
        raise ValueError(
            f"the stored checks have format {message['format']}, and this minillm_lib reads {FORMAT}: update it"
        )
    return [_exercise(fields, code) for fields in message["exercises"]]


def _exercise(fields: dict[str, Any], code: Code) -> StoredExercise:
    name, names = fields["name"], fields["names"]
    cases = [Case(inputs, edge) for inputs, edge in fields.pop("cases_stored")]

    def recorded(outcomes: Sequence[tuple[Any, str, list[str]]]) -> Recorded:
        pairs = zip(cases, outcomes, strict=True)
        return Recorded([(case.inputs, _outcome(*outcome)) for case, outcome in pairs], names)

    own: dict[str, Any] = {
        role: code[f"{name}.{role}"] for role in ("must_hold", "use", "compare") if f"{name}.{role}" in code
    }
    right = fields.pop("right")
    mistakes: dict[Callable[..., Any], str] = {
        recorded(outcomes): message for message, outcomes in fields.pop("mistakes")
    }
    del fields["names"]
    return StoredExercise(
        **fields,
        **own,
        reference=None if right is None else recorded(right),
        inputs=_no_inputs,
        misconceptions=mistakes,
        stored=cases,
    )


def outcome_fields(outcome: Outcome) -> tuple[Any, str, list[str]]:
    """Return what is stored of an outcome: its value, or its error's text, and the names of the classes of that."""
    error = outcome.error
    if error is None:
        return outcome.value, "", []
    text = error.args[0] if isinstance(error, KeyError) and len(error.args) == 1 else error
    return None, str(text), [kind.__name__ for kind in type(error).__mro__]


def _outcome(value: Any, text: str, error: Sequence[str]) -> Outcome:
    if not error:
        return Outcome(value)
    kind = builtin_kind(error)
    made = kind.__new__(kind)  # some cannot be made of a text
    made.args = (text,)
    return Outcome(error=made)


def _no_inputs(rng: np.random.Generator) -> Inputs:
    raise RuntimeError("stored exercises draw no inputs")


class StorableObjects:
    """Random generators, which are stored as their states; no other objects are."""

    def keep(self, value: Any) -> list[Any]:
        """Return what stands for a random generator."""
        if isinstance(value, np.random.Generator):
            state = value.bit_generator.state
            if state["bit_generator"] in _GENERATORS:
                return ["o", "numpy", json.dumps(state)]
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Generator):
            return ["o", "torch", base64.b64encode(value.get_state().numpy().tobytes()).decode("ascii")]
        raise PlainValueError("a function" if inspect.isroutine(value) else kinds.kind(value))

    def find(self, tree: list[Any]) -> Any:
        """Return a random generator in a state."""
        _, library, text = tree
        if library == "torch":
            return torch_generator(base64.b64decode(text))
        state = json.loads(text)
        if state["bit_generator"] not in _GENERATORS:
            raise PlainValueError(f"{state['bit_generator']} is no generator that is stored")
        bits = getattr(np.random, state["bit_generator"])()
        bits.state = state
        return np.random.Generator(bits)
