"""Quantities in words, for people: numbers of things, durations, numbers of operations."""

from __future__ import annotations


def number_of(n: int, noun: str) -> str:
    """Return a number and a noun, which gets an *s* unless there is just one.

    >>> number_of(1, "file"), number_of(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{n:,} {noun}" + "s" * (n != 1)


def duration(seconds: float) -> str:
    """Write a time span with two digits: ``4.2 s``, ``37 s``, ``12 min``, ``1 h 05 min``.

    >>> [duration(each) for each in (4.21, 37.2, 59.9, 710, 3900)]
    ['4.2 s', '37 s', '1 min', '12 min', '1 h 05 min']
    """
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def flop(operations: float) -> str:
    """Write a number of floating-point operations in the largest unit that leaves at least one before the point.

    >>> flop(1.58e12)
    '1.58 TFLOP'
    """
    for unit in ("", "K", "M", "G", "T", "P"):
        if operations < 1000:
            return f"{operations:.3g} {unit}FLOP"
        operations /= 1000
    return f"{operations:.3g} EFLOP"


def size(n_bytes: float) -> str:
    """Write a number of bytes with three digits, in the largest unit that leaves nearly one before the point.

    >>> [size(each) for each in (0, 812, 10_000, 3.2e6, 5e9)]
    ['0 bytes', '812 bytes', '9.77 KiB', '3.05 MiB', '4.66 GiB']
    """
    if n_bytes < 1000:
        return number_of(round(n_bytes), "byte")
    for unit in ("KiB", "MiB", "GiB"):
        n_bytes /= 1024
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
    n_bytes /= 1024
    return f"{n_bytes:.3g} TiB" if n_bytes < 999.5 else f"{n_bytes:,.0f} TiB"


def shown(value: object, longest: int = 80) -> str:
    """Return a value as Python writes it; where that is long, without what lies before its last few characters.

    >>> shown("ab" * 100, 20)
    "'abababababababab…b'"
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # an integer of thousands of digits, or values within values without end
        text = f"<{type(value).__name__} that is too long to be shown>"
    return text if len(text) <= longest else f"{text[: longest - 3]}…{text[-2:]}"
