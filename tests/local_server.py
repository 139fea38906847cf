"""A web server on the loopback interface with scripted answers, including errors, that records its requests."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Reply:
    """One answer. Only the first ``sent`` bytes of ``body`` are sent, after ``pause`` seconds.

    ``fault`` "no length" leaves out Content-Length, "reset" breaks the connection without an answer, and "stall"
    never finishes: the connection stays open, without an answer or, if ``sent`` is given, after these bytes.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None
    pause: float = 0.0
    fault: str = ""


Answer = Reply | Callable[[Message], Reply]


def ranged(body: bytes, etag: str = '"first"', sent: int | None = None) -> Callable[[Message], Reply]:
    """A file that is served by Range and If-Range as RFC 9110 says."""

    def answer(asked: Message) -> Reply:
        facts = {"ETag": etag}
        unchanged = asked.get("If-Range", etag) == etag
        if not (asked.get("Range") and unchanged):
            return Reply(body, headers=facts, sent=sent)
        start = int(asked["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            return Reply(status=416, headers=facts | {"Content-Range": f"bytes */{len(body)}"})
        part = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Reply(body[start:], 206, facts | {"Content-Range": part}, sent=sent)

    return answer


class LocalServer:
    """``answers`` maps a path to what is answered to its first, second, … request; the last answer stays.

    ``asked`` lists the path and headers of each request, ``most_at_once`` the most requests in work at a time, and
    ``stalled`` is set while a request waits for an answer that does not come.
    """

    def __init__(self, answers: Mapping[str, Answer | list[Answer]]) -> None:
        self.answers = {
            path: answer if isinstance(answer, list) else [answer] for path, answer in answers.items()
        }
        self.asked: list[tuple[str, Message]] = []
        self.most_at_once = self._at_once = 0
        self.stalled, self._closing = threading.Event(), threading.Event()
        self._lock = threading.Lock()

        class Handler(_Handler):
            owner = self

        self._http = _Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def take(self, path: str, headers: Message) -> Reply:
        with self._lock:
            self.asked.append((path, headers))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            waiting = self.answers.get(path, [Reply(status=404)])
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return answer(headers) if callable(answer) else answer

    def done(self) -> None:
        with self._lock:
            self._at_once -= 1

    def stall(self) -> None:
        self.stalled.set()
        self._closing.wait(20)


class _Http(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: LocalServer

    def do_GET(self) -> None:
        reply = self.owner.take(self.path, self.headers)
        time.sleep(reply.pause)
        if reply.fault == "stall" and reply.sent is None:
            self.owner.stall()
        # Before the last byte is out: after it, the client may already have sent its next request.
        self.owner.done()
        if reply.fault == "reset" or (reply.fault == "stall" and reply.sent is None):
            self._reset()
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.fault == "no length":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: reply.sent])
        if reply.fault == "stall":
            self.owner.stall()
        self.close_connection = reply.sent is not None or reply.fault == "no length"

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass
