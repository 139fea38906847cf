"""The finding of a check, and how serious it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "unsure", "look", "wrong"]
"""How serious a finding is, from good to bad; ``"unsure"`` means that the metrics cannot tell."""

SEVERITIES: tuple[Severity, ...] = ("ok", "unsure", "look", "wrong")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    about
        What was checked, such as ``"learning rate"``.
    severity
        How serious it is.
    found, advice
        What was found, and what to look at and try; the advice may be empty.
    """

    about: str
    severity: Severity
    found: str
    advice: str = ""


def worst(severities: list[Severity]) -> Severity:
    """Return the most serious of several severities; ``"ok"`` for none."""
    return max(severities, key=SEVERITIES.index, default="ok")


def signed(value: float, digits: int = 2) -> str:
    """Format a difference with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")
