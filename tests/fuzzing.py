"""What the fuzzing of parsers shares: odd values, damaged texts, and what any input must give."""

from __future__ import annotations

import io
import os
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st

from minillm_lib.cli.failures import UNFORESEEN, status_of

SECONDS = 5
_HUGE = [0, -1, 1, 2**31, 2**63, 10**30, -(10**30)]
_ODD = ["", " ", "\x00", "\ud800", "\x1b[2J", "../..", "nan", "1e999", "null", "\U0010ffff", "a" * 5000]

numbers = st.one_of(
    st.integers(), st.sampled_from(_HUGE), st.floats(), st.sampled_from([float("nan"), float("inf"), 1e-320])
)
texts = st.one_of(st.text(max_size=30), st.sampled_from(_ODD))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
"""Anything that JSON can hold, and what Python writes as JSON though it cannot."""


def fuzzed(n: int) -> Callable[[Any], Any]:
    """Return a decorator: ``n`` examples, each of which may take five seconds."""
    health = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=n, deadline=SECONDS * 1000, suppress_health_check=health)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a copy of some bytes of which pieces are changed, cut out, doubled or replaced."""
    result = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(result) - 1, 0)))
        end = min(start + draw(st.integers(1, 40)), len(result))
        how = draw(st.sampled_from(("change", "cut", "double", "replace", "truncate")))
        if how == "change" and end > start:
            result[start] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del result[start:end]
        elif how == "double":
            result[start:start] = result[start:end] * draw(st.integers(1, 50))
        elif how == "replace":
            result[start:end] = draw(st.binary(max_size=20))
        elif how == "truncate":
            del result[start:]
    return bytes(result)


def succeeds_or_speaks(function: Callable[[], Any]) -> Any:
    """Call a function, and return its result, or the sentence in which the command would say its error.

    An error that nobody foresaw is passed on, and so is a lack of memory, as :func:`scarce_memory` makes one of any
    greed. A warning says what is left out, and is no error.
    """
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()) as said:
        warnings.simplefilter("ignore")
        try:
            return function()
        except MemoryError:
            raise
        except Exception as error:
            if status_of(error) == UNFORESEEN:
                raise
    sentence = said.getvalue().strip().removeprefix("error: ")
    assert sentence, "an error says nothing"
    assert len(sentence) < 20_000, f"a sentence of {len(sentence):,} characters: {sentence[:200]}"
    return sentence


@contextmanager
def scarce_memory(n_bytes: int = 1 << 30) -> Iterator[None]:
    """Let this process have only so much more address space than it has."""
    if not sys.platform.startswith("linux"):
        yield
        return
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture
def little_memory() -> Iterator[None]:
    with scarce_memory():
        yield
