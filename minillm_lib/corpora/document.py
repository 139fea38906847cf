"""The unit that every corpus yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """A text, where it came from, and what is known about it.

    ``source`` names the corpus and, where there is one, the place inside it (an address, a file and line).
    ``meta`` holds facts such as ``year``, ``title``, ``authors`` and ``address``.
    """

    text: str
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
