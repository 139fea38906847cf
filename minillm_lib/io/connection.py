"""What a server sends, watched byte by byte: how fast, for how long, and whether an answer ends where it says.

httpx limits how long a server may be silent, and no more: a byte every 29 seconds holds a client for ever, endless
headers do too, and what a server sends behind the end of an answer becomes the answer to the next request.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from minillm_lib.io.fetch_errors import FailedAttempt

_MAX_HEAD_BYTES = 1 << 18
_BLANK_LINE = re.compile(rb"\n\r?\n")
_Read = Callable[..., bytes]


class Call:
    """The time that one call may take, and the state of the answer that it is reading.

    Parameters
    ----------
    max_seconds
        Longest time until the end of the call, in seconds.
    min_rate
        Lowest mean rate of an answer in bytes per second; 0 for any.
    window
        Over how many seconds the mean is taken. The wait for the first byte does not count.
    """

    def __init__(self, max_seconds: float, min_rate: float, window: float) -> None:
        self.ends = monotonic() + max_seconds
        self._min_rate, self._window = min_rate, window
        self.connection: _Connection | None = None
        self.begin_answer()

    @property
    def seconds_left(self) -> float:
        """How much time is left."""
        return self.ends - monotonic()

    def begin_answer(self) -> None:
        """Expect the head of an answer."""
        self.part = "head"
        self.n_of_part = self._n_in_window = 0
        self._spent: float | None = None

    def begin_body(self, is_chunked: bool) -> None:
        """Expect the body of an answer."""
        self.part = "chunks" if is_chunked else "bytes"
        self.n_of_part = 0

    def timed(self, read: _Read, max_bytes: int, timeout: float | None) -> bytes:
        """Read from the network, but not longer than is left.

        Raises
        ------
        FailedAttempt
            If the server sends too slowly.
        """
        before = monotonic()
        left = max(self.ends - before, 0.001)
        data = read(max_bytes, left if timeout is None else min(timeout, left))
        self._n_in_window += len(data)
        if self._spent is None:  # a server may think about an answer, but then it has to send it
            self._n_in_window, self._spent = 0, 0.0
            return data
        self._spent += monotonic() - before
        if self._spent >= self._window:
            rate = self._n_in_window / self._spent
            if rate < self._min_rate and data:
                raise FailedAttempt(
                    f"the server sends {rate:,.0f} bytes per second, less than min_rate, {self._min_rate:,.0f}",
                    "lower min_rate to wait for it, or try again later: what has arrived is kept",
                )
            self._n_in_window, self._spent = 0, 0.0
        return data


class _Connection:
    """The bytes of one connection, handed on such that an answer's end is never inside of what is handed on.

    Heads and chunked bodies end with an empty line: what follows one waits until it is asked for.
    """

    def __init__(self, stream: Any) -> None:
        self._read, self.close = stream.read, stream.close
        self._data, self._at = b"", 0
        self._before = b""  # the last bytes that were handed on, if an empty line may go on from them

    @property
    def n_waiting(self) -> int:
        """How many bytes have arrived, but have not been handed on."""
        return len(self._data) - self._at

    def read(self, call: Call, max_bytes: int, timeout: float | None) -> bytes:
        """Return the next bytes."""
        call.connection = self
        if not self.n_waiting:
            self._data, self._at = call.timed(self._read, max_bytes, timeout), 0
        start = self._at
        self._at = len(self._data) if call.part == "bytes" else self._line_end()
        call.n_of_part += self._at - start
        if call.part == "head" and call.n_of_part > _MAX_HEAD_BYTES:
            raise FailedAttempt(f"the answer has more than {_MAX_HEAD_BYTES:,} bytes of headers")
        return self._data[start : self._at]

    def _line_end(self) -> int:
        """Return where the next empty line ends in the data, or else where the data end."""
        across = (
            _BLANK_LINE.search(self._before + self._data[self._at : self._at + 2]) if self._before else None
        )
        inside = _BLANK_LINE.search(self._data, self._at)
        if across is None and inside is None:
            self._before = (self._before + self._data[self._at :])[-2:]
            return len(self._data)
        begun, self._before = len(self._before), b""
        return self._at + across.end() - begun if across else inside.end()  # type: ignore[union-attr]


class Watch:
    """Watches the connections of a client, in as many threads as it has; its method ``trace`` is httpx's extension.

    Each thread sets ``call`` before it uses the client.
    """

    def __init__(self) -> None:
        self._current = threading.local()

    @property
    def call(self) -> Call:
        """The call that this thread is in."""
        call: Call = self._current.call
        return call

    @call.setter
    def call(self, call: Call) -> None:
        self._current.call = call

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note what happens in a connection."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = info["return_value"]
            connection = _Connection(stream)
            stream.read = lambda max_bytes, timeout=None: connection.read(self.call, max_bytes, timeout)
        elif event.endswith("send_request_headers.started"):
            self.call.begin_answer()
        elif event.endswith("receive_response_headers.complete"):
            headers = info["return_value"][3]
            self.call.begin_body(any(name.lower() == b"transfer-encoding" for name, _ in headers))

    def check_end(self, n_body: int) -> None:
        """Check that an answer that was read to its end is all that the server sent.

        Parameters
        ----------
        n_body
            The size of its body in bytes, as it is sent.

        Raises
        ------
        FailedAttempt
            If it sent more, which may be part of the body, or an answer to the next request.
        """
        call = self.call
        assert call.connection is not None
        if call.connection.n_waiting or (call.part == "bytes" and call.n_of_part > n_body):
            call.connection.close()
            raise FailedAttempt("the server sends more than the length that it states", is_damaged=True)

    def end_answer(self) -> None:
        """Close a connection on which something waits that belongs to no answer; the client then opens another."""
        connection = self.call.connection
        if connection is not None and connection.n_waiting:
            connection.close()
