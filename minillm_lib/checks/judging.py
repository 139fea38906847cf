"""Judge an answer: run it, compare its results, and find the message that helps most."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from minillm_lib.checks import kinds
from minillm_lib.checks.comparing import difference
from minillm_lib.checks.deadline import Deadline, longest
from minillm_lib.checks.diagnoses.general import Failure, diagnose
from minillm_lib.checks.diagnoses.other_inputs import right_for_other_inputs
from minillm_lib.checks.explaining import (
    error_in_words,
    inputs_in_words,
    nothing_returned,
    size,
    value_in_words,
)
from minillm_lib.checks.guarded import (
    TimeLimitError,
    call_with_time_limit,
    code_of_instructor,
    is_stub,
    quiet,
)
from minillm_lib.checks.matching import Mistake, Observed, recognise, recognise_and_more, recognise_two
from minillm_lib.checks.probing import Call, ignored_input, wrong_scaling
from minillm_lib.checks.result import Status
from minillm_lib.checks.running import Case, Inputs, Outcome, is_comparable, loosened, run

_SECONDS_TO_PROBE = 1.5


@dataclass(frozen=True)
class Verdict:
    """The status of an answer, the message to the learner, and the smallest case that failed, if any did."""

    status: Status
    message: str
    failing: Inputs | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be judged: see :class:`~minillm_lib.checks.exercise.Exercise`."""

    name: str
    cases: Sequence[Case]
    names: Sequence[str]
    reference: Callable[..., Any] | None
    must_hold: Callable[..., str | None] | None
    use: Callable[..., Any]
    may_change: Sequence[str]
    differ: Callable[[Any, Any], str | None]
    mistakes: Mapping[Callable[..., Any], str]
    time_limit: float
    where: str = ""

    def run(
        self, answer: Callable[..., Any], cases: Sequence[Case], into: list[Outcome] | None = None
    ) -> list[Outcome]:
        """Use an answer on cases."""
        return run(
            self.use, answer, cases, names=self.names, may_change=self.may_change, into=into, own=self.own
        )

    def outcome_of(self, mistake: Callable[..., Any]) -> Callable[[int], Outcome]:
        """Return a function of the index of a case, which gives what comes out of a mistake there."""
        return lambda index: run(self.use, mistake, [self.cases[index]], names=())[0]

    @property
    def own(self) -> tuple[Callable[..., Any] | None, ...]:
        """The functions of the instructor that may be called while an answer is used, or lie beside those."""
        return self.use, self.reference, self.must_hold

    def by_name(self, inputs: Inputs) -> dict[str, Any]:
        """Return the inputs of a case by their names."""
        return dict(zip(self.names, inputs, strict=False))


def judge(task: Task, answer: Callable[..., Any]) -> Verdict:
    """Run an answer on all cases, and compare; whatever it does becomes part of the verdict."""
    if all(case.edge for case in task.cases):  # nothing is drawn: then these are the usual inputs
        task = replace(task, cases=[Case(case.inputs) for case in task.cases])
    outcomes: list[Outcome] = []
    try:
        call_with_time_limit(
            lambda: task.run(answer, task.cases, outcomes),
            task.time_limit,
            instructors=lambda: code_of_instructor(task.own, answer),
        )
    except TimeLimitError as error:
        inputs = task.cases[min(len(outcomes), len(task.cases) - 1)].inputs
        described = inputs_in_words(task.by_name(inputs))
        message = (
            f"No answer after {error.seconds or task.time_limit:g} seconds. Is there an endless loop?{error}"
        )
        return Verdict("failed", f"{message}\nThe input was {described}." if described else message, inputs)
    if outcomes and outcomes[-1].error is not None and is_stub(outcomes[-1].error):
        return Verdict(
            "not attempted",
            "Not attempted yet: replace `raise NotImplementedError()`, then run the cells again.",
        )
    with quiet():
        if task.must_hold is not None and (verdict := _check_what_must_hold(task, outcomes)):
            return verdict
        return Verdict("passed", "Right.") if task.reference is None else _compare(task, answer, outcomes)


def _check_what_must_hold(task: Task, outcomes: list[Outcome]) -> Verdict | None:
    """Return the verdict on an answer that raises errors, or whose results lack what must hold; None if all is well."""
    assert task.must_hold is not None
    for case, outcome in zip(task.cases, outcomes, strict=False):
        inputs = copy.deepcopy(case.inputs)
        problem = None if outcome.error is not None else what_must_hold(task.must_hold, outcome.value, inputs)
        if outcome.error is not None or problem:
            said = error_in_words(outcome.error) if outcome.error is not None else _sentence(problem or "")
            return Verdict("failed", f"{said}{_case_in_words(task, case.inputs, outcome, None)}", case.inputs)
        if outcome.changed:
            copied = _copy(task, outcome.changed)
            return Verdict("failed", f"`{outcome.changed}` was changed in place: {copied}", case.inputs)
    return None


def what_must_hold(check: Callable[..., str | None], value: Any, inputs: Inputs) -> str | None:
    """Return what is wrong with a result, or None; mistakes of the check itself are raised."""
    inspect.signature(check).bind(value, *inputs)  # else the error would look like one about the result
    try:
        found = check(value, *inputs)
    except NameError:
        raise
    except (Exception, SystemExit) as error:  # a result of a type that the check did not foresee
        return (
            f"the result is {kinds.kind(value)}, which cannot be looked at ({type(error).__name__}: {error})."
        )
    if found is not None and not isinstance(found, str):
        raise TypeError(
            f"must_hold returned {found!r:.60}; it must return what is wrong with the result, in words, or None"
        )
    return found


def _compare(task: Task, answer: Callable[..., Any], outcomes: list[Outcome]) -> Verdict:
    assert task.reference is not None
    right = task.run(task.reference, task.cases)
    for outcome in right:
        if outcome.error is not None:
            raise outcome.error
    values = loosened([outcome.value for outcome in right])
    expected = [Outcome(value) for value in values]
    problems = [_problem(task, got, value) for got, value in zip(outcomes, values, strict=True)]
    changed = next((got.changed for got in outcomes if got.changed), None)
    if not any(problems):
        if changed:
            return Verdict(
                "failed", f"The result is right, but `{changed}` was changed in place: {_copy(task, changed)}"
            )
        return Verdict("passed", "Right.")
    wrong = [index for index, problem in enumerate(problems) if problem]
    smallest = min(wrong, key=lambda index: size(task.cases[index].inputs))
    failing = task.cases[smallest].inputs
    observed = Observed(task.cases, outcomes, expected, task.names, task.differ)
    mistakes = [
        Mistake(message, task.outcome_of(wrong), is_slip=isinstance(wrong, partial))
        for wrong, message in task.mistakes.items()
    ]
    if message := recognise(observed, mistakes) or _another_result(task, answer, outcomes, wrong):
        return Verdict("failed", message, failing)
    message = _unknown_mistake(task, answer, observed, mistakes, wrong)
    if message is None:
        of_shape = kinds.shape(outcomes[smallest].value) == kinds.shape(values[smallest])
        look_on = of_shape and not observed.constant
        scaled = _probed(task, answer, outcomes, wrong_scaling) if look_on else None
        said = scaled or _in_all_cases(observed, wrong, smallest) or _sentence(problems[smallest] or "")
        case = _case_in_words(task, failing, outcomes[smallest], values[smallest], even_short=bool(scaled))
        message = f"{said}{case}"
    elif changed:
        message += f" Besides, `{changed}` is changed in place: {_copy(task, changed)}"
    return Verdict("failed", message, failing)


def _copy(task: Task, name: str) -> str:
    value = next((task.by_name(case.inputs).get(name) for case in task.cases), None)
    return "work on a new array." if kinds.is_array(value) else "work on a copy."


def _problem(task: Task, got: Outcome, expected: Any) -> str | None:
    return error_in_words(got.error) if got.error is not None else task.differ(got.value, expected)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _unknown_mistake(
    task: Task, answer: Callable[..., Any], observed: Observed, mistakes: Sequence[Mistake], wrong: list[int]
) -> str | None:
    """Return a message that is true of all cases that failed, or None."""
    outcomes, values = observed.outcomes, [outcome.value for outcome in observed.expected]
    usual = [index for index in wrong if not task.cases[index].edge]
    edges = list(dict.fromkeys(task.cases[index].edge for index in wrong if task.cases[index].edge))
    some_right = len(wrong) < len(outcomes)
    returned = [index for index in wrong if outcomes[index].error is None]
    if not returned or (usual and not set(usual) & set(returned)):
        return _raised(task, outcomes, usual or wrong, "" if usual else _listed(edges))
    if all(outcomes[index].value is None for index in returned) and values[returned[0]] is not None:
        return nothing_returned(answer, task.name)
    failures = {
        index: Failure(outcomes[index].value, values[index], task.by_name(task.cases[index].inputs))
        for index in returned
    }
    every = list(failures.values())
    found = diagnose(every, some_right=some_right, certain=True)
    misshapen = all(kinds.shape(one.got) != kinds.shape(one.expected) for one in every)
    if not usual:
        return _only_at_edges(task, found or diagnose(every, some_right=True), edges, failures)
    return (
        found
        or recognise_two(observed, mistakes)
        or (None if observed.constant else _other_inputs(task, failures))
        or recognise_and_more(observed, mistakes)
        or (diagnose(every, some_right=some_right) if misshapen or observed.constant else None)
        or (None if observed.constant else _probed(task, answer, outcomes, _ignored))
        or diagnose(every, some_right=some_right)
        or _most(task, failures, some_right)
    )


def _raised(task: Task, outcomes: Sequence[Outcome], wrong: list[int], edges: str) -> str:
    """Explain an error that ended all cases that failed; ``edges`` names them if they are special."""
    first = wrong[0]
    error = outcomes[first].error
    assert error is not None
    said = error_in_words(error)
    if len(wrong) == len(outcomes):
        return said
    if edges:
        return f"For usual inputs the result is right, but not for {edges}. {said}"
    return f"{said}\nThe input was {inputs_in_words(task.by_name(task.cases[first].inputs))}."


def _other_inputs(task: Task, failures: Mapping[int, Failure]) -> str | None:
    """Say which inputs the results would be right for, if that explains all that were drawn."""
    assert task.reference is not None
    right = task.reference

    def reference(inputs: Mapping[str, Any]) -> Any:
        outcome = task.run(right, [Case(tuple(inputs.values()))])[0]
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    drawn = [
        (one.inputs, one.got, one.expected) for index, one in failures.items() if not task.cases[index].edge
    ]
    return right_for_other_inputs(
        drawn,
        reference,
        lambda one, other: task.differ(one, other) is None,
        Deadline(_SECONDS_TO_PROBE),
    )


def _only_at_edges(task: Task, found: str | None, edges: list[str], failures: Mapping[int, Failure]) -> str:
    index, one = next(iter(failures.items()))
    got, right = value_in_words(one.got), value_in_words(one.expected)
    if found is None and got and right and got != right:
        found = f"There it is `{got}`, where `{right}` should be."
    elif found is None:
        found = _sentence(task.differ(one.got, one.expected) or "")
    described = inputs_in_words(task.by_name(task.cases[index].inputs))
    found = found.replace(", where it is wrong,", " there")
    said = f"For usual inputs the result is right, but not for {_listed(edges)}. {found}"
    return f"{said}\nSuch an input is {described}." if described else said


def _listed(names: Sequence[str]) -> str:
    if len(names) > 3:
        names = [*names[:3], f"{len(names) - 3} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _most(task: Task, failures: Mapping[int, Failure], some_right: bool) -> str | None:
    """Look for what is true of the drawn cases, or else of those with results of the most frequent shape."""
    drawn = [one for index, one in failures.items() if not task.cases[index].edge]
    groups: dict[Any, list[Failure]] = {}
    for one in failures.values():
        groups.setdefault(
            (kinds.kind(one.got), getattr(one.expected, "ndim", None), getattr(one.got, "ndim", None)), []
        ).append(one)
    for group in (drawn, max(groups.values(), key=len)):
        if 1 < len(group) < len(failures) and (found := diagnose(group, some_right=some_right)):
            return f"In {len(group)} of the {len(failures)} cases that are wrong: {found}"
    return None


def _probed(
    task: Task,
    answer: Callable[..., Any],
    outcomes: Sequence[Outcome],
    look: Callable[[Sequence[Inputs], Sequence[Outcome], Call, Call, Sequence[str], Deadline], str | None],
) -> str | None:
    """Return what trying the answer on further inputs shows, made of those of the cases."""
    assert task.reference is not None
    right = task.reference
    # the inputs of edge cases may be exchanged, but 0 cannot be doubled
    tried = [index for index, case in enumerate(task.cases) if look is _ignored or not case.edge]
    deadline = Deadline(_SECONDS_TO_PROBE)

    def probe() -> str | None:
        return look(
            [task.cases[index].inputs for index in tried],
            [outcomes[index] for index in tried],
            lambda inputs: task.run(answer, [Case(inputs)])[0],
            lambda inputs: task.run(right, [Case(inputs)])[0],
            task.names,
            deadline,
        )

    try:
        return call_with_time_limit(probe, longest(_SECONDS_TO_PROBE))
    except (Exception, SystemExit):
        return None


def _ignored(*tried: Any) -> str | None:
    """Say that the result does not depend on an input, if so."""
    name = ignored_input(*tried)
    return (
        f"The result does not depend on `{name}`: it stays the same when `{name}` changes." if name else None
    )


def _another_result(
    task: Task, answer: Callable[..., Any], outcomes: Sequence[Outcome], wrong: Sequence[int]
) -> str | None:
    """Say that a second call with the same input returns something else, which that of the right answer does not."""
    assert task.reference is not None
    right, deadline = task.reference, Deadline(_SECONDS_TO_PROBE)

    def equal(one: Any, other: Any) -> bool:
        return difference(other, one, rtol=1e-5, atol=1e-8) is None

    def returns_another(function: Callable[..., Any], index: int, first: Outcome) -> tuple[Any, Any] | None:
        second = task.run(function, [task.cases[index]])[0]
        if first.error is not None or second.error is not None:
            return None
        values = first.value, second.value
        if not all(is_comparable(value) and equal(value, value) for value in values):
            return None  # two objects are never equal, nor is a tensor without values
        return None if equal(*values) else values

    def look() -> str | None:
        for index in wrong:
            if deadline.passed:
                return None
            if (values := returns_another(answer, index, outcomes[index])) is None:
                continue
            if returns_another(right, index, task.run(right, [task.cases[index]])[0]):
                return None
            first, then = (value_in_words(value, limit=60) for value in values)
            example = f": first `{first}`, then `{then}`" if first and then and first != then else ""
            return (
                f"Called twice with the same input, `{task.name}` returns two different results{example}. Does it "
                "draw at random, or use something that an earlier call has changed? The result must depend on the "
                "input alone."
            )
        return None

    try:
        return call_with_time_limit(look, longest(_SECONDS_TO_PROBE))
    except (Exception, SystemExit):
        return None


def _in_all_cases(observed: Observed, wrong: list[int], smallest: int) -> str | None:
    """Say whether numbers are too large or too small throughout, and where they are right; with an example."""
    single = []
    for index in wrong if observed.names else ():
        got, right = (
            kinds.values(observed.outcomes[index].value),
            kinds.values(observed.expected[index].value),
        )
        if got is None or right is None or got.dtype.kind != "f" or not got.shape == right.shape == ():
            return None
        single.append((float(got), float(right)))
    edges = [case.edge for index, case in enumerate(observed.cases) if case.edge and index not in wrong]
    small, large = all(got < right for got, right in single), all(got > right for got, right in single)
    if len(single) < 3 or not (small or large or edges):
        return None
    size = "too small" if small else "too large" if large else "wrong"
    one, other = (kinds.number(values[smallest].value) for values in (observed.outcomes, observed.expected))
    example = f"it is {kinds.number_text(one, other)} where {kinds.number_text(other, one)} should be"
    but = f" It is right for {_listed(edges)}." if edges else ""
    return (
        f"The result is {size} in {len(wrong)} of {len(observed.cases)} cases. For example, {example}.{but}"
    )


def _case_in_words(task: Task, failing: Inputs, got: Outcome, right: Any, even_short: bool = False) -> str:
    """Return the smallest case that failed: what was put in, what came out, and how to get hold of it.

    Short results stand in the sentence before, unless ``even_short`` says that they are needed here.
    """
    lines = []
    if described := inputs_in_words(task.by_name(failing)):
        lines.append(f"The input was {described}.")
    if got.error is None and right is not None:
        mine, wanted = value_in_words(got.value), value_in_words(right)
        if mine and wanted and mine != wanted and (even_short or max(len(mine), len(wanted)) > 24):
            lines.append(f"Yours: `{mine}`\nRight: `{wanted}`")
    if task.where and failing:
        lines.append(
            f"`args = {task.where}.failing_input` gives you this input; then call `{task.name}(*args)`."
        )
    return "".join(f"\n{line}" for line in lines)


def differ(
    compare: Callable[[Any, Any], str | None] | None, rtol: float, atol: float
) -> Callable[[Any, Any], str | None]:
    """Return what compares two results, and never raises."""
    if compare is None:
        return lambda got, expected: difference(got, expected, rtol=rtol, atol=atol)

    def own(got: Any, expected: Any) -> str | None:
        try:
            return compare(got, expected)
        except (
            Exception,
            SystemExit,
        ) as error:  # a result of a type that the exercise's own comparison did not foresee
            plain = difference(got, expected, rtol=rtol, atol=atol)
            return (
                plain
                or f"the result is {kinds.kind(got)}, which cannot be compared ({type(error).__name__}: {error})."
            )

    return own
