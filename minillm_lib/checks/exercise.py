"""An exercise: the right answer, usual wrong answers, and the inputs that distinguish them."""

from __future__ import annotations

import copy
import inspect
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minillm_lib.checks import kept_answers, progress_file
from minillm_lib.checks.declaration import check_declaration
from minillm_lib.checks.judging import Task, Verdict, differ, judge
from minillm_lib.checks.result import CheckResult, Hint
from minillm_lib.checks.running import Case, Inputs
from minillm_lib.checks.slips import with_pairs

SEED_VARIABLE = "MINILLM_CHECK_SEED"
_MOST_HINTS = 3


class CheckFailedError(AssertionError):
    """An answer that did not pass. It is raised only under nbgrader, which counts errors, instead of a result."""


def _value_of_stub(value: Any) -> str:
    """Return how a plain value is written that stands for an answer to come; empty if it is an answer."""
    if value is None:
        return "None"
    return (
        "..." if type(value).__name__ == "ellipsis" else ""
    )  # while a notebook is graded, it is in another process


def call(answer: Callable[..., Any], *inputs: Any) -> Any:
    """Use an answer in the simplest way: call it with the inputs."""
    return answer(*inputs)


@dataclass(frozen=True, kw_only=True, eq=False)
class Exercise:
    """An exercise; calling it with a learner's answer returns a :class:`~minillm_lib.checks.result.CheckResult`.

    Attributes
    ----------
    name
        Name of the exercise, and of the function or class that the learner writes, unless ``answer`` names that.
    answer
        Name of the function or class that the learner writes, if it is another one. Without it, ``minillm grade`` looks
        for the name that the notebook handed out gives in ``check.NAME(…)``.
    reference
        The right answer, of the same kind; preferably the library's own. None if ``must_hold`` says what is right.
        Where it has no parameters, the answer may also be a plain value; ``None`` and ``...`` are not attempted.
    must_hold
        Says what is wrong with a result, ``must_hold(result, *inputs)``, or returns None: for what has many right
        results ("the rows sum to 1", "no later token changes an earlier output").
    inputs
        Draws the inputs of one case, a tuple, from a random generator. In messages they have the names of the
        parameters of ``reference`` (or of ``use``, if given).
    edge_cases
        Inputs that are always tried, before the drawn ones, by what is special: ``{"an empty text": ([],)}``,
        or a function that returns such a mapping. The words complete "right for usual inputs, but not for …".
    misconceptions
        Wrong answers, each with the message for a learner whose results equal those of the wrong answer. A message says
        what is wrong and where to look. The first one that applies is shown. A wrong answer may raise an error in some
        cases: it is recognised in answers that raise an error of the same type there.
    slips
        Wrong answers that may come together: ``slips={("mean", "sum"): "You …"}`` stands for the wrong answer
        ``variant(*inputs, mean="sum")``, and is recognised alone and together with each slip of another keyword.
    variant
        The right answer, with a keyword argument for each way to go wrong; needed for ``slips``.
    hints
        Up to three hints, from a nudge to nearly the answer: see :meth:`hint`.
    points
        Points that the exercise is worth; fractions are allowed.
    cases
        Number of cases to draw.
    rtol, atol
        Relative and absolute tolerance for floating-point results.
    time_limit
        Seconds for all cases together.
    use
        Uses an answer that is not a plain function of the inputs: ``use(answer, *inputs)`` returns the value to
        compare. For a class, it creates an object and calls it.
    use_in_submission
        Whether ``minillm grade`` runs ``use`` in the process of the submission, and not in the grader's. It has to
        where ``use`` and the answer share what cannot be sent back and forth, as tensors with gradients, optimizers, or
        an object that both change. Then ``use`` may not need the right answer.
    may_change
        Names of inputs that the answer may change in place. Random generators and modules may always be changed.
    compare
        Replaces :func:`~minillm_lib.checks.comparing.difference`: takes the result and the expected result, and returns
        a sentence about what is wrong, or None.
    """

    name: str
    reference: Callable[..., Any] | None = None
    inputs: Callable[[np.random.Generator], Inputs]
    misconceptions: Mapping[Callable[..., Any], str] = field(default_factory=dict)
    edge_cases: Mapping[str, Inputs] | Callable[[], Mapping[str, Inputs]] = field(default_factory=dict)
    slips: Mapping[tuple[str, Any], str] = field(default_factory=dict)
    variant: Callable[..., Any] | None = None
    hints: Sequence[str] = ()
    points: float = 1
    answer: str = ""
    must_hold: Callable[..., str | None] | None = None
    cases: int = 5
    rtol: float = 1e-4
    atol: float = 1e-6
    time_limit: float = 10.0
    use: Callable[..., Any] = call
    use_in_submission: bool = False
    may_change: Sequence[str] = ()
    compare: Callable[[Any, Any], str | None] | None = None

    _memory: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_declaration(self)
        if len(self.hints) > _MOST_HINTS or isinstance(self.hints, str):
            raise ValueError(
                f"exercise {self.name!r}: hints must be a sequence of at most {_MOST_HINTS} strings"
            )
        if self.slips and self.variant is None:
            raise ValueError(f"exercise {self.name!r} has slips but no variant that makes them")
        if self.reference is None and self.must_hold is None:
            raise ValueError(
                f"exercise {self.name!r} has neither a reference nor a must_hold: what is right?"
            )

    def __call__(self, answer: Any) -> CheckResult:
        """Judge an answer; errors that the answer raises become part of the result.

        Raises
        ------
        CheckFailedError
            Under nbgrader, if the answer does not pass.
        """
        verdict = self._judge(answer)
        self._memory["failing input"] = verdict.failing
        self._memory["passed"] = answer if verdict.status == "passed" else None
        function = self.function
        result = CheckResult(self.name, verdict.status, verdict.message, self.points, function=function)
        if self.in_course and progress_file.record(self.name, verdict.status) and result.passed:
            kept_answers.keep(self.name, answer)
        if os.environ.get("NBGRADER_EXECUTION") and not result.passed:
            raise CheckFailedError(repr(result))
        return result

    @property
    def function(self) -> Any:
        """The learner's answer if it passed when it was last checked, the library's otherwise.

        An answer that passed in another notebook of the course is made anew from its source, which was kept beside the
        progress, and checked again.
        """
        passed = self._passed()
        return self.reference if passed is None else passed

    @property
    def whose(self) -> str:
        """Whose code :attr:`function` is: ``"yours"`` or ``"the library's"``."""
        return "the library's" if self._passed() is None else "yours"

    def _passed(self) -> Any:
        if "passed" not in self._memory:
            answer = kept_answers.kept(self.name, self.answer or self.name) if self.in_course else None
            passed = answer is not None and self._judge(answer).status == "passed"
            self._memory["passed"] = answer if passed else None
        return self._memory["passed"]

    @property
    def failing_input(self) -> Inputs:
        """A copy of the smallest inputs for which the answer that was last checked failed.

        Raises
        ------
        ValueError
            If no answer has failed yet, or the last one passed.
        """
        failing = self._memory.get("failing input")
        if failing is None:
            raise ValueError(
                f"there is no failing input: {self.name} was not checked yet, or did not fail on an input"
            )
        return copy.deepcopy(failing)

    def hint(self, number: int | None = None) -> Hint:
        """Return the next hint, or one by its number: the first is a nudge, the last nearly the answer.

        Raises
        ------
        ValueError
            If there is no hint of this number.
        """
        if number is not None and not 1 <= number <= len(self.hints):
            there = f"1 to {len(self.hints)}" if self.hints else "none, since this exercise has no hints"
            raise ValueError(f"there is no hint {number!r} for {self.name}; the numbers are {there}")
        given = number or self._memory.get("hints", 0) + 1
        self._memory["hints"] = max(given, self._memory.get("hints", 0))
        if given > len(self.hints):
            again = f" `hint(1)` shows the first of {len(self.hints)} again." if self.hints else ""
            return Hint(
                self.name, f"There are no {'more ' if self.hints else ''}hints for this exercise.{again}"
            )
        return Hint(self.name, self.hints[given - 1], given, len(self.hints))

    def mark(
        self,
        *,
        where: str,
        in_course: bool = False,
        through: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    ) -> Exercise:
        """Note how learners reach this exercise, for messages, and what ``use`` is called through; return the exercise.

        Parameters
        ----------
        where
            Such as ``check.rms_norm``.
        """
        self._memory.update({"where": where, "in course": in_course, "through": through})
        return self

    @property
    def in_course(self) -> bool:
        """Whether it belongs to the course, and was not registered by somebody."""
        return bool(self._memory.get("in course"))

    def draw_cases(self) -> list[Inputs]:
        """Return the hidden inputs: the edge cases, then those drawn with ``MINILLM_CHECK_SEED`` as the seed."""
        return [case.inputs for case in self._cases()]

    def _cases(self) -> list[Case]:
        edge_cases = self.edge_cases() if callable(self.edge_cases) else self.edge_cases
        edges = [Case(inputs, name) for name, inputs in edge_cases.items()]
        seed = int(os.environ.get(SEED_VARIABLE, "0"))
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        return edges + [Case(self.inputs(rng)) for _ in range(self.cases)]

    def _judge(self, answer: Any) -> Verdict:
        if not callable(answer) and self.reference is not None and not self._parameters:
            if stub := _value_of_stub(answer):
                return Verdict(
                    "not attempted",
                    f"Not attempted yet: give `{self.answer or self.name}` a value in place of `{stub}`, then run the "
                    "cells again.",
                )
            value = answer
            answer = lambda: value  # noqa: E731
        if not callable(answer):
            kind = type(answer).__name__
            return Verdict(
                "failed",
                f"`{self.answer or self.name}` is of type `{kind}`; a function or class is expected.",
            )
        try:
            task = self.task()
            if problem := self._signature_problem(answer, task.cases[0].inputs):
                return Verdict("failed", problem)
            return judge(task, answer)
        except (
            Exception,
            SystemExit,
        ) as error:  # not the learner's: those are caught where the answer is called
            return Verdict(
                "not checked",
                f"This check does not work, which is not your fault: {type(error).__name__}: {error}. Please tell your "
                "instructor.",
            )

    @property
    def secrets(self) -> list[Callable[..., Any]]:
        """What knows the right answer, or is part of it."""
        functions = (self.reference, self.variant, self.must_hold, *self.misconceptions)
        values = (value for _, value in self.slips)
        return [one for one in (*functions, *values) if callable(one)]

    def task(self) -> Task:
        """Return what is to be judged, with the hidden inputs."""
        through = self._memory.get("through")
        return Task(
            name=self.answer or self.name,
            cases=self._cases(),
            names=self._parameters,
            reference=self.reference,
            use=self.use if through is None else through(self.use),
            may_change=self.may_change,
            differ=differ(self.compare, self.rtol, self.atol),
            must_hold=self.must_hold,
            mistakes={**self.misconceptions, **with_pairs(self.slips, self.variant)},
            time_limit=self.time_limit,
            where=self._memory.get("where", ""),
        )

    @property
    def _parameters(self) -> list[str]:
        """The names of the inputs."""
        if self.use is call:
            if self.reference is not None:
                return list(inspect.signature(self.reference).parameters)
            assert self.must_hold is not None
            return list(inspect.signature(self.must_hold).parameters)[1:]
        return list(inspect.signature(self.use).parameters)[1:]

    def _signature_problem(self, answer: Callable[..., Any], case: Inputs) -> str | None:
        if self.use is not call:
            return None
        try:
            signature = inspect.signature(answer)
        except ValueError:  # some built-ins have no signature
            return None
        try:
            signature.bind(*case)
        except TypeError:
            wanted = ", ".join(self._parameters)
            return f"`{self.answer or self.name}` has the arguments `{signature}`, but is called with `({wanted})`."
        return None
