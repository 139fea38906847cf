"""A streaming ``map`` over several processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain, islice
from typing import TypeVar

from joblib import effective_n_jobs
from joblib.externals.loky import get_reusable_executor

from minillm_lib.io.terminal import make_output_safe

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_WAITING = 2


def parallel_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, n_jobs: int = -1
) -> Iterator[_Result]:
    """Yield the function of each item, in order, computed in several processes.

    Items are read only when they are needed: at most two per process, plus one, are ahead of the results, so a caller
    who stops reading leaves only these few unfinished. With one process or one item, everything runs in this process.

    Parameters
    ----------
    n_jobs
        Number of processes; -1 for one per core.

    Raises
    ------
    ValueError
        If ``n_jobs`` is 0.
    """
    items = iter(items)
    first = list(islice(items, 2))
    n_processes = effective_n_jobs(n_jobs)
    if n_processes == 1 or len(first) < 2:
        yield from map(function, chain(first, items))
        return
    executor = get_reusable_executor(max_workers=n_processes, initializer=make_output_safe)
    pending: deque[Future[_Result]] = deque()
    for item in chain(first, items):
        pending.append(executor.submit(function, item))
        if len(pending) > _WAITING * n_processes:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
