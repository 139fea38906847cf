from __future__ import annotations

import os

import pytest

from minillm_lib.io.parallel import parallel_map


def process_of(_):
    return os.getpid()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_the_order_of_the_items(n_jobs):
    assert list(parallel_map(str.upper, iter("abcdefghij"), n_jobs=n_jobs)) == list("ABCDEFGHIJ")
    assert list(parallel_map(str.upper, [], n_jobs=n_jobs)) == []


def test_one_item_or_one_process_needs_no_other_process():
    assert list(parallel_map(process_of, [1])) == [os.getpid()]
    assert set(parallel_map(process_of, range(9), n_jobs=1)) == {os.getpid()}
    assert os.getpid() not in set(parallel_map(process_of, range(9), n_jobs=2))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_items_are_read_as_they_are_needed_and_one_may_stop_and_begin_again(n_jobs):
    for _ in range(3):
        read = []
        items = (read.append(i) or i for i in range(1000))
        results = parallel_map(abs, items, n_jobs=n_jobs)
        for number, result in zip(range(50), results, strict=False):
            assert number == result
            assert len(read) <= number + 2 + 2 * n_jobs
        results.close()


def test_an_error_comes_through_and_no_processes_are_refused():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map((1).__truediv__, [1, 0, 1], n_jobs=2))
    with pytest.raises(ValueError, match="n_jobs == 0"):
        list(parallel_map(abs, [1, 2], n_jobs=0))
