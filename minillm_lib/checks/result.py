"""The result of a check, and hints: how they read as text and in a notebook."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

Status = Literal["passed", "failed", "not attempted", "not checked"]
"""``"not checked"``: the check itself does not work, so that nothing is known of the answer."""

# JupyterLab's own colours if the page defines them; the fallbacks are readable on white and on black
_COLOURS: dict[Status, str] = {
    "passed": "var(--jp-success-color1, #2e9e4f)",
    "failed": "var(--jp-error-color1, #e0503f)",
    "not attempted": "var(--jp-ui-font-color2, #808080)",
    "not checked": "var(--jp-warn-color1, #c98a1b)",
}
_MARKS: dict[Status, str] = {"passed": "✓", "failed": "✗", "not attempted": "○", "not checked": "!"}
_HINT_COLOUR = "var(--jp-info-color1, #2f7fc1)"


@dataclass(frozen=True, repr=False)
class CheckResult:
    """The outcome of one exercise.

    Attributes
    ----------
    status
        Whether the answer is right.
    message
        Explains the status, with code in backticks and emphasis between asterisks.
    function
        The learner's own answer if it passed, the library's otherwise: what the notebook goes on with. None where
        submissions are graded.
    """

    exercise: str
    status: Status
    message: str
    max_points: float = 1
    function: Any = field(default=None, compare=False)

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.status == "passed"

    @property
    def points(self) -> float:
        """Points reached: all or none."""
        return self.max_points if self.passed else 0

    @property
    def whose(self) -> Literal["yours", "the library's"]:
        """Whose code :attr:`function` is."""
        return "yours" if self.passed else "the library's"

    def __repr__(self) -> str:
        noun = "point" if self.max_points == 1 else "points"
        return (
            f"{self.exercise}: {self.status}, {self.points:g} of {self.max_points:g} {noun}. {self.message}"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show it as text in a notebook: under nbgrader by its points, which are then the marks of the cell."""
        printer.text(f"{self.points:g}" if os.environ.get("NBGRADER_EXECUTION") else repr(self))

    def _repr_html_(self) -> str:
        points = f"{self.points:g} of {self.max_points:g}"
        head = f"{_MARKS[self.status]} {self.status}"
        return _box(_COLOURS[self.status], head, self.exercise, points, self.message)


@dataclass(frozen=True, repr=False)
class Hint:
    """A hint, the ``number``-th of ``total``; the number is 0 if there are no more hints, as ``text`` then says."""

    exercise: str
    text: str
    number: int = 0
    total: int = 0

    def __repr__(self) -> str:
        number = f" hint {self.number} of {self.total}:" if self.number else ""
        return f"{self.exercise}:{number} {self.text}"

    def _repr_html_(self) -> str:
        head = f"hint {self.number} of {self.total}" if self.number else "hint"
        return _box(_HINT_COLOUR, head, self.exercise, "", self.text)


_MARKED = re.compile(r"`([^`]+)`|(?<![\w*])\*(?![\s*])((?:`[^`]+`|[^*`])+?)(?<![\s*])\*(?![\w*])")


def _marked(text: str) -> str:
    """Return HTML with code and *emphasis* in it; a star in code or between factors stays one."""
    return _MARKED.sub(
        lambda match: f"<code>{match[1]}</code>" if match[1] else f"<em>{_marked(match[2])}</em>", text
    )


def _box(colour: str, head: str, exercise: str, right: str, text: str) -> str:
    message = _marked(escape(text)).replace("\n", "<br>")
    return (
        f'<div style="border-left: 4px solid {colour}; padding: 0.3em 0.8em; line-height: 1.5">'
        f'<span style="color: {colour}; font-weight: 600">{head}</span>'
        f" · <code>{escape(exercise)}</code>{f' · {right}' if right else ''}"
        f"<br>{message}</div>"
    )
