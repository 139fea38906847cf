"""Work in a process of its own: what it yields arrives, and its crashes and its greed are errors in words."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import limited_work as work
import pytest

from minillm_lib.corpora.reading.report import Unusable
from minillm_lib.io.limited import BeyondLimitsError, limited

LIMITS = {"seconds": 20.0, "n_bytes": 1 << 26}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory so")


def test_what_is_yielded_arrives_from_another_process_that_is_used_again():
    first, second = (list(limited(work.count, 3, **LIMITS)) for _ in range(2))
    assert [number for number, _ in first] == [0, 1, 2]
    assert first == second
    assert first[0][1] != os.getpid()


def test_several_can_be_read_in_turns_and_left_unread():
    pairs = zip(limited(work.count, 3, **LIMITS), limited(work.count, 3, **LIMITS), strict=True)
    assert [(one, other) for (one, _), (other, _) in pairs] == [(0, 0), (1, 1), (2, 2)]
    endless = limited(work.count, 10**12, **LIMITS)
    assert next(endless)[0] == 0
    endless.close()
    assert len(list(limited(work.count, 3, **LIMITS))) == 3
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda n: len(list(limited(work.count, n, **LIMITS))), range(5))) == [
            0,
            1,
            2,
            3,
            4,
        ]


@on_linux
def test_more_memory_than_allowed_is_an_error():
    assert list(limited(work.fill, 1 << 24, **LIMITS)) == [1 << 24]
    with pytest.raises(BeyondLimitsError, match="takes more than 64 MiB of memory"):
        list(limited(work.fill, 1 << 27, **LIMITS))


@on_linux
def test_more_time_than_allowed_is_an_error():
    with pytest.raises(BeyondLimitsError, match="takes more than 1 s of processor time"):
        list(limited(work.spin, seconds=0.7, n_bytes=1 << 26))


def test_a_crash_is_an_error():
    found = limited(work.crash, **LIMITS)
    assert next(found) == 1
    with pytest.raises(BeyondLimitsError, match=r"crashes the program that does so \(SIGSEGV\)|status"):
        next(found)
    with pytest.raises(BeyondLimitsError, match="with status 3"):
        list(limited(work.leave, 3, **LIMITS))


def test_errors_arrive_and_what_is_printed_does_not():
    with pytest.raises(Unusable, match="no text here"):
        list(limited(work.fail, False, **LIMITS))
    with pytest.raises(BeyondLimitsError, match="_OddError: 1 and 2"):
        list(limited(work.fail, True, **LIMITS))
    assert list(limited(work.chatter, **LIMITS)) == [1]
