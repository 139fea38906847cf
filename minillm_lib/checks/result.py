"""The result of a check."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Literal

Status = Literal["passed", "failed", "not attempted"]

# JupyterLab's own colours if the page defines them; the fallbacks are readable on white and on black
_COLOURS: dict[Status, str] = {
    "passed": "var(--jp-success-color1, #2e9e4f)",
    "failed": "var(--jp-error-color1, #e0503f)",
    "not attempted": "var(--jp-ui-font-color2, #808080)",
}
_MARKS: dict[Status, str] = {"passed": "✓", "failed": "✗", "not attempted": "○"}


@dataclass(frozen=True, repr=False)
class CheckResult:
    """The outcome of one exercise: a ``status``, and a ``message`` that explains it, with code in backticks."""

    exercise: str
    status: Status
    message: str
    max_points: int = 1

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.status == "passed"

    @property
    def points(self) -> int:
        """Points reached: all or none."""
        return self.max_points if self.passed else 0

    def __repr__(self) -> str:
        noun = "point" if self.max_points == 1 else "points"
        return f"{self.exercise}: {self.status}, {self.points} of {self.max_points} {noun}. {self.message}"

    def _repr_html_(self) -> str:
        colour = _COLOURS[self.status]
        message = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(self.message)).replace("\n", "<br>")
        return (
            f'<div style="border-left: 4px solid {colour}; padding: 0.3em 0.8em; line-height: 1.5">'
            f'<span style="color: {colour}; font-weight: 600">{_MARKS[self.status]} {self.status}</span>'
            f" · <code>{escape(self.exercise)}</code> · {self.points} of {self.max_points}"
            f"<br>{message}</div>"
        )
