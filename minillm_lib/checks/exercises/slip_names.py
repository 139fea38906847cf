"""Short names for slips: ``"mean:sum"`` is the slip ``mean="sum"`` of a variant, and ``"sign"`` is ``sign=True``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def named(messages: Mapping[str, str]) -> dict[tuple[str, Any], str]:
    """Return the ``slips`` of an exercise, given their messages by name."""
    return {(name.partition(":")[0], name.partition(":")[2] or True): text for name, text in messages.items()}


def made(slips: Mapping[str, Any]) -> Callable[[str], bool]:
    """Return a function that says whether a slip is among the keyword arguments of a variant."""
    names = {keyword if value is True else f"{keyword}:{value}" for keyword, value in slips.items()}
    return names.__contains__
