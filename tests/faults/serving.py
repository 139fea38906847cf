"""A server under slow readers, half requests, floods, hang-ups, garbage and giant bodies.

After each, it answers as before, and its memory has not grown.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil

from faults.campaign import Fault, Kind, Try
from faults.forked import Lost, check_single_thread, end_with_the_parent
from faults.tools import minillm, small_model

_MEMORY = 96 << 20  # bytes that it may grow in all
_PATIENCE = 30.0
_CHUNKED = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
_Way = Callable[["_Server", random.Random], None]


@dataclass
class _Server:
    host: str
    port: int
    process: psutil.Process
    memory: int
    answer: object

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=_PATIENCE)

    def send(self, data: bytes, *, read: int = 0) -> None:
        """Send bytes on a new connection, read a little, and hang up."""
        with self.connect() as connection, suppress(OSError):
            connection.sendall(data)
            if read:
                connection.recv(read)

    def ask(self, timeout: float = _PATIENCE) -> object:
        """Ask a question whose answer is always the same."""
        url = f"http://{self.host}:{self.port}/v1/chat/completions"
        found = httpx.post(url, json=_QUESTION, timeout=timeout, trust_env=False)
        return [found.status_code, found.json().get("choices")]


_QUESTION = {
    "messages": [{"role": "user", "content": "the topic of a word"}],
    "temperature": 0,
    "max_tokens": 12,
}


def serving_kinds() -> list[Kind]:
    """Return the kind of fault."""

    def faults(rng: random.Random, quick: bool) -> list[Fault]:
        names = list(_ways())
        if quick:
            return [(name, 0) for name in rng.sample(names, 2)]
        return [(name, number) for number in range(4) for name in names]

    survived = "it answers afterwards as it did before, within seconds, and its memory has not grown"
    return [Kind("the server under faults", survived, faults, _workshop)]


@contextmanager
def _workshop(folder: Path) -> Iterator[Try]:
    check_single_thread()
    small_model(folder).save(folder / "model")
    said = folder / "said"
    process = os.fork()
    if process == 0:
        _serve(folder / "model", said)
    try:
        host, port = _address(said, process)
        server = _Server(host, port, psutil.Process(process), 0, None)
        for _ in range(5):
            server.answer = server.ask()
        if not isinstance(server.answer, list) or server.answer[0] != 200:
            raise Lost(f"undisturbed, it answers {str(server.answer)[:300]}")
        server.memory = server.process.memory_info().rss
        yield partial(_try, server)
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        shutil.rmtree(folder / "model", ignore_errors=True)


def _serve(model: Path, said: Path) -> None:
    try:
        end_with_the_parent()
        signal.alarm(0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(output, number)
        minillm("serve", "--ckpt", model, "--port", 0, "--max-batch", 8, "--max-queue", 16)
    finally:
        os._exit(1)


def _address(said: Path, process: int) -> tuple[str, int]:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        text = said.read_text(encoding="utf-8") if said.is_file() else ""
        if found := re.search(r"in the browser\s+http://([\d.]+):(\d+)/", text):
            return found[1], int(found[2])
        if os.waitpid(process, os.WNOHANG)[0]:
            raise Lost(f"the server did not start: {text[-500:]}")
        time.sleep(0.05)
    raise Lost("the server did not start within two minutes")


def _try(server: _Server, fault: Fault) -> None:
    name, number = fault
    with suppress(OSError, httpx.HTTPError):  # it may hang up on a client like this
        _ways()[name](server, random.Random(f"{name} {number}"))
    if not server.process.is_running() or server.process.status() == psutil.STATUS_ZOMBIE:
        raise Lost("the server has ended")
    answer = _answer_soon(server)
    if answer != server.answer:
        raise Lost(f"it answers otherwise than before: {str(answer)[:300]}")
    grown = server.process.memory_info().rss - server.memory
    if grown > _MEMORY:
        raise Lost(f"its memory has grown by {grown >> 20} MiB")


def _answer_soon(server: _Server) -> object:
    """Ask until there is room in its queue."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            answer = server.ask()
        except (httpx.HTTPError, ValueError) as error:
            raise Lost(f"it does not answer any more: {type(error).__name__}: {error}") from error
        if not isinstance(answer, list) or answer[0] not in (429, 503) or time.monotonic() > end:
            return answer
        time.sleep(0.2)


def _post(body: bytes, *headers: str, path: str = "/v1/chat/completions", length: int | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _question(**more: object) -> bytes:
    return json.dumps({**_QUESTION, **more}).encode()


def _ways() -> dict[str, _Way]:
    return {
        "half a request line": lambda server, rng: server.send(b"POST /v1/ch"),
        "half a body": lambda server, rng: server.send(_post(_question(), length=10_000)),
        "garbage": lambda server, rng: server.send(rng.randbytes(4000), read=100),
        "garbage after a request": lambda server, rng: server.send(
            _post(_question()) + rng.randbytes(999), read=100
        ),
        "a wrong version": lambda server, rng: server.send(b"GET / HTTP/9.9\r\n\r\n", read=100),
        "a header without an end": lambda server, rng: server.send(
            b"GET / HTTP/1.1\r\nA: " + b"x" * 10**6, read=100
        ),
        "10,000 headers": lambda server, rng: server.send(
            b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(10_000)) + b"\r\n", read=100
        ),
        "a path of a megabyte": lambda server, rng: server.send(
            b"GET /" + b"a" * 10**6 + b" HTTP/1.1\r\n\r\n", read=99
        ),
        "a body of 30 MB": lambda server, rng: server.send(_post(b"x" * (30 << 20)), read=100),
        "a length of 10^18": lambda server, rng: server.send(_post(b"x", length=10**18), read=100),
        "a negative length": lambda server, rng: server.send(_post(b"x", length=-1), read=100),
        "chunks without an end": _endless_chunks,
        "a chunk of 2^63": lambda server, rng: server.send(
            _CHUNKED + b"7fffffffffffffff\r\n",
            read=100,
        ),
        "deep JSON": lambda server, rng: server.send(_post(b"[" * 200_000 + b"]" * 200_000), read=100),
        "numbers of 10^5 digits": lambda server, rng: server.send(
            _post(b'{"max_tokens": ' + b"9" * 10**5 + b"}"), read=100
        ),
        "no UTF-8": lambda server, rng: server.send(_post(b'{"messages": "\xff\xfe"}'), read=100),
        "lone surrogates": lambda server, rng: server.send(
            _post(b'{"messages": [{"role": "user", "content": "\\ud800"}]}'), read=100
        ),
        "a page of another site": lambda server, rng: server.send(
            _post(_question(), "Origin: http://evil"), read=99
        ),
        "another name for this machine": lambda server, rng: server.send(
            _post(_question()).replace(b"Host: 127.0.0.1", b"Host: evil.example"), read=99
        ),
        "a reader that stalls": _stalling_reader,
        "hanging up in a stream": _hang_up,
        "resetting in a stream": partial(_hang_up, reset=True),
        "fifty connections that say nothing": _silent_connections,
        "a flood of requests": _flood,
        "a flood of garbage": lambda server, rng: (
            [server.send(rng.randbytes(200)) for _ in range(60)] and None
        ),
    }


def _endless_chunks(server: _Server, rng: random.Random) -> None:
    with server.connect() as connection:
        connection.sendall(_CHUNKED)
        for _ in range(400):
            connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def _stalling_reader(server: _Server, rng: random.Random) -> None:
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        connection.sendall(_post(_question(stream=True, max_tokens=90)))
        for _ in range(rng.randint(1, 5)):
            connection.recv(1)
            time.sleep(0.1)


def _hang_up(server: _Server, rng: random.Random, reset: bool = False) -> None:
    with server.connect() as connection:
        connection.sendall(_post(_question(stream=True, max_tokens=90)))
        connection.recv(rng.randint(1, 400))
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _silent_connections(server: _Server, rng: random.Random) -> None:
    held = [server.connect() for _ in range(50)]
    try:
        if server.ask() != server.answer:
            raise Lost("it does not answer beside connections that say nothing")
    finally:
        for each in held:
            each.close()


def _flood(server: _Server, rng: random.Random) -> None:
    """Send forty questions at once, and leave before most answers."""
    held = []
    for _ in range(40):
        connection = server.connect()
        connection.sendall(_post(_question(max_tokens=60)))
        held.append(connection)
    time.sleep(rng.random() / 2)
    for each in held:
        each.close()
