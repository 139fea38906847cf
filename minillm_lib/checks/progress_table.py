"""Which exercises of the course are passed, attempted and open, by notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from minillm_lib.checks.progress_file import read_progress
from minillm_lib.checks.registry import COURSE

STATES = ("passed", "attempted", "open")
_MARKS = {"passed": "✓", "attempted": "✗", "open": "○"}
_COLOURS = {
    "passed": "var(--jp-success-color1, #2e9e4f)",
    "attempted": "var(--jp-error-color1, #e0503f)",
    "open": "var(--jp-ui-font-color2, #808080)",
}


@dataclass(frozen=True, repr=False)
class Progress:
    """The state of every exercise, by notebook and name: ``"passed"``, ``"attempted"`` or ``"open"``."""

    notebooks: Mapping[str, Mapping[str, str]]

    def count(self, state: str, notebook: str | None = None) -> int:
        """Return how many exercises are in a state, in one notebook or in all."""
        chosen = self.notebooks.values() if notebook is None else [self.notebooks[notebook]]
        return sum(list(states.values()).count(state) for states in chosen)

    @property
    def total(self) -> int:
        """Number of exercises in the course."""
        return sum(map(len, self.notebooks.values()))

    @property
    def summary(self) -> str:
        """How many exercises are passed, attempted and open, in a line."""
        return (
            f"{self.count('passed')} of {self.total} exercises passed, {self.count('attempted')} attempted, "
            f"{self.count('open')} open"
        )

    def rows(self) -> list[tuple[str, str, Sequence[tuple[str, str]]]]:
        """Return for each notebook its name, its count, and its exercises with their states."""
        return [
            (notebook, f"{self.count('passed', notebook)} of {len(states)}", list(states.items()))
            for notebook, states in self.notebooks.items()
        ]

    def __repr__(self) -> str:
        width = max(map(len, self.notebooks))
        lines = [
            f"{notebook:<{width}}  {count}  "
            + "  ".join(f"{_MARKS[state]} {name}" for name, state in exercises)
            for notebook, count, exercises in self.rows()
        ]
        return "\n".join([*lines, self.summary])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align: left">{escape(notebook)}</td><td>{count}</td>'
            f'<td style="text-align: left">{" &nbsp; ".join(map(_exercise_html, exercises))}</td></tr>'
            for notebook, count, exercises in self.rows()
        )
        head = "<tr><th>notebook</th><th>passed</th><th>exercises</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table><p>{escape(self.summary)}</p>"


def _exercise_html(exercise: tuple[str, str]) -> str:
    name, state = exercise
    return f'<span style="color: {_COLOURS[state]}" title="{state}">{_MARKS[state]} {escape(name)}</span>'


def progress() -> Progress:
    """Return which exercises of the course are passed, attempted and open; a notebook shows it as a table.

    It is kept in a file of your own: see :func:`~minillm_lib.checks.progress_file.progress_file`.
    """
    known = read_progress()
    return Progress(
        {book: {name: known.get(name, "open") for name in names} for book, names in COURSE.items()}
    )
