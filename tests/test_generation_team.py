"""Threads that help: the caller waits for none of them."""

from __future__ import annotations

import threading

import pytest

from minillm_lib.generation.team import work_together


def test_the_caller_does_not_wait_for_a_late_thread_which_ends_the_work():
    begun, released, ended = threading.Event(), threading.Event(), threading.Event()

    def work(thread):
        if thread == 0:
            assert begun.wait(10)
        else:
            begun.set()
            assert released.wait(10)

    work_together(2, work, ended.set)
    assert not ended.is_set()
    released.set()
    assert ended.wait(10)


def test_threads_that_have_not_begun_do_not_begin():
    """All helpers are held up by one job; the next one is done by its caller alone, and the helpers skip it."""
    released, begun, threads, ends = threading.Event(), threading.Barrier(4), [], []

    def hold(thread):
        begun.wait(10)
        if thread:
            assert released.wait(10)

    work_together(4, hold, lambda: None)
    work_together(4, threads.append, lambda: ends.append(1))
    assert (threads, ends) == ([0], [1])
    released.set()
    done = threading.Event()
    work_together(2, lambda thread: done.set() if thread else done.wait(10), lambda: None)
    assert threads == [0]


def test_alone_it_is_a_call():
    calls = []
    work_together(1, calls.append, lambda: calls.append("end"))
    assert calls == [0, "end"]


def test_an_error_of_the_caller_reaches_it_and_ends_the_work():
    ended = threading.Event()

    def work(thread):
        if thread == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work_together(2, work, ended.set)
    assert ended.wait(10)
