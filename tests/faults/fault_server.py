"""A web server on the loopback interface that sends raw bytes, and so can break every rule of HTTP.

An answer is a function of a :class:`Request` that sends whatever it wants through ``request.send``; the connection
stays open if it returns True, and is closed otherwise.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

_LONGEST_WAIT = 20.0


@dataclass
class Request:
    """One request: its path, its headers with names in small letters, and its connection."""

    path: str
    headers: dict[str, str]
    connection: socket.socket
    closing: threading.Event
    server_url: str

    def send(self, *pieces: bytes) -> None:
        """Send bytes."""
        for piece in pieces:
            self.connection.sendall(piece)

    def reset(self) -> None:
        """Break the connection off with RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def wait(self, seconds: float = _LONGEST_WAIT) -> None:
        """Be silent, at most until the server ends."""
        self.closing.wait(seconds)

    def repeat(self, piece: bytes, pause: float = 0.0, seconds: float = _LONGEST_WAIT) -> None:
        """Send the same bytes until the client has enough or the server ends."""
        for _ in range(int(seconds / pause) if pause else 1 << 40):
            if self.closing.is_set():
                return
            self.send(piece)
            if pause:
                self.wait(pause)


Answer = Callable[[Request], "bool | None"]


@dataclass
class FaultServer:
    """Gives the first, second, … answer to the first, second, … request, over all connections; the last one stays."""

    answers: Sequence[Answer]
    asked: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._closing, self._lock = threading.Event(), threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(_LONGEST_WAIT)
        with connection:
            try:
                while (request := self._next_request(connection)) is not None:
                    with self._lock:
                        self.asked.append(request)
                        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
                    if not answer(request):
                        return
            except OSError:
                return  # the client has had enough

    def _next_request(self, connection: socket.socket) -> Request | None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(1 << 16)
            if not piece:
                return None
            head += piece
        first, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return Request(first.split(" ")[1], headers, connection, self._closing, self.url)


def head(status: str = "200 OK", **headers: object) -> bytes:
    """Return the head of an answer; in the names of headers, ``_`` stands for ``-``."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def raw(*pieces: bytes, keep: bool = False) -> Answer:
    """Answer with these bytes, whatever is asked."""

    def answer(request: Request) -> bool:
        request.send(*pieces)
        return keep

    return answer


def whole(body: bytes, status: str = "200 OK", **headers: object) -> Answer:
    """Answer with a body as it should be."""
    return raw(head(status, Content_Length=len(body), **headers), body, keep=True)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n", **headers: object) -> Answer:
    """Answer with a body in chunks."""
    framed = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return raw(head(Transfer_Encoding="chunked", **headers), *framed, end, keep=True)
