"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "unsure", "look", "wrong"]
"""From good to bad; ``"unsure"`` is said where the metrics cannot tell."""

SEVERITIES: tuple[Severity, ...] = ("ok", "unsure", "look", "wrong")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is about, how it stands, what was found, and what to look at and try."""

    about: str
    severity: Severity
    found: str
    advice: str = ""


def worst(severities: list[Severity]) -> Severity:
    """The gravest of some severities; ``"ok"`` of none."""
    return max(severities, key=SEVERITIES.index, default="ok")


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")
