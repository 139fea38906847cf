"""The clock of limits: a busy machine costs no time, and what sleeps for ever is ended all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from minillm_lib.checks import work_clock
from minillm_lib.checks.guarded import TimeLimitError, call_with_time_limit
from minillm_lib.checks.work_clock import Countdown, WorkClock, longest


class World:
    """Time that passes only when it is told to, and a processor that gives a share of it to who wants it."""

    def __init__(self, monkeypatch):
        self.now = self.processor = 0.0
        self.is_wanting = True
        monkeypatch.setattr(work_clock.time, "monotonic", lambda: self.now)
        self.clock = WorkClock()
        self.clock.follow(lambda: (self.processor, self.is_wanting))

    def passes(self, seconds, share, step=0.05):
        for _ in range(round(seconds / step)):
            self.now += step
            self.processor += share * step
            self.clock.tick()


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_what_computes_alone_uses_up_the_time_that_passes(world):
    world.passes(10, 1)
    assert world.clock.seconds == pytest.approx(10)


def test_many_threads_use_up_no_more_than_the_time_that_passes(world):
    world.passes(10, 8)
    assert world.clock.seconds == pytest.approx(10)


def test_on_a_busy_machine_only_the_share_that_one_gets_counts(world):
    world.passes(100, 0.1)
    assert world.clock.seconds == pytest.approx(10)
    assert world.clock.passed == pytest.approx(100)


def test_sleep_counts_as_a_whole(world):
    world.is_wanting = False
    world.passes(10, 0.001)
    assert world.clock.seconds == pytest.approx(10)


def test_a_clock_that_was_itself_kept_waiting_takes_no_long_time_for_sleep(world):
    world.is_wanting = False
    world.passes(10, 0, step=5)
    assert world.clock.seconds == pytest.approx(0.5)


def test_where_nobody_knows_who_wants_a_processor_it_is_guessed(world):
    world.is_wanting = None
    world.passes(10, 0.1)
    assert world.clock.seconds == pytest.approx(1)
    world.passes(10, 0.001)
    assert world.clock.seconds == pytest.approx(11, abs=1)


def test_who_wants_a_processor_is_known():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            deadline = time.monotonic() + 20
            while not work_clock.want_processor([busy.pid]) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert work_clock.want_processor([busy.pid]) in (True, None)
            busy.send_signal(signal.SIGSTOP)
            while work_clock.want_processor([busy.pid]) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not work_clock.want_processor([busy.pid])
        finally:
            busy.kill()
    assert not work_clock.want_processor([busy.pid])


def test_time_that_is_not_the_submissions_does_not_count(world):
    world.passes(3, 1)
    world.clock.counts = False
    world.passes(50, 1)
    world.clock.counts = True
    world.passes(2, 1)
    assert world.clock.seconds == pytest.approx(5)


def test_a_countdown_ends_by_the_clock_or_after_very_long_at_the_latest(world):
    countdown = Countdown(world.clock, 2)
    world.passes(1.5, 1)
    assert countdown.left == pytest.approx(0.5)
    world.passes(1, 1)
    assert countdown.left == 0
    waits = Countdown(world.clock, 20)
    world.passes(longest(20) - 1, 0.05)
    assert waits.left > 0
    world.passes(2, 0.05)
    assert waits.left == 0


def test_a_call_is_limited_by_its_work():
    with pytest.raises(TimeLimitError):
        call_with_time_limit(lambda: time.sleep(9), 0.3, clock=WorkClock())

    def spin():
        while True:
            pass

    with pytest.raises(TimeLimitError, match=r"of your cell: `(pass|while True:)`"):
        call_with_time_limit(spin, 0.3, clock=WorkClock())
    assert call_with_time_limit(lambda: 3, 0.3, clock=WorkClock()) == 3
