"""One notebook that is graded: its cells run in its process, and the answers are judged here, in the grader's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from minillm_lib.checks.assignment import Assignment
from minillm_lib.checks.by_value import ByValue
from minillm_lib.checks.exercise import Exercise
from minillm_lib.checks.grade_report import Mark
from minillm_lib.checks.guarded import TimeLimitError, call_with_time_limit
from minillm_lib.checks.limits import Limits
from minillm_lib.checks.registry import check
from minillm_lib.checks.remote_answer import SessionEndedError, answer_of, used_there
from minillm_lib.checks.result import CheckResult, Status
from minillm_lib.checks.submission import answers_in, code_cells, defines, plan
from minillm_lib.checks.submission_process import Session
from minillm_lib.checks.work_clock import longest

_PRELOADED = (
    "numpy", "scipy.sparse", "pandas", "matplotlib.pyplot", "seaborn", "sklearn", "torch", "minillm_lib.model",
    "minillm_lib.viz", "minillm_lib.topics", "minillm_lib.corpora",
)  # fmt: skip
_GRACE_SECONDS = 30.0
_SECONDS_TO_JUDGE = 300.0
_LONGEST_MESSAGE = 5000


@dataclass
class NotebookRun:
    """The steps of one notebook, and what is known of its answers so far.

    Attributes
    ----------
    found
        The marks of the exercises that have been checked.
    checking
        The exercise that is being checked, or was when the process ended.
    lost
        What was given up.
    """

    notebook: Mapping[str, Any]
    assignment: Assignment
    limits: Limits
    found: dict[str, Mark] = field(default_factory=dict)
    checking: str | None = None
    lost: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all exercises have been checked."""
        return len(self.found) == len(self.assignment.exercises)

    def go(self, session: Session) -> None:
        """Take all steps, as long as the process answers."""
        conversation, cell = session.conversation, 0
        again: dict[str, Any] = {}
        problems: dict[int, str] = {}
        self.checking = None
        try:
            session.conversation.request("begin", _GRACE_SECONDS, of_grader=_Pieces(self, again))
            steps = plan(dict(self.notebook), self._answers)
            final = max((index for index, (kind, _) in enumerate(steps) if kind == "check"), default=-1)
            for index, (kind, content) in enumerate(steps):
                if index > final and not again:
                    break
                if kind == "check":
                    if content not in self.found:
                        self._check(session, content, problems, again)
                    continue
                limit = self.limits.cell_time
                reply = conversation.request("run", limit + _GRACE_SECONDS, source=content, limit=limit)
                cell = self._cells.index(content, cell)
                if reply.get("problem"):
                    problems[cell] = str(reply["problem"])[:_LONGEST_MESSAGE]
                cell += 1
            for name, answer in again.items():  # what it needs may be defined after it
                self._judge(session, name, answer)
        except SessionEndedError:
            return

    @cached_property
    def _answers(self) -> dict[str, str]:
        return answers_in(dict(self.notebook), self.assignment.answers)

    @cached_property
    def _cells(self) -> list[str]:
        return code_cells(dict(self.notebook))

    def _check(self, session: Session, name: str, problems: Mapping[int, str], again: dict[str, Any]) -> None:
        answer = self._answers[name]
        reply = session.conversation.request("look", _GRACE_SECONDS, name=answer)
        if "unsendable" in reply or "error" in reply:
            self._note(name, "failed", f"`{answer}` is neither a function nor a value that can be read.")
            return
        if not reply.get("found"):
            self._note(name, "failed", self._undefined(answer, problems))
            return
        value = answer_of(reply)
        self._judge(session, name, value)
        if "NameError" in self.found[name].message:
            again[name] = value

    def _judge(self, session: Session, name: str, value: Any) -> None:
        self.checking = name
        result = judged(session, self._exercise(name), value)
        self._note(name, result.status, result.message, result.points)
        if result.status == "not checked":
            self.lost = f"`{name}` could not be checked: {result.message}"
        session.conversation.settle()
        self.checking = None

    def _undefined(self, answer: str, problems: Mapping[int, str]) -> str:
        cells = [index for index, source in enumerate(self._cells) if defines(source, answer)]
        for index in reversed(cells):
            if index in problems:
                why = problems[index].rstrip(".")
                return f"`{answer}` was not defined: code cell {index + 1}, which defines it, {why}."
        if cells:
            return f"`{answer}` was not defined when the notebook ran."
        if any(defines(source, answer) for source in code_cells(dict(self.notebook), ("markdown", "raw"))):
            return f"`{answer}` is in a cell that is no code cell, and does not run."
        return f"`{answer}` is not in the notebook."

    def lose(self, problem: str) -> None:
        """Give up the answer whose check ended the process."""
        assert self.checking is not None
        if self.checking not in self.found:
            self.lost = f"`{self.checking}`: {problem}"
            problem = f"it was {problem}" if problem.startswith("stopped") else problem
            self._note(self.checking, "failed", f"While your code was checked, {problem}.")

    def marks(self, problem: str) -> list[Mark]:
        """Return the marks of all exercises, also of those that were not reached."""
        for exercise in self.assignment.exercises:
            if exercise.name not in self.found:
                reason = f"Not reached: {problem or 'the process ended before it'}."
                self._note(exercise.name, "failed", reason)
        return [self.found[exercise.name] for exercise in self.assignment.exercises]

    def _note(self, name: str, status: Status, message: str, points: float = 0) -> None:
        maximum = self._exercise(name).points
        if len(message) > _LONGEST_MESSAGE:  # parts of it come from the submission
            message = f"{message[:_LONGEST_MESSAGE]}…"
        self.found[name] = Mark(name, status, message, min(points, maximum), maximum)

    def _exercise(self, name: str) -> Exercise:
        return next(exercise for exercise in self.assignment.exercises if exercise.name == name)


def judged(session: Session, exercise: Exercise, answer: Any) -> CheckResult:
    """Judge an answer that is in the process of a session.

    Raises
    ------
    SessionEndedError
        If the process ends meanwhile.
    """
    name, conversation = exercise.name, session.conversation
    conversation.begin_check(exercise.time_limit)
    # The limit is the conversation's, which knows how long the submission was kept waiting.
    exercise = replace(exercise, time_limit=longest(exercise.time_limit + _GRACE_SECONDS))
    session.keeper.secrets = exercise.secrets
    through = used_there if exercise.use_in_submission else None
    exercise = exercise.mark(where=f"check.{name}", through=through)
    try:
        result = call_with_time_limit(lambda: exercise(answer), exercise.time_limit + _SECONDS_TO_JUDGE)
    except TimeLimitError:
        result = CheckResult(name, "not checked", "Judging what the answer returns took too long.", 0)
    if conversation.ended:
        raise SessionEndedError
    if conversation.fault:
        result = CheckResult(name, "not checked", conversation.fault, 0)
        conversation.fault = ""
    return result


class _Pieces:
    """What the notebook asks for when it goes on with an answer, or with the library's in its place."""

    def __init__(self, run: NotebookRun, again: Mapping[str, Any]) -> None:
        self._run, self._again = run, again

    def passed(self, name: str) -> str | None:
        """Return the name of the learner's answer, if it has passed."""
        mark = self._run.found.get(name)
        return self._run._answers[name] if mark is not None and mark.passed else None

    def reference(self, name: str) -> Any:
        """Return the right answer to an exercise that has its marks, or belongs to another notebook of the course."""
        of_notebook = {exercise.name for exercise in self._run.assignment.exercises}
        if name in of_notebook and (name not in self._run.found or name in self._again):
            raise ValueError(f"check.{name} has not been judged yet")
        exercise = getattr(check, name)
        if exercise.reference is None:
            raise ValueError(f"check.{name} has no right answer of its own")
        return ByValue(exercise.reference) if exercise.in_course else exercise.reference


def modules_of(notebook: dict[str, Any]) -> list[str]:
    """Return which of the usual packages a notebook imports: they are imported once, and then used by all."""
    text = "\n".join(code_cells(notebook))
    return [
        name
        for name in _PRELOADED
        if re.search(rf"^[ \t]*(?:import|from)[ \t]+{name.partition('.')[0]}\b", text, re.MULTILINE)
        and (not name.startswith("minillm_lib.") or name.partition(".")[2] in text)
    ]
