"""Functions compiled by numba, kept on disk where there is a place for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numba


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function with numba, without the GIL, and keep the result on disk.

    Numba keeps it beside the module, or in a cache folder of the user. Where it may write to neither, as in a read-only
    installation without a home, it would raise an error at import; here the function is compiled again in each process,
    and a warning says so once.

    Parameters
    ----------
    function
        The function; without it, a decorator is returned.
    options
        More options of ``numba.njit``.
    """
    if function is None:
        return partial(compiled, **options)
    options = {"nogil": True, **options}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
        _say_that_nothing_is_kept()
        return numba.njit(**options)(function)


@cache
def _say_that_nothing_is_kept() -> None:
    warnings.warn(
        "numba finds no folder in which it may keep compiled functions, so each start compiles them again; "
        "set the environment variable NUMBA_CACHE_DIR to a folder that you may write to",
        stacklevel=4,
    )
