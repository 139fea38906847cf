"""Mistakes that are made together: every two slips of an exercise's variant become a wrong answer of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from minillm_lib.checks.matching import both

Slip = tuple[str, Any]


def with_pairs(
    slips: Mapping[Slip, str], variant: Callable[..., Any] | None
) -> dict[Callable[..., Any], str]:
    """Return the wrong answers that slips stand for, first each alone, then every two of different keywords."""
    if variant is None:
        return {}
    wrong: dict[Callable[..., Any], str] = {
        partial(variant, **{keyword: value}): message for (keyword, value), message in slips.items()
    }
    for (one, first), (other, second) in itertools.combinations(slips.items(), 2):
        if one[0] != other[0]:
            wrong[partial(variant, **dict([one, other]))] = both(first, second)
    return wrong
