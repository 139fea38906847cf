"""The exact distribution of what a program returns that uses chance: every possible course is run once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from torch import Tensor

Result = TypeVar("Result", bound=Hashable)
_MOST_COURSES = 4000


class Chance:
    """The two questions that a program may ask of chance, answered along one prescribed course.

    Attributes
    ----------
    taken, probabilities
        Which of the answers was given to each question so far, and how probable each was.
    """

    def __init__(self, prescribed: list[int]) -> None:
        self._prescribed = prescribed
        self.taken: list[int] = []
        self.probabilities: list[list[float]] = []

    def __repr__(self) -> str:
        return "chance"

    def draw(self, probabilities: Tensor) -> int:
        """Return a number from 0 on, with these probabilities, ``(n,)``."""
        weights = [float(each) for each in probabilities]
        if not all(weight >= -1e-6 for weight in weights) or abs(sum(weights) - 1) > 1e-3:
            raise ValueError(
                f"these are no probabilities, as they add up to {sum(weights):.3g}: {[round(w, 3) for w in weights]}"
            )
        return self._take(weights)

    def happens(self, probability: float | Tensor) -> bool:
        """Return true with this probability."""
        given = float(probability)
        if not -1e-6 <= given <= 1 + 1e-6:
            raise ValueError(f"{given:.3g} is no probability")
        return self._take([1 - given, given]) == 1

    def _take(self, weights: list[float]) -> int:
        possible = [number for number, weight in enumerate(weights) if weight > 1e-9]
        at = len(self.taken)
        number = self._prescribed[at] if at < len(self._prescribed) else possible[0]
        self.taken.append(number)
        self.probabilities.append(weights)
        return number

    def next_course(self) -> list[int] | None:
        """Return the answers with which the next course begins, or None if this one was the last."""
        for at in reversed(range(len(self.taken))):
            later = [
                number
                for number, weight in enumerate(self.probabilities[at])
                if number > self.taken[at] and weight > 1e-9
            ]
            if later:
                return [*self.taken[:at], later[0]]
        return None


def distribution_of(program: Callable[[Chance], Result]) -> dict[Result, float]:
    """Return the probability of each result of a program that takes all chance from its argument.

    Raises
    ------
    RuntimeError
        If there are too many courses to go through.
    """
    found: dict[Result, float] = {}
    course: list[int] | None = []
    for _ in range(_MOST_COURSES):
        assert course is not None
        chance = Chance(course)
        result = program(chance)
        probability = 1.0
        for number, weights in zip(chance.taken, chance.probabilities, strict=True):
            probability *= weights[number]
        found[result] = found.get(result, 0.0) + probability
        course = chance.next_course()
        if course is None:
            return found
    raise RuntimeError(
        "chance is asked far more often than is needed: once per guess, and once per token to accept"
    )
