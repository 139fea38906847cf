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

from minillm_lib.checks.comparing import difference
from minillm_lib.checks.guarded import TimeLimitError, call_with_time_limit, describe_error, is_stub
from minillm_lib.checks.result import CheckResult, Status

SEED_VARIABLE = "MINILLM_CHECK_SEED"
Inputs = tuple[Any, ...]


class CheckFailedError(AssertionError):
    """An answer that did not pass. It is raised only under nbgrader, which counts errors, instead of a result."""


def call(answer: Callable[..., Any], *inputs: Any) -> Any:
    """Use an answer in the simplest way: call it with the inputs."""
    return answer(*inputs)


@dataclass(frozen=True, kw_only=True, eq=False)
class Exercise:
    """An exercise; calling it with a learner's answer returns a :class:`~minillm_lib.checks.result.CheckResult`.

    Attributes
    ----------
    name
        Name of the exercise, and of the function or class that the learner writes.
    reference
        The right answer, of the same kind; preferably the library's own.
    inputs
        Draws the inputs of one case, a tuple, from a random generator. In messages they have the names of the
        parameters of ``reference`` (or of ``use``, if given).
    misconceptions
        Wrong answers, each with the message for a learner whose results equal those of the wrong answer. A message says
        what is wrong and where to look. The first one that applies is shown.
    points
        Points that the exercise is worth.
    cases
        Number of cases to draw.
    rtol, atol
        Relative and absolute tolerance for floating-point results.
    time_limit
        Seconds for all cases together.
    use
        Uses an answer that is not a plain function of the inputs: ``use(answer, *inputs)`` returns the value to
        compare. For a class, it creates an object and calls it.
    may_change
        Names of inputs that the answer may change in place. Random generators and modules may always be changed.
    compare
        Replaces :func:`~minillm_lib.checks.comparing.difference`: takes the result and the expected result, and returns
        a sentence about what is wrong, or None.
    """

    name: str
    reference: Callable[..., Any]
    inputs: Callable[[np.random.Generator], Inputs]
    misconceptions: Mapping[Callable[..., Any], str] = field(default_factory=dict)
    points: int = 1
    cases: int = 5
    rtol: float = 1e-4
    atol: float = 1e-6
    time_limit: float = 10.0
    use: Callable[..., Any] = call
    may_change: Sequence[str] = ()
    compare: Callable[[Any, Any], str | None] | None = None

    def __call__(self, answer: Any) -> CheckResult:
        """Judge an answer; errors that the answer raises become part of the result.

        Raises
        ------
        CheckFailedError
            Under nbgrader, if the answer does not pass.
        """
        status, message = self._judge(answer)
        result = CheckResult(self.name, status, message, self.points)
        if os.environ.get("NBGRADER_EXECUTION") and not result.passed:
            raise CheckFailedError(repr(result))
        return result

    def draw_cases(self) -> list[Inputs]:
        """Draw the hidden inputs, with the environment variable ``MINILLM_CHECK_SEED`` as the seed."""
        seed = int(os.environ.get(SEED_VARIABLE, "0"))
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        return [self.inputs(rng) for _ in range(self.cases)]

    def _judge(self, answer: Any) -> tuple[Status, str]:
        if not callable(answer):
            return (
                "failed",
                f"`{self.name}` is of type `{type(answer).__name__}`; a function or class is expected.",
            )
        cases = self.draw_cases()
        if problem := self._signature_problem(answer, cases[0]):
            return "failed", problem
        try:
            results, changed = call_with_time_limit(lambda: self._answers(answer, cases), self.time_limit)
        except TimeLimitError as error:
            return "failed", f"No answer after {self.time_limit:g} seconds. Is there an endless loop?{error}"
        except BaseException as error:
            if is_stub(error):
                return (
                    "not attempted",
                    "Not attempted yet: replace `raise NotImplementedError()`, then run the cells again.",
                )
            return "failed", f"Your code raised {describe_error(error)}"
        return self._verdict(results, changed, cases)

    def _answers(self, answer: Callable[..., Any], cases: Sequence[Inputs]) -> tuple[list[Any], str | None]:
        """Return the answer's results, and the name of an input that it changed but should not have changed."""
        results, changed = [], None
        for case in cases:
            inputs = copy.deepcopy(case)
            results.append(copy.deepcopy(_detached(self.use(answer, *inputs))))
            changed = changed or self._changed_input(case, inputs)
        return results, changed

    def _verdict(
        self, results: list[Any], changed: str | None, cases: Sequence[Inputs]
    ) -> tuple[Status, str]:
        expected, _ = self._answers(self.reference, cases)
        problems = [self._difference(got, right) for got, right in zip(results, expected, strict=True)]
        if not any(problems):
            if changed:
                return (
                    "failed",
                    f"The result is right, but `{changed}` was changed in place: work on a new array.",
                )
            return "passed", "Right."
        if message := self._misconception(results, cases):
            return "failed", message
        first = next(index for index, problem in enumerate(problems) if problem)
        problem = problems[first] or ""
        return "failed", f"{problem[0].upper()}{problem[1:]}{self._inputs_in_words(cases[first])}"

    def _misconception(self, results: list[Any], cases: Sequence[Inputs]) -> str | None:
        for wrong_answer, message in self.misconceptions.items():
            try:
                wrong_results, _ = self._answers(wrong_answer, cases)
            except Exception:  # a wrong answer may fail on some inputs: then it is not what the learner wrote
                continue
            if not any(self._difference(*pair) for pair in zip(results, wrong_results, strict=True)):
                return message
        return None

    def _difference(self, got: Any, expected: Any) -> str | None:
        if self.compare is not None:
            return self.compare(got, expected)
        return difference(got, expected, rtol=self.rtol, atol=self.atol)

    @property
    def _parameters(self) -> list[str]:
        """The names of the inputs."""
        if self.use is call:
            return list(inspect.signature(self.reference).parameters)
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
            return f"`{self.name}` has the arguments `{signature}`, but is called with `({wanted})`."
        return None

    def _changed_input(self, before: Inputs, after: Inputs) -> str | None:
        for name, old, new in zip(self._parameters, before, after, strict=False):
            is_data = isinstance(old, list | dict | np.ndarray) or hasattr(old, "dtype")
            if is_data and name not in self.may_change and difference(new, old, rtol=0, atol=0):
                return name
        return None

    def _inputs_in_words(self, case: Inputs) -> str:
        described = [
            f"`{name}` of shape {tuple(value.shape)}" if hasattr(value, "shape") else f"`{name}={value!r}`"
            for name, value in zip(self._parameters, case, strict=False)
        ]
        described = [text for text in described if len(text) < 100]
        return f"\nThe input was {', '.join(described)}." if described else ""


def _detached(value: Any) -> Any:
    """Return tensors without their history, because only such tensors can be copied."""
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(_detached, value))
    return value.detach() if hasattr(value, "detach") else value
