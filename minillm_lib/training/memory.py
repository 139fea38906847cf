"""What to do when a device runs out of memory in a step: find out how many rows at a time it has room for."""

from __future__ import annotations

from collections.abc import Callable

import torch


def most_rows_that_fit(take: Callable[[int], object], below: int) -> int:
    """Return the largest number of rows, among the halves, quarters … of ``below``, for which there is memory.

    Parameters
    ----------
    take
        Computes with so many rows, and raises ``torch.OutOfMemoryError`` if there is no memory for them.

    Returns
    -------
    int
        0 if there is no memory for a single row.
    """
    n = below // 2
    while n:
        if _is_possible(take, n):
            return n
        n //= 2
    return 0


def _is_possible(take: Callable[[int], object], n: int) -> bool:
    _free_memory()
    try:
        take(n)
    except torch.OutOfMemoryError:
        return False
    finally:
        _free_memory()
    return True


def _free_memory() -> None:
    """Return to the device what PyTorch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory_in_words(device: torch.device, rows: int, seq_len: int, fitting: int | None) -> str:
    """Return what to tell the user.

    Parameters
    ----------
    rows
        How many rows of ``seq_len`` tokens went through the model at a time.
    fitting
        How many would fit; None if that is not known.
    """
    of = f"{rows} rows" if rows > 1 else "1 row"
    words = f"{device} has no memory for {of} of {seq_len:,} tokens at a time"
    if fitting == 0 or rows == 1:
        return (
            f"{words}, and not even for one; set train.activation_checkpointing to true, or choose a shorter "
            "train.seq_len or a smaller model"
        )
    if fitting is None:
        return f"{words}; set train.micro_batch_size to {rows // 2}, which hardly changes the results, and resume"
    return (
        f"{words}, but for {fitting}: set train.micro_batch_size to {fitting}, which hardly changes the results, and "
        "resume"
    )
