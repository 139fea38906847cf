"""Work for a process of its own, see test_io_limited.py; it imports little, as that process does too."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from minillm_lib.corpora.reading.report import Unusable


def count(n: int) -> Iterator[tuple[int, int]]:
    for number in range(n):
        yield number, os.getpid()


def fill(n_bytes: int) -> Iterator[int]:
    yield len(bytearray(n_bytes))


def spin() -> Iterator[int]:
    while True:
        pass
    yield 1


def crash() -> Iterator[int]:
    yield 1
    ctypes.string_at(0)


def leave(status: int) -> Iterator[int]:
    os._exit(status)
    yield 1


def chatter() -> Iterator[int]:
    os.write(1, b"what a library prints")
    yield 1


class _OddError(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def fail(is_odd: bool) -> Iterator[int]:
    yield 1
    raise _OddError(1, 2) if is_odd else Unusable("no text here")
