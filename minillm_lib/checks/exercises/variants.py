"""Answers that can go wrong in several ways, for the slips of an exercise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def variant(build: Callable[..., Callable[..., Any]]) -> Callable[..., Any]:
    """Return the function of inputs and options that calls ``build(**options)(*inputs)``."""

    def answer(*inputs: Any, **options: Any) -> Any:
        return build(**options)(*inputs)

    return answer
