"""How the notebooks measure times."""

from __future__ import annotations

import time

import pytest

from minillm_lib.course import milliseconds


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_it_is_the_processor_time_of_the_shortest_run_and_the_first_does_not_count():
    seconds = iter([0.0, 0.03, 0.01, 0.03])
    assert 10 <= milliseconds(lambda: busy(next(seconds)), repeats=3) < 25
    assert next(seconds, None) is None


def test_waiting_does_not_count():
    assert milliseconds(lambda: time.sleep(0.03), repeats=1) < 15


def test_there_is_at_least_one_run():
    with pytest.raises(ValueError, match="repeats is 0; it must be at least 1"):
        milliseconds(int, repeats=0)
