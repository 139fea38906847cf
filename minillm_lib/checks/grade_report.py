"""What grading finds out about one submission."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minillm_lib.checks.result import Status


@dataclass(frozen=True)
class Mark:
    """What one exercise of one submission is worth, and why; ``message`` has code in backticks.

    Where the ``status`` is "not checked", the check itself did not work, and ``points`` say nothing.
    """

    exercise: str
    status: Status
    message: str
    points: float
    max_points: float

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.status == "passed"

    def __str__(self) -> str:
        noun = "point" if self.max_points == 1 else "points"
        return (
            f"{self.exercise}: {self.status}, {self.points:g} of {self.max_points:g} {noun}. {self.message}"
        )


@dataclass(frozen=True)
class GradeReport:
    """The grade of one submission.

    Attributes
    ----------
    results
        One mark per exercise; none if the submission could not be graded.
    problem
        What prevented the complete submission from running, or from being graded; empty if nothing did.
    seconds
        Duration of the run.
    is_graded
        False if it could not be graded, which is not the same as 0 points.
    graded_as
        Which notebook of the course it was graded as, and how that was found out; empty if an assignment was given.
    """

    path: Path
    results: tuple[Mark, ...]
    problem: str = ""
    seconds: float = 0.0
    is_graded: bool = True
    graded_as: str = ""

    @property
    def points(self) -> float:
        """Total number of points reached."""
        return sum(result.points for result in self.results)

    @property
    def max_points(self) -> float:
        """Total number of points that can be reached."""
        return sum(result.max_points for result in self.results)

    def __str__(self) -> str:
        if not self.is_graded:
            return f"{self.path.name}: could not be graded: {self.problem}"
        lines = [
            f"{self.path.name}: {self.points:g} of {self.max_points:g} points",
            *([f"Graded as {self.graded_as}."] if self.graded_as else []),
            *map(str, self.results),
        ]
        return "\n".join([*lines, *([f"Note: {self.problem}"] if self.problem else [])])
