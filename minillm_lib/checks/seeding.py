"""The seed of the hidden inputs, for a block of code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from minillm_lib.checks.exercise import SEED_VARIABLE


@contextmanager
def hidden_inputs_from(seed: int) -> Iterator[None]:
    """Draw the hidden inputs of all exercises from this seed."""
    before = os.environ.get(SEED_VARIABLE)
    os.environ[SEED_VARIABLE] = str(seed)
    try:
        yield
    finally:
        del os.environ[SEED_VARIABLE]
        if before is not None:
            os.environ[SEED_VARIABLE] = before
