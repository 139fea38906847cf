"""What compressed bytes may unpack to: a few megabytes can stand for gigabytes, and must not fill the memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

MAX_RATIO = 200.0
"""How many bytes one compressed byte may become, see :func:`is_too_dense`; texts seldom come to 20."""

FREE_BYTES = 1 << 24
"""So many unpacked bytes are harmless, however few they were before."""

_PIECE = 1 << 20


def is_too_dense(n_unpacked: int, n_packed: int, max_ratio: float) -> bool:
    """Whether bytes have unpacked to more than ``max_ratio`` times their number, and to more than 16 MiB."""
    return n_unpacked > FREE_BYTES and n_unpacked > max_ratio * n_packed


def limit_from_environment(name: str, default: float) -> float:
    """Return a limit that an environment variable may raise.

    Raises
    ------
    ValueError
        If the variable is not a positive number.
    """
    value = os.environ.get(name)
    if value is None:
        return default
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise ValueError(f"the environment variable {name} is {value!r}; allowed is a positive number")
    return number


class Gunzip:
    """Unpacks a stream in gzip format, of one member or several, a megabyte at a time."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(31)
        self._is_begun = False

    def unpacked(self, packed: bytes) -> Iterator[bytes]:
        """Yield what the next bytes of the stream unpack to.

        Raises
        ------
        zlib.error
            If the stream is damaged.
        """
        piece = b""
        while packed or len(piece) == _PIECE:  # a full piece may have been cut off
            if self._member.eof:
                if not packed:
                    return
                self._member = zlib.decompressobj(31)
            self._is_begun = True
            if piece := self._member.decompress(packed, _PIECE):
                yield piece
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> None:
        """Check that the stream is complete.

        Raises
        ------
        EOFError
            If it is not.
        """
        if self._is_begun and not self._member.eof:
            raise EOFError("the compressed stream ends too early")
