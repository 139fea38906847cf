"""Ctrl-C that waits."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from minillm_lib.io.interrupts import interrupts_held

pytestmark = pytest.mark.usefixtures("interrupts_are_heard")


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def steps_with(n_interrupts):
    """The steps that were reached in a block in which so many interrupts arrived."""
    steps = []

    def work():
        with interrupts_held():
            steps.append("before")
            for _ in range(n_interrupts):
                interrupt()
            steps.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    return steps


def test_an_interrupt_waits_for_the_end_of_the_block():
    assert steps_with(1) == ["before", "after"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_acts_at_once():
    assert steps_with(2) == ["before"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_one_nothing_happens_and_an_error_passes():
    with interrupts_held():
        pass
    with pytest.raises(ValueError, match="mine"), interrupts_held():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_the_block_just_runs():
    done = []

    def run():
        with interrupts_held():
            done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [True]


def test_the_handler_of_the_user_is_called():
    called = []
    usual = signal.signal(signal.SIGINT, lambda *_: called.append(True))
    try:
        with interrupts_held():
            interrupt()
            assert called == []
        assert called == [True]
    finally:
        signal.signal(signal.SIGINT, usual)
